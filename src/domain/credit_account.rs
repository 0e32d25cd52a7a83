//! What a server has in hand of a key's credits: a block that was taken off the
//! stored balance before any of it is spent.
//!
//! So whatever is lost with the server was not granted twice: what is stored as
//! reserved counts as used up for whoever loads it. Pure: time is an argument,
//! and what is to be stored is handed out to be committed.

use std::time::Duration;

use super::clock::Timestamp;
use super::credits::{Balance, Credits, CreditsLeft, CreditsView};

/// The largest block, unless the checks that wait for it take more.
pub const MAX_BLOCK: u64 = 1_000;

/// A block is this part of what there is at most, unless one check takes more: a
/// crash forfeits no more of it.
const BLOCK_PART: u64 = 10;

/// Whether a cost can be taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Look {
    /// It can, and leaves so much.
    Enough(CreditsLeft),
    /// There is not so much.
    Exhausted(CreditsLeft),
    /// There may be so much, but not in hand: wait for the next block.
    Wait,
    /// The key needs no credits any more.
    Unmetered,
}

/// The credits of a key in the hand of a server.
#[derive(Clone, Debug)]
pub struct Account {
    /// What is stored.
    stored: Credits,
    /// How much of what was reserved is not to be had any more.
    spent: u64,
    /// How much of what was reserved is kept back while a change is made.
    withheld: u64,
    /// How many changes are being made: nothing is reserved meanwhile.
    changes: u32,
    /// What checks are waiting for.
    wanted: Wanted,
    /// When the period ends, and what is in hand is void.
    turn: Timestamp,
}

/// What is left of an account while a change is made of it.
#[derive(Clone, Debug)]
pub struct Withheld {
    /// What is stored, and is to be replaced.
    pub stored: Credits,
    /// What there is to be used up.
    pub view: Option<CreditsView>,
    amount: u64,
}

impl Withheld {
    /// How much is kept back.
    #[must_use]
    pub const fn amount(&self) -> u64 {
        self.amount
    }
}

impl Account {
    /// The account that was found in the store at a start. Whatever was
    /// reserved before that is gone.
    #[must_use]
    pub fn load(stored: Credits) -> Self {
        let spent = stored.balance.map_or(0, |balance| balance.reserved);
        Self {
            turn: turn(&stored),
            stored,
            spent,
            withheld: 0,
            changes: 0,
            wanted: Wanted::default(),
        }
    }

    /// The account that was stored since this server was started. What is
    /// reserved in it is this server's to spend.
    #[must_use]
    pub fn open(stored: Credits) -> Self {
        Self {
            spent: 0,
            ..Self::load(stored)
        }
    }

    /// Takes note of what is stored from now on.
    pub fn store(&mut self, stored: Credits) {
        if stored.generation == self.stored.generation {
            self.stored = stored;
        } else {
            let changes = self.changes;
            *self = Self::open(stored);
            self.changes = changes;
        }
        self.wanted = Wanted::default();
    }

    /// Whether `cost` can be taken at `now`.
    pub fn look(&mut self, cost: u64, now: Timestamp) -> Look {
        let Some(balance) = self.stored.balance else {
            return Look::Unmetered;
        };
        if now >= self.turn
            && let Some(filled) = balance.refilled(now)
        {
            let left = left(&filled, filled.free);
            return match cost {
                0 => Look::Enough(left),
                cost if cost > filled.free => exhausted(&filled, filled.free, cost, now),
                _ => self.wait_for(cost),
            };
        }
        let total = self.total(&balance);
        if cost <= self.block(&balance) {
            Look::Enough(left(&balance, total - cost))
        } else if cost > total {
            exhausted(&balance, total, cost, now)
        } else {
            self.wait_for(cost)
        }
    }

    /// Takes `cost`, of which [`Self::look`] has just said that it can be.
    pub fn take(&mut self, cost: u64) {
        if self.stored.balance.is_some() {
            self.spent += cost;
        }
    }

    /// Whether so little is in hand that more should be asked for.
    #[must_use]
    pub fn is_low(&self) -> bool {
        self.stored.balance.is_some_and(|balance| {
            let size = block_size(self.total(&balance));
            balance.free > 0 && self.block(&balance).saturating_mul(4) <= size
        })
    }

