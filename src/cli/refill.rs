//! Credits as they are typed and shown: `--refill daily=1000`, and the lines of
//! a key or verdict.

use std::str::FromStr;

use serde_json::{Value, json};

use super::text;
use crate::edge::pb::{Credits, CreditsLeft, CreditsPeriod, CreditsRefill};

const FORMS: &str = "expected `daily=1000`, `monthly=50000` or `none`";

/// When a key is given more credits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Refill {
    /// Never by itself.
    Never,
    /// At the start of each period.
    Each(CreditsPeriod, u64),
}

impl Refill {
    /// For a request.
    pub(crate) fn wire(self) -> Option<CreditsRefill> {
        match self {
            Self::Never => None,
            Self::Each(period, amount) => Some(CreditsRefill {
                period: period.into(),
                amount,
            }),
        }
    }
}

impl FromStr for Refill {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "none" {
            return Ok(Self::Never);
        }
        let (period, amount) = text.split_once('=').ok_or(FORMS)?;
        let period = match period {
            "daily" => CreditsPeriod::Daily,
            "monthly" => CreditsPeriod::Monthly,
            _ => return Err(FORMS),
        };
        let amount = amount.parse().map_err(|_| FORMS)?;
        Ok(Self::Each(period, amount))
    }
}

/// Credits as the line of a key.
pub(crate) fn line(credits: &Credits) -> String {
    let mut line = credits.balance.unwrap_or_default().to_string();
    if let Some(refill) = &credits.refill {
        let period = text::credits_period(refill.period);
        line += &format!(", {} {period}", refill.amount);
    }
    if let Some(time) = &credits.refill_time {
        line += &format!(", next {}", text::second(time));
    }
    line
}

/// Credits with the names of the API.
pub(crate) fn json(credits: &Credits) -> Value {
    json!({
        "balance": credits.balance,
        "refill": credits.refill.as_ref().map(|refill| json!({
            "period": text::credits_period(refill.period),
            "amount": refill.amount,
        })),
        "refill_time": credits.refill_time.as_ref().map(text::moment),
    })
}

/// What a verdict tells of credits, as a line.
pub(crate) fn left_line(left: &CreditsLeft) -> String {
    let next = left.refill_time.as_ref().map(text::second);
    let next = next.map_or_else(String::new, |next| format!(", refill {next}"));
    format!("{} left{next}", left.remaining)
}

/// What a verdict tells of credits, with the names of the API.
pub(crate) fn left_json(left: &CreditsLeft) -> Value {
    json!({
        "remaining": left.remaining,
        "refill_time": left.refill_time.as_ref().map(text::moment),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refill_is_typed_as_it_is_meant() {
        let read = |text: &str| text.parse::<Refill>();
        assert_eq!(read("none"), Ok(Refill::Never));
        assert_eq!(read("daily=7"), Ok(Refill::Each(CreditsPeriod::Daily, 7)));
        assert_eq!(
            read("monthly=7"),
            Ok(Refill::Each(CreditsPeriod::Monthly, 7))
        );
        for odd in [
            "", "7", "daily", "daily=", "weekly=7", "daily=-1", "daily=7x",
        ] {
            assert_eq!(read(odd), Err(FORMS), "{odd}");
        }
    }

    #[test]
    fn credits_are_a_line() {
        let mut credits = Credits {
            balance: Some(12),
            ..Credits::default()
        };
        assert_eq!(line(&credits), "12");
        credits.refill = Refill::Each(CreditsPeriod::Daily, 7).wire();
        credits.refill_time = Some(prost_types::Timestamp {
            seconds: 1_780_000_000,
            nanos: 0,
        });
        assert_eq!(line(&credits), "12, 7 DAILY, next 2026-05-28T20:26:40Z");
        assert_eq!(json(&credits)["refill"]["period"], "DAILY");
        let left = CreditsLeft {
            remaining: 0,
            refill_time: None,
        };
        assert_eq!(left_line(&left), "0 left");
        assert_eq!(left_json(&left)["refill_time"], Value::Null);
    }
}
