//! What is made anew when the server is: it is told to stop, or killed.

use std::sync::Arc;
use std::time::Duration;

use keyward::domain::clock::{Clock, ManualClock, Timestamp};
use keyward::domain::token::Token;
use keyward::domain::window::Moment;
use keyward::index::follower;
use keyward::meter::Meter;
use keyward::meter::clock::{BootClock, ManualBootClock};
use keyward::service::admission::{Actor, Admission};
use keyward::service::checker::Checker;
use keyward::service::credits::{Reserver, Reserving};
use keyward::service::first_use::first_uses;
use keyward::service::registry::Registry;
use keyward::store::Store;
use keyward::store::local::MemoryStore;
use tokio::runtime::Runtime;
use tokio::time::Instant;

use super::super::words::RETENTION;
use crate::records::{block_on, pepper};

/// How long a stop may take here: a busy machine is no bug.
const PATIENCE: Duration = Duration::from_secs(60);

/// What there is for longer than a server.
pub(super) struct Machine {
    clock: Arc<ManualClock>,
    boot_clock: Arc<ManualBootClock>,
    pub(super) store: Arc<MemoryStore>,
}

impl Machine {
    /// A machine with an empty store.
    pub(super) fn new(now: u64) -> Self {
        let boot_clock = Arc::new(ManualBootClock::at(Moment::from_micros(now)));
        let clock = Arc::new(ManualClock::at(Timestamp::from_micros(now)));
        let shared: Arc<dyn Clock> = Arc::<ManualClock>::clone(&clock);
        let store = Arc::new(MemoryStore::in_memory(&pepper(), shared).unwrap());
        // It takes changes once it was read.
        store.snapshot().unwrap().for_each(drop);
        Self {
            clock,
            boot_clock,
            store,
        }
    }

    pub(super) fn set(&self, now: u64) {
        self.clock.set(Timestamp::from_micros(now));
        self.boot_clock.set(Moment::from_micros(now));
    }

    fn store(&self) -> Arc<dyn Store> {
        Arc::<MemoryStore>::clone(&self.store)
    }
}

/// A server, but for the sockets and the disk.
pub(super) struct Parts {
    pub(super) registry: Registry,
    pub(super) checker: Checker,
    pub(super) actor: Actor,
    reserving: Reserving,
    /// Of its own, so that what goes on in the background dies with it.
    runtime: Runtime,
}

impl Parts {
    pub(super) fn load(machine: &Machine, owner: &Token) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let clock: Arc<dyn Clock> = Arc::<ManualClock>::clone(&machine.clock);
        let index = follower::start(&*machine.store).unwrap();
        let hasher = pepper().token_hasher();
        let admission = Admission::new(Arc::clone(&index), hasher.clone(), Arc::clone(&clock));
        let (first_uses, notes) =
            first_uses(machine.store(), Arc::clone(&index), Arc::clone(&clock));
        runtime.spawn(notes.take());
        let boot_clock: Arc<dyn BootClock> = Arc::<ManualBootClock>::clone(&machine.boot_clock);
        let meter = Meter::start(boot_clock).unwrap();
        let seen = Arc::clone(&index);
        let (desk, reserver) = Reserver::new(machine.store(), seen, Arc::clone(&clock));
        let reserving = runtime.block_on(async { reserver.start() });
        let seen = Arc::clone(&index);
        let checker = Checker::new(seen, hasher, Arc::clone(&clock), meter, desk);
        let header = format!("Bearer {}", owner.expose());
        let retention = Duration::from_micros(RETENTION);
        Self {
            actor: admission.authenticate(header.as_bytes()).unwrap(),
            registry: Registry::new(machine.store(), index, pepper(), clock, retention)
                .explaining(checker.clone()),
            checker: checker.telling(first_uses),
            reserving,
            runtime,
        }
    }

    /// Ends as a server does that is told to.
    pub(super) fn stop(self) {
        let deadline = Instant::now() + PATIENCE;
        self.runtime.block_on(self.reserving.give_back(deadline));
    }

    /// Ends without doing anything more. What was handed to the store before is
    /// done by then: it goes on here, while a disk would not.
    pub(super) fn crash(self, machine: &Machine) {
        drop(self.runtime);
        drop(self.checker);
        block_on(machine.store.reserve(Vec::new())).unwrap();
    }
}
