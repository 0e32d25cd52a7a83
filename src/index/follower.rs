//! Feeds the index: a snapshot first, then the store's commits, in order.

mod usages;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;

use arc_swap::ArcSwap;
use tokio::sync::watch;
use tracing::error;

use crate::domain::credits::Credits;
use crate::domain::id::KeyId;
use crate::domain::key::{self, Key};
use crate::domain::limit::LimitSet;
use crate::domain::principal::{Membership, Principal};
use crate::domain::scope::ScopeSet;
use crate::domain::tombstone::{Buried, Tombstone};
use crate::domain::verdict::{PrincipalNumber, WorkspaceNumber};
use crate::domain::workspace::Workspace;
use crate::store::{
    Change, Commit, Commits, Damage, OpenError, Record, Revision, Snapshot, Store, Versioned,
};

use super::Index;
use super::credits::CreditAccount;
use super::members::{ById, IndexedMembership, IndexedPrincipal, IndexedWorkspace, Names, Seat};
use super::packed::{Bond, IndexedKey, Personal};
use super::shared::Shared;
use super::usage::KeyUsage;

/// Loads the whole store into an index and starts the thread that follows it.
/// The thread ends when the store is closed.
///
/// # Errors
///
/// The store cannot be served, and why.
pub fn start(store: &dyn Store) -> Result<Arc<Index>, OpenError> {
    let (told, applied) = watch::channel(Revision(0));
    let index = Arc::new(Index::empty(applied));
    let mut follower = Follower {
        index: Arc::clone(&index),
        shared: Shared::new(),
        numbered: 0,
        loaded_usages: HashMap::new(),
        told,
    };
    let snapshot = store.snapshot()?.standing();
    let revision = snapshot.revision();
    follower.load(snapshot)?;
    // Of keys that there are not, which cannot be.
    follower.loaded_usages = HashMap::new();
    let commits = store.follow(revision)?;
    follower.told.send_replace(revision);
    thread::Builder::new()
        .name("index-follower".to_owned())
        .spawn(move || follower.follow(&commits))
        .map_err(|error| OpenError::Io {
            path: "index follower thread".into(),
            error,
        })?;
    Ok(index)
}

/// The only one that writes to the index.
struct Follower {
    index: Arc<Index>,
    shared: Shared,
    /// How many workspaces and principals were given a number.
    numbered: u64,
    /// How keys were used that are yet to be loaded.
    loaded_usages: HashMap<KeyId, Arc<KeyUsage>>,
    /// Tells how far the index has come. It goes away with the follower, so
    /// that nobody waits for one that has died.
    told: watch::Sender<Revision>,
}

impl Follower {
    fn load(&mut self, snapshot: Snapshot) -> Result<(), OpenError> {
        for versioned in snapshot {
            let Versioned { record, revision } = versioned?;
            match record {
                Record::Credits(credits) => {
                    self.load_credits(credits, revision);
                    continue;
                }
                Record::Usage(usage) => {
                    self.load_usage(usage);
                    continue;
                }
                Record::Key(_)
                | Record::Membership(_)
                | Record::Workspace(_)
                | Record::AdminKey(_)
                | Record::Request(_)
                | Record::Principal(_)
                | Record::Tombstone(_) => {}
            }
            let change = Change {
                before: None,
                after: record,
            };
            self.apply(&change, revision).map_err(|orphan| {
                Damage::Unreadable(
                    format!("k/{}", orphan.key),
                    format!("its workspace {} is missing", orphan.workspace),
                )
            })?;
        }
        Ok(())
    }

    fn follow(mut self, commits: &Commits) {
        for commit in commits {
            self.apply_commit(&commit);
        }
    }

    fn apply_commit(&mut self, commit: &Commit) {
        for change in &commit.changes {
            if let Err(Orphan { key, workspace }) = self.apply(change, commit.revision) {
                // The key does not exist for checks, which is the safe side.
                error!(%key, %workspace, "key not indexed: its workspace is missing");
            }
        }
        self.told.send_replace(commit.revision);
    }

