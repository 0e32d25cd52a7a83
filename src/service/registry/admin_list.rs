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

/// How many admin keys are read at a time where any may be the one.
const CHUNK: usize = 64;

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
    /// all, so each page passes all of them: a page that ended at one of
    /// another workspace would tell of it, in its token or by being short.
    async fn admins_of(
        &self,
        workspace: WorkspaceId,
        question: &PageQuestion,
        now: Timestamp,
    ) -> Result<Page<AdminKeyView>, RegistryError> {
        let name = format!("admins\0{workspace}");
        let (size, after) = self.read_question::<AdminKeyId>(&name, question)?;
        let reach = Reach::Workspace(workspace);
        // One more than is shown tells whether there is more.
        let mut found = self
            .admins_where(after, size + 1, move |admin| admin.reach == reach)
            .await?;
        let newest = found.iter().map(|found| found.revision).max();
        self.settled(newest.unwrap_or(Revision(0))).await?;

        let has_more = found.len() > size;
        found.truncate(size);
        // However large they are, a thousand fit into one message.
        let items: Vec<_> = found
            .into_iter()
            .map(|found| AdminKeyView::new(found, now))
            .collect();
        let next_page_token = match items.last().filter(|_| has_more) {
            Some(last) => self.pager.token(&name, &last.admin.id.to_string()),
            None => String::new(),
        };
        Ok(Page {
            items,
            next_page_token,
        })
    }

    /// The first admin keys from behind `after` on for which `wanted` holds,
    /// `enough` of them at most, revoked ones too. No more are in memory at a
    /// time, but for a few.
    pub(super) async fn admins_where(
        &self,
        after: Option<AdminKeyId>,
        enough: usize,
        wanted: impl Fn(&AdminKey) -> bool + Send + 'static,
    ) -> Result<Vec<Versioned<AdminKey>>, RegistryError> {
        let store = Arc::clone(&self.store);
        let read = move || {
            let mut admins = Vec::new();
            let mut after = after.map(RecordId::AdminKey);
            loop {
                let chunk = store.list(&List::AdminKeys, after.as_ref(), CHUNK)?;
                after = chunk.last().map(|last| last.record.id());
                let is_last = chunk.len() < CHUNK;
                let found = chunk.into_iter().filter_map(admin_in);
                let left = enough.saturating_sub(admins.len());
                admins.extend(found.filter(|found| wanted(&found.record)).take(left));
                if is_last || admins.len() >= enough {
                    return Ok(admins);
                }
            }
        };
        blocking(read)
            .await?
            .map_err(|error| RegistryError::from_store(&error, Kind::AdminKey, ""))
    }
}
