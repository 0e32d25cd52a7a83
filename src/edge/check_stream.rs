//! `CheckStream`: questions and answers in a conversation that goes on.
//!
//! A question is read when the answer before it was taken: whoever takes no
//! answers is held up by HTTP/2's flow control, and nothing piles up here. A few
//! questions can wait, for credits, and are overtaken by those behind them.

use std::future::{Ready, ready};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use tokio::task::coop;
use tokio_stream::Stream;
use tonic::server::StreamingService;
use tonic::{Request, Response, Status, Streaming};

use crate::metrics::checks::{Asked as Measured, Interface};

use super::answer::Fields;
use super::check::Own;
use super::dialogue::Held;
use super::ending::Ending;
use super::line::UnderWay;
use super::pb::UndecidedReason;
use super::question::{BrokenMessage, Value, take_field};
use super::result;
use super::waiting::Waiting;

/// How many bytes of questions are answered once the connection is to end: no
/// fewer than can have been received and not read by then.
const MAX_LAST_LEN: usize = 2 * 1024 * 1024;

// The fields of CheckStreamRequest.
const ID: u32 = 1;
const CHECK: u32 = 2;

// The fields of CheckStreamResponse.
const ANSWERED_ID: u32 = 1;
const RESULT: u32 = 2;

/// What its questions are counted as.
pub(super) const INTERFACE: Interface = Interface::CheckStream;

/// One call of `CheckStream`.
pub(super) struct CheckStream(pub(super) Arc<Own>);

impl StreamingService<Bytes> for CheckStream {
    type Response = Bytes;
    type ResponseStream = Answers;
    type Future = Ready<Result<Response<Answers>, Status>>;

    fn call(&mut self, request: Request<Streaming<Bytes>>) -> Self::Future {
        let under_way = request.extensions().get::<UnderWay>();
        ready(Ok(Response::new(Answers {
            ending: under_way.map(|call| call.line.ending()),
            held: under_way.map(|call| call.held.clone()),
            own: Arc::clone(&self.0),
            questions: request.into_inner(),
            waiting: Waiting::default(),
            all_asked: false,
            buffer: BytesMut::new(),
            last: MAX_LAST_LEN,
        })))
    }
}

/// The answers of a conversation, made one by one as they are taken.
pub(super) struct Answers {
    own: Arc<Own>,
    questions: Streaming<Bytes>,
    /// Questions that have no answer yet.
    waiting: Waiting,
    /// Whether the client has ended its side.
    all_asked: bool,
    /// An answer is gone when the next is written here.
    buffer: BytesMut,
    /// That of the connection, if there is one.
    ending: Option<Ending>,
    /// To be told when no question is read.
    held: Option<Held>,
    /// How many bytes of questions may still be answered from then on.
    last: usize,
}

impl Stream for Answers {
    type Item = Result<Bytes, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        // Others on this thread have their turn, however fast questions come.
        let turn = std::task::ready!(coop::poll_proceed(cx));
        let ending = this.ending.as_ref().is_some_and(Ending::has_come);
        if ending && this.last == 0 {
            return Poll::Ready(None);
        }
        if let Poll::Ready(answer) = this.waiting.poll(cx) {
            turn.made_progress();
            return Poll::Ready(Some(Ok(answer)));
        }
        match this.poll_question(cx) {
            Poll::Ready(Some(Ok(message))) => {
                turn.made_progress();
                if ending {
                    this.last = this.last.saturating_sub(message.len().max(1));
                }
                if this.write_answer(&message) {
                    return Poll::Ready(Some(Ok(this.buffer.split().freeze())));
                }
                // It waits, and is asked for when there is news.
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            Poll::Ready(ended) => Poll::Ready(ended),
            Poll::Pending if !this.waiting.is_empty() => Poll::Pending,
            // All that was received has its answer.
            Poll::Pending => match &mut this.ending {
                Some(ending) => ending.poll(cx).map(|()| None),
                None => Poll::Pending,
            },
        }
    }
}

