//! The one thread that writes: it takes what is queued, applies it as one
//! batch, syncs store and guard file once, and answers all of it.

use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Sender, SyncSender};
use std::sync::{Arc, mpsc};
use std::time::Instant;

use tokio::sync::mpsc::Receiver as Queue;
use tokio::sync::{oneshot, watch};
use tracing::{debug, error};

use crate::domain::clock::Clock;
use crate::metrics::commits::CommitCounts;
use crate::store::guard::{GuardFile, Slot};
use crate::store::{Commit, Commits, OpenError, Revision, StoreError, StoreHealth};

use super::engine::Engine;
use super::group::{Group, Halt, Plan};
use super::ledger::{Ledger, State};
use super::load::{self, Chunk, Stopped};
use super::work::Work;

/// How many commits are held for followers that start in the past.
const BACKLOG: usize = 1_024;

/// How many records those may have written together: a record and what was there
/// before take a few hundred bytes, seldom some thousands.
const BACKLOG_CHANGES: usize = 8_192;

/// What an error of the guard file is told of as: the writer knows no paths.
const GUARD: &str = "the guard file";

/// What the writer is asked to do.
pub(in crate::store) enum Job {
    /// Make a change durable.
    Commit(Work, Asker),
    /// Read everything, at one revision.
    Snapshot(Sender<Result<Revision, OpenError>>, SyncSender<Chunk>),
    /// Send the commits after a revision.
    Follow(Revision, Sender<Result<Commits, StoreError>>),
}

/// The state of the writer's thread.
pub(in crate::store) struct Writer<E> {
    pub(in crate::store) engine: Arc<E>,
    pub(in crate::store) ledger: Ledger,
    pub(in crate::store) guard: Option<GuardFile>,
    pub(in crate::store) clock: Arc<dyn Clock>,
    pub(in crate::store) health: Arc<watch::Sender<StoreHealth>>,
    /// Whether a load has come to its end: nothing is written on top of what
    /// was not verified.
    loaded: bool,
    /// How many groups of commits have come to their end. A count that guards
    /// nothing.
    pub(in crate::store) groups: Arc<AtomicU64>,
    pub(in crate::store) counts: Arc<CommitCounts>,
    followers: Vec<Sender<Arc<Commit>>>,
    backlog: Backlog,
}

/// Who asked for a commit.
pub(in crate::store) struct Asker {
    /// Where the answer goes.
    pub(in crate::store) reply: oneshot::Sender<Result<Revision, StoreError>>,
    /// When it was queued.
    pub(in crate::store) queued: Instant,
}

type Pending = (Work, Asker);

impl<E: Engine> Writer<E> {
    pub(in crate::store) fn new(
        engine: Arc<E>,
        ledger: Ledger,
        guard: Option<GuardFile>,
        clock: Arc<dyn Clock>,
        health: Arc<watch::Sender<StoreHealth>>,
    ) -> Self {
        let (followers, backlog) = (Vec::new(), Backlog::default());
        Self {
            engine,
            ledger,
            guard,
            clock,
            health,
            loaded: false,
            groups: Arc::default(),
            counts: Arc::default(),
            followers,
            backlog,
        }
    }

    /// Works until the queue is closed and what is left in it is done.
    pub(in crate::store) fn run(mut self, mut queue: Queue<Job>) {
        let mut next = queue.blocking_recv();
        while let Some(job) = next.take() {
            match job {
                Job::Commit(work, reply) => next = self.commit_group((work, reply), &mut queue),
                Job::Snapshot(revision, out) => self.snapshot(&revision, &out),
                Job::Follow(after, reply) => drop(reply.send(self.follow(after))),
            }
            next = next.or_else(|| queue.blocking_recv());
        }
        debug!(revision = self.ledger.state.revision.0, "store closed");
    }

    /// Commits `first` and what else is queued, up to a full group. Returns
    /// the job that ended the group, if one did.
    fn commit_group(&mut self, first: Pending, queue: &mut Queue<Job>) -> Option<Job> {
        if !self.loaded || *self.health.borrow() == StoreHealth::Lost {
            answer(first.1, Err(StoreError::Unavailable));
            return None;
        }
        let mut accepted = Vec::new();
        let mut refused = Vec::new();
        let mut left_over = None;
        let mut broken = None;
        let mut group = Group::new(&self.ledger, &*self.engine, self.clock.now());
        let mut pending = Some(first);
        while let Some((work, reply)) = pending.take() {
            match group.add(&work) {
                Ok(revision) => accepted.push((revision, reply)),
                Err(Halt::Refused(error)) => refused.push((error, reply)),
                Err(Halt::Broken(problem)) => {
                    answer(reply, Err(StoreError::Unavailable));
                    broken = Some(problem);
                    break;
                }
            }
            if group.is_full() {
                break;
            }
            match queue.try_recv() {
                Ok(Job::Commit(work, reply)) => pending = Some((work, reply)),
                Ok(other) => left_over = Some(other),
                Err(_) => {}
            }
        }

        let plan = group.close();
        let durable = match (broken, plan) {
            (Some(problem), _) => {
                // Nothing of the group was applied.
                self.lose(&problem);
                accepted
                    .into_iter()
                    .for_each(|(_, reply)| answer(reply, Err(StoreError::Unavailable)));
                false
            }
            (None, Some(plan)) => self.finish(plan, accepted),
            (None, None) => true,
        };
        self.groups.fetch_add(1, Ordering::Relaxed);
        // Only now is what they conflict with durable; if it is not, they
        // would be told of something that may never have happened.
        for (error, reply) in refused {
            let error = if durable {
                error
            } else {
                StoreError::Unavailable
            };
            answer(reply, Err(error));
        }
        left_over
    }

