//! The index over a store: what a change makes of it, by the time that the
//! change is answered, and what readers see meanwhile.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use keyward::domain::admin::AdminKey;
use keyward::domain::id::WorkspaceId;
use keyward::domain::key::{Bond, Key};
use keyward::domain::limit::{Limit, LimitSet, Window};
use keyward::domain::principal::{Membership, Principal, Removal};
use keyward::domain::scope::{Scope, ScopeSet};
use keyward::domain::secret::{End, Rotation, Secret};
use keyward::domain::source::{PackedRanges, SourceRange, SourceRanges};
use keyward::domain::tombstone::{Buried, Tombstone};
use keyward::domain::verdict::{Ask, DenialReason, Presented, PrincipalNumber, Verdict, judge};
use keyward::domain::workspace::Workspace;
use keyward::index::{FollowerEnded, Index, IndexedKey, follower};
use keyward::store::local::MemoryStore;
use keyward::store::{Batch, Damage, OpenError, Record, Revision, Store};
use proptest::prelude::*;
use tokio::time::timeout;

use crate::records::{
    admin, block_on, buried, clock, create, digest, issue, key, membership_of, note, pepper,
    principal_of, request, revoked, runtime, scopes, secret, time, update, workspace,
};

mod usage;

/// Nothing here takes this long, unless it never ends.
const PATIENCE: Duration = Duration::from_secs(5);

/// A store with one workspace, and the index that follows it.
struct Followed {
    store: Arc<MemoryStore>,
    index: Arc<Index>,
    workspace: Workspace,
    workspace_at: Revision,
}

impl Followed {
    fn new() -> Self {
        let store = empty_store();
        let index = follower::start(&*store).unwrap();
        let workspace = workspace("klipy");
        let mut followed = Self {
            store,
            index,
            workspace,
            workspace_at: Revision(0),
        };
        followed.workspace_at =
            followed.commit(create(Record::Workspace(followed.workspace.clone())));
        followed
    }

    /// Makes a change as the registry does: it is answered when the index has
    /// it.
    fn commit(&self, batch: Batch) -> Revision {
        let revision = block_on(self.store.commit(batch)).unwrap();
        wait_for(&self.index, revision);
        revision
    }

    /// Whether a token stands for a key.
    fn knows(&self, token: u64) -> bool {
        self.index.find(&digest(token), |found| found.is_some())
    }
}

/// Returns when the index holds `revision`.
fn wait_for(index: &Index, revision: Revision) {
    let reached = block_on(async { timeout(PATIENCE, index.reached(revision)).await });
    assert_eq!(reached.expect("the index gets there"), Ok(()));
}

fn empty_store() -> Arc<MemoryStore> {
    Arc::new(MemoryStore::in_memory(&pepper(), clock()).unwrap())
}

/// Holds what was found against the key that it should be.
fn assert_is(index: &Index, found: Option<&IndexedKey>, key: &Key) {
    let Some(found) = found else {
        panic!("{} is not found", key.id)
    };
    assert_eq!(found.id(), key.id);
    assert_eq!(found.name(), key.name);
    assert_eq!(found.principal(), key.principal);
    assert_eq!(found.workspace(), key.workspace().map(WorkspaceId::as_str));
    assert_eq!(
        found.environment(),
        key.environment.as_ref().map_or("", |name| name.as_str())
    );
    assert_eq!(found.scopes(), &key.scopes);
    assert!(
        found.metadata().eq(key
            .metadata
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str())))
    );
    assert_eq!(found.expire_time(), key.expire_time);
    found.with_standing(index, None, |standing| {
        assert_eq!(
            (standing.revoked, standing.disabled),
            (key.revocation.is_some(), key.disabled)
        );
        assert_eq!(
            (Some(standing.workspace), standing.environment),
            (found.workspace(), found.environment())
        );
        assert_eq!(
            (standing.expire_time, &*standing.scopes.scopes()),
            (key.expire_time, &key.scopes)
        );
        let packed = key.source_addresses.pack();
        assert_eq!(standing.sources, PackedRanges::new(&packed));
    });
}

