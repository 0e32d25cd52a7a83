//! KeyAdmin through the socket: what each call does, every limit of every
//! field, and errors that name what is wrong and repeat nothing.
#![expect(
    clippy::too_many_lines,
    reason = "a test tells one story, from top to bottom"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use keyward::domain::clock::{Clock, SystemClock};
use keyward::domain::id::KeyId;
use keyward::edge::pb::key_admin_client::KeyAdminClient;
use keyward::edge::pb::{
    CreateKeyRequest, CreateWorkspaceRequest, GetKeyRequest, GetWorkspaceRequest, Key, KeyState,
    ListKeysRequest, ListKeysResponse, RevocationReason, RevokeKeyRequest, Workspace,
};
use prost::Message;
use prost_types::Timestamp;
use tokio::task::JoinSet;
use tonic::metadata::MetadataValue;
use tonic::{Code, Request, Status};
use tonic_types::StatusExt;

use crate::support::{self, Admin, Server, Site, key_request};

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
    let expected = Workspace {
        default_environment: "live".to_owned(),
        create_time: created.create_time,
        created_by: created.created_by.clone(),
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
        created_by: owner.clone(),
        expire_time: Some(Timestamp {
            seconds: 4_000_000_000,
            nanos: 999_999_000,
        }),
        ..Key::default()
    };
    assert_eq!(key, expected);
    assert!(key.id.parse::<KeyId>().is_ok());
    assert_eq!(get_key(&mut admin, &key.id).await.unwrap(), key);
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
        ..key.clone()
    };
    assert_eq!(revoked, expected);
    assert_eq!(get_key(&mut admin, &key.id).await.unwrap(), revoked);
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

