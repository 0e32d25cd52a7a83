//! How a key is used: what is kept of its checks, and which of its scopes they
//! needed.
//!
//! A use is a check that was allowed, also one that spent nothing: whoever only
//! looks holds the token, too. A denial counts for a key if the asker may know
//! of it: nobody can touch a key from a workspace that it is not of.

use std::net::IpAddr;

use super::clock::Timestamp;
use super::granted::Granted;
use super::id::KeyId;
use super::scope::{Scope, ScopeSet};
use super::verdict::DenialReason;

/// What is counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct UsageRule {
    /// Whether uses are counted at all.
    pub counted: bool,
    /// Whether the address of the last use is kept.
    pub addresses: bool,
}

/// How a key was used, as it is stored and read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Usage {
    /// The key.
    pub key: KeyId,
    /// When it was used first; none: it never was.
    pub first_used: Option<Timestamp>,
    /// When it was used last.
    pub last_used: Option<Timestamp>,
    /// The address that the last use came from, if that is known.
    pub source: Option<IpAddr>,
    /// When a token that was being replaced was used last.
    pub superseded_used: Option<Timestamp>,
    /// How often it was used.
    pub allowed: u64,
    /// How it was denied.
    pub denials: Denials,
    /// Those of its scopes that uses have needed.
    pub exercised: ScopeSet,
}

impl Usage {
    /// That of a key of which nothing is known.
    #[must_use]
    pub fn none(key: KeyId) -> Self {
        Self {
            key,
            first_used: None,
            last_used: None,
            source: None,
            superseded_used: None,
            allowed: 0,
            denials: Denials::default(),
            exercised: ScopeSet::default(),
        }
    }

    /// What both tell of the same key, of which each may have been told less:
    /// nothing in it goes back, but for what was needed of scopes that the key
    /// does not have any more.
    #[must_use]
    pub fn merged(self, other: &Self) -> Self {
        let source = if other.last_used > self.last_used {
            other.source
        } else {
            self.source
        };
        let first = self.first_used.into_iter().chain(other.first_used).min();
        // Of scopes that the key lost, who has counted more does not tell any
        // more: else there could be more and more of them.
        let exercised = if other.allowed > self.allowed {
            other.exercised.clone()
        } else {
            self.exercised
        };
        Self {
            key: self.key,
            first_used: first,
            last_used: self.last_used.max(other.last_used),
            source,
            superseded_used: self.superseded_used.max(other.superseded_used),
            allowed: self.allowed.max(other.allowed),
            denials: self.denials.merged(&other.denials),
            exercised,
        }
    }

    /// Those of `granted` that no use has needed; none, if no use has needed any:
    /// where no check requires a scope, that tells nothing of them.
    #[must_use]
    pub fn unexercised(&self, granted: &ScopeSet) -> ScopeSet {
        let needed = |scope: &Scope| self.exercised.iter().any(|exercised| exercised == scope);
        let unexercised = granted
            .iter()
            .filter(|scope| !self.exercised.is_empty() && !needed(scope));
        ScopeSet::new(unexercised.cloned())
    }
}

/// The first of the reasons that tell of a key that was found.
const FIRST: usize = DenialReason::WorkspaceRequired as usize;

/// How many of them there are: all that come behind it.
const REASONS: usize = DenialReason::ALL.len() - FIRST;

/// How often a key was denied, by the reason.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Denials {
    /// The last one.
    pub last: Option<(Timestamp, DenialReason)>,
    counts: [u64; REASONS],
}

impl Denials {
    /// Counts a denial, if it is one that counts for a key. Whether it is.
    pub fn count(&mut self, reason: DenialReason, now: Timestamp) -> bool {
        let Some(count) = self.place(reason) else {
            return false;
        };
        *count = count.saturating_add(1);
        if self.last.is_none_or(|(last, _)| last <= now) {
            self.last = Some((now, reason));
        }
        true
    }

    /// Takes `number` denials for granted. Whether they count for a key.
    pub fn set(&mut self, reason: DenialReason, number: u64) -> bool {
        let place = self.place(reason);
        let counts = place.is_some();
        place.into_iter().for_each(|count| *count = number);
        counts
    }