#[test]
fn a_token_ends_with_its_key_or_before() {
    let followed = Followed::new();
    let table = [
        (None, None, None),
        (None, Some(5), Some(5)),
        (Some(5), None, Some(5)),
        (Some(5), Some(7), Some(5)),
        (Some(7), Some(5), Some(5)),
    ];
    for (number, (of_key, of_token, expected)) in (1..).zip(table) {
        let mut key = Key {
            expire_time: of_key.map(time),
            ..key(&followed.workspace, number)
        };
        key.secrets[0].end = of_token.map(|end| End::At {
            time: time(end),
            overlap: Duration::ZERO,
        });
        followed.commit(create(Record::Key(key)));
        followed.index.find(&digest(number), |found| {
            let found = found.unwrap();
            assert_eq!(found.expire_time(), expected.map(time), "row {number}");
            found.with_standing(&followed.index, None, |standing| {
                assert_eq!(standing.expire_time, expected.map(time), "row {number}");
            });
        });
    }
}

#[test]
fn a_key_is_found_once_its_creation_is_answered() {
    let followed = Followed::new();
    for number in 1..=50 {
        assert!(!followed.knows(number));
        let key = Key {
            expire_time: Some(time(number)),
            ..key(&followed.workspace, number)
        };
        followed.commit(create(Record::Key(key.clone())));
        followed.index.find(&digest(number), |found| {
            assert_is(&followed.index, found, &key)
        });
    }
    assert_eq!(followed.index.len(), 50);
    assert!(!followed.knows(51));
}

#[test]
fn what_was_there_before_the_start_is_found_too() {
    let store = empty_store();
    store.snapshot().unwrap().for_each(drop);
    let workspace = workspace("klipy");
    let keys: Vec<_> = (0..3_000).map(|number| key(&workspace, number)).collect();
    block_on(store.commit(create(Record::Workspace(workspace)))).unwrap();
    for key in &keys {
        block_on(store.commit(issue(key.clone()))).unwrap();
    }
    block_on(store.commit(create(Record::AdminKey(admin(5_000))))).unwrap();

    let index = follower::start(&*store).unwrap();
    wait_for(&index, Revision(3_002));
    assert_eq!(index.len(), keys.len());
    for (number, key) in (0..).zip(&keys) {
        index.find(&digest(number), |found| assert_is(&index, found, key));
    }
    assert!(index.admin(&digest(5_000)).is_some());
}

/// The moment between the snapshot and the commits that follow it.
#[test]
fn no_commit_is_missed_by_an_index_that_starts_meanwhile() {
    for _ in 0..10 {
        let store = empty_store();
        store.snapshot().unwrap().for_each(drop);
        let workspace = workspace("klipy");
        let mut last =
            block_on(store.commit(create(Record::Workspace(workspace.clone())))).unwrap();
        let writer = runtime().spawn({
            let (store, workspace) = (Arc::clone(&store), workspace.clone());
            async move {
                for number in 0..300 {
                    last = store.commit(issue(key(&workspace, number))).await.unwrap();
                }
                last
            }
        });
        let index = follower::start(&*store).unwrap();
        let last = block_on(writer).unwrap();
        wait_for(&index, last);
        assert_eq!(index.len(), 300);
    }
}

#[test]
fn a_revocation_is_seen_once_it_is_answered() {
    let followed = Followed::new();
    for number in 1..=50 {
        let key = key(&followed.workspace, number);
        let at = followed.commit(create(Record::Key(key.clone())));
        followed.commit(update(Record::Key(revoked(&key)), at));
        followed.index.find(&digest(number), |found| {
            assert_is(&followed.index, found, &revoked(&key))
        });
    }
    assert_eq!(followed.index.len(), 50, "a revoked key is known to be one");
}

#[test]
fn every_field_of_a_key_is_replaced() {
    let followed = Followed::new();
    let before = key(&followed.workspace, 1);
    let at = followed.commit(create(Record::Key(before.clone())));
    let after = Key {
        environment: Some(followed.workspace.environments[1].clone()),
        principal: "user:other".to_owned(),
        name: "another".to_owned(),
        scopes: scopes(["*"]),
        metadata: BTreeMap::from([
            ("a".to_owned(), String::new()),
            ("b".to_owned(), "ä".repeat(64)),
        ]),
        expire_time: Some(time(9)),
        disabled: true,
        source_addresses: SourceRanges::new(
            ["10.0.0.0/8", "::1"].map(|text| SourceRange::try_from(text).unwrap()),
        ),
        ..before
    };
    followed.commit(update(Record::Key(after.clone()), at));
    followed.index.find(&digest(1), |found| {
        assert_is(&followed.index, found, &after)
    });
}

