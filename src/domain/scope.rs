//! Scopes: what a key may do, what a request needs, and when the one covers the
//! other.
//!
//! A scope is segments of `[a-z0-9_.-]` split by `:`, as in `people:read`. A
//! last segment `*` matches one or more segments. A granted scope covers a
//! required one if it matches everything that the required one matches.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// The most bytes that a scope may have.
pub const MAX_SCOPE_LEN: usize = 100;

/// The most bytes that a requirement may have: ten alternatives of full length.
/// It bounds what a check can be made to read.
pub const MAX_REQUIREMENT_LEN: usize = 1024;

/// The segment that matches one or more, and, alone, the scope that covers all.
const WILDCARD: &str = "*";

/// How some vendors write [`WILDCARD`]: in capitals, and alone.
const ALL: &str = "ALL";

const SEPARATOR: char = ':';

/// A well-formed scope. `ALL` has become `*`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Scope(Box<str>);

impl Scope {
    /// The scope as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// How narrow it is: more, the less it covers.
    pub(super) fn narrowness(&self) -> usize {
        if self.0.ends_with(WILDCARD) {
            self.0.len()
        } else {
            usize::MAX
        }
    }
}

impl TryFrom<&str> for Scope {
    type Error = ScopeError;

    fn try_from(text: &str) -> Result<Self, ScopeError> {
        read(text).map(|scope| Self(scope.into()))
    }
}

impl FromStr for Scope {
    type Err = ScopeError;

    fn from_str(text: &str) -> Result<Self, ScopeError> {
        Self::try_from(text)
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Why a text is no scope. Positions count characters, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ScopeError {
    /// There is nothing.
    #[error("a scope cannot be empty")]
    Empty,
    /// It is longer than [`MAX_SCOPE_LEN`].
    #[error("a scope has at most {MAX_SCOPE_LEN} bytes, and this one has {length}")]
    TooLong {
        /// Its length in bytes.
        length: usize,
    },
    /// A segment is empty: a `:` is the first or last character, or doubled.
    #[error("a scope has no empty segments, and at character {position} this one has")]
    EmptySegment {
        /// Where the segment would start.
        position: usize,
    },
    /// A `*` is not a segment of its own, or not the last.
    #[error("`*` can only be all of the last segment, and at character {position} it is not")]
    Wildcard {
        /// Where the `*` is.
        position: usize,
    },
    /// A letter is upper-case, and the whole is not `ALL`.
    #[error("a scope is lower-case unless it is `ALL`, and character {position} is {found:?}")]
    UpperCase {
        /// The letter.
        found: char,
        /// Where it is.
        position: usize,
    },
    /// A character can be in no scope.
    #[error("a scope is of a-z, 0-9 and `_.-:*`, and character {position} is {found:?}")]
    Character {
        /// The character.
        found: char,
        /// Where it is.
        position: usize,
    },
}

/// A set of scopes, none twice, in order of their bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct ScopeSet(Box<[Scope]>);

impl ScopeSet {
    /// The set of `scopes`.
    #[must_use]
    pub fn new(scopes: impl IntoIterator<Item = Scope>) -> Self {
        let mut scopes: Vec<Scope> = scopes.into_iter().collect();
        scopes.sort_unstable();
        scopes.dedup();
        Self(scopes.into())
    }

    /// The scopes, in order of their bytes.
    pub fn iter(&self) -> std::slice::Iter<'_, Scope> {
        self.0.iter()
    }

    /// How many scopes there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether one of the scopes covers `required`.
    #[must_use]
    pub fn covers(&self, required: &Scope) -> bool {
        self.covers_text(&required.0)
    }

    /// Whether each of `required` is covered. No scopes at all are.
    #[must_use]
    pub fn covers_all(&self, required: &Self) -> bool {
        required.iter().all(|scope| self.covers(scope))
    }

    /// Whether these scopes meet `requirement`: a scope, or alternatives joined
    /// by `|`, one of which has to be covered.
    ///
    /// A requirement that is not well formed in every alternative is never met,
    /// not even by `*`: what its writer wanted is unknown. Allocates nothing.
    #[must_use]
    pub fn meets(&self, requirement: &str) -> bool {
        met_by(requirement, |required| self.covers_text(required))
    }

    /// The narrowest of the scopes that cover `required`, which is well formed,
    /// and its place. Each of them covers those that are narrower, and is less by
    /// its bytes: where the wider one has its `*`, they go on with something that
    /// is greater than that.
    pub(super) fn narrowest(&self, required: &str) -> Option<(usize, &Scope)> {
        self.iter()
            .enumerate()
            .rfind(|(_, granted)| granted_covers(&granted.0, required))
    }

    /// Whether one of the scopes covers `required`, which is well formed.
    pub(super) fn covers_text(&self, required: &str) -> bool {
        self.iter()
            .any(|granted| granted_covers(&granted.0, required))
    }
}

/// As people write them: apart by spaces, in order.
impl fmt::Display for ScopeSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, scope) in self.iter().enumerate() {
            let separator = if position == 0 { "" } else { " " };
            write!(f, "{separator}{scope}")?;
        }
        Ok(())
    }
}

