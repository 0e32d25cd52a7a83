//! Credits where the next block is slow to come, or the period turns: a server
//! in this process, with a clock and a reserver that the test has in its hand.

use std::sync::Arc;
use std::time::{Duration, Instant};

use keyward::config::listener::ConnectionLimits;
use keyward::domain::clock::{Clock, ManualClock, Timestamp};
use keyward::domain::credits::{Balance, Credits, Period, Refill};
use keyward::domain::digest::Pepper;
use keyward::domain::key::Key;
use keyward::domain::secret::Secret;
use keyward::domain::token::Token;
use keyward::edge::drain::Drain;
use keyward::edge::ext_authz::{AuthorizationService, UndecidedAnswer};
use keyward::edge::gateway::{Gateway, IdentityHeaders};
use keyward::edge::listener::Bound;
use keyward::edge::pb::key_check_client::KeyCheckClient;
use keyward::edge::pb::{CheckBatchRequest, CheckStreamRequest, DenialReason, UndecidedReason};
use keyward::edge::protocol::Protocols;
use keyward::edge::server::{self, Door};
use keyward::index::follower;
use keyward::meter::Meter;
use keyward::meter::clock::SystemBootClock;
use keyward::service::checker::Checker;
use keyward::service::credits::{Reserver, Reserving};
use keyward::store::local::MemoryStore;
use keyward::store::{Expect, Record, Store, Write};
use tokio::sync::watch;
use tokio_stream::StreamExt;
use tonic::{Code, Request};
use tonic_health::server::HealthReporter;
use tonic_types::StatusExt;

use crate::ext_authz::{Answer, Ask, Envoy};
use crate::records;
use crate::support::{self, Checks, check_request, undecided_of, verdict_of};

const DAY: u64 = 24 * 60 * 60 * 1_000_000;
const NOON: Timestamp = Timestamp::from_micros(20_000 * DAY + DAY / 2);

/// A server whose reserver does not run before it is told to.
struct Stage {
    store: Arc<MemoryStore>,
    pepper: Pepper,
    clock: Arc<ManualClock>,
    reserver: Option<Reserver>,
    reserving: Option<Reserving>,
    checks: Checks,
    envoy: Envoy,
    stop: watch::Sender<bool>,
    keys: u64,
}

impl Stage {
    async fn open() -> Self {
        Self::open_with(ConnectionLimits::default(), UndecidedAnswer::default()).await
    }

    async fn open_with(limits: ConnectionLimits, undecided: UndecidedAnswer) -> Self {
        let pepper = Pepper::generate();
        let clock = Arc::new(ManualClock::at(NOON));
        let wall: Arc<dyn Clock> = clock.clone();
        let store = MemoryStore::in_memory(&pepper, Arc::clone(&wall)).unwrap();
        let store = Arc::new(store);
        let loading = Arc::clone(&store);
        let index = tokio::task::spawn_blocking(move || follower::start(&*loading).unwrap())
            .await
            .unwrap();
        let reserving: Arc<dyn Store> = store.clone();
        let (desk, reserver) = Reserver::new(reserving, Arc::clone(&index), Arc::clone(&wall));
        let meter = Meter::start(Arc::new(SystemBootClock)).unwrap();
        let checker = Checker::new(index, pepper.token_hasher(), wall, meter, desk);
        let workspace = Record::Workspace(records::workspace("kling"));
        store.commit(records::create(workspace)).await.unwrap();
        let (stop, stopping) = watch::channel(false);
        let drain = Drain {
            stop: stopping,
            grace: Duration::from_secs(1),
        };
        let gateway = Gateway::new(checker.clone(), IdentityHeaders::default());
        let authorization = AuthorizationService::new(gateway, undecided);
        let health = HealthReporter::new();
        let plane = server::check_plane(checker, authorization, health, false).unwrap();
        let bound = Bound::bind(&"127.0.0.1:0".parse().unwrap()).unwrap();
        let address = format!("http://{}", bound.address());
        let door = Door::new("check", bound, Protocols::Grpc, None, limits);
        drop(server::serve_on_threads((door, &plane), None, 1, &drain).unwrap());
        let channel = support::connect(&address).await;
        let client = KeyCheckClient::new(channel.clone());
        Self {
            envoy: Envoy::over(channel),
            store,
            pepper,
            clock,
            reserver: Some(reserver),
            reserving: None,
            checks: Checks { client },
            stop,
            keys: 0,
        }
    }

