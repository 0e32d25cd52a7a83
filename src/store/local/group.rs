//! A group of commits: gathered on top of the store's state, each seeing those
//! before it, into one list of entries to be applied at once. No I/O but reads.

mod usage;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::domain::audit::{AuditEntry, AuditHead};
use crate::domain::clock::Timestamp;
use crate::domain::digest::{Seal, StateDigest};
use crate::store::envelope::{self, MAX_VALUE_LEN};
use crate::store::record::{self, readable};
use crate::store::{
    Change, Commit, Damage, Expect, OpenError, Record, RecordId, Requirement, Revision, StoreError,
};

use super::engine::{Engine, EngineError, Put};
use super::ledger::{Ledger, State};
use super::work::Work;

/// A group is closed when it is this large: sled keeps a batch atomic that is
/// smaller than a segment of its log (512 KiB).
const FULL_GROUP_LEN: usize = 384 * 1024;

/// The longest single commit, in bytes: a group that was just not full stays
/// smaller than a segment with it.
const MAX_COMMIT_LEN: usize = 96 * 1024;

/// The most commits that share one sync.
const FULL_GROUP_COMMITS: usize = 256;

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
    /// When what was decided last was: a start before that is refused.
    commit_time: Timestamp,
    revision: Revision,
    digest: StateDigest,
    events: u64,
    /// What the group's earlier commits wrote, and their seals.
    staged: HashMap<Vec<u8>, Option<Vec<u8>>>,
    entries: Vec<Put>,
    len: usize,
    commits: Vec<Arc<Commit>>,
}

/// What a closed group writes, and where that leaves the store.
pub(in crate::store) struct Plan {
    pub(in crate::store) entries: Vec<Put>,
    pub(in crate::store) state: State,
    pub(in crate::store) commits: Vec<Arc<Commit>>,
}

impl<'e, E: Engine> Group<'e, E> {
    /// Starts a group on top of what `ledger` says, to be made at `now`.
    pub(in crate::store) fn new(ledger: &'e Ledger, engine: &'e E, now: Timestamp) -> Self {
        Self {
            ledger,
            engine,
            now: now.max(ledger.state.commit_time),
            commit_time: ledger.state.commit_time,
            revision: ledger.state.revision,
            digest: ledger.state.digest,
            events: ledger.state.events,
            staged: HashMap::new(),
            entries: Vec::new(),
            len: 0,
            commits: Vec::new(),
        }
    }

    /// Whether the group is as large as it should get.
    pub(in crate::store) fn is_full(&self) -> bool {
        self.len >= FULL_GROUP_LEN || self.commits.len() >= FULL_GROUP_COMMITS
    }

    /// Adds a commit, or refuses it and stays as it is.
    pub(in crate::store) fn add(&mut self, work: &Work) -> Result<Revision, Halt> {
        let revision = Revision(self.revision.0 + 1);
        let mut step = Step {
            digest: self.digest,
            entries: Vec::new(),
            events: self.events,
        };
        for requirement in &work.requires {
            self.require(requirement)?;
        }
        let mut changes = Vec::with_capacity(work.writes.len());
        let mut written = HashSet::with_capacity(work.writes.len());
        for write in &work.writes {
            let id = write.record.id();
            // The second of two writes to a record cannot find what it expects.
            if !written.insert(id.clone()) {
                return Err(Halt::Refused(StoreError::Conflict(id)));
            }
            let before = self.current(&id, write.expect)?;
            // What is buried stays so, whatever the writer knows of it.
            if matches!(before, Some((Record::Tombstone(_), _))) {
                return Err(Halt::Refused(StoreError::Conflict(id)));
            }
            let payload = record::encode(&write.record);
            self.put(
                &mut step,
                &record::place(&id),
                revision,
                &payload,
                before.as_ref().map(|(_, seal)| seal),
            )?;
            let before = before.map(|(record, _)| record);
            step.entries
                .extend(moved_postings(before.as_ref(), &write.record));
            changes.push(Change {
                before,
                after: write.record.clone(),
            });
        }
        self.put_usages(&mut step, revision, work)?;
        for entry in &work.audit {
            self.append_audit(&mut step, revision, entry)?;
        }
        let len = step.len();
        if len > MAX_COMMIT_LEN {
            let place = work.name();
            return Err(Halt::Refused(StoreError::TooLarge {
                place,
                len,
                max: MAX_COMMIT_LEN,
            }));
        }

        // How keys were used decides nothing, and what use has left of credits
        // bears no time: the period that it was filled in is in the record, and
        // comes once whatever the clock says. So a clock that was ahead for a
        // moment keeps no start out because checks went on.
        if !work.audit.is_empty() {
            self.commit_time = self.now;
        }
        (self.revision, self.digest, self.events) = (revision, step.digest, step.events);
        self.len += len;
        for (place, value) in step.entries {
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
            commit_time: self.commit_time,
            epoch: parent.epoch,
            events: self.events,
        };
        self.entries.push(self.ledger.state_entry(&state));
        Some(Plan {
            entries: self.entries,
            state,
            commits: self.commits,
        })
    }

