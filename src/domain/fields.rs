//! The fields that records share, checked as they come from operators: each
//! against its limits, and all that is wrong told at once.

use std::collections::{BTreeMap, BTreeSet};

use super::catalog::{STRANGE, ScopeCatalog};
use super::clock::Timestamp;
use super::scope::{Scope, ScopeSet};
use super::text::{plain_text, stored_text, without_tokens};
use super::violation::{MAX_TOLD, Violations};

/// The longest name, in bytes.
pub const MAX_NAME_LEN: usize = 100;
/// The longest description, in bytes.
pub const MAX_DESCRIPTION_LEN: usize = 300;
/// The longest principal, in bytes.
pub const MAX_PRINCIPAL_LEN: usize = 128;
/// The longest note on a revocation, in bytes.
pub const MAX_NOTE_LEN: usize = 200;
/// The most scopes of one key, or of one grant ceiling.
pub const MAX_SCOPES: usize = 100;
/// The most bytes of all those scopes together.
pub const MAX_SCOPES_LEN: usize = 2_048;
/// The most entries of metadata.
pub const MAX_METADATA: usize = 16;
/// The most bytes of all entries of metadata together, names and values.
pub const MAX_METADATA_LEN: usize = 768;
/// The longest name of an entry of metadata, in bytes.
pub const MAX_METADATA_NAME_LEN: usize = 32;
/// The longest value of an entry of metadata, in bytes.
pub const MAX_METADATA_VALUE_LEN: usize = 128;

/// Notes what is wrong with a name, which is required.
pub(super) fn check_name(violations: &mut Violations, field: &str, name: &str) {
    plain_text(violations, field, name, true, MAX_NAME_LEN);
}

/// Notes what is wrong with a description.
pub(super) fn check_description(violations: &mut Violations, field: &str, text: &str) {
    plain_text(violations, field, text, false, MAX_DESCRIPTION_LEN);
}

/// Reads a note on a revocation. A token is cut out of it: whoever writes which
/// one leaked is in a hurry, and is to be kept from nothing.
///
/// # Errors
///
/// What is wrong with it.
pub fn read_note(note: &str) -> Result<String, Violations> {
    let note = without_tokens(note);
    let mut violations = Violations::default();
    stored_text(&mut violations, "note", &note, false, MAX_NOTE_LEN);
    violations.none().map(|()| note)
}

/// How many scopes a list may have, and how long they may be together.
#[derive(Clone, Copy)]
pub(super) struct ScopeLimits {
    pub(super) count: usize,
    pub(super) len: usize,
}

/// The limits of a key's scopes and of a grant ceiling.
pub(super) const GRANTED: ScopeLimits = ScopeLimits {
    count: MAX_SCOPES,
    len: MAX_SCOPES_LEN,
};

/// Reads scopes, and notes which are none.
pub(super) fn read_scopes(
    violations: &mut Violations,
    field: &str,
    texts: &[String],
    limits: ScopeLimits,
) -> ScopeSet {
    let ScopeLimits { count, len } = limits;
    if texts.len() > count {
        let description = format!("has {} entries; at most {count} are allowed", texts.len());
        violations.add(field, description);
        return ScopeSet::default();
    }
    let length: usize = texts.iter().map(String::len).sum();
    if length > len {
        violations.add(
            field,
            format!("are {length} bytes together; at most {len} are allowed"),
        );
        return ScopeSet::default();
    }
    let mut scopes = Vec::with_capacity(texts.len());
    for (position, text) in texts.iter().enumerate() {
        let scope = Scope::try_from(text.as_str());
        scopes.extend(violations.check(format!("{field}[{position}]"), scope));
    }
    ScopeSet::new(scopes)
}

