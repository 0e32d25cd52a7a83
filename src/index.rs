//! The complete view of keys in memory, which checks read without a lock.
//!
//! It is no cache: a key that is not in it does not exist. It is fed by the
//! store's stream of commits alone (see [`follower`]), and each record is
//! replaced whole, so that a reader sees the one before or the one after.

pub mod credits;
pub mod follower;
pub mod usage;

mod effective;
mod imported;
mod interner;
mod members;
mod packed;
mod rotating;
mod shared;
mod text;

use std::hash::{BuildHasherDefault, Hasher};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use tokio::sync::watch;

use crate::domain::admin::AdminKey;
use crate::domain::digest::TokenDigest;
use crate::domain::id::KeyId;
use crate::domain::key::Key;
use crate::domain::scope::ScopeSet;
use crate::domain::usage::Usage;
use crate::domain::workspace::Workspace;
use crate::store::Revision;

use credits::CreditAccount;
use imported::ImportedTokens;
use members::{ById, IndexedWorkspace, Names, Seat};
use usage::KeyUsage;

pub use effective::{Effective, EffectiveScopes};
pub use packed::IndexedKey;
pub use rotating::{FirstUse, Rotating};
pub use text::Metadata;

/// All records of one store, by what they are asked for by.
#[derive(Debug)]
pub struct Index {
    keys: papaya::HashMap<TokenDigest, IndexedKey, BuildHasherDefault<DigestHasher>>,
    admins: papaya::HashMap<TokenDigest, Arc<AdminKey>, BuildHasherDefault<DigestHasher>>,
    workspaces: papaya::HashMap<Box<str>, Arc<IndexedWorkspace>>,
    principals: papaya::HashSet<ById>,
    memberships: papaya::HashSet<Seat>,
    credits: papaya::HashMap<KeyId, Arc<CreditAccount>>,
    /// What the store holds of since when uses are counted, from the start on.
    usage_mark: OnceLock<Usage>,
    imported: ImportedTokens,
    /// How many keys there are. A count that guards nothing.
    number: AtomicUsize,
    applied: watch::Receiver<Revision>,
}

impl Index {
    fn empty(applied: watch::Receiver<Revision>) -> Self {
        Self {
            keys: papaya::HashMap::default(),
            admins: papaya::HashMap::default(),
            workspaces: papaya::HashMap::default(),
            principals: papaya::HashSet::default(),
            memberships: papaya::HashSet::default(),
            credits: papaya::HashMap::default(),
            usage_mark: OnceLock::new(),
            imported: ImportedTokens::default(),
            number: AtomicUsize::new(0),
            applied,
        }
    }

    /// Hands the key that `digest` stands for to `read`, or none. Lock-free;
    /// the key cannot change or go away while `read` runs.
    pub fn find<T>(&self, digest: &TokenDigest, read: impl FnOnce(Option<&IndexedKey>) -> T) -> T {
        read(self.keys.pin().get(digest))
    }

    /// The admin key that `digest` stands for.
    #[must_use]
    pub fn admin(&self, digest: &TokenDigest) -> Option<Arc<AdminKey>> {
        self.admins.pin().get(digest).cloned()
    }

    /// The workspace of this id.
    #[must_use]
    pub fn workspace(&self, id: &str) -> Option<Arc<Workspace>> {
        self.workspaces
            .pin()
            .get(id)
            .map(|workspace| workspace.current.load_full())
    }

    /// What the keys of `principal` may do in `workspace` at most; none: it is no
    /// member there.
    #[must_use]
    pub fn ceiling(&self, workspace: &str, principal: &str) -> Option<Arc<ScopeSet>> {
        let memberships = self.memberships.pin();
        memberships.get(&Names(workspace, principal))?.0.ceiling()
    }

    /// Whether there is a principal of this id that was not deleted.
    #[must_use]
    pub fn is_known(&self, principal: &str) -> bool {
        self.principals.pin().contains(principal)
    }

    /// What is left of `scopes` of a key of `principal` in `workspace`; none: all
    /// of them.
    #[must_use]
    pub fn effective_scopes(
        &self,
        workspace: &str,
        principal: &str,
        scopes: &ScopeSet,
    ) -> Option<ScopeSet> {
        let nothing = || (!scopes.is_empty()).then(ScopeSet::default);
        let memberships = self.memberships.pin();
        let Some(Seat(membership)) = memberships.get(&Names(workspace, principal)) else {
            return nothing();
        };
        let member = membership.standing();
        if !member.is_one() {
            return nothing();
        }
        let ceiling = member.ceiling()?;
        let less = !ceiling.covers_all(scopes);
        less.then(|| membership.narrowings.of_equal(scopes, ceiling))
    }

