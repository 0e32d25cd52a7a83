//! What is wrong with a header value that is not one credential, and where: for
//! operators, who wrote it or are asked about it. Of what it holds, nothing is
//! told.

use std::fmt;

use super::{
    CredentialError, MAX_HEADER_LEN, Scheme, Scratch, has_token_shape, may_be_foreign,
    may_be_in_token, parse,
};

/// What is wrong with a header value, and where.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Flaw {
    /// What.
    pub kind: FlawKind,
    /// The byte that it starts at, counted from 1.
    pub position: usize,
}

/// What can be wrong with a header value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FlawKind {
    /// It is longer than any header value may be.
    TooLong,
    /// A comma, as between two credentials.
    Comma,
    /// A quotation mark.
    Quote,
    /// A tab, a line's end or another control character.
    Control,
    /// A byte beyond ASCII.
    NotAscii,
    /// A word more than a scheme and its token.
    ExtraWord,
    /// The first of two words is no scheme that is accepted.
    UnknownScheme,
    /// A scheme stands where the token should.
    NoToken,
    /// What follows `Basic` is not base64, or longer than is read.
    NotBase64,
    /// What `Basic` holds has a character that no user and password may have.
    OddBasic,
    /// What `Basic` holds has no colon between a user and a password.
    NoColon,
    /// Neither the user nor the password of `Basic` may be a token.
    BasicWithoutToken,
    /// The user and the password of `Basic` both may be a token.
    TwoTokens,
}

impl FlawKind {
    /// The name of it, for programs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TooLong => "TOO_LONG",
            Self::Comma => "COMMA",
            Self::Quote => "QUOTE",
            Self::Control => "CONTROL",
            Self::NotAscii => "NOT_ASCII",
            Self::ExtraWord => "EXTRA_WORD",
            Self::UnknownScheme => "UNKNOWN_SCHEME",
            Self::NoToken => "NO_TOKEN",
            Self::NotBase64 => "NOT_BASE64",
            Self::OddBasic => "ODD_BASIC",
            Self::NoColon => "NO_COLON",
            Self::BasicWithoutToken => "BASIC_WITHOUT_TOKEN",
            Self::TwoTokens => "TWO_TOKENS",
        }
    }
}

/// The rest of the sentence that starts with where it is.
impl fmt::Display for FlawKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooLong => "it goes on, and is too long to be read",
            Self::Comma => "there is a comma, as between two credentials",
            Self::Quote => "there is a quotation mark",
            Self::Control => "there is a tab, a line's end or another control character",
            Self::NotAscii => "there is a byte that is not ASCII",
            Self::ExtraWord => "there is one more word than a scheme and its token",
            Self::UnknownScheme => {
                "there is a scheme that is none of Bearer, Api-Key, ApiKey, Token and Basic"
            }
            Self::NoToken => "there is a scheme where the token should be",
            Self::NotBase64 => "there is something behind Basic that is not base64, or is too long",
            Self::OddBasic => {
                "there is base64 behind Basic that holds a character which no credential may have"
            }
            Self::NoColon => "there is base64 behind Basic that holds no user and password",
            Self::BasicWithoutToken => {
                "there is a user and password behind Basic, neither of which may be a token"
            }
            Self::TwoTokens => {
                "there is a user and password behind Basic, both of which may be a token"
            }
        })
    }
}

/// What makes `header` [`CredentialError::Malformed`]; none, if it is not.
#[must_use]
pub fn flaw(header: &[u8]) -> Option<Flaw> {
    let flaw = |kind, at| {
        Some(Flaw {
            kind,
            position: at + 1,
        })
    };
    if parse(header, &mut Scratch::new()) != Err(CredentialError::Malformed) {
        return None;
    }
    if header.len() > MAX_HEADER_LEN {
        return flaw(FlawKind::TooLong, MAX_HEADER_LEN);
    }
    let is_odd = |byte: &u8| *byte != b' ' && !may_be_in_token(*byte);
    if let Some(at) = header.iter().position(is_odd) {
        let kind = match header[at] {
            b',' => FlawKind::Comma,
            b'"' => FlawKind::Quote,
            byte if byte.is_ascii() => FlawKind::Control,
            _ => FlawKind::NotAscii,
        };
        return flaw(kind, at);
    }
    let [first, second, third] = words(header);
    match (first, second, third) {
        (Some((first, _)), None, _) => flaw(FlawKind::NoToken, first),
        (_, _, Some((third, _))) => flaw(FlawKind::ExtraWord, third),
        (Some((at, scheme)), Some((behind, word)), None) => match Scheme::named(scheme) {
            None => flaw(FlawKind::UnknownScheme, at),
            Some(_) if Scheme::named(word).is_some() => flaw(FlawKind::NoToken, behind),
            Some(_) => flaw(flaw_of_basic(word), behind),
        },
        (None, _, _) => None,
    }
}

