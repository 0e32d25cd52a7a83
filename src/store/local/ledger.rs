//! What a group of commits writes: the arithmetic of the store, without I/O.
//!
//! A [`Ledger`] knows the state of the whole store. A [`Group`] gathers
//! commits on top of it, each seeing those before it, into one list of entries
//! to be applied at once.

use std::collections::HashMap;
use std::sync::Arc;

use prost::Message;

use crate::domain::audit::{AuditEntry, AuditHead};
use crate::domain::clock::Timestamp;
use crate::domain::digest::{Pepper, Seal, Sealer, StateDigest, StoreId};
use crate::store::envelope::{self, MAX_VALUE_LEN, Opened, Unopened};
use crate::store::record::{self, readable};
use crate::store::{
    Batch, Change, Commit, Damage, Expect, OpenError, Record, RecordId, Revision, StoreError, pb,
};

use super::engine::{Engine, EngineError, Entry};

/// A group is closed when it is this large: sled keeps a batch atomic that is
/// smaller than a segment of its log (512 KiB).
const FULL_GROUP_LEN: usize = 384 * 1024;

/// The most commits that share one sync.
const FULL_GROUP_COMMITS: usize = 256;

/// What the whole store is at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::store) struct State {
    pub(in crate::store) revision: Revision,
    pub(in crate::store) digest: StateDigest,
    pub(in crate::store) parent_revision: Revision,
    pub(in crate::store) parent_digest: StateDigest,
    pub(in crate::store) commit_time: Timestamp,
    pub(in crate::store) epoch: u64,
}

impl State {
    /// The state of a store with nothing in it.
    pub(in crate::store) fn empty() -> Self {
        Self {
            revision: Revision(0),
            digest: StateDigest::default(),
            parent_revision: Revision(0),
            parent_digest: StateDigest::default(),
            commit_time: Timestamp::from_micros(0),
            epoch: 1,
        }
    }
}

/// The state of the store, and the keys to its records.
#[derive(Debug)]
pub(in crate::store) struct Ledger {
    pub(in crate::store) store: StoreId,
    pub(in crate::store) state: State,
    pub(in crate::store) records: Sealer,
    audit: Sealer,
}

impl Ledger {
    /// The ledger of an empty store.
    pub(in crate::store) fn new(pepper: &Pepper, store: StoreId) -> Self {
        Self {
            store,
            state: State::empty(),
            records: pepper.record_sealer(store),
            audit: pepper.audit_sealer(store),
        }
    }

    /// Reads the state record.
    pub(in crate::store) fn read_state(&self, value: &[u8]) -> Result<State, OpenError> {
        let unreadable = |problem: String| Damage::Unreadable(readable(record::STATE), problem);
        let opened = envelope::open(&self.records, record::STATE, value).map_err(|error| {
            if self.is_foreign(value) {
                return OpenError::Foreign;
            }
            error.at(|| Damage::Edited(readable(record::STATE)))
        })?;
        let state = pb::StateRecord::decode(opened.payload)
            .map_err(|error| unreadable(error.to_string()))?;
        let digest = |bytes: &[u8]| {
            StateDigest::from_slice(bytes)
                .ok_or_else(|| unreadable("a digest is not of 32 bytes".to_owned()))
        };
        Ok(State {
            revision: Revision(state.revision),
            digest: digest(&state.digest)?,
            parent_revision: Revision(state.parent_revision),
            parent_digest: digest(&state.parent_digest)?,
            commit_time: Timestamp::from_micros(state.commit_time),
            epoch: state.epoch,
        })
    }

    /// Whether a state record that does not verify is that of another store.
    fn is_foreign(&self, value: &[u8]) -> bool {
        let payload = envelope::payload_unverified(value).unwrap_or_default();
        pb::StateRecord::decode(payload).is_ok_and(|state| state.store_id != self.store.0)
    }

    /// Opens what lies at `place`; if its seal does not fit, finds out why.
    pub(in crate::store) fn open<'v>(
        &self,
        place: &[u8],
        value: &'v [u8],
    ) -> Result<Opened<'v>, OpenError> {
        envelope::open(&self.records, place, value)
            .map_err(|error| error.at(|| diagnose(place, value)))
    }

    /// Starts a group of commits on top of the state, to be made at `now`.
    pub(in crate::store) fn group<'e, E: Engine>(
        &'e self,
        engine: &'e E,
        now: Timestamp,
    ) -> Group<'e, E> {
        Group {
            ledger: self,
            engine,
            now: now.max(self.state.commit_time),
            revision: self.state.revision,
            digest: self.state.digest,
            staged: HashMap::new(),
            entries: Vec::new(),
            len: 0,
            commits: Vec::new(),
        }
    }
}

