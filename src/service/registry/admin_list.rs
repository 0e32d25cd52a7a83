//! Lists of admin keys.

use std::sync::Arc;

use crate::domain::admin::{AdminKey, Deed, Reach};
use crate::domain::clock::Timestamp;
use crate::domain::id::{AdminKeyId, WorkspaceId};
use crate::store::{List, RecordId, Revision, Versioned};

use super::super::admission::Actor;
use super::super::error::{Kind, RegistryError};
use super::admins::{AdminKeyView, admin_in};
use super::list::{Page, PageQuestion, Walk};
use super::{Registry, blocking};

/// How many admin keys are read at a time where all are needed.
const CHUNK: usize = 500;

impl Registry {
    /// Lists admin keys: of one workspace, or all that the caller may read.
    ///
    /// # Errors
    ///
    /// [`RegistryError::Invalid`], [`RegistryError::NotFound`] for the
    /// workspace, or the caller may not, or the store fails.
    pub async fn list_admins(
        &self,
        actor: &Actor,
        workspace: &str,
        question: PageQuestion,
    ) -> Result<Page<AdminKeyView>, RegistryError> {
        let deed = Deed::ManageAdmins;
        let of = match (workspace, actor.workspace()) {
            ("", own) => {
                actor.may_at(deed, actor.admin().place(), Kind::Workspace, "")?;
                own.cloned()
            }
            (id, _) => {
                let found = self.workspace(actor, deed, id, "workspace").await?;
                Some(found.record.id)
            }
        };
        let now = self.clock.now();
        if let Some(workspace) = of {
            return self.admins_of(workspace, &question, now).await;
        }
        let walk = Walk {
            name: "admins".to_owned(),
            list: List::AdminKeys,
            filtered: false,
        };
        let keep = |found| admin_in(found).map(|found| AdminKeyView::new(found, now));
        self.walk(&walk, &question, keep).await
    }

    /// Lists the admin keys of one workspace. There are not many admin keys in
    /// all, so each page is picked from all of them: a page that ended at one
    /// of another workspace would tell of it, in its token or by being short.
    async fn admins_of(
        &self,
        workspace: WorkspaceId,
        question: &PageQuestion,
        now: Timestamp,
    ) -> Result<Page<AdminKeyView>, RegistryError> {
        let name = format!("admins\0{workspace}");
        let (size, after) = self.read_question::<AdminKeyId>(&name, question)?;
        let all = self.all_admins().await?;
        let newest = all.iter().map(|found| found.revision).max();
        self.settled(newest.unwrap_or(Revision(0))).await?;

        let reach = Reach::Workspace(workspace);
        let mut rest = all
            .into_iter()
            .filter(|found| found.record.reach == reach)
            .filter(|found| after.is_none_or(|after| found.record.id > after))
            .map(|found| AdminKeyView::new(found, now))
            .peekable();
        // However large they are, a thousand fit into one message.
        let items: Vec<_> = rest.by_ref().take(size).collect();
        let next_page_token = match (items.last(), rest.peek()) {
            (Some(last), Some(_)) => self.pager.token(&name, &last.admin.id.to_string()),
            (_, _) => String::new(),
        };
        Ok(Page {
            items,
            next_page_token,
        })
    }

    /// All admin keys, revoked ones too.
    pub(super) async fn all_admins(&self) -> Result<Vec<Versioned<AdminKey>>, RegistryError> {
        let store = Arc::clone(&self.store);
        let read = move || {
            let mut admins: Vec<Versioned<AdminKey>> = Vec::new();
            loop {
                let after = admins.last().map(|last| RecordId::AdminKey(last.record.id));
                let chunk = store.list(&List::AdminKeys, after.as_ref(), CHUNK)?;
                let last = chunk.len() < CHUNK;
                admins.extend(chunk.into_iter().filter_map(admin_in));
                if last {
                    return Ok(admins);
                }
            }
        };
        blocking(read)
            .await?
            .map_err(|error| RegistryError::from_store(&error, Kind::AdminKey, ""))
    }
}
