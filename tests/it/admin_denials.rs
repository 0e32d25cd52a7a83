//! Refused calls: each is written down where it belongs, without a token in
//! it; and however many there are, they fill no log and hold nobody up.
#![expect(
    clippy::too_many_lines,
    reason = "a test tells one story, from top to bottom"
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use keyward::domain::token::{Token, TokenPrefix};
use keyward::edge::pb::*;
use serde_json::Value;
use tokio::task::JoinSet;
use tonic::Code;

use crate::law_durable::{leave_room, serve_without_xfsz};
use crate::office::{Ask, Caller, Office, admin_key, create_admin, revoke_admin, told, whoami};
use crate::support::{Admin, Server, Site};

/// How many refusals of a caller are written down at once.
const BURST: usize = 10;

/// How often one more is.
const REFILL: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread")]
async fn each_kind_of_refusal_is_in_its_log_and_in_the_servers_once() {
    let office = Office::open().await;
    let (here, yonder) = (office.workspace().await, office.workspace().await);
    let theirs = office.key(&yonder, &[]).await.id;
    let mut expected = Vec::new();
    // Who; in whose log; what; why; to what; and what more there is to know.
    for (role, place, call, reason, resource, detail) in [
        (
            AdminRole::Reader,
            "",
            "CreateKey",
            "ROLE_INSUFFICIENT",
            "",
            ("required_role", "ISSUER"),
        ),
        (
            AdminRole::Issuer,
            &*here,
            "ListAuditEvents",
            "ROLE_INSUFFICIENT",
            "",
            ("required_role", "OWNER"),
        ),
        (
            AdminRole::Owner,
            &*here,
            "CreateWorkspace",
            "NOT_OF_THE_SYSTEM",
            "",
            ("", ""),
        ),
        (
            AdminRole::Owner,
            &*here,
            "CreateKey",
            "GRANT_CEILING_EXCEEDED",
            "",
            ("scopes", "b c"),
        ),
        (
            AdminRole::Owner,
            "",
            "CreateAdminKey",
            "GRANT_CEILING_EXCEEDED",
            "",
            ("scopes", "b c"),
        ),
        (
            AdminRole::Reader,
            &*here,
            "GetKey",
            "NOT_VISIBLE",
            &*theirs,
            ("", ""),
        ),
        (
            AdminRole::Owner,
            &*here,
            "GetWorkspace",
            "NOT_VISIBLE",
            &*yonder,
            ("", ""),
        ),
    ] {
        let mut caller = office.caller(role, place, &["a"]).await;
        let ask = Ask {
            workspace: if call == "GetWorkspace" {
                yonder.clone()
            } else {
                here.clone()
            },
            id: theirs.clone(),
            scopes: vec!["b".into(), "a".into(), "c".into()],
            name: "a name".to_owned(),
            ..Ask::default()
        };
        ask.send(&mut caller.admin, call).await.unwrap_err();
        let [event] = &*office.denials_of(&caller.id, 1).await else {
            panic!("{call}: one event")
        };
        let mut more = vec![("call", call), ("reason", reason)];
        more.extend(Some(detail).filter(|(name, _)| !name.is_empty()));
        let detail = more
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(event.detail, detail.collect(), "{call}");
        assert_eq!(
            (&*event.workspace, &*event.resource),
            (place, resource),
            "{call}"
        );
        expected.push((caller.id, call.to_owned(), reason.to_owned()));
    }
    // Those who have no valid token: some are known by an ended one.
    let ended = office.caller(AdminRole::Owner, &here, &[]).await;
    revoke_admin(&mut office.owner.clone(), &ended.id)
        .await
        .unwrap();
    let key = office.owner.clone().key(&here, &[]).await.token;
    for (token, actor, place, denial) in [
        (&ended.token, &*ended.id, &*here, "REVOKED"),
        (&key, "unknown", "", "UNKNOWN"),
        (&"a b".to_owned(), "unknown", "", "MALFORMED"),
    ] {
        whoami(&mut office.admin(token)).await.unwrap_err();
        let count = usize::from(denial == "MALFORMED") + 1;
        let event = &office.denials_of(actor, count).await[0];
        assert_eq!((&*event.workspace, &*event.resource), (place, ""));
        let told = ["call", "denial", "reason"].map(|name| event.detail[name].as_str());
        assert_eq!(told, ["WhoAmI", denial, "ADMIN_TOKEN_INVALID"]);
        assert_eq!(event.detail.len(), 3);
        expected.push((actor.to_owned(), "WhoAmI".to_owned(), told[2].to_owned()));
    }
    // What fails for another reason is no refusal.
    let mut owner = office.owner.clone();
    let ask = Ask {
        workspace: "absent".to_owned(),
        ..Ask::default()
    };
    ask.send(&mut owner, "GetWorkspace").await.unwrap_err();
    ask.send(&mut owner, "CreateKey").await.unwrap_err();

    let (_, log) = tokio::task::block_in_place(|| office.server.stop());
    let logged: Vec<_> = logged(&log)
        .map(|event| {
            ["actor", "call", "reason"].map(|name| event[name].as_str().unwrap().to_owned())
        })
        .map(|[actor, call, reason]| (actor, call, reason))
        .collect();
    assert_eq!(logged, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn thousands_of_bad_calls_are_a_few_events_that_count_the_rest() {
    const CALLS: usize = 2_000;
    let office = Office::open().await;
    let here = office.workspace().await;
    let barred = office.caller(AdminRole::Reader, &here, &[]).await;
    let from = Instant::now();
    // Each with another token, all of them unknown; and one that is known.
    let (strangers, tokens) = flood(&office, CALLS, |office| {
        let prefix = TokenPrefix::try_from("keyward_admin").unwrap();
        let token = Token::mint(&prefix, None).expose().to_owned();
        (office.admin(&token), token)
    })
    .await;
    assert!(
        strangers
            .iter()
            .all(|told| told == "UNAUTHENTICATED, ADMIN_TOKEN_INVALID")
    );
    let (known, _) = flood(&office, CALLS, |_| (barred.admin.clone(), String::new())).await;
    assert!(
        known
            .iter()
            .all(|told| told == "PERMISSION_DENIED, NOT_OF_THE_SYSTEM")
    );

    for (actor, mut admin) in [
        ("unknown", office.admin(&tokens[0])),
        (&*barred.id, barred.admin.clone()),
    ] {
        // One more is written down some time, and tells of those that were not.
        let mut calls = CALLS;
        let events = loop {
            Ask::default()
                .send(&mut admin, "CreateWorkspace")
                .await
                .unwrap_err();
            calls += 1;
            tokio::time::sleep(Duration::from_millis(500)).await;
            let events = office.denials_of(actor, BURST).await;
            if events[0].detail.contains_key("suppressed") {
                break events;
            }
            assert!(from.elapsed() < 2 * REFILL, "none tells of the rest");
        };
        let most = BURST + 1 + from.elapsed().as_secs() as usize / REFILL.as_secs() as usize;
        assert!((BURST..=most).contains(&events.len()), "{}", events.len());
        // Each call is an event, or is counted by one.
        let suppressed: usize = events
            .iter()
            .filter_map(|event| event.detail.get("suppressed"))
            .map(|count| count.parse::<usize>().unwrap())
            .sum();
        assert_eq!(events.len() + suppressed, calls, "{actor}");
    }
    // In the server's log it is the same, and no token is in either.
    let all = format!(
        "{:?}",
        office.events(ListAuditEventsRequest::default()).await
    );
    let (_, log) = tokio::task::block_in_place(|| office.server.stop());
    let written = logged(&log).count();
    assert!((2 * BURST..4 * BURST).contains(&written), "{written}");
    for token in tokens.iter().chain([&barred.token]) {
        // Not even the secret alone.
        let secret = token.rsplit('_').next().unwrap();
        assert!(!log.contains(secret) && !all.contains(secret));
    }
}

/// So many bad calls, by several callers at once: what each was told, and the
/// tokens that they came with.
async fn flood(
    office: &Office,
    calls: usize,
    caller: impl Fn(&Office) -> (Admin, String),
) -> (Vec<String>, Vec<String>) {
    const AT_ONCE: usize = 8;
    let (mut told_all, mut tokens) = (Vec::new(), Vec::new());
    for _ in 0..calls / AT_ONCE {
        let mut batch = JoinSet::new();
        for _ in 0..AT_ONCE {
            let (mut admin, token) = caller(office);
            tokens.push(token);
            batch.spawn(async move {
                let answer = Ask::default().send(&mut admin, "CreateWorkspace").await;
                told(&answer.unwrap_err())
            });
        }
        told_all.extend(batch.join_all().await);
    }
    (told_all, tokens)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_sent_in_the_wrong_place_is_in_no_log() {
    let office = Office::open().await;
    let here = office.workspace().await;
    let token = office.owner.clone().key(&here, &[]).await.token;
    for place in ["", &*here] {
        let mut caller = office.caller(AdminRole::Reader, place, &[]).await;
        let ask = Ask {
            workspace: token.clone(),
            id: token.clone(),
            scopes: vec![token.clone()],
            name: "a name".to_owned(),
            etag: token.clone(),
            ..Ask::default()
        };
        for call in [
            "GetKey",
            "GetWorkspace",
            "CreateKey",
            "RevokeAdminKey",
            "CreateAdminKey",
        ] {
            let status = ask.send(&mut caller.admin, call).await.unwrap_err();
            assert!(
                !format!("{status:?}").contains(&token[4..]),
                "{call}: {status:?}"
            );
        }
        whoami(&mut office.admin(&format!("{token}, {token}")))
            .await
            .unwrap_err();
    }
    office.denials_of("unknown", 2).await;
    let all = format!(
        "{:?}",
        office.events(ListAuditEventsRequest::default()).await
    );
    let (_, log) = tokio::task::block_in_place(|| office.server.stop());
    for secret in [&token[4..], &token[4..24], &token[24..]] {
        assert!(!log.contains(secret) && !all.contains(secret));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_calls_do_not_slow_good_ones() {
    let office = Arc::new(Office::open().await);
    let here = office.workspace().await;
    let barred = office.caller(AdminRole::Reader, &here, &[]).await;
    let alone = changes(&office, &here).await;
    let stop = Arc::new(AtomicBool::new(false));
    let mut floods = JoinSet::new();
    for _ in 0..4 {
        floods.spawn(floods_until(Arc::clone(&stop), barred.clone()));
    }
    let beside = changes(&office, &here).await;
    stop.store(true, Ordering::Relaxed);
    let bad: usize = floods.join_all().await.into_iter().sum();
    assert!(bad > 50, "only {bad} bad calls");
    // The machine is shared with them, and no more than that.
    assert!(
        beside < alone * 8 + Duration::from_secs(1),
        "{alone:?} alone, {beside:?} beside {bad}"
    );
}

/// How long it takes to make some keys, one after the other.
async fn changes(office: &Office, here: &str) -> Duration {
    let from = Instant::now();
    for _ in 0..100 {
        office.key(here, &["a"]).await;
    }
    from.elapsed()
}

async fn floods_until(stop: Arc<AtomicBool>, mut caller: Caller) -> usize {
    let mut bad = 0;
    while !stop.load(Ordering::Relaxed) {
        Ask::default()
            .send(&mut caller.admin, "CreateWorkspace")
            .await
            .unwrap_err();
        bad += 1;
    }
    bad
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_are_answered_and_logged_when_the_store_takes_no_changes() {
    let site = Site::init();
    let server = Server::spawn(site.clone(), serve_without_xfsz(&site, "4s")).unwrap();
    let mut owner = server.admin().await;
    let asked = admin_key(AdminRole::Reader, "", &[]);
    let made = create_admin(&mut owner, asked).await.unwrap();
    let mut barred = crate::support::admin_client(&server.admin_address, &made.token).await;
    leave_room(&server, 0);
    // Some of them are on their way into the store while it fails.
    let mut failed = false;
    for number in 0..20_000 {
        let status = Ask::default()
            .send(&mut barred, "CreateWorkspace")
            .await
            .unwrap_err();
        assert_eq!(told(&status), "PERMISSION_DENIED, ROLE_INSUFFICIENT");
        let workspace = Ask {
            workspace: format!("w{number}"),
            ..Ask::default()
        };
        if let Err(status) = workspace.send(&mut owner, "CreateWorkspace").await {
            assert_eq!(status.code(), Code::Unavailable);
            failed = true;
            break;
        }
    }
    assert!(failed, "the disk is not full");
    // And so are those of a caller of whom nothing is written down yet.
    let mut stranger = crate::support::admin_client(&server.admin_address, "nobody").await;
    for _ in 0..100 {
        let status = whoami(&mut stranger).await.unwrap_err();
        assert_eq!(told(&status), "UNAUTHENTICATED, ADMIN_TOKEN_INVALID");
    }
    let (status, log) = tokio::task::block_in_place(|| server.wait());
    assert_eq!(status.code(), Some(75), "{log}");
    assert!(!log.contains("panicked"), "{log}");
    let strangers = logged(&log).filter(|event| event["actor"] == "unknown");
    assert_eq!(strangers.count(), BURST);
}

/// The refusals in a server's log.
fn logged(log: &str) -> impl Iterator<Item = Value> {
    // The line that it ends with is for people.
    let events = log
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok());
    events.filter(|event: &Value| event["message"] == "call denied")
}
