//! Workspaces and keys: created with their defaults, read back, listed and
//! revoked, now and after a restart.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_workspace_is_created_with_its_defaults_and_read_back() {
    let server = Server::start();
    let mut admin = server.admin().await;
    let before = now();
    let asked = Workspace {
        display_name: "Kling, Inc. · ä".to_owned(),
        environments: names(&["test", "live", "dev"]),
        unmarked_environment: "dev".to_owned(),
        // Output only, and so ignored.
        create_time: Some(Timestamp {
            seconds: 1,
            nanos: 1,
        }),
        created_by: "me".to_owned(),
        ..workspace("kling", "klg")
    };
    let created = create_workspace(&mut admin, asked.clone()).await.unwrap();
    assert!(created.created_by.starts_with("adm_") && created.created_by.len() == 30);
    assert!(since(before).contains(&micros(created.create_time)));
    assert!(!created.etag.is_empty());
    let expected = Workspace {
        default_environment: "live".to_owned(),
        create_time: created.create_time,
        created_by: created.created_by.clone(),
        etag: created.etag.clone(),
        rotation_period: Some(prost_types::Duration {
            seconds: 90 * 24 * 3_600,
            nanos: 0,
        }),
        ..asked
    };
    assert_eq!(created, expected);
    assert_eq!(get_workspace(&mut admin, "kling").await.unwrap(), created);

    let plain = create_workspace(&mut admin, workspace("plain", "klg"))
        .await
        .unwrap();
    assert_eq!(
        (plain.default_environment.as_str(), plain.environments.len()),
        ("", 0)
    );
    let first = Workspace {
        environments: names(&["b", "a"]),
        ..workspace("first", "klg")
    };
    assert_eq!(
        create_workspace(&mut admin, first)
            .await
            .unwrap()
            .default_environment,
        "b"
    );

    // A second one under the same id, whatever else is in it, changes nothing.
    let again = Workspace {
        display_name: "another".to_owned(),
        ..workspace("kling", "other")
    };
    let status = create_workspace(&mut admin, again).await.unwrap_err();
    told(
        &status,
        Code::AlreadyExists,
        "RESOURCE_EXISTS",
        &[("type", "workspace"), ("id", "kling")],
    );
    assert_eq!(get_workspace(&mut admin, "kling").await.unwrap(), created);
    // Nor after a restart.
    let site = server.site.clone();
    server.stop();
    let server = site.serve();
    assert_eq!(
        get_workspace(&mut server.admin().await, "kling")
            .await
            .unwrap(),
        created
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_created_read_listed_and_revoked() {
    let server = Server::start();
    let mut admin = server.admin().await;
    let owner = create_workspace(&mut admin, workspace("w", "klg"))
        .await
        .unwrap()
        .created_by;
    let before = now();
    let request = CreateKeyRequest {
        description: "what it is for".to_owned(),
        metadata: metadata(&[("plan", "free"), ("empty", "")]),
        expire_time: Some(Timestamp {
            seconds: 4_000_000_000,
            nanos: 999_999_999,
        }),
        ..key_request("w", &["people:write", "people:read", "people:read", "ALL"])
    };
    let issued = admin.client.create_key(request).await.unwrap().into_inner();
    let key = issued.key.unwrap();
    assert!(since(before).contains(&micros(key.create_time)));
    let expected = Key {
        id: key.id.clone(),
        workspace: "w".to_owned(),
        principal: "user:ada".to_owned(),
        name: "a key".to_owned(),
        description: "what it is for".to_owned(),
        scopes: names(&["*", "people:read", "people:write"]),
        metadata: metadata(&[("plan", "free"), ("empty", "")]),
        state: KeyState::Active.into(),
        hint: format!("klg_…{}", &issued.token[issued.token.len() - 4..]),
        create_time: key.create_time,
        etag: key.etag.clone(),
        created_by: owner.clone(),
        expire_time: Some(Timestamp {
            seconds: 4_000_000_000,
            nanos: 999_999_000,
        }),
        rotate_time: key.create_time,
        rotation_due_time: key.create_time.map(|time| Timestamp {
            seconds: time.seconds + 90 * 24 * 3_600,
            ..time
        }),
        ..Key::default()
    };
    assert_eq!(but_for_usage(&key), but_for_usage(&expected));
    assert!(key.id.parse::<KeyId>().is_ok());
    assert_eq!(
        but_for_usage(&get_key(&mut admin, &key.id).await.unwrap()),
        but_for_usage(&key)
    );
    assert_eq!(
        list(&mut admin, "w", 0, "").await.unwrap().keys,
        std::slice::from_ref(&key)
    );

    let before = now();
    let revoked = revoke(&mut admin, &key.id, RevocationReason::Superseded.into())
        .await
        .unwrap();
    assert!(since(before).contains(&micros(revoked.revoke_time)));
    let expected = Key {
        state: KeyState::Revoked.into(),
        revoke_time: revoked.revoke_time,
        revocation_reason: RevocationReason::Superseded.into(),
        revoked_by: owner,
        etag: revoked.etag.clone(),
        rotation_due_time: None,
        ..key.clone()
    };
    assert_eq!(revoked, expected);
    assert_ne!(revoked.etag, key.etag);
    assert_eq!(
        but_for_usage(&get_key(&mut admin, &key.id).await.unwrap()),
        but_for_usage(&revoked)
    );
    assert_eq!(list(&mut admin, "", 0, "").await.unwrap().keys, [revoked]);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_reason_can_be_given_and_no_other() {
    let server = Server::start();
    let mut admin = server.admin().await;
    admin.workspace("w", "klg", &[]).await;
    for value in 0..=5 {
        let id = admin.key("w", &[]).await.key.unwrap().id;
        let revoked = revoke(&mut admin, &id, value).await.unwrap();
        assert_eq!(
            (revoked.revocation_reason, revoked.state()),
            (value, KeyState::Revoked)
        );
    }
    let id = admin.key("w", &[]).await.key.unwrap().id;
    for value in [99, 6, -1, i32::MIN, i32::MAX] {
        let status = revoke(&mut admin, &id, value).await.unwrap_err();
        assert_eq!(fields(&status), ["reason"], "{value}");
        assert!(status.message().contains(&value.to_string()), "{status:?}");
    }
    assert_eq!(
        get_key(&mut admin, &id).await.unwrap().state(),
        KeyState::Active
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn revoking_again_changes_nothing_and_leaves_no_trace() {
    let server = Server::start();
    let mut admin = server.admin().await;
    admin.workspace("w", "klg", &[]).await;
    let id = admin.key("w", &[]).await.key.unwrap().id;
    // Many at once, each with a reason of its own.
    let mut calls = JoinSet::new();
    for number in 0..24 {
        let (mut admin, id) = (admin.clone(), id.clone());
        calls.spawn(async move {
            let request = RevokeKeyRequest {
                key_id: id,
                reason: number % 6,
                ..RevokeKeyRequest::default()
            };
            admin
                .client
                .revoke_key(request)
                .await
                .unwrap()
                .into_inner()
                .encode_to_vec()
        });
    }
    let mut replies = BTreeSet::from_iter(calls.join_all().await);
    for reason in 0..6 {
        let request = RevokeKeyRequest {
            key_id: id.clone(),
            reason,
            ..RevokeKeyRequest::default()
        };
        replies.insert(
            admin
                .client
                .revoke_key(request)
                .await
                .unwrap()
                .into_inner()
                .encode_to_vec(),
        );
    }
    assert_eq!(replies.len(), 1, "all replies are the first, byte for byte");
    let site = server.site.clone();
    server.stop();
    // The workspace, the key, and one revocation.
    assert_eq!(audit_records(&site, "w"), 3);
    // Nor does a refused call leave one behind.
    let server = site.serve();
    let mut admin = server.admin().await;
    replies.insert(admin.revoke(&id).await.encode_to_vec());
    assert!(
        create_workspace(&mut admin, workspace("w", "klg"))
            .await
            .is_err()
    );
    assert!(
        admin
            .client
            .create_key(key_request("w", &["No"]))
            .await
            .is_err()
    );
    server.stop();
    assert_eq!(audit_records(&site, "w"), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_ends_at_its_deadline() {
    let server = Server::start();
    let mut admin = server.admin().await;
    admin.workspace("w", "klg", &[]).await;
    let key = admin.key("w", &[]).await.key.unwrap();
    let mut request = Request::new(RevokeKeyRequest {
        key_id: key.id.clone(),
        reason: 0,
        ..RevokeKeyRequest::default()
    });
    // Shorter than any disk is fast. It is the server that is told; this
    // client has no deadline of its own.
    request
        .metadata_mut()
        .insert("grpc-timeout", "1n".parse().unwrap());
    let status = admin.client.revoke_key(request).await.unwrap_err();
    assert!(
        matches!(status.code(), Code::DeadlineExceeded | Code::Cancelled),
        "{status:?}"
    );
    // Whether or not it was carried out, it can be said again.
    assert_eq!(admin.revoke(&key.id).await.state(), KeyState::Revoked);
}
