//! The first use of a new token, where the end of the old one waits for it:
//! seen by checks, which go on at once, and noted in the store by a task.
//!
//! What counts as a use is a check that finds the key by the new token and is
//! not denied before its scopes are looked at: the client holds the token, and
//! it works where it is used, also if this request asked for too much.
//!
//! Nothing is lost for good if a use is not noted, because the process died or
//! too many came at once: the next use of the token tells of it again.

use std::sync::Arc;

use tokio::sync::mpsc::{Receiver, Sender, channel};
use tracing::{debug, info};

use crate::domain::audit::{AuditAction, AuditEntry, KEYWARD};
use crate::domain::clock::{Clock, Timestamp};
use crate::domain::digest::TokenDigest;
use crate::domain::id::KeyId;
use crate::domain::key::Key;
use crate::domain::secret::Rotation;
use crate::domain::verdict::{DenialReason, Verdict};
use crate::index::Rotating;
use crate::store::{Batch, Expect, Record, RecordId, Store, StoreError, Versioned, Write};

/// How many uses wait to be noted at most. Those beyond are told again.
const MAX_WAITING: usize = 1_024;

/// How often a use is tried to be noted when others change the same key.
const MAX_TRIES: usize = 8;

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
    clock: Arc<dyn Clock>,
}

/// Both ends: where checks tell of first uses, and what notes them in `store`.
#[must_use]
pub fn first_uses(store: Arc<dyn Store>, clock: Arc<dyn Clock>) -> (FirstUses, FirstUseNotes) {
    let (tell, told) = channel(MAX_WAITING);
    (FirstUses(tell), FirstUseNotes { told, store, clock })
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
        while let Some(first_use) = self.told.recv().await {
            let key = first_use.key;
            match self.note(first_use).await {
                Ok(true) => info!(%key, "first use of a new token: the old one has an end now"),
                // Another has noted it, or the rotation is over.
                Ok(false) => {}
                // A store that takes no changes is told of elsewhere. Whatever
                // changed the key makes the next use tell of it again.
                Err(error) => debug!(%key, %error, "first use not noted"),
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
            | Record::Request(_)
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
            workspace: Some(key.workspace.clone()),
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
        })
    }
}
