//! Law 1, for a ceiling that is narrowed and widened while many check: no check
//! that starts after the reply passes for what was taken, and none is told of
//! more, or of less, than the ceiling leaves by then.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use keyward::edge::pb::{CheckRequest, CreateKeyRequest, DenialReason, ListKeysRequest};
use tokio::task::JoinSet;

use crate::admin_api::calls::set_membership;
use crate::support::{self, Admin, Checks, Server, count};

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

/// More keys than are held of one membership, each with other scopes.
const KEYS: usize = 300;

/// What key `number` is told under the wide ceiling, or the narrow one: of eleven
/// scopes, what lies within.
fn told_of(number: usize, wide: bool) -> Vec<String> {
    let mut scopes = vec!["people:read".to_owned()];
    if wide {
        scopes.push("people:write".to_owned());
    }
    scopes.push(format!("team:{number}:read"));
    scopes
}

/// Both ceilings have nine scopes, so that it is worth to hold what they leave.
fn ceiling_of_many(wide: bool) -> Vec<String> {
    let people = if wide { "people:*" } else { "people:read" };
    let other = (0..7).map(|number| format!("other:{number}"));
    [people.to_owned(), "team:*".to_owned()]
        .into_iter()
        .chain(other)
        .collect()
}

async fn many_keys(admin: &mut Admin, principal: &str) -> Vec<String> {
    let mut tokens = Vec::new();
    for number in 0..KEYS {
        let own = (0..8).map(|place| format!("own:{number}-{place}"));
        let request = CreateKeyRequest {
            principal: principal.to_owned(),
            name: number.to_string(),
            scopes: told_of(number, true).into_iter().chain(own).collect(),
            ..support::key_request("kling", &[])
        };
        let issued = admin.client.create_key(request).await.unwrap();
        tokens.push(issued.into_inner().token);
    }
    tokens
}

/// Whether the ceiling is wide, if it is surely the one or the other.
fn is_wide(before: u64) -> Option<bool> {
    before.is_multiple_of(2).then(|| before.is_multiple_of(4))
}

/// Checks one key after the other; how often it was certain what is told.
async fn check_many(mut checks: Checks, tokens: Arc<[String]>, phase: Phase, last: u64) -> u64 {
    let (mut seen, mut number) = (0, rand::random_range(0..KEYS));
    loop {
        let before = phase.load(Ordering::SeqCst);
        if before == last {
            return seen;
        }
        number = (number + 1) % KEYS;
        let ask = support::check_request(&tokens[number], &["people:read"]);
        let told = checks.ask(ask).await.unwrap();
        let wide = is_wide(before).filter(|_| phase.load(Ordering::SeqCst) == before);
        if let Some(wide) = wide {
            seen += 1;
            assert_eq!(told.scopes, told_of(number, wide), "of key {number}");
        }
    }
}

/// Lists all keys again and again; of how many it was certain what is told.
async fn list_many(mut admin: Admin, phase: Phase, last: u64) -> u64 {
    let mut seen = 0;
    loop {
        let before = phase.load(Ordering::SeqCst);
        if before == last {
            return seen;
        }
        let request = ListKeysRequest {
            workspace: "kling".to_owned(),
            page_size: 1_000,
            ..ListKeysRequest::default()
        };
        let listed = admin.client.list_keys(request).await.unwrap().into_inner();
        let wide = is_wide(before).filter(|_| phase.load(Ordering::SeqCst) == before);
        for key in listed.keys {
            let number: usize = key.name.parse().unwrap();
            if let Some(wide) = wide {
                seen += 1;
                let told = key.effective_scopes.unwrap_or_default();
                assert_eq!(told.scopes, told_of(number, wide));
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_of_many_keys_is_told_exactly_what_the_ceiling_leaves_of_its_own() {
    let changes = count("KEYWARD_TEST_NARROWINGS", CHANGES) as u64 / 5;
    let server = Server::start();
    let mut admin = server.admin().await;
    admin.workspace("kling", "klg", &[]).await;
    let principal = "user:many";
    let tokens: Arc<[String]> = many_keys(&mut admin, principal).await.into();
    let set = async |admin: &mut Admin, wide| {
        let ceiling = ceiling_of_many(wide);
        let ceiling: Vec<_> = ceiling.iter().map(String::as_str).collect();
        set_membership(admin, "kling", principal, &ceiling)
            .await
            .unwrap();
    };
    set(&mut admin, true).await;
    let phase = Phase::default();
    let (mut checking, mut listing) = (JoinSet::new(), JoinSet::new());
    for _ in 0..CLIENTS {
        let (checks, phase) = (server.checks().await, Arc::clone(&phase));
        checking.spawn(check_many(checks, Arc::clone(&tokens), phase, 2 * changes));
    }
    listing.spawn(list_many(admin.clone(), Arc::clone(&phase), 2 * changes));
    for change in 1..=changes {
        // Long enough for lists that lie within, and for all keys to be told of.
        tokio::time::sleep(std::time::Duration::from_millis(150)).await;
        phase.fetch_add(1, Ordering::SeqCst);
        set(&mut admin, change % 2 == 0).await;
        phase.fetch_add(1, Ordering::SeqCst);
    }
    let checked: u64 = checking.join_all().await.into_iter().sum();
    let listed: u64 = listing.join_all().await.into_iter().sum();
    let least = KEYS as u64;
    assert!(checked > least && listed >= least, "{checked}, {listed}");
}
