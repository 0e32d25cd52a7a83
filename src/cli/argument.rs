//! Values of flags that are more than a text: scopes, metadata, ids, spans.

use std::collections::BTreeMap;
use std::time::Duration;

use super::failure::Failure;
use crate::domain::id::{AdminKeyId, KeyId};

/// What one `--scope` holds: one or several, separated by spaces.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Scopes(Vec<String>);

impl Scopes {
    /// Reads a flag's value. An empty one is refused: it is a variable that
    /// was not set, and to drop it would drop a requirement.
    pub(crate) fn parse(text: &str) -> Result<Self, &'static str> {
        let scopes: Vec<_> = text.split_whitespace().map(str::to_owned).collect();
        if scopes.is_empty() {
            Err("it is empty")
        } else {
            Ok(Self(scopes))
        }
    }

    /// All that the flags hold, in order.
    pub(crate) fn all(flags: Vec<Self>) -> Vec<String> {
        flags.into_iter().flat_map(|scopes| scopes.0).collect()
    }
}

/// One `--metadata name=value`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Entry(String, String);

impl Entry {
    /// Reads a flag's value, which may hold further `=`.
    pub(crate) fn parse(text: &str) -> Result<Self, &'static str> {
        let (name, value) = text.split_once('=').ok_or("expected `name=value`")?;
        if name.is_empty() {
            Err("expected a name before `=`")
        } else {
            Ok(Self(name.to_owned(), value.to_owned()))
        }
    }

    /// All entries. A name that is given twice is refused: which is meant?
    pub(crate) fn all(flags: Vec<Self>) -> Result<BTreeMap<String, String>, Failure> {
        let mut entries = BTreeMap::new();
        for Self(name, value) in flags {
            if entries.contains_key(&name) {
                return Err(Failure::usage(format!("--metadata names `{name}` twice")));
            }
            entries.insert(name, value);
        }
        Ok(entries)
    }
}

/// The id of a key as it was typed.
///
/// A token pasted in its place must not travel on as an id, which is not a
/// secret and is written to logs: it is refused here, without an echo.
pub(crate) fn key_id(text: String) -> Result<String, Failure> {
    match text.parse::<KeyId>() {
        Ok(_) => Ok(text),
        Err(_) => Err(
            Failure::usage("that is no key id: it would be `key_` and 26 characters")
                .note("`keyward keys list` shows ids; `keyward check -` tells whose a token is."),
        ),
    }
}

/// The id of an admin key as it was typed: never a token, like a key's.
pub(crate) fn admin_key_id(text: String) -> Result<String, Failure> {
    match text.parse::<AdminKeyId>() {
        Ok(_) => Ok(text),
        Err(_) => Err(Failure::usage(
            "that is no admin key's id: it would be `adm_` and 26 characters",
        )
        .note("`keyward admins list` shows ids; `keyward whoami` shows your own.")),
    }
}

/// A span of time that is not zero.
pub(crate) fn span(text: &str) -> Result<Duration, String> {
    match span_or_none(text)? {
        Duration::ZERO => Err("it must be longer than that".to_owned()),
        span => Ok(span),
    }
}

/// A span of time, which may be zero.
pub(crate) fn span_or_none(text: &str) -> Result<Duration, String> {
    let number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    humantime::parse_duration(text).map_err(|error| match number {
        true => format!("its unit is missing: write `{text}s` for seconds"),
        false => error.to_string(),
    })
}

/// A span for the wire, as the flag of this name has it.
pub(crate) fn wire_span(
    flag: &str,
    span: Option<Duration>,
) -> Result<Option<prost_types::Duration>, Failure> {
    span.map(prost_types::Duration::try_from)
        .transpose()
        .map_err(|_| Failure::usage(format!("{flag} is too long")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_are_separated_by_spaces_and_never_dropped() {
        let flags = ["people:read  a|b", "*"].map(|text| Scopes::parse(text).unwrap());
        assert_eq!(Scopes::all(flags.to_vec()), ["people:read", "a|b", "*"]);
        assert!(Scopes::parse("").is_err());
        assert!(Scopes::parse("  ").is_err());
    }

    #[test]
    fn metadata_splits_at_the_first_equals_sign() {
        let flags = ["team=crm", "query=a=b", "empty="].map(|text| Entry::parse(text).unwrap());
        let entries = Entry::all(flags.to_vec()).unwrap();
        assert_eq!(entries["query"], "a=b");
        assert_eq!(entries["empty"], "");
        assert!(Entry::parse("team").is_err());
        assert!(Entry::parse("=crm").is_err());
        let twice = ["a=1", "a=2"].map(|text| Entry::parse(text).unwrap());
        assert!(
            Entry::all(twice.to_vec())
                .unwrap_err()
                .to_string()
                .contains("`a` twice")
        );
    }

    #[test]
    fn a_token_in_place_of_an_id_is_not_echoed() {
        assert!(key_id("key_01k3c5hw7n8d0r2vxk4w9g6m1t".to_owned()).is_ok());
        let failure = key_id("klg_live_verysecret".to_owned()).unwrap_err();
        assert!(!failure.to_string().contains("verysecret"));
        assert!(admin_key_id("adm_01k3c5hw7n8d0r2vxk4w9g6m1t".to_owned()).is_ok());
        let failure = admin_key_id("keyward_admin_verysecret".to_owned()).unwrap_err();
        assert!(!failure.to_string().contains("verysecret"));
    }

    #[test]
    fn spans() {
        assert_eq!(span("1500ms"), Ok(Duration::from_millis(1500)));
        assert!(span("0s").is_err());
        assert_eq!(
            span("5").unwrap_err(),
            "its unit is missing: write `5s` for seconds"
        );
        assert!(span("").is_err() && span("soon").is_err());
        assert_eq!(span_or_none("0s"), Ok(Duration::ZERO));
        assert_eq!(span_or_none("0"), Ok(Duration::ZERO));
    }
}
