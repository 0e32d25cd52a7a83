//! What was done, by whom: entries, and the chains that hold them.
//!
//! Each workspace has a chain, and so has the system. A link carries the keyed
//! hash of the one before it, so that none can be changed, dropped or put in
//! between unseen. The newest hash is part of the state digest, so that a
//! tail cut off shows too.

use std::collections::BTreeMap;
use std::fmt;

use super::clock::Timestamp;
use super::id::WorkspaceId;

/// The actor of what is done on the command line beside a stopped server.
pub const OFFLINE: &str = "offline";

/// What was done, before it has its place in a chain.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AuditEntry {
    /// The workspace in whose chain it belongs; none: the system's.
    pub workspace: Option<WorkspaceId>,
    /// When.
    pub time: Timestamp,
    /// The id of the admin key that acted, or [`OFFLINE`].
    pub actor: String,
    /// What was done.
    pub action: AuditAction,
    /// The id of what it was done to.
    pub resource: String,
    /// What is worth knowing of it. Never a token.
    pub detail: BTreeMap<String, String>,
}

/// What can be done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AuditAction {
    /// A store was made, with its first admin key.
    Init,
    /// A workspace was created.
    CreateWorkspace,
    /// A key was issued.
    CreateKey,
    /// A key was revoked.
    RevokeKey,
}

impl AuditAction {
    /// The action's name in audit records.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Init => "store.init",
            Self::CreateWorkspace => "workspace.create",
            Self::CreateKey => "key.create",
            Self::RevokeKey => "key.revoke",
        }
    }
}

/// The newest link of a chain.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct AuditHead {
    /// Its place in the chain, from 1; 0: the chain is empty.
    pub sequence: u64,
    /// Its keyed hash; zeros: the chain is empty.
    pub hash: [u8; 32],
}

impl fmt::Debug for AuditHead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AuditHead({})", self.sequence)
    }
}
