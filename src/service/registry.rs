//! The write path: what operators do to workspaces and keys, and who may.

use std::collections::BTreeMap;
use std::sync::Arc;

use tracing::{error, info};

use crate::domain::admin::Deed;
use crate::domain::audit::{AuditAction, AuditEntry};
use crate::domain::clock::{Clock, Timestamp};
use crate::domain::digest::{Pepper, TokenHasher};
use crate::domain::id::{KeyId, WorkspaceId};
use crate::domain::key::{Key, KeyDraft, KeyState, Revocation, RevocationReason, Secret};
use crate::domain::token::{self, Token};
use crate::domain::violation::Violations;
use crate::domain::workspace::{Workspace, WorkspaceDraft};
use crate::index::Index;
use crate::store::{Batch, Expect, Record, RecordId, Revision, Store, StoreError, Versioned, Write};

use super::admission::Actor;
use super::error::{Kind, RegistryError};
use super::page::{self, Pager};

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
    clock: Arc<dyn Clock>,
}

/// A key, with what can be said of it now.
#[derive(Clone, Debug)]
pub struct KeyView {
    /// The key.
    pub key: Key,
    /// Whether it works.
    pub state: KeyState,
    /// What may be displayed of its token.
    pub hint: String,
}

/// A key that was just issued.
#[derive(Debug)]
pub struct IssuedKey {
    /// The key.
    pub view: KeyView,
    /// Its token, which nobody will see again.
    pub token: Token,
}

/// Which keys to list.
#[derive(Clone, Debug, Default)]
pub struct ListKeys {
    /// Only those of this workspace; empty: all that the caller may read.
    pub workspace: String,
    /// How many at most; 0: as many as usual.
    pub page_size: i32,
    /// Where to go on; empty: from the start.
    pub page_token: String,
}

/// Some of the keys of a list.
#[derive(Clone, Debug)]
pub struct Page {
    /// The keys, in the order of their ids.
    pub keys: Vec<KeyView>,
    /// Where the next page starts; empty: there is none.
    pub next_page_token: String,
}

