//! Keys are changed by a field mask: each field alone, nothing that is not
//! named, and not once they are revoked.

use keyward::edge::pb::{Limit, Rotation};

use super::calls::*;
use keyward::edge::pb;

use super::*;
use crate::support::check_request;
use keyward::edge::pb::{CheckRequest, DenialReason};

/// The same key with other values in all fields that can be changed, and in
/// those that cannot.
fn other_values(key: &Key) -> Key {
    Key {
        id: key.id.clone(),
        workspace: "v".to_owned(),
        environment: "test".to_owned(),
        principal: "user:eve".to_owned(),
        name: "another name".to_owned(),
        description: "another use".to_owned(),
        scopes: names(&["people:write", "people:read", "people:read"]),
        metadata: metadata(&[("plan", "paid")]),
        state: KeyState::Revoked.into(),
        hint: "hint".to_owned(),
        create_time: Some(Timestamp::default()),
        created_by: "me".to_owned(),
        expire_time: Some(Timestamp {
            seconds: 4_100_000_000,
            nanos: 1_999,
        }),
        revoke_time: Some(Timestamp::default()),
        revocation_reason: RevocationReason::Leaked.into(),
        revoked_by: "me".to_owned(),
        revocation_note: "note".to_owned(),
        etag: String::new(),
        disabled: true,
        personal: true,
        effective_scopes: Some(keyward::edge::pb::EffectiveScopes::default()),
        limits: vec![Limit {
            name: "read".to_owned(),
            count: 5,
            window: Some(prost_types::Duration {
                seconds: 60,
                nanos: 0,
            }),
            always: true,
        }],
        source_addresses: names(&["::1", "10.0.0.0/8", "::ffff:127.0.0.1"]),
        imported: None,
        rotation: Some(Rotation::default()),
        rotate_time: Some(Timestamp::default()),
        rotation_due_time: Some(Timestamp::default()),
        credits: Some(pb::Credits::default()),
        usage: Some(pb::KeyUsage {
            allowed: 7,
            ..pb::KeyUsage::default()
        }),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_field_is_changed_alone_and_stays_so() {
    let server = Server::start();
    let (mut admin, mut checks) = (server.admin().await, server.checks().await);
    for workspace in ["w", "v"] {
        admin.workspace(workspace, "klg", &["live", "test"]).await;
    }
    type Change = fn(&mut Key, &Key);
    let fields: [(&str, Change); 7] = [
        ("name", |key, new| key.name.clone_from(&new.name)),
        ("description", |key, new| {
            key.description.clone_from(&new.description)
        }),
        ("scopes", |key, _| {
            key.scopes = names(&["people:read", "people:write"]);
        }),
        ("metadata", |key, new| {
            key.metadata.clone_from(&new.metadata)
        }),
        ("expire_time", |key, _| {
            // Kept to the microsecond.
            key.expire_time = Some(Timestamp {
                seconds: 4_100_000_000,
                nanos: 1_000,
            });
        }),
        ("limits", |key, new| key.limits.clone_from(&new.limits)),
        ("source_addresses", |key, _| {
            key.source_addresses = names(&["10.0.0.0/8", "127.0.0.1/32", "::1/128"]);
        }),
    ];
    let mut changed_keys = Vec::new();
    for (field, change) in fields {
        let issued = admin.key("w", &["a", "people:read"]).await;
        let (token, before) = (issued.token, issued.key.unwrap());
        let after = update_key(&mut admin, other_values(&before), &[field])
            .await
            .unwrap();
        let mut expected = before.clone();
        change(&mut expected, &other_values(&before));
        expected.etag.clone_from(&after.etag);
        assert_eq!(but_for_usage(&after), but_for_usage(&expected), "{field}");
        assert_ne!(after, before, "{field}");
        assert_ne!(after.etag, before.etag, "{field}");
        assert_eq!(
            but_for_usage(&get_key(&mut admin, &before.id).await.unwrap()),
            but_for_usage(&after)
        );
        // The next check judges by it.
        let question = CheckRequest {
            source_address: "127.0.0.1".to_owned(),
            ..check_request(&token, &["people:read"])
        };
        let allowed = checks.ask(question).await.unwrap();
        assert_eq!(
            (
                allowed.name,
                allowed.scopes,
                allowed.metadata,
                allowed.expire_time
            ),
            (
                after.name.clone(),
                after.scopes.clone(),
                after.metadata.clone(),
                after.expire_time
            ),
            "{field}"
        );
        // The same again changes nothing, not even the etag.
        let again = update_key(&mut admin, other_values(&before), &[field]).await;
        assert_eq!(
            but_for_usage(&again.unwrap()),
            but_for_usage(&after),
            "{field}"
        );
        changed_keys.push(after);
    }
    // All at once, in any order, named twice.
    let issued = admin.key("w", &["a"]).await.key.unwrap();
    let all = [
        "scopes",
        "name",
        "expire_time",
        "metadata",
        "description",
        "limits",
        "source_addresses",
        "name",
    ];
    let after = update_key(&mut admin, other_values(&issued), &all)
        .await
        .unwrap();
    let mut expected = issued.clone();
    for (_, change) in fields {
        change(&mut expected, &other_values(&issued));
    }
    expected.etag.clone_from(&after.etag);
    assert_eq!(but_for_usage(&after), but_for_usage(&expected));
    changed_keys.push(after);

    let site = server.site.clone();
    server.kill();
    let server = site.serve();
    let mut admin = server.admin().await;
    for key in changed_keys {
        assert_eq!(
            but_for_usage(&get_key(&mut admin, &key.id).await.unwrap()),
            but_for_usage(&key)
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_field_that_is_named_and_not_given_is_cleared() {
    let server = Server::start();
    let (mut admin, mut checks) = (server.admin().await, server.checks().await);
    admin.workspace("w", "klg", &[]).await;
    let request = CreateKeyRequest {
        description: "what it is for".to_owned(),
        metadata: metadata(&[("plan", "free")]),
        expire_time: Some(in_seconds(3_600)),
        source_addresses: names(&["10.0.0.0/8"]),
        ..key_request("w", &["people:read"])
    };
    let issued = admin.client.create_key(request).await.unwrap().into_inner();
    let before = issued.key.unwrap();
    let bare = Key {
        id: before.id.clone(),
        ..Key::default()
    };
    assert_eq!(
        checks.denial(&issued.token).await,
        DenialReason::SourceAddress
    );
    let cleared = [
        "description",
        "scopes",
        "metadata",
        "expire_time",
        "source_addresses",
    ];
    let mut expected = before.clone();
    for field in cleared {
        let after = update_key(&mut admin, bare.clone(), &[field])
            .await
            .unwrap();
        match field {
            "description" => expected.description.clear(),
            "scopes" => expected.scopes.clear(),
            "metadata" => expected.metadata.clear(),
            "source_addresses" => expected.source_addresses.clear(),
            _ => expected.expire_time = None,
        }
        expected.etag.clone_from(&after.etag);
        assert_eq!(but_for_usage(&after), but_for_usage(&expected), "{field}");
    }
    let allowed = checks.header(&issued.token, &[]).await.unwrap();
    assert_eq!(allowed.expire_time, None);
    assert!(allowed.scopes.is_empty() && allowed.metadata.is_empty());
    // A name is required, so it cannot be taken away.
    let status = update_key(&mut admin, bare, &["name"]).await.unwrap_err();
    assert_eq!(fields(&status), ["key.name"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_field_that_can_be_changed_is_refused() {
    let server = Server::start();
    let mut admin = server.admin().await;
    admin.workspace("w", "klg", &[]).await;
    let key = admin.key("w", &["a"]).await.key.unwrap();
    let asked = other_values(&key);
    assert_eq!(
        fields(
            &update_key(&mut admin, asked.clone(), &[])
                .await
                .unwrap_err()
        ),
        ["update_mask"]
    );
    let none = keyward::edge::pb::UpdateKeyRequest {
        key: Some(asked.clone()),
        update_mask: None,
    };
    let status = admin.client.update_key(none).await.unwrap_err();
    assert_eq!(fields(&status), ["update_mask"]);
    for path in [
        "*",
        "",
        "id",
        "workspace",
        "environment",
        "principal",
        "state",
        "etag",
        "disabled",
        "hint",
        "created_by",
        "revoke_time",
        "Name",
        "key.name",
        "name ",
        "metadata.plan",
        "scopes[0]",
        "expireTime",
        "expire_time.seconds",
        "source_address",
        "ä",
        "\0",
    ] {
        let refused = update_key(&mut admin, asked.clone(), &["name", path]).await;
        assert_eq!(
            fields(&refused.unwrap_err()),
            ["update_mask.paths[1]"],
            "{path:?}"
        );
    }
    // What cannot be, for each field, told at once.
    let bad = Key {
        name: " ".to_owned(),
        description: "d".repeat(301),
        scopes: names(&["ok", "No"]),
        metadata: metadata(&[("a b", "x")]),
        expire_time: Some(in_seconds(-1)),
        source_addresses: names(&["::1", "10.0.0.1/8"]),
        ..asked.clone()
    };
    let all = [
        "name",
        "description",
        "scopes",
        "metadata",
        "expire_time",
        "source_addresses",
    ];
    let status = update_key(&mut admin, bad, &all).await.unwrap_err();
    assert_eq!(
        fields(&status),
        [
            "key.name",
            "key.description",
            "key.scopes[1]",
            "key.metadata[0]",
            "key.expire_time",
            "key.source_addresses[1]"
        ]
    );
    let nobody = keyward::edge::pb::UpdateKeyRequest {
        key: None,
        update_mask: mask(&["name"]),
    };
    let status = admin.client.update_key(nobody).await.unwrap_err();
    assert_eq!(fields(&status), ["key.id"]);
    assert_eq!(
        but_for_usage(&get_key(&mut admin, &key.id).await.unwrap()),
        but_for_usage(&key)
    );
    let events = events(&mut admin, log_of("w")).await.unwrap();
    assert_eq!(events.len(), 2, "the workspace and the key: {events:?}");
}

/// The longest record, and the longest audit event: from all limits to others.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_at_all_of_its_limits_can_be_changed_to_others_and_revoked() {
    let server = Server::start();
    let mut admin = server.admin().await;
    admin.workspace(&"w".repeat(63), &"p".repeat(21), &[]).await;
    let scopes = |letter: &str| {
        let width = |i: usize| 20 + usize::from(i < 48);
        let scope = |i| format!("{letter}{i:0>width$}", width = width(i) - 1);
        (0..100).map(scope).collect::<Vec<_>>()
    };
    let limits = |letter: &str| {
        let limit = |i| Limit {
            name: format!("{letter}{i:l>19}"),
            count: 1_000_000_000,
            window: Some(prost_types::Duration {
                // The longest that is told in seconds.
                seconds: 2_678_399,
                nanos: 0,
            }),
            always: true,
        };
        (0..8).map(limit).collect::<Vec<_>>()
    };
    // None that is written longer.
    let addresses = |letter: &str| {
        let address = |i| format!("{letter:a<4}:1111:2222:3333:4444:5555:6666:f{i:0>3}/128");
        (0..16).map(address).collect::<Vec<_>>()
    };
    let request = CreateKeyRequest {
        workspace: "w".repeat(63),
        principal: "p".repeat(128),
        name: "n".repeat(100),
        description: "d".repeat(300),
        metadata: (0..16)
            .map(|i| (format!("{i:m>24}"), format!("{i:v>24}")))
            .collect(),
        expire_time: Some(in_seconds(3_600)),
        request_id: "r".repeat(64),
        scopes: scopes("a"),
        limits: limits("a"),
        source_addresses: addresses("a"),
        ..CreateKeyRequest::default()
    };
    let key = admin.client.create_key(request).await.unwrap().into_inner();
    let key = key.key.unwrap();
    let asked = Key {
        scopes: scopes("b"),
        expire_time: Some(in_seconds(7_200)),
        limits: limits("b"),
        name: "m".repeat(100),
        description: "e".repeat(300),
        metadata: BTreeMap::new(),
        source_addresses: addresses("b"),
        ..key.clone()
    };
    let all = [
        "name",
        "description",
        "scopes",
        "metadata",
        "expire_time",
        "limits",
        "source_addresses",
    ];
    let changed = update_key(&mut admin, asked, &all).await.unwrap();
    assert_eq!((changed.scopes, changed.limits), (scopes("b"), limits("b")));
    assert_eq!(changed.source_addresses, addresses("b"));
    let event = events(&mut admin, log_of(&key.workspace)).await.unwrap();
    // All of it would be too much: the longest of what was before is in the
    // event before this one, and left out here.
    let [change, issue, ..] = event.as_slice() else {
        panic!("two events: {event:?}")
    };
    assert!(!change.detail.contains_key("scopes_before"));
    assert_eq!(issue.detail["scopes"], scopes("a").join(" "));
    assert_eq!(change.detail["scopes"], scopes("b").join(" "));
    for (name, letter) in [("source_addresses_before", "a"), ("source_addresses", "b")] {
        assert_eq!(change.detail[name], addresses(letter).join(" "));
    }
    assert_eq!(change.detail["limits_before"], issue.detail["limits"]);
    assert_eq!(change.detail["limits"].matches("=1000000000/").count(), 8);
    switch_key(&mut admin, &key.id, "", true).await.unwrap();
    let revoked = revoke_key(&mut admin, &key.id, 3, &"n".repeat(200)).await;
    let revoked = revoked.unwrap();
    let site = server.site.clone();
    server.stop();
    let server = site.serve();
    let mut admin = server.admin().await;
    assert_eq!(
        but_for_usage(&get_key(&mut admin, &key.id).await.unwrap()),
        but_for_usage(&revoked)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expiry_is_moved_both_ways_and_an_expired_key_comes_back_with_a_later_one() {
    let server = Server::start();
    let (mut admin, mut checks) = (server.admin().await, server.checks().await);
    admin.workspace("w", "klg", &[]).await;
    let issued = admin.key("w", &["a"]).await;
    let key = issued.key.unwrap();
    // Shortly ahead: there is no setting it to the past.
    let micros = now() + 150_000;
    let soon = Key {
        expire_time: Some(Timestamp {
            seconds: i64::try_from(micros / 1_000_000).unwrap(),
            nanos: i32::try_from(micros % 1_000_000 * 1_000).unwrap(),
        }),
        etag: String::new(),
        ..key.clone()
    };
    update_key(&mut admin, soon.clone(), &["expire_time"])
        .await
        .unwrap();
    while now() < micros {
        let _ = checks.header(&issued.token, &[]).await;
    }
    assert_eq!(
        checks.denial(&issued.token).await,
        keyward::edge::pb::DenialReason::Expired
    );
    let expired = get_key(&mut admin, &key.id).await.unwrap();
    assert_eq!(expired.state(), KeyState::Expired);
    // Its other fields can be changed yet.
    let renamed = Key {
        name: "renamed".to_owned(),
        ..soon
    };
    let renamed = update_key(&mut admin, renamed, &["name"]).await.unwrap();
    assert_eq!(renamed.state(), KeyState::Expired);
    let later = Key {
        expire_time: Some(in_seconds(3_600)),
        ..renamed
    };
    let back = update_key(&mut admin, later, &["expire_time"])
        .await
        .unwrap();
    assert_eq!(back.state(), KeyState::Active);
    checks.header(&issued.token, &["a"]).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_key_stays_as_it_was_when_it_ended() {
    let server = Server::start();
    let mut admin = server.admin().await;
    admin.workspace("w", "klg", &[]).await;
    let key = admin.key("w", &["a"]).await.key.unwrap();
    let note = "seen in a paste · ä";
    let revoked = revoke_key(&mut admin, &key.id, 4, note).await.unwrap();
    assert_eq!(
        (
            revoked.revocation_reason(),
            revoked.revocation_note.as_str()
        ),
        (RevocationReason::Leaked, note)
    );
    // Another reason and note come too late, whatever they are; what is no
    // note is told all the same.
    let again = revoke_key(&mut admin, &key.id, 1, "another").await.unwrap();
    assert_eq!(again, revoked);
    for note in ["n".repeat(201), "a\nb".to_owned()] {
        let status = revoke_key(&mut admin, &key.id, 1, &note).await.unwrap_err();
        assert_eq!(fields(&status), ["note"]);
    }
    let refused = [
        update_key(&mut admin, other_values(&key), &["name"]).await,
        update_key(&mut admin, revoked.clone(), &["name"]).await,
        switch_key(&mut admin, &key.id, "", true).await,
        switch_key(&mut admin, &key.id, &revoked.etag, false).await,
    ];
    for refused in refused {
        told(
            &refused.unwrap_err(),
            Code::FailedPrecondition,
            "PRECONDITION_FAILED",
            &[("type", "key"), ("id", &key.id), ("condition", "REVOKED")],
        );
    }
    assert_eq!(
        but_for_usage(&get_key(&mut admin, &key.id).await.unwrap()),
        but_for_usage(&revoked)
    );
    // One that was switched off is revoked nonetheless.
    let other = admin.key("w", &["a"]).await.key.unwrap();
    switch_key(&mut admin, &other.id, "", true).await.unwrap();
    let revoked = revoke_key(&mut admin, &other.id, 0, "").await.unwrap();
    assert!(revoked.disabled && revoked.state() == KeyState::Revoked);
    // A note at its limit, counted in bytes.
    let third = admin.key("w", &["a"]).await.key.unwrap();
    let note = "ä".repeat(100);
    let revoked = revoke_key(&mut admin, &third.id, 0, &note).await.unwrap();
    assert_eq!(revoked.revocation_note, note);
}
