//! Principals: made, read, changed, switched off and on.

use tracing::info;

use crate::domain::admin::Deed;
use crate::domain::audit::{AuditAction, AuditEntry};
use crate::domain::clock::Timestamp;
use crate::domain::id::WorkspaceId;
use crate::domain::principal::{Principal, PrincipalDraft, PrincipalPatch, is_principal};
use crate::domain::text::has_token;
use crate::domain::violation::Violations;
use crate::store::{Expect, List, Record, RecordId, Versioned, Write};

use super::super::admission::Actor;
use super::super::error::{Condition, Kind, RegistryError};
use super::walk::{Page, PageQuestion, Walk};
use super::{
    MAX_TRIES, MembershipView, Registry, conflict, entry, etag, precondition, put, refuse_stale,
    told_limits,
};

/// What a workspace's admin is told of a principal that was deleted.
const UNUSABLE: &str = "cannot be used: choose another, or ask an admin of the whole system";

/// A principal, with what stands for its state.
#[derive(Clone, Debug)]
pub struct PrincipalView {
    /// The principal.
    pub principal: Principal,
    /// Stands for this state of it.
    pub etag: String,
}

impl From<Versioned<Principal>> for PrincipalView {
    fn from(found: Versioned<Principal>) -> Self {
        Self {
            principal: found.record,
            etag: etag(found.revision),
        }
    }
}

impl Registry {
    /// Makes a principal, of which keys are to be issued.
    ///
    /// # Errors
    ///
    /// [`RegistryError::Invalid`], [`RegistryError::Exists`], or the caller
    /// may not, or the store fails.
    pub async fn create_principal(
        &self,
        actor: &Actor,
        draft: PrincipalDraft,
    ) -> Result<PrincipalView, RegistryError> {
        actor.may(Deed::ManagePrincipals)?;
        let now = self.clock.now();
        let principal = draft.build(actor.id(), now)?;
        let id = principal.id.clone();
        let audit = entry(
            actor,
            None,
            (AuditAction::CreatePrincipal, now),
            &id,
            [
                ("display_name", principal.display_name.clone()),
                ("limits", told_limits(&principal.limits)),
            ],
        );
        let batch = put(Record::Principal(principal.clone()), Expect::Absent, audit);
        let Some(revision) = self.attempt(actor, batch, Kind::Principal, &id).await? else {
            return Err(RegistryError::Exists {
                kind: Kind::Principal,
                id,
            });
        };
        info!(actor = actor.id(), principal = id, "principal created");
        Ok(PrincipalView {
            principal,
            etag: etag(revision),
        })
    }

    /// Reads a principal, and the first page of its memberships.
    ///
    /// # Errors
    ///
    /// [`RegistryError::NotFound`], or the caller may not, or the store fails.
    pub async fn get_principal(
        &self,
        actor: &Actor,
        id: &str,
    ) -> Result<(PrincipalView, Page<MembershipView>), RegistryError> {
        actor.may(Deed::Read)?;
        let found = self.existing_principal(id, "principal").await?;
        let memberships = self
            .list_memberships(actor, ("", id), PageQuestion::default())
            .await?;
        Ok((found.into(), memberships))
    }

    /// Lists principals.
    ///
    /// # Errors
    ///
    /// [`RegistryError::Invalid`], or the caller may not, or the store fails.
    pub async fn list_principals(
        &self,
        actor: &Actor,
        question: PageQuestion,
    ) -> Result<Page<PrincipalView>, RegistryError> {
        actor.may(Deed::Read)?;
        let walk = Walk {
            name: "principals".to_owned(),
            list: List::Principals,
            // Some were deleted.
            filtered: true,
        };
        let keep = |found| principal_in(found).map(PrincipalView::from);
        self.walk(&walk, &question, keep).await
    }

    /// Changes what is said of a principal.
    ///
    /// # Errors
    ///
    /// [`RegistryError::Invalid`], [`RegistryError::NotFound`],
    /// [`RegistryError::EtagMismatch`], or the caller may not, or the store
    /// fails.
    pub async fn update_principal(
        &self,
        actor: &Actor,
        (id, etag): (&str, &str),
        patch: PrincipalPatch,
    ) -> Result<PrincipalView, RegistryError> {
        actor.may(Deed::ManagePrincipals)?;
        for _ in 0..MAX_TRIES {
            let found = self.existing_principal(id, "principal.id").await?;
            refuse_stale(etag, found.revision, Kind::Principal, id)?;
            let (principal, differing) = patch.clone().apply(&found.record)?;
            if differing.is_empty() {
                return Ok(found.into());
            }
            let what = (AuditAction::UpdatePrincipal, self.clock.now());
            let limits = |principal: &Principal| {
                let limits = Some(&principal.limits).filter(|_| differing.contains(&"limits"));
                limits.map(ToString::to_string).unwrap_or_default()
            };
            let detail = [
                ("fields", differing.join(" ")),
                ("limits_before", limits(&found.record)),
                ("limits", limits(&principal)),
            ];
            let audit = entry(actor, None, what, id, detail);
            if let Some(changed) = self.put_principal(actor, &found, principal, audit).await? {
                return Ok(changed);
            }
        }
        Err(conflict(Kind::Principal, id))
    }

