//! The credential: the raw header value that a gateway hands over, and the one
//! function that finds the token in it.
//!
//! The grammar is narrow on purpose. Whatever could be read in two ways, by us
//! and by whoever stands before or behind us, is refused.

pub mod flaw;

use std::fmt;

use data_encoding::BASE64_NOPAD;
use thiserror::Error;
use zeroize::Zeroize;

use super::token::{Shape, shape};

/// The most bytes that a header value may have. Longer ones are refused unread,
/// so that nobody can make a check slow.
pub const MAX_HEADER_LEN: usize = 1024;

/// How many bytes a token of another product has, to be imported and to be
/// told from a user's name in `Basic`.
pub const MIN_FOREIGN_LEN: usize = 16;

/// The most that it has. With `Basic`, one for the colon goes off.
pub const MAX_FOREIGN_LEN: usize = 512;

/// The most bytes that the base64 of `Basic` may decode to.
const MAX_DECODED_LEN: usize = 512;

/// Base64 fills its last group of four up with at most two of these.
const MAX_PADDING: usize = 2;

/// Finds the token that a header value presents.
///
/// The forms are `Bearer T`, `Api-Key T`, `ApiKey T`, `Token T`, `Basic B` and
/// the bare token, where B is base64 of a user and a password one of which is a
/// token: the one that is built like a token of ours, or else the one that is
/// long enough for another's. Schemes are case-insensitive.
///
/// Total over any bytes, bounded in time, and without allocation. `scratch` is
/// where `Basic` is decoded; the token is a part of it or of `header`, and is of
/// visible ASCII without commas and quotes. Whether it is a token of ours, only
/// [`shape`] can tell.
///
/// # Errors
///
/// [`CredentialError::Missing`] if the value is empty or of spaces alone,
/// [`CredentialError::Malformed`] if it is not exactly one credential.
pub fn parse<'a>(header: &'a [u8], scratch: &'a mut Scratch) -> Result<&'a [u8], CredentialError> {
    // Before anything is scanned.
    if header.len() > MAX_HEADER_LEN {
        return Err(CredentialError::Malformed);
    }
    // A tab, a control byte, a comma or a byte beyond ASCII spoils all of it,
    // wherever it stands.
    if !header
        .iter()
        .all(|byte| *byte == b' ' || may_be_in_token(*byte))
    {
        return Err(CredentialError::Malformed);
    }
    let mut words = header
        .split(|byte| *byte == b' ')
        .filter(|word| !word.is_empty());
    let (scheme, token) = match (words.next(), words.next(), words.next()) {
        // Nothing but spaces, if those.
        (None, _, _) => return Err(CredentialError::Missing),
        // One word is the token itself.
        (Some(token), None, _) => (Scheme::Plain, token),
        // Two words are a scheme that we know, and its token.
        (Some(scheme), Some(token), None) => {
            let scheme = Scheme::named(scheme).ok_or(CredentialError::Malformed)?;
            (scheme, token)
        }
        // More words are a second credential, or nothing that we know.
        (Some(_), Some(_), Some(_)) => return Err(CredentialError::Malformed),
    };
    // A scheme without its token, or a scheme twice: never a token.
    if Scheme::named(token).is_some() {
        return Err(CredentialError::Malformed);
    }
    match scheme {
        // The word is the token as it stands.
        Scheme::Plain => Ok(token),
        // The word is base64 of a user and a password, one of them the token.
        Scheme::Basic => token_of_basic(scratch.decode(token)?),
    }
}

/// Why a header value presents no token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum CredentialError {
    /// It is empty.
    #[error("no credential was presented")]
    Missing,
    /// It is not exactly one credential in one of the documented forms.
    #[error("what was presented is not one credential of a known form")]
    Malformed,
}

/// Room to decode `Basic` in, on the caller's stack.
///
/// Whatever was decoded is wiped when this is dropped.
pub struct Scratch {
    bytes: [u8; MAX_DECODED_LEN],
    /// How many bytes, from the first, may hold something. Most credentials are
    /// not `Basic`: they leave this 0, and so pay for no wiping.
    used: usize,
}

