//! The store of one node: a writer thread over an engine, in its final format.

mod audit;
mod engine;
mod group;
mod ledger;
mod load;
mod memory;
mod read;
mod sled;
mod work;
mod writer;

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tokio::sync::{oneshot, watch};
use tracing::error;

use crate::domain::audit::{AuditEvent, AuditLog};
use crate::domain::clock::Clock;
use crate::domain::credits::Credits;
use crate::domain::digest::{Pepper, Sealer, StoreId};
use crate::domain::usage::Usage;

use crate::metrics::commits::{CommitCounts, CommitEnd};

use super::record;
use super::{
    Batch, BoxFuture, Commits, Damage, List, OpenError, RecordId, Revision, Snapshot, Store,
    StoreError, StoreHealth, Versioned,
};

pub(super) use self::sled::{LOG_FILE, SledEngine, Unopened};
use audit::AuditReader;
use engine::Engine;
use ledger::Ledger;
use memory::MemoryEngine;
use work::Work;
use writer::{Asker, Job, Writer};

/// How many changes can wait for the writer before callers wait to be queued.
const QUEUE: usize = 1_024;

/// How many chunks of records are read ahead of whoever loads them.
const READ_AHEAD: usize = 4;

/// A group of commits that takes longer than this is one that never ends:
/// sled's flush can wait forever after an error.
const COMMIT_DEADLINE: Duration = Duration::from_secs(10);

/// How long it takes at most to see that the writer has ended.
const CLOSE_PAUSE: Duration = Duration::from_millis(2);

/// The store of one node.
pub struct LocalStore<E> {
    id: StoreId,
    engine: Arc<E>,
    records: Sealer,
    audit_links: Sealer,
    /// Taken away when the store is closed: the writer ends with its queue.
    jobs: Mutex<Option<tokio::sync::mpsc::Sender<Job>>>,
    health: Arc<watch::Sender<StoreHealth>>,
    /// How many groups of commits have come to their end.
    groups: Arc<AtomicU64>,
    counts: Arc<CommitCounts>,
    /// Taken by whoever closes the store first.
    writer: Mutex<Option<JoinHandle<()>>>,
}

/// The store on disk.
pub type SledStore = LocalStore<SledEngine>;

/// A store that forgets: for tests of what stands on a store.
pub type MemoryStore = LocalStore<MemoryEngine>;

impl MemoryStore {
    /// An empty store.
    ///
    /// # Errors
    ///
    /// No thread can be started.
    pub fn in_memory(pepper: &Pepper, clock: Arc<dyn Clock>) -> Result<Self, OpenError> {
        Self::start(
            MemoryEngine::default(),
            pepper,
            StoreId::generate(),
            None,
            clock,
        )
    }
}

impl<E: Engine> LocalStore<E> {
    pub(super) fn start(
        engine: E,
        pepper: &Pepper,
        id: StoreId,
        guard: Option<super::guard::GuardFile>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, OpenError> {
        let engine = Arc::new(engine);
        let health = Arc::new(watch::Sender::new(StoreHealth::Sound));
        let (jobs, queue) = tokio::sync::mpsc::channel(QUEUE);
        let ledger = Ledger::new(pepper, id);
        let (records, audit_links) = (ledger.records.clone(), ledger.audit.clone());
        let writer = Writer::new(
            Arc::clone(&engine),
            ledger,
            guard,
            clock,
            Arc::clone(&health),
        );
        let groups = Arc::clone(&writer.groups);
        let counts = Arc::clone(&writer.counts);
        let lost = Arc::clone(&health);
        let thread = thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || {
                let unwound = catch_unwind(AssertUnwindSafe(|| writer.run(queue)));
                if unwound.is_err() {
                    lost.send_replace(StoreHealth::Lost);
                }
            })
            .map_err(|error| OpenError::io("store writer thread", error))?;
        Ok(Self {
            id,
            engine,
            records,
            audit_links,
            jobs: Mutex::new(Some(jobs)),
            health,
            groups,
            counts,
            writer: Mutex::new(Some(thread)),
        })
    }