/// Reads the scopes of a key, and notes which are none or not in the catalog.
pub(super) fn read_key_scopes(
    violations: &mut Violations,
    field: &str,
    texts: &[String],
    catalog: &ScopeCatalog,
) -> ScopeSet {
    let scopes = read_scopes(violations, field, texts, GRANTED);
    let strange: BTreeSet<_> = scopes
        .iter()
        .filter(|scope| !catalog.admits(scope))
        .map(Scope::as_str)
        .collect();
    for (position, text) in texts.iter().enumerate() {
        if let Some(scope) = strange.get(text.as_str()) {
            // To look for what was meant takes long, so only where it is read.
            let description = if violations.iter().len() < MAX_TOLD {
                catalog.correct(scope)
            } else {
                STRANGE.to_owned()
            };
            violations.add(format!("{field}[{position}]"), description);
        }
    }
    scopes
}

/// Notes what is wrong with metadata.
pub(super) fn check_metadata(
    violations: &mut Violations,
    of: &str,
    metadata: &BTreeMap<String, String>,
) {
    if metadata.len() > MAX_METADATA {
        let description = format!(
            "has {} entries; at most {MAX_METADATA} are allowed",
            metadata.len()
        );
        violations.add(of, description);
        return;
    }
    for (position, (name, value)) in metadata.iter().enumerate() {
        // The name is not echoed: it is the caller's text, of any length.
        let field = format!("{of}[{position}]");
        let characters = name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b));
        if name.is_empty() || name.len() > MAX_METADATA_NAME_LEN || !characters {
            let description = format!(
                "its name must be 1 to {MAX_METADATA_NAME_LEN} characters of A-Z, a-z, 0-9, `_`, `.` and `-`"
            );
            violations.add(&field, description);
        }
        plain_text(violations, &field, value, false, MAX_METADATA_VALUE_LEN);
    }
    let length: usize = metadata
        .iter()
        .map(|(name, value)| name.len() + value.len())
        .sum();
    if length > MAX_METADATA_LEN {
        let description =
            format!("is {length} bytes long; at most {MAX_METADATA_LEN} are allowed together");
        violations.add(of, description);
    }
}

/// Notes what is wrong with an expiry that is to be set at `now`.
pub(super) fn check_expiry(
    violations: &mut Violations,
    field: &str,
    expiry: Option<Timestamp>,
    now: Timestamp,
) {
    match expiry {
        Some(expiry) if expiry <= now => {
            violations.add(field, format!("is not in the future; it is now {now}"));
        }
        Some(expiry) if expiry > Timestamp::MAX => {
            violations.add(field, "is not a time up to the end of the year 9999");
        }
        Some(_) | None => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(texts: &[String], known: &str) -> Vec<(String, String)> {
        let catalog = ScopeCatalog::new([Scope::try_from(known).unwrap()].into_iter().collect());
        let mut violations = Violations::default();
        read_key_scopes(&mut violations, "scopes", texts, &catalog);
        let told = violations.iter();
        told.map(|told| (told.field.clone(), told.description.clone()))
            .collect()
    }

    #[test]
    fn of_scopes_that_are_too_many_or_too_long_nothing_else_is_told() {
        let short: Vec<_> = (0..=MAX_SCOPES).map(|n| format!("a:No{n}")).collect();
        let long = vec!["a:no".repeat(MAX_SCOPES_LEN)];
        for texts in [short, long] {
            let told = read(&texts, "a:yes");
            assert_eq!(told.len(), 1, "{told:?}");
            assert_eq!(told[0].0, "scopes");
        }
    }

    #[test]
    fn what_was_meant_is_told_for_as_many_scopes_as_are_told_at_all() {
        let texts: Vec<_> = (0..MAX_SCOPES).map(|n| format!("a:yes{n}")).collect();
        let told = read(&texts, "a:yes");
        assert_eq!(told.len(), MAX_SCOPES);
        let advice = told.iter().map(|(_, text)| text.contains("did you mean"));
        let expected = (0..MAX_SCOPES).map(|number| number < MAX_TOLD);
        assert!(advice.eq(expected), "{told:?}");
    }
}
