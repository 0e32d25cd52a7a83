//! Law 1, for a ceiling that is narrowed and widened while many check: no check
//! that starts after the reply passes for what was taken, and none is told of
//! more, or of less, than the ceiling leaves by then.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use keyward::edge::pb::{CheckRequest, CreateKeyRequest, DenialReason};
use tokio::task::JoinSet;

use crate::admin_api::calls::set_membership;
use crate::support::{self, Checks, Server, count};

const CLIENTS: usize = 8;

/// How often the ceiling is changed.
const CHANGES: usize = 200;

/// What the key may under the one ceiling and the other.
const WIDE: [&str; 2] = ["people:read", "people:write"];
const NARROW: [&str; 1] = ["people:read"];

/// Beside what the key has, so that the ceiling is no `*`.
const ELSEWHERE: &str = "companies:*";

/// How far the changes are: 4 n while the ceiling is wide, 2 more while it is
/// narrow, and odd numbers from before a call to after its reply.
type Phase = Arc<AtomicU64>;

struct Seen {
    wide: u64,
    narrow: u64,
}

async fn check_on(mut checks: Checks, token: String, phase: Phase, last: u64) -> Seen {
    let mut seen = Seen { wide: 0, narrow: 0 };
    loop {
        let before = phase.load(Ordering::SeqCst);
        if before == last {
            return seen;
        }
        let ask = |scope: &str| CheckRequest {
            workspace: "kling".to_owned(),
            ..support::check_request(&token, &[scope])
        };
        let write = checks.ask(ask("people:write")).await;
        let read = checks.ask(ask("people:read")).await.unwrap();
        if before % 2 == 1 || phase.load(Ordering::SeqCst) != before {
            continue;
        }
        if before.is_multiple_of(4) {
            seen.wide += 1;
            assert_eq!(read.scopes, WIDE);
            assert_eq!(write.unwrap().scopes, WIDE);
        } else {
            seen.narrow += 1;
            assert_eq!(read.scopes, NARROW);
            let denied = write.expect_err("it starts after the reply");
            assert_eq!(denied.reason(), DenialReason::InsufficientScope);
        }
    }
}

/// Narrows and widens the ceiling of the key beside clients that check it.
/// How often clients looked while it was wide, and while it was narrow.
async fn under_fire(personal: bool) -> (u64, u64) {
    let changes = count("KEYWARD_TEST_NARROWINGS", CHANGES) as u64;
    let server = Server::start();
    let mut admin = server.admin().await;
    admin.workspace("kling", "klg", &[]).await;
    let principal = "user:ceiling";
    let request = CreateKeyRequest {
        principal: principal.to_owned(),
        ..support::key_request("kling", &WIDE)
    };
    // The first key of a principal makes it, and a member.
    let bound = admin.client.create_key(request.clone()).await.unwrap();
    let mut token = bound.into_inner().token;
    if personal {
        let request = CreateKeyRequest {
            workspace: String::new(),
            token_prefix: "prs".to_owned(),
            ..request
        };
        let issued = admin.client.create_key(request).await.unwrap();
        token = issued.into_inner().token;
    }
    let ceiling = |wide: bool| {
        let scopes: &[&str] = if wide { &WIDE } else { &NARROW };
        [scopes, &[ELSEWHERE]].concat()
    };
    set_membership(&mut admin, "kling", principal, &ceiling(true))
        .await
        .unwrap();
    let phase = Phase::default();
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        let (checks, phase) = (server.checks().await, Arc::clone(&phase));
        clients.spawn(check_on(checks, token.clone(), phase, 2 * changes));
    }
    for change in 1..=changes {
        phase.fetch_add(1, Ordering::SeqCst);
        let ceiling = ceiling(change % 2 == 0);
        set_membership(&mut admin, "kling", principal, &ceiling)
            .await
            .unwrap();
        phase.fetch_add(1, Ordering::SeqCst);
        // As long as it takes some to see it, and not always the same.
        let pause = rand::random_range(0..6);
        tokio::time::sleep(std::time::Duration::from_millis(pause)).await;
    }
    let seen = clients.join_all().await;
    let wide: u64 = seen.iter().map(|seen| seen.wide).sum();
    let narrow: u64 = seen.iter().map(|seen| seen.narrow).sum();
    assert!(wide.min(narrow) >= changes / 4, "this was no attack");
    (wide, narrow)
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_passes_above_a_ceiling_after_the_reply() {
    let (wide, narrow) = under_fire(false).await;
    println!("{wide} looks while it was wide, {narrow} while it was narrow");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_passes_above_the_ceiling_of_a_personal_key_after_the_reply() {
    let (wide, narrow) = under_fire(true).await;
    println!("{wide} looks while it was wide, {narrow} while it was narrow");
}
