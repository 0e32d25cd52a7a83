//! The write path: what operators do to workspaces and keys, and who may.

mod keys;
mod list;

use std::sync::Arc;

use tracing::{error, info};

use crate::domain::admin::Deed;
use crate::domain::audit::{AuditAction, AuditEntry};
use crate::domain::clock::Clock;
use crate::domain::digest::{Pepper, TokenHasher};
use crate::domain::violation::Violations;
use crate::domain::workspace::{Workspace, WorkspaceDraft};
use crate::index::Index;
use crate::store::{Batch, Expect, Record, Revision, Store, StoreError, StoreHealth, Write};

use super::admission::Actor;
use super::error::{Kind, RegistryError};
use super::page::Pager;

pub use keys::{IssuedKey, KeyView};
pub use list::{ListKeys, Page};

/// Changes what the store holds, and reads it for operators.
#[derive(Debug)]
pub struct Registry {
    store: Arc<dyn Store>,
    index: Arc<Index>,
    pepper: Pepper,
    hasher: TokenHasher,
    pager: Pager,
    clock: Arc<dyn Clock>,
}

impl Registry {
    /// A registry over `store`, whose commits `index` follows.
    #[must_use]
    pub fn new(
        store: Arc<dyn Store>,
        index: Arc<Index>,
        pepper: Pepper,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let hasher = pepper.token_hasher();
        let pager = Pager::new(pepper.page_sealer(store.id()));
        Self {
            store,
            index,
            pepper,
            hasher,
            pager,
            clock,
        }
    }

    /// Creates a workspace.
    ///
    /// # Errors
    ///
    /// [`RegistryError::Invalid`], [`RegistryError::Exists`], or the caller
    /// may not, or the store fails.
    pub async fn create_workspace(
        &self,
        actor: &Actor,
        draft: WorkspaceDraft,
    ) -> Result<Workspace, RegistryError> {
        actor.may(Deed::CreateWorkspace)?;
        let now = self.clock.now();
        let workspace = draft.build(actor.id(), now)?;
        let id = workspace.id.clone();
        let detail = [(
            "token_prefix".to_owned(),
            workspace.token_prefix.as_str().to_owned(),
        )];
        let batch = Batch {
            writes: vec![Write {
                record: Record::Workspace(workspace.clone()),
                expect: Expect::Absent,
            }],
            audit: AuditEntry {
                workspace: Some(id.clone()),
                time: now,
                actor: actor.id(),
                action: AuditAction::CreateWorkspace,
                resource: id.to_string(),
                detail: detail.into(),
            },
        };
        self.commit(batch).await.map_err(|error| {
            if matches!(error, StoreError::Conflict(_)) {
                let id = id.to_string();
                return RegistryError::Exists {
                    kind: Kind::Workspace,
                    id,
                };
            }
            RegistryError::from_store(&error, Kind::Workspace, id.as_str())
        })?;
        info!(actor = actor.id(), workspace = %id, "workspace created");
        Ok(workspace)
    }

    /// Reads a workspace.
    ///
    /// # Errors
    ///
    /// [`RegistryError::NotFound`], or the caller may not.
    pub fn get_workspace(&self, actor: &Actor, id: &str) -> Result<Workspace, RegistryError> {
        self.workspace(actor, Deed::Read, id, "workspace")
            .map(|workspace| (*workspace).clone())
    }

    /// Returns when the change is durable and every check that starts from
    /// then on judges by it.
    async fn commit(&self, batch: Batch) -> Result<Revision, StoreError> {
        let revision = self.store.commit(batch).await?;
        // It is durable, and yet not known to the checks of this node.
        self.index
            .reached(revision)
            .await
            .map_err(|_| StoreError::OutcomeUnknown)?;
        Ok(revision)
    }

    /// Returns when what was read is durable and every check judges by it: the
    /// store shows a change a moment before that. Never, if the store was lost
    /// in that moment, so that is an error.
    async fn settled(&self, revision: Revision) -> Result<(), RegistryError> {
        let mut health = self.store.health();
        tokio::select! {
            biased;
            reached = self.index.reached(revision) => reached.map_err(|_| RegistryError::Internal),
            _ = health.wait_for(|health| *health == StoreHealth::Lost) => {
                Err(RegistryError::StoreUnavailable)
            }
        }
    }

    /// The workspace `id`, if the caller may do `deed` there.
    fn workspace(
        &self,
        actor: &Actor,
        deed: Deed,
        id: &str,
        field: &str,
    ) -> Result<Arc<Workspace>, RegistryError> {
        if id.is_empty() {
            let mut violations = Violations::default();
            violations.add(field, "is required");
            return Err(violations.into());
        }
        let Ok(parsed) = id.parse() else {
            return Err(RegistryError::NotFound {
                kind: Kind::Workspace,
                id: String::new(),
            });
        };
        let absent = || RegistryError::NotFound {
            kind: Kind::Workspace,
            id: id.to_owned(),
        };
        actor.may_in(deed, &parsed, Kind::Workspace, id)?;
        self.index.workspace(id).ok_or_else(absent)
    }
}

/// Reads of the store may wait for the disk: they run where that holds up no
/// other call.
async fn blocking<T: Send + 'static>(
    read: impl FnOnce() -> T + Send + 'static,
) -> Result<T, RegistryError> {
    tokio::task::spawn_blocking(read).await.map_err(|failure| {
        error!(error = %failure, "store read failed");
        RegistryError::Internal
    })
}
