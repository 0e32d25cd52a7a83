//! Credits: exactly what a key has can be used up, whoever tries, whatever is
//! changed meanwhile, and however the server ends.

mod ahead;
mod calls;
mod contested;
mod crash;
mod midnight;
mod repeated;
mod slow;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use keyward::edge::pb::{
    AdjustCreditsRequest, CreateKeyRequest, Credits, CreditsRefill, DenialReason, GetKeyRequest,
    Key, SetCreditsRequest,
};
use tokio::task::JoinSet;
use tonic::Status;

use crate::support::{Admin, Checks, Server, check_request, key_request, verdict};

/// So many credits, and no more.
fn credits(balance: u64) -> Credits {
    Credits {
        balance: Some(balance),
        ..Credits::default()
    }
}

/// So many credits in each period.
fn refilled(balance: Option<u64>, period: i32, amount: u64) -> Credits {
    Credits {
        balance,
        refill: Some(CreditsRefill { period, amount }),
        refill_time: None,
    }
}

/// A key and its token.
struct Spender {
    key: Key,
    token: String,
}

/// A key with these credits, in the workspace `kling`.
async fn spender(admin: &mut Admin, credits: Credits) -> Spender {
    let request = CreateKeyRequest {
        credits: Some(credits),
        ..key_request("kling", &["people:read"])
    };
    let issued = admin.client.create_key(request).await.unwrap().into_inner();
    Spender {
        key: issued.key.unwrap(),
        token: issued.token,
    }
}

async fn set(admin: &mut Admin, key: &Key, credits: Option<Credits>) -> Result<Key, Status> {
    let request = SetCreditsRequest {
        key_id: key.id.clone(),
        credits,
    };
    let reply = admin.client.set_credits(request).await?;
    Ok(reply.into_inner().key.unwrap())
}

async fn adjust(admin: &mut Admin, key: &Key, delta: i64) -> Result<Key, Status> {
    let request = AdjustCreditsRequest {
        key_id: key.id.clone(),
        delta,
        request_id: String::new(),
    };
    let reply = admin.client.adjust_credits(request).await?;
    Ok(reply.into_inner().key.unwrap())
}

/// What the key has left; none: it needs nothing of the kind.
async fn balance(admin: &mut Admin, key: &Key) -> Option<u64> {
    let request = GetKeyRequest {
        key_id: key.id.clone(),
    };
    let reply = admin.client.get_key(request).await.unwrap();
    let credits = reply.into_inner().key.unwrap().credits?;
    Some(credits.balance.unwrap())
}

async fn start() -> (Server, Admin) {
    let server = Server::start();
    let mut admin = server.admin().await;
    admin.workspace("kling", "klg", &["live"]).await;
    (server, admin)
}

/// Gateways that spend with one token, each on a connection of its own.
struct Crowd {
    tasks: JoinSet<Option<Status>>,
    /// How many checks were allowed, as the replies said.
    granted: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
}

impl Crowd {
    /// Has `number` of them spend until they are denied, or, if `for_ever`,
    /// until they are stopped. A call that fails is the end of one.
    async fn start(server: &Server, token: &str, number: usize, for_ever: bool) -> Self {
        let granted = Arc::new(AtomicU64::new(0));
        let stop = Arc::new(AtomicBool::new(false));
        let mut tasks = JoinSet::new();
        for _ in 0..number {
            let checks = server.checks().await;
            let (granted, stop) = (Arc::clone(&granted), Arc::clone(&stop));
            tasks.spawn(spend(checks, token.to_owned(), for_ever, granted, stop));
        }
        Self {
            tasks,
            granted,
            stop,
        }
    }

    fn granted(&self) -> u64 {
        self.granted.load(Ordering::SeqCst)
    }

    /// How many were allowed in all, and how calls failed, if any did.
    async fn end(self) -> (u64, Vec<Status>) {
        let failures = self.tasks.join_all().await.into_iter().flatten().collect();
        (self.granted.load(Ordering::SeqCst), failures)
    }

    async fn stop(self) -> (u64, Vec<Status>) {
        self.stop.store(true, Ordering::SeqCst);
        self.end().await
    }
}

