//! What can be done to a key after its issue: changed, switched off and on,
//! revoked, deleted.

use tracing::info;

use crate::domain::admin::Deed;
use crate::domain::audit::{AuditAction, AuditEntry};
use crate::domain::catalog::ScopeCatalog;
use crate::domain::clock::Timestamp;
use crate::domain::fields::read_note;
use crate::domain::key::{Key, Revocation, RevocationReason};
use crate::domain::key_draft::KeyPatch;
use crate::domain::principal::check_ceiling;
use crate::domain::tombstone::{Buried, Tombstone};
use crate::domain::violation::Violations;
use crate::store::{Expect, Record, Requirement, Versioned};

use super::super::admission::Actor;
use super::super::error::{Condition, Kind, RegistryError};
use super::audit_size::fitted;
use super::{
    KeyView, MAX_TRIES, Registry, conflict, entry, precondition, put, refuse_revoked, refuse_stale,
};

impl Registry {
    /// Changes a key. The caller must be able to grant what it is left with.
    ///
    /// # Errors
    ///
    /// [`RegistryError::Invalid`], [`RegistryError::GrantCeiling`],
    /// [`RegistryError::Precondition`] if it is revoked,
    /// [`RegistryError::EtagMismatch`], [`RegistryError::NotFound`], or the
    /// caller may not, or the store fails.
    pub async fn update_key(
        &self,
        actor: &Actor,
        (id, etag): (&str, &str),
        patch: KeyPatch,
    ) -> Result<KeyView, RegistryError> {
        for _ in 0..MAX_TRIES {
            let found = self.key(actor, Deed::ManageKeys, (id, "key.id")).await?;
            refuse_stale(etag, found.revision, Kind::Key, id)?;
            refuse_revoked(found.record.revocation.as_ref(), Kind::Key, id)?;
            let now = self.clock.now();
            let catalog = self.catalog(&found.record);
            let (key, differing) = patch.clone().apply(&found.record, &catalog, now)?;
            actor.may_grant(&key.scopes)?;
            if key.scopes != found.record.scopes {
                self.within_ceiling(&key, patch.scopes.as_deref())?;
            }
            if differing.is_empty() {
                return Ok(self.view(found, now));
            }
            let audit = update_entry(actor, &found.record, &key, now, &differing);
            if let Some(changed) = self.put_key(actor, &found, key, audit).await? {
                return Ok(self.view(changed, now));
            }
        }
        Err(conflict(Kind::Key, id))
    }

    /// Switches a key off, or on again. To switch one on, the caller must be
    /// able to grant what it may. One that is so already stays as it is.
    ///
    /// # Errors
    ///
    /// [`RegistryError::GrantCeiling`], [`RegistryError::Precondition`] if it
    /// is revoked, [`RegistryError::EtagMismatch`],
    /// [`RegistryError::NotFound`], or the caller may not, or the store fails.
    pub async fn switch_key(
        &self,
        actor: &Actor,
        (id, etag): (&str, &str),
        disabled: bool,
    ) -> Result<KeyView, RegistryError> {
        for _ in 0..MAX_TRIES {
            let found = self.key(actor, Deed::ManageKeys, (id, "key_id")).await?;
            refuse_stale(etag, found.revision, Kind::Key, id)?;
            refuse_revoked(found.record.revocation.as_ref(), Kind::Key, id)?;
            if !disabled {
                actor.may_grant(&found.record.scopes)?;
            }
            let now = self.clock.now();
            if found.record.disabled == disabled {
                return Ok(self.view(found, now));
            }
            let what = if disabled {
                AuditAction::DisableKey
            } else {
                AuditAction::EnableKey
            };
            let mut key = found.record.clone();
            key.disabled = disabled;
            let audit = entry(actor, key.workspace(), (what, now), id, []);
            if let Some(changed) = self.put_key(actor, &found, key, audit).await? {
                return Ok(self.view(changed, now));
            }
        }
        Err(conflict(Kind::Key, id))
    }

    /// Revokes a key. Revoking one that is revoked changes nothing.
    ///
    /// # Errors
    ///
    /// [`RegistryError::Invalid`] for the note, [`RegistryError::NotFound`],
    /// [`RegistryError::Conflict`], or the caller may not, or the store fails.
    pub async fn revoke_key(
        &self,
        actor: &Actor,
        id: &str,
        reason: RevocationReason,
        note: &str,
    ) -> Result<KeyView, RegistryError> {
        for _ in 0..MAX_TRIES {
            let found = self.key(actor, Deed::ManageKeys, (id, "key_id")).await?;
            let note = read_note(note)?;
            let now = self.clock.now();
            if found.record.revocation.is_some() {
                return Ok(self.view(found, now));
            }
            let mut key = found.record.clone();
            key.revocation = Some(Revocation {
                time: now,
                reason,
                by: actor.id(),
                note: note.clone(),
            });
            let audit = entry(
                actor,
                key.workspace(),
                (AuditAction::RevokeKey, now),
                id,
                [("reason", reason.as_str().to_owned()), ("note", note)],
            );
            if let Some(changed) = self.put_key(actor, &found, key, audit).await? {
                return Ok(self.view(changed, now));
            }
        }
        Err(conflict(Kind::Key, id))
    }