impl Answers {
    /// The next question, or the end, once all that waits has its answer.
    fn poll_question(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Status>>> {
        if self.waiting.is_full() {
            self.held.iter().for_each(Held::hold);
            return Poll::Pending;
        }
        if !self.all_asked {
            let question = std::task::ready!(Pin::new(&mut self.questions).poll_next(cx));
            if question.is_some() {
                return Poll::Ready(question);
            }
            self.all_asked = true;
        }
        if self.waiting.is_empty() {
            Poll::Ready(None)
        } else {
            Poll::Pending
        }
    }

    /// Whether there is an answer; if not, the question waits.
    fn write_answer(&mut self, message: &Bytes) -> bool {
        let measured = Measured::now();
        let Asked { id, check } = Asked::read(message);
        self.buffer.number(ANSWERED_ID, id);
        let said = match check {
            Ok(check) => {
                let checker = &self.own.checker;
                match result::append(&mut self.buffer, RESULT, checker, check) {
                    Ok(said) => said,
                    Err(wait) => {
                        // Its own copy: the message may be a part of a large one.
                        let (answer, check) = (self.buffer.split(), Bytes::copy_from_slice(check));
                        let own = Arc::clone(&self.own);
                        self.waiting
                            .add(own, (answer, RESULT), check, wait, measured);
                        return false;
                    }
                }
            }
            Err(BrokenMessage) => {
                result::append_undecided(&mut self.buffer, RESULT, UndecidedReason::Unreadable)
            }
        };
        let counts = &self.own.counts;
        said.count(counts, INTERFACE);
        measured.answered(counts, INTERFACE);
        true
    }
}

/// A `CheckStreamRequest`.
struct Asked<'a> {
    /// As far as it could be read.
    id: u64,
    check: Result<&'a [u8], BrokenMessage>,
}

impl<'a> Asked<'a> {
    fn read(message: &'a [u8]) -> Self {
        let (mut id, mut check) = (0, None);
        let mut rest = message;
        let broken = |id| Self {
            id,
            check: Err(BrokenMessage),
        };
        while !rest.is_empty() {
            match take_field(&mut rest) {
                Ok((ID, Value::Number(number))) => id = number,
                // Two would be one in two parts. Nobody writes that, and to
                // judge by one of them could be to forget what was required.
                Ok((CHECK, Value::Bytes(bytes))) if check.is_none() => check = Some(bytes),
                Ok((ID | CHECK, _)) | Err(BrokenMessage) => return broken(id),
                Ok(_) => {}
            }
        }
        Self {
            id,
            check: Ok(check.unwrap_or_default()),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use prost::Message;

    use super::*;
    use crate::edge::pb;

    proptest! {
        #[test]
        fn any_bytes_are_read_as_the_generated_reader_reads_them(
            message in proptest::collection::vec(prop_oneof![0_u8..24, any::<u8>()], 0..40),
        ) {
            let asked = Asked::read(&message);
            match (asked.check, pb::CheckStreamRequest::decode(message.as_slice())) {
                (Ok(check), Ok(expected)) => {
                    prop_assert_eq!(asked.id, expected.id);
                    let expected = expected.check.unwrap_or_default();
                    prop_assert_eq!(pb::CheckRequest::decode(check), Ok(expected));
                }
                (Err(_), Err(_)) => {}
                (Ok(check), Err(error)) => {
                    prop_assert!(pb::CheckRequest::decode(check).is_err(), "{}", error);
                }
                // The one difference: a question in several parts is none.
                (Err(_), Ok(_)) => {
                    let mut rest = message.as_slice();
                    let mut parts = 0;
                    while let Ok((tag, _)) = take_field(&mut rest) {
                        parts += usize::from(tag == CHECK);
                    }
                    prop_assert!(parts > 1);
                }
            }
        }
    }

    #[test]
    fn an_id_is_kept_from_what_cannot_be_read_to_its_end() {
        let read = |message: &[u8]| {
            let asked = Asked::read(message);
            (asked.id, asked.check.map(<[u8]>::to_vec))
        };
        assert_eq!(read(&[]), (0, Ok(vec![])));
        assert_eq!(read(&[0x08, 7, 0x12, 1, b'x']), (7, Ok(vec![b'x'])));
        assert_eq!(read(&[0x12, 1, b'x', 0x08, 7]), (7, Ok(vec![b'x'])));
        for broken in [
            &[0x08, 7, 0x12, 9][..],
            &[0x08, 7, 0x10, 1],
            &[0x08, 7, 0x12, 0, 0x12, 0],
        ] {
            assert_eq!(read(broken), (7, Err(BrokenMessage)));
        }
        assert_eq!(read(&[0xff]), (0, Err(BrokenMessage)));
        assert_eq!(read(&[0x0a, 1, b'7', 0x08, 7]), (0, Err(BrokenMessage)));
    }
}
