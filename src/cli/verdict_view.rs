//! How a verdict is shown: as lines for people, and as JSON.

use serde_json::{Value, json};

use super::table::{self, Properties};
use super::{key_view, limits, refill, text};
use crate::edge::pb::{Allowed, CreditsLeft, DenialReason, Denied, LimitStatus, PresentedToken};

/// Who it is, a line for each thing known.
pub(crate) fn allowed_lines(allowed: &Allowed) -> String {
    let mut lines = Properties::default();
    lines.add("Principal", &allowed.principal);
    lines.add("Workspace", &allowed.workspace);
    lines.add("Environment", &allowed.environment);
    lines.add("Scopes", key_view::scopes(&allowed.scopes));
    lines.add("Metadata", key_view::metadata(&allowed.metadata));
    lines.add("Key", &allowed.key_id);
    lines.add("Name", &allowed.name);
    lines.add("Expires", text::expiry(allowed.expire_time.as_ref()));
    lines.add(
        "Token",
        allowed.token.as_ref().map(token).unwrap_or_default(),
    );
    add_limits(&mut lines, &allowed.limits);
    lines.add("Credits", credits(allowed.credits.as_ref()));
    format!("ALLOWED\n\n{}", lines.lines(table::terminal_width()))
}

/// Which of two tokens it was, and what to do about the old one.
fn token(token: &PresentedToken) -> String {
    let hint = &token.hint;
    match (token.superseded, &token.end_time) {
        (false, _) => format!("{hint}, the new one: the key is being rotated"),
        (true, Some(end)) => format!("{hint}, the old one: it works until {}", text::second(end)),
        (true, None) => format!("{hint}, the old one: it works until the new one was used"),
    }
}

/// The reason, what it means, and which key it is.
pub(crate) fn denied_lines(denied: &Denied) -> String {
    let mut lines = Properties::default();
    lines.add("Missing", denied.missing_scopes.join(" "));
    lines.add("Key", &denied.key_id);
    lines.add("Hint", &denied.key_hint);
    add_limits(&mut lines, &denied.limits);
    lines.add("Credits", credits(denied.credits.as_ref()));
    let (reason, status) = (text::denial_reason(denied.reason), denied.http_status);
    let lines = lines.lines(table::terminal_width());
    let lines = if lines.trim().is_empty() {
        lines.trim().to_owned()
    } else {
        format!("\n{lines}")
    };
    format!(
        "DENIED: {reason} (HTTP {status})\n{}\n{lines}",
        why(denied.reason)
    )
}

/// How each limit that counted stands.
fn add_limits(lines: &mut Properties, statuses: &[LimitStatus]) {
    for status in statuses {
        let label = if status.denied { "Used up" } else { "Limit" };
        lines.add(label, limits::standing(status));
    }
}

/// What is left of credits; empty: the key needs none.
fn credits(left: Option<&CreditsLeft>) -> String {
    left.map(refill::left_line).unwrap_or_default()
}

/// The reason in plain words.
fn why(reason: i32) -> &'static str {
    let Ok(reason) = DenialReason::try_from(reason) else {
        return "The server gives a reason that this keyward does not know: one of the two is older.";
    };
    match reason {
        DenialReason::Unspecified => {
            "The server's answer is none that this keyward knows, which counts as a denial."
        }
        DenialReason::Missing => "The header is empty.",
        DenialReason::Malformed => {
            "The header is not one credential in a form that is accepted, such as `Bearer <token>`."
        }
        DenialReason::Unknown => {
            "No key has this token: it is mistyped, was never issued here, is an admin's, or its key is of \
             another workspace or of nobody who is a member of this one."
        }
        DenialReason::WorkspaceRequired => {
            "The key is personal: it works in the workspace that the check selects, and none was selected. \
             --workspace does that."
        }
        DenialReason::Revoked => {
            "The key was revoked, which is final. `keyward keys create` issues another."
        }
        DenialReason::Expired => {
            "The key's expiry has passed, or another token has replaced this one: `keyward keys get` shows which."
        }
        DenialReason::Disabled => {
            "The key, its principal or its workspace is switched off, or the principal was taken out of the \
             workspace, which can be undone."
        }
        DenialReason::Environment => {
            "The key is of another environment than was asked for. Without --environment, the workspace's \
             default is meant."
        }
        DenialReason::SourceAddress => {
            "The key works from certain addresses alone, and the request came from none of them, as far as is \
             known. `--source-address` says from where."
        }
        DenialReason::InsufficientScope => "The key works, but lacks what was required.",
        DenialReason::UnknownLimit => {
            "The key works, but neither it nor its principal nor its workspace has every limit that was named. \
             `keyward keys get`, `keyward principals show` and `keyward workspaces get` show those that there are."
        }
        DenialReason::RateLimited => "The key works, but a limit is used up.",
        DenialReason::CreditsExhausted => {
            "The key works, but its credits are used up. `keyward keys credits` adds to them."
        }
    }
}

