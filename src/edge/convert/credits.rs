//! The credits of keys.

use crate::domain::credits::{CreditsView, Period};
use crate::domain::credits_draft::{CreditsDraft, RefillDraft};

use super::{pb, wire_time};

/// What an operator asks for.
pub(in crate::edge) fn draft(credits: &pb::Credits) -> CreditsDraft {
    CreditsDraft {
        balance: credits.balance,
        refill: credits.refill.map(|refill| RefillDraft {
            period: match pb::CreditsPeriod::try_from(refill.period) {
                Ok(pb::CreditsPeriod::Daily) => Some(Period::Day),
                Ok(pb::CreditsPeriod::Monthly) => Some(Period::Month),
                Ok(pb::CreditsPeriod::Unspecified) | Err(_) => None,
            },
            amount: refill.amount,
        }),
    }
}

/// Credits as they are shown.
pub(in crate::edge) fn shown(view: CreditsView) -> pb::Credits {
    pb::Credits {
        balance: Some(view.balance),
        refill: view.refill.map(|refill| pb::CreditsRefill {
            period: match refill.period {
                Period::Day => pb::CreditsPeriod::Daily,
                Period::Month => pb::CreditsPeriod::Monthly,
            }
            .into(),
            amount: refill.amount,
        }),
        refill_time: view.refill_time.map(wire_time),
    }
}