#[test]
fn a_token_that_leaves_its_key_stops() {
    let followed = Followed::new();
    let mut key = key(&followed.workspace, 1);
    let mut at = followed.commit(create(Record::Key(key.clone())));
    let lists: [&[u64]; 5] = [&[1, 2], &[2], &[3, 4], &[4, 1], &[]];
    for list in lists {
        key.secrets = list.iter().map(|number| secret(*number)).collect();
        at = followed.commit(update(Record::Key(key.clone()), at));
        for number in 1..=4 {
            assert_eq!(
                followed.knows(number),
                list.contains(&number),
                "token {number} of {list:?}"
            );
        }
        assert_eq!(followed.index.len(), list.len());
        for number in list {
            followed.index.find(&digest(*number), |found| {
                assert_is(&followed.index, found, &key)
            });
        }
    }
}

#[test]
fn a_deleted_key_is_found_by_none_of_its_tokens() {
    let followed = Followed::new();
    let two = Key {
        secrets: vec![secret(1), secret(2)],
        ..key(&followed.workspace, 1)
    };
    let other = key(&followed.workspace, 3);
    let at = followed.commit(issue(two.clone()));
    followed.commit(issue(other.clone()));
    let two = Record::Key(two);
    // What is left of it may name fewer than there were.
    let mut grave = buried(&two);
    if let Record::Tombstone(Tombstone {
        of: Buried::Key { secrets, .. },
        ..
    }) = &mut grave
    {
        secrets.pop();
    }
    followed.commit(update(grave, at));
    assert!(!followed.knows(1) && !followed.knows(2));
    assert_eq!(followed.index.len(), 1);
    followed.index.find(&digest(3), |found| {
        assert_is(&followed.index, found, &other)
    });

    // Nor are they by an index that starts on what is left.
    let later = follower::start(&*followed.store).unwrap();
    assert_eq!(later.len(), 1);
    later.find(&digest(3), |found| assert_is(&later, found, &other));
}

#[test]
fn a_deleted_workspace_is_none_and_takes_no_other_along() {
    let followed = Followed::new();
    let gone = Record::Workspace(workspace("klipy.x"));
    let at = followed.commit(create(gone.clone()));
    assert!(followed.index.workspace("klipy.x").is_some());
    followed.commit(update(buried(&gone), at));
    let later = follower::start(&*followed.store).unwrap();
    for index in [&followed.index, &later] {
        assert!(index.workspace("klipy.x").is_none());
        assert!(index.workspace("klipy").is_some());
    }
}

/// Whoever waits for a change waits for its number, whatever it wrote.
#[test]
fn changes_without_anything_to_find_are_reached_too() {
    let followed = Followed::new();
    let issued = key(&followed.workspace, 1);
    followed.commit(issue(issued.clone()));
    let at = followed.commit(note(Some(&followed.workspace), "a note"));
    assert_eq!(followed.commit(create(request(1, issued.id))).0, at.0 + 1);
    assert_eq!(followed.index.len(), 1);
    let later = follower::start(&*followed.store).unwrap();
    wait_for(&later, Revision(at.0 + 1));
    assert_eq!(later.len(), 1);
}

#[test]
fn a_workspace_is_seen_through_all_its_keys_at_once() {
    let followed = Followed::new();
    let other = workspace("kling");
    followed.commit(create(Record::Workspace(other.clone())));
    for number in 0..20 {
        let of = if number % 2 == 0 {
            &followed.workspace
        } else {
            &other
        };
        followed.commit(create(Record::Key(key(of, number))));
    }
    let seen_disabled = |number| {
        followed.index.find(&digest(number), |found| {
            found
                .unwrap()
                .with_standing(&followed.index, None, |standing| {
                    (
                        standing.workspace_disabled,
                        standing.default_environment == "test",
                    )
                })
        })
    };
    let mut changed = followed.workspace.clone();
    let mut at = followed.workspace_at;
    for disabled in [true, false, true] {
        changed.disabled = disabled;
        changed.default_environment = Some(changed.environments[usize::from(disabled)].clone());
        at = followed.commit(update(Record::Workspace(changed.clone()), at));
        assert_eq!(followed.index.workspace("klipy").as_deref(), Some(&changed));
        for number in 0..20 {
            let expected = disabled && number % 2 == 0;
            assert_eq!(seen_disabled(number), (expected, expected), "key {number}");
        }
    }
    // A key that comes later sees it as well.
    followed.commit(create(Record::Key(key(&changed, 20))));
    assert_eq!(seen_disabled(20), (true, true));
    assert_eq!(followed.index.workspace("kl"), None);
}

