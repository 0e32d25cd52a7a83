//! `keyward.v1.KeyCheck` on the wire.
//!
//! Written by hand where the generated server would copy each message into
//! owned strings: here the question is read where it lies.

use std::convert::Infallible;
use std::future::ready;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::time::Instant;
use tonic::body::Body;
use tonic::codegen::{Body as HttpBody, StdError, http};
use tonic::server::{Grpc, NamedService, UnaryService};
use tonic::{Request, Response, Status};
use tower::Service;

use crate::domain::verdict::Verdict;
use crate::metrics::checks::{Asked, Cause, CheckCounts, Interface, Open};
use crate::service::checker::Checker;
use crate::service::credits::{CreditsUndecided, PATIENCE, Wait, until_decided};

use super::bytes_codec::BytesCodec;
use super::check_batch::{self, CheckBatch};
use super::check_stream::CheckStream;
use super::promptly::Promptly;
use super::question::Question;
use super::{answer, status};

/// The name of the service, as health and reflection know it.
pub const SERVICE: &str = "keyward.v1.KeyCheck";

/// The path of its method that must cost least.
pub(super) const CHECK: &str = "/keyward.v1.KeyCheck/Check";
const CHECK_BATCH: &str = "/keyward.v1.KeyCheck/CheckBatch";
/// The path of its method that is a conversation.
pub(super) const CHECK_STREAM: &str = "/keyward.v1.KeyCheck/CheckStream";

/// The largest question that is read, in bytes: far above any header that a
/// gateway passes, so that a large one is denied and does not fail the call.
const MAX_MESSAGE_LEN: usize = 1024 * 1024;

/// Serves checks.
#[derive(Clone, Debug)]
pub struct KeyCheckService {
    /// Of this thread alone, see [`Self::for_thread`].
    own: Arc<Own>,
}

/// What calls need, in one piece: a call counts one reference.
#[derive(Clone, Debug)]
pub(super) struct Own {
    pub(super) checker: Checker,
    pub(super) counts: CheckCounts,
}

impl KeyCheckService {
    /// Serves the verdicts of `checker`.
    #[must_use]
    pub fn new(checker: Checker) -> Self {
        let counts = CheckCounts::default();
        Self::of(Own { checker, counts })
    }

    /// The same, that counts with `counts`.
    #[must_use]
    pub(super) fn counting(&self, counts: CheckCounts) -> Self {
        let checker = self.own.checker.clone();
        Self::of(Own { checker, counts })
    }

    /// The same service for another thread. Each call counts a reference to
    /// what it needs: threads that shared the count would wait for each other's
    /// caches.
    #[must_use]
    pub(super) fn for_thread(&self) -> Self {
        self.counting(self.own.counts.for_thread())
    }

    fn of(own: Own) -> Self {
        Self { own: Arc::new(own) }
    }
}

impl NamedService for KeyCheckService {
    const NAME: &'static str = SERVICE;
}

impl<B> Service<http::Request<B>> for KeyCheckService
where
    B: HttpBody + Send + 'static,
    B::Error: Into<StdError> + Send,
{
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        let own = Arc::clone(&self.own);
        match request.uri().path() {
            CHECK => {
                Box::pin(async move { Ok(grpc(MAX_MESSAGE_LEN).unary(Check(own), request).await) })
            }
            CHECK_BATCH => Box::pin(async move {
                let mut grpc = grpc(check_batch::MAX_MESSAGE_LEN);
                Ok(grpc.unary(CheckBatch(own), request).await)
            }),
            CHECK_STREAM => Box::pin(async move {
                let mut grpc = grpc(MAX_MESSAGE_LEN);
                Ok(grpc.streaming(CheckStream(own), request).await)
            }),
            _ => Box::pin(ready(Ok(status::unimplemented().into_http()))),
        }
    }
}

fn grpc(max_message_len: usize) -> Grpc<BytesCodec> {
    Grpc::new(BytesCodec).max_decoding_message_size(max_message_len)
}

/// What its questions are counted as.
const INTERFACE: Interface = Interface::Check;

/// One call of `Check`.
struct Check(Arc<Own>);

impl UnaryService<Bytes> for Check {
    type Response = Bytes;
    type Future = Promptly<Result<Response<Bytes>, Status>>;

    fn call(&mut self, request: Request<Bytes>) -> Self::Future {
        let (asked, counts) = (Asked::now(), &self.0.counts);
        let message = request.into_inner();
        match judge(&self.0.checker, &message) {
            Ok(Ok((answer, verdict))) => {
                counts.decided(INTERFACE, verdict);
                asked.answered(counts, INTERFACE);
                Promptly::now(Ok(Response::new(answer)))
            }
            Ok(Err(wait)) => {
                let (own, open) = (Arc::clone(&self.0), counts.open(INTERFACE));
                Promptly::later(async move {
                    let answer = judge_in_time(&own.checker, &message, wait, open).await;
                    asked.answered(&own.counts, INTERFACE);
                    answer
                })
            }
            Err(status) => {
                counts.undecided(INTERFACE, Cause::Unreadable);
                Promptly::now(Err(status))
            }
        }
    }
}

/// The answer to a question, and the verdict in it.
type Answered = (Bytes, Verdict);

/// The answer to the question that `message` is, unless it has to wait.
fn judge(checker: &Checker, message: &[u8]) -> Result<Result<Answered, Wait>, Status> {
    let question = Question::read(message).map_err(|_| status::broken_message("CheckRequest"))?;
    let Question {
        credential,
        ask,
        demand,
    } = question;
    Ok(checker.check(credential, &ask, &demand, |outcome| {
        let verdict = outcome.verdict;
        (answer::write(outcome, ask.required_scopes), verdict)
    }))
}

async fn judge_in_time(
    checker: &Checker,
    message: &[u8],
    wait: Wait,
    open: Open,
) -> Result<Response<Bytes>, Status> {
    let again = || match judge(checker, message) {
        Ok(judged) => judged.map(Ok),
        Err(status) => Ok(Err(status)),
    };
    match until_decided(wait, Instant::now() + PATIENCE, again).await {
        Ok(Ok((answer, verdict))) => {
            open.decided(verdict);
            Ok(Response::new(answer))
        }
        Ok(Err(status)) => {
            open.undecided(Cause::Unreadable);
            Err(status)
        }
        Err(CreditsUndecided) => {
            open.undecided(Cause::CreditsUnavailable);
            Err(status::credits_undecided())
        }
    }
}
