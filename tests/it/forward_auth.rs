//! Forward-auth as gateways ask it, of the real program: what passes, what does
//! not and how that is told, and who is believed.

use std::time::Duration;

use keyward::edge::pb::CreateKeyRequest;
use tokio::net::{TcpStream, UnixStream};

use crate::h1raw::{Answer, Line, request};
use crate::h2raw::Raw;
use crate::limits::limits;
use crate::support::{Admin, Server, Site, key_request};

/// A gateway with one connection.
struct Gateway(Line<TcpStream>);

impl Gateway {
    async fn of(server: &Server) -> Self {
        Self(Line::connect(&server.http_address).await.unwrap())
    }

    /// Asks whether `token` passes a route with this query.
    async fn ask(&mut self, token: &str, query: &str) -> Answer {
        let bearer = format!("Bearer {token}");
        self.with(&[("authorization", &bearer)], query).await
    }

    async fn with(&mut self, headers: &[(&str, &str)], query: &str) -> Answer {
        let what = [
            ("x-forwarded-method", "GET"),
            ("x-forwarded-host", "api.test"),
            ("x-forwarded-uri", "/v1/people?page=2"),
            ("x-forwarded-for", "192.0.2.1"),
        ];
        let headers = [&what, headers].concat();
        self.0.get(&format!("/forward-auth{query}"), &headers).await
    }
}

/// A server with a workspace, and who may issue keys.
async fn start() -> (Server, Admin) {
    let server = Server::start();
    let mut owner = server.admin().await;
    owner.workspace("w", "klg", &[]).await;
    (server, owner)
}

async fn issue(owner: &mut Admin, change: impl FnOnce(&mut CreateKeyRequest)) -> String {
    let mut request = key_request("w", &["people:read"]);
    change(&mut request);
    let created = owner.client.create_key(request).await.unwrap();
    created.into_inner().token
}

