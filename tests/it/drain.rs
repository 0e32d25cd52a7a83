//! A server that is told to stop under load: what it has accepted it answers,
//! what it has acknowledged is there, and it takes no more.

use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use keyward::edge::pb::{CheckResponse, CreateKeyResponse, ListKeysRequest};
use prost::Message;
use rustix::process::Signal;
use tokio::task::JoinSet;
use tonic::Code;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

use crate::h2raw::{Answer, Raw, frame};
use crate::pki::{Authority, Files, Shake};
use crate::support::{Server, Site, check_request, key_request, verdict};

const CHECK: &str = "/keyward.v1.KeyCheck/Check";
const HEALTH: &str = "/grpc.health.v1.Health/Check";
const CREATE: &str = "/keyward.v1.KeyAdmin/CreateKey";

/// How a test's clients connect.
#[derive(Clone)]
struct Way(Option<Arc<Authority>>);

impl Way {
    async fn connect(&self, address: &str) -> Raw {
        match &self.0 {
            None => Raw::connect(address).await,
            Some(authority) => {
                let shake = Shake::of(authority);
                Raw::on(shake.greetless(address).await.unwrap()).await
            }
        }
    }
}

/// A server in clear or encrypted, and a token that passes.
async fn start(encrypted: bool) -> (Server, Way, String) {
    let site = Site::init();
    let server = site.serve();
    let mut owner = server.admin().await;
    owner.workspace("w", "klg", &[]).await;
    let token = owner.key("w", &["a"]).await.token;
    server.stop();
    let mut command = site.serve_command();
    command.args(["--drain-timeout", "20s"]);
    let way = Way(encrypted.then(|| {
        let authority = Authority::new("a");
        Files::write(&site, &authority.issue()).on_both(&mut command);
        Arc::new(authority)
    }));
    (Server::spawn(site, command).unwrap(), way, token)
}

fn is_allowed(answer: &Answer) -> bool {
    let response = CheckResponse::decode(&answer.messages[5..]).unwrap();
    answer.status.code() == Code::Ok && verdict(response).is_ok()
}

/// What an error may say of a call once the server stops: that it was never
/// looked at, so that the client may send it elsewhere.
fn was_not_accepted(error: &h2::Error) -> bool {
    let reason = error.reason();
    error.is_go_away() && reason == Some(h2::Reason::NO_ERROR)
        || reason == Some(h2::Reason::REFUSED_STREAM)
}