    fn apply(&mut self, change: &Change, revision: Revision) -> Result<(), Orphan> {
        match &change.after {
            Record::Workspace(workspace) => self.put_workspace(workspace),
            Record::Key(key) => {
                let before = match &change.before {
                    Some(Record::Key(before)) => Some(before),
                    Some(
                        Record::Workspace(_)
                        | Record::AdminKey(_)
                        | Record::Credits(_)
                        | Record::Usage(_)
                        | Record::Request(_)
                        | Record::Principal(_)
                        | Record::Membership(_)
                        | Record::Tombstone(_),
                    )
                    | None => None,
                };
                self.put_key(key, before)?;
            }
            Record::AdminKey(admin) => {
                let admin = Arc::new(admin.clone());
                let admins = self.index.admins.pin();
                if let Some(Record::AdminKey(before)) = &change.before {
                    for secret in before.secrets.iter().filter(|secret| {
                        !admin
                            .secrets
                            .iter()
                            .any(|kept| kept.digest == secret.digest)
                    }) {
                        admins.remove(&secret.digest);
                    }
                }
                for secret in &admin.secrets {
                    admins.insert(secret.digest, Arc::clone(&admin));
                }
            }
            Record::Principal(principal) => self.put_principal(principal),
            Record::Membership(membership) => self.put_membership(membership),
            Record::Tombstone(tombstone) => self.bury(tombstone, change.before.as_ref()),
            Record::Credits(credits) => self.put_credits(credits, revision),
            // Looked up in the store, by who repeats one; or counted here, and
            // noted there.
            Record::Request(_) | Record::Usage(_) => {}
        }
        Ok(())
    }

