//! The read path: from a raw header to a verdict, in memory alone.
//!
//! No I/O, no lock, no allocation before a key is found.

use std::sync::Arc;

use crate::domain::clock::{Clock, Timestamp};
use crate::domain::credential::{self, CredentialError, Scratch};
use crate::domain::credits::CreditsLeft;
use crate::domain::digest::{TokenDigest, TokenHasher};
use crate::domain::token::{self, Shape};
use crate::domain::verdict::{Ask, DenialReason, Presented, Verdict, judge};
use crate::index::credits::Spending;
use crate::index::{Index, IndexedKey};

use super::credits::{Desk, Wait};

/// What a check costs of the key's credits.
const COST: u64 = 1;

/// Judges credentials. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Checker {
    index: Arc<Index>,
    hasher: TokenHasher,
    clock: Arc<dyn Clock>,
    desk: Desk,
}

/// A verdict, and the key that it is about.
#[derive(Clone, Copy, Debug)]
pub struct Outcome<'k> {
    /// The verdict.
    pub verdict: Verdict,
    /// The key; none, if none was found or the asker may not learn of it.
    pub key: Option<&'k IndexedKey>,
    /// What is left of the key's credits, where they were looked at.
    pub credits: Option<CreditsLeft>,
}

impl Checker {
    /// A checker over `index`, which asks for credits at `desk`.
    #[must_use]
    pub fn new(index: Arc<Index>, hasher: TokenHasher, clock: Arc<dyn Clock>, desk: Desk) -> Self {
        Self {
            index,
            hasher,
            clock,
            desk,
        }
    }

    /// Judges the raw header value `credential` and hands the outcome to
    /// `answer`, while the key is held still.
    ///
    /// # Errors
    ///
    /// [`Wait`], if the key may have the credits that it takes, but not in
    /// hand: `answer` was not called then, and nothing is spent.
    pub fn check<'a, R, T>(
        &self,
        credential: &[u8],
        ask: &Ask<'a, R>,
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
                    credits: None,
                }));
            }
        };
        self.index.find(&digest, |found| {
            let mut verdict = match found {
                Some(key) => key.with_standing(|standing| decide(&Presented::Key(standing))),
                None => decide(&Presented::Unknown),
            };
            // Last, as a denial spends nothing.
            let credits = match (verdict, found) {
                (Verdict::Allowed, Some(key)) => self.spend(key, COST, now, &mut verdict)?,
                (Verdict::Allowed | Verdict::Denied(_), _) => None,
            };
            let may_tell = match verdict {
                Verdict::Allowed => true,
                Verdict::Denied(reason) => reason.tells_identity(),
            };
            Ok(answer(Outcome {
                verdict,
                key: found.filter(|_| may_tell),
                credits,
            }))
        })
    }

    /// Spends what the check costs of the key's credits, if it needs any. What
    /// is left of them; denied, if that is too little.
    fn spend(
        &self,
        key: &IndexedKey,
        cost: u64,
        now: Timestamp,
        verdict: &mut Verdict,
    ) -> Result<Option<CreditsLeft>, Wait> {
        let Some(account) = key.credits() else {
            return Ok(None);
        };
        let mut stake = account.stake(now);
        if stake.can(cost) {
            stake.take(cost);
        }
        match stake.end(|| self.desk.ask(account)) {
            Some(Spending::Done(left)) => Ok(Some(left)),
            Some(Spending::Exhausted(left)) => {
                *verdict = Verdict::Denied(DenialReason::CreditsExhausted);
                Ok(Some(left))
            }
            Some(Spending::Wait(news)) => Err(Wait(news)),
            Some(Spending::Unmetered) | None => Ok(None),
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
    use crate::domain::verdict::DenialReason;
    use crate::index::follower;
    use crate::service::credits::Reserver;
    use crate::store::local::MemoryStore;

    #[test]
    fn a_denial_before_a_key_is_found_allocates_nothing() {
        let pepper = Pepper::generate();
        let clock: Arc<dyn Clock> = Arc::new(ManualClock::at(Timestamp::from_micros(1)));
        let store = MemoryStore::in_memory(&pepper, Arc::clone(&clock)).unwrap();
        let index = follower::start(&store).unwrap();
        let (store, clock_of_reserver) = (Arc::new(store), Arc::clone(&clock));
        let (desk, _reserver) = Reserver::new(store, Arc::clone(&index), clock_of_reserver);
        let checker = Checker::new(index, pepper.token_hasher(), clock, desk);

        let prefix = TokenPrefix::try_from("klg").unwrap();
        let unknown = format!("Bearer {}", Token::mint(&prefix, None).expose());
        let mistyped = unknown.replace("Bearer klg", "Bearer klh");
        let ask = Ask {
            workspace: Some("kling"),
            environment: Some("live"),
            required_scopes: ["a:b", "c|d"].into_iter(),
        };
        let verdict = |credential: &str| {
            let check = checker.check(credential.as_bytes(), &ask, |outcome| outcome.verdict);
            check.unwrap()
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
