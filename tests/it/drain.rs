//! A server that is told to stop under load: what it has accepted it answers,
//! what it has acknowledged is there, and it takes no more.
#![expect(
    clippy::too_many_lines,
    reason = "a test tells one story, from top to bottom"
)]

use std::net::TcpStream;
use std::slice;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use keyward::edge::pb::key_check_client::KeyCheckClient;
use keyward::edge::pb::{
    CheckResponse, CheckStreamRequest, CreateKeyResponse, DenialReason, ListKeysRequest,
    RevokeKeyRequest,
};
use prost::Message;
use rustix::process::Signal;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Code;
use tonic::transport::Channel;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

use crate::h2raw::{Answer, Raw, frame};
use crate::load::{ClientFiles, Load, Target};
use crate::pki::{Authority, Files, Pair, Shake, channel};
use crate::support::{Server, Site, check_request, connect, key_request, verdict, verdict_of};

const CHECK: &str = "/keyward.v1.KeyCheck/Check";
const HEALTH: &str = "/grpc.health.v1.Health/Check";
const CREATE: &str = "/keyward.v1.KeyAdmin/CreateKey";
const REVOKE: &str = "/keyward.v1.KeyAdmin/RevokeKey";

/// How a test's clients connect: in clear, or with a certificate of this
/// authority, which has signed the server's, too.
#[derive(Clone)]
struct Way(Option<Arc<(Authority, Pair)>>);

impl Way {
    async fn connect(&self, address: &str) -> Raw {
        match self.0.as_deref() {
            None => Raw::connect(address).await,
            Some((authority, own)) => {
                let shake = Shake {
                    client: Some(own),
                    ..Shake::of(authority)
                };
                Raw::on(shake.greetless(address).await.unwrap()).await
            }
        }
    }

    async fn channel(&self, address: &str) -> Channel {
        match self.0.as_deref() {
            None => connect(address).await,
            Some((authority, own)) => channel(address, authority, Some(own)).await.unwrap(),
        }
    }

