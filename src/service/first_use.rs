//! The first use of a new token, where the end of the old one waits for it:
//! seen by checks, which go on at once, and noted in the store by a task.
//!
//! What counts as a use is a check that finds the key by the new token and is
//! not denied before its scopes are looked at: the client holds the token, and
//! it works where it is used, also if this request asked for too much.
//!
//! Nothing is lost for good if a use is not noted, because the process died, too
//! many came at once, or the store did not take it: the next use of the token
//! tells of it again.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::task::JoinSet;
use tokio::time::sleep;
use tracing::{debug, info};

use crate::domain::audit::{AuditAction, AuditEntry, KEYWARD};
use crate::domain::clock::{Clock, Timestamp};
use crate::domain::digest::TokenDigest;
use crate::domain::id::KeyId;
use crate::domain::key::Key;
use crate::domain::secret::Rotation;
use crate::domain::verdict::{DenialReason, Verdict};
use crate::index::{Index, IndexedKey, Rotating};
use crate::store::{Batch, Expect, Record, RecordId, Store, StoreError, Versioned, Write};

/// How many uses wait to be noted at most. Those beyond are told again.
const MAX_WAITING: usize = 1_024;

/// How often a use is tried to be noted when others change the same key.
const MAX_TRIES: usize = 8;

/// How long a use that could not be noted is not told again: a store that has
/// failed is not asked by every check.
const PAUSE: Duration = Duration::from_secs(1);

/// One use of a new token.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct FirstUse {
    key: KeyId,
    /// The token that was used.
    token: TokenDigest,
    time: Timestamp,
}

/// Where checks tell of first uses. Cheap to clone.
#[derive(Clone, Debug)]
pub struct FirstUses(Sender<FirstUse>);

/// Notes first uses in the store.
#[derive(Debug)]
pub struct FirstUseNotes {
    told: Receiver<FirstUse>,
    store: Arc<dyn Store>,
    index: Arc<Index>,
    clock: Arc<dyn Clock>,
}

/// Both ends: where checks of the keys of `index` tell of first uses, and what
/// notes them in `store`.
#[must_use]
pub fn first_uses(
    store: Arc<dyn Store>,
    index: Arc<Index>,
    clock: Arc<dyn Clock>,
) -> (FirstUses, FirstUseNotes) {
    let (tell, told) = channel(MAX_WAITING);
    let notes = FirstUseNotes {
        told,
        store,
        index,
        clock,
    };
    (FirstUses(tell), notes)
}

impl FirstUses {
    /// Tells that `token` of the key `id` was used at `time`, if the end of
    /// another waits for that and it was not told yet. Never waits.
    pub(super) fn tell(&self, id: KeyId, token: TokenDigest, rotating: &Rotating, time: Timestamp) {
        let Some(awaited) = rotating.awaited_use().filter(|awaited| awaited.claim()) else {
            return;
        };
        let told = self.0.try_send(FirstUse {
            key: id,
            token,
            time,
        });
        if told.is_err() {
            awaited.release();
        }
    }
}

/// Has the next use of `token` tell of it, if the end of another still waits
/// for that.
fn leave_to_the_next(index: &Index, token: &TokenDigest) {
    index.find(token, |key| {
        let rotating = key.and_then(IndexedKey::rotating);
        if let Some(awaited) = rotating.and_then(Rotating::awaited_use) {
            awaited.release();
        }
    });
}

/// Whether a check with this verdict got as far as the scopes.
pub(super) fn is_use(verdict: Verdict) -> bool {
    match verdict {
        Verdict::Allowed => true,
        // Reasons are in the order in which they are looked for.
        Verdict::Denied(reason) => reason >= DenialReason::InsufficientScope,
    }
}

impl FirstUseNotes {
    /// Notes what is told, until nobody is left to tell anything.
    pub async fn take(mut self) {
        // One for each key at most: until then its uses are not told.
        let mut pauses = JoinSet::new();
        while let Some(first_use) = self.told.recv().await {
            while pauses.try_join_next().is_some() {}
            let key = first_use.key;
            match self.note(first_use).await {
                Ok(true) => info!(%key, "first use of a new token: the old one has an end now"),
                // Another has noted it, or the rotation is over.
                Ok(false) => {}
                // A store that takes no changes is told of elsewhere.
                Err(error) => {
                    debug!(%key, %error, "first use not noted");
                    let index = Arc::clone(&self.index);
                    pauses.spawn(async move {
                        sleep(PAUSE).await;
                        leave_to_the_next(&index, &first_use.token);
                    });
                }
            }
        }
    }

