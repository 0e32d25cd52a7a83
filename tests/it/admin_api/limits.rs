//! Every limit of every field: at it, and one beyond.

use keyward::edge::pb;

use super::*;
use crate::support::check_request;
use keyward::edge::pb::CheckRequest;

/// The path that a violation names, a limit, and what makes a request that
/// long.
type Limit<R> = (&'static str, usize, fn(&mut R, usize));

#[tokio::test(flavor = "multi_thread")]
async fn every_limit_of_a_key_holds_at_the_limit_and_one_beyond() {
    // The limits that the proto promises.
    const LIMITS: [Limit<CreateKeyRequest>; 14] = [
        ("principal", 128, |key, n| key.principal = "p".repeat(n)),
        // Limits count bytes, of which this letter has two.
        ("principal", 128, |key, n| {
            key.principal = format!("{}{}", "ä".repeat(n / 2), "a".repeat(n % 2))
        }),
        ("name", 100, |key, n| key.name = "n".repeat(n)),
        ("name", 100, |key, n| {
            key.name = format!("{}{}", "ä".repeat(n / 2), "a".repeat(n % 2))
        }),
        ("description", 300, |key, n| key.description = "d".repeat(n)),
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
        ("metadata", 768, |key, n| {
            key.metadata = (0..6).map(|i| (format!("m{i}"), "v".repeat(126))).collect();
            key.metadata
                .insert("m5".to_owned(), "v".repeat(126 + n - 768));
        }),
        ("metadata[0]", 32, |key, n| {
            key.metadata = BTreeMap::from([("m".repeat(n), String::new())])
        }),
        ("metadata[0]", 128, |key, n| {
            key.metadata = BTreeMap::from([("m".to_owned(), "v".repeat(n))])
        }),
        ("source_addresses", 16, |key, n| {
            key.source_addresses = (0..n).map(|i| format!("127.0.0.{i}")).collect();
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
        let question = CheckRequest {
            source_address: "127.0.0.1".to_owned(),
            ..check_request(&issued.token, &[])
        };
        assert_eq!(checks.ask(question).await.unwrap().metadata, key.metadata);

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
        description: "d".repeat(300),
        // 100 scopes, and 2,048 bytes.
        scopes: (0..100)
            .map(|i| format!("{i:0>width$}", width = 20 + usize::from(i < 48)))
            .collect(),
        // 16 entries, and 768 bytes.
        metadata: (0..16)
            .map(|i| (format!("{i:m>24}"), format!("{i:v>24}")))
            .collect(),
        limits: (0..8)
            .map(|i| pb::Limit {
                name: format!("{i:l>20}"),
                count: 1_000_000_000,
                window: Some(prost_types::Duration {
                    seconds: 31 * 86_400,
                    nanos: 0,
                }),
                always: true,
            })
            .collect(),
        expire_time: Some(Timestamp {
            seconds: 253_402_300_799,
            nanos: 999_999_999,
        }),
        source_addresses: (0..16)
            .map(|i| format!("2001:db8:1111:2222:3333:4444:5555:{:x}", 0xfff0 + i))
            .collect(),
        ..CreateKeyRequest::default()
    };
    assert_eq!(request.scopes.iter().map(String::len).sum::<usize>(), 2_048);
    let issued = admin
        .client
        .create_key(request.clone())
        .await
        .unwrap()
        .into_inner();
    let question = CheckRequest {
        source_address: "[2001:db8:1111:2222:3333:4444:5555:ffff]:65535".to_owned(),
        ..check_request(&format!("Bearer {}", issued.token), &[])
    };
    let allowed = checks.ask(question).await.unwrap();
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
