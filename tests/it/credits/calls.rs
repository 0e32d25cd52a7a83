//! What operators do with credits, and what they and gateways are told.

use keyward::edge::pb::{
    AuditEvent, CheckBatchRequest, CheckRequest, CreditsLeft, CreditsPeriod, Limit,
    ListAuditEventsRequest,
};
use keyward::store::{Record, RecordId, Versioned};
use tonic::Code;
use tonic_types::StatusExt;

use super::*;
use crate::support::{Site, verdict_of};

/// The newest event of this kind.
pub(super) async fn newest_event(admin: &mut Admin, action: &str) -> AuditEvent {
    let request = ListAuditEventsRequest {
        action: action.to_owned(),
        page_size: 1,
        ..ListAuditEventsRequest::default()
    };
    let reply = admin.client.list_audit_events(request).await.unwrap();
    reply.into_inner().events.remove(0)
}

/// All events of everything, in the order in which they were written.
async fn all_events(admin: &mut Admin) -> Vec<AuditEvent> {
    let request = ListAuditEventsRequest {
        page_size: 250,
        ..ListAuditEventsRequest::default()
    };
    let reply = admin.client.list_audit_events(request).await.unwrap();
    let mut events = reply.into_inner().events;
    events.reverse();
    events
}

fn said(status: &Status) -> (Code, String) {
    let info = status.get_details_error_info().unwrap();
    let condition = info.metadata.get("condition").cloned();
    (status.code(), condition.unwrap_or(info.reason))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_tells_what_it_has_and_a_gateway_what_is_left() {
    let (server, mut admin) = start().await;
    let mut checks = server.checks().await;
    let daily = CreditsPeriod::Daily.into();
    let spender = spender(&mut admin, refilled(None, daily, 3)).await;
    let shown = spender.key.credits.unwrap();
    assert_eq!(shown.balance, Some(3));
    assert_eq!(shown.refill.unwrap().amount, 3);
    let turn = shown.refill_time.unwrap();
    assert_eq!((turn.seconds % 86_400, turn.nanos), (0, 0));
    for remaining in [2, 1, 0] {
        let allowed = checks.header(&spender.token, &[]).await.unwrap();
        let left = CreditsLeft {
            remaining,
            refill_time: Some(turn),
        };
        assert_eq!(allowed.credits, Some(left));
    }
    let denied = checks.header(&spender.token, &[]).await.unwrap_err();
    assert_eq!(denied.reason(), DenialReason::CreditsExhausted);
    assert_eq!(denied.http_status, 429);
    assert_eq!(denied.key_id, spender.key.id);
    assert!(!denied.key_hint.is_empty());
    let none = CreditsLeft {
        remaining: 0,
        refill_time: Some(turn),
    };
    assert_eq!(denied.credits, Some(none));

    let plain = admin.key("kling", &[]).await;
    assert_eq!(plain.key.unwrap().credits, None);
    let allowed = checks.header(&plain.token, &[]).await.unwrap();
    assert_eq!(allowed.credits, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_denied_spends_nothing() {
    let (server, mut admin) = start().await;
    let mut checks = server.checks().await;
    let spender = spender(&mut admin, credits(20)).await;
    for _ in 0..50 {
        let denied = checks.header(&spender.token, &["people:write"]).await;
        let denied = denied.unwrap_err();
        assert_eq!(denied.reason(), DenialReason::InsufficientScope);
        assert_eq!(denied.credits, None);
        let elsewhere = CheckRequest {
            environment: "test".to_owned(),
            ..check_request(&spender.token, &[])
        };
        let denied = checks.ask(elsewhere).await.unwrap_err();
        assert_eq!(denied.reason(), DenialReason::Environment);
    }
    assert_eq!(balance(&mut admin, &spender.key).await, Some(20));
}

/// A key with a limit that always counts, and these credits.
async fn limited(admin: &mut Admin, count: u32, credits: Credits) -> Spender {
    let request = CreateKeyRequest {
        credits: Some(credits),
        limits: vec![Limit {
            name: "read".to_owned(),
            count,
            window: Some(prost_types::Duration {
                seconds: 3_600,
                nanos: 0,
            }),
            always: true,
        }],
        ..key_request("kling", &[])
    };
    let issued = admin.client.create_key(request).await.unwrap().into_inner();
    Spender {
        key: issued.key.unwrap(),
        token: issued.token,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_and_credits_are_spent_together_or_not_at_all() {
    let (server, mut admin) = start().await;
    let mut checks = server.checks().await;
    let costing = |token: &str, cost| CheckRequest {
        cost: Some(cost),
        ..check_request(token, &[])
    };
    // What a limit denies takes no credits.
    let by_limit = limited(&mut admin, 5, credits(100)).await;
    for _ in 0..5 {
        checks.header(&by_limit.token, &[]).await.unwrap();
    }
    for _ in 0..10 {
        let denied = checks.header(&by_limit.token, &[]).await.unwrap_err();
        assert_eq!(denied.reason(), DenialReason::RateLimited);
        assert_eq!(denied.credits, None);
    }
    assert_eq!(balance(&mut admin, &by_limit.key).await, Some(95));

    // What is denied for want of credits counts on no limit.
    let by_credits = limited(&mut admin, 50, credits(10)).await;
    checks.ask(costing(&by_credits.token, 7)).await.unwrap();
    for _ in 0..10 {
        let denied = checks.ask(costing(&by_credits.token, 4)).await.unwrap_err();
        assert_eq!(denied.reason(), DenialReason::CreditsExhausted);
        assert_eq!(denied.credits.unwrap().remaining, 3);
        assert!(denied.limits.is_empty());
        assert_eq!(denied.retry_delay, None);
    }
    // A look costs nothing.
    for _ in 0..10 {
        let allowed = checks.ask(costing(&by_credits.token, 0)).await.unwrap();
        assert_eq!(allowed.credits.unwrap().remaining, 3);
        assert_eq!(allowed.limits[0].remaining, 43);
    }
    let allowed = checks.ask(costing(&by_credits.token, 3)).await.unwrap();
    assert_eq!(allowed.credits.unwrap().remaining, 0);
    assert_eq!(allowed.limits[0].remaining, 40);
    let allowed = checks.ask(costing(&by_credits.token, 0)).await.unwrap();
    assert_eq!(allowed.credits.unwrap().remaining, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_denial_tells_when_a_refill_is_enough() {
    let (server, mut admin) = start().await;
    let mut checks = server.checks().await;
    let spender = spender(&mut admin, refilled(Some(0), 1, 10)).await;
    for (cost, told) in [(10, true), (11, false), (u32::MAX, false)] {
        let request = CheckRequest {
            cost: Some(cost),
            ..check_request(&spender.token, &[])
        };
        let denied = checks.ask(request).await.unwrap_err();
        assert_eq!(denied.reason(), DenialReason::CreditsExhausted);
        let delay = denied.retry_delay.map(|delay| delay.seconds);
        assert_eq!(delay.is_some(), told, "{cost}");
        assert!(delay.is_none_or(|delay| (0..=86_400).contains(&delay)));
    }
}

/// A block is as large as what waits for it.
#[tokio::test(flavor = "multi_thread")]
async fn a_check_can_cost_more_than_a_block() {
    let (server, mut admin) = start().await;
    let mut checks = server.checks().await;
    let spender = spender(&mut admin, credits(1_000_000)).await;
    for left in [750_000, 500_000, 250_000, 0] {
        let request = CheckRequest {
            cost: Some(250_000),
            ..check_request(&spender.token, &[])
        };
        let allowed = checks.ask(request).await.unwrap();
        assert_eq!(allowed.credits.unwrap().remaining, left);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn credits_come_change_and_go() {
    let (server, mut admin) = start().await;
    let mut checks = server.checks().await;
    let issued = admin.key("kling", &[]).await;
    let (key, token) = (issued.key.unwrap(), issued.token);
    let refused = adjust(&mut admin, &key, 5).await.unwrap_err();
    let precondition = (Code::FailedPrecondition, "NO_CREDITS".to_owned());
    assert_eq!(said(&refused), precondition);

    // They come: the key is another then.
    let given = set(&mut admin, &key, Some(credits(2))).await.unwrap();
    assert_ne!(given.etag, key.etag);
    assert!(checks.header(&token, &[]).await.is_ok());
    // They change, and the key does not.
    let more = adjust(&mut admin, &key, 5).await.unwrap();
    assert_eq!(more.credits.unwrap().balance, Some(6));
    assert_eq!(more.etag, given.etag);
    let less = adjust(&mut admin, &key, -100).await.unwrap();
    assert_eq!(less.credits.unwrap().balance, Some(0));
    assert_eq!(checks.denial(&token).await, DenialReason::CreditsExhausted);
    // The refill alone: the balance stays.
    let monthly = CreditsPeriod::Monthly.into();
    let filled = set(&mut admin, &key, Some(refilled(None, monthly, 9))).await;
    let filled = filled.unwrap().credits.unwrap();
    assert_eq!(
        (filled.balance, filled.refill.unwrap().amount),
        (Some(0), 9)
    );
    // They go.
    let free = set(&mut admin, &key, None).await.unwrap();
    assert_eq!(free.credits, None);
    assert_eq!(set(&mut admin, &key, None).await.unwrap(), free);
    for _ in 0..5 {
        assert_eq!(checks.header(&token, &[]).await.unwrap().credits, None);
    }
    // And come again.
    set(&mut admin, &key, Some(credits(1))).await.unwrap();
    assert!(checks.header(&token, &[]).await.is_ok());
    assert_eq!(checks.denial(&token).await, DenialReason::CreditsExhausted);

    admin.revoke(&key.id).await;
    for refused in [
        set(&mut admin, &key, None).await,
        adjust(&mut admin, &key, 1).await,
    ] {
        let revoked = (Code::FailedPrecondition, "REVOKED".to_owned());
        assert_eq!(said(&refused.unwrap_err()), revoked);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_acceptable_is_told_by_field() {
    let (_server, mut admin) = start().await;
    let key = spender(&mut admin, credits(5)).await.key;
    let most = 1_000_000_000_000_000;
    for (asked, field) in [
        (credits(most + 1), "credits.balance"),
        (refilled(None, 0, 5), "credits.refill.period"),
        (refilled(None, 99, 5), "credits.refill.period"),
        (refilled(None, 1, 0), "credits.refill.amount"),
        (refilled(None, 2, most + 1), "credits.refill.amount"),
    ] {
        let of_a_new_key = CreateKeyRequest {
            credits: Some(asked),
            ..key_request("kling", &[])
        };
        let refused = admin.client.create_key(of_a_new_key).await.unwrap_err();
        for refused in [
            refused,
            set(&mut admin, &key, Some(asked)).await.unwrap_err(),
        ] {
            let told = refused.get_details_bad_request().unwrap();
            assert_eq!(told.field_violations[0].field, field);
        }
    }
    for delta in [0, i64::MAX] {
        let refused = adjust(&mut admin, &key, delta).await.unwrap_err();
        let told = refused.get_details_bad_request().unwrap();
        assert_eq!(told.field_violations[0].field, "delta");
    }
    // Nothing was lost by it.
    assert_eq!(balance(&mut admin, &key).await, Some(5));
    set(&mut admin, &key, Some(credits(most))).await.unwrap();
    assert_eq!(balance(&mut admin, &key).await, Some(most));
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_are_in_the_audit_log_and_use_is_not() {
    let (server, mut admin) = start().await;
    let mut checks = server.checks().await;
    let spender = spender(&mut admin, credits(50)).await;
    for _ in 0..30 {
        checks.header(&spender.token, &[]).await.unwrap();
    }
    set(&mut admin, &spender.key, Some(refilled(Some(7), 1, 9)))
        .await
        .unwrap();
    adjust(&mut admin, &spender.key, -3).await.unwrap();
    set(&mut admin, &spender.key, None).await.unwrap();
    let events = all_events(&mut admin).await;
    let told: Vec<_> = events
        .iter()
        .filter(|event| event.resource == spender.key.id)
        .map(|event| {
            let detail = event.detail.iter();
            let detail = detail.filter(|(name, _)| {
                ["credits", "delta"].contains(&name.as_str())
                    || name.starts_with("balance")
                    || name.starts_with("refill")
            });
            let detail: Vec<_> = detail
                .map(|(name, value)| format!("{name}={value}"))
                .collect();
            format!("{} {}", event.action, detail.join(" "))
        })
        .collect();
    assert_eq!(
        told,
        [
            "key.create credits=50",
            "credits.set balance=7 balance_before=20 refill=DAILY=9",
            "credits.adjust balance=4 balance_before=7 delta=-3 refill=DAILY=9 refill_before=DAILY=9",
            "credits.set balance=none balance_before=4 refill_before=DAILY=9",
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_request_gives_credits_once() {
    let (_server, mut admin) = start().await;
    let request = CreateKeyRequest {
        credits: Some(credits(5)),
        request_id: "once".to_owned(),
        ..key_request("kling", &[])
    };
    let first = admin.client.create_key(request.clone()).await.unwrap();
    let second = admin.client.create_key(request.clone()).await.unwrap();
    assert_eq!(first.into_inner(), second.into_inner());
    let other = CreateKeyRequest {
        credits: Some(credits(6)),
        ..request
    };
    let refused = admin.client.create_key(other).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_key_leaves_no_credits() {
    let site = Site::init();
    let mut command = site.serve_command();
    command.args(["--key-retention", "0s"]);
    let server = Server::spawn(site.clone(), command).unwrap();
    let mut admin = server.admin().await;
    admin.workspace("kling", "klg", &["live"]).await;
    let spender = spender(&mut admin, credits(500)).await;
    let mut checks = server.checks().await;
    assert!(checks.header(&spender.token, &[]).await.is_ok());
    admin.revoke(&spender.key.id).await;
    assert_eq!(balance(&mut admin, &spender.key).await, Some(499));
    let request = keyward::edge::pb::DeleteKeyRequest {
        key_id: spender.key.id.clone(),
        etag: String::new(),
    };
    admin.client.delete_key(request).await.unwrap();
    assert_eq!(checks.denial(&spender.token).await, DenialReason::Unknown);
    assert!(server.stop().0.success());
    site.edit(|_, records| {
        let id = |found: &Versioned| matches!(found.record.id(), RecordId::Credits(_));
        let left: Vec<_> = records.into_iter().filter(id).collect();
        assert_eq!(left.len(), 1);
        let Record::Credits(left) = &left[0].record else {
            panic!("{left:?}");
        };
        assert_eq!(left.balance, None);
        Vec::new()
    })
    .await;
    drop(site.serve());
}

/// How many writes it takes, by the revisions of the store.
#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_thousand_checks_take_a_few_hundred_writes() {
    const CHECKS: u64 = 100_000;
    const BATCH: u64 = 1_000;
    let (server, mut admin) = start().await;
    let spender = spender(&mut admin, credits(CHECKS)).await;
    let mut checks = server.checks().await;
    let mut client = checks.client.clone().max_decoding_message_size(8 << 20);
    for _ in 0..CHECKS / BATCH {
        let question = check_request(&spender.token, &[]);
        let request = CheckBatchRequest {
            checks: vec![question; usize::try_from(BATCH).unwrap()],
        };
        let reply = client.check_batch(request).await.unwrap().into_inner();
        for result in reply.results {
            verdict_of(result).unwrap();
        }
    }
    let denied = checks.denial(&spender.token).await;
    assert_eq!(denied, DenialReason::CreditsExhausted);
    let site = server.site.clone();
    assert!(server.stop().0.success());
    let mut writes = 0;
    site.edit(|_, records| {
        let newest = records.iter().map(|found| found.revision.0).max();
        writes = newest.unwrap();
        Vec::new()
    })
    .await;
    println!("{CHECKS} checks: {writes} commits, with those that made the key");
    assert!(writes < 300, "{writes} commits");
}
