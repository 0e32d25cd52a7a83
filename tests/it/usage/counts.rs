//! What counts, for which key, and to the last check.

use std::collections::BTreeMap;

use keyward::edge::pb::{
    CheckBatchRequest, CheckStreamRequest, CreateKeyRequest, Credits, DenialReason,
    DisableKeyRequest, Limit, Membership, RotateKeyRequest, SetMembershipRequest, UpdateKeyRequest,
};
use prost_types::{Duration, FieldMask, Timestamp};
use tokio::task::JoinSet;
use tokio_stream::StreamExt;

use super::*;
use crate::support::{Checks, key_request};

fn denied(counts: &[(&str, u64)]) -> BTreeMap<String, u64> {
    let counts = counts.iter();
    counts.map(|(name, n)| ((*name).to_owned(), *n)).collect()
}

fn micros(time: Option<Timestamp>) -> i64 {
    let time = time.unwrap();
    time.seconds * 1_000_000 + i64::from(time.nanos / 1_000)
}

#[tokio::test(flavor = "multi_thread")]
async fn each_check_of_one_two_or_sixty_four_gateways_is_counted_once() {
    const EACH: u64 = 96;
    let server = Server::start();
    let mut admin = server.admin().await;
    admin.workspace("kling", "klg", &[]).await;
    for gateways in [1, 2, 64] {
        let issued = admin.key("kling", &["people:read"]).await;
        let mut tasks = JoinSet::new();
        for gateway in 0..gateways {
            let (checks, token) = (server.checks().await, issued.token.clone());
            tasks.spawn(ask(checks, token, gateway, EACH));
        }
        tasks.join_all().await;
        // At once, and from memory: nothing was written yet.
        let usage = usage(&mut admin, &issued).await;
        let third = gateways * EACH / 3;
        assert_eq!(usage.allowed, third, "{gateways} gateways");
        let counts = [("ENVIRONMENT", third), ("INSUFFICIENT_SCOPE", third)];
        assert_eq!(usage.denied, denied(&counts), "{gateways} gateways");
        let times = [usage.first_used_time, usage.last_used_time].map(micros);
        assert!(times[0] <= times[1], "{times:?}");
        assert!(usage.last_source_address.starts_with("10.0."), "{usage:?}");
    }
}

