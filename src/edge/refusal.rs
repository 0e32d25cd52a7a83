//! Turns a call away: answers at once, and lets what the client has already
//! sent of it run out.
//!
//! To hang up on a client that is still sending is a fault of its own in
//! HTTP/2: h2 counts what arrives for a closed call against the client, and
//! ends the connection of one that did no more than send many calls at once.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use hyper::body::Incoming;
use tonic::codegen::http::Response;

use super::reply::Reply;
use super::status;
use super::unread::{Rest, run_out};

/// The answer to a call that is one too many.
#[derive(Debug)]
pub(super) struct Refusal {
    rest: Option<Rest>,
}

impl Refusal {
    /// Turns away the call whose request is `body`.
    pub(super) const fn new(body: Incoming) -> Self {
        Self {
            rest: Some(Rest::new(body)),
        }
    }
}

impl Future for Refusal {
    type Output = Result<Response<Reply>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if let Some(mut rest) = self.rest.take()
            && rest.poll_over(cx).is_pending()
        {
            tokio::spawn(run_out(rest));
        }
        Poll::Ready(Ok(status::overloaded().into_http().map(Reply::uncounted)))
    }
}
