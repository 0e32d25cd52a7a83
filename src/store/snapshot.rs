//! All records of a store, read one after the other when it is loaded.

use std::fmt;

use super::standing::Ground;
use super::{OpenError, Revision, Versioned};

/// All records at one revision that are in use: workspaces first, keys last,
/// and principals and their memberships before them.
///
/// Only what came before the end of the iterator can be trusted, and only if
/// it ended without an error: the state as a whole is verified last.
pub struct Snapshot {
    revision: Revision,
    records: Box<dyn Iterator<Item = Result<Versioned, OpenError>> + Send>,
}

impl Snapshot {
    pub(super) fn new(
        revision: Revision,
        records: impl Iterator<Item = Result<Versioned, OpenError>> + Send + 'static,
    ) -> Self {
        Self {
            revision,
            records: Box::new(records),
        }
    }

    /// The same, that ends in an error at the first key whose workspace,
    /// principal or membership is not among the records: nobody is to act, or
    /// to put another OWNER, on such a store.
    #[must_use]
    pub fn standing(self) -> Self {
        let mut ground = Ground::default();
        let records = self.records.map(move |found| {
            let found = found?;
            ground.pass(&found.record)?;
            Ok(found)
        });
        Self::new(self.revision, records)
    }

    /// The newest commit that the snapshot holds.
    #[must_use]
    pub const fn revision(&self) -> Revision {
        self.revision
    }
}

impl Iterator for Snapshot {
    type Item = Result<Versioned, OpenError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.records.next()
    }
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Snapshot({})", self.revision)
    }
}