    /// Gives the old token its end; false, if it waits for this use no more.
    async fn note(&self, first_use: FirstUse) -> Result<bool, StoreError> {
        let mut outcome = Ok(false);
        for _ in 0..MAX_TRIES {
            let Some(found) = self.read(first_use.key).await? else {
                return Ok(false);
            };
            let Some(batch) = self.batch(found, first_use) else {
                return Ok(false);
            };
            outcome = self.store.commit(batch).await.map(|_| true);
            if !outcome.as_ref().is_err_and(StoreError::retryable) {
                break;
            }
        }
        outcome
    }

    async fn read(&self, key: KeyId) -> Result<Option<Versioned<Key>>, StoreError> {
        let store = Arc::clone(&self.store);
        let read = move || store.get(&RecordId::Key(key));
        // The disk may be slow, and others run on this thread.
        let found = tokio::task::spawn_blocking(read)
            .await
            .map_err(|_| StoreError::Unavailable)??;
        Ok(found.and_then(|found| match found.record {
            Record::Key(record) => Some(Versioned {
                record,
                revision: found.revision,
            }),
            Record::Workspace(_)
            | Record::AdminKey(_)
            | Record::Credits(_)
            | Record::Usage(_)
            | Record::Request(_)
            | Record::Principal(_)
            | Record::Membership(_)
            | Record::Tombstone(_) => None,
        }))
    }

