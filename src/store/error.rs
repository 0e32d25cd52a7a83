//! What can be wrong with a store, and what the caller may do next.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

use super::{RecordId, Revision};
use crate::domain::clock::Timestamp;
use crate::domain::digest::PepperId;

/// A call on a running store failed.
#[derive(Debug, Error)]
pub enum StoreError {
    /// A precondition did not hold. Read again, and decide again.
    #[error("{0} has changed in the meantime")]
    Conflict(RecordId),
    /// A record is larger than the store holds safely. The limits on fields
    /// are meant to make this impossible.
    #[error("a record of {len} bytes under `{place}` is larger than {max}")]
    TooLarge {
        /// Where it would have been stored.
        place: String,
        /// How long it is, in bytes.
        len: usize,
        /// How long it may be, in bytes.
        max: usize,
    },
    /// The store takes no changes: it was closed, has failed before, or was
    /// never loaded. Nothing was changed.
    #[error("the store takes no changes")]
    Unavailable,
    /// The store failed while the change was made.
    #[error("the store failed while it made the change; whether it took effect is not known")]
    OutcomeUnknown,
    /// What was read does not verify.
    #[error(transparent)]
    Damaged(#[from] Damage),
    /// The commits that were asked for are no longer held. Load a snapshot.
    #[error("the commits after revision {0} are no longer held")]
    Compacted(Revision),
}

impl StoreError {
    /// Whether the same call may succeed if it is made again, on fresh reads.
    #[must_use]
    pub const fn retryable(&self) -> bool {
        match self {
            Self::Conflict(_) => true,
            Self::TooLarge { .. }
            | Self::Unavailable
            | Self::OutcomeUnknown
            | Self::Damaged(_)
            | Self::Compacted(_) => false,
        }
    }

    /// Whether it is certain that the change did not happen.
    #[must_use]
    pub const fn certainly_not_applied(&self) -> bool {
        match self {
            Self::Conflict(_)
            | Self::TooLarge { .. }
            | Self::Unavailable
            | Self::Compacted(_)
            | Self::Damaged(_) => true,
            Self::OutcomeUnknown => false,
        }
    }
}

/// Stored data that is not what keyward wrote. It never decides anything.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum Damage {
    /// The bytes under a place are not those that were stored there.
    #[error(
        "the record under `{0}` was changed by something other than keyward: its seal does not fit"
    )]
    Edited(String),
    /// The bytes under a place are those of another place.
    #[error("the record under `{place}` is that of `{of}`: records were swapped or copied")]
    Swapped {
        /// Where it is stored.
        place: String,
        /// Where it belongs.
        of: String,
    },
    /// The record verifies but cannot be read.
    #[error("the record under `{0}` cannot be read: {1}")]
    Unreadable(String, String),
    /// The records verify one by one but are not the ones that were committed.
    #[error(
        "records are missing, or old ones were put back: the state digest of revision {0} does not fit what is there"
    )]
    Digest(Revision),
    /// The lists of keys and memberships are not of all of them.
    #[error(
        "the lists of keys and memberships do not name each of them once: they have {found} entries, and should have {expected}"
    )]
    Lists {
        /// How many entries all lists should have.
        expected: u64,
        /// How many they have.
        found: u64,
    },
    /// The audit log is not whole.
    #[error("the audit log is broken at `{place}`: {problem}")]
    AuditLog {
        /// The link, or the entry of the log's order, that showed it.
        place: String,
        /// What is wrong there.
        problem: String,
    },
    /// The store's files cannot be read.
    #[error("the store's files cannot be read: {0}")]
    Files(String),
}

/// A store cannot be opened or loaded.
#[derive(Debug, Error)]
pub enum OpenError {
    /// There is no store.
    #[error("there is no store at {}; name the right --data-dir, or make one with `keyward init`", .0.display())]
    Missing(PathBuf),
    /// An earlier init did not come to its end.
    #[error(
        "an earlier `keyward init` was cut off; remove {} and {}, and run it again",
        .store.display(),
        .guard.display()
    )]
    Unfinished {
        /// The store's folder.
        store: PathBuf,
        /// The guard's folder.
        guard: PathBuf,
    },
    /// Something is there already.
    #[error("{} exists; keyward never replaces a store, a pepper or a guard file: choose other folders", .0.display())]
    Exists(PathBuf),
    /// Another process has the store open.
    #[error("the store at {} is open in another process; stop that first", .0.display())]
    Locked(PathBuf),
    /// The pepper is not the one that the store was made with.
    #[error(
        "the pepper in {} is the wrong one: it is {found}, the store needs {expected}; put the right one back",
        .path.display()
    )]
    WrongPepper {
        /// The pepper's file.
        path: PathBuf,
        /// The pepper that is there.
        found: PepperId,
        /// The pepper that the store was made with.
        expected: PepperId,
    },
    /// The pepper or guard file cannot be used as it is.
    #[error("{}: {problem}", .path.display())]
    Guard {
        /// The file.
        path: PathBuf,
        /// What is wrong and what to do.
        problem: String,
    },
    /// The store was written by a newer keyward.
    #[error(
        "the store is of format {found}; this keyward reads up to {known}: run the newer keyward that wrote it"
    )]
    Newer {
        /// The format that was found.
        found: u8,
        /// The newest format known.
        known: u8,
    },
    /// The store has nothing in it, though the guard file knows of commits.
    #[error(
        "the store is empty, but revision {guard} was acknowledged: put its files back, or restore a backup of both store and guard file"
    )]
    Emptied {
        /// The newest revision that was acknowledged.
        guard: Revision,
    },
    /// The store is older than what was acknowledged.
    #[error(
        "the store is at revision {found}, but revision {guard} was acknowledged: this is an older copy, in which \
         revoked keys may work again; put the current one back"
    )]
    Older {
        /// The revision of the store.
        found: Revision,
        /// The newest revision that was acknowledged.
        guard: Revision,
    },
    /// The store is ahead of the guard file by more than a crash explains.
    #[error(
        "the store is at revision {found}, but the guard file knows only of {guard}: the two do not belong together; \
         put back the guard file that was kept with this store"
    )]
    Ahead {
        /// The revision of the store.
        found: Revision,
        /// The newest revision that was acknowledged.
        guard: Revision,
    },
    /// Store and guard file tell different stories of the same revision, or
    /// are of different stores.
    #[error(
        "the guard file belongs to another store: put back the one that was kept with this store"
    )]
    Foreign,
    /// Something in the store does not verify.
    #[error(
        "the store is damaged: {0}; put its files back as they were, or restore a backup of both store and guard file"
    )]
    Damaged(#[from] Damage),
    /// The machine's clock is behind.
    #[error(
        "the clock says {now}, but the last commit was made at {last}: expired keys would work again; set the clock right"
    )]
    ClockBehind {
        /// What the clock says.
        now: Timestamp,
        /// When the last commit was made.
        last: Timestamp,
    },
    /// A file cannot be read or written.
    #[error("{}: {error}", .path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
}

impl OpenError {
    pub(super) fn io(path: impl Into<PathBuf>, error: io::Error) -> Self {
        Self::Io {
            path: path.into(),
            error,
        }
    }
}

/// A store that cannot be followed right after it was loaded.
impl From<StoreError> for OpenError {
    fn from(error: StoreError) -> Self {
        Damage::Files(error.to_string()).into()
    }
}
