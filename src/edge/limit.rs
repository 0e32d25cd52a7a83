//! How many calls are under way on a listener, and the end of that number.
//!
//! Each thread counts its own, so that no check waits for another thread's
//! caches. Only when a thread has more than its share are the others' counts
//! looked at.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

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
    /// How many each thread may have without looking at the others.
    share: usize,
    /// Whether a thread has had more than its share, since the listener last
    /// had so few calls that none can. Hardly ever written, so that to read it
    /// costs nothing.
    crowded: AtomicBool,
}

impl Listener {
    fn new(max: usize, threads: usize) -> Arc<Self> {
        Arc::new(Self {
            threads: (0..threads).map(|_| Arc::new(Thread)).collect(),
            max,
            share: max / threads.max(1),
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

    /// Counts one more call, until what is returned is dropped; none if the
    /// listener has as many as it takes.
    pub(super) fn begin(&self) -> Option<Call> {
        let listener = &*self.listener;
        let own = &listener.threads[self.own];
        let call = Call {
            _counted: Arc::clone(own),
        };
        // The counts and the flag guard no memory, and a call more or less is
        // none too many: relaxed is enough.
        let beyond = under_way(own) > listener.share;
        if !beyond && !listener.crowded.load(Ordering::Relaxed) {
            return Some(call);
        }
        let all: usize = listener.threads.iter().map(under_way).sum();
        listener
            .crowded
            .store(all > listener.share, Ordering::Relaxed);
        (all <= listener.max).then_some(call)
    }
}

fn under_way(thread: &Arc<Thread>) -> usize {
    // All but the one in the list.
    Arc::strong_count(thread) - 1
}

/// A call under way.
#[derive(Debug)]
pub(super) struct Call {
    _counted: Arc<Thread>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_counted_over_all_threads() {
        let threads: Vec<_> = Calls::of_threads(5, 3).collect();
        let mut calls: Vec<_> = (0..4).map(|_| threads[0].begin().unwrap()).collect();
        calls.push(threads[1].begin().unwrap());
        assert!(threads[0].begin().is_none(), "more than the listener takes");
        // What was refused is not counted.
        calls.pop();
        calls.push(threads[0].begin().unwrap());
        assert!(threads[0].begin().is_none());
        calls.clear();
        assert!(threads[0].begin().is_some());
    }

    #[test]
    fn a_thread_within_its_share_is_refused_if_another_has_taken_that() {
        let threads: Vec<_> = Calls::of_threads(4, 2).collect();
        let held: Vec<_> = (0..4).map(|_| threads[0].begin().unwrap()).collect();
        assert!(threads[1].begin().is_none());
        drop(held);
        let held: Vec<_> = threads.iter().cycle().take(4).map(Calls::begin).collect();
        assert!(held.iter().all(Option::is_some));
        assert!(threads.iter().all(|thread| thread.begin().is_none()));
    }

    #[test]
    fn a_limit_below_the_number_of_threads_holds_too() {
        let threads: Vec<_> = Calls::of_threads(1, 4).collect();
        let held = threads[2].begin().unwrap();
        assert!(threads.iter().all(|thread| thread.begin().is_none()));
        drop(held);
        assert!(threads.iter().all(|thread| thread.begin().is_some()));
    }
}
