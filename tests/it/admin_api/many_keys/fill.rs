//! A store full of keys, made through the store itself; what each key is like
//! follows from its number.

use std::collections::{BTreeMap, BTreeSet};

use keyward::domain::audit::{AuditAction, AuditEntry, OFFLINE};
use keyward::domain::clock::Timestamp;
use keyward::domain::digest::{Pepper, PepperId, TokenHasher};
use keyward::domain::id::KeyId;
use keyward::domain::key::{Bond, Key, Revocation, RevocationReason, Secret};
use keyward::domain::limit::LimitSet;
use keyward::domain::principal::{Membership, Principal};
use keyward::domain::scope::{Scope, ScopeSet};
use keyward::domain::source::SourceRanges;
use keyward::domain::usage::Usage;
use keyward::domain::workspace::WorkspaceDraft;
use keyward::edge::pb::KeyState;
use keyward::store::{Batch, Expect, Record, Write};

use super::super::{metadata, names, now};
use crate::support::Site;

/// How many keys one commit makes: well below the longest.
const KEYS_PER_COMMIT: usize = 100;

/// In microseconds.
pub(super) const HOUR: u64 = 3_600_000_000;

/// What is known of a key that is not touched again.
pub(in super::super) struct Known {
    pub(in super::super) id: String,
    pub(super) number: usize,
    /// When the first of them was made.
    pub(super) epoch: u64,
}

/// What each key is like follows from its number.
impl Known {
    pub(super) fn workspace(&self) -> &'static str {
        workspace_of(self.number)
    }

    pub(super) fn environment(&self) -> &'static str {
        match self.workspace() {
            "plain" => "",
            _ if self.number.is_multiple_of(7) => "test",
            _ => "live",
        }
    }

    pub(super) fn state(&self) -> KeyState {
        state_of(self.number)
    }

    pub(super) fn scopes(&self) -> &'static [&'static str] {
        scopes_of(self.number)
    }

    pub(super) fn expiry(&self) -> Option<u64> {
        expiry_of(self.number, self.epoch)
    }
}

fn workspace_of(number: usize) -> &'static str {
    match number % 10 {
        0..=5 => "large",
        6..=8 => "plain",
        _ => "small",
    }
}

fn principal_of(number: usize) -> String {
    format!("user:{}", number % 1_000)
}

fn state_of(number: usize) -> KeyState {
    match number % 16 {
        0 => KeyState::Revoked,
        1 => KeyState::Disabled,
        2 => KeyState::Expired,
        _ => KeyState::Active,
    }
}

fn scopes_of(number: usize) -> &'static [&'static str] {
    match number % 11 {
        0 => &["*"],
        1 => &["people:*", "reports:daily"],
        2 => &["people:read"],
        3 => &[],
        _ => &[
            "companies:read",
            "companies:write",
            "orders:read",
            "reports:daily",
        ],
    }
}

fn expiry_of(number: usize, epoch: u64) -> Option<u64> {
    if state_of(number) == KeyState::Expired {
        Some(epoch - HOUR)
    } else if number.is_multiple_of(5) {
        Some(epoch + HOUR * (1 + number as u64 % 100))
    } else {
        None
    }
}

/// Makes the workspaces and the keys, through the store itself.
pub(in super::super) async fn fill(site: &Site, count: usize) -> Vec<Known> {
    let epoch = now();
    let mut known = Vec::with_capacity(count);
    let keys = &mut known;
    site.edit(|pepper: &Pepper, _| {
        let mut batches: Vec<_> = [("large", true), ("plain", false), ("small", true)]
            .into_iter()
            .map(|(id, marked)| {
                let environments = names(if marked { &["live", "test"] } else { &[] });
                let draft = WorkspaceDraft {
                    id: id.to_owned(),
                    token_prefix: "klg".to_owned(),
                    environments,
                    ..WorkspaceDraft::default()
                };
                let now = Timestamp::from_micros(epoch);
                let workspace = draft.build(OFFLINE.to_owned(), now).unwrap();
                batch(
                    vec![Record::Workspace(workspace)],
                    AuditAction::CreateWorkspace,
                    now,
                )
            })
            .collect();
        let maker = Maker {
            hasher: pepper.token_hasher(),
            pepper_id: pepper.id(),
            epoch,
        };
        let now = Timestamp::from_micros(epoch);
        for records in principals(count, now).chunks(KEYS_PER_COMMIT) {
            let action = AuditAction::SetMembership;
            batches.push(batch(records.to_vec(), action, now));
        }
        batches.push(batch(
            vec![counted_before(epoch)],
            AuditAction::CreateKey,
            now,
        ));
        for first in (0..count).step_by(KEYS_PER_COMMIT) {
            let numbers = first..count.min(first + KEYS_PER_COMMIT);
            let records = numbers.map(|number| {
                let key = maker.key(number);
                keys.push(Known {
                    id: key.id.to_string(),
                    number,
                    epoch,
                });
                Record::Key(key)
            });
            let now = Timestamp::from_micros(epoch);
            batches.push(batch(records.collect(), AuditAction::CreateKey, now));
        }
        batches
    })
    .await;
    known
}

