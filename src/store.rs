//! The durable truth, stated in domain types: what a store holds and promises.
//!
//! A store gives a [`Snapshot`] of all records at one revision, and from there
//! an ordered stream of [`Commit`]s. A change is a [`Batch`] of writes, each
//! with its precondition, and the audit entry that goes with it: all of it
//! happens or none, and a commit that was acknowledged survives the loss of
//! power.
//!
//! Architecture invariant: nothing here knows a transport or the index.

pub mod error;
pub mod home;
pub mod local;

mod envelope;
mod guard;
mod pb;
mod record;
mod snapshot;
mod standing;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::mpsc::Receiver;

use tokio::sync::watch;

use crate::domain::admin::AdminKey;
use crate::domain::audit::{AuditEntry, AuditEvent, AuditLog};
use crate::domain::credits::Credits;
use crate::domain::digest::StoreId;
use crate::domain::id::{AdminKeyId, KeyId, WorkspaceId};
use crate::domain::key::Key;
use crate::domain::principal::{Membership, Principal};
use crate::domain::request::{IssueRequest, RequestId};
use crate::domain::tombstone::{Buried, Tombstone};
use crate::domain::usage::Usage;
use crate::domain::workspace::Workspace;

pub use error::{Damage, OpenError, StoreError};
pub use snapshot::Snapshot;

/// The number of a commit, and of the state that it left.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Revision(pub u64);

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Anything that is stored under an id.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Record {
    /// A workspace.
    Workspace(Workspace),
    /// A key.
    Key(Key),
    /// An admin key.
    AdminKey(AdminKey),
    /// The credits of a key.
    Credits(Credits),
    /// How a key was used.
    Usage(Usage),
    /// A request to issue a key that may be repeated.
    Request(IssueRequest),
    /// A principal.
    Principal(Principal),
    /// A principal's membership in a workspace.
    Membership(Membership),
    /// What is left of a deleted workspace, key or principal, in its place.
    Tombstone(Tombstone),
}

impl Record {
    /// What the record is known by.
    #[must_use]
    pub fn id(&self) -> RecordId {
        match self {
            Self::Workspace(workspace) => RecordId::Workspace(workspace.id.clone()),
            Self::Key(key) => RecordId::Key(key.id),
            Self::AdminKey(admin) => RecordId::AdminKey(admin.id),
            Self::Credits(credits) => RecordId::Credits(credits.key),
            Self::Usage(usage) => RecordId::Usage(usage.key),
            Self::Request(request) => RecordId::Request(request.id),
            Self::Principal(principal) => RecordId::Principal(principal.id.clone()),
            Self::Membership(membership) => {
                RecordId::Membership(membership.workspace.clone(), membership.principal.clone())
            }
            Self::Tombstone(tombstone) => match &tombstone.of {
                Buried::Workspace(id) => RecordId::Workspace(id.clone()),
                Buried::Key { id, .. } => RecordId::Key(*id),
                Buried::Principal(id) => RecordId::Principal(id.clone()),
            },
        }
    }
}

/// What a record is known by.
#[derive(Clone, PartialEq, Eq, Hash)]
pub enum RecordId {
    /// A workspace's.
    Workspace(WorkspaceId),
    /// A key's.
    Key(KeyId),
    /// An admin key's.
    AdminKey(AdminKeyId),
    /// Those of a key's credits.
    Credits(KeyId),
    /// That of a key's usage.
    Usage(KeyId),
    /// A request's.
    Request(RequestId),
    /// A principal's.
    Principal(String),
    /// A membership's: the workspace and the principal.
    Membership(WorkspaceId, String),
}

impl fmt::Display for RecordId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Workspace(id) => write!(f, "workspace {id}"),
            Self::Key(id) => write!(f, "key {id}"),
            Self::AdminKey(id) => write!(f, "admin key {id}"),
            Self::Credits(id) => write!(f, "credits of key {id}"),
            Self::Usage(id) => write!(f, "usage of key {id}"),
            Self::Request(id) => write!(f, "request {id}"),
            Self::Principal(id) => write!(f, "principal {id}"),
            Self::Membership(workspace, id) => write!(f, "membership {workspace}/{id}"),
        }
    }
}

impl fmt::Debug for RecordId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A record and the commit that wrote it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Versioned<T = Record> {
    /// The record.
    pub record: T,
    /// The commit that wrote it.
    pub revision: Revision,
}

/// One change, which happens whole or not at all.
#[derive(Clone, Debug)]
pub struct Batch {
    /// What it writes; each record once. A batch that writes nothing is for
    /// its audit entry.
    pub writes: Vec<Write>,
    /// What else has to hold for it to happen.
    pub requires: Vec<Requirement>,
    /// What the audit log says of it.
    pub audit: AuditEntry,
    /// What it did beside that, where whoever may read of the one may not read
    /// of the other: of another log, most often.
    pub beside: Option<AuditEntry>,
}

/// One record to write, and what has to hold for it.
#[derive(Clone, Debug)]
pub struct Write {
    /// The record.
    pub record: Record,
    /// What is there now, or the batch conflicts.
    pub expect: Expect,
}

