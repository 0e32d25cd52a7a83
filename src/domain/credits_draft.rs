//! What operators say of a key's credits, checked before anything is made of
//! it.

use super::clock::Timestamp;
use super::credits::{Balance, CreditsView, MAX_CREDITS, Period, Refill};
use super::request::check_request_id;
use super::violation::Violations;

/// Credits as they are asked for; nothing in it is checked yet.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct CreditsDraft {
    /// What the key is to have now; none: what it has, or, if that is nothing,
    /// what the refill gives.
    pub balance: Option<u64>,
    /// When it is to be given more.
    pub refill: Option<RefillDraft>,
}

/// A refill as it is asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RefillDraft {
    /// How often; none: that was not said, or not in words that are known.
    pub period: Option<Period>,
    /// What the balance is to become then.
    pub amount: u64,
}

impl CreditsDraft {
    /// The balance that the draft asks for at `now`, where `current` is what
    /// there is. Notes what is not acceptable of the field `of`.
    pub(super) fn read(
        &self,
        violations: &mut Violations,
        of: &str,
        current: Option<CreditsView>,
        now: Timestamp,
    ) -> Option<Balance> {
        let refill = match self.refill {
            None => None,
            Some(draft) => Some(draft.read(violations, of)?),
        };
        let filled = refill.map(|refill| refill.amount);
        let current_balance = current.map(|view| view.balance);
        let Some(free) = self.balance.or(current_balance).or(filled) else {
            let description = "is required where there is no refill".to_owned();
            violations.add(format!("{of}.balance"), description);
            return None;
        };
        if free > MAX_CREDITS {
            violations.add(format!("{of}.balance"), too_many());
            return None;
        }
        let balance = Balance::new(free, refill, now);
        Some(current.map_or(balance, |view| balance.after(&view)))
    }

    /// The balance that the draft asks for at `now`, where `current` is what
    /// there is.
    ///
    /// # Errors
    ///
    /// What is not acceptable.
    pub fn check(
        &self,
        current: Option<CreditsView>,
        now: Timestamp,
    ) -> Result<Balance, Violations> {
        let mut violations = Violations::default();
        let balance = self.read(&mut violations, "credits", current, now);
        balance.ok_or(violations)
    }
}

impl RefillDraft {
    fn read(self, violations: &mut Violations, of: &str) -> Option<Refill> {
        let refill = self.period.map(|period| Refill {
            period,
            amount: self.amount,
        });
        if refill.is_none() {
            let description = "must be one that this server knows: DAILY or MONTHLY";
            violations.add(format!("{of}.refill.period"), description);
        }
        let field = format!("{of}.refill.amount");
        if self.amount == 0 {
            violations.add(field, "must be at least 1");
            return None;
        }
        if self.amount > MAX_CREDITS {
            violations.add(field, too_many());
            return None;
        }
        refill
    }
}

/// An adjustment of what there is.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Adjustment {
    /// So many more, or less. Never below nothing.
    pub delta: i64,
    /// What makes it safe to ask again; empty: nothing does.
    pub request_id: String,
}

impl Adjustment {
    /// What there is once `balance` is adjusted; never less than nothing.
    ///
    /// # Errors
    ///
    /// It is nothing, or would be too many, or the request's id is none.
    pub fn of(&self, balance: u64) -> Result<u64, Violations> {
        let mut violations = Violations::default();
        check_request_id(&mut violations, &self.request_id);
        let adjusted = adjusted(&mut violations, balance, self.delta);
        adjusted.filter(|_| violations.is_empty()).ok_or(violations)
    }
}

fn adjusted(violations: &mut Violations, balance: u64, delta: i64) -> Option<u64> {
    let adjusted = balance.saturating_add_signed(delta);
    if delta == 0 {
        violations.add("delta", "must not be 0");
        return None;
    }
    if adjusted > MAX_CREDITS {
        let description =
            format!("would leave more than {MAX_CREDITS}, the most that a key can have");
        violations.add("delta", description);
        return None;
    }
    Some(adjusted)
}

fn too_many() -> String {
    format!("must be at most {MAX_CREDITS}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_micros(1);

    fn told(draft: &CreditsDraft) -> Vec<String> {
        let violations = draft.check(None, NOW).unwrap_err();
        violations.iter().map(|told| told.field.clone()).collect()
    }

    #[test]
    fn what_is_not_said_stays_or_is_filled() {
        let daily = Some(RefillDraft {
            period: Some(Period::Day),
            amount: 7,
        });
        let free = |balance, refill, current: Option<u64>| {
            let draft = CreditsDraft { balance, refill };
            let current = current.map(|free| CreditsView::of(&Balance::new(free, None, NOW), free));
            draft.check(current, NOW).unwrap().free
        };
        assert_eq!(free(Some(3), daily, Some(9)), 3);
        assert_eq!(free(None, daily, Some(9)), 9);
        assert_eq!(free(None, daily, None), 7);
        assert_eq!(free(Some(0), None, None), 0);
    }

    #[test]
    fn each_field_has_its_bounds() {
        let refill = |period, amount| CreditsDraft {
            balance: Some(MAX_CREDITS),
            refill: Some(RefillDraft { period, amount }),
        };
        assert!(
            refill(Some(Period::Month), MAX_CREDITS)
                .check(None, NOW)
                .is_ok()
        );
        let too_many = Some(Period::Month);
        assert_eq!(
            told(&refill(too_many, MAX_CREDITS + 1)),
            ["credits.refill.amount"]
        );
        assert_eq!(
            told(&refill(None, 0)),
            ["credits.refill.period", "credits.refill.amount"]
        );
        assert_eq!(told(&CreditsDraft::default()), ["credits.balance"]);
        let draft = CreditsDraft {
            balance: Some(MAX_CREDITS + 1),
            refill: None,
        };
        assert_eq!(told(&draft), ["credits.balance"]);
    }

    #[test]
    fn what_is_taken_away_leaves_nothing_at_least() {
        let adjusted = |balance, delta| {
            let adjustment = Adjustment {
                delta,
                ..Adjustment::default()
            };
            adjustment.of(balance)
        };
        assert_eq!(adjusted(5, -7).unwrap(), 0);
        assert_eq!(adjusted(5, i64::MIN).unwrap(), 0);
        assert_eq!(adjusted(5, 2).unwrap(), 7);
        assert!(adjusted(5, 0).is_err());
        assert!(adjusted(1, i64::MAX).is_err());
        assert_eq!(adjusted(MAX_CREDITS - 1, 1).unwrap(), MAX_CREDITS);
        let unnamed = Adjustment {
            delta: 1,
            request_id: "two words".to_owned(),
        };
        assert!(unnamed.of(5).is_err());
    }
}
