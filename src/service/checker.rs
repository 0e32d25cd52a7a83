//! The read path: from a raw header to a verdict, in memory alone.
//!
//! No I/O, no lock, no allocation before a key is found; and none after that
//! for a key without limits or credits, of which nothing is to be spent.

use std::sync::Arc;

use crate::domain::clock::{Clock, Timestamp};
use crate::domain::credential::{self, CredentialError, Scratch};
use crate::domain::credits::CreditsLeft;
use crate::domain::digest::{TokenDigest, TokenHasher};
use crate::domain::due::{Demand, Reading, Source, due};
use crate::domain::token::{self, Shape};
use crate::domain::verdict::{Ask, DenialReason, Presented, Standing, Verdict, judge};
use crate::index::credits::CreditsSpent;
use crate::index::{Index, IndexedKey};
use crate::meter::{Meter, Owners, Spending};

use super::credits::{Desk, Wait};

/// Judges credentials. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Checker {
    index: Arc<Index>,
    hasher: TokenHasher,
    clock: Arc<dyn Clock>,
    meter: Meter,
    desk: Desk,
}

/// A verdict, and the key that it is about.
#[derive(Clone, Copy, Debug)]
pub struct Outcome<'k> {
    /// The verdict.
    pub verdict: Verdict,
    /// The key; none, if none was found or the asker may not learn of it.
    pub key: Option<&'k IndexedKey>,
    /// The limits that counted, as they stand now.
    pub limits: &'k [Reading],
    /// What is left of the key's credits, where they were looked at.
    pub credits: Option<CreditsLeft>,
}

/// What came of a check that found a key.
struct Spent {
    verdict: Verdict,
    limits: Vec<Reading>,
    credits: Option<CreditsLeft>,
}

impl Spent {
    /// Nothing was spent.
    const fn nothing(verdict: Verdict) -> Self {
        Self {
            verdict,
            limits: Vec::new(),
            credits: None,
        }
    }
}

impl Checker {
    /// A checker over `index`, which spends on `meter` and asks for credits at
    /// `desk`.
    #[must_use]
    pub fn new(
        index: Arc<Index>,
        hasher: TokenHasher,
        clock: Arc<dyn Clock>,
        meter: Meter,
        desk: Desk,
    ) -> Self {
        Self {
            index,
            hasher,
            clock,
            meter,
            desk,
        }
    }

    /// Judges the raw header value `credential`, spends what `demand` says if
    /// all else is well, and hands the outcome to `answer`, while the key is
    /// held still.
    ///
    /// # Errors
    ///
    /// [`Wait`], if the key may have the credits that it takes, but not in
    /// hand: `answer` was not called then, and nothing is spent.
    pub fn check<'a, R, T>(
        &self,
        credential: &[u8],
        ask: &Ask<'a, R>,
        demand: &Demand<'_>,
        answer: impl FnOnce(Outcome<'_>) -> T,
    ) -> Result<T, Wait>
    where
        R: Iterator<Item = &'a str> + Clone,
    {
        let now = self.clock.now();
        let decide = |presented: &Presented<'_>| judge(presented, ask, now);
        let digest = match self.read(credential) {
            Ok(digest) => digest,
            Err(presented) => {
                return Ok(answer(Outcome {
                    verdict: decide(&presented),
                    key: None,
                    limits: &[],
                    credits: None,
                }));
            }
        };
        self.index.find(&digest, |found| {
            let spent = match found {
                Some(key) => {
                    key.with_standing(|standing| match decide(&Presented::Key(standing)) {
                        Verdict::Allowed => self.spend(key, &standing, demand, now),
                        denied @ Verdict::Denied(_) => Ok(Spent::nothing(denied)),
                    })?
                }
                None => Spent::nothing(decide(&Presented::Unknown)),
            };
            let may_tell = match spent.verdict {
                Verdict::Allowed => true,
                Verdict::Denied(reason) => reason.tells_identity(),
            };
            Ok(answer(Outcome {
                verdict: spent.verdict,
                key: found.filter(|_| may_tell),
                limits: &spent.limits,
                credits: spent.credits,
            }))
        })
    }

