//! Room for large requests that are still arriving, and for large answers that
//! are still to be taken.
//!
//! Anybody can send the first half of many large messages, or read no answer.
//! Each call has a little room of its own, more than an ordinary message needs;
//! what goes beyond comes out of one room that the whole listener has. Once half
//! of that is gone, a connection gets no more than its part of it.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use tonic::Status;
use tonic::codegen::StdError;

use super::limit::SCARCE_SHARE;
use super::line::Line;
use super::status;

/// What each message may take, in bytes, without asking for room.
pub(super) const OWN: usize = 16 * 1024;

/// What all messages of a listener may take beyond that, in bytes, at a time.
pub(super) const SHARED: usize = 64 * 1024 * 1024;

/// What is left of a listener's room. There is one for each listener of the
/// process, and no call counts references to it.
#[derive(Debug)]
pub(super) struct Room {
    left: AtomicUsize,
}

/// The room of the check listener.
pub(super) static CHECKS: Room = Room::new();

/// The room of the admin listener.
pub(super) static ADMIN: Room = Room::new();

/// The room of what is served over plain HTTP.
pub(super) static HTTP: Room = Room::new();

impl Room {
    /// All of it is left.
    pub(super) const fn new() -> Self {
        Self {
            left: AtomicUsize::new(SHARED),
        }
    }
}

/// What one connection may have of a listener's room.
#[derive(Clone, Debug)]
pub(super) struct Share {
    room: &'static Room,
    line: Arc<Line>,
}

impl Share {
    /// That of `line` in `room`.
    pub(super) const fn new(room: &'static Room, line: Arc<Line>) -> Self {
        Self { room, line }
    }

    /// Takes so many bytes; false: there is no room for them, or more than half
    /// is gone and the connection has its part.
    fn take(&self, bytes: usize) -> bool {
        // Only numbers, which guard no memory: relaxed is enough.
        let own = self.line.room.fetch_add(bytes, Ordering::Relaxed) + bytes;
        let taken = self
            .room
            .left
            .try_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
                let left = left.checked_sub(bytes)?;
                (left >= SHARED / 2 || own <= SHARED / SCARCE_SHARE).then_some(left)
            })
            .is_ok();
        if !taken {
            self.line.room.fetch_sub(bytes, Ordering::Relaxed);
        }
        taken
    }

    fn give_back(&self, bytes: usize) {
        self.room.left.fetch_add(bytes, Ordering::Relaxed);
        self.line.room.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// The room that one message has; given back when this is dropped.
#[derive(Debug)]
pub(super) struct Place {
    share: Share,
    taken: usize,
}

impl Place {
    /// Nothing yet of `share`.
    pub(super) const fn new(share: Share) -> Self {
        Self { share, taken: 0 }
    }

    /// Has room for a message of `length` bytes, no less and no more; false:
    /// there is none.
    pub(super) fn fit(&mut self, length: usize) -> bool {
        let wanted = length.saturating_sub(OWN);
        if wanted > self.taken {
            if !self.share.take(wanted - self.taken) {
                return false;
            }
        } else if wanted < self.taken {
            // Not for nothing: all threads share the room.
            self.share.give_back(self.taken - wanted);
        }
        self.taken = wanted;
        true
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.taken > 0 {
            self.share.give_back(self.taken);
        }
    }
}

/// A request's body that asks for room when it is large. The room is given back
/// when the body is dropped, which is when the message has been read.
#[derive(Debug)]
pub(super) struct Roomy<B> {
    inner: B,
    place: Place,
    received: usize,
}

impl<B> Roomy<B> {
    /// `inner`, which takes what it needs of `share`.
    pub(super) const fn new(inner: B, share: Share) -> Self {
        Self {
            inner,
            place: Place::new(share),
            received: 0,
        }
    }

    /// Notes so many more bytes; false: there is no room for them.
    fn receive(&mut self, bytes: usize) -> bool {
        self.received += bytes;
        self.place.fit(self.received)
    }
}

impl<B> HttpBody for Roomy<B>
where
    B: HttpBody<Data = Bytes> + Unpin,
    B::Error: Into<StdError>,
{
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let frame = match ready!(Pin::new(&mut self.inner).poll_frame(cx)) {
            Some(Ok(frame)) => frame,
            Some(Err(error)) => return Poll::Ready(Some(Err(status::of_body(error.into())))),
            None => return Poll::Ready(None),
        };
        let bytes = frame.data_ref().map_or(0, Bytes::len);
        Poll::Ready(Some(if self.receive(bytes) {
            Ok(frame)
        } else {
            Err(status::overloaded())
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(room: &'static Room, line: &Arc<Line>) -> Roomy<()> {
        Roomy::new((), Share::new(room, Arc::clone(line)))
    }

    #[test]
    fn room_is_taken_beyond_what_each_has_and_given_back() {
        static ROOM: Room = Room::new();
        let line = Arc::new(Line::new());
        let mut small = body(&ROOM, &line);
        assert!(small.receive(OWN - 1) && small.receive(1));
        assert_eq!(ROOM.left.load(Ordering::Relaxed), SHARED);
        let mut large = body(&ROOM, &line);
        assert!(large.receive(OWN + 1) && large.receive(SHARED / 2 - 1));
        assert_eq!(ROOM.left.load(Ordering::Relaxed), SHARED / 2);
        // Who needs none goes on; who needs some has to come back.
        let mut other = body(&ROOM, &line);
        assert!(other.receive(OWN) && !other.receive(1));
        assert!(small.receive(0) && !small.receive(1));
        drop(other);
        drop(large);
        assert_eq!(ROOM.left.load(Ordering::Relaxed), SHARED);
        assert!(small.receive(1));
        drop(small);
        assert_eq!(ROOM.left.load(Ordering::Relaxed), SHARED);
        assert_eq!(line.room.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn the_second_half_is_for_many() {
        static ROOM: Room = Room::new();
        let mut held = Vec::new();
        for number in 0..=SCARCE_SHARE / 2 {
            let mut large = body(&ROOM, &Arc::new(Line::new()));
            let most = if number == 0 {
                SHARED / 2
            } else {
                SHARED / SCARCE_SHARE
            };
            assert!(large.receive(OWN + most) && !large.receive(1), "{number}");
            held.push(large);
        }
        assert_eq!(ROOM.left.load(Ordering::Relaxed), 0);
        held.clear();
        assert_eq!(ROOM.left.load(Ordering::Relaxed), SHARED);
    }
}