/// What a check in `asked` comes to, and the scopes that were granted.
fn judged(index: &Index, token: u64, asked: Option<&str>) -> (Verdict, String) {
    let ask = Ask {
        workspace: asked,
        environment: None,
        required_scopes: ["people:read"].into_iter(),
        source_address: None,
    };
    index.find(&digest(token), |found| {
        found.unwrap().with_standing(index, asked, |standing| {
            let verdict = judge(&Presented::Key(standing), &ask, time(0));
            (verdict, standing.scopes.scopes().to_string())
        })
    })
}

#[test]
#[expect(
    clippy::too_many_lines,
    reason = "a test tells one story, from top to bottom"
)]
fn a_principal_and_its_membership_are_seen_through_all_its_keys_at_once() {
    const OWN: &str = "companies:remove people:read";
    let followed = Followed::new();
    let own = |number| Key {
        principal: "user:own".to_owned(),
        ..key(&followed.workspace, number)
    };
    let other = key(&followed.workspace, 50);
    followed.commit(issue(other));
    let (principal, membership) = (principal_of(&own(0)), membership_of(&own(0)));
    // A key that is there before what it stands on is of no use until then.
    followed.commit(create(Record::Key(own(0))));
    let disabled = Verdict::Denied(DenialReason::Disabled);
    assert_eq!(judged(&followed.index, 0, None).0, disabled);
    let mut member_at = followed.commit(create(Record::Membership(membership.clone())));
    assert_eq!(judged(&followed.index, 0, None).0, disabled);
    let mut at = followed.commit(create(Record::Principal(principal.clone())));
    for number in 1..20 {
        followed.commit(create(Record::Key(own(number))));
    }
    let all = |expected: (Verdict, &str)| {
        // As it is, and as a server that starts now has it.
        for index in [&followed.index, &follower::start(&*followed.store).unwrap()] {
            for number in 0..20 {
                let (verdict, scopes) = judged(index, number, None);
                assert_eq!((verdict, &*scopes), expected, "key {number}");
            }
            let untouched = (Verdict::Allowed, OWN.to_owned());
            assert_eq!(judged(index, 50, None), untouched);
        }
    };
    all((Verdict::Allowed, OWN));
    for disabled in [true, false] {
        let principal = Principal {
            disabled,
            ..principal.clone()
        };
        at = followed.commit(update(Record::Principal(principal), at));
        let verdict = match disabled {
            true => Verdict::Denied(DenialReason::Disabled),
            false => Verdict::Allowed,
        };
        all((verdict, OWN));
    }
    let removal = Removal {
        time: time(1),
        by: String::new(),
    };
    let insufficient = Verdict::Denied(DenialReason::InsufficientScope);
    for (ceiling, removal, expected) in [
        ("people:*", None, (Verdict::Allowed, "people:read")),
        ("companies:*", None, (insufficient, "companies:remove")),
        ("*", None, (Verdict::Allowed, OWN)),
        ("people:read", Some(removal.clone()), (disabled, OWN)),
        ("*", Some(removal), (disabled, OWN)),
        ("people:read", None, (Verdict::Allowed, "people:read")),
        ("*", None, (Verdict::Allowed, OWN)),
    ] {
        let membership = Membership {
            scope_ceiling: scopes([ceiling]),
            removal,
            ..membership.clone()
        };
        member_at = followed.commit(update(Record::Membership(membership), member_at));
        all(expected);
    }
}

