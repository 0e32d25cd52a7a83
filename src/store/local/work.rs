//! What the writer is asked to commit: a change with its audit entries, or what
//! use has left of credits, which is no event.

use crate::domain::audit::AuditEntry;
use crate::domain::credits::Credits;
use crate::store::{Batch, Expect, Record, Requirement, Versioned, Write};

/// A commit to be made.
#[derive(Debug)]
pub(in crate::store) struct Work {
    pub(in crate::store) writes: Vec<Write>,
    pub(in crate::store) requires: Vec<Requirement>,
    /// None for what nobody decides.
    pub(in crate::store) audit: Vec<AuditEntry>,
}

impl Work {
    /// What is told of where it is too large.
    pub(in crate::store) fn name(&self) -> String {
        let credits = || "credits".to_owned();
        self.audit
            .first()
            .map_or_else(credits, |entry| entry.resource.clone())
    }
}

impl From<Batch> for Work {
    fn from(batch: Batch) -> Self {
        Self {
            writes: batch.writes,
            requires: batch.requires,
            audit: [batch.audit].into_iter().chain(batch.beside).collect(),
        }
    }
}

/// What use has left of credits: the one work without an entry.
impl From<Vec<Versioned<Credits>>> for Work {
    fn from(accounts: Vec<Versioned<Credits>>) -> Self {
        let write = |account: Versioned<Credits>| Write {
            record: Record::Credits(account.record),
            expect: Expect::At(account.revision),
        };
        Self {
            writes: accounts.into_iter().map(write).collect(),
            requires: Vec::new(),
            audit: Vec::new(),
        }
    }
}