    /// Refuses the commit if this does not hold.
    fn require(&self, requirement: &Requirement) -> Result<(), Halt> {
        match requirement {
            Requirement::Record { id, expect } => self.current(id, *expect).map(drop),
            Requirement::NoKeysOf(principal) if self.has_keys(principal)? => {
                let id = RecordId::Principal(principal.clone());
                Err(Halt::Refused(StoreError::Conflict(id)))
            }
            Requirement::NoKeysOf(_) => Ok(()),
        }
    }

    /// Whether a key is in the list of this principal's.
    fn has_keys(&self, principal: &str) -> Result<bool, EngineError> {
        let list = record::postings_of_principal(principal);
        let added =
            |(place, value): (&Vec<u8>, &Option<_>)| value.is_some() && place.starts_with(&list);
        if self.staged.iter().any(added) {
            return Ok(true);
        }
        for entry in self.engine.scan(&list, b"") {
            // What is staged there, if anything, takes it from the list.
            if !self.staged.contains_key(&entry?.0) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The record that a write replaces, if it is the one that was expected.
    fn current(&self, id: &RecordId, expect: Expect) -> Result<Option<(Record, Seal)>, Halt> {
        let found = self.found(id)?;
        let is_expected = match (&found, expect) {
            (None, Expect::Absent) => true,
            (Some(found), Expect::At(revision)) => found.revision == revision,
            (None, Expect::At(_)) | (Some(_), Expect::Absent) => false,
        };
        if !is_expected {
            return Err(Halt::Refused(StoreError::Conflict(id.clone())));
        }
        Ok(found.map(|found| (found.record, found.seal)))
    }

    /// What lies where `id` does.
    fn found(&self, id: &RecordId) -> Result<Option<Found>, Halt> {
        let place = record::place(id);
        let Some(value) = self.read(&place)? else {
            return Ok(None);
        };
        let opened = self.ledger.open(&place, &value)?;
        let record = record::decode(&place, opened.payload)
            .map_err(|error| OpenError::Damaged(Damage::Unreadable(readable(&place), error.0)))?;
        Ok(Some(Found {
            record,
            revision: opened.revision,
            seal: opened.seal,
        }))
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
        let before = match step.take(&head_place) {
            Some(value) => Some(value),
            None => self.read(&head_place)?,
        };
        let (previous, replaced) = match before {
            None => (AuditHead::default(), None),
            Some(value) => {
                let opened = self.ledger.open(&head_place, &value)?;
                let head = record::decode_audit_head(opened.payload).map_err(|error| {
                    OpenError::Damaged(Damage::Unreadable(readable(&head_place), error.0))
                })?;
                (head, Some(opened.seal))
            }
        };

        step.events += 1;
        let payload = record::encode_audit(entry, previous, (revision, step.events));
        let sequence = previous.sequence + 1;
        let place = record::audit_place(&chain, sequence);
        let (value, _) = envelope::wrap(&self.ledger.records, &place, revision, &payload);
        step.entries.push(checked(&place, value)?);
        let order = record::audit_order_place(step.events);
        step.entries.push((order, Some(place.clone())));

        // The link's own hash is under a key of its own, so that a record's
        // seal can never serve as one.
        let hash = self.ledger.audit.seal(&place, &[&payload]).state;
        let head = record::encode_audit_head(AuditHead { sequence, hash });
        self.put(step, &head_place, revision, &head, replaced.as_ref())
    }

    /// What is at `place`, with the group's earlier commits.
    fn read(&self, place: &[u8]) -> Result<Option<Vec<u8>>, EngineError> {
        match self.staged.get(place) {
            Some(value) => Ok(value.clone()),
            None => self.engine.get(place),
        }
    }
}

/// A record that was read, with the seal that counts in the state digest.
struct Found {
    record: Record,
    revision: Revision,
    seal: Seal,
}

/// What one commit adds to a group, until it is known to be complete.
struct Step {
    digest: StateDigest,
    events: u64,
    entries: Vec<Put>,
}

impl Step {
    /// Takes back what this commit has put at `place`, if it has, to put
    /// something else there.
    fn take(&mut self, place: &[u8]) -> Option<Vec<u8>> {
        let found = self.entries.iter().position(|(put, _)| put == place)?;
        self.entries.remove(found).1
    }

    /// How long its entries are together, in bytes.
    fn len(&self) -> usize {
        let entries = self.entries.iter();
        let lengths =
            entries.map(|(place, value)| place.len() + value.as_ref().map_or(0, Vec::len));
        lengths.sum()
    }
}

/// What a write does to the lists that its record is in: a new key comes onto
/// them, a deleted one goes from them.
fn moved_postings(before: Option<&Record>, after: &Record) -> Vec<Put> {
    let was = before.map(record::postings).unwrap_or_default();
    let is = record::postings(after);
    let gone = was.iter().filter(|posting| !is.contains(posting));
    let gone: Vec<Put> = gone.map(|posting| (posting.clone(), None)).collect();
    let new = is.into_iter().filter(|posting| !was.contains(posting));
    gone.into_iter()
        .chain(new.map(|posting| (posting, Some(Vec::new()))))
        .collect()
}

fn checked(place: &[u8], value: Vec<u8>) -> Result<Put, Halt> {
    if value.len() > MAX_VALUE_LEN {
        let place = readable(place);
        return Err(Halt::Refused(StoreError::TooLarge {
            place,
            len: value.len(),
            max: MAX_VALUE_LEN,
        }));
    }
    Ok((place.to_vec(), Some(value)))
}