impl Scratch {
    /// Empty room.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            bytes: [0; MAX_DECODED_LEN],
            used: 0,
        }
    }

    /// Decodes standard base64, whose padding is either absent or right.
    fn decode(&mut self, encoded: &[u8]) -> Result<&[u8], CredentialError> {
        let padding = encoded
            .iter()
            .rev()
            .take_while(|byte| **byte == b'=')
            .count();
        if padding > MAX_PADDING || (padding > 0 && !encoded.len().is_multiple_of(4)) {
            return Err(CredentialError::Malformed);
        }
        // The padding is cut off and what remains must hold none: the decoder
        // for padded text would accept several of them in a row. Both decoders
        // refuse unused bits that are set, so no two texts mean the same bytes.
        let unpadded = &encoded[..encoded.len() - padding];
        let length = BASE64_NOPAD
            .decode_len(unpadded.len())
            .map_err(|_| CredentialError::Malformed)?;
        let decoded = self
            .bytes
            .get_mut(..length)
            .ok_or(CredentialError::Malformed)?;
        // Before decoding: a text that goes wrong half way has left its half.
        self.used = self.used.max(length);
        BASE64_NOPAD
            .decode_mut(unpadded, decoded)
            .map_err(|_| CredentialError::Malformed)?;
        Ok(decoded)
    }

    fn wipe(&mut self) {
        self.bytes[..self.used].zeroize();
        self.used = 0;
    }
}

impl Default for Scratch {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        self.wipe();
    }
}

impl fmt::Debug for Scratch {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Scratch(..)")
    }
}

/// How the word after a scheme's name is to be read.
#[derive(Clone, Copy)]
enum Scheme {
    /// It is the token.
    Plain,
    /// It is base64 of `user:password`.
    Basic,
}

impl Scheme {
    /// The names that RFC 7617, RFC 6750 and custom have given to schemes.
    const NAMED: [(&'static str, Self); 5] = [
        ("Bearer", Self::Plain),
        ("Api-Key", Self::Plain),
        ("ApiKey", Self::Plain),
        ("Token", Self::Plain),
        ("Basic", Self::Basic),
    ];

    /// The scheme of this name in any case, as RFC 9110 wants it.
    fn named(word: &[u8]) -> Option<Self> {
        Self::NAMED
            .iter()
            .find(|(name, _)| word.eq_ignore_ascii_case(name.as_bytes()))
            .map(|(_, scheme)| *scheme)
    }
}

/// The token in `user:password`: clients put it in either half, with anything or
/// nothing in the other, so its shape has to tell which.
fn token_of_basic(pair: &[u8]) -> Result<&[u8], CredentialError> {
    if !pair.iter().copied().all(may_be_in_token) {
        return Err(CredentialError::Malformed);
    }
    // The first colon ends the user, says RFC 7617: a password may hold more.
    let colon = pair
        .iter()
        .position(|byte| *byte == b':')
        .ok_or(CredentialError::Malformed)?;
    let (user, password) = (&pair[..colon], &pair[colon + 1..]);
    match (has_token_shape(user), has_token_shape(password)) {
        // The token is given as the user.
        (true, false) => Ok(user),
        // The token is given as the password.
        (false, true) => Ok(password),
        // Two credentials: which one counts is not ours to guess.
        (true, true) => Err(CredentialError::Malformed),
        // None of ours: one that was imported can be of any shape.
        (false, false) => match (may_be_foreign(user), may_be_foreign(password)) {
            // The other half is too short for a token.
            (true, false) => Ok(user),
            (false, true) => Ok(password),
            // Two that may be credentials, or none.
            (true, true) | (false, false) => Err(CredentialError::Malformed),
        },
    }
}

/// Whether it is as long as the tokens of others that can be imported.
fn may_be_foreign(text: &[u8]) -> bool {
    (MIN_FOREIGN_LEN..=MAX_FOREIGN_LEN).contains(&text.len())
}

/// Whether it was meant to be a token of ours.
fn has_token_shape(text: &[u8]) -> bool {
    match shape(text) {
        // It may have been issued.
        Shape::Native => true,
        // A typo is no less meant to be one, and the verdict should say so.
        Shape::BadChecksum => true,
        // Something else.
        Shape::Foreign => false,
    }
}

/// Visible ASCII, but neither of the two that join and quote header values.
pub(super) fn may_be_in_token(byte: u8) -> bool {
    byte.is_ascii_graphic() && byte != b',' && byte != b'"'
}

#[cfg(test)]
mod tests {
    use super::*;
    use data_encoding::BASE64;
    use proptest::prelude::*;
    use zeroize::Zeroizing;

