//! Which actions an audit log is asked for: one by its name, or all that start
//! with the first part of theirs. What no action is called finds nothing, now or
//! ever, so that is told.

use super::audit::AuditAction;
use super::violation::Violations;

/// A name is a typo of another if it differs in at most this many characters.
const MAX_TYPOS: usize = 3;

/// Lets the name of an action pass, as `key.revoke`; what a name starts with, as
/// `key.`; and nothing, which is any.
///
/// # Errors
///
/// No action is called so, with the one that may have been meant.
pub fn check_action(field: &str, asked: &str) -> Result<(), Violations> {
    let names = AuditAction::ALL.map(AuditAction::as_str);
    let is_one = if asked.ends_with('.') {
        names.iter().any(|name| name.starts_with(asked))
    } else {
        asked.is_empty() || names.contains(&asked)
    };
    if is_one {
        return Ok(());
    }
    // Of any two, the part before the dot can be what is meant too.
    let starts = names
        .iter()
        .filter_map(|name| name.split_inclusive('.').next());
    let nearest = names
        .iter()
        .copied()
        .chain(starts)
        .filter(|name| name.len().abs_diff(asked.len()) <= MAX_TYPOS)
        .map(|name| (strsim::damerau_levenshtein(name, asked), name))
        .min_by_key(|(distance, _)| *distance)
        .filter(|(distance, _)| *distance <= MAX_TYPOS);
    let meant = match nearest {
        Some((_, name)) => format!("did you mean `{name}`?"),
        None => format!("there are {}", names.join(", ")),
    };
    Err(Violations::of(
        field,
        format!("is no action that is written down; {meant}"),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(asked: &str) -> String {
        check_action("action", asked).unwrap_err().to_string()
    }

    #[test]
    fn names_and_what_they_start_with_pass() {
        for action in AuditAction::ALL {
            check_action("action", action.as_str()).unwrap();
        }
        for asked in ["", "key.", "call.", "membership."] {
            check_action("action", asked).unwrap();
        }
        for asked in [".", "key", "ke.", "key.*", "key.revoke.", "KEY.REVOKE"] {
            assert!(check_action("action", asked).is_err(), "{asked}");
        }
    }

    #[test]
    fn what_was_meant_is_told() {
        assert!(told("key.revok").contains("did you mean `key.revoke`?"));
        assert!(told("keys.").contains("did you mean `key.`?"));
        assert!(told("key").contains("did you mean `key.`?"));
        let far = told("whatever.it.is");
        assert!(far.contains("there are store.init, ") && !far.contains("did you"));
    }

    /// The page that documents what the events tell names every action.
    #[test]
    fn all_actions_are_those_that_are_documented() {
        let page = include_str!("../../proto/keyward/v1/audit_event.proto");
        let mut documented: Vec<_> = page
            .lines()
            .filter_map(|line| line.trim().strip_prefix("// - "))
            .flat_map(|line| line.split(':').next().unwrap_or_default().split(", "))
            .filter_map(|name| name.split('`').nth(1))
            .collect();
        let mut known = AuditAction::ALL.map(AuditAction::as_str).to_vec();
        documented.sort_unstable();
        known.sort_unstable();
        assert_eq!(documented, known);
    }
}
