//! The read path: from a raw header to a verdict, in memory alone.
//!
//! No I/O, no lock, no allocation before a key is found.

use std::sync::Arc;

use crate::domain::clock::Clock;
use crate::domain::credential::{self, CredentialError, Scratch};
use crate::domain::digest::{TokenDigest, TokenHasher};
use crate::domain::token::{self, Shape};
use crate::domain::verdict::{Ask, Presented, Verdict, judge};
use crate::index::{Index, IndexedKey};

/// Judges credentials. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Checker {
    index: Arc<Index>,
    hasher: TokenHasher,
    clock: Arc<dyn Clock>,
}

/// A verdict, and the key that it is about.
#[derive(Clone, Copy, Debug)]
pub struct Outcome<'k> {
    /// The verdict.
    pub verdict: Verdict,
    /// The key; none, if none was found or the asker may not learn of it.
    pub key: Option<&'k IndexedKey>,
}

impl Checker {
    /// A checker over `index`.
    #[must_use]
    pub fn new(index: Arc<Index>, hasher: TokenHasher, clock: Arc<dyn Clock>) -> Self {
        Self { index, hasher, clock }
    }

    /// Judges the raw header value `credential` and hands the outcome to
    /// `answer`, while the key is held still.
    pub fn check<'a, R, T>(&self, credential: &[u8], ask: &Ask<'a, R>, answer: impl FnOnce(Outcome<'_>) -> T) -> T
    where
        R: Iterator<Item = &'a str> + Clone,
    {
        let decide = |presented: &Presented<'_>| judge(presented, ask, self.clock.now());
        let digest = match self.read(credential) {
            Ok(digest) => digest,
            Err(presented) => return answer(Outcome { verdict: decide(&presented), key: None }),
        };
        self.index.find(&digest, |found| {
            let verdict = match found {
                Some(key) => key.with_standing(|standing| decide(&Presented::Key(standing))),
                None => decide(&Presented::Unknown),
            };
            let may_tell = match verdict {
                Verdict::Allowed => true,
                Verdict::Denied(reason) => reason.tells_identity(),
            };
            answer(Outcome { verdict, key: found.filter(|_| may_tell) })
        })
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
