//! A check that is only tried out: judged as any other, by all that a check is
//! judged by, and nothing is spent or noted.

use crate::domain::clock::Timestamp;
use crate::domain::credits::CreditsView;
use crate::domain::due::{Demand, Reading};
use crate::domain::explanation::Reached;
use crate::domain::verdict::{Ask, DenialReason, Presented, Standing, Verdict, judge};
use crate::index::IndexedKey;
use crate::meter::{Spending, Stake};

use super::{Checker, limits_due, owners};

/// What a check would be answered, and what that follows from.
#[derive(Debug)]
pub struct Trial<'k> {
    /// The verdict. Where a check would wait for credits that there are, it is
    /// what it would be if they come.
    pub verdict: Verdict,
    /// What was found out of who it is.
    pub reached: Reached,
    /// The key, and how it stands, if there is one: also where a check is told
    /// of none.
    pub key: Option<(&'k IndexedKey, Standing<'k>)>,
    /// The limits that count, as they stand; none, before they are looked at.
    pub limits: &'k [Reading],
    /// The credits of the key, as they stand; none, before they are looked at.
    pub credits: Option<CreditsView>,
    /// When it was.
    pub now: Timestamp,
}

/// Credits of which it is known whether there are enough.
struct Enough(bool);

impl Stake for Enough {
    fn can(&mut self, _: u32) -> bool {
        self.0
    }

    // Nothing is spent by a trial.
    fn take(&mut self, _: u32) {}
}

impl Checker {
    /// Judges what [`Checker::check`] would now, and hands what came of it to
    /// `see`, while the key is held still. Nothing is spent: no limit, no
    /// credits, and no first use of a token.
    pub fn try_out<'a, R, T>(
        &self,
        credential: &[u8],
        ask: &Ask<'a, R>,
        demand: &Demand<'_>,
        see: impl FnOnce(Trial<'_>) -> T,
    ) -> T
    where
        R: Iterator<Item = &'a str> + Clone,
    {
        let now = self.clock.now();
        let without_key = |presented: &Presented<'_>, reached| Trial {
            verdict: judge(presented, ask, now),
            reached,
            key: None,
            limits: &[],
            credits: None,
            now,
        };
        let digest = match self.read(credential) {
            Ok(digest) => digest,
            Err(credential) => return see(without_key(&credential.into(), Reached::Nothing)),
        };
        self.index.find(&digest, |found| {
            let Some(key) = found else {
                return see(without_key(&Presented::Unknown, Reached::Token));
            };
            key.with_standing(&self.index, ask.workspace, |standing| {
                let judged = judge(&Presented::Key(standing), ask, now);
                let (verdict, limits, credits) = match judged {
                    Verdict::Allowed => self.suppose(key, &standing, demand, now),
                    Verdict::Denied(_) => (judged, Vec::new(), None),
                };
                see(Trial {
                    verdict,
                    reached: Reached::Key,
                    key: Some((key, standing)),
                    limits: &limits,
                    credits,
                    now,
                })
            })
        })
    }

    /// What spending would come to.
    fn suppose(
        &self,
        key: &IndexedKey,
        standing: &Standing<'_>,
        demand: &Demand<'_>,
        now: Timestamp,
    ) -> (Verdict, Vec<Reading>, Option<CreditsView>) {
        let Ok(mut limits) = limits_due(standing, demand) else {
            let unknown = Verdict::Denied(DenialReason::UnknownLimit);
            return (unknown, Vec::new(), None);
        };
        let credits = key.credits().and_then(|account| account.view(now));
        let enough = credits.is_none_or(|credits| credits.balance >= demand.cost.into());
        let (owners, stake) = (owners(key, standing), Enough(enough));
        let verdict = match self.meter.try_out(owners, &mut limits, demand.cost, stake) {
            Spending::Passed => Verdict::Allowed,
            Spending::Limited => Verdict::Denied(DenialReason::RateLimited),
            Spending::Refused => Verdict::Denied(DenialReason::CreditsExhausted),
        };
        (verdict, limits, credits)
    }
}