    /// What was there tells which tokens stood for a key, so that none of them
    /// is left to stand for it.
    fn bury(&self, tombstone: &Tombstone, before: Option<&Record>) {
        match &tombstone.of {
            Buried::Workspace(id) => {
                self.index.workspaces.pin().remove(id.as_str());
                self.vacate(|seat| *seat.workspace.id == *id.as_str());
            }
            Buried::Principal(id) => {
                self.index.principals.pin().remove(id.as_str());
                self.vacate(|seat| seat.principal.id() == id);
            }
            Buried::Key { .. } => {}
        }
        if let Some(Record::Key(key)) = before {
            let keys = self.index.keys.pin();
            for secret in &key.secrets {
                if keys.remove(&secret.digest).is_some() {
                    self.index.imported.went(secret);
                }
            }
            self.index.number.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Drops the memberships of what was buried. No key has one of them.
    fn vacate(&self, of: impl Fn(&IndexedMembership) -> bool) {
        let memberships = self.index.memberships.pin();
        memberships.retain(|Seat(membership)| !of(membership));
    }

    /// What was reserved before this start is used up.
    fn load_credits(&self, credits: Credits, revision: Revision) {
        if credits.balance.is_some() {
            let key = credits.key;
            let account = Arc::new(CreditAccount::load(credits, revision));
            self.index.credits.pin().insert(key, account);
        }
    }

    /// An account that comes or goes is in the same commit as its key, which is
    /// behind it there and is packed with it or without.
    fn put_credits(&self, credits: &Credits, revision: Revision) {
        let accounts = self.index.credits.pin();
        match accounts.get(&credits.key) {
            Some(account) => {
                account.store(credits.clone(), revision);
                if credits.balance.is_none() {
                    accounts.remove(&credits.key);
                }
            }
            None if credits.balance.is_some() => {
                let account = CreditAccount::open(credits.clone(), revision);
                accounts.insert(credits.key, Arc::new(account));
            }
            None => {}
        }
    }

    fn put_workspace(&mut self, workspace: &Workspace) {
        let workspaces = self.index.workspaces.pin();
        let current = Arc::new(workspace.clone());
        match workspaces.get(workspace.id.as_str()) {
            Some(indexed) => indexed.current.store(current),
            None => {
                let id: Box<str> = workspace.id.as_str().into();
                self.numbered += 1;
                let indexed = IndexedWorkspace {
                    id: id.clone(),
                    number: WorkspaceNumber(self.numbered),
                    current: ArcSwap::new(current),
                };
                workspaces.insert(id, Arc::new(indexed));
            }
        }
    }

    fn put_principal(&mut self, principal: &Principal) {
        let limits = self.shared.limits(&principal.limits);
        self.principal(&principal.id).set(principal, limits);
    }

    fn put_membership(&mut self, membership: &Membership) {
        let Some(workspace) = self.workspace(membership.workspace.as_str()) else {
            // It was deleted, and nobody can be a member of it any more.
            return;
        };
        if !self.index.is_known(&membership.principal) {
            // It was deleted too: one that is new comes before its memberships.
            return;
        }
        let ceiling = self.shared.scopes(&membership.scope_ceiling);
        let seat = self.seat(&workspace, &membership.principal);
        seat.set(membership, ceiling);
    }

    fn workspace(&self, id: &str) -> Option<Arc<IndexedWorkspace>> {
        self.index.workspaces.pin().get(id).cloned()
    }

    /// The principal of this id, or the place that it will have.
    fn principal(&mut self, id: &str) -> Arc<IndexedPrincipal> {
        let principals = self.index.principals.pin();
        if let Some(ById(principal)) = principals.get(id) {
            return Arc::clone(principal);
        }
        self.numbered += 1;
        let number = PrincipalNumber(self.numbered);
        let none = self.shared.limits(&LimitSet::default());
        let principal = Arc::new(IndexedPrincipal::unknown(id, number, none));
        principals.insert(ById(Arc::clone(&principal)));
        principal
    }

    /// The membership of a principal, or the place that it will have.
    fn seat(
        &mut self,
        workspace: &Arc<IndexedWorkspace>,
        principal: &str,
    ) -> Arc<IndexedMembership> {
        let names = Names(&workspace.id, principal);
        if let Some(Seat(membership)) = self.index.memberships.pin().get(&names) {
            return Arc::clone(membership);
        }
        let membership = Arc::new(IndexedMembership::unknown(
            Arc::clone(workspace),
            self.principal(principal),
            self.shared.scopes(&ScopeSet::default()),
        ));
        let seat = Seat(Arc::clone(&membership));
        self.index.memberships.pin().insert(seat);
        membership
    }

    /// Where the key can be used. If its principal or membership is not there,
    /// which cannot be, it works nowhere.
    fn bond(&mut self, key: &Key) -> Result<Bond, Orphan> {
        let workspace = match &key.bond {
            key::Bond::Workspace(id) => id,
            key::Bond::Personal { token_prefix } => {
                return Ok(Bond::Personal(Box::new(Personal {
                    principal: self.principal(&key.principal),
                    token_prefix: token_prefix.as_str().into(),
                })));
            }
        };
        let Some(workspace) = self.workspace(workspace.as_str()) else {
            return Err(Orphan {
                key: key.id.to_string(),
                workspace: workspace.to_string(),
            });
        };
        Ok(Bond::Bound(self.seat(&workspace, &key.principal)))
    }

    fn put_key(&mut self, key: &Key, before: Option<&Key>) -> Result<(), Orphan> {
        let usage = self.usage(key, before);
        for secret in &key.secrets {
            let bond = self.bond(key)?;
            let packed = IndexedKey::new(key, secret, bond, &mut self.shared)
                .with_credits(self.index.credits(key.id))
                .with_usage(usage.clone());
            if self
                .index
                .keys
                .pin()
                .insert(secret.digest, packed)
                .is_none()
            {
                self.index.imported.came(secret);
            }
        }
        let keys = self.index.keys.pin();
        // A token that no longer stands for the key stops last: at no moment
        // does a key that keeps a token go without it.
        for secret in before.iter().flat_map(|before| &before.secrets) {
            if !key.secrets.iter().any(|kept| kept.digest == secret.digest)
                && keys.remove(&secret.digest).is_some()
            {
                self.index.imported.went(secret);
            }
        }
        if before.is_none() {
            self.index.number.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }
}

/// A key whose workspace is not in the index.
struct Orphan {
    key: String,
    workspace: String,
}
