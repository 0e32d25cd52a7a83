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
/// scopes than that, it starts again.
const MAX_HELD: usize = 256;

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

    /// What `ceiling` leaves of `own`.
    fn of<'k>(&self, own: &Arc<ScopeSet>, ceiling: &Arc<ScopeSet>) -> EffectiveScopes<'k> {
        let held = self.0.load();
        let narrowings = held.as_ref().map_or(&[][..], |held| held.as_slice());
        let wanted = order(own, ceiling);
        let place = narrowings.binary_search_by_key(&wanted, |n| order(&n.own, &n.ceiling));
        match place {
            Ok(place) => EffectiveScopes(Kind::Held(held, place)),
            Err(place) => {
                let granted = Granted::within(own, Some(ceiling));
                let left = Arc::new(granted.scopes().into_owned());
                let narrowing = Narrowing {
                    own: Arc::clone(own),
                    ceiling: Arc::clone(ceiling),
                    left: Arc::clone(&left),
                };
                let mut next = if narrowings.len() < MAX_HELD {
                    narrowings.to_vec()
                } else {
                    Vec::new()
                };
                next.insert(place.min(next.len()), narrowing);
                // Of two that come at once one is lost, and worked out again.
                self.0.store(Some(Arc::new(next)));
                EffectiveScopes(Kind::New(left))
            }
        }
    }
}

impl Narrowings {
    /// What `ceiling` leaves of `own`, which the keys of the index need not share.
    pub(super) fn of_equal(&self, own: &ScopeSet, ceiling: &Arc<ScopeSet>) -> ScopeSet {
        let held = self.0.load();
        let mut held = held.iter().flat_map(|held| held.iter());
        let equal = held.find(|held| Arc::ptr_eq(&held.ceiling, ceiling) && *held.own == *own);
        match equal {
            Some(narrowing) => (*narrowing.left).clone(),
            None => {
                let own = Arc::new(own.clone());
                self.of(&own, ceiling).clone()
            }
        }
    }
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
    use std::time::Instant;

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

    #[test]
    fn no_more_than_so_many_are_held() {
        let (ceiling, narrowings) = (many(0), Narrowings::default());
        for number in 0..3 * MAX_HELD {
            let own = set([format!("service:{:03}:read", number % 150)]);
            let effective = Effective::new(&own, Some((&ceiling, &narrowings)));
            assert_eq!(effective.scopes().len(), usize::from(number % 150 < 100));
            let held = narrowings.0.load();
            assert!((1..=MAX_HELD).contains(&held.as_ref().unwrap().len()));
        }
    }

    #[test]
    fn to_tell_it_again_works_out_nothing() {
        const TIMES: u32 = 200;
        let (own, ceiling, narrowings) = (many(0), many(50), Narrowings::default());
        let effective = Effective::new(&own, Some((&ceiling, &narrowings)));
        assert_eq!(effective.scopes().len(), 50);
        let allocations = allocation_counter::measure(|| {
            assert_eq!(effective.scopes().len(), 50);
        });
        assert_eq!(allocations.count_total, 0);
        let begin = Instant::now();
        for _ in 0..TIMES {
            assert_eq!(Granted::within(&own, Some(&ceiling)).scopes().len(), 50);
        }
        let worked_out = begin.elapsed() / TIMES;
        let begin = Instant::now();
        for _ in 0..TIMES {
            assert_eq!(effective.scopes().len(), 50);
        }
        let told = begin.elapsed() / TIMES;
        println!("100 x 100 scopes: {worked_out:?} to work out, {told:?} to tell again");
        assert!(told * 5 < worked_out, "{told:?}, {worked_out:?}");
    }
}
