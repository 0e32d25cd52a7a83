//! The key: the managed record behind a token.

use std::collections::BTreeMap;

use super::clock::Timestamp;
use super::id::{KeyId, WorkspaceId};
use super::limit::LimitSet;
use super::scope::ScopeSet;
use super::source::SourceRanges;
use super::token::{EnvironmentName, TokenPrefix};

pub use super::secret::Secret;

/// A managed API key. It holds digests, never a token.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Key {
    /// The id.
    pub id: KeyId,
    /// Where it can be used.
    pub bond: Bond,
    /// Its environment; none, if the workspace has none, or, for a personal key,
    /// if it is good where the default of the workspace is asked for.
    pub environment: Option<EnvironmentName>,
    /// Whoever acts with it.
    pub principal: String,
    /// The name for people.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// What it may do.
    pub scopes: ScopeSet,
    /// What is handed to the gateway with each allowed check.
    pub metadata: BTreeMap<String, String>,
    /// What is kept of its tokens: at most two, the one that stands for it from
    /// now on last.
    pub secrets: Vec<Secret>,
    /// When it was created.
    pub create_time: Timestamp,
    /// The id of the admin key that created it.
    pub created_by: String,
    /// When it stops working; none: when it is revoked.
    pub expire_time: Option<Timestamp>,
    /// Whether it is switched off.
    pub disabled: bool,
    /// Its end, once it is revoked.
    pub revocation: Option<Revocation>,
    /// How much checks of it may spend.
    pub limits: LimitSet,
    /// Where requests with it may come from.
    pub source_addresses: SourceRanges,
}

/// Where a key can be used.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Bond {
    /// In this workspace.
    Workspace(WorkspaceId),
    /// In each workspace that its principal is a member of; the check names
    /// which.
    Personal {
        /// What its tokens start with.
        token_prefix: TokenPrefix,
    },
}

impl Bond {
    /// The workspace that the key is bound to; none: it is personal.
    #[must_use]
    pub const fn workspace(&self) -> Option<&WorkspaceId> {
        match self {
            Self::Workspace(id) => Some(id),
            Self::Personal { .. } => None,
        }
    }
}

impl Key {
    /// The workspace that it is bound to; none: it is personal.
    #[must_use]
    pub const fn workspace(&self) -> Option<&WorkspaceId> {
        self.bond.workspace()
    }

    /// Whether the key works at `now`, and if not, why.
    #[must_use]
    pub fn state(&self, now: Timestamp) -> KeyState {
        KeyState::of(
            self.revocation.as_ref(),
            self.expire_time,
            self.disabled,
            now,
        )
    }
}

/// The end of a key, which is final.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Revocation {
    /// When.
    pub time: Timestamp,
    /// Why.
    pub reason: RevocationReason,
    /// The id of the admin key that did it.
    pub by: String,
    /// More of why, for people.
    pub note: String,
}

/// Why a key was revoked.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum RevocationReason {
    /// No reason was given.
    #[default]
    Unspecified,
    /// It is no longer needed.
    Unused,
    /// Another key has taken its place.
    Superseded,
    /// Its principal has left or lost the right to it.
    PrivilegeWithdrawn,
    /// Its token became known to others.
    Leaked,
    /// It was used against the rules.
    Abused,
}

impl RevocationReason {
    /// The reason in words of audit records and logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unspecified => "unspecified",
            Self::Unused => "unused",
            Self::Superseded => "superseded",
            Self::PrivilegeWithdrawn => "privilege_withdrawn",
            Self::Leaked => "leaked",
            Self::Abused => "abused",
        }
    }
}

/// Whether a key works.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum KeyState {
    /// It works.
    Active,
    /// Its expiry has passed.
    Expired,
    /// It is switched off, which can be undone.
    Disabled,
    /// It was revoked, for good.
    Revoked,
}

impl KeyState {
    /// The first ground not to work, in the verdict's order.
    pub(super) fn of(
        revocation: Option<&Revocation>,
        expire_time: Option<Timestamp>,
        disabled: bool,
        now: Timestamp,
    ) -> Self {
        if revocation.is_some() {
            Self::Revoked
        } else if expire_time.is_some_and(|expiry| expiry <= now) {
            Self::Expired
        } else if disabled {
            Self::Disabled
        } else {
            Self::Active
        }
    }
}
