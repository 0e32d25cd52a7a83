//! An adjustment whose reply was lost is asked for again, and made once.

use keyward::edge::pb::{AdminKey, AdminRole, ListAuditEventsRequest};
use tonic::Code;
use tonic_types::StatusExt;

use super::*;
use crate::admin_api::calls::create_admin;
use crate::support::admin_client;

async fn adjust_as(
    admin: &mut Admin,
    key: &Key,
    (delta, request_id): (i64, &str),
) -> Result<Option<u64>, Status> {
    let request = AdjustCreditsRequest {
        key_id: key.id.clone(),
        delta,
        request_id: request_id.to_owned(),
    };
    let reply = admin.client.adjust_credits(request).await?;
    let credits = reply.into_inner().key.unwrap().credits;
    Ok(credits.and_then(|credits| credits.balance))
}

/// How often credits were adjusted, as the audit log has it.
async fn adjusted(admin: &mut Admin) -> usize {
    let request = ListAuditEventsRequest {
        page_size: 100,
        ..ListAuditEventsRequest::default()
    };
    let reply = admin.client.list_audit_events(request).await.unwrap();
    let events = reply.into_inner().events;
    let adjusted = events.iter().filter(|e| e.action == "credits.adjust");
    adjusted.count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_adjustment_is_made_once() {
    let (server, mut admin) = start().await;
    let spender = spender(&mut admin, credits(100)).await;
    let key = &spender.key;
    let once = (50, "refund-7");
    assert_eq!(adjust_as(&mut admin, key, once).await.unwrap(), Some(150));
    let mut checks = server.checks().await;
    checks.header(&spender.token, &[]).await.unwrap();
    // As it is then.
    assert_eq!(adjust_as(&mut admin, key, once).await.unwrap(), Some(149));
    assert_eq!(adjusted(&mut admin).await, 1);

    // Also after a restart, and after a kill.
    let site = tokio::task::block_in_place(|| server.kill());
    let server = tokio::task::block_in_place(|| site.serve());
    let mut admin = server.admin().await;
    let before = balance(&mut admin, key).await;
    assert_eq!(adjust_as(&mut admin, key, once).await.unwrap(), before);
    assert_eq!(adjusted(&mut admin).await, 1);

    // And of a key that was revoked since: what was done was done.
    admin.revoke(&key.id).await;
    assert_eq!(adjust_as(&mut admin, key, once).await.unwrap(), before);
    let other = adjust_as(&mut admin, key, (50, "refund-8")).await;
    assert_eq!(other.unwrap_err().code(), Code::FailedPrecondition);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_at_the_same_time_one_is_made() {
    let (_server, mut admin) = start().await;
    let spender = spender(&mut admin, credits(100)).await;
    let mut adjusting = JoinSet::new();
    for _ in 0..12 {
        let (mut admin, key) = (admin.clone(), spender.key.clone());
        adjusting.spawn(async move { adjust_as(&mut admin, &key, (7, "once")).await });
    }
    for adjusted in adjusting.join_all().await {
        assert_eq!(adjusted.unwrap(), Some(107));
    }
    assert_eq!(adjusted(&mut admin).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_id_of_one_request_is_no_others() {
    let (server, mut admin) = start().await;
    let spender = spender(&mut admin, credits(100)).await;
    let another = super::spender(&mut admin, credits(100)).await;
    let key = &spender.key;
    let made = adjust_as(&mut admin, key, (5, "a")).await.unwrap();
    assert_eq!(made, Some(105));
    let issue = CreateKeyRequest {
        request_id: "issue".to_owned(),
        ..key_request("kling", &[])
    };
    admin.client.create_key(issue.clone()).await.unwrap();
    let is_field = |status: &Status| {
        assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
        let fields = status.get_details_bad_request().unwrap().field_violations;
        assert_eq!(fields[0].field, "request_id");
    };
    // Another delta, another key, a key that was issued, and no id at all.
    is_field(&adjust_as(&mut admin, key, (6, "a")).await.unwrap_err());
    is_field(
        &adjust_as(&mut admin, &another.key, (5, "a"))
            .await
            .unwrap_err(),
    );
    is_field(&adjust_as(&mut admin, key, (5, "issue")).await.unwrap_err());
    is_field(
        &adjust_as(&mut admin, key, (5, "two words"))
            .await
            .unwrap_err(),
    );
    let issue = CreateKeyRequest {
        request_id: "a".to_owned(),
        ..issue
    };
    is_field(&admin.client.create_key(issue).await.unwrap_err());
    assert_eq!(balance(&mut admin, key).await, Some(105));
    assert_eq!(adjusted(&mut admin).await, 1);

    // Another caller's is another.
    let colleague = AdminKey {
        name: "a colleague".to_owned(),
        role: AdminRole::Owner.into(),
        grant_ceiling: vec!["*".to_owned()],
        ..AdminKey::default()
    };
    let colleague = create_admin(&mut admin, colleague).await.unwrap();
    let mut other = admin_client(&server.admin_address, &colleague.token).await;
    let made = adjust_as(&mut other, key, (5, "a")).await.unwrap();
    assert_eq!(made, Some(110));
    assert_eq!(adjusted(&mut admin).await, 2);
    // Without an id, each is one.
    for balance in [111, 112] {
        let made = adjust_as(&mut admin, key, (1, "")).await.unwrap();
        assert_eq!(made, Some(balance));
    }
}