/// The scheme of a header value that is one credential, as it is written in the
/// documents; empty: it is the bare token.
#[must_use]
pub fn scheme(header: &[u8]) -> &'static str {
    let [first, second, _] = words(header);
    let named = |word: &[u8]| {
        let mut schemes = Scheme::NAMED.iter();
        schemes.find(|(name, _)| word.eq_ignore_ascii_case(name.as_bytes()))
    };
    match (first, second) {
        (Some((_, first)), Some(_)) => named(first).map_or("", |(name, _)| name),
        (_, _) => "",
    }
}

/// The first three words, and where each starts.
fn words(header: &[u8]) -> [Option<(usize, &[u8])>; 3] {
    let mut at = 0;
    let mut words = header
        .split(|byte| *byte == b' ')
        .map(|word| {
            let start = at;
            at += word.len() + 1;
            (start, word)
        })
        .filter(|(_, word)| !word.is_empty());
    [words.next(), words.next(), words.next()]
}

fn flaw_of_basic(encoded: &[u8]) -> FlawKind {
    let mut scratch = Scratch::new();
    let Ok(pair) = scratch.decode(encoded) else {
        return FlawKind::NotBase64;
    };
    if !pair.iter().copied().all(may_be_in_token) {
        return FlawKind::OddBasic;
    }
    let Some(colon) = pair.iter().position(|byte| *byte == b':') else {
        return FlawKind::NoColon;
    };
    let (user, password) = (&pair[..colon], &pair[colon + 1..]);
    let are_both = |may: fn(&[u8]) -> bool| may(user) && may(password);
    if are_both(has_token_shape) || are_both(may_be_foreign) {
        FlawKind::TwoTokens
    } else {
        FlawKind::BasicWithoutToken
    }
}

#[cfg(test)]
mod tests {
    use data_encoding::BASE64;
    use proptest::prelude::*;

    use super::*;

    const TOKEN: &str = "klg_live_yhjskwdA6OZ1AL1YmHWZWm8LLG7HjnuCA2j5rOw8Xp13kbUxd";

    fn basic(pair: &str) -> String {
        format!("Basic {}", BASE64.encode(pair.as_bytes()))
    }

    #[test]
    fn each_flaw_is_told_with_its_place() {
        for (header, kind, position) in [
            ("a".repeat(1_025), FlawKind::TooLong, 1_025),
            (
                format!("Bearer {TOKEN}, x"),
                FlawKind::Comma,
                8 + TOKEN.len(),
            ),
            (format!("\"{TOKEN}\""), FlawKind::Quote, 1),
            (
                format!("Bearer {TOKEN}\r"),
                FlawKind::Control,
                8 + TOKEN.len(),
            ),
            ("Bearer\ta".to_owned(), FlawKind::Control, 7),
            ("k\u{e4}".to_owned(), FlawKind::NotAscii, 2),
            (
                format!("Bearer  {TOKEN} x"),
                FlawKind::ExtraWord,
                10 + TOKEN.len(),
            ),
            (format!("  Digest {TOKEN}"), FlawKind::UnknownScheme, 3),
            ("bearer".to_owned(), FlawKind::NoToken, 1),
            ("Bearer  Token".to_owned(), FlawKind::NoToken, 9),
            ("Basic !".to_owned(), FlawKind::NotBase64, 7),
            (basic("a b"), FlawKind::OddBasic, 7),
            (basic(TOKEN), FlawKind::NoColon, 7),
            (basic("a:b"), FlawKind::BasicWithoutToken, 7),
            (basic(&format!("{TOKEN}:{TOKEN}")), FlawKind::TwoTokens, 7),
        ] {
            let expected = Flaw { kind, position };
            assert_eq!(flaw(header.as_bytes()), Some(expected), "{header:?}");
            assert!(!kind.to_string().is_empty() && !kind.as_str().is_empty());
        }
    }

    #[test]
    fn schemes_are_named_as_they_are_documented() {
        for (header, expected) in [
            (TOKEN.to_owned(), ""),
            (format!("bearer {TOKEN}"), "Bearer"),
            (format!(" API-key  {TOKEN}"), "Api-Key"),
            (basic(&format!("{TOKEN}:")), "Basic"),
        ] {
            assert_eq!(scheme(header.as_bytes()), expected);
        }
    }

    proptest! {
        #[test]
        fn what_is_malformed_has_a_flaw_and_nothing_else_has(
            parts in proptest::collection::vec(
                prop_oneof![
                    Just(TOKEN.to_owned()),
                    Just(basic(&format!("{TOKEN}:"))),
                    Just(basic("a:b")),
                    "(Bearer|basic|Digest|token) {1,2}",
                    "[ ,\"\t\u{e4}a]{0,3}",
                    "[A-Za-z0-9+/=]{0,12}",
                ],
                0..4,
            ),
        ) {
            let header = parts.concat();
            let parsed = parse(header.as_bytes(), &mut Scratch::new()).map(<[u8]>::to_vec);
            let found = flaw(header.as_bytes());
            prop_assert_eq!(found.is_some(), parsed == Err(CredentialError::Malformed));
            if let Some(found) = found {
                prop_assert!((1..=header.len()).contains(&found.position));
            }
        }
    }
}
