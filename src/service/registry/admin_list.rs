//! Lists of admin keys.

use std::sync::Arc;

use crate::domain::admin::{AdminKey, Deed, Reach};
use crate::domain::clock::Timestamp;
use crate::domain::id::{AdminKeyId, WorkspaceId};
use crate::store::{List, RecordId, Revision, Versioned};

use super::super::admission::Actor;
use super::super::error::{Kind, RegistryError};
use super::admins::{AdminKeyView, admin_in};
use super::walk::{Page, PageQuestion, Walk};
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

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use super::super::super::bootstrap::{first_owner, mint_admin_token};
    use super::*;
    use crate::domain::clock::ManualClock;
    use crate::domain::digest::Pepper;
    use crate::index::follower;
    use crate::store::Store;
    use crate::store::local::MemoryStore;

    const ADMINS: usize = 3 * CHUNK;

    /// A registry over so many admin keys, made one after the other.
    async fn registry() -> Registry {
        let pepper = Pepper::generate();
        let moment = |number: usize| Timestamp::from_micros(1_000 * (1 + number as u64));
        let clock = Arc::new(ManualClock::at(moment(ADMINS)));
        let store = Arc::new(MemoryStore::in_memory(&pepper, clock.clone()).unwrap());
        let reader = Arc::clone(&store);
        let index = blocking(move || follower::start(&*reader)).await.unwrap();
        for number in 0..ADMINS {
            let token = mint_admin_token().unwrap();
            let batch = first_owner(&token, &pepper, moment(number));
            store.commit(batch).await.unwrap();
        }
        Registry::new(store, index.unwrap(), pepper, clock, Duration::ZERO)
    }

    /// The places of the admin keys that are found, and how many were looked
    /// at for them.
    async fn found(
        registry: &Registry,
        after: Option<AdminKeyId>,
        enough: usize,
        wanted: impl Fn(u64) -> bool + Send + 'static,
    ) -> (Vec<u64>, usize) {
        let place = |admin: &AdminKey| admin.create_time.as_micros() / 1_000 - 1;
        let looked_at = Arc::new(AtomicUsize::default());
        let count = Arc::clone(&looked_at);
        let wanted = move |admin: &AdminKey| {
            count.fetch_add(1, Ordering::SeqCst);
            wanted(place(admin))
        };
        let found = registry.admins_where(after, enough, wanted).await.unwrap();
        let places = found.iter().map(|found| place(&found.record)).collect();
        (places, looked_at.load(Ordering::SeqCst))
    }

    #[tokio::test]
    async fn no_more_admin_keys_are_looked_at_than_it_takes() {
        let registry = registry().await;
        assert_eq!(found(&registry, None, 1, |_| true).await, (vec![0], 1));
        let late = CHUNK as u64 + 7;
        assert_eq!(
            found(&registry, None, 1, move |place| place >= late).await,
            (vec![late], CHUNK + 8)
        );
        let all = found(&registry, None, usize::MAX, |_| true).await;
        assert_eq!(all, ((0..ADMINS as u64).collect(), ADMINS));
        assert_eq!(found(&registry, None, 1, |_| false).await.1, ADMINS);

        let first = registry.admins_where(None, 1, |_| true).await.unwrap();
        let behind = Some(first[0].record.id);
        let odd = |place: u64| place % 2 == 1;
        assert_eq!(
            found(&registry, behind, 2, odd).await,
            (vec![1, 3], 3),
            "from behind the first on"
        );
    }
}
