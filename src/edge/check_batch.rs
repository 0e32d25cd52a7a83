//! `CheckBatch`: many questions in one call, each judged by itself.

use std::pin::Pin;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use tokio::task::coop;
use tokio::time::Instant;
use tonic::server::UnaryService;
use tonic::{Request, Response, Status};

use crate::domain::violation::Violations;
use crate::service::checker::Checker;
use crate::service::credits::PATIENCE;

use super::check::Own;
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

/// One call of `CheckBatch`.
pub(super) struct CheckBatch(pub(super) Arc<Own>);

impl UnaryService<Bytes> for CheckBatch {
    type Response = Bytes;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Bytes>, Status>> + Send>>;

    fn call(&mut self, request: Request<Bytes>) -> Self::Future {
        let own = Arc::clone(&self.0);
        Box::pin(async move {
            let batch = request.into_inner();
            let number = count(&batch)?;
            Ok(Response::new(judge(&own.checker, &batch, number).await))
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

/// The response to a batch of so many questions, which was read before.
async fn judge(checker: &Checker, batch: &[u8], number: usize) -> Bytes {
    let mut response = BytesMut::with_capacity(number * USUAL_RESULT_LEN);
    let mut full = false;
    // All that waits in a batch waits at the same time.
    let mut deadline = None;
    let mut rest = batch;
    while let Ok(Some(check)) = next_check(&mut rest) {
        let length = response.len();
        // What is judged may spend, so there has to be room for its answer: it
        // can be taken back only where nothing was spent.
        full = full || length + MAX_SPENT_LEN > MAX_VERDICTS_LEN;
        if !full {
            if let Err(wait) = result::append(&mut response, RESULTS, checker, check) {
                let deadline = *deadline.get_or_insert_with(|| Instant::now() + PATIENCE);
                let until = (wait, deadline);
                result::append_in_time(&mut response, RESULTS, checker, check, until).await;
            }
            full = response.len() > MAX_VERDICTS_LEN;
        }
        if full {
            response.truncate(length);
            result::append_undecided(&mut response, RESULTS, UndecidedReason::ResponseFull);
        }
        // Others on this thread have their turn in between.
        coop::consume_budget().await;
    }
    response.freeze()
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
