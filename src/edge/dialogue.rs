//! The body of a request that goes on: each of its messages is held to what a
//! whole request is held to elsewhere. Between them it may be silent.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio::time::{Instant, Sleep, sleep};
use tonic::Status;
use tonic::codegen::StdError;

use super::room::{Place, Share};
use super::status;

/// A byte that says whether the message is compressed, and four that say how
/// long it is.
const PREFIX_LEN: usize = 5;

/// Since when no more is read of a body, which is no fault of its client's.
#[derive(Clone, Debug, Default)]
pub(super) struct Held(Arc<Mutex<Option<Instant>>>);

impl Held {
    /// Notes that nothing is read from now on.
    pub(super) fn hold(&self) {
        self.lock().get_or_insert_with(Instant::now);
    }

    fn take(&self) -> Option<Instant> {
        self.lock().take()
    }

    /// Locked by one task alone: the body is read by whoever holds it up.
    fn lock(&self) -> MutexGuard<'_, Option<Instant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request's body of many messages.
#[derive(Debug)]
pub(super) struct Dialogue<B> {
    inner: B,
    part: Part,
    place: Place,
    receive_timeout: Duration,
    /// How long the client was waited for since the message that is arriving
    /// began.
    waited: Duration,
    waiting: Option<(Instant, Pin<Box<Sleep>>)>,
    held: Held,
}

impl<B> Dialogue<B> {
    /// `inner`, each message of which takes what it needs of `share`, and may
    /// have the client waited for so long, without the time for which it was
    /// `held`.
    pub(super) const fn new(inner: B, share: Share, receive_timeout: Duration, held: Held) -> Self {
        Self {
            inner,
            part: Part::NONE,
            place: Place::new(share),
            receive_timeout,
            waited: Duration::ZERO,
            waiting: None,
            held,
        }
    }

    /// Notes more bytes; false: there is no room for them.
    fn receive(&mut self, bytes: &[u8]) -> bool {
        if self.part.receive(bytes) {
            self.waited = Duration::ZERO;
        }
        self.place.fit(self.part.len())
    }

    /// Ends if a message has been arriving for too long.
    fn poll_patience(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.part.len() == 0 {
            return Poll::Pending;
        }
        let left = self.receive_timeout.saturating_sub(self.waited);
        let (_, timer) = self
            .waiting
            .get_or_insert_with(|| (Instant::now(), Box::pin(sleep(left))));
        timer.as_mut().poll(cx)
    }
}

impl<B> HttpBody for Dialogue<B>
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
        if let Some(held) = self.held.take()
            && let Some((since, _)) = self.waiting.take()
        {
            // The client's until then.
            self.waited += held.saturating_duration_since(since);
        }
        let Poll::Ready(frame) = Pin::new(&mut self.inner).poll_frame(cx) else {
            ready!(self.poll_patience(cx));
            return Poll::Ready(Some(Err(status::received_too_slowly())));
        };
        if let Some((since, _)) = self.waiting.take() {
            self.waited += since.elapsed();
        }
        Poll::Ready(match frame {
            Some(Ok(frame)) => {
                let fits = frame.data_ref().is_none_or(|bytes| self.receive(bytes));
                Some(fits.then_some(frame).ok_or_else(status::overloaded))
            }
            Some(Err(error)) => Some(Err(status::of_body(error.into()))),
            None => None,
        })
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// What is there of a message that has not arrived whole.
#[derive(Debug)]
struct Part {
    prefix: [u8; PREFIX_LEN],
    /// Bytes that are there, with those of the prefix.
    len: usize,
}

impl Part {
    const NONE: Self = Self {
        prefix: [0; PREFIX_LEN],
        len: 0,
    };

    const fn len(&self) -> usize {
        self.len
    }

    /// Adds bytes; true: they ended a message.
    fn receive(&mut self, mut bytes: &[u8]) -> bool {
        let mut ended = false;
        while !bytes.is_empty() {
            let wanted = self.wanted().min(bytes.len());
            let (more, rest) = bytes.split_at(wanted);
            if let Some(prefix) = self.prefix.get_mut(self.len..self.len + wanted) {
                prefix.copy_from_slice(more);
            }
            self.len += wanted;
            bytes = rest;
            if self.wanted() == 0 {
                *self = Self::NONE;
                ended = true;
            }
        }
        ended
    }

