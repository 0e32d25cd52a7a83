//! New tokens for admin keys: the old one works on for a while, so that both
//! are live while one is being replaced.

use crate::domain::audit::AuditAction;
use crate::domain::rotation::RotationDraft;
use crate::domain::secret::{self, End};

use super::super::admission::Actor;
use super::super::bootstrap::mint_admin_token;
use super::super::error::{Kind, RegistryError};
use super::admins::{AdminKeyView, CreatedAdminKey, Own, admin_entry};
use super::rotation::{refuse_pending, told};
use super::{MAX_TRIES, Registry, conflict, refuse_revoked};

impl Registry {
    /// Gives an admin key a new token; the old one works on for a while.
    ///
    /// # Errors
    ///
    /// [`RegistryError::Invalid`], [`RegistryError::GrantCeiling`],
    /// [`RegistryError::Precondition`] if it is revoked or an old token works
    /// on, [`RegistryError::NotFound`], or the caller may not, or the store
    /// fails.
    pub async fn rotate_admin(
        &self,
        actor: &Actor,
        id: &str,
        draft: RotationDraft,
    ) -> Result<CreatedAdminKey, RegistryError> {
        for _ in 0..MAX_TRIES {
            let found = self
                .admin(actor, (id, "admin_key_id"), Own::Allowed)
                .await?;
            let overlap = draft.overlap()?;
            refuse_revoked(found.record.revocation.as_ref(), Kind::AdminKey, id)?;
            // A token is handed out: for no more than the caller has.
            actor.may_grant(&found.record.grant_ceiling)?;
            let now = self.clock.now();
            let mut admin = found.record.clone();
            refuse_pending(&admin.secrets, overlap, now, Kind::AdminKey, id)?;
            let token = mint_admin_token().map_err(|_| RegistryError::Internal)?;
            // One that ends now is kept too, so that who tries it later is known
            // by it.
            let end = End::after(overlap, now, admin.expire_time, now);
            let newest = self.secret_of(&token, now);
            admin.secrets = secret::rotated(&admin.secrets, newest, end);
            let mut audit = admin_entry(actor, &admin, (AuditAction::RotateAdmin, now), "");
            audit.detail = [("overlap".to_owned(), told(overlap))].into();
            if let Some(changed) = self.put_admin(actor, &found, admin, audit).await? {
                let view = AdminKeyView::new(changed, now);
                return Ok(CreatedAdminKey { view, token });
            }
        }
        Err(conflict(Kind::AdminKey, id))
    }
}