    /// Switches a principal off, with every key of it, or on again. To switch
    /// one on, the caller must be able to grant everything: keys of any scopes
    /// work again. One that is so already stays as it is.
    ///
    /// # Errors
    ///
    /// [`RegistryError::GrantCeiling`], [`RegistryError::NotFound`],
    /// [`RegistryError::EtagMismatch`], or the caller may not, or the store
    /// fails.
    pub async fn switch_principal(
        &self,
        actor: &Actor,
        (id, etag): (&str, &str),
        disabled: bool,
    ) -> Result<PrincipalView, RegistryError> {
        actor.may(Deed::ManagePrincipals)?;
        if !disabled {
            actor.may_grant_everything()?;
        }
        for _ in 0..MAX_TRIES {
            let found = self.existing_principal(id, "principal").await?;
            refuse_stale(etag, found.revision, Kind::Principal, id)?;
            if found.record.disabled == disabled {
                return Ok(found.into());
            }
            let what = if disabled {
                AuditAction::DisablePrincipal
            } else {
                AuditAction::EnablePrincipal
            };
            let principal = Principal {
                disabled,
                ..found.record.clone()
            };
            let audit = entry(actor, None, (what, self.clock.now()), id, []);
            if let Some(changed) = self.put_principal(actor, &found, principal, audit).await? {
                return Ok(changed);
            }
        }
        Err(conflict(Kind::Principal, id))
    }

    /// The principal that is named in a field.
    pub(super) async fn existing_principal(
        &self,
        id: &str,
        field: &str,
    ) -> Result<Versioned<Principal>, RegistryError> {
        if id.is_empty() {
            return Err(Violations::of(field, "is required").into());
        }
        let found = if is_principal(id) {
            self.principal(id).await?
        } else {
            None
        };
        found.ok_or_else(|| RegistryError::NotFound {
            kind: Kind::Principal,
            id: harmless(id),
        })
    }

    /// The principal of this id, which is well formed.
    pub(super) async fn principal(
        &self,
        id: &str,
    ) -> Result<Option<Versioned<Principal>>, RegistryError> {
        let record = RecordId::Principal(id.to_owned());
        let found = self.read(record, Kind::Principal, &harmless(id)).await?;
        Ok(found.and_then(principal_in))
    }

    /// The principal that is to be given a key or a membership, as `field` names
    /// it; none: it is to be made by that. Its id is well formed.
    pub(super) async fn acting_principal(
        &self,
        actor: &Actor,
        (id, field): (&str, &str),
    ) -> Result<Option<Versioned<Principal>>, RegistryError> {
        let record = RecordId::Principal(id.to_owned());
        let found = self.read(record, Kind::Principal, &harmless(id)).await?;
        match (found, actor.workspace()) {
            (
                Some(Versioned {
                    record: Record::Tombstone(_),
                    ..
                }),
                None,
            ) => Err(precondition(
                Kind::Principal,
                id,
                Condition::PrincipalDeleted,
            )),
            // Of principals, a workspace's admins learn nothing: also not that
            // there was one.
            (
                Some(Versioned {
                    record: Record::Tombstone(_),
                    ..
                }),
                Some(_),
            ) => Err(Violations::of(field, UNUSABLE).into()),
            (found, _) => Ok(found.and_then(principal_in)),
        }
    }

    /// Puts a changed principal in the place of the one that was found.
    async fn put_principal(
        &self,
        actor: &Actor,
        found: &Versioned<Principal>,
        principal: Principal,
        audit: AuditEntry,
    ) -> Result<Option<PrincipalView>, RegistryError> {
        let (id, what) = (principal.id.clone(), audit.action.as_str());
        let record = Record::Principal(principal.clone());
        let batch = put(record, Expect::At(found.revision), audit);
        let committed = self.attempt(actor, batch, Kind::Principal, &id).await?;
        Ok(committed.map(|revision| {
            info!(
                actor = actor.id(),
                principal = id,
                what,
                "principal changed"
            );
            PrincipalView {
                principal,
                etag: etag(revision),
            }
        }))
    }
}

/// The write that makes a principal of which nothing is known but its id.
pub(super) fn made(principal: &str, actor: &Actor, now: Timestamp) -> Write {
    Write {
        record: Record::Principal(Principal::plain(principal, actor.id(), now)),
        expect: Expect::Absent,
    }
}

/// What the system's log says of a principal that `call` has made by the way:
/// what happens to principals is not for the admins of a workspace to read.
pub(super) fn made_entry(
    actor: &Actor,
    (call, workspace): (&str, Option<&WorkspaceId>),
    principal: &str,
    now: Timestamp,
) -> AuditEntry {
    let workspace = workspace.map(ToString::to_string).unwrap_or_default();
    entry(
        actor,
        None,
        (AuditAction::CreatePrincipal, now),
        principal,
        [("call", call.to_owned()), ("workspace", workspace)],
    )
}

/// The id, if it can be one and is nothing that must not come back: anything can
/// be a principal's, also a token that was given in its place.
pub(super) fn harmless(id: &str) -> String {
    if is_principal(id) && !has_token(id) {
        id.to_owned()
    } else {
        String::new()
    }
}

fn principal_in(found: Versioned) -> Option<Versioned<Principal>> {
    match found.record {
        Record::Principal(record) => Some(Versioned {
            record,
            revision: found.revision,
        }),
        Record::Workspace(_)
        | Record::Key(_)
        | Record::AdminKey(_)
        | Record::Credits(_)
        | Record::Usage(_)
        | Record::Request(_)
        | Record::Membership(_)
        | Record::Tombstone(_) => None,
    }
}
