//! A listener that anybody can reach: whoever is slow, silent, many or rude
//! costs the others nothing, and nobody is denied for it.
#![expect(
    clippy::too_many_lines,
    reason = "a test tells one story, from top to bottom"
)]

mod conversations;
mod shares;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::time::{Duration, Instant};

use keyward::edge::pb::{CheckRequest, CheckResponse, CheckStreamRequest};
use prost::Message;
use tokio::task::JoinSet;
use tonic::Code;
use tonic_health::pb::HealthCheckRequest;
use tonic_types::StatusExt;

use crate::h2raw::{self, Raw, frame};
use crate::pki::{Authority, Files, GREETING, Shake};
use crate::support::{Checks, Server, Site, check_request, verdict};

const CHECK: &str = "/keyward.v1.KeyCheck/Check";
const LIST: &str = "/keyward.v1.KeyAdmin/ListKeys";
const HEALTH: &str = "/grpc.health.v1.Health/Check";
const WATCH: &str = "/grpc.health.v1.Health/Watch";
const STREAM: &str = "/keyward.v1.KeyCheck/CheckStream";

/// Longer than anything takes that ends.
const PATIENCE: Duration = Duration::from_secs(30);

/// A server with these settings on both listeners, and a token that passes.
async fn serve(settings: &[(&str, &str)]) -> (Server, String) {
    serve_with(Site::init(), settings, |_| {}).await
}

async fn serve_with(
    site: Site,
    settings: &[(&str, &str)],
    change: impl FnOnce(&mut Command),
) -> (Server, String) {
    let server = site.serve();
    let mut owner = server.admin().await;
    owner.workspace("w", "klg", &[]).await;
    let token = owner.key("w", &["a"]).await.token;
    let (status, log) = server.stop();
    assert!(status.success(), "{log}");
    let mut command = site.serve_command();
    for (name, value) in settings {
        for listener in ["check", "admin"] {
            command.args([&format!("--{listener}-{name}"), *value]);
        }
    }
    change(&mut command);
    (Server::spawn(site, command).unwrap(), token)
}

/// The same question, as bytes.
fn question(token: &str) -> Vec<u8> {
    check_request(token, &["a"]).encode_to_vec()
}

/// The same in a conversation.
fn streamed(token: &str) -> CheckStreamRequest {
    CheckStreamRequest {
        id: 1,
        check: Some(check_request(token, &["a"])),
    }
}

fn is_allowed(messages: &[u8]) -> bool {
    verdict(CheckResponse::decode(&messages[5..]).unwrap()).is_ok()
}

/// Reads until the server closes; how long that took.
fn closed_after(mut stream: TcpStream) -> Duration {
    let start = Instant::now();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut bytes = [0; 1024];
    loop {
        match stream.read(&mut bytes) {
            Ok(0) => return start.elapsed(),
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => {
                return start.elapsed();
            }
            Err(error) => panic!("it was not closed: {error}"),
        }
    }
}

