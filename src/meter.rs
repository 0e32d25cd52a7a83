//! The meter: all that checks spend, and the one step in which they spend it.
//!
//! What a check is to spend of is looked at first, all of it, behind the locks
//! of its owners; only if everything would pass is anything counted. So a
//! denied check leaves every count as it was, and of many checks at once
//! exactly as many pass as there is room for.
//!
//! Each owner has a lock of its own, and they are taken in a fixed order: that
//! of [`Owners`], then the [`Stake`]'s. No check holds two of one kind, so none
//! waits for another that waits for it. Nothing here is stored: a restart
//! forgets all counts.

pub mod clock;

mod account;
mod accounts;

use std::sync::{Arc, MutexGuard};
use std::{array, io};

use crate::domain::due::{Reading, Source};
use crate::domain::id::KeyId;
use crate::domain::verdict::{PrincipalNumber, WorkspaceNumber};
use crate::domain::window::Moment;

use account::{Account, State};
use accounts::{Accounts, Owner};
use clock::BootClock;

/// How many owners a check can spend of, and the place of each. What most checks
/// can wait for is last, as that is held for the shortest time.
const OWNERS: usize = 3;
const KEY: usize = 0;
const KEY_WITHIN: usize = 1;
const PRINCIPAL: usize = 2;

/// Whose counts a check counts on: each owner that there is, at its place in
/// the order in which they are locked.
#[derive(Clone, Copy, Debug)]
pub struct Owners([Option<Owner>; OWNERS]);

impl Owners {
    /// The counts of this key.
    #[must_use]
    pub const fn of_key(key: KeyId) -> Self {
        Self([Some(Owner::Key(key)), None, None])
    }

    /// The counts of this key, which works in many workspaces, and those that
    /// it has in this one: of limits that are the workspace's, none of another
    /// workspace counts, though it is called the same.
    #[must_use]
    pub const fn of_personal_key(key: KeyId, workspace: WorkspaceNumber) -> Self {
        Self([
            Some(Owner::Key(key)),
            Some(Owner::KeyWithin(key, workspace)),
            None,
        ])
    }

    /// The same, and the counts that all keys of this principal share, wherever
    /// they work.
    #[must_use]
    pub const fn sharing(mut self, principal: PrincipalNumber) -> Self {
        self.0[PRINCIPAL] = Some(Owner::Principal(principal));
        self
    }

    /// The place of the one whose count it is.
    const fn place(&self, source: Source) -> usize {
        match (source, self.0[KEY_WITHIN]) {
            (Source::Principal, _) => PRINCIPAL,
            (Source::Workspace, Some(_)) => KEY_WITHIN,
            (Source::Key | Source::Workspace, _) => KEY,
        }
    }
}

/// One more who has a say in whether a cost is spent, such as a balance. It is
/// locked before it is asked, and stays so until it was told.
pub trait Stake {
    /// Whether `cost` can be taken now. Takes nothing.
    fn can(&mut self, cost: u32) -> bool;

    /// Takes `cost`, of which it was just said that it can be.
    fn take(&mut self, cost: u32);
}

/// Nobody else has a say.
impl Stake for () {
    fn can(&mut self, _: u32) -> bool {
        true
    }

    fn take(&mut self, _: u32) {}
}

/// What came of an attempt to spend.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Spending {
    /// All of it was spent, or there was nothing to spend.
    Passed,
    /// A limit was in the way, and nothing was spent.
    Limited,
    /// The stake was in the way, though no limit was, and nothing was spent.
    Refused,
}

/// Counts what is spent.
#[derive(Clone, Debug)]
pub struct Meter {
    accounts: Arc<Accounts>,
    clock: Arc<dyn BootClock>,
}

impl Meter {
    /// A meter on which nothing was spent yet, with a thread that gives back
    /// the memory of counts that are empty. It ends soon after the meter.
    ///
    /// # Errors
    ///
    /// The system gives no thread.
    pub fn start(clock: Arc<dyn BootClock>) -> io::Result<Self> {
        let (accounts, sweeper) = Accounts::new();
        sweeper.start(Arc::clone(&clock))?;
        Ok(Self { accounts, clock })
    }

    /// Of how many owners there are counts.
    #[must_use]
    pub fn owners(&self) -> usize {
        self.accounts.len()
    }