async fn spend(
    mut checks: Checks,
    token: String,
    for_ever: bool,
    granted: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
) -> Option<Status> {
    while !stop.load(Ordering::SeqCst) {
        let request = check_request(&token, &[]);
        match checks.client.check(request).await {
            Ok(reply) => match verdict(reply.into_inner()) {
                Ok(_) => drop(granted.fetch_add(1, Ordering::SeqCst)),
                Err(denied) => {
                    assert_eq!(denied.reason(), DenialReason::CreditsExhausted);
                    assert_eq!(denied.http_status, 429);
                    assert_eq!(denied.credits.unwrap().remaining, 0);
                    if !for_ever {
                        return None;
                    }
                }
            },
            Err(status) => return Some(status),
        }
    }
    None
}

#[tokio::test(flavor = "multi_thread")]
async fn exactly_so_many_pass_as_there_are_credits() {
    let (server, mut admin) = start().await;
    for clients in [1, 2, 64] {
        for number in [0, 1, 7, 2_500] {
            let spender = spender(&mut admin, credits(number)).await;
            let crowd = Crowd::start(&server, &spender.token, clients, false).await;
            let (granted, failures) = crowd.end().await;
            assert_eq!(failures.len(), 0, "{clients} clients: {failures:?}");
            assert_eq!(granted, number, "{clients} clients");
            assert_eq!(balance(&mut admin, &spender.key).await, Some(0));
        }
    }
}

/// Whatever is added and taken while others spend is there to the last credit.
#[tokio::test(flavor = "multi_thread")]
async fn every_credit_is_accounted_for_while_it_is_added_to_and_taken_from() {
    const ROUNDS: i64 = 60;
    let (server, mut admin) = start().await;
    let spender = spender(&mut admin, credits(100)).await;
    let crowd = Crowd::start(&server, &spender.token, 16, true).await;
    let mut given: u64 = 100;
    for round in 0..ROUNDS {
        let key = adjust(&mut admin, &spender.key, 37 + round).await.unwrap();
        given += u64::try_from(37 + round).unwrap();
        // Taken is what there was, if that is less.
        let before = key.credits.unwrap().balance.unwrap();
        assert!(before <= given);
        let taken = events(&mut admin, &spender.key, -11).await;
        given -= taken;
    }
    let (granted, failures) = crowd.stop().await;
    assert_eq!(failures.len(), 0, "{failures:?}");
    let left = balance(&mut admin, &spender.key).await.unwrap();
    assert_eq!(granted + left, given);
    println!("{granted} granted, {left} left of {given}");
}

/// Takes `delta` and reads from the audit log how much that was.
async fn events(admin: &mut Admin, key: &Key, delta: i64) -> u64 {
    adjust(admin, key, delta).await.unwrap();
    let event = calls::newest_event(admin, "credits.adjust").await;
    let number = |name: &str| event.detail[name].parse::<u64>().unwrap();
    number("balance_before") - number("balance")
}

/// What was set before is void: no more is granted than was set in all.
#[tokio::test(flavor = "multi_thread")]
async fn no_race_with_a_change_grants_more_than_was_set() {
    const ROUNDS: u64 = 80;
    const EACH: u64 = 50;
    const CLIENTS: usize = 32;
    let (server, mut admin) = start().await;
    let spender = spender(&mut admin, credits(EACH)).await;
    let crowd = Crowd::start(&server, &spender.token, CLIENTS, true).await;
    for round in 0..ROUNDS {
        set(&mut admin, &spender.key, Some(credits(EACH)))
            .await
            .unwrap();
        let before = crowd.granted();
        tokio::time::sleep(Duration::from_millis(round % 9)).await;
        let since = crowd.granted() - before;
        // Answers to what was spent before the reply may have come after it.
        assert!(since <= EACH + CLIENTS as u64, "{since} of {EACH}");
    }
    let (granted, failures) = crowd.stop().await;
    assert_eq!(failures.len(), 0, "{failures:?}");
    assert!(granted <= EACH * (ROUNDS + 1), "{granted}");
    println!("{granted} granted of at most {}", EACH * (ROUNDS + 1));
}
