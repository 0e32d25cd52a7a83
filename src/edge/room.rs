//! Room for large requests that are still arriving.
//!
//! Anybody can send the first half of many large messages. Each call has a
//! little room of its own, more than an ordinary request needs; what goes
//! beyond comes out of one room that the whole listener has.

use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use tonic::Status;
use tonic::codegen::StdError;

use super::status;

/// What each call may send, in bytes, without asking for room.
pub(super) const OWN: usize = 16 * 1024;

/// What all calls of a listener may send beyond that, in bytes, at a time.
const SHARED: usize = 64 * 1024 * 1024;

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

impl Room {
    /// All of it is left.
    pub(super) const fn new() -> Self {
        Self {
            left: AtomicUsize::new(SHARED),
        }
    }

    /// Takes so many bytes; false: there is no room for them.
    pub(super) fn take(&self, bytes: usize) -> bool {
        // Only a number, which guards no memory: relaxed is enough.
        self.left
            .try_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
                left.checked_sub(bytes)
            })
            .is_ok()
    }

    /// Gives so many bytes back.
    pub(super) fn give_back(&self, bytes: usize) {
        self.left.fetch_add(bytes, Ordering::Relaxed);
    }
}

/// A request's body that asks for room when it is large. The room is given back
/// when the body is dropped, which is when the message has been read.
#[derive(Debug)]
pub(super) struct Roomy<B> {
    inner: B,
    room: &'static Room,
    received: usize,
    taken: usize,
}

impl<B> Roomy<B> {
    /// `inner`, which takes what it needs from `room`.
    pub(super) const fn new(inner: B, room: &'static Room) -> Self {
        Self {
            inner,
            room,
            received: 0,
            taken: 0,
        }
    }

    /// Notes so many more bytes; false: there is no room for them.
    fn receive(&mut self, bytes: usize) -> bool {
        self.received += bytes;
        let wanted = self.received.saturating_sub(OWN);
        let more = wanted.saturating_sub(self.taken);
        if more > 0 {
            if !self.room.take(more) {
                return false;
            }
            self.taken = wanted;
        }
        true
    }
}

impl<B> Drop for Roomy<B> {
    fn drop(&mut self) {
        if self.taken > 0 {
            self.room.give_back(self.taken);
        }
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

    static ROOM: Room = Room::new();

    #[test]
    fn room_is_taken_beyond_what_each_has_and_given_back() {
        let body = || Roomy::new((), &ROOM);
        let mut small = body();
        assert!(small.receive(OWN - 1) && small.receive(1));
        assert_eq!(ROOM.left.load(Ordering::Relaxed), SHARED);
        let mut large = body();
        assert!(large.receive(OWN + 1) && large.receive(SHARED - 1));
        assert_eq!(ROOM.left.load(Ordering::Relaxed), 0);
        // Who needs none goes on; who needs some has to come back.
        let mut other = body();
        assert!(other.receive(OWN) && !other.receive(1));
        assert!(small.receive(0) && !small.receive(1));
        drop(other);
        drop(large);
        assert_eq!(ROOM.left.load(Ordering::Relaxed), SHARED);
        assert!(small.receive(1));
        drop(small);
        assert_eq!(ROOM.left.load(Ordering::Relaxed), SHARED);
    }
}
