//! The longest errors arrive whole: they fit into the headers that clients take.

use keyward::edge::pb::{AdminRole, Limit};

use super::calls::*;
use super::details::{MAX_HEADERS, asked, headers_len, strict};
use keyward::edge::pb;

use super::*;

/// The longest errors that a caller can ask for arrive whole at a client that
/// takes 8 KiB of headers.
#[tokio::test(flavor = "multi_thread")]
async fn the_longest_errors_fit_into_the_headers_of_a_common_client() {
    let server = Server::start();
    let mut owner = strict(&server, &server.site.admin_token()).await;
    let id = "w".repeat(63);
    let environments: Vec<_> = (0..10).map(|i| format!("environment{i}")).collect();
    let largest = Workspace {
        environments: environments.clone(),
        scope_catalog: (0..40).map(|i| format!("{i:a>100}")).collect(),
        ..workspace(&id, &"p".repeat(21))
    };
    create_workspace(&mut owner, largest.clone()).await.unwrap();
    owner.workspace("v", "klg", &[]).await;
    let key = owner
        .client
        .create_key(key_request(&id, &[]))
        .await
        .unwrap()
        .into_inner();
    let key = key.key.unwrap();
    let made = create_admin(&mut owner, asked("issuer", AdminRole::Issuer, "", &[])).await;
    let mut issuer = strict(&server, &made.unwrap().token).await;

    let wrong = |scopes: Vec<String>| CreateKeyRequest {
        workspace: id.clone(),
        token_prefix: String::new(),
        environment: "x".repeat(1_000),
        principal: "\n".repeat(1_000),
        name: "\n".repeat(1_000),
        description: "\n".repeat(1_000),
        scopes,
        metadata: (0..16)
            .map(|i| (format!("{i} "), "\n".repeat(200)))
            .collect(),
        expire_time: Some(in_seconds(-1)),
        request_id: "\n".to_owned(),
        limits: vec![Limit::default(); 8],
        source_addresses: vec!["\n".repeat(1_000); 16],
        credits: Some(pb::Credits::default()),
    };
    // Typos that are each told with a scope of a hundred bytes.
    let typos: Vec<_> = (0..100).map(|i| format!("{i:a>99}b")).collect();
    let no_scopes: Vec<_> = (0..100).map(|i| format!("{i}: ")).collect();
    let widest: Vec<_> = (0..100)
        .map(|i| format!("{i:0>width$}", width = 20 + usize::from(i < 48)))
        .collect();
    let paths: Vec<_> = (0..2_000).map(|i| format!("p{i}")).collect();
    let paths: Vec<_> = paths.iter().map(String::as_str).collect();
    let of_v = |scopes: &[String]| CreateKeyRequest {
        scopes: scopes.to_vec(),
        ..key_request("v", &[])
    };
    let (with_typos, without) = (
        Key {
            scopes: typos.clone(),
            ..key.clone()
        },
        Key::default(),
    );
    let lost = Workspace {
        environments: names(&["x", "x", "No"]),
        default_environment: "y".repeat(500),
        display_name: "\n".repeat(500),
        scope_catalog: (0..200).map(|i| format!("{i}: ")).collect(),
        etag: String::new(),
        ..largest
    };
    let all_fields = [
        "display_name",
        "environments",
        "default_environment",
        "scope_catalog",
    ];
    let failures = [
        owner
            .client
            .create_key(wrong(typos.clone()))
            .await
            .map(drop),
        owner.client.create_key(wrong(no_scopes)).await.map(drop),
        update_key(&mut owner, with_typos, &["scopes"])
            .await
            .map(drop),
        update_key(&mut owner, without, &paths).await.map(drop),
        update_workspace(&mut owner, lost, &all_fields)
            .await
            .map(drop),
        issuer.client.create_key(of_v(&widest)).await.map(drop),
    ];
    let mut longest = 0;
    for (number, failure) in failures.into_iter().enumerate() {
        let status = failure.unwrap_err();
        let length = headers_len(&status);
        println!("{number}: {length} bytes");
        assert!(
            length < MAX_HEADERS as usize,
            "{number}: {length} {status:?}"
        );
        longest = longest.max(length);
        let refused = [Code::InvalidArgument, Code::PermissionDenied];
        assert!(refused.contains(&status.code()), "{number}: {status:?}");
        assert!(
            status.get_details_error_info().is_some(),
            "{number}: {status:?}"
        );
    }
    // The scopes are told whole, for programs; and the first of them in the
    // sentence for people.
    let status = issuer.client.create_key(of_v(&widest)).await.unwrap_err();
    let told_scopes = &status.get_details_error_info().unwrap().metadata["scopes"];
    assert_eq!(*told_scopes, widest.join(" "));
    assert!(status.message().len() < 300, "{}", status.message());
    assert!(longest > MAX_HEADERS as usize / 2, "these are not long");
}
