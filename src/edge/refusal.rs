//! Turns a call away: answers at once, and lets what the client has already
//! sent of it run out.
//!
//! To hang up on a client that is still sending is a fault of its own in
//! HTTP/2: h2 counts what arrives for a closed call against the client, and
//! ends the connection of one that did no more than send many calls at once.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http_body::Body as HttpBody;
use hyper::body::Incoming;
use tokio::time::timeout;
use tonic::codegen::http::Response;

use super::reply::Reply;
use super::status;

/// How long what was sent may take to arrive.
const LINGER: Duration = Duration::from_secs(1);

/// How many bytes of it are thrown away before it is no more an accident.
const MAX_THROWN: usize = 1024 * 1024;

/// The answer to a call that is one too many.
#[derive(Debug)]
pub(super) struct Refusal {
    rest: Option<Rest>,
}

impl Refusal {
    /// Turns away the call whose request is `body`.
    pub(super) const fn new(body: Incoming) -> Self {
        Self {
            rest: Some(Rest { body, thrown: 0 }),
        }
    }
}

impl Future for Refusal {
    type Output = Result<Response<Reply>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if let Some(mut rest) = self.rest.take()
            && rest.poll_over(cx).is_pending()
        {
            tokio::spawn(async move {
                // What comes later than that is its own fault.
                let _ = timeout(LINGER, poll_fn(|cx| rest.poll_over(cx))).await;
            });
        }
        Poll::Ready(Ok(status::overloaded().into_http().map(Reply::uncounted)))
    }
}

/// What is still to come of a request that nobody reads.
#[derive(Debug)]
struct Rest {
    body: Incoming,
    thrown: usize,
}

impl Rest {
    /// Ready when there is no more, or too much.
    fn poll_over(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while self.thrown < MAX_THROWN {
            let Some(Ok(frame)) = ready!(Pin::new(&mut self.body).poll_frame(cx)) else {
                break;
            };
            self.thrown += frame.data_ref().map_or(0, bytes::Bytes::len);
        }
        Poll::Ready(())
    }
}
