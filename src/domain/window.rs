//! The count of one limit over a sliding window, exact to a slice of it.
//!
//! A window is cut into 64 slices of time. What is admitted is counted in the
//! slice that it falls into, and a slice counts until it has wholly left the
//! window. So in no window of that length, wherever it starts, does more pass
//! than the limit's count, and what was used is given back at most a slice
//! later than it could be: a 64th of the window.

use std::time::Duration;

use super::limit::Window;

/// How many slices a window is cut into.
pub const SLICES: u64 = 64;

/// The slices that count: those within the window, and the one that the start
/// of the window lies in.
const SLOTS: u64 = SLICES + 1;

/// A moment, in microseconds since the machine was started. Nobody sets that
/// clock: it only goes forward, and at the pace of time.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Moment(u64);

impl Moment {
    /// The moment so many microseconds after the start.
    #[must_use]
    pub const fn from_micros(micros: u64) -> Self {
        Self(micros)
    }

    /// Microseconds since the start.
    #[must_use]
    pub const fn as_micros(self) -> u64 {
        self.0
    }

    /// The moment `span` later.
    #[must_use]
    pub fn saturating_add(self, span: Duration) -> Self {
        let micros = u64::try_from(span.as_micros()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(micros))
    }

    const fn until(self, later: u64) -> Duration {
        Duration::from_micros(later.saturating_sub(self.0))
    }
}

/// The length of a slice, in microseconds: a whole number, as a second has a
/// million of them, which 64 divides.
const fn slice_len(window: Window) -> u64 {
    window.as_secs() as u64 * (1_000_000 / SLICES)
}

/// What was admitted of late.
#[derive(Clone, Debug)]
pub struct Ring {
    window: Window,
    /// The number of the slice that is now, counted from the machine's start.
    head: u64,
    /// The number of the last slice in which anything was admitted.
    newest: u64,
    /// The sum of the slots.
    used: u64,
    /// What was admitted in each slice that counts: slice `n` is in slot `n`
    /// modulo their number.
    slots: [u32; SLOTS as usize],
}

impl Ring {
    /// An empty count over `window`.
    #[must_use]
    pub const fn new(window: Window, now: Moment) -> Self {
        let head = now.0 / slice_len(window);
        Self {
            window,
            head,
            newest: head,
            used: 0,
            slots: [0; SLOTS as usize],
        }
    }

    /// Goes on to `now`, over `window`: what has left it counts no more.
    ///
    /// Where the window is another than before, all that was still known goes
    /// on to count, each slice as if all of it had been admitted at its very
    /// end.
    pub fn advance(&mut self, window: Window, now: Moment) {
        if window == self.window {
            self.go_to(now.0 / slice_len(window));
        } else {
            self.recut(window, now);
        }
    }

    /// What counts, as of the last [`Self::advance`].
    #[must_use]
    pub const fn used(&self) -> u64 {
        self.used
    }

    /// Counts `cost` as admitted now, which is when it was last advanced to.
    pub fn admit(&mut self, cost: u32) {
        let head = self.head;
        self.count_in(head, cost);
    }

    /// How long after `now`, to which it was advanced, `cost` would be within
    /// `count` if nothing else were admitted; none: never.
    #[must_use]
    pub fn wait(&self, now: Moment, cost: u32, count: u32) -> Option<Duration> {
        let (cost, count) = (u64::from(cost), u64::from(count));
        let mut used = self.used;
        if used + cost <= count {
            return Some(Duration::ZERO);
        }
        for slice in self.head.saturating_sub(SLICES)..=self.head {
            used -= u64::from(self.slots[slot(slice)]);
            if used + cost <= count {
                return Some(now.until(self.end_of(slice)));
            }
        }
        None
    }

    /// When nothing counts any more, if nothing else is admitted.
    #[must_use]
    pub const fn empty_at(&self) -> Moment {
        if self.used == 0 {
            Moment(0)
        } else {
            Moment(self.end_of(self.newest))
        }
    }

    /// How long after `now` nothing counts any more; none: nothing does.
    #[must_use]
    pub fn reset(&self, now: Moment) -> Option<Duration> {
        (self.used > 0).then(|| now.until(self.empty_at().0))
    }

    /// The moment from which a slice does not count, in microseconds.
    const fn end_of(&self, slice: u64) -> u64 {
        (slice + SLOTS) * slice_len(self.window)
    }

