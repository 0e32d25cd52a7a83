//! What a new key stands on: its principal, and the principal's membership in
//! the workspace. What is not there yet is made in the same commit as the key.

use crate::domain::audit::AuditEntry;
use crate::domain::clock::Timestamp;
use crate::domain::id::WorkspaceId;
use crate::domain::principal::{Membership, Principal, check_ceiling};
use crate::domain::violation::Violations;
use crate::store::{Batch, Expect, Record, RecordId, Requirement, Write};

use super::super::admission::Actor;
use super::super::error::{Condition, Kind, RegistryError};
use super::memberships::label;
use super::principals::{made, made_entry};
use super::{Registry, precondition, unchanged};

/// What a new key stands on.
pub(super) struct Footing {
    /// What is made with it.
    writes: Vec<Write>,
    /// What the system's log is told, if the principal is made.
    principal_made: Option<AuditEntry>,
    /// What the log of the key is told, if the membership is made: its ceiling.
    membership_made: Option<String>,
    /// What must stay as it was found.
    requires: Vec<Requirement>,
    /// None: the key is personal.
    membership: Option<Membership>,
}

impl Registry {
    /// What a key of `principal` in `workspace`, or a personal one, would stand
    /// on. Both ids are well formed.
    pub(super) async fn footing(
        &self,
        actor: &Actor,
        workspace: Option<&WorkspaceId>,
        principal: &str,
        now: Timestamp,
    ) -> Result<Footing, RegistryError> {
        let mut footing = Footing {
            writes: Vec::new(),
            principal_made: None,
            membership_made: None,
            requires: Vec::new(),
            membership: None,
        };
        let named = (principal, "principal");
        match self.acting_principal(actor, named).await? {
            Some(found) => {
                refuse_off(actor, &found.record)?;
                // One that is switched off meanwhile is not the one that was
                // judged, and one that is deleted gets no new key.
                let id = RecordId::Principal(found.record.id);
                footing.requires.push(unchanged(id, found.revision));
            }
            None => {
                let by = ("CreateKey", workspace);
                footing.principal_made = Some(made_entry(actor, by, principal, now));
                footing.writes.push(made(principal, actor, now));
            }
        }
        let Some(workspace) = workspace else {
            return Ok(footing);
        };
        let membership = match self.membership(workspace, principal).await? {
            Some(found) if found.record.removal.is_some() => {
                let id = label(workspace, principal);
                let condition = Condition::MembershipRemoved;
                return Err(precondition(Kind::Membership, id, condition));
            }
            Some(found) => {
                let id = RecordId::Membership(workspace.clone(), principal.to_owned());
                footing.requires.push(unchanged(id, found.revision));
                found.record
            }
            None => {
                let membership = first_membership(actor, workspace, principal, now);
                footing.membership_made = Some(membership.scope_ceiling.to_string());
                footing.writes.push(Write {
                    record: Record::Membership(membership.clone()),
                    expect: Expect::Absent,
                });
                membership
            }
        };
        footing.membership = Some(membership);
        Ok(footing)
    }
}

impl Footing {
    /// Lets scopes pass that the principal may have there.
    pub(super) fn admits(&self, scopes: &[String]) -> Result<(), Violations> {
        let mut violations = Violations::default();
        if let Some(membership) = &self.membership {
            let ceiling = &membership.scope_ceiling;
            check_ceiling(&mut violations, "scopes", scopes, ceiling);
        }
        violations.none()
    }

    /// The same, for a call of another name than `CreateKey`.
    pub(super) fn laid_by(mut self, call: &str) -> Self {
        if let Some(made) = &mut self.principal_made {
            made.detail.insert("call".to_owned(), call.to_owned());
        }
        self
    }

    /// Puts what is to be made into the change that issues the key, and what it
    /// is to rely on.
    pub(super) fn lay(self, batch: &mut Batch) {
        let told = self.membership_made;
        let told = told.map(|ceiling| ("membership_made".to_owned(), ceiling));
        batch.audit.detail.extend(told);
        batch.beside = self.principal_made;
        // Before the key: a principal comes before its memberships and its keys.
        batch.writes.splice(..0, self.writes);
        batch.requires.extend(self.requires);
    }
}

/// No admin of the system hands out tokens of a principal that is switched off
/// without knowing. One of a workspace is not to learn of it: what he hands out
/// is DISABLED until the principal is enabled, which re-arms all its keys.
pub(super) fn refuse_off(actor: &Actor, principal: &Principal) -> Result<(), RegistryError> {
    match actor.workspace() {
        None if principal.disabled => Err(precondition(
            Kind::Principal,
            &principal.id,
            Condition::PrincipalDisabled,
        )),
        None | Some(_) => Ok(()),
    }
}

/// The membership that the first key makes: the caller hands out no more than
/// he may, for personal keys of the principal will have it too.
fn first_membership(
    actor: &Actor,
    workspace: &WorkspaceId,
    principal: &str,
    now: Timestamp,
) -> Membership {
    Membership {
        workspace: workspace.clone(),
        principal: principal.to_owned(),
        scope_ceiling: actor.hands_out(),
        create_time: now,
        created_by: actor.id(),
        removal: None,
    }
}
