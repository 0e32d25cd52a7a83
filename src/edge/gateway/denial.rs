//! What a client is told of a request that does not pass: a status, headers and a
//! small body, which say what it can do, and nothing of any key.
//!
//! All that is 401 has one body, so that nobody learns of a credential whether
//! there is such a key.

use std::time::Duration;

use http::header::{CONTENT_TYPE, WWW_AUTHENTICATE};
use http::{HeaderName, StatusCode};

use crate::domain::credits::CreditsLeft;
use crate::domain::due::Reading;
use crate::domain::verdict::DenialReason;
use crate::edge::answer::retry_delay;

use super::decision::{Denied, DeniedKey, Header, Reason, Undecided};
use super::rate_limit;

/// The longest list of scopes that a client is told, in bytes.
const MAX_SCOPES_LEN: usize = 1024;

/// When to come back for a verdict.
const SOON: Duration = Duration::from_secs(1);

/// What the answer depends on, beside the reason.
#[derive(Clone, Copy, Default)]
pub(super) struct Circumstances<'k> {
    /// Whether the caller speaks gRPC.
    pub(super) grpc: bool,
    /// What the route requires.
    pub(super) required_scopes: &'k [Box<str>],
    /// The limits that counted.
    pub(super) limits: &'k [Reading],
    /// What is left of the key's credits, where they were looked at.
    pub(super) credits: Option<CreditsLeft>,
}

/// The answer to a request that is denied for `reason`.
pub(super) fn denied(
    reason: Reason,
    key: Option<DeniedKey>,
    circumstances: &Circumstances<'_>,
) -> Denied {
    let told = Told::of(reason);
    let mut headers = told.headers(reason.status(), circumstances.grpc);
    headers.extend(challenge(reason, circumstances.required_scopes));
    if reason.status() == StatusCode::TOO_MANY_REQUESTS {
        let limits = circumstances.limits;
        let of_credits = circumstances.credits.and_then(|left| left.retry_delay);
        let delay = retry_delay(limits).or(of_credits);
        headers.extend(delay.map(rate_limit::retry_after));
        // Of the limits that passed there is nothing to say: they are not why.
        headers.extend(rate_limit::headers(
            limits.iter().filter(|limit| limit.denied),
        ));
    }
    Denied {
        reason,
        detail: None,
        status: reason.status(),
        headers,
        body: told.body(circumstances.grpc),
        key,
    }
}

/// The answer to a request on which there is no verdict.
pub(super) fn undecided(grpc: bool) -> Undecided {
    let status = StatusCode::SERVICE_UNAVAILABLE;
    let mut headers = UNAVAILABLE.headers(status, grpc);
    headers.push(rate_limit::retry_after(SOON));
    Undecided {
        status,
        headers,
        body: UNAVAILABLE.body(grpc),
    }
}

/// How the client can identify itself, as RFC 6750 has it.
fn challenge(reason: Reason, required_scopes: &[Box<str>]) -> Option<Header> {
    let value = match reason {
        Reason::Verdict(DenialReason::Missing) => "Bearer".to_owned(),
        Reason::Verdict(DenialReason::InsufficientScope) => {
            let mut value = "Bearer error=\"insufficient_scope\"".to_owned();
            if let Some(scopes) = quotable(required_scopes) {
                value.push_str(", scope=\"");
                value.push_str(&scopes);
                value.push('"');
            }
            value
        }
        Reason::Verdict(_) if reason.status() == StatusCode::UNAUTHORIZED => {
            "Bearer error=\"invalid_token\"".to_owned()
        }
        Reason::Verdict(_) | Reason::NoRoute | Reason::BrokenPolicy | Reason::TooLarge => {
            return None;
        }
    };
    Some((WWW_AUTHENTICATE, value))
}

/// The requirements apart by spaces, if they are short and can be quoted.
fn quotable(required_scopes: &[Box<str>]) -> Option<String> {
    let scopes = required_scopes.join(" ");
    let can_be = |byte: u8| byte == b' ' || (byte.is_ascii_graphic() && !b"\"\\".contains(&byte));
    (scopes.len() <= MAX_SCOPES_LEN && scopes.bytes().all(can_be)).then_some(scopes)
}

/// What people and programs are told.
struct Told {
    /// The code and the number that gRPC has for it.
    grpc_status: &'static str,
    /// The sentence, in what a header can carry.
    message: &'static str,
    /// Both, as JSON.
    json: &'static str,
}

