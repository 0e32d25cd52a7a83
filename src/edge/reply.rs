//! The body of an answer, which is counted and has its room until it is written.
//!
//! What a client does not take waits in the connection, where nobody sees it: so
//! each piece of an answer takes along what the call holds.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio::time::{Instant, Sleep, sleep_until};
use tonic::Status;
use tonic::body::Body;

use super::ending::Ending;
use super::limit::Call;
use super::room::{Place, Share};
use super::status;

/// The body of an answer.
#[derive(Debug)]
pub(super) struct Reply {
    inner: Body,
    call: Option<Held>,
    more: Option<Box<More>>,
}

/// The call that is answered.
#[derive(Debug)]
enum Held {
    /// One that is answered in one piece, which takes it along.
    Once(#[expect(dead_code, reason = "it counts for as long as it is there")] Call),
    /// One of any number of pieces, each of which has a part in it.
    Shared(Arc<Call>),
}

/// What only calls have that can be large, or go on.
#[derive(Debug)]
struct More {
    share: Share,
    deadline: Option<Pin<Box<Sleep>>>,
    ending: Option<Ending>,
}

impl Reply {
    /// An answer that nothing depends on.
    pub(super) const fn uncounted(inner: Body) -> Self {
        Self {
            inner,
            call: None,
            more: None,
        }
    }

    /// The small answer to `call`.
    pub(super) const fn of_check(inner: Body, call: Call) -> Self {
        Self {
            inner,
            call: Some(Held::Once(call)),
            more: None,
        }
    }

    /// The same, where something else of the call may last longer.
    pub(super) const fn of_shared(inner: Body, call: Arc<Call>) -> Self {
        Self {
            inner,
            call: Some(Held::Shared(call)),
            more: None,
        }
    }

    /// The answer to `call`, which ends by itself, at `deadline`, or once
    /// `ending` has come and there is no more to say. What is large takes its
    /// room of `share`.
    pub(super) fn new(
        inner: Body,
        call: Arc<Call>,
        share: Share,
        deadline: Option<Instant>,
        ending: Option<Ending>,
    ) -> Self {
        let more = More {
            share,
            deadline: deadline.map(|deadline| Box::pin(sleep_until(deadline))),
            ending,
        };
        Self {
            inner,
            call: Some(Held::Shared(call)),
            more: Some(Box::new(more)),
        }
    }

    /// `bytes` with what they hold; none if there is no room for them.
    fn piece(&mut self, bytes: Bytes) -> Option<Piece> {
        let place = match &self.more {
            None => None,
            Some(more) => {
                let mut place = Place::new(more.share.clone());
                if !place.fit(bytes.len()) {
                    return None;
                }
                Some(place)
            }
        };
        let held = match &self.call {
            Some(Held::Shared(call)) => Some(Held::Shared(Arc::clone(call))),
            Some(Held::Once(_)) | None => self.call.take(),
        };
        Some(Piece {
            bytes,
            _held: held,
            _place: place,
        })
    }

    /// Ends the answer with `status`, whatever was still to come.
    fn end(&mut self, status: &Status) -> Frame<Piece> {
        self.inner = Body::empty();
        self.more = None;
        Frame::trailers(status::trailers(status))
    }
}

impl HttpBody for Reply {
    type Data = Piece;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Piece>, Status>>> {
        let this = &mut *self;
        if let Poll::Ready(frame) = Pin::new(&mut this.inner).poll_frame(cx) {
            let frame = match frame.transpose()? {
                None => return Poll::Ready(None),
                Some(frame) => frame,
            };
            return Poll::Ready(Some(Ok(match frame.into_data() {
                Ok(bytes) => match this.piece(bytes) {
                    Some(piece) => Frame::data(piece),
                    None => this.end(&status::overloaded()),
                },
                Err(frame) => match frame.into_trailers() {
                    Ok(trailers) => Frame::trailers(trailers),
                    // There is no third kind.
                    Err(_) => return Poll::Ready(None),
                },
            })));
        }
        let Some(more) = &mut this.more else {
            return Poll::Pending;
        };
        if let Some(ending) = &mut more.ending
            && ending.poll(cx).is_ready()
        {
            return Poll::Ready(Some(Ok(this.end(&status::ended()))));
        }
        let Some(deadline) = &mut more.deadline else {
            return Poll::Pending;
        };
        ready!(deadline.as_mut().poll(cx));
        Poll::Ready(Some(Ok(this.end(&status::deadline_exceeded()))))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// A piece of an answer. It is dropped once it was written, or cannot be.
#[derive(Debug)]
pub(super) struct Piece {
    bytes: Bytes,
    _held: Option<Held>,
    _place: Option<Place>,
}

impl Buf for Piece {
    fn remaining(&self) -> usize {
        self.bytes.remaining()
    }

    fn chunk(&self) -> &[u8] {
        self.bytes.chunk()
    }

    fn advance(&mut self, length: usize) {
        self.bytes.advance(length);
    }
}
