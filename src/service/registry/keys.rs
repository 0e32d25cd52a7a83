//! Keys: issued and read.

use std::sync::Arc;

use tracing::info;

use crate::domain::admin::{Deed, Place};
use crate::domain::audit::{AuditAction, AuditEntry};
use crate::domain::clock::Timestamp;
use crate::domain::credits::{Balance, CreditsView};
use crate::domain::id::{KeyId, WorkspaceId};
use crate::domain::import::ImportedForm;
use crate::domain::key::{Bond, Key, KeyState};
use crate::domain::key_draft::{KeyDraft, KeySpec};
use crate::domain::rotation::{USUAL_PERIOD, due_time};
use crate::domain::scope::ScopeSet;
use crate::domain::secret::{Rotation, Secret};
use crate::domain::token::{self, EnvironmentName, Token, TokenPrefix};
use crate::domain::violation::Violations;
use crate::domain::workspace::Workspace;
use crate::store::{Batch, Expect, Record, RecordId, Revision, Versioned};

use super::super::admission::Actor;
use super::super::error::{Condition, Kind, RegistryError};
use super::credits::first_credits;
use super::principals::harmless;
use super::rotation::RotationView;
use super::usage::UsageView;
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
    /// What it may do within its principal's ceiling in its workspace; none:
    /// all that its scopes say, or it is personal.
    pub effective_scopes: Option<ScopeSet>,
    /// How the token of another product came that works, and when.
    pub imported: Option<(ImportedForm, Timestamp)>,
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
    /// How it was used; none: that is not known.
    pub usage: Option<UsageView>,
}

/// A key that was just issued.
#[derive(Debug)]
pub struct IssuedKey {
    /// The key.
    pub view: KeyView,
    /// Its token, which nobody will see again.
    pub token: Arc<Token>,
}

impl Registry {
    /// What can be said of a key at `now`.
    pub(super) fn view(&self, found: Versioned<Key>, now: Timestamp) -> KeyView {
        let key = found.record;
        let hint = |secret: &Secret| self.hint(&key, secret);
        let account = self.index.credits(key.id);
        let newest = key.secrets.last();
        let rotation = Rotation::of(&key.secrets, now).filter(|_| key.revocation.is_none());
        KeyView {
            state: key.state(now),
            hint: newest.map(hint).unwrap_or_default(),
            imported: import_under_way(&key, now),
            effective_scopes: self.effective_scopes(&key),
            rotation: rotation.map(|rotation| RotationView::new(rotation, hint)),
            rotate_time: newest.map(|secret| secret.create_time),
            rotation_due_time: self.due_time(&key, now),
            usage: self.usage_view(&key, now),
            key,
            etag: etag(found.revision),
            credits: account.and_then(|account| account.view(now)),
        }
    }

    /// When a key should be given a new token at the latest: its workspace says
    /// that; personal keys have the usual time.
    pub(super) fn due_time(&self, key: &Key, now: Timestamp) -> Option<Timestamp> {
        let workspace = key.workspace().map(WorkspaceId::as_str);
        let workspace = workspace.and_then(|id| self.index.workspace(id));
        let period = workspace.map_or(USUAL_PERIOD, |workspace| workspace.rotation_period);
        due_time(key, period, now)
    }

    fn hint(&self, key: &Key, secret: &Secret) -> String {
        if let Some(imported) = &secret.imported {
            return imported.hint.to_string();
        }
        let hint = |prefix: &TokenPrefix, mark: Option<&EnvironmentName>| {
            token::hint(
                prefix.as_str(),
                mark.map(EnvironmentName::as_str),
                secret.tail,
            )
        };
        let environment = key.environment.as_ref();
        match &key.bond {
            Bond::Personal { token_prefix } => hint(token_prefix, environment),
            // No workspace goes before its keys.
            Bond::Workspace(id) => self
                .index
                .workspace(id.as_str())
                .map(|workspace| hint(&workspace.token_prefix, workspace.mark(environment)))
                .unwrap_or_default(),
        }
    }

    fn effective_scopes(&self, key: &Key) -> Option<ScopeSet> {
        let workspace = key.workspace()?;
        self.index
            .effective_scopes(workspace.as_str(), &key.principal, &key.scopes)
    }

