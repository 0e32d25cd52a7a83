//! What is left of a deleted key, workspace or principal, so that neither its id
//! nor a token of it is ever used again.

use super::clock::Timestamp;
use super::id::{KeyId, WorkspaceId};
use super::secret::Secret;

/// What is left of a deleted record.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Tombstone {
    /// What was deleted.
    pub of: Buried,
    /// When.
    pub time: Timestamp,
    /// The id of the admin key that did it.
    pub by: String,
}

/// What was deleted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Buried {
    /// A workspace.
    Workspace(WorkspaceId),
    /// A key.
    Key {
        /// The id.
        id: KeyId,
        /// The workspace that it was bound to; none: it was personal.
        workspace: Option<WorkspaceId>,
        /// The digests that stay reserved.
        secrets: Vec<Secret>,
    },
    /// A principal.
    Principal(String),
}
