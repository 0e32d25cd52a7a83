//! Why a call of an operator fails.

use std::fmt;
use std::sync::Arc;

use thiserror::Error;
use tracing::error;

use crate::domain::admin::{AdminKey, Role};
use crate::domain::clock::Timestamp;
use crate::domain::verdict::DenialReason;
use crate::domain::violation::Violations;
use crate::store::StoreError;

/// A kind of resource, as errors name it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// A workspace.
    Workspace,
    /// A key.
    Key,
    /// An admin key.
    AdminKey,
    /// A principal.
    Principal,
    /// A principal's membership in a workspace.
    Membership,
}

impl Kind {
    /// The kind in the words of the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Workspace => "workspace",
            Self::Key => "key",
            Self::AdminKey => "admin_key",
            Self::Principal => "principal",
            Self::Membership => "membership",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Workspace => "workspace",
            Self::Key => "key",
            Self::AdminKey => "admin key",
            Self::Principal => "principal",
            Self::Membership => "membership",
        })
    }
}

/// How many keys are counted for whoever is told that there are some.
pub const MAX_COUNTED: usize = 100;

/// What has to change before a call can be carried out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Condition {
    /// It is revoked, for good.
    Revoked,
    /// It is not revoked yet.
    NotRevoked,
    /// It was revoked, but not long enough ago.
    RetentionNotOver {
        /// When it will be.
        until: Timestamp,
    },
    /// Its workspace is switched off.
    WorkspaceDisabled,
    /// The workspace is switched on.
    WorkspaceEnabled,
    /// The workspace holds keys, or admin keys that are not revoked.
    WorkspaceNotEmpty,
    /// The principal is switched off.
    PrincipalDisabled,
    /// The principal was deleted.
    PrincipalDeleted,
    /// The principal has keys that are not deleted.
    PrincipalHasKeys {
        /// How many; [`MAX_COUNTED`] stands for as many or more.
        keys: usize,
    },
    /// The principal was taken out of the workspace.
    MembershipRemoved,
    /// It has no credits.
    NoCredits,
    /// Without it, nobody could rule the system.
    LastOwner,
    /// An old token works on beside the new one.
    RotationPending {
        /// When that ends; none: some time after the new one is first used.
        until: Option<Timestamp>,
    },
    /// No old token works beside the new one.
    NoRotation,
    /// Its expiry has passed.
    Expired,
}

impl Condition {
    /// The condition's name in the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Revoked => "REVOKED",
            Self::NotRevoked => "NOT_REVOKED",
            Self::RetentionNotOver { .. } => "RETENTION_NOT_OVER",
            Self::WorkspaceDisabled => "WORKSPACE_DISABLED",
            Self::WorkspaceEnabled => "WORKSPACE_ENABLED",
            Self::WorkspaceNotEmpty => "WORKSPACE_NOT_EMPTY",
            Self::PrincipalDisabled => "PRINCIPAL_DISABLED",
            Self::PrincipalDeleted => "PRINCIPAL_DELETED",
            Self::PrincipalHasKeys { .. } => "PRINCIPAL_HAS_KEYS",
            Self::MembershipRemoved => "MEMBERSHIP_REMOVED",
            Self::NoCredits => "NO_CREDITS",
            Self::LastOwner => "LAST_OWNER",
            Self::RotationPending { .. } => "ROTATION_PENDING",
            Self::NoRotation => "NO_ROTATION",
            Self::Expired => "EXPIRED",
        }
    }
}