    /// The credits of a key; none: it needs none.
    #[must_use]
    pub fn credits(&self, key: KeyId) -> Option<Arc<CreditAccount>> {
        self.credits.pin().get(&key).cloned()
    }

    /// The credits of all keys that have some.
    #[must_use]
    pub fn all_credits(&self) -> Vec<Arc<CreditAccount>> {
        self.credits.pin().values().cloned().collect()
    }

    /// How a key was used; none: nobody has shown a token of it.
    #[must_use]
    pub fn usage(&self, key: &Key) -> Option<Arc<KeyUsage>> {
        let keys = self.keys.pin();
        // All of its tokens lead to the same.
        let mut indexed = key
            .secrets
            .iter()
            .filter_map(|secret| keys.get(&secret.digest));
        indexed.next()?.usage().cloned()
    }

    /// The usage of all keys that were used since it was stored, each once. It
    /// walks over all keys: not for async code.
    #[must_use]
    pub fn changed_usages(&self) -> Vec<Arc<KeyUsage>> {
        let keys = self.keys.pin();
        let usages = keys
            .values()
            .filter(|key| key.is_first())
            .filter_map(IndexedKey::usage);
        each_once(
            usages
                .filter(|usage| usage.has_changed())
                .cloned()
                .collect(),
        )
    }

    /// What the store held of since when uses are counted, when it was loaded.
    #[must_use]
    pub fn usage_mark(&self) -> Option<&Usage> {
        self.usage_mark.get()
    }

    /// How many tokens stand for a key.
    #[must_use]
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether no token stands for a key.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// A key was written, perhaps for the first time.
    fn key_came(&self, is_new: bool) {
        self.number
            .fetch_add(usize::from(is_new), Ordering::Relaxed);
    }

    /// A key was deleted.
    fn key_went(&self) {
        self.number.fetch_sub(1, Ordering::Relaxed);
    }

    /// How many of what there are.
    #[must_use]
    pub fn numbers(&self) -> Numbers {
        Numbers {
            keys: self.number.load(Ordering::Relaxed),
            tokens: self.keys.len(),
            workspaces: self.workspaces.len(),
            principals: self.principals.len(),
        }
    }

    /// The revision that it has come to.
    #[must_use]
    pub fn revision(&self) -> Revision {
        *self.applied.borrow()
    }

    /// Returns when the index holds `revision`: every check that starts from
    /// then on judges by it.
    ///
    /// # Errors
    ///
    /// [`FollowerEnded`], if it never will.
    pub async fn reached(&self, revision: Revision) -> Result<(), FollowerEnded> {
        let mut applied = self.applied.clone();
        let reached = applied.wait_for(|applied| *applied >= revision).await;
        reached.map(drop).map_err(|_| FollowerEnded)
    }

    /// Returns when the index is fed no more, which is when the store was
    /// closed, or something is very wrong.
    pub async fn ended(&self) {
        let mut applied = self.applied.clone();
        while applied.changed().await.is_ok() {}
    }
}

/// `usages`, without those that are there twice: while a rotation is applied, its
/// new token can be the key's first already, and the old one still be.
fn each_once(mut usages: Vec<Arc<KeyUsage>>) -> Vec<Arc<KeyUsage>> {
    usages.sort_unstable_by_key(Arc::as_ptr);
    usages.dedup_by(|one, other| Arc::ptr_eq(one, other));
    usages
}

/// How many of what an index holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Numbers {
    /// Keys, also those that do not work any more.
    pub keys: usize,
    /// Tokens that stand for a key.
    pub tokens: usize,
    /// Workspaces.
    pub workspaces: usize,
    /// Principals.
    pub principals: usize,
}

/// The index is not fed any more.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the index is not fed any more")]
pub struct FollowerEnded;

/// Takes a digest's own hash for what it is.
#[derive(Default)]
struct DigestHasher(u64);

impl Hasher for DigestHasher {
    fn write(&mut self, bytes: &[u8]) {
        // Only digests are hashed, and those write one number; anything else
        // is folded in so that this stays a hasher.
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_is_found_by_two_tokens_is_told_once() {
        let scopes = Arc::new(ScopeSet::default());
        let [one, other] = [0, 1].map(|_| Arc::new(KeyUsage::new(KeyId::NOBODY, &scopes)));
        let told = each_once([&one, &other, &one].map(Arc::clone).into());
        assert_eq!(told.len(), 2);
        for usage in [&one, &other] {
            let same = |told: &&Arc<KeyUsage>| Arc::ptr_eq(told, usage);
            assert_eq!(told.iter().filter(same).count(), 1);
        }
    }
}
