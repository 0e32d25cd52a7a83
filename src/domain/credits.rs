//! Credits: how much a key may use up, and when it is given more.
//!
//! This is the record that lies in the store. What of it is in a server's hand
//! is in [`super::credit_account`].

use std::fmt;
use std::time::Duration;

use jiff::civil::Date;

use super::clock::Timestamp;
use super::id::KeyId;

/// The most credits that a key can have: any number up to it can be told in
/// JSON without losing a digit.
pub const MAX_CREDITS: u64 = 1_000_000_000_000_000;

const MICROS_A_DAY: u64 = 24 * 60 * 60 * 1_000_000;

/// How often a balance is filled again. Periods are those of the calendar in
/// UTC.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Period {
    /// At midnight.
    Day,
    /// At midnight before the first day of a month.
    Month,
}

impl Period {
    /// The number of the period that `now` is in: later ones have higher
    /// numbers.
    #[must_use]
    pub fn number(self, now: Timestamp) -> u64 {
        match self {
            Self::Day => now.as_micros() / MICROS_A_DAY,
            Self::Month => {
                let date = date(now);
                let year = u64::try_from(date.year()).unwrap_or(0);
                year * 12 + u64::try_from(date.month() - 1).unwrap_or(0)
            }
        }
    }

    /// When the period of this number ends, which is when the next one starts;
    /// the last moment that there is, if that is beyond the calendar.
    #[must_use]
    pub fn end(self, number: u64) -> Timestamp {
        match self {
            Self::Day => Timestamp::from_micros(
                number
                    .saturating_add(1)
                    .saturating_mul(MICROS_A_DAY)
                    .min(Timestamp::MAX.as_micros()),
            ),
            Self::Month => first_of(number.saturating_add(1)).unwrap_or(Timestamp::MAX),
        }
    }

    /// The period in the words of the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Day => "DAILY",
            Self::Month => "MONTHLY",
        }
    }
}

fn date(now: Timestamp) -> Date {
    let micros = i64::try_from(now.as_micros()).unwrap_or(i64::MAX);
    jiff::Timestamp::from_microsecond(micros).map_or(Date::MAX, |time| {
        time.to_zoned(jiff::tz::TimeZone::UTC).date()
    })
}

/// The start of the month of this number; none, if the calendar has none.
fn first_of(number: u64) -> Option<Timestamp> {
    let year = i16::try_from(number / 12).ok()?;
    let month = i8::try_from(number % 12 + 1).ok()?;
    let date = Date::new(year, month, 1).ok()?;
    let start = date.to_zoned(jiff::tz::TimeZone::UTC).ok()?;
    let micros = u64::try_from(start.timestamp().as_microsecond()).ok()?;
    Some(Timestamp::from_micros(micros))
}

/// That a balance is filled again, and to what.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Refill {
    /// How often.
    pub period: Period,
    /// What the balance becomes then, whatever it was.
    pub amount: u64,
}

impl fmt::Display for Refill {
    /// As audit records tell it: `DAILY=1000`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.period.as_str(), self.amount)
    }
}

/// The credits of a key, as they are stored.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Credits {
    /// The key.
    pub key: KeyId,
    /// Counts up whenever the balance is another than what use has left of it:
    /// what was reserved before that is void.
    pub generation: u64,
    /// What there is; none: the key has no credits any more, and needs none.
    pub balance: Option<Balance>,
}

/// What a key has left, as it is stored.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Balance {
    /// What is not reserved.
    pub free: u64,
    /// How much was reserved so far in this generation. It counts as used up,
    /// unless the server that reserved it still has it.
    pub reserved: u64,
    /// When there is more.
    pub refill: Option<Refill>,
    /// The number of the period in which the balance was filled last; 0 if it
    /// never is.
    pub period: u64,
}

impl Balance {
    /// A balance of `free`, none of it reserved, as of `now`.
    #[must_use]
    pub fn new(free: u64, refill: Option<Refill>, now: Timestamp) -> Self {
        Self {
            free,
            reserved: 0,
            refill,
            period: refill.map_or(0, |refill| refill.period.number(now)),
        }
    }

