//! New tokens for keys: started, finished, taken back. The key stays what it
//! is, and for a while both tokens stand for it.

use std::sync::Arc;

use crate::domain::admin::Deed;
use crate::domain::audit::AuditAction;
use crate::domain::clock::Timestamp;
use crate::domain::key::{Key, KeyState};
use crate::domain::rotation::RotationDraft;
use crate::domain::secret::{self, End, Rotation, Secret};
use crate::domain::token::Token;
use crate::store::{RecordId, Versioned};

use super::super::admission::Actor;
use super::super::error::{Condition, Kind, RegistryError};
use super::rotation::{refuse_pending, told};
use super::{
    IssuedKey, KeyView, MAX_TRIES, Registry, conflict, entry, precondition, refuse_revoked,
    refuse_stale, unchanged,
};

impl Registry {
    /// Gives a key a new token; the old one works on for a while. The caller
    /// must be able to grant what the key may.
    ///
    /// # Errors
    ///
    /// [`RegistryError::Invalid`], [`RegistryError::GrantCeiling`],
    /// [`RegistryError::Precondition`] if it is revoked or expired, a rotation
    /// is under way, or its workspace is disabled,
    /// [`RegistryError::EtagMismatch`], [`RegistryError::NotFound`], or the
    /// caller may not, or the store fails.
    pub async fn rotate_key(
        &self,
        actor: &Actor,
        (id, etag): (&str, &str),
        draft: RotationDraft,
    ) -> Result<IssuedKey, RegistryError> {
        for _ in 0..MAX_TRIES {
            let (found, workspace) = self.key(actor, Deed::ManageKeys, (id, "key_id")).await?;
            let overlap = draft.overlap()?;
            refuse_stale(etag, found.revision, Kind::Key, id)?;
            let now = self.clock.now();
            refuse_ended(&found.record, id, now)?;
            // A token is handed out: for no more than the caller has.
            actor.may_grant(&found.record.scopes)?;
            if workspace.record.disabled {
                let condition = Condition::WorkspaceDisabled;
                let id = &workspace.record.id;
                return Err(precondition(Kind::Workspace, id, condition));
            }
            refuse_pending(&found.record.secrets, overlap, now, Kind::Key, id)?;

            let mark = workspace.record.mark(found.record.environment.as_ref());
            let token = Arc::new(Token::mint(&workspace.record.token_prefix, mark));
            let end = if draft.from_first_use {
                End::AfterFirstUse { overlap }
            } else {
                End::after(overlap, now, found.record.expire_time, now)
            };
            let mut key = found.record.clone();
            let newest = self.secret_of(&token, now);
            key.secrets = secret::rotated(&key.secrets, newest, end);
            let from_first_use = draft.from_first_use.then(|| "true".to_owned());
            let audit = entry(
                actor,
                Some(&key.workspace),
                (AuditAction::RotateKey, now),
                id,
                [
                    ("overlap", told(overlap)),
                    ("from_first_use", from_first_use.unwrap_or_default()),
                ],
            );
            // In a workspace that was disabled since, no token is handed out.
            let place = RecordId::Workspace(workspace.record.id.clone());
            let requires = vec![unchanged(place, workspace.revision)];
            let changed = self.put_key_where(actor, &found, key, audit, requires);
            if let Some(changed) = changed.await? {
                let view = self.view(changed, &workspace.record, now);
                return Ok(IssuedKey { view, token });
            }
        }
        Err(conflict(Kind::Key, id))
    }

    /// Ends the old token of a key now.
    ///
    /// # Errors
    ///
    /// [`RegistryError::Precondition`] if the key is revoked or no rotation is
    /// under way, [`RegistryError::EtagMismatch`],
    /// [`RegistryError::NotFound`], or the caller may not, or the store fails.
    pub async fn finish_rotation(
        &self,
        actor: &Actor,
        which: (&str, &str),
    ) -> Result<KeyView, RegistryError> {
        let what = AuditAction::FinishRotation;
        self.settle_rotation(actor, which, what, |rotation| rotation.finished())
            .await
    }

    /// Ends the new token of a key now; the old one works on as if there had
    /// been no other, so the caller must be able to grant what the key may.
    ///
    /// # Errors
    ///
    /// [`RegistryError::GrantCeiling`], and as [`Self::finish_rotation`].
    pub async fn cancel_rotation(
        &self,
        actor: &Actor,
        which: (&str, &str),
    ) -> Result<KeyView, RegistryError> {
        let what = AuditAction::CancelRotation;
        self.settle_rotation(actor, which, what, |rotation| rotation.cancelled())
            .await
    }

    async fn settle_rotation(
        &self,
        actor: &Actor,
        (id, etag): (&str, &str),
        what: AuditAction,
        settled: fn(Rotation<'_>) -> Vec<Secret>,
    ) -> Result<KeyView, RegistryError> {
        for _ in 0..MAX_TRIES {
            let (found, workspace) = self.key(actor, Deed::ManageKeys, (id, "key_id")).await?;
            refuse_stale(etag, found.revision, Kind::Key, id)?;
            refuse_revoked(found.record.revocation.as_ref(), Kind::Key, id)?;
            if what == AuditAction::CancelRotation {
                actor.may_grant(&found.record.scopes)?;
            }
            let now = self.clock.now();
            let secrets = match Rotation::of(&found.record.secrets, now) {
                Some(rotation) => settled(rotation),
                None => return Err(precondition(Kind::Key, id, Condition::NoRotation)),
            };
            let mut key = found.record.clone();
            key.secrets = secrets;
            let audit = entry(actor, Some(&key.workspace), (what, now), id, []);
            let changed: Option<Versioned<Key>> = self.put_key(actor, &found, key, audit).await?;
            if let Some(changed) = changed {
                return Ok(self.view(changed, &workspace.record, now));
            }
        }
        Err(conflict(Kind::Key, id))
    }
}

/// A key that is over gets no new token: nobody could use it.
fn refuse_ended(key: &Key, id: &str, now: Timestamp) -> Result<(), RegistryError> {
    match key.state(now) {
        KeyState::Revoked => Err(precondition(Kind::Key, id, Condition::Revoked)),
        KeyState::Expired => Err(precondition(Kind::Key, id, Condition::Expired)),
        KeyState::Active | KeyState::Disabled => Ok(()),
    }
}
