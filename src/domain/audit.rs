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

/// The actor of what the server does by itself.
pub const KEYWARD: &str = "keyward";

/// The actor of a call without a valid admin token.
pub const UNKNOWN: &str = "unknown";

/// What was done, before it has its place in a chain.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AuditEntry {
    /// The workspace in whose chain it belongs; none: the system's.
    pub workspace: Option<WorkspaceId>,
    /// When.
    pub time: Timestamp,
    /// The id of the admin key that acted, [`OFFLINE`], [`KEYWARD`] or
    /// [`UNKNOWN`].
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
    /// An OWNER of the system was made beside a stopped server.
    Recover,
    /// A call was refused.
    DenyCall,
    /// A workspace was created.
    CreateWorkspace,
    /// A workspace was changed.
    UpdateWorkspace,
    /// A workspace was switched off.
    DisableWorkspace,
    /// A workspace was switched on again.
    EnableWorkspace,
    /// A workspace was deleted.
    DeleteWorkspace,
    /// A key was issued.
    CreateKey,
    /// A key of another product was imported.
    ImportKey,
    /// The token of a key that was just issued was shown again.
    RepeatKey,
    /// A key was changed.
    UpdateKey,
    /// A key was switched off.
    DisableKey,
    /// A key was switched on again.
    EnableKey,
    /// A key was given a new token.
    RotateKey,
    /// The old token of a key was ended.
    FinishRotation,
    /// The new token of a key was ended, and the old one works on.
    CancelRotation,
    /// A new token was first used, so that the old one has an end.
    FirstUse,
    /// A key was revoked.
    RevokeKey,
    /// What was left of a key was deleted.
    DeleteKey,
    /// A principal was made.
    CreatePrincipal,
    /// A principal was changed.
    UpdatePrincipal,
    /// A principal was switched off, with all its keys.
    DisablePrincipal,
    /// A principal was switched on again.
    EnablePrincipal,
    /// A principal was deleted.
    DeletePrincipal,
    /// What a principal may do in a workspace was set.
    SetMembership,
    /// A principal was taken out of a workspace.
    RemoveMembership,
    /// The credits of a key were set, or taken away.
    SetCredits,
    /// Credits were added to those of a key, or taken from them.
    AdjustCredits,
    /// An admin key was made.
    CreateAdmin,
    /// An admin key was changed.
    UpdateAdmin,
    /// An admin key was given a new token.
    RotateAdmin,
    /// An admin key was revoked.
    RevokeAdmin,
}

impl AuditAction {
    /// All that can be done.
    pub const ALL: [Self; 33] = [
        Self::Init,
        Self::Recover,
        Self::DenyCall,
        Self::CreateWorkspace,
        Self::UpdateWorkspace,
        Self::DisableWorkspace,
        Self::EnableWorkspace,
        Self::DeleteWorkspace,
        Self::CreateKey,
        Self::ImportKey,
        Self::RepeatKey,
        Self::UpdateKey,
        Self::DisableKey,
        Self::EnableKey,
        Self::RotateKey,
        Self::FinishRotation,
        Self::CancelRotation,
        Self::FirstUse,
        Self::RevokeKey,
        Self::DeleteKey,
        Self::CreatePrincipal,
        Self::UpdatePrincipal,
        Self::DisablePrincipal,
        Self::EnablePrincipal,
        Self::DeletePrincipal,
        Self::SetMembership,
        Self::RemoveMembership,
        Self::SetCredits,
        Self::AdjustCredits,
        Self::CreateAdmin,
        Self::UpdateAdmin,
        Self::RotateAdmin,
        Self::RevokeAdmin,
    ];

    /// The action's name in audit records.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Init => "store.init",
            Self::Recover => "admin.recover",
            Self::DenyCall => "call.deny",
            Self::CreateWorkspace => "workspace.create",
            Self::UpdateWorkspace => "workspace.update",
            Self::DisableWorkspace => "workspace.disable",
            Self::EnableWorkspace => "workspace.enable",
            Self::DeleteWorkspace => "workspace.delete",
            Self::CreateKey => "key.create",
            Self::ImportKey => "key.import",
            Self::RepeatKey => "key.repeat",
            Self::UpdateKey => "key.update",
            Self::DisableKey => "key.disable",
            Self::EnableKey => "key.enable",
            Self::RotateKey => "key.rotate",
            Self::FinishRotation => "key.rotation_finish",
            Self::CancelRotation => "key.rotation_cancel",
            Self::FirstUse => "key.first_use",
            Self::RevokeKey => "key.revoke",
            Self::DeleteKey => "key.delete",
            Self::CreatePrincipal => "principal.create",
            Self::UpdatePrincipal => "principal.update",
            Self::DisablePrincipal => "principal.disable",
            Self::EnablePrincipal => "principal.enable",
            Self::DeletePrincipal => "principal.delete",
            Self::SetMembership => "membership.set",
            Self::RemoveMembership => "membership.remove",
            Self::SetCredits => "credits.set",
            Self::AdjustCredits => "credits.adjust",
            Self::CreateAdmin => "admin.create",
            Self::UpdateAdmin => "admin.update",
            Self::RotateAdmin => "admin.rotate",
            Self::RevokeAdmin => "admin.revoke",
        }
    }
}

/// What was done, as it is read back from its chain.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AuditEvent {
    /// The workspace in whose chain it is; none: the system's.
    pub workspace: Option<WorkspaceId>,
    /// Its place in the chain, from 1, without gaps.
    pub sequence: u64,
    /// Its place in the log of everything, from 1, without gaps.
    pub number: u64,
    /// The number of the commit that wrote it.
    pub revision: u64,
    /// When it was done.
    pub time: Timestamp,
    /// The id of the admin key that acted, [`OFFLINE`], [`KEYWARD`] or
    /// [`UNKNOWN`].
    pub actor: String,
    /// What was done: the name of an [`AuditAction`].
    pub action: String,
    /// The id of what it was done to.
    pub resource: String,
    /// What is worth knowing of it.
    pub detail: BTreeMap<String, String>,
}

/// Which events to read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum AuditLog {
    /// All, of all chains, by the order of commits.
    All,
    /// Those of one chain: a workspace's, or, without one, the system's.
    Of(Option<WorkspaceId>),
}

impl AuditLog {
    /// Where an event stands in this log: later ones have higher numbers.
    #[must_use]
    pub const fn position(&self, event: &AuditEvent) -> u64 {
        match self {
            Self::All => event.number,
            Self::Of(_) => event.sequence,
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
