//! What became of changes: how they ended, how long they took to be durable,
//! and how many shared a sync.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::count::Count;
use super::histogram::{COMMIT_DURATIONS, GROUP_SIZES, Histogram};

/// How a commit has ended, as whoever asked for it is told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CommitEnd {
    /// It is durable.
    Durable,
    /// What it expected to be there was not: nothing was changed.
    Conflict,
    /// It is more than the store takes at once: nothing was changed.
    TooLarge,
    /// The store takes no changes: nothing was changed.
    Unavailable,
    /// Nobody knows whether it is durable.
    OutcomeUnknown,
    /// What it builds on is damaged: nothing was changed.
    Damaged,
}

impl CommitEnd {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Durable,
        Self::Conflict,
        Self::TooLarge,
        Self::Unavailable,
        Self::OutcomeUnknown,
        Self::Damaged,
    ];

    /// Its name as the value of a label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Durable => "DURABLE",
            Self::Conflict => "CONFLICT",
            Self::TooLarge => "TOO_LARGE",
            Self::Unavailable => "UNAVAILABLE",
            Self::OutcomeUnknown => "OUTCOME_UNKNOWN",
            Self::Damaged => "DAMAGED",
        }
    }
}

/// Counts the commits of a store.
#[derive(Debug)]
pub struct CommitCounts {
    ends: [Count; CommitEnd::ALL.len()],
    /// From being queued to being durable.
    pub(super) durations: Histogram<13>,
    /// Of the groups that became durable.
    pub(super) groups: Histogram<9>,
    /// The revision of the last of them.
    revision: AtomicU64,
}

impl Default for CommitCounts {
    fn default() -> Self {
        Self {
            ends: std::array::from_fn(|_| Count::default()),
            durations: Histogram::new(&COMMIT_DURATIONS),
            groups: Histogram::new(&GROUP_SIZES),
            revision: AtomicU64::new(0),
        }
    }
}

impl CommitCounts {
    /// A commit has ended.
    pub fn ended(&self, end: CommitEnd) {
        self.ends[end as usize].one_more();
    }

    /// A commit is durable, so long after it was queued.
    pub fn took(&self, time: Duration) {
        self.durations.took(time);
    }

    /// So many commits have become durable with one sync.
    pub fn group(&self, commits: usize) {
        self.groups.note(commits as u64);
    }

    /// The store is at this revision.
    pub fn reached(&self, revision: u64) {
        // It guards nothing: whoever reads it wants to know how far it is.
        self.revision.store(revision, Ordering::Relaxed);
    }

    /// The revision that the store is at.
    pub(super) fn revision(&self) -> u64 {
        self.revision.load(Ordering::Relaxed)
    }

    /// How many commits have ended how, with the value of the label.
    pub(super) fn read_ends(&self) -> Vec<([&'static str; 1], u64)> {
        CommitEnd::ALL
            .map(|end| ([end.as_str()], self.ends[end as usize].get()))
            .into()
    }
}
