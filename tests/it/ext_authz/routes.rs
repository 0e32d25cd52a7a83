//! The table of routes, asked by Envoy: what it lets through, what it does not, and
//! that what the gateway asks holds as well.

use std::fs;

use crate::support::Site;

use super::*;

const ROUTES: &str = r#"
[[route]]
match = "GET /healthz"
public = true

[[route]]
match = "* /v1/admin/**"
required_scopes = "admin:*"

[[route]]
match = "GET /w/{workspace}/**"

[[route]]
match = "GET /v1/**"
required_scopes = "people:read"
preflights = "public"

[[route]]
match = "PUT /v1/**"
required_scopes = "people:write"
environment = "live"
"#;

fn served() -> Server {
    let site = Site::init();
    let file = site.path().join("routes.toml");
    fs::write(&file, ROUTES).unwrap();
    let mut command = site.serve_command();
    command.arg("--routes").arg(file);
    Server::spawn(site, command).unwrap()
}

/// What is asked by `method path`, with this token.
fn ask(request: &str, token: Option<&str>) -> Ask {
    let mut ask = token.map_or_else(|| Ask::with(&[]), Ask::bearer);
    let (method, path) = request.split_once(' ').unwrap();
    method.clone_into(&mut ask.http().method);
    path.clone_into(&mut ask.http().path);
    ask
}

