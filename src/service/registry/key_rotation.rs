//! New tokens for keys: started, finished, taken back. The key stays what it
//! is, and for a while both tokens stand for it.

use std::sync::Arc;

use crate::domain::admin::Deed;
use crate::domain::audit::AuditAction;
use crate::domain::clock::Timestamp;
use crate::domain::key::{Bond, Key, KeyState};
use crate::domain::rotation::RotationDraft;
use crate::domain::secret::{self, End, Rotation, Secret};
use crate::domain::token::Token;
use crate::store::{RecordId, Requirement, Versioned};

use super::super::admission::Actor;
use super::super::error::{Condition, Kind, RegistryError};
use super::footing::refuse_off;
use super::keys::refuse_disabled;
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
            let found = self.key(actor, Deed::ManageKeys, (id, "key_id")).await?;
            let overlap = draft.overlap()?;
            refuse_stale(etag, found.revision, Kind::Key, id)?;
            let now = self.clock.now();
            refuse_ended(&found.record, id, now)?;
            // A token is handed out: for no more than the caller has.
            actor.may_grant(&found.record.scopes)?;
            let (token, requires) = self.successor(actor, &found.record).await?;
            refuse_pending(&found.record.secrets, overlap, now, Kind::Key, id)?;

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
                key.workspace(),
                (AuditAction::RotateKey, now),
                id,
                [
                    ("overlap", told(overlap)),
                    ("from_first_use", from_first_use.unwrap_or_default()),
                ],
            );
            let changed = self.put_key_where(actor, &found, key, audit, requires);
            if let Some(changed) = changed.await? {
                let view = self.view(changed, now);
                return Ok(IssuedKey { view, token });
            }
        }
        Err(conflict(Kind::Key, id))
    }

    /// A new token for `key`, and what must stay as it is for it to be handed
    /// out: its workspace is not switched off, nor, where the caller is of the
    /// system, its principal.
    async fn successor(
        &self,
        actor: &Actor,
        key: &Key,
    ) -> Result<(Arc<Token>, Vec<Requirement>), RegistryError> {
        let mut requires = Vec::new();
        if let Some(principal) = self.principal(&key.principal).await? {
            refuse_off(actor, &principal.record)?;
            let id = RecordId::Principal(principal.record.id);
            requires.push(unchanged(id, principal.revision));
        }
        let environment = key.environment.as_ref();
        let token = match &key.bond {
            Bond::Personal { token_prefix } => Token::mint(token_prefix, environment),
            Bond::Workspace(id) => {
                let workspace = self.existing_workspace(id.clone()).await?;
                refuse_disabled(Some(&workspace.record))?;
                let place = RecordId::Workspace(id.clone());
                requires.push(unchanged(place, workspace.revision));
                let workspace = workspace.record;
                Token::mint(&workspace.token_prefix, workspace.mark(environment))
            }
        };
        Ok((Arc::new(token), requires))
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
            let found = self.key(actor, Deed::ManageKeys, (id, "key_id")).await?;
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
            let audit = entry(actor, key.workspace(), (what, now), id, []);
            let changed: Option<Versioned<Key>> = self.put_key(actor, &found, key, audit).await?;
            if let Some(changed) = changed {
                return Ok(self.view(changed, now));
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
