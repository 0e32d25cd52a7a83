//! How keys were used, as operators read it, and lists of those that were not.

use crate::domain::clock::Timestamp;
use crate::domain::key::Key;
use crate::domain::scope::ScopeSet;
use crate::domain::secret::Rotation;
use crate::domain::usage::Usage;

use super::super::error::RegistryError;
use super::Registry;

/// How a key was used, up to now.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UsageView {
    /// What was counted.
    pub usage: Usage,
    /// Those of its scopes that no use has needed; none, if there was no use.
    pub unexercised: ScopeSet,
    /// When the old token was used last, while the key is rotated.
    pub old_token_used: Option<Timestamp>,
    /// What was before this is not known; none: all of it is.
    pub counted_since: Option<Timestamp>,
}

/// Which keys are unused enough to be listed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct UnusedFilter {
    /// Only those that were created before this and not used since.
    pub since: Option<Timestamp>,
    /// Only those that were never used.
    pub never: bool,
}

impl UnusedFilter {
    /// Whether it leaves any key out.
    pub(super) fn is_selective(self) -> bool {
        self != Self::default()
    }
}

impl Registry {
    /// How `key` was used.
    pub(super) fn usage_view(&self, key: &Key, now: Timestamp) -> Option<UsageView> {
        self.counted_since?;
        let usage = self.index.usage(key);
        let usage = usage.map_or_else(|| Usage::none(key.id), |usage| usage.read());
        // What an earlier rotation has left there was before this one began.
        let rotation = Rotation::of(&key.secrets, now);
        let old_token_used = rotation
            .zip(usage.superseded_used)
            .map(|(rotation, used)| (rotation.new.create_time, used))
            .filter(|(start, used)| used >= start)
            .map(|(_, used)| used);
        Some(UsageView {
            unexercised: usage.unexercised(&key.scopes),
            old_token_used,
            counted_since: self.unknown_before(key),
            usage,
        })
    }

    /// Whether `key` is as unused as `filter` wants it.
    pub(super) fn is_unused(&self, key: &Key, filter: UnusedFilter) -> bool {
        if !filter.is_selective() {
            return true;
        }
        let last_used = self.index.usage(key).and_then(|usage| usage.last_used());
        // For all that is known, it was used until its uses came to be counted.
        let last_used = last_used.max(self.unknown_before(key));
        (!filter.never || last_used.is_none())
            && filter.since.is_none_or(|since| {
                key.create_time < since && last_used.is_none_or(|used| used < since)
            })
    }

    /// Since when uses of `key` are counted, if it may have been used before.
    fn unknown_before(&self, key: &Key) -> Option<Timestamp> {
        self.counted_since.filter(|since| key.create_time < *since)
    }

    /// Where uses are not counted, all keys look unused.
    pub(super) fn refuse_uncounted(&self, filter: UnusedFilter) -> Result<(), RegistryError> {
        if filter.is_selective() && self.counted_since.is_none() {
            return Err(RegistryError::UsageNotCounted);
        }
        Ok(())
    }
}
