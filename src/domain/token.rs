//! The token: the secret string `<prefix>[_<environment>]_<secret><checksum>`,
//! how it is minted and what shape a presented one has.
//!
//! The secret is a random number of 256 bits. The checksum is the CRC-32 of
//! every byte before it: it stops a typo before any lookup and lets scanners
//! tell a token offline. It proves nothing about possession.

use std::fmt;

use rand::TryRng;
use rand::rngs::SysRng;
use thiserror::Error;
use zeroize::Zeroizing;

use super::base62;
use super::violation::Violations;

/// The most bytes that a token of ours can have.
pub const MAX_TOKEN_LEN: usize = MAX_LABEL_LEN + 1 + SECRET_LEN + CHECKSUM_LEN;

/// No workspace can have a prefix that starts with this: such tokens are those
/// of admin keys.
pub const RESERVED_PREFIX: &str = "keyward";

/// The fewest base62 digits that hold 256 bits: 62^43 is 1.02 * 2^256.
pub(super) const SECRET_LEN: usize = 43;

/// The fewest base62 digits that hold 32 bits.
pub(super) const CHECKSUM_LEN: usize = 6;

/// How much randomness a secret is made of.
const SECRET_BITS: usize = 256;

/// A prefix of one letter would say nothing of whose token it is.
const MIN_PREFIX_LEN: usize = 2;
const MAX_PREFIX_LEN: usize = 21;
const MAX_ENVIRONMENT_LEN: usize = 12;
pub(super) const MAX_LABEL_LEN: usize = MAX_PREFIX_LEN + 1 + MAX_ENVIRONMENT_LEN;

/// How many characters at a token's end may be displayed. They are of the
/// checksum, and show nothing of the secret that the checksum does not.
const TAIL_LEN: usize = 4;

/// A token just minted, in clear: to be shown to its owner once, and digested.
///
/// It is wiped from memory when dropped. It cannot be printed, compared or
/// copied.
pub struct Token(Zeroizing<String>);

impl Token {
    /// Mints a token with a secret from the operating system's random source.
    ///
    /// No `environment` leaves that part out: the workspace has none, or this
    /// one is unmarked there.
    ///
    /// # Panics
    ///
    /// If the operating system refuses to give random bytes, which a running
    /// Linux does not: a token of any other origin could be guessed.
    #[must_use]
    pub fn mint(prefix: &TokenPrefix, environment: Option<&EnvironmentName>) -> Self {
        let mut random = Zeroizing::new([0; SECRET_BITS / 8]);
        SysRng
            .try_fill_bytes(random.as_mut_slice())
            .expect("the operating system gives random bytes");
        Self::assemble(prefix, environment, &random)
    }

    /// The whole token, in clear. Each call of this is a way out for a secret.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// The last four characters, which [`hint`] displays.
    #[must_use]
    pub fn tail(&self) -> [u8; TAIL_LEN] {
        *self
            .0
            .as_bytes()
            .last_chunk()
            .expect("a token ends in a checksum, which is longer than a tail")
    }

    fn assemble(
        prefix: &TokenPrefix,
        environment: Option<&EnvironmentName>,
        random: &[u8; SECRET_BITS / 8],
    ) -> Self {
        // All the room is taken at once: a string that grows leaves copies of
        // itself behind, which nobody wipes.
        let mut text = Zeroizing::new(String::with_capacity(MAX_TOKEN_LEN));
        text.push_str(prefix.as_str());
        if let Some(environment) = environment {
            text.push('_');
            text.push_str(environment.as_str());
        }
        text.push('_');

        let mut number = Zeroizing::new([0; SECRET_BITS / u32::BITS as usize]);
        let (limbs, _) = random.as_chunks();
        for (limb, bytes) in number.iter_mut().zip(limbs) {
            *limb = u32::from_be_bytes(*bytes);
        }
        let mut secret = Zeroizing::new([0; SECRET_LEN]);
        base62::encode(number.as_mut_slice(), secret.as_mut_slice());
        text.extend(secret.iter().copied().map(char::from));

        let mut checksum = [0; CHECKSUM_LEN];
        base62::encode(&mut [crc32fast::hash(text.as_bytes())], &mut checksum);
        text.extend(checksum.map(char::from));
        Self(text)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Token(..)")
    }
}

/// What a workspace's tokens start with: 2 to 21 characters of `[a-z0-9_]`, the
/// first a letter, the last no underscore.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TokenPrefix(Box<str>);

