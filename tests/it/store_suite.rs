//! What every store promises: one suite, run on each of them.
//!
//! The writer of a store asks its clock once for each group of commits. The
//! clock here can be shut, which holds the writer there: so it is known what
//! is in one group, and no test has to wait for a moment to come.

use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex};
use std::task::{Context, Waker};
use std::time::Duration;

use keyward::domain::clock::{Clock, Timestamp};
use keyward::domain::id::{KeyId, WorkspaceId};
use keyward::domain::key::Key;
use keyward::domain::workspace::Workspace;
use keyward::store::local::MemoryStore;
use keyward::store::{Batch, List, Record, RecordId, Revision, Store, StoreError, Versioned};

use crate::records::{Disk, State, block_on, create, load, pepper, runtime, time, workspace};

/// Nothing here takes this long, unless it never ends.
const PATIENCE: Duration = Duration::from_secs(5);

/// Runs tests on each backend. Another backend is another line below.
macro_rules! suite {
    ($($test:ident)*) => {
        suite! { @on on_disk $($test)* }
        suite! { @on in_memory $($test)* }
    };
    (@on $backend:ident $($test:ident)*) => {
        mod $backend {
            $(
                #[test]
                fn $test() {
                    super::$test(crate::store_suite::Subject::$backend);
                }
            )*
        }
    };
}

mod audit_log;
mod burials;
mod conflicts;
mod following;
mod lifetime;
mod lists;
mod requests;
mod requirements;
mod sizes;
mod usage;

/// A store, with what it takes to try it.
struct Subject {
    store: Arc<dyn Store>,
    gate: Arc<Gate>,
    disk: Option<Disk>,
}

type Backend = fn() -> Subject;

/// A commit that waits for its answer.
type Queued = Pin<Box<dyn Future<Output = Result<Revision, StoreError>> + Send>>;

impl Subject {
    fn on_disk() -> Self {
        let disk = Disk::with_store();
        let gate = Arc::new(Gate::default());
        let (store, _) = disk.home.open(Arc::clone(&gate) as _).unwrap();
        Self {
            store: Arc::new(store),
            gate,
            disk: Some(disk),
        }
    }

    fn in_memory() -> Self {
        let gate = Arc::new(Gate::default());
        let store = MemoryStore::in_memory(&pepper(), Arc::clone(&gate) as _).unwrap();
        Self {
            store: Arc::new(store),
            gate,
            disk: None,
        }
    }

    /// A store with one workspace, loaded.
    fn with_workspace(backend: Backend) -> (Self, Workspace) {
        let subject = backend();
        subject.load();
        let workspace = workspace("klipy");
        subject
            .commit(create(Record::Workspace(workspace.clone())))
            .unwrap();
        (subject, workspace)
    }

    /// The same store after its process has ended and another has opened and
    /// loaded it; one that forgets stays as it is.
    fn restarted(self) -> Self {
        let Some(disk) = self.disk else {
            return self;
        };
        self.store.close();
        drop(self.store);
        disk.wait_until_let_go();
        let (store, _) = disk.home.open(Arc::clone(&self.gate) as _).unwrap();
        let subject = Self {
            store: Arc::new(store),
            gate: self.gate,
            disk: Some(disk),
        };
        subject.load();
        subject
    }

    /// Everything that is in the store; verified by the store, as it is on
    /// every load.
    fn load(&self) -> (Revision, State) {
        load(&*self.store).unwrap()
    }

    fn commit(&self, batch: Batch) -> Result<Revision, StoreError> {
        block_on(self.store.commit(batch))
    }

    /// Commits all of `batches` in one group, in their order.
    fn commit_as_one_group(&self, batches: Vec<Batch>) -> Vec<Result<Revision, StoreError>> {
        let groups = self.gate.passed();
        self.gate.shut();
        let queued = self.queue(batches);
        self.gate.wait_for_arrival();
        self.gate.open();
        let results = block_on(async {
            let mut results = Vec::new();
            for commit in queued {
                results.push(commit.await);
            }
            results
        });
        assert_eq!(self.gate.passed(), groups + 1, "all of them were one group");
        results
    }

    /// Queues commits in their order without waiting for them: a commit is
    /// queued by the first poll, unless the queue is full.
    fn queue(&self, batches: Vec<Batch>) -> Vec<Queued> {
        let _context = runtime().enter();
        let queue = |batch| {
            let store = Arc::clone(&self.store);
            let mut commit: Queued = Box::pin(async move { store.commit(batch).await });
            assert!(
                commit
                    .as_mut()
                    .poll(&mut Context::from_waker(Waker::noop()))
                    .is_pending()
            );
            commit
        };
        batches.into_iter().map(queue).collect()
    }

    /// Commits all of `batches` at the same time.
    fn commit_at_once(&self, batches: Vec<Batch>) -> Vec<Result<Revision, StoreError>> {
        let start = |batch| {
            let store = Arc::clone(&self.store);
            runtime().spawn(async move { store.commit(batch).await })
        };
        let tasks: Vec<_> = batches.into_iter().map(start).collect();
        block_on(async {
            let mut results = Vec::new();
            for task in tasks {
                results.push(task.await.unwrap());
            }
            results
        })
    }

    /// Closes the store and counts the links of an audit chain in its files,
    /// if it has any.
    fn audit_links(self, chain: &str) -> Option<usize> {
        self.store.close();
        drop(self.store);
        let links = |tree: &sled::Tree| tree.scan_prefix(format!("x/{chain}\0")).count();
        self.disk.map(|disk| disk.raw(links))
    }
}

/// A clock that does not answer while it is shut.
#[derive(Debug, Default)]
struct Gate {
    turnstile: Mutex<Turnstile>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Turnstile {
    shut: bool,
    waiting: usize,
    passed: usize,
}

impl Gate {
    fn shut(&self) {
        self.turnstile.lock().unwrap().shut = true;
    }

    fn open(&self) {
        self.turnstile.lock().unwrap().shut = false;
        self.changed.notify_all();
    }

    /// How many have been told the time.
    fn passed(&self) -> usize {
        self.turnstile.lock().unwrap().passed
    }

    /// Returns when somebody waits to be told the time.
    fn wait_for_arrival(&self) {
        let turnstile = self.turnstile.lock().unwrap();
        let arrived = self
            .changed
            .wait_timeout_while(turnstile, PATIENCE, |turnstile| turnstile.waiting == 0)
            .unwrap();
        assert!(!arrived.1.timed_out(), "the writer asks for the time");
    }
}

impl Clock for Gate {
    fn now(&self) -> Timestamp {
        let mut turnstile = self.turnstile.lock().unwrap();
        turnstile.waiting += 1;
        self.changed.notify_all();
        let (mut turnstile, _) = self
            .changed
            .wait_timeout_while(turnstile, PATIENCE, |turnstile| turnstile.shut)
            .unwrap();
        turnstile.waiting -= 1;
        turnstile.passed += 1;
        time(1_000_000)
    }
}

/// Keys of one workspace or of all, from behind one of them on.
fn list_keys(
    store: &dyn Store,
    workspace: Option<&WorkspaceId>,
    after: Option<KeyId>,
    limit: usize,
) -> Result<Vec<Key>, StoreError> {
    let list = workspace.cloned().map_or(List::Keys, List::KeysOf);
    let after = after.map(RecordId::Key);
    let found = store.list(&list, after.as_ref(), limit)?;
    let key = |found: Versioned| {
        let Record::Key(key) = found.record else {
            panic!("a key: {:?}", found.record)
        };
        key
    };
    Ok(found.into_iter().map(key).collect())
}
