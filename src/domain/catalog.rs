//! The scope catalog: which scopes are in use in a workspace, so that a typo in
//! a key's scopes is found when the key is issued, and not when it is denied.

use super::fields::{ScopeLimits, read_scopes};
use super::scope::{Scope, ScopeSet};
use super::violation::Violations;

/// The most scopes of a catalog.
pub const MAX_CATALOG: usize = 200;
/// The most bytes of all scopes of a catalog together.
pub const MAX_CATALOG_LEN: usize = 4_096;

/// A scope is a typo of another if it differs in at most this many characters.
const MAX_TYPOS: usize = 3;

/// What to tell of a scope that is not admitted.
pub(super) const STRANGE: &str = "is not in the workspace's scope catalog";

/// The scopes that are in use. Without any, all may be.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ScopeCatalog(ScopeSet);

impl ScopeCatalog {
    /// The catalog of these scopes.
    #[must_use]
    pub const fn new(scopes: ScopeSet) -> Self {
        Self(scopes)
    }

    /// Reads a catalog, and notes which of its scopes are none.
    pub(super) fn read(violations: &mut Violations, field: &str, texts: &[String]) -> Self {
        let limits = ScopeLimits {
            count: MAX_CATALOG,
            len: MAX_CATALOG_LEN,
        };
        Self(read_scopes(violations, field, texts, limits))
    }

    /// Its scopes.
    #[must_use]
    pub const fn scopes(&self) -> &ScopeSet {
        &self.0
    }

    /// Whether a key may be given `scope`: it is covered by one of the
    /// catalog, or covers one, as `people:*` does.
    #[must_use]
    pub fn admits(&self, scope: &Scope) -> bool {
        let covers_one = || {
            let wide = ScopeSet::new([scope.clone()]);
            self.0.iter().any(|known| wide.covers(known))
        };
        self.0.is_empty() || self.0.covers(scope) || covers_one()
    }

    /// What to tell of a scope that is not admitted, with the one that may have
    /// been meant.
    pub(super) fn correct(&self, scope: &str) -> String {
        let nearest = self
            .0
            .iter()
            // Each character more or less is a difference.
            .filter(|known| known.as_str().len().abs_diff(scope.len()) <= MAX_TYPOS)
            .map(|known| (strsim::damerau_levenshtein(known.as_str(), scope), known))
            .min_by_key(|(distance, _)| *distance)
            .filter(|(distance, _)| *distance <= MAX_TYPOS);
        match nearest {
            Some((_, known)) => {
                format!("{STRANGE}; did you mean `{known}`?")
            }
            None => STRANGE.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope(text: &str) -> Scope {
        Scope::try_from(text).unwrap()
    }

    fn catalog(texts: &[&str]) -> ScopeCatalog {
        ScopeCatalog::new(texts.iter().map(|text| scope(text)).collect())
    }

    #[test]
    fn a_scope_is_admitted_if_it_is_there_or_covered_or_covers() {
        let known = catalog(&["people:read", "people:write", "reports:*"]);
        for (text, admitted) in [
            ("people:read", true),
            ("people:*", true),
            ("*", true),
            ("reports:daily", true),
            ("reports:*", true),
            ("people:raed", false),
            ("people", false),
            ("companies:*", false),
        ] {
            assert_eq!(known.admits(&scope(text)), admitted, "{text}");
        }
        assert!(catalog(&[]).admits(&scope("anything:goes")));
    }

    #[test]
    fn a_typo_is_told_with_the_nearest_scope() {
        let known = catalog(&["people:read", "people:write"]);
        assert!(known.correct("people:raed").contains("`people:read`"));
        assert!(known.correct("poeple:write").contains("`people:write`"));
        assert!(!known.correct("invoices:send").contains("did you mean"));
    }
}
