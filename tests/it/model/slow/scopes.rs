//! What scopes mean, by brute force: a scope is the set of all words that it
//! matches, and whatever is said of scopes is said of sets.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use super::super::words::Requirement;

/// Segments of scopes: as few as can be, so that scopes often have to do with
/// each other.
pub(in super::super) const SEGMENTS: [&str; 2] = ["a", "b"];

/// Segments of words: one more than scopes have, which stands for all others.
const OF_WORDS: [&str; 3] = ["a", "b", "c"];

/// The most segments of a word: one more than any scope here has.
const LONGEST: usize = 4;

/// All words, each of which has a bit: there are 120.
static WORDS: LazyLock<Vec<Vec<&'static str>>> = LazyLock::new(|| {
    let mut words = Vec::new();
    let mut longest: Vec<Vec<&str>> = vec![Vec::new()];
    for _ in 0..LONGEST {
        let longer = |word: &Vec<&'static str>| OF_WORDS.map(|last| [&word[..], &[last]].concat());
        longest = longest.iter().flat_map(longer).collect();
        words.extend(longest.iter().cloned());
    }
    words
});

/// What each scope that is ever drawn means.
static MEANINGS: LazyLock<BTreeMap<String, u128>> = LazyLock::new(|| {
    let mut all = BTreeMap::new();
    for word in WORDS.iter().filter(|word| word.len() < LONGEST) {
        let stem = &word[..word.len() - 1];
        for pattern in [word.join(":"), [stem, &["*"]].concat().join(":")] {
            let bits = WORDS.iter().enumerate();
            let matched = bits.filter(|(_, word)| matches(&pattern, word));
            let meaning = matched.map(|(bit, _)| 1 << bit).sum();
            all.insert(pattern, meaning);
        }
    }
    all
});

/// Whether the scope matches the word of these segments.
fn matches(scope: &str, word: &[&str]) -> bool {
    let segments: Vec<_> = scope.split(':').collect();
    match segments.split_last().unwrap() {
        (&"*", stem) => word.len() > stem.len() && word.starts_with(stem),
        _ => segments == word,
    }
}

/// All words that one of the scopes matches.
pub(in super::super) fn meaning<'a>(scopes: impl IntoIterator<Item = &'a String>) -> u128 {
    let of = |scope: &String| MEANINGS[if scope == "ALL" { "*" } else { scope }];
    scopes.into_iter().fold(0, |all, scope| all | of(scope))
}

/// Whether all words of the one are words of the other.
pub(super) const fn covers(granted: u128, required: u128) -> bool {
    required & !granted == 0
}

impl Requirement {
    pub(in super::super) fn is_met_by(&self, granted: u128) -> bool {
        match self {
            Self::AnyOf(scopes) => scopes.iter().any(|scope| covers(granted, meaning([scope]))),
            Self::IllFormed(_) => false,
        }
    }
}

/// Whether scopes are everything, as a ceiling of `*` is.
pub(super) fn is_everything(scopes: &BTreeSet<String>) -> bool {
    scopes.contains("*")
}