    fn go_to(&mut self, slice: u64) {
        // Never back: whoever read the clock before another may come after it.
        let steps = slice.saturating_sub(self.head);
        for step in 1..=steps.min(SLOTS) {
            let left = &mut self.slots[slot(self.head + step)];
            self.used -= u64::from(*left);
            *left = 0;
        }
        self.head += steps;
    }

    fn count_in(&mut self, slice: u64, cost: u32) {
        let slot = &mut self.slots[slot(slice)];
        let before = *slot;
        *slot = before.saturating_add(cost);
        self.used += u64::from(*slot - before);
        self.newest = self.newest.max(slice);
    }

    fn recut(&mut self, window: Window, now: Moment) {
        let old = self.clone();
        let len = slice_len(old.window);
        let now = now.max(Moment(old.head * len));
        *self = Self::new(window, now);
        self.newest = 0;
        for slice in old.head.saturating_sub(SLICES)..=old.head {
            let admitted = old.slots[slot(slice)];
            let latest = ((slice + 1) * len - 1).min(now.0) / slice_len(window);
            if admitted > 0 && latest + SLOTS > self.head {
                self.count_in(latest, admitted);
            }
        }
    }
}

const fn slot(slice: u64) -> usize {
    (slice % SLOTS) as usize
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn window(seconds: u32) -> Window {
        Window::from_secs(seconds).unwrap()
    }

    /// Admits `cost` if it is within `count`.
    fn spend(ring: &mut Ring, of: Window, now: u64, cost: u32, count: u32) -> bool {
        ring.advance(of, Moment(now));
        let passes = ring.used() + u64::from(cost) <= u64::from(count);
        if passes {
            ring.admit(cost);
        }
        passes
    }

    /// What was admitted, and when.
    type Log = Vec<(u64, u32)>;

    /// Whether in any window of this length, both ends included, the log has
    /// more than `count`. It is enough to start one at each admission.
    fn exceeds(log: &Log, length: u64, count: u32) -> bool {
        log.iter().enumerate().any(|(start, (from, _))| {
            let within = log[start..]
                .iter()
                .take_while(|(at, _)| at - from <= length);
            within.map(|(_, cost)| u64::from(*cost)).sum::<u64>() > u64::from(count)
        })
    }

    fn sum(log: &Log, of: impl Fn(u64) -> bool) -> u64 {
        let counted = log.iter().filter(|(at, _)| of(*at));
        counted.map(|(_, cost)| u64::from(*cost)).sum()
    }

    #[test]
    fn a_slice_counts_until_it_has_wholly_left() {
        let (minute, slice) = (window(60), 60_000_000 / 64);
        let start = 1_000 * slice;
        for offset in [0, 1, slice / 2, slice - 1] {
            let mut ring = Ring::new(minute, Moment(start));
            assert!(spend(&mut ring, minute, start + offset, 1, 1));
            let back = start + 65 * slice;
            assert!(!spend(&mut ring, minute, back - 1, 1, 1));
            assert_eq!(
                ring.wait(Moment(back - 1), 1, 1),
                Some(Duration::from_micros(1))
            );
            assert_eq!(ring.empty_at(), Moment(back));
            assert!(spend(&mut ring, minute, back, 1, 1));
        }
    }

    #[test]
    fn what_can_never_pass_has_no_wait() {
        let mut ring = Ring::new(window(1), Moment(0));
        assert_eq!(ring.wait(Moment(0), 3, 2), None);
        ring.admit(1);
        assert_eq!(ring.wait(Moment(0), 3, 2), None);
        assert_eq!(ring.wait(Moment(0), 1, 2), Some(Duration::ZERO));
        let second = Duration::from_micros(65 * 15_625);
        assert_eq!(ring.wait(Moment(0), 2, 2), Some(second));
        assert_eq!(
            ring.reset(Moment(5)),
            Some(second - Duration::from_micros(5))
        );
    }

    #[test]
    fn a_clock_read_before_another_s_changes_nothing() {
        let second = window(1);
        let mut ring = Ring::new(second, Moment(10_000_000));
        assert!(spend(&mut ring, second, 10_000_000, 1, 2));
        assert!(spend(&mut ring, second, 9_999_999, 1, 2));
        assert!(!spend(&mut ring, second, 9_000_000, 1, 2));
        assert_eq!(ring.head, 640);
    }

    #[test]
    fn a_count_that_is_lowered_or_raised_holds_for_what_was_admitted() {
        let minute = window(60);
        let mut ring = Ring::new(minute, Moment(0));
        assert!(spend(&mut ring, minute, 0, 5, 5));
        assert!(!spend(&mut ring, minute, 1, 1, 3));
        assert!(spend(&mut ring, minute, 2, 2, 7));
        assert!(!spend(&mut ring, minute, 3, 1, 7));
    }

    /// Steps of a clock that stand for all it can do: nothing, a little, about
    /// a slice, about a window, and far more.
    fn step(length: u64) -> impl Strategy<Value = u64> {
        prop_oneof![
            Just(0),
            0..length / 200,
            length / 70..length / 60,
            length - length / 60..length + length / 30,
            0..3 * length,
            Just(100 * length),
        ]
    }

    fn seconds() -> impl Strategy<Value = u32> {
        prop_oneof![
            Just(1_u32),
            Just(7),
            Just(60),
            Just(86_400),
            1..=2_678_400_u32
        ]
    }

    proptest! {
        #[test]
        fn in_no_window_passes_more_and_none_is_refused_for_long(
            seconds in seconds(),
            count in prop_oneof![1..4_u32, 1..100_u32],
            start in 0..10_000_000_000_u64,
            asked in proptest::collection::vec((step(1_000_000), 1..5_u32), 1..120),
        ) {
            let of = window(seconds);
            let length = u64::from(seconds) * 1_000_000;
            let (mut now, mut log) = (start, Log::new());
            let mut ring = Ring::new(of, Moment(now));
            for (step, cost) in asked {
                now += step * u64::from(seconds);
                if spend(&mut ring, of, now, cost, count) {
                    log.push((now, cost));
                    continue;
                }
                // Refused: with what was admitted in the window and the slice
                // before it, it would be too much.
                let late = length + length / 64;
                let counted = sum(&log, |at| at + late > now);
                prop_assert!(counted + u64::from(cost) > u64::from(count));
                // And the wait that is told is the shortest.
                match ring.wait(Moment(now), cost, count) {
                    None => prop_assert!(cost > count),
                    Some(wait) => {
                        let then = now + u64::try_from(wait.as_micros()).unwrap();
                        prop_assert!(!spend(&mut ring.clone(), of, then - 1, cost, count));
                        prop_assert!(spend(&mut ring.clone(), of, then, cost, count));
                    }
                }
            }
            prop_assert!(!exceeds(&log, length, count));
        }

        #[test]
        fn what_was_admitted_counts_in_another_window_too(
            first in seconds(),
            second in seconds(),
            counts in (1..30_u32, 1..30_u32),
            start in 0..10_000_000_000_u64,
            asked in proptest::collection::vec((step(1_000_000), 1..4_u32), 1..60),
            asked_then in proptest::collection::vec((step(1_000_000), 1..4_u32), 1..60),
        ) {
            let lengths = [first, second].map(|seconds| u64::from(seconds) * 1_000_000);
            let (mut now, mut log) = (start, Log::new());
            let mut ring = Ring::new(window(first), Moment(now));
            for (step, cost) in asked {
                now += step * u64::from(first);
                if spend(&mut ring, window(first), now, cost, counts.0) {
                    log.push((now, cost));
                }
            }
            // What has left the first window is forgotten, whatever the second.
            let (changed, mut all) = (now, log.clone());
            log.retain(|(at, _)| at + lengths[0] > changed);
            let kept = sum(&log, |_| true);
            for (step, cost) in asked_then {
                now += step * u64::from(second);
                if spend(&mut ring, window(second), now, cost, counts.1) {
                    log.push((now, cost));
                    all.push((now, cost));
                    let counted = sum(&log, |at| at + lengths[1] >= now);
                    prop_assert!(counted <= u64::from(counts.1), "{counted}, {kept} were kept");
                }
            }
            // And none of it counts for longer than a slice of either too much.
            let late = lengths[1] + lengths[0] / 64 + lengths[1] / 64;
            let counted = sum(&all, |at| at + late > now);
            ring.advance(window(second), Moment(now));
            prop_assert!(ring.used() <= counted, "{} of {counted}", ring.used());
        }
    }
}
