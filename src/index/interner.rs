//! One copy of what many keys share.

use std::collections::HashSet;
use std::hash::Hash;
use std::sync::Arc;

/// Below this many values nobody looks for unused ones.
const SWEEP_FROM: usize = 1_024;

/// Hands out one shared copy of each value. Only the follower has one.
#[derive(Debug)]
pub(super) struct Interner<T: ?Sized> {
    values: HashSet<Arc<T>>,
    sweep_at: usize,
}

impl<T: ?Sized + Eq + Hash> Interner<T> {
    pub(super) fn new() -> Self {
        Self {
            values: HashSet::new(),
            sweep_at: SWEEP_FROM,
        }
    }

    /// The shared copy of `value`, which `share` makes if there is none yet.
    pub(super) fn intern(&mut self, value: &T, share: impl FnOnce(&T) -> Arc<T>) -> Arc<T> {
        if let Some(shared) = self.values.get(value) {
            return Arc::clone(shared);
        }
        if self.values.len() >= self.sweep_at {
            // What nobody but the interner holds any more is let go of.
            self.values.retain(|shared| Arc::strong_count(shared) > 1);
            self.sweep_at = SWEEP_FROM.max(self.values.len() * 2);
        }
        let shared = share(value);
        self.values.insert(Arc::clone(&shared));
        shared
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_values_share_one_copy_and_unused_ones_are_let_go() {
        let mut interner = Interner::<str>::new();
        let kept = interner.intern("kept", |text| Arc::from(text));
        for number in 0..2 * SWEEP_FROM {
            interner.intern(&number.to_string(), |text| Arc::from(text));
        }
        assert!(Arc::ptr_eq(
            &kept,
            &interner.intern("kept", |text| Arc::from(text))
        ));
        assert!(
            interner.values.len() <= SWEEP_FROM + 1,
            "{}",
            interner.values.len()
        );
    }
}
