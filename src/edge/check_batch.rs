//! `CheckBatch`: many questions in one call, each judged by itself.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::task::coop;
use tokio::time::Instant;
use tonic::server::UnaryService;
use tonic::{Request, Response, Status};

use crate::domain::violation::Violations;
use crate::metrics::checks::{Asked, Interface, Open};
use crate::service::credits::Wait;

use super::check::Own;
use super::deadline;
use super::pb::UndecidedReason;
use super::question::{BrokenMessage, Value, take_field};
use super::{result, status};

/// The largest batch that is read, in bytes.
pub(super) const MAX_MESSAGE_LEN: usize = 4 * 1024 * 1024;

/// The most questions of a batch.
const MAX_CHECKS: usize = 1_000;

/// How long the response may get, in bytes: what clients take by default, less
/// room for all questions that then have no verdict.
const MAX_VERDICTS_LEN: usize = 4 * 1024 * 1024 - 256 * 1024;

/// More than an answer takes to a check that may spend: one that is allowed, or
/// denied by a limit. In bytes.
const MAX_SPENT_LEN: usize = 16 * 1024;

/// What an answer mostly takes, in bytes.
const USUAL_RESULT_LEN: usize = 192;

/// The field of `CheckBatchRequest`.
const CHECKS: u32 = 1;

/// The field of `CheckBatchResponse`.
const RESULTS: u32 = 1;

/// What its questions are counted as.
const INTERFACE: Interface = Interface::CheckBatch;

/// One call of `CheckBatch`.
pub(super) struct CheckBatch(pub(super) Arc<Own>);

impl UnaryService<Bytes> for CheckBatch {
    type Response = Bytes;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Bytes>, Status>> + Send>>;

    fn call(&mut self, request: Request<Bytes>) -> Self::Future {
        let own = Arc::clone(&self.0);
        Box::pin(async move {
            let measured = Asked::now();
            let patience = deadline::patience(request.metadata().as_ref());
            let batch = request.into_inner();
            let number = count(&batch)?;
            let judged = judge(&own, &batch, number).await;
            let whole = judged.in_time(&own, patience).await;
            measured.answered(&own.counts, INTERFACE);
            Ok(Response::new(whole))
        })
    }
}

/// How many questions there are.
fn count(batch: &[u8]) -> Result<usize, Status> {
    let (mut number, mut rest) = (0, batch);
    let broken = |BrokenMessage| status::broken_message("CheckBatchRequest");
    while next_check(&mut rest).map_err(broken)?.is_some() {
        number += 1;
    }
    if number > MAX_CHECKS {
        let mut violations = Violations::default();
        violations.add(
            "checks",
            format!("must be at most {MAX_CHECKS}, and these are {number}: split the batch"),
        );
        return Err(status::invalid(violations));
    }
    Ok(number)
}

/// What is known of a batch at once.
struct Judged<'b> {
    /// The results, but of those that wait.
    response: BytesMut,
    /// In the order of the questions.
    waiting: Vec<Waiting<'b>>,
}

/// A question that has to wait for its key's credits.
struct Waiting<'b> {
    check: &'b [u8],
    /// Where in the response its result belongs.
    place: usize,
    wait: Wait,
    open: Open,
}

/// Judges a batch of so many questions, which was read before: all that need not
/// wait. All that do have asked for what they wait for then, so that they wait
/// at the same time, and for one write together.
async fn judge<'b>(own: &Own, batch: &'b [u8], number: usize) -> Judged<'b> {
    let Own { checker, counts } = own;
    let mut response = BytesMut::with_capacity(number * USUAL_RESULT_LEN);
    let mut waiting = Vec::new();
    let mut full = false;
    let mut rest = batch;
    while let Ok(Some(check)) = next_check(&mut rest) {
        let place = response.len();
        // What is judged may spend, so there has to be room for its answer: it
        // can be taken back only where nothing was spent.
        full = full || place + MAX_SPENT_LEN > MAX_VERDICTS_LEN;
        if !full {
            match result::append(&mut response, RESULTS, checker, check) {
                Ok(said) => {
                    full = response.len() > MAX_VERDICTS_LEN;
                    if !full {
                        said.count(counts, INTERFACE);
                    }
                }
                Err(wait) => waiting.push(Waiting {
                    check,
                    place,
                    wait,
                    open: counts.open(INTERFACE),
                }),
            }
        }
        if full {
            response.truncate(place);
            let reason = UndecidedReason::ResponseFull;
            result::append_undecided(&mut response, RESULTS, reason).count(counts, INTERFACE);
        }
        // Others on this thread have their turn in between.
        coop::consume_budget().await;
    }
    Judged { response, waiting }
}