impl TokenPrefix {
    /// The prefix as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Reads the prefix of tokens that operators choose, and notes what is wrong
    /// with it.
    pub(super) fn read(violations: &mut Violations, field: &str, text: &str) -> Option<Self> {
        let prefix = violations.check(field, Self::try_from(text))?;
        if prefix.is_reserved() {
            violations.add(
                field,
                "starts with `keyward`, which is reserved for keyward's own tokens",
            );
            return None;
        }
        Some(prefix)
    }

    /// Whether only admin keys may have it. It is well formed all the same.
    #[must_use]
    pub fn is_reserved(&self) -> bool {
        self.0.starts_with(RESERVED_PREFIX)
    }
}

impl TryFrom<&str> for TokenPrefix {
    type Error = LabelError;

    fn try_from(text: &str) -> Result<Self, LabelError> {
        check_prefix(text.as_bytes())?;
        Ok(Self(text.into()))
    }
}

impl fmt::Display for TokenPrefix {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// The name of an environment that keys can be of, such as `live`: 1 to 12
/// characters of `[a-z0-9]`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EnvironmentName(Box<str>);

impl EnvironmentName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<&str> for EnvironmentName {
    type Error = LabelError;

    fn try_from(text: &str) -> Result<Self, LabelError> {
        check_environment(text.as_bytes())?;
        Ok(Self(text.into()))
    }
}

impl fmt::Display for EnvironmentName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Why a text is no [`TokenPrefix`] or no [`EnvironmentName`].
///
/// The message completes the sentence that starts with the name of the field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum LabelError {
    /// It holds a character that it may not.
    #[error("must be of {allowed} alone, and its character {position} is not")]
    Character {
        /// Which characters may be used.
        allowed: &'static str,
        /// Which character is at fault, counted from 1.
        position: usize,
    },
    /// It is too short or too long.
    #[error("must have {min} to {max} characters, and has {length}")]
    Length {
        /// The fewest characters it may have.
        min: usize,
        /// The most characters it may have.
        max: usize,
        /// How many it has.
        length: usize,
    },
    /// It starts with a digit or an underscore.
    #[error("must start with a letter")]
    Start,
    /// It ends with an underscore.
    #[error("must not end with an underscore")]
    End,
}

/// What can be told of a presented token without knowing any key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// It is built like a token of ours, checksum included.
    Native,
    /// It is built like a token of ours, but its checksum does not fit: a typo
    /// or a guess. It was never issued.
    BadChecksum,
    /// It is no token of ours.
    Foreign,
}

/// Tells the shape of a presented token.
///
/// Total over any bytes, and without allocation. The parts are found from the
/// right, by length, so a prefix can itself hold underscores.
#[must_use]
pub fn shape(token: &[u8]) -> Shape {
    // Longer than any token of ours; nothing is scanned.
    if token.len() > MAX_TOKEN_LEN {
        return Shape::Foreign;
    }
    let Some((body, checksum)) = token.split_last_chunk::<CHECKSUM_LEN>() else {
        // Shorter than a checksum.
        return Shape::Foreign;
    };
    if !is_body(body) {
        // Whatever the last characters are, they are no checksum of ours.
        return Shape::Foreign;
    }
    match base62::decode(checksum) {
        // Compared as numbers, at full width: 62^6 is more than 2^32, so there
        // are checksums that no body has, and none that stands for another.
        Some(number) if number == u64::from(crc32fast::hash(body)) => Shape::Native,
        // Of a checksum's alphabet and length, but not this body's.
        Some(_) => Shape::BadChecksum,
        // No checksum at all.
        None => Shape::Foreign,
    }
}

/// What may be displayed of a token, such as `klg_live_…x7Qa`.
///
/// `environment` is given where the token is marked with one.
#[must_use]
pub fn hint(prefix: &str, environment: Option<&str>, tail: [u8; TAIL_LEN]) -> String {
    let mark = environment.map_or("", |_| "_");
    let environment = environment.unwrap_or_default();
    let [a, b, c, d] = tail.map(char::from);
    format!("{prefix}{mark}{environment}_…{a}{b}{c}{d}")
}

/// What may be displayed of a token that was presented or found; none, if it has
/// not the shape of one.
#[must_use]
pub fn hint_of(token: &[u8]) -> Option<String> {
    let (Shape::Native, Some(tail)) = (shape(token), token.last_chunk()) else {
        return None;
    };
    let label = token.len().checked_sub(1 + SECRET_LEN + CHECKSUM_LEN)?;
    let label = std::str::from_utf8(token.get(..label)?).ok()?;
    Some(hint(label, None, *tail))
}