impl FromIterator<Scope> for ScopeSet {
    fn from_iter<I: IntoIterator<Item = Scope>>(scopes: I) -> Self {
        Self::new(scopes)
    }
}

impl<'a> IntoIterator for &'a ScopeSet {
    type Item = &'a Scope;
    type IntoIter = std::slice::Iter<'a, Scope>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// Whether `requirement` is well formed and one of its alternatives is covered,
/// as `covers` tells of each.
pub(super) fn met_by(requirement: &str, covers: impl Fn(&str) -> bool) -> bool {
    if requirement.len() > MAX_REQUIREMENT_LEN {
        return false;
    }
    let mut met = false;
    // Read to the end even when met: what is ill formed may come last.
    for alternative in requirement.split('|') {
        match read(alternative) {
            // One that is covered is enough.
            Ok(required) => met = met || covers(required),
            // Nobody can tell what was required.
            Err(_) => return false,
        }
    }
    met
}

/// Whether the scope `granted` covers the scope `required`: whether it matches
/// everything that `required` matches. Both have to be well formed.
#[must_use]
pub fn granted_covers(granted: &str, required: &str) -> bool {
    match granted.strip_suffix(WILDCARD) {
        // `people:*` covers what goes on after `people:`, be it by name or by
        // `*`, but neither `people` nor `people:`. `*` covers whatever there is.
        Some(stem) => required.len() > stem.len() && required.starts_with(stem),
        // `people:read` covers itself. It matches one thing, and every pattern
        // with `*` matches more.
        None => granted == required,
    }
}

/// The scope that `text` writes, in the one spelling that we keep.
fn read(text: &str) -> Result<&str, ScopeError> {
    let text = one_spelling(text);
    if text.is_empty() {
        return Err(ScopeError::Empty);
    }
    if text.len() > MAX_SCOPE_LEN {
        return Err(ScopeError::TooLong { length: text.len() });
    }
    // All characters before the one in question are ASCII, being well formed,
    // so places in bytes are places in characters.
    let mut start = 1;
    let mut segments = text.split(SEPARATOR).peekable();
    while let Some(segment) = segments.next() {
        let is_last = segments.peek().is_none();
        if !(is_last && segment == WILDCARD) {
            check_segment(segment, start)?;
        }
        start += segment.len() + SEPARATOR.len_utf8();
    }
    Ok(text)
}

/// The spelling of `text` that we keep, if it is well formed.
pub(super) fn one_spelling(text: &str) -> &str {
    // Exactly this word: `all` is an ordinary scope, and `All` is none.
    if text == ALL { WILDCARD } else { text }
}

/// Checks a segment that names something, and whose first character is the one
/// at `start`.
fn check_segment(segment: &str, start: usize) -> Result<(), ScopeError> {
    if segment.is_empty() {
        return Err(ScopeError::EmptySegment { position: start });
    }
    let Some((index, found)) = segment.char_indices().find(|(_, c)| !is_named_with(*c)) else {
        return Ok(());
    };
    let position = start + index;
    Err(if found == '*' {
        ScopeError::Wildcard { position }
    } else if found.is_uppercase() {
        ScopeError::UpperCase { found, position }
    } else {
        ScopeError::Character { found, position }
    })
}

fn is_named_with(character: char) -> bool {
    character.is_ascii_lowercase()
        || character.is_ascii_digit()
        || matches!(character, '_' | '.' | '-')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn scope(text: &str) -> Scope {
        Scope::try_from(text).unwrap()
    }

    fn set(texts: &[&str]) -> ScopeSet {
        texts.iter().map(|text| scope(text)).collect()
    }

    #[test]
    fn which_scopes_are_well_formed() {
        for text in [
            "people",
            "people:read",
            "read:customers",
            "people:*",
            "people:read:*",
            "*",
            "all",
            "a",
            "0",
            "_",
            "-",
            ".",
            "..:..",
            "a.b-c_d:1",
        ] {
            assert_eq!(scope(text).as_str(), text);
            assert_eq!(text.parse::<Scope>(), Ok(scope(text)));
            assert_eq!(scope(text).to_string(), text);
        }
        assert_eq!(MAX_SCOPE_LEN, 100);
        let longest = "a".repeat(MAX_SCOPE_LEN);
        assert_eq!(scope(&longest).as_str(), longest);
        assert_eq!(scope("ALL"), scope("*"));
        assert_eq!(scope("ALL").as_str(), "*");
    }

    #[test]
    fn what_is_wrong_with_the_others() {
        use ScopeError::{Empty, EmptySegment, TooLong, Wildcard};
        let upper = |found, position| ScopeError::UpperCase { found, position };
        let character = |found, position| ScopeError::Character { found, position };
        let long = "a".repeat(MAX_SCOPE_LEN + 1);
        let huge = "a:".repeat(32 * 1024);
        for (text, expected) in [
            ("", Empty),
            (&*long, TooLong { length: 101 }),
            (&*huge, TooLong { length: 65536 }),
            (":", EmptySegment { position: 1 }),
            (":read", EmptySegment { position: 1 }),
            ("people:", EmptySegment { position: 8 }),
            ("a::b", EmptySegment { position: 3 }),
            ("a:::", EmptySegment { position: 3 }),
            (":*", EmptySegment { position: 1 }),
            ("*:read", Wildcard { position: 1 }),
            ("people:*:read", Wildcard { position: 8 }),
            ("*:*", Wildcard { position: 1 }),
            ("**", Wildcard { position: 1 }),
            ("people*", Wildcard { position: 7 }),
            ("people:re*", Wildcard { position: 10 }),
            ("people:*x", Wildcard { position: 8 }),
            ("All", upper('A', 1)),
            ("ALL:*", upper('A', 1)),
            ("x:ALL", upper('A', 3)),
            ("ALLE", upper('A', 1)),
            ("people:Read", upper('R', 8)),
            ("\u{410}LL", upper('\u{410}', 1)),
            (" ", character(' ', 1)),
            ("ALL ", upper('A', 1)),
            ("people:read ", character(' ', 12)),
            ("people read", character(' ', 7)),
            ("a,b", character(',', 2)),
            ("a|b", character('|', 2)),
            ("a/b", character('/', 2)),
            ("a\0", character('\0', 2)),
            ("a\r\n", character('\r', 2)),
            ("\u{feff}a", character('\u{feff}', 1)),
            ("a:\u{202e}b", character('\u{202e}', 3)),
            ("p\u{435}ople", character('\u{435}', 2)),
            ("a\u{ff1a}b", character('\u{ff1a}', 2)),
            ("a:\u{661}", character('\u{661}', 3)),
        ] {
            let start: String = text.chars().take(20).collect();
            assert_eq!(Scope::try_from(text), Err(expected), "{start:?}");
            // And so nothing meets it as a requirement; `a|b` is a fine one.
            if text != "a|b" {
                assert!(!set(&["*"]).meets(text), "{start:?}");
            }
        }
    }

    #[test]
    fn errors_say_what_is_wrong_and_where() {
        for (text, expected) in [
            ("", "a scope cannot be empty"),
            (
                "a::b",
                "a scope has no empty segments, and at character 3 this one has",
            ),
            (
                "a*",
                "`*` can only be all of the last segment, and at character 2 it is not",
            ),
            (
                "Read",
                "a scope is lower-case unless it is `ALL`, and character 1 is 'R'",
            ),
            (
                "a\u{202e}b",
                "a scope is of a-z, 0-9 and `_.-:*`, and character 2 is '\\u{202e}'",
            ),
        ] {
            assert_eq!(Scope::try_from(text).unwrap_err().to_string(), expected);
        }
        assert_eq!(
            Scope::try_from("a".repeat(101).as_str())
                .unwrap_err()
                .to_string(),
            "a scope has at most 100 bytes, and this one has 101"
        );
    }

    #[test]
    fn what_covers_what() {
        for (granted, required, expected) in [
            // By name: itself and no neighbour.
            ("people", "people", true),
            ("people", "peopl", false),
            ("people", "peoples", false),
            ("people", "people:read", false),
            ("people", "people:*", false),
            ("people", "*", false),
            ("people:read", "people:read", true),
            ("people:read", "people", false),
            ("people:read", "people:reads", false),
            ("people:read", "people:write", false),
            ("people:read", "people:read:x", false),
            ("people:read", "people:*", false),
            ("read:people", "people:read", false),
            // By the last segment: one or more of them.
            ("people:*", "people:read", true),
            ("people:*", "people:read:x", true),
            ("people:*", "people:*", true),
            ("people:*", "people:read:*", true),
            ("people:*", "people", false),
            ("people:*", "peoples:read", false),
            ("people:*", "person:read", false),
            ("people:*", "*", false),
            ("people:read:*", "people:*", false),
            ("people:read:*", "people:read", false),
            ("people:read:*", "people:read:x", true),
            // By `*` alone: everything.
            ("*", "*", true),
            ("*", "people", true),
            ("*", "people:read", true),
            ("*", "people:*", true),
        ] {
            assert_eq!(
                granted_covers(granted, required),
                expected,
                "{granted} {required}"
            );
            assert_eq!(set(&[granted]).covers(&scope(required)), expected);
            assert_eq!(set(&[granted]).meets(required), expected);
        }
        // Not well formed, and not covered either.
        assert!(!granted_covers("people:*", "people:"));
    }

    #[test]
    fn a_set_is_sorted_and_holds_nothing_twice() {
        let scopes = set(&["b", "a:read", "ALL", "b", "*", "a"]);
        let texts: Vec<_> = scopes.iter().map(Scope::as_str).collect();
        assert_eq!(texts, ["*", "a", "a:read", "b"]);
        assert_eq!(scopes, set(&["a", "b", "*", "a:read"]));
        assert_eq!(scopes.len(), 4);
        assert!(!scopes.is_empty());
        assert!(ScopeSet::default().is_empty());
    }

    #[test]
    fn a_set_covers_another_if_it_covers_each() {
        for (granted, required, expected) in [
            (&[][..], &[][..], true),
            (&["a"], &[], true),
            (&[], &["a"], false),
            (&["a", "b:*"], &["a", "b:c"], true),
            (&["a", "b:*"], &["a", "b"], false),
            (&["a", "b"], &["*"], false),
            (&["*"], &["*", "a", "b:*"], true),
        ] {
            assert_eq!(
                set(granted).covers_all(&set(required)),
                expected,
                "{granted:?} {required:?}"
            );
        }
    }

    #[test]
    fn which_requirements_are_met() {
        for (granted, requirement, expected) in [
            (&["people:read"][..], "people:read", true),
            (&["people:read"], "people:write", false),
            (&["companies:write"], "companies:read|companies:write", true),
            (&["companies:read"], "companies:read|companies:write", true),
            (&["companies:*"], "companies:read|companies:write", true),
            (&["people:*"], "companies:read|companies:write", false),
            (&["a"], "a|a|a", true),
            (&["b"], "a|b|c", true),
            // Everything is met by everything alone.
            (&["*"], "*", true),
            (&["*"], "ALL", true),
            (&["*"], "ALL|people:read", true),
            (&["people:read"], "ALL|people:read", true),
            (&["people:*"], "ALL", false),
            (&["people:*"], "*", false),
            (&[], "ALL", false),
            (&[], "a", false),
        ] {
            assert_eq!(
                set(granted).meets(requirement),
                expected,
                "{granted:?} {requirement}"
            );
        }
    }

    #[test]
    fn an_ill_formed_requirement_is_never_met() {
        let everything = set(&["*", "a", "b"]);
        for requirement in [
            "",
            "|",
            "||",
            "a|",
            "|a",
            "a||b",
            "a| b",
            "a |b",
            " a",
            "a b",
            "a,b",
            "a&b",
            "A",
            "all|All",
            "a|B",
            "a|b:",
            "a|:b",
            "a|*b",
            "*:a",
            "a*",
            "a\0",
            "a\n",
            "\u{feff}a",
            "a|\u{430}",
            "a\u{ff5c}b",
        ] {
            assert!(!everything.meets(requirement), "{requirement:?}");
        }
    }

    #[test]
    fn a_requirement_has_a_greatest_length() {
        let everything = set(&["*"]);
        let alternative = "a".repeat(MAX_SCOPE_LEN);
        assert!(everything.meets(&alternative));
        assert!(!everything.meets(&format!("{alternative}a")));
        let longest = "a|".repeat(MAX_REQUIREMENT_LEN / 2 - 1) + "aa";
        assert_eq!(longest.len(), MAX_REQUIREMENT_LEN);
        assert!(everything.meets(&longest));
        assert!(!everything.meets(&format!("{longest}a")));
        assert!(!everything.meets(&"a|b".repeat(64 * 1024)));
    }

    #[test]
    fn meets_does_not_allocate() {
        let granted = set(&["people:*", "companies:read"]);
        let usage = allocation_counter::measure(|| {
            for requirement in ["people:read", "x|companies:read|ALL", "", "a||b", "\u{430}"] {
                std::hint::black_box(granted.meets(requirement));
            }
        });
        assert_eq!(usage.count_total, 0);
    }

    /// The words of up to `depth` segments of `a` and `b`.
    fn words(depth: usize) -> Vec<Vec<&'static str>> {
        let mut all: Vec<Vec<&str>> = Vec::new();
        let mut longest = vec![Vec::new()];
        for _ in 0..depth {
            longest = longest
                .iter()
                .flat_map(|word| ["a", "b"].map(|segment| [&word[..], &[segment]].concat()))
                .collect();
            all.extend(longest.iter().cloned());
        }
        all
    }

