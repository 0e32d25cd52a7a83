//! Ends calls whose time is over: the deadline that the client set. How long it
//! may take to send its request is seen to where that arrives.
//!
//! A call that is answered at once costs no timer.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep};
use tonic::body::Body;
use tonic::codegen::http::{HeaderMap, Response};

use crate::service::credits::PATIENCE;

use super::limit::Call;
use super::reply::Reply;
use super::status;

/// How a client says how long it waits.
const GRPC_TIMEOUT: &str = "grpc-timeout";

/// The time that a client gives a call, from its headers; none if it gives none,
/// or says it in a way that is not gRPC's.
pub(super) fn asked(headers: &HeaderMap) -> Option<Duration> {
    parse(headers.get(GRPC_TIMEOUT)?.as_bytes())
}

/// How much of the time that a client gives a call it may wait: the rest is for
/// the answer to reach it.
const WAITED: f64 = 0.75;

/// How long a call with these headers may wait for credits, to be answered in
/// time.
pub(super) fn patience(headers: &HeaderMap) -> Duration {
    asked(headers).map_or(PATIENCE, |asked| PATIENCE.min(asked.mul_f64(WAITED)))
}

/// At most eight digits and a unit.
fn parse(text: &[u8]) -> Option<Duration> {
    let (unit, digits) = text.split_last()?;
    if digits.is_empty() || digits.len() > 8 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number = digits
        .iter()
        .fold(0, |number, digit| number * 10 + u64::from(digit - b'0'));
    match unit {
        b'H' => Some(Duration::from_secs(number * 60 * 60)),
        b'M' => Some(Duration::from_secs(number * 60)),
        b'S' => Some(Duration::from_secs(number)),
        b'm' => Some(Duration::from_millis(number)),
        b'u' => Some(Duration::from_micros(number)),
        b'n' => Some(Duration::from_nanos(number)),
        _ => None,
    }
}

/// A call that is seldom waited for, such as a check: if it cannot be answered
/// when it is first polled, it gets as long as the client waits.
#[derive(Debug)]
pub(super) struct Prompt<F> {
    inner: F,
    asked: Option<Duration>,
    timer: Option<Pin<Box<Sleep>>>,
    /// Counted until its answer was written.
    call: Option<Call>,
}

impl<F> Prompt<F> {
    pub(super) const fn new(inner: F, call: Call, asked: Option<Duration>) -> Self {
        Self {
            inner,
            asked,
            timer: None,
            call: Some(call),
        }
    }
}

fn late() -> Response<Reply> {
    let late = status::deadline_exceeded().into_http();
    late.map(|body: Body| Reply::uncounted(body))
}

impl<F> Future for Prompt<F>
where
    F: Future<Output = Result<Response<Body>, Infallible>> + Unpin,
{
    type Output = Result<Response<Reply>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        // What comes too late is not judged any more: it would spend of limits
        // for a client that has gone.
        if self.timer.as_ref().is_some_and(|timer| has_passed(timer)) {
            return Poll::Ready(Ok(late()));
        }
        if let Poll::Ready(answer) = Pin::new(&mut self.inner).poll(cx) {
            let call = self.call.take();
            return Poll::Ready(answer.map(|answer| {
                answer.map(|body| match call {
                    Some(call) => Reply::of_check(body, call),
                    None => Reply::uncounted(body),
                })
            }));
        }
        let Some(asked) = self.asked else {
            return Poll::Pending;
        };
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep(asked)));
        timer.as_mut().poll(cx).map(|()| Ok(late()))
    }
}

fn has_passed(timer: &Sleep) -> bool {
    timer.deadline() <= Instant::now()
}

#[cfg(test)]
mod tests {
    use super::super::limit::{Calls, Tally};
    use super::*;
    use std::future::{pending, ready};

    #[test]
    fn timeouts_are_read_as_grpc_writes_them() {
        for (text, expected) in [
            ("2H", Some(Duration::from_secs(7_200))),
            ("3M", Some(Duration::from_secs(180))),
            ("00000004S", Some(Duration::from_secs(4))),
            ("99999999H", Some(Duration::from_secs(99_999_999 * 3_600))),
            ("82m", Some(Duration::from_millis(82))),
            ("5u", Some(Duration::from_micros(5))),
            ("0n", Some(Duration::ZERO)),
            ("", None),
            ("S", None),
            ("5", None),
            ("123456789S", None),
            ("-1S", None),
            ("+1S", None),
            ("1 S", None),
            ("1s", None),
            ("1.5S", None),
            ("1SS", None),
            ("\u{b2}S", None),
        ] {
            assert_eq!(parse(text.as_bytes()), expected, "{text}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_ends_when_its_time_is_over() {
        let calls = Calls::in_one_place(1);
        let seconds = Duration::from_secs;
        for asked in [3, 60] {
            let start = tokio::time::Instant::now();
            let call = calls.begin(&Tally::default()).unwrap();
            let never = Box::pin(pending());
            let prompt = Prompt::new(never, call, Some(seconds(asked)));
            let headers = prompt.await.unwrap().into_parts().0.headers;
            assert_eq!(start.elapsed().as_secs(), asked);
            assert_eq!(headers["grpc-status"], "4");
            let message = headers["grpc-message"].to_str().unwrap();
            assert!(message.contains("deadline"), "{message}");
        }
        assert!(calls.begin(&Tally::default()).is_some(), "none is left");
    }

    #[tokio::test(start_paused = true)]
    async fn what_comes_after_the_deadline_is_not_judged() {
        let calls = Calls::in_one_place(1);
        for (late, judged) in [(2_999, true), (3_000, false), (9_000, false)] {
            let mut asked = 0;
            let mut request = std::future::poll_fn(|_| {
                asked += 1;
                match asked {
                    1 => Poll::Pending,
                    _ => Poll::Ready(Ok(Response::new(Body::empty()))),
                }
            });
            let call = calls.begin(&Tally::default()).unwrap();
            let seconds = Duration::from_secs;
            let mut prompt = Prompt::new(&mut request, call, Some(seconds(3)));
            let mut cx = Context::from_waker(std::task::Waker::noop());
            assert!(Pin::new(&mut prompt).poll(&mut cx).is_pending());
            // The request arrives together with the timer, or before it is told.
            tokio::time::advance(Duration::from_millis(late)).await;
            assert!(Pin::new(&mut prompt).poll(&mut cx).is_ready());
            drop(prompt);
            assert_eq!(asked == 2, judged, "{late}");
        }
    }

    #[test]
    fn an_answer_that_is_there_needs_no_timer() {
        // Without a runtime, a timer could not even be made.
        let calls = Calls::in_one_place(1);
        let answer = ready(Ok(Response::new(Body::empty())));
        let mut prompt = Prompt::new(
            answer,
            calls.begin(&Tally::default()).unwrap(),
            Some(Duration::ZERO),
        );
        let mut cx = Context::from_waker(std::task::Waker::noop());
        assert!(Pin::new(&mut prompt).poll(&mut cx).is_ready());
    }
}