/// Whether `body` is all of a token but its checksum: label, underscore, secret.
fn is_body(body: &[u8]) -> bool {
    let Some((head, secret)) = body.split_last_chunk::<SECRET_LEN>() else {
        return false;
    };
    head.strip_suffix(b"_").is_some_and(is_label) && base62::is_base62(secret)
}

/// Whether `label` is a prefix, or a prefix and an environment. Often it can be
/// read as either; which it is, the key's record knows.
fn is_label(label: &[u8]) -> bool {
    if check_prefix(label).is_ok() {
        return true;
    }
    // An environment holds no underscore, so only the last can be the joint.
    let Some(joint) = label.iter().rposition(|byte| *byte == b'_') else {
        return false;
    };
    check_prefix(&label[..joint]).is_ok() && check_environment(&label[joint + 1..]).is_ok()
}

fn check_prefix(text: &[u8]) -> Result<(), LabelError> {
    check_characters(text, "a-z, 0-9 and _", |byte| {
        byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_'
    })?;
    check_length(text, MIN_PREFIX_LEN, MAX_PREFIX_LEN)?;
    if !text.first().is_some_and(u8::is_ascii_lowercase) {
        return Err(LabelError::Start);
    }
    if text.ends_with(b"_") {
        return Err(LabelError::End);
    }
    Ok(())
}

fn check_environment(text: &[u8]) -> Result<(), LabelError> {
    check_characters(text, "a-z and 0-9", |byte| {
        byte.is_ascii_lowercase() || byte.is_ascii_digit()
    })?;
    check_length(text, 1, MAX_ENVIRONMENT_LEN)
}

/// Goes first of the checks: where it passes, bytes are characters.
fn check_characters(
    text: &[u8],
    allowed: &'static str,
    is_allowed: impl Fn(u8) -> bool,
) -> Result<(), LabelError> {
    match text.iter().position(|byte| !is_allowed(*byte)) {
        // All before it are ASCII, so its place in bytes is that in characters.
        Some(index) => Err(LabelError::Character {
            allowed,
            position: index + 1,
        }),
        None => Ok(()),
    }
}

