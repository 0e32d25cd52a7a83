//! The write path: what operators do to workspaces, keys and admin keys, and
//! who may.

mod admin_list;
mod admin_rotation;
mod admins;
mod audit;
mod audit_size;
mod changes;
mod credits;
mod explain;
mod footing;
mod import;
mod imported;
mod key_list;
mod key_rotation;
mod keys;
mod last_owner;
mod memberships;
mod principal_deletion;
mod principals;
mod requests;
mod rotation;
mod token_search;
mod usage;
mod walk;
mod workspaces;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tracing::error;

use crate::domain::admin::{Deed, Place};
use crate::domain::audit::{AuditAction, AuditEntry};
use crate::domain::clock::{Clock, Timestamp};
use crate::domain::digest::{Pepper, TokenHasher};
use crate::domain::id::WorkspaceId;
use crate::domain::key::{Key, Revocation};
use crate::domain::limit::LimitSet;
use crate::domain::secret::Secret;
use crate::domain::token::Token;
use crate::domain::violation::Violations;
use crate::domain::workspace::Workspace;
use crate::index::Index;
use crate::store::{
    Batch, Expect, Record, RecordId, Requirement, Revision, Store, StoreError, StoreHealth,
    Versioned, Write,
};

use super::admission::Actor;
use super::checker::Checker;
use super::error::{Condition, Kind, RegistryError};
use super::page::Pager;

pub use admins::{AdminKeyView, CreatedAdminKey};
pub use audit::{AskedLog, ListAuditEvents};
pub use credits::CreditsChange;
pub use explain::{CheckQuestion, ExplainedCheck};
pub use import::{Import, ImportEnd, ImportOutcome};
pub use key_list::KeyFilter;
pub use keys::{IssuedKey, KeyView};
pub use memberships::MembershipView;
pub use principals::PrincipalView;
pub use rotation::RotationView;
pub use token_search::{Holder, IdentifiedToken, MAX_TOKENS, TokenState};
pub use usage::{UnusedFilter, UsageView};
pub use walk::{Page, PageQuestion};
pub use workspaces::WorkspaceView;

use requests::Requests;

/// How often a change is tried again when others change the same record.
const MAX_TRIES: usize = 8;

/// Changes what the store holds, and reads it for operators.
#[derive(Debug)]
pub struct Registry {
    store: Arc<dyn Store>,
    index: Arc<Index>,
    pepper: Pepper,
    hasher: TokenHasher,
    pager: Pager,
    requests: Requests,
    clock: Arc<dyn Clock>,
    /// How long a revoked key is kept before it can be deleted.
    key_retention: Duration,
    /// None: no verdict is explained.
    checker: Option<Checker>,
    /// Since when it is known how keys are used; none: it is not.
    counted_since: Option<Timestamp>,
}

impl Registry {
    /// A registry over `store`, whose commits `index` follows. A revoked key
    /// can be deleted after `key_retention`.
    #[must_use]
    pub fn new(
        store: Arc<dyn Store>,
        index: Arc<Index>,
        pepper: Pepper,
        clock: Arc<dyn Clock>,
        key_retention: Duration,
    ) -> Self {
        let hasher = pepper.token_hasher();
        let pager = Pager::new(pepper.page_sealer(store.id()));
        let requests = Requests::new(pepper.request_sealer(store.id()));
        Self {
            store,
            index,
            pepper,
            hasher,
            pager,
            requests,
            clock,
            key_retention,
            checker: None,
            counted_since: None,
        }
    }

    /// The same, that tells how keys are used if that is counted, and since when
    /// it is.
    #[must_use]
    pub fn telling_usage(self, counted_since: Option<Timestamp>) -> Self {
        Self {
            counted_since,
            ..self
        }
    }

    /// Makes a change, and returns when it is durable and every check that
    /// starts from then on judges by it. None: what it relies on has changed
    /// in the meantime, so read again and decide again.
    async fn attempt(
        &self,
        actor: &Actor,
        mut batch: Batch,
        kind: Kind,
        id: &str,
    ) -> Result<Option<Revision>, RegistryError> {
        batch.requires.push(self.standing(actor).await?);
        match self.commit(batch).await {
            Ok(revision) => Ok(Some(revision)),
            Err(StoreError::Conflict(RecordId::AdminKey(id))) if id == actor.admin().id => {
                Err(conflict(Kind::AdminKey, &actor.id()))
            }
            Err(error) if error.retryable() => Ok(None),
            Err(error) => Err(RegistryError::from_store(&error, kind, id)),
        }
    }

    /// The caller as a part of the change: what it may was judged by this state
    /// of it. One that is being ended, or given less, makes no change that
    /// comes after that, and so leaves nothing that was not there to be seen
    /// when the reply to its end was sent.
    async fn standing(&self, actor: &Actor) -> Result<Requirement, RegistryError> {
        let (admin, id) = (actor.admin(), actor.id());
        let record = RecordId::AdminKey(admin.id);
        let found = self.read(record.clone(), Kind::AdminKey, &id).await?;
        match found {
            Some(found) if matches!(&found.record, Record::AdminKey(now) if now == admin) => {
                Ok(unchanged(record, found.revision))
            }
            // It calls again, and is judged by what it is now.
            Some(_) | None => Err(conflict(Kind::AdminKey, &id)),
        }
    }

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