    /// Spends what is to be spent by a check that is allowed otherwise: all of
    /// it, or nothing.
    fn spend(
        &self,
        key: &IndexedKey,
        standing: &Standing<'_>,
        demand: &Demand<'_>,
        now: Timestamp,
    ) -> Result<Spent, Wait> {
        // A limit on the key hides one of the same name further out.
        let layers = [
            (Source::Key, standing.limits),
            (Source::Workspace, standing.default_limits),
        ];
        let denied = |reason| Spent::nothing(Verdict::Denied(reason));
        let Ok(mut limits) = due(&layers, &demand.limits) else {
            return Ok(denied(DenialReason::UnknownLimit));
        };
        let account = key.credits();
        if limits.is_empty() && account.is_none() {
            return Ok(Spent::nothing(Verdict::Allowed));
        }
        let owners = Owners::of_key(key.id());
        let stake = || account.map(|account| account.stake(now));
        let (spending, stake) = self.meter.spend(owners, &mut limits, demand.cost, stake);
        let credits = stake.zip(account).and_then(|(stake, account)| {
            // Unlocked first.
            stake.end(|| self.desk.ask(account))
        });
        match (spending, credits) {
            (Spending::Limited, _) => Ok(Spent {
                limits,
                ..denied(DenialReason::RateLimited)
            }),
            (Spending::Refused, Some(CreditsSpent::Wait(news))) => Err(Wait(news)),
            (Spending::Refused, credits) => Ok(Spent {
                credits: credits.and_then(CreditsSpent::left),
                ..denied(DenialReason::CreditsExhausted)
            }),
            (Spending::Passed, credits) => Ok(Spent {
                limits,
                credits: credits.and_then(CreditsSpent::left),
                ..Spent::nothing(Verdict::Allowed)
            }),
        }
    }

    /// The digest to look up, or what else the credential is.
    fn read(&self, credential: &[u8]) -> Result<TokenDigest, Presented<'static>> {
        let mut scratch = Scratch::new();
        let token = credential::parse(credential, &mut scratch).map_err(|error| match error {
            CredentialError::Missing => Presented::Nothing,
            CredentialError::Malformed => Presented::Malformed,
        })?;
        match token::shape(token) {
            Shape::Native => Ok(self.hasher.digest(token)),
            // A typo, or a credential of some other system, such as a JWT.
            Shape::BadChecksum | Shape::Foreign => Err(Presented::Unknown),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::clock::{ManualClock, Timestamp};
    use crate::domain::digest::Pepper;
    use crate::domain::token::{Token, TokenPrefix};
    use crate::index::follower;
    use crate::meter::clock::SystemBootClock;
    use crate::service::credits::Reserver;
    use crate::store::local::MemoryStore;

    #[test]
    fn a_denial_before_a_key_is_found_allocates_nothing() {
        let pepper = Pepper::generate();
        let clock: Arc<dyn Clock> = Arc::new(ManualClock::at(Timestamp::from_micros(1)));
        let store = MemoryStore::in_memory(&pepper, Arc::clone(&clock)).unwrap();
        let index = follower::start(&store).unwrap();
        let meter = Meter::start(Arc::new(SystemBootClock)).unwrap();
        let store = Arc::new(store);
        let (desk, _reserver) = Reserver::new(store, Arc::clone(&index), Arc::clone(&clock));
        let checker = Checker::new(index, pepper.token_hasher(), clock, meter, desk);

        let prefix = TokenPrefix::try_from("klg").unwrap();
        let unknown = format!("Bearer {}", Token::mint(&prefix, None).expose());
        let mistyped = unknown.replace("Bearer klg", "Bearer klh");
        let ask = Ask {
            workspace: Some("kling"),
            environment: Some("live"),
            required_scopes: ["a:b", "c|d"].into_iter(),
        };
        let mut demand = Demand::default();
        demand.limits.add("read");
        let verdict = |credential: &str| {
            let checked = checker.check(credential.as_bytes(), &ask, &demand, |outcome| {
                outcome.verdict
            });
            checked.unwrap()
        };
        for (credential, reason) in [
            ("", DenialReason::Missing),
            ("Bearer", DenialReason::Malformed),
            ("Bearer a, Bearer b", DenialReason::Malformed),
            ("Basic dXNlcjpwYXNz", DenialReason::Malformed),
            ("Bearer eyJhbGciOiJIUzI1NiJ9.e30.x", DenialReason::Unknown),
            (mistyped.as_str(), DenialReason::Unknown),
            (unknown.as_str(), DenialReason::Unknown),
        ] {
            // The first look into the index sets up this thread's part of it.
            assert_eq!(verdict(credential), Verdict::Denied(reason), "{credential}");
            let allocations = allocation_counter::measure(|| {
                verdict(credential);
            });
            assert_eq!(allocations.count_total, 0, "{reason:?}");
        }
    }
}
