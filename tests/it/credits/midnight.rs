//! The turn of a day, for many keys at once: each has its first block of what
//! the day brings, by few commits, and at a stop gives it back by as few.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use keyward::domain::clock::{ManualClock, Timestamp};
use keyward::domain::credits::{Balance, Credits, Period, Refill};
use keyward::domain::digest::Pepper;
use keyward::domain::due::Demand;
use keyward::domain::key::Key;
use keyward::domain::secret::Secret;
use keyward::domain::token::Token;
use keyward::domain::verdict::{Ask, Verdict};
use keyward::domain::workspace::Workspace;
use keyward::index::{Index, follower};
use keyward::meter::Meter;
use keyward::meter::clock::SystemBootClock;
use keyward::service::checker::Checker;
use keyward::service::credits::{Desk, Reserver, Wait, until_decided};
use keyward::store::{Expect, Record, Store, Write};
use tokio::task::JoinSet;

use super::contested::{CHUNK, Contested, free};
use crate::records::{self, Disk};
use crate::support::count;

const DAY: u64 = 24 * 60 * 60 * 1_000_000;
const EVENING: Timestamp = Timestamp::from_micros(20_700 * DAY - 1_000_000);
pub(super) const MIDNIGHT: Timestamp = Timestamp::from_micros(20_700 * DAY);

/// Whose keys they are.
const ADA: &str = "user:ada";

/// How much each is given at midnight.
const AMOUNT: u64 = 1_000;

/// How many keys are written by one commit.
const BATCH: usize = 50;

/// Far more than a machine that does nothing else needs.
const PATIENCE: Duration = Duration::from_secs(600);

/// A store on disk with keys that are filled each day, and nothing before that.
pub(super) struct Night {
    _disk: Disk,
    pub(super) clock: Arc<ManualClock>,
    pub(super) store: Arc<dyn Store>,
    pub(super) index: Arc<Index>,
    pepper: Pepper,
    pub(super) tokens: Vec<String>,
}

impl Night {
    pub(super) async fn of(keys: u64) -> Self {
        let disk = tokio::task::spawn_blocking(Disk::with_store).await.unwrap();
        let clock = Arc::new(ManualClock::at(EVENING));
        let opened = tokio::task::block_in_place(|| disk.home.open(clock.clone()));
        let (store, pepper) = opened.unwrap();
        let store: Arc<dyn Store> = Arc::new(store);
        let index = tokio::task::block_in_place(|| follower::start(&*store).unwrap());
        let mut night = Self {
            _disk: disk,
            clock,
            store,
            index,
            pepper,
            tokens: Vec::new(),
        };
        night.issue(keys).await;
        night
    }

    async fn issue(&mut self, keys: u64) {
        let workspace = records::workspace("kling");
        let first = records::create(Record::Workspace(workspace.clone()));
        self.store.commit(first).await.unwrap();
        let first = Key {
            principal: ADA.to_owned(),
            ..records::key(&workspace, 1)
        };
        self.store.commit(records::issue(first)).await.unwrap();
        let mut commits = JoinSet::new();
        for chunk in (2..keys + 2).collect::<Vec<_>>().chunks(BATCH) {
            let mut batch = records::create(Record::Workspace(workspace.clone()));
            batch.writes.clear();
            for number in chunk {
                let token = Token::mint(&workspace.token_prefix, None);
                batch.writes.extend(self.key(&workspace, *number, &token));
                self.tokens.push(token.expose().to_owned());
            }
            let store = Arc::clone(&self.store);
            commits.spawn(async move { store.commit(batch).await.unwrap() });
        }
        let newest = commits.join_all().await.into_iter().max().unwrap();
        self.index.reached(newest).await.unwrap();
    }

    /// What checks its keys, and asks at `desk`.
    pub(super) fn checker(&self, desk: Desk) -> Checker {
        let meter = Meter::start(Arc::new(SystemBootClock)).unwrap();
        let (index, hasher) = (Arc::clone(&self.index), self.pepper.token_hasher());
        Checker::new(index, hasher, self.clock.clone(), meter, desk)
    }

    /// A key with its credits.
    fn key(&self, workspace: &Workspace, number: u64, token: &Token) -> [Write; 2] {
        let secret = Secret {
            digest: self.pepper.token_hasher().digest(token.expose().as_bytes()),
            tail: token.tail(),
            ..records::secret(number)
        };
        let key = Key {
            secrets: vec![secret],
            principal: ADA.to_owned(),
            ..records::key(workspace, number)
        };
        let refill = Refill {
            period: Period::Day,
            amount: AMOUNT,
        };
        let credits = Credits {
            key: key.id,
            generation: 1,
            balance: Some(Balance::new(0, Some(refill), EVENING)),
        };
        [Record::Credits(credits), Record::Key(key)].map(|record| Write {
            record,
            expect: Expect::Absent,
        })
    }
}

pub(super) fn check(checker: &Checker, token: &str) -> Result<Verdict, Wait> {
    let ask = Ask {
        workspace: Some("kling"),
        environment: None,
        required_scopes: std::iter::empty(),
        source_address: None,
    };
    checker.check(token.as_bytes(), &ask, &Demand::default(), |outcome| {
        outcome.verdict
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn at_midnight_all_keys_have_their_block_by_few_commits() {
    let number = count("KEYWARD_MIDNIGHT_KEYS", 3_000);
    let night = Night::of(number as u64).await;
    let counted = Contested::over(&night.store);
    let commits = || counted.tried.swap(0, Ordering::SeqCst);
    let store: Arc<dyn Store> = Arc::<Contested>::clone(&counted);
    let (desk, reserver) = Reserver::new(store, Arc::clone(&night.index), night.clock.clone());
    let checker = night.checker(desk);

    night.clock.set(MIDNIGHT);
    let begin = Instant::now();
    let mut waiting = JoinSet::new();
    for token in night.tokens.clone() {
        let wait = check(&checker, &token).expect_err("nothing is in hand");
        let checker = checker.clone();
        waiting.spawn(async move {
            let deadline = tokio::time::Instant::now() + PATIENCE;
            let verdict = until_decided(wait, deadline, || check(&checker, &token)).await;
            assert_eq!(verdict, Ok(Verdict::Allowed));
        });
    }
    let asked = begin.elapsed();
    // Only then, so that it is certain how many ask at once.
    let reserving = reserver.start();
    assert_eq!(waiting.join_all().await.len(), number);
    let took = begin.elapsed();
    println!("{number} keys had their block {took:?} after midnight; to ask took {asked:?}");
    assert_eq!(commits(), number.div_ceil(CHUNK));

    let begin = Instant::now();
    reserving
        .give_back(tokio::time::Instant::now() + PATIENCE)
        .await;
    println!("all of it was given back in {:?}", begin.elapsed());
    assert_eq!(commits(), number.div_ceil(CHUNK));
    // Each has used up one.
    assert_eq!(free(&night), number as u64 * (AMOUNT - 1));
    tokio::task::block_in_place(|| night.store.close());
}
