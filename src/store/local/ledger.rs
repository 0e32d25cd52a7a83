//! The state of the whole store, and the seals that hold its records together.

use prost::Message;

use crate::domain::clock::Timestamp;
use crate::domain::digest::{Pepper, Sealer, StateDigest, StoreId};
use crate::store::envelope::{self, Opened, Unopened};
use crate::store::record::{self, readable};
use crate::store::{Damage, OpenError, Revision, StoreError, pb};

use super::engine::Put;

/// What the whole store is at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::store) struct State {
    pub(in crate::store) revision: Revision,
    pub(in crate::store) digest: StateDigest,
    pub(in crate::store) parent_revision: Revision,
    pub(in crate::store) parent_digest: StateDigest,
    pub(in crate::store) commit_time: Timestamp,
    pub(in crate::store) epoch: u64,
    /// How many events were written to all audit chains.
    pub(in crate::store) events: u64,
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
            events: 0,
        }
    }
}

/// The state of the store, and the keys to its records.
#[derive(Debug)]
pub(in crate::store) struct Ledger {
    pub(in crate::store) store: StoreId,
    pub(in crate::store) state: State,
    pub(in crate::store) records: Sealer,
    pub(in crate::store) audit: Sealer,
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
            events: state.events,
        })
    }

    /// The entry that stores `state`.
    pub(in crate::store) fn state_entry(&self, state: &State) -> Put {
        let payload = pb::StateRecord {
            store_id: self.store.0.to_vec(),
            epoch: state.epoch,
            revision: state.revision.0,
            digest: state.digest.as_bytes().to_vec(),
            parent_revision: state.parent_revision.0,
            parent_digest: state.parent_digest.as_bytes().to_vec(),
            commit_time: state.commit_time.as_micros(),
            events: state.events,
        }
        .encode_to_vec();
        let (value, _) = envelope::wrap(&self.records, record::STATE, state.revision, &payload);
        (record::STATE.to_vec(), Some(value))
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
}

/// How many events were written, as the payload of a state record has it.
pub(in crate::store) fn events(payload: &[u8]) -> Result<u64, String> {
    pb::StateRecord::decode(payload)
        .map(|state| state.events)
        .map_err(|error| error.to_string())
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
