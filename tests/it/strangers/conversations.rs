//! Conversations on such a listener: they may be silent and may last, but half a
//! question holds nothing for long, and they never cost a check.

use keyward::edge::pb::CheckStreamResponse;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::*;
use crate::support::verdict_of;

fn is_answer(message: &[u8]) -> bool {
    let answer = CheckStreamResponse::decode(message).unwrap();
    verdict_of(answer.result.unwrap()).is_ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn who_says_nothing_for_longer_than_a_call_may_take_is_answered_after_that() {
    // A call that is none ends 15 seconds after the time for its request.
    const SILENCE: Duration = Duration::from_secs(17);
    let (server, token) = serve(&[("receive-timeout", "1s")]).await;
    let (ask, asked) = mpsc::channel(1);
    let mut client = server.checks().await.client;
    let answers = client.check_stream(ReceiverStream::new(asked)).await;
    let mut answers = answers.unwrap().into_inner();
    for _ in 0..2 {
        ask.send(streamed(&token)).await.unwrap();
        let answer = answers.message().await.unwrap().unwrap();
        assert!(verdict_of(answer.result.unwrap()).is_ok());
        tokio::time::sleep(SILENCE).await;
    }
    drop(ask);
    assert_eq!(answers.message().await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn half_a_question_ends_its_conversation_alone() {
    let (server, token) = serve(&[("receive-timeout", "1s")]).await;
    let raw = Raw::connect(&server.check_address).await;
    let whole = frame(&streamed(&token).encode_to_vec());
    for sent in [1, 5, whole.len() - 1] {
        for trickle in [false, true] {
            let start = Instant::now();
            let mut call = raw.begin(STREAM, &[]).await.unwrap();
            call.request.send_data(whole.clone(), false).unwrap();
            let (mut request, half) = (call.request, whole.slice(..sent));
            let sending = tokio::spawn(async move {
                let pause = Duration::from_millis(if trickle { 50 } else { 0 });
                for at in 0..half.len() {
                    if request.send_data(half.slice(at..=at), false).is_err() {
                        break;
                    }
                    tokio::time::sleep(pause).await;
                }
                request
            });
            let mut checks = server.checks().await;
            answers(&mut checks, &token).await;
            let answer = h2raw::answer(call.answer).await.unwrap();
            // What was asked whole has its answer.
            assert!(is_answer(&answer.messages[5..]), "{answer:?}");
            assert_eq!(answer.status.code(), Code::DeadlineExceeded, "{answer:?}");
            assert!(start.elapsed() > Duration::from_millis(900));
            sending.abort();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_large_questions_need_the_room_of_one() {
    // More than there is room for at a time, on one conversation.
    const QUESTIONS: usize = 150;
    let (server, token) = serve(&[]).await;
    let mut large = streamed(&token);
    let pad = "Bearer ".to_owned() + &"x".repeat(900_000);
    large.check = Some(check_request(&pad, &[]));
    let mut client = server.checks().await.client;
    let questions = std::iter::repeat_n(large, QUESTIONS).chain([streamed(&token)]);
    let answers = client.check_stream(tokio_stream::iter(questions)).await;
    let mut answers = answers.unwrap().into_inner();
    for _ in 0..QUESTIONS {
        let answer = answers.message().await.unwrap().unwrap();
        assert!(verdict_of(answer.result.unwrap()).is_err());
    }
    let last = answers.message().await.unwrap().unwrap();
    assert!(verdict_of(last.result.unwrap()).is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn halves_of_large_questions_share_the_room_of_the_listener() {
    const HALF: usize = 900_000;
    let (server, token) = serve(&[("receive-timeout", "60s")]).await;
    let raw = Raw::connect(&server.check_address).await;
    let mut held = JoinSet::new();
    for _ in 0..60 {
        let mut call = raw.begin(STREAM, &[]).await.unwrap();
        let half = frame(&[0; 1_000_000]).slice(..HALF);
        call.request.send_data(half, false).unwrap();
        held.spawn(call.answer());
    }
    let refused = held.join_next().await.unwrap().unwrap().unwrap();
    let info = refused.status.get_details_error_info().unwrap();
    assert_eq!(info.reason, "OVERLOADED");
    let mut checks = server.checks().await;
    answers(&mut checks, &token).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn conversations_are_limited_apart_and_never_cost_a_check() {
    let (server, token) = serve(&[("max-calls", "1"), ("max-connections", "5")]).await;
    let mut checks = server.checks().await;
    let raw = Raw::connect(&server.check_address).await;
    let watch = frame(&HealthCheckRequest::default().encode_to_vec());
    let mut watches = Vec::new();
    for path in [WATCH, STREAM, WATCH, STREAM, WATCH] {
        let mut call = raw.begin(path, &[]).await.unwrap();
        call.request
            .send_data(watch.clone(), path == WATCH)
            .unwrap();
        let answer = call.answer.await.unwrap();
        assert_eq!(answer.status(), 200);
        watches.push((answer, call.request));
    }
    let answer = raw.call(STREAM, &[], &[]).await.unwrap();
    assert_eq!(answer.status.code(), Code::Unavailable);
    let answer = raw.call(WATCH, &[], &watch[5..]).await.unwrap();
    assert_eq!(answer.status.code(), Code::Unavailable);
    for _ in 0..100 {
        answers(&mut checks, &token).await;
    }
    // Who stops watching makes room.
    drop(watches);
    let start = Instant::now();
    let headers = [("grpc-timeout", "200m")];
    loop {
        let answer = raw.call(WATCH, &headers, &watch[5..]).await.unwrap();
        if answer.status.code() == Code::DeadlineExceeded {
            break;
        }
        assert!(start.elapsed() < PATIENCE, "{answer:?}");
    }
}
