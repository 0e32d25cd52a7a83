//! How a key is used, which all of its tokens count together: in memory, under a
//! lock of the key's own that is held for a few instructions.
//!
//! One lock, for the time of the last use and its address belong together, and
//! costs no more than two counts without one. What few keys have lies apart.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::domain::clock::Timestamp;
use crate::domain::id::KeyId;
use crate::domain::scope::ScopeSet;
use crate::domain::usage::{Denials, Marks, Usage};
use crate::domain::verdict::DenialReason;

/// How a key is used.
#[derive(Debug)]
pub struct KeyUsage {
    key: KeyId,
    /// Whether there is more than was stored. Changed under the lock, and looked
    /// at without it by who looks for those that have.
    changed: AtomicBool,
    /// Whether all of the key's scopes were needed, so that nobody has to find
    /// out which a check needs. Changed under the lock.
    complete: AtomicBool,
    /// Never held while anything is awaited.
    state: Mutex<State>,
}

/// Times are in microseconds; 0: never.
#[derive(Debug)]
struct State<D = Option<Box<Denials>>> {
    first_used: u64,
    last_used: u64,
    superseded_used: u64,
    allowed: u64,
    /// An IPv6 address, or the one that stands for an IPv4; all zeros: unknown.
    source: [u8; 16],
    /// What the marks are of: what the key could do when it was used last.
    scopes: Arc<ScopeSet>,
    exercised: Marks,
    /// Of a key that was denied.
    denials: D,
}

/// A check that was allowed.
#[derive(Clone, Copy, Debug)]
pub struct Use {
    /// When.
    pub time: Timestamp,
    /// Where the request came from, if that is known and to be kept.
    pub source: Option<IpAddr>,
    /// Whether it was by a token that is being replaced.
    pub superseded: bool,
}

impl KeyUsage {
    /// That of a key which nobody has used.
    pub(super) fn new(key: KeyId, scopes: &Arc<ScopeSet>) -> Self {
        Self::of(&Usage::none(key), Arc::clone(scopes), Marks::default())
    }

    /// What was stored, of which `exercised` are the scopes that were needed.
    pub(super) fn load(stored: &Usage, exercised: Arc<ScopeSet>) -> Self {
        let all = Marks::first(exercised.len());
        Self::of(stored, exercised, all)
    }

    fn of(stored: &Usage, scopes: Arc<ScopeSet>, exercised: Marks) -> Self {
        let denials = stored.denials;
        Self {
            key: stored.key,
            changed: AtomicBool::new(false),
            complete: AtomicBool::new(false),
            state: Mutex::new(State {
                first_used: micros(stored.first_used),
                last_used: micros(stored.last_used),
                superseded_used: micros(stored.superseded_used),
                allowed: stored.allowed,
                source: stored.source.map_or([0; 16], octets),
                scopes,
                exercised,
                denials: (denials != Denials::default()).then(|| Box::new(denials)),
            }),
        }
    }

    /// Whether all of the key's scopes were needed before.
    pub(super) fn is_complete(&self) -> bool {
        self.complete.load(Ordering::Relaxed)
    }

    /// Counts a use of the key, which has these scopes. `needed` tells which of
    /// them it needed; it is not asked where it `was_complete`.
    pub(super) fn allowed(
        &self,
        scopes: &Arc<ScopeSet>,
        used: Use,
        was_complete: bool,
        needed: impl Fn() -> Marks,
    ) {
        // Found out before the lock is taken, which others wait for.
        let known = (!was_complete).then(&needed);
        let mut state = self.lock();
        let time = used.time.as_micros();
        if state.first_used == 0 {
            state.first_used = time;
        }
        if time >= state.last_used {
            state.last_used = time;
            state.source = used.source.map_or([0; 16], octets);
        }
        if used.superseded {
            state.superseded_used = state.superseded_used.max(time);
        }
        state.allowed = state.allowed.saturating_add(1);
        let are_others = !Arc::ptr_eq(&state.scopes, scopes);
        if are_others {
            state.turn_to(scopes);
        }
        if are_others || known.is_some() {
            state.exercised.add_all(known.unwrap_or_else(needed));
            let complete = state.exercised.are(state.scopes.len());
            if complete != self.is_complete() {
                self.complete.store(complete, Ordering::Relaxed);
            }
        }
        self.change();
    }

