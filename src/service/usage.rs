//! Writes back how keys were used: once in a while, many at a time, so that no
//! check writes to the store, and at a stop.
//!
//! What is not written yet is lost in a crash. What the store does not take
//! stays in memory, and is written with the next.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet, spawn_blocking};
use tokio::time::{Instant, sleep_until, timeout};
use tracing::{debug, info, warn};

use crate::domain::counting::Mark;
use crate::domain::usage::Usage;
use crate::index::Index;
use crate::index::usage::KeyUsage;
use crate::store::{Store, StoreError};

/// How many keys are in one commit at most.
pub const MAX_KEYS: usize = 512;

/// How long a commit may be, in bytes, as far as it is known before it is made:
/// the store takes commits that are a little longer.
const MAX_LEN: usize = 80 * 1024;

/// How many commits are under way at a stop: so many share one sync.
const AT_A_STOP: usize = 4;

/// How long it may take at a stop: what is left then is lost.
const PATIENCE: Duration = Duration::from_secs(15);

/// Writes back how the keys of an index were used.
#[derive(Debug)]
pub struct UsageNotes {
    store: Arc<dyn Store>,
    index: Arc<Index>,
    interval: Duration,
    /// What is to be written of since when uses are counted.
    mark: Option<Mark>,
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
            mark: None,
            failing: false,
        }
    }

    /// The same, with this to be written, too.
    #[must_use]
    pub fn marking(self, mark: Option<Mark>) -> Self {
        Self { mark, ..self }
    }

    /// The same, once what has to be written before a key is used is, as far as
    /// the store takes it.
    pub async fn marked(mut self) -> Self {
        if self.mark.as_ref().is_some_and(|mark| mark.at_once) {
            self.write(1, || false).await;
        }
        self
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
            // One at a time: changes of operators come in between. At a stop, what
            // is left is for those that are written together.
            self.write(1, || *stop.borrow()).await;
            next = (next + self.interval).max(Instant::now());
        }
        let written = self.write(AT_A_STOP, || false).await;
        info!(keys = written, "usage of keys written");
    }

    /// Writes all that has changed, by so many commits `at_once`, as far as the
    /// store takes it, and until it is to `leave_off`. How many keys were written.
    async fn write(&mut self, at_once: usize, leave_off: impl Fn() -> bool) -> usize {
        let index = Arc::clone(&self.index);
        // It looks at every key, and others run on this thread.
        let changed = spawn_blocking(move || index.changed_usages()).await;
        // That it has panicked is in the log.
        let changed = changed.unwrap_or_default();
        let mut left = changed.as_slice();
        let (mut under_way, mut written) = (JoinSet::new(), 0);
        let (mut failure, mut mark) = (None, self.mark.clone());
        loop {
            let may_go_on = failure.is_none() && !leave_off();
            while may_go_on && under_way.len() < at_once && is_left(left, mark.as_ref()) {
                let mut usages = batch(left);
                let (these, rest) = left.split_at(usages.len());
                usages.extend(mark.take().map(|mark| mark.usage));
                let store = Arc::clone(&self.store);
                under_way.spawn(note(store, usages, these.to_vec()));
                left = rest;
            }
            match under_way.join_next().await {
                None => break,
                Some(Ok(Ok(keys))) => written += keys,
                Some(Ok(Err(error))) => failure = Some(error),
                // That it has panicked is in the log.
                Some(Err(_)) => failure = Some(StoreError::OutcomeUnknown),
            }
        }
        match failure {
            Some(error) => self.tell(&error, changed.len() - written),
            None => (self.failing, self.mark) = (false, mark),
        }
        written
    }

    /// Tells it once: more of it says nothing new, until it has been well again.
    fn tell(&mut self, error: &StoreError, keys: usize) {
        if !self.failing {
            warn!(%error, keys, "usage of keys not written: it is kept in memory, and tried again");
        }
        self.failing = true;
    }
}

/// Whether there is more to be written.
fn is_left(keys: &[Arc<KeyUsage>], mark: Option<&Mark>) -> bool {
    !keys.is_empty() || mark.is_some_and(|mark| mark.at_once)
}

/// Has `store` take what was counted of `keys`; how many there are. What it does
/// not take is left to be written again.
async fn note(
    store: Arc<dyn Store>,
    usages: Vec<Usage>,
    keys: Vec<Arc<KeyUsage>>,
) -> Result<usize, StoreError> {
    let noted = store.note_usage(usages).await;
    match &noted {
        Ok(revision) => debug!(keys = keys.len(), %revision, "usage of keys stored"),
        Err(_) => keys.iter().for_each(|usage| usage.put_back()),
    }
    noted.map(|_| keys.len())
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
    const FIXED: usize = 32 + 25 + 105;
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
