//! Workspaces: made, read, changed, switched off and on, deleted.

use tracing::info;

use crate::domain::admin::{AdminKey, Deed, Place, Reach};
use crate::domain::audit::{AuditAction, AuditEntry};
use crate::domain::clock::Timestamp;
use crate::domain::id::WorkspaceId;
use crate::domain::tombstone::{Buried, Tombstone};
use crate::domain::workspace::{
    DEFAULT_ENVIRONMENT, DEFAULT_LIMITS, Workspace, WorkspaceDraft, WorkspacePatch,
};
use crate::store::{Expect, List, Record, Versioned};

use super::super::admission::Actor;
use super::super::error::{Condition, Kind, RegistryError};
use super::walk::{Page, PageQuestion, Walk};
use super::{
    MAX_TRIES, Registry, blocking, conflict, entry, etag, precondition, put, refuse_stale,
    told_limits, workspace_id,
};

/// A workspace, with what stands for its state.
#[derive(Clone, Debug)]
pub struct WorkspaceView {
    /// The workspace.
    pub workspace: Workspace,
    /// Stands for this state of it.
    pub etag: String,
}

impl From<Versioned<Workspace>> for WorkspaceView {
    fn from(found: Versioned<Workspace>) -> Self {
        Self {
            workspace: found.record,
            etag: etag(found.revision),
        }
    }
}

/// The field that names a workspace.
const FIELD: &str = "workspace";