    /// The same, in place of what `before` shows: filled no earlier than that
    /// would have been, if as often, so that a clock that has gone back has no
    /// period come twice. Unless that is more than one period away: the clock was
    /// wrong by far, and there is no other way to be filled before that comes.
    #[must_use]
    pub fn after(mut self, before: &CreditsView) -> Self {
        let often = |refill: Option<Refill>| refill.map(|refill| refill.period);
        if often(self.refill) == often(before.refill) && before.period == self.period + 1 {
            self.period = before.period;
        }
        self
    }

    /// Whether it was filled last in a period that has not come by `now`: by a
    /// clock that was ahead. It is not filled again until that one is over.
    #[must_use]
    pub fn is_ahead(&self, now: Timestamp) -> bool {
        self.refill
            .is_some_and(|refill| self.period > refill.period.number(now))
    }

    /// When it is filled again; none: never.
    #[must_use]
    pub fn refill_time(&self) -> Option<Timestamp> {
        self.refill.map(|refill| refill.period.end(self.period))
    }

    /// The balance that this one has become by `now`; none, if its period goes
    /// on.
    #[must_use]
    pub fn refilled(&self, now: Timestamp) -> Option<Self> {
        let refill = self.refill?;
        (refill.period.number(now) > self.period)
            .then(|| Self::new(refill.amount, Some(refill), now))
    }
}

/// What a key has left, as it is shown.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CreditsView {
    /// What can be used up until then.
    pub balance: u64,
    /// When there is more.
    pub refill: Option<Refill>,
    /// When that is next.
    pub refill_time: Option<Timestamp>,
    /// The number of the period that it was filled in last; 0 if it never is.
    period: u64,
}

impl CreditsView {
    /// What is shown of `balance`, of which `total` can be used up.
    #[must_use]
    pub fn of(balance: &Balance, total: u64) -> Self {
        Self {
            balance: total,
            refill: balance.refill,
            refill_time: balance.refill_time(),
            period: balance.period,
        }
    }

    /// The balance that has `free` instead, and is filled when this one is: a
    /// clock that has gone back has no period come twice.
    #[must_use]
    pub const fn with(&self, free: u64) -> Balance {
        Balance {
            free,
            reserved: 0,
            refill: self.refill,
            period: self.period,
        }
    }
}

