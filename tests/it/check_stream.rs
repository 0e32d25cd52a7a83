//! `CheckStream` through the socket: a conversation that goes on over what
//! cannot be read, is held up by whoever takes no answers, and ends cleanly.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use keyward::edge::pb::{
    CheckRequest, CheckStreamRequest, CheckStreamResponse, DenialReason, UndecidedReason,
};
use prost::Message;
use rustix::process::Signal;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Streaming};

use crate::support::{
    Server, Site, check_request, connect, raw_conversation, undecided_of, verdict_of,
};

const PATH: &str = "/keyward.v1.KeyCheck/CheckStream";

/// Long enough for anything that comes to an end by itself.
const PATIENCE: Duration = Duration::from_secs(60);

/// No answer takes so long, on a busy machine and unoptimised.
const BOUND: Duration = Duration::from_secs(3);

#[tokio::test(flavor = "multi_thread")]
async fn each_question_is_answered_under_its_id() {
    let (server, token) = served().await;
    let (ask, mut answers) = converse(&server).await;
    let mut checks = server.checks().await;
    // One after the other: an answer does not wait for the next question.
    for (id, credential) in [(0, ""), (7, &*token), (u64::MAX, "Bearer"), (7, "x")] {
        let check = check_request(credential, &["people:write"]);
        ask.send(question(id, check.clone())).await.unwrap();
        let answer = answers.message().await.unwrap().unwrap();
        assert_eq!(answer.id, id);
        assert_eq!(verdict_of(answer.result.unwrap()), checks.ask(check).await);
    }
    // Many at once.
    let asking = ask.clone();
    let expected = checks.header(&token, &["people:read"]).await;
    assert!(expected.is_ok());
    tokio::spawn(async move {
        for id in 0..10_000 {
            let check = check_request(&token, &["people:read"]);
            asking.send(question(id, check)).await.unwrap();
        }
    });
    for id in 0..10_000 {
        let answer = answers.message().await.unwrap().unwrap();
        assert_eq!(answer.id, id);
        assert_eq!(verdict_of(answer.result.unwrap()), expected);
    }
    // A question that is not there is an empty one.
    let empty = CheckStreamRequest { id: 1, check: None };
    ask.send(empty).await.unwrap();
    let answer = answers.message().await.unwrap().unwrap();
    let denied = verdict_of(answer.result.unwrap()).unwrap_err();
    assert_eq!(denied.reason(), DenialReason::Missing);
    // What was asked before the end is answered before the end.
    for id in 0..5 {
        let check = check_request("", &[]);
        ask.send(question(id, check)).await.unwrap();
    }
    drop(ask);
    for id in 0..5 {
        assert_eq!(answers.message().await.unwrap().unwrap().id, id);
    }
    assert_eq!(answers.message().await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_that_cannot_be_read_does_not_end_the_conversation() {
    let (server, token) = served().await;
    let good = |id| question(id, check_request(&token, &[])).encode_to_vec();
    let two = [good(3), good(3)].concat();
    let messages: Vec<(Vec<u8>, u64, bool)> = vec![
        (good(1), 1, true),
        (vec![0xff], 0, false),
        (vec![0x08, 5, 0x12, 9], 5, false),
        // The question within is broken, or of other types.
        (vec![0x08, 6, 0x12, 1, 0xff], 6, false),
        (vec![0x08, 7, 0x12, 2, 0x08, 1], 7, false),
        (vec![0x12, 2, 0x0a, 0, 0x0d], 0, false),
        // The id is no number.
        ([&[0x0a, 1, b'1'], good(1).as_slice()].concat(), 0, false),
        // A question in two parts.
        (two, 3, false),
        (
            [&[0xfa, 0x01, 1, b'x'], good(8).as_slice()].concat(),
            8,
            true,
        ),
        (good(9), 9, true),
    ];
    let channel = connect(&server.check_address).await;
    let sent = messages.iter().map(|(message, ..)| message.clone());
    let (answers, end) = raw_conversation(channel.clone(), PATH, sent.collect()).await;
    end.unwrap();
    assert_eq!(answers.len(), messages.len());
    for (bytes, (message, id, readable)) in answers.into_iter().zip(&messages) {
        let answer = CheckStreamResponse::decode(bytes.as_slice()).unwrap();
        assert_eq!(answer.encode_to_vec(), bytes);
        assert_eq!(answer.id, *id, "{message:?}");
        if *readable {
            assert!(verdict_of(answer.result.unwrap()).is_ok());
        } else {
            let reason = undecided_of(answer.result.unwrap());
            assert_eq!(reason, UndecidedReason::Unreadable);
        }
    }
    // A message beyond all measure ends it, after the answers before.
    let huge = question(2, check_request(&"a".repeat(1024 * 1024), &[]));
    let sent = vec![good(1), huge.encode_to_vec(), good(3)];
    let (answers, end) = raw_conversation(channel, PATH, sent).await;
    assert_eq!(end.unwrap_err().code(), Code::OutOfRange);
    assert_eq!(answers.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_takes_no_answers_is_held_up_and_holds_up_nobody() {
    let site = Site::init();
    let mut command = site.serve_command();
    command.args(["--check-threads", "1"]);
    let server = Server::spawn(site, command).unwrap();
    let mut admin = server.admin().await;
    admin.workspace("w", "klg", &[]).await;
    let token = admin.key("w", &["people:read"]).await.token;
    let mut others = server.checks().await;
    assert!(others.header(&token, &[]).await.is_ok());
    let before = memory_of(&server);

    let asked = Arc::new(AtomicU64::default());
    let check = check_request(&token, &[]);
    let length = question(1, check.clone()).encoded_len() as u64;
    let mut conversations = Vec::new();
    for _ in 0..4 {
        let (check, counter) = (check.clone(), Arc::clone(&asked));
        let questions = std::iter::from_fn(move || {
            counter.fetch_add(1, Ordering::Relaxed);
            Some(question(1, check.clone()))
        });
        let mut client = server.checks().await.client;
        let answers = client.check_stream(tokio_stream::iter(questions)).await;
        conversations.push(answers.unwrap().into_inner());
    }
    let begin = Instant::now();
    let mut last = (0, Instant::now());
    while last.1.elapsed() < Duration::from_secs(1) {
        assert!(begin.elapsed() < PATIENCE, "it goes on for ever");
        let now = asked.load(Ordering::Relaxed);
        if now > last.0 {
            last = (now, Instant::now());
        }
        let verdict = tokio::time::timeout(BOUND, others.header(&token, &[])).await;
        assert!(verdict.expect("answered in time").is_ok());
    }
    let (bytes, grown) = (last.0 * length, memory_of(&server).saturating_sub(before));
    println!("{} questions of {bytes} bytes, {grown} bytes", last.0);
    assert!(bytes > 64 * 1024, "nothing was asked");
    assert!(bytes < 32 * 1024 * 1024, "{bytes}");
    assert!(grown < 32 * 1024 * 1024, "{grown}");
    // Whoever takes them again goes on from there.
    for answers in &mut conversations {
        for _ in 0..last.0 / 2 {
            let answer = answers.message().await.unwrap().unwrap();
            assert!(verdict_of(answer.result.unwrap()).is_ok());
        }
    }
    assert!(asked.load(Ordering::Relaxed) > last.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_ends_conversations_cleanly_after_what_was_received() {
    let (server, token) = served().await;
    let (silent, mut idle) = converse(&server).await;
    let (ask, mut answers) = converse(&server).await;
    ask.send(question(1, check_request(&token, &[])))
        .await
        .unwrap();
    assert_eq!(answers.message().await.unwrap().unwrap().id, 1);
    // One who never stops asking.
    let (asking, mut flood) = converse(&server).await;
    let check = check_request(&token, &[]);
    let flooding = tokio::spawn(async move {
        let mut id = 0;
        while asking.send(question(id, check.clone())).await.is_ok() {
            id += 1;
        }
    });
    assert_eq!(flood.message().await.unwrap().unwrap().id, 0);

    let told = Instant::now();
    server.signal(Signal::TERM);
    assert_eq!(idle.message().await.unwrap(), None);
    assert_eq!(answers.message().await.unwrap(), None);
    let mut next = 1;
    while let Some(answer) = flood.message().await.unwrap() {
        // None is left out.
        assert_eq!(answer.id, next);
        assert!(verdict_of(answer.result.unwrap()).is_ok());
        next += 1;
    }
    drop((silent, ask, flood));
    flooding.await.unwrap();
    let (status, log) = server.wait();
    assert!(status.success(), "{log}");
    assert!(!log.contains("cut off"), "{log}");
    assert!(
        told.elapsed() < Duration::from_secs(8),
        "{:?}",
        told.elapsed()
    );
}

/// A server, and a token that is good there for `people:read`.
async fn served() -> (Server, String) {
    let server = Server::start();
    let mut admin = server.admin().await;
    admin.workspace("w", "klg", &[]).await;
    let token = admin.key("w", &["people:read"]).await.token;
    (server, token)
}

/// A conversation on a connection of its own.
async fn converse(
    server: &Server,
) -> (
    mpsc::Sender<CheckStreamRequest>,
    Streaming<CheckStreamResponse>,
) {
    let (ask, asked) = mpsc::channel(64);
    let mut client = server.checks().await.client;
    let answers = client.check_stream(ReceiverStream::new(asked)).await;
    (ask, answers.unwrap().into_inner())
}

fn question(id: u64, check: CheckRequest) -> CheckStreamRequest {
    CheckStreamRequest {
        id,
        check: Some(check),
    }
}

/// What the server has in memory, in bytes.
fn memory_of(server: &Server) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let kib: u64 = line
        .and_then(|line| line.split_whitespace().nth(1))
        .unwrap()
        .parse()
        .unwrap();
    kib * 1024
}