    /// Spends `cost` of all that `readings` name and of what `stake` opens, or
    /// of nothing; and writes into `readings` how each limit stands then.
    ///
    /// A cost of 0 looks and spends nothing: no limit is in its way. The stake is
    /// handed back as it was left, and still locked.
    pub fn spend<S: Stake>(
        &self,
        owners: Owners,
        readings: &mut [Reading],
        cost: u32,
        stake: impl FnOnce() -> S,
    ) -> (Spending, S) {
        self.step(owners, readings, Cost::Spent(cost), stake)
    }

    /// Whether [`Self::spend`] would spend `cost` now, of which nothing is spent;
    /// and writes into `readings` how each limit stands.
    pub fn try_out<S: Stake>(
        &self,
        owners: Owners,
        readings: &mut [Reading],
        cost: u32,
        stake: S,
    ) -> Spending {
        self.step(owners, readings, Cost::Supposed(cost), || stake)
            .0
    }

    fn step<S: Stake>(
        &self,
        owners: Owners,
        readings: &mut [Reading],
        cost: Cost,
        stake: impl FnOnce() -> S,
    ) -> (Spending, S) {
        loop {
            let accounts: [_; OWNERS] =
                array::from_fn(|place| self.account(owners, place, readings, cost));
            let held = accounts
                .each_ref()
                .map(|account| Some(account.as_ref()?.lock()));
            if held.iter().flatten().any(|state| state.retired) {
                continue;
            }
            // Behind the locks, so that no count is ahead of its clock.
            let now = self.clock.now();
            let mut stake = stake();
            let step = Step {
                owners,
                held,
                cost,
                now,
            };
            let spending = step.take(readings, &mut stake);
            return (spending, stake);
        }
    }

    /// The account of the owner at `place`, if any of the readings is of it.
    /// One that only looks makes none.
    fn account(
        &self,
        owners: Owners,
        place: usize,
        readings: &[Reading],
        cost: Cost,
    ) -> Option<Arc<Account>> {
        let owner = owners.0.get(place).copied()??;
        let mut sources = readings.iter().map(|reading| reading.source);
        if !sources.any(|source| owners.place(source) == place) {
            None
        } else if cost.is_spent() {
            Some(self.accounts.open(owner))
        } else {
            self.accounts.find(owner)
        }
    }
}

/// What a step is to cost.
#[derive(Clone, Copy)]
enum Cost {
    /// It is spent, if it can be.
    Spent(u32),
    /// It is only asked whether it could be.
    Supposed(u32),
}

impl Cost {
    const fn amount(self) -> u32 {
        match self {
            Self::Spent(cost) | Self::Supposed(cost) => cost,
        }
    }

    const fn is_spent(self) -> bool {
        matches!(self, Self::Spent(1..))
    }
}

/// The step in which all is spent, or nothing.
struct Step<'m> {
    owners: Owners,
    held: [Option<MutexGuard<'m, State>>; OWNERS],
    cost: Cost,
    now: Moment,
}