fn check_length(text: &[u8], min: usize, max: usize) -> Result<(), LabelError> {
    let length = text.len();
    if (min..=max).contains(&length) {
        Ok(())
    } else {
        Err(LabelError::Length { min, max, length })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Worked out apart from this code, with zlib's CRC-32.
    const LIVE: &str = "klg_live_yhjskwdA6OZ1AL1YmHWZWm8LLG7HjnuCA2j5rOw8Xp13kbUxd";
    const KLIPY: &str = "klipy_api_003aUlTJC7tjlCTQj2uNU3MFagCXG9LRKRcwGkBIDlf0nTd9z";

    fn prefix(text: &str) -> TokenPrefix {
        TokenPrefix::try_from(text).unwrap()
    }

    fn environment(text: &str) -> EnvironmentName {
        EnvironmentName::try_from(text).unwrap()
    }

    /// `body` with the checksum that belongs to it.
    fn sealed(body: &str) -> String {
        let mut checksum = [0; CHECKSUM_LEN];
        base62::encode(&mut [crc32fast::hash(body.as_bytes())], &mut checksum);
        format!("{body}{}", std::str::from_utf8(&checksum).unwrap())
    }

    fn with_label(label: &str) -> String {
        sealed(&format!("{label}_{}", "0".repeat(SECRET_LEN)))
    }

    #[test]
    fn assembles_the_tokens_worked_out_elsewhere() {
        let counting = std::array::from_fn(|index| index as u8);
        for (token, expected) in [
            (
                Token::assemble(&prefix("klg"), Some(&environment("live")), &[0xFF; 32]),
                LIVE,
            ),
            (
                Token::assemble(&prefix("klg"), Some(&environment("live")), &[0; 32]),
                "klg_live_00000000000000000000000000000000000000000001tJK6r",
            ),
            (
                Token::assemble(&prefix("klipy_api"), None, &counting),
                KLIPY,
            ),
            (
                Token::assemble(&prefix("klg"), Some(&environment("test")), &counting),
                "klg_test_003aUlTJC7tjlCTQj2uNU3MFagCXG9LRKRcwGkBIDlf1WO3vt",
            ),
        ] {
            assert_eq!(token.expose(), expected);
            assert_eq!(shape(expected.as_bytes()), Shape::Native);
        }
    }

    #[test]
    fn the_hint_of_a_token_is_that_of_its_record() {
        assert_eq!(
            hint_of(LIVE.as_bytes()),
            Some(hint("klg", Some("live"), *b"bUxd"))
        );
        assert_eq!(
            hint_of(KLIPY.as_bytes()),
            Some(hint("klipy_api", None, *b"Td9z"))
        );
        assert_eq!(hint_of(b"klg_live_secret"), None);
    }

    #[test]
    fn a_token_is_never_minted_twice() {
        let minted: std::collections::BTreeSet<_> = (0..500)
            .map(|_| Token::mint(&prefix("klg"), None).expose().to_owned())
            .collect();
        assert_eq!(minted.len(), 500);
    }

    #[test]
    fn every_place_of_a_secret_varies() {
        let minted: Vec<_> = (0..200).map(|_| Token::mint(&prefix("ab"), None)).collect();
        for place in 3..3 + SECRET_LEN {
            let seen: std::collections::BTreeSet<_> = minted
                .iter()
                .map(|token| token.expose().as_bytes()[place])
                .collect();
            assert!(seen.len() > 40, "place {place} shows {} digits", seen.len());
        }
    }

    #[test]
    fn the_longest_token_fills_its_room_and_no_more() {
        let token = Token::mint(
            &prefix(&"p".repeat(MAX_PREFIX_LEN)),
            Some(&environment(&"9".repeat(MAX_ENVIRONMENT_LEN))),
        );
        assert_eq!(token.expose().len(), MAX_TOKEN_LEN);
        assert_eq!(token.0.capacity(), MAX_TOKEN_LEN);
        assert_eq!(shape(token.expose().as_bytes()), Shape::Native);
    }

    #[test]
    fn debug_shows_nothing_of_a_token() {
        let token = Token::mint(&prefix("klg"), Some(&environment("live")));
        assert_eq!(format!("{token:?}"), "Token(..)");
        assert_eq!(format!("{token:#?}"), "Token(..)");
        assert_eq!(format!("{:?}", Some(&token)), "Some(Token(..))");
    }

    #[test]
    fn tail_and_hint() {
        let token = Token::assemble(&prefix("klg"), Some(&environment("live")), &[0xFF; 32]);
        assert_eq!(&token.tail(), b"bUxd");
        assert_eq!(hint("klg", Some("live"), *b"x7Qa"), "klg_live_…x7Qa");
        assert_eq!(hint("klipy_api", None, *b"x7Qa"), "klipy_api_…x7Qa");
    }

    #[test]
    fn which_prefixes_are_well_formed() {
        for text in [
            "kl",
            "k9",
            "klg",
            "klipy_api",
            "a__b",
            "keyward",
            "a23456789012345678901",
        ] {
            assert_eq!(prefix(text).as_str(), text);
        }
        let character = |position| LabelError::Character {
            allowed: "a-z, 0-9 and _",
            position,
        };
        let length = |length| LabelError::Length {
            min: 2,
            max: 21,
            length,
        };
        for (text, expected) in [
            ("", length(0)),
            ("k", length(1)),
            ("a234567890123456789012", length(22)),
            ("9kl", LabelError::Start),
            ("_kl", LabelError::Start),
            ("kl_", LabelError::End),
            ("Klg", character(1)),
            ("kl-g", character(3)),
            ("kl g", character(3)),
            ("klg\0", character(4)),
            ("kl\u{0261}", character(3)),
            ("\u{feff}klg", character(1)),
            ("klg\n", character(4)),
        ] {
            assert_eq!(TokenPrefix::try_from(text), Err(expected), "{text:?}");
        }
    }

    #[test]
    fn which_environments_are_well_formed() {
        for text in ["live", "test", "l", "0", "012345678901"] {
            assert_eq!(environment(text).as_str(), text);
        }
        for text in [
            "",
            "0123456789012",
            "Live",
            "li_ve",
            "*",
            "live ",
            "l\u{456}ve",
        ] {
            assert!(EnvironmentName::try_from(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn label_errors_complete_a_sentence() {
        for (text, expected) in [
            (
                "kl-g",
                "must be of a-z, 0-9 and _ alone, and its character 3 is not",
            ),
            ("k", "must have 2 to 21 characters, and has 1"),
            ("1k", "must start with a letter"),
            ("k_", "must not end with an underscore"),
        ] {
            assert_eq!(
                TokenPrefix::try_from(text).unwrap_err().to_string(),
                expected
            );
        }
    }

    #[test]
    fn which_prefixes_are_reserved() {
        for (text, reserved) in [
            ("keyward", true),
            ("keyward_admin", true),
            ("keywards", true),
            ("keywar", false),
            ("keywar_d", false),
            ("my_keyward", false),
        ] {
            assert_eq!(prefix(text).is_reserved(), reserved, "{text}");
        }
    }

    #[test]
    fn labels_at_and_beyond_their_bounds() {
        let a21 = "a".repeat(21);
        let b12 = "b".repeat(12);
        for (label, expected) in [
            ("a".to_owned(), Shape::Foreign),
            ("ab".to_owned(), Shape::Native),
            ("ab_".to_owned(), Shape::Foreign),
            ("_ab".to_owned(), Shape::Foreign),
            ("2ab".to_owned(), Shape::Foreign),
            ("aB".to_owned(), Shape::Foreign),
            ("a-b".to_owned(), Shape::Foreign),
            ("a__b".to_owned(), Shape::Native),
            (a21.clone(), Shape::Native),
            (format!("{a21}a"), Shape::Foreign),
            (format!("{a21}_b"), Shape::Native),
            (format!("{a21}__b"), Shape::Foreign),
            (format!("{a21}_{b12}"), Shape::Native),
            (format!("{a21}_{b12}b"), Shape::Foreign),
            (format!("{a21}a_{b12}"), Shape::Foreign),
            (format!("ab_{}", "b".repeat(18)), Shape::Native),
            (format!("ab_{}", "b".repeat(19)), Shape::Foreign),
        ] {
            assert_eq!(shape(with_label(&label).as_bytes()), expected, "{label}");
        }
    }

    #[test]
    fn a_wrong_checksum_is_told_from_no_checksum() {
        let body = &LIVE[..LIVE.len() - CHECKSUM_LEN];
        for (checksum, expected) in [
            ("3kbUxd", Shape::Native),
            ("3kbUxe", Shape::BadChecksum),
            ("000000", Shape::BadChecksum),
            // The greatest that 32 bits hold, one more, and 2^32 beyond it.
            ("4gfFC3", Shape::BadChecksum),
            ("4gfFC4", Shape::BadChecksum),
            ("zzzzzz", Shape::BadChecksum),
            ("3KBUXD", Shape::BadChecksum),
            ("3kbUx-", Shape::Foreign),
            ("3kbUx_", Shape::Foreign),
            ("3kbUx\0", Shape::Foreign),
            ("+kbUxd", Shape::Foreign),
        ] {
            assert_eq!(
                shape(format!("{body}{checksum}").as_bytes()),
                expected,
                "{checksum:?}"
            );
        }
    }

    /// A checksum of 62^6 values could wrap round 2^32; none may.
    #[test]
    fn a_checksum_plus_a_multiple_of_two_to_the_32_is_bad() {
        let body = &LIVE[..LIVE.len() - CHECKSUM_LEN];
        let crc = u64::from(crc32fast::hash(body.as_bytes()));
        // As many as six digits hold: 62^6 is 13.2 times 2^32.
        for times in 0..13 {
            let number = crc + (times << 32);
            let mut checksum = [0; CHECKSUM_LEN];
            let limbs = &mut [(number >> 32) as u32, number as u32];
            base62::encode(limbs, &mut checksum);
            let token = [body.as_bytes(), &checksum].concat();
            let expected = if times == 0 {
                Shape::Native
            } else {
                Shape::BadChecksum
            };
            assert_eq!(shape(&token), expected, "{times} times");
        }
    }

    #[test]
    fn hostile_tokens_are_foreign() {
        let secret = &LIVE["klg_live_".len()..];
        for token in [
            String::new(),
            "_".to_owned(),
            "klg_live_".to_owned(),
            "klg_live".to_owned(),
            secret.to_owned(),
            format!("_{secret}"),
            format!("klg-live-{secret}"),
            format!("{LIVE}\n"),
            format!("\u{feff}{LIVE}"),
            format!(" {LIVE}"),
            format!("{LIVE},{LIVE}"),
            format!("klg\0live_{secret}"),
            // A Cyrillic letter that looks like `i`, and text turned round.
            format!("klg_l\u{456}ve_{secret}"),
            format!("\u{202e}{LIVE}"),
            sealed(&format!("klg_{}-{}", "0".repeat(21), "0".repeat(21))),
            sealed(&format!("klg_{}", "0".repeat(SECRET_LEN - 1))),
            "a".repeat(MAX_TOKEN_LEN),
            "0".repeat(64 * 1024),
            "_".repeat(64 * 1024),
            format!("{}_{secret}", "a".repeat(64 * 1024)),
        ] {
            let start: String = token.chars().take(80).collect();
            assert_eq!(shape(token.as_bytes()), Shape::Foreign, "{start:?}");
        }
    }

    #[test]
    fn every_change_of_one_byte_is_found() {
        for token in [LIVE, KLIPY] {
            let mut changed = token.as_bytes().to_vec();
            for place in 0..changed.len() {
                let original = changed[place];
                for byte in (0..=u8::MAX).filter(|byte| *byte != original) {
                    changed[place] = byte;
                    assert_ne!(shape(&changed), Shape::Native, "{byte} at {place}");
                }
                changed[place] = original;
            }
        }
    }

    #[test]
    fn shape_does_not_allocate() {
        let long = "a".repeat(1024);
        let usage = allocation_counter::measure(|| {
            for token in [LIVE, KLIPY, "", long.as_str()] {
                std::hint::black_box(shape(token.as_bytes()));
            }
        });
        assert_eq!(usage.count_total, 0);
    }

    fn prefixes() -> impl Strategy<Value = TokenPrefix> {
        "[a-z][a-z0-9_]{0,19}[a-z0-9]".prop_map(|text| prefix(&text))
    }

    fn environments() -> impl Strategy<Value = Option<EnvironmentName>> {
        proptest::option::of("[a-z0-9]{1,12}".prop_map(|text| environment(&text)))
    }

    proptest! {
        #[test]
        fn whatever_is_minted_is_native(prefix in prefixes(), environment in environments()) {
            let token = Token::mint(&prefix, environment.as_ref());
            let text = token.expose();
            prop_assert_eq!(shape(text.as_bytes()), Shape::Native);
            prop_assert!(text.len() <= MAX_TOKEN_LEN);
            let mark = environment.as_ref().map(EnvironmentName::as_str);
            let shown = hint(prefix.as_str(), mark, token.tail());
            let (head, tail) = shown.split_once('…').unwrap();
            prop_assert!(text.starts_with(head) && text.ends_with(tail));
            prop_assert_eq!(text.len(), head.len() + SECRET_LEN + CHECKSUM_LEN);
        }

        #[test]
        fn no_change_of_one_byte_stays_native(
            prefix in prefixes(),
            environment in environments(),
            place: prop::sample::Index,
            change in 1..=u8::MAX,
        ) {
            let token = Token::mint(&prefix, environment.as_ref());
            let mut bytes = token.expose().as_bytes().to_vec();
            let place = place.index(bytes.len());
            bytes[place] ^= change;
            prop_assert_ne!(shape(&bytes), Shape::Native);
        }

        #[test]
        fn no_swap_of_neighbours_in_the_secret_stays_native(
            prefix in prefixes(),
            place in 0..SECRET_LEN - 1,
        ) {
            let token = Token::mint(&prefix, None);
            let mut bytes = token.expose().as_bytes().to_vec();
            let place = prefix.as_str().len() + 1 + place;
            prop_assume!(bytes[place] != bytes[place + 1]);
            bytes.swap(place, place + 1);
            prop_assert_eq!(shape(&bytes), Shape::BadChecksum);
        }

        #[test]
        fn any_bytes_have_a_shape(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert_ne!(shape(&bytes), Shape::Native);
        }

        #[test]
        fn a_label_is_what_the_grammar_says(label in "[a-c_0A-]{0,36}") {
            // The grammar again, by trying every way to split.
            let is_prefix = |text: &str| {
                (2..=21).contains(&text.len())
                    && text.starts_with(|first: char| first.is_ascii_lowercase())
                    && !text.ends_with('_')
                    && text.chars().all(|c| matches!(c, 'a'..='z' | '0'..='9' | '_'))
            };
            let is_environment = |text: &str| {
                (1..=12).contains(&text.len())
                    && text.chars().all(|c| matches!(c, 'a'..='z' | '0'..='9'))
            };
            let expected = is_prefix(&label)
                || label.match_indices('_').any(|(joint, _)| {
                    is_prefix(&label[..joint]) && is_environment(&label[joint + 1..])
                });
            prop_assert_eq!(is_label(label.as_bytes()), expected);
            let native = shape(with_label(&label).as_bytes()) == Shape::Native;
            prop_assert_eq!(native, expected);
        }
    }
}
