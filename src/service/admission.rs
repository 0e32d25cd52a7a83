//! Who is behind an admin call, and what that admin key may do.

use std::sync::Arc;

use crate::domain::admin::{AdminKey, Deed, Place, Reach, Refusal};
use crate::domain::clock::Clock;
use crate::domain::credential::{self, CredentialError, Scratch};
use crate::domain::digest::TokenHasher;
use crate::domain::id::WorkspaceId;
use crate::domain::scope::{Scope, ScopeSet};
use crate::domain::token::{self, Shape};
use crate::domain::verdict::DenialReason;
use crate::index::Index;

use super::error::{Kind, RegistryError};

/// An admin key that has proved itself.
#[derive(Clone, Debug)]
pub struct Actor(Arc<AdminKey>);

impl Actor {
    /// The id of the admin key, as records name it.
    #[must_use]
    pub fn id(&self) -> String {
        self.0.id.to_string()
    }

    /// The workspace that the admin key is confined to; none: the system's.
    #[must_use]
    pub fn workspace(&self) -> Option<&WorkspaceId> {
        match &self.0.reach {
            Reach::System => None,
            Reach::Workspace(id) => Some(id),
        }
    }

    /// The admin key itself.
    #[must_use]
    pub fn admin(&self) -> &AdminKey {
        &self.0
    }

    /// Lets a deed of the whole system pass.
    pub(super) fn may(&self, deed: Deed) -> Result<(), RegistryError> {
        self.may_at(deed, Place::System, Kind::Workspace, "")
    }

    /// Lets a deed at `place` pass. A caller who may not know of it is told
    /// that there is no `kind` of this `id`.
    pub(super) fn may_at(
        &self,
        deed: Deed,
        place: Place<'_>,
        kind: Kind,
        id: &str,
    ) -> Result<(), RegistryError> {
        self.0
            .may(deed, place)
            .map_err(|refusal| self.refusal(refusal, kind, id))
    }

    /// Lets scopes pass that this admin key may hand out.
    pub(super) fn may_grant(&self, scopes: &ScopeSet) -> Result<(), RegistryError> {
        let ceiling = &self.0.grant_ceiling;
        let beyond: Vec<_> = scopes
            .iter()
            .filter(|scope| !ceiling.covers(scope))
            .map(ToString::to_string)
            .collect();
        if beyond.is_empty() {
            Ok(())
        } else {
            Err(RegistryError::GrantCeiling(beyond))
        }
    }

    /// The most that this admin key may hand out: `*` alone, if that is in it.
    pub(super) fn hands_out(&self) -> ScopeSet {
        let everything = Scope::try_from("*").ok();
        let everything = everything.filter(|all| self.0.grant_ceiling.covers(all));
        everything.map_or_else(
            || self.0.grant_ceiling.clone(),
            |everything| ScopeSet::new([everything]),
        )
    }

    /// Lets pass what decides on keys of any scopes.
    pub(super) fn may_grant_everything(&self) -> Result<(), RegistryError> {
        const EVERYTHING: &str = "*";
        if self.0.grant_ceiling.meets(EVERYTHING) {
            Ok(())
        } else {
            Err(RegistryError::GrantCeiling(vec![EVERYTHING.to_owned()]))
        }
    }

    /// What to tell of a `kind` that is not there. Who is confined to a
    /// workspace is refused as if it were another's: he can read his refusals
    /// in the audit log, and they are not to tell one from the other.
    pub(super) fn absent(&self, kind: Kind, id: &str) -> RegistryError {
        let id = id.to_owned();
        match self.workspace() {
            None => RegistryError::NotFound { kind, id },
            Some(_) => RegistryError::Hidden { kind, id },
        }
    }

    fn refusal(&self, refusal: Refusal, kind: Kind, id: &str) -> RegistryError {
        match refusal {
            Refusal::Invisible => RegistryError::Hidden {
                kind,
                id: id.to_owned(),
            },
            Refusal::NotOfTheSystem => RegistryError::NotOfTheSystem,
            Refusal::Role { required } => RegistryError::RoleInsufficient {
                role: self.0.role,
                required,
            },
        }
    }
}

/// Tells admin keys from everything else.
#[derive(Clone, Debug)]
pub struct Admission {
    index: Arc<Index>,
    hasher: TokenHasher,
    clock: Arc<dyn Clock>,
}

impl Admission {
    /// Admits the admin keys of `index`.
    #[must_use]
    pub fn new(index: Arc<Index>, hasher: TokenHasher, clock: Arc<dyn Clock>) -> Self {
        Self {
            index,
            hasher,
            clock,
        }
    }

    /// Finds the admin key behind a raw `authorization` value.
    ///
    /// # Errors
    ///
    /// [`RegistryError::Unauthenticated`], with the reason.
    pub fn authenticate(&self, authorization: &[u8]) -> Result<Actor, RegistryError> {
        let refuse = |denial, admin| Err(RegistryError::Unauthenticated { denial, admin });
        let mut scratch = Scratch::new();
        let token = match credential::parse(authorization, &mut scratch) {
            Ok(token) => token,
            Err(CredentialError::Missing) => return refuse(DenialReason::Missing, None),
            Err(CredentialError::Malformed) => return refuse(DenialReason::Malformed, None),
        };
        let found = match token::shape(token) {
            Shape::Native => {
                let digest = self.hasher.digest(token);
                self.index.admin(&digest).map(|admin| (admin, digest))
            }
            Shape::BadChecksum | Shape::Foreign => None,
        };
        // A key that is not an admin key is told no more than a stranger.
        let Some((admin, digest)) = found else {
            return refuse(DenialReason::Unknown, None);
        };
        let now = self.clock.now();
        let replaced = admin
            .secrets
            .iter()
            .any(|secret| secret.digest == digest && !secret.is_live(now));
        match admin.denial(now) {
            Some(reason) => refuse(reason, Some(admin)),
            // The token was replaced by another, which works.
            None if replaced => refuse(DenialReason::Expired, Some(admin)),
            None => Ok(Actor(admin)),
        }
    }
}
