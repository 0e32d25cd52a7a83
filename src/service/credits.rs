//! Reserves credits in blocks, so that no check writes to the store.
//!
//! A task of its own stores that the next block of an account is taken off, for
//! many accounts at once. Nobody waits for it but a check that finds nothing in
//! hand.

mod ahead;
mod giving_back;

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};
use tracing::debug;

use crate::domain::clock::Clock;
use crate::domain::credits::Credits;
use crate::domain::id::KeyId;
use crate::index::Index;
use crate::index::credits::{AccountNews, CreditAccount, Stake};
use crate::meter;
use crate::store::{RecordId, Store, StoreError, Versioned};

/// How long a check waits for a block at most, if its caller waits as long.
pub const PATIENCE: Duration = Duration::from_secs(3);

/// How many accounts are in one commit: all of it has to fit.
const MAX_ACCOUNTS: usize = 512;

/// How many commits are under way at once: as many as the writer has share a
/// sync when all are full, which is what the turn of a day brings.
const MAX_COMMITS: usize = 8;

/// How often an account is tried again that others keep changing, before those
/// who wait for it are left to ask again.
const MAX_TRIES: usize = 4;

/// A key's credits have a say in whether a check is spent, if it has some.
impl meter::Stake for Option<Stake<'_>> {
    fn can(&mut self, cost: u32) -> bool {
        self.as_mut().is_none_or(|stake| stake.can(u64::from(cost)))
    }

    fn take(&mut self, cost: u32) {
        if let Some(stake) = self {
            stake.take(u64::from(cost));
        }
    }
}

/// Where blocks are asked for. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Desk(mpsc::UnboundedSender<Arc<CreditAccount>>);

impl Desk {
    /// Asks for the next block of `account`. Does not wait. An account is in
    /// the queue once at most, which bounds it.
    pub fn ask(&self, account: &Arc<CreditAccount>) {
        // Without one who reserves, those who wait are told in time.
        let _ = self.0.send(Arc::clone(account));
    }
}

/// What a check waits for that found nothing in hand.
#[derive(Debug)]
pub struct Wait(pub(super) watch::Receiver<AccountNews>);

/// The credits that a check needs are not to be had in time, and whether there
/// are enough of them is not known.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CreditsUndecided;

/// Tries again whenever there is news, until `deadline`.
///
/// # Errors
///
/// [`CreditsUndecided`], if nothing came of it by then, or nothing can.
pub async fn until_decided<T>(
    mut wait: Wait,
    deadline: Instant,
    mut again: impl FnMut() -> Result<T, Wait>,
) -> Result<T, CreditsUndecided> {
    loop {
        let news = timeout_at(deadline, wait.0.changed()).await;
        let is_new = matches!(news, Ok(Ok(())));
        if !is_new || *wait.0.borrow() == AccountNews::Failed {
            return Err(CreditsUndecided);
        }
        match again() {
            Ok(decided) => return Ok(decided),
            // News that are always there would never let the time pass.
            Err(_) if Instant::now() >= deadline => return Err(CreditsUndecided),
            Err(next) => wait = next,
        }
    }
}

/// Stores what is taken off accounts, and gives back at the end what is left.
#[derive(Debug)]
pub struct Reserver {
    teller: Teller,
    asked: mpsc::UnboundedReceiver<Arc<CreditAccount>>,
}

impl Reserver {
    /// A reserver for the accounts of `index`, and where to ask it.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, index: Arc<Index>, clock: Arc<dyn Clock>) -> (Desk, Self) {
        let (ask, asked) = mpsc::unbounded_channel();
        let teller = Teller {
            store,
            index,
            clock,
        };
        (Desk(ask), Self { teller, asked })
    }

    /// Serves the desk, in a task of its own, and warns of credits that a clock
    /// which was ahead has filled. Must be called in a runtime.
    #[must_use]
    pub fn start(self) -> Reserving {
        ahead::warn_of_any(&self.teller.index, self.teller.clock.now());
        let (stop, stopping) = watch::channel(None);
        Reserving {
            stop,
            task: tokio::spawn(self.run(stopping)),
        }
    }

    /// Serves the desk until `stop` comes; then gives back what is left.
    async fn run(self, mut stop: watch::Receiver<Option<Instant>>) {
        let Self { teller, mut asked } = self;
        let mut under_way = FuturesUnordered::new();
        let mut accounts = Vec::with_capacity(MAX_ACCOUNTS);
        let deadline = loop {
            tokio::select! {
                biased;
                deadline = told(&mut stop) => break deadline,
                Some(()) = under_way.next() => {}
                number = asked.recv_many(&mut accounts, MAX_ACCOUNTS),
                    if under_way.len() < MAX_COMMITS =>
                {
                    if number == 0 {
                        // Nobody is left to ask, nor to say when to stop.
                        break None;
                    }
                    under_way.push(teller.reserve_for(accounts.split_off(0)));
                }
            }
        };
        let deadline = deadline.unwrap_or_else(|| Instant::now() + PATIENCE);
        // So that what is given back is taken off what is stored then.
        let all = async { while under_way.next().await.is_some() {} };
        // What is not done by then is forfeited below.
        let _ = timeout_at(deadline, all).await;
        giving_back::all(&teller, deadline).await;
    }
}

