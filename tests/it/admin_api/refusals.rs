//! What is wrong is told, all at once, by the paths of the fields, and nothing of
//! what was sent is repeated.

use super::*;

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
        description: "d".repeat(301),
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
    let mistyped = format!("Bearer {}", support::mistyped(&admin_token));
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

/// Neither message nor details hold the text or a long part of it.
pub(super) fn repeats_nothing_of(status: &Status, text: &str) {
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
