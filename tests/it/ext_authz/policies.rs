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

#[tokio::test(flavor = "multi_thread")]
async fn what_the_table_of_routes_asks_holds_beside_what_the_route_does() {
    const ROUTES: &str = r#"
        [[route]]
        match = "GET /health"
        public = true

        [[route]]
        match = "GET /v1/people/**"
        required_scopes = "people:read"

        [[route]]
        match = "GET /w/{workspace}/**"

        [[route]]
        match = "GET /test/**"
        environment = "test"
    "#;
    let site = support::Site::init();
    let file = site.path().join("routes.toml");
    std::fs::write(&file, ROUTES).unwrap();
    let mut command = site.serve_command();
    command.arg("--routes").arg(&file);
    let server = Server::spawn(site, command).unwrap();
    let mut admin = server.admin().await;
    admin.workspace("kling", "klg", &["live", "test"]).await;
    let reader = admin.key("kling", &["people:read"]).await.token;
    let other = admin.key("kling", &["companies:read"]).await.token;
    let mut envoy = Envoy::of(&server).await;
    type Row<'a> = (&'a str, &'a str, &'a [(&'a str, &'a str)], Option<&'a str>);
    let table: &[Row<'_>] = &[
        ("/v1/people?page=2", &reader, &[], None),
        ("/v1/people", &other, &[], Some("INSUFFICIENT_SCOPE")),
        // The route may ask for more, and never for less.
        (
            "/v1/people",
            &reader,
            &[("required_scopes", "people:write")],
            Some("INSUFFICIENT_SCOPE"),
        ),
        (
            "/v1/people",
            &other,
            &[("required_scopes", "companies:read")],
            Some("INSUFFICIENT_SCOPE"),
        ),
        ("/w/kling/x", &other, &[], None),
        ("/w/klipy/x", &other, &[], Some("UNKNOWN")),
        (
            "/w/kling/x",
            &other,
            &[("workspace", "kling")],
            Some("BROKEN_POLICY"),
        ),
        (
            "/test/x",
            &reader,
            &[("environment", "live")],
            Some("BROKEN_POLICY"),
        ),
        ("/health", "nobody", &[], None),
        (
            "/health",
            "nobody",
            &[("required_scopes", "people:read")],
            Some("UNKNOWN"),
        ),
        ("/v2/people", &reader, &[], Some("NO_ROUTE")),
        ("/v1/people/../companies", &reader, &[], Some("NO_ROUTE")),
        (
            "/v1/people%2F..%2Fcompanies",
            &reader,
            &[],
            Some("NO_ROUTE"),
        ),
        ("", &reader, &[], Some("NO_ROUTE")),
    ];
    for (path, token, route, expected) in table {
        let mut ask = Ask::bearer(token).on(route);
        ask.http().path = (*path).to_owned();
        match expected {
            None => drop(envoy.passes(&ask).await),
            Some("NO_ROUTE") => {
                let refusal = envoy.denies(&ask).await;
                assert_eq!(
                    (refusal.status, refusal.code),
                    (403, Code::PermissionDenied)
                );
                assert_eq!(refusal.told["reason"], "NO_ROUTE", "{path}");
                assert!(refusal.told["detail"].len() > 5, "{path}");
                assert!(refusal.body.contains("no_route"), "{}", refusal.body);
            }
            Some(reason) => assert_eq!(envoy.reason(&ask).await, *reason, "{path} {route:?}"),
        }
    }
}