    const TOKEN: &str = "klg_live_yhjskwdA6OZ1AL1YmHWZWm8LLG7HjnuCA2j5rOw8Xp13kbUxd";
    const OTHER: &str = "klipy_api_003aUlTJC7tjlCTQj2uNU3MFagCXG9LRKRcwGkBIDlf0nTd9z";
    /// `TOKEN` with a typo in it.
    const TYPO: &str = "klg_live_yhjskwdA6OZ1AL1YmHWZWm8LLG7HjnuCA2j5rOw8Xp13kbUxe";

    const MISSING: Result<Vec<u8>, CredentialError> = Err(CredentialError::Missing);
    const MALFORMED: Result<Vec<u8>, CredentialError> = Err(CredentialError::Malformed);

    fn parsed(header: impl AsRef<[u8]>) -> Result<Vec<u8>, CredentialError> {
        parse(header.as_ref(), &mut Scratch::new()).map(<[u8]>::to_vec)
    }

    fn token(text: &str) -> Result<Vec<u8>, CredentialError> {
        Ok(text.as_bytes().to_vec())
    }

    fn basic(pair: impl AsRef<[u8]>) -> String {
        format!("Basic {}", BASE64.encode(pair.as_ref()))
    }

    #[test]
    fn accepts_the_documented_forms() {
        for header in [
            TOKEN.to_owned(),
            format!("Bearer {TOKEN}"),
            format!("Api-Key {TOKEN}"),
            format!("ApiKey {TOKEN}"),
            format!("Token {TOKEN}"),
            format!("bearer {TOKEN}"),
            format!("BEARER {TOKEN}"),
            format!("bEaReR {TOKEN}"),
            format!("api-KEY {TOKEN}"),
            format!("APIKEY {TOKEN}"),
            format!("token {TOKEN}"),
            format!("Bearer    {TOKEN}"),
            format!("  Bearer {TOKEN}  "),
            format!("   {TOKEN} "),
            basic(format!("{TOKEN}:")),
            basic(format!(":{TOKEN}")),
            basic(format!("{TOKEN}:x")),
            basic(format!("api:{TOKEN}")),
            basic(format!("{TOKEN}:a:b:c")),
            basic(format!("{TOKEN}::")),
            basic(format!("api:{TOKEN}")).replace("Basic", "bASIC"),
            basic(format!("api:{TOKEN}")).replace('=', ""),
            basic(format!("apis:{TOKEN}")).replace('=', ""),
            basic(format!("apikey:{TOKEN}")).replace('=', ""),
        ] {
            assert_eq!(parsed(&header), token(TOKEN), "{header:?}");
        }
    }

    #[test]
    fn accepts_tokens_of_others_for_the_lookup_to_judge() {
        for foreign in [
            "a",
            "sk-0123",
            "eyJhbGciOi.eyJzdWIi.c2ln",
            "user:password",
            "Bearer:x",
            "Bearers",
            "x=y;z",
            "~!@#$%^&*()[]{}<>|\\/?'`",
        ] {
            assert_eq!(parsed(foreign), token(foreign));
            assert_eq!(parsed(format!("Bearer {foreign}")), token(foreign));
        }
    }

    #[test]
    fn nothing_is_missing_and_not_malformed() {
        for header in ["", " ", "     "] {
            assert_eq!(parsed(header), MISSING, "{header:?}");
        }
        assert_eq!(parsed(" ".repeat(MAX_HEADER_LEN)), MISSING);
        assert_eq!(parsed(" ".repeat(MAX_HEADER_LEN + 1)), MALFORMED);
    }