    /// Reads a record, once every check judges by it.
    async fn read(
        &self,
        record: RecordId,
        kind: Kind,
        id: &str,
    ) -> Result<Option<Versioned>, RegistryError> {
        let store = Arc::clone(&self.store);
        let found = blocking(move || store.get(&record))
            .await?
            .map_err(|error| RegistryError::from_store(&error, kind, id))?;
        if let Some(found) = &found {
            self.settled(found.revision).await?;
        }
        Ok(found)
    }

    /// The workspace `id`, if the caller may do `deed` there. `field` is the
    /// one that names it.
    async fn workspace(
        &self,
        actor: &Actor,
        deed: Deed,
        id: &str,
        field: &str,
    ) -> Result<Versioned<Workspace>, RegistryError> {
        let parsed = workspace_id(id, field)?;
        let place = Place::Workspace(&parsed);
        actor.may_at(deed, place, Kind::Workspace, id)?;
        self.existing_workspace(parsed).await
    }

    async fn existing_workspace(
        &self,
        id: WorkspaceId,
    ) -> Result<Versioned<Workspace>, RegistryError> {
        let text = id.to_string();
        let found = self
            .read(RecordId::Workspace(id), Kind::Workspace, &text)
            .await?;
        match found {
            Some(Versioned {
                record: Record::Workspace(record),
                revision,
            }) => Ok(Versioned { record, revision }),
            Some(_) | None => Err(RegistryError::NotFound {
                kind: Kind::Workspace,
                id: text,
            }),
        }
    }

    /// What a token of a key leaves in its record.
    fn secret_of(&self, token: &Token, now: Timestamp) -> Secret {
        Secret {
            digest: self.hasher.digest(token.expose().as_bytes()),
            tail: token.tail(),
            create_time: now,
            pepper_id: self.pepper.id(),
            end: None,
            imported: None,
        }
    }

    /// Whether `token` is what stands for `key` from now on.
    fn is_newest(&self, token: &Token, key: &Key) -> bool {
        let digest = self.hasher.digest(token.expose().as_bytes());
        let newest = key.secrets.last();
        newest.is_some_and(|secret| secret.digest == digest)
    }
}

/// The id of a workspace that a caller named in `field`.
fn workspace_id(id: &str, field: &str) -> Result<WorkspaceId, RegistryError> {
    if id.is_empty() {
        return Err(Violations::of(field, "is required").into());
    }
    id.parse().map_err(|_| RegistryError::NotFound {
        kind: Kind::Workspace,
        id: String::new(),
    })
}

/// The change that puts `record` where `expect` holds, and tells of it.
fn put(record: Record, expect: Expect, audit: AuditEntry) -> Batch {
    Batch {
        writes: vec![Write { record, expect }],
        requires: Vec::new(),
        audit,
        beside: None,
    }
}

/// Holds a change up if `id` was changed since it was read.
fn unchanged(id: RecordId, revision: Revision) -> Requirement {
    Requirement::Record {
        id,
        expect: Expect::At(revision),
    }
}

/// What the audit log is to say of a change.
fn entry<const N: usize>(
    actor: &Actor,
    workspace: Option<&WorkspaceId>,
    (action, now): (AuditAction, Timestamp),
    resource: &str,
    detail: [(&str, String); N],
) -> AuditEntry {
    let detail: BTreeMap<_, _> = detail
        .into_iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| (name.to_owned(), value))
        .collect();
    AuditEntry {
        workspace: workspace.cloned(),
        time: now,
        actor: actor.id(),
        action,
        resource: resource.to_owned(),
        detail,
    }
}

/// Limits as an entry tells them of what was made; nothing, if there are none.
fn told_limits(limits: &LimitSet) -> String {
    if limits.is_empty() {
        return String::new();
    }
    limits.to_string()
}

/// Stands for a state of a record. Opaque to whoever gets it.
fn etag(revision: Revision) -> String {
    format!("r{:x}", revision.0)
}

/// Refuses a change that was decided on by an older state. Without an etag, it
/// is the last one who wins.
fn refuse_stale(
    asked: &str,
    revision: Revision,
    kind: Kind,
    id: &str,
) -> Result<(), RegistryError> {
    if asked.is_empty() || asked == etag(revision) {
        return Ok(());
    }
    Err(RegistryError::EtagMismatch {
        kind,
        id: id.to_owned(),
    })
}

/// What is revoked stays as it was when it ended.
fn refuse_revoked(
    revocation: Option<&Revocation>,
    kind: Kind,
    id: &str,
) -> Result<(), RegistryError> {
    match revocation {
        Some(_) => Err(precondition(kind, id, Condition::Revoked)),
        None => Ok(()),
    }
}

fn precondition(kind: Kind, id: impl ToString, condition: Condition) -> RegistryError {
    RegistryError::Precondition {
        kind,
        id: id.to_string(),
        condition,
    }
}

/// Others were faster, every time.
fn conflict(kind: Kind, id: &str) -> RegistryError {
    RegistryError::Conflict {
        kind,
        id: id.to_owned(),
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
