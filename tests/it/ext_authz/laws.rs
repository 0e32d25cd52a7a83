//! The laws, as they hold for Envoy's question too.

use std::time::{Duration, Instant};

use keyward::edge::ext_authz;
use keyward::edge::pb::CreateKeyRequest;
use prost::Message;
use tokio::task::JoinSet;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use super::*;
use crate::h2raw::Raw;

const CHECK: &str = "/envoy.service.auth.v3.Authorization/Check";

/// Longer than anything takes that ends.
const PATIENCE: Duration = Duration::from_secs(60);

async fn limited(server: &Server, texts: &[&str]) -> String {
    let mut admin = server.admin().await;
    admin.workspace("kling", "klg", &[]).await;
    let request = CreateKeyRequest {
        limits: limits(texts),
        ..key_request("kling", &["*"])
    };
    admin
        .client
        .create_key(request)
        .await
        .unwrap()
        .into_inner()
        .token
}

#[tokio::test(flavor = "multi_thread")]
async fn the_very_next_question_sees_a_revocation() {
    let server = Server::start();
    let mut admin = server.admin().await;
    admin.workspace("kling", "klg", &[]).await;
    let mut envoy = Envoy::of(&server).await;
    for _ in 0..20 {
        let issued = admin.key("kling", &["*"]).await;
        let ask = Ask::bearer(&issued.token);
        envoy.passes(&ask).await;
        admin.revoke(&issued.key.unwrap().id).await;
        assert_eq!(envoy.reason(&ask).await, "REVOKED");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn exactly_what_a_limit_says_passes_and_denials_spend_nothing() {
    const LIMIT: usize = 300;
    let server = Server::start();
    let token = limited(&server, &["read=300/86400", "bulk=3/86400"]).await;
    let mut envoy = Envoy::of(&server).await;
    let reading = Ask::bearer(&token).on(&[("limits", "read")]);
    // Denied for other reasons, or by another limit: `read` stays as it is.
    for (route, reason) in [
        (
            &[("limits", "read"), ("environment", "test")][..],
            "ENVIRONMENT",
        ),
        (&[("limits", "read,bulk"), ("cost", "4")], "RATE_LIMITED"),
        (&[("limits", "read,nowhere")], "UNKNOWN_LIMIT"),
    ] {
        for _ in 0..20 {
            assert_eq!(envoy.reason(&Ask::bearer(&token).on(route)).await, reason);
        }
    }
    let look = Ask::bearer(&token).on(&[("limits", "read"), ("cost", "0")]);
    let told = envoy.passes(&look).await.respond["ratelimit"].clone();
    assert_eq!(told, format!("\"read\";r={LIMIT}"));

    let mut callers = JoinSet::new();
    for _ in 0..8 {
        let (mut envoy, reading) = (Envoy::of(&server).await, reading.clone());
        callers.spawn(async move {
            let mut passed = 0;
            for _ in 0..60 {
                match envoy.ask(&reading).await.unwrap() {
                    Answer::Allowed(_) => passed += 1,
                    Answer::Denied(refusal) => assert_eq!(refusal.status, 429),
                    other @ Answer::Failed(_) => panic!("{other:?}"),
                }
            }
            passed
        });
    }
    let passed: usize = callers.join_all().await.into_iter().sum();
    assert_eq!(passed, LIMIT);
}

/// Whatever bytes a client puts into its request, Envoy gets an answer: an error
/// might let it pass.
#[tokio::test(flavor = "multi_thread")]
async fn whatever_a_client_sends_gets_an_answer() {
    let server = Server::start();
    let token = limited(&server, &["all=1/86400!"]).await;
    let mut envoy = Envoy::of(&server).await;
    let long = vec![b'a'; 200 * 1024];
    let commas = vec![b','; 200 * 1024];
    let all: Vec<u8> = (0..=255).collect();
    let injected = format!("Bearer {token}\r\nx-keyward-principal: root");
    for value in [
        &long[..],
        &commas,
        &all,
        b"\0",
        b"\xff",
        b"Bearer",
        b"Basic ====",
        injected.as_bytes(),
    ] {
        let names = ["authorization", "x-workspace", "content-type", "origin"];
        let headers: Vec<_> = names.iter().map(|name| (*name, value)).collect();
        let route = [
            ("workspace_header", "x-workspace"),
            ("preflights", "public"),
        ];
        for ask in [Ask::raw(&headers), Ask::raw(&headers).on(&route)] {
            let begin = Instant::now();
            assert_eq!(envoy.reason(&ask).await, "MALFORMED");
            assert!(begin.elapsed() < Duration::from_secs(3));
        }
    }
    for odd in ["", "\0", "*", "//", "/%zz?%00#", &"/a".repeat(100_000)] {
        let mut ask = Ask::with(&[]);
        ask.http().path = odd.to_owned();
        ask.http().host = odd.to_owned();
        ask.http().method = odd.to_owned();
        assert_eq!(envoy.reason(&ask.at(odd)).await, "MISSING");
    }
    let many: Vec<_> = (0..20_000)
        .map(|_| ("authorization", b"x".as_slice()))
        .collect();
    assert_eq!(envoy.reason(&Ask::raw(&many)).await, "MALFORMED");
    assert_eq!(envoy.reason(&Ask::default()).await, "MISSING");
    // None of it has spent anything, or broken anything.
    envoy.passes(&Ask::bearer(&token)).await;
}

/// It is answered by its length alone, however long it is.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_is_too_large_is_denied_and_no_failed_check() {
    let server = Server::start();
    let token = limited(&server, &["all=1/86400!"]).await;
    let mut envoy = Envoy::of(&server).await;
    for length in [1024 * 1024, 3 * 1024 * 1024, 12 * 1024 * 1024] {
        let mut ask = Ask::bearer(&token);
        ask.http()
            .headers
            .insert("x".to_owned(), "x".repeat(length));
        let refusal = envoy.denies(&ask).await;
        assert_eq!(
            (refusal.code, refusal.status),
            (Code::ResourceExhausted, 431)
        );
        assert_eq!(refusal.told["reason"], "TOO_LARGE");
        assert!(refusal.body.contains("too_large"), "{}", refusal.body);
    }
    // More than the length need not come.
    let raw = Raw::connect(&server.check_address).await;
    let mut call = raw.begin(CHECK, &[]).await.unwrap();
    call.request
        .send_data([0, 0xff, 0xff, 0xff, 0xff].as_slice().into(), false)
        .unwrap();
    let answer = call.answer().await.unwrap();
    assert_eq!(answer.status.code(), Code::Ok, "{answer:?}");
    let mut ask = Ask::bearer(&token);
    ask.http()
        .headers
        .insert("x".to_owned(), "x".repeat(1_000_000));
    envoy.passes(&ask).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_question_is_an_error_and_no_denial() {
    let server = Server::start();
    for (message, code) in [
        (vec![0x0a, 9], Code::InvalidArgument),
        (vec![0x08, 1], Code::InvalidArgument),
    ] {
        let channel = support::connect(&server.check_address).await;
        let status = support::raw_call(channel, CHECK, message)
            .await
            .unwrap_err();
        assert_eq!(status.code(), code, "{status:?}");
    }
    let channel = support::connect(&server.check_address).await;
    let other = CHECK.replace("/Check", "/Other");
    let status = support::raw_call(channel, &other, Vec::new())
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::Unimplemented);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_that_comes_too_late_is_no_denial_and_spends_nothing() {
    let server = Server::start();
    let token = limited(&server, &["all=1/86400!"]).await;
    let raw = Raw::connect(&server.check_address).await;
    let message = Ask::bearer(&token).0.encode_to_vec();
    // The question arrives after its deadline.
    for _ in 0..5 {
        let mut call = raw.begin(CHECK, &[("grpc-timeout", "50m")]).await.unwrap();
        tokio::time::sleep(Duration::from_millis(200)).await;
        // The answer may be there by now, and nothing more be taken.
        let _ = call.request.send_data(crate::h2raw::frame(&message), true);
        let answer = call.answer().await.unwrap();
        assert_eq!(answer.status.code(), Code::DeadlineExceeded, "{answer:?}");
    }
    let mut envoy = Envoy::of(&server).await;
    envoy.passes(&Ask::bearer(&token)).await;
    assert_eq!(envoy.reason(&Ask::bearer(&token)).await, "RATE_LIMITED");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_with_too_much_to_do_says_so_and_denies_nobody() {
    let site = support::Site::init();
    let mut command = site.serve_command();
    command.args(["--check-threads", "1", "--check-max-calls", "2"]);
    // Those that are held are not ended meanwhile.
    command.args(["--check-receive-timeout", "10m"]);
    let server = Server::spawn(site, command).unwrap();
    let token = limited(&server, &["all=5/86400!"]).await;
    let mut envoy = Envoy::of(&server).await;
    let slow = Raw::connect(&server.check_address).await;
    let mut held = Vec::new();
    let begin = Instant::now();
    let status = loop {
        // Seen some time, unless a question was there before it: then it is turned
        // away, and the next is held.
        held.push(slow.begin(CHECK, &[]).await.unwrap());
        match envoy.ask(&Ask::with(&[])).await {
            Err(status) => break status,
            Ok(Answer::Denied(_)) => assert!(begin.elapsed() < PATIENCE),
            Ok(other) => panic!("{other:?}"),
        }
    };
    assert_eq!(status.code(), Code::Unavailable, "{status:?}");
    drop(held);
    let begin = Instant::now();
    while envoy.ask(&Ask::with(&[])).await.is_err() {
        assert!(begin.elapsed() < PATIENCE);
    }
    let told = envoy.passes(&Ask::bearer(&token)).await.respond["ratelimit"].clone();
    assert!(told.starts_with("\"all\";r=4"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn health_is_told_of_it_by_its_name() {
    let server = Server::start();
    let health = |address: String| async move {
        let request = HealthCheckRequest {
            service: ext_authz::SERVICE.to_owned(),
        };
        let mut client = HealthClient::new(support::connect(&address).await);
        client.check(request).await
    };
    let told = health(server.check_address.clone()).await.unwrap();
    assert_eq!(told.into_inner().status(), ServingStatus::Serving);
    let there = health(server.admin_address.clone()).await;
    assert_eq!(there.unwrap_err().code(), Code::NotFound);
}