/// The limits that a key shares, and a number that stands for whose they are.
fn shared(index: &Index, token: u64, asked: Option<&str>) -> Option<(PrincipalNumber, String)> {
    index.find(&digest(token), |found| {
        found.unwrap().with_standing(index, asked, |standing| {
            let shared = standing.shared_limits?;
            Some((shared.of, shared.limits.to_string()))
        })
    })
}

#[test]
fn the_limits_of_a_principal_are_seen_through_all_its_keys_at_once() {
    let followed = Followed::new();
    let other = workspace("kling");
    followed.commit(create(Record::Workspace(other.clone())));
    let own = |workspace, number| Key {
        principal: "user:own".to_owned(),
        ..key(workspace, number)
    };
    let personal = Key {
        bond: Bond::Personal {
            token_prefix: "klg_user".try_into().unwrap(),
        },
        ..own(&other, 2)
    };
    let stranger = key(&followed.workspace, 3);
    // Keys that are there before their principal, and such that come after it.
    followed.commit(create(Record::Key(own(&followed.workspace, 0))));
    let principal = principal_of(&personal);
    let mut at = followed.commit(create(Record::Principal(principal.clone())));
    followed.commit(create(Record::Key(own(&other, 1))));
    followed.commit(create(Record::Key(personal)));
    // No server starts on a key without a membership.
    for key in [own(&followed.workspace, 0), own(&other, 1)] {
        followed.commit(create(Record::Membership(membership_of(&key))));
    }
    followed.commit(issue(stranger));
    let limit = |name: &str, count| Limit {
        name: name.parse().unwrap(),
        count,
        window: Window::from_secs(60).unwrap(),
        always: false,
    };
    let mut numbers = BTreeSet::new();
    for limits in [
        vec![],
        vec![limit("read", 5)],
        vec![limit("read", 4), limit("bulk", 1)],
        vec![],
        vec![limit("read", 5)],
    ] {
        let limits = LimitSet::new(limits);
        let principal = Principal {
            limits: limits.clone(),
            // What else changes is seen too, and takes nothing away.
            disabled: limits.len() == 2,
            ..principal.clone()
        };
        at = followed.commit(update(Record::Principal(principal), at));
        for (index, count) in [
            (&followed.index, true),
            (&follower::start(&*followed.store).unwrap(), false),
        ] {
            for (token, asked) in [(0, None), (1, None), (2, Some("klipy")), (2, None)] {
                let shared = shared(index, token, asked);
                assert_eq!(shared.is_none(), limits.is_empty(), "key {token}");
                let (number, told) = shared.unzip();
                assert!(told.is_none_or(|told| told == limits.to_string()));
                numbers.extend(number.filter(|_| count));
            }
            assert_eq!(shared(index, 3, None), None);
        }
    }
    // It stays the same one, so that its counts do.
    assert_eq!(numbers.len(), 1, "{numbers:?}");
}

#[test]
#[expect(
    clippy::too_many_lines,
    reason = "a test tells one story, from top to bottom"
)]
fn a_personal_key_finds_the_membership_where_it_is_asked_for() {
    let followed = Followed::new();
    let other = workspace("kling");
    let other_at = followed.commit(create(Record::Workspace(other.clone())));
    let bound = key(&other, 1);
    let personal = Key {
        bond: Bond::Personal {
            token_prefix: "klg_user".try_into().unwrap(),
        },
        environment: None,
        secrets: vec![secret(2)],
        ..key(&other, 2)
    };
    let personal = Key {
        principal: bound.principal.clone(),
        ..personal
    };
    let member_at = followed.commit(issue(bound.clone()));
    followed.commit(create(Record::Key(personal)));
    let unknown = Verdict::Denied(DenialReason::Unknown);
    let verdicts = |expected: [Verdict; 4]| {
        for index in [&followed.index, &follower::start(&*followed.store).unwrap()] {
            for (asked, expected) in [None, Some("kling"), Some("klipy"), Some("no")]
                .into_iter()
                .zip(expected)
            {
                assert_eq!(judged(index, 2, asked).0, expected, "{asked:?}");
            }
            index.find(&digest(2), |found| {
                let found = found.unwrap();
                assert_eq!((found.workspace(), found.principal()), (None, "user:1"));
                assert_eq!(found.hint(), "klg_user_…x7Qa");
            });
        }
    };
    let required = Verdict::Denied(DenialReason::WorkspaceRequired);
    verdicts([required, Verdict::Allowed, unknown, unknown]);
    let narrow = Membership {
        scope_ceiling: scopes(["companies:*"]),
        ..membership_of(&bound)
    };
    followed.commit(update(Record::Membership(narrow), member_at));
    let insufficient = Verdict::Denied(DenialReason::InsufficientScope);
    verdicts([required, insufficient, unknown, unknown]);

    // To judge costs no memory, wherever it is asked for.
    let index = &followed.index;
    for (token, asked) in [(1, None), (2, Some("kling")), (2, Some("no")), (2, None)] {
        let ask = Ask {
            workspace: asked,
            environment: None,
            required_scopes: ["people:read"].into_iter(),
            source_address: None,
        };
        let check = || {
            index.find(&digest(token), |found| {
                found.unwrap().with_standing(index, asked, |standing| {
                    judge(&Presented::Key(standing), &ask, time(0))
                })
            })
        };
        check();
        // The digest is made anew each time.
        let digest_alone = allocation_counter::measure(|| _ = digest(token)).count_total;
        let allocations = allocation_counter::measure(|| _ = check());
        assert_eq!(allocations.count_total, digest_alone, "{token} {asked:?}");
    }

    // A workspace that is gone is none, though the membership is there yet. (No
    // workspace with keys can be deleted; this index does not ask.)
    let grave = buried(&Record::Workspace(other));
    followed.commit(update(grave, other_at));
    assert_eq!(judged(index, 2, Some("kling")).0, unknown);
}

