//! The body of a request that nobody reads.
//!
//! What was asked over plain HTTP is in the headers. Some gateways hand on the
//! body as well; others its length, and nothing after it.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http::header::{CONNECTION, HeaderValue};
use http::{Response, Version};
use http_body::Body as HttpBody;
use hyper::body::Incoming;
use tokio::time::timeout;

use super::limit::Call;

/// How long what was sent may take to arrive.
const LINGER: Duration = Duration::from_secs(1);

/// How many bytes of it are thrown away before it is no more an accident.
const MAX_THROWN: usize = 1024 * 1024;

/// Such a body.
#[derive(Debug)]
pub(super) struct Unread {
    body: Option<Incoming>,
    version: Version,
}

impl Unread {
    /// The `body` of a request of this version of HTTP.
    pub(super) fn new(body: Incoming, version: Version) -> Self {
        Self {
            body: (!body.is_end_stream()).then_some(body),
            version,
        }
    }

    /// Has it come to an end that does no harm, before `answer` is sent.
    ///
    /// Over HTTP/1, nobody can tell a body that is still to come from the next
    /// request: it is the last one on its connection, and both sides know.
    ///
    /// Over HTTP/2, `call` is under way until then; none: it was turned away.
    pub(super) fn end<B>(self, answer: &mut Response<B>, call: Option<Arc<Call>>) {
        let Some(body) = self.body else {
            return;
        };
        if self.version < Version::HTTP_2 {
            let close = HeaderValue::from_static("close");
            answer.headers_mut().insert(CONNECTION, close);
        } else {
            let rest = Rest::new(body);
            tokio::spawn(async move {
                run_out(rest).await;
                drop(call);
            });
        }
    }
}

/// Takes what comes, for a while.
pub(super) async fn run_out(mut rest: Rest) {
    // What comes later than that is its own fault.
    let _ = timeout(LINGER, poll_fn(|cx| rest.poll_over(cx))).await;
}

/// What is still to come of a request that nobody reads.
#[derive(Debug)]
pub(super) struct Rest {
    body: Incoming,
    thrown: usize,
}

impl Rest {
    /// What is to come of `body`.
    pub(super) const fn new(body: Incoming) -> Self {
        Self { body, thrown: 0 }
    }

    /// Ready when there is no more, or too much.
    pub(super) fn poll_over(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while self.thrown < MAX_THROWN {
            let Some(Ok(frame)) = ready!(Pin::new(&mut self.body).poll_frame(cx)) else {
                break;
            };
            self.thrown += frame.data_ref().map_or(0, bytes::Bytes::len);
        }
        Poll::Ready(())
    }
}
