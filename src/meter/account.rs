//! What one owner has spent of its limits, behind a lock of its own.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::domain::due::Reading;
use crate::domain::limit::{LimitName, Window};
use crate::domain::window::{Moment, Ring};

/// The counts of one owner.
#[derive(Debug, Default)]
pub(super) struct Account {
    /// Held for as long as it takes to look at some counts and add to them:
    /// nothing is awaited, and nothing is done that can take long.
    state: Mutex<State>,
}

impl Account {
    /// A panic of another holder has left the counts whole: whatever was
    /// counted is, and no count is changed in two steps.
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether somebody has it now.
    #[cfg(test)]
    pub(super) fn is_locked(&self) -> bool {
        self.state.try_lock().is_err()
    }
}

/// What the lock guards.
#[derive(Debug, Default)]
pub(super) struct State {
    /// Whether this account is given up: whoever waited for the lock has to
    /// find the owner's account anew, or what it counts would be lost.
    pub(super) retired: bool,
    counters: Vec<Counter>,
}

/// The count of one limit.
#[derive(Debug)]
struct Counter {
    name: LimitName,
    ring: Ring,
}

impl State {
    /// What counts now of the limit.
    pub(super) fn used(&mut self, of: &Reading, now: Moment) -> u64 {
        self.find(of.limit.name).map_or(0, |ring| {
            ring.advance(of.limit.window, now);
            ring.used()
        })
    }

    /// Counts `cost`. What counts has been looked at before, at the same `now`.
    pub(super) fn admit(&mut self, to: &Reading, cost: u32, now: Moment) {
        let (name, window) = (to.limit.name, to.limit.window);
        match self.find(name) {
            Some(ring) => ring.admit(cost),
            None => self.add(name, window, now).admit(cost),
        }
    }

    /// Writes into `reading` how the limit stands, for a check of `cost`. What
    /// counts has been looked at before, at the same `now`.
    pub(super) fn tell(&mut self, reading: &mut Reading, cost: u32, now: Moment) {
        let limit = reading.limit;
        let Some(ring) = self.find(limit.name) else {
            return;
        };
        let left = u64::from(limit.count).saturating_sub(ring.used());
        reading.remaining = u32::try_from(left).unwrap_or(limit.count);
        reading.retry = ring
            .wait(now, cost.max(1), limit.count)
            .filter(|wait| !wait.is_zero());
        reading.reset = ring.reset(now);
    }

    /// Lets go of the counts that are empty, and tells when the last of the
    /// others is; none: there are no others.
    pub(super) fn prune(&mut self, now: Moment) -> Option<Moment> {
        self.counters
            .retain(|counter| counter.ring.empty_at() > now);
        let ends = self.counters.iter().map(|counter| counter.ring.empty_at());
        ends.max()
    }

    fn find(&mut self, name: LimitName) -> Option<&mut Ring> {
        let counters = self.counters.iter_mut();
        let mut found = counters.filter(|counter| counter.name == name);
        found.next().map(|counter| &mut counter.ring)
    }

    fn add(&mut self, name: LimitName, window: Window, now: Moment) -> &mut Ring {
        // Most owners have one or two, and a count is not small.
        self.counters.reserve_exact(1);
        let ring = Ring::new(window, now);
        &mut self.counters.push_mut(Counter { name, ring }).ring
    }
}
