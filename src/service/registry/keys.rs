//! Keys: issued and read.

use std::sync::Arc;

use tracing::info;

use crate::domain::admin::{Deed, Place};
use crate::domain::audit::{AuditAction, AuditEntry};
use crate::domain::clock::Timestamp;
use crate::domain::credits::{Balance, CreditsView};
use crate::domain::id::KeyId;
use crate::domain::key::{Key, KeyState};
use crate::domain::key_draft::{KeyDraft, KeySpec};
use crate::domain::rotation::due_time;
use crate::domain::secret::Rotation;
use crate::domain::token::{self, Token};
use crate::domain::violation::Violations;
use crate::domain::workspace::Workspace;
use crate::store::{Batch, Expect, Record, RecordId, Revision, Versioned};

use super::super::admission::Actor;
use super::super::error::{Condition, Kind, RegistryError};
use super::credits::first_credits;
use super::rotation::RotationView;
use super::{
    MAX_TRIES, Registry, conflict, entry, etag, precondition, put, told_limits, unchanged,
};

/// A key, with what can be said of it now.
#[derive(Clone, Debug)]
pub struct KeyView {
    /// The key.
    pub key: Key,
    /// Whether it works.
    pub state: KeyState,
    /// What may be displayed of its token, the newest if there are two.
    pub hint: String,
    /// The rotation that is under way.
    pub rotation: Option<RotationView>,
    /// When its newest token was made.
    pub rotate_time: Option<Timestamp>,
    /// When it should be given another.
    pub rotation_due_time: Option<Timestamp>,
    /// Stands for this state of it.
    pub etag: String,
    /// What it has left to use up; none: it needs nothing of the kind.
    pub credits: Option<CreditsView>,
}

/// A key that was just issued.
#[derive(Debug)]
pub struct IssuedKey {
    /// The key.
    pub view: KeyView,
    /// Its token, which nobody will see again.
    pub token: Arc<Token>,
}

impl KeyView {
    /// What can be said at `now` of a key of `workspace`.
    fn new(found: Versioned<Key>, workspace: &Workspace, now: Timestamp) -> Self {
        let key = found.record;
        let mark = workspace
            .mark(key.environment.as_ref())
            .map(|name| name.as_str());
        let newest = key.secrets.last();
        let hint = |tail| token::hint(workspace.token_prefix.as_str(), mark, tail);
        let rotation = Rotation::of(&key.secrets, now).filter(|_| key.revocation.is_none());
        Self {
            state: key.state(now),
            hint: hint(newest.map(|secret| secret.tail).unwrap_or_default()),
            rotation: rotation.map(|rotation| RotationView::new(rotation, hint)),
            rotate_time: newest.map(|secret| secret.create_time),
            rotation_due_time: due_time(&key, workspace, now),
            key,
            etag: etag(found.revision),
            credits: None,
        }
    }
}

impl Registry {
    /// What can be said at `now` of a key of `workspace`.
    pub(super) fn view(
        &self,
        found: Versioned<Key>,
        workspace: &Workspace,
        now: Timestamp,
    ) -> KeyView {
        let account = self.index.credits(found.record.id);
        KeyView {
            credits: account.and_then(|account| account.view(now)),
            ..KeyView::new(found, workspace, now)
        }
    }

    /// Issues a key. A draft with a request id issues one key, however often
    /// it comes.
    ///
    /// # Errors
    ///
    /// [`RegistryError::Invalid`], [`RegistryError::GrantCeiling`],
    /// [`RegistryError::NotFound`] for the workspace,
    /// [`RegistryError::Precondition`] if that is disabled,
    /// [`RegistryError::Issued`], or the caller may not, or the store fails.
    pub async fn create_key(
        &self,
        actor: &Actor,
        draft: KeyDraft,
    ) -> Result<IssuedKey, RegistryError> {
        let request = self.requests.identify(actor, &draft);
        for _ in 0..MAX_TRIES {
            let workspace = self
                .workspace(actor, Deed::ManageKeys, &draft.workspace, "workspace")
                .await?;
            let now = self.clock.now();
            // Before the draft is judged: what has changed since it was carried
            // out makes it no other request.
            if let Some(request) = &request
                && let Some(issued) = self.issued_before(actor, request).await?
            {
                return Ok(issued);
            }
            let spec = draft.check(&workspace.record, now)?;
            actor.may_grant(&spec.scopes)?;
            let id = &workspace.record.id;
            if workspace.record.disabled {
                let condition = Condition::WorkspaceDisabled;
                return Err(precondition(Kind::Workspace, id, condition));
            }
            let token = Arc::new(Token::mint(
                &workspace.record.token_prefix,
                workspace.record.mark(spec.environment.as_ref()),
            ));
            let credits = spec.credits;
            let key = self.new_key(actor, &draft, spec, &token, &workspace.record, now);
            let mut batch = put(
                Record::Key(key.clone()),
                Expect::Absent,
                issue_entry(actor, &key, credits),
            );
            let credits = credits.map(|balance| first_credits(key.id, balance));
            batch.writes.splice(..0, credits);
            // A workspace that was disabled or deleted since gets no new key.
            batch.requires.push(unchanged(
                RecordId::Workspace(id.clone()),
                workspace.revision,
            ));
            if let Some(request) = &request {
                batch.writes.push(request.carried_out(key.id));
                self.requests.hold(key.id, &token);
            }
            if let Some(revision) = self.issue(actor, batch, &key).await? {
                let issued = Versioned {
                    record: key,
                    revision,
                };
                let view = self.view(issued, &workspace.record, now);
                return Ok(IssuedKey { view, token });
            }
        }
        Err(conflict(Kind::Workspace, &draft.workspace))
    }