impl Judged<'_> {
    /// The whole response, once those that wait are judged too, or `patience` is
    /// over: what was spent for the others has to reach the client.
    async fn in_time(self, own: &Own, patience: Duration) -> Bytes {
        let Self { response, waiting } = self;
        if waiting.is_empty() {
            return response.freeze();
        }
        let deadline = Instant::now() + patience;
        let (mut whole, mut late) = (BytesMut::new(), BytesMut::new());
        let (mut put, mut room) = (0, MAX_VERDICTS_LEN.saturating_sub(response.len()));
        for Waiting {
            check,
            place,
            wait,
            open,
        } in waiting
        {
            let said = if room < MAX_SPENT_LEN {
                result::append_undecided(&mut late, RESULTS, UndecidedReason::ResponseFull)
            } else {
                let until = (wait, deadline);
                result::append_in_time(&mut late, RESULTS, &own.checker, check, until).await
            };
            said.close(open);
            room = room.saturating_sub(late.len());
            whole.extend_from_slice(&response[put..place]);
            whole.extend_from_slice(&late);
            late.clear();
            put = place;
        }
        whole.extend_from_slice(&response[put..]);
        whole.freeze()
    }
}

/// The next question of a batch; other fields are skipped.
fn next_check<'a>(rest: &mut &'a [u8]) -> Result<Option<&'a [u8]>, BrokenMessage> {
    while !rest.is_empty() {
        match take_field(rest)? {
            (CHECKS, Value::Bytes(check)) => return Ok(Some(check)),
            (CHECKS, _) => return Err(BrokenMessage),
            _ => {}
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use prost::Message;

    use super::*;
    use crate::edge::pb;

    fn checks(batch: &[u8]) -> Result<Vec<&[u8]>, BrokenMessage> {
        let mut rest = batch;
        std::iter::from_fn(|| next_check(&mut rest).transpose()).collect()
    }

    proptest! {
        #[test]
        fn any_bytes_are_split_as_the_generated_reader_splits_them(
            batch in proptest::collection::vec(prop_oneof![0_u8..24, any::<u8>()], 0..40),
        ) {
            let expected = pb::CheckBatchRequest::decode(batch.as_slice());
            match (checks(&batch), expected) {
                (Ok(checks), Ok(expected)) => {
                    let read: Vec<_> = checks.into_iter().map(pb::CheckRequest::decode).collect();
                    let expected: Vec<_> = expected.checks.into_iter().map(Ok).collect();
                    prop_assert_eq!(read, expected);
                }
                (Err(_), Err(_)) => {}
                // The one difference: what is within one question spoils no other.
                (Ok(checks), Err(error)) => prop_assert!(
                    checks.into_iter().any(|check| pb::CheckRequest::decode(check).is_err()),
                    "{}", error
                ),
                (Err(_), Ok(expected)) => prop_assert!(false, "refused what reads as {:?}", expected),
            }
        }
    }

    #[test]
    fn questions_without_a_verdict_fit_behind_a_full_response() {
        let mut undecided = BytesMut::new();
        for _ in 0..MAX_CHECKS {
            result::append_undecided(&mut undecided, RESULTS, UndecidedReason::ResponseFull);
        }
        assert!(MAX_VERDICTS_LEN + undecided.len() <= 4 * 1024 * 1024);
    }
}