    /// What it counts of its commits.
    #[must_use]
    pub fn counts(&self) -> Arc<CommitCounts> {
        Arc::clone(&self.counts)
    }

    /// The queue, unless the store is closed.
    fn queue(&self) -> Option<tokio::sync::mpsc::Sender<Job>> {
        self.jobs.lock().ok()?.clone()
    }

    async fn commit_one(&self, work: Work) -> Result<Revision, StoreError> {
        let answer = match self.queue_one(work).await {
            Ok(answer) => answer,
            Err(error) => {
                self.counts.ended(CommitEnd::Unavailable);
                return Err(error);
            }
        };
        // A writer that goes without an answer has panicked, perhaps half way.
        let committed = async { answer.await.unwrap_or(Err(StoreError::OutcomeUnknown)) };
        // A task of its own: a caller that gives up early must not take the
        // watch over the writer along.
        let (health, groups) = (Arc::clone(&self.health), Arc::clone(&self.groups));
        let counts = Arc::clone(&self.counts);
        let watching = tokio::spawn(async move {
            let ended = watched(committed, health, groups).await;
            counts.ended(end(&ended));
            ended
        });
        watching.await.unwrap_or(Err(StoreError::OutcomeUnknown))
    }

    /// Where the answer to a commit comes, once it is queued; an error, if it was
    /// not.
    async fn queue_one(&self, work: Work) -> Result<Answer, StoreError> {
        self.refuse_lost()?;
        let (reply, answer) = oneshot::channel();
        let queued = Instant::now();
        let asker = Asker { reply, queued };
        let queue = self.queue().ok_or(StoreError::Unavailable)?;
        let mut health = self.health.subscribe();
        tokio::select! {
            biased;
            sent = queue.send(Job::Commit(work, asker)) => {
                sent.map_err(|_| StoreError::Unavailable)?;
            }
            // Nobody takes it from the queue any more, and it is not in it.
            _ = health.wait_for(|health| *health == StoreHealth::Lost) => {
                return Err(StoreError::Unavailable);
            }
        }
        Ok(answer)
    }

    /// What a lost store shows may not be durable, and no check knows of it.
    fn refuse_lost(&self) -> Result<(), StoreError> {
        match *self.health.borrow() {
            StoreHealth::Sound => Ok(()),
            StoreHealth::Lost => Err(StoreError::Unavailable),
        }
    }
}

/// Where the answer to a commit comes.
type Answer = oneshot::Receiver<Result<Revision, StoreError>>;

/// What a commit is counted as that ended so.
const fn end(ended: &Result<Revision, StoreError>) -> CommitEnd {
    match ended {
        Ok(_) => CommitEnd::Durable,
        Err(StoreError::Conflict(_)) => CommitEnd::Conflict,
        Err(StoreError::TooLarge { .. }) => CommitEnd::TooLarge,
        Err(StoreError::Unavailable | StoreError::Compacted(_)) => CommitEnd::Unavailable,
        Err(StoreError::OutcomeUnknown) => CommitEnd::OutcomeUnknown,
        Err(StoreError::Damaged(_)) => CommitEnd::Damaged,
    }
}

/// Waits for a commit, and loses the store if the writer hangs.
async fn watched(
    committed: impl Future<Output = Result<Revision, StoreError>>,
    health: Arc<watch::Sender<StoreHealth>>,
    groups: Arc<AtomicU64>,
) -> Result<Revision, StoreError> {
    let mut committed = pin!(committed);
    let mut ended = groups.load(Ordering::Relaxed);
    loop {
        if let Ok(result) = tokio::time::timeout(COMMIT_DEADLINE, &mut committed).await {
            return result;
        }
        let before = std::mem::replace(&mut ended, groups.load(Ordering::Relaxed));
        // As long as others come to their end, it is only a long queue.
        if before == ended {
            error!(
                seconds = COMMIT_DEADLINE.as_secs(),
                "store lost: a commit did not end"
            );
            health.send_replace(StoreHealth::Lost);
            return Err(StoreError::OutcomeUnknown);
        }
    }
}

