//! Runs the calls of a connection, and ends those that are stuck.
//!
//! An answer waits for the client to take it. A client that never does could
//! have the server hold as many answers as it likes: each call that is no
//! conversation has an end.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper::body::Incoming;
use hyper::rt::Executor;
use hyper::service::Service;
use pin_project_lite::pin_project;
use tokio::time::{Sleep, sleep};
use tonic::codegen::http::Request;
use tracing::debug;

use super::guarded::is_conversation;

/// How long a call may take once its request has arrived: longer than the store
/// takes to give up on a change, with time to send the answer.
const ANSWER_TIME: Duration = Duration::from_secs(15);

/// What the next call to be run is. hyper runs each call right after it has
/// asked the service for it, in one thread.
#[derive(Clone, Debug, Default)]
struct Next {
    is_conversation: Arc<AtomicBool>,
}

/// A service that notes what kind of call it was asked for last.
#[derive(Debug)]
pub(super) struct Noted<S> {
    inner: S,
    next: Next,
}

/// Runs calls, each as a task of its own.
#[derive(Clone, Debug)]
pub(super) struct Runner {
    next: Next,
    limit: Duration,
}

/// `service` and what runs its calls, on one connection.
pub(super) fn run_briefly<S>(service: S, receive_timeout: Duration) -> (Noted<S>, Runner) {
    let next = Next::default();
    let runner = Runner {
        next: next.clone(),
        limit: receive_timeout + ANSWER_TIME,
    };
    let noted = Noted {
        inner: service,
        next,
    };
    (noted, runner)
}

impl<S: Service<Request<Incoming>>> Service<Request<Incoming>> for Noted<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn call(&self, request: Request<Incoming>) -> S::Future {
        let is_conversation = is_conversation(request.uri().path());
        // Read by the same thread, right after.
        self.next
            .is_conversation
            .store(is_conversation, Ordering::Relaxed);
        self.inner.call(request)
    }
}

impl<F> Executor<F> for Runner
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, call: F) {
        if self.next.is_conversation.load(Ordering::Relaxed) {
            tokio::spawn(call);
        } else {
            tokio::spawn(Brief {
                call,
                limit: self.limit,
                timer: None,
            });
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
}