#[test]
fn keys_and_admin_keys_are_worlds_apart() {
    let followed = Followed::new();
    let all = Key {
        scopes: scopes(["*"]),
        ..key(&followed.workspace, 1)
    };
    followed.commit(create(Record::Key(all)));
    let admin = admin(2);
    followed.commit(create(Record::AdminKey(admin.clone())));

    assert!(followed.knows(1));
    assert_eq!(
        followed.index.admin(&digest(1)),
        None,
        "a `*` key is nobody's admin"
    );
    assert!(!followed.knows(2), "an admin key passes no check");
    assert_eq!(followed.index.admin(&digest(2)).as_deref(), Some(&admin));
    assert_eq!(followed.index.len(), 1);
}

#[test]
fn an_admin_key_is_replaced_and_so_are_its_tokens() {
    let followed = Followed::new();
    let first = admin(1);
    let at = followed.commit(create(Record::AdminKey(first.clone())));
    let second = AdminKey {
        secrets: vec![secret(2), secret(3)],
        disabled: true,
        ..first
    };
    let at = followed.commit(update(Record::AdminKey(second.clone()), at));
    assert_eq!(followed.index.admin(&digest(1)), None);
    for number in [2, 3] {
        assert_eq!(
            followed.index.admin(&digest(number)).as_deref(),
            Some(&second)
        );
    }

    // A token stands for its key as long as its digest is there, whatever
    // else of it was written anew.
    let mut kept = secret(3);
    kept.create_time = time(77);
    let third = AdminKey {
        secrets: vec![kept],
        ..second
    };
    followed.commit(update(Record::AdminKey(third.clone()), at));
    assert_eq!(followed.index.admin(&digest(2)), None);
    assert_eq!(followed.index.admin(&digest(3)).as_deref(), Some(&third));
}

#[test]
fn a_key_without_a_workspace_is_no_key() {
    let followed = Followed::new();
    let orphan = key(&workspace("gone"), 1);
    followed.commit(create(Record::Key(orphan.clone())));
    assert!(!followed.knows(1));
    // What follows is not held up by it.
    followed.commit(create(Record::Key(key(&followed.workspace, 2))));
    assert!(followed.knows(2));

    // And no server starts on it.
    let error = follower::start(&*followed.store).unwrap_err();
    let OpenError::Damaged(Damage::Unreadable(place, _)) = &error else {
        panic!("{error}")
    };
    assert_eq!(*place, format!("k/{}", orphan.id));
}