/// What a gateway is told of a key's credits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CreditsLeft {
    /// What is left after the check.
    pub remaining: u64,
    /// When the balance is filled again; none: never.
    pub refill_time: Option<Timestamp>,
    /// How long until the check that was denied would pass, if nothing else is
    /// spent; none: it was not denied, or will not pass by waiting.
    pub retry_delay: Option<Duration>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(text: &str) -> Timestamp {
        let time: jiff::Timestamp = text.parse().unwrap();
        Timestamp::from_micros(u64::try_from(time.as_microsecond()).unwrap())
    }

    #[test]
    fn periods_turn_at_midnight_utc() {
        let table = [
            (
                Period::Day,
                "2027-02-28T23:59:59.999999Z",
                "2027-03-01T00:00:00Z",
            ),
            (Period::Day, "2028-02-28T00:00:00Z", "2028-02-29T00:00:00Z"),
            (Period::Day, "1970-01-01T00:00:00Z", "1970-01-02T00:00:00Z"),
            (
                Period::Month,
                "2027-02-28T23:59:59.999999Z",
                "2027-03-01T00:00:00Z",
            ),
            (
                Period::Month,
                "2027-12-01T00:00:00Z",
                "2028-01-01T00:00:00Z",
            ),
            (
                Period::Month,
                "2028-02-29T12:00:00Z",
                "2028-03-01T00:00:00Z",
            ),
            (
                Period::Month,
                "1970-01-31T00:00:00Z",
                "1970-02-01T00:00:00Z",
            ),
        ];
        for (period, now, turn) in table {
            let number = period.number(at(now));
            assert_eq!(period.end(number).to_string(), turn, "{now}");
            assert_eq!(period.number(at(turn)), number + 1, "{now}");
        }
        assert_eq!(Period::Month.end(u64::MAX), Timestamp::MAX);
        assert_eq!(Period::Day.end(u64::MAX), Timestamp::MAX);
    }

    proptest! {
        #[test]
        fn every_moment_is_in_the_period_that_ends_behind_it(
            micros in 0..Timestamp::MAX.as_micros() - 40 * MICROS_A_DAY,
        ) {
            let now = Timestamp::from_micros(micros);
            for period in [Period::Day, Period::Month] {
                let number = period.number(now);
                prop_assert!(now < period.end(number));
                prop_assert!(number == 0 || period.end(number - 1) <= now);
            }
        }
    }

    #[test]
    fn a_balance_is_filled_once_a_period_and_whatever_it_was() {
        let refill = Refill {
            period: Period::Day,
            amount: 7,
        };
        let monday = at("2027-03-01T10:00:00Z");
        let balance = Balance::new(900, Some(refill), monday);
        assert_eq!(balance.refilled(at("2027-03-01T23:59:59Z")), None);
        let tuesday = balance.refilled(at("2027-03-02T00:00:00Z")).unwrap();
        assert_eq!((tuesday.free, tuesday.reserved), (7, 0));
        assert_eq!(tuesday.refilled(at("2027-03-02T23:00:00Z")), None);
        // Whatever has been missed is not made up for.
        let friday = tuesday.refilled(at("2027-03-05T01:00:00Z")).unwrap();
        assert_eq!(friday.free, 7);
        assert_eq!(Balance::new(9, None, monday).refilled(Timestamp::MAX), None);
    }

    #[test]
    fn a_clock_that_went_back_has_no_period_come_twice() {
        let refill = Refill {
            period: Period::Day,
            amount: 7,
        };
        let ahead = at("2027-03-02T00:00:01Z");
        let filled = Balance::new(7, Some(refill), ahead);
        // Seen and changed on the day before, after a restart.
        let changed = CreditsView::of(&filled, 4).with(3);
        assert_eq!((changed.free, changed.reserved), (3, 0));
        assert_eq!(changed.refill, Some(refill));
        assert_eq!(changed.refilled(ahead), None);
        let next = changed.refilled(at("2027-03-03T00:00:00Z"));
        assert_eq!(next.map(|next| next.free), Some(7));
        // Nor does it, if all is set anew meanwhile.
        let back = at("2027-03-01T23:00:00Z");
        let view = CreditsView::of(&filled, 4);
        let more = Some(Refill {
            amount: 9,
            ..refill
        });
        let set = Balance::new(3, more, back).after(&view);
        assert_eq!((set.free, set.refilled(ahead)), (3, None));
        let next = set.refilled(at("2027-03-03T00:00:00Z"));
        assert_eq!(next.map(|next| next.free), Some(9));
        // What is filled in other periods, or not, has seen none of them.
        let monthly = Some(Refill {
            period: Period::Month,
            amount: 9,
        });
        for other in [monthly, None] {
            let set = Balance::new(3, other, back);
            assert_eq!(set.after(&view), set);
            let view = CreditsView::of(&set, 3);
            let daily = Balance::new(3, more, back);
            assert_eq!(daily.after(&view), daily);
        }
        // And what was filled in an earlier one was not filled since.
        let earlier = CreditsView::of(&Balance::new(3, more, back), 3);
        let set = Balance::new(3, more, ahead);
        assert_eq!(set.after(&earlier), set);
    }

    #[test]
    fn what_was_filled_years_ahead_is_filled_again_once_it_is_set() {
        let now = at("2027-03-01T10:00:00Z");
        for (period, one_ahead, far) in [
            (Period::Day, "2027-03-02T00:00:00Z", "2027-03-03T00:00:00Z"),
            (
                Period::Month,
                "2027-04-01T00:00:00Z",
                "2036-02-07T06:28:15Z",
            ),
        ] {
            let refill = Some(Refill { period, amount: 7 });
            assert!(!Balance::new(7, refill, now).is_ahead(now));
            for (ahead, heals) in [(one_ahead, false), (far, true)] {
                let filled = Balance::new(7, refill, at(ahead));
                assert!(filled.is_ahead(now));
                assert!(!filled.is_ahead(at(ahead)));
                let set = Balance::new(3, refill, now).after(&CreditsView::of(&filled, 7));
                assert_eq!(!set.is_ahead(now), heals, "{ahead}");
            }
        }
        let never = Balance::new(7, None, at("2036-02-07T06:28:15Z"));
        assert!(!never.is_ahead(now));
    }
}