async fn answers(checks: &mut Checks, token: &str) {
    assert!(checks.header(token, &["a"]).await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_greet_whole_is_cut_off_while_others_are_served() {
    let (site, authority) = (Site::init(), Authority::new("a"));
    let files = Files::write(&site, &authority.issue());
    let limit = Duration::from_secs(1);
    // The check listener in clear, the admin listener encrypted.
    let (server, token) = serve_with(site, &[("receive-timeout", "1s")], |command| {
        command
            .arg("--admin-tls-certificate")
            .arg(&files.certificate)
            .arg("--admin-tls-key")
            .arg(&files.key);
    })
    .await;
    // The beginning of a ClientHello.
    let hello = [0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3];
    let mut checks = server.checks().await;
    let halves = [
        (&server.check_address, &b""[..]),
        (&server.check_address, b"P"),
        (&server.check_address, &GREETING[..23]),
        (&server.admin_address, b""),
        (&server.admin_address, &hello[..1]),
        (&server.admin_address, &hello),
    ];
    let mut cut = JoinSet::new();
    for (address, half) in halves.into_iter().cycle().take(60) {
        let mut stream = TcpStream::connect(address.trim_start_matches("http://")).unwrap();
        stream.write_all(half).unwrap();
        cut.spawn_blocking(move || closed_after(stream));
    }
    let start = Instant::now();
    while start.elapsed() < limit {
        answers(&mut checks, &token).await;
        Shake::of(&authority)
            .at(&server.admin_address)
            .await
            .unwrap();
    }
    for took in cut.join_all().await {
        assert!(took > limit / 2 && took < 10 * limit, "{took:?}");
    }
    // Whoever speaks something else need not wait for it.
    let address = server.check_address.trim_start_matches("http://");
    let mut browser = TcpStream::connect(address).unwrap();
    browser
        .write_all(b"GET / HTTP/1.1\r\nHost: keyward\r\n\r\n")
        .unwrap();
    assert!(closed_after(browser) < limit);
    answers(&mut checks, &token).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_stops_in_the_middle_of_a_frame_is_cut_off_by_the_keepalive() {
    let settings = [("keepalive-interval", "1s"), ("keepalive-timeout", "1s")];
    let (server, token) = serve(&settings).await;
    let mut checks = server.checks().await;
    for address in [&server.check_address, &server.admin_address] {
        for half in [&b""[..], &[0], &[0, 1, 0, 1, 4, 0, 0, 0, 1, 0x82]] {
            let mut stream = TcpStream::connect(address.trim_start_matches("http://")).unwrap();
            stream.write_all(GREETING).unwrap();
            stream.write_all(half).unwrap();
            let closed = tokio::task::spawn_blocking(move || closed_after(stream));
            let took = closed.await.unwrap();
            assert!(
                took > Duration::from_millis(500) && took < Duration::from_secs(10),
                "{took:?}"
            );
        }
    }
    // Who answers pings is left alone.
    answers(&mut checks, &token).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    answers(&mut checks, &token).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn half_a_request_ends_with_deadline_exceeded_while_others_are_served() {
    let (server, token) = serve(&[("receive-timeout", "1s")]).await;
    let mut checks = server.checks().await;
    let whole = frame(&question(&token));
    for (address, path) in [
        (&server.check_address, CHECK),
        (&server.admin_address, LIST),
        (&server.check_address, WATCH),
    ] {
        let raw = Raw::connect(address).await;
        for sent in [0, 1, 5, whole.len() - 1, whole.len()] {
            let start = Instant::now();
            let mut call = raw.begin(path, &[]).await.unwrap();
            // The last is whole, but for its end.
            if sent > 0 {
                call.request.send_data(whole.slice(..sent), false).unwrap();
            }
            let answering = tokio::spawn(call.answer());
            answers(&mut checks, &token).await;
            let answer = answering.await.unwrap().unwrap();
            let took = start.elapsed();
            assert_eq!(
                answer.status.code(),
                Code::DeadlineExceeded,
                "{path} {sent} {answer:?}"
            );
            assert!(answer.status.message().contains("whole"), "{answer:?}");
            assert!(
                took > Duration::from_millis(900) && took < PATIENCE,
                "{took:?}"
            );
        }
        // A trickle is no way around it.
        let call = raw.begin(path, &[]).await.unwrap();
        let (mut request, trickle) = (call.request, whole.clone());
        let trickling = tokio::spawn(async move {
            for at in 0..trickle.len() - 1 {
                if request.send_data(trickle.slice(at..=at), false).is_err() {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            request
        });
        let answer = h2raw::answer(call.answer).await.unwrap();
        assert_eq!(answer.status.code(), Code::DeadlineExceeded, "{path}");
        trickling.abort();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deadline_that_passes_is_told_as_that_on_both_listeners() {
    let (server, token) = serve(&[]).await;
    let whole = frame(&question(&token));
    for (address, path) in [
        (&server.check_address, CHECK),
        (&server.admin_address, LIST),
    ] {
        let raw = Raw::connect(address).await;
        for (deadline, least) in [("1n", 0), ("100m", 100), ("300000u", 300)] {
            let start = Instant::now();
            let mut call = raw
                .begin(path, &[("grpc-timeout", deadline)])
                .await
                .unwrap();
            call.request.send_data(whole.slice(..7), false).unwrap();
            let answer = call.answer().await.unwrap();
            let took = start.elapsed();
            assert_eq!(
                answer.status.code(),
                Code::DeadlineExceeded,
                "{path} {answer:?}"
            );
            assert!(answer.status.message().contains("deadline"), "{answer:?}");
            assert!(answer.trailers_only);
            assert!(
                took >= Duration::from_millis(least) && took < Duration::from_secs(5),
                "{took:?}"
            );
        }
        // Whole requests are answered, in time and with what is no deadline.
        for deadline in ["10S", "never", "", "-1S"] {
            let headers = [("grpc-timeout", deadline)];
            let answer = raw.call(path, &headers, &question(&token)).await.unwrap();
            let expected = if path == CHECK {
                Code::Ok
            } else {
                Code::Unauthenticated
            };
            assert_eq!(answer.status.code(), expected, "{deadline:?} {answer:?}");
        }
        // A conversation that goes on until then ends by it, too.
        let start = Instant::now();
        let watch = HealthCheckRequest::default().encode_to_vec();
        let answer = raw
            .call(WATCH, &[("grpc-timeout", "500m")], &watch)
            .await
            .unwrap();
        assert_eq!(answer.status.code(), Code::DeadlineExceeded);
        assert!(!answer.trailers_only && !answer.messages.is_empty());
        assert!(start.elapsed() >= Duration::from_millis(500));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_beyond_the_limit_are_turned_away_at_once_and_told_when_to_come_back() {
    let (server, token) = serve(&[("max-calls", "4"), ("receive-timeout", "60s")]).await;
    for (address, path) in [
        (&server.check_address, CHECK),
        (&server.admin_address, LIST),
    ] {
        let (slow, quick) = (Raw::connect(address).await, Raw::connect(address).await);
        let mut held = Vec::new();
        for _ in 0..4 {
            held.push(slow.begin(path, &[]).await.unwrap());
        }
        // Health is told all the same; and as it was asked after those on the
        // same connection, they have been seen.
        let health = HealthCheckRequest::default().encode_to_vec();
        let told = slow.call(HEALTH, &[], &health).await.unwrap();
        assert_eq!(told.status.code(), Code::Ok);
        let start = Instant::now();
        let refused = quick.call(path, &[], &question(&token)).await.unwrap();
        assert_eq!(refused.status.code(), Code::Unavailable, "{refused:?}");
        assert!(start.elapsed() < Duration::from_secs(2));
        assert!(refused.trailers_only && refused.messages.is_empty());
        let info = refused.status.get_details_error_info().unwrap();
        assert_eq!(
            (info.reason.as_str(), info.domain.as_str()),
            ("OVERLOADED", "keyward")
        );
        let retry = refused.status.get_details_retry_info().unwrap();
        assert!(retry.retry_delay.unwrap() > Duration::ZERO);

        flood(&quick, path).await;

        // Room is made by whoever ends.
        drop(held);
        let start = Instant::now();
        loop {
            let answer = quick.call(path, &[], &question(&token)).await.unwrap();
            if answer.status.code() != Code::Unavailable {
                break;
            }
            assert!(start.elapsed() < PATIENCE, "{answer:?}");
        }
    }
    assert!(
        server.log().contains("calls turned away"),
        "{}",
        server.log()
    );
}

/// Calls of which nothing was read are turned away by the thousand, and the
/// connection is none the worse for it.
async fn flood(raw: &Raw, path: &str) {
    let mut flood = JoinSet::new();
    for _ in 0..3_000 {
        let mut call = raw.begin(path, &[]).await.unwrap();
        flood.spawn(async move {
            // The rest comes after the answer, or not at all.
            let _ = call.request.send_data(frame(&[0; 100]), true);
            call.answer().await.map(|answer| answer.status.code())
        });
    }
    while let Some(code) = flood.join_next().await {
        let code = code.unwrap();
        assert!(matches!(code, Ok(Code::Unavailable)), "{code:?}");
    }
    assert!(!raw.ended.is_finished());
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_beyond_the_limit_are_closed_at_once() {
    let (server, token) = serve(&[("max-connections", "10")]).await;
    for address in [&server.check_address, &server.admin_address] {
        let socket = address.trim_start_matches("http://");
        let mut held = Vec::new();
        for _ in 0..10 {
            let mut stream = TcpStream::connect(socket).unwrap();
            stream.write_all(GREETING).unwrap();
            // Its settings: it was taken.
            stream.read_exact(&mut [0; 9]).unwrap();
            held.push(stream);
        }
        for _ in 0..20 {
            let took = closed_after(TcpStream::connect(socket).unwrap());
            assert!(took < Duration::from_secs(5), "{took:?}");
        }
        held.pop();
        let start = Instant::now();
        loop {
            let stream = tokio::net::TcpStream::connect(socket).await.unwrap();
            let Ok((sender, connection)) = h2::client::handshake(stream).await else {
                continue;
            };
            let raw = Raw {
                sender,
                ended: tokio::spawn(connection),
            };
            let answer = raw.call(CHECK, &[], &question(&token)).await;
            if answer.is_ok_and(|answer| answer.status.code() != Code::Unavailable) {
                break;
            }
            assert!(start.elapsed() < PATIENCE);
        }
    }
    // Many were closed, and few lines say so.
    let log = server.log();
    let lines = log.matches("as many as the listener takes").count();
    assert!((2..=6).contains(&lines), "{lines}: {log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_has_so_many_calls_at_a_time() {
    let (server, token) = serve(&[("max-streams", "3"), ("receive-timeout", "1s")]).await;
    let raw = Raw::connect(&server.check_address).await;
    let answer = raw.call(CHECK, &[], &question(&token)).await.unwrap();
    assert!(is_allowed(&answer.messages));
    assert_eq!(raw.sender.current_max_send_streams(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_connection_is_replaced_and_no_call_is_lost() {
    let settings = [
        ("max-connection-age", "1s"),
        ("max-connection-age-grace", "1s"),
    ];
    let (server, token) = serve(&settings).await;
    // Calls end as they would, and the client is told to open another.
    let mut load = JoinSet::new();
    for _ in 0..4 {
        let (address, token) = (server.check_address.clone(), token.clone());
        load.spawn(async move {
            let start = Instant::now();
            let (mut connections, mut calls) = (0, 0);
            while start.elapsed() < Duration::from_secs(4) {
                let raw = Raw::connect(&address).await;
                connections += 1;
                let since = Instant::now();
                while let Ok(mut call) = raw.begin(CHECK, &[]).await {
                    if call
                        .request
                        .send_data(frame(&question(&token)), true)
                        .is_err()
                    {
                        break;
                    }
                    match call.answer().await {
                        Ok(answer) => assert!(is_allowed(&answer.messages)),
                        // It was told of the end before this one was looked at.
                        Err(error) => {
                            assert!(error.is_go_away(), "{error:?}");
                            assert_eq!(error.reason(), Some(h2::Reason::NO_ERROR));
                            break;
                        }
                    }
                    calls += 1;
                }
                let lived = since.elapsed();
                assert!(
                    lived > Duration::from_millis(890) && lived < Duration::from_secs(3),
                    "{lived:?}"
                );
            }
            (connections, calls)
        });
    }
    for (connections, calls) in load.join_all().await {
        assert!(
            (2..=5).contains(&connections),
            "{connections} with {calls} calls"
        );
    }
    // Conversations end well, and what was asked in them is answered.
    let start = Instant::now();
    let watch = HealthCheckRequest::default().encode_to_vec();
    for (path, asked) in [(WATCH, &watch), (STREAM, &streamed(&token).encode_to_vec())] {
        let raw = Raw::connect(&server.check_address).await;
        let mut call = raw.begin(path, &[]).await.unwrap();
        call.request.send_data(frame(asked), path == WATCH).unwrap();
        let ended = h2raw::answer(call.answer).await.unwrap();
        assert_eq!(ended.status.code(), Code::Ok, "{path} {ended:?}");
        assert!(!ended.messages.is_empty(), "{path}");
        assert!(start.elapsed() > Duration::from_millis(890), "{path}");
    }
    // What does not end goes on for the grace, and no longer.
    let raw = Raw::connect(&server.admin_address).await;
    let start = Instant::now();
    let cut = raw.begin(LIST, &[]).await.unwrap().answer().await;
    let took = start.elapsed();
    assert!(cut.is_err(), "{cut:?}");
    assert!(
        took > Duration::from_millis(1_890) && took < Duration::from_secs(9),
        "{took:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn floods_of_one_connection_end_that_connection_alone() {
    let (server, token) = serve(&[]).await;
    let mut checks = server.checks().await;
    // Headers beyond all measure.
    let raw = Raw::connect(&server.check_address).await;
    let long = "x".repeat(20_000);
    let refused = raw
        .call(CHECK, &[("x-long", &long)], &question(&token))
        .await;
    assert!(refused.is_ok_and(|answer| answer.status.message().contains("431")));
    answers(&mut checks, &token).await;
    // Calls that are cancelled before they are looked at, as fast as it goes.
    let address = server
        .check_address
        .trim_start_matches("http://")
        .to_owned();
    let flood = tokio::task::spawn_blocking(move || {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(GREETING).unwrap();
        let mut frames = Vec::new();
        for id in (1_u32..100_001).step_by(2) {
            // POST, http, / and no more.
            frames.extend_from_slice(&[0, 0, 3, 1, 4]);
            frames.extend_from_slice(&id.to_be_bytes());
            frames.extend_from_slice(&[0x83, 0x86, 0x84]);
            frames.extend_from_slice(&[0, 0, 4, 3, 0]);
            frames.extend_from_slice(&id.to_be_bytes());
            frames.extend_from_slice(&8_u32.to_be_bytes());
        }
        // It is cut off before all is sent, or right after.
        let _ = stream.write_all(&frames);
        closed_after(stream)
    });
    while !flood.is_finished() {
        answers(&mut checks, &token).await;
    }
    flood.await.unwrap();
    answers(&mut checks, &token).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn halves_of_large_requests_are_held_up_to_a_limit() {
    const HALF: usize = 900_000;
    let (server, token) = serve(&[("receive-timeout", "60s")]).await;
    let mut checks = server.checks().await;
    let mut held = JoinSet::new();
    let raw = Raw::connect(&server.check_address).await;
    for _ in 0..100 {
        let mut call = raw.begin(CHECK, &[]).await.unwrap();
        let half = frame(&[0; 1_000_000]).slice(..HALF);
        call.request.send_data(half, false).unwrap();
        held.spawn(call.answer());
    }
    // A part of the 90 MB is held; the rest is turned away.
    let refused = held.join_next().await.unwrap().unwrap().unwrap();
    assert_eq!(refused.status.code(), Code::Unavailable, "{refused:?}");
    let info = refused.status.get_details_error_info().unwrap();
    assert_eq!(info.reason, "OVERLOADED");
    // An ordinary question has room.
    for _ in 0..100 {
        answers(&mut checks, &token).await;
    }
    let asked = raw.call(CHECK, &[], &question(&token)).await.unwrap();
    assert!(is_allowed(&asked.messages));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_nobody_takes_is_dropped() {
    let (server, token) = serve(&[("receive-timeout", "1s")]).await;
    let address = server.check_address.trim_start_matches("http://");
    let stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let (sender, connection) = h2::client::Builder::new()
        .initial_window_size(0)
        .handshake(stream)
        .await
        .unwrap();
    let raw = Raw {
        sender,
        ended: tokio::spawn(connection),
    };
    let mut calls = JoinSet::new();
    for _ in 0..100 {
        let mut call = raw.begin(CHECK, &[]).await.unwrap();
        call.request
            .send_data(frame(&question(&token)), true)
            .unwrap();
        calls.spawn(call.answer());
    }
    while let Some(ended) = calls.join_next().await {
        let error = ended.unwrap().unwrap_err();
        assert!(error.is_reset() && error.is_remote(), "{error:?}");
    }
}

/// All of them are served, not only borne.
#[tokio::test(flavor = "multi_thread")]
async fn two_thousand_connections_over_tls_are_all_answered() {
    const CONNECTIONS: usize = 2_000;
    crate::law_undecided::allow_files(2 * CONNECTIONS);
    let (site, authority) = (Site::init(), Authority::new("a"));
    let files = Files::write(&site, &authority.issue());
    let (server, token) = serve_with(site, &[], |command| files.on_both(command)).await;
    let shake = Shake::of(&authority);
    let mut held = Vec::new();
    for _ in 0..CONNECTIONS {
        held.push(shake.greetless(&server.check_address).await.unwrap());
    }
    let mut asked = JoinSet::new();
    for stream in held {
        let message = CheckRequest::decode(question(&token).as_slice()).unwrap();
        asked.spawn(async move {
            let raw = Raw::on(stream).await;
            let answer = raw
                .call(CHECK, &[], &message.encode_to_vec())
                .await
                .unwrap();
            assert!(is_allowed(&answer.messages));
            raw
        });
    }
    assert_eq!(asked.join_all().await.len(), CONNECTIONS);
}