    /// Issues a key. A draft with a request id issues one key, however often
    /// it comes.
    ///
    /// # Errors
    ///
    /// [`RegistryError::Invalid`], [`RegistryError::GrantCeiling`],
    /// [`RegistryError::NotFound`] for the workspace,
    /// [`RegistryError::Precondition`] if that is disabled, or the principal
    /// was taken out of it; for callers of the system, also if the principal
    /// is disabled or was deleted,
    /// [`RegistryError::Issued`], or the caller may not, or the store fails.
    pub async fn create_key(
        &self,
        actor: &Actor,
        draft: KeyDraft,
    ) -> Result<IssuedKey, RegistryError> {
        let request = self.requests.identify(actor, &draft);
        for _ in 0..MAX_TRIES {
            let workspace = self.place_of(actor, &draft).await?;
            let now = self.clock.now();
            // Before the draft is judged: what has changed since it was carried
            // out makes it no other request.
            if let Some(request) = &request
                && let Some(issued) = self.issued_before(actor, request).await?
            {
                return Ok(issued);
            }
            let here = workspace.as_ref().map(|found| &found.record);
            let (spec, token) = specified(&draft, here, now)?;
            actor.may_grant(&spec.scopes)?;
            refuse_disabled(here)?;
            let id = spec.bond.workspace();
            let footing = self.footing(actor, id, &draft.principal, now).await?;
            footing.admits(&draft.scopes)?;
            let token = Arc::new(token);
            let credits = spec.credits;
            let key = self.new_key(actor, &draft, spec, &token, now);
            let mut batch = put(
                Record::Key(key.clone()),
                Expect::Absent,
                issue_entry(actor, &key, credits),
            );
            footing.lay(&mut batch);
            let credits = credits.map(|balance| first_credits(key.id, balance));
            batch.writes.splice(..0, credits);
            // A workspace that was disabled or deleted since gets no new key.
            batch.requires.extend(
                workspace
                    .map(|found| unchanged(RecordId::Workspace(found.record.id), found.revision)),
            );
            if let Some(request) = &request {
                batch.writes.push(request.carried_out(key.id));
                self.requests.hold(key.id, &token);
            }
            if let Some(revision) = self.issue(actor, batch, &key).await? {
                let issued = Versioned {
                    record: key,
                    revision,
                };
                let view = self.view(issued, now);
                return Ok(IssuedKey { view, token });
            }
        }
        Err(match draft.workspace.as_str() {
            "" => conflict(Kind::Principal, &harmless(&draft.principal)),
            workspace => conflict(Kind::Workspace, workspace),
        })
    }

    /// The workspace that a key is to be issued in; none: it is to be personal.
    /// The caller may issue keys there.
    async fn place_of(
        &self,
        actor: &Actor,
        draft: &KeyDraft,
    ) -> Result<Option<Versioned<Workspace>>, RegistryError> {
        if draft.is_personal() {
            return actor.may(Deed::ManageKeys).map(|()| None);
        }
        self.workspace(actor, Deed::ManageKeys, &draft.workspace, "workspace")
            .await
            .map(Some)
    }

    /// Reads a key.
    ///
    /// # Errors
    ///
    /// [`RegistryError::NotFound`], or the caller may not, or the store fails.
    pub async fn get_key(&self, actor: &Actor, id: &str) -> Result<KeyView, RegistryError> {
        let found = self.key(actor, Deed::Read, (id, "key_id")).await?;
        Ok(self.view(found, self.clock.now()))
    }

    /// The key that is named in a field, if the caller may do `deed` where it
    /// is. Personal keys are the system's: for others they are not there.
    pub(super) async fn key(
        &self,
        actor: &Actor,
        deed: Deed,
        (id, field): (&str, &str),
    ) -> Result<Versioned<Key>, RegistryError> {
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
        match (record.workspace(), actor.workspace()) {
            (Some(workspace), _) => {
                actor.may_at(deed, Place::Workspace(workspace), Kind::Key, id)?;
            }
            (None, None) => actor.may(deed)?,
            (None, Some(_)) => return Err(actor.absent(Kind::Key, id)),
        }
        Ok(Versioned { record, revision })
    }

    fn new_key(
        &self,
        actor: &Actor,
        draft: &KeyDraft,
        spec: KeySpec,
        token: &Token,
        now: Timestamp,
    ) -> Key {
        Key {
            id: KeyId::generate(now),
            bond: spec.bond,
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
                let workspace = key.workspace().map(WorkspaceId::as_str);
                info!(actor = key.created_by, key = id, workspace, "key issued");
            }
            // The token may be needed yet.
            Err(RegistryError::OutcomeUnknown) => {}
            Ok(None) | Err(_) => self.requests.forget(key.id),
        }
        committed
    }
}

/// How the token came that another product has issued, if it works yet.
fn import_under_way(key: &Key, now: Timestamp) -> Option<(ImportedForm, Timestamp)> {
    key.secrets.iter().find_map(|secret| {
        let imported = secret.imported.as_ref().filter(|_| secret.is_live(now))?;
        Some((imported.form, secret.create_time))
    })
}

/// What is asked for, in `workspace` or as a personal key, and a token for it.
fn specified(
    draft: &KeyDraft,
    workspace: Option<&Workspace>,
    now: Timestamp,
) -> Result<(KeySpec, Token), Violations> {
    let Some(workspace) = workspace else {
        let (spec, prefix) = draft.check_personal(now)?;
        let token = Token::mint(&prefix, spec.environment.as_ref());
        return Ok((spec, token));
    };
    let spec = draft.check(workspace, now)?;
    let mark = workspace.mark(spec.environment.as_ref());
    let token = Token::mint(&workspace.token_prefix, mark);
    Ok((spec, token))
}

/// No key is issued in a workspace that is switched off.
pub(super) fn refuse_disabled(workspace: Option<&Workspace>) -> Result<(), RegistryError> {
    match workspace {
        Some(workspace) if workspace.disabled => Err(precondition(
            Kind::Workspace,
            &workspace.id,
            Condition::WorkspaceDisabled,
        )),
        Some(_) | None => Ok(()),
    }
}

pub(super) fn issue_entry(actor: &Actor, key: &Key, credits: Option<Balance>) -> AuditEntry {
    let environment = key.environment.as_ref().map(ToString::to_string);
    let expiry = key.expire_time.map(|expiry| expiry.to_string());
    entry(
        actor,
        key.workspace(),
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
