//! The read path: from a raw header to a verdict, in memory alone.
//!
//! No I/O, no lock, no allocation before a key is found; and none after that
//! for a key without limits or credits, of which nothing is to be spent, but for
//! the count of its uses: a lock of the key's own, and an allocation by the
//! first of them. To tell what a narrow ceiling leaves allocates, but where the
//! membership holds that.

mod trial;

use std::sync::Arc;

use crate::domain::clock::{Clock, Timestamp};
use crate::domain::credential::{self, CredentialError, Scratch};
use crate::domain::credits::CreditsLeft;
use crate::domain::digest::{TokenDigest, TokenHasher};
use crate::domain::due::{Demand, Reading, Source, UnknownLimit, due};
use crate::domain::source;
use crate::domain::token::{self, Shape};
use crate::domain::usage::{UsageRule, needed};
use crate::domain::verdict::{Ask, DenialReason, Presented, Standing, Verdict, judge};
use crate::index::credits::CreditsSpent;
use crate::index::usage::Use;
use crate::index::{Effective, Index, IndexedKey, Rotating};
use crate::meter::{Meter, Owners, Spending};

use super::credits::{Desk, Wait};
use super::first_use::{self, FirstUses};

pub use trial::Trial;

/// Judges credentials. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Checker {
    index: Arc<Index>,
    hasher: TokenHasher,
    clock: Arc<dyn Clock>,
    meter: Meter,
    desk: Desk,
    /// None: nobody notes them.
    first_uses: Option<FirstUses>,
    usage: UsageRule,
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
    /// What the key may do there: there with the key.
    pub effective: Option<Effective<'k>>,
    /// The limits that counted, as they stand now.
    pub limits: &'k [Reading],
    /// What is left of the key's credits, where they were looked at.
    pub credits: Option<CreditsLeft>,
    /// The rotation of the key that was allowed, if one is under way.
    pub rotating: Option<&'k Rotating>,
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
            first_uses: None,
            usage: UsageRule::default(),
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

    /// The same, that counts how keys are used.
    #[must_use]
    pub fn counting(self, usage: UsageRule) -> Self {
        Self { usage, ..self }
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
            Err(credential) => {
                return Ok(answer(Outcome {
                    verdict: decide(&credential.into()),
                    key: None,
                    standing: None,
                    effective: None,
                    limits: &[],
                    credits: None,
                    rotating: None,
                }));
            }
        };
        self.index.find(&digest, |found| {
            let Some(key) = found else {
                return Ok(answer(Outcome {
                    verdict: decide(&Presented::Unknown),
                    key: None,
                    standing: None,
                    effective: None,
                    limits: &[],
                    credits: None,
                    rotating: None,
                }));
            };
            let was_complete = self.usage.counted && key.was_complete();
            key.with_effective(&self.index, ask.workspace, |standing, effective| {
                let spent = match decide(&Presented::Key(standing)) {
                    Verdict::Allowed => self.spend(key, &standing, demand, now)?,
                    denied @ Verdict::Denied(_) => Spent::nothing(denied),
                };
                if self.usage.counted {
                    self.count(key, &standing, ask, (spent.verdict, now, was_complete));
                }
                let may_tell = match spent.verdict {
                    Verdict::Allowed => true,
                    Verdict::Denied(reason) => reason.tells_identity(),
                };
                let rotating = key.rotating();
                let rotating =
                    rotating.and_then(|rotating| self.used(key, rotating, digest, spent.verdict));
                Ok(answer(Outcome {
                    verdict: spent.verdict,
                    key: Some(key).filter(|_| may_tell),
                    standing: Some(standing).filter(|_| may_tell),
                    effective: Some(effective).filter(|_| may_tell),
                    limits: &spent.limits,
                    credits: spent.credits,
                    rotating,
                }))
            })
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
        let denied = |reason| Spent::nothing(Verdict::Denied(reason));
        let Ok(mut limits) = limits_due(standing, demand) else {
            return Ok(denied(DenialReason::UnknownLimit));
        };
        let account = key.credits();
        if limits.is_empty() && account.is_none() {
            return Ok(Spent::nothing(Verdict::Allowed));
        }
        let stake = || account.map(|account| account.stake(now));
        let owners = owners(key, standing);
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

    /// Counts a check of `key`, unless the asker may not know of the key.
    fn count<'a, R>(
        &self,
        key: &IndexedKey,
        standing: &Standing<'_>,
        ask: &Ask<'a, R>,
        (verdict, now, was_complete): (Verdict, Timestamp, bool),
    ) where
        R: Iterator<Item = &'a str> + Clone,
    {
        let superseded =
            first_use::is_use(verdict) && key.rotating().is_some_and(Rotating::superseded);
        match verdict {
            Verdict::Allowed => {
                let asked = ask.source_address.filter(|_| self.usage.addresses);
                let used = Use {
                    time: now,
                    source: asked.and_then(source::address),
                    superseded,
                };
                let needed = || needed(&standing.scopes, ask.required_scopes.clone());
                key.count_use(used, was_complete, needed);
            }
            Verdict::Denied(reason) if reason.tells_identity() => {
                key.count_denial(reason, now, superseded);
            }
            Verdict::Denied(_) => {}
        }
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
    fn read(&self, credential: &[u8]) -> Result<TokenDigest, NoToken> {
        let mut scratch = Scratch::new();
        let token = credential::parse(credential, &mut scratch).map_err(|error| match error {
            CredentialError::Missing => NoToken::Nothing,
            CredentialError::Malformed => NoToken::Malformed,
        })?;
        match token::shape(token) {
            Shape::Native => Ok(self.hasher.digest(token)),
            // A typo: it was never issued, and nothing like it is imported.
            Shape::BadChecksum => Err(NoToken::Unknown),
            // Another product's token that was imported, or a credential of
            // some other system, such as a JWT.
            Shape::Foreign => self
                .index
                .foreign(&self.hasher, token)
                .ok_or(NoToken::Unknown),
        }
    }
}

/// The limits that count on the check: those of the key hide those of the same
/// name of its principal, and those the workspace's.
fn limits_due(standing: &Standing<'_>, demand: &Demand<'_>) -> Result<Vec<Reading>, UnknownLimit> {
    let own = (Source::Key, standing.limits);
    let default = (Source::Workspace, standing.default_limits);
    match standing.shared_limits {
        // What few principals have costs the keys of others nothing.
        None => due(&[own, default], &demand.limits),
        Some(shared) => {
            let shared = (Source::Principal, shared.limits);
            due(&[own, shared, default], &demand.limits)
        }
    }
}

/// Whose counts those limits are among.
fn owners(key: &IndexedKey, standing: &Standing<'_>) -> Owners {
    let owners = if standing.personal {
        Owners::of_personal_key(key.id(), standing.workspace_number)
    } else {
        Owners::of_key(key.id())
    };
    match standing.shared_limits {
        None => owners,
        Some(shared) => owners.sharing(shared.of, standing.workspace_number),
    }
}

/// What a credential is that is no token of keyward's.
#[derive(Clone, Copy)]
enum NoToken {
    Nothing,
    Malformed,
    Unknown,
}

impl From<NoToken> for Presented<'_> {
    fn from(credential: NoToken) -> Self {
        match credential {
            NoToken::Nothing => Self::Nothing,
            NoToken::Malformed => Self::Malformed,
            NoToken::Unknown => Self::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use super::*;
    use crate::domain::audit::{AuditAction, AuditEntry};
    use crate::domain::clock::{ManualClock, Timestamp};
    use crate::domain::digest::{HashAlgorithm, Pepper};
    use crate::domain::id::KeyId;
    use crate::domain::import::{Imported, ImportedForm};
    use crate::domain::key::Key;
    use crate::domain::key_draft::KeyDraft;
    use crate::domain::limit::LimitDraft;
    use crate::domain::principal::{Membership, PrincipalDraft};
    use crate::domain::scope::{Scope, ScopeSet};
    use crate::domain::secret::Secret;
    use crate::domain::token::{Token, TokenPrefix};
    use crate::domain::workspace::WorkspaceDraft;
    use crate::index::follower;
    use crate::meter::clock::SystemBootClock;
    use crate::service::credits::Reserver;
    use crate::store::local::MemoryStore;
    use crate::store::{Batch, Expect, Record, Revision, Store, Write};

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
            source_address: Some("10.0.0.1"),
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

    /// The tokens of four keys: one without limits, one with a limit that always
    /// counts, and two whose principals have one that always counts, and one
    /// that does not.
    #[expect(clippy::too_many_lines, reason = "it makes one thing after the other")]
    async fn four_keys(store: &MemoryStore, index: &Index, pepper: &Pepper) -> [String; 4] {
        let now = Timestamp::from_micros(1);
        let workspace = WorkspaceDraft {
            id: "kling".to_owned(),
            token_prefix: "klg".to_owned(),
            ..WorkspaceDraft::default()
        };
        let workspace = workspace.build("adm".to_owned(), now).unwrap();
        commit(store, Record::Workspace(workspace.clone())).await;
        let limit = |always| LimitDraft {
            name: "all".to_owned(),
            count: 1_000,
            window: Duration::from_secs(60),
            always,
        };
        for (id, limits) in [
            ("user:ada", vec![]),
            ("user:bob", vec![limit(true)]),
            ("user:eve", vec![limit(false)]),
        ] {
            let principal = PrincipalDraft {
                id: id.to_owned(),
                limits,
                ..PrincipalDraft::default()
            };
            let principal = principal.build("adm".to_owned(), now).unwrap();
            commit(store, Record::Principal(principal)).await;
            let membership = Membership {
                workspace: workspace.id.clone(),
                principal: id.to_owned(),
                scope_ceiling: ScopeSet::new([Scope::try_from("*").unwrap()]),
                create_time: now,
                created_by: "adm".to_owned(),
                removal: None,
            };
            commit(store, Record::Membership(membership)).await;
        }
        let mut tokens = Vec::new();
        for (principal, limits) in [
            ("user:ada", vec![]),
            ("user:ada", vec![limit(true)]),
            ("user:bob", vec![]),
            ("user:eve", vec![]),
        ] {
            let draft = KeyDraft {
                principal: principal.to_owned(),
                name: "a key".to_owned(),
                limits,
                ..KeyDraft::default()
            };
            let spec = draft.check(&workspace, now).unwrap();
            let token = Token::mint(&workspace.token_prefix, None);
            let secret = Secret {
                digest: pepper.token_hasher().digest(token.expose().as_bytes()),
                tail: token.tail(),
                create_time: now,
                pepper_id: pepper.id(),
                end: None,
                imported: None,
            };
            let key = Key {
                id: KeyId::generate(now),
                bond: spec.bond,
                environment: spec.environment,
                principal: draft.principal,
                name: draft.name,
                description: draft.description,
                scopes: spec.scopes,
                metadata: draft.metadata,
                // Another product's token stands for the key, too.
                secrets: vec![imported(&secret, pepper, tokens.len()), secret],
                create_time: now,
                created_by: "adm".to_owned(),
                expire_time: None,
                disabled: false,
                revocation: None,
                limits: spec.limits,
                source_addresses: spec.source_addresses,
            };
            let revision = commit(store, Record::Key(key)).await;
            index.reached(revision).await.unwrap();
            tokens.push(token.expose().to_owned());
        }
        tokens.try_into().unwrap()
    }

    /// What is kept of a token that was imported.
    fn imported(secret: &Secret, pepper: &Pepper, number: usize) -> Secret {
        let token = format!("{OTHERS}{number}");
        let hasher = pepper.token_hasher();
        Secret {
            digest: hasher.foreign(HashAlgorithm::Blake3, token.as_bytes()),
            imported: Some(Imported {
                form: ImportedForm::Blake3,
                hint: "".into(),
            }),
            ..secret.clone()
        }
    }

    /// How the tokens of another product start.
    const OTHERS: &str = "3fa85f64-5717-4562-b3fc-2c963f66afa6";

    async fn commit(store: &MemoryStore, record: Record) -> Revision {
        let audit = AuditEntry {
            workspace: None,
            time: Timestamp::from_micros(1),
            actor: "adm".to_owned(),
            action: AuditAction::CreateKey,
            resource: String::new(),
            detail: BTreeMap::new(),
        };
        let batch = Batch {
            writes: vec![Write {
                record,
                expect: Expect::Absent,
            }],
            requires: Vec::new(),
            audit,
            beside: None,
        };
        store.commit(batch).await.unwrap()
    }

    #[test]
    fn a_check_on_which_no_limit_counts_allocates_nothing_and_opens_no_account() {
        let pepper = Pepper::generate();
        let clock: Arc<dyn Clock> = Arc::new(ManualClock::at(Timestamp::from_micros(1)));
        let store = MemoryStore::in_memory(&pepper, Arc::clone(&clock)).unwrap();
        let index = follower::start(&store).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let tokens = runtime.block_on(four_keys(&store, &index, &pepper));
        let [without, with, shared, unnamed] = tokens;
        let meter = Meter::start(Arc::new(SystemBootClock)).unwrap();
        let store = Arc::new(store);
        let (desk, _reserver) = Reserver::new(store, Arc::clone(&index), Arc::clone(&clock));
        let checker = Checker::new(index, pepper.token_hasher(), clock, meter.clone(), desk);
        let ask = Ask {
            workspace: Some("kling"),
            environment: None,
            required_scopes: std::iter::empty(),
            source_address: None,
        };
        let allocations = |token: &str| {
            let check = || {
                let demand = Demand::default();
                let allowed = checker.check(token.as_bytes(), &ask, &demand, |outcome| {
                    outcome.verdict == Verdict::Allowed
                });
                assert!(allowed.unwrap());
            };
            // The first look sets up this thread's part of the maps.
            check();
            allocation_counter::measure(check).count_total
        };
        assert_eq!((allocations(&without), meter.owners()), (0, 0));
        assert_eq!((allocations(&unnamed), meter.owners()), (0, 0));
        assert_eq!((allocations(&format!("{OTHERS}0")), meter.owners()), (0, 0));
        let unknown = format!("Bearer {OTHERS}x");
        let denied = || {
            let demand = Demand::default();
            let denied = checker.check(unknown.as_bytes(), &ask, &demand, |outcome| {
                outcome.verdict == Verdict::Denied(DenialReason::Unknown)
            });
            assert!(denied.unwrap());
        };
        assert_eq!(allocation_counter::measure(denied).count_total, 0);
        // One list of what counts, and nothing else.
        assert_eq!((allocations(&with), meter.owners()), (1, 1));
        assert_eq!((allocations(&shared), meter.owners()), (1, 2));
    }
}
