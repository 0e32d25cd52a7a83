//! The end of a principal: refused as long as it has keys, and for good.

use tracing::info;

use crate::domain::admin::Deed;
use crate::domain::audit::AuditAction;
use crate::domain::tombstone::{Buried, Tombstone};
use crate::store::{Expect, List, Record, Requirement};

use super::super::admission::Actor;
use super::super::error::{Condition, Kind, MAX_COUNTED, RegistryError};
use super::{MAX_TRIES, Registry, blocking, conflict, entry, precondition, put, refuse_stale};

impl Registry {
    /// Deletes a principal that has no keys, not even revoked ones. Its id stays
    /// taken; its memberships are none from then on, in however many workspaces
    /// it has some.
    ///
    /// # Errors
    ///
    /// [`RegistryError::Precondition`] if it has keys,
    /// [`RegistryError::NotFound`], [`RegistryError::EtagMismatch`],
    /// [`RegistryError::Conflict`], or the caller may not, or the store fails.
    pub async fn delete_principal(
        &self,
        actor: &Actor,
        (id, etag): (&str, &str),
    ) -> Result<(), RegistryError> {
        actor.may(Deed::ManagePrincipals)?;
        for _ in 0..MAX_TRIES {
            let found = self.existing_principal(id, "principal").await?;
            refuse_stale(etag, found.revision, Kind::Principal, id)?;
            self.refuse_keys_of(id).await?;
            let now = self.clock.now();
            let audit = entry(actor, None, (AuditAction::DeletePrincipal, now), id, []);
            let tombstone = Tombstone {
                of: Buried::Principal(found.record.id),
                time: now,
                by: actor.id(),
            };
            let mut batch = put(
                Record::Tombstone(tombstone),
                Expect::At(found.revision),
                audit,
            );
            // To issue a key leaves the record of its principal as it is.
            batch.requires.push(Requirement::NoKeysOf(id.to_owned()));
            if self
                .attempt(actor, batch, Kind::Principal, id)
                .await?
                .is_some()
            {
                info!(actor = actor.id(), principal = id, "principal deleted");
                return Ok(());
            }
        }
        Err(conflict(Kind::Principal, id))
    }

    async fn refuse_keys_of(&self, principal: &str) -> Result<(), RegistryError> {
        let (store, of) = (self.store.clone(), principal.to_owned());
        let keys = List::KeysOfPrincipal(of);
        let found = blocking(move || store.list(&keys, None, MAX_COUNTED))
            .await?
            .map_err(|error| RegistryError::from_store(&error, Kind::Principal, principal))?
            .len();
        match found {
            0 => Ok(()),
            keys => {
                let condition = Condition::PrincipalHasKeys { keys };
                Err(precondition(Kind::Principal, principal, condition))
            }
        }
    }
}
