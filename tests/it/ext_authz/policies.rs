//! What a route's configuration asks, and what becomes of one that cannot be read.

use tonic::Code;

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_route_asks_by_its_context_extensions() {
    let server = Server::start();
    let mut admin = server.admin().await;
    admin.workspace("kling", "klg", &["live", "test"]).await;
    admin.workspace("klipy", "klp", &[]).await;
    let live = admin.key("kling", &["people:read"]).await.token;
    let request = CreateKeyRequest {
        environment: "test".to_owned(),
        ..key_request("kling", &["*"])
    };
    let test = admin
        .client
        .create_key(request)
        .await
        .unwrap()
        .into_inner()
        .token;
    let mut envoy = Envoy::of(&server).await;
    type Row<'a> = (&'a str, &'a [(&'a str, &'a str)], Option<&'a str>);
    let table: &[Row<'_>] = &[
        (&live, &[], None),
        (&live, &[("required_scopes", "people:read")], None),
        (&live, &[("required_scopes", "x|people:read")], None),
        (
            &live,
            &[("required_scopes", "people:read people:write")],
            Some("INSUFFICIENT_SCOPE"),
        ),
        (&live, &[("environment", "test")], Some("ENVIRONMENT")),
        (&test, &[("environment", "test")], None),
        (&test, &[("environment", "*")], None),
        (&test, &[], Some("ENVIRONMENT")),
        (&live, &[("workspace", "kling")], None),
        (&live, &[("workspace", "klipy")], Some("UNKNOWN")),
    ];
    for (token, route, expected) in table {
        let ask = Ask::bearer(token).on(route);
        match expected {
            None => drop(envoy.passes(&ask).await),
            Some(reason) => assert_eq!(envoy.reason(&ask).await, *reason, "{route:?}"),
        }
    }
    // The client says which workspace it means: in one way, or not at all.
    let route = [("workspace_header", "X-Workspace")];
    let bearer = format!("Bearer {live}");
    let auth = ("authorization", bearer.as_bytes());
    for (sent, expected) in [
        // Whoever leaves it out has not chosen the key's own.
        (&[][..], Some("UNKNOWN")),
        (&[b"kling".as_slice()], None),
        (&[b"klipy"], Some("UNKNOWN")),
        (&[b"kling", b"kling"], Some("UNKNOWN")),
        (&[b"kling\xff"], Some("UNKNOWN")),
        (&[b""], Some("UNKNOWN")),
    ] {
        let named = sent.iter().map(|value| ("x-workspace", *value));
        let headers: Vec<_> = named.chain([auth]).collect();
        let ask = Ask::raw(&headers).on(&route);
        match expected {
            None => drop(envoy.passes(&ask).await),
            Some(reason) => assert_eq!(envoy.reason(&ask).await, reason, "{sent:?}"),
        }
    }
}

/// Whoever cannot know what is asked lets nobody pass, says whose fault it is, and
/// says it once in a while.
#[tokio::test(flavor = "multi_thread")]
async fn a_route_that_cannot_be_read_lets_nobody_pass_and_its_operator_know() {
    let server = Server::start();
    let mut admin = server.admin().await;
    admin.workspace("kling", "klg", &[]).await;
    let issued = CreateKeyRequest {
        limits: limits(&["all=2/3600!"]),
        ..key_request("kling", &["*"])
    };
    let token = admin
        .client
        .create_key(issued)
        .await
        .unwrap()
        .into_inner()
        .token;
    let mut envoy = Envoy::of(&server).await;
    let broken: &[&[(&str, &str)]] = &[
        &[("required_scope", "people:read")],
        &[("required_scopes", "")],
        &[("cost", "much")],
        &[("virtual_host", "api")],
        &[("workspace", "a"), ("workspace_header", "b")],
        &[("", "")],
        &[("preflights", "private")],
    ];
    for route in broken {
        let mut ask = Ask::bearer(&token).on(route);
        ask.http().path = format!("/v1/people?api_key={token}");
        let refusal = envoy.denies(&ask).await;
        assert_eq!(
            (refusal.status, refusal.code),
            (500, Code::Internal),
            "{route:?}"
        );
        assert_eq!(refusal.told["reason"], "BROKEN_POLICY");
        assert!(refusal.body.contains("misconfigured"));
    }
    // Nothing was spent for them.
    for _ in 0..2 {
        envoy.passes(&Ask::bearer(&token)).await;
    }
    assert_eq!(envoy.reason(&Ask::bearer(&token)).await, "RATE_LIMITED");

    let log = server.log();
    let told: Vec<_> = log.lines().filter(|line| line.contains("ERROR")).collect();
    let [line] = told.as_slice() else {
        panic!("not one line, but {told:?}")
    };
    for part in [
        "required_scope",
        "api.test",
        "/v1/people",
        "context_extensions",
    ] {
        assert!(line.contains(part), "{part} is not in {line}");
    }
    assert!(
        !line.contains(&token) && !line.contains("api_key"),
        "{line}"
    );
}