    /// Counts a denial, if it is one that counts for a key. If it is
    /// `superseded`, its client still holds a token that is being replaced.
    pub(super) fn denied(&self, reason: DenialReason, time: Timestamp, superseded: bool) {
        let mut state = self.lock();
        if superseded {
            state.superseded_used = state.superseded_used.max(time.as_micros());
        }
        let denials = state.denials.get_or_insert_default();
        if denials.count(reason, time) {
            self.change();
        }
    }

    /// When the key was used last; none: never.
    #[must_use]
    pub fn last_used(&self) -> Option<Timestamp> {
        time(self.lock().last_used)
    }

    /// How the key was used up to now.
    #[must_use]
    pub fn read(&self) -> Usage {
        let state = self.lock().copy();
        state.told(self.key)
    }

    /// The same, to be stored. What comes from now on is a change again.
    #[must_use]
    pub fn take(&self) -> Usage {
        let locked = self.lock();
        self.changed.store(false, Ordering::Relaxed);
        let state = locked.copy();
        drop(locked);
        state.told(self.key)
    }

    /// What was taken was not stored.
    pub fn put_back(&self) {
        let _state = self.lock();
        self.change();
    }

    /// Whether there is more than was taken.
    #[must_use]
    pub fn has_changed(&self) -> bool {
        self.changed.load(Ordering::Relaxed)
    }

    fn change(&self) {
        // The load first: of many uses, one has to write it.
        if !self.changed.load(Ordering::Relaxed) {
            self.changed.store(true, Ordering::Relaxed);
        }
    }

    /// Each change of it is whole before the lock is let go.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State<Option<Denials>> {
    /// It, as the usage of `key`. This copies the scopes, so it is for a copy of
    /// the state: no check has to wait for that.
    fn told(self, key: KeyId) -> Usage {
        let scopes = self.scopes.iter().enumerate();
        let exercised = scopes.filter(|(place, _)| self.exercised.has(*place));
        Usage {
            key,
            first_used: time(self.first_used),
            last_used: time(self.last_used),
            source: address(self.source),
            superseded_used: time(self.superseded_used),
            allowed: self.allowed,
            denials: self.denials.unwrap_or_default(),
            exercised: ScopeSet::new(exercised.map(|(_, scope)| scope.clone())),
        }
    }
}

impl State {
    /// A copy, of which nothing is allocated.
    fn copy(&self) -> State<Option<Denials>> {
        State {
            first_used: self.first_used,
            last_used: self.last_used,
            superseded_used: self.superseded_used,
            allowed: self.allowed,
            source: self.source,
            scopes: Arc::clone(&self.scopes),
            exercised: self.exercised,
            denials: self.denials.as_deref().copied(),
        }
    }

    /// Goes over to other scopes, after the key was changed. A check that began
    /// before that may turn back for a moment: what then gets lost of the new
    /// scopes is noted again when they are needed next.
    #[cold]
    fn turn_to(&mut self, scopes: &Arc<ScopeSet>) {
        let mut exercised = Marks::default();
        for (place, scope) in self.scopes.iter().enumerate() {
            let kept = scopes.iter().position(|kept| kept == scope);
            if let Some(kept) = kept.filter(|_| self.exercised.has(place)) {
                exercised.add(kept);
            }
        }
        self.exercised = exercised;
        self.scopes = Arc::clone(scopes);
    }
}

fn micros(time: Option<Timestamp>) -> u64 {
    time.map_or(0, Timestamp::as_micros)
}

