//! What the writer is asked to commit: a change with its audit entries, or what
//! use has left of credits, or how keys were used, which are no events.

use crate::domain::audit::AuditEntry;
use crate::domain::credits::Credits;
use crate::domain::usage::Usage;
use crate::store::{Batch, Expect, Record, Requirement, Versioned, Write};

/// A commit to be made.
#[derive(Debug)]
pub(in crate::store) struct Work {
    pub(in crate::store) writes: Vec<Write>,
    pub(in crate::store) requires: Vec<Requirement>,
    /// How keys were used, whatever is stored of that.
    pub(in crate::store) usages: Vec<Usage>,
    /// None for what nobody decides.
    pub(in crate::store) audit: Vec<AuditEntry>,
}

impl Work {
    /// What is told of where it is too large.
    pub(in crate::store) fn name(&self) -> String {
        match self.audit.first() {
            Some(entry) => entry.resource.clone(),
            None if self.usages.is_empty() => "credits".to_owned(),
            None => "usage".to_owned(),
        }
    }
}

impl From<Batch> for Work {
    fn from(batch: Batch) -> Self {
        Self {
            writes: batch.writes,
            requires: batch.requires,
            usages: Vec::new(),
            audit: [batch.audit].into_iter().chain(batch.beside).collect(),
        }
    }
}

/// What use has left of credits.
impl From<Vec<Versioned<Credits>>> for Work {
    fn from(accounts: Vec<Versioned<Credits>>) -> Self {
        let write = |account: Versioned<Credits>| Write {
            record: Record::Credits(account.record),
            expect: Expect::At(account.revision),
        };
        Self {
            writes: accounts.into_iter().map(write).collect(),
            requires: Vec::new(),
            usages: Vec::new(),
            audit: Vec::new(),
        }
    }
}

/// How keys were used.
impl From<Vec<Usage>> for Work {
    fn from(usages: Vec<Usage>) -> Self {
        Self {
            writes: Vec::new(),
            requires: Vec::new(),
            usages,
            audit: Vec::new(),
        }
    }
}
