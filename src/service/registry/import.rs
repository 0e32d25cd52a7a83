//! Imports: keys whose tokens another product has issued.
//!
//! An import is known by the digest of its token, in the way that a request to
//! issue a key is known by its id: it is noted in the same commit as the key,
//! and for ever. So a token is imported once, and what was revoked or deleted
//! does not come back.

use std::sync::{Arc, Mutex, PoisonError};

use tracing::debug;

use crate::domain::admin::Deed;
use crate::domain::audit::AuditAction;
use crate::domain::clock::Timestamp;
use crate::domain::id::KeyId;
use crate::domain::import::{ForeignToken, ImportDraft};
use crate::domain::key::{Key, Secret};
use crate::domain::key_draft::KeySpec;
use crate::domain::violation::{MAX_TOLD, Violations};
use crate::domain::workspace::Workspace;
use crate::store::{Batch, Expect, Record, RecordId, Requirement, StoreError, Versioned};

use super::super::admission::Actor;
use super::super::error::{Kind, RegistryError};
use super::credits::first_credits;
use super::imported::Known;
use super::keys::{issue_entry, refuse_disabled};
use super::{MAX_TRIES, Registry, conflict, put, unchanged};

/// What became of one key.
#[derive(Debug)]
pub enum ImportOutcome {
    /// It is there.
    Imported {
        /// Its id; none: it would have one, but for a dry run.
        key: Option<KeyId>,
        /// What is worth a look.
        warning: Option<String>,
    },
    /// It was there.
    Already {
        /// Its id.
        key: KeyId,
        /// Whether it came with other fields then.
        differs: bool,
    },
    /// Its token is taken for good.
    Reserved {
        /// The key that had it; none: it is another workspace's.
        key: Option<KeyId>,
    },
    /// Something in it is not acceptable.
    Refused(Violations),
    /// The caller may not grant what it may.
    Beyond(RegistryError),
}

/// Why an import as a whole cannot go on.
#[derive(Debug)]
pub enum ImportEnd {
    /// The caller's admin key has changed: look at who it is now, and try again.
    CallerChanged,
    /// For another reason.
    Failed(RegistryError),
}

impl From<RegistryError> for ImportEnd {
    fn from(error: RegistryError) -> Self {
        let caller = Kind::AdminKey;
        if matches!(&error, RegistryError::Conflict { kind, .. } if *kind == caller) {
            return Self::CallerChanged;
        }
        Self::Failed(error)
    }
}

/// An import into one workspace, of any number of keys.
#[derive(Debug)]
pub struct Import {
    registry: Arc<Registry>,
    workspace: String,
    dry_run: bool,
    /// What was read once for all keys. A commit finds out if it is so no more,
    /// and then it is read again. Locked for moments, never while anything is
    /// awaited.
    ground: Mutex<Arc<Ground>>,
}

/// What all keys of an import rely on.
#[derive(Debug)]
struct Ground {
    actor: Actor,
    /// That the caller is who he was.
    standing: Requirement,
    workspace: Versioned<Workspace>,
}

impl Import {
    /// An import by `actor` into `workspace`.
    ///
    /// # Errors
    ///
    /// [`RegistryError::NotFound`] for the workspace,
    /// [`RegistryError::Precondition`] if it is disabled, or the caller may
    /// not, or the store fails.
    pub async fn start(
        registry: Arc<Registry>,
        actor: &Actor,
        workspace: String,
        dry_run: bool,
    ) -> Result<Self, RegistryError> {
        let ground = registry.ground(actor, &workspace).await?;
        Ok(Self {
            registry,
            workspace,
            dry_run,
            ground: Mutex::new(Arc::new(ground)),
        })
    }

    /// The workspace that it is into, as the caller named it.
    #[must_use]
    pub fn workspace(&self) -> &str {
        &self.workspace
    }