fn time(micros: u64) -> Option<Timestamp> {
    (micros > 0).then(|| Timestamp::from_micros(micros))
}

fn octets(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
        IpAddr::V6(address) => address.octets(),
    }
}

fn address(octets: [u8; 16]) -> Option<IpAddr> {
    let address = Ipv6Addr::from(octets);
    (!address.is_unspecified()).then(|| IpAddr::V6(address).to_canonical())
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::thread;

    use super::*;
    use crate::domain::scope::Scope;

    fn scopes(texts: &[&str]) -> Arc<ScopeSet> {
        Arc::new(ScopeSet::new(
            texts.iter().map(|text| Scope::try_from(*text).unwrap()),
        ))
    }

    const fn at(micros: u64) -> Timestamp {
        Timestamp::from_micros(micros)
    }

    fn used(micros: u64) -> Use {
        Use {
            time: at(micros),
            source: None,
            superseded: false,
        }
    }

    fn usage(scopes: &Arc<ScopeSet>) -> KeyUsage {
        KeyUsage::new(KeyId::generate(at(1)), scopes)
    }

    fn place(place: usize) -> Marks {
        let mut marks = Marks::default();
        marks.add(place);
        marks
    }

    #[test]
    fn a_used_key_takes_little_memory() {
        const KEYS: u64 = 10_000;
        let scopes = scopes(&["a", "b"]);
        let allocated = allocation_counter::measure(|| {
            let usages = (0..KEYS).map(|number| {
                let id = KeyId::generate(at(number));
                Arc::new(KeyUsage::new(id, &scopes))
            });
            // They are kept until the measurement is over.
            std::mem::forget(usages.collect::<Vec<_>>());
        });
        let each = u64::try_from(allocated.bytes_current).unwrap() / KEYS;
        println!("{each} bytes for each used key");
        assert!(each <= 168, "{each} bytes");
    }

    #[test]
    fn to_count_allocates_nothing_but_for_the_first_denial() {
        let scopes = scopes(&["a", "b"]);
        let usage = usage(&scopes);
        let all = allocation_counter::measure(|| {
            for micros in 2..500 {
                usage.allowed(&scopes, used(micros), usage.is_complete(), || place(0));
            }
        });
        assert_eq!(all.count_total, 0);
        let denials =
            || (2..500).for_each(|time| usage.denied(DenialReason::Revoked, at(time), false));
        let first = allocation_counter::measure(denials);
        let later = allocation_counter::measure(denials);
        assert_eq!((first.count_total, later.count_total), (1, 0));
    }

    #[test]
    fn under_the_lock_nothing_is_allocated_to_be_read() {
        let scopes = scopes(&["a", "b"]);
        let usage = usage(&scopes);
        usage.allowed(&scopes, used(2), usage.is_complete(), || place(0));
        usage.denied(DenialReason::RateLimited, at(3), true);
        let state = usage.lock();
        let copied = allocation_counter::measure(|| drop(state.copy()));
        drop(state);
        assert_eq!(copied.count_total, 0);
        let read = usage.read();
        // A denial of the old token tells that somebody holds it.
        assert_eq!(
            (read.last_used, read.superseded_used),
            (Some(at(2)), Some(at(3)))
        );
        assert_eq!(read, usage.take());
    }

    #[test]
    fn what_many_threads_count_is_exact_and_nothing_that_is_taken_is_lost() {
        const THREADS: u64 = 8;
        const EACH: u64 = 5_000;
        let scopes = scopes(&["a", "b", "c"]);
        let usage = usage(&scopes);
        let mut stored = Usage::none(usage.key);
        thread::scope(|scope| {
            for thread in 1..=THREADS {
                let (usage, scopes) = (&usage, &scopes);
                scope.spawn(move || {
                    for number in 0..EACH {
                        let complete = usage.is_complete();
                        usage.allowed(scopes, used(number * THREADS + thread), complete, || {
                            place(1)
                        });
                        usage.denied(DenialReason::RateLimited, at(number + 1), false);
                    }
                });
            }
            // Who writes it back meets it in any state.
            for _ in 0..1_000 {
                let now = usage.take();
                assert!(now.allowed >= stored.allowed && now.last_used >= stored.last_used);
                stored = now;
            }
        });
        assert!(usage.has_changed());
        let now = usage.take();
        assert!(!usage.has_changed());
        assert_eq!(now.allowed, THREADS * EACH);
        // That of whichever came first.
        assert!(now.first_used <= Some(at(THREADS)));
        assert_eq!(now.last_used, Some(at(THREADS * EACH)));
        let denials: Vec<_> = now.denials.iter().collect();
        assert_eq!(denials, [(DenialReason::RateLimited, THREADS * EACH)]);
        assert_eq!(now.exercised.to_string(), "b");
    }

    #[test]
    fn the_address_is_that_of_the_last_use_whoever_comes_later() {
        let scopes = scopes(&[]);
        let usage = usage(&scopes);
        let from = |micros, source: &str| Use {
            source: source.parse().ok(),
            ..used(micros)
        };
        for (used, last, source) in [
            (from(10, "10.0.0.1"), 10, "10.0.0.1"),
            (from(20, "2001:db8::1"), 20, "2001:db8::1"),
            // It began before, and was counted after.
            (from(15, "10.0.0.9"), 20, "2001:db8::1"),
            (from(30, "::ffff:10.0.0.3"), 30, "10.0.0.3"),
            (from(40, ""), 40, ""),
        ] {
            usage.allowed(&scopes, used, usage.is_complete(), Marks::default);
            let read = usage.read();
            assert_eq!(read.last_used, Some(at(last)));
            assert_eq!(read.source, source.parse().ok(), "{source}");
        }
        assert_eq!(usage.read().first_used, Some(at(10)));
    }

    #[test]
    fn what_was_needed_stays_so_when_the_scopes_change() {
        let before = scopes(&["a", "b", "c"]);
        let after = scopes(&["b", "c", "d"]);
        let usage = usage(&before);
        usage.allowed(&before, used(2), usage.is_complete(), || place(0));
        usage.allowed(&before, used(3), usage.is_complete(), || place(2));
        assert_eq!(usage.read().exercised.to_string(), "a c");
        usage.allowed(&after, used(4), usage.is_complete(), || place(2));
        assert_eq!(usage.read().exercised.to_string(), "c d");
        // As they were stored, they are all that is known of.
        let stored = usage.read();
        let exercised = Arc::new(stored.exercised.clone());
        let loaded = KeyUsage::load(&stored, exercised);
        assert_eq!((loaded.read(), loaded.has_changed()), (stored, false));
        loaded.allowed(&after, used(5), loaded.is_complete(), || place(0));
        assert_eq!(loaded.read().exercised.to_string(), "b c d");
    }

    #[test]
    fn nobody_finds_out_what_is_needed_once_all_was() {
        let (scopes, more) = (scopes(&["a", "b"]), scopes(&["a", "b", "c"]));
        let usage = usage(&scopes);
        let asked = Cell::new(0);
        let needed = |number| {
            let asked = &asked;
            move || {
                asked.set(asked.get() + 1);
                place(number)
            }
        };
        usage.allowed(&scopes, used(2), usage.is_complete(), needed(0));
        usage.allowed(&scopes, used(3), usage.is_complete(), needed(1));
        usage.allowed(&scopes, used(4), usage.is_complete(), needed(1));
        assert_eq!(asked.get(), 2);
        // Until there are more.
        usage.allowed(&more, used(5), usage.is_complete(), needed(2));
        assert_eq!(usage.read().exercised.to_string(), "a b c");
        usage.allowed(&scopes, used(6), usage.is_complete(), needed(1));
        usage.allowed(&scopes, used(7), usage.is_complete(), needed(1));
        assert_eq!(asked.get(), 4);
    }
}