    /// What is to be stored before more can be spent; none, if enough is in
    /// hand, or all of it, or a change is being made.
    #[must_use]
    pub fn next(&self, now: Timestamp) -> Option<Credits> {
        if self.changes > 0 {
            return None;
        }
        let balance = self.stored.balance?;
        let (mut next, block, generation) = match balance.refilled(now) {
            Some(filled) => (filled, 0, self.stored.generation + 1),
            None => (balance, self.block(&balance), self.stored.generation),
        };
        let total = next.free + block;
        let wanted = self.wanted.of(total);
        let size = block_size(total).max(wanted);
        let enough = block.saturating_mul(4) > size && block >= wanted;
        let taken = size.saturating_sub(block).min(next.free);
        let is_new = generation > self.stored.generation;
        if (enough || taken == 0) && !is_new {
            return None;
        }
        next.free -= taken;
        next.reserved += taken;
        Some(Credits {
            key: self.stored.key,
            generation,
            balance: Some(next),
        })
    }

    /// Keeps back all that is in hand, so that a change can be made of what
    /// there is at `now`: nothing is spent or reserved until [`Self::give_back`]
    /// or until another generation is stored, and [`Self::resume`].
    pub fn withhold(&mut self, now: Timestamp) -> Withheld {
        let amount = self
            .stored
            .balance
            .map_or(0, |balance| self.block(&balance));
        self.withheld += amount;
        Withheld {
            stored: self.stored.clone(),
            view: self.view(now),
            amount,
        }
    }

    /// Takes back into the hand what was kept back for a change that was
    /// certainly not made. What was kept back for one that may have been made
    /// is lost.
    pub fn give_back(&mut self, withheld: &Withheld) {
        if self.stored.generation == withheld.stored.generation {
            self.withheld = self.withheld.saturating_sub(withheld.amount);
        }
    }

    /// Reserves nothing more, until [`Self::resume`].
    pub const fn pause(&mut self) {
        self.changes += 1;
    }

    /// Reserves again, once for each [`Self::pause`].
    pub const fn resume(&mut self) {
        self.changes = self.changes.saturating_sub(1);
    }

    /// What there is at `now`; none, if the key needs no credits.
    #[must_use]
    pub fn view(&self, now: Timestamp) -> Option<CreditsView> {
        let balance = self.stored.balance?;
        let (shown, total) = match balance.refilled(now) {
            Some(filled) => (filled, filled.free),
            None => (balance, self.total(&balance)),
        };
        Some(CreditsView::of(&shown, total))
    }

    /// Whether it was filled last by a clock that is ahead of `now`.
    #[must_use]
    pub fn is_ahead(&self, now: Timestamp) -> bool {
        let balance = self.stored.balance.as_ref();
        balance.is_some_and(|balance| balance.is_ahead(now))
    }

    /// How much is reserved and neither spent nor kept back.
    fn block(&self, balance: &Balance) -> u64 {
        balance
            .reserved
            .saturating_sub(self.spent)
            .saturating_sub(self.withheld)
    }

    /// All that there is, in hand or not.
    fn total(&self, balance: &Balance) -> u64 {
        balance.free + balance.reserved.saturating_sub(self.spent)
    }

    fn wait_for(&mut self, cost: u64) -> Look {
        self.wanted.add(cost);
        Look::Wait
    }
}

/// What the checks take that wait for the next block.
#[derive(Clone, Copy, Debug, Default)]
struct Wanted {
    /// One of them at most.
    most: u64,
    all: u64,
}

impl Wanted {
    fn add(&mut self, cost: u64) {
        self.most = self.most.max(cost);
        self.all = self.all.saturating_add(cost);
    }

    /// How much of `total` the block has to have: what all of them take, or many
    /// that cost much would pass by one a block; but no more than its part.
    fn of(self, total: u64) -> u64 {
        self.most.max(self.all.min(total / BLOCK_PART))
    }
}

fn turn(stored: &Credits) -> Timestamp {
    let balance = stored.balance.as_ref();
    balance
        .and_then(Balance::refill_time)
        .unwrap_or(Timestamp::from_micros(u64::MAX))
}

/// How large a block is where there is so much.
fn block_size(total: u64) -> u64 {
    (total / BLOCK_PART).clamp(1, MAX_BLOCK)
}

fn left(balance: &Balance, remaining: u64) -> CreditsLeft {
    CreditsLeft {
        remaining,
        refill_time: balance.refill_time(),
        retry_delay: None,
    }
}