#[tokio::test(flavor = "multi_thread")]
async fn a_good_key_passes_and_is_told_of() {
    let (server, mut owner) = start().await;
    let token = issue(&mut owner, |_| {}).await;
    let mut gateway = Gateway::of(&server).await;
    let bearer = format!("Bearer {token}");
    // What its client says of itself is not handed back.
    let spoofed = [
        ("authorization", &*bearer),
        ("x-keyward-principal", "user:eve"),
        ("x-keyward-environment", "spoofed"),
    ];
    let answer = gateway.with(&spoofed, "?required_scopes=people:read").await;
    assert_eq!((answer.status, &*answer.body), (200, ""));
    assert_eq!(answer.header("x-keyward-principal"), Some("user:ada"));
    assert_eq!(answer.header("x-keyward-workspace"), Some("w"));
    assert_eq!(answer.header("x-keyward-scopes"), Some("people:read"));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert_ne!(answer.header("x-keyward-environment"), Some("spoofed"));
    assert_eq!(answer.header("authorization"), None);
    // Whatever the method, it is the same question; and the body is not read.
    for method in ["HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "BREW"] {
        let sent = request(method, "/forward-auth", &spoofed);
        gateway.0.send(sent).await.unwrap();
        let answer = if method == "HEAD" {
            gateway.0.answer_to_head().await
        } else {
            gateway.0.answer().await
        };
        assert_eq!(answer.unwrap().status, 200, "{method}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_denial_has_its_status_and_says_what_helps() {
    let (server, mut owner) = start().await;
    let good = issue(&mut owner, |_| {}).await;
    let limited = issue(&mut owner, |key| key.limits = limits(&["read=1/3600!"])).await;
    let revoked = owner.key("w", &[]).await;
    owner.revoke(&revoked.key.unwrap().id).await;
    let mut gateway = Gateway::of(&server).await;
    assert_eq!(gateway.ask(&limited, "").await.status, 200);
    let invalid = Some("Bearer error=\"invalid_token\"");
    let scope = Some("Bearer error=\"insufficient_scope\", scope=\"people:write\"");
    for (token, query, status, challenge, word) in [
        ("nonsense", "", 401, invalid, "unauthorized"),
        (&*revoked.token, "", 401, invalid, "unauthorized"),
        (
            &*good,
            "?required_scopes=people%3Awrite",
            403,
            scope,
            "insufficient_scope",
        ),
        (&*limited, "", 429, None, "rate_limited"),
        // Whatever the credential, nobody knows what is asked.
        (&*good, "?scopes=people:read", 500, None, "misconfigured"),
        (&*good, "?cost=", 500, None, "misconfigured"),
        (&*good, "?deny_status=404", 500, None, "misconfigured"),
        (&*good, "?required_scopes=%FF", 500, None, "misconfigured"),
    ] {
        let answer = gateway.ask(token, query).await;
        assert_eq!(answer.status, status, "{query} {answer:?}");
        assert_eq!(answer.header("www-authenticate"), challenge, "{query}");
        assert_eq!(answer.header("retry-after").is_some(), status == 429);
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        assert_eq!(answer.header("x-keyward-status"), None);
        assert_eq!(answer.header("x-keyward-key-id"), None);
        let told: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
        assert_eq!(told["error"], word, "{answer:?}");
        // The same for a gateway that knows 401 and 403 alone.
        let mark = if query.is_empty() { "?" } else { "&" };
        if query.contains("deny_status") {
            continue;
        }
        let again = gateway
            .ask(token, &format!("{query}{mark}deny_status=403"))
            .await;
        let mapped = !matches!(status, 401 | 403);
        assert_eq!(again.status, if mapped { 403 } else { status });
        let truth = mapped.then(|| status.to_string());
        assert_eq!(again.header("x-keyward-status"), truth.as_deref());
        assert_eq!(again.body, answer.body);
    }
    let none = gateway.with(&[], "").await;
    assert_eq!(none.status, 401);
    assert_eq!(none.header("www-authenticate"), Some("Bearer"));
    // Of what is wrong with the configuration the operator is told, and no
    // token is.
    let log = server.log();
    assert!(log.contains("what its route asks cannot be read"), "{log}");
    assert!(!log.contains(&good) && !log.contains(&limited));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_said_twice_is_refused() {
    let (server, mut owner) = start().await;
    let token = issue(&mut owner, |_| {}).await;
    let mut gateway = Gateway::of(&server).await;
    let bearer = format!("Bearer {token}");
    let good = ("authorization", &*bearer);
    for twice in ["x-forwarded-method", "X-Forwarded-Host", "x-forwarded-uri"] {
        let answer = gateway.with(&[good, (twice, "/public")], "").await;
        assert_eq!(answer.status, 500, "{twice}");
        let answer = gateway
            .with(&[good, (twice, "x")], "?deny_status=403")
            .await;
        assert_eq!(answer.status, 403, "{twice}");
        assert_eq!(answer.header("x-keyward-status"), Some("500"));
    }
    assert!(server.log().contains("sent this header twice"));
    // Nor are two credentials one.
    let answer = gateway.with(&[good, good], "").await;
    assert_eq!(answer.status, 401);
    assert_eq!(gateway.with(&[good], "").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_who_is_trusted_says_where_a_request_comes_from() {
    let (server, mut owner) = start().await;
    let confined =
        |key: &mut CreateKeyRequest| key.source_addresses = vec!["192.0.2.0/24".to_owned()];
    let token = issue(&mut owner, confined).await;
    let bearer = format!("Bearer {token}");
    // Lines of the header, and whether the key passes.
    let table: [(&[&str], bool); 12] = [
        (&["192.0.2.1"], true),
        (&["203.0.113.1, 192.0.2.1"], true),
        (&["192.0.2.1, 127.0.0.1"], true),
        (&["[::ffff:192.0.2.1]:4711"], true),
        // A client wrote the first, a gateway the last.
        (&["192.0.2.1, 203.0.113.1"], false),
        (&["192.0.2.1", "203.0.113.1"], false),
        (&["192.0.2.1, 203.0.113.1, 127.0.0.1"], false),
        (&["192.0.2.1, unknown"], false),
        (&["192.0.2.1, _hidden, 127.0.0.1"], false),
        (&["192.0.2.1,"], false),
        (&["127.0.0.1"], false),
        (&[], false),
    ];
    let asked = |lines: &[&str]| {
        let mut headers = vec![("authorization", bearer.as_str())];
        headers.extend(lines.iter().map(|line| ("x-forwarded-for", *line)));
        // Not the one that was asked for.
        headers.push(("x-real-ip", "192.0.2.1"));
        headers.push(("forwarded", "for=192.0.2.1"));
        request("GET", "/forward-auth", &headers)
    };
    let mut line = Line::connect(&server.http_address).await.unwrap();
    for (lines, passes) in table {
        line.send(asked(lines)).await.unwrap();
        let status = line.answer().await.unwrap().status;
        assert_eq!(status, if passes { 200 } else { 403 }, "{lines:?}");
    }
    // Nobody is trusted: the peer is the source, whatever it says.
    let site = server.kill();
    let mut command = site.serve_command();
    command.args(["--http-trusted-gateways", "none"]);
    let server = Server::spawn(site, command).unwrap();
    let mut line = Line::connect(&server.http_address).await.unwrap();
    for (lines, _) in table {
        line.send(asked(lines)).await.unwrap();
        assert_eq!(line.answer().await.unwrap().status, 403, "{lines:?}");
    }
    // Another header, at a socket that is trusted for what it is.
    let site = server.kill();
    let path = site.path().join("http.sock");
    let mut command = site.serve_command();
    command.arg(format!("--http-listen=unix:{}", path.display()));
    command.args([
        "--http-trusted-gateways",
        "none",
        "--http-source-header",
        "X-Real-IP",
    ]);
    let _server = Server::spawn(site, command).unwrap();
    let mut line = Line::on(UnixStream::connect(&path).await.unwrap());
    line.send(asked(&["203.0.113.1"])).await.unwrap();
    assert_eq!(line.answer().await.unwrap().status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_revoked_is_denied_to_the_very_next_request() {
    let (server, mut owner) = start().await;
    let mut gateway = Gateway::of(&server).await;
    for _ in 0..20 {
        let created = owner.key("w", &[]).await;
        assert_eq!(gateway.ask(&created.token, "").await.status, 200);
        owner.revoke(&created.key.unwrap().id).await;
        assert_eq!(gateway.ask(&created.token, "").await.status, 401);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_is_spent_once_for_each_request_that_passes() {
    let (server, mut owner) = start().await;
    let token = issue(&mut owner, |key| key.limits = limits(&["read=100/3600"])).await;
    let mut asking = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let (mut gateway, token) = (Gateway::of(&server).await, token.clone());
        asking.spawn(async move {
            let mut passed = 0;
            for _ in 0..30 {
                let answer = gateway.ask(&token, "?limits=read&cost=2").await;
                assert!(matches!(answer.status, 200 | 429), "{answer:?}");
                passed += u32::from(answer.status == 200);
            }
            passed
        });
    }
    let mut passed = 0;
    while let Some(of_one) = asking.join_next().await {
        passed += of_one.unwrap();
    }
    assert_eq!(passed, 50);
    // What does not name the limit does not spend of it.
    assert_eq!(Gateway::of(&server).await.ask(&token, "").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_bytes_are_denied_and_harm_nobody() {
    let (server, mut owner) = start().await;
    let token = issue(&mut owner, |_| {}).await;
    for (name, value) in [
        ("authorization", &b"Bearer \xff\xfe"[..]),
        ("authorization", b"Bearer \t\t"),
        ("authorization", b""),
        ("x-forwarded-for", b"\xff\xfe, 192.0.2.1"),
        ("x-forwarded-uri", b"\xc3\x28/../%00"),
        ("x-forwarded-host", b"\xff"),
        ("x-forwarded-method", b"\xff"),
        ("x-forwarded-for", &[b','; 30_000]),
    ] {
        let mut line = Line::connect(&server.http_address).await.unwrap();
        let mut bytes = b"GET /forward-auth HTTP/1.1\r\nhost: x\r\n".to_vec();
        bytes.extend_from_slice(name.as_bytes());
        bytes.extend_from_slice(b": ");
        bytes.extend_from_slice(value);
        bytes.extend_from_slice(b"\r\n\r\n");
        line.send(&bytes).await.unwrap();
        assert_eq!(line.answer().await.unwrap().status, 401, "{name} {value:?}");
    }
    let mut gateway = Gateway::of(&server).await;
    let long = "a=b&".repeat(10_000);
    let answer = gateway.ask(&token, &format!("?{long}")).await;
    assert!(matches!(answer.status, 414 | 431 | 500), "{answer:?}");
    assert_eq!(Gateway::of(&server).await.ask(&token, "").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn beyond_its_calls_it_says_so_and_a_body_on_its_way_is_of_a_call() {
    let site = Site::init();
    let mut command = site.serve_command();
    command.args(["--http-max-calls", "1"]);
    let server = Server::spawn(site, command).unwrap();
    let raw = Raw::connect(&server.http_address).await;
    let mut gateway = Gateway::of(&server).await;
    for (query, status, truth) in [("", 503, None), ("?deny_status=403", 403, Some("503"))] {
        let mut refused = None;
        // It is held for a second at most, which can go by on a busy machine.
        for _ in 0..20 {
            let held = raw.begin("/forward-auth", &[]).await.unwrap();
            let first = held.answer.await.unwrap().status();
            // What its answer held is gone by then.
            tokio::time::sleep(Duration::from_millis(100)).await;
            let answer = gateway.with(&[], query).await;
            drop(held.request);
            if first == 401 && answer.status == status {
                refused = Some(answer);
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let answer = refused.expect("the call is held by its body");
        assert_eq!(answer.header("x-keyward-status"), truth);
        assert_eq!(answer.header("content-type"), Some("application/json"));
        assert_eq!(answer.header("retry-after"), Some("1"));
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        let told: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
        assert_eq!(told["error"], "unavailable");
    }
    // Once the body has gone there is room again.
    for attempt in 0.. {
        if gateway.with(&[], "").await.status == 401 {
            break;
        }
        assert!(attempt < 1_000, "there is room again");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_of_routes_holds_beside_the_query() {
    let site = Site::init();
    let file = site.path().join("routes.toml");
    let routes = "[[route]]\nmatch = \"GET /open\"\npublic = true\n\
                  [[route]]\nmatch = \"GET /v1/people\"\nrequired_scopes = \"people:read\"\n\
                  [[route]]\nmatch = \"GET /v1/pets\"\nrequired_scopes = \"pets:read\"\n";
    std::fs::write(&file, routes).unwrap();
    let mut command = site.serve_command();
    command.arg("--routes").arg(file);
    let server = Server::spawn(site, command).unwrap();
    let mut owner = server.admin().await;
    owner.workspace("w", "klg", &[]).await;
    let token = issue(&mut owner, |_| {}).await;
    let bearer = format!("Bearer {token}");
    let mut line = Line::connect(&server.http_address).await.unwrap();
    for (path, with_key, query, status) in [
        ("/open", false, "", 200),
        ("/v1/people", false, "", 401),
        ("/v1/people", true, "", 200),
        ("/v1/people", true, "?required_scopes=people:read", 200),
        // Each asks for what the other does not.
        ("/v1/people", true, "?required_scopes=people:write", 403),
        ("/v1/pets", true, "?required_scopes=people:read", 403),
        ("/v1/elsewhere", true, "", 403),
        ("/v1/elsewhere", false, "", 403),
    ] {
        let mut headers = vec![
            ("x-forwarded-method", "GET"),
            ("x-forwarded-host", "api.test"),
            ("x-forwarded-uri", path),
        ];
        headers.extend(with_key.then_some(("authorization", &*bearer)));
        let answer = line.get(&format!("/forward-auth{query}"), &headers).await;
        assert_eq!(
            answer.status, status,
            "{path} {with_key} {query} {answer:?}"
        );
    }
}