    #[test]
    fn refuses_what_is_not_one_credential() {
        for header in [
            // A scheme without a token, and twice.
            "Bearer".to_owned(),
            "Bearer ".to_owned(),
            "bearer".to_owned(),
            "Basic".to_owned(),
            "Basic ".to_owned(),
            "Token".to_owned(),
            "ApiKey".to_owned(),
            "api-key".to_owned(),
            "Bearer Bearer".to_owned(),
            "Bearer Basic".to_owned(),
            "Basic Bearer".to_owned(),
            "Basic basic".to_owned(),
            format!("Bearer Bearer {TOKEN}"),
            format!("Bearer Token {TOKEN}"),
            // Schemes that are not ours, or not quite.
            format!("Digest {TOKEN}"),
            format!("Negotiate {TOKEN}"),
            format!("Bearer: {TOKEN}"),
            format!("Authorization: Bearer {TOKEN}"),
            format!("Api Key {TOKEN}"),
            format!("Api_Key {TOKEN}"),
            format!("Bearer=x {TOKEN}"),
            // A second credential.
            format!("{TOKEN} {OTHER}"),
            format!("{TOKEN} {TOKEN}"),
            format!("Bearer {TOKEN} {OTHER}"),
            format!("{TOKEN} Bearer"),
            format!("Bearer {TOKEN} Bearer {OTHER}"),
            format!("Bearer {TOKEN}, Bearer {OTHER}"),
            format!("Bearer {TOKEN},{OTHER}"),
            format!("{TOKEN},{TOKEN}"),
            format!("{TOKEN},"),
            format!(",{TOKEN}"),
            ",".to_owned(),
            // Quoted.
            format!("\"{TOKEN}\""),
            format!("Bearer \"{TOKEN}\""),
            format!("Token token=\"{TOKEN}\""),
        ] {
            assert_eq!(parsed(&header), MALFORMED, "{header:?}");
        }
    }

    #[test]
    fn refuses_every_character_that_is_not_visible_ascii() {
        for header in [
            // White space that is not a space.
            format!("Bearer\t{TOKEN}"),
            format!("\tBearer {TOKEN}"),
            format!("Bearer {TOKEN}\t"),
            format!("Bearer\u{a0}{TOKEN}"),
            format!("Bearer\u{3000}{TOKEN}"),
            format!("Bearer {TOKEN}\u{200b}"),
            "\t".to_owned(),
            // Control bytes, and header injection.
            format!("Bearer {TOKEN}\0"),
            format!("Bearer \0{TOKEN}"),
            "\0".to_owned(),
            format!("Bearer {TOKEN}\r\n"),
            format!("Bearer {TOKEN}\n"),
            format!("Bearer {TOKEN}\r\nX-Admin: 1"),
            format!("Bearer\r\n {TOKEN}"),
            format!("\u{7f}{TOKEN}"),
            format!("Bearer {TOKEN}\u{1b}[2J"),
            // Beyond ASCII: byte order mark, right to left, look-alikes.
            format!("\u{feff}Bearer {TOKEN}"),
            format!("\u{feff}{TOKEN}"),
            format!("Bearer \u{202e}{TOKEN}"),
            format!("\u{200f}Bearer {TOKEN}"),
            format!("B\u{435}arer {TOKEN}"),
            format!("\u{ff22}earer {TOKEN}"),
            format!("Bearer {}", TOKEN.replace('l', "\u{217c}")),
            format!("To\u{212a}en {TOKEN}"),
        ] {
            assert_eq!(parsed(&header), MALFORMED, "{header:?}");
        }
    }

    #[test]
    fn refuses_bytes_that_are_no_text() {
        for header in [
            &b"Bearer \xff"[..],
            b"\xff\xfe",
            b"\xef\xbb\xbf",
            b"\x80",
            b"Bearer a\xc0\x80",
        ] {
            assert_eq!(parsed(header), MALFORMED, "{header:?}");
        }
    }

    #[test]
    fn every_byte_is_either_of_a_token_or_spoils_it() {
        for byte in 0..=u8::MAX {
            let word = [b'a', byte, b'b'];
            let allowed = matches!(byte, 0x21..=0x7E) && byte != b',' && byte != b'"';
            let expected = if allowed {
                Ok(word.to_vec())
            } else {
                MALFORMED
            };
            // A space makes two words of it, the first no scheme: as malformed.
            assert_eq!(parsed(word), expected, "{byte:#x}");
        }
    }

    #[test]
    fn the_longest_header_is_read_and_no_longer_one() {
        assert_eq!(MAX_HEADER_LEN, 1024);
        let longest = "a".repeat(MAX_HEADER_LEN);
        assert_eq!(parsed(&longest), token(&longest));
        assert_eq!(parsed(format!("{longest}a")), MALFORMED);
        assert_eq!(parsed(format!("{longest} ")), MALFORMED);
        for unit in ["a", " ", "\0", ",", "Bearer ", "=", "\u{feff}"] {
            let huge = unit.repeat(64 * 1024 / unit.len());
            assert_eq!(parsed(&huge), MALFORMED);
            assert_eq!(parsed(format!("Basic {huge}")), MALFORMED);
            assert_eq!(parsed(format!("Bearer {TOKEN}{huge}")), MALFORMED);
        }
    }

