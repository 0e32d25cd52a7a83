//! Why a call of an operator fails.

use thiserror::Error;
use tracing::error;

use crate::domain::admin::Role;
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
}

impl Kind {
    /// The kind in the words of the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Workspace => "workspace",
            Self::Key => "key",
        }
    }
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
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
    Unauthenticated(DenialReason),
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
    #[error("the admin key may not grant: {}", .0.join(" "))]
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
    /// The id is taken.
    #[error("the {kind} {id} exists already")]
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

fn shown(id: &str) -> String {
    if id.is_empty() {
        String::new()
    } else {
        format!(": {id}")
    }
}

impl RegistryError {
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
