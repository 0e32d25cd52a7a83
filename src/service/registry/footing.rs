//! What a new key stands on: its principal, and the principal's membership in
//! the workspace. What is not there yet is made in the same commit as the key.

use crate::domain::clock::Timestamp;
use crate::domain::id::WorkspaceId;
use crate::domain::principal::{Membership, check_ceiling};
use crate::domain::violation::Violations;
use crate::store::{Batch, Expect, Record, RecordId, Requirement, Write};

use super::super::admission::Actor;
use super::super::error::{Condition, Kind, RegistryError};
use super::memberships::{label, made};
use super::{Registry, precondition, unchanged};

/// What a new key stands on.
pub(super) struct Footing {
    /// What is made with it.
    writes: Vec<Write>,
    /// The same, as the audit log tells it.
    made: Vec<(&'static str, String)>,
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
            made: Vec::new(),
            requires: Vec::new(),
            membership: None,
        };
        match self.principal(principal).await? {
            Some(found) if found.record.disabled => {
                let condition = Condition::PrincipalDisabled;
                return Err(precondition(Kind::Principal, principal, condition));
            }
            // One that is switched off meanwhile gets no new key.
            Some(found) => {
                let id = RecordId::Principal(found.record.id);
                footing.requires.push(unchanged(id, found.revision));
            }
            None => {
                footing.made.push(("principal_made", "true".to_owned()));
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
                let ceiling = membership.scope_ceiling.to_string();
                footing.made.push(("membership_made", ceiling));
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

    /// Puts what is to be made into the change that issues the key, and what it
    /// is to rely on.
    pub(super) fn lay(self, batch: &mut Batch) {
        let told = self.made.into_iter();
        let told = told.map(|(name, value)| (name.to_owned(), value));
        batch.audit.detail.extend(told);
        batch.writes.extend(self.writes);
        batch.requires.extend(self.requires);
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
