//! Between wire types and the domain's: what all resources share.

pub(super) mod admin_key;
pub(super) mod audit_event;
pub(super) mod credits;
pub(super) mod explain;
pub(super) mod import;
pub(super) mod key;
pub(super) mod limit;
pub(super) mod principal;
pub(super) mod token_search;
pub(super) mod usage;
pub(super) mod workspace;

use crate::domain::clock::Timestamp;
use crate::domain::key::{KeyState, RevocationReason};
use crate::domain::violation::Violations;

use super::pb;

/// The fields that an update is to set, which must be among `known`.
pub(super) fn mask(
    mask: Option<prost_types::FieldMask>,
    known: &[&str],
) -> Result<Vec<String>, Violations> {
    let paths = mask.unwrap_or_default().paths;
    let mut violations = Violations::default();
    let field = "update_mask";
    if paths.is_empty() {
        let description = format!("is required: name any of {}", known.join(", "));
        violations.add(field, description);
    }
    for (position, path) in paths.iter().enumerate() {
        if !known.contains(&path.as_str()) {
            // Not echoed: it is the caller's text, of any length.
            let description = format!(
                "is not a field that can be changed; those are {}",
                known.join(", ")
            );
            violations.add(format!("{field}.paths[{position}]"), description);
        }
    }
    violations.none().map(|()| paths)
}

/// The reason that a wire value names. One that this keyward does not know is
/// refused: it would be lost.
pub(super) fn revocation_reason(value: i32) -> Result<RevocationReason, Violations> {
    match pb::RevocationReason::try_from(value) {
        Ok(pb::RevocationReason::Unspecified) => Ok(RevocationReason::Unspecified),
        Ok(pb::RevocationReason::Unused) => Ok(RevocationReason::Unused),
        Ok(pb::RevocationReason::Superseded) => Ok(RevocationReason::Superseded),
        Ok(pb::RevocationReason::PrivilegeWithdrawn) => Ok(RevocationReason::PrivilegeWithdrawn),
        Ok(pb::RevocationReason::Leaked) => Ok(RevocationReason::Leaked),
        Ok(pb::RevocationReason::Abused) => Ok(RevocationReason::Abused),
        Err(_) => Err(unknown_value("reason", value, "RevocationReason")),
    }
}

/// The state that a filter names; none: any.
pub(super) fn key_state(value: i32) -> Result<Option<KeyState>, Violations> {
    match pb::KeyState::try_from(value) {
        Ok(pb::KeyState::Unspecified) => Ok(None),
        Ok(pb::KeyState::Active) => Ok(Some(KeyState::Active)),
        Ok(pb::KeyState::Expired) => Ok(Some(KeyState::Expired)),
        Ok(pb::KeyState::Disabled) => Ok(Some(KeyState::Disabled)),
        Ok(pb::KeyState::Revoked) => Ok(Some(KeyState::Revoked)),
        Err(_) => Err(unknown_value("state", value, "KeyState")),
    }
}

fn unknown_value(field: &str, value: i32, of: &str) -> Violations {
    Violations::of(
        field,
        format!("{value} is not a {of} that this server knows"),
    )
}

const fn wire_revocation_reason(reason: RevocationReason) -> pb::RevocationReason {
    match reason {
        RevocationReason::Unspecified => pb::RevocationReason::Unspecified,
        RevocationReason::Unused => pb::RevocationReason::Unused,
        RevocationReason::Superseded => pb::RevocationReason::Superseded,
        RevocationReason::PrivilegeWithdrawn => pb::RevocationReason::PrivilegeWithdrawn,
        RevocationReason::Leaked => pb::RevocationReason::Leaked,
        RevocationReason::Abused => pb::RevocationReason::Abused,
    }
}

const fn wire_state(state: KeyState) -> pb::KeyState {
    match state {
        KeyState::Active => pb::KeyState::Active,
        KeyState::Expired => pb::KeyState::Expired,
        KeyState::Disabled => pb::KeyState::Disabled,
        KeyState::Revoked => pb::KeyState::Revoked,
    }
}

fn wire_time(time: Timestamp) -> prost_types::Timestamp {
    let micros = time.as_micros();
    prost_types::Timestamp {
        seconds: i64::try_from(micros / 1_000_000).unwrap_or(i64::MAX),
        nanos: i32::try_from(micros % 1_000_000 * 1_000).unwrap_or_default(),
    }
}