    fn files(&self, site: &Site) -> Option<ClientFiles> {
        let (authority, own) = self.0.as_deref()?;
        Some(ClientFiles::write(site, authority, slice::from_ref(own)))
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
        let files = Files::write(&site, &authority.issue());
        files.on_both(&mut command);
        files.ask(&mut command, &authority, "required");
        let own = authority.issue();
        Arc::new((authority, own))
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

/// What callers on one connection share.
#[derive(Clone)]
struct Caller {
    raw: Arc<Raw>,
    bearer: String,
    /// Calls of this kind that were answered, by whomever.
    answered: Arc<AtomicUsize>,
}

impl Caller {
    /// A call, which has to succeed; none if the connection takes no more.
    async fn call(&self, path: &str, message: &[u8]) -> Option<Answer> {
        let headers = [("authorization", self.bearer.as_str())];
        let mut call = self.raw.begin(path, &headers).await.ok()?;
        let sent = call.request.send_data(frame(message), true);
        match call.answer().await {
            Ok(answer) => {
                assert_eq!(answer.status.code(), Code::Ok, "{answer:?}");
                self.answered.fetch_add(1, Ordering::Relaxed);
                Some(answer)
            }
            Err(error) => {
                assert!(was_not_accepted(&error), "{error:?} {sent:?}");
                None
            }
        }
    }
}

/// What was acknowledged.
#[derive(Default)]
struct Done {
    checked: usize,
    answered: usize,
    issued: Vec<String>,
    revoked: Vec<String>,
}

impl Done {
    fn add(&mut self, other: Self) {
        self.checked += other.checked;
        self.answered += other.answered;
        self.issued.extend(other.issued);
        self.revoked.extend(other.revoked);
    }
}

async fn check_until_stopped(caller: Caller, token: String) -> Done {
    let question = check_request(&token, &["a"]).encode_to_vec();
    let mut done = Done::default();
    while let Some(answer) = caller.call(CHECK, &question).await {
        assert!(is_allowed(&answer));
        done.checked += 1;
    }
    done
}

/// Issues keys and revokes every other one.
async fn operate_until_stopped(caller: Caller) -> Done {
    let request = key_request("w", &["a"]).encode_to_vec();
    let mut done = Done::default();
    let mut is_kept = true;
    while let Some(answer) = caller.call(CREATE, &request).await {
        let issued = CreateKeyResponse::decode(&answer.messages[5..]).unwrap();
        is_kept = !is_kept;
        if is_kept {
            done.issued.push(issued.token);
            continue;
        }
        let revocation = RevokeKeyRequest {
            key_id: issued.key.unwrap().id,
            ..RevokeKeyRequest::default()
        };
        match caller.call(REVOKE, &revocation.encode_to_vec()).await {
            Some(_) => done.revoked.push(issued.token),
            None => break,
        }
    }
    done
}

/// Asks without a pause until the server ends the conversation, which it does
/// cleanly, and after each question that it took.
async fn converse_until_stopped(channel: Channel, token: String) -> Done {
    let (ask, asked) = mpsc::channel(64);
    let asking = tokio::spawn(async move {
        let check = check_request(&token, &["a"]);
        for id in 0.. {
            let check = Some(check.clone());
            if ask.send(CheckStreamRequest { id, check }).await.is_err() {
                break;
            }
        }
    });
    let mut client = KeyCheckClient::new(channel);
    let answers = client.check_stream(ReceiverStream::new(asked)).await;
    let mut answers = answers.unwrap().into_inner();
    let mut done = Done::default();
    while let Some(answer) = answers.message().await.unwrap() {
        assert_eq!(answer.id, done.answered as u64);
        assert!(verdict_of(answer.result.unwrap()).is_ok());
        done.answered += 1;
    }
    drop(answers);
    asking.await.unwrap();
    done
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_under_load_loses_nothing_that_was_acknowledged() {
    const AT_ONCE: usize = 8;
    for encrypted in [false, true] {
        let (server, way, token) = start(encrypted).await;
        let bearer = format!("Bearer {}", server.site.admin_token());
        let site = server.site.clone();
        let foreign = Load::python(&Target::new(&server, &token, way.files(&site)), true);
        foreign.started();
        let mut load = JoinSet::new();
        let [checks, changes] = [(); 2].map(|()| Arc::<AtomicUsize>::default());
        for _ in 0..4 {
            let caller = |raw, answered: &Arc<_>| Caller {
                raw: Arc::new(raw),
                bearer: bearer.clone(),
                answered: Arc::clone(answered),
            };
            let gateway = caller(way.connect(&server.check_address).await, &checks);
            let operator = caller(way.connect(&server.admin_address).await, &changes);
            for _ in 0..AT_ONCE {
                load.spawn(check_until_stopped(gateway.clone(), token.clone()));
                load.spawn(operate_until_stopped(operator.clone()));
            }
        }
        let channel = way.channel(&server.check_address).await;
        load.spawn(converse_until_stopped(channel, token.clone()));
        let begin = Instant::now();
        let answered = |calls: &AtomicUsize| calls.load(Ordering::Relaxed);
        while answered(&checks) < 200 || answered(&changes) < 200 {
            assert!(
                begin.elapsed() < Duration::from_secs(60),
                "{}",
                server.log()
            );
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let told = Instant::now();
        server.signal(Signal::TERM);
        let mut done = Done::default();
        while let Some(part) = load.join_next().await {
            done.add(part.unwrap());
        }
        let (status, log) = server.wait();
        assert!(status.success() && log.contains("stopped"), "{log}");
        assert!(!log.contains("cut off"), "{log}");
        assert!(
            told.elapsed() < Duration::from_secs(15),
            "it waits for nobody"
        );
        let theirs = foreign.end();
        assert!(theirs.failures.is_empty(), "{theirs:?} {log}");
        for (what, number, enough) in [
            ("checks", done.checked, 50),
            ("answers", done.answered, 50),
            ("keys", done.issued.len(), 5),
            ("revocations", done.revoked.len(), 5),
        ] {
            assert!(number > enough, "{number} {what}: {log}");
        }

        let again = site.serve();
        let mut checks = again.checks().await;
        for token in done.issued.iter().chain(&theirs.issued) {
            assert!(checks.header(token, &["a"]).await.is_ok());
        }
        for token in done.revoked.iter().chain(&theirs.revoked) {
            assert_eq!(checks.denial(token).await, DenialReason::Revoked);
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