/// Commits what becomes of accounts.
#[derive(Debug)]
struct Teller {
    store: Arc<dyn Store>,
    index: Arc<Index>,
    clock: Arc<dyn Clock>,
}

impl Teller {
    /// Reserves the next block of each, in one commit. Those that were changed
    /// meanwhile are taken out of it, so that they hold up no other, and have a
    /// commit of their own after it.
    async fn reserve_for(&self, mut accounts: Vec<Arc<CreditAccount>>) {
        for _ in 0..MAX_TRIES {
            let mut changed = Vec::new();
            while let Err(error) = self.reserve_at_once(&accounts).await {
                let Some(place) = conflicting(&error, &accounts, |account| account.key()) else {
                    accounts.append(&mut changed);
                    return fail(&accounts, &error);
                };
                changed.push(accounts.swap_remove(place));
            }
            if changed.is_empty() {
                return;
            }
            accounts = changed;
            tokio::task::yield_now().await;
        }
        accounts.iter().for_each(|account| account.retry());
    }

    /// Returns when those who wait can go on.
    async fn reserve_at_once(&self, accounts: &[Arc<CreditAccount>]) -> Result<(), StoreError> {
        let now = self.clock.now();
        let next: Vec<_> = accounts
            .iter()
            .filter_map(|account| account.next(now))
            .collect();
        self.commit(next).await
    }

    async fn commit(&self, next: Vec<Versioned<Credits>>) -> Result<(), StoreError> {
        if next.is_empty() {
            return Ok(());
        }
        let number = next.len();
        let revision = self.store.reserve(next).await?;
        debug!(accounts = number, %revision, "credits stored");
        // So that the next block is taken off what is stored then.
        self.index
            .reached(revision)
            .await
            .map_err(|_| StoreError::OutcomeUnknown)
    }
}

/// The place of the one among `accounts` that was changed meanwhile; none, if
/// that is not why their commit was refused.
fn conflicting<T>(error: &StoreError, accounts: &[T], key: impl Fn(&T) -> KeyId) -> Option<usize> {
    let StoreError::Conflict(RecordId::Credits(changed)) = error else {
        return None;
    };
    accounts.iter().position(|account| key(account) == *changed)
}

/// A reserver at work.
#[derive(Debug)]
pub struct Reserving {
    stop: watch::Sender<Option<Instant>>,
    task: JoinHandle<()>,
}

impl Reserving {
    /// Returns when it works no more, though nobody has told it to stop.
    pub async fn ended(&mut self) {
        if !self.task.is_finished() {
            // That it has panicked is in the log.
            let _ = (&mut self.task).await;
        }
    }

    /// Returns when what is in hand is free again, as far as the store takes
    /// that by `deadline`, or in two seconds if that is later: the rest is
    /// forfeited. Nobody must spend any more.
    pub async fn give_back(mut self, deadline: Instant) {
        // Calls that took all of the time at a stop leave credits a little.
        let least = Instant::now() + giving_back::LEAST;
        self.stop.send_replace(Some(deadline.max(least)));
        self.ended().await;
    }
}

/// Returns when it is said that nobody spends any more, with the time by which
/// to be done.
async fn told(stop: &mut watch::Receiver<Option<Instant>>) -> Option<Instant> {
    // Whoever could say so has gone.
    let told = stop.wait_for(Option::is_some).await;
    told.map_or(None, |deadline| *deadline)
}

/// Those who wait are told. That the store is lost is in the log already.
fn fail(accounts: &[Arc<CreditAccount>], error: &StoreError) {
    debug!(%error, accounts = accounts.len(), "no credits reserved");
    for account in accounts {
        account.fail();
    }
}
