//! Credits where a commit of many accounts does not go through: one that was
//! changed meanwhile holds up no other, and a store that does not answer holds
//! up no stop.

use std::fmt;
use std::future::pending;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use keyward::domain::audit::{AuditEvent, AuditLog};
use keyward::domain::credits::{Balance, Credits};
use keyward::domain::digest::StoreId;
use keyward::domain::usage::Usage;
use keyward::domain::verdict::Verdict;
use keyward::index::credits::CreditAccount;
use keyward::service::credits::{Reserver, until_decided};
use keyward::store::{
    Batch, BoxFuture, Commits, Expect, List, OpenError, Record, RecordId, Revision, Snapshot,
    Store, StoreError, StoreHealth, Versioned, Write,
};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::midnight::{MIDNIGHT, Night, check};
use crate::records;

/// How many accounts are in one commit.
const CHUNK: usize = 512;

/// A store that others change in the moment before a commit of accounts.
struct Contested {
    inner: Arc<dyn Store>,
    /// What is changed before the next commits, each before one.
    changes: Mutex<Vec<Batch>>,
    /// Whether commits of accounts never end.
    hangs: AtomicBool,
    /// How many were tried.
    tried: AtomicUsize,
}

impl Contested {
    fn over(inner: &Arc<dyn Store>) -> Arc<Self> {
        Arc::new(Self {
            inner: Arc::clone(inner),
            changes: Mutex::default(),
            hangs: AtomicBool::new(false),
            tried: AtomicUsize::new(0),
        })
    }
}

impl fmt::Debug for Contested {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Contested(..)")
    }
}

impl Store for Contested {
    fn id(&self) -> StoreId {
        self.inner.id()
    }

    fn snapshot(&self) -> Result<Snapshot, OpenError> {
        self.inner.snapshot()
    }

    fn follow(&self, after: Revision) -> Result<Commits, StoreError> {
        self.inner.follow(after)
    }

    fn commit(&self, batch: Batch) -> BoxFuture<'_, Result<Revision, StoreError>> {
        self.inner.commit(batch)
    }

    fn reserve(
        &self,
        accounts: Vec<Versioned<Credits>>,
    ) -> BoxFuture<'_, Result<Revision, StoreError>> {
        self.tried.fetch_add(1, Ordering::SeqCst);
        let change = self.changes.lock().unwrap().pop();
        Box::pin(async move {
            if self.hangs.load(Ordering::SeqCst) {
                pending().await
            }
            if let Some(change) = change {
                self.inner.commit(change).await?;
            }
            self.inner.reserve(accounts).await
        })
    }

    fn note_usage(&self, usages: Vec<Usage>) -> BoxFuture<'_, Result<Revision, StoreError>> {
        self.inner.note_usage(usages)
    }

    fn get(&self, id: &RecordId) -> Result<Option<Versioned>, StoreError> {
        self.inner.get(id)
    }

    fn list(
        &self,
        list: &List,
        after: Option<&RecordId>,
        limit: usize,
    ) -> Result<Vec<Versioned>, StoreError> {
        self.inner.list(list, after, limit)
    }

    fn audit(
        &self,
        log: &AuditLog,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Vec<AuditEvent>, StoreError> {
        self.inner.audit(log, before, limit)
    }

    fn health(&self) -> watch::Receiver<StoreHealth> {
        self.inner.health()
    }

    fn close(&self) {
        self.inner.close();
    }
}

/// The change of one account, as an operator makes it: what is in hand is void.
fn touched(night: &Night, account: &CreditAccount) -> Batch {
    let id = RecordId::Credits(account.key());
    let found = night.store.get(&id).unwrap().unwrap();
    let Record::Credits(credits) = found.record else {
        panic!("{id} are credits");
    };
    let balance = credits.balance.unwrap();
    let next = Credits {
        generation: credits.generation + 1,
        balance: Some(Balance {
            reserved: 0,
            ..balance
        }),
        ..credits
    };
    let mut batch = records::create(Record::Workspace(records::workspace("kling")));
    batch.writes = vec![Write {
        record: Record::Credits(next),
        expect: Expect::At(found.revision),
    }];
    batch
}