    /// Reads a key.
    ///
    /// # Errors
    ///
    /// [`RegistryError::NotFound`], or the caller may not, or the store fails.
    pub async fn get_key(&self, actor: &Actor, id: &str) -> Result<KeyView, RegistryError> {
        let (found, workspace) = self.key(actor, Deed::Read, (id, "key_id")).await?;
        Ok(self.view(found, &workspace.record, self.clock.now()))
    }

    /// The key that is named in a field, and its workspace, if the caller may
    /// do `deed` there.
    pub(super) async fn key(
        &self,
        actor: &Actor,
        deed: Deed,
        (id, field): (&str, &str),
    ) -> Result<(Versioned<Key>, Versioned<Workspace>), RegistryError> {
        if id.is_empty() {
            return Err(Violations::of(field, "is required").into());
        }
        let parsed = id.parse::<KeyId>().map_err(|_| RegistryError::NotFound {
            kind: Kind::Key,
            id: String::new(),
        })?;
        let found = self.read(RecordId::Key(parsed), Kind::Key, id).await?;
        let Some(Versioned {
            record: Record::Key(record),
            revision,
        }) = found
        else {
            return Err(actor.absent(Kind::Key, id));
        };
        let place = Place::Workspace(&record.workspace);
        actor.may_at(deed, place, Kind::Key, id)?;
        let workspace = self.existing_workspace(record.workspace.clone()).await?;
        Ok((Versioned { record, revision }, workspace))
    }

    fn new_key(
        &self,
        actor: &Actor,
        draft: &KeyDraft,
        spec: KeySpec,
        token: &Token,
        workspace: &Workspace,
        now: Timestamp,
    ) -> Key {
        Key {
            id: KeyId::generate(now),
            workspace: workspace.id.clone(),
            environment: spec.environment,
            principal: draft.principal.clone(),
            name: draft.name.clone(),
            description: draft.description.clone(),
            scopes: spec.scopes,
            metadata: draft.metadata.clone(),
            secrets: vec![self.secret_of(token, now)],
            create_time: now,
            created_by: actor.id(),
            expire_time: draft.expire_time,
            disabled: false,
            revocation: None,
            limits: spec.limits,
            source_addresses: spec.source_addresses,
        }
    }

    /// Commits a new key; none: the workspace has changed, or the request was
    /// carried out, in the meantime.
    async fn issue(
        &self,
        actor: &Actor,
        batch: Batch,
        key: &Key,
    ) -> Result<Option<Revision>, RegistryError> {
        let id = key.id.to_string();
        let committed = self.attempt(actor, batch, Kind::Key, &id).await;
        match &committed {
            Ok(Some(_)) => {
                info!(actor = key.created_by, key = id, workspace = %key.workspace, "key issued");
            }
            // The token may be needed yet.
            Err(RegistryError::OutcomeUnknown) => {}
            Ok(None) | Err(_) => self.requests.forget(key.id),
        }
        committed
    }
}

fn issue_entry(actor: &Actor, key: &Key, credits: Option<Balance>) -> AuditEntry {
    let environment = key.environment.as_ref().map(ToString::to_string);
    let expiry = key.expire_time.map(|expiry| expiry.to_string());
    entry(
        actor,
        Some(&key.workspace),
        (AuditAction::CreateKey, key.create_time),
        &key.id.to_string(),
        [
            ("name", key.name.clone()),
            ("principal", key.principal.clone()),
            ("scopes", key.scopes.to_string()),
            ("environment", environment.unwrap_or_default()),
            ("expire_time", expiry.unwrap_or_default()),
            ("limits", told_limits(&key.limits)),
            ("source_addresses", key.source_addresses.to_string()),
            ("credits", credits.map_or_else(String::new, credits_text)),
        ],
    )
}

/// A balance, and when there is more.
fn credits_text(balance: Balance) -> String {
    balance.refill.map_or_else(
        || balance.free.to_string(),
        |refill| format!("{} {refill}", balance.free),
    )
}
