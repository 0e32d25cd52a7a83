//! Writes back how keys were used: once in a while, many at a time, so that no
//! check writes to the store, and at a stop.
//!
//! What is not written yet is lost in a crash. What the store does not take
//! stays in memory, and is written with the next.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{Instant, sleep_until, timeout};
use tracing::{debug, info, warn};

use crate::domain::usage::Usage;
use crate::index::Index;
use crate::index::usage::KeyUsage;
use crate::store::{Store, StoreError};

/// How many keys are in one commit at most.
pub const MAX_KEYS: usize = 512;

/// How long a commit may be, in bytes, as far as it is known before it is made:
/// others that are made with it have room in the same group.
const MAX_LEN: usize = 64 * 1024;

/// How long it may take at a stop: what is left then is lost.
const PATIENCE: Duration = Duration::from_secs(10);

/// Writes back how the keys of an index were used.
#[derive(Debug)]
pub struct UsageNotes {
    store: Arc<dyn Store>,
    index: Arc<Index>,
    interval: Duration,
    /// Whether it was said that the store takes nothing.
    failing: bool,
}

impl UsageNotes {
    /// Notes of what is used in `index`, which are written every `interval`.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, index: Arc<Index>, interval: Duration) -> Self {
        Self {
            store,
            index,
            interval,
            failing: false,
        }
    }

    /// Writes in a task of its own. Must be called in a runtime.
    #[must_use]
    pub fn start(self) -> UsageNoting {
        let (stop, stopping) = watch::channel(false);
        UsageNoting {
            stop,
            task: tokio::spawn(self.run(stopping)),
        }
    }

    /// Writes at each end of the interval until `stop` comes, and then once
    /// more.
    async fn run(mut self, mut stop: watch::Receiver<bool>) {
        let mut next = Instant::now() + self.interval;
        loop {
            tokio::select! {
                biased;
                // Or whoever could say so has gone.
                _ = stop.wait_for(|stop| *stop) => break,
                () = sleep_until(next) => {}
            }
            self.write().await;
            next = (next + self.interval).max(Instant::now());
        }
        let written = self.write().await;
        info!(keys = written, "usage of keys written");
    }

    /// Writes all that has changed, commit by commit, as far as the store takes
    /// it. Changes of operators come in between. How many keys were written.
    async fn write(&mut self) -> usize {
        let index = Arc::clone(&self.index);
        // It looks at every key, and others run on this thread.
        let changed = spawn_blocking(move || index.changed_usages()).await;
        // That it has panicked is in the log.
        let changed = changed.unwrap_or_default();
        let mut left = changed.as_slice();
        while !left.is_empty() {
            let usages = batch(left);
            let (these, rest) = left.split_at(usages.len());
            match self.store.note_usage(usages).await {
                Ok(revision) => {
                    debug!(keys = these.len(), %revision, "usage of keys stored");
                    left = rest;
                }
                Err(error) => {
                    these.iter().for_each(|usage| usage.put_back());
                    self.tell(&error, left.len());
                    return changed.len() - left.len();
                }
            }
        }
        self.failing = false;
        changed.len()
    }

    /// Tells it once: more of it says nothing new, until it has been well again.
    fn tell(&mut self, error: &StoreError, keys: usize) {
        if !self.failing {
            warn!(%error, keys, "usage of keys not written: it is kept in memory, and tried again");
        }
        self.failing = true;
    }
}

/// What one commit is to write of `changed`: the first of them, at least one.
fn batch(changed: &[Arc<KeyUsage>]) -> Vec<Usage> {
    let mut length = 0;
    let mut usages = Vec::new();
    for usage in changed.iter().take(MAX_KEYS) {
        let taken = usage.take();
        length += stored_len(&taken);
        usages.push(taken);
        if length > MAX_LEN {
            break;
        }
    }
    usages
}

/// How long it is at most in the store, in bytes.
fn stored_len(usage: &Usage) -> usize {
    /// Place and envelope, id, times, address and numbers, with their tags.
    const FIXED: usize = 32 + 25 + 150;
    /// A reason, a number, and their tags.
    const DENIALS: usize = 16;
    let exercised = usage.exercised.iter();
    let exercised = exercised.map(|scope| scope.as_str().len() + 2);
    FIXED + usage.denials.iter().count() * DENIALS + exercised.sum::<usize>()
}

/// Notes that are being written.
#[derive(Debug)]
pub struct UsageNoting {
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl UsageNoting {
    /// Returns when it works no more, though nobody has told it to stop.
    pub async fn ended(&mut self) {
        if !self.task.is_finished() {
            // That it has panicked is in the log.
            let _ = (&mut self.task).await;
        }
    }

    /// Returns when all that was used is written, as far as the store takes it
    /// in time. Nobody must use any key any more.
    pub async fn finish(mut self) {
        self.stop.send_replace(true);
        if timeout(PATIENCE, self.ended()).await.is_err() {
            warn!("usage of keys not written in time: the rest is lost");
        }
    }
}
