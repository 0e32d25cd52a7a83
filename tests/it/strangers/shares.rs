//! Few connections cannot take what all share: what a client does not send whole,
//! or does not take, is counted until it is gone, and is cut off.

use keyward::edge::pb::CheckBatchRequest;
use tokio::time::timeout;

use super::*;

const BATCH: &str = "/keyward.v1.KeyCheck/CheckBatch";

/// A connection of a client that takes one byte of each answer.
async fn sipping(address: &str) -> Raw {
    let address = address.trim_start_matches("http://");
    let stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let (sender, connection) = h2::client::Builder::new()
        .initial_window_size(1)
        .handshake(stream)
        .await
        .unwrap();
    Raw {
        sender,
        ended: tokio::spawn(connection),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_asked_aside_is_small() {
    let (server, _) = serve(&[]).await;
    // `list_services` of reflection, `service` of health.
    let long = "x".repeat(8_000);
    let list = [&[0x3a, 0xc0, 0x3e], long.as_bytes()].concat();
    let health = HealthCheckRequest { service: long }.encode_to_vec();
    for address in [&server.check_address, &server.admin_address] {
        let raw = Raw::connect(address).await;
        for version in ["v1", "v1alpha"] {
            let path = format!("/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo");
            let small = raw.call(&path, &[], &[0x3a, 1, b'x']).await.unwrap();
            assert!(!small.messages.is_empty(), "{small:?}");
            // What is answered repeats what was asked.
            let large = raw.call(&path, &[], &list).await.unwrap();
            assert!(large.messages.is_empty(), "{path}");
        }
        for path in [HEALTH, WATCH] {
            let large = raw.call(path, &[], &health).await.unwrap();
            assert_eq!(large.status.code(), Code::OutOfRange, "{large:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn questions_for_health_are_counted_too() {
    let settings = [("max-connections", "5"), ("receive-timeout", "60s")];
    let (server, token) = serve(&settings).await;
    let mut checks = server.checks().await;
    let raw = Raw::connect(&server.check_address).await;
    let mut held = Vec::new();
    for _ in 0..5 {
        held.push(raw.begin(HEALTH, &[]).await.unwrap());
    }
    let health = HealthCheckRequest::default().encode_to_vec();
    let refused = raw.call(HEALTH, &[], &health).await.unwrap();
    assert_eq!(refused.status.code(), Code::Unavailable, "{refused:?}");
    answers(&mut checks, &token).await;
    drop(held);
    let start = Instant::now();
    while raw.call(HEALTH, &[], &health).await.unwrap().status.code() != Code::Ok {
        assert!(start.elapsed() < PATIENCE);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_are_sipped_are_counted_and_end_their_connection() {
    let settings = [("max-calls", "50"), ("receive-timeout", "1s")];
    let (server, token) = serve(&settings).await;
    let check = CheckRequest::decode(question(&token).as_slice()).unwrap();
    let batch = CheckBatchRequest {
        checks: vec![check; 300],
    };
    let batch = batch.encode_to_vec();
    for (path, message) in [(BATCH, &batch), (CHECK, &question(&token))] {
        let start = Instant::now();
        let raw = sipping(&server.check_address).await;
        let (mut held, mut refused) = (Vec::new(), 0);
        for _ in 0..60 {
            let mut call = raw.begin(path, &[]).await.unwrap();
            call.request.send_data(frame(message), true).unwrap();
            let answer = timeout(PATIENCE, call.answer).await.unwrap().unwrap();
            if answer.headers().contains_key("grpc-status") {
                refused += 1;
            } else {
                held.push(answer);
            }
        }
        assert_eq!((held.len(), refused), (50, 10), "{path}");
        let other = Raw::connect(&server.check_address).await;
        let turned_away = other.call(CHECK, &[], &question(&token)).await.unwrap();
        assert_eq!(turned_away.status.code(), Code::Unavailable);
        // Cut off once they have been there for one second and fifteen, and
        // before twice that.
        let _ = timeout(2 * PATIENCE, raw.ended).await.expect("cut off");
        assert!(start.elapsed() > Duration::from_secs(15), "{path}");
        let answer = other.call(CHECK, &[], &question(&token)).await.unwrap();
        assert!(is_allowed(&answer.messages));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_few_connections_cannot_take_all_calls() {
    let settings = [("max-calls", "400"), ("receive-timeout", "60s")];
    let (server, token) = serve(&settings).await;
    for (address, path) in [
        (&server.check_address, CHECK),
        (&server.admin_address, LIST),
    ] {
        let mut held = Vec::new();
        for _ in 0..3 {
            let raw = Raw::connect(address).await;
            for _ in 0..300 {
                held.push(raw.begin(path, &[]).await.unwrap());
            }
            // Answered after they were seen.
            let health = HealthCheckRequest::default().encode_to_vec();
            let told = raw.call(HEALTH, &[], &health).await.unwrap();
            assert_eq!(told.status.code(), Code::Ok);
            let more = raw.call(path, &[], &question(&token)).await.unwrap();
            assert_eq!(more.status.code(), Code::Unavailable, "{more:?}");
        }
        let honest = Raw::connect(address).await;
        for _ in 0..100 {
            let answer = honest.call(path, &[], &question(&token)).await.unwrap();
            assert_ne!(answer.status.code(), Code::Unavailable, "{answer:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_has_so_many_conversations() {
    let (server, token) = serve(&[]).await;
    let raw = Raw::connect(&server.check_address).await;
    let mut held = Vec::new();
    for _ in 0..64 {
        held.push(raw.begin(STREAM, &[]).await.unwrap());
    }
    let refused = raw.call(STREAM, &[], &[]).await.unwrap();
    assert_eq!(refused.status.code(), Code::Unavailable, "{refused:?}");
    let other = Raw::connect(&server.check_address).await;
    let answer = other
        .call(STREAM, &[], &streamed(&token).encode_to_vec())
        .await;
    let answer = answer.unwrap();
    assert_eq!(answer.status.code(), Code::Ok, "{answer:?}");
    assert!(!answer.messages.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn room_is_left_for_other_connections() {
    // More than there is room for, in pieces so small that what is left when
    // one is refused is of no use to the large request below.
    const HALF: usize = 200_000;
    let (server, token) = serve(&[("receive-timeout", "60s")]).await;
    let mut held = JoinSet::new();
    let raw = Raw::connect(&server.check_address).await;
    for _ in 0..500 {
        let mut call = raw.begin(CHECK, &[]).await.unwrap();
        let half = frame(&[0; 1_000_000]).slice(..HALF);
        call.request.send_data(half, false).unwrap();
        held.spawn(call.answer());
    }
    for _ in 0..100 {
        let refused = held.join_next().await.unwrap().unwrap().unwrap();
        assert_eq!(refused.status.code(), Code::Unavailable, "{refused:?}");
    }
    let pad = "Bearer ".to_owned() + &"x".repeat(900_000);
    let large = check_request(&pad, &[]).encode_to_vec();
    let other = Raw::connect(&server.check_address).await;
    for _ in 0..10 {
        let answer = other.call(CHECK, &[], &large).await.unwrap();
        assert_eq!(answer.status.code(), Code::Ok, "{answer:?}");
    }
    let answer = other.call(CHECK, &[], &question(&token)).await.unwrap();
    assert!(is_allowed(&answer.messages));
}
