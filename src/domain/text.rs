//! Texts for people: what they may hold, and the tokens that they must not,
//! found and cut out.

use super::token::{CHECKSUM_LEN, SECRET_LEN};
use super::violation::Violations;

/// How many digits of base62 a token ends in, behind an underscore.
const RUN: usize = SECRET_LEN + CHECKSUM_LEN;

/// How much is shown of a text that is at fault, in characters.
const SHOWN: usize = 60;

/// What stands in the place of a token that was cut out. It is shorter than
/// any.
const CUT_OUT: &str = "(a token)";

/// What is told of a text in which there is a token. Which one is not: an error
/// is read by more people than the token is for.
const HAS_TOKEN: &str = "has something in it that has the form of a token; tokens are not stored: leave it out, and if it \
     is a token that works, revoke it";

/// Checks a text for people as it comes in: as [`stored_text`] does, and that
/// there is no token in it, which would be stored and shown with it.
pub(super) fn plain_text(
    violations: &mut Violations,
    field: &str,
    text: &str,
    required: bool,
    max: usize,
) {
    stored_text(violations, field, text, required, max);
    if has_token(text) {
        violations.add(field, HAS_TOKEN);
    }
}

/// Checks what a text must be wherever it comes from, also from a store that
/// took it before there was a rule on tokens: at most `max` bytes, at least one
/// if `required`, no control characters, which could forge a line of a log or a
/// table.
pub(super) fn stored_text(
    violations: &mut Violations,
    field: &str,
    text: &str,
    required: bool,
    max: usize,
) {
    if required && text.trim().is_empty() {
        violations.add(field, "is required");
    }
    if text.len() > max {
        violations.add(
            field,
            format!("is {} bytes long; at most {max} are allowed", text.len()),
        );
    }
    if text.chars().any(char::is_control) {
        violations.add(field, "has a control character; use printable text");
    }
}

/// Whether something in `text` is built like a token of ours. One with a wrong
/// checksum counts: it is a token but for a typo, or what was before it.
#[must_use]
pub fn has_token(text: &str) -> bool {
    next_token(text).is_some()
}

/// The text with whatever is built like a token of ours cut out, with the label
/// before it.
#[must_use]
pub fn without_tokens(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((start, end)) = next_token(rest) {
        out.push_str(&rest[..start]);
        out.push_str(CUT_OUT);
        rest = &rest[end..];
    }
    out.push_str(rest);
    out
}

/// A text that came from outside, as it may be told of where it is at fault: one
/// line, not too long, and no token in it.
pub(super) fn shown(text: &str) -> String {
    let text = without_tokens(text);
    let mut shown: String = text.chars().take(SHOWN).collect();
    if shown.len() < text.len() {
        shown.push('\u{2026}');
    }
    shown.escape_debug().to_string()
}

/// Where the first token starts, its label included, and where it ends: as many
/// digits of base62 as a token ends in, neither more nor less, behind an
/// underscore and a character of a label. What is before that is not looked
/// at, for anything can stand before a token.
fn next_token(text: &str) -> Option<(usize, usize)> {
    let bytes = text.as_bytes();
    let mut end = 0;
    for run in bytes.split_inclusive(|byte| !byte.is_ascii_alphanumeric()) {
        let start = end;
        end += run.len();
        let digits = match run.split_last() {
            Some((last, before)) if !last.is_ascii_alphanumeric() => before.len(),
            Some(_) | None => run.len(),
        };
        let label = bytes[..start].strip_suffix(b"_");
        if let (RUN, Some([.., b'a'..=b'z' | b'0'..=b'9'])) = (digits, label) {
            let is_word = |byte: &&u8| byte.is_ascii_alphanumeric() || **byte == b'_';
            let word = bytes[..start].iter().rev().take_while(is_word).count();
            return Some((start - word, start + digits));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::token::{Token, TokenPrefix};

    fn minted() -> Token {
        Token::mint(&TokenPrefix::try_from("klg_api").unwrap(), None)
    }

    #[test]
    fn a_token_is_found_wherever_it_is_in_a_text() {
        let token = minted();
        let token = token.expose();
        let mistyped = format!("{}{}", &token[..token.len() - 1], '!');
        let (last, other) = (&token[token.len() - 1..], ["A", "B"]);
        let typo = other.iter().find(|other| **other != last).unwrap();
        let typo = format!("{}{typo}", &token[..token.len() - 1]);
        let digest = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
        for (text, found) in [
            (token.to_owned(), true),
            (typo, true),
            (format!("user:{token}"), true),
            (format!("token={token};"), true),
            (format!("Bearer {token}, as of May"), true),
            (format!("my_{token}"), true),
            (format!("\u{201c}{token}\u{201d}"), true),
            // What stands around tokens in files, headers and addresses.
            (format!("KEY_{token}"), true),
            (format!("Bearer_{token}"), true),
            (format!("https://x.test/?t%3D{token}%26u"), true),
            (format!("_{token}_"), true),
            (format!("a_label_that_no_token_of_ours_has_{token}"), true),
            // Too short to be one, or too long.
            (mistyped, false),
            (format!("{token}A"), false),
            (token[8..].to_owned(), false),
            ("klg_api_\u{2026}x7Qa".to_owned(), false),
            ("key_01k3c5hw7n8d0r2vxk4w9g6m1t".to_owned(), false),
            (format!("sha256_{digest}"), false),
            (digest.to_owned(), false),
            (format!("v1_{}", &digest[..40]), false),
            (
                "Donaudampfschifffahrtsgesellschaftskapitaenswitwe".to_owned(),
                false,
            ),
            (
                "an_id_of_many_words_that_are_joined_by_underscores_alone".to_owned(),
                false,
            ),
            ("a".repeat(300), false),
            (String::new(), false),
        ] {
            let mut violations = Violations::default();
            plain_text(&mut violations, "field", &text, false, 500);
            assert_eq!(!violations.is_empty(), found, "{text}");
            assert!(!violations.to_string().contains(token));
            assert_eq!(without_tokens(&text) != text, found, "{text}");
            assert!(!found || !without_tokens(&text).contains(&token[8..40]));

            let mut violations = Violations::default();
            stored_text(&mut violations, "field", &text, false, 500);
            assert!(violations.is_empty(), "{text}");
        }
    }

    #[test]
    fn a_token_is_cut_out_with_its_label_and_all_else_stays() {
        let token = minted();
        let token = token.expose();
        for (text, left) in [
            (format!("no file `{token}`"), "no file `(a token)`"),
            (format!("{token}: gone"), "(a token): gone"),
            (format!("/tmp/{token}"), "/tmp/(a token)"),
            (format!("KEY_{token}_"), "(a token)_"),
            (
                format!("ä {token} and {token}."),
                "ä (a token) and (a token).",
            ),
            (
                "key_01m7ys7nm253ryvm0drpt5xew1 is no key".to_owned(),
                "key_01m7ys7nm253ryvm0drpt5xew1 is no key",
            ),
            (String::new(), ""),
        ] {
            assert_eq!(without_tokens(&text), left);
        }
    }
}
