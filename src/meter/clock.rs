//! The clock that limits go by: time since the machine was started, which
//! nobody sets, and which goes on while the machine sleeps.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::time::{ClockId, clock_gettime};

use crate::domain::window::Moment;

/// A source of the present moment.
pub trait BootClock: Send + Sync + fmt::Debug {
    /// The present moment, never earlier than one that was given before.
    fn now(&self) -> Moment;
}

/// The machine's own.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemBootClock;

impl BootClock for SystemBootClock {
    fn now(&self) -> Moment {
        // It does not fail, and is not negative, on any system that has it.
        let time = clock_gettime(ClockId::Boottime);
        let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
        let nanos = u64::try_from(time.tv_nsec).unwrap_or_default();
        Moment::from_micros(seconds * 1_000_000 + nanos / 1_000)
    }
}

/// A clock that stands until it is set: for tests.
#[derive(Debug)]
pub struct ManualBootClock(AtomicU64);

impl ManualBootClock {
    /// A clock that stands at `now`.
    #[must_use]
    pub const fn at(now: Moment) -> Self {
        Self(AtomicU64::new(now.as_micros()))
    }

    /// Sets the clock.
    pub fn set(&self, now: Moment) {
        self.0.store(now.as_micros(), Ordering::SeqCst);
    }
}

impl BootClock for ManualBootClock {
    fn now(&self) -> Moment {
        Moment::from_micros(self.0.load(Ordering::SeqCst))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_s_clock_goes_forward() {
        let first = SystemBootClock.now();
        std::thread::sleep(std::time::Duration::from_millis(2));
        let second = SystemBootClock.now();
        let passed = second.as_micros() - first.as_micros();
        assert!((2_000..60_000_000).contains(&passed), "{passed}");
    }
}
