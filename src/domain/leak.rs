//! Tokens of ours in any bytes, such as a dump, a log or a repository: found by
//! their shape and their checksum.
//!
//! A secret and its checksum are 49 digits of base62 behind an underscore,
//! which few texts hold: one byte in so many decides that there is none around
//! it. Where there is one, the checksum tells where the token starts, as it
//! covers every byte from there on.

use std::fmt;
use std::ops::Range;

use super::base62;
use super::token::{self, CHECKSUM_LEN, MAX_LABEL_LEN, MAX_TOKEN_LEN, SECRET_LEN, Shape};

/// How many digits of base62 a token ends in.
const RUN: usize = SECRET_LEN + CHECKSUM_LEN;

/// How much of what came before can belong to a token that is not whole yet.
const OVERLAP: usize = MAX_TOKEN_LEN - 1;

/// Which bytes are digits of base62.
const DIGITS: [bool; 256] = {
    let mut digits = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        digits[byte] = (byte as u8).is_ascii_alphanumeric();
        byte += 1;
    }
    digits
};

/// Where something is in a text.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Place {
    /// How many bytes are before it.
    pub offset: u64,
    /// Its line, counted from 1.
    pub line: u64,
    /// Its byte in the line, counted from 1.
    pub column: u64,
}

impl Place {
    const START: Self = Self {
        offset: 0,
        line: 1,
        column: 1,
    };

    /// The place behind `bytes`, which start here.
    fn behind(self, bytes: &[u8]) -> Self {
        let lines = newlines(bytes);
        let column = match lines {
            0 => self.column + bytes.len() as u64,
            _ => 1 + bytes.iter().rev().take_while(|b| **b != b'\n').count() as u64,
        };
        Self {
            offset: self.offset + bytes.len() as u64,
            line: self.line + lines,
            column,
        }
    }
}

/// Counts in blocks whose counts fit a byte, which compilers make fast.
fn newlines(bytes: &[u8]) -> u64 {
    let count = |block: &[u8]| block.iter().map(|b| u8::from(*b == b'\n')).sum::<u8>();
    bytes.chunks(192).map(|block| u64::from(count(block))).sum()
}

/// A token in a text.
#[derive(Clone, Copy)]
pub struct Found<'a> {
    /// Where it starts.
    pub place: Place,
    /// All of it, in clear: each use of this is a way out for a secret.
    pub token: &'a [u8],
}

impl fmt::Debug for Found<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Found({:?}, ..)", self.place)
    }
}

/// Finds the tokens of a text that comes in pieces, in bounded memory and
/// without allocation.
///
/// A word that is a token by its checksum from two of its letters on is found
/// twice: which is meant cannot be told. By chance that is one in four billion.
pub struct Scanner {
    /// The end of what was fed, as far as a token can have begun in it.
    tail: [u8; OVERLAP],
    len: usize,
    /// Where the tail starts.
    place: Place,
}

impl Scanner {
    /// A scanner at the start of a text.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            tail: [0; OVERLAP],
            len: 0,
            place: Place::START,
        }
    }

    /// Hands each token that is whole with `piece` to `found`, in order.
    pub fn feed(&mut self, piece: &[u8], mut found: impl FnMut(Found<'_>)) {
        self.scan_seam(piece, &mut found);
        // The next tail starts so far into what there is.
        let start = (self.len + piece.len()).saturating_sub(OVERLAP);
        let mut place = self.place.behind(&self.tail[..self.len]);
        let (mut passed, ahead) = (0, start.saturating_sub(self.len));
        scan(piece, |token| {
            let here = place.behind(&piece[passed..token.start]);
            if token.start <= ahead {
                (place, passed) = (here, token.start);
            }
            found(Found {
                place: here,
                token: &piece[token],
            });
        });
        if start >= self.len {
            self.place = place.behind(&piece[passed..ahead]);
            self.len = piece.len() - ahead;
            self.tail[..self.len].copy_from_slice(&piece[ahead..]);
        } else {
            self.place = self.place.behind(&self.tail[..start]);
            self.tail.copy_within(start..self.len, 0);
            let kept = self.len - start;
            self.len = kept + piece.len();
            self.tail[kept..self.len].copy_from_slice(piece);
        }
    }

    /// Finds what starts in the tail and ends in `piece`.
    fn scan_seam(&self, piece: &[u8], found: &mut impl FnMut(Found<'_>)) {
        let head = &piece[..piece.len().min(OVERLAP)];
        let mut seam = [0; 2 * OVERLAP];
        seam[..self.len].copy_from_slice(&self.tail[..self.len]);
        seam[self.len..self.len + head.len()].copy_from_slice(head);
        scan(&seam[..self.len + head.len()], |token| {
            if token.start < self.len && token.end > self.len {
                found(Found {
                    place: self.place.behind(&seam[..token.start]),
                    token: &seam[token],
                });
            }
        });
    }
}

impl Default for Scanner {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Scanner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Scanner(..)")
    }
}

