//! A number that only grows, and that any thread may add to.

use std::sync::atomic::{AtomicU64, Ordering};

/// How often something has happened since the process started.
///
/// It guards no memory and decides nothing, so relaxed is enough.
#[derive(Debug, Default)]
pub struct Count(AtomicU64);

impl Count {
    /// It has happened once more.
    pub fn one_more(&self) {
        self.add(1);
    }

    /// It has happened so many times more.
    pub fn add(&self, more: u64) {
        self.0.fetch_add(more, Ordering::Relaxed);
    }

    /// How often it has happened.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