/// A record whose seal does not fit: whether it was changed where it lay, or
/// brought from elsewhere. The answer is for the operator alone.
fn diagnose(place: &[u8], value: &[u8]) -> Damage {
    let found =
        envelope::payload_unverified(value).and_then(|payload| record::decode(place, payload).ok());
    match found.map(|found| record::place(&found.id())) {
        Some(home) if home != place => Damage::Swapped {
            place: readable(place),
            of: readable(&home),
        },
        Some(_) | None => Damage::Edited(readable(place)),
    }
}

/// What stops a group from being planned.
#[derive(Debug)]
pub(in crate::store) enum Halt {
    /// This commit cannot be made; the group is as it was before it.
    Refused(StoreError),
    /// The store is not to be relied on any more.
    Broken(String),
}

impl From<EngineError> for Halt {
    fn from(error: EngineError) -> Self {
        Self::Broken(error.to_string())
    }
}

impl From<OpenError> for Halt {
    fn from(error: OpenError) -> Self {
        Self::Broken(error.to_string())
    }
}

/// Commits that will be applied and synced together.
pub(in crate::store) struct Group<'e, E> {
    ledger: &'e Ledger,
    engine: &'e E,
    now: Timestamp,
    revision: Revision,
    digest: StateDigest,
    /// What the group's earlier commits wrote, and their seals.
    staged: HashMap<Vec<u8>, Vec<u8>>,
    entries: Vec<Entry>,
    len: usize,
    commits: Vec<Arc<Commit>>,
}

/// What a closed group writes, and where that leaves the store.
pub(in crate::store) struct Plan {
    pub(in crate::store) entries: Vec<Entry>,
    pub(in crate::store) state: State,
    pub(in crate::store) commits: Vec<Arc<Commit>>,
}