    /// How many bytes are missing of the prefix or, once that is there, of the
    /// message.
    fn wanted(&self) -> usize {
        let [_, length @ ..] = self.prefix;
        let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
        match PREFIX_LEN.checked_sub(self.len) {
            Some(missing @ 1..) => missing,
            Some(0) | None => PREFIX_LEN.saturating_add(length) - self.len,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use proptest::prelude::*;

    use super::*;
    use crate::edge::line::Line;
    use crate::edge::room::{OWN, Room, SHARED};

    static ROOM: Room = Room::new();

    fn share() -> Share {
        Share::new(&ROOM, Arc::new(Line::new()))
    }

    fn message(length: usize) -> Vec<u8> {
        let prefix = u32::try_from(length).unwrap().to_be_bytes();
        [&[0], prefix.as_slice(), &vec![b'x'; length]].concat()
    }

    proptest! {
        #[test]
        fn messages_are_told_apart_however_they_are_cut(
            lengths in proptest::collection::vec(0_usize..40, 1..8),
            mut cuts in proptest::collection::vec(0_usize..300, 0..20),
            rest in 0_usize..5,
        ) {
            let mut bytes = lengths.iter().flat_map(|&length| message(length)).collect::<Vec<_>>();
            let ends: Vec<_> = lengths
                .iter()
                .scan(0, |end, length| { *end += PREFIX_LEN + length; Some(*end) })
                .collect();
            bytes.extend(&message(9)[..rest]);
            cuts.push(bytes.len());
            cuts.sort_unstable();
            let (mut part, mut from) = (Part::NONE, 0);
            for cut in cuts.into_iter().filter(|&cut| cut <= bytes.len()) {
                let ended = part.receive(&bytes[from..cut]);
                prop_assert_eq!(ended, ends.iter().any(|&end| from < end && end <= cut));
                let begun = ends.iter().filter(|&&end| end <= cut).max().unwrap_or(&0);
                prop_assert_eq!(part.len(), cut - begun);
                from = cut;
            }
            prop_assert_eq!(part.len(), rest);
        }
    }

    #[test]
    fn room_is_taken_for_a_message_and_given_back_when_it_is_there() {
        let mut body = Dialogue::new((), share(), Duration::ZERO, Held::default());
        let large = message(3 * OWN);
        for _ in 0..10_000 {
            assert!(body.receive(&large[..2 * OWN]) && body.receive(&large[2 * OWN..]));
            assert!(body.receive(&large));
        }
        let mut rest = Place::new(share());
        assert!(rest.fit(OWN + SHARED / 2), "all that was taken is back");
        drop(rest);
        assert!(body.receive(&large[..2 * OWN]));
        let mut rest = Place::new(share());
        assert!(!rest.fit(OWN + SHARED));
        assert!(rest.fit(SHARED / 2));
        let mut other = Dialogue::new((), share(), Duration::ZERO, Held::default());
        assert!(other.receive(&large[..OWN]));
        drop(body);
        assert!(rest.fit(OWN + SHARED / 2), "given back with the body");
    }

    /// What comes at which second.
    struct Slow(Vec<(u64, Vec<u8>)>, Option<Pin<Box<Sleep>>>);

    impl HttpBody for Slow {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            let Some(&(seconds, _)) = self.0.first() else {
                return Poll::Ready(None);
            };
            let timer = self
                .1
                .get_or_insert_with(|| Box::pin(sleep(Duration::from_secs(seconds))));
            ready!(timer.as_mut().poll(cx));
            self.1 = None;
            Poll::Ready(Some(Ok(Frame::data(self.0.remove(0).1.into()))))
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_message_that_drips_is_cut_off_and_silence_between_messages_is_not() {
        let whole = message(100);
        let drip = |seconds| whole.iter().map(move |&byte| (seconds, vec![byte]));
        let end = |parts: Vec<(u64, Vec<u8>)>| async {
            let slow = Slow(parts, None);
            let within = Duration::from_secs(200);
            let mut body = Dialogue::new(slow, share(), within, Held::default());
            let mut received = 0;
            while let Some(frame) =
                std::future::poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await
            {
                match frame {
                    Ok(frame) => received += frame.data_ref().unwrap().len(),
                    Err(status) => return Err((status.code(), received)),
                }
            }
            Ok(received)
        };
        let late = tonic::Code::DeadlineExceeded;
        assert_eq!(
            end(vec![(9_000, whole.clone()), (9_000, whole.clone())]).await,
            Ok(210)
        );
        assert_eq!(
            end(drip(1).chain(drip(1)).chain(drip(1)).collect()).await,
            Ok(315)
        );
        // The wait for the first byte is silence, not a message that is arriving.
        assert_eq!(end(drip(3).collect()).await, Err((late, 67)));
        assert_eq!(
            end(vec![(1, whole[..7].to_vec()), (300, whole.clone())]).await,
            Err((late, 7))
        );
    }

    #[tokio::test(start_paused = true)]
    async fn the_time_in_which_nothing_is_read_is_not_the_clients() {
        let seconds = Duration::from_secs;
        let whole = message(100);
        for (held, code) in [(true, None), (false, Some(tonic::Code::DeadlineExceeded))] {
            let parts = vec![(0, whole[..7].to_vec()), (9, whole[7..].to_vec())];
            let holding = Held::default();
            let mut body = Dialogue::new(Slow(parts, None), share(), seconds(5), holding.clone());
            let first = std::future::poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await;
            assert!(first.unwrap().is_ok());
            // The rest is waited for, but whoever reads has no room for more.
            let mut cx = Context::from_waker(std::task::Waker::noop());
            assert!(Pin::new(&mut body).poll_frame(&mut cx).is_pending());
            if held {
                holding.hold();
            }
            tokio::time::advance(seconds(8)).await;
            let rest = std::future::poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await;
            assert_eq!(rest.unwrap().err().map(|status| status.code()), code);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_time_before_nothing_is_read_stays_the_clients() {
        let seconds = Duration::from_secs;
        let whole = message(100);
        // Of five seconds, so many have passed before it is held for long.
        for (before, code) in [(1, None), (4, Some(tonic::Code::DeadlineExceeded))] {
            let parts = vec![(0, whole[..7].to_vec()), (22, whole[7..].to_vec())];
            let holding = Held::default();
            let mut body = Dialogue::new(Slow(parts, None), share(), seconds(5), holding.clone());
            let first = std::future::poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await;
            assert!(first.unwrap().is_ok());
            let mut cx = Context::from_waker(std::task::Waker::noop());
            assert!(Pin::new(&mut body).poll_frame(&mut cx).is_pending());
            tokio::time::advance(seconds(before)).await;
            holding.hold();
            tokio::time::advance(seconds(10)).await;
            // Still held, as it was said before.
            holding.hold();
            tokio::time::advance(seconds(9 - before)).await;
            let rest = std::future::poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await;
            assert_eq!(rest.unwrap().err().map(|status| status.code()), code);
        }
    }
}
