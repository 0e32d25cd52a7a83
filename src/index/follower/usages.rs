//! Keeps how a key is used with the key, from the load on and through each version
//! of it.

use std::sync::Arc;

use crate::domain::id::KeyId;
use crate::domain::key::Key;
use crate::domain::usage::Usage;
use crate::index::usage::KeyUsage;

use super::Follower;

impl Follower {
    pub(super) fn load_usage(&mut self, stored: Usage) {
        if stored.key == KeyId::NOBODY {
            // There is one such record, and nothing but a load puts it here.
            let _ = self.index.usage_mark.set(stored);
            return;
        }
        let scopes = self.shared.scopes(&stored.exercised);
        let usage = Arc::new(KeyUsage::load(&stored, scopes));
        self.loaded_usages.insert(stored.key, usage);
    }

    /// The usage that all tokens of `key` are to lead to; none: it has but one,
    /// which nobody has used, and the first use makes it.
    pub(super) fn usage(&mut self, key: &Key, before: Option<&Key>) -> Option<Arc<KeyUsage>> {
        if let Some(before) = before {
            return self.usage_before(before);
        }
        let loaded = self.loaded_usages.remove(&key.id);
        let none = || Arc::new(KeyUsage::new(key.id, &self.shared.scopes(&key.scopes)));
        loaded.or_else(|| (key.secrets.len() > 1).then(none))
    }

    /// That of the version that is replaced: made now if it was not used, as a
    /// check that holds it may be about to.
    fn usage_before(&self, before: &Key) -> Option<Arc<KeyUsage>> {
        let keys = self.index.keys.pin();
        let mut indexed = before
            .secrets
            .iter()
            .filter_map(|secret| keys.get(&secret.digest));
        indexed.next().map(|key| Arc::clone(key.made_usage()))
    }
}