    fn batch(&self, found: Versioned<Key>, first_use: FirstUse) -> Option<Batch> {
        let now = self.clock.now();
        let mut key = found.record;
        let expiry = key.expire_time;
        let secrets = Rotation::of(&key.secrets, now)
            .filter(|rotation| rotation.new.digest == first_use.token)
            .and_then(|rotation| rotation.first_used(first_use.time, expiry, now))?;
        key.secrets = secrets;
        let audit = AuditEntry {
            workspace: key.workspace().cloned(),
            time: now,
            actor: KEYWARD.to_owned(),
            action: AuditAction::FirstUse,
            resource: key.id.to_string(),
            detail: [("use_time".to_owned(), first_use.time.to_string())].into(),
        };
        Some(Batch {
            writes: vec![Write {
                record: Record::Key(key),
                expect: Expect::At(found.revision),
            }],
            requires: Vec::new(),
            audit,
            beside: None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::key::Bond;
    use std::collections::BTreeMap;
    use std::time::Duration;

    use crate::domain::audit::{AuditLog, OFFLINE};
    use crate::domain::clock::ManualClock;
    use crate::domain::digest::{Pepper, TokenHasher};
    use crate::domain::due::Demand;
    use crate::domain::limit::LimitSet;
    use crate::domain::principal::{Membership, Principal};
    use crate::domain::scope::{Scope, ScopeSet};
    use crate::domain::secret::{self, End, Secret};
    use crate::domain::source::SourceRanges;
    use crate::domain::token::Token;
    use crate::domain::verdict::Ask;
    use crate::domain::workspace::{Workspace, WorkspaceDraft};
    use crate::index::follower;
    use crate::meter::Meter;
    use crate::meter::clock::SystemBootClock;
    use crate::service::checker::Checker;
    use crate::service::credits::Reserver;
    use crate::store::Revision;
    use crate::store::local::MemoryStore;

    const OVERLAP: Duration = Duration::from_secs(60);

    const fn at(seconds: u64) -> Timestamp {
        Timestamp::from_micros(seconds * 1_000_000)
    }

    /// A key whose old token waits for the first use of its new one.
    struct Pending {
        clock: Arc<ManualClock>,
        store: Arc<MemoryStore>,
        index: Arc<crate::index::Index>,
        checker: Checker,
        tell: FirstUses,
        notes: FirstUseNotes,
        key: Key,
        revision: Revision,
        old: Token,
        new: Token,
    }

    fn secret(token: &Token, hasher: &TokenHasher, pepper: &Pepper) -> Secret {
        Secret {
            digest: hasher.digest(token.expose().as_bytes()),
            tail: token.tail(),
            create_time: at(1),
            pepper_id: pepper.id(),
            end: None,
            imported: None,
        }
    }

    fn batch(record: Record, expect: Expect) -> Batch {
        Batch {
            writes: vec![Write { record, expect }],
            requires: Vec::new(),
            audit: AuditEntry {
                workspace: None,
                time: at(1),
                actor: OFFLINE.to_owned(),
                action: AuditAction::Init,
                resource: String::new(),
                detail: BTreeMap::new(),
            },
            beside: None,
        }
    }

    /// What a key stands on: its principal, and the membership of that.
    fn standing(key: &Key) -> [Record; 2] {
        let membership = Membership {
            workspace: key.workspace().unwrap().clone(),
            principal: key.principal.clone(),
            scope_ceiling: ScopeSet::new([Scope::try_from("*").unwrap()]),
            create_time: at(1),
            created_by: String::new(),
            removal: None,
        };
        let principal = Principal::plain(&key.principal, String::new(), at(1));
        [Record::Principal(principal), Record::Membership(membership)]
    }

    impl Pending {
        #[expect(clippy::too_many_lines, reason = "it makes one thing after the other")]
        async fn new() -> Self {
            let (pepper, clock) = (Pepper::generate(), Arc::new(ManualClock::at(at(10))));
            let store = Arc::new(MemoryStore::in_memory(&pepper, clock.clone()).unwrap());
            let followed = Arc::clone(&store);
            let index = tokio::task::spawn_blocking(move || follower::start(&*followed).unwrap());
            let index = index.await.unwrap();
            let (tell, notes) = first_uses(store.clone(), Arc::clone(&index), clock.clone());
            let hasher = pepper.token_hasher();
            let meter = Meter::start(Arc::new(SystemBootClock)).unwrap();
            let reserving: Arc<dyn Store> = store.clone();
            let (desk, _) = Reserver::new(reserving, Arc::clone(&index), clock.clone());
            let (seen, hasher_of_checks) = (Arc::clone(&index), hasher.clone());
            let checker = Checker::new(seen, hasher_of_checks, clock.clone(), meter, desk);
            let workspace = WorkspaceDraft {
                id: "w".into(),
                token_prefix: "klg".into(),
                ..WorkspaceDraft::default()
            };
            let workspace: Workspace = workspace.build(OFFLINE.into(), at(1)).unwrap();
            let tokens = [0, 1].map(|_| Token::mint(&workspace.token_prefix, None));
            let [old, new] = tokens.each_ref().map(|t| secret(t, &hasher, &pepper));
            let [old_token, new_token] = tokens;
            let key = Key {
                id: KeyId::generate(at(1)),
                bond: Bond::Workspace(workspace.id.clone()),
                environment: None,
                principal: "p".into(),
                name: "n".into(),
                description: String::new(),
                scopes: ScopeSet::default(),
                metadata: BTreeMap::new(),
                secrets: secret::rotated(&[old], new, End::AfterFirstUse { overlap: OVERLAP }),
                create_time: at(1),
                created_by: String::new(),
                expire_time: None,
                disabled: false,
                revocation: None,
                limits: LimitSet::default(),
                source_addresses: SourceRanges::default(),
            };
            for record in [Record::Workspace(workspace)]
                .into_iter()
                .chain(standing(&key))
            {
                store.commit(batch(record, Expect::Absent)).await.unwrap();
            }
            let mut pending = Self {
                clock,
                store,
                index,
                checker: checker.telling(tell.clone()),
                tell,
                notes,
                key: key.clone(),
                revision: Revision(0),
                old: old_token,
                new: new_token,
            };
            pending.put(key, Expect::Absent).await;
            pending
        }

        async fn put(&mut self, key: Key, expect: Expect) {
            let batch = batch(Record::Key(key.clone()), expect);
            self.revision = self.store.commit(batch).await.unwrap();
            self.index.reached(self.revision).await.unwrap();
            self.key = key;
        }

        fn check(&self, token: &Token, scope: &str) -> Verdict {
            let ask = Ask {
                workspace: None,
                environment: None,
                required_scopes: Some(scope).filter(|scope| !scope.is_empty()).into_iter(),
                source_address: None,
            };
            let token = token.expose().as_bytes();
            let demand = Demand::default();
            let checked = self
                .checker
                .check(token, &ask, &demand, |outcome| outcome.verdict);
            checked.unwrap()
        }

        /// How many uses wait to be noted.
        fn waiting(&self) -> usize {
            self.notes.told.len()
        }

        fn end(&self) -> Option<End> {
            let found = self
                .store
                .get(&RecordId::Key(self.key.id))
                .unwrap()
                .unwrap();
            let Record::Key(key) = found.record else {
                panic!("{found:?}")
            };
            key.secrets[0].end
        }
    }

    #[tokio::test]
    async fn of_many_uses_one_is_told_and_its_time_counts() {
        let mut pending = Pending::new().await;
        let denied = Verdict::Denied(DenialReason::InsufficientScope);
        assert_eq!(pending.check(&pending.old, ""), Verdict::Allowed);
        assert_eq!(pending.waiting(), 0, "the old token was used");
        // To be refused for its scopes is a use.
        assert_eq!(pending.check(&pending.new, "a:b"), denied);
        pending.clock.set(at(20));
        for _ in 0..5 {
            assert_eq!(pending.check(&pending.new, ""), Verdict::Allowed);
        }
        assert_eq!(pending.waiting(), 1);
        let first_use = pending.notes.told.recv().await.unwrap();
        assert!(pending.notes.note(first_use).await.unwrap());
        let end = End::At {
            time: at(70),
            overlap: OVERLAP,
        };
        assert_eq!(pending.end(), Some(end));
        // Once it is noted, nothing is.
        assert!(!pending.notes.note(first_use).await.unwrap());
        let events = pending.store.audit(&AuditLog::All, None, 9).unwrap();
        let told = (&*events[0].actor, &*events[0].action);
        assert_eq!((told, events.len()), (("keyward", "key.first_use"), 5));
        assert_eq!(events[0].detail["use_time"], at(10).to_string());
    }

    #[tokio::test]
    async fn a_use_that_found_no_room_is_told_by_the_next() {
        let mut pending = Pending::new().await;
        let full = FirstUse {
            key: KeyId::generate(at(1)),
            token: pending.key.secrets[0].digest,
            time: at(1),
        };
        while pending.tell.0.try_send(full).is_ok() {}
        assert_eq!(pending.waiting(), MAX_WAITING);
        assert_eq!(pending.check(&pending.new, ""), Verdict::Allowed);
        while pending.waiting() > 0 {
            assert_eq!(pending.notes.told.recv().await, Some(full));
        }
        // A key that is not there is passed by.
        assert!(!pending.notes.note(full).await.unwrap());
        pending.clock.set(at(30));
        assert_eq!(pending.check(&pending.new, ""), Verdict::Allowed);
        let told = pending.notes.told.recv().await.unwrap();
        assert_eq!((told.key, told.time), (pending.key.id, at(30)));
    }

    #[tokio::test]
    async fn a_use_that_the_store_did_not_take_is_told_by_the_next() {
        let mut pending = Pending::new().await;
        pending.store.close();
        tokio::time::pause();
        assert_eq!(pending.check(&pending.new, ""), Verdict::Allowed);
        assert_eq!(pending.waiting(), 1);
        let (tell, told) = channel(MAX_WAITING);
        let told = std::mem::replace(&mut pending.notes.told, told);
        let notes = FirstUseNotes {
            told,
            store: pending.store.clone(),
            index: Arc::clone(&pending.index),
            clock: pending.clock.clone(),
        };
        let taking = tokio::spawn(notes.take());
        sleep(PAUSE / 2).await;
        pending.checker = pending.checker.clone().telling(FirstUses(tell));
        assert_eq!(pending.check(&pending.new, ""), Verdict::Allowed);
        assert_eq!(pending.waiting(), 0, "a store that fails is left alone");
        sleep(PAUSE).await;
        assert_eq!(pending.check(&pending.new, ""), Verdict::Allowed);
        assert_eq!(pending.waiting(), 1);
        taking.abort();
    }

    #[tokio::test]
    async fn a_use_is_noted_for_the_rotation_that_it_was_of() {
        let mut pending = Pending::new().await;
        assert_eq!(pending.check(&pending.new, ""), Verdict::Allowed);
        let first_use = pending.notes.told.recv().await.unwrap();
        // The key changes meanwhile, and so the next use is told, too.
        let changed = Key {
            name: "another".into(),
            ..pending.key.clone()
        };
        pending.put(changed, Expect::At(pending.revision)).await;
        assert_eq!(pending.check(&pending.new, ""), Verdict::Allowed);
        assert_eq!(pending.waiting(), 1);
        // The rotation is cancelled, and another one started.
        let rotation = Rotation::of(&pending.key.secrets, at(10)).unwrap();
        let newer = Secret {
            digest: TokenDigest([7; 32]),
            ..rotation.new.clone()
        };
        let end = End::AfterFirstUse { overlap: OVERLAP };
        let other = Key {
            secrets: secret::rotated(&rotation.cancelled(), newer, end),
            ..pending.key.clone()
        };
        pending.put(other, Expect::At(pending.revision)).await;
        assert!(!pending.notes.note(first_use).await.unwrap());
        assert_eq!(pending.end(), Some(end));
    }

    #[tokio::test]
    async fn an_end_that_is_past_when_it_is_noted_has_come() {
        let mut pending = Pending::new().await;
        assert_eq!(pending.check(&pending.new, ""), Verdict::Allowed);
        let first_use = pending.notes.told.recv().await.unwrap();
        pending.clock.set(at(70));
        assert!(pending.notes.note(first_use).await.unwrap());
        assert_eq!(pending.end(), Some(End::Ended));
    }
}