    /// Imports one key, and returns when it is durable and every check that
    /// starts from then on finds it.
    ///
    /// # Errors
    ///
    /// [`ImportEnd`], if no other key can be imported either.
    pub async fn key(
        &self,
        actor: &Actor,
        draft: &ImportDraft,
    ) -> Result<ImportOutcome, ImportEnd> {
        for tries in 0..MAX_TRIES {
            let ground = self.ground(actor).await?;
            match self
                .registry
                .import_once(&ground, draft, (self.dry_run, tries > 0))
                .await
            {
                Ok(outcome) => return Ok(outcome),
                Err(Stop::Key(outcome)) => return Ok(outcome),
                Err(Stop::End(end)) => return Err(end),
                // A principal that another key has just made, for example.
                Err(Stop::Outdated) => {}
                Err(Stop::OutdatedGround) => self.renew(actor).await?,
            }
        }
        Err(conflict(Kind::Workspace, &self.workspace).into())
    }

    /// What there is to rely on, by `actor` as he is now.
    async fn ground(&self, actor: &Actor) -> Result<Arc<Ground>, RegistryError> {
        let ground = Arc::clone(&self.ground.lock().unwrap_or_else(PoisonError::into_inner));
        if ground.actor.admin() == actor.admin() {
            return Ok(ground);
        }
        self.renew(actor).await?;
        let ground = self.ground.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(Arc::clone(&ground))
    }

    async fn renew(&self, actor: &Actor) -> Result<(), RegistryError> {
        let ground = self.registry.ground(actor, &self.workspace).await?;
        *self.ground.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(ground);
        Ok(())
    }
}

/// Why a key was not imported at one try.
enum Stop {
    /// For what it is.
    Key(ImportOutcome),
    /// Nothing can be imported.
    End(ImportEnd),
    /// What was read for it has changed.
    Outdated,
    /// What was read for all keys has changed.
    OutdatedGround,
}

impl From<Violations> for Stop {
    fn from(violations: Violations) -> Self {
        let told = violations.iter().take(MAX_TOLD).cloned().collect();
        Self::Key(ImportOutcome::Refused(told))
    }
}

impl From<RegistryError> for Stop {
    fn from(error: RegistryError) -> Self {
        // What is about this key alone, and then all else.
        if let RegistryError::Invalid(violations) = error {
            return violations.into();
        }
        if let RegistryError::GrantCeiling(_) = error {
            return Self::Key(ImportOutcome::Beyond(error));
        }
        if let RegistryError::Precondition {
            kind: Kind::Principal | Kind::Membership,
            condition,
            ..
        } = error
        {
            return Violations::of("principal", condition.to_string()).into();
        }
        Self::End(error.into())
    }
}

impl Registry {
    async fn ground(&self, actor: &Actor, workspace: &str) -> Result<Ground, RegistryError> {
        let workspace = self
            .workspace(actor, Deed::ManageKeys, workspace, "options.workspace")
            .await?;
        refuse_disabled(Some(&workspace.record))?;
        Ok(Ground {
            actor: actor.clone(),
            standing: self.standing(actor).await?,
            workspace,
        })
    }

