//! How limits are told to clients: `RateLimit` and `RateLimit-Policy` of
//! draft-ietf-httpapi-ratelimit-headers, and `Retry-After`.

use std::fmt::Write as _;
use std::time::Duration;

use http::HeaderName;
use http::header::RETRY_AFTER;

use crate::domain::due::Reading;

use super::decision::Header;

/// The limits, and how they stand: none, if there are no limits.
pub(super) fn headers<'k>(limits: impl Iterator<Item = &'k Reading>) -> Vec<Header> {
    let (mut policy, mut standing) = (String::new(), String::new());
    for Reading {
        limit,
        remaining,
        reset,
        ..
    } in limits
    {
        let separator = if policy.is_empty() { "" } else { ", " };
        // Names are of letters, digits, `_` and `-`: nothing in them needs an
        // escape. A string takes all that is written.
        let (name, window) = (limit.name, limit.window.as_secs());
        let _ = write!(policy, "{separator}\"{name}\";q={};w={window}", limit.count);
        let _ = write!(standing, "{separator}\"{name}\";r={remaining}");
        if let Some(reset) = reset {
            let _ = write!(standing, ";t={}", whole_seconds(*reset));
        }
    }
    if policy.is_empty() {
        return Vec::new();
    }
    vec![
        (HeaderName::from_static("ratelimit-policy"), policy),
        (HeaderName::from_static("ratelimit"), standing),
    ]
}

/// When to try again.
pub(super) fn retry_after(delay: Duration) -> Header {
    (RETRY_AFTER, whole_seconds(delay).to_string())
}

/// Rounded up: who comes back in time comes back once. At least one.
fn whole_seconds(span: Duration) -> u64 {
    let seconds = span.as_secs() + u64::from(span.subsec_nanos() > 0);
    seconds.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::due::Source;
    use crate::domain::limit::{Limit, Window};

    fn reading(name: &str, remaining: u32, reset: Option<u64>) -> Reading {
        Reading {
            limit: Limit {
                name: name.parse().unwrap(),
                count: 1_000,
                window: Window::from_secs(60).unwrap(),
                always: false,
            },
            source: Source::Key,
            denied: false,
            remaining,
            retry: None,
            reset: reset.map(Duration::from_millis),
        }
    }

    #[test]
    fn limits_are_told_as_structured_fields() {
        let told = |limits: &[Reading]| -> Vec<String> {
            let headers = headers(limits.iter());
            headers
                .iter()
                .map(|(name, value)| format!("{name}: {value}"))
                .collect()
        };
        assert_eq!(told(&[]), [""; 0]);
        assert_eq!(
            told(&[reading("read", 7, Some(1_001))]),
            [
                "ratelimit-policy: \"read\";q=1000;w=60",
                "ratelimit: \"read\";r=7;t=2"
            ]
        );
        assert_eq!(
            told(&[reading("a", 1_000, None), reading("b-c_d", 0, Some(1))]),
            [
                "ratelimit-policy: \"a\";q=1000;w=60, \"b-c_d\";q=1000;w=60",
                "ratelimit: \"a\";r=1000, \"b-c_d\";r=0;t=1"
            ]
        );
    }

    #[test]
    fn a_delay_is_rounded_up_and_never_nothing() {
        for (millis, seconds) in [(0, "1"), (1, "1"), (1_000, "1"), (1_001, "2")] {
            let (name, value) = retry_after(Duration::from_millis(millis));
            assert_eq!((name, value.as_str()), (RETRY_AFTER, seconds));
        }
    }
}
