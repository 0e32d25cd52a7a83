//! Calls that were refused: logged and written into the audit log, so that who
//! tries what is not his shows; throttled, so that trying does not fill it.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use tracing::{debug, warn};

use crate::domain::admin::{AdminKey, Reach};
use crate::domain::audit::{AuditAction, AuditEntry, UNKNOWN};
use crate::domain::clock::Clock;
use crate::store::{Batch, Store};

use super::admission::Actor;
use super::error::RegistryError;

/// How many refusals of one caller are written down at once.
const BURST: NonZeroU32 = NonZeroU32::new(10).expect("not zero");

/// How many more of them in each minute. Whoever reaches the admin listener is
/// such a caller, and what he makes the audit log hold is never taken away.
const PER_MINUTE: NonZeroU32 = NonZeroU32::MIN;

/// Writes refusals down.
#[derive(Debug)]
pub struct Denials {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    /// By caller: admin keys, which are not many, and whoever has none, all of
    /// whom are one.
    throttle: DefaultKeyedRateLimiter<String>,
    /// How many refusals of a caller were not written down since the last one
    /// that was.
    suppressed: Arc<Suppressed>,
}

/// How many refusals of a caller were not written down, by caller.
#[derive(Debug, Default)]
struct Suppressed(Mutex<HashMap<String, u64>>);

impl Suppressed {
    fn add(&self, name: &str, count: u64) {
        *self.lock().entry(name.to_owned()).or_default() += count;
    }

    fn take(&self, name: &str) -> u64 {
        self.lock().remove(name).unwrap_or(0)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, u64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Denials {
    /// Writes into the audit log of `store`.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, clock: Arc<dyn Clock>) -> Self {
        Self {
            store,
            clock,
            throttle: RateLimiter::keyed(Quota::per_minute(PER_MINUTE).allow_burst(BURST)),
            suppressed: Arc::default(),
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
            self.suppressed.add(&name, 1);
            return;
        }
        let suppressed = self.suppressed.take(&name);
        warn!(actor = name, call, reason, suppressed, "call denied");
        let entry = self.entry(admin, name.clone(), call, reason, suppressed, error);
        let (store, counts) = (Arc::clone(&self.store), Arc::clone(&self.suppressed));
        tokio::spawn(async move {
            let batch = Batch {
                writes: Vec::new(),
                requires: Vec::new(),
                audit: entry,
                beside: None,
            };
            // A store that takes no changes is told of elsewhere.
            if let Err(error) = store.commit(batch).await {
                debug!(%error, "denial not audited");
                counts.add(&name, suppressed + 1);
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
            | RegistryError::UsageNotCounted
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::audit::AuditLog;
    use crate::domain::clock::{ManualClock, Timestamp};
    use crate::domain::digest::Pepper;
    use crate::domain::verdict::DenialReason;
    use crate::store::local::MemoryStore;

    fn refuse(denials: &Denials) {
        let error = RegistryError::Unauthenticated {
            denial: DenialReason::Unknown,
            admin: None,
        };
        denials.note(None, "WhoAmI", &error);
    }

    #[tokio::test]
    async fn what_could_not_be_written_down_is_counted_by_what_can() {
        let clock = Arc::new(ManualClock::at(Timestamp::from_micros(1)));
        let store = MemoryStore::in_memory(&Pepper::generate(), clock.clone()).unwrap();
        let store = Arc::new(store);
        let denials = Denials::new(store.clone(), clock);
        // A store takes no changes before it was read.
        refuse(&denials);
        refuse(&denials);
        while denials.suppressed.lock().get(UNKNOWN) != Some(&2) {
            tokio::task::yield_now().await;
        }
        let reader = Arc::clone(&store);
        let read = tokio::task::spawn_blocking(move || reader.snapshot().unwrap().count());
        assert_eq!(read.await.unwrap(), 0);
        refuse(&denials);
        let events = loop {
            let events = store.audit(&AuditLog::All, None, 9).unwrap();
            if !events.is_empty() {
                break events;
            }
            tokio::task::yield_now().await;
        };
        assert_eq!(events.len(), 1);
        assert_eq!(events[0].detail["suppressed"], "2");
        assert_eq!(denials.suppressed.take(UNKNOWN), 0);
    }
}
