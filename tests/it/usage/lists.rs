//! Which keys are unused: to the microsecond, page by page, together with other
//! filters.

use keyward::edge::pb::{KeyState, ListKeysRequest};
use prost_types::Timestamp;
use tonic::Code;

use super::*;

/// The keys that fit, fetched one by one.
pub(super) async fn listed(admin: &mut Admin, request: &ListKeysRequest) -> Vec<String> {
    let mut ids = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = ListKeysRequest {
            page_size: 1,
            page_token,
            ..request.clone()
        };
        let reply = admin.client.list_keys(request).await.unwrap().into_inner();
        ids.extend(reply.keys.into_iter().map(|key| key.id));
        if reply.next_page_token.is_empty() {
            return ids;
        }
        page_token = reply.next_page_token;
    }
}

fn later(time: Option<Timestamp>, micros: i32) -> Option<Timestamp> {
    let mut time = time.unwrap();
    time.nanos += micros * 1_000;
    if time.nanos < 0 {
        (time.seconds, time.nanos) = (time.seconds - 1, time.nanos + 1_000_000_000);
    } else if time.nanos >= 1_000_000_000 {
        (time.seconds, time.nanos) = (time.seconds + 1, time.nanos - 1_000_000_000);
    }
    Some(time)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_unused_since_its_last_use_or_since_it_was_made() {
    let server = Server::start();
    let mut admin = server.admin().await;
    admin.workspace("kling", "klg", &[]).await;
    let never = admin.key("kling", &[]).await;
    let used = admin.key("kling", &["people:read"]).await;
    let denied = admin.key("kling", &[]).await;
    let mut checks = server.checks().await;
    checks.header(&used.token, &[]).await.unwrap();
    checks
        .header(&denied.token, &["people:read"])
        .await
        .unwrap_err();
    let [never, used, denied] = [never, used, denied].map(|issued| id(&issued).to_owned());
    let last_use = key(&mut admin, &used).await.usage.unwrap().last_used_time;
    let made = key(&mut admin, &denied).await.create_time;
    let since = |time| ListKeysRequest {
        unused_since: time,
        ..ListKeysRequest::default()
    };

    // A use at that very time is one; a key of that very time was not before.
    for (time, expected) in [
        (later(last_use, 1), vec![&never, &used, &denied]),
        (last_use, vec![&never, &denied]),
        (later(made, 1), vec![&never, &denied]),
        (made, vec![&never]),
        (Some(Timestamp::default()), vec![]),
    ] {
        let expected: Vec<_> = expected.into_iter().cloned().collect();
        assert_eq!(listed(&mut admin, &since(time)).await, expected, "{time:?}");
    }
    // What was denied was not used.
    let mut never_used = ListKeysRequest {
        never_used: true,
        ..ListKeysRequest::default()
    };
    let both = [never.clone(), denied.clone()];
    assert_eq!(listed(&mut admin, &never_used).await, both);
    never_used.unused_since = made;
    assert_eq!(listed(&mut admin, &never_used).await, both[..1]);
    admin.revoke(&never).await;
    never_used.unused_since = None;
    never_used.state = KeyState::Active.into();
    assert_eq!(listed(&mut admin, &never_used).await, both[1..]);
    checks.header("Bearer nothing", &[]).await.unwrap_err();
    let one_page = ListKeysRequest {
        page_size: 1,
        ..since(later(last_use, 1))
    };
    let reply = admin.client.list_keys(one_page).await.unwrap().into_inner();
    assert!(reply.keys[0].usage.is_some(), "it is shown in lists, too");

    // A page token is good for its own question.
    let other = ListKeysRequest {
        page_token: reply.next_page_token,
        ..since(last_use)
    };
    let status = admin.client.list_keys(other).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    let odd = since(Some(Timestamp {
        seconds: -1,
        nanos: -1,
    }));
    let status = admin.client.list_keys(odd).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
}
