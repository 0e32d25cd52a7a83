//! A key gets a new token while the old one works on: how long, what ends it,
//! what is refused, and what is shown meanwhile.

use std::time::Duration;

use keyward::edge::pb::{Allowed, DenialReason, PresentedToken, RotateKeyRequest, Rotation};

use super::calls::*;
use super::*;
use crate::support::Checks;

const DAY: i64 = 24 * 3_600 * 1_000;

/// A server with a workspace, and a key in it.
struct Desk {
    server: Server,
    admin: Admin,
    checks: Checks,
    id: String,
    token: String,
}

impl Desk {
    async fn open() -> Self {
        Self::of(key_request("w", &["a"])).await
    }

    async fn of(request: CreateKeyRequest) -> Self {
        let server = Server::start();
        let (mut admin, checks) = (server.admin().await, server.checks().await);
        admin.workspace("w", "klg", &["live", "test"]).await;
        let issued = admin.client.create_key(request).await.unwrap().into_inner();
        Self {
            server,
            admin,
            checks,
            id: issued.key.unwrap().id,
            token: issued.token,
        }
    }

    async fn key(&mut self) -> Key {
        get_key(&mut self.admin, &self.id).await.unwrap()
    }

    /// The token that takes the other's place, which works on for so many
    /// milliseconds.
    async fn rotate(&mut self, overlap: i64) -> (Key, String) {
        let request = rotation(&self.id, overlap);
        let rotated = rotate_key(&mut self.admin, request).await.unwrap();
        (rotated.key.unwrap(), rotated.token)
    }

    async fn rotate_from_first_use(&mut self, overlap: i64) -> (Key, String) {
        let request = RotateKeyRequest {
            from_first_use: true,
            ..rotation(&self.id, overlap)
        };
        let rotated = rotate_key(&mut self.admin, request).await.unwrap();
        (rotated.key.unwrap(), rotated.token)
    }

    async fn settle(&mut self, how: Settled) -> Key {
        settle_rotation(&mut self.admin, (&self.id, ""), how)
            .await
            .unwrap()
    }

    async fn allowed(&mut self, token: &str) -> Allowed {
        let allowed = self.checks.header(token, &["a"]).await.unwrap();
        assert_eq!(allowed.key_id, self.id);
        allowed
    }

    /// The token is denied as one that has ended, by its own hint.
    async fn ended(&mut self, token: &str) {
        let denied = self.checks.header(token, &["a"]).await.unwrap_err();
        assert_eq!(
            (denied.reason(), denied.http_status, &denied.key_id),
            (DenialReason::Expired, 401, &self.id)
        );
        assert_eq!(denied.key_hint, hint(token));
    }

    async fn refused(&mut self, request: RotateKeyRequest, condition: &str) {
        let status = rotate_key(&mut self.admin, request).await.unwrap_err();
        self.is_condition(&status, condition);
    }

    fn is_condition(&self, status: &Status, condition: &str) {
        assert_eq!(status.code(), Code::FailedPrecondition, "{status:?}");
        let info = status.get_details_error_info().unwrap();
        assert_eq!(info.metadata["condition"], condition, "{status:?}");
        assert_eq!(info.metadata["id"], self.id);
    }

    /// No rotation is under way.
    async fn is_settled(&mut self) {
        for how in [Settled::Finished, Settled::Cancelled] {
            let status = settle_rotation(&mut self.admin, (&self.id, ""), how).await;
            self.is_condition(&status.unwrap_err(), "NO_ROTATION");
        }
        assert_eq!(self.key().await.rotation, None);
    }
}

fn hint(token: &str) -> String {
    format!("klg_live_…{}", &token[token.len() - 4..])
}