/// Asks so often: a third each is allowed, of another environment, and without
/// the scope.
async fn ask(mut checks: Checks, token: String, gateway: u64, number: u64) {
    for question in 0..number {
        let mut request = from(&token, &["people:read"], &format!("10.0.{gateway}.7"));
        match question % 3 {
            0 => drop(checks.ask(request).await.unwrap()),
            1 => {
                request.environment = "other".to_owned();
                let denied = checks.ask(request).await.unwrap_err();
                assert_eq!(denied.reason(), DenialReason::Environment);
            }
            _ => {
                request.required_scopes = vec!["people:write".to_owned()];
                let denied = checks.ask(request).await.unwrap_err();
                assert_eq!(denied.reason(), DenialReason::InsufficientScope);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::too_many_lines, reason = "it lists the verdicts")]
async fn every_verdict_on_a_key_counts_for_it_and_no_other_does() {
    let server = Server::start();
    let mut admin = server.admin().await;
    admin.workspace("kling", "klg", &[]).await;
    admin.workspace("other", "oth", &[]).await;
    let request = CreateKeyRequest {
        limits: vec![Limit {
            name: "bulk".to_owned(),
            count: 1,
            window: Some(Duration {
                seconds: 3_600,
                nanos: 0,
            }),
            always: false,
        }],
        credits: Some(Credits {
            balance: Some(4),
            ..Credits::default()
        }),
        source_addresses: vec!["10.0.0.0/8".to_owned()],
        ..key_request("kling", &["people:read"])
    };
    let issued = admin.client.create_key(request).await.unwrap().into_inner();
    let token = issued.token.as_str();
    assert_eq!(usage(&mut admin, &issued).await, KeyUsage::default());

    let mut checks = server.checks().await;
    let base = from(token, &["people:read"], "10.1.2.3");
    let limited = |cost| CheckRequest {
        limits: vec!["bulk".to_owned()],
        cost: Some(cost),
        ..base.clone()
    };
    let mut ask = async |request: CheckRequest| match checks.ask(request).await {
        Ok(_) => "ALLOWED".to_owned(),
        Err(denied) => denied.reason().as_str_name()["DENIAL_REASON_".len()..].to_owned(),
    };
    for (request, verdict) in [
        (base.clone(), "ALLOWED"),
        // To look is a use, too.
        (limited(0), "ALLOWED"),
        (limited(1), "ALLOWED"),
        (limited(1), "RATE_LIMITED"),
        (
            from(token, &["people:write"], "10.1.2.3"),
            "INSUFFICIENT_SCOPE",
        ),
        (from(token, &[], "192.0.2.1"), "SOURCE_ADDRESS"),
        (from(token, &[], ""), "SOURCE_ADDRESS"),
        (base.clone(), "ALLOWED"),
        (base.clone(), "ALLOWED"),
        (base.clone(), "CREDITS_EXHAUSTED"),
        // Whoever may not know of the key leaves nothing.
        (
            CheckRequest {
                workspace: "other".to_owned(),
                ..base.clone()
            },
            "UNKNOWN",
        ),
        (from(&token.replace("klg", "klh"), &[], ""), "UNKNOWN"),
        (
            CheckRequest {
                limits: vec!["no-such".to_owned()],
                ..base.clone()
            },
            "UNKNOWN_LIMIT",
        ),
    ] {
        assert_eq!(ask(request).await, verdict);
    }
    let now = usage(&mut admin, &issued).await;
    assert_eq!(now.allowed, 5);
    assert_eq!(now.last_source_address, "10.1.2.3");
    assert_eq!(now.last_denial_reason, "UNKNOWN_LIMIT");
    assert!(micros(now.last_denied_time) > micros(now.last_used_time));
    let mut expected = denied(&[
        ("CREDITS_EXHAUSTED", 1),
        ("INSUFFICIENT_SCOPE", 1),
        ("RATE_LIMITED", 1),
        ("SOURCE_ADDRESS", 2),
        ("UNKNOWN_LIMIT", 1),
    ]);
    assert_eq!(now.denied, expected);

    let disable = DisableKeyRequest {
        key_id: id(&issued).to_owned(),
        ..DisableKeyRequest::default()
    };
    admin.client.disable_key(disable).await.unwrap();
    assert_eq!(ask(base.clone()).await, "DISABLED");
    admin.revoke(id(&issued)).await;
    assert_eq!(ask(base).await, "REVOKED");
    expected.extend(denied(&[("DISABLED", 1), ("REVOKED", 1)]));
    let last = usage(&mut admin, &issued).await;
    assert_eq!((last.allowed, last.denied), (5, expected));
    assert_eq!(last.last_used_time, now.last_used_time);
}

#[tokio::test(flavor = "multi_thread")]
async fn batches_and_conversations_count_each_question() {
    let server = Server::start();
    let mut admin = server.admin().await;
    admin.workspace("kling", "klg", &[]).await;
    let issued = admin.key("kling", &["people:read"]).await;
    let mut checks = server.checks().await;
    let question = || from(&issued.token, &["people:read"], "[2001:db8::7]:443");
    let batch = CheckBatchRequest {
        checks: (0..300).map(|_| question()).collect(),
    };
    checks.client.check_batch(batch).await.unwrap();
    let questions: Vec<_> = (0..200)
        .map(|id| CheckStreamRequest {
            id,
            check: Some(question()),
        })
        .collect();
    let questions = tokio_stream::iter(questions);
    let answers = checks.client.check_stream(questions).await.unwrap();
    assert_eq!(answers.into_inner().collect::<Vec<_>>().await.len(), 200);
    let usage = usage(&mut admin, &issued).await;
    assert_eq!(usage.allowed, 500);
    assert_eq!(usage.last_source_address, "2001:db8::7");
}

#[tokio::test(flavor = "multi_thread")]
async fn scopes_that_nobody_needed_are_told_as_the_key_changes() {
    let server = Server::start();
    let mut admin = server.admin().await;
    admin.workspace("kling", "klg", &[]).await;
    let issued = admin
        .key("kling", &["*", "people:*", "people:read", "orders:read"])
        .await;
    let mut checks = server.checks().await;
    let unexercised = async |admin: &mut Admin| usage(admin, &issued).await.unexercised_scopes;
    assert!(unexercised(&mut admin).await.is_empty());

    checks.header(&issued.token, &[]).await.unwrap();
    // Where none is required, nothing can be told of them.
    assert!(unexercised(&mut admin).await.is_empty());
    let required = ["people:read", "nobody:may|orders:read"];
    checks.header(&issued.token, &required).await.unwrap();
    assert_eq!(unexercised(&mut admin).await, ["*", "people:*"]);
    // What is denied has needed nothing.
    let narrow = async |admin: &mut Admin, scopes: &[&str]| {
        let mut key = key(admin, id(&issued)).await;
        key.scopes = scopes.iter().map(ToString::to_string).collect();
        let request = UpdateKeyRequest {
            key: Some(key),
            update_mask: Some(FieldMask {
                paths: vec!["scopes".to_owned()],
            }),
        };
        admin.client.update_key(request).await.unwrap();
    };
    // As the command line proposes it: what passed passes on.
    narrow(&mut admin, &["orders:read", "people:read"]).await;
    assert!(unexercised(&mut admin).await.is_empty());
    checks.header(&issued.token, &required).await.unwrap();
    let denied = checks.header(&issued.token, &["people:write"]).await;
    assert_eq!(
        denied.unwrap_err().reason(),
        DenialReason::InsufficientScope
    );
    narrow(&mut admin, &["orders:read", "people:*", "zebras:feed"]).await;
    let left = ["people:*", "zebras:feed"];
    assert_eq!(unexercised(&mut admin).await, left);
    checks
        .header(&issued.token, &["people:write"])
        .await
        .unwrap();
    assert_eq!(unexercised(&mut admin).await, ["zebras:feed"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_rotated_is_one_key_and_tells_of_its_old_token() {
    let server = Server::start();
    let mut admin = server.admin().await;
    admin.workspace("kling", "klg", &[]).await;
    let issued = admin.key("kling", &["people:read"]).await;
    let mut checks = server.checks().await;
    for _ in 0..3 {
        checks.header(&issued.token, &[]).await.unwrap();
    }
    let rotate = |overlap| RotateKeyRequest {
        key_id: id(&issued).to_owned(),
        overlap,
        ..RotateKeyRequest::default()
    };
    let rotated = admin.client.rotate_key(rotate(None)).await.unwrap();
    let new_token = rotated.into_inner().token;
    let before = usage(&mut admin, &issued).await;
    assert_eq!((before.allowed, before.old_token_last_used_time), (3, None));
    checks.header(&new_token, &[]).await.unwrap();
    assert_eq!(
        usage(&mut admin, &issued).await.old_token_last_used_time,
        None
    );
    checks.header(&issued.token, &[]).await.unwrap();
    let now = usage(&mut admin, &issued).await;
    assert_eq!(now.allowed, 5);
    assert_eq!(now.old_token_last_used_time, now.last_used_time);
    checks.header(&new_token, &[]).await.unwrap();
    let later = usage(&mut admin, &issued).await;
    assert_eq!(later.old_token_last_used_time, now.last_used_time);
    // Who asks with it for too much still holds it.
    let denied = checks.header(&issued.token, &["nobody:may"]).await;
    assert_eq!(
        denied.unwrap_err().reason(),
        DenialReason::InsufficientScope
    );
    let held = usage(&mut admin, &issued).await;
    assert!(micros(held.old_token_last_used_time) > micros(later.last_used_time));
    assert_eq!(held.last_used_time, later.last_used_time);
    assert!(micros(later.last_used_time) > micros(now.last_used_time));

    // What is ended tells nothing of its old token; its denials count on.
    let at_once = Some(Duration::default());
    admin.client.rotate_key(rotate(at_once)).await.unwrap();
    assert_eq!(checks.denial(&new_token).await, DenialReason::Expired);
    let last = usage(&mut admin, &issued).await;
    assert_eq!(last.old_token_last_used_time, None);
    assert_eq!((last.allowed, last.denied["EXPIRED"]), (6, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_personal_key_is_counted_over_its_workspaces() {
    let server = Server::start();
    let mut admin = server.admin().await;
    for (id, prefix) in [("one", "one"), ("two", "two")] {
        admin.workspace(id, prefix, &[]).await;
        let request = SetMembershipRequest {
            membership: Some(Membership {
                workspace: id.to_owned(),
                principal: "user:ada".to_owned(),
                scope_ceiling: vec!["people:*".to_owned()],
                ..Membership::default()
            }),
        };
        admin.client.set_membership(request).await.unwrap();
    }
    let request = CreateKeyRequest {
        token_prefix: "me".to_owned(),
        ..key_request("", &["orders:read", "people:read"])
    };
    let issued = admin.client.create_key(request).await.unwrap().into_inner();
    let mut checks = server.checks().await;
    let mut ask = async |workspace: &str, scope: &str| {
        let request = CheckRequest {
            workspace: workspace.to_owned(),
            ..check_request(&issued.token, &[scope])
        };
        checks.ask(request).await.map_err(|denied| denied.reason())
    };
    // The ceiling is in the way of the one, not of the other.
    ask("one", "people:read").await.unwrap();
    ask("two", "orders:read|people:read").await.unwrap();
    let denied_here = ask("two", "orders:read").await.unwrap_err();
    assert_eq!(denied_here, DenialReason::InsufficientScope);
    assert_eq!(
        ask("", "people:read").await.unwrap_err(),
        DenialReason::WorkspaceRequired
    );
    let usage = usage(&mut admin, &issued).await;
    assert_eq!(usage.allowed, 2);
    let counts = [("INSUFFICIENT_SCOPE", 1), ("WORKSPACE_REQUIRED", 1)];
    assert_eq!(usage.denied, denied(&counts));
    assert_eq!(usage.unexercised_scopes, ["orders:read"]);
}
