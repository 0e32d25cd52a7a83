//! New tokens for admin keys: the old one works on for a while, so that both
//! are live while one is being replaced.

use std::time::Duration;

use crate::domain::admin::AdminKey;
use crate::domain::audit::AuditAction;
use crate::domain::clock::Timestamp;
use crate::domain::violation::Violations;

use super::super::admission::Actor;
use super::super::bootstrap::mint_admin_token;
use super::super::error::{Condition, Kind, RegistryError};
use super::admins::{Own, admin_entry, refuse_revoked};
use super::{AdminKeyView, CreatedAdminKey, MAX_TRIES, Registry, conflict, precondition};

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
                let mut violations = Violations::default();
                violations.add("overlap", "is more than 30 days");
                return Err(violations.into());
            }
            refuse_revoked(&found.record)?;
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
            let newest = admin.secrets.pop().filter(|_| !overlap.is_zero());
            // What ends now ends in the record too: no clock has to agree.
            admin.secrets = newest
                .map(|mut secret| {
                    secret.end_time = Some(now.saturating_add(overlap));
                    secret
                })
                .into_iter()
                .chain([self.secret_of(&token, now)])
                .collect();
            let overlap = humantime::format_duration(overlap).to_string();
            let mut audit = admin_entry(actor, &admin, (AuditAction::RotateAdmin, now), "");
            audit.detail = [("overlap".to_owned(), overlap)].into();
            if let Some(changed) = self.put_admin(&found, admin, audit).await? {
                let view = AdminKeyView::new(changed, now);
                return Ok(CreatedAdminKey { view, token });
            }
        }
        Err(conflict(Kind::AdminKey, id))
    }
}

/// Until when a token before the newest works.
pub(super) fn old_token_end(admin: &AdminKey, now: Timestamp) -> Option<Timestamp> {
    let (_, older) = admin.secrets.split_last()?;
    let live = older.iter().filter(|secret| secret.is_live(now));
    live.filter_map(|secret| secret.end_time).max()
}
