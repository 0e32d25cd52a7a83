//! Time: the one place that reads the wall clock.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A moment, in microseconds since the Unix epoch, UTC.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The last moment that can be written in RFC 3339: the end of the year
    /// 9999, which is also where `google.protobuf.Timestamp` ends.
    pub const MAX: Self = Self(253_402_300_799_999_999);

    /// The moment so many microseconds after the epoch.
    #[must_use]
    pub const fn from_micros(micros: u64) -> Self {
        Self(micros)
    }

    /// The moment `span` later, or the last one that can be told.
    #[must_use]
    pub fn saturating_add(self, span: Duration) -> Self {
        let micros = u64::try_from(span.as_micros()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(micros))
    }

    /// Microseconds since the epoch.
    #[must_use]
    pub const fn as_micros(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Timestamp {
    /// RFC 3339 in UTC, as in `2026-08-21T09:30:00.25Z`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let micros = i64::try_from(self.0).unwrap_or(i64::MAX);
        match jiff::Timestamp::from_microsecond(micros) {
            Ok(time) => time.fmt(f),
            Err(_) => write!(f, "{micros}us"),
        }
    }
}

/// A source of the present moment.
pub trait Clock: Send + Sync + fmt::Debug {
    /// The present moment, never earlier than one that was given before.
    fn now(&self) -> Timestamp;
}

/// The machine's wall clock, held still while the machine sets it back: a key
/// that has expired must not come to life again.
#[derive(Debug, Default)]
pub struct SystemClock {
    latest: AtomicU64,
}

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the clock")]
    fn now(&self) -> Timestamp {
        let elapsed = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let micros = u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX);
        // The value carries no other memory with it: relaxed is enough. The
        // load first keeps the cache line shared between the check threads.
        if self.latest.load(Ordering::Relaxed) >= micros {
            return Timestamp(self.latest.load(Ordering::Relaxed));
        }
        Timestamp(self.latest.fetch_max(micros, Ordering::Relaxed).max(micros))
    }
}

/// A clock that stands until it is set: for tests.
#[derive(Debug)]
pub struct ManualClock(AtomicU64);

impl ManualClock {
    /// A clock that stands at `now`.
    #[must_use]
    pub const fn at(now: Timestamp) -> Self {
        Self(AtomicU64::new(now.0))
    }

    /// Sets the clock, backwards too.
    pub fn set(&self, now: Timestamp) {
        self.0.store(now.0, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::SeqCst))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_set_back_stands_still() {
        let clock = SystemClock::default();
        let ahead = clock.now().as_micros() + 3_600_000_000;
        clock.latest.store(ahead, Ordering::Relaxed);
        assert_eq!(clock.now().as_micros(), ahead);
        assert_eq!(clock.now().as_micros(), ahead);
    }

    #[test]
    fn times_are_written_in_utc() {
        assert_eq!(
            Timestamp::from_micros(1_798_761_600_000_000).to_string(),
            "2027-01-01T00:00:00Z"
        );
        assert_eq!(
            Timestamp::from_micros(250_000).to_string(),
            "1970-01-01T00:00:00.25Z"
        );
    }
}