    async fn import_once(
        &self,
        ground: &Ground,
        draft: &ImportDraft,
        (dry_run, again): (bool, bool),
    ) -> Result<ImportOutcome, Stop> {
        let now = self.clock.now();
        let mut violations = Violations::default();
        let Some(token) = draft.given.read(&mut violations) else {
            // What else is wrong with it is told in one go.
            let fields = draft.key.check(&ground.workspace.record, now).err();
            let all = [Some(violations), fields].into_iter().flatten();
            let all: Violations = all
                .flat_map(|some| some.iter().cloned().collect::<Vec<_>>())
                .collect();
            return Err(all.into());
        };
        violations.none()?;
        let known = Known::new(self, &token, draft);
        // Before the draft is judged: what has changed since it was imported, or
        // has expired, makes it no other token.
        for request in known.all() {
            if let Some(outcome) = self
                .imported_before(&ground.workspace.record.id, request)
                .await?
            {
                return Ok(outcome);
            }
        }
        let (batch, key) = self
            .import_batch(ground, draft, &token, &known, (now, again || dry_run))
            .await?;
        let warning = token.warning;
        if dry_run {
            return Ok(ImportOutcome::Imported { key: None, warning });
        }
        let id = key.id;
        match self.commit(batch).await {
            Ok(_) => {
                debug!(actor = key.created_by, key = %id, "key imported");
                let key = Some(id);
                Ok(ImportOutcome::Imported { key, warning })
            }
            Err(StoreError::Conflict(record)) => Err(match record {
                RecordId::AdminKey(_) => Stop::End(ImportEnd::CallerChanged),
                RecordId::Workspace(_) => Stop::OutdatedGround,
                RecordId::Key(_)
                | RecordId::Credits(_)
                | RecordId::Usage(_)
                | RecordId::Request(_)
                | RecordId::Principal(_)
                | RecordId::Membership(..) => Stop::Outdated,
            }),
            Err(error) => {
                let error = RegistryError::from_store(&error, Kind::Key, &id.to_string());
                Err(Stop::End(error.into()))
            }
        }
    }

    /// The change that imports a key whose token nobody has imported yet.
    async fn import_batch(
        &self,
        ground: &Ground,
        draft: &ImportDraft,
        token: &ForeignToken,
        known: &Known,
        (now, look): (Timestamp, bool),
    ) -> Result<(Batch, Key), Stop> {
        let (actor, workspace) = (&ground.actor, &ground.workspace);
        let spec = draft.key.check(&workspace.record, now)?;
        actor.may_grant(&spec.scopes)?;
        let no_other = self.no_hash_as_token(token, draft, look).await?;
        let id = Some(&workspace.record.id);
        let footing = self.footing(actor, id, &draft.key.principal, now).await?;
        let footing = footing.laid_by("ImportKeys");
        footing.admits(&draft.key.scopes)?;
        let credits = spec.credits;
        let secret = Secret {
            digest: known.digest,
            tail: [0; 4],
            create_time: now,
            pepper_id: self.pepper.id(),
            end: None,
            imported: Some(token.imported.clone()),
        };
        let key = imported_key(actor, draft, spec, secret, now);
        let mut audit = issue_entry(actor, &key, credits);
        audit.action = AuditAction::ImportKey;
        let mut tell =
            |name: &str, value: &str| audit.detail.insert(name.to_owned(), value.to_owned());
        tell("form", token.imported.form.as_str());
        if key.disabled {
            tell("disabled", "true");
        }
        let mut batch = put(Record::Key(key.clone()), Expect::Absent, audit);
        footing.lay(&mut batch);
        let credits = credits.map(|balance| first_credits(key.id, balance));
        batch.writes.splice(..0, credits);
        batch.writes.push(known.request.carried_out(key.id));
        batch
            .requires
            .extend(known.otherwise.as_ref().map(|other| Requirement::Record {
                id: other.record(),
                expect: Expect::Absent,
            }));
        batch.requires.extend(no_other);
        batch.requires.push(ground.standing.clone());
        let record = RecordId::Workspace(workspace.record.id.clone());
        batch.requires.push(unchanged(record, workspace.revision));
        Ok((batch, key))
    }
}

fn imported_key(
    actor: &Actor,
    draft: &ImportDraft,
    spec: KeySpec,
    secret: Secret,
    now: Timestamp,
) -> Key {
    Key {
        id: KeyId::generate(now),
        bond: spec.bond,
        environment: spec.environment,
        principal: draft.key.principal.clone(),
        name: draft.key.name.clone(),
        description: draft.key.description.clone(),
        scopes: spec.scopes,
        metadata: draft.key.metadata.clone(),
        secrets: vec![secret],
        create_time: now,
        created_by: actor.id(),
        expire_time: draft.key.expire_time,
        disabled: draft.disabled,
        revocation: None,
        limits: spec.limits,
        source_addresses: spec.source_addresses,
    }
}
