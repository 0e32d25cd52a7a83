//! A time as it is typed: a span from now or before now, a time, or a day.

use std::str::FromStr;
use std::time::Duration;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use prost_types::Timestamp;

use crate::domain::clock;

const FORMS: &str = "expected a span such as `90d`, a day such as `2027-01-01` (its start, UTC), \
                     or a time such as `2027-01-01T09:30:00Z`";

/// A time. What a span is counted from, and in which direction, is said by
/// whoever resolves it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum When {
    /// So far away from now.
    Away(Duration),
    /// Then.
    At(jiff::Timestamp),
}

impl When {
    /// The time meant, with spans counted forward. `None`: it is too far away
    /// to be written.
    pub(crate) fn ahead(self, now: clock::Timestamp) -> Option<Timestamp> {
        match self {
            Self::At(time) => Some(wire(time)),
            Self::Away(span) => instant(now)?.checked_add(span).ok().map(wire),
        }
    }

    /// The time meant, with spans counted back. `None`: it is too far away to
    /// be written.
    pub(crate) fn ago(self, now: clock::Timestamp) -> Option<Timestamp> {
        match self {
            Self::At(time) => Some(wire(time)),
            Self::Away(span) => instant(now)?.checked_sub(span).ok().map(wire),
        }
    }
}

fn instant(now: clock::Timestamp) -> Option<jiff::Timestamp> {
    let micros = i64::try_from(now.as_micros()).ok()?;
    jiff::Timestamp::from_microsecond(micros).ok()
}

impl FromStr for When {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Ok(span) = humantime::parse_duration(text) {
            return Ok(Self::Away(span));
        }
        if let Ok(time) = text.parse() {
            return Ok(Self::At(time));
        }
        // jiff reads a day out of `2027-01-01T09:30:00` too; a time without
        // its zone is nine hours off for somebody.
        if text.contains(['T', 't', ' ']) {
            return Err(FORMS);
        }
        let day: Date = text.parse().map_err(|_| FORMS)?;
        let start = day.to_zoned(TimeZone::UTC).map_err(|_| FORMS)?;
        Ok(Self::At(start.timestamp()))
    }
}

fn wire(time: jiff::Timestamp) -> Timestamp {
    let (seconds, nanos) = (time.as_second(), time.subsec_nanosecond());
    // jiff counts both away from the epoch; the wire wants nanos forward.
    if nanos < 0 {
        Timestamp {
            seconds: seconds - 1,
            nanos: nanos + 1_000_000_000,
        }
    } else {
        Timestamp { seconds, nanos }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: clock::Timestamp = clock::Timestamp::from_micros(1_780_000_000_250_000);

    fn ahead(text: &str) -> String {
        text.parse::<When>()
            .unwrap()
            .ahead(NOW)
            .unwrap()
            .to_string()
    }

    #[test]
    fn spans_days_and_times() {
        assert_eq!(ahead("30d"), "2026-06-27T20:26:40.250Z");
        assert_eq!(ahead("1h 30m"), "2026-05-28T21:56:40.250Z");
        assert_eq!(ahead("2027-01-01"), "2027-01-01T00:00:00Z");
        assert_eq!(ahead("2027-01-01T09:30:00Z"), "2027-01-01T09:30:00Z");
        assert_eq!(
            ahead("2027-01-01T09:30:00.5+02:00"),
            "2027-01-01T07:30:00.500Z"
        );
        assert_eq!(ahead("2001-01-01"), "2001-01-01T00:00:00Z");
        assert_eq!(ahead("1969-12-31T23:59:59.5Z"), "1969-12-31T23:59:59.500Z");
        assert_eq!(ahead("0s"), "2026-05-28T20:26:40.250Z");
    }

    #[test]
    fn spans_count_back_too_and_times_do_not() {
        let ago = |text: &str| text.parse::<When>().unwrap().ago(NOW).unwrap().to_string();
        assert_eq!(ago("30d"), "2026-04-28T20:26:40.250Z");
        assert_eq!(ago("2027-01-01"), "2027-01-01T00:00:00Z");
    }

    #[test]
    fn what_is_not_clear_is_refused() {
        for text in [
            "",
            "30",
            "never",
            "tomorrow",
            "-1d",
            "2027-13-01",
            "2027-01-01T09:30:00",
            "2027-01-01 09:30",
            "01/02/2027",
        ] {
            assert_eq!(text.parse::<When>(), Err(FORMS), "{text}");
        }
        let far: When = "99999999y".parse().unwrap();
        assert!(far.ahead(NOW).is_none() && far.ago(NOW).is_none());
    }
}
