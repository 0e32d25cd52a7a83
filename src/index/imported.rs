//! Which tokens of other products there are, so that a credential that is none
//! of ours is hashed and looked up only where that can find something.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::domain::digest::{HashAlgorithm, TokenDigest, TokenHasher};
use crate::domain::key::Secret;

use super::Index;

/// How many imported tokens there are of each algorithm.
#[derive(Debug, Default)]
pub(super) struct ImportedTokens {
    by_algorithm: [AtomicUsize; HashAlgorithm::ALL.len()],
}

impl ImportedTokens {
    fn of(&self, algorithm: HashAlgorithm) -> &AtomicUsize {
        let [first, second] = &self.by_algorithm;
        match algorithm {
            HashAlgorithm::Sha256 => first,
            HashAlgorithm::Blake3 => second,
        }
    }

    // Written by the follower alone, before it tells how far it has come: whoever
    // was told of an import sees it here. Relaxed is enough for that.

    /// Counts `secret`, which was not there before.
    pub(super) fn came(&self, secret: &Secret) {
        if let Some(imported) = &secret.imported {
            let count = self.of(imported.form.algorithm());
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Counts `secret` no more.
    pub(super) fn went(&self, secret: &Secret) {
        if let Some(imported) = &secret.imported {
            let count = self.of(imported.form.algorithm());
            count.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Index {
    /// The digest by which a token that is none of ours finds a key; none: it
    /// finds none. Lock-free, and it allocates nothing: a look at two numbers
    /// where nothing was imported, else a hash for each algorithm in use.
    #[must_use]
    pub fn foreign(&self, hasher: &TokenHasher, token: &[u8]) -> Option<TokenDigest> {
        let in_use =
            |algorithm: &HashAlgorithm| self.imported.of(*algorithm).load(Ordering::Relaxed) > 0;
        HashAlgorithm::ALL
            .into_iter()
            .filter(in_use)
            .map(|algorithm| hasher.foreign(algorithm, token))
            .find(|digest| self.holds(digest))
    }

    /// Whether `digest` stands for a key.
    #[must_use]
    pub fn holds(&self, digest: &TokenDigest) -> bool {
        self.keys.pin().contains_key(digest)
    }
}