    /// How often it was denied, for each reason for which it was.
    pub fn iter(&self) -> impl Iterator<Item = (DenialReason, u64)> {
        let reasons = DenialReason::ALL.into_iter().skip(FIRST);
        reasons.zip(self.counts).filter(|(_, count)| *count > 0)
    }

    fn place(&mut self, reason: DenialReason) -> Option<&mut u64> {
        let place = (reason as usize).checked_sub(FIRST)?;
        self.counts.get_mut(place)
    }

    fn merged(mut self, other: &Self) -> Self {
        for (own, other) in self.counts.iter_mut().zip(other.counts) {
            *own = (*own).max(other);
        }
        if other.last > self.last {
            self.last = other.last;
        }
        self
    }
}

/// Some scopes of a set, by their places in it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Marks([u64; 2]);

impl Marks {
    /// How many places there are: more than a key has scopes.
    const PLACES: usize = 128;

    /// The first `number` places.
    #[must_use]
    pub fn first(number: usize) -> Self {
        let mut marks = Self::default();
        (0..number).for_each(|place| marks.add(place));
        marks
    }

    /// Adds a place. One that there is not is passed by.
    pub fn add(&mut self, place: usize) {
        if place < Self::PLACES {
            self.0[place / 64] |= 1 << (place % 64);
        }
    }

    /// Adds all of `other`.
    pub fn add_all(&mut self, other: Self) {
        self.0[0] |= other.0[0];
        self.0[1] |= other.0[1];
    }

    /// Whether a place is among them.
    #[must_use]
    pub fn has(self, place: usize) -> bool {
        place < Self::PLACES && self.0[place / 64] & (1 << (place % 64)) != 0
    }

    /// Whether there are so many.
    #[must_use]
    pub fn are(self, number: usize) -> bool {
        let [low, high] = self.0.map(u64::count_ones);
        usize::try_from(low + high).is_ok_and(|marked| marked >= number)
    }
}

