//! The listener for plain HTTP: what it speaks, what slow and greedy clients get,
//! and how it ends.

use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;
use tokio::net::UnixStream;
use tokio::task::JoinSet;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;

use crate::h1raw::{Line, PATIENCE, request};
use crate::h2raw::Raw;
use crate::pki::{Authority, Shake};
use crate::support::{Server, Site, connect, keyward, run};

fn serve(change: impl FnOnce(&mut Command)) -> Server {
    let site = Site::init();
    let mut command = site.serve_command();
    change(&mut command);
    Server::spawn(site, command).unwrap()
}

/// The status and the body of what HTTP/2 gets.
async fn get(raw: &Raw, path: &str) -> (u16, String) {
    let request = http::Request::get(format!("http://localhost{path}"));
    let mut sender = raw.sender.clone().ready().await.unwrap();
    let (answer, _) = sender
        .send_request(request.body(()).unwrap(), true)
        .unwrap();
    let answer = answer.await.unwrap();
    let status = answer.status().as_u16();
    let mut body = answer.into_body();
    let mut text = Vec::new();
    while let Some(part) = body.data().await {
        text.extend_from_slice(&part.unwrap());
    }
    (status, String::from_utf8(text).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn probes_are_answered_over_both_versions_of_http() {
    let server = Server::start();
    let mut line = Line::connect(&server.http_address).await.unwrap();
    let raw = Raw::connect(&server.http_address).await;
    // One connection, many requests.
    for _ in 0..3 {
        for (path, status, body) in [
            ("/livez", 200, "alive\n"),
            ("/readyz", 200, "ready\n"),
            ("/nowhere", 404, "there is nothing here"),
            ("/forward-auth/", 404, "there is nothing here"),
        ] {
            let answer = line.get(path, &[]).await;
            assert_eq!(answer.status, status, "{path}");
            assert!(answer.body.starts_with(body), "{path} {answer:?}");
            let (found, told) = get(&raw, path).await;
            assert_eq!(found, status, "{path}");
            assert!(told.starts_with(body), "{path} {told}");
        }
    }
    line.send(request("HEAD", "/livez", &[])).await.unwrap();
    let answer = line.answer_to_head().await.unwrap();
    assert_eq!((answer.status, answer.body.as_str()), (200, ""));
    line.send(request("POST", "/livez", &[])).await.unwrap();
    assert_eq!(line.answer().await.unwrap().status, 405);
    // What is no HTTP is told so, and what is gRPC's is elsewhere.
    let mut odd = Line::connect(&server.http_address).await.unwrap();
    odd.send("\x16\x03\x01 is TLS\r\n\r\n").await.unwrap();
    assert_eq!(odd.answer().await.unwrap().status, 400);
    let (status, _) = get(&raw, "/keyward.v1.KeyCheck/Check").await;
    assert_eq!(status, 404);
    // Nor do the others speak HTTP/1.
    let mut line = Line::connect(&server.check_address).await.unwrap();
    line.send(request("GET", "/livez", &[])).await.unwrap();
    assert_eq!(line.ended().await, b"");
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_agrees_on_either_version() {
    let authority = Authority::new("a");
    let server = serve(|command| {
        let site = tempfile::tempdir().unwrap().keep();
        let pair = authority.issue();
        for (flag, name, text) in [
            ("--http-tls-certificate", "tls.crt", &pair.certificate),
            ("--http-tls-key", "tls.key", &pair.key),
        ] {
            let path = site.join(name);
            std::fs::write(&path, text).unwrap();
            command.arg(flag).arg(path);
        }
    });
    for (alpn, version) in [
        (&["h2"][..], 2),
        (&["http/1.1", "h2"], 2),
        (&["http/1.1"], 1),
        (&[], 1),
        (&[], 2),
    ] {
        let shake = Shake {
            alpn,
            ..Shake::of(&authority)
        };
        let tls = shake.greetless(&server.http_address).await.unwrap();
        let status = if version == 2 {
            get(&Raw::on(tls).await, "/livez").await.0
        } else {
            Line::on(tls).get("/livez", &[]).await.status
        };
        assert_eq!(status, 200, "{alpn:?}");
    }
    // In clear it is nothing.
    let mut line = Line::connect(&server.http_address).await.unwrap();
    line.send(request("GET", "/livez", &[])).await.unwrap();
    assert!(!line.ended().await.starts_with(b"HTTP"));
}

#[tokio::test(flavor = "multi_thread")]
async fn it_can_be_a_unix_socket_or_off_and_metrics_can_have_their_own() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("http.sock");
    let server = serve(|command| {
        command.arg(format!("--http-listen=unix:{}", path.display()));
        // Beyond this machine, in clear: it tells no secrets.
        command.args(["--metrics-listen", "0.0.0.0:0"]);
    });
    let mut line = Line::on(UnixStream::connect(&path).await.unwrap());
    assert_eq!(line.get("/readyz", &[]).await.status, 200);
    assert_eq!(line.get("/forward-auth", &[]).await.status, 401);
    let nearby = server.metrics_address.replace("0.0.0.0", "127.0.0.1");
    let mut line = Line::connect(&nearby).await.unwrap();
    assert_eq!(line.get("/readyz", &[]).await.status, 200);
    // No token is taken there.
    assert_eq!(line.get("/forward-auth", &[]).await.status, 404);
    let (status, log) = server.stop();
    assert!(status.success(), "{log}");
    assert!(!path.exists());

    let server = serve(|command| {
        command.args(["--http-listen", "off"]);
    });
    assert_eq!((&*server.http_address, &*server.metrics_address), ("", ""));

    let mut command = keyward();
    command.args(["serve", "--http-listen", "0.0.0.0:0", "--data-dir"]);
    let output = run(command.arg(folder.path()));
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(64), "{told}");
    assert!(
        told.contains("in clear") && told.contains("--http-listen"),
        "{told}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_client_is_cut_off_and_a_silent_one_is_kept() {
    let server = serve(|command| {
        command.args(["--http-receive-timeout", "1s"]);
    });
    let mut silent = Line::connect(&server.http_address).await.unwrap();
    silent.get("/livez", &[]).await;
    // It never ends its headers, however it goes on.
    let mut slow = Line::connect(&server.http_address).await.unwrap();
    slow.send("GET /livez HTTP/1.1\r\n").await.unwrap();
    let going_on = async {
        while slow.send("x: y\r\n").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(PATIENCE, going_on)
        .await
        .expect("it is cut off");
    assert_eq!(slow.ended().await, b"", "and is answered nothing");
    // It does not even begin, or begins as HTTP/2 does.
    for bytes in ["", "P", "PRI * HTTP/2.0\r\n"] {
        let mut slow = Line::connect(&server.http_address).await.unwrap();
        slow.send(bytes).await.unwrap();
        assert_eq!(slow.ended().await, b"", "{bytes:?}");
    }
    // A method may begin like that, too.
    let mut line = Line::connect(&server.http_address).await.unwrap();
    for part in ["P", "R", "OPFIND /livez HTTP/1.1\r\nhost: x\r\n\r\n"] {
        line.send(part).await.unwrap();
    }
    assert_eq!(line.answer().await.unwrap().status, 405);
    // All that took longer than a request may.
    assert_eq!(silent.get("/livez", &[]).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_client_ends_when_it_would_not_answer_pings() {
    let server = serve(|command| {
        command.args(["--http-keepalive-interval", "1s"]);
        command.args(["--http-keepalive-timeout", "1s"]);
    });
    let mut line = Line::connect(&server.http_address).await.unwrap();
    line.get("/livez", &[]).await;
    assert_eq!(line.ended().await, b"");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_is_never_waited_for_and_is_never_the_next_request() {
    let server = Server::start();
    let smuggled = request("GET", "/livez", &[]);
    for (headers, body) in [
        // nginx sends a length like that if nobody clears it.
        (&[("content-length", "5")][..], ""),
        (&[("content-length", "1000000")], &*smuggled),
        (&[("transfer-encoding", "chunked")], ""),
        (&[("content-length", "40"), ("expect", "100-continue")], ""),
    ] {
        for path in ["/forward-auth", "/readyz"] {
            let mut line = Line::connect(&server.http_address).await.unwrap();
            line.send(request("GET", path, headers)).await.unwrap();
            line.send(body).await.unwrap();
            let answer = line.answer().await.unwrap();
            let expected = if path == "/readyz" { 200 } else { 401 };
            assert_eq!(answer.status, expected, "{headers:?}");
            assert_eq!(answer.header("connection"), Some("close"), "{headers:?}");
            assert_eq!(line.ended().await, b"", "{headers:?}");
        }
    }
    // None at all, said aloud, is none.
    let mut line = Line::connect(&server.http_address).await.unwrap();
    for _ in 0..2 {
        let answer = line.get("/readyz", &[("content-length", "0")]).await;
        assert_eq!(answer.header("connection"), None);
    }
    // Over HTTP/2 the connection goes on.
    let raw = Raw::connect(&server.http_address).await;
    for _ in 0..10 {
        let call = raw.begin("/forward-auth", &[]).await.unwrap();
        assert_eq!(call.answer.await.unwrap().status(), 401);
        drop(call.request);
    }
    assert_eq!(get(&raw, "/readyz").await.0, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_beyond_all_measure_are_refused() {
    let server = Server::start();
    for (number, status) in [(200, 401), (300, 431)] {
        let names: Vec<_> = (0..number).map(|number| format!("x-{number}")).collect();
        let headers: Vec<_> = names.iter().map(|name| (name.as_str(), "")).collect();
        let mut line = Line::connect(&server.http_address).await.unwrap();
        let answer = line.get("/forward-auth", &headers).await;
        assert_eq!(answer.status, status, "{number} headers");
    }
    let mut line = Line::connect(&server.http_address).await.unwrap();
    let large = "x".repeat(40 * 1024);
    let answer = line.get("/forward-auth", &[("x-large", &large)]).await;
    assert_eq!(answer.status, 401, "as large as gateways allow");
    let huge = "x".repeat(100 * 1024);
    // The server need not read all of it.
    let _ = line
        .send(request("GET", "/forward-auth", &[("x-huge", &huge)]))
        .await;
    let rest = line.ended().await;
    assert!(
        rest.is_empty() || rest.starts_with(b"HTTP/1.1 431"),
        "{rest:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn there_are_as_many_connections_as_it_takes() {
    let server = serve(|command| {
        command.args(["--http-max-connections", "50"]);
    });
    let mut lines = Vec::new();
    for _ in 0..50 {
        let mut line = Line::connect(&server.http_address).await.unwrap();
        assert_eq!(line.get("/livez", &[]).await.status, 200);
        lines.push(line);
    }
    let mut turned_away = JoinSet::new();
    for _ in 0..1_000 {
        let address = server.http_address.clone();
        turned_away.spawn(async move { Line::connect(&address).await.unwrap().ended().await });
    }
    while let Some(rest) = turned_away.join_next().await {
        assert_eq!(rest.unwrap(), b"");
    }
    // Those that are there go on; and who goes makes room.
    for line in &mut lines {
        assert_eq!(line.get("/livez", &[]).await.status, 200);
    }
    drop(lines);
    for attempt in 0.. {
        let mut line = Line::connect(&server.http_address).await.unwrap();
        let sent = line.send(request("GET", "/livez", &[])).await;
        if sent.is_ok() && line.answer().await.is_some() {
            break;
        }
        assert!(attempt < 1_000, "there is room again");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_answer_is_cut_off_at_a_stop_and_readiness_tells_of_it() {
    let server = serve(|command| {
        command.args(["--metrics-listen", "127.0.0.1:0", "--drain-timeout", "5s"]);
    });
    // A call that does not end holds the stop up.
    let mut client = ServerReflectionClient::new(connect(&server.check_address).await);
    let silence = tokio_stream::pending::<ServerReflectionRequest>();
    let call = client.server_reflection_info(silence).await.unwrap();
    let mut watching = Line::connect(&server.metrics_address).await.unwrap();
    assert_eq!(watching.get("/readyz", &[]).await.status, 200);
    let mut askers = JoinSet::new();
    for number in 0..16 {
        let address = server.http_address.clone();
        askers.spawn(async move {
            let mut answered = 0;
            // Until nobody listens any more. Each answer is whole, or none.
            while let Ok(mut line) = Line::connect(&address).await {
                while line
                    .send(request("GET", "/forward-auth", &[]))
                    .await
                    .is_ok()
                {
                    let Some(answer) = line.answer().await else {
                        break;
                    };
                    assert_eq!(answer.status, 401);
                    answered += 1;
                    if number % 2 == 0 || answer.header("connection").is_some() {
                        break;
                    }
                }
            }
            answered
        });
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    server.signal(Signal::TERM);
    while let Some(answered) = askers.join_next().await {
        assert!(answered.unwrap() > 0);
    }
    let answer = watching.get("/readyz", &[]).await;
    assert_eq!(
        (answer.status, &*answer.body),
        (503, "keyward is stopping\n")
    );
    assert_eq!(watching.get("/livez", &[]).await.status, 200);
    let (status, log) = server.wait();
    assert!(status.success(), "{log}");
    drop(call);
}