    /// A token of a new key with these credits.
    async fn token(&mut self, balance: Option<Balance>) -> String {
        let workspace = records::workspace("kling");
        let environment = workspace.default_environment.as_ref();
        let token = Token::mint(&workspace.token_prefix, environment);
        self.keys += 1;
        let secret = Secret {
            digest: self.pepper.token_hasher().digest(token.expose().as_bytes()),
            pepper_id: self.pepper.id(),
            tail: token.tail(),
            ..records::secret(self.keys)
        };
        let key = Key {
            secrets: vec![secret],
            ..records::key(&workspace, self.keys)
        };
        let credits = balance.map(|balance| Write {
            record: Record::Credits(Credits {
                key: key.id,
                generation: 1,
                balance: Some(balance),
            }),
            expect: Expect::Absent,
        });
        let mut batch = records::issue(key);
        batch.writes.splice(..0, credits);
        let revision = self.store.commit(batch).await.unwrap();
        assert!(revision.0 > 0);
        // Followers are told before the commit is; a moment, and it is there.
        let mut checks = self.checks.clone();
        let known = check_request(token.expose(), &["no:such"]);
        for _ in 0..10_000 {
            let denied = checks.ask(known.clone()).await.unwrap_err();
            if denied.reason() == DenialReason::InsufficientScope {
                return token.expose().to_owned();
            }
        }
        panic!("the key was not indexed")
    }

    fn reserve(&mut self) {
        let reserver = self.reserver.take().unwrap();
        self.reserving = Some(reserver.start());
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.stop.send_replace(true);
    }
}