/// Those of the key's own scopes that a check needs that is allowed, where these
/// are `required`: a key with no others would be allowed as well. Allocates
/// nothing.
pub fn needed<'a>(granted: &Granted<'_>, required: impl Iterator<Item = &'a str>) -> Marks {
    let mut marks = Marks::default();
    required
        .filter_map(|requirement| granted.needed(requirement))
        .for_each(|place| marks.add(place));
    marks
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn set(texts: &[&str]) -> ScopeSet {
        texts
            .iter()
            .map(|text| Scope::try_from(*text).unwrap())
            .collect()
    }

    fn at(micros: u64) -> Timestamp {
        Timestamp::from_micros(micros)
    }

    fn told(granted: &ScopeSet, marks: Marks) -> String {
        let scopes = granted.iter().enumerate();
        let marked = scopes.filter(|(place, _)| marks.has(*place));
        ScopeSet::new(marked.map(|(_, scope)| scope.clone())).to_string()
    }

    #[test]
    fn the_narrowest_scope_is_needed_and_of_alternatives_the_narrowest_of_all() {
        for (scopes, required, expected) in [
            (&["*", "a:*", "a:b"][..], &["a:b"][..], "a:b"),
            (&["*", "a:*", "a:b"], &["a:c"], "a:*"),
            (&["*", "a:*", "a:b"], &["b"], "*"),
            (&["*", "a:*", "a:b"], &["a:*"], "a:*"),
            (&["*", "a:*"], &["ALL"], "*"),
            (&["a", "b", "c"], &["x|b|a", "c"], "b c"),
            (&["*", "b", "c"], &["x|b|c"], "b"),
            (&["*", "a:*", "a:b:*"], &["x|a:c|a:b:c|a:d"], "a:b:*"),
            (&["a", "b", "c"], &[], ""),
            (&["a:b:*", "a:*"], &["a:b:c:d"], "a:b:*"),
        ] {
            let scopes = set(scopes);
            let marks = needed(&Granted::all(&scopes), required.iter().copied());
            assert_eq!(told(&scopes, marks), expected, "{required:?}");
        }
    }

    #[test]
    fn what_lies_beyond_the_ceiling_is_not_what_let_a_check_pass() {
        let (scopes, ceiling) = (set(&["a:*", "b:c"]), set(&["b:*"]));
        let granted = Granted::within(&scopes, Some(&ceiling));
        let marks = needed(&granted, ["a:x|b:c"].into_iter());
        assert_eq!(told(&scopes, marks), "b:c");
    }

    proptest! {
        /// What is promised of it: without what was not needed, all passes.
        #[test]
        fn a_key_with_the_scopes_that_were_needed_passes_as_well(
            granted in proptest::collection::vec("[ab](:[ab]){0,2}(:\\*)?|\\*", 1..6),
            required in proptest::collection::vec("[ab](:[ab]){0,2}(\\|[ab](:[ab])?)?", 0..4),
        ) {
            let granted: Vec<&str> = granted.iter().map(String::as_str).collect();
            let scopes = set(&granted);
            let required: Vec<&str> = required.iter().map(String::as_str).collect();
            prop_assume!(required.iter().all(|requirement| scopes.meets(requirement)));
            let marks = needed(&Granted::all(&scopes), required.iter().copied());
            let kept = scopes.iter().enumerate();
            let kept = ScopeSet::new(
                kept.filter(|(place, _)| marks.has(*place)).map(|(_, scope)| scope.clone()),
            );
            prop_assert!(required.iter().all(|requirement| kept.meets(requirement)));
            prop_assert!(kept.len() <= required.len());
        }
    }

    #[test]
    fn a_hundred_scopes_have_a_place_each() {
        let mut marks = Marks::first(99);
        assert!(!marks.are(100) && !marks.has(99) && marks.has(98) && marks.has(63));
        marks.add(99);
        assert!(marks.are(100) && marks.has(99) && !marks.has(100));
        marks.add(1_000);
        assert_eq!(marks, Marks::first(100));
    }

    #[test]
    fn each_reason_that_tells_of_a_key_is_counted_by_itself() {
        let mut denials = Denials::default();
        for (number, reason) in (0..).zip(DenialReason::ALL) {
            for micros in 0..number {
                let counts = denials.count(reason, at(micros));
                assert_eq!(counts, reason.tells_identity(), "{reason:?}");
            }
        }
        let counted: Vec<_> = denials.iter().collect();
        let telling = DenialReason::ALL.into_iter();
        let telling: Vec<_> = telling.filter(|reason| reason.tells_identity()).collect();
        assert_eq!(counted.len(), telling.len());
        for (place, (reason, count)) in (3..).zip(counted) {
            assert_eq!((reason, count), (telling[place - 3], place as u64));
        }
        assert_eq!(denials.last, Some((at(11), DenialReason::CreditsExhausted)));
        // An older one does not become the last.
        denials.count(DenialReason::Revoked, at(3));
        assert_eq!(denials.last, Some((at(11), DenialReason::CreditsExhausted)));
    }

    #[test]
    fn merged_nothing_goes_back_whichever_is_first() {
        let key = KeyId::generate(at(1));
        let address = |text: &str| text.parse::<IpAddr>().ok();
        let mut older = Usage {
            first_used: Some(at(10)),
            last_used: Some(at(20)),
            source: address("10.0.0.1"),
            allowed: 7,
            exercised: set(&["a", "b"]),
            ..Usage::none(key)
        };
        older.denials.count(DenialReason::Revoked, at(15));
        let mut newer = Usage {
            first_used: Some(at(12)),
            last_used: Some(at(30)),
            source: None,
            superseded_used: Some(at(29)),
            allowed: 9,
            exercised: set(&["b", "c"]),
            ..Usage::none(key)
        };
        newer.denials.count(DenialReason::Expired, at(25));
        let both = older.clone().merged(&newer);
        assert_eq!(both, newer.clone().merged(&older));
        assert_eq!(both.clone().merged(&both), both);
        let mut expected = Usage {
            first_used: Some(at(10)),
            ..newer
        };
        expected.denials.set(DenialReason::Revoked, 1);
        assert_eq!(both, expected);
        assert_eq!(Usage::none(key).merged(&older), older);
    }

    #[test]
    fn where_no_scope_was_ever_required_none_was_left_out() {
        let granted = set(&["a", "b", "c"]);
        let mut usage = Usage::none(KeyId::generate(at(1)));
        assert!(usage.unexercised(&granted).is_empty());
        usage.allowed = 1;
        assert!(usage.unexercised(&granted).is_empty());
        usage.exercised = set(&["b", "gone"]);
        assert_eq!(usage.unexercised(&granted), set(&["a", "c"]));
    }
}
