//! Commits to admin keys, none of which may leave the system without an OWNER
//! who can be relied on.
//!
//! The OWNER that stays is a part of the commit: two that end each other at
//! the same moment cannot both succeed.

use tracing::info;

use crate::domain::admin::AdminKey;
use crate::domain::audit::AuditEntry;
use crate::store::{Expect, Record, RecordId, Requirement, Versioned};

use super::super::admission::Actor;
use super::super::error::{Condition, Kind, RegistryError};
use super::{Registry, precondition, put, unchanged};

impl Registry {
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
