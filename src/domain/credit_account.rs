//! What a server has in hand of a key's credits: a block that was taken off the
//! stored balance before any of it is spent.
//!
//! So whatever is lost with the server was not granted twice: what is stored as
//! reserved counts as used up for whoever loads it. Pure: time is an argument,
//! and what is to be stored is handed out to be committed.

use super::clock::Timestamp;
use super::credits::{Balance, Credits, CreditsLeft, CreditsView};

/// The largest block, unless one check costs more: what a crash forfeits at
/// most.
pub const MAX_BLOCK: u64 = 1_000;

/// A block is this part of what there is: a crash forfeits no more of it.
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
    /// The most that a check is waiting for.
    wanted: u64,
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
            wanted: 0,
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
        self.wanted = 0;
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
                cost if cost > filled.free => Look::Exhausted(left),
                _ => self.wait_for(cost),
            };
        }
        let total = self.total(&balance);
        if cost <= self.block(&balance) {
            Look::Enough(left(&balance, total - cost))
        } else if cost > total {
            Look::Exhausted(left(&balance, total))
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
        let size = block_size(next.free + block).max(self.wanted);
        let enough = block.saturating_mul(4) > size && block >= self.wanted;
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
        Some(CreditsView {
            balance: total,
            refill: shown.refill,
            refill_time: shown.refill_time(),
        })
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
        self.wanted = self.wanted.max(cost);
        Look::Wait
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
    }
}
