//! Workspaces are changed by a field mask: their name, their environments,
//! which only grow, and the one that is meant by default.

use keyward::edge::pb::{CheckRequest, DenialReason, Limit};

use super::calls::*;
use super::*;

fn other_values(workspace: &Workspace) -> Workspace {
    Workspace {
        id: workspace.id.clone(),
        display_name: "Another, Inc. · ä".to_owned(),
        token_prefix: "other".to_owned(),
        environments: names(&["dev", "test", "live"]),
        default_environment: "test".to_owned(),
        unmarked_environment: "test".to_owned(),
        create_time: Some(Timestamp::default()),
        created_by: "me".to_owned(),
        scope_catalog: names(&["people:write", "people:read", "people:read"]),
        disabled: true,
        etag: String::new(),
        default_limits: vec![Limit {
            name: "read".to_owned(),
            count: 5,
            window: Some(prost_types::Duration {
                seconds: 60,
                nanos: 0,
            }),
            always: true,
        }],
        rotation_period: Some(prost_types::Duration {
            seconds: 30 * 24 * 3_600,
            nanos: 1_999,
        }),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_field_is_changed_alone_and_stays_so() {
    let server = Server::start();
    let mut admin = server.admin().await;
    type Change = fn(&mut Workspace, &Workspace);
    let fields: [(&str, Change); 6] = [
        ("display_name", |it, new| {
            it.display_name.clone_from(&new.display_name)
        }),
        ("environments", |it, new| {
            it.environments.clone_from(&new.environments)
        }),
        ("default_environment", |it, new| {
            it.default_environment.clone_from(&new.default_environment);
        }),
        ("scope_catalog", |it, _| {
            it.scope_catalog = names(&["people:read", "people:write"]);
        }),
        ("default_limits", |it, new| {
            it.default_limits.clone_from(&new.default_limits);
        }),
        ("rotation_period", |it, _| {
            // Kept to the microsecond.
            it.rotation_period = Some(prost_types::Duration {
                seconds: 30 * 24 * 3_600,
                nanos: 1_000,
            });
        }),
    ];
    let mut changed = Vec::new();
    for (number, (field, change)) in fields.into_iter().enumerate() {
        let id = format!("w{number}");
        let before = admin.workspace(&id, "klg", &["live", "test"]).await;
        let after = update_workspace(&mut admin, other_values(&before), &[field])
            .await
            .unwrap();
        let mut expected = before.clone();
        change(&mut expected, &other_values(&before));
        expected.etag.clone_from(&after.etag);
        assert_eq!(after, expected, "{field}");
        assert_ne!(after, before, "{field}");
        assert_ne!(after.etag, before.etag, "{field}");
        assert_eq!(get_workspace(&mut admin, &id).await.unwrap(), after);
        let again = update_workspace(&mut admin, other_values(&before), &[field]).await;
        assert_eq!(again.unwrap(), after, "{field}");
        changed.push(after);
    }
    let before = admin.workspace("all", "klg", &["live", "test"]).await;
    let all = [
        "rotation_period",
        "scope_catalog",
        "default_environment",
        "environments",
        "default_limits",
        "display_name",
    ];
    let after = update_workspace(&mut admin, other_values(&before), &all)
        .await
        .unwrap();
    let mut expected = before.clone();
    for (_, change) in fields {
        change(&mut expected, &other_values(&before));
    }
    expected.etag.clone_from(&after.etag);
    assert_eq!(after, expected);
    changed.push(after);

    // What can be empty is cleared by naming it alone.
    let bare = Workspace {
        id: "all".to_owned(),
        ..Workspace::default()
    };
    let cleared = update_workspace(&mut admin, bare, &["display_name", "scope_catalog"]).await;
    let cleared = cleared.unwrap();
    assert_eq!(
        (cleared.display_name.as_str(), cleared.scope_catalog.len()),
        ("", 0)
    );
    changed.pop();
    changed.push(cleared);

    let site = server.site.clone();
    server.kill();
    let server = site.serve();
    let mut admin = server.admin().await;
    for workspace in changed {
        let found = get_workspace(&mut admin, &workspace.id).await.unwrap();
        assert_eq!(found, workspace);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn environments_only_grow_and_only_where_there_are_some() {
    let server = Server::start();
    let mut admin = server.admin().await;
    let before = admin.workspace("w", "klg", &["live", "test"]).await;
    let with = |environments: &[&str]| Workspace {
        id: "w".to_owned(),
        environments: names(environments),
        ..Workspace::default()
    };
    for (environments, refused) in [
        (&["live"][..], &["workspace.environments"][..]),
        (&["test", "dev"], &["workspace.environments"]),
        (&[], &["workspace.environments"]),
        (&["live", "test", "live"], &["workspace.environments[2]"]),
        (&["live", "test", "No"], &["workspace.environments[2]"]),
    ] {
        let asked = with(environments);
        let status = update_workspace(&mut admin, asked, &["environments"]).await;
        assert_eq!(fields(&status.unwrap_err()), refused, "{environments:?}");
    }
    let eleven: Vec<_> = ["live", "test"]
        .into_iter()
        .map(str::to_owned)
        .chain((0..9).map(|i| format!("e{i}")))
        .collect();
    let eleven = Workspace {
        environments: eleven,
        ..with(&[])
    };
    let status = update_workspace(&mut admin, eleven.clone(), &["environments"]).await;
    assert!(fields(&status.unwrap_err()).contains(&"workspace.environments".to_owned()));
    let ten = Workspace {
        environments: eleven.environments[..10].to_vec(),
        ..eleven
    };
    assert_eq!(get_workspace(&mut admin, "w").await.unwrap(), before);
    let grown = update_workspace(&mut admin, ten, &["environments"])
        .await
        .unwrap();
    assert_eq!(grown.environments.len(), 10);
    // Keys of a new environment can be issued at once.
    let request = CreateKeyRequest {
        environment: "e7".to_owned(),
        ..key_request("w", &[])
    };
    let issued = admin.client.create_key(request).await.unwrap().into_inner();
    assert!(issued.token.starts_with("klg_e7_"), "the mark of it");

    let plain = admin.workspace("plain", "klg", &[]).await;
    let some = Workspace {
        id: "plain".to_owned(),
        ..with(&["live"])
    };
    let status = update_workspace(&mut admin, some, &["environments"]).await;
    assert_eq!(fields(&status.unwrap_err()), ["workspace.environments"]);
    let of_none = Workspace {
        id: "plain".to_owned(),
        default_environment: "live".to_owned(),
        ..Workspace::default()
    };
    let status = update_workspace(&mut admin, of_none, &["default_environment"]).await;
    assert_eq!(
        fields(&status.unwrap_err()),
        ["workspace.default_environment"]
    );
    let none = Workspace {
        id: "plain".to_owned(),
        ..Workspace::default()
    };
    let both = ["default_environment", "environments"];
    let same = update_workspace(&mut admin, none, &both).await.unwrap();
    assert_eq!(same, plain, "nothing differs");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_default_environment_is_what_the_next_check_and_key_mean() {
    let server = Server::start();
    let (mut admin, mut checks) = (server.admin().await, server.checks().await);
    admin.workspace("w", "klg", &["live", "test"]).await;
    let live = admin.key("w", &[]).await.token;
    let test = CreateKeyRequest {
        environment: "test".to_owned(),
        ..key_request("w", &[])
    };
    let test = admin
        .client
        .create_key(test)
        .await
        .unwrap()
        .into_inner()
        .token;
    let of = |token: &str| CheckRequest {
        workspace: "w".to_owned(),
        ..support::check_request(token, &[])
    };
    assert!(checks.ask(of(&live)).await.is_ok());
    let denied = checks.ask(of(&test)).await.unwrap_err();
    assert_eq!(denied.reason(), DenialReason::Environment);

    let asked = |name: &str| Workspace {
        id: "w".to_owned(),
        default_environment: name.to_owned(),
        ..Workspace::default()
    };
    for bad in ["", "prod", "LIVE"] {
        let status = update_workspace(&mut admin, asked(bad), &["default_environment"]).await;
        assert_eq!(
            fields(&status.unwrap_err()),
            ["workspace.default_environment"]
        );
    }
    update_workspace(&mut admin, asked("test"), &["default_environment"])
        .await
        .unwrap();
    assert!(checks.ask(of(&test)).await.is_ok());
    let denied = checks.ask(of(&live)).await.unwrap_err();
    assert_eq!(denied.reason(), DenialReason::Environment);
    assert_eq!(admin.key("w", &[]).await.key.unwrap().environment, "test");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_field_that_can_be_changed_is_refused() {
    let server = Server::start();
    let mut admin = server.admin().await;
    let before = admin.workspace("w", "klg", &["live"]).await;
    let asked = other_values(&before);
    let status = update_workspace(&mut admin, asked.clone(), &[]).await;
    assert_eq!(fields(&status.unwrap_err()), ["update_mask"]);
    for path in [
        "*",
        "",
        "id",
        "token_prefix",
        "unmarked_environment",
        "create_time",
        "created_by",
        "disabled",
        "etag",
        "displayName",
        "environments[0]",
        "workspace.display_name",
    ] {
        let paths = [path, "display_name"];
        let status = update_workspace(&mut admin, asked.clone(), &paths).await;
        assert_eq!(
            fields(&status.unwrap_err()),
            ["update_mask.paths[0]"],
            "{path:?}"
        );
    }
    let bad = Workspace {
        display_name: "d".repeat(101),
        scope_catalog: names(&["a", "No", "b:*:c"]),
        default_environment: "prod".to_owned(),
        ..asked.clone()
    };
    let all = ["display_name", "default_environment", "scope_catalog"];
    let status = update_workspace(&mut admin, bad, &all).await.unwrap_err();
    assert_eq!(
        fields(&status),
        [
            "workspace.display_name",
            "workspace.default_environment",
            "workspace.scope_catalog[1]",
            "workspace.scope_catalog[2]"
        ]
    );
    let nobody = Workspace::default();
    let status = update_workspace(&mut admin, nobody, &["display_name"]).await;
    assert_eq!(fields(&status.unwrap_err()), ["workspace.id"]);
    let nowhere = Workspace {
        id: "nowhere".to_owned(),
        ..asked
    };
    let status = update_workspace(&mut admin, nowhere, &["display_name"]).await;
    told(
        &status.unwrap_err(),
        Code::NotFound,
        "RESOURCE_NOT_FOUND",
        &[("type", "workspace"), ("id", "nowhere")],
    );
    assert_eq!(get_workspace(&mut admin, "w").await.unwrap(), before);
}