    /// Which of `words` a pattern matches, by the definition and nothing else.
    fn matches(pattern: &str, words: &[Vec<&str>]) -> BTreeSet<usize> {
        let segments: Vec<_> = pattern.split(':').collect();
        let (last, stem) = segments.split_last().unwrap();
        words
            .iter()
            .enumerate()
            .filter(|(_, word)| {
                if *last == "*" {
                    word.len() > stem.len() && word[..stem.len()] == *stem
                } else {
                    **word == segments
                }
            })
            .map(|(index, _)| index)
            .collect()
    }

    /// Every pair of patterns of up to three segments, against the words of up
    /// to five: two more than any pattern names, so that no `*` looks finite.
    #[test]
    fn covers_exactly_what_matches_everything_that_the_other_matches() {
        let words = words(5);
        let mut patterns: Vec<String> = words
            .iter()
            .filter(|word| word.len() <= 3)
            .map(|word| word.join(":"))
            .collect();
        let stems: Vec<String> = patterns.iter().map(|stem| format!("{stem}:*")).collect();
        patterns.extend(stems);
        patterns.push("*".to_owned());
        assert_eq!(patterns.len(), 29);

        for granted in &patterns {
            let granted_words = matches(granted, &words);
            for required in &patterns {
                let expected = matches(required, &words).is_subset(&granted_words);
                assert_eq!(
                    granted_covers(granted, required),
                    expected,
                    "{granted} {required}"
                );
                // And so by every way that asks it.
                let granted_set = set(&[granted]);
                assert_eq!(granted_set.covers(&scope(required)), expected);
                assert_eq!(granted_set.covers_all(&set(&[required])), expected);
                assert_eq!(granted_set.meets(required), expected);
                let either = format!("neither|{required}");
                assert_eq!(
                    granted_set.meets(&either),
                    expected || granted == "*",
                    "{granted} {either}"
                );
            }
        }
    }

