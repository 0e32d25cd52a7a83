//! What became of checks: the verdicts, what had none, and how long it took.
//!
//! Each thread that answers has counts of its own, which no other thread writes
//! to: a check waits for no other's caches. They are added up by whoever asks.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::domain::verdict::{DenialReason, Verdict};

use super::count::Count;
use super::histogram::{CHECK_DURATIONS, Histogram, Spread};

/// How a question came in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Interface {
    /// `KeyCheck.Check`.
    Check,
    /// One of the questions of `KeyCheck.CheckBatch`.
    CheckBatch,
    /// One of the questions of `KeyCheck.CheckStream`.
    CheckStream,
    /// Envoy's `ext_authz`.
    ExtAuthz,
    /// Forward-auth over HTTP.
    ForwardAuth,
}

impl Interface {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Check,
        Self::CheckBatch,
        Self::CheckStream,
        Self::ExtAuthz,
        Self::ForwardAuth,
    ];

    /// Its name as the value of a label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Check => "check",
            Self::CheckBatch => "check_batch",
            Self::CheckStream => "check_stream",
            Self::ExtAuthz => "ext_authz",
            Self::ForwardAuth => "forward_auth",
        }
    }

    /// Whether what comes in there is a request with a route, and not only a
    /// credential.
    const fn has_routes(self) -> bool {
        match self {
            Self::Check | Self::CheckBatch | Self::CheckStream => false,
            Self::ExtAuthz | Self::ForwardAuth => true,
        }
    }
}

/// What was decided on a question.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Decided {
    /// What the credential was judged to be.
    Verdict(Verdict),
    /// Allowed: anybody may make the request.
    Public,
    /// Denied: no route is that of the request.
    NoRoute,
    /// Denied: the policy of the route cannot be understood.
    BrokenPolicy,
    /// Denied: the request is too large to be looked at.
    TooLarge,
}

impl From<Verdict> for Decided {
    fn from(verdict: Verdict) -> Self {
        Self::Verdict(verdict)
    }
}

/// How many verdicts there can be.
const VERDICTS: usize = 1 + DenialReason::ALL.len();

/// How many decisions there can be.
const DECISIONS: usize = VERDICTS + 4;

impl Decided {
    /// The verdicts, then what is decided without a key.
    fn all() -> impl Iterator<Item = Self> {
        let denied = DenialReason::ALL.map(Verdict::Denied);
        let verdicts = std::iter::once(Verdict::Allowed).chain(denied);
        let others = [
            Self::Public,
            Self::NoRoute,
            Self::BrokenPolicy,
            Self::TooLarge,
        ];
        verdicts.map(Self::Verdict).chain(others)
    }

    /// Its place among all of them.
    const fn place(self) -> usize {
        match self {
            Self::Verdict(Verdict::Allowed) => 0,
            Self::Verdict(Verdict::Denied(reason)) => 1 + reason as usize,
            Self::Public => VERDICTS,
            Self::NoRoute => VERDICTS + 1,
            Self::BrokenPolicy => VERDICTS + 2,
            Self::TooLarge => VERDICTS + 3,
        }
    }

    /// The verdict and the reason, as the values of labels.
    const fn labels(self) -> (&'static str, &'static str) {
        match self {
            Self::Verdict(Verdict::Allowed) => ("allowed", "KEY"),
            Self::Verdict(Verdict::Denied(reason)) => ("denied", reason.as_str()),
            Self::Public => ("allowed", "PUBLIC"),
            Self::NoRoute => ("denied", "NO_ROUTE"),
            Self::BrokenPolicy => ("denied", "BROKEN_POLICY"),
            Self::TooLarge => ("denied", "TOO_LARGE"),
        }
    }

    /// Whether it can come to this there.
    const fn can_be(self, interface: Interface) -> bool {
        match self {
            Self::Verdict(_) => true,
            Self::Public | Self::NoRoute | Self::BrokenPolicy => interface.has_routes(),
            // Headers of HTTP have limits of their own.
            Self::TooLarge => matches!(interface, Interface::ExtAuthz),
        }
    }
}

/// Why a question has no verdict.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cause {
    /// Its bytes are not those of the message that it should be.
    Unreadable,
    /// The answers before it have filled the response to a batch.
    ResponseFull,
    /// The key's credits could not be read in time.
    CreditsUnavailable,
    /// Whoever asked was gone, or out of patience, before the key's credits were
    /// there.
    GivenUp,
}

impl Cause {
    /// All of them.
    pub const ALL: [Self; 4] = [
        Self::Unreadable,
        Self::ResponseFull,
        Self::CreditsUnavailable,
        Self::GivenUp,
    ];

    /// Its name as the value of a label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unreadable => "UNREADABLE",
            Self::ResponseFull => "RESPONSE_FULL",
            Self::CreditsUnavailable => "CREDITS_UNAVAILABLE",
            Self::GivenUp => "GIVEN_UP",
        }
    }

    /// Whether it can come to this there.
    const fn can_be(self, interface: Interface) -> bool {
        match self {
            Self::Unreadable | Self::CreditsUnavailable | Self::GivenUp => true,
            Self::ResponseFull => matches!(interface, Interface::CheckBatch),
        }
    }
}