impl Step<'_> {
    fn take(mut self, readings: &mut [Reading], stake: &mut impl Stake) -> Spending {
        let (cost, now) = (self.cost.amount(), self.now);
        let mut spending = Spending::Passed;
        for reading in &mut *readings {
            let count = u64::from(reading.limit.count);
            let used = self.of(reading).map_or(0, |state| state.used(reading, now));
            reading.denied = cost > 0 && used + u64::from(cost) > count;
            if reading.denied {
                spending = Spending::Limited;
            }
        }
        if spending == Spending::Passed && !stake.can(cost) {
            spending = Spending::Refused;
        }
        if spending == Spending::Passed && self.cost.is_spent() {
            for reading in &*readings {
                if let Some(state) = self.of(reading) {
                    state.admit(reading, cost, now);
                }
            }
            stake.take(cost);
        }
        for reading in readings {
            if let Some(state) = self.of(reading) {
                state.tell(reading, cost, now);
            }
        }
        spending
    }

    /// The counts that the limit is among.
    fn of(&mut self, reading: &Reading) -> Option<&mut State> {
        let place = self.owners.place(reading.source);
        self.held.get_mut(place)?.as_deref_mut()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::mem::discriminant;
    use std::sync::Barrier;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::thread;
    use std::time::{Duration, Instant};

    use proptest::prelude::*;

    use super::accounts::Sweeper;
    use super::clock::{ManualBootClock, SystemBootClock};
    use super::*;
    use crate::domain::clock::Timestamp;
    use crate::domain::limit::{Limit, Window};

    fn key() -> KeyId {
        KeyId::generate(Timestamp::from_micros(1))
    }

    fn reading(name: &str, count: u32, seconds: u32) -> Reading {
        Reading {
            limit: Limit {
                name: name.parse().unwrap(),
                count,
                window: Window::from_secs(seconds).unwrap(),
                always: false,
            },
            source: Source::Key,
            denied: false,
            remaining: count,
            retry: None,
            reset: None,
        }
    }

    /// A meter, what sweeps it, and its clock.
    fn swept(now: u64) -> (Meter, Sweeper, Arc<ManualBootClock>) {
        let clock = Arc::new(ManualBootClock::at(Moment::from_micros(now)));
        let (accounts, sweeper) = Accounts::new();
        let meter = Meter {
            accounts,
            clock: clock.clone(),
        };
        (meter, sweeper, clock)
    }

    fn spend(meter: &Meter, key: KeyId, readings: &mut [Reading], cost: u32) -> Spending {
        meter.spend(Owners::of_key(key), readings, cost, || ()).0
    }

    #[test]
    fn a_denied_check_leaves_every_count_as_it_was() {
        let (meter, ..) = swept(0);
        let key = key();
        let both = [reading("read", 10, 60), reading("bulk", 1, 60)];
        assert_eq!(spend(&meter, key, &mut both.clone(), 1), Spending::Passed);
        let mut denied = both;
        assert_eq!(spend(&meter, key, &mut denied, 1), Spending::Limited);
        let told = denied.map(|limit| (limit.denied, limit.remaining));
        assert_eq!(told, [(false, 9), (true, 0)]);
        let mut looked = both;
        assert_eq!(spend(&meter, key, &mut looked, 0), Spending::Passed);
        let told = looked.map(|limit| (limit.denied, limit.remaining, limit.retry.is_some()));
        assert_eq!(told, [(false, 9, false), (false, 0, true)]);
    }

    #[test]
    fn to_look_makes_no_account_and_spending_one() {
        let (meter, ..) = swept(0);
        let key = key();
        assert_eq!(spend(&meter, key, &mut [], 1), Spending::Passed);
        let mut looked = [reading("read", 10, 60)];
        assert_eq!(spend(&meter, key, &mut looked, 0), Spending::Passed);
        assert_eq!((meter.owners(), looked[0].remaining), (0, 10));
        spend(&meter, key, &mut looked, 4);
        assert_eq!((meter.owners(), looked[0].remaining), (1, 6));
        let mut other = [reading("read", 10, 60)];
        spend(&meter, self::key(), &mut other, 1);
        assert_eq!((meter.owners(), other[0].remaining), (2, 9));
    }

    #[test]
    fn to_try_out_tells_what_spending_would_and_spends_nothing() {
        let (meter, ..) = swept(0);
        let key = key();
        let fresh = [reading("read", 10, 60)];
        let tried = |cost| {
            let mut readings = fresh;
            let spending = meter.try_out(Owners::of_key(key), &mut readings, cost, ());
            (spending, readings[0].denied, readings[0].remaining)
        };
        assert_eq!(tried(10), (Spending::Passed, false, 10));
        assert_eq!(tried(11), (Spending::Limited, true, 10));
        assert_eq!(meter.owners(), 0);
        spend(&meter, key, &mut fresh.clone(), 9);
        for _ in 0..3 {
            assert_eq!(tried(1), (Spending::Passed, false, 1));
            assert_eq!(tried(2), (Spending::Limited, true, 1));
        }
        let mut left = 3;
        let refused = meter.try_out(Owners::of_key(key), &mut [], 4, Balance(&mut left));
        let passed = meter.try_out(Owners::of_key(key), &mut [], 3, Balance(&mut left));
        assert_eq!(
            (refused, passed, left),
            (Spending::Refused, Spending::Passed, 3)
        );
    }

    #[test]
    fn more_than_a_limit_lets_pass_at_all_never_passes() {
        let (meter, ..) = swept(0);
        let mut limit = [reading("read", 10, 60)];
        assert_eq!(spend(&meter, key(), &mut limit, 11), Spending::Limited);
        assert_eq!((limit[0].denied, limit[0].retry), (true, None));
        assert_eq!((limit[0].remaining, limit[0].reset), (10, None));
        assert_eq!(
            spend(&meter, key(), &mut limit, u32::MAX),
            Spending::Limited
        );
    }

    /// A balance, as another part of keyward may bring one.
    struct Balance<'b>(&'b mut u32);

    impl Stake for Balance<'_> {
        fn can(&mut self, cost: u32) -> bool {
            *self.0 >= cost
        }

        fn take(&mut self, cost: u32) {
            *self.0 -= cost;
        }
    }

    #[test]
    fn a_stake_and_limits_are_spent_together_or_not_at_all() {
        let (meter, ..) = swept(0);
        let (key, mut balance) = (key(), 5);
        let owners = Owners::of_key(key);
        let mut limit = [reading("read", 4, 60)];
        for (cost, expected, left, remaining) in [
            (3, Spending::Passed, 2, 1),
            (2, Spending::Limited, 2, 1),
            (1, Spending::Passed, 1, 0),
            (0, Spending::Passed, 1, 0),
        ] {
            let (spending, stake) = meter.spend(owners, &mut limit, cost, || Balance(&mut balance));
            assert_eq!((spending, *stake.0), (expected, left));
            assert_eq!(limit[0].remaining, remaining);
        }
        let mut other = [reading("write", 4, 60)];
        let (spending, stake) = meter.spend(owners, &mut other, 2, || Balance(&mut balance));
        assert_eq!((spending, *stake.0), (Spending::Refused, 1));
        assert_eq!((other[0].denied, other[0].remaining), (false, 4));
        // Where no limit counts, the stake alone decides.
        for expected in [Spending::Passed, Spending::Refused] {
            let (spending, stake) = meter.spend(owners, &mut [], 1, || Balance(&mut balance));
            assert_eq!((spending, *stake.0), (expected, 0));
        }
    }

    #[test]
    fn what_a_personal_key_spends_in_one_workspace_is_nothing_to_another() {
        let (meter, _, clock) = swept(0);
        let key = key();
        let within = |workspace, readings: &mut [Reading], cost| {
            let owners = Owners::of_personal_key(key, WorkspaceNumber(workspace));
            meter.spend(owners, readings, cost, || ()).0
        };
        let of_workspace = |count, seconds| Reading {
            source: Source::Workspace,
            ..reading("read", count, seconds)
        };
        let (mut strict, mut lax) = ([of_workspace(2, 3_600)], [of_workspace(100, 1)]);
        assert_eq!(within(1, &mut strict, 2), Spending::Passed);
        assert_eq!(within(2, &mut lax, 100), Spending::Passed);
        clock.set(Moment::from_micros(5_000_000));
        assert_eq!(within(2, &mut lax, 1), Spending::Passed);
        assert_eq!(lax[0].remaining, 99);
        assert_eq!(within(1, &mut strict, 1), Spending::Limited);
        assert_eq!(within(1, &mut strict, 0), Spending::Passed);
        assert_eq!((strict[0].remaining, meter.owners()), (0, 2));
        // A limit of its own is the same wherever it is used.
        let mut own = [reading("own", 1, 3_600)];
        assert_eq!(within(1, &mut own, 1), Spending::Passed);
        assert_eq!(within(2, &mut own, 1), Spending::Limited);
        // To look finds no count of a limit that was never spent here.
        let mut new = [of_workspace(2, 3_600)];
        assert_eq!(within(3, &mut new, 0), Spending::Passed);
        assert_eq!(new[0].remaining, 2);
    }

    /// The same limit, where it is the principal's.
    fn shared(name: &str, count: u32, seconds: u32) -> Reading {
        Reading {
            source: Source::Principal,
            ..reading(name, count, seconds)
        }
    }

    const ADA: PrincipalNumber = PrincipalNumber(1);
    const BOB: PrincipalNumber = PrincipalNumber(2);

    #[test]
    fn locks_are_taken_in_the_order_of_their_kinds() {
        let (key, workspace) = (key(), WorkspaceNumber(7));
        let kinds = |owners: Owners| owners.0.map(|owner| owner.as_ref().map(discriminant));
        let full = Owners::of_personal_key(key, workspace).sharing(ADA);
        let bound = Owners::of_key(key).sharing(ADA);
        // Whoever holds one has all that come before it, and waits for none.
        for (place, kind) in kinds(full).into_iter().enumerate() {
            assert!(kind.is_some());
            for owners in [
                bound,
                Owners::of_key(key),
                Owners::of_personal_key(key, workspace),
            ] {
                let other = kinds(owners)[place];
                assert!(other.is_none() || other == kind, "{owners:?}");
            }
        }
        let places = [Source::Key, Source::Workspace, Source::Principal].map(|of| full.place(of));
        assert_eq!(places, [0, 1, 2]);
        let places = [Source::Key, Source::Workspace, Source::Principal].map(|of| bound.place(of));
        assert_eq!(places, [0, 0, 2]);
    }

    #[test]
    fn all_keys_of_a_principal_spend_of_one_count_wherever_they_work() {
        let (meter, ..) = swept(0);
        let bound = [key(), key()].map(Owners::of_key);
        let personal = key();
        let within =
            [3, 4].map(|number| Owners::of_personal_key(personal, WorkspaceNumber(number)));
        let all = [bound, within].concat();
        for (spent, owners) in all.iter().enumerate() {
            let mut limit = [shared("read", 4, 60)];
            let (spending, ()) = meter.spend(owners.sharing(ADA), &mut limit, 1, || ());
            assert_eq!(spending, Spending::Passed);
            assert_eq!(limit[0].remaining, 3 - u32::try_from(spent).unwrap());
        }
        for owners in all {
            let mut limit = [shared("read", 4, 60)];
            let (spending, ()) = meter.spend(owners.sharing(ADA), &mut limit, 1, || ());
            assert_eq!((spending, limit[0].remaining), (Spending::Limited, 0));
            // The key's own of that name are others, and so is another principal's.
            let mut own = [reading("read", 4, 60)];
            let (spending, ()) = meter.spend(owners.sharing(ADA), &mut own, 0, || ());
            assert_eq!((spending, own[0].remaining), (Spending::Passed, 4));
            let mut others = [shared("read", 4, 60)];
            let (spending, ()) = meter.spend(owners.sharing(BOB), &mut others, 0, || ());
            assert_eq!((spending, others[0].remaining), (Spending::Passed, 4));
        }
        assert_eq!(meter.owners(), 1);
    }

    #[test]
    fn what_is_the_key_s_and_what_is_shared_is_spent_together_or_not_at_all() {
        let (meter, ..) = swept(0);
        let (key, mut balance) = (key(), 4);
        let owners = Owners::of_personal_key(key, WorkspaceNumber(1)).sharing(ADA);
        let of = |own, shared_count, default| {
            let default = Reading {
                source: Source::Workspace,
                ..reading("day", default, 60)
            };
            [
                reading("own", own, 60),
                shared("all", shared_count, 60),
                default,
            ]
        };
        let mut spend = |mut limits: [Reading; 3], cost| {
            let (spending, _) = meter.spend(owners, &mut limits, cost, || Balance(&mut balance));
            let told = limits.map(|limit| (limit.denied, limit.remaining));
            (spending, told.map(|told| told.1), told.map(|told| told.0))
        };
        let none = [false; 3];
        assert_eq!(spend(of(9, 9, 9), 3), (Spending::Passed, [6; 3], none));
        for (limits, left, denied) in [
            (of(4, 9, 9), [1, 6, 6], [true, false, false]),
            (of(9, 4, 9), [6, 1, 6], [false, true, false]),
            (of(9, 9, 4), [6, 6, 1], [false, false, true]),
        ] {
            assert_eq!(spend(limits, 2), (Spending::Limited, left, denied));
        }
        assert_eq!(spend(of(9, 9, 9), 2), (Spending::Refused, [6; 3], none));
        assert_eq!(spend(of(9, 9, 9), 0), (Spending::Passed, [6; 3], none));
        assert_eq!(spend(of(9, 9, 9), 1), (Spending::Passed, [5; 3], none));
    }

    /// Threads that spend of one key and its principal, and of another key of
    /// that, never wait for each other, and no count is above its limit.
    #[test]
    fn keys_that_share_spend_at_once_and_none_waits_for_ever() {
        const THREADS: usize = 8;
        const LIMIT: u32 = 2_000;
        let (meter, ..) = swept(0);
        let (keys, passed) = ([key(), key()], Arc::new(AtomicUsize::new(0)));
        let (done, all_done) = std::sync::mpsc::channel();
        for thread in 0..THREADS {
            let (meter, passed, done) = (meter.clone(), Arc::clone(&passed), done.clone());
            thread::spawn(move || {
                for round in 0..LIMIT {
                    let key = keys[(thread + round as usize / 7) % 2];
                    let owners = if round % 3 == 0 {
                        Owners::of_personal_key(key, WorkspaceNumber(1))
                    } else {
                        Owners::of_key(key)
                    };
                    let own = reading("own", LIMIT, 3_600);
                    let mut limits = [own, shared("all", LIMIT, 3_600)];
                    if round % 2 == 0 {
                        limits.reverse();
                    }
                    let (spending, ()) = meter.spend(owners.sharing(ADA), &mut limits, 1, || ());
                    passed.fetch_add(usize::from(spending == Spending::Passed), Ordering::SeqCst);
                }
                done.send(()).unwrap();
            });
        }
        // They are not joined: what hangs would hang the test.
        for _ in 0..THREADS {
            let patience = Duration::from_secs(60);
            all_done.recv_timeout(patience).expect("a thread hangs");
        }
        assert_eq!(passed.load(Ordering::SeqCst), LIMIT as usize);
        let spent = |owners: Owners, mut limit: [Reading; 1]| {
            meter.spend(owners, &mut limit, 0, || ());
            LIMIT - limit[0].remaining
        };
        let own = keys.map(|key| spent(Owners::of_key(key), [reading("own", LIMIT, 3_600)]));
        assert_eq!(own[0] + own[1], LIMIT);
        let owners = Owners::of_key(keys[0]).sharing(ADA);
        assert_eq!(spent(owners, [shared("all", LIMIT, 3_600)]), LIMIT);
    }

    #[test]
    fn the_memory_of_what_is_shared_is_given_back_too() {
        let (meter, mut sweeper, clock) = swept(0);
        let owners = Owners::of_key(key()).sharing(ADA);
        let mut limits = [reading("own", 5, 3_600), shared("all", 5, 1)];
        assert_eq!(
            meter.spend(owners, &mut limits, 1, || ()).0,
            Spending::Passed
        );
        let mut round = |seconds: u64| {
            clock.set(Moment::from_micros(seconds * 1_000_000));
            sweeper.round(&meter.accounts, clock.now());
            meter.owners()
        };
        assert_eq!((round(1), round(20), round(4_000)), (2, 1, 0));
        let mut again = [shared("all", 5, 1)];
        meter.spend(owners, &mut again, 2, || ());
        assert_eq!((meter.owners(), again[0].remaining), (1, 3));
    }

    #[test]
    fn a_new_definition_finds_what_was_spent() {
        let (meter, _, clock) = swept(0);
        let key = key();
        spend(&meter, key, &mut [reading("read", 10, 60)], 8);
        let mut wider = [reading("read", 10, 3_600)];
        assert_eq!(spend(&meter, key, &mut wider, 3), Spending::Limited);
        assert_eq!(wider[0].remaining, 2);
        clock.set(Moment::from_micros(120_000_000));
        assert_eq!(spend(&meter, key, &mut wider, 3), Spending::Limited);
        let mut narrower = [reading("read", 10, 60)];
        assert_eq!(spend(&meter, key, &mut narrower, 10), Spending::Passed);
    }

    #[test]
    fn idle_memory_is_given_back_and_nothing_before() {
        let (meter, mut sweeper, clock) = swept(1_000_000);
        let mut round = |seconds: u64| {
            clock.set(Moment::from_micros(seconds * 1_000_000));
            sweeper.round(&meter.accounts, clock.now());
            meter.owners()
        };
        let keys: Vec<_> = (0..100).map(|_| key()).collect();
        for (number, key) in keys.iter().enumerate() {
            let seconds = if number < 50 { 20 } else { 3_600 };
            spend(&meter, *key, &mut [reading("read", 10, seconds)], 1);
        }
        // One that spends nothing after all.
        spend(&meter, key(), &mut [reading("read", 10, 60)], 11);
        assert_eq!(round(1), 101);
        assert_eq!(round(12), 100);
        assert_eq!(round(20), 100);
        assert_eq!(round(22), 50);
        assert_eq!(round(100), 50);
        spend(&meter, keys[99], &mut [reading("read", 10, 3_600)], 1);
        assert_eq!(round(3_600), 50);
        assert_eq!(round(3_660), 1);
        assert_eq!(round(3_712), 1);
        assert_eq!(round(3_713), 0);
        spend(&meter, keys[0], &mut [reading("read", 10, 1)], 1);
        assert_eq!(round(3_714), 1);
        assert_eq!(round(3_724), 0);
    }

    #[test]
    fn a_round_of_the_sweeper_is_bounded() {
        let (meter, mut sweeper, clock) = swept(0);
        for _ in 0..10_000 {
            spend(&meter, key(), &mut [reading("read", 10, 1)], 1);
        }
        for _ in 0..3 {
            sweeper.round(&meter.accounts, Moment::from_micros(0));
        }
        clock.set(Moment::from_micros(100_000_000));
        let mut left = Vec::new();
        while sweeper.round(&meter.accounts, clock.now()) {
            left.push(meter.owners());
        }
        assert_eq!((left, meter.owners()), (vec![5_904, 1_808], 0));
    }

    #[test]
    fn who_waits_for_an_account_that_is_let_go_of_spends_of_the_next() {
        let (key, workspace) = (key(), WorkspaceNumber(1));
        let owners = Owners::of_personal_key(key, workspace).sharing(ADA);
        for (owner, source) in [
            (Owner::Key(key), Source::Key),
            (Owner::KeyWithin(key, workspace), Source::Workspace),
            (Owner::Principal(ADA), Source::Principal),
        ] {
            let (meter, ..) = swept(0);
            let spend = |cost| {
                let mut limit = [Reading {
                    source,
                    ..reading("read", 5, 60)
                }];
                let (spending, ()) = meter.spend(owners, &mut limit, cost, || ());
                (spending, limit[0].remaining)
            };
            let account = meter.accounts.open(owner);
            thread::scope(|scope| {
                let mut state = account.lock();
                let waiting = scope.spawn(|| spend(3));
                // It is held by those who know all accounts, by this test, and
                // then by who waits for its lock.
                let end = Instant::now() + Duration::from_secs(30);
                while Arc::strong_count(&account) < 3 {
                    assert!(Instant::now() < end, "nobody comes to {owner:?}");
                    thread::yield_now();
                }
                meter.accounts.retire(owner, &mut state);
                drop(state);
                assert_eq!(waiting.join().unwrap(), (Spending::Passed, 2));
            });
            assert_eq!((spend(0), meter.owners()), ((Spending::Passed, 2), 1));
        }
    }

    /// Accounts are empty and swept just when many threads come to them: each
    /// spends what it can, and exactly as much passes as there is room for.
    #[test]
    fn no_count_is_lost_in_the_race_with_the_sweeper() {
        const THREADS: usize = 4;
        const ROUNDS: u64 = 200;
        let (meter, mut sweeper, clock) = swept(0);
        let keys: Vec<_> = (0..64).map(|_| key()).collect();
        let gate = Barrier::new(THREADS + 1);
        let passed = AtomicUsize::new(0);
        thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| {
                    for _ in 0..ROUNDS {
                        gate.wait();
                        for key in &keys {
                            for _ in 0..3 {
                                let mut limit = [reading("read", 5, 1)];
                                let passes = spend(&meter, *key, &mut limit, 1) == Spending::Passed;
                                passed.fetch_add(usize::from(passes), Ordering::SeqCst);
                            }
                        }
                        gate.wait();
                    }
                });
            }
            for round in 1..=ROUNDS {
                // All is empty again, and about to be swept.
                let now = Moment::from_micros(round * 100_000_000);
                clock.set(now);
                gate.wait();
                sweeper.round(&meter.accounts, now);
                gate.wait();
                let passed = passed.swap(0, Ordering::SeqCst);
                assert_eq!(passed, 5 * keys.len(), "in round {round}");
                assert_eq!(meter.owners(), keys.len());
            }
        });
    }

    #[test]
    fn under_contention_exactly_as_many_pass_as_there_is_room_for() {
        const THREADS: usize = 8;
        const LIMIT: u32 = 1_000;
        let meter = Meter::start(Arc::new(SystemBootClock)).unwrap();
        let key = key();
        let passed = AtomicUsize::new(0);
        thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| {
                    for number in 0..LIMIT {
                        // In either order of the two, and now and then only one.
                        let mut limits =
                            [reading("all", LIMIT, 3_600), reading("read", LIMIT, 3_600)];
                        if number % 2 == 0 {
                            limits.reverse();
                        }
                        let passes = spend(&meter, key, &mut limits, 1) == Spending::Passed;
                        passed.fetch_add(usize::from(passes), Ordering::SeqCst);
                    }
                });
            }
        });
        assert_eq!(passed.into_inner(), LIMIT as usize);
        let mut left = [
            reading("all", LIMIT, 3_600),
            reading("read", LIMIT + 1, 3_600),
        ];
        assert_eq!(spend(&meter, key, &mut left, 1), Spending::Limited);
        assert_eq!(left.map(|limit| limit.remaining), [0, 1]);
    }

    #[test]
    fn the_sweeper_ends_with_its_meter() {
        let meter = Meter::start(Arc::new(SystemBootClock)).unwrap();
        spend(&meter, key(), &mut [reading("read", 10, 60)], 1);
        let accounts = Arc::downgrade(&meter.accounts);
        drop(meter);
        let end = Instant::now() + Duration::from_secs(30);
        while accounts.upgrade().is_some() {
            assert!(Instant::now() < end, "it holds on to the accounts");
            thread::yield_now();
        }
    }

    /// Where a key is used: which it is, in which workspace if it is personal,
    /// and whose it is.
    type Site = (usize, Option<u64>, PrincipalNumber);

    /// Two keys of one principal, a personal one of it in two workspaces, and
    /// one of another principal.
    const SITES: [Site; 5] = [
        (0, None, ADA),
        (1, None, ADA),
        (2, Some(1), ADA),
        (2, Some(2), ADA),
        (3, None, BOB),
    ];

    /// The limits that can count, by name and source: what is the key's and what
    /// is shared are called the same.
    const LIMITS: [(&str, Source); 4] = [
        ("a", Source::Key),
        ("a", Source::Principal),
        ("b", Source::Workspace),
        ("b", Source::Principal),
    ];

    /// The obvious way: everything that was admitted, in a list.
    #[derive(Default)]
    struct Model(HashMap<String, Vec<(u64, u32)>>);

    impl Model {
        /// What a count is called, by whose it is.
        fn name((key, workspace, principal): Site, of: &Reading) -> String {
            let whose = match (of.source, workspace) {
                (Source::Principal, _) => format!("principal {}", principal.0),
                (Source::Workspace, Some(workspace)) => format!("key {key} in {workspace}"),
                (Source::Key | Source::Workspace, _) => format!("key {key}"),
            };
            format!("{whose}: {}", of.limit.name)
        }

        /// What counts at `now`, if a slice counts until it has wholly left.
        fn used(&self, site: Site, of: &Reading, now: u64) -> u64 {
            let slice = u64::from(of.limit.window.as_secs()) * 15_625;
            let counted = self.0.get(&Self::name(site, of)).into_iter().flatten();
            counted
                .filter(|(at, _)| at / slice + 65 > now / slice)
                .map(|(_, cost)| u64::from(*cost))
                .sum()
        }

        fn spend(&mut self, site: Site, limits: &[Reading], cost: u32, now: u64) -> bool {
            let fits = limits
                .iter()
                .all(|of| self.used(site, of, now) + u64::from(cost) <= u64::from(of.limit.count));
            if fits && cost > 0 {
                for of in limits {
                    let log = self.0.entry(Self::name(site, of)).or_default();
                    log.push((now, cost));
                }
            }
            fits || cost == 0
        }
    }

    proptest! {
        #[test]
        fn several_limits_are_spent_as_the_obvious_model_spends_them(
            counts in proptest::collection::vec((1..12_u32, prop_oneof![Just(1_u32), Just(3), Just(60)]), 4),
            asked in proptest::collection::vec(
                (0..5_usize, 1..16_usize, 0..4_u32, prop_oneof![Just(0), 0..40_000_u64, 0..2_000_000_u64, 0..90_000_000_u64]),
                1..150,
            ),
        ) {
            let keys = [key(), key(), key(), key()];
            let (meter, mut sweeper, clock) = swept(0);
            let mut model = Model::default();
            let mut now = 5;
            for (of, which, cost, step) in asked {
                now += step;
                clock.set(Moment::from_micros(now));
                sweeper.round(&meter.accounts, Moment::from_micros(now));
                let mut readings: Vec<_> = counts.iter().zip(LIMITS).enumerate()
                    .filter(|(place, _)| which & (1 << place) != 0)
                    .map(|(_, ((count, seconds), (name, source)))| Reading {
                        source,
                        ..reading(name, *count, *seconds)
                    })
                    .collect();
                let (site, asked) = (SITES[of], readings.clone());
                let (number, workspace, principal) = site;
                let owners = match workspace {
                    Some(workspace) => Owners::of_personal_key(keys[number], WorkspaceNumber(workspace)),
                    None => Owners::of_key(keys[number]),
                };
                let (spending, ()) = meter.spend(owners.sharing(principal), &mut readings, cost, || ());
                let passes = spending == Spending::Passed;
                prop_assert_eq!(passes, model.spend(site, &asked, cost, now));
                for reading in readings {
                    let used = model.used(site, &reading, now);
                    prop_assert_eq!(u64::from(reading.remaining), u64::from(reading.limit.count) - used);
                }
            }
        }
    }
}