impl<E: Engine> Store for LocalStore<E> {
    fn id(&self) -> StoreId {
        self.id
    }

    fn snapshot(&self) -> Result<Snapshot, OpenError> {
        let closed = || OpenError::Damaged(Damage::Files("the store was closed".to_owned()));
        let (revision, start) = mpsc::channel();
        let (out, chunks) = mpsc::sync_channel(READ_AHEAD);
        self.queue()
            .ok_or_else(closed)?
            .blocking_send(Job::Snapshot(revision, out))
            .map_err(|_| closed())?;
        let revision = start.recv().map_err(|_| closed())??;
        let records = chunks.into_iter().flat_map(|chunk| match chunk {
            Ok(records) => records.into_iter().map(Ok).collect(),
            Err(error) => vec![Err(error)],
        });
        Ok(Snapshot::new(revision, records))
    }

    fn follow(&self, after: Revision) -> Result<Commits, StoreError> {
        let (reply, answer) = mpsc::channel();
        self.queue()
            .ok_or(StoreError::Unavailable)?
            .blocking_send(Job::Follow(after, reply))
            .map_err(|_| StoreError::Unavailable)?;
        answer.recv().map_err(|_| StoreError::Unavailable)?
    }

    fn commit(&self, batch: Batch) -> BoxFuture<'_, Result<Revision, StoreError>> {
        Box::pin(self.commit_one(batch.into()))
    }

    fn reserve(
        &self,
        accounts: Vec<Versioned<Credits>>,
    ) -> BoxFuture<'_, Result<Revision, StoreError>> {
        Box::pin(self.commit_one(accounts.into()))
    }

    fn note_usage(&self, usages: Vec<Usage>) -> BoxFuture<'_, Result<Revision, StoreError>> {
        Box::pin(self.commit_one(usages.into()))
    }

    fn get(&self, id: &RecordId) -> Result<Option<Versioned>, StoreError> {
        self.refuse_lost()?;
        read::record(&*self.engine, &self.records, &record::place(id))
    }

    fn list(
        &self,
        list: &List,
        after: Option<&RecordId>,
        limit: usize,
    ) -> Result<Vec<Versioned>, StoreError> {
        self.refuse_lost()?;
        read::list(&*self.engine, &self.records, list, after, limit)
    }

    fn audit(
        &self,
        log: &AuditLog,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Vec<AuditEvent>, StoreError> {
        self.refuse_lost()?;
        let reader = AuditReader {
            engine: &*self.engine,
            records: &self.records,
            links: &self.audit_links,
        };
        reader.events(log, before, limit)
    }

    fn health(&self) -> watch::Receiver<StoreHealth> {
        self.health.subscribe()
    }

    fn close(&self) {
        let thread = self.writer.lock().map_or(None, |mut writer| writer.take());
        let Some(thread) = thread else { return };
        drop(self.jobs.lock().map_or(None, |mut jobs| jobs.take()));
        let patience = Instant::now() + COMMIT_DEADLINE;
        while !thread.is_finished() && Instant::now() < patience {
            if *self.health.borrow() == StoreHealth::Lost {
                break;
            }
            thread::sleep(CLOSE_PAUSE);
        }
        // A writer that hangs in the engine must not keep the process from its
        // end: what it was asked for last has no answer yet, so nothing that
        // was acknowledged is lost by not waiting. The engine is not let go of
        // then: sled would wait for its own threads, perhaps for ever.
        if !thread.is_finished() || *self.health.borrow() == StoreHealth::Lost {
            std::mem::forget(Arc::clone(&self.engine));
        }
    }
}

impl<E> fmt::Debug for LocalStore<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LocalStore({})", self.id)
    }
}