/// Counts checks, on one thread. Cheap to clone.
#[derive(Clone, Debug)]
pub struct CheckCounts {
    own: Arc<OfThread>,
    all: Arc<Mutex<Vec<Arc<OfThread>>>>,
}

/// The counts of one thread, apart from other threads' memory.
#[derive(Debug)]
#[repr(align(128))]
struct OfThread([OfInterface; Interface::ALL.len()]);

#[derive(Debug)]
struct OfInterface {
    decided: [Count; DECISIONS],
    undecided: [Count; Cause::ALL.len()],
    durations: Histogram<14>,
}

impl OfThread {
    fn new() -> Arc<Self> {
        Arc::new(Self(std::array::from_fn(|_| OfInterface {
            decided: std::array::from_fn(|_| Count::default()),
            undecided: std::array::from_fn(|_| Count::default()),
            durations: Histogram::new(&CHECK_DURATIONS),
        })))
    }
}

impl Default for CheckCounts {
    /// For one thread, and the first of all that are counted together.
    fn default() -> Self {
        let own = OfThread::new();
        let all = Arc::new(Mutex::new(vec![Arc::clone(&own)]));
        Self { own, all }
    }
}

impl CheckCounts {
    /// Counts for another thread, which are told together with these.
    #[must_use]
    pub fn for_thread(&self) -> Self {
        let own = OfThread::new();
        // What a panic left behind is a list as good as any.
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        all.push(Arc::clone(&own));
        Self {
            own,
            all: Arc::clone(&self.all),
        }
    }

    /// A question was decided on.
    pub fn decided(&self, interface: Interface, decided: impl Into<Decided>) {
        self.of(interface).decided[decided.into().place()].one_more();
    }

    /// A question has no verdict.
    pub fn undecided(&self, interface: Interface, cause: Cause) {
        self.of(interface).undecided[cause as usize].one_more();
    }

    /// A question has taken so long to be answered, from when it was there as a
    /// whole until its answer was written. For a batch, all of them together.
    pub fn took(&self, interface: Interface, time: Duration) {
        self.of(interface).durations.took(time);
    }

    /// A question that has to wait: its answer is still open.
    #[must_use]
    pub fn open(&self, interface: Interface) -> Open {
        Open(Some((self.clone(), interface)))
    }

    fn of(&self, interface: Interface) -> &OfInterface {
        &self.own.0[interface as usize]
    }

    fn all(&self) -> Vec<Arc<OfThread>> {
        let all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        all.clone()
    }

