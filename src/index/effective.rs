//! What a key may do where it is used: its scopes, or what a ceiling leaves of
//! them, which is worked out once for all checks that tell of it.
//!
//! What was worked out is known by the very scopes and the very ceiling that it
//! is of, and holds on to both: a check that finds another ceiling does not find
//! it. So nothing here can be out of date.

use std::ops::Deref;
use std::sync::{Arc, LazyLock};

use arc_swap::{ArcSwapOption, Guard};

use crate::domain::granted::Granted;
use crate::domain::scope::ScopeSet;

/// How many are held for one membership. Where its keys have more different
/// scopes than that, the rest is worked out each time: to make room would cost
/// those who found theirs.
const MAX_HELD: usize = 256;

/// How many pairs of an own scope and one of the ceiling are worked out each
/// time: to compare so few takes less than a microsecond, and they would take
/// the place of those that take long.
const FEW: usize = 64;

/// What the ceiling of a membership has left of the scopes of its keys. Costs
/// nothing before it is asked for.
#[derive(Debug, Default)]
pub(super) struct Narrowings(ArcSwapOption<Vec<Narrowing>>);

#[derive(Clone, Debug)]
struct Narrowing {
    own: Arc<ScopeSet>,
    ceiling: Arc<ScopeSet>,
    left: Arc<ScopeSet>,
}

/// In order of where they lie, which does not change while they are held.
fn order(own: &Arc<ScopeSet>, ceiling: &Arc<ScopeSet>) -> (*const ScopeSet, *const ScopeSet) {
    (Arc::as_ptr(own), Arc::as_ptr(ceiling))
}

impl Narrowings {
    /// Lets go of all.
    pub(super) fn clear(&self) {
        self.0.store(None);
    }

    /// What `ceiling` leaves of `own`. It is held from then on, if there is room
    /// and it is worth that.
    fn of<'k>(&self, own: &Arc<ScopeSet>, ceiling: &Arc<ScopeSet>) -> EffectiveScopes<'k> {
        if own.len() * ceiling.len() <= FEW {
            return EffectiveScopes(Kind::New(Arc::new(work_out(own, ceiling))));
        }
        let held = self.0.load();
        let narrowings = held.as_ref().map_or(&[][..], |held| held.as_slice());
        let wanted = order(own, ceiling);
        let place = narrowings.binary_search_by_key(&wanted, |n| order(&n.own, &n.ceiling));
        let place = match place {
            Ok(place) => return EffectiveScopes(Kind::Held(held, place)),
            Err(place) => place,
        };
        let left = Arc::new(work_out(own, ceiling));
        if narrowings.len() < MAX_HELD {
            let mut next = narrowings.to_vec();
            let narrowing = Narrowing {
                own: Arc::clone(own),
                ceiling: Arc::clone(ceiling),
                left: Arc::clone(&left),
            };
            next.insert(place, narrowing);
            // Of two that come at once one is lost, and worked out again.
            self.0.store(Some(Arc::new(next)));
        }
        EffectiveScopes(Kind::New(left))
    }

    /// What `ceiling` leaves of `own`, which the keys of the index need not share:
    /// looked for among what is held, and held no longer.
    pub(super) fn of_equal(&self, own: &ScopeSet, ceiling: &Arc<ScopeSet>) -> ScopeSet {
        let held = self.0.load();
        let mut held = held.iter().flat_map(|held| held.iter());
        let equal = held.find(|held| Arc::ptr_eq(&held.ceiling, ceiling) && *held.own == *own);
        equal.map_or_else(|| work_out(own, ceiling), |held| (*held.left).clone())
    }
}

fn work_out(own: &ScopeSet, ceiling: &ScopeSet) -> ScopeSet {
    Granted::within(own, Some(ceiling)).scopes().into_owned()
}

/// What a key may do where it is asked for, to be told.
#[derive(Clone, Copy, Debug)]
pub struct Effective<'k> {
    own: &'k Arc<ScopeSet>,
    within: Option<(&'k Arc<ScopeSet>, &'k Narrowings)>,
}

impl<'k> Effective<'k> {
    /// What `within`, a ceiling, leaves of `own`; none: all of it.
    pub(super) const fn new(
        own: &'k Arc<ScopeSet>,
        within: Option<(&'k Arc<ScopeSet>, &'k Narrowings)>,
    ) -> Self {
        Self { own, within }
    }

    /// The scopes. What a ceiling leaves of those of a key is worked out the
    /// first time.
    #[must_use]
    pub fn scopes(self) -> EffectiveScopes<'k> {
        match self.within {
            None => EffectiveScopes(Kind::Own(self.own)),
            Some((ceiling, narrowings)) => narrowings.of(self.own, ceiling),
        }
    }
}

/// Scopes that are read where they lie.
#[derive(Debug)]
pub struct EffectiveScopes<'k>(Kind<'k>);