    #[test]
    fn basic_needs_exactly_one_half_of_token_shape() {
        for (pair, expected) in [
            (format!("{TOKEN}:"), token(TOKEN)),
            (format!("{TYPO}:"), token(TYPO)),
            (format!("api:{TYPO}"), token(TYPO)),
            // Not even where only one of the two could be good.
            (format!("{TOKEN}:{TOKEN}"), MALFORMED),
            (format!("{TOKEN}:{OTHER}"), MALFORMED),
            (format!("{TYPO}:{TOKEN}"), MALFORMED),
            (format!("{TOKEN}:{TYPO}"), MALFORMED),
            ("user:password".to_owned(), MALFORMED),
            (":".to_owned(), MALFORMED),
            (String::new(), MALFORMED),
            (TOKEN.to_owned(), MALFORMED),
            // The first colon splits: here the token is a part of a password.
            // It is looked up as another product's, and found nowhere.
            (format!("a:b:{TOKEN}"), token(&format!("b:{TOKEN}"))),
            (format!("::{TOKEN}"), token(&format!(":{TOKEN}"))),
        ] {
            assert_eq!(parsed(basic(&pair)), expected, "{pair:?}");
        }
    }

    #[test]
    fn basic_without_a_token_of_ours_holds_the_one_that_is_long_enough() {
        let (short, least) = ("a".repeat(MIN_FOREIGN_LEN - 1), "b".repeat(MIN_FOREIGN_LEN));
        let most = "c".repeat(MAX_FOREIGN_LEN - 1);
        for (pair, expected) in [
            (format!("{least}:"), token(&least)),
            (format!(":{least}"), token(&least)),
            (format!("{short}:{least}"), token(&least)),
            (format!("{least}:{short}"), token(&least)),
            (format!("{most}:"), token(&most)),
            (format!(":{most}"), token(&most)),
            // Which of the two counts is not ours to guess.
            (format!("{least}:{least}"), MALFORMED),
            (format!("{short}:{short}"), MALFORMED),
            (format!("{least}:{TOKEN}"), token(TOKEN)),
            (format!("{least},:"), MALFORMED),
        ] {
            assert_eq!(parsed(basic(&pair)), expected, "{pair:?}");
        }
    }

    proptest! {
        #[test]
        fn a_token_of_another_product_is_found_in_every_form(
            // A colon would split it in `Basic`.
            text in "[!#-+\\--9;-~]{16,511}",
        ) {
            prop_assume!(shape(text.as_bytes()) == Shape::Foreign);
            for header in [
                text.clone(),
                format!("Bearer {text}"),
                format!("Api-Key {text}"),
                basic(format!("{text}:")),
                basic(format!(":{text}")),
            ] {
                prop_assert_eq!(parsed(&header), token(&text));
            }
        }
    }

    #[test]
    fn basic_holds_visible_ascii_alone() {
        for pair in [
            format!("us er:{TOKEN}"),
            format!("user: {TOKEN}"),
            format!("{TOKEN}:\0"),
            format!("{TOKEN}:\n"),
            format!("{TOKEN}\n:"),
            format!("{TOKEN}:\t"),
            format!("a,b:{TOKEN}"),
            format!("a\"b:{TOKEN}"),
            format!("us\u{e9}r:{TOKEN}"),
            format!("\u{feff}:{TOKEN}"),
            format!("{TOKEN}:\u{202e}"),
            format!("{TOKEN}:\u{7f}"),
        ] {
            assert_eq!(parsed(basic(&pair)), MALFORMED, "{pair:?}");
        }
        let latin = [b"us\xe9r:", TOKEN.as_bytes()].concat();
        assert_eq!(parsed(basic(latin)), MALFORMED);
    }

