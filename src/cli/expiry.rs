//! `--expires`: a time that is typed, or `never`.

use std::str::FromStr;

use prost_types::Timestamp;

use super::failure::Failure;
use super::when::When;
use crate::domain::clock::{Clock, SystemClock};

const FORMS: &str = "expected a span such as `90d`, a day such as `2027-01-01` (its start, UTC), \
                     a time such as `2027-01-01T09:30:00Z`, or `never`";

/// When a key is to stop working. Whether that may be in the past is the
/// server's to say: it is its clock that counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Expiry {
    /// Not before it is revoked.
    Never,
    /// Then, with spans counted from now on.
    When(When),
}

impl Expiry {
    /// The moment meant by it.
    pub(crate) fn resolve(self) -> Result<Option<Timestamp>, Failure> {
        match self {
            Self::Never => Ok(None),
            Self::When(when) => when
                .ahead(SystemClock::default().now())
                .map(Some)
                .ok_or_else(|| {
                    Failure::usage("--expires is too far away: for no expiry, say `never`")
                }),
        }
    }
}

impl FromStr for Expiry {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "never" => Ok(Self::Never),
            text => text.parse().map(Self::When).map_err(|_| FORMS),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::failure::Exit;
    use super::*;

    #[test]
    fn a_time_or_never() {
        let read = |text: &str| text.parse::<Expiry>();
        assert_eq!(read("never").unwrap().resolve(), Ok(None));
        let time = read("2027-01-01").unwrap().resolve().unwrap().unwrap();
        assert_eq!(time.to_string(), "2027-01-01T00:00:00Z");
        assert_eq!(read("tomorrow"), Err(FORMS));
        let far = read("99999999y").unwrap().resolve().unwrap_err();
        assert_eq!(far.exit(), Exit::Usage);
    }
}