fn daily(free: u64, amount: u64) -> Option<Balance> {
    let refill = Refill {
        period: Period::Day,
        amount,
    };
    Some(Balance::new(free, Some(refill), NOON))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_waits_for_its_block_and_no_longer_than_its_caller() {
    let mut stage = Stage::open().await;
    let slow = stage.token(Some(Balance::new(5, None, NOON))).await;
    let other = stage.token(None).await;
    let mut checks = stage.checks.clone();

    // The caller's deadline comes first.
    let mut request = Request::new(check_request(&slow, &[]));
    request.set_timeout(Duration::from_millis(300));
    let begin = Instant::now();
    let status = checks.client.check(request).await.unwrap_err();
    assert!(
        [Code::DeadlineExceeded, Code::Cancelled].contains(&status.code()),
        "{status:?}"
    );
    assert!(
        begin.elapsed() < Duration::from_secs(2),
        "{:?}",
        begin.elapsed()
    );

    // Then the server's own. Others are not held up.
    let begin = Instant::now();
    let mut waiting = checks.clone();
    let question = check_request(&slow, &[]);
    let waits = tokio::spawn(async move { waiting.client.check(question).await });
    for _ in 0..50 {
        assert!(checks.header(&other, &[]).await.is_ok());
    }
    assert!(!waits.is_finished(), "others are answered meanwhile");
    let status = waits.await.unwrap().unwrap_err();
    assert_eq!(status.code(), Code::Unavailable, "{status:?}");
    let info = status.get_details_error_info().unwrap();
    assert_eq!(info.reason, "CREDITS_UNAVAILABLE");
    let waited = begin.elapsed();
    assert!(waited >= Duration::from_millis(2_900), "{waited:?}");
    assert!(waited < Duration::from_secs(6), "{waited:?}");

    // A block that comes in time is waited for.
    let mut waiting = checks.clone();
    let question = check_request(&slow, &[]);
    let waits = tokio::spawn(async move { waiting.client.check(question).await });
    tokio::time::sleep(Duration::from_millis(200)).await;
    stage.reserve();
    let verdict = support::verdict(waits.await.unwrap().unwrap().into_inner());
    assert_eq!(verdict.unwrap().credits.unwrap().remaining, 4);
    for remaining in [3, 2, 1, 0] {
        let allowed = checks.header(&slow, &[]).await.unwrap();
        assert_eq!(allowed.credits.unwrap().remaining, remaining);
    }
    assert_eq!(checks.denial(&slow).await, DenialReason::CreditsExhausted);
}

/// Envoy waits as everybody does, and is told in one of two ways that there is no
/// verdict.
#[tokio::test(flavor = "multi_thread")]
async fn envoy_is_told_that_there_is_no_verdict() {
    for undecided in [UndecidedAnswer::Unavailable, UndecidedAnswer::ErrorResponse] {
        let mut stage = Stage::open_with(ConnectionLimits::default(), undecided).await;
        let slow = stage.token(Some(Balance::new(2, None, NOON))).await;
        let other = stage.token(None).await;
        let mut envoy = stage.envoy.clone();
        let question = Ask::bearer(&slow).on(&[("cost", "2")]);

        let (mut waiting, asked) = (envoy.clone(), question.clone());
        let waits = tokio::spawn(async move { waiting.ask(&asked).await });
        for _ in 0..20 {
            let answer = envoy.ask(&Ask::bearer(&other)).await.unwrap();
            assert!(matches!(answer, Answer::Allowed(_)), "{answer:?}");
        }
        // Whoever gives it less time than the server's own is told within that.
        let deadline = Duration::from_secs(2);
        let in_time = envoy.ask_within(&question, deadline).await;
        for answer in [in_time, waits.await.unwrap()] {
            match (answer, undecided) {
                (Err(status), UndecidedAnswer::Unavailable) => {
                    assert_eq!(status.code(), Code::Unavailable, "{status:?}");
                    let info = status.get_details_error_info().unwrap();
                    assert_eq!(info.reason, "CREDITS_UNAVAILABLE");
                }
                (Ok(Answer::Failed(told)), UndecidedAnswer::ErrorResponse) => {
                    assert_eq!((told.code, told.status), (Code::Unavailable, 503));
                    assert_eq!(told.headers["retry-after"], "1");
                    assert!(told.body.contains("unavailable"), "{}", told.body);
                    assert!(!told.told.contains_key("key_id"));
                }
                (other, _) => panic!("{other:?}"),
            }
        }

        // A block that comes in time is waited for, and spent once.
        let (mut waiting, asked) = (envoy.clone(), question.clone());
        let waits = tokio::spawn(async move { waiting.ask(&asked).await });
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert!(!waits.is_finished());
        stage.reserve();
        let answer = waits.await.unwrap().unwrap();
        assert!(matches!(answer, Answer::Allowed(_)), "{answer:?}");
        match envoy.ask(&question).await.unwrap() {
            Answer::Denied(told) => assert_eq!(told.told["reason"], "CREDITS_EXHAUSTED"),
            other @ (Answer::Allowed(_) | Answer::Failed(_)) => panic!("{other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_in_a_batch_waits_at_the_same_time() {
    let mut stage = Stage::open().await;
    let slow = stage.token(Some(Balance::new(5, None, NOON))).await;
    let other = stage.token(None).await;
    let checks = [&slow, &other, &slow, &slow, &other];
    let request = CheckBatchRequest {
        checks: checks.map(|token| check_request(token, &[])).to_vec(),
    };
    let begin = Instant::now();
    let reply = stage.checks.client.check_batch(request).await.unwrap();
    let waited = begin.elapsed();
    assert!(waited < Duration::from_secs(6), "{waited:?}");
    for (result, token) in reply.into_inner().results.into_iter().zip(checks) {
        if *token == other {
            assert!(verdict_of(result).is_ok());
        } else {
            assert_eq!(undecided_of(result), UndecidedReason::CreditsUnavailable);
        }
    }
}

/// What was judged of a batch, and spent, reaches a caller who has not the time
/// that others would wait; and all of it comes in the order of the questions.
#[tokio::test(flavor = "multi_thread")]
async fn what_waits_in_a_batch_keeps_nothing_from_its_caller() {
    let mut stage = Stage::open().await;
    let slow = stage.token(Some(Balance::new(5, None, NOON))).await;
    let other = stage.token(None).await;
    let checks = [&slow, &other, &slow, &slow, &other];
    let batch = CheckBatchRequest {
        checks: checks.map(|token| check_request(token, &[])).to_vec(),
    };
    let mut request = Request::new(batch.clone());
    request.set_timeout(Duration::from_secs(3));
    let reply = stage.checks.client.check_batch(request).await.unwrap();
    for (result, token) in reply.into_inner().results.into_iter().zip(checks) {
        if *token == other {
            assert!(verdict_of(result).is_ok());
        } else {
            assert_eq!(undecided_of(result), UndecidedReason::CreditsUnavailable);
        }
    }

    let mut waiting = stage.checks.clone();
    let waits = tokio::spawn(async move { waiting.client.check_batch(batch).await });
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(!waits.is_finished());
    stage.reserve();
    let reply = waits.await.unwrap().unwrap().into_inner();
    let allowed = reply
        .results
        .into_iter()
        .map(|result| verdict_of(result).unwrap());
    let told: Vec<_> = allowed
        .map(|allowed| allowed.credits.map(|credits| credits.remaining))
        .collect();
    assert_eq!(told, [Some(4), None, Some(3), Some(2), None]);
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_conversation_others_overtake_what_waits() {
    const EACH: u64 = 20;
    let mut stage = Stage::open().await;
    let slow = stage.token(Some(Balance::new(EACH, None, NOON))).await;
    let other = stage.token(None).await;
    let mut questions = Vec::new();
    for id in 0..EACH {
        for (id, token) in [(id, &slow), (EACH + id, &other)] {
            questions.push(CheckStreamRequest {
                id,
                check: Some(check_request(token, &[])),
            });
        }
    }
    let questions = tokio_stream::iter(questions);
    let reply = stage.checks.client.check_stream(questions).await.unwrap();
    let mut answers = reply.into_inner();
    let mut ids = Vec::new();
    for _ in 0..EACH {
        let answer = answers.message().await.unwrap().unwrap();
        assert!(verdict_of(answer.result.unwrap()).is_ok());
        ids.push(answer.id);
    }
    assert!(ids.iter().all(|id| *id >= EACH), "{ids:?}");
    stage.reserve();
    while let Some(answer) = answers.next().await {
        let answer = answer.unwrap();
        assert!(verdict_of(answer.result.unwrap()).is_ok());
        ids.push(answer.id);
    }
    ids.sort_unstable();
    assert!(ids.into_iter().eq(0..2 * EACH), "each has its answer");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_balance_is_filled_at_the_turn_of_its_period() {
    let mut stage = Stage::open().await;
    let token = stage.token(daily(3, 5)).await;
    stage.reserve();
    let mut checks = stage.checks.clone();
    let mut pass = async |number: usize| {
        for _ in 0..number {
            checks.header(&token, &[]).await.unwrap();
        }
        let denied = checks.header(&token, &[]).await.unwrap_err();
        assert_eq!(denied.reason(), DenialReason::CreditsExhausted);
        denied.credits.unwrap().refill_time.unwrap().seconds
    };
    let tomorrow = i64::try_from(20_001 * DAY / 1_000_000).unwrap();
    assert_eq!(pass(3).await, tomorrow);
    // To the microsecond.
    stage.clock.set(Timestamp::from_micros(20_001 * DAY - 1));
    assert_eq!(pass(0).await, tomorrow);
    stage.clock.set(Timestamp::from_micros(20_001 * DAY));
    assert_eq!(pass(5).await, tomorrow + 86_400);
    // What was not used up is void.
    stage.clock.set(Timestamp::from_micros(20_002 * DAY));
    stage.checks.header(&token, &[]).await.unwrap();
    stage.clock.set(Timestamp::from_micros(20_009 * DAY));
    assert_eq!(pass(5).await, tomorrow + 9 * 86_400);
}

/// The time that a request may take to arrive is not that of its answer.
#[tokio::test(flavor = "multi_thread")]
async fn what_waits_for_credits_has_arrived() {
    let limits = ConnectionLimits {
        receive_timeout: Duration::from_millis(500),
        ..ConnectionLimits::default()
    };
    let mut stage = Stage::open_with(limits, UndecidedAnswer::default()).await;
    let slow = stage.token(Some(Balance::new(5, None, NOON))).await;
    let mut checks = stage.checks.clone();
    let question = check_request(&slow, &[]);
    let begin = Instant::now();
    let alone = tokio::spawn({
        let question = question.clone();
        async move { checks.client.check(question).await }
    });
    // More than wait at once: the last are not read before the first have an
    // answer.
    const MANY: u64 = 100;
    let questions = tokio_stream::iter((0..MANY).map(move |id| CheckStreamRequest {
        id,
        check: Some(question.clone()),
    }));
    let reply = stage.checks.client.check_stream(questions).await.unwrap();
    let mut answers = reply.into_inner();
    let mut answered = 0;
    while let Some(answer) = answers.message().await.unwrap() {
        let undecided = undecided_of(answer.result.unwrap());
        assert_eq!(undecided, UndecidedReason::CreditsUnavailable);
        answered += 1;
        let waited = begin.elapsed();
        let rounds = if answered <= 64 { 1 } else { 2 };
        assert!(waited < Duration::from_secs(3 * rounds + 2), "{waited:?}");
    }
    assert_eq!(answered, MANY);
    let status = alone.await.unwrap().unwrap_err();
    assert_eq!(status.code(), Code::Unavailable, "{status:?}");
    let info = status.get_details_error_info().unwrap();
    assert_eq!(info.reason, "CREDITS_UNAVAILABLE");
}