/// Who it is, with the names of the API.
pub(crate) fn allowed_json(allowed: &Allowed) -> Value {
    json!({
        "key_id": allowed.key_id,
        "name": allowed.name,
        "principal": allowed.principal,
        "workspace": allowed.workspace,
        "environment": allowed.environment,
        "scopes": allowed.scopes,
        "metadata": allowed.metadata,
        "expire_time": allowed.expire_time.as_ref().map(text::moment),
        "limits": limits::standing_json(&allowed.limits),
        "token": allowed.token.as_ref().map(|token| json!({
            "hint": token.hint,
            "superseded": token.superseded,
            "end_time": token.end_time.as_ref().map(text::moment),
        })),
        "credits": allowed.credits.as_ref().map(refill::left_json),
    })
}

/// The denial, with the names of the API.
pub(crate) fn denied_json(denied: &Denied) -> Value {
    json!({
        "reason": text::denial_reason(denied.reason),
        "http_status": denied.http_status,
        "missing_scopes": denied.missing_scopes,
        "key_id": denied.key_id,
        "key_hint": denied.key_hint,
        "limits": limits::standing_json(&denied.limits),
        "retry_delay": denied.retry_delay.map(|delay| delay.to_string()),
        "credits": denied.credits.as_ref().map(refill::left_json),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_is_explained() {
        let known = (0..99).filter(|reason| DenialReason::try_from(*reason).is_ok());
        let told: Vec<_> = known.map(why).collect();
        assert!(told.len() > 8 && !told.contains(&why(999)));
        let different: std::collections::HashSet<_> = told.iter().collect();
        assert_eq!(different.len(), told.len());
    }

    #[test]
    fn a_denial_shows_what_was_missing() {
        let denied = Denied {
            reason: DenialReason::InsufficientScope.into(),
            http_status: 403,
            missing_scopes: vec!["companies:write".to_owned()],
            key_id: "key_1".to_owned(),
            key_hint: "klg_live_…x7Qa".to_owned(),
            ..Denied::default()
        };
        assert_eq!(
            denied_lines(&denied),
            "DENIED: INSUFFICIENT_SCOPE (HTTP 403)\nThe key works, but lacks what was required.\n\n\
             Missing  companies:write\nKey      key_1\nHint     klg_live_…x7Qa\n"
        );
        assert_eq!(
            denied_json(&denied),
            json!({
                "reason": "INSUFFICIENT_SCOPE",
                "http_status": 403,
                "missing_scopes": ["companies:write"],
                "key_id": "key_1",
                "key_hint": "klg_live_…x7Qa",
                "limits": [],
                "retry_delay": null,
                "credits": null,
            })
        );
        let bare = Denied {
            reason: DenialReason::Missing.into(),
            http_status: 401,
            ..Denied::default()
        };
        assert_eq!(
            denied_lines(&bare),
            "DENIED: MISSING (HTTP 401)\nThe header is empty.\n"
        );
    }

    #[test]
    fn who_is_allowed_is_shown() {
        let allowed = Allowed {
            key_id: "key_1".to_owned(),
            principal: "user:ada".to_owned(),
            workspace: "klipy".to_owned(),
            scopes: vec!["*".to_owned()],
            ..Allowed::default()
        };
        let text = allowed_lines(&allowed);
        assert_eq!(
            text,
            "ALLOWED\n\nPrincipal  user:ada\nWorkspace  klipy\nScopes     *\nKey        key_1\nExpires    never\n"
        );
        assert_eq!(allowed_json(&allowed)["expire_time"], Value::Null);
        assert_eq!(allowed_json(&allowed)["token"], Value::Null);
        assert_eq!(allowed_json(&allowed)["environment"], "");
    }

    #[test]
    fn which_of_two_tokens_it_was_is_shown() {
        let shown = |superseded, end_time| {
            let allowed = Allowed {
                token: Some(PresentedToken {
                    hint: "klg_…x7Qa".to_owned(),
                    superseded,
                    end_time,
                }),
                ..Allowed::default()
            };
            assert_eq!(allowed_json(&allowed)["token"]["superseded"], superseded);
            allowed_lines(&allowed)
        };
        let end = prost_types::Timestamp {
            seconds: 1_780_000_000,
            nanos: 0,
        };
        for (text, told) in [
            (shown(false, None), "klg_…x7Qa, the new one"),
            (shown(true, None), "the old one: it works until the new one"),
            (shown(true, Some(end)), "works until 2026-05-28T20:26:40Z"),
        ] {
            assert!(text.contains(told), "{text}");
        }
    }
}