fn plus(time: Option<Timestamp>, millis: i64) -> u64 {
    micros(time) + u64::try_from(millis * 1_000).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn both_tokens_stand_for_the_one_key_while_it_is_rotated() {
    let mut desk = Desk::open().await;
    let (before, old) = (desk.key().await, desk.token.clone());
    assert_eq!(desk.allowed(&old).await.token, None);
    let start = now();
    let (key, new) = desk.rotate(DAY).await;
    assert_ne!(new, old);
    let under_way = key.rotation.clone().unwrap();
    assert!(since(start).contains(&micros(key.rotate_time)));
    assert_eq!(
        micros(under_way.old_end_time),
        plus(key.rotate_time, DAY),
        "{under_way:?}"
    );
    let expected = Key {
        hint: hint(&new),
        etag: key.etag.clone(),
        rotate_time: key.rotate_time,
        rotation_due_time: key.rotation_due_time,
        rotation: Some(Rotation {
            new_hint: hint(&new),
            old_hint: hint(&old),
            start_time: key.rotate_time,
            old_end_time: under_way.old_end_time,
            overlap: Some(prost_types::Duration {
                seconds: DAY / 1_000,
                nanos: 0,
            }),
        }),
        ..before.clone()
    };
    assert_eq!(but_for_usage(&key), but_for_usage(&expected));
    assert_ne!(key.etag, before.etag);
    assert_eq!(but_for_usage(&desk.key().await), but_for_usage(&key));
    // Who asks is told which of the two it is.
    let of_new = desk.allowed(&new).await;
    let of_old = desk.allowed(&old).await;
    assert_eq!(
        of_new.token,
        Some(PresentedToken {
            hint: hint(&new),
            superseded: false,
            end_time: None,
        })
    );
    assert_eq!(
        of_old.token,
        Some(PresentedToken {
            hint: hint(&old),
            superseded: true,
            end_time: under_way.old_end_time,
        })
    );
    assert_eq!(of_old.expire_time, under_way.old_end_time);
    let same = |allowed: Allowed| Allowed {
        token: None,
        expire_time: None,
        ..allowed
    };
    assert_eq!(same(of_new), same(of_old));
    // They share what is changed, and are denied by their own hints.
    let asked = Key {
        scopes: names(&["b"]),
        ..desk.key().await
    };
    update_key(&mut desk.admin, asked, &["scopes"])
        .await
        .unwrap();
    for token in [&old, &new] {
        let denied = desk.checks.header(token, &["a"]).await.unwrap_err();
        assert_eq!(
            (denied.reason(), denied.key_hint),
            (DenialReason::InsufficientScope, hint(token))
        );
        desk.checks.header(token, &["b"]).await.unwrap();
    }
    desk.admin.revoke(&desk.id.clone()).await;
    for token in [&old, &new] {
        assert_eq!(desk.checks.denial(token).await, DenialReason::Revoked);
    }
    assert_eq!(desk.key().await.rotation, None);
    assert_eq!(desk.key().await.rotation_due_time, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_old_token_ends_when_it_was_said_to() {
    let mut desk = Desk::open().await;
    let old = desk.token.clone();
    let (key, new) = desk.rotate(700).await;
    let end = micros(key.rotation.unwrap().old_end_time);
    let mut passed = 0;
    loop {
        let start = now();
        let verdict = desk.checks.header(&old, &["a"]).await;
        let stop = now();
        desk.allowed(&new).await;
        if stop < end {
            verdict.unwrap();
            passed += 1;
        } else if start >= end {
            assert_eq!(verdict.unwrap_err().reason(), DenialReason::Expired);
            break;
        }
    }
    assert!(passed > 0);
    desk.ended(&old).await;
    assert_eq!(desk.allowed(&new).await.token, None);
    desk.is_settled().await;
    // Then it can be rotated again, and what was two before is nobody's.
    let (_, newer) = desk.rotate(DAY).await;
    assert_eq!(desk.checks.denial(&old).await, DenialReason::Unknown);
    desk.allowed(&new).await;
    desk.allowed(&newer).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_one_is_under_way_only_what_ends_all_old_tokens_is_taken() {
    let mut desk = Desk::open().await;
    let first = desk.token.clone();
    for pending in [false, true] {
        let (key, second) = match pending {
            false => desk.rotate(DAY).await,
            true => desk.rotate_from_first_use(DAY).await,
        };
        for overlap in [1, 1_000, 30 * DAY] {
            let request = rotation(&key.id, overlap);
            desk.refused(request, "ROTATION_PENDING").await;
        }
        let usual = RotateKeyRequest {
            key_id: key.id.clone(),
            ..RotateKeyRequest::default()
        };
        let status = rotate_key(&mut desk.admin, usual).await.unwrap_err();
        let info = status.get_details_error_info().unwrap();
        assert_eq!(info.metadata.contains_key("endTime"), !pending);
        assert_eq!(
            but_for_usage(&desk.key().await),
            but_for_usage(&key),
            "nothing was changed"
        );
        let (key, third) = desk.rotate(0).await;
        assert_eq!(key.rotation, None);
        desk.ended(&second).await;
        assert_eq!(desk.checks.denial(&first).await, DenialReason::Unknown);
        assert_eq!(desk.allowed(&third).await.token, None);
        desk.is_settled().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_is_finished_or_cancelled_for_the_very_next_check() {
    let mut desk = Desk::open().await;
    let mut stands = desk.token.clone();
    for round in 0..24 {
        let (_, new) = match round % 3 {
            0 => desk.rotate(DAY).await,
            1 => desk.rotate(10 * DAY).await,
            _ => desk.rotate_from_first_use(DAY).await,
        };
        let (how, ends, stays) = match round % 2 {
            0 => (Settled::Finished, stands, new),
            _ => (Settled::Cancelled, new, stands),
        };
        let key = desk.settle(how).await;
        desk.ended(&ends).await;
        let allowed = desk.allowed(&stays).await;
        assert_eq!((allowed.token, allowed.expire_time), (None, None));
        assert_eq!(
            (key.hint.clone(), key.rotation.clone()),
            (hint(&stays), None)
        );
        assert_eq!(but_for_usage(&desk.key().await), but_for_usage(&key));
        desk.is_settled().await;
        stands = stays;
    }
    // A token that was cancelled is over for good, also if the other is
    // replaced and that is taken back.
    let (_, cancelled) = desk.rotate(DAY).await;
    desk.settle(Settled::Cancelled).await;
    desk.rotate(DAY).await;
    desk.settle(Settled::Cancelled).await;
    assert_eq!(desk.checks.denial(&cancelled).await, DenialReason::Unknown);
    desk.allowed(&stands).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_token_waits_for_the_first_use_of_the_new_one_that_counts() {
    let mut desk = Desk::open().await;
    let old = desk.token.clone();
    let (key, new) = desk.rotate_from_first_use(700).await;
    let under_way = key.rotation.clone().unwrap();
    assert_eq!(
        (under_way.old_end_time, under_way.overlap.unwrap().nanos),
        (None, 700_000_000)
    );
    // Uses of the old one, and of the new one where it does not work, are none.
    let elsewhere = |token: &str| {
        let mut request = support::check_request(token, &["a"]);
        request.environment = "test".to_owned();
        request
    };
    for _ in 0..20 {
        let allowed = desk.allowed(&old).await;
        let token = allowed.token.unwrap();
        assert_eq!((token.superseded, token.end_time), (true, None));
        assert_eq!(allowed.expire_time, None);
        let denied = desk.checks.ask(elsewhere(&new)).await.unwrap_err();
        assert_eq!(denied.reason(), DenialReason::Environment);
    }
    tokio::time::sleep(Duration::from_millis(800)).await;
    assert_eq!(but_for_usage(&desk.key().await), but_for_usage(&key));
    // One that asks for too much is one.
    let start = now();
    let denied = desk.checks.header(&new, &["b"]).await.unwrap_err();
    assert_eq!(denied.reason(), DenialReason::InsufficientScope);
    let stop = now();
    let noted = loop {
        let key = desk.key().await;
        if key.rotation.as_ref().unwrap().old_end_time.is_some() {
            break key;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    };
    let end = micros(noted.rotation.unwrap().old_end_time);
    assert!((start + 700_000..=stop + 700_000).contains(&end));
    while now() < end {
        desk.allowed(&new).await;
    }
    desk.ended(&old).await;
    desk.allowed(&new).await;
    desk.is_settled().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_token_lives_no_longer_than_its_key() {
    let expiry = in_seconds(3_600);
    let mut desk = Desk::of(CreateKeyRequest {
        expire_time: Some(expiry),
        ..key_request("w", &["a"])
    })
    .await;
    let (old, token) = (desk.token.clone(), desk.rotate(DAY).await.1);
    let end = |key: Key| key.rotation.unwrap().old_end_time;
    assert_eq!(end(desk.key().await), Some(expiry));
    // Nor is it given more time with the key.
    let asked = Key {
        id: desk.id.clone(),
        ..Key::default()
    };
    update_key(&mut desk.admin, asked, &["expire_time"])
        .await
        .unwrap();
    assert_eq!(end(desk.key().await), Some(expiry));
    assert_eq!(desk.allowed(&old).await.expire_time, Some(expiry));
    assert_eq!(desk.allowed(&token).await.expire_time, None);
    // Once the rotation is cancelled, it ends as if there had been none.
    desk.settle(Settled::Cancelled).await;
    assert_eq!(desk.allowed(&old).await.expire_time, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_rotated_is_refused_and_left_alone() {
    let mut desk = Desk::open().await;
    let before = desk.key().await;
    let request = |overlap| rotation(&before.id, overlap);
    for (request, field) in [
        (request(30 * DAY + 1), "overlap"),
        (request(-1), "overlap"),
        (
            RotateKeyRequest {
                from_first_use: true,
                ..request(0)
            },
            "overlap",
        ),
        (
            RotateKeyRequest {
                key_id: String::new(),
                ..request(1)
            },
            "key_id",
        ),
    ] {
        let status = rotate_key(&mut desk.admin, request).await.unwrap_err();
        assert_eq!(fields(&status), [field]);
    }
    desk.is_settled().await;
    let absent = KeyId::generate(SystemClock::default().now()).to_string();
    let status = rotate_key(&mut desk.admin, rotation(&absent, 1)).await;
    let of = [("type", "key"), ("id", &*absent)];
    told(
        &status.unwrap_err(),
        Code::NotFound,
        "RESOURCE_NOT_FOUND",
        &of,
    );
    assert_eq!(but_for_usage(&desk.key().await), but_for_usage(&before));

    // A key that is switched off can be given a new token before it is on again.
    switch_key(&mut desk.admin, &before.id, "", true)
        .await
        .unwrap();
    let (_, token) = desk.rotate(0).await;
    assert_eq!(desk.checks.denial(&token).await, DenialReason::Disabled);
    switch_key(&mut desk.admin, &before.id, "", false)
        .await
        .unwrap();
    desk.allowed(&token).await;

    // In a workspace that is, none is handed out, but both can be ended.
    desk.rotate(DAY).await;
    switch_workspace(&mut desk.admin, "w", "", true)
        .await
        .unwrap();
    let status = rotate_key(&mut desk.admin, request(0)).await.unwrap_err();
    let info = status.get_details_error_info().unwrap();
    assert_eq!(info.metadata["condition"], "WORKSPACE_DISABLED");
    desk.settle(Settled::Finished).await;
    switch_workspace(&mut desk.admin, "w", "", false)
        .await
        .unwrap();

    desk.rotate(DAY).await;
    desk.admin.revoke(&before.id).await;
    desk.refused(request(0), "REVOKED").await;
    desk.refused(request(1), "REVOKED").await;
    for how in [Settled::Finished, Settled::Cancelled] {
        let status = settle_rotation(&mut desk.admin, (&before.id, ""), how).await;
        desk.is_condition(&status.unwrap_err(), "REVOKED");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_rotations_at_once_one_is_started_and_its_token_works() {
    let mut desk = Desk::open().await;
    let mut tries = JoinSet::new();
    for _ in 0..16 {
        let (mut admin, request) = (desk.server.admin().await, rotation(&desk.id, DAY));
        tries.spawn(async move { rotate_key(&mut admin, request).await });
    }
    let outcomes = tries.join_all().await;
    let (started, refused): (Vec<_>, Vec<_>) = outcomes.into_iter().partition(Result::is_ok);
    let [started] = started.as_slice() else {
        panic!("one was started: {started:?}")
    };
    for status in refused {
        desk.is_condition(&status.unwrap_err(), "ROTATION_PENDING");
    }
    let token = started.as_ref().unwrap().token.clone();
    assert!(!desk.allowed(&token).await.token.unwrap().superseded);
    let old = desk.token.clone();
    assert!(desk.allowed(&old).await.token.unwrap().superseded);
}

/// A repeated request to issue a key shows its token again only as long as that
/// is the one that stands for it.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_was_replaced_is_not_shown_again() {
    let request = CreateKeyRequest {
        request_id: "one".to_owned(),
        ..key_request("w", &["a"])
    };
    let mut desk = Desk::of(request.clone()).await;
    let again = desk.admin.client.create_key(request.clone()).await;
    assert_eq!(again.unwrap().into_inner().token, desk.token);
    desk.rotate(DAY).await;
    let status = desk.admin.client.create_key(request.clone()).await;
    let of = [("type", "key"), ("id", &*desk.id)];
    told(
        &status.unwrap_err(),
        Code::AlreadyExists,
        "RESOURCE_EXISTS",
        &of,
    );
    // It does again once that was taken back.
    desk.settle(Settled::Cancelled).await;
    let again = desk.admin.client.create_key(request).await;
    assert_eq!(again.unwrap().into_inner().token, desk.token);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_due_by_the_period_of_its_workspace_and_is_found_by_that() {
    const PERIOD: i64 = 90 * DAY;
    let mut desk = Desk::open().await;
    let made = desk.key().await;
    assert_eq!(made.rotate_time, made.create_time);
    assert_eq!(
        micros(made.rotation_due_time),
        plus(made.rotate_time, PERIOD)
    );
    desk.admin.workspace("quick", "klg", &[]).await;
    let asked = Workspace {
        rotation_period: Some(prost_types::Duration {
            seconds: 3_600,
            nanos: 0,
        }),
        ..workspace("quick", "klg")
    };
    update_workspace(&mut desk.admin, asked, &["rotation_period"])
        .await
        .unwrap();
    let quick = desk.admin.key("quick", &[]).await.key.unwrap();
    assert_eq!(
        micros(quick.rotation_due_time),
        plus(quick.create_time, 3_600_000)
    );
    let ended = desk.admin.key("quick", &[]).await.key.unwrap().id;
    desk.admin.revoke(&ended).await;

    let day = 24 * 3_600;
    for (workspace, before, found) in [
        ("", in_seconds(0), vec![]),
        ("", in_seconds(3_000), vec![]),
        ("", in_seconds(4_000), vec![&quick.id]),
        ("", in_seconds(89 * day), vec![&quick.id]),
        ("", in_seconds(91 * day), vec![&made.id, &quick.id]),
        ("w", in_seconds(91 * day), vec![&made.id]),
        ("quick", in_seconds(91 * day), vec![&quick.id]),
    ] {
        let request = ListKeysRequest {
            workspace: workspace.to_owned(),
            rotation_due_before: Some(before),
            ..ListKeysRequest::default()
        };
        let listed = desk.admin.client.list_keys(request).await.unwrap();
        let keys = listed.into_inner().keys;
        let ids: Vec<_> = keys.iter().map(|key| &key.id).collect();
        assert_eq!(ids, found, "{workspace} {before:?}");
    }
    let no_time = ListKeysRequest {
        rotation_due_before: Some(Timestamp {
            seconds: 0,
            nanos: -1,
        }),
        ..ListKeysRequest::default()
    };
    let status = desk.admin.client.list_keys(no_time).await.unwrap_err();
    assert_eq!(fields(&status), ["rotation_due_before"]);
    // A new token puts it off, and one that is taken back does not.
    let (rotated, _) = desk.rotate(DAY).await;
    assert!(micros(rotated.rotation_due_time) > micros(made.rotation_due_time));
    let cancelled = desk.settle(Settled::Cancelled).await;
    assert_eq!(cancelled.rotation_due_time, made.rotation_due_time);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_period_has_bounds_and_a_default() {
    let server = Server::start();
    let mut admin = server.admin().await;
    let span = |seconds, nanos| Some(prost_types::Duration { seconds, nanos });
    let most = 3_650 * 24 * 3_600;
    for (number, (period, kept)) in (0..).zip([
        (None, span(90 * 24 * 3_600, 0)),
        (span(most, 0), span(most, 0)),
        (span(0, 1_000), span(0, 1_000)),
    ]) {
        let asked = Workspace {
            rotation_period: period,
            ..workspace(&format!("w{number}"), "klg")
        };
        let created = create_workspace(&mut admin, asked).await.unwrap();
        assert_eq!(created.rotation_period, kept);
    }
    for period in [span(0, 0), span(0, 999), span(-1, 0), span(most, 1_000)] {
        let asked = Workspace {
            rotation_period: period,
            ..workspace("x", "klg")
        };
        let status = create_workspace(&mut admin, asked.clone()).await;
        assert_eq!(fields(&status.unwrap_err()), ["workspace.rotation_period"]);
        let asked = Workspace {
            id: "w1".to_owned(),
            ..asked
        };
        let status = update_workspace(&mut admin, asked, &["rotation_period"]).await;
        assert_eq!(fields(&status.unwrap_err()), ["workspace.rotation_period"]);
    }
    // Named and not given, it is the default again.
    let bare = workspace("w1", "");
    let changed = update_workspace(&mut admin, bare, &["rotation_period"]).await;
    assert_eq!(changed.unwrap().rotation_period, span(90 * 24 * 3_600, 0));
}
