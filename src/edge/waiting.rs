//! The questions of a conversation that wait for credits: a few at a time, so
//! that one key that is slow does not hold up all others.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use futures_util::Stream;
use futures_util::stream::FuturesUnordered;
use tokio::time::Instant;

use crate::metrics::checks::Asked;
use crate::service::credits::{PATIENCE, Wait};

use super::check::Own;
use super::check_stream::INTERFACE;
use super::result;

/// How many questions of a conversation wait at once: no more are read then.
const MAX_WAITING: usize = 64;

/// How long those are together, in bytes, before no more are read.
const MAX_WAITING_LEN: usize = 256 * 1024;

/// Questions that have no answer yet.
#[derive(Default)]
pub(super) struct Waiting {
    /// Of many, only those are looked at for which there is news.
    questions: FuturesUnordered<Pending>,
    /// How long they are together, in bytes.
    len: usize,
}

/// An answer, and how long its question was.
type Pending = Pin<Box<dyn Future<Output = (Bytes, usize)> + Send>>;

impl Waiting {
    pub(super) fn is_empty(&self) -> bool {
        self.questions.is_empty()
    }

    pub(super) fn is_full(&self) -> bool {
        self.questions.len() >= MAX_WAITING || self.len >= MAX_WAITING_LEN
    }

    /// Has `check` wait, which came when `asked` says, and whose result is to be
    /// appended to `answer` as the field `tag`.
    pub(super) fn add(
        &mut self,
        own: Arc<Own>,
        (mut answer, tag): (BytesMut, u32),
        check: Bytes,
        wait: Wait,
        asked: Asked,
    ) {
        let (len, until) = (check.len(), (wait, Instant::now() + PATIENCE));
        self.len += len;
        let open = own.counts.open(INTERFACE);
        self.questions.push(Box::pin(async move {
            let said = result::append_in_time(&mut answer, tag, &own.checker, &check, until).await;
            said.close(open);
            asked.answered(&own.counts, INTERFACE);
            (answer.freeze(), len)
        }));
    }

    /// An answer, once there is one.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Bytes> {
        match Pin::new(&mut self.questions).poll_next(cx) {
            Poll::Ready(Some((answer, len))) => {
                self.len -= len;
                Poll::Ready(answer)
            }
            // None is left, or none is ready.
            Poll::Ready(None) | Poll::Pending => Poll::Pending,
        }
    }
}
