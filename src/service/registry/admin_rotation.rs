//! New tokens for admin keys: the old one works on for a while, so that both
//! are live while one is being replaced.

use std::time::Duration;

use crate::domain::audit::AuditAction;
use crate::domain::key::Secret;
use crate::domain::violation::Violations;

use super::super::admission::Actor;
use super::super::bootstrap::mint_admin_token;
use super::super::error::{Condition, Kind, RegistryError};
use super::admins::{AdminKeyView, CreatedAdminKey, Own, admin_entry, old_token_end};
use super::{MAX_TRIES, Registry, conflict, precondition, refuse_revoked};

/// How long an old token works on if nothing is said: a day.
const USUAL_OVERLAP: Duration = Duration::from_secs(24 * 60 * 60);

/// The longest that an old token can work on: 30 days.
const MAX_OVERLAP: Duration = Duration::from_secs(30 * 24 * 60 * 60);

impl Registry {
    /// Gives an admin key a new token; the old one works on for `overlap`, if
    /// that is given, else for a day.
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
        overlap: Option<Duration>,
    ) -> Result<CreatedAdminKey, RegistryError> {
        let overlap = overlap.unwrap_or(USUAL_OVERLAP);
        for _ in 0..MAX_TRIES {
            let found = self
                .admin(actor, (id, "admin_key_id"), Own::Allowed)
                .await?;
            if overlap > MAX_OVERLAP {
                return Err(Violations::of("overlap", "is more than 30 days").into());
            }
            refuse_revoked(found.record.revocation.as_ref(), Kind::AdminKey, id)?;
            // A token is handed out: for no more than the caller has.
            actor.may_grant(&found.record.grant_ceiling)?;
            let now = self.clock.now();
            let mut admin = found.record.clone();
            match old_token_end(&admin, now) {
                Some(until) if !overlap.is_zero() => {
                    let condition = Condition::RotationPending { until };
                    return Err(precondition(Kind::AdminKey, id, condition));
                }
                Some(_) | None => {}
            }
            let token = mint_admin_token().map_err(|_| RegistryError::Internal)?;
            // One that ends now is kept too, so that who tries it later is known
            // by it. It is over for good: no clock gives an earlier time, and no
            // store is opened by one that is behind.
            let replaced = admin.secrets.pop().map(|secret| Secret {
                end_time: Some(now.saturating_add(overlap)),
                ..secret
            });
            let newest = self.secret_of(&token, now);
            admin.secrets = replaced.into_iter().chain([newest]).collect();
            let overlap = humantime::format_duration(overlap).to_string();
            let mut audit = admin_entry(actor, &admin, (AuditAction::RotateAdmin, now), "");
            audit.detail = [("overlap".to_owned(), overlap)].into();
            if let Some(changed) = self.put_admin(actor, &found, admin, audit).await? {
                let view = AdminKeyView::new(changed, now);
                return Ok(CreatedAdminKey { view, token });
            }
        }
        Err(conflict(Kind::AdminKey, id))
    }
}
