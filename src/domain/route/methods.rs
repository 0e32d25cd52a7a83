//! The methods that a rule is for.

use std::fmt;

use crate::domain::text::shown;

/// The longest method, in bytes.
const MAX_METHOD_LEN: usize = 32;

/// All methods, or some.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Methods {
    /// All.
    Any,
    /// These, of which there is at least one, and none twice.
    Of(Vec<Box<str>>),
}

/// Whether a request's method is one that everybody reads in the same way: they
/// are case-sensitive, and all that are registered are in capitals, but some
/// servers take `delete` for `DELETE`.
#[must_use]
pub fn is_method(text: &str) -> bool {
    let mut bytes = text.bytes();
    text.len() <= MAX_METHOD_LEN
        && bytes.next().is_some_and(|first| first.is_ascii_uppercase())
        && bytes.all(|byte| byte.is_ascii_uppercase() || byte == b'-')
}

impl Methods {
    /// Reads `GET`, `GET|HEAD` or `*`.
    ///
    /// # Errors
    ///
    /// What is wrong, as the end of a sentence.
    pub(super) fn read(text: &str) -> Result<Self, String> {
        if text == "*" {
            return Ok(Self::Any);
        }
        let mut methods: Vec<Box<str>> = Vec::new();
        for method in text.split('|') {
            let capitals = method.to_ascii_uppercase();
            if !is_method(&capitals) {
                return Err(format!(
                    "has no method where `{}` is: write one as in `GET`, several as in `GET|HEAD`, \
                     all as `*`",
                    shown(method)
                ));
            }
            if capitals != method {
                return Err(format!(
                    "has the method `{}`: write `{}`",
                    shown(method),
                    shown(&capitals)
                ));
            }
            if methods.iter().any(|known| **known == *method) {
                return Err(format!("has the method `{method}` twice"));
            }
            methods.push(method.into());
        }
        Ok(Self::Of(methods))
    }

    /// Whether `method` is one of them.
    #[must_use]
    pub fn contain(&self, method: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Of(methods) => methods.iter().any(|one| **one == *method),
        }
    }
}

/// As they are written.
impl fmt::Display for Methods {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("*"),
            Self::Of(methods) => f.write_str(&methods.join("|")),
        }
    }
}