    #[test]
    fn basic_is_standard_base64_with_right_padding_or_none() {
        // 62 + 1, + 2 and + 3 bytes: each length of the last group.
        for user in ["", "a", "ab"] {
            let header = basic(format!("{user}:{TOKEN}"));
            let bare = header.trim_end_matches('=');
            let right = header.len() - bare.len();
            for padding in 0..=5 {
                let expected = if padding == 0 || padding == right {
                    token(TOKEN)
                } else {
                    MALFORMED
                };
                let text = format!("{bare}{}", "=".repeat(padding));
                assert_eq!(parsed(&text), expected, "{text}");
            }
        }
        // Padded texts in a row, as a lenient decoder would accept them.
        let row = format!(
            "Basic YQ=={}",
            BASE64.encode(format!(":{TOKEN}").as_bytes())
        );
        assert_eq!(parsed(row), MALFORMED);
        // Unused bits that are set: another spelling of the same bytes.
        let canonical = basic(format!("{TOKEN}:a:"));
        let stem = canonical.strip_suffix("==").unwrap();
        let (start, last) = stem.split_at(stem.len() - 1);
        let next = char::from(last.as_bytes()[0] + 1);
        assert_eq!(parsed(&canonical), token(TOKEN));
        assert_eq!(parsed(format!("{start}{next}==")), MALFORMED);
        assert_eq!(parsed(format!("{start}{next}")), MALFORMED);
        for text in [
            "Basic =",
            "Basic ==",
            "Basic ====",
            "Basic A",
            "Basic AA=A",
            "Basic !!!!",
            "Basic -_-_",
        ] {
            assert_eq!(parsed(text), MALFORMED, "{text}");
        }
    }

    #[test]
    fn basic_refuses_the_url_alphabet() {
        // `?` and `>` are what give `/` and `+` in the standard alphabet.
        let header = basic(format!("???>>>:{TOKEN}"));
        assert!(header.contains('/') && header.contains('+'), "{header}");
        assert_eq!(parsed(&header), token(TOKEN));
        assert_eq!(parsed(header.replace('/', "_")), MALFORMED);
        assert_eq!(parsed(header.replace('+', "-")), MALFORMED);
    }

    #[test]
    fn basic_is_decoded_once() {
        let twice = BASE64.encode(BASE64.encode(format!("api:{TOKEN}").as_bytes()).as_bytes());
        assert_eq!(parsed(format!("Basic {twice}")), MALFORMED);
        assert_eq!(parsed(basic(format!("Bearer {TOKEN}"))), MALFORMED);
        assert_eq!(parsed(basic(basic(format!("api:{TOKEN}")))), MALFORMED);
        // Under another scheme it is a word like any other.
        let once = BASE64.encode(format!("api:{TOKEN}").as_bytes());
        assert_eq!(parsed(format!("Bearer {once}")), token(&once));
    }

    #[test]
    fn basic_decodes_to_its_limit_and_not_beyond() {
        assert_eq!(MAX_DECODED_LEN, 512);
        let filler = |length: usize| "u".repeat(length - 1 - TOKEN.len());
        for (length, expected) in [
            (MAX_DECODED_LEN - 1, token(TOKEN)),
            (MAX_DECODED_LEN, token(TOKEN)),
            (MAX_DECODED_LEN + 1, MALFORMED),
            (MAX_DECODED_LEN + 2, MALFORMED),
            (MAX_HEADER_LEN / 4 * 3 - 6, MALFORMED),
        ] {
            for pair in [
                format!("{}:{TOKEN}", filler(length)),
                format!("{TOKEN}:{}", filler(length)),
            ] {
                assert_eq!(pair.len(), length);
                assert_eq!(parsed(basic(&pair)), expected, "{length}");
                let unpadded = basic(&pair).replace('=', "");
                assert_eq!(parsed(unpadded), expected, "{length}");
            }
        }
    }

    #[test]
    fn scratch_remembers_how_much_there_is_to_wipe() {
        let mut scratch = Scratch::new();
        assert!(parse(TOKEN.as_bytes(), &mut scratch).is_ok());
        assert_eq!(scratch.used, 0);
        let long = format!("a-long-user:{TOKEN}");
        assert!(parse(basic(&long).as_bytes(), &mut scratch).is_ok());
        assert_eq!(scratch.used, long.len());
        // A shorter one, and one that fails half way, leave the mark up.
        assert!(parse(basic(format!("u:{TOKEN}")).as_bytes(), &mut scratch).is_ok());
        assert!(parse(b"Basic QUFBQUFB!!!!", &mut scratch).is_err());
        assert_eq!(scratch.used, long.len());
        assert!(scratch.bytes[scratch.used..].iter().all(|byte| *byte == 0));
        assert!(scratch.bytes[..scratch.used].iter().all(|byte| *byte != 0));
        scratch.wipe();
        assert_eq!(scratch.bytes, [0; MAX_DECODED_LEN]);
    }