/// Calls on one connection until that takes no more; the good answers.
async fn call_until_stopped(
    raw: Raw,
    path: &'static str,
    bearer: String,
    message: Vec<u8>,
) -> Vec<Answer> {
    const AT_ONCE: usize = 8;
    let raw = Arc::new(raw);
    let mut callers = JoinSet::new();
    for _ in 0..AT_ONCE {
        let (raw, bearer, message) = (raw.clone(), bearer.clone(), message.clone());
        callers.spawn(async move {
            let mut answers = Vec::new();
            // When none can be begun any more, that is the end of it.
            while let Ok(mut call) = raw.begin(path, &[("authorization", &bearer)]).await {
                let sent = call.request.send_data(frame(&message), true);
                match call.answer().await {
                    Ok(answer) => {
                        assert_eq!(answer.status.code(), Code::Ok, "{answer:?}");
                        answers.push(answer);
                    }
                    Err(error) => assert!(was_not_accepted(&error), "{error:?} {sent:?}"),
                }
            }
            answers
        });
    }
    callers.join_all().await.into_iter().flatten().collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_under_load_loses_nothing_that_was_acknowledged() {
    for encrypted in [false, true] {
        let (server, way, token) = start(encrypted).await;
        let bearer = format!("Bearer {}", server.site.admin_token());
        let mut load = JoinSet::new();
        for _ in 0..4 {
            let question = check_request(&token, &["a"]).encode_to_vec();
            let raw = way.connect(&server.check_address).await;
            load.spawn(call_until_stopped(raw, CHECK, String::new(), question));
            let request = key_request("w", &["a"]).encode_to_vec();
            let raw = way.connect(&server.admin_address).await;
            load.spawn(call_until_stopped(raw, CREATE, bearer.clone(), request));
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
        let told = Instant::now();
        server.signal(Signal::TERM);
        let answers: Vec<_> = load.join_all().await.into_iter().flatten().collect();
        let site = server.site.clone();
        let (status, log) = server.wait();
        assert!(status.success() && log.contains("stopped"), "{log}");
        assert!(!log.contains("cut off"), "{log}");
        assert!(
            told.elapsed() < Duration::from_secs(15),
            "it waits for nobody"
        );

        let mut created = Vec::new();
        let mut checked = 0;
        for answer in &answers {
            let issued = CreateKeyResponse::decode(&answer.messages[5..]);
            match issued
                .ok()
                .filter(|issued| issued.token.starts_with("klg_"))
            {
                Some(issued) => created.push(issued.token),
                None => {
                    assert!(is_allowed(answer));
                    checked += 1;
                }
            }
        }
        assert!(
            created.len() > 20 && checked > 200,
            "{} {checked}",
            created.len()
        );
        let again = site.serve();
        let mut checks = again.checks().await;
        for token in &created {
            assert!(checks.header(token, &["a"]).await.is_ok());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_accepted_is_answered_and_nobody_new_is_let_in() {
    for encrypted in [false, true] {
        let (server, way, token) = start(encrypted).await;
        let bearer = format!("Bearer {}", server.site.admin_token());
        let listeners = [
            (
                &server.check_address,
                CHECK,
                check_request(&token, &["a"]).encode_to_vec(),
            ),
            (
                &server.admin_address,
                CREATE,
                key_request("w", &[]).encode_to_vec(),
            ),
        ];
        let mut under_way = Vec::new();
        for (address, path, message) in &listeners {
            let raw = way.connect(address).await;
            let headers = [("authorization", bearer.as_str())];
            // One that is done, so that the connection surely is served.
            let done = raw.call(path, &headers, message).await.unwrap();
            assert_eq!(done.status.code(), Code::Ok);
            let half = message.len() / 2;
            for _ in 0..20 {
                let mut call = raw.begin(path, &headers).await.unwrap();
                let whole = frame(message);
                call.request.send_data(whole.slice(..half), false).unwrap();
                under_way.push((call, whole.slice(half..)));
            }
            // An answer says that what was sent before it was seen.
            raw.call(path, &headers, message).await.unwrap();
        }
        server.signal(Signal::TERM);
        let start = Instant::now();
        for (address, ..) in &listeners {
            let address = address.trim_start_matches("http://");
            while TcpStream::connect(address).is_ok() {
                assert!(
                    start.elapsed() < Duration::from_secs(10),
                    "{}",
                    server.log()
                );
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
        for (mut call, rest) in under_way {
            call.request.send_data(rest, true).unwrap();
            let answer = call.answer().await.unwrap();
            assert_eq!(answer.status.code(), Code::Ok, "{answer:?}");
        }
        let (status, log) = server.wait();
        assert!(status.success() && !log.contains("cut off"), "{log}");
    }
}

/// Waits until the server says that it stops.
async fn stopping(server: &Server) {
    let start = Instant::now();
    while !server.log().contains("\"stopping\"") {
        assert!(
            start.elapsed() < Duration::from_secs(10),
            "{}",
            server.log()
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_was_let_in_and_had_not_greeted_is_told_to_go_elsewhere() {
    let (server, _, token) = start(false).await;
    let question = check_request(&token, &["a"]).encode_to_vec();
    let address = server.check_address.trim_start_matches("http://");
    let mut silent = Vec::new();
    for _ in 0..8 {
        silent.push(tokio::net::TcpStream::connect(address).await.unwrap());
    }
    // Accepted in order, so that those above are, too.
    let raw = Raw::connect(&server.check_address).await;
    assert!(is_allowed(&raw.call(CHECK, &[], &question).await.unwrap()));
    server.signal(Signal::TERM);
    stopping(&server).await;
    let mut asking = JoinSet::new();
    for stream in silent {
        let question = question.clone();
        asking.spawn(async move {
            let raw = Raw::on(stream).await;
            match raw.call(CHECK, &[], &question).await {
                Ok(answer) => assert!(is_allowed(&answer)),
                Err(error) => assert!(was_not_accepted(&error), "{error:?}"),
            }
        });
    }
    asking.join_all().await;
    let (status, log) = server.wait();
    assert!(status.success() && !log.contains("cut off"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn health_is_not_serving_until_the_end() {
    let (server, ..) = start(false).await;
    let message = HealthCheckRequest::default().encode_to_vec();
    let mut asked = Vec::new();
    for address in [&server.check_address, &server.admin_address] {
        let raw = Raw::connect(address).await;
        let call = raw.begin(HEALTH, &[]).await.unwrap();
        // Answered, so that the one before it was seen.
        raw.call(HEALTH, &[], &message).await.unwrap();
        asked.push((raw, call));
    }
    server.signal(Signal::TERM);
    stopping(&server).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    for (_raw, mut call) in asked {
        call.request.send_data(frame(&message), true).unwrap();
        let answer = call.answer().await.unwrap();
        assert_eq!(answer.status.code(), Code::Ok, "{answer:?}");
        let told = HealthCheckResponse::decode(&answer.messages[5..]).unwrap();
        assert_eq!(told.status(), ServingStatus::NotServing);
    }
    let (status, log) = server.wait();
    assert!(status.success() && !log.contains("cut off"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_whose_caller_leaves_is_told_to_its_end() {
    let (server, ..) = start(false).await;
    let bearer = format!("Bearer {}", server.site.admin_token());
    let mut request = key_request("w", &[]);
    request.name = "left".to_owned();
    let request = request.encode_to_vec();
    for deadline in ["10S", "1m", "3m", "8m", "20m"] {
        let headers = [("authorization", &*bearer), ("grpc-timeout", deadline)];
        let raw = Raw::connect(&server.admin_address).await;
        let mut left = Vec::new();
        for _ in 0..20 {
            let mut call = raw.begin(CREATE, &headers).await.unwrap();
            call.request.send_data(frame(&request), true).unwrap();
            left.push(call);
        }
        if deadline == "10S" {
            // As soon as one is there, the others are reset.
            left.remove(0).answer().await.unwrap();
        } else {
            for call in left {
                call.answer().await.unwrap();
            }
        }
    }
    let mut owner = server.admin().await;
    let list = ListKeysRequest {
        workspace: "w".to_owned(),
        page_size: 1_000,
        ..ListKeysRequest::default()
    };
    let keys = owner
        .client
        .list_keys(list)
        .await
        .unwrap()
        .into_inner()
        .keys;
    assert!(keys.len() > 5, "{}", keys.len());
    let (status, log) = server.stop();
    assert!(status.success(), "{log}");
    let issued: Vec<_> = log
        .lines()
        .filter(|line| line.contains("key issued"))
        .collect();
    for key in keys.iter().filter(|key| key.name == "left") {
        let told = issued.iter().any(|line| line.contains(&key.id));
        assert!(told, "{} of {}: {log}", key.id, keys.len());
    }
}
