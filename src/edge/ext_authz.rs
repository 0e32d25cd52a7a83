//! `envoy.service.auth.v3.Authorization`: what Envoy, and all that is made of it,
//! asks of each request.
//!
//! A denial is an answer. An RPC error means that there is no verdict, and then
//! Envoy does what its operator has told it to.

mod request;
mod response;

use std::convert::Infallible;
use std::future::ready;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use tonic::body::Body;
use tonic::codegen::{Body as HttpBody, StdError, http};
use tonic::server::{Grpc, NamedService, UnaryService};
use tonic::{Code, Request, Response, Status};
use tower::Service;

use crate::metrics::checks::Asked;

use super::bytes_codec::BytesCodec;
use super::gateway::{Decision, Gateway};
use super::promptly::Promptly;
use super::{deadline, status};
use request::CheckRequest;

/// The name of the service, as health knows it.
pub const SERVICE: &str = "envoy.service.auth.v3.Authorization";

/// The path of its only method.
pub(super) const CHECK: &str = "/envoy.service.auth.v3.Authorization/Check";

/// The largest request that is read, in bytes: far above the headers that Envoy
/// takes by default. Bodies have no place in it.
const MAX_MESSAGE_LEN: usize = 1024 * 1024;

/// A message of gRPC with nothing in it, as it is on the wire.
const EMPTY_MESSAGE: &str = "\0\0\0\0\0";

/// What is answered where there is no verdict.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum UndecidedAnswer {
    /// An RPC error, UNAVAILABLE: every Envoy takes it for a check that failed.
    #[default]
    Unavailable,
    /// An `error_response`, with which newer ones can tell the client why.
    ErrorResponse,
}

/// Serves Envoy's checks.
#[derive(Clone, Debug)]
pub struct AuthorizationService {
    /// Of this thread alone, see [`Self::for_thread`].
    own: Arc<Own>,
}

/// What calls need, in one piece.
#[derive(Clone, Debug)]
struct Own {
    gateway: Gateway,
    undecided: UndecidedAnswer,
}

impl AuthorizationService {
    /// Serves the decisions of `gateway`, and where there is none, `undecided`.
    #[must_use]
    pub fn new(gateway: Gateway, undecided: UndecidedAnswer) -> Self {
        Self {
            own: Arc::new(Own { gateway, undecided }),
        }
    }

    /// The same service for another thread, so that threads need not share the
    /// count of what is referred to.
    #[must_use]
    pub(super) fn for_thread(&self) -> Self {
        Self {
            own: Arc::new(Own {
                gateway: self.own.gateway.for_thread(),
                ..*self.own
            }),
        }
    }
}

impl NamedService for AuthorizationService {
    const NAME: &'static str = SERVICE;
}

impl<B> Service<http::Request<B>> for AuthorizationService
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
        if request.uri().path() != CHECK {
            return Box::pin(ready(Ok(status::unimplemented().into_http())));
        }
        let own = Arc::clone(&self.own);
        Box::pin(async move {
            let mut grpc = Grpc::new(BytesCodec).max_decoding_message_size(MAX_MESSAGE_LEN);
            let answer = grpc.unary(Check(Arc::clone(&own)), request).await;
            if !was_too_large(&answer) {
                return Ok(answer);
            }
            // The request stays unread, so another stands for it.
            let nothing = http::Request::new(EMPTY_MESSAGE.to_owned());
            Ok(grpc.unary(TooLarge(own), nothing).await)
        })
    }
}

/// Whether that is the answer to a message of which tonic has seen, by the length
/// that stands before it, that it is too large. No other has this code.
fn was_too_large(answer: &http::Response<Body>) -> bool {
    status::code_of(answer.headers()) == Some(Code::OutOfRange)
}

/// One call of `Check` with a request that is too large to be read. A client can
/// make it so, with headers alone: an RPC error would let it pass where Envoy is
/// told to let pass what could not be checked.
struct TooLarge(Arc<Own>);

impl UnaryService<Bytes> for TooLarge {
    type Response = Bytes;
    type Future = Promptly<Result<Response<Bytes>, Status>>;

    fn call(&mut self, _: Request<Bytes>) -> Self::Future {
        Promptly::now(self.0.answer(self.0.gateway.too_large()))
    }
}

/// One call of `Check`.
struct Check(Arc<Own>);

impl UnaryService<Bytes> for Check {
    type Response = Bytes;
    type Future = Promptly<Result<Response<Bytes>, Status>>;

    fn call(&mut self, request: Request<Bytes>) -> Self::Future {
        let came = Asked::now();
        let (metadata, _, message) = request.into_parts();
        let gateway = &self.0.gateway;
        let Ok(asked) = CheckRequest::read(&message) else {
            gateway.counts().unreadable();
            return Promptly::now(Err(status::broken_check_request()));
        };
        match gateway.decide_now(&asked.asked(), asked.pairs()) {
            Ok(decision) => {
                let answer = self.0.answer(decision);
                gateway.counts().answered(came);
                Promptly::now(answer)
            }
            Err(wait) => {
                let (own, message) = (Arc::clone(&self.0), message.clone());
                let patience = deadline::patience(metadata.as_ref());
                Promptly::later(async move {
                    // It was read before.
                    let asked =
                        CheckRequest::read(&message).map_err(|_| status::broken_check_request())?;
                    let decision = own
                        .gateway
                        .decide_after(wait, patience, &asked.asked(), asked.pairs())
                        .await;
                    let answer = own.answer(decision);
                    own.gateway.counts().answered(came);
                    answer
                })
            }
        }
    }
}

impl Own {
    fn answer(&self, decision: Decision) -> Result<Response<Bytes>, Status> {
        let answer = match (decision, self.undecided) {
            (Decision::Allowed(allowed), _) => response::allowed(allowed),
            (Decision::Denied(denied), _) => response::denied(denied),
            (Decision::Undecided(undecided), UndecidedAnswer::ErrorResponse) => {
                response::undecided(undecided)
            }
            (Decision::Undecided(_), UndecidedAnswer::Unavailable) => {
                return Err(status::credits_undecided());
            }
        };
        Ok(Response::new(answer))
    }
}