/// Finds all tokens that are whole in `text`, in the order of their starts.
///
/// Of each byte it is asked once at most whether it is a digit: a byte that is
/// none, looked for from the far end of where a run could be, rules out all runs
/// over it.
fn scan(text: &[u8], mut found: impl FnMut(Range<usize>)) {
    // The first byte of the run that is looked at, all of which are digits up to
    // `known`.
    let (mut start, mut known) = (0, 0);
    while let Some(window) = text.get(known..start + RUN) {
        let gap = window.iter().rposition(|byte| !DIGITS[usize::from(*byte)]);
        if let Some(gap) = gap {
            (start, known) = (known + gap + 1, start + RUN);
            continue;
        }
        tokens_around(text, start, &mut found);
        let rest = text[start + RUN..].iter();
        let longer = rest.take_while(|byte| DIGITS[usize::from(**byte)]).count();
        start += RUN + longer + 1;
        known = start;
    }
}

/// Finds the tokens whose secret is at `secret`, where a run of digits starts:
/// whatever stands before it and can be of a label may be of the token or of
/// another word that it touches, and the checksum tells.
fn tokens_around(text: &[u8], secret: usize, found: &mut impl FnMut(Range<usize>)) {
    let Some(label_end) = secret.checked_sub(1).filter(|at| text[*at] == b'_') else {
        return;
    };
    let sum_at = secret + SECRET_LEN;
    let checksum = text[sum_at..].first_chunk::<CHECKSUM_LEN>();
    // Of six digits, thirteen in fourteen stand for no checksum at all.
    let Some(checksum) = checksum
        .and_then(base62::decode)
        .and_then(|number| u32::try_from(number).ok())
    else {
        return;
    };
    let first = label_end.saturating_sub(MAX_LABEL_LEN);
    let is_of_label = |byte: &u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_');
    let before = text[first..label_end].iter().rev();
    let label = before.take_while(|byte| is_of_label(byte)).count();
    for start in label_end - label..label_end {
        let token = start..secret + RUN;
        if text[start].is_ascii_lowercase()
            && crc32fast::hash(&text[start..sum_at]) == checksum
            && token::shape(&text[token.clone()]) == Shape::Native
        {
            found(token);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::token::{Token, TokenPrefix};

    const LIVE: &str = "klg_live_yhjskwdA6OZ1AL1YmHWZWm8LLG7HjnuCA2j5rOw8Xp13kbUxd";
    const KLIPY: &str = "klipy_api_003aUlTJC7tjlCTQj2uNU3MFagCXG9LRKRcwGkBIDlf0nTd9z";

    /// What is found if the text comes in pieces of these lengths, over and
    /// over.
    fn found_in(text: &[u8], pieces: &[usize]) -> Vec<(Place, Vec<u8>)> {
        let (mut scanner, mut found, mut rest) = (Scanner::new(), Vec::new(), text);
        for length in pieces.iter().cycle() {
            let (piece, behind) = rest.split_at(rest.len().min(*length));
            scanner.feed(piece, |token| {
                found.push((token.place, token.token.to_vec()));
            });
            rest = behind;
            if rest.is_empty() {
                break;
            }
        }
        found
    }

    fn tokens_in(text: impl AsRef<[u8]>) -> Vec<String> {
        let text = text.as_ref();
        let found = found_in(text, &[usize::MAX]);
        let text = found.into_iter().map(|(_, token)| String::from_utf8(token));
        text.map(Result::unwrap).collect()
    }

    #[test]
    fn finds_tokens_whatever_they_touch() {
        for (before, after) in [
            ("", ""),
            ("\"token\":\"", "\","),
            ("https://a.b/?key=", "&c=d"),
            ("https://a.b/", "/c"),
            ("line\\n", "\\nline"),
            ("let key = '", "';"),
            ("KEY=", "\0"),
            ("abc", "def"),
            ("x_y_", "_z"),
            ("A", "Z"),
            ("0123456789", "0123456789"),
            ("\u{e4}", "\u{e4}"),
            ("\\t", "\r\n"),
            (
                "abcdefghijklmnopqrstuvwxyz_abcdefghijklmnopqrstuvwxyz_",
                "_",
            ),
        ] {
            let text = format!("{before}{LIVE}{after}");
            assert_eq!(tokens_in(&text), [LIVE], "{text}");
        }
        assert_eq!(tokens_in(format!("{LIVE}{KLIPY}")), [LIVE, KLIPY]);
        assert_eq!(tokens_in(format!("{LIVE}_{KLIPY}")), [LIVE, KLIPY]);
        let latin = [b"\xff\xfe\0", LIVE.as_bytes(), b"\xff\x80"].concat();
        assert_eq!(tokens_in(latin), [LIVE]);
    }

    #[test]
    fn finds_no_near_misses() {
        let typo = LIVE.replace("kbUxd", "kbUxe");
        let (short, beheaded) = (&LIVE[..LIVE.len() - 1], &LIVE[1..]);
        let shouted = LIVE.replace("klg", "Klg");
        let dashed = LIVE.replace('_', "-");
        let split = LIVE.replace("AL1", "AL 1");
        for text in [&typo, short, beheaded, &shouted, &dashed, &split, "", "_"] {
            assert_eq!(tokens_in(text), [""; 0], "{text}");
        }
    }

    #[test]
    fn places_are_counted_from_the_start_whatever_the_pieces() {
        let text = format!(
            "one\n two {LIVE}\n\n{KLIPY} {LIVE}\n{}{KLIPY}",
            "x".repeat(300)
        );
        let whole = found_in(text.as_bytes(), &[usize::MAX]);
        let places: Vec<_> = whole
            .iter()
            .map(|(place, _)| (place.line, place.column))
            .collect();
        assert_eq!(places, [(2, 6), (4, 1), (4, 61), (5, 301)]);
        for (place, token) in &whole {
            let at = usize::try_from(place.offset).unwrap();
            assert_eq!(&text.as_bytes()[at..at + token.len()], token);
        }
        for length in 1..200 {
            assert_eq!(found_in(text.as_bytes(), &[length]), whole, "{length}");
        }
    }

    /// All that has a token's shape, by trying every part of the text.
    fn slowly(text: &[u8]) -> Vec<Vec<u8>> {
        let mut found = Vec::new();
        for start in 0..text.len() {
            for end in start..text.len().min(start + MAX_TOKEN_LEN) + 1 {
                if token::shape(&text[start..end]) == Shape::Native {
                    found.push(text[start..end].to_vec());
                }
            }
        }
        found
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn finds_what_trying_everything_finds(
            parts in proptest::collection::vec((0..8u8, "[a-z0-9_]{0,12}", "[0-9A-Za-z_]{0,60}"), 0..8),
            pieces in proptest::collection::vec(1..150usize, 1..5),
        ) {
            let mut text = Vec::new();
            for (kind, word, noise) in parts {
                text.extend(word.as_bytes());
                let prefix = TokenPrefix::try_from("ab_c").unwrap();
                let token = Token::mint(&prefix, None);
                match kind {
                    0..4 => text.extend(token.expose().as_bytes()),
                    4 => text.extend(&token.expose().as_bytes()[..50]),
                    5 => text.extend(b"\n\xff"),
                    _ => {}
                }
                text.extend(noise.as_bytes());
            }
            let found: Vec<_> = found_in(&text, &pieces).into_iter().map(|(_, token)| token).collect();
            prop_assert_eq!(found, slowly(&text));
        }
    }

    #[test]
    fn debug_output_keeps_what_was_found() {
        let mut scanner = Scanner::new();
        let mut told = String::new();
        scanner.feed(LIVE.as_bytes(), |found| told = format!("{found:?}"));
        assert!(told.contains("offset: 0"), "{told}");
        assert!(!told.contains("yhjsk") && !format!("{scanner:?}").contains("yhjsk"));
    }
}