/// `allowed`, or the status and the reason.
async fn told(envoy: &mut Envoy, ask: &Ask) -> String {
    match envoy.ask(ask).await.unwrap() {
        Answer::Allowed(_) => "allowed".to_owned(),
        Answer::Denied(refusal) => refusal.told["reason"].clone(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_request_has_a_route_or_is_denied() {
    let server = served();
    let mut admin = server.admin().await;
    admin.workspace("klipy", "klp", &[]).await;
    admin.workspace("kling", "klg", &[]).await;
    let token = admin.key("klipy", &["people:read"]).await.token;
    let mut envoy = Envoy::of(&server).await;
    for (request, expected, without) in [
        ("GET /healthz", "allowed", "allowed"),
        ("GET /healthz?x=/v1/admin", "allowed", "allowed"),
        ("POST /healthz", "NO_ROUTE", "NO_ROUTE"),
        ("GET /v1/people", "allowed", "MISSING"),
        ("GET /v1/%70eople/?page=2", "allowed", "MISSING"),
        ("GET /v1/admin/keys", "INSUFFICIENT_SCOPE", "MISSING"),
        ("GET /v1/%61dmin/keys", "INSUFFICIENT_SCOPE", "MISSING"),
        ("GET /v1/admin/", "INSUFFICIENT_SCOPE", "MISSING"),
        ("GET /v1/Admin/keys", "NO_ROUTE", "NO_ROUTE"),
        ("GET /v1//admin/keys", "NO_ROUTE", "NO_ROUTE"),
        ("GET /healthz/../v1/admin", "NO_ROUTE", "NO_ROUTE"),
        ("GET /healthz%2f..%2fv1%2fadmin", "NO_ROUTE", "NO_ROUTE"),
        ("GET /healthz;/../v1/admin", "NO_ROUTE", "NO_ROUTE"),
        ("get /v1/people", "NO_ROUTE", "NO_ROUTE"),
        ("DELETE /v1/people", "NO_ROUTE", "NO_ROUTE"),
        ("GET /elsewhere", "NO_ROUTE", "NO_ROUTE"),
        ("GET http://api.test/v1/people", "NO_ROUTE", "NO_ROUTE"),
        ("OPTIONS *", "NO_ROUTE", "NO_ROUTE"),
        ("GET ", "NO_ROUTE", "NO_ROUTE"),
        ("PUT /v1/people", "ENVIRONMENT", "MISSING"),
        // The workspace is the path's, and never the key's own instead.
        ("GET /w/klipy/x", "allowed", "MISSING"),
        ("GET /w/kling/x", "UNKNOWN", "MISSING"),
        ("GET /w/nobody/x", "UNKNOWN", "MISSING"),
        ("GET /w/KLIPY/x", "UNKNOWN", "MISSING"),
        ("GET /w/-/x", "UNKNOWN", "MISSING"),
    ] {
        let with = told(&mut envoy, &ask(request, Some(&token))).await;
        assert_eq!(with, expected, "{request}");
        let bare = told(&mut envoy, &ask(request, None)).await;
        assert_eq!(bare, without, "{request}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_gateway_asks_and_what_the_table_asks_both_hold() {
    let server = served();
    let mut admin = server.admin().await;
    admin.workspace("klipy", "klp", &[]).await;
    let token = admin.key("klipy", &["people:read", "x:y"]).await.token;
    let mut envoy = Envoy::of(&server).await;
    for (request, extensions, expected) in [
        (
            "GET /v1/people",
            &[("required_scopes", "x:y")][..],
            "allowed",
        ),
        (
            "GET /v1/people",
            &[("required_scopes", "x:z")],
            "INSUFFICIENT_SCOPE",
        ),
        (
            "GET /v1/admin",
            &[("required_scopes", "x:y")],
            "INSUFFICIENT_SCOPE",
        ),
        ("GET /elsewhere", &[("required_scopes", "x:y")], "NO_ROUTE"),
        ("GET /elsewhere", &[("preflights", "public")], "NO_ROUTE"),
        ("GET /v1/people", &[("workspace", "klipy")], "allowed"),
        // One and the same way is no conflict.
        (
            "GET /w/klipy/x",
            &[("workspace_path", "/w/{workspace}/**")],
            "allowed",
        ),
        ("GET /w/klipy/x", &[("workspace", "klipy")], "BROKEN_POLICY"),
        (
            "PUT /v1/people",
            &[("environment", "test")],
            "BROKEN_POLICY",
        ),
        // Public in the table, but not for this gateway.
        ("GET /healthz", &[("required_scopes", "x:y")], "allowed"),
        (
            "GET /healthz",
            &[("required_scopes", "x:z")],
            "INSUFFICIENT_SCOPE",
        ),
    ] {
        let ask = ask(request, Some(&token)).on(extensions);
        let told = told(&mut envoy, &ask).await;
        assert_eq!(told, expected, "{request} {extensions:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_preflight_is_public_where_the_route_that_it_asks_about_says_so() {
    let server = served();
    let mut envoy = Envoy::of(&server).await;
    let origin = ("origin", "https://app.test");
    for (path, method, expected) in [
        ("/v1/people", Some("GET"), "allowed"),
        ("/v1/people", Some("PUT"), "NO_ROUTE"),
        ("/v1/people", Some("get"), "NO_ROUTE"),
        ("/v1/people", None, "NO_ROUTE"),
        ("/v1/admin", Some("GET"), "MISSING"),
        ("/v1/Admin", Some("GET"), "NO_ROUTE"),
        ("/healthz", Some("GET"), "NO_ROUTE"),
        ("/elsewhere", Some("GET"), "NO_ROUTE"),
    ] {
        let asked = method.map(|method| ("access-control-request-method", method));
        let headers: Vec<_> = [origin].into_iter().chain(asked).collect();
        let mut ask = Ask::with(&headers);
        "OPTIONS".clone_into(&mut ask.http().method);
        path.clone_into(&mut ask.http().path);
        assert_eq!(told(&mut envoy, &ask).await, expected, "{path} {method:?}");
        // It is the origin that makes it one.
        let mut plain = Ask::with(&headers[1..]);
        "OPTIONS".clone_into(&mut plain.http().method);
        path.clone_into(&mut plain.http().path);
        assert_ne!(told(&mut envoy, &plain).await, "allowed", "{path}");
    }
}

/// Clients send their key with every request, also where nobody asks for it.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_reaches_no_upstream_where_anybody_may_call_and_a_jwt_does() {
    let server = served();
    let mut admin = server.admin().await;
    admin.workspace("kling", "klg", &[]).await;
    let token = admin.key("kling", &["*"]).await.token;
    let bearer = format!("Bearer {token}");
    let joined = format!("{bearer},{bearer}");
    let (auth, key) = ("authorization", "x-api-key");
    let jwt = "Bearer eyJhbGciOiJIUzI1NiJ9.e30.x";
    let by_key: &[(&str, &str)] = &[("credential_headers", key)];
    let mut envoy = Envoy::of(&server).await;
    type Row<'a> = (
        &'a [(&'a str, &'a str)],
        &'a [(&'a str, &'a str)],
        &'a [&'a str],
    );
    let rows: &[Row<'_>] = &[
        (&[], &[], &[]),
        (&[], &[(auth, &bearer)], &[auth]),
        (&[], &[(auth, &joined)], &[auth]),
        (&[], &[(auth, &bearer), (auth, jwt)], &[auth]),
        (&[], &[(auth, jwt)], &[]),
        (&[], &[(auth, "Basic YWRhOnNlY3JldA==")], &[]),
        (&[], &[(key, &token)], &[]),
        (by_key, &[(auth, jwt), (key, &token)], &[key]),
    ];
    let preflight = [
        ("origin", "https://app.test"),
        ("access-control-request-method", "GET"),
    ];
    for (route, sent, taken_off) in rows {
        let health = ("GET", "/healthz", &[][..]);
        for (method, path, more) in [health, ("OPTIONS", "/v1/people", &preflight)] {
            let sent = sent.iter().chain(more);
            let sent: Vec<_> = sent
                .map(|(name, value)| (*name, value.as_bytes()))
                .collect();
            let mut ask = Ask::raw(&sent).on(route);
            method.clone_into(&mut ask.http().method);
            path.clone_into(&mut ask.http().path);
            let removed = envoy.passes(&ask).await.remove;
            let expected: Vec<_> = IDENTITY.iter().chain(*taken_off).copied().collect();
            assert_eq!(removed, expected, "{method} {sent:?}");
        }
    }
}