impl Registry {
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
    ) -> Result<WorkspaceView, RegistryError> {
        actor.may(Deed::RuleWorkspaces)?;
        let now = self.clock.now();
        let workspace = draft.build(actor.id(), now)?;
        let id = workspace.id.to_string();
        let audit = entry(
            actor,
            Some(&workspace.id),
            (AuditAction::CreateWorkspace, now),
            &id,
            [
                ("token_prefix", workspace.token_prefix.to_string()),
                ("default_limits", told_limits(&workspace.default_limits)),
            ],
        );
        let batch = put(Record::Workspace(workspace.clone()), Expect::Absent, audit);
        let Some(revision) = self.attempt(actor, batch, Kind::Workspace, &id).await? else {
            return Err(RegistryError::Exists {
                kind: Kind::Workspace,
                id,
            });
        };
        info!(actor = actor.id(), workspace = id, "workspace created");
        Ok(WorkspaceView {
            workspace,
            etag: etag(revision),
        })
    }

    /// Reads a workspace.
    ///
    /// # Errors
    ///
    /// [`RegistryError::NotFound`], or the caller may not, or the store fails.
    pub async fn get_workspace(
        &self,
        actor: &Actor,
        id: &str,
    ) -> Result<WorkspaceView, RegistryError> {
        let found = self.workspace(actor, Deed::Read, id, FIELD).await?;
        Ok(found.into())
    }

    /// Lists workspaces: all for admin keys of the system, else their own.
    ///
    /// # Errors
    ///
    /// [`RegistryError::Invalid`], or the caller may not, or the store fails.
    pub async fn list_workspaces(
        &self,
        actor: &Actor,
        question: PageQuestion,
    ) -> Result<Page<WorkspaceView>, RegistryError> {
        let place = actor.admin().place();
        actor.may_at(Deed::Read, place, Kind::Workspace, "")?;
        if let Some(own) = actor.workspace() {
            return self.own_workspace(own.clone(), &question).await;
        }
        let walk = Walk {
            name: "workspaces".to_owned(),
            list: List::Workspaces,
            // Some were deleted.
            filtered: true,
        };
        let keep = |found: Versioned| match found.record {
            Record::Workspace(record) => {
                let revision = found.revision;
                Some(Versioned { record, revision }.into())
            }
            Record::Tombstone(_)
            | Record::Key(_)
            | Record::AdminKey(_)
            | Record::Credits(_)
            | Record::Usage(_)
            | Record::Request(_)
            | Record::Principal(_)
            | Record::Membership(_) => None,
        };
        self.walk(&walk, &question, keep).await
    }

    /// The list that an admin key of a workspace gets, which passes by no other.
    async fn own_workspace(
        &self,
        own: WorkspaceId,
        question: &PageQuestion,
    ) -> Result<Page<WorkspaceView>, RegistryError> {
        // It has one page, so that no page token is one of it.
        let name = format!("workspaces\0{own}");
        self.read_question::<WorkspaceId>(&name, question)?;
        let found = self.existing_workspace(own).await?;
        Ok(Page {
            items: vec![found.into()],
            next_page_token: String::new(),
        })
    }

    /// Changes a workspace. To change its default environment, the caller must
    /// be able to grant everything: keys of another one, whatever they may do,
    /// pass by it where gateways name none.
    ///
    /// # Errors
    ///
    /// [`RegistryError::Invalid`], [`RegistryError::GrantCeiling`],
    /// [`RegistryError::NotFound`], [`RegistryError::EtagMismatch`], or the
    /// caller may not, or the store fails.
    pub async fn update_workspace(
        &self,
        actor: &Actor,
        (id, etag): (&str, &str),
        patch: WorkspacePatch,
    ) -> Result<WorkspaceView, RegistryError> {
        for _ in 0..MAX_TRIES {
            let found = self
                .workspace(actor, Deed::ManageWorkspace, id, "workspace.id")
                .await?;
            refuse_stale(etag, found.revision, Kind::Workspace, id)?;
            let (workspace, differing) = patch.clone().apply(&found.record)?;
            if differing.is_empty() {
                return Ok(found.into());
            }
            if differing.contains(&DEFAULT_ENVIRONMENT) {
                actor.may_grant_everything()?;
            }
            let now = self.clock.now();
            let audit = update_entry(actor, &found.record, &workspace, now, &differing);
            if let Some(changed) = self.put_workspace(actor, &found, workspace, audit).await? {
                return Ok(changed);
            }
        }
        Err(conflict(Kind::Workspace, id))
    }

    /// Switches a workspace off, or on again. One that is so already stays
    /// as it is.
    ///
    /// # Errors
    ///
    /// [`RegistryError::NotFound`], [`RegistryError::EtagMismatch`], or the
    /// caller may not, or the store fails.
    pub async fn switch_workspace(
        &self,
        actor: &Actor,
        (id, etag): (&str, &str),
        disabled: bool,
    ) -> Result<WorkspaceView, RegistryError> {
        for _ in 0..MAX_TRIES {
            let found = self.ruled_workspace(actor, id).await?;
            refuse_stale(etag, found.revision, Kind::Workspace, id)?;
            if found.record.disabled == disabled {
                return Ok(found.into());
            }
            let what = if disabled {
                AuditAction::DisableWorkspace
            } else {
                AuditAction::EnableWorkspace
            };
            let mut workspace = found.record.clone();
            workspace.disabled = disabled;
            let what = (what, self.clock.now());
            let audit = entry(actor, Some(&workspace.id), what, id, []);
            if let Some(changed) = self.put_workspace(actor, &found, workspace, audit).await? {
                return Ok(changed);
            }
        }
        Err(conflict(Kind::Workspace, id))
    }

    /// Deletes a workspace that is disabled and empty. While it is disabled no
    /// key or admin key can be made in it, and to enable it changes its
    /// record: so what was found empty is empty when it is deleted.
    ///
    /// # Errors
    ///
    /// [`RegistryError::Precondition`], [`RegistryError::NotFound`],
    /// [`RegistryError::EtagMismatch`], or the caller may not, or the store
    /// fails.
    pub async fn delete_workspace(
        &self,
        actor: &Actor,
        (id, etag): (&str, &str),
    ) -> Result<(), RegistryError> {
        for _ in 0..MAX_TRIES {
            let found = self.ruled_workspace(actor, id).await?;
            refuse_stale(etag, found.revision, Kind::Workspace, id)?;
            let refuse = |condition| precondition(Kind::Workspace, id, condition);
            if !found.record.disabled {
                return Err(refuse(Condition::WorkspaceEnabled));
            }
            if self.in_use(&found.record.id).await? {
                return Err(refuse(Condition::WorkspaceNotEmpty));
            }
            let now = self.clock.now();
            let workspace = found.record.id;
            let what = (AuditAction::DeleteWorkspace, now);
            let audit = entry(actor, Some(&workspace), what, id, []);
            let tombstone = Tombstone {
                of: Buried::Workspace(workspace),
                time: now,
                by: actor.id(),
            };
            let batch = put(
                Record::Tombstone(tombstone),
                Expect::At(found.revision),
                audit,
            );
            if self
                .attempt(actor, batch, Kind::Workspace, id)
                .await?
                .is_some()
            {
                info!(actor = actor.id(), workspace = id, "workspace deleted");
                return Ok(());
            }
        }
        Err(conflict(Kind::Workspace, id))
    }

    /// The workspace `id`, for those who rule workspaces.
    async fn ruled_workspace(
        &self,
        actor: &Actor,
        id: &str,
    ) -> Result<Versioned<Workspace>, RegistryError> {
        let parsed = workspace_id(id, FIELD)?;
        // Those of another workspace are not to learn whether there is one.
        let place = Place::Workspace(&parsed);
        actor.may_at(Deed::Read, place, Kind::Workspace, id)?;
        actor.may(Deed::RuleWorkspaces)?;
        self.existing_workspace(parsed).await
    }

    /// Puts a changed workspace in the place of the one that was found.
    async fn put_workspace(
        &self,
        actor: &Actor,
        found: &Versioned<Workspace>,
        workspace: Workspace,
        audit: AuditEntry,
    ) -> Result<Option<WorkspaceView>, RegistryError> {
        let id = workspace.id.to_string();
        let what = audit.action.as_str();
        let batch = put(
            Record::Workspace(workspace.clone()),
            Expect::At(found.revision),
            audit,
        );
        let committed = self.attempt(actor, batch, Kind::Workspace, &id).await?;
        Ok(committed.map(|revision| {
            info!(
                actor = actor.id(),
                workspace = id,
                what,
                "workspace changed"
            );
            WorkspaceView {
                workspace,
                etag: etag(revision),
            }
        }))
    }

    /// Whether the workspace holds a key, or an admin key that is not revoked.
    async fn in_use(&self, workspace: &WorkspaceId) -> Result<bool, RegistryError> {
        let id = workspace.to_string();
        let (store, of) = (self.store.clone(), List::KeysOf(workspace.clone()));
        let keys = blocking(move || store.list(&of, None, 1))
            .await?
            .map_err(|error| RegistryError::from_store(&error, Kind::Workspace, &id))?;
        if !keys.is_empty() {
            return Ok(true);
        }
        let reach = Reach::Workspace(workspace.clone());
        let works = move |admin: &AdminKey| admin.revocation.is_none() && admin.reach == reach;
        Ok(!self.admins_where(None, 1, works).await?.is_empty())
    }
}

/// Tells which fields differ, and what the default environment and limits were
/// and are, as they decide on checks.
fn update_entry(
    actor: &Actor,
    before: &Workspace,
    after: &Workspace,
    now: Timestamp,
    differing: &[&str],
) -> AuditEntry {
    let default = |workspace: &Workspace| {
        let name = workspace.default_environment.as_ref();
        let name = name.filter(|_| differing.contains(&DEFAULT_ENVIRONMENT));
        name.map(ToString::to_string).unwrap_or_default()
    };
    let limits = |workspace: &Workspace| {
        let limits = Some(&workspace.default_limits);
        let limits = limits.filter(|_| differing.contains(&DEFAULT_LIMITS));
        limits.map(ToString::to_string).unwrap_or_default()
    };
    entry(
        actor,
        Some(&after.id),
        (AuditAction::UpdateWorkspace, now),
        after.id.as_str(),
        [
            ("fields", differing.join(" ")),
            ("default_environment_before", default(before)),
            ("default_environment", default(after)),
            ("default_limits_before", limits(before)),
            ("default_limits", limits(after)),
        ],
    )
}
