//! The read path: from a raw header to a verdict, in memory alone.
//!
//! No I/O, no lock, no allocation before a key is found.

use std::sync::Arc;

use crate::domain::clock::Clock;
use crate::domain::credential::{self, CredentialError, Scratch};
use crate::domain::digest::{TokenDigest, TokenHasher};
use crate::domain::token::{self, Shape};
use crate::domain::verdict::{Ask, Presented, Standing, Verdict, judge};
use crate::index::{Index, IndexedKey, Rotating};

use super::first_use::{self, FirstUses};

/// Judges credentials. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Checker {
    index: Arc<Index>,
    hasher: TokenHasher,
    clock: Arc<dyn Clock>,
    /// None: nobody notes them.
    first_uses: Option<FirstUses>,
}

/// A verdict, and the key that it is about.
#[derive(Clone, Copy, Debug)]
pub struct Outcome<'k> {
    /// The verdict.
    pub verdict: Verdict,
    /// The key; none, if none was found or the asker may not learn of it.
    pub key: Option<&'k IndexedKey>,
    /// How the key stands where it was asked for: there with the key.
    pub standing: Option<Standing<'k>>,
    /// The rotation of the key that was allowed, if one is under way.
    pub rotating: Option<&'k Rotating>,
}

impl Checker {
    /// A checker over `index`.
    #[must_use]
    pub fn new(index: Arc<Index>, hasher: TokenHasher, clock: Arc<dyn Clock>) -> Self {
        Self {
            index,
            hasher,
            clock,
            first_uses: None,
        }
    }

    /// The same, that tells of the first uses of new tokens.
    #[must_use]
    pub fn telling(self, first_uses: FirstUses) -> Self {
        Self {
            first_uses: Some(first_uses),
            ..self
        }
    }

    /// Judges the raw header value `credential` and hands the outcome to
    /// `answer`, while the key is held still.
    pub fn check<'a, R, T>(
        &self,
        credential: &[u8],
        ask: &Ask<'a, R>,
        answer: impl FnOnce(Outcome<'_>) -> T,
    ) -> T
    where
        R: Iterator<Item = &'a str> + Clone,
    {
        let decide = |presented: &Presented<'_>| judge(presented, ask, self.clock.now());
        let digest = match self.read(credential) {
            Ok(digest) => digest,
            Err(presented) => {
                return answer(Outcome {
                    verdict: decide(&presented),
                    key: None,
                    standing: None,
                    rotating: None,
                });
            }
        };
        self.index.find(&digest, |found| {
            let Some(key) = found else {
                return answer(Outcome {
                    verdict: decide(&Presented::Unknown),
                    key: None,
                    standing: None,
                    rotating: None,
                });
            };
            key.with_standing(&self.index, ask.workspace, |standing| {
                let verdict = decide(&Presented::Key(standing));
                let may_tell = match verdict {
                    Verdict::Allowed => true,
                    Verdict::Denied(reason) => reason.tells_identity(),
                };
                let rotating = key.rotating();
                let rotating =
                    rotating.and_then(|rotating| self.used(key, rotating, digest, verdict));
                answer(Outcome {
                    verdict,
                    key: Some(key).filter(|_| may_tell),
                    standing: Some(standing).filter(|_| may_tell),
                    rotating,
                })
            })
        })
    }

    /// Sees to what a check of a key that is being rotated brings about, and
    /// gives the rotation if the key was allowed and both tokens work.
    #[cold]
    fn used<'k>(
        &self,
        key: &IndexedKey,
        rotating: &'k Rotating,
        token: TokenDigest,
        verdict: Verdict,
    ) -> Option<&'k Rotating> {
        let now = self.clock.now();
        if let Some(first_uses) = &self.first_uses
            && first_use::is_use(verdict)
        {
            first_uses.tell(key.id(), token, rotating, now);
        }
        (verdict == Verdict::Allowed && rotating.is_under_way(now)).then_some(rotating)
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
    use crate::store::local::MemoryStore;

    #[test]
    fn a_denial_before_a_key_is_found_allocates_nothing() {
        let pepper = Pepper::generate();
        let clock: Arc<dyn Clock> = Arc::new(ManualClock::at(Timestamp::from_micros(1)));
        let store = MemoryStore::in_memory(&pepper, Arc::clone(&clock)).unwrap();
        let index = follower::start(&store).unwrap();
        let checker = Checker::new(index, pepper.token_hasher(), clock);

        let prefix = TokenPrefix::try_from("klg").unwrap();
        let unknown = format!("Bearer {}", Token::mint(&prefix, None).expose());
        let mistyped = unknown.replace("Bearer klg", "Bearer klh");
        let ask = Ask {
            workspace: Some("kling"),
            environment: Some("live"),
            required_scopes: ["a:b", "c|d"].into_iter(),
            source_address: Some("10.0.0.1"),
        };
        let verdict = |credential: &str| {
            checker.check(credential.as_bytes(), &ask, |outcome| outcome.verdict)
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
