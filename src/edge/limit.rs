//! How many calls are under way on a listener, and the end of that number.
//!
//! Each thread counts its own, so that no check waits for another thread's
//! caches. Only when a thread has more than its share are the others' counts
//! looked at. Once the listener is half full, a connection is held to a share,
//! too: few cannot take all there is.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Which part of all a connection may have once they are scarce.
pub(super) const SCARCE_SHARE: usize = 64;

/// What it may have at the least, however few there are.
const LEAST_SHARE: usize = 64;

/// The calls of one listener, as one of its threads sees them.
#[derive(Clone, Debug)]
pub(super) struct Calls {
    listener: Arc<Listener>,
    own: usize,
}

#[derive(Debug)]
struct Listener {
    threads: Box<[Arc<Thread>]>,
    max: usize,
    /// Up to how many a connection is not held to its share.
    plenty: usize,
    /// How many a connection may have beyond that.
    each: usize,
    /// How many each thread may have without looking at the others.
    share: usize,
    /// Whether a thread has had more than its share, since the listener last
    /// had so few calls that none can. Hardly ever written, so that to read it
    /// costs nothing.
    crowded: AtomicBool,
}

impl Listener {
    fn new(max: usize, threads: usize) -> Arc<Self> {
        let plenty = max / 2;
        Arc::new(Self {
            threads: (0..threads).map(|_| Arc::new(Thread)).collect(),
            max,
            plenty,
            each: (max / SCARCE_SHARE).max(LEAST_SHARE),
            share: plenty / threads.max(1),
            crowded: AtomicBool::new(false),
        })
    }
}

/// Calls are counted by the references to it: a call that holds one is thereby
/// counted. It lies apart from other threads' memory.
#[derive(Debug)]
#[repr(align(128))]
struct Thread;

impl Calls {
    /// For each of `threads` threads, its view of a listener that takes `max`
    /// calls at a time.
    pub(super) fn of_threads(max: usize, threads: usize) -> impl Iterator<Item = Self> {
        let listener = Listener::new(max, threads);
        (0..threads).map(move |own| Self {
            listener: Arc::clone(&listener),
            own,
        })
    }

    /// For a listener that is served in one place.
    pub(super) fn in_one_place(max: usize) -> Self {
        Self {
            listener: Listener::new(max, 1),
            own: 0,
        }
    }

    /// Counts one more call of the connection whose calls are `line`, until what
    /// is returned is dropped; none if the listener has as many as it takes, or
    /// of that connection.
    pub(super) fn begin(&self, line: &Tally) -> Option<Call> {
        let listener = &*self.listener;
        let own = &listener.threads[self.own];
        let call = Call {
            _of_thread: Arc::clone(own),
            _of_line: line.count(),
        };
        // The counts and the flag guard no memory, and a call more or less is
        // none too many: relaxed is enough.
        let beyond = under_way(own) > listener.share;
        if !beyond && !listener.crowded.load(Ordering::Relaxed) {
            return Some(call);
        }
        let all = self.len();
        listener
            .crowded
            .store(all > listener.share, Ordering::Relaxed);
        let fair = all <= listener.plenty || line.len() <= listener.each;
        (all <= listener.max && fair).then_some(call)
    }

    /// How many there are on the listener, of all of its threads.
    pub(super) fn len(&self) -> usize {
        self.listener.threads.iter().map(under_way).sum()
    }
}

fn under_way(thread: &Arc<Thread>) -> usize {
    // All but the one in the list.
    Arc::strong_count(thread) - 1
}

/// A call under way.
#[derive(Debug)]
pub(super) struct Call {
    _of_thread: Arc<Thread>,
    _of_line: Arc<Counted>,
}

/// The calls of one connection: those of late, and those from before. As with
/// a thread's, references count.
#[derive(Debug, Default)]
pub(super) struct Tally {
    parts: [Arc<Counted>; 2],
    /// Among which new ones are counted.
    late: AtomicUsize,
}

/// What calls hold references to.
#[derive(Debug, Default)]
struct Counted;

impl Tally {
    fn count(&self) -> Arc<Counted> {
        Arc::clone(&self.parts[self.late.load(Ordering::Relaxed)])
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        let parts = self.parts.iter();
        parts.map(|part| Arc::strong_count(part) - 1).sum()
    }

    /// Makes those of late the ones from before; true, and nothing else, if
    /// some of those are still there.
    pub(super) fn turn(&self) -> bool {
        let before = 1 - self.late.load(Ordering::Relaxed);
        let stuck = Arc::strong_count(&self.parts[before]) > 1;
        if !stuck {
            self.late.store(before, Ordering::Relaxed);
        }
        stuck
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_counted_over_all_threads() {
        let line = Tally::default();
        let threads: Vec<_> = Calls::of_threads(5, 3).collect();
        let mut calls: Vec<_> = (0..4).map(|_| threads[0].begin(&line).unwrap()).collect();
        calls.push(threads[1].begin(&line).unwrap());
        assert!(
            threads[0].begin(&line).is_none(),
            "more than the listener takes"
        );
        // What was refused is not counted.
        calls.pop();
        calls.push(threads[0].begin(&line).unwrap());
        assert!(threads[0].begin(&line).is_none());
        calls.clear();
        assert!(threads[0].begin(&line).is_some());
    }

    #[test]
    fn a_thread_within_its_share_is_refused_if_another_has_taken_that() {
        let line = Tally::default();
        let threads: Vec<_> = Calls::of_threads(4, 2).collect();
        let held: Vec<_> = (0..4).map(|_| threads[0].begin(&line).unwrap()).collect();
        assert!(threads[1].begin(&line).is_none());
        drop(held);
        let held: Vec<_> = threads
            .iter()
            .cycle()
            .take(4)
            .map(|thread| thread.begin(&line))
            .collect();
        assert!(held.iter().all(Option::is_some));
        assert!(threads.iter().all(|thread| thread.begin(&line).is_none()));
    }

    #[test]
    fn a_limit_below_the_number_of_threads_holds_too() {
        let line = Tally::default();
        let threads: Vec<_> = Calls::of_threads(1, 4).collect();
        let held = threads[2].begin(&line).unwrap();
        assert!(threads.iter().all(|thread| thread.begin(&line).is_none()));
        drop(held);
        assert!(threads.iter().all(|thread| thread.begin(&line).is_some()));
    }

    #[test]
    fn once_half_is_taken_a_connection_is_held_to_its_share() {
        let calls = Calls::in_one_place(1_000);
        let (greedy, modest) = (Tally::default(), Tally::default());
        let mut held: Vec<_> = std::iter::from_fn(|| calls.begin(&greedy)).collect();
        assert_eq!(held.len(), 500);
        let more: Vec<_> = std::iter::from_fn(|| calls.begin(&modest)).collect();
        assert_eq!(more.len(), LEAST_SHARE);
        held.truncate(400);
        assert!(calls.begin(&greedy).is_some(), "there are plenty again");
    }

    #[test]
    fn what_is_there_at_the_second_turn_is_stuck() {
        let (calls, line) = (Calls::in_one_place(10), Tally::default());
        let old = calls.begin(&line);
        assert!(!line.turn());
        let late = calls.begin(&line);
        assert!(line.turn() && line.turn());
        assert_eq!(line.len(), 2);
        drop(old);
        assert!(!line.turn());
        drop(late);
        assert!(!line.turn());
        assert_eq!(line.len(), 0);
    }
}