impl Registry {
    /// A registry over `store`, whose commits `index` follows.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, index: Arc<Index>, pepper: Pepper, clock: Arc<dyn Clock>) -> Self {
        let hasher = pepper.token_hasher();
        let pager = Pager::new(pepper.page_sealer(store.id()));
        Self { store, index, pepper, hasher, pager, clock }
    }

    /// Creates a workspace.
    ///
    /// # Errors
    ///
    /// [`RegistryError::Invalid`], [`RegistryError::Exists`], or the caller
    /// may not, or the store fails.
    pub async fn create_workspace(&self, actor: &Actor, draft: WorkspaceDraft) -> Result<Workspace, RegistryError> {
        actor.may(Deed::CreateWorkspace)?;
        let now = self.clock.now();
        let workspace = draft.build(actor.id(), now)?;
        let id = workspace.id.clone();
        let detail = [("token_prefix".to_owned(), workspace.token_prefix.as_str().to_owned())];
        let batch = Batch {
            writes: vec![Write { record: Record::Workspace(workspace.clone()), expect: Expect::Absent }],
            audit: AuditEntry {
                workspace: Some(id.clone()),
                time: now,
                actor: actor.id(),
                action: AuditAction::CreateWorkspace,
                resource: id.to_string(),
                detail: detail.into(),
            },
        };
        self.commit(batch).await.map_err(|error| match error {
            StoreError::Conflict(_) => RegistryError::Exists { kind: Kind::Workspace, id: id.to_string() },
            other => RegistryError::from_store(&other, Kind::Workspace, id.as_str()),
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
        self.workspace(actor, Deed::Read, id, "workspace").map(|workspace| (*workspace).clone())
    }

    /// Issues a key.
    ///
    /// # Errors
    ///
    /// [`RegistryError::Invalid`], [`RegistryError::GrantCeiling`],
    /// [`RegistryError::NotFound`] for the workspace, or the caller may not,
    /// or the store fails.
    pub async fn create_key(&self, actor: &Actor, draft: KeyDraft) -> Result<IssuedKey, RegistryError> {
        let workspace = self.workspace(actor, Deed::IssueKey, &draft.workspace, "workspace")?;
        let now = self.clock.now();
        let spec = draft.check(&workspace, now)?;
        actor.may_grant(&spec.scopes)?;

        let token = Token::mint(&workspace.token_prefix, workspace.mark(spec.environment.as_ref()));
        let secret = Secret {
            digest: self.hasher.digest(token.expose().as_bytes()),
            tail: token.tail(),
            create_time: now,
            pepper_id: self.pepper.id(),
        };
        let key = Key {
            id: KeyId::generate(now),
            workspace: workspace.id.clone(),
            environment: spec.environment,
            principal: draft.principal,
            name: draft.name,
            description: draft.description,
            scopes: spec.scopes,
            metadata: draft.metadata,
            secrets: vec![secret],
            create_time: now,
            created_by: actor.id(),
            expire_time: draft.expire_time,
            disabled: false,
            revocation: None,
        };
        let id = key.id.to_string();
        let batch = Batch {
            writes: vec![Write { record: Record::Key(key.clone()), expect: Expect::Absent }],
            audit: issue_entry(actor, &key),
        };
        self.commit(batch).await.map_err(|error| RegistryError::from_store(&error, Kind::Key, &id))?;
        info!(actor = actor.id(), key = id, workspace = %key.workspace, "key issued");
        Ok(IssuedKey { view: view(key, &workspace, now), token })
    }

    /// Reads a key.
    ///
    /// # Errors
    ///
    /// [`RegistryError::NotFound`], or the caller may not, or the store fails.
    pub async fn get_key(&self, actor: &Actor, id: &str) -> Result<KeyView, RegistryError> {
        let (found, workspace) = self.key(actor, Deed::Read, id).await?;
        Ok(view(found.record, &workspace, self.clock.now()))
    }

    /// Lists keys.
    ///
    /// # Errors
    ///
    /// [`RegistryError::Invalid`], [`RegistryError::NotFound`] for the
    /// workspace, or the caller may not, or the store fails.
    pub async fn list_keys(&self, actor: &Actor, question: ListKeys) -> Result<Page, RegistryError> {
        let workspace = self.listed_workspace(actor, &question.workspace)?;
        let list = workspace.as_ref().map(WorkspaceId::as_str).unwrap_or_default().to_owned();

        let mut violations = Violations::default();
        let size = page::size(question.page_size);
        if size.is_none() {
            violations.add("page_size", "is negative; leave it out for the default");
        }
        let after = match question.page_token.as_str() {
            "" => None,
            token => {
                let after = self.pager.read(&list, token);
                if after.is_none() {
                    violations.add("page_token", "is not one that was given for this list; start from the first page");
                }
                after
            }
        };
        violations.none()?;
        let size = size.unwrap_or_default();

        // One more than is shown tells whether there is a next page.
        let wanted = size + 1;
        let store = Arc::clone(&self.store);
        let mut keys = blocking(move || store.keys(workspace.as_ref(), after, wanted))
            .await?
            .map_err(|error| RegistryError::from_store(&error, Kind::Key, ""))?;
        let more = keys.len() > size;
        keys.truncate(size);
        let next_page_token = match keys.last().filter(|_| more) {
            Some(last) => self.pager.token(&list, last.id),
            None => String::new(),
        };
        let now = self.clock.now();
        let keys = keys.into_iter().map(|key| self.view(key, now)).collect::<Result<_, _>>()?;
        Ok(Page { keys, next_page_token })
    }

    /// Revokes a key. Revoking one that is revoked changes nothing.
    ///
    /// # Errors
    ///
    /// [`RegistryError::NotFound`], [`RegistryError::Conflict`], or the caller
    /// may not, or the store fails.
    pub async fn revoke_key(
        &self,
        actor: &Actor,
        id: &str,
        reason: RevocationReason,
    ) -> Result<KeyView, RegistryError> {
        for _ in 0..MAX_TRIES {
            let (found, workspace) = self.key(actor, Deed::RevokeKey, id).await?;
            let now = self.clock.now();
            let mut key = found.record;
            if key.revocation.is_some() {
                // It may be in the store and not in the index yet.
                self.index.reached(found.revision).await;
                return Ok(view(key, &workspace, now));
            }
            key.revocation = Some(Revocation { time: now, reason, by: actor.id() });
            let batch = Batch {
                writes: vec![Write { record: Record::Key(key.clone()), expect: Expect::At(found.revision) }],
                audit: revoke_entry(actor, &key, now, reason),
            };
            match self.commit(batch).await {
                Ok(_) => {
                    info!(actor = actor.id(), key = id, reason = reason.as_str(), "key revoked");
                    return Ok(view(key, &workspace, now));
                }
                Err(error) if error.retryable() => {}
                Err(error) => return Err(RegistryError::from_store(&error, Kind::Key, id)),
            }
        }
        Err(RegistryError::Conflict { kind: Kind::Key, id: id.to_owned() })
    }

    /// Returns when the change is durable and every check that starts from
    /// then on judges by it.
    async fn commit(&self, batch: Batch) -> Result<Revision, StoreError> {
        let revision = self.store.commit(batch).await?;
        self.index.reached(revision).await;
        Ok(revision)
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
            return Err(RegistryError::NotFound { kind: Kind::Workspace, id: String::new() });
        };
        let absent = || RegistryError::NotFound { kind: Kind::Workspace, id: id.to_owned() };
        actor.may_in(deed, &parsed, Kind::Workspace, id)?;
        self.index.workspace(id).ok_or_else(absent)
    }

    /// The key `id` and its workspace, if the caller may do `deed` there.
    async fn key(
        &self,
        actor: &Actor,
        deed: Deed,
        id: &str,
    ) -> Result<(Versioned<Key>, Arc<Workspace>), RegistryError> {
        let Ok(parsed) = id.parse::<KeyId>() else {
            return Err(RegistryError::NotFound { kind: Kind::Key, id: String::new() });
        };
        let absent = || RegistryError::NotFound { kind: Kind::Key, id: id.to_owned() };
        let store = Arc::clone(&self.store);
        let found = blocking(move || store.get(&RecordId::Key(parsed)))
            .await?
            .map_err(|error| RegistryError::from_store(&error, Kind::Key, id))?
            .ok_or_else(absent)?;
        let Record::Key(key) = found.record else { return Err(RegistryError::Internal) };
        actor.may_in(deed, &key.workspace, Kind::Key, id)?;
        let workspace = self.index.workspace(key.workspace.as_str()).ok_or(RegistryError::Internal)?;
        Ok((Versioned { record: key, revision: found.revision }, workspace))
    }

    /// The workspace whose keys a list shows; none: all.
    fn listed_workspace(&self, actor: &Actor, asked: &str) -> Result<Option<WorkspaceId>, RegistryError> {
        match (asked, actor.workspace()) {
            ("", None) => actor.may(Deed::Read).map(|()| None),
            ("", Some(own)) => {
                actor.may_in(Deed::Read, own, Kind::Workspace, own.as_str())?;
                Ok(Some(own.clone()))
            }
            (id, _) => self.workspace(actor, Deed::Read, id, "workspace").map(|found| Some(found.id.clone())),
        }
    }

    fn view(&self, key: Key, now: Timestamp) -> Result<KeyView, RegistryError> {
        let workspace = self.index.workspace(key.workspace.as_str()).ok_or(RegistryError::Internal)?;
        Ok(view(key, &workspace, now))
    }
}

