//! The credits of a key, which all of its tokens share: spent in memory, under
//! a lock of the key's own that is held for a few instructions.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::domain::clock::Timestamp;
use crate::domain::credit_account::{Account, Look, Withheld};
use crate::domain::credits::{Credits, CreditsLeft, CreditsView};
use crate::domain::id::KeyId;
use crate::store::{Revision, Versioned};

/// What those who wait for an account are told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AccountNews {
    /// Something is stored that was not before: try again.
    Stored,
    /// The store takes nothing: it will not get better.
    Failed,
}

/// The credits of a key.
#[derive(Debug)]
pub struct CreditAccount {
    key: KeyId,
    /// Never held while anything is awaited.
    state: Mutex<State>,
    news: watch::Sender<AccountNews>,
}

#[derive(Debug)]
struct State {
    account: Account,
    /// The commit that stored it.
    revision: Revision,
    /// Whether the next block was asked for, and there is no answer yet.
    asked: bool,
}

/// What came of a try to spend, and what it takes to go on.
#[derive(Debug)]
pub enum CreditsSpent {
    /// It is spent.
    Done(CreditsLeft),
    /// There is not so much, and nothing was spent.
    Exhausted(CreditsLeft),
    /// The key needs no credits any more.
    Unmetered,
    /// There may be so much, but not in hand: wait for news, then try again.
    Wait(watch::Receiver<AccountNews>),
}

impl CreditsSpent {
    /// What is left, if that was looked at.
    #[must_use]
    pub fn left(self) -> Option<CreditsLeft> {
        match self {
            Self::Done(left) | Self::Exhausted(left) => Some(left),
            Self::Unmetered | Self::Wait(_) => None,
        }
    }
}

impl CreditAccount {
    /// The account that was found in the store at a start.
    pub(super) fn load(stored: Credits, revision: Revision) -> Self {
        Self::new(Account::load(stored.clone()), stored.key, revision)
    }

    /// An account that was stored since.
    pub(super) fn open(stored: Credits, revision: Revision) -> Self {
        Self::new(Account::open(stored.clone()), stored.key, revision)
    }

    fn new(account: Account, key: KeyId, revision: Revision) -> Self {
        Self {
            key,
            state: Mutex::new(State {
                account,
                revision,
                asked: false,
            }),
            news: watch::Sender::new(AccountNews::Stored),
        }
    }

    /// The id of the key.
    #[must_use]
    pub const fn key(&self) -> KeyId {
        self.key
    }

    /// Takes note of what is stored from now on, and wakes who waits for it.
    pub(super) fn store(&self, stored: Credits, revision: Revision) {
        let mut state = self.lock();
        state.account.store(stored);
        state.revision = revision;
        state.asked = false;
        drop(state);
        self.news.send_replace(AccountNews::Stored);
    }

    /// Tells who waits that the next block cannot be had.
    pub fn fail(&self) {
        self.lock().asked = false;
        self.news.send_replace(AccountNews::Failed);
    }

    /// Leaves those who wait to ask again.
    pub fn retry(&self) {
        self.lock().asked = false;
        self.news.send_replace(AccountNews::Stored);
    }

    /// Opens the account for one check, at `now`. It is locked until that ends.
    pub fn stake(&self, now: Timestamp) -> Stake<'_> {
        Stake {
            state: self.lock(),
            news: &self.news,
            now,
            spending: None,
        }
    }

    /// What is to be stored next; none, if nothing is. Whoever asked for it has
    /// his answer then.
    #[must_use]
    pub fn next(&self, now: Timestamp) -> Option<Versioned<Credits>> {
        let mut state = self.lock();
        let next = state.account.next(now);
        if next.is_none() {
            state.asked = false;
        }
        next.map(|record| Versioned {
            record,
            revision: state.revision,
        })
    }

    /// What there is at `now`; none, if the key needs no credits any more.
    #[must_use]
    pub fn view(&self, now: Timestamp) -> Option<CreditsView> {
        self.lock().account.view(now)
    }

    /// Whether it was filled last by a clock that is ahead of `now`: it is not
    /// filled again until that has come.
    #[must_use]
    pub fn is_ahead(&self, now: Timestamp) -> bool {
        self.lock().account.is_ahead(now)
    }

    /// Reserves nothing more while what is returned lives.
    #[must_use]
    pub fn pause(self: &Arc<Self>) -> Pause {
        self.lock().account.pause();
        Pause(Arc::clone(self))
    }

    /// Keeps back what is in hand, so that a change can be made of it, which
    /// replaces what was stored by the revision that is returned.
    #[must_use]
    pub fn withhold(self: &Arc<Self>, now: Timestamp) -> Hold {
        let mut state = self.lock();
        let withheld = state.account.withhold(now);
        Hold {
            account: Arc::clone(self),
            revision: state.revision,
            withheld,
            at_stake: false,
        }
    }

    /// Each change of it is whole before the lock is let go.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An account that one check is about to spend of.
#[derive(Debug)]
pub struct Stake<'a> {
    state: MutexGuard<'a, State>,
    news: &'a watch::Sender<AccountNews>,
    now: Timestamp,
    spending: Option<CreditsSpent>,
}