/// That uses were counted before the first key was made: what was not used is
/// known.
fn counted_before(epoch: u64) -> Record {
    Record::Usage(Usage {
        last_used: Some(Timestamp::from_micros(epoch - 11 * HOUR)),
        ..Usage::none(KeyId::NOBODY)
    })
}

/// The principals of so many keys, and their memberships.
fn principals(count: usize, now: Timestamp) -> Vec<Record> {
    let mut records = Vec::new();
    let mut known = BTreeSet::new();
    for number in 0..count {
        let (principal, workspace) = (principal_of(number), workspace_of(number));
        if known.insert((principal.clone(), "")) {
            let principal = Principal::plain(&principal, OFFLINE.to_owned(), now);
            records.push(Record::Principal(principal));
        }
        if known.insert((principal.clone(), workspace)) {
            records.push(membership(workspace, principal, now));
        }
    }
    records
}

/// One that narrows nothing.
pub(super) fn membership(workspace: &str, principal: String, now: Timestamp) -> Record {
    Record::Membership(Membership {
        workspace: workspace.parse().unwrap(),
        principal,
        scope_ceiling: ScopeSet::new([Scope::try_from("*").unwrap()]),
        create_time: now,
        created_by: OFFLINE.to_owned(),
        removal: None,
    })
}

/// What makes keys.
pub(super) struct Maker {
    pub(super) hasher: TokenHasher,
    pub(super) pepper_id: PepperId,
    pub(super) epoch: u64,
}

impl Maker {
    pub(super) fn key(&self, number: usize) -> Key {
        let time = Timestamp::from_micros;
        // A hundred keys in each millisecond.
        let made = time(self.epoch - 10 * HOUR + number as u64 * 10);
        let environment = Known {
            id: String::new(),
            number,
            epoch: self.epoch,
        }
        .environment();
        let scopes = scopes_of(number)
            .iter()
            .map(|&scope| Scope::try_from(scope).unwrap());
        let state = state_of(number);
        Key {
            id: KeyId::generate(made),
            bond: Bond::Workspace(workspace_of(number).parse().unwrap()),
            environment: (!environment.is_empty()).then(|| environment.try_into().unwrap()),
            principal: principal_of(number),
            name: format!("key {number}"),
            description: String::new(),
            scopes: ScopeSet::new(scopes),
            metadata: metadata(&[("plan", "free")]),
            secrets: vec![Secret {
                digest: self.hasher.digest(format!("token {number}").as_bytes()),
                tail: *b"abcd",
                create_time: made,
                pepper_id: self.pepper_id,
                end: None,
                imported: None,
            }],
            create_time: made,
            created_by: OFFLINE.to_owned(),
            expire_time: expiry_of(number, self.epoch).map(time),
            disabled: state == KeyState::Disabled,
            revocation: (state == KeyState::Revoked).then(|| Revocation {
                time: made,
                reason: RevocationReason::Unused,
                by: OFFLINE.to_owned(),
                note: String::new(),
            }),
            limits: LimitSet::default(),
            source_addresses: SourceRanges::default(),
        }
    }
}

/// What makes these records, which are new.
pub(super) fn batch(records: Vec<Record>, action: AuditAction, time: Timestamp) -> Batch {
    Batch {
        requires: Vec::new(),
        audit: AuditEntry {
            workspace: None,
            time,
            actor: OFFLINE.to_owned(),
            action,
            resource: String::new(),
            detail: BTreeMap::new(),
        },
        writes: records
            .into_iter()
            .map(|record| Write {
                record,
                expect: Expect::Absent,
            })
            .collect(),
        beside: None,
    }
}