#[derive(Debug)]
enum Kind<'k> {
    Own(&'k ScopeSet),
    /// Those of the one at this place.
    Held(Guard<Option<Arc<Vec<Narrowing>>>>, usize),
    New(Arc<ScopeSet>),
}

impl Deref for EffectiveScopes<'_> {
    type Target = ScopeSet;

    fn deref(&self) -> &ScopeSet {
        // It cannot be that the place is empty; nothing is told then.
        static NONE: LazyLock<ScopeSet> = LazyLock::new(ScopeSet::default);
        match &self.0 {
            Kind::Own(scopes) => scopes,
            Kind::Held(held, place) => {
                let held = held.as_ref().and_then(|held| held.get(*place));
                held.map_or_else(|| &*NONE, |narrowing| &narrowing.left)
            }
            Kind::New(scopes) => scopes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::scope::Scope;

    fn set(texts: impl IntoIterator<Item = String>) -> Arc<ScopeSet> {
        let scopes = texts.into_iter().map(|text| Scope::try_from(text.as_str()));
        Arc::new(scopes.map(Result::unwrap).collect())
    }

    fn many(from: usize) -> Arc<ScopeSet> {
        set((from..from + 100).map(|number| format!("service:{number:03}:read")))
    }

    #[test]
    fn what_is_told_is_what_the_ceiling_leaves_now() {
        let (own, low, high) = (many(0), many(50), many(90));
        let narrowings = Narrowings::default();
        let told = |ceiling: &Arc<ScopeSet>| {
            let effective = Effective::new(&own, Some((ceiling, &narrowings)));
            effective.scopes().clone()
        };
        for ceiling in [&low, &high, &low, &own, &high] {
            let expected = Granted::within(&own, Some(ceiling)).scopes().into_owned();
            assert_eq!(told(ceiling), expected);
        }
        assert_eq!((told(&low).len(), told(&high).len()), (50, 10));
        narrowings.clear();
        assert_eq!(told(&low).len(), 50);
        assert_eq!(*Effective::new(&own, None).scopes(), *own);
    }

    impl Narrowings {
        fn len(&self) -> usize {
            self.0.load().as_ref().map_or(0, |held| held.len())
        }
    }

    #[test]
    fn no_more_than_so_many_are_held_and_those_are_found_again() {
        let (ceiling, narrowings) = (many(0), Narrowings::default());
        let own: Vec<_> = (0..MAX_HELD + 50).map(many).collect();
        let told =
            |number: usize| Effective::new(&own[number], Some((&ceiling, &narrowings))).scopes();
        for round in 0..3 {
            for (number, own) in own.iter().enumerate() {
                let left = told(number).clone();
                assert_eq!(left, work_out(own, &ceiling));
                assert_eq!(left.len(), 100_usize.saturating_sub(number));
                let held = if round == 0 { number + 1 } else { MAX_HELD };
                assert_eq!(narrowings.len(), held.min(MAX_HELD));
            }
        }
        for number in 0..own.len() {
            let found = matches!(told(number).0, Kind::Held(..));
            assert_eq!(found, number < MAX_HELD);
        }
        // And none goes to make room.
        let held = narrowings.0.load_full();
        told(MAX_HELD);
        assert!(Arc::ptr_eq(
            &held.unwrap(),
            &narrowings.0.load_full().unwrap()
        ));
    }

    #[test]
    fn what_is_worked_out_soon_is_not_held_and_lists_hold_nothing() {
        let narrowings = Narrowings::default();
        let (own, ceiling) = (many(0), many(50));
        let little = set(["service:070:read".to_owned()]);
        for (own, ceiling) in [
            (&little, &set(["service:*".to_owned()])),
            (&little, &little),
        ] {
            let effective = Effective::new(own, Some((ceiling, &narrowings)));
            assert_eq!(*effective.scopes(), *little);
        }
        let expected = work_out(&own, &ceiling);
        assert_eq!(narrowings.of_equal(&own, &ceiling), expected);
        assert_eq!(narrowings.len(), 0);
        let told = Effective::new(&own, Some((&ceiling, &narrowings)));
        assert_eq!(*told.scopes(), expected);
        assert_eq!(narrowings.len(), 1);
        // Now it is found, under that very ceiling and by equal scopes.
        assert_eq!(narrowings.of_equal(&many(0), &ceiling), expected);
        let other = many(90);
        let expected = work_out(&own, &other);
        assert_eq!(narrowings.of_equal(&own, &other), expected);
        assert_eq!(narrowings.len(), 1);
    }

    #[test]
    fn to_tell_it_again_works_out_nothing() {
        let (own, ceiling, narrowings) = (many(0), many(50), Narrowings::default());
        let effective = Effective::new(&own, Some((&ceiling, &narrowings)));
        assert_eq!(effective.scopes().len(), 50);
        let allocations = allocation_counter::measure(|| {
            assert_eq!(effective.scopes().len(), 50);
        });
        assert_eq!(allocations.count_total, 0);
    }
}
