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

use super::packed::IndexedKey;

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
struct State {
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
    denials: Option<Box<Denials>>,
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

    /// Counts a use of `key`, whose usage this is. `needed` tells which of the
    /// key's scopes it needed; it is not asked where all of them were before.
    pub fn allowed(&self, key: &IndexedKey, used: Use, needed: impl Fn() -> Marks) {
        let scopes = key.shared_scopes();
        // Found out before the lock is taken, which others wait for.
        let known = (!self.complete.load(Ordering::Relaxed)).then(&needed);
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
            if complete != self.complete.load(Ordering::Relaxed) {
                self.complete.store(complete, Ordering::Relaxed);
            }
        }
        self.change();
    }

    /// Counts a denial, if it is one that counts for a key.
    pub fn denied(&self, reason: DenialReason, time: Timestamp) {
        let mut state = self.lock();
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
        self.read_locked(&self.lock())
    }

    /// The same, to be stored. What comes from now on is a change again.
    #[must_use]
    pub fn take(&self) -> Usage {
        let state = self.lock();
        self.changed.store(false, Ordering::Relaxed);
        self.read_locked(&state)
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

    fn read_locked(&self, state: &State) -> Usage {
        let scopes = state.scopes.iter().enumerate();
        let exercised = scopes.filter(|(place, _)| state.exercised.has(*place));
        Usage {
            key: self.key,
            first_used: time(state.first_used),
            last_used: time(state.last_used),
            source: address(state.source),
            superseded_used: time(state.superseded_used),
            allowed: state.allowed,
            denials: state.denials.as_deref().copied().unwrap_or_default(),
            exercised: ScopeSet::new(exercised.map(|(_, scope)| scope.clone())),
        }
    }

    /// Each change of it is whole before the lock is let go.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
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