/// There is too little for `cost` at `now`; at the next turn there may be more.
fn exhausted(balance: &Balance, remaining: u64, cost: u64, now: Timestamp) -> Look {
    let enough = balance.refill.filter(|refill| cost <= refill.amount);
    let turn = enough.and_then(|_| balance.refill_time());
    let micros = |turn: Timestamp| turn.as_micros().saturating_sub(now.as_micros());
    Look::Exhausted(CreditsLeft {
        retry_delay: turn.map(|turn| Duration::from_micros(micros(turn))),
        ..left(balance, remaining)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::credits::{Period, Refill};
    use super::super::id::KeyId;
    use super::*;

    #[test]
    fn many_that_cost_much_need_not_pass_by_one_a_block() {
        let mut account = Account::load(stored(1_000_000_000, None));
        let round = |account: &mut Account| {
            let waiting = (0..100).filter(|_| account.look(600, START) == Look::Wait);
            let waiting = waiting.count();
            let next = account.next(START);
            next.into_iter().for_each(|next| account.store(next));
            waiting
        };
        assert_eq!(round(&mut account), 100);
        for _ in 0..100 {
            assert!(matches!(account.look(600, START), Look::Enough(_)));
            account.take(600);
        }
        assert_eq!(account.look(1, START), Look::Wait);
        // No more than a tenth for all of them, unless one takes more.
        let mut small = Account::load(stored(20_000, None));
        round(&mut small);
        assert_eq!(small.stored.balance.unwrap().reserved, 2_000);
        let mut one = Account::load(stored(3_000, None));
        assert_eq!(one.look(600, START), Look::Wait);
        let next = one.next(START).unwrap();
        assert_eq!(next.balance.unwrap().reserved, 600);
    }

    const DAY: u64 = 24 * 60 * 60 * 1_000_000;
    const START: Timestamp = Timestamp::from_micros(20_000 * DAY + DAY / 2);

    fn stored(free: u64, refill: Option<Refill>) -> Credits {
        Credits {
            key: KeyId::generate(START),
            generation: 1,
            balance: Some(Balance::new(free, refill, START)),
        }
    }

    const fn daily(amount: u64) -> Option<Refill> {
        Some(Refill {
            period: Period::Day,
            amount,
        })
    }

    /// How a change that somebody decides comes out.
    #[derive(Clone, Copy, Debug)]
    enum Outcome {
        Made,
        /// It is certain that it was not made.
        NotMade,
        /// Nobody knows, and the server goes on without a store; then it is
        /// started again. Whether it was made.
        NotKnown(bool),
    }

    #[derive(Clone, Debug)]
    enum Step {
        Spend(u64),
        /// The next block is stored, if one is to be.
        Reserve,
        Set(u64, Option<Refill>, Outcome),
        Adjust(i64, Outcome),
        Pass(u64),
        Crash,
        /// What is in hand is given back before a stop.
        Stop,
    }

    fn outcome() -> impl Strategy<Value = Outcome> {
        prop_oneof![
            6 => Just(Outcome::Made),
            2 => Just(Outcome::NotMade),
            1 => any::<bool>().prop_map(Outcome::NotKnown),
        ]
    }

    fn step() -> impl Strategy<Value = Step> {
        let refill = prop_oneof![Just(None), (1..3_000_u64).prop_map(daily)];
        prop_oneof![
            20 => prop_oneof![Just(1), 0..9_u64, 0..3_000_u64].prop_map(Step::Spend),
            6 => Just(Step::Reserve),
            1 => (0..20_000_u64, refill, outcome())
                .prop_map(|(free, refill, outcome)| Step::Set(free, refill, outcome)),
            2 => (-3_000..3_000_i64, outcome())
                .prop_map(|(delta, outcome)| Step::Adjust(delta, outcome)),
            1 => (1..DAY).prop_map(Step::Pass),
            1 => Just(Step::Crash),
            1 => Just(Step::Stop),
        ]
    }

    /// A store, a server's account over it, and what would be there if nothing
    /// was ever lost.
    struct World {
        stored: Credits,
        account: Account,
        now: Timestamp,
        exact: u64,
        /// The most that one crash may lose.
        block: u64,
    }

    impl World {
        fn new(stored: Credits) -> Self {
            Self {
                account: Account::load(stored.clone()),
                now: START,
                exact: stored.balance.unwrap().free,
                block: 0,
                stored,
            }
        }

        fn view(&self) -> CreditsView {
            self.account.view(self.now).unwrap()
        }

        /// The slow way to know what there is: one number.
        fn pass(&mut self, micros: u64) {
            let before = Period::Day.number(self.now);
            self.now = Timestamp::from_micros(self.now.as_micros() + micros);
            if let Some(refill) = self.view().refill
                && Period::Day.number(self.now) > before
            {
                self.exact = refill.amount;
            }
        }

        fn commit(&mut self, next: Credits) {
            self.stored = next.clone();
            self.account.store(next);
        }

        fn reserve(&mut self) -> bool {
            let Some(next) = self.account.next(self.now) else {
                return false;
            };
            self.block = self
                .block
                .max(block_size(self.exact))
                .max(self.account.wanted.of(self.exact));
            self.commit(next);
            true
        }

        fn spend(&mut self, cost: u64) {
            for _ in 0..3 {
                match self.account.look(cost, self.now) {
                    Look::Enough(left) => {
                        self.account.take(cost);
                        self.exact = self.exact.checked_sub(cost).expect("granted too much");
                        assert_eq!(left.remaining, self.exact);
                        return;
                    }
                    Look::Exhausted(left) => {
                        assert!(cost > self.exact, "denied what there was");
                        assert_eq!(left.remaining, self.exact);
                        return;
                    }
                    Look::Unmetered => panic!("it has credits"),
                    Look::Wait => assert!(self.reserve(), "it waits for nothing"),
                }
            }
            panic!("the block that it waited for was not enough");
        }

        fn change(&mut self, exact: u64, refill: Option<Refill>, outcome: Outcome) {
            self.account.pause();
            let withheld = self.account.withhold(self.now);
            assert_eq!(withheld.view.unwrap().balance, self.exact);
            assert_eq!(self.account.next(self.now), None);
            let next = Credits {
                generation: withheld.stored.generation + 1,
                balance: Some(Balance::new(exact, refill, self.now)),
                ..withheld.stored.clone()
            };
            match outcome {
                Outcome::Made => {
                    self.commit(next);
                    self.exact = exact;
                }
                Outcome::NotMade => self.account.give_back(&withheld),
                Outcome::NotKnown(made) => {
                    // Nothing can be had that may have been stored as free.
                    assert!(!matches!(self.account.look(1, self.now), Look::Enough(_)));
                    if made {
                        self.stored = next;
                        self.exact = exact;
                    }
                    self.crash();
                }
            }
            self.account.resume();
        }

        fn crash(&mut self) {
            self.account = Account::load(self.stored.clone());
            let left = self.view().balance;
            let lost = self.exact.checked_sub(left).expect("a crash gave credits");
            assert!(
                lost <= self.block,
                "lost {lost} of blocks of {}",
                self.block
            );
            self.exact = left;
        }

        fn stop(&mut self) {
            let (exact, refill) = (self.exact, self.view().refill);
            self.change(exact, refill, Outcome::Made);
            self.crash();
            assert_eq!(self.exact, exact, "a stop loses nothing");
        }

        fn step(&mut self, step: Step) {
            match step {
                Step::Spend(cost) => self.spend(cost),
                Step::Reserve => drop(self.reserve()),
                Step::Set(exact, refill, outcome) => self.change(exact, refill, outcome),
                Step::Adjust(delta, outcome) => {
                    let exact = self.exact.saturating_add_signed(delta);
                    self.change(exact, self.view().refill, outcome);
                }
                Step::Pass(micros) => self.pass(micros),
                Step::Crash => self.crash(),
                Step::Stop => self.stop(),
            }
            assert_eq!(self.view().balance, self.exact);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]
        #[test]
        fn an_account_is_a_number_that_crashes_take_a_block_from(
            free in 0..20_000_u64,
            refill in prop_oneof![Just(None), (1..3_000_u64).prop_map(daily)],
            steps in proptest::collection::vec(step(), 1..120),
        ) {
            let mut world = World::new(stored(free, refill));
            for step in steps {
                world.step(step);
            }
        }
    }

    #[test]
    fn blocks_are_a_part_of_what_there_is() {
        for (total, size) in [
            (0, 1),
            (9, 1),
            (10, 1),
            (99, 9),
            (10_000, 1_000),
            (u64::MAX, 1_000),
        ] {
            assert_eq!(block_size(total), size, "{total}");
        }
    }

    #[test]
    fn few_blocks_do_for_many_checks() {
        let mut world = World::new(stored(100_000, None));
        let mut blocks = 0;
        for _ in 0..100_000 {
            if world.account.is_low() && world.reserve() {
                blocks += 1;
            }
            assert!(matches!(world.account.look(1, START), Look::Enough(_)));
            world.spend(1);
        }
        assert!(matches!(world.account.look(1, START), Look::Exhausted(_)));
        assert!(blocks < 250, "{blocks} blocks");
    }

    #[test]
    fn a_look_costs_nothing_and_waits_for_nothing() {
        let mut account = Account::load(stored(5, daily(7)));
        assert!(matches!(account.look(0, START), Look::Enough(left) if left.remaining == 5));
        let tomorrow = Timestamp::from_micros(START.as_micros() + DAY);
        assert!(matches!(account.look(0, tomorrow), Look::Enough(left) if left.remaining == 7));
        assert!(matches!(account.look(8, tomorrow), Look::Exhausted(_)));
        assert!(matches!(account.look(7, tomorrow), Look::Wait));
        assert_eq!(account.view(tomorrow).unwrap().balance, 7);
    }
}
