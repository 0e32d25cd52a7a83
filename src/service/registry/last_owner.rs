//! Commits to admin keys, none of which may leave the system without an OWNER
//! who can be relied on.
//!
//! The OWNER that stays is a part of the commit: two that end each other at
//! the same moment cannot both succeed.

use tracing::info;

use crate::domain::admin::{AdminKey, Deed, Reach};
use crate::domain::audit::AuditEntry;
use crate::store::{Expect, Record, RecordId, Requirement, Versioned};

use super::super::admission::Actor;
use super::super::error::{Condition, Kind, RegistryError};
use super::{Registry, precondition, put, unchanged};

impl Registry {
    /// Lets the caller make an admin key that acts at `reach`; what that
    /// relies on must not change before it is made.
    pub(super) async fn admin_place(
        &self,
        actor: &Actor,
        reach: &Reach,
    ) -> Result<Option<Requirement>, RegistryError> {
        let Reach::Workspace(id) = reach else {
            actor.may(Deed::ManageAdmins)?;
            return Ok(None);
        };
        let field = "admin_key.workspace";
        let deed = Deed::ManageAdmins;
        let workspace = self.workspace(actor, deed, id.as_str(), field).await?;
        if workspace.record.disabled {
            let condition = Condition::WorkspaceDisabled;
            return Err(precondition(Kind::Workspace, id, condition));
        }
        let place = RecordId::Workspace(id.clone());
        Ok(Some(unchanged(place, workspace.revision)))
    }

    /// Puts a changed admin key in the place of the one that was found; none,
    /// if others were faster.
    pub(super) async fn put_admin(
        &self,
        actor: &Actor,
        found: &Versioned<AdminKey>,
        admin: AdminKey,
        audit: AuditEntry,
    ) -> Result<Option<Versioned<AdminKey>>, RegistryError> {
        let id = admin.id.to_string();
        let what = audit.action.as_str();
        let expect = Expect::At(found.revision);
        let mut batch = put(Record::AdminKey(admin.clone()), expect, audit);
        if found.record.keeps_the_system() && !admin.keeps_the_system() {
            batch
                .requires
                .push(self.remaining_owner(&found.record).await?);
        }
        let committed = self.attempt(actor, batch, Kind::AdminKey, &id).await?;
        Ok(committed.map(|revision| {
            info!(actor = actor.id(), admin = id, what, "admin key changed");
            Versioned {
                record: admin,
                revision,
            }
        }))
    }

    /// Another OWNER who keeps the system, who must not change meanwhile.
    async fn remaining_owner(&self, leaving: &AdminKey) -> Result<Requirement, RegistryError> {
        let id = leaving.id;
        let stays = move |admin: &AdminKey| admin.id != id && admin.keeps_the_system();
        let Some(other) = self.admins_where(None, 1, stays).await?.pop() else {
            return Err(precondition(Kind::AdminKey, id, Condition::LastOwner));
        };
        let id = RecordId::AdminKey(other.record.id);
        Ok(unchanged(id, other.revision))
    }
}