/// The path that a violation names, a limit, and what makes a request that
/// long.
type Limit<R> = (&'static str, usize, fn(&mut R, usize));

#[tokio::test(flavor = "multi_thread")]
async fn every_limit_of_a_key_holds_at_the_limit_and_one_beyond() {
    // The limits that the proto promises.
    const LIMITS: [Limit<CreateKeyRequest>; 12] = [
        ("principal", 128, |key, n| key.principal = "p".repeat(n)),
        // Limits count bytes, of which this letter has two.
        ("principal", 128, |key, n| {
            key.principal = format!("{}{}", "ä".repeat(n / 2), "a".repeat(n % 2))
        }),
        ("name", 100, |key, n| key.name = "n".repeat(n)),
        ("name", 100, |key, n| {
            key.name = format!("{}{}", "ä".repeat(n / 2), "a".repeat(n % 2))
        }),
        ("description", 500, |key, n| key.description = "d".repeat(n)),
        ("scopes", 100, |key, n| {
            key.scopes = (0..n).map(|i| format!("s{i}")).collect()
        }),
        ("scopes[0]", 100, |key, n| key.scopes = vec!["s".repeat(n)]),
        ("scopes[1]", 100, |key, n| {
            key.scopes = vec!["a".to_owned(), format!("{}:*", "s".repeat(n - 2))]
        }),
        ("scopes", 2_048, |key, n| {
            key.scopes = (0..n / 64).map(|i| format!("{i:0>64}")).collect();
            key.scopes
                .extend(Some("x".repeat(n % 64)).filter(|rest| !rest.is_empty()));
        }),
        ("metadata", 16, |key, n| {
            key.metadata = (0..n).map(|i| (format!("m{i}"), String::new())).collect()
        }),
        ("metadata[0]", 32, |key, n| {
            key.metadata = BTreeMap::from([("m".repeat(n), String::new())])
        }),
        ("metadata[0]", 128, |key, n| {
            key.metadata = BTreeMap::from([("m".to_owned(), "v".repeat(n))])
        }),
    ];
    let server = Server::start();
    let (mut admin, mut checks) = (server.admin().await, server.checks().await);
    admin.workspace("w", "klg", &[]).await;
    for (field, limit, fill) in LIMITS {
        let mut request = key_request("w", &["a"]);
        fill(&mut request, limit);
        let issued = admin
            .client
            .create_key(request.clone())
            .await
            .unwrap()
            .into_inner();
        let key = issued.key.unwrap();
        // What was asked for is what is kept.
        assert_eq!(
            (&key.principal, &key.name),
            (&request.principal, &request.name)
        );
        assert_eq!(
            (&key.description, &key.metadata),
            (&request.description, &request.metadata)
        );
        assert_eq!(sorted(&key.scopes), sorted(&request.scopes), "{field}");
        assert_eq!(get_key(&mut admin, &key.id).await.unwrap(), key);
        assert_eq!(
            checks.header(&issued.token, &[]).await.unwrap().metadata,
            key.metadata
        );

        fill(&mut request, limit + 1);
        let status = admin.client.create_key(request).await.unwrap_err();
        assert_eq!(fields(&status), [field], "{field} beyond {limit}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_at_all_of_its_limits_at_once_works() {
    let server = Server::start();
    let (mut admin, mut checks) = (server.admin().await, server.checks().await);
    let id = "w".repeat(63);
    let environments: Vec<_> = (0..10).map(|i| format!("environment{i}")).collect();
    let largest = Workspace {
        display_name: "d".repeat(100),
        environments: environments.clone(),
        default_environment: environments[9].clone(),
        ..workspace(&id, &"p".repeat(21))
    };
    create_workspace(&mut admin, largest).await.unwrap();
    let request = CreateKeyRequest {
        workspace: id.clone(),
        principal: "p".repeat(128),
        name: "n".repeat(100),
        description: "d".repeat(500),
        // 100 scopes, and 2,048 bytes.
        scopes: (0..100)
            .map(|i| format!("{i:0>width$}", width = 20 + usize::from(i < 48)))
            .collect(),
        metadata: (0..16)
            .map(|i| (format!("{i:m>32}"), format!("{i:v>128}")))
            .collect(),
        expire_time: Some(Timestamp {
            seconds: 253_402_300_799,
            nanos: 999_999_999,
        }),
        ..CreateKeyRequest::default()
    };
    assert_eq!(request.scopes.iter().map(String::len).sum::<usize>(), 2_048);
    let issued = admin
        .client
        .create_key(request.clone())
        .await
        .unwrap()
        .into_inner();
    let allowed = checks
        .header(&format!("Bearer {}", issued.token), &[])
        .await
        .unwrap();
    assert_eq!(
        (&allowed.metadata, allowed.scopes.len()),
        (&request.metadata, 100)
    );
    let key = issued.key.unwrap();
    // Revoking it makes its record larger still.
    let revoked = revoke(
        &mut admin,
        &key.id,
        RevocationReason::PrivilegeWithdrawn.into(),
    )
    .await
    .unwrap();
    let site = server.site.clone();
    server.stop();
    let server = site.serve();
    let mut admin = server.admin().await;
    assert_eq!(get_key(&mut admin, &key.id).await.unwrap(), revoked);
    assert_eq!(
        list(&mut admin, &id, 1_000, "").await.unwrap().keys,
        [revoked]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn every_limit_of_a_workspace_holds_at_the_limit_and_one_beyond() {
    const LIMITS: [Limit<Workspace>; 6] = [
        ("workspace.id", 63, |workspace, n| {
            workspace.id = "w".repeat(n)
        }),
        ("workspace.display_name", 100, |workspace, n| {
            workspace.display_name = "d".repeat(n)
        }),
        ("workspace.token_prefix", 21, |workspace, n| {
            workspace.token_prefix = "p".repeat(n)
        }),
        ("workspace.environments", 10, |workspace, n| {
            workspace.environments = (0..n).map(|i| format!("e{i}")).collect();
        }),
        ("workspace.environments[0]", 12, |workspace, n| {
            workspace.environments = vec!["e".repeat(n)]
        }),
        ("workspace.environments[1]", 12, |workspace, n| {
            workspace.environments = vec!["live".to_owned(), "e".repeat(n)];
        }),
    ];
    let server = Server::start();
    let mut admin = server.admin().await;
    for (number, (field, limit, fill)) in LIMITS.into_iter().enumerate() {
        let mut asked = workspace(&format!("w{number}"), "klg");
        fill(&mut asked, limit);
        let created = create_workspace(&mut admin, asked.clone()).await.unwrap();
        assert_eq!(get_workspace(&mut admin, &asked.id).await.unwrap(), created);
        asked
            .id
            .insert_str(0, if limit == 63 { "" } else { "beyond-" });
        fill(&mut asked, limit + 1);
        let status = create_workspace(&mut admin, asked).await.unwrap_err();
        assert_eq!(fields(&status), [field], "{field} beyond {limit}");
    }
    // The least that is accepted, and less.
    create_workspace(&mut admin, workspace("0", "ab"))
        .await
        .unwrap();
    for (id, prefix, field) in [
        ("", "klg", "workspace.id"),
        ("x", "a", "workspace.token_prefix"),
    ] {
        let status = create_workspace(&mut admin, workspace(id, prefix))
            .await
            .unwrap_err();
        assert_eq!(fields(&status), [field]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_in_a_key_is_told_all_at_once() {
    let server = Server::start();
    let mut admin = server.admin().await;
    admin.workspace("w", "klg", &["live", "test"]).await;
    let request = CreateKeyRequest {
        workspace: "w".to_owned(),
        environment: "prod".to_owned(),
        principal: "a\nb".to_owned(),
        name: " ".to_owned(),
        description: "d".repeat(501),
        scopes: names(&["people:read", "People:read", "people:*:x", "", "all"]),
        metadata: metadata(&[("a b", "x"), ("b", "\u{7}"), ("", "")]),
        expire_time: Some(Timestamp {
            seconds: 1,
            nanos: 0,
        }),
        ..CreateKeyRequest::default()
    };
    let status = admin.client.create_key(request).await.unwrap_err();
    let expected = [
        "environment",
        "principal",
        "name",
        "description",
        "scopes[1]",
        "scopes[2]",
        "scopes[3]",
        "metadata[0]",
        "metadata[1]",
        "metadata[2]",
        "expire_time",
    ];
    assert_eq!(fields(&status), expected);
    // Nothing was made.
    assert_eq!(list(&mut admin, "w", 0, "").await.unwrap().keys, []);
    // All that is required, at once.
    let empty = CreateKeyRequest {
        workspace: "w".to_owned(),
        ..CreateKeyRequest::default()
    };
    let status = admin.client.create_key(empty).await.unwrap_err();
    assert_eq!(fields(&status), ["principal", "name"]);
    let status = admin
        .client
        .create_key(CreateKeyRequest::default())
        .await
        .unwrap_err();
    assert_eq!(fields(&status), ["workspace"]);
}

/// A hundred violations would be more than a client takes in a header: what
/// arrives is the first of them, and not a broken connection.
#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_violations_are_an_error_that_arrives() {
    let server = Server::start();
    let mut admin = server.admin().await;
    admin.workspace("klipy", "klipy_api", &[]).await;
    let request = CreateKeyRequest {
        scopes: (0..100).map(|number| format!("SCOPE{number}")).collect(),
        ..key_request("klipy", &[])
    };
    let status = admin.client.create_key(request).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument, "{status}");
    let told = status.get_details_bad_request().unwrap().field_violations;
    assert_eq!(told.len(), 25);
    assert!(status.message().ends_with("; and 97 more"), "{status}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_in_a_workspace_is_told_all_at_once() {
    let server = Server::start();
    let mut admin = server.admin().await;
    let asked = Workspace {
        display_name: "\u{1b}[2J".to_owned(),
        environments: names(&["live", "LIVE", "live", "a_b", ""]),
        default_environment: "prod".to_owned(),
        unmarked_environment: "dev".to_owned(),
        ..workspace("-w", "klg_")
    };
    let expected = [
        "workspace.id",
        "workspace.display_name",
        "workspace.token_prefix",
        "workspace.environments[1]",
        "workspace.environments[2]",
        "workspace.environments[3]",
        "workspace.environments[4]",
        "workspace.default_environment",
        "workspace.unmarked_environment",
    ];
    assert_eq!(
        fields(&create_workspace(&mut admin, asked).await.unwrap_err()),
        expected
    );
    let none = admin
        .client
        .create_workspace(CreateWorkspaceRequest { workspace: None })
        .await
        .unwrap_err();
    assert_eq!(fields(&none), ["workspace.id", "workspace.token_prefix"]);
    for id in ["W", "a b", "a/b", ".", "_", "ä", "a\0", "a\n"] {
        let status = create_workspace(&mut admin, workspace(id, "klg"))
            .await
            .unwrap_err();
        assert_eq!(fields(&status), ["workspace.id"], "{id:?}");
    }
    for prefix in [
        "",
        "a",
        "1a",
        "_a",
        "a_",
        "A",
        "a-b",
        "ä",
        "keyward",
        "keyward_x",
        "keywardian",
    ] {
        let status = create_workspace(&mut admin, workspace("w", prefix))
            .await
            .unwrap_err();
        assert_eq!(fields(&status), ["workspace.token_prefix"], "{prefix:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expiry_is_in_the_future_and_a_time_at_all() {
    let server = Server::start();
    let mut admin = server.admin().await;
    admin.workspace("w", "klg", &[]).await;
    let seconds = i64::try_from(now() / 1_000_000).unwrap();
    for (seconds, nanos) in [
        (0, 0),
        (seconds - 1, 0),
        (seconds, 0),
        (-1, 0),
        (i64::MIN, 0),
        (i64::MAX, 0),
        (253_402_300_800, 0),
        (seconds + 60, -1),
        (seconds + 60, 1_000_000_000),
        (seconds + 60, i32::MAX),
    ] {
        let expire_time = Some(Timestamp { seconds, nanos });
        let request = CreateKeyRequest {
            expire_time,
            ..key_request("w", &[])
        };
        let status = admin.client.create_key(request.clone()).await.unwrap_err();
        assert_eq!(fields(&status), ["expire_time"], "{seconds} {nanos}");
        // Not alone, where there is more that is wrong.
        let worse = CreateKeyRequest {
            name: String::new(),
            ..request
        };
        let status = admin.client.create_key(worse).await.unwrap_err();
        assert_eq!(
            sorted(&fields(&status)),
            ["expire_time", "name"],
            "{seconds} {nanos}"
        );
    }
    for seconds in [seconds + 60, 253_402_300_799] {
        let expire_time = Some(Timestamp {
            seconds,
            nanos: 1_500,
        });
        let request = CreateKeyRequest {
            expire_time,
            ..key_request("w", &[])
        };
        let key = admin
            .client
            .create_key(request)
            .await
            .unwrap()
            .into_inner()
            .key
            .unwrap();
        assert_eq!(
            key.expire_time,
            Some(Timestamp {
                seconds,
                nanos: 1_000
            })
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_exist_is_not_found_and_what_is_no_id_is_not_repeated() {
    let server = Server::start();
    let mut admin = server.admin().await;
    admin.workspace("w", "klg", &[]).await;
    let issued = admin.key("w", &[]).await;
    let absent = KeyId::generate(SystemClock::default().now()).to_string();
    let of_key = [("type", "key"), ("id", &*absent)];
    told(
        &get_key(&mut admin, &absent).await.unwrap_err(),
        Code::NotFound,
        "RESOURCE_NOT_FOUND",
        &of_key,
    );
    told(
        &revoke(&mut admin, &absent, 0).await.unwrap_err(),
        Code::NotFound,
        "RESOURCE_NOT_FOUND",
        &of_key,
    );
    let of_workspace = [("type", "workspace"), ("id", "nowhere")];
    for status in [
        get_workspace(&mut admin, "nowhere").await.unwrap_err(),
        list(&mut admin, "nowhere", 0, "").await.unwrap_err(),
        admin
            .client
            .create_key(key_request("nowhere", &[]))
            .await
            .map(drop)
            .unwrap_err(),
    ] {
        told(&status, Code::NotFound, "RESOURCE_NOT_FOUND", &of_workspace);
    }

    // A token pasted where an id belongs, and what else is none.
    let (id, upper) = (
        issued.key.as_ref().unwrap().id.clone(),
        absent.to_uppercase(),
    );
    let no_ids = [
        &*issued.token,
        &server.site.admin_token(),
        &upper,
        &id[4..],
        "key_",
        "key_\u{0}",
        "ä",
    ];
    for text in no_ids.map(str::to_owned) {
        for status in [
            get_key(&mut admin, &text).await,
            revoke(&mut admin, &text, 0).await,
        ] {
            let status = status.unwrap_err();
            told(
                &status,
                Code::NotFound,
                "RESOURCE_NOT_FOUND",
                &[("type", "key"), ("id", "")],
            );
            repeats_nothing_of(&status, &text);
        }
        let status = get_workspace(&mut admin, &text).await.unwrap_err();
        // Two of them could be the id of a workspace, and are none.
        let shown = if text == id[4..] || text == "key_" {
            &*text
        } else {
            ""
        };
        told(
            &status,
            Code::NotFound,
            "RESOURCE_NOT_FOUND",
            &[("type", "workspace"), ("id", shown)],
        );
        if shown.is_empty() {
            repeats_nothing_of(&status, &text);
        }
    }
    let status = get_key(&mut admin, "").await.unwrap_err();
    assert!(
        matches!(status.code(), Code::NotFound | Code::InvalidArgument),
        "{status:?}"
    );
    assert_eq!(
        fields(&get_workspace(&mut admin, "").await.unwrap_err()),
        ["workspace"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_was_sent_as_a_field_is_repeated_but_its_path() {
    let server = Server::start();
    let mut admin = server.admin().await;
    admin.workspace("w", "klg", &["live"]).await;
    let token = admin.key("w", &[]).await.token;
    // Somebody mixes up the flags.
    let request = CreateKeyRequest {
        environment: token.clone(),
        name: format!("{token}\n"),
        principal: format!("{token}\0"),
        description: token.repeat(20),
        scopes: vec![token.clone()],
        metadata: BTreeMap::from([(token.clone(), format!("{token}\n"))]),
        ..key_request("w", &[])
    };
    repeats_nothing_of(&admin.client.create_key(request).await.unwrap_err(), &token);
    let asked = Workspace {
        display_name: format!("{token}\n"),
        environments: vec![token.clone()],
        default_environment: token.clone(),
        unmarked_environment: token.clone(),
        ..workspace(&token, &token)
    };
    repeats_nothing_of(
        &create_workspace(&mut admin, asked).await.unwrap_err(),
        &token,
    );
    repeats_nothing_of(&list(&mut admin, "w", 0, &token).await.unwrap_err(), &token);
    repeats_nothing_of(&list(&mut admin, &token, 0, "").await.unwrap_err(), &token);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_admin_token_is_needed_and_what_is_wrong_with_it_is_told() {
    let server = Server::start();
    let mut admin = server.admin().await;
    admin.workspace("w", "klg", &[]).await;
    let api_token = admin.key("w", &["*"]).await.token;
    let admin_token = server.site.admin_token();
    let channel = support::connect(&server.admin_address).await;
    let mut client = KeyAdminClient::new(channel);
    let mistyped = format!("Bearer {}x", &admin_token[..admin_token.len() - 1]);
    let twice = [
        format!("Bearer {admin_token}"),
        format!("Bearer {admin_token}"),
    ];
    let table: [(&[String], &str); 8] = [
        (&[], "MISSING"),
        (&[String::new()], "MISSING"),
        (&["Bearer".to_owned()], "MALFORMED"),
        (&twice, "MALFORMED"),
        (&[twice.join(", ")], "MALFORMED"),
        (&[mistyped], "UNKNOWN"),
        (&[format!("Bearer {api_token}")], "UNKNOWN"),
        (&["Bearer x".to_owned()], "UNKNOWN"),
    ];
    for (values, denial) in table {
        let mut request = Request::new(GetWorkspaceRequest {
            workspace: "w".to_owned(),
        });
        for value in values {
            let value: MetadataValue<_> = value.parse().unwrap();
            request.metadata_mut().append("authorization", value);
        }
        let status = client.get_workspace(request).await.unwrap_err();
        told(
            &status,
            Code::Unauthenticated,
            "ADMIN_TOKEN_INVALID",
            &[("denial", denial)],
        );
        repeats_nothing_of(&status, &admin_token);
    }
    // Who is not known is told nothing of what else is wrong.
    let status = client
        .create_key(CreateKeyRequest::default())
        .await
        .unwrap_err();
    told(
        &status,
        Code::Unauthenticated,
        "ADMIN_TOKEN_INVALID",
        &[("denial", "MISSING")],
    );
    // In the other forms of a credential it is as good.
    for value in [admin_token.clone(), format!("api-key {admin_token}")] {
        let mut request = Request::new(GetWorkspaceRequest {
            workspace: "w".to_owned(),
        });
        request
            .metadata_mut()
            .insert("authorization", value.parse().unwrap());
        assert!(client.get_workspace(request).await.is_ok());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_of_more_than_any_key_needs_is_refused_unread() {
    let server = Server::start();
    let mut admin = server.admin().await;
    admin.workspace("w", "klg", &[]).await;
    let request = CreateKeyRequest {
        name: "n".repeat(64 * 1024),
        ..key_request("w", &[])
    };
    let status = admin.client.create_key(request).await.unwrap_err();
    assert!(
        matches!(status.code(), Code::OutOfRange | Code::ResourceExhausted),
        "{status:?}"
    );
    // Below that, it is a field like others.
    let request = CreateKeyRequest {
        name: "n".repeat(63 * 1024),
        ..key_request("w", &[])
    };
    assert_eq!(
        fields(&admin.client.create_key(request).await.unwrap_err()),
        ["name"]
    );
    let request = CreateKeyRequest {
        scopes: names(&["a"; 15_000]),
        ..key_request("w", &[])
    };
    assert_eq!(
        fields(&admin.client.create_key(request).await.unwrap_err()),
        ["scopes"]
    );
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
async fn paging_meets_each_key_once_while_others_come_and_go() {
    let server = Server::start();
    let mut admin = server.admin().await;
    for id in ["w", "aside"] {
        admin.workspace(id, "klg", &[]).await;
    }
    let mut ids = create_keys(&admin, "w", 300).await;
    ids.sort_unstable();
    let mut ending = ids.iter().rev().step_by(3).cycle();

    for workspace in ["w", ""] {
        let (mut keys, mut token) = (Vec::new(), String::new());
        loop {
            // While each page is read, keys are made and ended before and
            // behind it.
            let mut others = admin.clone();
            let (page, ()) = tokio::join!(
                list(&mut admin, workspace, 7, &token),
                churn(&mut others, ending.next().unwrap())
            );
            let page = page.unwrap();
            assert!(page.keys.len() <= 7);
            keys.extend(page.keys);
            token = page.next_page_token;
            if token.is_empty() {
                break;
            }
        }
        assert!(
            keys.is_sorted_by(|one, next| one.id < next.id),
            "in the order of ids, none twice"
        );
        let seen: BTreeSet<_> = keys.iter().map(|key| &key.id).collect();
        assert!(
            ids.iter().all(|id| seen.contains(id)),
            "each of those that were there"
        );
        assert!(
            keys.iter()
                .all(|key| key.workspace == "w" || workspace.is_empty())
        );
    }
    // At rest, pages of every size make the same list.
    let whole = all_pages(&mut admin, "w", 1_000).await;
    assert_eq!(all_pages(&mut admin, "w", 7).await, whole);
    assert_eq!(all_pages(&mut admin, "w", 299).await, whole);
}

#[tokio::test(flavor = "multi_thread")]
async fn page_sizes_are_defaulted_capped_or_refused() {
    let server = Server::start();
    let mut admin = server.admin().await;
    admin.workspace("w", "klg", &[]).await;
    admin.workspace("empty", "klg", &[]).await;
    create_keys(&admin, "w", 1_003).await;
    for (asked, given) in [
        (0, 50),
        (1, 1),
        (50, 50),
        (1_000, 1_000),
        (1_001, 1_000),
        (i32::MAX, 1_000),
    ] {
        let page = list_raw(&server, "w", asked).await;
        assert_eq!(page.keys.len(), given, "{asked}");
        assert!(!page.next_page_token.is_empty());
        let rest = list(&mut admin, "w", 5, &page.next_page_token)
            .await
            .unwrap();
        assert!(rest.keys[0].id > page.keys[given - 1].id, "{asked}");
    }
    for asked in [-1, i32::MIN] {
        assert_eq!(
            fields(&list(&mut admin, "w", asked, "").await.unwrap_err()),
            ["page_size"]
        );
        let both = list(&mut admin, "w", asked, "x").await.unwrap_err();
        assert_eq!(fields(&both), ["page_size", "page_token"]);
    }
    assert_eq!(
        list(&mut admin, "empty", 7, "").await.unwrap(),
        ListKeysResponse::default()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_token_is_good_for_its_list_on_its_server_alone() {
    let (server, other) = (Server::start(), Server::start());
    let (mut admin, mut others) = (server.admin().await, other.admin().await);
    for admin in [&mut admin, &mut others] {
        for workspace in ["w", "v"] {
            admin.workspace(workspace, "klg", &[]).await;
            create_keys(admin, workspace, 3).await;
        }
    }
    let first = list(&mut admin, "w", 1, "").await.unwrap();
    let of_v = list(&mut admin, "v", 1, "").await.unwrap().next_page_token;
    let of_all = list(&mut admin, "", 1, "").await.unwrap().next_page_token;
    let foreign = list(&mut others, "w", 1, "").await.unwrap().next_page_token;
    let good = first.next_page_token;
    let garbage = [
        "x",
        "====",
        "ä",
        "\0",
        &good[1..],
        &format!("{good}A"),
        &"A".repeat(10_000),
        &first.keys[0].id,
    ];
    let bad = garbage
        .map(str::to_owned)
        .into_iter()
        .chain([of_v, of_all.clone(), foreign]);
    for token in bad {
        let status = list(&mut admin, "w", 1, &token).await.unwrap_err();
        assert_eq!(fields(&status), ["page_token"]);
    }
    assert_eq!(
        fields(&list(&mut admin, "", 1, &good).await.unwrap_err()),
        ["page_token"]
    );
    // It lasts, and another page size goes with it.
    let site = server.site.clone();
    server.stop();
    let server = site.serve();
    let mut admin = server.admin().await;
    assert_eq!(
        list(&mut admin, "w", 10, &good).await.unwrap().keys.len(),
        2
    );
    assert_eq!(
        list(&mut admin, "", 10, &of_all).await.unwrap().keys.len(),
        5
    );
}

async fn create_workspace(admin: &mut Admin, workspace: Workspace) -> Result<Workspace, Status> {
    let request = CreateWorkspaceRequest {
        workspace: Some(workspace),
    };
    admin
        .client
        .create_workspace(request)
        .await
        .map(|reply| reply.into_inner().workspace.unwrap())
}

async fn get_workspace(admin: &mut Admin, id: &str) -> Result<Workspace, Status> {
    let request = GetWorkspaceRequest {
        workspace: id.to_owned(),
    };
    admin
        .client
        .get_workspace(request)
        .await
        .map(|reply| reply.into_inner().workspace.unwrap())
}

async fn get_key(admin: &mut Admin, id: &str) -> Result<Key, Status> {
    let request = GetKeyRequest {
        key_id: id.to_owned(),
    };
    admin
        .client
        .get_key(request)
        .await
        .map(|reply| reply.into_inner().key.unwrap())
}

async fn revoke(admin: &mut Admin, id: &str, reason: i32) -> Result<Key, Status> {
    let request = RevokeKeyRequest {
        key_id: id.to_owned(),
        reason,
        ..RevokeKeyRequest::default()
    };
    admin
        .client
        .revoke_key(request)
        .await
        .map(|reply| reply.into_inner().key.unwrap())
}

async fn list(
    admin: &mut Admin,
    workspace: &str,
    page_size: i32,
    page_token: &str,
) -> Result<ListKeysResponse, Status> {
    let (workspace, page_token) = (workspace.to_owned(), page_token.to_owned());
    let request = ListKeysRequest {
        workspace,
        page_size,
        page_token,
        ..ListKeysRequest::default()
    };
    admin
        .client
        .list_keys(request)
        .await
        .map(tonic::Response::into_inner)
}

/// A page, read over a connection of its own.
async fn list_raw(server: &Server, workspace: &str, page_size: i32) -> ListKeysResponse {
    list(&mut server.admin().await, workspace, page_size, "")
        .await
        .unwrap()
}

/// All keys of a list, read in pages of at most so many.
async fn all_pages(admin: &mut Admin, workspace: &str, page_size: i32) -> Vec<Key> {
    let (mut keys, mut token) = (Vec::new(), String::new());
    loop {
        let page = list(admin, workspace, page_size, &token).await.unwrap();
        assert!(page.keys.len() <= usize::try_from(page_size).unwrap());
        keys.extend(page.keys);
        token = page.next_page_token;
        if token.is_empty() {
            return keys;
        }
    }
}

/// Creates so many keys, many at a time, and says which.
async fn create_keys(admin: &Admin, workspace: &str, count: usize) -> Vec<String> {
    const AT_ONCE: usize = 50;
    let mut ids = Vec::with_capacity(count);
    while ids.len() < count {
        let mut calls = JoinSet::new();
        for _ in 0..AT_ONCE.min(count - ids.len()) {
            let (mut admin, workspace) = (admin.clone(), workspace.to_owned());
            calls.spawn(async move { admin.key(&workspace, &["a"]).await.key.unwrap().id });
        }
        ids.extend(calls.join_all().await);
    }
    ids
}

/// Creates a key in each of two workspaces, and revokes one of them and `id`.
async fn churn(admin: &mut Admin, id: &str) {
    let created = admin.key("w", &[]).await.key.unwrap();
    admin.key("aside", &[]).await;
    admin.revoke(&created.id).await;
    admin.revoke(id).await;
}

/// How many links the audit chain of a workspace has, in the files of a
/// stopped server.
fn audit_records(site: &Site, workspace: &str) -> usize {
    sled::open(site.store_dir())
        .unwrap()
        .scan_prefix(format!("x/{workspace}\0"))
        .count()
}

fn workspace(id: &str, prefix: &str) -> Workspace {
    Workspace {
        id: id.to_owned(),
        token_prefix: prefix.to_owned(),
        ..Workspace::default()
    }
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

fn metadata(entries: &[(&str, &str)]) -> BTreeMap<String, String> {
    entries
        .iter()
        .map(|&(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

fn sorted(texts: &[String]) -> Vec<String> {
    let mut texts = texts.to_vec();
    texts.sort_unstable();
    texts
}

/// The time in microseconds.
fn now() -> u64 {
    SystemClock::default().now().as_micros()
}

/// The times from then to now.
fn since(then: u64) -> Range<u64> {
    then..now() + 1
}

fn micros(time: Option<Timestamp>) -> u64 {
    let time = time.unwrap();
    u64::try_from(time.seconds).unwrap() * 1_000_000 + u64::try_from(time.nanos).unwrap() / 1_000
}

/// The status is of this code, for this reason, with this metadata and no
/// other, and has no other details.
fn told(status: &Status, code: Code, reason: &str, metadata: &[(&str, &str)]) {
    assert_eq!(status.code(), code, "{status:?}");
    let info = status.get_details_error_info().unwrap();
    assert_eq!(
        (info.reason.as_str(), info.domain.as_str()),
        (reason, "keyward")
    );
    let told: BTreeMap<_, _> = info.metadata.into_iter().collect();
    assert_eq!(told, self::metadata(metadata));
    assert!(status.get_details_bad_request().is_none());
    assert_eq!(detail_count(status), 1, "{status:?}");
    assert!(!status.message().is_empty());
}

/// The paths of the fields that the status says are not acceptable.
fn fields(status: &Status) -> Vec<String> {
    assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
    let info = status.get_details_error_info().unwrap();
    assert_eq!(
        (info.reason.as_str(), info.domain.as_str()),
        ("INVALID_FIELDS", "keyward")
    );
    assert!(info.metadata.is_empty());
    assert_eq!(detail_count(status), 2);
    let violations = status.get_details_bad_request().unwrap().field_violations;
    for (position, violation) in violations.iter().enumerate() {
        assert!(violation.description.len() > 5, "{violation:?}");
        // The sentence for people tells the first of them.
        assert_eq!(
            status.message().contains(&violation.field),
            position < 3,
            "{violation:?}"
        );
    }
    violations
        .into_iter()
        .map(|violation| violation.field)
        .collect()
}

fn detail_count(status: &Status) -> usize {
    tonic_types::pb::Status::decode(status.details())
        .unwrap()
        .details
        .len()
}

/// Neither message nor details hold the text or a long part of it.
fn repeats_nothing_of(status: &Status, text: &str) {
    let told = [status.message().as_bytes(), status.details()].concat();
    let stretch = text.len().min(12);
    for part in text.as_bytes().windows(stretch) {
        assert!(
            !told.windows(stretch).any(|bytes| bytes == part),
            "{:?}",
            status.message()
        );
    }
}
