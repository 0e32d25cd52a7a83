//! What a key may do where it is used: its scopes, within what its principal
//! may there.

use std::borrow::Cow;

use super::scope::{ScopeSet, met_by, one_spelling};

/// The scopes of a key, within a ceiling if there is one.
///
/// Of two scopes one of which covers the other, the narrower is granted; of two
/// that do not, nothing. Two that both cover a third are never apart: so what
/// both the scopes and the ceiling cover is what is granted, and nothing has to
/// be computed to tell.
#[derive(Clone, Copy, Debug)]
pub struct Granted<'k> {
    scopes: &'k ScopeSet,
    ceiling: Option<&'k ScopeSet>,
}

impl<'k> Granted<'k> {
    /// All of `scopes`.
    #[must_use]
    pub const fn all(scopes: &'k ScopeSet) -> Self {
        Self {
            scopes,
            ceiling: None,
        }
    }

    /// Of `scopes` what lies within `ceiling`; none: all of them.
    #[must_use]
    pub const fn within(scopes: &'k ScopeSet, ceiling: Option<&'k ScopeSet>) -> Self {
        Self { scopes, ceiling }
    }

    /// Whether `requirement` is met: a scope, or alternatives joined by `|`, one
    /// of which has to be granted. As [`ScopeSet::meets`]; it allocates nothing.
    #[must_use]
    pub fn meets(&self, requirement: &str) -> bool {
        match self.ceiling {
            None => self.scopes.meets(requirement),
            Some(ceiling) => met_by(requirement, |required| {
                self.scopes.covers_text(required) && ceiling.covers_text(required)
            }),
        }
    }

    /// The place, among the key's own scopes, of the narrowest that meets
    /// `requirement`, which is well formed. Of those that meet it by different
    /// alternatives, it is one that names a single thing, or the longest.
    #[must_use]
    pub(super) fn needed(&self, requirement: &str) -> Option<usize> {
        let mut needed = None;
        for alternative in requirement.split('|').map(one_spelling) {
            let is_within = |ceiling: &ScopeSet| ceiling.covers_text(alternative);
            let found = self.scopes.narrowest(alternative);
            if let Some((place, scope)) = found
                && self.ceiling.is_none_or(is_within)
                && needed.is_none_or(|(_, width)| width < scope.narrowness())
            {
                needed = Some((place, scope.narrowness()));
                // None is narrower.
                if scope.narrowness() == usize::MAX {
                    break;
                }
            }
        }
        needed.map(|(place, _)| place)
    }

    /// What is granted, as scopes. It is computed where there is a ceiling.
    #[must_use]
    pub fn scopes(&self) -> Cow<'k, ScopeSet> {
        let Some(ceiling) = self.ceiling else {
            return Cow::Borrowed(self.scopes);
        };
        let own = self.scopes.iter().filter(|scope| ceiling.covers(scope));
        let narrower = ceiling.iter().filter(|scope| self.scopes.covers(scope));
        Cow::Owned(ScopeSet::new(own.chain(narrower).cloned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::scope::{Scope, granted_covers};

    /// All scopes of at most three segments over two letters, and with `*`.
    fn alphabet() -> Vec<Scope> {
        let mut stems = vec![String::new()];
        let mut texts = vec!["*".to_owned()];
        for _ in 0..3 {
            let mut longer = Vec::new();
            for stem in &stems {
                for letter in ["a", "b"] {
                    let text = match stem.as_str() {
                        "" => letter.to_owned(),
                        stem => format!("{stem}:{letter}"),
                    };
                    texts.push(text.clone());
                    texts.push(format!("{text}:*"));
                    longer.push(text);
                }
            }
            stems = longer;
        }
        texts
            .iter()
            .map(|text| Scope::try_from(text.as_str()).unwrap())
            .collect()
    }

    /// The narrower of two, if one covers the other.
    fn narrower<'s>(one: &'s Scope, other: &'s Scope) -> Option<&'s Scope> {
        if granted_covers(one.as_str(), other.as_str()) {
            Some(other)
        } else if granted_covers(other.as_str(), one.as_str()) {
            Some(one)
        } else {
            None
        }
    }

    #[test]
    fn what_is_granted_is_the_narrower_of_each_two() {
        let alphabet = alphabet();
        assert_eq!(alphabet.len(), 29);
        let mut pairs = Vec::new();
        for (position, one) in alphabet.iter().enumerate() {
            pairs.push(ScopeSet::new([one.clone()]));
            for other in alphabet[position + 1..].iter().step_by(3) {
                pairs.push(ScopeSet::new([one.clone(), other.clone()]));
            }
        }
        let mut narrowed = 0;
        for own in &pairs {
            for ceiling in &pairs {
                let granted = Granted::within(own, Some(ceiling));
                let expected = ScopeSet::new(
                    own.iter()
                        .flat_map(|one| {
                            ceiling.iter().filter_map(move |other| narrower(one, other))
                        })
                        .cloned(),
                );
                assert_eq!(*granted.scopes(), expected, "{own} within {ceiling}");
                narrowed += usize::from(expected != *own);
                for required in &alphabet {
                    assert_eq!(
                        granted.meets(required.as_str()),
                        expected.covers(required),
                        "{own} within {ceiling}: {required}"
                    );
                }
            }
        }
        assert!(narrowed > 10_000, "{narrowed}");
    }

    #[test]
    fn one_alternative_has_to_be_within_both() {
        let set = |texts: &[&str]| -> ScopeSet {
            texts
                .iter()
                .map(|text| Scope::try_from(*text).unwrap())
                .collect()
        };
        let (own, ceiling) = (set(&["a:read", "c:*"]), set(&["b:read", "c:read"]));
        let granted = Granted::within(&own, Some(&ceiling));
        for (requirement, met) in [
            // One has the one, the other the other, and none has both.
            ("a:read|b:read", false),
            ("a:read|c:read", true),
            ("c:*", false),
            ("c:read|No", false),
            ("", false),
        ] {
            assert_eq!(granted.meets(requirement), met, "{requirement}");
        }
        assert_eq!(*granted.scopes(), set(&["c:read"]));
        assert_eq!(*Granted::all(&own).scopes(), own);
        assert!(Granted::all(&own).meets("a:read|b:read"));
    }

    #[test]
    fn to_judge_allocates_nothing() {
        let own = ScopeSet::new([Scope::try_from("a:*").unwrap()]);
        let ceiling = ScopeSet::new([Scope::try_from("a:b").unwrap()]);
        let granted = Granted::within(&own, Some(&ceiling));
        let allocations = allocation_counter::measure(|| {
            assert!(granted.meets("x|a:b"));
            assert!(!granted.meets("a:c"));
        });
        assert_eq!(allocations.count_total, 0);
    }
}
