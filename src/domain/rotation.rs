//! How tokens are replaced: how long an old one may work on, and how often a
//! key should be given a new one.

use std::time::Duration;

use super::clock::Timestamp;
use super::key::{Key, KeyState};
use super::violation::Violations;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// How long an old token works on if nothing is said: a day.
pub const USUAL_OVERLAP: Duration = DAY;

/// The longest that an old token can work on: 30 days.
pub const MAX_OVERLAP: Duration = Duration::from_secs(30 * DAY.as_secs());

/// How long a key keeps a token before it should be given another, if its
/// workspace does not say: 90 days.
pub const USUAL_PERIOD: Duration = Duration::from_secs(90 * DAY.as_secs());

/// The longest that a workspace can say: ten years.
pub const MAX_PERIOD: Duration = Duration::from_secs(3_650 * DAY.as_secs());

/// How a token is to be replaced; nothing in it is checked yet.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct RotationDraft {
    /// How long the old token is to work on; none: as long as is usual.
    pub overlap: Option<Duration>,
    /// Whether that counts from the first use of the new token.
    pub from_first_use: bool,
}

impl RotationDraft {
    /// How long the old token works on.
    ///
    /// # Errors
    ///
    /// It is too long, or is to end at once and later.
    pub fn overlap(self) -> Result<Duration, Violations> {
        let overlap = self.overlap.unwrap_or(USUAL_OVERLAP);
        if overlap > MAX_OVERLAP {
            return Err(Violations::of("overlap", "is more than 30 days"));
        }
        if overlap.is_zero() && self.from_first_use {
            return Err(Violations::of(
                "overlap",
                "is zero, which ends the old token at once: leave out from_first_use, or give the old token some time",
            ));
        }
        Ok(overlap)
    }
}

/// Reads how long keys are to keep a token, and notes what is wrong with it.
/// None is the usual. It is kept to the microsecond.
pub(super) fn read_period(
    violations: &mut Violations,
    field: &str,
    period: Option<Duration>,
) -> Duration {
    let Some(period) = period else {
        return USUAL_PERIOD;
    };
    if period > MAX_PERIOD || period < Duration::from_micros(1) {
        violations.add(field, "is not a span of more than zero and up to 3650 days");
        return USUAL_PERIOD;
    }
    period - Duration::from_nanos(u64::from(period.subsec_nanos() % 1_000))
}

/// When `key` should be given a new token at the latest, if it keeps one for
/// `period`. None: it works no more, and needs none.
#[must_use]
pub fn due_time(key: &Key, period: Duration, now: Timestamp) -> Option<Timestamp> {
    match key.state(now) {
        KeyState::Revoked | KeyState::Expired => None,
        KeyState::Active | KeyState::Disabled => {
            let newest = key.secrets.last()?;
            Some(newest.create_time.saturating_add(period))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_overlap_has_a_default_and_bounds() {
        let overlap = |overlap, from_first_use| {
            RotationDraft {
                overlap,
                from_first_use,
            }
            .overlap()
            .ok()
        };
        let beyond = MAX_OVERLAP + Duration::from_nanos(1);
        assert_eq!(overlap(None, false), Some(DAY));
        assert_eq!(overlap(None, true), Some(DAY));
        assert_eq!(overlap(Some(MAX_OVERLAP), true), Some(MAX_OVERLAP));
        assert_eq!(overlap(Some(beyond), false), None);
        assert_eq!(overlap(Some(Duration::ZERO), false), Some(Duration::ZERO));
        assert_eq!(overlap(Some(Duration::ZERO), true), None);
    }

    #[test]
    fn a_period_has_a_default_and_bounds() {
        let read = |period| {
            let mut violations = Violations::default();
            let period = read_period(&mut violations, "rotation_period", period);
            violations.none().map(|()| period).ok()
        };
        let micros = Duration::from_micros;
        assert_eq!(read(None), Some(90 * DAY));
        assert_eq!(read(Some(MAX_PERIOD)), Some(MAX_PERIOD));
        assert_eq!(read(Some(micros(1))), Some(micros(1)));
        assert_eq!(read(Some(Duration::from_nanos(1_999))), Some(micros(1)));
        assert_eq!(read(Some(MAX_PERIOD + micros(1))), None);
        assert_eq!(read(Some(Duration::from_nanos(999))), None);
        assert_eq!(read(Some(Duration::ZERO)), None);
    }
}
