//! Limits go by a clock that nobody sets: a wall clock that jumps neither locks
//! out nor lets more pass.

use std::sync::Arc;
use std::time::Duration;

use keyward::domain::clock::{Clock, ManualClock, Timestamp};
use keyward::domain::due::Demand;
use keyward::domain::key::Key;
use keyward::domain::limit::{Limit, LimitSet, Window};
use keyward::domain::secret::Secret;
use keyward::domain::token::Token;
use keyward::domain::verdict::{Ask, DenialReason, Verdict};
use keyward::domain::window::Moment;
use keyward::index::follower;
use keyward::meter::Meter;
use keyward::meter::clock::ManualBootClock;
use keyward::service::checker::Checker;
use keyward::service::credits::Reserver;
use keyward::store::local::MemoryStore;
use keyward::store::{Record, Store};

use crate::records;

const MINUTE: u64 = 60;
const YEAR: u64 = 365 * 24 * 60 * MINUTE;

/// A checker that knows one key with a limit of two a minute, and both of its
/// clocks.
struct Subject {
    checker: Checker,
    token: String,
    wall: Arc<ManualClock>,
    boot: Arc<ManualBootClock>,
    /// Keeps the index fed.
    _store: Arc<MemoryStore>,
}

impl Subject {
    fn new() -> Self {
        let (pepper, workspace) = (records::pepper(), records::workspace("kling"));
        let wall = Arc::new(ManualClock::at(at(50 * YEAR)));
        let clock: Arc<dyn Clock> = wall.clone();
        let store = MemoryStore::in_memory(&pepper, Arc::clone(&clock)).unwrap();
        let store = Arc::new(store);
        let index = follower::start(&*store).unwrap();
        let mark = workspace.default_environment.as_ref();
        let token = Token::mint(&workspace.token_prefix, mark);
        let secret = Secret {
            digest: pepper.token_hasher().digest(token.expose().as_bytes()),
            ..records::secret(1)
        };
        let key = Key {
            secrets: vec![secret],
            limits: LimitSet::new([Limit {
                name: "read".parse().unwrap(),
                count: 2,
                window: Window::from_secs(60).unwrap(),
                always: true,
            }]),
            ..records::key(&workspace, 1)
        };
        records::block_on(async {
            let workspace = records::create(Record::Workspace(workspace));
            store.commit(workspace).await.unwrap();
            let revision = store.commit(records::issue(key)).await;
            index.reached(revision.unwrap()).await.unwrap();
        });
        let boot = Arc::new(ManualBootClock::at(moment(MINUTE)));
        let meter = Meter::start(boot.clone()).unwrap();
        let reserving: Arc<dyn Store> = store.clone();
        let (desk, _) = Reserver::new(reserving, Arc::clone(&index), Arc::clone(&clock));
        Self {
            checker: Checker::new(index, pepper.token_hasher(), clock, meter, desk),
            token: token.expose().to_owned(),
            wall,
            boot,
            _store: store,
        }
    }

    fn verdict(&self) -> Verdict {
        let ask = Ask {
            workspace: None,
            environment: None,
            required_scopes: std::iter::empty(),
            source_address: None,
        };
        let credential = self.token.as_bytes();
        let demand = Demand::default();
        let checked = self
            .checker
            .check(credential, &ask, &demand, |outcome| outcome.verdict);
        checked.unwrap()
    }
}

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_micros(seconds * 1_000_000)
}

fn moment(seconds: u64) -> Moment {
    Moment::from_micros(seconds * 1_000_000)
}

#[test]
fn a_wall_clock_that_jumps_neither_locks_out_nor_opens() {
    const USED_UP: Verdict = Verdict::Denied(DenialReason::RateLimited);
    let subject = Subject::new();
    for round in 1..=3 {
        let start = round * 10 * MINUTE;
        subject.boot.set(moment(start));
        assert_eq!(subject.verdict(), Verdict::Allowed);
        subject.wall.set(at(10 * YEAR));
        assert_eq!(subject.verdict(), Verdict::Allowed);
        for jump in [0, 1, 50 * YEAR, 50 * YEAR + 61, 90 * YEAR, 200 * YEAR] {
            subject.wall.set(at(jump));
            assert_eq!(subject.verdict(), USED_UP, "{jump}");
        }
        // It stays where it is, and a window passes by the other clock.
        let slice = Duration::from_micros(60_000_000 / 64);
        let window = moment(start).saturating_add(Duration::from_secs(60));
        subject.boot.set(window);
        assert_eq!(subject.verdict(), USED_UP);
        subject.boot.set(window.saturating_add(slice));
        assert_eq!(subject.verdict(), Verdict::Allowed);
    }
}