    /// Makes a group durable, tells the followers, answers the askers: in this
    /// order. Whether it is durable.
    fn finish(&mut self, plan: Plan, accepted: Vec<(Revision, Asker)>) -> bool {
        if let Err(problem) = self.make_durable(&plan) {
            self.lose(&problem);
            accepted
                .into_iter()
                .for_each(|(_, reply)| answer(reply, Err(StoreError::OutcomeUnknown)));
            return false;
        }
        self.ledger.state = plan.state;
        self.count(&accepted);
        for commit in plan.commits {
            self.followers
                .retain(|follower| follower.send(Arc::clone(&commit)).is_ok());
            self.backlog.push(commit);
        }
        accepted
            .into_iter()
            .for_each(|(revision, reply)| answer(reply, Ok(revision)));
        true
    }

    /// Counts what has just become durable.
    fn count(&self, accepted: &[(Revision, Asker)]) {
        self.counts.reached(self.ledger.state.revision.0);
        self.counts.group(accepted.len());
        for (_, asker) in accepted {
            self.counts.took(asker.queued.elapsed());
        }
    }

    fn make_durable(&mut self, plan: &Plan) -> Result<(), String> {
        self.engine
            .apply(&plan.entries)
            .map_err(|error| error.to_string())?;
        self.engine.sync().map_err(|error| error.to_string())?;
        self.record_in_guard(Slot {
            revision: plan.state.revision,
            digest: plan.state.digest,
        })
        .map_err(|error| format!("{GUARD}: {error}"))
    }

    fn record_in_guard(&mut self, slot: Slot) -> io::Result<()> {
        match &mut self.guard {
            Some(guard) => guard.record(slot),
            None => Ok(()),
        }
    }

    /// Takes no changes from now on.
    fn lose(&self, problem: &str) {
        error!(
            problem,
            "store lost: changes are refused until keyward is started again"
        );
        self.health.send_replace(StoreHealth::Lost);
    }

    fn snapshot(
        &mut self,
        revision: &Sender<Result<Revision, OpenError>>,
        out: &SyncSender<Chunk>,
    ) {
        let guard = self
            .guard
            .as_ref()
            .filter(|_| !self.loaded)
            .map(GuardFile::newest);
        let state = match load::state(&*self.engine, &self.ledger, guard, self.clock.now()) {
            Ok(state) => state,
            Err(error) => return drop(revision.send(Err(error))),
        };
        if revision.send(Ok(state.revision)).is_err() {
            return;
        }
        let loaded = load::records(&*self.engine, &self.ledger, &state, out)
            .and_then(|()| self.settle(state).map_err(Stopped::Refused));
        match loaded {
            Ok(()) => {
                self.ledger.state = state;
                self.counts.reached(state.revision.0);
                self.loaded = true;
            }
            // Whoever asked learns why; there is nobody to tell of a hang-up.
            Err(Stopped::Refused(error)) => drop(out.send(Err(error))),
            Err(Stopped::NobodyListens) => {}
        }
    }

    /// Lets the guard file catch up with a group whose answers were cut off.
    fn settle(&mut self, state: State) -> Result<(), OpenError> {
        let slot = Slot {
            revision: state.revision,
            digest: state.digest,
        };
        if self
            .guard
            .as_ref()
            .is_none_or(|guard| guard.newest() == slot)
        {
            return Ok(());
        }
        self.engine.sync().map_err(OpenError::from)?;
        self.record_in_guard(slot)
            .map_err(|error| OpenError::io(GUARD, error))
    }

    fn follow(&mut self, after: Revision) -> Result<Commits, StoreError> {
        let newest = self.ledger.state.revision;
        let oldest = self.backlog.commits.front();
        let oldest_held = oldest.map_or(newest, |commit| Revision(commit.revision.0 - 1));
        if after < oldest_held {
            return Err(StoreError::Compacted(after));
        }
        let (sender, commits) = mpsc::channel();
        let held = self.backlog.commits.iter();
        for commit in held.filter(|commit| commit.revision > after) {
            // The receiver is still in hand, so this cannot fail.
            drop(sender.send(Arc::clone(commit)));
        }
        self.followers.push(sender);
        Ok(commits)
    }
}

/// The newest commits.
#[derive(Default)]
struct Backlog {
    commits: VecDeque<Arc<Commit>>,
    /// How many records they wrote.
    changes: usize,
}

impl Backlog {
    /// Holds one more, and lets go of the oldest beyond what is held.
    fn push(&mut self, commit: Arc<Commit>) {
        self.changes += commit.changes.len();
        self.commits.push_back(commit);
        while (self.commits.len() > BACKLOG || self.changes > BACKLOG_CHANGES)
            && let Some(oldest) = self.commits.pop_front()
        {
            self.changes -= oldest.changes.len();
        }
    }
}

/// An asker that has given up is not told.
fn answer(asker: Asker, result: Result<Revision, StoreError>) {
    drop(asker.reply.send(result));
}
