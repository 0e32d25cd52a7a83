//! Limits as they are typed and shown: `read=1000/1m`, `bulk=10/1m,always`.

use std::time::Duration;

use serde_json::{Value, json};

use super::argument;
use super::text;
use crate::domain::limit::Window;
use crate::edge::pb::{Limit, LimitSource, LimitStatus};

const FORM: &str =
    "expected `name=count/window`, such as `read=1000/1m`, or with `,always` behind it";

/// One `--limit`.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct LimitFlag(Limit);

impl LimitFlag {
    /// Reads a flag's value. What is wrong with its parts is the server's to
    /// tell.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let (name, rest) = text.split_once('=').ok_or(FORM)?;
        let rate = rest.strip_suffix(",always");
        let (count, window) = rate.unwrap_or(rest).split_once('/').ok_or(FORM)?;
        let count = count
            .parse()
            .map_err(|_| format!("`{count}` is no number from 1 to 1000000000: {FORM}"))?;
        if has_calendar_unit(window) {
            return Err(format!(
                "`{window}` has months or years, of which none is as long as another; `m` is minutes: {FORM}"
            ));
        }
        let window = argument::span(window).map_err(|error| format!("{error}: {FORM}"))?;
        Ok(Self(Limit {
            name: name.to_owned(),
            count,
            window: prost_types::Duration::try_from(window).ok(),
            always: rate.is_some(),
        }))
    }

    /// All that the flags hold, in order.
    pub(crate) fn all(flags: Vec<Self>) -> Vec<Limit> {
        flags.into_iter().map(|flag| flag.0).collect()
    }
}

/// Whether a span is in months or years: a slip of the shift key would make
/// `1m` a month.
fn has_calendar_unit(span: &str) -> bool {
    span.split(|c: char| !c.is_ascii_alphabetic()).any(|unit| {
        matches!(
            unit,
            "M" | "month" | "months" | "y" | "yr" | "year" | "years"
        )
    })
}

/// Limits, separated by spaces and each as it can be typed; empty if there are
/// none.
pub(crate) fn typed(limits: &[Limit]) -> String {
    let typed = limits.iter().map(|limit| {
        let always = if limit.always { ",always" } else { "" };
        let window = span(limit.window.as_ref());
        format!("{}={}/{window}{always}", limit.name, limit.count)
    });
    typed.collect::<Vec<_>>().join(" ")
}

/// Limits with the names of the API.
pub(crate) fn json(limits: &[Limit]) -> Value {
    let json = |limit: &Limit| {
        json!({
            "name": limit.name,
            "count": limit.count,
            "window": limit.window.map(|window| window.to_string()),
            "always": limit.always,
        })
    };
    limits.iter().map(json).collect()
}

/// How a limit stands, in words.
pub(crate) fn standing(status: &LimitStatus) -> String {
    let LimitStatus {
        name,
        limit,
        remaining,
        ..
    } = status;
    let window = span(status.window.as_ref());
    let again = match &status.retry_delay {
        Some(delay) => format!("; enough again in {}", text::delay(delay)),
        None if status.denied => "; never as much as was asked for".to_owned(),
        None => String::new(),
    };
    let whose = match status.source() {
        LimitSource::Principal => " for all keys of the principal in the workspace",
        LimitSource::Unspecified | LimitSource::Key | LimitSource::Workspace => "",
    };
    format!("{name}: {remaining} of {limit} left in {window}{whose}{again}")
}

/// How limits stand, with the names of the API.
pub(crate) fn standing_json(statuses: &[LimitStatus]) -> Value {
    let delay = |delay: Option<prost_types::Duration>| delay.map(|delay| delay.to_string());
    let json = |status: &LimitStatus| {
        json!({
            "name": status.name,
            "limit": status.limit,
            "window": delay(status.window),
            "remaining": status.remaining,
            "retry_delay": delay(status.retry_delay),
            "reset_delay": delay(status.reset_delay),
            "source": source(status.source),
            "denied": status.denied,
        })
    };
    statuses.iter().map(json).collect()
}

/// `KEY`, and so on.
fn source(value: i32) -> String {
    let known = LimitSource::try_from(value).map(|source| source.as_str_name());
    text::bare(known, "LIMIT_SOURCE_", value)
}

/// A window as it can be typed.
fn span(window: Option<&prost_types::Duration>) -> String {
    let window = window.copied().unwrap_or_default();
    Duration::try_from(window)
        .ok()
        .and_then(Window::new)
        .map_or_else(|| window.to_string(), |window| window.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_shown_as_they_are_typed() {
        for text in ["read=1000/1m", "bulk=10/31d,always", "a=1/90s", "=1/1s"] {
            let limits = LimitFlag::all(vec![LimitFlag::parse(text).unwrap()]);
            assert_eq!(typed(&limits), text);
        }
        let other = LimitFlag::parse("a=1/1h 30m").unwrap();
        assert_eq!(typed(&[other.0]), "a=1/90m");
        assert_eq!(typed(&[]), "");
        for text in [
            "",
            "read",
            "read=",
            "read=1000",
            "read=x/1m",
            "read=-1/1m",
            "read=1/60",
            "read=1/0s",
            "read=1/1m,never",
            "read=5000000000/1m",
            "read=10/1M",
            "read=10/2months",
            "read=10/1d 1y",
            "read=1000/minute",
            "read=10/1m,read=2/1h",
        ] {
            let told = LimitFlag::parse(text).unwrap_err();
            assert!(told.contains(FORM), "{text}: {told}");
        }
    }

    #[test]
    fn a_standing_says_what_is_left_and_when_there_is_more() {
        let seconds = |seconds| Some(prost_types::Duration { seconds, nanos: 1 });
        let mut status = LimitStatus {
            name: "read".to_owned(),
            limit: 10,
            window: Some(prost_types::Duration {
                seconds: 60,
                nanos: 0,
            }),
            remaining: 3,
            source: LimitSource::Workspace.into(),
            ..LimitStatus::default()
        };
        assert_eq!(standing(&status), "read: 3 of 10 left in 1m");
        status.denied = true;
        assert_eq!(
            standing(&status),
            "read: 3 of 10 left in 1m; never as much as was asked for"
        );
        status.retry_delay = seconds(5);
        assert_eq!(
            standing(&status),
            "read: 3 of 10 left in 1m; enough again in 6s"
        );
        let shared = LimitStatus {
            source: LimitSource::Principal.into(),
            ..status.clone()
        };
        assert_eq!(
            standing(&shared),
            "read: 3 of 10 left in 1m for all keys of the principal in the workspace; enough again in 6s"
        );
        assert_eq!(
            standing_json(&[status]),
            json!([{
                "name": "read",
                "limit": 10,
                "window": "60s",
                "remaining": 3,
                "retry_delay": "5.000000001s",
                "reset_delay": null,
                "source": "WORKSPACE",
                "denied": true,
            }])
        );
    }
}
