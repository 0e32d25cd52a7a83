//! The credits of keys.

use crate::domain::credits::{Balance, Credits, Period, Refill};
use crate::store::pb;

use super::Unreadable;
use super::part::{bad, read};

pub(super) fn encode(credits: &Credits) -> pb::CreditsRecord {
    let balance = credits.balance;
    let refill = balance.and_then(|balance| balance.refill);
    pb::CreditsRecord {
        key: credits.key.to_string(),
        generation: credits.generation,
        removed: balance.is_none(),
        free: balance.map_or(0, |balance| balance.free),
        reserved: balance.map_or(0, |balance| balance.reserved),
        period: balance.map_or(0, |balance| balance.period),
        refill_period: match refill.map(|refill| refill.period) {
            None => pb::CreditsPeriod::Unspecified,
            Some(Period::Day) => pb::CreditsPeriod::Day,
            Some(Period::Month) => pb::CreditsPeriod::Month,
        }
        .into(),
        refill_amount: refill.map_or(0, |refill| refill.amount),
    }
}

pub(super) fn decode(record: &pb::CreditsRecord) -> Result<Credits, Unreadable> {
    let period = match pb::CreditsPeriod::try_from(record.refill_period) {
        Ok(pb::CreditsPeriod::Unspecified) => None,
        Ok(pb::CreditsPeriod::Day) => Some(Period::Day),
        Ok(pb::CreditsPeriod::Month) => Some(Period::Month),
        Err(_) => return Err(bad("refill_period")),
    };
    let balance = Balance {
        free: record.free,
        reserved: record.reserved,
        refill: period.map(|period| Refill {
            period,
            amount: record.refill_amount,
        }),
        period: record.period,
    };
    Ok(Credits {
        key: read("key", &record.key)?,
        generation: record.generation,
        balance: (!record.removed).then_some(balance),
    })
}