/// What stands in the way, and what to do about it.
impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Revoked => f.write_str("is revoked, which is final"),
            Self::NotRevoked => f.write_str("is not revoked: revoke it first"),
            Self::RetentionNotOver { until } => {
                write!(f, "was revoked too recently: it can be deleted from {until} on")
            }
            Self::WorkspaceDisabled => {
                f.write_str("is disabled: enable it first")
            }
            Self::WorkspaceEnabled => f.write_str("is enabled: disable it first"),
            Self::WorkspaceNotEmpty => f.write_str(
                "is not empty: delete its keys, revoked ones too, and revoke its admin keys first",
            ),
            Self::PrincipalDisabled => {
                f.write_str("is disabled: enable it first, by EnablePrincipal")
            }
            Self::PrincipalDeleted => f.write_str(
                "was deleted, and keeps its id: use another principal",
            ),
            Self::PrincipalHasKeys { keys } => {
                let (least, s) = match *keys {
                    MAX_COUNTED.. => ("at least ", "s"),
                    1 => ("", ""),
                    _ => ("", "s"),
                };
                write!(
                    f,
                    "has {least}{keys} key{s}: revoke and delete them first, or disable the principal, which stops them all at once"
                )
            }
            Self::MembershipRemoved => {
                f.write_str("was removed: set it again first, by SetMembership")
            }
            Self::NoCredits => f.write_str("has no credits, and needs none: set some first"),
            Self::LastOwner => f.write_str(
                "is the last OWNER of the system that works, never expires and may grant everything: make another one first",
            ),
            Self::RotationPending { until: Some(until) } => write!(
                f,
                "has an old token that works until {until}: wait, or rotate with an overlap of zero, which ends all old tokens"
            ),
            Self::RotationPending { until: None } => f.write_str(
                "has an old token that works until the new one was used: finish or cancel that first, or rotate with an overlap of zero, which ends all old tokens",
            ),
            Self::NoRotation => f.write_str("has one token that works, and none is being replaced"),
            Self::Expired => f.write_str("has expired: give it another expiry first"),
        }
    }
}

/// Why a call of an operator fails.
#[derive(Debug, Error)]
pub enum RegistryError {
    /// Fields of the request are not acceptable.
    #[error("{0}")]
    Invalid(Violations),
    /// There is no admin token, or none that is valid.
    #[error("a valid admin token is needed: send it as `authorization: Bearer <token>`")]
    Unauthenticated {
        /// What is wrong with what was sent.
        denial: DenialReason,
        /// The admin key whose token it was, which the caller is not told.
        admin: Option<Arc<AdminKey>>,
    },
    /// The admin key's role does not allow the call.
    #[error("this needs the role {required}; the admin key has {role}")]
    RoleInsufficient {
        /// The role that it has.
        role: Role,
        /// The least role that would do.
        required: Role,
    },
    /// The call is for admins of the system.
    #[error("this is for admin keys of the whole system; this one is of a workspace")]
    NotOfTheSystem,
    /// The key would have scopes that the admin key may not grant.
    #[error("the admin key may not grant: {}", some(.0))]
    GrantCeiling(Vec<String>),
    /// There is no such resource, for all that the caller may know.
    #[error("there is no such {kind}{}", shown(.id))]
    NotFound {
        /// The kind of resource.
        kind: Kind,
        /// The id that was asked for; empty, if it is no id at all: what else
        /// the caller sent, perhaps a token, is not sent back.
        id: String,
    },
    /// There is one, and the caller may not know of it: told in the same words
    /// as [`Self::NotFound`].
    #[error("there is no such {kind}{}", shown(.id))]
    Hidden {
        /// The kind of resource.
        kind: Kind,
        /// The id that was asked for.
        id: String,
    },
    /// The request was carried out before, and its token is gone.
    #[error(
        "this request_id has issued the key {id} already, and its token is no longer held: rotate that key for another token, or revoke it and issue another under a new request_id"
    )]
    Issued {
        /// The id of the key.
        id: String,
    },
    /// The caller has read an older state of the resource.
    #[error(
        "the {kind} {id} has changed since it was read; nothing was changed: read it again, and decide again"
    )]
    EtagMismatch {
        /// The kind of resource.
        kind: Kind,
        /// The id.
        id: String,
    },
    /// The resource is not in a state in which this can be done.
    #[error("the {kind} {id} {condition}")]
    Precondition {
        /// The kind of resource.
        kind: Kind,
        /// The id.
        id: String,
        /// What stands in the way.
        condition: Condition,
    },
    /// The id is taken.
    #[error("the {kind} {id} exists already, or was deleted and keeps its id")]
    Exists {
        /// The kind of resource.
        kind: Kind,
        /// The id.
        id: String,
    },
    /// Others kept changing the same resource.
    #[error("the {kind} {id} was being changed by others; nothing was changed: try again")]
    Conflict {
        /// The kind of resource.
        kind: Kind,
        /// The id.
        id: String,
    },
    /// Uses of keys are not counted, so that all of them look unused.
    #[error(
        "the server does not count uses of keys, so it cannot tell which are unused: leave `unused_since` and `never_used` out, or start it with `usage.count` on"
    )]
    UsageNotCounted,
    /// The store takes no changes.
    #[error("the store takes no changes; nothing was changed: see the server's log")]
    StoreUnavailable,
    /// The store failed on the way.
    #[error(
        "the store failed while it made the change; whether it took effect is not known: read before you try again"
    )]
    OutcomeUnknown,
    /// Something is wrong that the caller can do nothing about.
    #[error("something is wrong on the server: see its log")]
    Internal,
}