/// What is stored as free, of all accounts.
fn free(night: &Night) -> u64 {
    let accounts = night.index.all_credits();
    let free = accounts.iter().map(|account| {
        let found = night.store.get(&RecordId::Credits(account.key())).unwrap();
        let Record::Credits(credits) = found.unwrap().record else {
            panic!("these are credits");
        };
        credits.balance.unwrap().free
    });
    free.sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_was_changed_holds_up_no_other() {
    const CHANGED: usize = 3;
    let night = Night::of(CHUNK as u64).await;
    let store = Contested::over(&night.store);
    let (contested, index) = (Arc::<Contested>::clone(&store), Arc::clone(&night.index));
    let (desk, reserver) = Reserver::new(contested, index, night.clock.clone());
    let checker = night.checker(desk);
    night.clock.set(MIDNIGHT);
    let accounts = night.index.all_credits();
    let change = |from: usize| -> Vec<_> {
        let some = accounts[from..].iter().step_by(7).take(CHANGED);
        some.map(|account| touched(&night, account)).collect()
    };
    *store.changes.lock().unwrap() = change(5);

    let mut waiting = JoinSet::new();
    for token in night.tokens.clone() {
        let wait = check(&checker, &token).expect_err("nothing is in hand");
        let checker = checker.clone();
        waiting.spawn(async move {
            let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
            let verdict = until_decided(wait, deadline, || check(&checker, &token)).await;
            assert_eq!(verdict, Ok(Verdict::Allowed));
        });
    }
    // All of them are at the desk, and so in one commit.
    let reserving = reserver.start();
    assert_eq!(waiting.join_all().await.len(), CHUNK);
    // Each time one is left out, then the rest goes through, and those after it.
    let tried = store.tried.load(Ordering::SeqCst);
    assert!((CHANGED + 2..30).contains(&tried), "{tried} commits");
    // Each has a tenth of 1,000 in hand, of which it has used one.
    assert_eq!(free(&night), CHUNK as u64 * 900);

    *store.changes.lock().unwrap() = change(2);
    let before = store.tried.load(Ordering::SeqCst);
    let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
    reserving.give_back(deadline).await;
    let tried = store.tried.load(Ordering::SeqCst) - before;
    assert!((CHANGED + 1..30).contains(&tried), "{tried} commits");
    // The block of each that was changed is void; no other is lost.
    let given_back = (CHUNK - CHANGED) as u64 * 999 + CHANGED as u64 * 900;
    assert_eq!(free(&night), given_back);
    tokio::task::block_in_place(|| night.store.close());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_does_not_answer_holds_up_no_stop() {
    let night = Night::of(CHUNK as u64).await;
    let store = Contested::over(&night.store);
    let (contested, index) = (Arc::<Contested>::clone(&store), Arc::clone(&night.index));
    let (desk, reserver) = Reserver::new(contested, index, night.clock.clone());
    let checker = night.checker(desk);
    night.clock.set(MIDNIGHT);
    let reserving = reserver.start();
    let [token, other, ..] = night.tokens.as_slice() else {
        panic!("there are many");
    };
    let wait = check(&checker, token).expect_err("nothing is in hand");
    let patience = Duration::from_secs(60);
    let deadline = tokio::time::Instant::now() + patience;
    let verdict = until_decided(wait, deadline, || check(&checker, token)).await;
    assert_eq!(verdict, Ok(Verdict::Allowed));

    store.hangs.store(true, Ordering::SeqCst);
    // One block is on its way, and another is in hand.
    check(&checker, other).expect_err("nothing is in hand");
    let begin = Instant::now();
    tokio::time::timeout(patience, reserving.give_back(begin.into()))
        .await
        .expect("a stop is bounded");
    // There is a little time even if calls under way took all of it.
    let took = begin.elapsed();
    let bounds = Duration::from_secs(2)..Duration::from_secs(20);
    assert!(bounds.contains(&took), "{took:?}");
    tokio::task::block_in_place(|| night.store.close());
}
