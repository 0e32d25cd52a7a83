//! Admin keys: made, read, changed, revoked.

use tracing::info;

use crate::domain::admin::{ADMIN_TOKEN_PREFIX, AdminKey, Deed, Reach};
use crate::domain::admin_draft::{AdminKeyDraft, AdminKeyPatch};
use crate::domain::audit::{AuditAction, AuditEntry};
use crate::domain::clock::Timestamp;
use crate::domain::fields::read_note;
use crate::domain::id::AdminKeyId;
use crate::domain::key::{KeyState, Revocation, RevocationReason};
use crate::domain::secret::Rotation;
use crate::domain::token::{self, Token};
use crate::domain::violation::Violations;
use crate::store::{Expect, Record, RecordId, Requirement, Versioned};

use super::super::admission::Actor;
use super::super::bootstrap::mint_admin_token;
use super::super::error::{Condition, Kind, RegistryError};
use super::{
    MAX_TRIES, Registry, conflict, entry, etag, precondition, put, refuse_revoked, refuse_stale,
    unchanged,
};

/// An admin key, with what can be said of it now.
#[derive(Clone, Debug)]
pub struct AdminKeyView {
    /// The admin key.
    pub admin: AdminKey,
    /// Whether it works.
    pub state: KeyState,
    /// What may be displayed of its newest token.
    pub hint: String,
    /// Until when an older token works too.
    pub old_token_end_time: Option<Timestamp>,
    /// Stands for this state of it.
    pub etag: String,
}

/// An admin key with a new token.
#[derive(Debug)]
pub struct CreatedAdminKey {
    /// The admin key.
    pub view: AdminKeyView,
    /// Its token, which nobody will see again.
    pub token: Token,
}

impl AdminKeyView {
    /// What can be said at `now` of an admin key.
    pub(super) fn new(found: Versioned<AdminKey>, now: Timestamp) -> Self {
        let admin = found.record;
        let tail = admin.secrets.last().map(|secret| secret.tail);
        Self {
            state: admin.state(now),
            hint: token::hint(ADMIN_TOKEN_PREFIX, None, tail.unwrap_or_default()),
            old_token_end_time: Rotation::of(&admin.secrets, now)
                .and_then(|rotation| rotation.end.time()),
            admin,
            etag: etag(found.revision),
        }
    }
}

impl Registry {
    /// Tells who is calling.
    ///
    /// # Errors
    ///
    /// The store fails.
    pub async fn who_am_i(&self, actor: &Actor) -> Result<AdminKeyView, RegistryError> {
        let found = self.existing_admin(actor, actor.admin().id).await?;
        Ok(AdminKeyView::new(found, self.clock.now()))
    }

    /// Makes an admin key whose rights the caller has too.
    ///
    /// # Errors
    ///
    /// [`RegistryError::Invalid`], [`RegistryError::GrantCeiling`],
    /// [`RegistryError::NotFound`] for the workspace,
    /// [`RegistryError::Precondition`] if that is disabled, or the caller may
    /// not, or the store fails.
    pub async fn create_admin(
        &self,
        actor: &Actor,
        draft: AdminKeyDraft,
    ) -> Result<CreatedAdminKey, RegistryError> {
        for _ in 0..MAX_TRIES {
            let requires = self.admin_place(actor, &draft.reach).await?;
            let now = self.clock.now();
            let spec = draft.check(now)?;
            actor.may_grant(&spec.grant_ceiling)?;
            let token = mint_admin_token().map_err(|_| RegistryError::Internal)?;
            let admin = AdminKey {
                id: AdminKeyId::generate(now),
                name: draft.name.clone(),
                role: spec.role,
                reach: draft.reach.clone(),
                grant_ceiling: spec.grant_ceiling,
                secrets: vec![self.secret_of(&token, now)],
                create_time: now,
                created_by: actor.id(),
                expire_time: draft.expire_time,
                disabled: false,
                revocation: None,
            };
            let id = admin.id.to_string();
            let audit = admin_entry(actor, &admin, (AuditAction::CreateAdmin, now), "");
            let mut batch = put(Record::AdminKey(admin.clone()), Expect::Absent, audit);
            batch.requires.extend(requires);
            if let Some(revision) = self.attempt(actor, batch, Kind::AdminKey, &id).await? {
                info!(actor = actor.id(), admin = id, role = %admin.role, "admin key created");
                let created = Versioned {
                    record: admin,
                    revision,
                };
                let view = AdminKeyView::new(created, now);
                return Ok(CreatedAdminKey { view, token });
            }
        }
        let workspace = match &draft.reach {
            Reach::System => String::new(),
            Reach::Workspace(id) => id.to_string(),
        };
        Err(conflict(Kind::Workspace, &workspace))
    }