impl<E: Engine> Group<'_, E> {
    /// Whether the group is as large as it should get.
    pub(in crate::store) fn is_full(&self) -> bool {
        self.len >= FULL_GROUP_LEN || self.commits.len() >= FULL_GROUP_COMMITS
    }

    /// Adds a commit, or refuses it and stays as it is.
    pub(in crate::store) fn add(&mut self, batch: &Batch) -> Result<Revision, Halt> {
        let revision = Revision(self.revision.0 + 1);
        let mut step = Step {
            digest: self.digest,
            entries: Vec::new(),
        };
        let mut changes = Vec::with_capacity(batch.writes.len());
        for (position, write) in batch.writes.iter().enumerate() {
            let id = write.record.id();
            // The second of two writes to a record cannot find what it expects.
            if batch.writes[..position]
                .iter()
                .any(|earlier| earlier.record.id() == id)
            {
                return Err(Halt::Refused(StoreError::Conflict(id)));
            }
            let before = self.current(&id, write.expect)?;
            let payload = record::encode(&write.record);
            self.put(
                &mut step,
                &record::place(&id),
                revision,
                &payload,
                before.as_ref().map(|(_, seal)| seal),
            )?;
            if let (None, Some(posting)) = (&before, record::posting(&write.record)) {
                step.entries.push((posting, Vec::new()));
            }
            changes.push(Change {
                before: before.map(|(record, _)| record),
                after: write.record.clone(),
            });
        }
        self.append_audit(&mut step, revision, &batch.audit)?;

        (self.revision, self.digest) = (revision, step.digest);
        for (place, value) in step.entries {
            self.len += place.len() + value.len();
            self.staged.insert(place.clone(), value.clone());
            self.entries.push((place, value));
        }
        self.commits.push(Arc::new(Commit { revision, changes }));
        Ok(revision)
    }

    /// Closes the group; none if nothing was added.
    pub(in crate::store) fn close(mut self) -> Option<Plan> {
        if self.commits.is_empty() {
            return None;
        }
        let parent = self.ledger.state;
        let state = State {
            revision: self.revision,
            digest: self.digest,
            parent_revision: parent.revision,
            parent_digest: parent.digest,
            commit_time: self.now,
            epoch: parent.epoch,
        };
        let payload = pb::StateRecord {
            store_id: self.ledger.store.0.to_vec(),
            epoch: state.epoch,
            revision: state.revision.0,
            digest: state.digest.as_bytes().to_vec(),
            parent_revision: state.parent_revision.0,
            parent_digest: state.parent_digest.as_bytes().to_vec(),
            commit_time: state.commit_time.as_micros(),
        }
        .encode_to_vec();
        let (value, _) = envelope::wrap(
            &self.ledger.records,
            record::STATE,
            state.revision,
            &payload,
        );
        self.entries.push((record::STATE.to_vec(), value));
        Some(Plan {
            entries: self.entries,
            state,
            commits: self.commits,
        })
    }

    /// The record that a write replaces, if it is the one that was expected.
    fn current(&self, id: &RecordId, expect: Expect) -> Result<Option<(Record, Seal)>, Halt> {
        let place = record::place(id);
        let Some(value) = self.read(&place)? else {
            return match expect {
                Expect::Absent => Ok(None),
                Expect::At(_) => Err(Halt::Refused(StoreError::Conflict(id.clone()))),
            };
        };
        let opened = self.ledger.open(&place, &value)?;
        if expect != Expect::At(opened.revision) {
            return Err(Halt::Refused(StoreError::Conflict(id.clone())));
        }
        let record = record::decode(&place, opened.payload)
            .map_err(|error| OpenError::Damaged(Damage::Unreadable(readable(&place), error.0)))?;
        Ok(Some((record, opened.seal)))
    }

    /// Puts a record that counts in the state digest.
    fn put(
        &self,
        step: &mut Step,
        place: &[u8],
        revision: Revision,
        payload: &[u8],
        replaced: Option<&Seal>,
    ) -> Result<(), Halt> {
        let (value, seal) = envelope::wrap(&self.ledger.records, place, revision, payload);
        step.entries.push(checked(place, value)?);
        if let Some(replaced) = replaced {
            step.digest -= replaced;
        }
        step.digest += &seal;
        Ok(())
    }

    fn append_audit(
        &self,
        step: &mut Step,
        revision: Revision,
        entry: &AuditEntry,
    ) -> Result<(), Halt> {
        let chain = entry
            .workspace
            .as_ref()
            .map(ToString::to_string)
            .unwrap_or_default();
        let head_place = record::audit_head_place(&chain);
        let (previous, replaced) = match self.read(&head_place)? {
            None => (AuditHead::default(), None),
            Some(value) => {
                let opened = self.ledger.open(&head_place, &value)?;
                let head = record::decode_audit_head(opened.payload).map_err(|error| {
                    OpenError::Damaged(Damage::Unreadable(readable(&head_place), error.0))
                })?;
                (head, Some(opened.seal))
            }
        };

        let payload = record::encode_audit(entry, previous, revision);
        let sequence = previous.sequence + 1;
        let place = record::audit_place(&chain, sequence);
        let (value, _) = envelope::wrap(&self.ledger.records, &place, revision, &payload);
        step.entries.push(checked(&place, value)?);

        // The link's own hash is under a key of its own, so that a record's
        // seal can never serve as one.
        let hash = self.ledger.audit.seal(&place, &[&payload]).state;
        let head = record::encode_audit_head(AuditHead { sequence, hash });
        self.put(step, &head_place, revision, &head, replaced.as_ref())
    }

    /// What is at `place`, with the group's earlier commits.
    fn read(&self, place: &[u8]) -> Result<Option<Vec<u8>>, EngineError> {
        match self.staged.get(place) {
            Some(value) => Ok(Some(value.clone())),
            None => self.engine.get(place),
        }
    }
}

/// What one commit adds to a group, until it is known to be complete.
struct Step {
    digest: StateDigest,
    entries: Vec<Entry>,
}

fn checked(place: &[u8], value: Vec<u8>) -> Result<Entry, Halt> {
    if value.len() > MAX_VALUE_LEN {
        let place = readable(place);
        return Err(Halt::Refused(StoreError::TooLarge {
            place,
            len: value.len(),
            max: MAX_VALUE_LEN,
        }));
    }
    Ok((place.to_vec(), value))
}

/// Opens what lies at `place` for a reader of single records.
pub(in crate::store) fn open_one<'v>(
    sealer: &Sealer,
    place: &[u8],
    value: &'v [u8],
) -> Result<Opened<'v>, StoreError> {
    envelope::open(sealer, place, value).map_err(|error| match error {
        Unopened::Newer(_) | Unopened::Forged => StoreError::Damaged(diagnose(place, value)),
    })
}