fn view(key: Key, workspace: &Workspace, now: Timestamp) -> KeyView {
    let mark = workspace.mark(key.environment.as_ref()).map(|name| name.as_str());
    let tail = key.secrets.last().map(|secret| secret.tail).unwrap_or_default();
    KeyView { state: key.state(now), hint: token::hint(workspace.token_prefix.as_str(), mark, tail), key }
}

fn issue_entry(actor: &Actor, key: &Key) -> AuditEntry {
    let scopes: Vec<_> = key.scopes.iter().map(|scope| scope.as_str()).collect();
    let mut detail = BTreeMap::from([
        ("name".to_owned(), key.name.clone()),
        ("principal".to_owned(), key.principal.clone()),
        ("scopes".to_owned(), scopes.join(" ")),
    ]);
    detail.extend(key.environment.as_ref().map(|name| ("environment".to_owned(), name.as_str().to_owned())));
    detail.extend(key.expire_time.map(|expiry| ("expire_time".to_owned(), expiry.to_string())));
    AuditEntry {
        workspace: Some(key.workspace.clone()),
        time: key.create_time,
        actor: actor.id(),
        action: AuditAction::CreateKey,
        resource: key.id.to_string(),
        detail,
    }
}

fn revoke_entry(actor: &Actor, key: &Key, now: Timestamp, reason: RevocationReason) -> AuditEntry {
    AuditEntry {
        workspace: Some(key.workspace.clone()),
        time: now,
        actor: actor.id(),
        action: AuditAction::RevokeKey,
        resource: key.id.to_string(),
        detail: [("reason".to_owned(), reason.as_str().to_owned())].into(),
    }
}

/// Reads of the store may wait for the disk: they run where that holds up no
/// other call.
async fn blocking<T: Send + 'static>(read: impl FnOnce() -> T + Send + 'static) -> Result<T, RegistryError> {
    tokio::task::spawn_blocking(read).await.map_err(|failure| {
        error!(error = %failure, "store read failed");
        RegistryError::Internal
    })
}