/// A word for programs and a sentence for people, for callers that speak gRPC and
/// for all others.
macro_rules! told {
    ($grpc_status:literal, $error:literal, $message:literal) => {
        Told {
            grpc_status: $grpc_status,
            message: $message,
            json: concat!(
                "{\"error\":\"",
                $error,
                "\",\"message\":\"",
                $message,
                "\"}\n"
            ),
        }
    };
}

const UNAUTHORIZED: Told = told!("16", "unauthorized", "A valid API key is required.");
const FORBIDDEN: Told = told!("7", "forbidden", "This API key may not do this.");
const INSUFFICIENT_SCOPE: Told = told!(
    "7",
    "insufficient_scope",
    "This API key lacks a scope that is required."
);
const WORKSPACE_REQUIRED: Told = told!(
    "7",
    "workspace_required",
    "This API key is good in several workspaces, and the request names none."
);
const NO_ROUTE: Told = told!(
    "7",
    "no_route",
    "There is nothing here that could be called."
);
const TOO_LARGE: Told = told!(
    "8",
    "too_large",
    "The headers of the request are too large."
);
const RATE_LIMITED: Told = told!(
    "8",
    "rate_limited",
    "There were too many requests. Try again later."
);
const CREDITS_EXHAUSTED: Told = told!(
    "8",
    "credits_exhausted",
    "This API key has not enough credits left."
);
const MISCONFIGURED: Told = told!(
    "13",
    "misconfigured",
    "The server is not set up right, and its operator has to see to it."
);
const UNAVAILABLE: Told = told!(
    "14",
    "unavailable",
    "The API key could not be checked. Try again in a moment."
);

impl Told {
    const fn of(reason: Reason) -> Self {
        match reason {
            Reason::NoRoute => NO_ROUTE,
            Reason::BrokenPolicy => MISCONFIGURED,
            Reason::TooLarge => TOO_LARGE,
            Reason::Verdict(reason) => match reason {
                DenialReason::Missing
                | DenialReason::Malformed
                | DenialReason::Unknown
                | DenialReason::Revoked
                | DenialReason::Expired => UNAUTHORIZED,
                // Where a key may be used from is nobody's business who has stolen
                // it.
                DenialReason::Disabled
                | DenialReason::Environment
                | DenialReason::SourceAddress
                | DenialReason::UnknownLimit => FORBIDDEN,
                DenialReason::WorkspaceRequired => WORKSPACE_REQUIRED,
                DenialReason::InsufficientScope => INSUFFICIENT_SCOPE,
                DenialReason::RateLimited => RATE_LIMITED,
                DenialReason::CreditsExhausted => CREDITS_EXHAUSTED,
            },
        }
    }

    fn headers(&self, status: StatusCode, grpc: bool) -> Vec<Header> {
        debug_assert!(status.is_client_error() || status.is_server_error());
        let header = |name, value: &str| (HeaderName::from_static(name), value.to_owned());
        if grpc {
            vec![
                (CONTENT_TYPE, "application/grpc".to_owned()),
                header("grpc-status", self.grpc_status),
                header("grpc-message", self.message),
            ]
        } else {
            vec![(CONTENT_TYPE, "application/json".to_owned())]
        }
    }

    /// gRPC says all in headers.
    const fn body(&self, grpc: bool) -> &'static str {
        if grpc { "" } else { self.json }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::domain::due::Source;
    use crate::domain::limit::{Limit, Window};

    fn reasons() -> impl Iterator<Item = Reason> {
        let verdicts = DenialReason::ALL.into_iter().map(Reason::Verdict);
        verdicts.chain([Reason::NoRoute, Reason::BrokenPolicy, Reason::TooLarge])
    }