    /// Reads an admin key.
    ///
    /// # Errors
    ///
    /// [`RegistryError::NotFound`], or the caller may not, or the store fails.
    pub async fn get_admin(&self, actor: &Actor, id: &str) -> Result<AdminKeyView, RegistryError> {
        let found = self
            .admin(actor, (id, "admin_key_id"), Own::Allowed)
            .await?;
        Ok(AdminKeyView::new(found, self.clock.now()))
    }

    /// Changes an admin key. The caller must have what it is left with.
    ///
    /// # Errors
    ///
    /// [`RegistryError::Invalid`], [`RegistryError::GrantCeiling`],
    /// [`RegistryError::Precondition`] if it is revoked or the last owner,
    /// [`RegistryError::EtagMismatch`], [`RegistryError::NotFound`], or the
    /// caller may not, or the store fails.
    pub async fn update_admin(
        &self,
        actor: &Actor,
        (id, etag): (&str, &str),
        patch: AdminKeyPatch,
    ) -> Result<AdminKeyView, RegistryError> {
        for _ in 0..MAX_TRIES {
            let found = self
                .admin(actor, (id, "admin_key.id"), Own::Refused)
                .await?;
            refuse_stale(etag, found.revision, Kind::AdminKey, id)?;
            refuse_revoked(found.record.revocation.as_ref(), Kind::AdminKey, id)?;
            let now = self.clock.now();
            let (admin, differing) = patch.clone().apply(&found.record, now)?;
            actor.may_grant(&admin.grant_ceiling)?;
            if differing.is_empty() {
                return Ok(AdminKeyView::new(found, now));
            }
            let what = (AuditAction::UpdateAdmin, now);
            let mut audit = admin_entry(actor, &admin, what, &differing.join(" "));
            audit.detail.extend(rights_before(&found.record, &admin));
            if let Some(changed) = self.put_admin(actor, &found, admin, audit).await? {
                return Ok(AdminKeyView::new(changed, now));
            }
        }
        Err(conflict(Kind::AdminKey, id))
    }

    /// Revokes an admin key. Revoking one that is revoked changes nothing.
    ///
    /// # Errors
    ///
    /// [`RegistryError::Invalid`] for the note,
    /// [`RegistryError::Precondition`] for the last owner,
    /// [`RegistryError::NotFound`], or the caller may not, or the store fails.
    pub async fn revoke_admin(
        &self,
        actor: &Actor,
        id: &str,
        reason: RevocationReason,
        note: &str,
    ) -> Result<AdminKeyView, RegistryError> {
        for _ in 0..MAX_TRIES {
            let found = self
                .admin(actor, (id, "admin_key_id"), Own::Refused)
                .await?;
            let note = read_note(note)?;
            let now = self.clock.now();
            if found.record.revocation.is_some() {
                return Ok(AdminKeyView::new(found, now));
            }
            let mut admin = found.record.clone();
            admin.revocation = Some(Revocation {
                time: now,
                reason,
                by: actor.id(),
                note: note.clone(),
            });
            let mut audit = admin_entry(actor, &admin, (AuditAction::RevokeAdmin, now), "");
            audit.detail = [("reason", reason.as_str()), ("note", &note)]
                .into_iter()
                .filter(|(_, value)| !value.is_empty())
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect();
            if let Some(changed) = self.put_admin(actor, &found, admin, audit).await? {
                return Ok(AdminKeyView::new(changed, now));
            }
        }
        Err(conflict(Kind::AdminKey, id))
    }