    /// Deletes what is left of a key that was revoked long enough ago. Its id
    /// and the digests of its tokens stay reserved.
    ///
    /// # Errors
    ///
    /// [`RegistryError::Precondition`], [`RegistryError::EtagMismatch`],
    /// [`RegistryError::NotFound`], or the caller may not, or the store fails.
    pub async fn delete_key(
        &self,
        actor: &Actor,
        (id, etag): (&str, &str),
    ) -> Result<(), RegistryError> {
        for _ in 0..MAX_TRIES {
            let found = self.key(actor, Deed::ManageKeys, (id, "key_id")).await?;
            refuse_stale(etag, found.revision, Kind::Key, id)?;
            let now = self.clock.now();
            let refuse = |condition| precondition(Kind::Key, id, condition);
            let key = found.record;
            let Some(revocation) = &key.revocation else {
                return Err(refuse(Condition::NotRevoked));
            };
            let until = revocation.time.saturating_add(self.key_retention);
            if now < until {
                return Err(refuse(Condition::RetentionNotOver { until }));
            }
            let what = (AuditAction::DeleteKey, now);
            let audit = entry(actor, key.workspace(), what, id, []);
            let tombstone = Tombstone {
                of: Buried::Key {
                    id: key.id,
                    workspace: key.workspace().cloned(),
                    secrets: key.secrets,
                },
                time: now,
                by: actor.id(),
            };
            let mut batch = put(
                Record::Tombstone(tombstone),
                Expect::At(found.revision),
                audit,
            );
            let credits = self.credits_removed(key.id).await?;
            batch.writes.splice(..0, credits);
            if self.attempt(actor, batch, Kind::Key, id).await?.is_some() {
                info!(actor = actor.id(), key = id, "key deleted");
                return Ok(());
            }
        }
        Err(conflict(Kind::Key, id))
    }

    /// What the scopes of a key can be, where its workspace says that.
    fn catalog(&self, key: &Key) -> ScopeCatalog {
        key.workspace()
            .and_then(|id| self.index.workspace(id.as_str()))
            .map(|workspace| workspace.scope_catalog.clone())
            .unwrap_or_default()
    }

    /// Lets scopes pass that the principal of `key` may have in its workspace.
    fn within_ceiling(&self, key: &Key, scopes: Option<&[String]>) -> Result<(), Violations> {
        let ceiling = key
            .workspace()
            .and_then(|id| self.index.ceiling(id.as_str(), &key.principal));
        // Without a ceiling, it is no member and the key is dead; one that is
        // set again will narrow the key in checks.
        let (Some(scopes), Some(ceiling)) = (scopes, ceiling) else {
            return Ok(());
        };
        let mut violations = Violations::default();
        check_ceiling(&mut violations, "key.scopes", scopes, &ceiling);
        violations.none()
    }

    /// Puts a changed key in the place of the one that was found; none, if
    /// others were faster.
    pub(super) async fn put_key(
        &self,
        actor: &Actor,
        found: &Versioned<Key>,
        key: Key,
        audit: AuditEntry,
    ) -> Result<Option<Versioned<Key>>, RegistryError> {
        self.put_key_where(actor, found, key, audit, Vec::new())
            .await
    }

    /// Puts a changed key where `requires` holds too.
    pub(super) async fn put_key_where(
        &self,
        actor: &Actor,
        found: &Versioned<Key>,
        key: Key,
        audit: AuditEntry,
        requires: Vec<Requirement>,
    ) -> Result<Option<Versioned<Key>>, RegistryError> {
        let id = key.id.to_string();
        let what = audit.action.as_str();
        let mut batch = put(Record::Key(key.clone()), Expect::At(found.revision), audit);
        batch.requires.extend(requires);
        let committed = self.attempt(actor, batch, Kind::Key, &id).await?;
        Ok(committed.map(|revision| {
            info!(actor = actor.id(), key = id, what, "key changed");
            Versioned {
                record: key,
                revision,
            }
        }))
    }
}

/// Tells which fields differ, and how far what the key may do has, as far as
/// that fits.
fn update_entry(
    actor: &Actor,
    before: &Key,
    after: &Key,
    now: Timestamp,
    differing: &[&str],
) -> AuditEntry {
    let scopes = |key: &Key| {
        if before.scopes == after.scopes {
            return String::new();
        }
        key.scopes.to_string()
    };
    let expiry = |key: &Key| {
        if before.expire_time == after.expire_time {
            return String::new();
        }
        key.expire_time
            .map_or_else(|| "never".to_owned(), |expiry| expiry.to_string())
    };
    let limits = |key: &Key| {
        if before.limits == after.limits {
            return String::new();
        }
        key.limits.to_string()
    };
    let sources = |key: &Key| {
        if before.source_addresses == after.source_addresses {
            return String::new();
        }
        if key.source_addresses.is_empty() {
            return "anywhere".to_owned();
        }
        key.source_addresses.to_string()
    };
    fitted(entry(
        actor,
        after.workspace(),
        (AuditAction::UpdateKey, now),
        &after.id.to_string(),
        [
            ("fields", differing.join(" ")),
            ("scopes_before", scopes(before)),
            ("scopes", scopes(after)),
            ("expire_time_before", expiry(before)),
            ("expire_time", expiry(after)),
            ("limits_before", limits(before)),
            ("limits", limits(after)),
            ("source_addresses_before", sources(before)),
            ("source_addresses", sources(after)),
        ],
    ))
}
