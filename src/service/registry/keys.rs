//! Issues, reads and revokes keys.

use std::collections::BTreeMap;
use std::sync::Arc;

use tracing::info;

use crate::domain::admin::Deed;
use crate::domain::audit::{AuditAction, AuditEntry};
use crate::domain::clock::Timestamp;
use crate::domain::id::KeyId;
use crate::domain::key::{Key, KeyDraft, KeyState, Revocation, RevocationReason, Secret};
use crate::domain::token::{self, Token};
use crate::domain::workspace::Workspace;
use crate::store::{Batch, Expect, Record, RecordId, Versioned, Write};

use super::super::admission::Actor;
use super::super::error::{Kind, RegistryError};
use super::{Registry, blocking};

/// How often a change is tried again when others change the same record.
const MAX_TRIES: usize = 8;

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

impl KeyView {
    /// What can be said at `now` of a key of `workspace`.
    pub(super) fn new(key: Key, workspace: &Workspace, now: Timestamp) -> Self {
        let mark = workspace
            .mark(key.environment.as_ref())
            .map(|name| name.as_str());
        let tail = key
            .secrets
            .last()
            .map(|secret| secret.tail)
            .unwrap_or_default();
        let hint = token::hint(workspace.token_prefix.as_str(), mark, tail);
        Self {
            state: key.state(now),
            hint,
            key,
        }
    }
}

impl Registry {
    /// Issues a key.
    ///
    /// # Errors
    ///
    /// [`RegistryError::Invalid`], [`RegistryError::GrantCeiling`],
    /// [`RegistryError::NotFound`] for the workspace, or the caller may not,
    /// or the store fails.
    pub async fn create_key(
        &self,
        actor: &Actor,
        draft: KeyDraft,
    ) -> Result<IssuedKey, RegistryError> {
        let workspace = self.workspace(actor, Deed::IssueKey, &draft.workspace, "workspace")?;
        let now = self.clock.now();
        let spec = draft.check(&workspace, now)?;
        actor.may_grant(&spec.scopes)?;

        let token = Token::mint(
            &workspace.token_prefix,
            workspace.mark(spec.environment.as_ref()),
        );
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
            writes: vec![Write {
                record: Record::Key(key.clone()),
                expect: Expect::Absent,
            }],
            audit: issue_entry(actor, &key),
        };
        self.commit(batch)
            .await
            .map_err(|error| RegistryError::from_store(&error, Kind::Key, &id))?;
        info!(actor = actor.id(), key = id, workspace = %key.workspace, "key issued");
        Ok(IssuedKey {
            view: KeyView::new(key, &workspace, now),
            token,
        })
    }

    /// Reads a key.
    ///
    /// # Errors
    ///
    /// [`RegistryError::NotFound`], or the caller may not, or the store fails.
    pub async fn get_key(&self, actor: &Actor, id: &str) -> Result<KeyView, RegistryError> {
        let (found, workspace) = self.key(actor, Deed::Read, id).await?;
        Ok(KeyView::new(found.record, &workspace, self.clock.now()))
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
                return Ok(KeyView::new(key, &workspace, now));
            }
            key.revocation = Some(Revocation {
                time: now,
                reason,
                by: actor.id(),
            });
            let batch = Batch {
                writes: vec![Write {
                    record: Record::Key(key.clone()),
                    expect: Expect::At(found.revision),
                }],
                audit: revoke_entry(actor, &key, now, reason),
            };
            match self.commit(batch).await {
                Ok(_) => {
                    info!(
                        actor = actor.id(),
                        key = id,
                        reason = reason.as_str(),
                        "key revoked"
                    );
                    return Ok(KeyView::new(key, &workspace, now));
                }
                Err(error) if error.retryable() => {}
                Err(error) => return Err(RegistryError::from_store(&error, Kind::Key, id)),
            }
        }
        Err(RegistryError::Conflict {
            kind: Kind::Key,
            id: id.to_owned(),
        })
    }

    /// The key `id` and its workspace, if the caller may do `deed` there.
    async fn key(
        &self,
        actor: &Actor,
        deed: Deed,
        id: &str,
    ) -> Result<(Versioned<Key>, Arc<Workspace>), RegistryError> {
        let Ok(parsed) = id.parse::<KeyId>() else {
            return Err(RegistryError::NotFound {
                kind: Kind::Key,
                id: String::new(),
            });
        };
        let absent = || RegistryError::NotFound {
            kind: Kind::Key,
            id: id.to_owned(),
        };
        let store = Arc::clone(&self.store);
        let found = blocking(move || store.get(&RecordId::Key(parsed)))
            .await?
            .map_err(|error| RegistryError::from_store(&error, Kind::Key, id))?
            .ok_or_else(absent)?;
        self.settled(found.revision).await?;
        let Record::Key(key) = found.record else {
            return Err(RegistryError::Internal);
        };
        actor.may_in(deed, &key.workspace, Kind::Key, id)?;
        let workspace = self
            .index
            .workspace(key.workspace.as_str())
            .ok_or(RegistryError::Internal)?;
        Ok((
            Versioned {
                record: key,
                revision: found.revision,
            },
            workspace,
        ))
    }
}

fn issue_entry(actor: &Actor, key: &Key) -> AuditEntry {
    let scopes: Vec<_> = key.scopes.iter().map(|scope| scope.as_str()).collect();
    let mut detail = BTreeMap::from([
        ("name".to_owned(), key.name.clone()),
        ("principal".to_owned(), key.principal.clone()),
        ("scopes".to_owned(), scopes.join(" ")),
    ]);
    detail.extend(
        key.environment
            .as_ref()
            .map(|name| ("environment".to_owned(), name.as_str().to_owned())),
    );
    detail.extend(
        key.expire_time
            .map(|expiry| ("expire_time".to_owned(), expiry.to_string())),
    );
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