/// What a batch does not write but relies on.
#[derive(Clone, Debug)]
pub enum Requirement {
    /// A record.
    Record {
        /// Which one.
        id: RecordId,
        /// What is there now, or the batch conflicts.
        expect: Expect,
    },
    /// That the principal of this id has no key that is not deleted, or the
    /// batch conflicts.
    NoKeysOf(String),
}

/// Which records to read one after the other.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum List {
    /// All workspaces.
    Workspaces,
    /// All admin keys.
    AdminKeys,
    /// All keys.
    Keys,
    /// The keys of one workspace.
    KeysOf(WorkspaceId),
    /// The keys of one principal.
    KeysOfPrincipal(String),
    /// All principals.
    Principals,
    /// All memberships.
    Memberships,
    /// The memberships in one workspace.
    MembershipsOf(WorkspaceId),
    /// The memberships of one principal.
    MembershipsOfPrincipal(String),
}

/// What has to be there for a write to happen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Expect {
    /// Nothing.
    Absent,
    /// What this commit wrote.
    At(Revision),
}

/// A change that is durable.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Commit {
    /// Its number: one more than that of the commit before it.
    pub revision: Revision,
    /// What it wrote.
    pub changes: Vec<Change>,
}

/// One record that a commit wrote.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Change {
    /// What was there before.
    pub before: Option<Record>,
    /// What is there now.
    pub after: Record,
}

/// The commits after a revision, in order and without a gap. It ends when the
/// store is closed.
pub type Commits = Receiver<Arc<Commit>>;

/// A future that can be sent between threads.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Whether the store takes changes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StoreHealth {
    /// It does.
    Sound,
    /// It failed and will take none until the process is started again.
    Lost,
}

/// The durable truth.
pub trait Store: Send + Sync + fmt::Debug {
    /// The store's id.
    fn id(&self) -> StoreId;

    /// All records at one revision. Must run to its end once before the first
    /// commit. Blocks: not for async code.
    ///
    /// # Errors
    ///
    /// The store cannot be served, and why.
    fn snapshot(&self) -> Result<Snapshot, OpenError>;

    /// The commits after `after`. Blocks: not for async code.
    ///
    /// # Errors
    ///
    /// [`StoreError::Compacted`] if they are no longer held;
    /// [`StoreError::Unavailable`] if the store is closed.
    fn follow(&self, after: Revision) -> Result<Commits, StoreError>;

    /// Makes a change durable. Followers are sent it before this returns.
    ///
    /// # Errors
    ///
    /// [`StoreError::certainly_not_applied`] tells which of them leave the
    /// outcome open.
    fn commit(&self, batch: Batch) -> BoxFuture<'_, Result<Revision, StoreError>>;

    /// Makes durable how much of these accounts is reserved, each if it is as
    /// its revision says. Followers are sent it before this returns.
    ///
    /// This is the one change without an audit entry: nobody decides it, and
    /// there is one for every block of credits. What is decided of credits
    /// comes with an entry, by [`Self::commit`].
    ///
    /// # Errors
    ///
    /// As for [`Self::commit`].
    fn reserve(
        &self,
        accounts: Vec<Versioned<Credits>>,
    ) -> BoxFuture<'_, Result<Revision, StoreError>>;

    /// Makes durable how these keys were used, each named once, together with what
    /// is stored of that: nothing of it goes back. Keys that are deleted are passed
    /// by.
    /// Followers are sent an empty commit, for the count is made in memory.
    ///
    /// As [`Self::reserve`], it has no audit entry.
    ///
    /// # Errors
    ///
    /// As for [`Self::commit`].
    fn note_usage(&self, usages: Vec<Usage>) -> BoxFuture<'_, Result<Revision, StoreError>>;

    /// Reads one record. May wait for the disk.
    ///
    /// # Errors
    ///
    /// [`StoreError::Damaged`] or [`StoreError::Unavailable`].
    fn get(&self, id: &RecordId) -> Result<Option<Versioned>, StoreError>;

    /// Reads at most `limit` records of `list`, in the order of their ids, from
    /// behind `after` on. May wait for the disk.
    ///
    /// # Errors
    ///
    /// [`StoreError::Damaged`] or [`StoreError::Unavailable`].
    fn list(
        &self,
        list: &List,
        after: Option<&RecordId>,
        limit: usize,
    ) -> Result<Vec<Versioned>, StoreError>;

    /// Reads at most `limit` events of `log`, newest first, from before the
    /// position `before` on, or from the newest. May wait for the disk.
    ///
    /// # Errors
    ///
    /// [`StoreError::Damaged`], also if an event is missing, or
    /// [`StoreError::Unavailable`].
    fn audit(
        &self,
        log: &AuditLog,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Vec<AuditEvent>, StoreError>;

    /// Whether the store takes changes, now and as that changes.
    fn health(&self) -> watch::Receiver<StoreHealth>;

    /// Takes no more changes, finishes those under way and lets go of the
    /// files. Blocks: not for async code.
    fn close(&self);
}