fn wire_span(span: std::time::Duration) -> prost_types::Duration {
    prost_types::Duration {
        seconds: i64::try_from(span.as_secs()).unwrap_or(i64::MAX),
        nanos: i32::try_from(span.subsec_nanos()).unwrap_or_default(),
    }
}

/// Keeps the microseconds; the rest is cut off, so that a key never lives
/// longer than was asked for. What is before 1970 is as far in the past as can
/// be, and what is no time at all is beyond [`Timestamp::MAX`]: both are told
/// of with whatever else is wrong with the key.
pub(super) fn read_time(time: prost_types::Timestamp) -> Timestamp {
    const NO_TIME: Timestamp = Timestamp::from_micros(u64::MAX);
    let Ok(nanos) = u64::try_from(time.nanos) else {
        return NO_TIME;
    };
    if nanos >= 1_000_000_000 {
        return NO_TIME;
    }
    let seconds = u64::try_from(time.seconds).unwrap_or(0);
    let micros = seconds
        .checked_mul(1_000_000)
        .and_then(|micros| micros.checked_add(nanos / 1_000));
    micros.map_or(NO_TIME, Timestamp::from_micros)
}

/// A time to filter by, if it is one at all.
pub(super) fn read_filter_time(
    violations: &mut Violations,
    field: &str,
    time: Option<prost_types::Timestamp>,
) -> Option<Timestamp> {
    let time = time.map(read_time);
    if time.is_some_and(|time| time > Timestamp::MAX) {
        violations.add(field, "is not a time up to the end of the year 9999");
    }
    time
}

/// A span of time that is not negative.
pub(super) fn read_span(
    field: &str,
    span: Option<prost_types::Duration>,
) -> Result<Option<std::time::Duration>, Violations> {
    span.map(std::time::Duration::try_from)
        .transpose()
        .map_err(|_| Violations::of(field, "is not a span of time, or is negative"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_cut_to_the_microsecond_and_bounded() {
        let read = |seconds, nanos| read_time(prost_types::Timestamp { seconds, nanos });
        assert_eq!(read(1, 999_999_999).as_micros(), 1_999_999);
        assert_eq!(read(253_402_300_799, 999_999_999), Timestamp::MAX);
        assert_eq!(read(-1, 0).as_micros(), 0);
        for (seconds, nanos) in [
            (253_402_300_800, 0),
            (0, -1),
            (0, 1_000_000_000),
            (i64::MAX, 0),
            (18_446_744_073_709, 999_999_999),
        ] {
            assert!(read(seconds, nanos) > Timestamp::MAX, "{seconds} {nanos}");
        }
    }

    #[test]
    fn unknown_values_are_refused_and_known_ones_survive() {
        for value in 0..=5 {
            let reason = revocation_reason(value).unwrap();
            assert_eq!(i32::from(wire_revocation_reason(reason)), value);
        }
        assert!(revocation_reason(6).is_err());
        assert!(revocation_reason(-1).is_err());
        for value in 1..=4 {
            let state = key_state(value).unwrap().unwrap();
            assert_eq!(i32::from(wire_state(state)), value);
        }
        assert_eq!(key_state(0), Ok(None));
        assert!(key_state(5).is_err());
    }

    #[test]
    fn a_mask_names_fields_that_can_be_changed() {
        let of = |paths: &[&str]| {
            let paths = paths.iter().map(|&path| path.to_owned()).collect();
            mask(Some(prost_types::FieldMask { paths }), &["name", "scopes"])
        };
        assert_eq!(of(&["scopes", "name"]).unwrap(), ["scopes", "name"]);
        assert!(mask(None, &["name"]).is_err());
        let refused = of(&["name", "id", "*"]).unwrap_err();
        let fields: Vec<_> = refused.iter().map(|v| v.field.as_str()).collect();
        assert_eq!(fields, ["update_mask.paths[1]", "update_mask.paths[2]"]);
    }

    #[test]
    fn spans_are_not_negative() {
        let read = |seconds, nanos| read_span("x", Some(prost_types::Duration { seconds, nanos }));
        assert_eq!(read(1, 5).unwrap(), Some(std::time::Duration::new(1, 5)));
        assert_eq!(read_span("x", None).unwrap(), None);
        assert!(read(-1, 0).is_err());
    }
}