    #[test]
    fn debug_shows_nothing_of_what_was_decoded() {
        let mut scratch = Scratch::new();
        assert!(parse(basic(format!("api:{TOKEN}")).as_bytes(), &mut scratch).is_ok());
        assert_eq!(format!("{scratch:?}"), "Scratch(..)");
    }

    #[test]
    fn parse_does_not_allocate() {
        let headers = [
            format!("Bearer {TOKEN}"),
            basic(format!("api:{TOKEN}")),
            basic("user:password"),
            "Basic QUFBQUFB!!!!".to_owned(),
            "Basic A".to_owned(),
            String::new(),
            ",".repeat(1024),
            "a ".repeat(512),
            "a".repeat(64 * 1024),
        ];
        let usage = allocation_counter::measure(|| {
            for header in &headers {
                let mut scratch = Scratch::new();
                let _ = std::hint::black_box(parse(header.as_bytes(), &mut scratch));
            }
        });
        assert_eq!(usage.count_total, 0);
    }

    /// Bytes that come near to being a credential, and bytes that do not.
    fn headers() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop_oneof![
            Just(TOKEN.as_bytes().to_vec()),
            Just(TYPO.as_bytes().to_vec()),
            Just(b" ".to_vec()),
            Just(b"Bearer ".to_vec()),
            Just(b"basic ".to_vec()),
            Just(b"=".to_vec()),
            Just(b":".to_vec()),
            Just(basic(format!("api:{TOKEN}")).into_bytes()),
            "[A-Za-z0-9+/=:_-]{0,40}".prop_map(String::into_bytes),
            proptest::collection::vec(any::<u8>(), 0..6),
        ];
        prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..1100),
            proptest::collection::vec(piece, 0..6).prop_map(|pieces| pieces.concat()),
            proptest::collection::vec(any::<u8>(), 0..80).prop_map(|pair| basic(pair).into_bytes()),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn any_header_has_an_answer_of_clean_bytes(header in headers()) {
            let mut scratch = Scratch::new();
            let room = scratch.bytes.as_ptr_range();
            match parse(&header, &mut scratch) {
                Ok(token) => {
                    prop_assert!(!token.is_empty());
                    let is_clean = |byte: &u8| matches!(byte, 0x21..=0x7E) && !b",\"".contains(byte);
                    prop_assert!(token.iter().all(is_clean));
                    prop_assert!(Scheme::named(token).is_none());
                    // A part of what was handed in, and no copy of it.
                    let part = token.as_ptr_range();
                    let within = |whole: &std::ops::Range<*const u8>| {
                        whole.start <= part.start && part.end <= whole.end
                    };
                    prop_assert!(within(&header.as_ptr_range()) || within(&room));
                    // Alone, it is read as itself.
                    prop_assert_eq!(parsed(token), Ok(token.to_vec()));
                }
                Err(CredentialError::Missing) => {
                    prop_assert!(header.iter().all(|byte| *byte == b' '));
                }
                Err(CredentialError::Malformed) => {
                    prop_assert!(header.iter().any(|byte| *byte != b' '));
                }
            }
        }

        #[test]
        fn spaces_around_change_nothing(header in headers(), before in 0..5_usize, after in 0..5_usize) {
            prop_assume!(header.len() + before + after <= MAX_HEADER_LEN);
            let padded = [" ".repeat(before).into_bytes(), header.clone(), " ".repeat(after).into_bytes()];
            prop_assert_eq!(parsed(padded.concat()), parsed(header));
        }

        #[test]
        fn every_user_and_password_is_read_as_written(
            other in "[!#-+\\--9;-~]{0,100}",
            token_first: bool,
            padded: bool,
        ) {
            let pair = Zeroizing::new(if token_first {
                format!("{TOKEN}:{other}")
            } else {
                format!("{other}:{TOKEN}")
            });
            let header = basic(pair.as_bytes());
            let header = if padded { header } else { header.replace('=', "") };
            prop_assert_eq!(parsed(header), token(TOKEN));
        }
    }
}
