//! A limit lets exactly as much pass as it says, however many ask at once.

use keyward::edge::pb::{
    CheckBatchRequest, CheckRequest, CheckResult, CheckStreamRequest, CreateKeyRequest,
    DenialReason, Limit,
};
use tokio::task::JoinSet;

use crate::support::{Admin, Checks, Server, check_request, count, key_request, verdict_of};

/// How much a limit of these tests lets pass: nothing of it comes back while a
/// test runs.
const LIMIT: u32 = 700;

fn limit(name: &str, count: u32, always: bool) -> Limit {
    Limit {
        name: name.to_owned(),
        count,
        window: Some(prost_types::Duration {
            seconds: 86_400,
            nanos: 0,
        }),
        always,
    }
}

/// A key with a limit on everything, one on reading, and a small one.
async fn issue(admin: &mut Admin) -> String {
    let request = CreateKeyRequest {
        limits: vec![
            limit("all", LIMIT, true),
            limit("read", LIMIT, false),
            limit("bulk", 10, false),
        ],
        ..key_request("w", &["*"])
    };
    let issued = admin.client.create_key(request).await.unwrap();
    issued.into_inner().token
}

fn question(token: &str, names: &[&str], cost: u32) -> CheckRequest {
    CheckRequest {
        limits: names.iter().map(|&name| name.to_owned()).collect(),
        cost: Some(cost),
        ..check_request(token, &[])
    }
}

/// How many of the answers allow; the others have to be denied by a limit.
fn allowed(results: impl IntoIterator<Item = CheckResult>) -> u32 {
    let verdicts = results.into_iter().map(verdict_of);
    let passed = verdicts.filter(|verdict| match verdict {
        Ok(_) => true,
        Err(denied) => {
            assert_eq!(denied.reason(), DenialReason::RateLimited);
            false
        }
    });
    u32::try_from(passed.count()).unwrap()
}

/// One client that asks in each of the three ways, and how much has passed.
async fn client(mut checks: Checks, token: String, share: usize) -> u32 {
    let read = || question(&token, &["read"], 1);
    let mut passed = 0;
    for _ in 0..share {
        match checks.ask(read()).await {
            Ok(_) => passed += 1,
            Err(denied) => assert_eq!(denied.reason(), DenialReason::RateLimited),
        }
    }
    let batch = CheckBatchRequest {
        checks: (0..share).map(|_| read()).collect(),
    };
    let results = checks.client.check_batch(batch).await.unwrap();
    passed += allowed(results.into_inner().results);
    let asked = (0..share as u64).map(|id| CheckStreamRequest {
        id,
        check: Some(question(&token, &["read"], 1)),
    });
    let asked: Vec<_> = asked.collect();
    let answers = checks.client.check_stream(tokio_stream::iter(asked)).await;
    let mut answers = answers.unwrap().into_inner();
    while let Some(answer) = answers.message().await.unwrap() {
        passed += allowed(answer.result);
    }
    // What can never pass is denied and spends nothing.
    let denied = checks.ask(question(&token, &["read", "bulk"], 11)).await;
    assert_eq!(denied.unwrap_err().reason(), DenialReason::RateLimited);
    passed
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_checks_at_once_exactly_as_many_pass_as_the_limit_says() {
    let server = Server::start();
    let mut admin = server.admin().await;
    admin.workspace("w", "klg", &[]).await;
    for round in 0..count("KEYWARD_LIMIT_ROUNDS", 2) {
        for clients in [1, 2, 64] {
            let token = issue(&mut admin).await;
            let share = 2 * LIMIT as usize / 3 / clients + 1;
            let mut running = JoinSet::new();
            for _ in 0..clients {
                // Each on a connection of its own, so that they are on
                // different threads of the server.
                let checks = server.checks().await;
                running.spawn(client(checks, token.clone(), share));
            }
            let passed: u32 = running.join_all().await.into_iter().sum();
            assert_eq!(passed, LIMIT, "{clients} clients in round {round}");
            let mut checks = server.checks().await;
            let looked = checks.ask(question(&token, &["read", "bulk"], 0)).await;
            let left = looked.unwrap().limits.into_iter();
            let left: Vec<_> = left.map(|limit| (limit.name, limit.remaining)).collect();
            let expected = [("all", 0), ("bulk", 10), ("read", 0)];
            assert_eq!(left, expected.map(|(name, left)| (name.to_owned(), left)));
        }
    }
}

/// Of two limits, checks that name both are stopped by the smaller, and none of
/// those has taken anything of the larger.
#[tokio::test(flavor = "multi_thread")]
async fn a_denied_check_takes_nothing_of_the_limits_that_have_room() {
    let server = Server::start();
    let mut admin = server.admin().await;
    admin.workspace("w", "klg", &[]).await;
    let token = issue(&mut admin).await;
    let mut running = JoinSet::new();
    for caller in 0..16 {
        let (mut checks, token) = (server.checks().await, token.clone());
        running.spawn(async move {
            let mut passed = 0;
            for _ in 0..20 {
                let names: &[&str] = match caller % 2 {
                    0 => &["bulk", "read"],
                    _ => &["read", "bulk"],
                };
                passed += u32::from(checks.ask(question(&token, names, 1)).await.is_ok());
            }
            passed
        });
    }
    assert_eq!(running.join_all().await.into_iter().sum::<u32>(), 10);
    let mut checks = server.checks().await;
    let looked = checks.ask(question(&token, &["read", "bulk"], 0)).await;
    let left: Vec<_> = looked
        .unwrap()
        .limits
        .iter()
        .map(|limit| limit.remaining)
        .collect();
    assert_eq!(left, [LIMIT - 10, 0, LIMIT - 10]);
}
