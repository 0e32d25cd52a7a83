//! What is said of the steps that look at one thing alone, and how it is put.

use std::borrow::Cow;
use std::time::Duration;

use crate::domain::clock::Timestamp;
use crate::domain::due::{Reading, Source};
use crate::domain::explanation::Said;
use crate::domain::key::Revocation;
use crate::domain::scope::ScopeSet;
use crate::domain::verdict::Standing;

use super::super::KeyView;
use super::words::MAX_TOLD;

/// What the caller wrote, as it may come back to him: a word that is as long as a
/// token, or much else, may be one that was given in the place of something else.
pub(super) fn echoed(text: &str) -> Cow<'_, str> {
    const LONG_WORD: usize = 40;
    const LONG_TEXT: usize = 200;
    let is_of_word = |c: char| c.is_alphanumeric() || c == '_';
    let mut words = text.split(|c| !is_of_word(c));
    if text.len() > LONG_TEXT || words.any(|word| word.len() >= LONG_WORD) {
        Cow::Borrowed("(what is too long to be told)")
    } else {
        Cow::Borrowed(text)
    }
}

pub(super) fn scopes_message(said: &Said, missing: &[Cow<'_, str>], required: usize) -> String {
    let beyond = said.facts.iter().any(|(name, _)| *name == "beyond_ceiling");
    match missing {
        [] if required == 0 => "No scopes are required.".to_owned(),
        [] if required > MAX_TOLD => {
            format!(
                "{required} scopes are required, and those behind the {MAX_TOLD}th are never met."
            )
        }
        [] => "All scopes that are required are granted.".to_owned(),
        missing if beyond => format!(
            "Not granted: {}. The key has some of it, beyond the scope ceiling of its principal's membership.",
            missing.join(", ")
        ),
        missing => format!("Not granted: {}.", missing.join(", ")),
    }
}

/// The one that has the most in common with what is required, from its start.
pub(super) fn nearest(scopes: &ScopeSet, requirement: &str) -> Option<String> {
    let common = |scope: &str| {
        let alternatives = requirement.split('|');
        let same = alternatives.map(|required| {
            let segments = scope.split(':').zip(required.split(':'));
            segments.take_while(|(one, other)| one == other).count()
        });
        same.max().unwrap_or_default()
    };
    let texts = scopes.iter().map(ToString::to_string);
    let best = texts.max_by_key(|scope| common(scope))?;
    (common(&best) > 0).then_some(best)
}

pub(super) fn revocation(revocation: Option<&Revocation>) -> Said {
    let Some(end) = revocation else {
        return Said::new("The key is not revoked.");
    };
    let reason = end.reason.as_str();
    Said::new(format!(
        "The key was revoked at {} by {}.",
        end.time, end.by
    ))
    .with("revoke_time", end.time)
    .with("revoked_by", &end.by)
    .with("reason", reason)
}

pub(super) fn switches(view: &KeyView, standing: &Standing<'_>, passed: bool) -> Said {
    let principal = &view.key.principal;
    let mut off = Vec::new();
    if standing.disabled {
        off.push("the key is disabled".to_owned());
    }
    if standing.principal_disabled {
        off.push(format!("its principal {principal} is disabled"));
    }
    if standing.workspace_disabled {
        off.push(format!("the workspace {} is disabled", standing.workspace));
    }
    if !standing.member {
        off.push(format!(
            "its principal {principal} is no member of {} any more",
            standing.workspace
        ));
    }
    let said = match passed {
        true => Said::new("Neither the key nor its principal or workspace is disabled."),
        false => Said::new(format!("Something is switched off: {}.", off.join("; "))),
    };
    said.with("key_disabled", standing.disabled)
        .with("principal_disabled", standing.principal_disabled)
        .with("workspace_disabled", standing.workspace_disabled)
        .with("member", standing.member)
}

pub(super) fn limits(readings: &[Reading], cost: u32) -> Said {
    let mut said = Said::default();
    let mut denied = Vec::new();
    for reading in readings {
        let limit = &reading.limit;
        let source = match reading.source {
            Source::Key => "key",
            Source::Principal => "principal",
            Source::Workspace => "workspace",
        };
        let wait = match (reading.denied, reading.retry) {
            (true, Some(wait)) => format!(", passes in {}", span(wait)),
            (true, None) => ", never passes".to_owned(),
            (false, _) => String::new(),
        };
        let told = format!(
            "{}: {} of {} left in {}s, of the {source}{wait}",
            limit.name,
            reading.remaining,
            limit.count,
            limit.window.as_secs()
        );
        if reading.denied {
            denied.push(told.clone());
        }
        said = said.with("limit", told);
    }
    said.message = match (readings.len(), denied.as_slice()) {
        (0, _) => "No limit counts on the check.".to_owned(),
        (1, []) => format!("The limit that counts has room for {cost}."),
        (count, []) => format!("All {count} limits that count have room for {cost}."),
        (_, denied) => format!("There is no room for {cost}: {}.", denied.join("; ")),
    };
    said.with("cost", cost)
}

/// How long it is, in words.
pub(super) fn until(now: Timestamp, end: Timestamp) -> String {
    span(Duration::from_micros(
        end.as_micros().saturating_sub(now.as_micros()),
    ))
}

/// A span in whole seconds, no shorter than it is.
pub(super) fn span(span: Duration) -> String {
    let seconds = span.as_secs() + u64::from(span.subsec_nanos() > 0);
    humantime::format_duration(Duration::from_secs(seconds)).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::scope::Scope;

    #[test]
    fn the_nearest_scope_has_the_longest_start_in_common() {
        let scopes = ["people:read", "people:notes:read", "companies:*"];
        let scopes = ScopeSet::new(scopes.map(|text| Scope::try_from(text).unwrap()));
        for (required, expected) in [
            ("people:notes:write", Some("people:notes:read")),
            ("x:y|companies:write", Some("companies:*")),
            ("deals:read", None),
        ] {
            assert_eq!(
                nearest(&scopes, required).as_deref(),
                expected,
                "{required}"
            );
        }
    }

    #[test]
    fn a_token_in_the_place_of_something_else_does_not_come_back() {
        let token = "klg_live_yhjskwdA6OZ1AL1YmHWZWm8LLG7HjnuCA2j5rOw8Xp13kbUxd";
        for text in [
            token,
            &token[1..],
            &format!("a:{token}|b"),
            &format!("{token}x"),
        ] {
            assert!(!echoed(text).contains("yhjsk"), "{text}");
        }
        for text in [
            "",
            "people:read|companies:write",
            "[2001:db8::1]:443",
            "live",
        ] {
            assert_eq!(echoed(text), text);
        }
    }

    #[test]
    fn spans_are_no_shorter_than_they_are() {
        assert_eq!(span(Duration::from_millis(1)), "1s");
        assert_eq!(span(Duration::from_secs(90_000)), "1day 1h");
    }
}
