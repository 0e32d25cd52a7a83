//! Fields that are not acceptable, gathered so that all are told at once.

use std::fmt;

use super::token::{self, Shape};

/// How many violations a caller is told of: clients commonly take 8 KiB of
/// headers, in which they are.
pub const MAX_TOLD: usize = 25;

/// One field that is not acceptable.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Violation {
    /// The path of the field in the request, as in `scopes[2]`.
    pub field: String,
    /// What is wrong with it and what would be right, as a sentence.
    pub description: String,
}

/// All fields of one request that are not acceptable.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Violations(Vec<Violation>);

impl Violations {
    /// Notes that `field` is not acceptable.
    pub fn add(&mut self, field: impl Into<String>, description: impl Into<String>) {
        self.0.push(Violation {
            field: field.into(),
            description: description.into(),
        });
    }

    /// One field that is not acceptable, and nothing else.
    #[must_use]
    pub fn of(field: impl Into<String>, description: impl Into<String>) -> Self {
        let mut violations = Self::default();
        violations.add(field, description);
        violations
    }

    /// Notes the error of `result` against `field`, or hands out its value.
    pub fn check<T, E: fmt::Display>(
        &mut self,
        field: impl Into<String>,
        result: Result<T, E>,
    ) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(error) => {
                self.add(field, error.to_string());
                None
            }
        }
    }

    /// Whether nothing was noted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What was noted, in order.
    pub fn iter(&self) -> std::slice::Iter<'_, Violation> {
        self.0.iter()
    }

    /// `Ok` if nothing was noted.
    ///
    /// # Errors
    ///
    /// Itself, if something was.
    pub fn none(self) -> Result<(), Self> {
        if self.is_empty() { Ok(()) } else { Err(self) }
    }
}

impl FromIterator<Violation> for Violations {
    fn from_iter<I: IntoIterator<Item = Violation>>(violations: I) -> Self {
        Self(violations.into_iter().collect())
    }
}

impl fmt::Display for Violations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, violation) in self.0.iter().enumerate() {
            let separator = if position == 0 { "" } else { "; " };
            write!(
                f,
                "{separator}{}: {}",
                violation.field, violation.description
            )?;
        }
        Ok(())
    }
}

/// What is told of a text in which there is a token. Which one is not: an error
/// is read by more people than the token is for.
const HAS_TOKEN: &str = "has something in it that has the form of a token; tokens are not stored: leave it out, and if it \
     is a token that works, revoke it";

/// Checks a text for people: at most `max` bytes, at least one if `required`,
/// no control characters, which could forge a line of a log or a table, and no
/// token, which would be stored and shown with it.
pub(super) fn plain_text(
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
    if has_token(text) {
        violations.add(field, HAS_TOKEN);
    }
}

/// Whether a word of `text` is built like a token of ours. One with a wrong
/// checksum counts: it is a token but for a typo, or what was before it.
fn has_token(text: &str) -> bool {
    let mut words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    words.any(|word| match token::shape(word.as_bytes()) {
        Shape::Native | Shape::BadChecksum => true,
        Shape::Foreign => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::token::{Token, TokenPrefix};

    #[test]
    fn a_token_is_found_wherever_it_is_in_a_text() {
        let token = Token::mint(&TokenPrefix::try_from("klg_api").unwrap(), None);
        let token = token.expose();
        let mistyped = format!("{}{}", &token[..token.len() - 1], '!');
        let (last, other) = (&token[token.len() - 1..], ["A", "B"]);
        let typo = other.iter().find(|other| **other != last).unwrap();
        let typo = format!("{}{typo}", &token[..token.len() - 1]);
        for (text, found) in [
            (token.to_owned(), true),
            (typo, true),
            (format!("user:{token}"), true),
            (format!("token={token};"), true),
            (format!("Bearer {token}, as of May"), true),
            (format!("my_{token}"), true),
            (format!("\u{201c}{token}\u{201d}"), true),
            // Too short to be one.
            (mistyped, false),
            (token[8..].to_owned(), false),
            ("klg_api_\u{2026}x7Qa".to_owned(), false),
            ("key_01k3c5hw7n8d0r2vxk4w9g6m1t".to_owned(), false),
            ("a".repeat(300), false),
            (String::new(), false),
        ] {
            let mut violations = Violations::default();
            plain_text(&mut violations, "field", &text, false, 500);
            assert_eq!(!violations.is_empty(), found, "{text}");
            assert!(!violations.to_string().contains(token));
        }
    }
}
