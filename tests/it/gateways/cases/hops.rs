//! What is between a client and the gateway alone, sent by a client: none of it
//! reaches the upstream, where it would mean something else.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::gateways::{Feature, Gateway, OnFailure, Scene};

/// Longer than any answer takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Behind HTTP/2 in the clear, nobody would ask any more.
pub(in crate::gateways) async fn nothing_is_upgraded_to_http_2<G: Gateway>() {
    let mut scene = Scene::new::<G>(OnFailure::Close).await;
    let token = scene.token().await;
    for path in ["/public/terms", "/orders", "/people"] {
        for protocol in ["h2c", "H2C", "websocket, h2c", "h2c, websocket"] {
            let head = scene
                .told(&format!(
                    "GET {path} HTTP/1.1\r\nHost: api.example.com\r\n\
                     Authorization: Bearer {token}\r\n\
                     Connection: Upgrade, HTTP2-Settings\r\nUpgrade: {protocol}\r\n\
                     HTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n"
                ))
                .await;
            assert!(!head.starts_with("HTTP/1.1 101"), "{protocol}: {head}");
            for seen in scene.upstream.seen() {
                for name in ["upgrade", "http2-settings"] {
                    assert_eq!(seen.header(name), None, "{path}: {protocol}");
                }
                let names = seen.connection();
                assert!(!names.contains("upgrade"), "{path}: {protocol}: {names}");
                assert!(!names.contains("http2"), "{path}: {protocol}: {names}");
            }
        }
    }
}

/// What `Connection` names, the next server forgets: also what the gateway says.
pub(in crate::gateways) async fn no_client_has_the_upstream_forget_who_it_is<G: Gateway>() {
    let mut scene = Scene::new::<G>(OnFailure::Close).await;
    let token = scene.token().await;
    for name in [
        "x-keyward-principal",
        "keep-alive, X-Keyward-Scopes",
        "x-forwarded-for",
        "authorization",
        "x-api-key",
    ] {
        let ask = scene.get("/orders").bearer(&token);
        // To refuse it, or to break off, is as good.
        let _ = ask.header("connection", name).try_send().await;
        for seen in scene.upstream.seen() {
            assert_eq!(seen.header("x-keyward-principal"), Some("user:ada"));
            let names = seen.connection();
            for part in ["keyward", "forwarded", "authorization", "api-key"] {
                assert!(!names.contains(part), "{name}: {names}");
            }
        }
    }
    let ask = scene.get("/orders").bearer(&token);
    let ask = ask.header("connection", "keep-alive");
    assert!(ask.send().await.is_from_the_upstream());
}

/// They would be tunnels, or say to anybody what the gateway says.
pub(in crate::gateways) async fn methods_that_are_for_proxies_reach_nobody<G: Gateway>() {
    let mut scene = Scene::new::<G>(OnFailure::Close).await;
    let token = scene.token().await;
    for line in [
        "CONNECT api.example.com:80",
        "CONNECT /public/terms",
        "CONNECT /orders",
        "TRACE /public/terms",
        "TRACE /orders",
        "GET *",
        "OPTIONS *",
    ] {
        // Where keyward's table has all the routes, it is one method of many.
        if line.starts_with("TRACE") && !G::can(Feature::PublicAlone) {
            continue;
        }
        let head = scene
            .told(&format!(
                "{line} HTTP/1.1\r\nHost: api.example.com\r\n\
                 Authorization: Bearer {token}\r\n\r\n"
            ))
            .await;
        // nginx answers what is for itself.
        let answered = line == "OPTIONS *" || !head.starts_with("HTTP/1.1 200");
        assert!(answered, "{line}: {head}");
        let seen = scene.upstream.seen();
        assert_eq!(seen.len(), 0, "{line}: {seen:?}");
    }
}

impl Scene {
    /// The first that the gateway says to this, if anything.
    async fn told(&self, request: &str) -> String {
        let listen: SocketAddr = self.gateway.place().listen;
        let mut socket = TcpStream::connect(listen).await.unwrap();
        socket.write_all(request.as_bytes()).await.unwrap();
        let mut head = [0; 1024];
        let read = timeout(PATIENCE, socket.read(&mut head)).await;
        let read = read.expect("an answer").unwrap_or(0);
        String::from_utf8_lossy(&head[..read]).into_owned()
    }
}
