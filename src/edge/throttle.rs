//! Keeps what strangers can cause from filling the log: one line each while,
//! with the number of those withheld.

use std::sync::Mutex;
use std::time::{Duration, Instant};

/// How long a line keeps further ones of its kind away.
const PAUSE: Duration = Duration::from_secs(10);

/// Lets one event in a while pass.
#[derive(Debug, Default)]
pub(super) struct Throttle {
    // Held for a comparison, and off the path of calls that are answered.
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    quiet_until: Option<Instant>,
    withheld: u64,
}

impl Throttle {
    /// Whether an event may be logged now, and if so, how many have been
    /// withheld since the last that was.
    pub(super) fn pass(&self) -> Option<u64> {
        self.pass_at(Instant::now())
    }

    fn pass_at(&self, now: Instant) -> Option<u64> {
        // What a panic left behind is a count as good as any.
        let mut state = self
            .state
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        if state.quiet_until.is_some_and(|until| now < until) {
            state.withheld += 1;
            return None;
        }
        state.quiet_until = Some(now + PAUSE);
        Some(std::mem::take(&mut state.withheld))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_passes_in_a_while_and_the_rest_is_counted() {
        let throttle = Throttle::default();
        let start = Instant::now();
        assert_eq!(throttle.pass_at(start), Some(0));
        for _ in 0..5 {
            assert_eq!(throttle.pass_at(start + PAUSE / 2), None);
        }
        assert_eq!(throttle.pass_at(start + PAUSE), Some(5));
        assert_eq!(throttle.pass_at(start + PAUSE), None);
        assert_eq!(throttle.pass_at(start + 3 * PAUSE), Some(1));
    }
}
