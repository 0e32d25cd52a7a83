//! Runs the calls of a connection, and ends those that are stuck.
//!
//! An answer waits for the client to take it. A client that never does could
//! have the server hold as many answers as it likes: each call that is no
//! conversation has an end.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper::body::Incoming;
use hyper::rt::Executor;
use hyper::service::Service;
use pin_project_lite::pin_project;
use tokio::time::{Sleep, sleep};
use tonic::codegen::http::Request;
use tracing::debug;

use super::guarded::{ASKING, Kind};

/// How long a call may take once its request has arrived: longer than the store
/// takes to give up on a change, with time to send the answer.
pub(super) const ANSWER_TIME: Duration = Duration::from_secs(15);

/// How long the next call to be run may last, in milliseconds. hyper runs each
/// call right after it has asked the service for it, in one thread.
type Next = Arc<AtomicU64>;

/// It may last for as long as both sides like.
const ENDLESS: u64 = u64::MAX;

/// A service that notes how long the call that it was asked for last may last.
#[derive(Debug)]
pub(super) struct Noted<S> {
    inner: S,
    next: Next,
    receive_timeout: Duration,
}

/// Runs calls, each as a task of its own.
#[derive(Clone, Debug)]
pub(super) struct Runner {
    next: Next,
}

/// `service` and what runs its calls, on one connection.
pub(super) fn run_briefly<S>(service: S, receive_timeout: Duration) -> (Noted<S>, Runner) {
    let next = Next::default();
    let runner = Runner { next: next.clone() };
    let noted = Noted {
        inner: service,
        next,
        receive_timeout,
    };
    (noted, runner)
}

/// How long a call of this kind may last, in milliseconds.
fn limit(kind: Kind, receive_timeout: Duration) -> u64 {
    let receiving = match kind {
        Kind::Conversation => return ENDLESS,
        Kind::Asking => receive_timeout.max(ASKING),
        Kind::Call | Kind::Health => receive_timeout,
    };
    u64::try_from((receiving + ANSWER_TIME).as_millis()).unwrap_or(ENDLESS)
}

impl<S: Service<Request<Incoming>>> Service<Request<Incoming>> for Noted<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn call(&self, request: Request<Incoming>) -> S::Future {
        let limit = limit(Kind::of(request.uri().path()), self.receive_timeout);
        // Read by the same thread, right after.
        self.next.store(limit, Ordering::Relaxed);
        self.inner.call(request)
    }
}

impl<F> Executor<F> for Runner
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, call: F) {
        match self.next.load(Ordering::Relaxed) {
            ENDLESS => drop(tokio::spawn(call)),
            limit => drop(tokio::spawn(Brief {
                call,
                limit: Duration::from_millis(limit),
                timer: None,
            })),
        }
    }
}

pin_project! {
    /// A call that is dropped, and with it all that it holds, when its time is
    /// over. One that is done at once costs no timer.
    struct Brief<F> {
        #[pin]
        call: F,
        limit: Duration,
        timer: Option<Pin<Box<Sleep>>>,
    }
}

impl<F: Future<Output = ()>> Future for Brief<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.project();
        if this.call.poll(cx).is_ready() {
            return Poll::Ready(());
        }
        let limit = *this.limit;
        let timer = this.timer.get_or_insert_with(|| Box::pin(sleep(limit)));
        ready!(timer.as_mut().poll(cx));
        debug!("call cut off: the client does not take its answer");
        Poll::Ready(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::{pending, ready};

    #[tokio::test(start_paused = true)]
    async fn a_call_that_is_stuck_is_dropped() {
        let start = tokio::time::Instant::now();
        let limit = Duration::from_secs(25);
        Brief {
            call: pending(),
            limit,
            timer: None,
        }
        .await;
        assert_eq!(start.elapsed(), limit);
    }

    #[test]
    fn a_call_that_is_done_needs_no_timer() {
        // Without a runtime, a timer could not even be made.
        let brief = Brief {
            call: ready(()),
            limit: Duration::ZERO,
            timer: None,
        };
        let mut cx = Context::from_waker(std::task::Waker::noop());
        assert!(std::pin::pin!(brief).poll(&mut cx).is_ready());
    }

    #[test]
    fn only_conversations_are_endless() {
        let limit = |path| limit(Kind::of(path), Duration::from_secs(10));
        for path in [
            "/keyward.v1.KeyCheck/CheckStream",
            "/grpc.health.v1.Health/Watch",
        ] {
            assert_eq!(limit(path), ENDLESS);
        }
        assert_eq!(limit("/keyward.v1.KeyCheck/Check"), 25_000);
        assert_eq!(limit("/grpc.health.v1.Health/Check"), 25_000);
        let reflection = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
        assert_eq!(limit(reflection), 75_000);
    }
}