/// The first of many scopes, for a sentence: all of them could be longer than
/// a client takes in a header.
fn some(scopes: &[String]) -> String {
    const TOLD: usize = 3;
    match scopes.split_at_checked(TOLD) {
        Some((told, more)) if !more.is_empty() => {
            format!("{} and {} more", told.join(" "), more.len())
        }
        Some(_) | None => scopes.join(" "),
    }
}

fn shown(id: &str) -> String {
    if id.is_empty() {
        String::new()
    } else {
        format!(": {id}")
    }
}

impl RegistryError {
    /// All that [`Self::denial`] can give.
    pub const DENIALS: [&str; 5] = [
        "ADMIN_TOKEN_INVALID",
        "ROLE_INSUFFICIENT",
        "NOT_OF_THE_SYSTEM",
        "GRANT_CEILING_EXCEEDED",
        "NOT_VISIBLE",
    ];

    /// What a denied call is called in the audit log; none, if it failed for
    /// another reason than the caller's rights.
    #[must_use]
    pub const fn denial(&self) -> Option<&'static str> {
        match self {
            Self::Unauthenticated { .. } => Some("ADMIN_TOKEN_INVALID"),
            Self::RoleInsufficient { .. } => Some("ROLE_INSUFFICIENT"),
            Self::NotOfTheSystem => Some("NOT_OF_THE_SYSTEM"),
            Self::GrantCeiling(_) => Some("GRANT_CEILING_EXCEEDED"),
            Self::Hidden { .. } => Some("NOT_VISIBLE"),
            Self::Invalid(_)
            | Self::NotFound { .. }
            | Self::Issued { .. }
            | Self::EtagMismatch { .. }
            | Self::Precondition { .. }
            | Self::Exists { .. }
            | Self::Conflict { .. }
            | Self::UsageNotCounted
            | Self::StoreUnavailable
            | Self::OutcomeUnknown
            | Self::Internal => None,
        }
    }

    /// The error for a store's that is not the caller's doing. What the store
    /// said goes to the log, and no further.
    pub(super) fn from_store(failure: &StoreError, kind: Kind, id: &str) -> Self {
        match failure {
            StoreError::Conflict(_) => Self::Conflict {
                kind,
                id: id.to_owned(),
            },
            StoreError::Unavailable => Self::StoreUnavailable,
            StoreError::OutcomeUnknown => Self::OutcomeUnknown,
            StoreError::Damaged(_) | StoreError::TooLarge { .. } | StoreError::Compacted(_) => {
                error!(error = %failure, "store call failed");
                Self::Internal
            }
        }
    }
}

impl From<Violations> for RegistryError {
    fn from(violations: Violations) -> Self {
        Self::Invalid(violations)
    }
}