/// No server starts on keys whose principal or membership is not there.
#[test]
fn a_key_that_stands_on_nothing_is_damage() {
    let without = |of: fn(&Record) -> bool| {
        let followed = Followed::new();
        let mut batch = issue(key(&followed.workspace, 1));
        batch.writes.retain(|write| !of(&write.record));
        followed.commit(batch);
        follower::start(&*followed.store).map(drop)
    };
    without(|_| false).unwrap();
    for (of, missing) in [
        (
            (|record| matches!(record, Record::Principal(_))) as fn(&Record) -> bool,
            "its principal is missing",
        ),
        (
            |record| matches!(record, Record::Membership(_)),
            "its principal's membership in its workspace is missing",
        ),
    ] {
        let error = without(of).unwrap_err();
        let OpenError::Damaged(Damage::Unreadable(place, problem)) = &error else {
            panic!("{error}")
        };
        let id = key(&workspace("klipy"), 1).id;
        assert_eq!(place.len(), format!("k/{id}").len());
        assert_eq!(problem, missing);
    }
}

/// One that was removed is there, and so is one whose principal was deleted.
#[test]
fn what_has_ended_is_no_damage() {
    let followed = Followed::new();
    let first = key(&followed.workspace, 1);
    followed.commit(issue(first.clone()));
    let removed = Membership {
        removal: Some(Removal {
            time: time(2),
            by: "adm".to_owned(),
        }),
        ..membership_of(&first)
    };
    let at = followed
        .store
        .get(&Record::Membership(removed.clone()).id());
    let at = at.unwrap().unwrap().revision;
    followed.commit(update(Record::Membership(removed), at));
    let second = key(&followed.workspace, 2);
    let principal = Record::Principal(principal_of(&second));
    followed.commit(create(Record::Membership(membership_of(&second))));
    let at = followed.commit(create(principal.clone()));
    assert!(followed.index.is_known(&second.principal));
    followed.commit(update(buried(&principal), at));
    assert!(!followed.index.is_known(&second.principal));
    let index = follower::start(&*followed.store).unwrap();
    assert!(index.is_known(&first.principal) && !index.is_known(&second.principal));
    assert_eq!(index.ceiling("klipy", &second.principal), None);
}

#[test]
fn the_index_outlives_the_store() {
    let followed = Followed::new();
    followed.commit(create(Record::Key(key(&followed.workspace, 1))));
    let (index, newest) = (&followed.index, Revision(2));
    followed.store.close();
    block_on(async {
        timeout(PATIENCE, index.ended())
            .await
            .expect("it says that it is fed no more")
    });
    assert!(followed.knows(1));
    wait_for(index, newest);
    // Nobody waits for what will never come.
    let never = block_on(async { timeout(PATIENCE, index.reached(Revision(3))).await });
    assert_eq!(never.expect("there is an answer"), Err(FollowerEnded));
}

/// Each version of the key says its number in every field.
fn version(key: &Key, number: u64) -> Key {
    Key {
        name: number.to_string(),
        principal: number.to_string(),
        scopes: ScopeSet::new([Scope::try_from(format!("version:{number}").as_str()).unwrap()]),
        metadata: (0..number % 5)
            .map(|entry| (format!("m{entry}"), number.to_string()))
            .collect(),
        expire_time: Some(time(number)),
        disabled: number % 2 == 1,
        ..key.clone()
    }
}

#[test]
fn readers_see_a_whole_record_at_any_moment() {
    const VERSIONS: u64 = 400;
    let followed = Followed::new();
    let key = key(&followed.workspace, 1);
    let mut at = followed.commit(create(Record::Key(version(&key, 0))));
    let done = AtomicBool::new(false);
    let (index, key, done) = (&*followed.index, &key, &done);
    thread::scope(|scope| {
        let read = || {
            let mut newest = 0;
            let mut reads = 0;
            while !done.load(Ordering::Acquire) {
                let seen = index.find(&digest(1), |found| {
                    let number = found
                        .expect("it is there all the time")
                        .name()
                        .parse()
                        .unwrap();
                    assert_is(&followed.index, found, &version(key, number));
                    number
                });
                assert!(seen >= newest, "version {seen} came after {newest}");
                newest = seen;
                reads += 1;
            }
            reads
        };
        let readers = [(); 4].map(|()| scope.spawn(read));
        // Readers end even if this fails.
        let written = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            for number in 1..=VERSIONS {
                at = followed.commit(update(Record::Key(version(key, number)), at));
                let seen = index.find(&digest(1), |found| {
                    found.unwrap().name().parse::<u64>().unwrap()
                });
                assert_eq!(seen, number, "what was answered is what is read");
            }
        }));
        done.store(true, Ordering::Release);
        let reads: u64 = readers
            .into_iter()
            .map(|reader| reader.join().unwrap())
            .sum();
        written.unwrap();
        assert!(reads > VERSIONS, "{reads} reads");
    });
}

