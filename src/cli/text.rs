//! How values that come from a server are written: escaped, times in RFC 3339,
//! enum values without their prefix.

use std::time::Duration;

use prost_types::{Duration as Delay, Timestamp};

pub(crate) use crate::domain::text::without_tokens;
use crate::edge::pb::{
    AdminRole, CreditsPeriod, DenialReason, KeyState, RevocationReason, UndecidedReason,
};

/// The text with all that could steer a terminal made visible: control
/// characters, and those that change the direction or the lines of a text.
pub(crate) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if steers(c) {
            out.extend(c.escape_default())
        } else {
            out.push(c)
        }
    }
    out
}

/// Whether a terminal may take the character for an instruction.
pub(crate) fn steers(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// The whole time in RFC 3339, UTC.
pub(crate) fn moment(time: &Timestamp) -> String {
    time.to_string()
}

/// The time cut to the second, in RFC 3339, UTC: for eyes.
pub(crate) fn second(time: &Timestamp) -> String {
    Timestamp {
        seconds: time.seconds,
        nanos: 0,
    }
    .to_string()
}

/// When a key stops working, for eyes.
pub(crate) fn expiry(time: Option<&Timestamp>) -> String {
    time.map_or_else(|| "never".to_owned(), second)
}

/// `ACTIVE`, and so on.
pub(crate) fn key_state(value: i32) -> String {
    bare(
        KeyState::try_from(value).map(|state| state.as_str_name()),
        "KEY_STATE_",
        value,
    )
}

/// `DAILY`, and so on.
pub(crate) fn credits_period(value: i32) -> String {
    let known = CreditsPeriod::try_from(value).map(|period| period.as_str_name());
    bare(known, "CREDITS_PERIOD_", value)
}

/// `OWNER`, and so on.
pub(crate) fn admin_role(value: i32) -> String {
    let known = AdminRole::try_from(value).map(|role| role.as_str_name());
    bare(known, "ADMIN_ROLE_", value)
}

/// `LEAKED`, and so on.
pub(crate) fn revocation_reason(value: i32) -> String {
    let known = RevocationReason::try_from(value).map(|reason| reason.as_str_name());
    bare(known, "REVOCATION_REASON_", value)
}

/// `UNREADABLE`, and so on.
pub(crate) fn undecided_reason(value: i32) -> String {
    let known = UndecidedReason::try_from(value).map(|reason| reason.as_str_name());
    bare(known, "UNDECIDED_REASON_", value)
}

/// `REVOKED`, and so on.
pub(crate) fn denial_reason(value: i32) -> String {
    bare(
        DenialReason::try_from(value).map(|reason| reason.as_str_name()),
        "DENIAL_REASON_",
        value,
    )
}

/// A delay in whole seconds, for eyes: no shorter than it is.
pub(crate) fn delay(delay: &Delay) -> String {
    let seconds = u64::try_from(delay.seconds).unwrap_or_default();
    let seconds = seconds.saturating_add(u64::from(delay.nanos > 0));
    humantime::format_duration(Duration::from_secs(seconds)).to_string()
}

/// The name without the prefix. A newer server's value has none here.
pub(crate) fn bare<E>(known: Result<&str, E>, prefix: &str, value: i32) -> String {
    known.map_or_else(
        |_| format!("UNRECOGNIZED_{value}"),
        |name| name.strip_prefix(prefix).unwrap_or(name).to_owned(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_steers_a_terminal_is_made_visible() {
        assert_eq!(escaped("CRM sync · Ädä 日本"), "CRM sync · Ädä 日本");
        assert_eq!(escaped("a\x1b]0;x\x07"), "a\\u{1b}]0;x\\u{7}");
        assert_eq!(
            escaped("\u{9b}2J\u{202e}x\u{2028}\r"),
            "\\u{9b}2J\\u{202e}x\\u{2028}\\r"
        );
    }

    #[test]
    fn times_are_rfc_3339() {
        let time = Timestamp {
            seconds: 1_798_761_600,
            nanos: 250_000_000,
        };
        assert_eq!(moment(&time), "2027-01-01T00:00:00.250Z");
        assert_eq!(second(&time), "2027-01-01T00:00:00Z");
        assert_eq!(expiry(Some(&time)), "2027-01-01T00:00:00Z");
        assert_eq!(expiry(None), "never");
    }

    #[test]
    fn enum_values_lose_their_prefix() {
        assert_eq!(key_state(1), "ACTIVE");
        assert_eq!(admin_role(2), "ISSUER");
        assert_eq!(revocation_reason(3), "PRIVILEGE_WITHDRAWN");
        assert_eq!(denial_reason(8), "INSUFFICIENT_SCOPE");
        assert_eq!(denial_reason(999), "UNRECOGNIZED_999");
    }
}
