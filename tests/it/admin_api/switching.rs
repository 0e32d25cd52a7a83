//! Keys and workspaces are switched off and on again: what that does to the
//! next check, to what can be issued, and to a second call.

use keyward::edge::pb::{AdminKey, AdminRole, DenialReason};

use super::calls::*;
use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_switched_off_and_on_for_the_very_next_check() {
    let server = Server::start();
    let (mut admin, mut checks) = (server.admin().await, server.checks().await);
    admin.workspace("w", "klg", &[]).await;
    let issued = admin.key("w", &["a"]).await;
    let mut last = issued.key.unwrap();
    for round in 0..25 {
        let off = switch_key(&mut admin, &last.id, "", true).await.unwrap();
        let denied = checks.header(&issued.token, &["a"]).await.unwrap_err();
        assert_eq!(
            (denied.reason(), denied.http_status, &denied.key_id),
            (DenialReason::Disabled, 403, &last.id),
            "{round}"
        );
        let expected = Key {
            state: KeyState::Disabled.into(),
            disabled: true,
            etag: off.etag.clone(),
            ..last.clone()
        };
        assert_eq!(but_for_usage(&off), but_for_usage(&expected));
        assert_ne!(off.etag, last.etag);
        // Again changes nothing, not even the etag.
        assert_eq!(
            but_for_usage(&switch_key(&mut admin, &last.id, "", true).await.unwrap()),
            but_for_usage(&off)
        );
        assert_eq!(
            but_for_usage(&get_key(&mut admin, &last.id).await.unwrap()),
            but_for_usage(&off)
        );
        let on = switch_key(&mut admin, &last.id, &off.etag, false)
            .await
            .unwrap();
        checks.header(&issued.token, &["a"]).await.unwrap();
        let expected = Key {
            etag: on.etag.clone(),
            ..last.clone()
        };
        assert_eq!(but_for_usage(&on), but_for_usage(&expected));
        assert_eq!(
            but_for_usage(&switch_key(&mut admin, &last.id, "", false).await.unwrap()),
            but_for_usage(&on)
        );
        last = on;
    }
    // The workspace, the key, and a change each way in each round.
    assert_eq!(events(&mut admin, log_of("w")).await.unwrap().len(), 2 + 50);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disabled_key_can_be_changed_and_stays_disabled() {
    let server = Server::start();
    let (mut admin, mut checks) = (server.admin().await, server.checks().await);
    admin.workspace("w", "klg", &[]).await;
    let issued = admin.key("w", &["a"]).await;
    let off = switch_key(&mut admin, &issued.key.unwrap().id, "", true).await;
    let asked = Key {
        scopes: names(&["b"]),
        expire_time: Some(in_seconds(3_600)),
        ..off.unwrap()
    };
    let changed = update_key(&mut admin, asked, &["scopes", "expire_time"]).await;
    let changed = changed.unwrap();
    assert!(changed.disabled && changed.state() == KeyState::Disabled);
    assert_eq!(checks.denial(&issued.token).await, DenialReason::Disabled);
    let site = server.site.clone();
    server.kill();
    let server = site.serve();
    let (mut admin, mut checks) = (server.admin().await, server.checks().await);
    assert_eq!(checks.denial(&issued.token).await, DenialReason::Disabled);
    switch_key(&mut admin, &changed.id, &changed.etag, false)
        .await
        .unwrap();
    checks.header(&issued.token, &["b"]).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_workspace_is_switched_off_and_on_with_all_of_its_keys() {
    let server = Server::start();
    let (mut admin, mut checks) = (server.admin().await, server.checks().await);
    let mut last = admin.workspace("w", "klg", &[]).await;
    admin.workspace("v", "klg", &[]).await;
    let (one, two) = (admin.key("w", &["a"]).await, admin.key("w", &["a"]).await);
    let other = admin.key("v", &["a"]).await;
    let key = one.key.clone().unwrap();
    for _ in 0..10 {
        let off = switch_workspace(&mut admin, "w", "", true).await.unwrap();
        for token in [&one.token, &two.token] {
            assert_eq!(checks.denial(token).await, DenialReason::Disabled);
        }
        checks.header(&other.token, &["a"]).await.unwrap();
        let expected = Workspace {
            disabled: true,
            etag: off.etag.clone(),
            ..last.clone()
        };
        assert_eq!(off, expected);
        assert_eq!(
            switch_workspace(&mut admin, "w", "", true).await.unwrap(),
            off
        );
        assert_eq!(get_workspace(&mut admin, "w").await.unwrap(), off);
        // None can be issued, whatever its fields; those that are there can be
        // read and ended.
        let status = admin.client.create_key(key_request("w", &["a"])).await;
        told(
            &status.unwrap_err(),
            Code::FailedPrecondition,
            "PRECONDITION_FAILED",
            &[
                ("type", "workspace"),
                ("id", "w"),
                ("condition", "WORKSPACE_DISABLED"),
            ],
        );
        let local = AdminKey {
            name: "local".to_owned(),
            role: AdminRole::Reader.into(),
            workspace: "w".to_owned(),
            ..AdminKey::default()
        };
        told(
            &create_admin(&mut admin, local).await.unwrap_err(),
            Code::FailedPrecondition,
            "PRECONDITION_FAILED",
            &[
                ("type", "workspace"),
                ("id", "w"),
                ("condition", "WORKSPACE_DISABLED"),
            ],
        );
        assert_eq!(
            but_for_usage(&get_key(&mut admin, &key.id).await.unwrap()),
            but_for_usage(&key)
        );
        assert_eq!(list(&mut admin, "w", 0, "").await.unwrap().keys.len(), 2);
        let on = switch_workspace(&mut admin, "w", &off.etag, false)
            .await
            .unwrap();
        for token in [&one.token, &two.token] {
            checks.header(token, &["a"]).await.unwrap();
        }
        assert_eq!(
            switch_workspace(&mut admin, "w", "", false).await.unwrap(),
            on
        );
        last = on;
    }
    // What ended while it was off stays ended.
    switch_workspace(&mut admin, "w", "", true).await.unwrap();
    let second = two.key.unwrap().id;
    admin.revoke(&key.id).await;
    switch_key(&mut admin, &second, "", true).await.unwrap();
    switch_workspace(&mut admin, "w", "", false).await.unwrap();
    assert_eq!(checks.denial(&one.token).await, DenialReason::Revoked);
    assert_eq!(checks.denial(&two.token).await, DenialReason::Disabled);
    switch_key(&mut admin, &second, "", false).await.unwrap();
    checks.header(&two.token, &["a"]).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_cannot_be_switched() {
    let server = Server::start();
    let mut admin = server.admin().await;
    let absent = KeyId::generate(SystemClock::default().now()).to_string();
    for disabled in [true, false] {
        for (id, shown) in [(&*absent, &*absent), ("nonsense", "")] {
            let status = switch_key(&mut admin, id, "", disabled).await.unwrap_err();
            let of_key = [("type", "key"), ("id", shown)];
            told(&status, Code::NotFound, "RESOURCE_NOT_FOUND", &of_key);
        }
        let status = switch_workspace(&mut admin, "nowhere", "", disabled).await;
        let of_workspace = [("type", "workspace"), ("id", "nowhere")];
        told(
            &status.unwrap_err(),
            Code::NotFound,
            "RESOURCE_NOT_FOUND",
            &of_workspace,
        );
        let status = switch_key(&mut admin, "", "", disabled).await.unwrap_err();
        assert_eq!(fields(&status), ["key_id"]);
        let status = switch_workspace(&mut admin, "", "", disabled).await;
        assert_eq!(fields(&status.unwrap_err()), ["workspace"]);
    }
}