    /// Lets the caller make an admin key that acts at `reach`; what that
    /// relies on must not change before it is made.
    async fn admin_place(
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

    /// The admin key that is named in a field, if the caller may manage it, or
    /// is it and that is enough.
    pub(super) async fn admin(
        &self,
        actor: &Actor,
        (id, field): (&str, &str),
        own: Own,
    ) -> Result<Versioned<AdminKey>, RegistryError> {
        if id.is_empty() {
            return Err(Violations::of(field, "is required").into());
        }
        let parsed = id
            .parse::<AdminKeyId>()
            .map_err(|_| RegistryError::NotFound {
                kind: Kind::AdminKey,
                id: String::new(),
            })?;
        let found = self.existing_admin(actor, parsed).await?;
        if own == Own::Refused || parsed != actor.admin().id {
            let place = found.record.place();
            // The system's admin keys are nothing to a workspace's.
            let hidden = actor.workspace().is_some() && found.record.reach == Reach::System;
            if hidden {
                return Err(RegistryError::Hidden {
                    kind: Kind::AdminKey,
                    id: id.to_owned(),
                });
            }
            actor.may_at(Deed::ManageAdmins, place, Kind::AdminKey, id)?;
        }
        Ok(found)
    }

    async fn existing_admin(
        &self,
        actor: &Actor,
        id: AdminKeyId,
    ) -> Result<Versioned<AdminKey>, RegistryError> {
        let text = id.to_string();
        let found = self
            .read(RecordId::AdminKey(id), Kind::AdminKey, &text)
            .await?;
        let found = found.and_then(admin_in);
        found.ok_or_else(|| actor.absent(Kind::AdminKey, &text))
    }
}

/// Whether an admin key may do to itself what others need the right for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Own {
    Allowed,
    Refused,
}

pub(super) fn admin_in(found: Versioned) -> Option<Versioned<AdminKey>> {
    match found.record {
        Record::AdminKey(record) => Some(Versioned {
            record,
            revision: found.revision,
        }),
        Record::Workspace(_)
        | Record::Key(_)
        | Record::Credits(_)
        | Record::Usage(_)
        | Record::Request(_)
        | Record::Principal(_)
        | Record::Membership(_)
        | Record::Tombstone(_) => None,
    }
}

/// What the audit log is to say of an admin key and its rights.
pub(super) fn admin_entry(
    actor: &Actor,
    admin: &AdminKey,
    what: (AuditAction, Timestamp),
    fields: &str,
) -> AuditEntry {
    let workspace = match &admin.reach {
        Reach::System => None,
        Reach::Workspace(id) => Some(id),
    };
    let expiry = admin.expire_time.map(|expiry| expiry.to_string());
    entry(
        actor,
        workspace,
        what,
        &admin.id.to_string(),
        [
            ("fields", fields.to_owned()),
            ("name", admin.name.clone()),
            ("role", admin.role.to_string()),
            ("grant_ceiling", admin.grant_ceiling.to_string()),
            ("expire_time", expiry.unwrap_or_default()),
        ],
    )
}

/// What of the rights of an admin key was something else before a change.
fn rights_before(before: &AdminKey, after: &AdminKey) -> impl Iterator<Item = (String, String)> {
    let rights = [
        (
            "role_before",
            before.role.to_string(),
            before.role != after.role,
        ),
        (
            "grant_ceiling_before",
            before.grant_ceiling.to_string(),
            before.grant_ceiling != after.grant_ceiling,
        ),
        (
            "expire_time_before",
            before
                .expire_time
                .map_or_else(|| "never".to_owned(), |expiry| expiry.to_string()),
            before.expire_time != after.expire_time,
        ),
    ];
    let changed = rights
        .into_iter()
        .filter(|(_, value, differs)| *differs && !value.is_empty());
    changed.map(|(name, value, _)| (name.to_owned(), value))
}
