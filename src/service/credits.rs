//! Reserves credits in blocks, so that no check writes to the store.
//!
//! A task of its own stores that the next block of an account is taken off, for
//! many accounts at once. Nobody waits for it but a check that finds nothing in
//! hand.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};
use tracing::{debug, info, warn};

use crate::domain::clock::{Clock, Timestamp};
use crate::domain::credits::{Balance, Credits};
use crate::index::Index;
use crate::index::credits::{AccountNews, CreditAccount, Hold, Stake};
use crate::meter;
use crate::store::{Store, StoreError, Versioned};

/// How long a check waits for a block at most, if its caller waits as long.
pub const PATIENCE: Duration = Duration::from_secs(3);

/// How many accounts are in one commit: all of it has to fit.
const MAX_ACCOUNTS: usize = 512;

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
            Err(next) => wait = next,
        }
    }
}

/// Stores what is taken off accounts, and gives back at the end what is left.
#[derive(Debug)]
pub struct Reserver {
    store: Arc<dyn Store>,
    index: Arc<Index>,
    clock: Arc<dyn Clock>,
    asked: mpsc::UnboundedReceiver<Arc<CreditAccount>>,
}

impl Reserver {
    /// A reserver for the accounts of `index`, and where to ask it.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, index: Arc<Index>, clock: Arc<dyn Clock>) -> (Desk, Self) {
        let (ask, asked) = mpsc::unbounded_channel();
        let reserver = Self {
            store,
            index,
            clock,
            asked,
        };
        (Desk(ask), reserver)
    }

    /// Serves the desk, in a task of its own. Must be called in a runtime.
    #[must_use]
    pub fn start(self) -> Reserving {
        let (stop, stopping) = watch::channel(false);
        Reserving {
            stop,
            task: tokio::spawn(self.run(stopping)),
        }
    }

    /// Serves the desk until `stop` comes; then gives back what is left.
    async fn run(mut self, mut stop: watch::Receiver<bool>) {
        let mut accounts = Vec::with_capacity(MAX_ACCOUNTS);
        loop {
            let number = tokio::select! {
                biased;
                () = told(&mut stop) => 0,
                number = self.asked.recv_many(&mut accounts, MAX_ACCOUNTS) => number,
            };
            if number == 0 {
                break;
            }
            self.reserve_for(&accounts).await;
            accounts.clear();
        }
        self.give_back_all().await;
    }

    /// Reserves the next block of each, in one commit; those that were changed
    /// meanwhile by themselves, so that they hold up no other.
    async fn reserve_for(&self, accounts: &[Arc<CreditAccount>]) {
        match self.reserve_at_once(accounts).await {
            Ok(()) => {}
            Err(error) if error.retryable() => {
                for account in accounts {
                    self.reserve_one(account).await;
                }
            }
            Err(error) => fail(accounts, &error),
        }
    }

    async fn reserve_one(&self, account: &Arc<CreditAccount>) {
        let alone = std::slice::from_ref(account);
        for _ in 0..MAX_TRIES {
            match self.reserve_at_once(alone).await {
                Ok(()) => return,
                Err(error) if error.retryable() => tokio::task::yield_now().await,
                Err(error) => return fail(alone, &error),
            }
        }
        account.retry();
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

    /// Stores that what is in hand is free again, once no check can spend it.
    async fn give_back_all(&self) {
        let now = self.clock.now();
        let accounts = self.index.all_credits();
        let pauses: Vec<_> = accounts.iter().map(CreditAccount::pause).collect();
        let holds: Vec<_> = accounts
            .iter()
            .map(|account| account.withhold(now))
            .filter(|hold| !hold.is_empty())
            .collect();
        let mut given_back = 0;
        for holds in holds.chunks(MAX_ACCOUNTS) {
            let freed = holds.iter().filter_map(|hold| freed(hold, now)).collect();
            match self.commit(freed).await {
                Ok(()) => given_back += holds.len(),
                Err(error) => warn!(%error, accounts = holds.len(), "credits in hand are lost"),
            }
        }
        drop(pauses);
        info!(accounts = given_back, "credits in hand given back");
    }
}

/// A reserver at work.
#[derive(Debug)]
pub struct Reserving {
    stop: watch::Sender<bool>,
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
    /// that. Nobody must spend any more.
    pub async fn give_back(mut self) {
        self.stop.send_replace(true);
        self.ended().await;
    }
}

/// Returns when it is said that nobody spends any more.
async fn told(stop: &mut watch::Receiver<bool>) {
    // Whoever could say so has gone.
    let _ = stop.wait_for(|stop| *stop).await;
}

/// What is to be stored once all that is held is free.
fn freed(hold: &Hold, now: Timestamp) -> Option<Versioned<Credits>> {
    let (stored, view) = (hold.stored(), hold.view()?);
    Some(Versioned {
        record: Credits {
            key: stored.key,
            generation: stored.generation + 1,
            balance: Some(Balance::new(view.balance, view.refill, now)),
        },
        revision: hold.revision(),
    })
}

/// Those who wait are told. That the store is lost is in the log already.
fn fail(accounts: &[Arc<CreditAccount>], error: &StoreError) {
    debug!(%error, accounts = accounts.len(), "no credits reserved");
    for account in accounts {
        account.fail();
    }
}