impl Stake<'_> {
    /// Whether `cost` can be taken now. Takes nothing.
    pub fn can(&mut self, cost: u64) -> bool {
        let (can, spending) = match self.state.account.look(cost, self.now) {
            Look::Enough(left) => (true, CreditsSpent::Done(left)),
            Look::Unmetered => (true, CreditsSpent::Unmetered),
            Look::Exhausted(left) => (false, CreditsSpent::Exhausted(left)),
            // Under the lock, so that no news is missed.
            Look::Wait => (false, CreditsSpent::Wait(self.news.subscribe())),
        };
        self.spending = Some(spending);
        can
    }

    /// Takes `cost`, of which it was just said that it can be.
    pub fn take(&mut self, cost: u64) {
        self.state.account.take(cost);
    }

    /// Lets go of the account, and tells what came of it; none, if nobody
    /// looked. `ask` is called if the next block is to be stored: once for each.
    pub fn end(mut self, ask: impl FnOnce()) -> Option<CreditsSpent> {
        let waits = matches!(self.spending, Some(CreditsSpent::Wait(_)));
        let asks = !self.state.asked && (waits || self.state.account.is_low());
        self.state.asked |= asks;
        drop(self.state);
        if asks {
            ask();
        }
        self.spending
    }
}

/// An account of which nothing is reserved, for as long as this lives.
#[derive(Debug)]
pub struct Pause(Arc<CreditAccount>);

impl Drop for Pause {
    fn drop(&mut self) {
        self.0.lock().account.resume();
        // Those who waited ask again.
        self.0.news.send_replace(AccountNews::Stored);
    }
}

/// What is kept back of an account while a change is decided on and made of it.
/// It is given back with this, unless the change may have been made by then.
#[derive(Debug)]
pub struct Hold {
    account: Arc<CreditAccount>,
    revision: Revision,
    withheld: Withheld,
    at_stake: bool,
}

impl Hold {
    /// What is stored, and is to be replaced.
    #[must_use]
    pub const fn stored(&self) -> &Credits {
        &self.withheld.stored
    }

    /// The commit that stored it.
    #[must_use]
    pub const fn revision(&self) -> Revision {
        self.revision
    }

    /// What there is to be used up.
    #[must_use]
    pub const fn view(&self) -> Option<CreditsView> {
        self.withheld.view
    }

    /// Whether anything is kept back.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.withheld.amount() == 0
    }

    /// The account.
    #[must_use]
    pub const fn account(&self) -> &Arc<CreditAccount> {
        &self.account
    }

    /// How much is kept back.
    #[must_use]
    pub const fn amount(&self) -> u64 {
        self.withheld.amount()
    }

    /// From here on the change may be made: what is kept back may be in it, and
    /// is lost with this unless [`Self::give_back`] is called.
    pub const fn put_at_stake(&mut self) {
        self.at_stake = true;
    }

    /// The change was certainly not made.
    pub fn give_back(mut self) {
        self.at_stake = false;
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        if !self.at_stake {
            self.account.lock().account.give_back(&self.withheld);
            self.account.news.send_replace(AccountNews::Stored);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::credits::Balance;

    const NOW: Timestamp = Timestamp::from_micros(1);

    fn account(free: u64, reserved: u64) -> CreditAccount {
        let balance = Balance {
            reserved,
            ..Balance::new(free, None, NOW)
        };
        let stored = Credits {
            key: KeyId::generate(NOW),
            generation: 1,
            balance: Some(balance),
        };
        CreditAccount::open(stored, Revision(1))
    }

    fn spend(account: &CreditAccount, ask: impl FnOnce()) -> Option<CreditsSpent> {
        let mut stake = account.stake(NOW);
        if stake.can(1) {
            stake.take(1);
        }
        stake.end(ask)
    }

    #[test]
    fn to_spend_what_is_in_hand_allocates_nothing() {
        let account = account(9_000, 1_000);
        let allocations = allocation_counter::measure(|| {
            for _ in 0..500 {
                let spending = spend(&account, || panic!("there is enough in hand"));
                assert!(matches!(spending, Some(CreditsSpent::Done(_))));
            }
        });
        assert_eq!(allocations.count_total, 0);
    }

    #[test]
    fn a_block_is_asked_for_once_and_again_after_an_answer() {
        let account = account(9_000, 1_000);
        let asked = std::cell::Cell::new(0);
        let ask = || asked.set(asked.get() + 1);
        while asked.get() == 0 {
            assert!(matches!(spend(&account, ask), Some(CreditsSpent::Done(_))));
        }
        let view = account.view(NOW).unwrap();
        assert!((9_200..=9_250).contains(&view.balance), "{view:?}");
        while !matches!(spend(&account, ask), Some(CreditsSpent::Wait(_))) {}
        assert_eq!(asked.get(), 1);
        account.fail();
        assert!(matches!(spend(&account, ask), Some(CreditsSpent::Wait(_))));
        assert_eq!(asked.get(), 2);
    }

    #[test]
    fn what_is_kept_back_is_there_again_unless_it_may_be_in_a_change() {
        let account = Arc::new(account(9_000, 1_000));
        let can_spend = || matches!(spend(&account, || {}), Some(CreditsSpent::Done(_)));
        let hold = account.withhold(NOW);
        assert!(!can_spend());
        // As by a panic of whoever decides on the change.
        drop(hold);
        assert!(can_spend());
        let mut hold = account.withhold(NOW);
        hold.put_at_stake();
        hold.give_back();
        assert!(can_spend());
        let mut hold = account.withhold(NOW);
        hold.put_at_stake();
        drop(hold);
        assert!(!can_spend());
    }

    #[test]
    fn no_news_is_missed() {
        let account = account(5, 0);
        let Some(CreditsSpent::Wait(news)) = spend(&account, || {}) else {
            panic!("nothing is in hand");
        };
        assert!(!news.has_changed().unwrap());
        let next = account.next(NOW).unwrap();
        account.store(next.record, Revision(2));
        assert!(news.has_changed().unwrap());
        assert!(matches!(
            spend(&account, || {}),
            Some(CreditsSpent::Done(_))
        ));
    }
}
