//! Calls that were refused: logged and written into the audit log, so that who
//! tries what is not his shows; throttled, so that trying does not fill it.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError};

use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use tracing::{debug, warn};

use crate::domain::admin::{AdminKey, Reach};
use crate::domain::audit::{AuditAction, AuditEntry, UNKNOWN};
use crate::domain::clock::Clock;
use crate::store::{Batch, Store};

use super::admission::Actor;
use super::error::RegistryError;

/// How many refusals of one caller are written down at once.
const BURST: NonZeroU32 = NonZeroU32::new(20).expect("not zero");

/// How many more of them in each minute.
const PER_MINUTE: NonZeroU32 = NonZeroU32::new(10).expect("not zero");

/// Writes refusals down.
#[derive(Debug)]
pub struct Denials {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    /// By caller: admin keys, which are not many, and whoever has none.
    throttle: DefaultKeyedRateLimiter<String>,
    /// How many refusals of a caller were not written down since the last one
    /// that was.
    suppressed: Mutex<HashMap<String, u64>>,
}

impl Denials {
    /// Writes into the audit log of `store`.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, clock: Arc<dyn Clock>) -> Self {
        let quota = Quota::per_minute(PER_MINUTE).allow_burst(BURST);
        Self {
            store,
            clock,
            throttle: RateLimiter::keyed(quota),
            suppressed: Mutex::default(),
        }
    }

    /// Notes that `call` failed with `error`, if that is a refusal. `actor` is
    /// none if it has not proved who it is. Does not wait: must be called in a
    /// runtime.
    pub fn note(&self, actor: Option<&Actor>, call: &'static str, error: &RegistryError) {
        let Some(reason) = error.denial() else { return };
        let admin = refused(actor, error);
        let name = admin.map_or_else(|| UNKNOWN.to_owned(), |admin| admin.id.to_string());
        if self.throttle.check_key(&name).is_err() {
            *self.suppressed().entry(name).or_default() += 1;
            return;
        }
        let suppressed = self.suppressed().remove(&name).unwrap_or(0);
        warn!(actor = name, call, reason, suppressed, "call denied");
        let entry = self.entry(admin, name, call, reason, suppressed, error);
        let store = Arc::clone(&self.store);
        tokio::spawn(async move {
            let batch = Batch {
                writes: Vec::new(),
                requires: Vec::new(),
                audit: entry,
            };
            // A store that takes no changes is told of elsewhere.
            if let Err(error) = store.commit(batch).await {
                debug!(%error, "denial not audited");
            }
        });
    }

    fn entry(
        &self,
        admin: Option<&AdminKey>,
        name: String,
        call: &str,
        reason: &str,
        suppressed: u64,
        error: &RegistryError,
    ) -> AuditEntry {
        let mut detail = vec![("call", call.to_owned()), ("reason", reason.to_owned())];
        if suppressed > 0 {
            detail.push(("suppressed", suppressed.to_string()));
        }
        let mut resource = String::new();
        match error {
            RegistryError::Unauthenticated { denial, .. } => {
                detail.push(("denial", denial.as_str().to_owned()));
            }
            RegistryError::GrantCeiling(scopes) => detail.push(("scopes", scopes.join(" "))),
            RegistryError::Hidden { id, .. } => resource.clone_from(id),
            RegistryError::RoleInsufficient { required, .. } => {
                detail.push(("required_role", required.to_string()));
            }
            RegistryError::NotOfTheSystem
            | RegistryError::Invalid(_)
            | RegistryError::NotFound { .. }
            | RegistryError::Issued { .. }
            | RegistryError::EtagMismatch { .. }
            | RegistryError::Precondition { .. }
            | RegistryError::Exists { .. }
            | RegistryError::Conflict { .. }
            | RegistryError::StoreUnavailable
            | RegistryError::OutcomeUnknown
            | RegistryError::Internal => {}
        }
        AuditEntry {
            workspace: match admin.map(|admin| &admin.reach) {
                Some(Reach::Workspace(id)) => Some(id.clone()),
                Some(Reach::System) | None => None,
            },
            time: self.clock.now(),
            actor: name,
            action: AuditAction::DenyCall,
            resource,
            detail: detail
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value))
                .collect(),
        }
    }

    fn suppressed(&self) -> std::sync::MutexGuard<'_, HashMap<String, u64>> {
        self.suppressed
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// The admin key that was refused, also one whose token has ended; none: nobody
/// who is known.
fn refused<'a>(actor: Option<&'a Actor>, error: &'a RegistryError) -> Option<&'a AdminKey> {
    match (actor, error) {
        (Some(actor), _) => Some(actor.admin()),
        (None, RegistryError::Unauthenticated { admin, .. }) => admin.as_deref(),
        (None, _) => None,
    }
}