    /// Scopes of few letters, so that they often have to do with each other.
    fn scopes() -> impl Strategy<Value = String> {
        prop_oneof![
            4 => "[ab]{1,2}(:[ab]{1,2}){0,3}(:\\*)?",
            1 => Just("*".to_owned()),
        ]
    }

    proptest! {
        #[test]
        fn covering_is_reflexive_and_transitive(a in scopes(), b in scopes(), c in scopes()) {
            prop_assert!(granted_covers(&a, &a));
            if granted_covers(&a, &b) && granted_covers(&b, &c) {
                prop_assert!(granted_covers(&a, &c));
            }
            if granted_covers(&a, &b) && granted_covers(&b, &a) {
                prop_assert_eq!(a, b);
            }
        }

        #[test]
        fn a_set_meets_what_one_of_its_scopes_covers(
            granted in proptest::collection::vec(scopes(), 0..6),
            required in proptest::collection::vec(scopes(), 1..6),
        ) {
            let expected = granted
                .iter()
                .any(|granted| required.iter().any(|required| granted_covers(granted, required)));
            let granted: ScopeSet = granted.iter().map(|text| scope(text)).collect();
            prop_assert_eq!(granted.meets(&required.join("|")), expected);
            // An alternative that is not well formed takes it all back.
            let place = required.len() / 2;
            let mut spoilt = required;
            spoilt.insert(place, String::new());
            prop_assert!(!granted.meets(&spoilt.join("|")));
        }

        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,120}|[a-cA-C:*|_ -]{0,30}") {
            let everything = set(&["*"]);
            match Scope::try_from(text.as_str()) {
                Ok(scope) => {
                    prop_assert!(everything.covers(&scope) && everything.meets(&text));
                    prop_assert_eq!(scope.as_str().parse(), Ok(scope));
                }
                Err(error) => {
                    prop_assert!(!error.to_string().is_empty());
                    prop_assert!(text.contains('|') || !everything.meets(&text));
                }
            }
        }
    }
}
