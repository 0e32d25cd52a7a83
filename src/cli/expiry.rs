//! `--expires`: a span from now, a time, or a day.

use std::str::FromStr;
use std::time::Duration;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use prost_types::Timestamp;

use crate::domain::clock;

const FORMS: &str = "expected a span such as `90d`, a day such as `2027-01-01` (its start, UTC), \
                     a time such as `2027-01-01T09:30:00Z`, or `never`";

/// When a key is to stop working. Whether that may be in the past is the
/// server's to say: it is its clock that counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Expiry {
    /// Not before it is revoked.
    Never,
    /// So long after it is asked for.
    After(Duration),
    /// Then.
    At(jiff::Timestamp),
}

impl Expiry {
    /// The moment meant by it. `Err`: later than a time can be written.
    pub(crate) fn resolve(self, now: clock::Timestamp) -> Result<Option<Timestamp>, &'static str> {
        match self {
            Self::Never => Ok(None),
            Self::At(time) => Ok(Some(wire(time))),
            Self::After(span) => i64::try_from(now.as_micros())
                .ok()
                .and_then(|micros| jiff::Timestamp::from_microsecond(micros).ok())
                .and_then(|now| now.checked_add(span).ok())
                .map(|time| Some(wire(time)))
                .ok_or("--expires is too far away: for no expiry, say `never`"),
        }
    }
}

impl FromStr for Expiry {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "never" {
            return Ok(Self::Never);
        }
        if let Ok(span) = humantime::parse_duration(text) {
            return Ok(Self::After(span));
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

    fn resolved(text: &str) -> String {
        let time = text.parse::<Expiry>().unwrap().resolve(NOW).unwrap();
        time.map_or_else(|| "never".into(), |time| time.to_string())
    }

    #[test]
    fn spans_days_and_times() {
        assert_eq!(resolved("30d"), "2026-06-27T20:26:40.250Z");
        assert_eq!(resolved("1h 30m"), "2026-05-28T21:56:40.250Z");
        assert_eq!(resolved("2027-01-01"), "2027-01-01T00:00:00Z");
        assert_eq!(resolved("2027-01-01T09:30:00Z"), "2027-01-01T09:30:00Z");
        assert_eq!(
            resolved("2027-01-01T09:30:00.5+02:00"),
            "2027-01-01T07:30:00.500Z"
        );
        assert_eq!(resolved("never"), "never");
    }

    #[test]
    fn the_past_is_left_to_the_server() {
        assert_eq!(resolved("2001-01-01"), "2001-01-01T00:00:00Z");
        assert_eq!(
            resolved("1969-12-31T23:59:59.5Z"),
            "1969-12-31T23:59:59.500Z"
        );
        assert_eq!(resolved("0s"), "2026-05-28T20:26:40.250Z");
    }

    #[test]
    fn what_is_not_clear_is_refused() {
        for text in [
            "",
            "30",
            "tomorrow",
            "-1d",
            "2027-13-01",
            "2027-01-01T09:30:00",
            "2027-01-01 09:30",
            "01/02/2027",
        ] {
            assert_eq!(text.parse::<Expiry>(), Err(FORMS), "{text}");
        }
        assert!("99999999y".parse::<Expiry>().unwrap().resolve(NOW).is_err());
    }
}