    /// How often each interface has decided what, with the values of the labels:
    /// interface, verdict, reason. All that there can be, also what there was
    /// not.
    pub(super) fn read_decided(&self) -> Vec<([&'static str; 3], u64)> {
        let threads = self.all();
        let kinds = Interface::ALL.into_iter().flat_map(|interface| {
            let decided = Decided::all().filter(move |decided| decided.can_be(interface));
            decided.map(move |decided| (interface, decided))
        });
        kinds
            .map(|(interface, decided)| {
                let of = |thread: &Arc<OfThread>| {
                    thread.0[interface as usize].decided[decided.place()].get()
                };
                let (verdict, reason) = decided.labels();
                let labels = [interface.as_str(), verdict, reason];
                (labels, threads.iter().map(of).sum())
            })
            .collect()
    }

    /// How many questions of each interface have no verdict, with the values of
    /// the labels: interface, cause.
    pub(super) fn read_undecided(&self) -> Vec<([&'static str; 2], u64)> {
        let threads = self.all();
        let kinds = Interface::ALL.into_iter().flat_map(|interface| {
            let causes = Cause::ALL.into_iter();
            let causes = causes.filter(move |cause| cause.can_be(interface));
            causes.map(move |cause| (interface, cause))
        });
        kinds
            .map(|(interface, cause)| {
                let of = |thread: &Arc<OfThread>| {
                    thread.0[interface as usize].undecided[cause as usize].get()
                };
                let labels = [interface.as_str(), cause.as_str()];
                (labels, threads.iter().map(of).sum())
            })
            .collect()
    }

    /// How long answers took, by interface.
    pub(super) fn read_durations(&self) -> Vec<([&'static str; 1], Spread)> {
        let threads = self.all();
        let spread = |interface: Interface| {
            let parts = threads
                .iter()
                .map(|thread| &thread.0[interface as usize].durations);
            Histogram::spread(&CHECK_DURATIONS, parts)
        };
        Interface::ALL
            .map(|interface| ([interface.as_str()], spread(interface)))
            .into()
    }
}

/// A question that waits for its answer. If it never gets one, because nobody
/// waits for it any more, it is counted as given up.
#[derive(Debug)]
pub struct Open(Option<(CheckCounts, Interface)>);

impl Open {
    /// It was decided on.
    pub fn decided(mut self, decided: impl Into<Decided>) {
        if let Some((counts, interface)) = self.0.take() {
            counts.decided(interface, decided);
        }
    }

    /// It has no verdict.
    pub fn undecided(mut self, cause: Cause) {
        if let Some((counts, interface)) = self.0.take() {
            counts.undecided(interface, cause);
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        if let Some((counts, interface)) = self.0.take() {
            counts.undecided(interface, Cause::GivenUp);
        }
    }
}

/// Measures how long a question takes to be answered.
#[derive(Clone, Copy, Debug)]
pub struct Asked(Instant);

impl Asked {
    /// The question is there as a whole.
    #[must_use]
    pub fn now() -> Self {
        Self(Instant::now())
    }

    /// Its answer is written.
    pub fn answered(self, counts: &CheckCounts, interface: Interface) {
        counts.took(interface, self.0.elapsed());
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    fn count<const N: usize>(read: &[([&'static str; N], u64)], labels: [&str; N]) -> u64 {
        let mut found = read.iter().filter(|(at, _)| *at == labels);
        let (_, count) = found.next().unwrap();
        assert!(found.next().is_none(), "{labels:?} twice");
        *count
    }

    #[test]
    fn each_decision_has_a_place_of_its_own() {
        let places: Vec<_> = Decided::all().map(Decided::place).collect();
        assert_eq!(places, (0..DECISIONS).collect::<Vec<_>>());
        for (place, cause) in Cause::ALL.into_iter().enumerate() {
            assert_eq!(cause as usize, place);
        }
        for (place, interface) in Interface::ALL.into_iter().enumerate() {
            assert_eq!(interface as usize, place);
        }
    }

    #[test]
    fn all_there_can_be_is_told_before_there_was_any() {
        let counts = CheckCounts::default();
        let read = counts.read_decided();
        assert!(read.iter().all(|(_, count)| *count == 0));
        assert_eq!(read.len(), 3 * VERDICTS + 2 * DECISIONS - 1);
        assert_eq!(count(&read, ["forward_auth", "denied", "NO_ROUTE"]), 0);
        assert!(
            !read
                .iter()
                .any(|(at, _)| *at == ["check", "denied", "NO_ROUTE"])
        );
        let undecided = counts.read_undecided();
        assert_eq!(count(&undecided, ["check_batch", "RESPONSE_FULL"]), 0);
        assert_eq!(undecided.len(), 3 * 5 + 1);
        assert_eq!(counts.read_durations().len(), 5);
    }

    #[test]
    fn what_threads_count_is_added_up() {
        let counts = CheckCounts::default();
        thread::scope(|scope| {
            for own in [(); 4].map(|()| counts.for_thread()) {
                scope.spawn(move || {
                    for _ in 0..1_000 {
                        own.decided(Interface::Check, Verdict::Allowed);
                        own.decided(
                            Interface::CheckStream,
                            Verdict::Denied(DenialReason::Revoked),
                        );
                        own.took(Interface::Check, Duration::from_micros(3));
                    }
                    own.undecided(Interface::CheckBatch, Cause::ResponseFull);
                });
            }
        });
        counts.decided(Interface::ExtAuthz, Decided::BrokenPolicy);
        let read = counts.read_decided();
        assert_eq!(count(&read, ["check", "allowed", "KEY"]), 4_000);
        assert_eq!(count(&read, ["check_stream", "denied", "REVOKED"]), 4_000);
        assert_eq!(count(&read, ["ext_authz", "denied", "BROKEN_POLICY"]), 1);
        assert_eq!(read.iter().map(|(_, count)| count).sum::<u64>(), 8_001);
        let undecided = counts.read_undecided();
        assert_eq!(count(&undecided, ["check_batch", "RESPONSE_FULL"]), 4);
        let durations = counts.read_durations();
        assert_eq!((durations[0].0, durations[0].1.count), (["check"], 4_000));
    }

    #[test]
    fn what_nobody_waits_for_any_more_is_counted_once() {
        let counts = CheckCounts::default();
        drop(counts.open(Interface::Check));
        counts.open(Interface::Check).decided(Verdict::Allowed);
        counts
            .open(Interface::Check)
            .undecided(Cause::CreditsUnavailable);
        let undecided = counts.read_undecided();
        assert_eq!(count(&undecided, ["check", "GIVEN_UP"]), 1);
        assert_eq!(count(&undecided, ["check", "CREDITS_UNAVAILABLE"]), 1);
        assert_eq!(
            count(&counts.read_decided(), ["check", "allowed", "KEY"]),
            1
        );
    }

    #[test]
    fn to_count_allocates_nothing() {
        let counts = CheckCounts::default();
        let allocations = allocation_counter::measure(|| {
            let asked = Asked::now();
            counts.decided(Interface::Check, Verdict::Denied(DenialReason::Unknown));
            asked.answered(&counts, Interface::Check);
            drop(counts.open(Interface::Check));
        });
        assert_eq!(allocations.count_total, 0);
    }
}