/// A key that keeps one token while another takes the other's place.
#[test]
fn a_token_that_stays_works_at_any_moment() {
    const ROTATIONS: u64 = 300;
    let followed = Followed::new();
    let mut key = Key {
        secrets: vec![secret(0), secret(1)],
        ..key(&followed.workspace, 1)
    };
    let mut at = followed.commit(create(Record::Key(key.clone())));
    let done = AtomicBool::new(false);
    let (index, done) = (&*followed.index, &done);
    thread::scope(|scope| {
        let stays = digest(0);
        let reader = scope.spawn(move || {
            while !done.load(Ordering::Acquire) {
                assert!(index.find(&stays, |found| found.is_some()));
            }
        });
        let rotated = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            for number in 2..ROTATIONS {
                key.secrets[1] = secret(number);
                at = followed.commit(update(Record::Key(key.clone()), at));
                assert!(followed.knows(number) && !followed.knows(number - 1));
            }
        }));
        done.store(true, Ordering::Release);
        reader.join().unwrap();
        rotated.unwrap();
    });
    assert_eq!(index.len(), 2);
}

/// What can be the end of the older of two secrets.
fn any_end() -> impl Strategy<Value = Option<End>> {
    let overlap = Duration::from_secs(60);
    prop_oneof![
        Just(None),
        Just(Some(End::Ended)),
        Just(Some(End::AfterFirstUse { overlap })),
        (1_u64..9).prop_map(move |end| Some(End::At {
            time: time(end),
            overlap
        })),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Each of two tokens finds the key, as it is for that token.
    #[test]
    fn each_token_of_a_key_finds_it_with_its_own_end_and_hint(
        states in proptest::collection::vec((any_end(), any::<bool>(), 1_u64..9, 1_u64..9), 1..6),
    ) {
        let followed = Followed::new();
        let mut at = None;
        let base = key(&followed.workspace, 1);
        for (end, current_ended, expiry, now) in states {
            let older = Secret { end, tail: *b"aaaa", ..secret(1) };
            // One that is over comes first, and stands for nothing.
            let newer = Secret {
                end: current_ended.then_some(End::Ended).filter(|_| end.is_none()),
                tail: *b"bbbb",
                ..secret(2)
            };
            let mut secrets = vec![older, newer];
            if end.is_none() && current_ended {
                secrets.reverse();
            }
            let key = Key {
                secrets: secrets.clone(),
                expire_time: Some(time(expiry)),
                ..base.clone()
            };
            let batch = match at {
                None => create(Record::Key(key.clone())),
                Some(at) => update(Record::Key(key.clone()), at),
            };
            at = Some(followed.commit(batch));
            prop_assert_eq!(followed.index.len(), 2);
            let rotation = Rotation::of(&secrets, time(now));
            let rotation = rotation.map(|it| (it.end.time(), it.old.digest));
            for secret in &secrets {
                followed.index.find(&secret.digest, |found| {
                    let found = found.unwrap();
                    prop_assert_eq!(found.id(), key.id);
                    let end = secret.end_time().into_iter().chain([time(expiry)]).min();
                    prop_assert_eq!(found.expire_time(), end);
                    let tail = std::str::from_utf8(&secret.tail).unwrap();
                    prop_assert!(found.hint().ends_with(tail));
                    let rotating = found.rotating().filter(|it| it.is_under_way(time(now)));
                    let seen = rotating.map(|it| (it.end_time(), it.superseded()));
                    let expected = rotation.map(|(end, old)| (end, old == secret.digest));
                    prop_assert_eq!(seen, expected);
                    // Only a use of the new one can be what is waited for.
                    let awaited = rotating.and_then(|it| it.awaited_use());
                    prop_assert_eq!(awaited.is_some(), expected == Some((None, false)));
                    Ok(())
                })?;
            }
        }
    }
}