    fn header<'a>(headers: &'a [Header], wanted: &str) -> Option<&'a str> {
        let found = headers.iter().find(|(name, _)| name == wanted);
        found.map(|(_, value)| value.as_str())
    }

    #[test]
    fn every_denial_is_told_and_all_that_is_401_in_one_way() {
        let mut unauthorized = BTreeSet::new();
        for reason in reasons() {
            let denied = denied(reason, None, &Circumstances::default());
            let body: serde_json::Value = serde_json::from_str(denied.body).unwrap();
            assert!(body["error"].is_string() && body["message"].is_string());
            assert_eq!(
                header(&denied.headers, "content-type"),
                Some("application/json")
            );
            if denied.status == StatusCode::UNAUTHORIZED {
                unauthorized.insert(denied.body);
            }
            let challenged = header(&denied.headers, "www-authenticate").is_some();
            let expected = denied.status == StatusCode::UNAUTHORIZED
                || reason == Reason::Verdict(DenialReason::InsufficientScope);
            assert_eq!(challenged, expected, "{reason:?}");
        }
        assert_eq!(unauthorized.len(), 1);
    }

    #[test]
    fn callers_that_speak_grpc_are_told_in_headers() {
        let grpc = Circumstances {
            grpc: true,
            ..Circumstances::default()
        };
        for reason in reasons() {
            let denied = denied(reason, None, &grpc);
            assert_eq!(denied.body, "");
            let status = match denied.status.as_u16() {
                401 => "16",
                403 => "7",
                429 | 431 => "8",
                500 => "13",
                other => panic!("{other}"),
            };
            assert_eq!(header(&denied.headers, "grpc-status"), Some(status));
            let message = header(&denied.headers, "grpc-message").unwrap();
            // What gRPC would want encoded.
            assert!(
                message
                    .bytes()
                    .all(|b| (b' '..=b'~').contains(&b) && b != b'%')
            );
            let json: serde_json::Value = serde_json::from_str(Told::of(reason).json).unwrap();
            assert_eq!(json["message"], message);
        }
        let undecided = undecided(true);
        assert_eq!(header(&undecided.headers, "grpc-status"), Some("14"));
    }

    #[test]
    fn a_challenge_says_what_was_wrong() {
        let scopes = ["people:read".into(), "a|b".into()];
        let value = |reason| challenge(Reason::Verdict(reason), &scopes).map(|(_, value)| value);
        let told = |text: &str| Some(text.to_owned());
        assert_eq!(value(DenialReason::Missing), told("Bearer"));
        let invalid = told("Bearer error=\"invalid_token\"");
        assert_eq!(value(DenialReason::Malformed), invalid);
        assert_eq!(value(DenialReason::Revoked), invalid);
        assert_eq!(value(DenialReason::Disabled), None);
        assert_eq!(
            value(DenialReason::InsufficientScope),
            told("Bearer error=\"insufficient_scope\", scope=\"people:read a|b\"")
        );
    }

    #[test]
    fn scopes_that_cannot_be_quoted_are_not_told() {
        for odd in ["a\"b", "a\\b", "a\nb", "\u{e4}", &"x".repeat(1_025)] {
            let told = challenge(
                Reason::Verdict(DenialReason::InsufficientScope),
                &[odd.into()],
            );
            assert_eq!(told.unwrap().1, "Bearer error=\"insufficient_scope\"");
        }
    }

    #[test]
    fn a_limit_that_denied_is_told_and_others_are_not() {
        let reading = |name: &str, denied, retry| Reading {
            limit: Limit {
                name: name.parse().unwrap(),
                count: 5,
                window: Window::from_secs(60).unwrap(),
                always: false,
            },
            source: Source::Key,
            denied,
            remaining: 0,
            retry: Some(Duration::from_secs(retry)),
            reset: None,
        };
        let limits = [
            reading("read", false, 50),
            reading("bulk", true, 7),
            reading("slow", true, 9),
        ];
        let circumstances = Circumstances {
            limits: &limits,
            ..Circumstances::default()
        };
        let limited = Reason::Verdict(DenialReason::RateLimited);
        let denied = denied(limited, None, &circumstances);
        let told = |name| header(&denied.headers, name);
        assert_eq!(told("retry-after"), Some("9"));
        assert_eq!(told("ratelimit"), Some("\"bulk\";r=0, \"slow\";r=0"));
        assert_eq!(
            told("ratelimit-policy"),
            Some("\"bulk\";q=5;w=60, \"slow\";q=5;w=60")
        );
    }

    #[test]
    fn credits_that_come_back_are_told_by_when() {
        let retry_after = |retry_delay| {
            let circumstances = Circumstances {
                credits: Some(CreditsLeft {
                    remaining: 0,
                    refill_time: None,
                    retry_delay,
                }),
                ..Circumstances::default()
            };
            let exhausted = Reason::Verdict(DenialReason::CreditsExhausted);
            let denied = denied(exhausted, None, &circumstances);
            header(&denied.headers, "retry-after").map(str::to_owned)
        };
        assert_eq!(retry_after(None), None);
        let minute = Some(Duration::from_secs(60));
        assert_eq!(retry_after(minute).as_deref(), Some("60"));
    }
}
