//! Loading: every record verified, the whole held against the state digest and
//! the guard file, before anything is served.

use std::hash::{BuildHasher, RandomState};
use std::io;
use std::sync::mpsc::SyncSender;

use crate::domain::clock::Timestamp;
use crate::domain::digest::StateDigest;
use crate::store::guard::Slot;
use crate::store::record::{self, readable};
use crate::store::{Damage, OpenError, Record, Revision, Versioned};

use super::engine::{Engine, EngineError};
use super::ledger::{Ledger, State};

/// How many records are handed over at a time.
const CHUNK: usize = 1_024;

/// What a load sends: records, or the reason why it stopped.
pub(in crate::store) type Chunk = Result<Vec<Versioned>, OpenError>;

impl From<EngineError> for OpenError {
    fn from(error: EngineError) -> Self {
        match error.system {
            Some(kind) => Self::io("the store's files", io::Error::new(kind, error.text)),
            None => Self::Damaged(Damage::Files(error.text)),
        }
    }
}

/// Reads the state record and holds it against the guard file. The state is
/// not to be trusted before [`records`] has run.
pub(in crate::store) fn state<E: Engine>(
    engine: &E,
    ledger: &Ledger,
    guard: Option<Slot>,
    now: Timestamp,
) -> Result<State, OpenError> {
    let Some(value) = engine.get(record::STATE)? else {
        return without_state(engine, guard);
    };
    let state = ledger.read_state(&value)?;
    if let Some(guard) = guard {
        against_guard(&state, guard)?;
    }
    if now < state.commit_time {
        return Err(OpenError::ClockBehind {
            now,
            last: state.commit_time,
        });
    }
    Ok(state)
}

/// A store without a state is new, or was emptied, or lost more than that.
fn without_state<E: Engine>(engine: &E, guard: Option<Slot>) -> Result<State, OpenError> {
    let acknowledged = guard.map_or(Revision(0), |slot| slot.revision);
    match engine.scan(b"", b"").next() {
        Some(Err(error)) => Err(error.into()),
        Some(Ok(_)) => Err(Damage::Digest(acknowledged).into()),
        None if acknowledged == Revision(0) => Ok(State::empty()),
        None => Err(OpenError::Emptied {
            guard: acknowledged,
        }),
    }
}

/// The state must be the one that was acknowledged last, or the group of
/// commits right after it, whose answers a crash cut off.
fn against_guard(state: &State, guard: Slot) -> Result<(), OpenError> {
    let own = Slot {
        revision: state.revision,
        digest: state.digest,
    };
    let parent = Slot {
        revision: state.parent_revision,
        digest: state.parent_digest,
    };
    let (found, acknowledged) = (state.revision, guard.revision);
    if own == guard || parent == guard {
        Ok(())
    } else if found < acknowledged {
        Err(OpenError::Older {
            found,
            guard: acknowledged,
        })
    } else if found == acknowledged {
        Err(OpenError::Foreign)
    } else {
        Err(OpenError::Ahead {
            found,
            guard: acknowledged,
        })
    }
}

/// Sends every record, verified, and holds all of them against `state`.
pub(in crate::store) fn records<E: Engine>(
    engine: &E,
    ledger: &Ledger,
    state: &State,
    out: &SyncSender<Chunk>,
) -> Result<(), Stopped> {
    let mut digest = StateDigest::default();
    let hasher = RandomState::new();
    let mut expected = Postings::default();
    let mut chunk = Vec::with_capacity(CHUNK);
    // Workspaces first, keys last: a key is indexed under its workspace, and
    // under its principal's membership there, with its credits and its usage.
    for prefix in [
        record::WORKSPACES,
        record::ADMIN_KEYS,
        record::PRINCIPALS,
        record::MEMBERSHIPS,
        record::AUDIT_HEADS,
        record::REQUESTS,
        record::CREDITS,
        record::USAGES,
        record::KEYS,
    ] {
        for entry in engine.scan(prefix, b"") {
            let (place, value) = entry.map_err(OpenError::from)?;
            let opened = ledger.open(&place, &value)?;
            digest += &opened.seal;
            if prefix == record::AUDIT_HEADS {
                continue;
            }
            let record = read(&place, opened.payload)?;
            // What is over and what is only looked up is not held in memory.
            if matches!(record, Record::Tombstone(_) | Record::Request(_)) {
                continue;
            }
            for posting in record::postings(&record) {
                expected.add(&hasher, &posting);
            }
            chunk.push(Versioned {
                record,
                revision: opened.revision,
            });
            if chunk.len() == CHUNK {
                let full = std::mem::replace(&mut chunk, Vec::with_capacity(CHUNK));
                out.send(Ok(full)).map_err(|_| Stopped::NobodyListens)?;
            }
        }
    }
    if digest != state.digest {
        return Err(OpenError::from(Damage::Digest(state.revision)).into());
    }
    postings(engine, &hasher, expected)?;
    out.send(Ok(chunk)).map_err(|_| Stopped::NobodyListens)
}

/// A set of postings, in any order: how many, and the sum of their hashes. The
/// hashes are others in each process, so that nobody can prepare two sets that
/// look the same.
#[derive(Default)]
struct Postings {
    count: u64,
    sum: u64,
}

impl Postings {
    fn add(&mut self, hasher: &RandomState, posting: &[u8]) {
        self.count += 1;
        self.sum = self.sum.wrapping_add(hasher.hash_one(posting));
    }
}

/// Each key is found in its workspace's list and in its principal's, and each
/// membership in its principal's: a key that was missing there could not be
/// found by whoever has to revoke it.
fn postings<E: Engine>(
    engine: &E,
    hasher: &RandomState,
    expected: Postings,
) -> Result<(), OpenError> {
    let mut found = Postings::default();
    for list in record::POSTINGS {
        for entry in engine.scan(list, b"") {
            found.add(hasher, &entry?.0);
        }
    }
    if (found.count, found.sum) == (expected.count, expected.sum) {
        return Ok(());
    }
    Err(Damage::Lists {
        expected: expected.count,
        found: found.count,
    }
    .into())
}

fn read(place: &[u8], payload: &[u8]) -> Result<Record, OpenError> {
    record::decode(place, payload)
        .map_err(|error| Damage::Unreadable(readable(place), error.0).into())
}

/// Why a load did not come to its end.
#[derive(Debug)]
pub(in crate::store) enum Stopped {
    /// The store cannot be served.
    Refused(OpenError),
    /// Whoever asked has gone.
    NobodyListens,
}

impl From<OpenError> for Stopped {
    fn from(error: OpenError) -> Self {
        Self::Refused(error)
    }
}
