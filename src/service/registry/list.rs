//! Lists keys, page by page.

use std::sync::Arc;

use crate::domain::admin::Deed;
use crate::domain::id::WorkspaceId;
use crate::domain::key::Key;
use crate::domain::violation::Violations;

use super::super::admission::Actor;
use super::super::error::{Kind, RegistryError};
use super::super::page;
use super::{KeyView, Registry, blocking};

/// A page ends about here, in bytes: half of what gRPC clients take in one
/// message unless they are told otherwise.
const MAX_PAGE_LEN: usize = 2 * 1024 * 1024;

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
    /// Lists keys.
    ///
    /// # Errors
    ///
    /// [`RegistryError::Invalid`], [`RegistryError::NotFound`] for the
    /// workspace, or the caller may not, or the store fails.
    pub async fn list_keys(
        &self,
        actor: &Actor,
        question: ListKeys,
    ) -> Result<Page, RegistryError> {
        let workspace = self.listed_workspace(actor, &question.workspace)?;
        let list = workspace
            .as_ref()
            .map(WorkspaceId::as_str)
            .unwrap_or_default()
            .to_owned();

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
                    violations.add(
                        "page_token",
                        "is not one that was given for this list; start from the first page",
                    );
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
        let shown = fitting(&keys).min(size);
        let more = keys.len() > shown;
        keys.truncate(shown);
        let next_page_token = match keys.last().filter(|_| more) {
            Some(last) => self.pager.token(&list, last.id),
            None => String::new(),
        };
        let now = self.clock.now();
        let keys = keys
            .into_iter()
            .map(|key| {
                let workspace = self.index.workspace(key.workspace.as_str());
                let workspace = workspace.ok_or(RegistryError::Internal)?;
                Ok(KeyView::new(key, &workspace, now))
            })
            .collect::<Result<_, RegistryError>>()?;
        Ok(Page {
            keys,
            next_page_token,
        })
    }

    /// The workspace whose keys a list shows; none: all.
    fn listed_workspace(
        &self,
        actor: &Actor,
        asked: &str,
    ) -> Result<Option<WorkspaceId>, RegistryError> {
        match (asked, actor.workspace()) {
            ("", None) => actor.may(Deed::Read).map(|()| None),
            ("", Some(own)) => {
                actor.may_in(Deed::Read, own, Kind::Workspace, own.as_str())?;
                Ok(Some(own.clone()))
            }
            (id, _) => self
                .workspace(actor, Deed::Read, id, "workspace")
                .map(|found| Some(found.id.clone())),
        }
    }
}

/// How many of the keys fit into a page: at least one.
fn fitting(keys: &[Key]) -> usize {
    let mut len = 0;
    let fits = |key: &&Key| {
        len += text_len(key);
        len <= MAX_PAGE_LEN
    };
    keys.iter().take_while(fits).count().max(1)
}

/// About how long a key is on the wire, in bytes.
fn text_len(key: &Key) -> usize {
    /// Ids, times, tags and lengths.
    const FIXED: usize = 300;
    let scopes: usize = key
        .scopes
        .iter()
        .map(|scope| scope.as_str().len() + 2)
        .sum();
    let metadata: usize = key
        .metadata
        .iter()
        .map(|(name, value)| name.len() + value.len() + 6)
        .sum();
    FIXED + key.name.len() + key.description.len() + key.principal.len() + scopes + metadata
}
