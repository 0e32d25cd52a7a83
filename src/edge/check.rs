//! `keyward.v1.KeyCheck` on the wire.
//!
//! Written by hand where the generated server would copy each message into
//! owned strings: here the question is read where it lies.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use tonic::body::Body;
use tonic::codegen::{Body as HttpBody, StdError, http};
use tonic::server::{Grpc, NamedService, UnaryService};
use tonic::{Request, Response, Status};
use tower::Service;

use crate::service::checker::Checker;

use super::bytes_codec::BytesCodec;
use super::question::Question;
use super::{answer, status};

/// The name of the service, as health and reflection know it.
pub const SERVICE: &str = "keyward.v1.KeyCheck";

/// The path of the one method.
pub(super) const CHECK: &str = "/keyward.v1.KeyCheck/Check";

/// The largest message that is read, in bytes: far above any header that a
/// gateway passes, so that a large one is denied and does not fail the call.
const MAX_MESSAGE_LEN: usize = 4 * 1024 * 1024;

/// Serves checks.
#[derive(Clone, Debug)]
pub struct KeyCheckService {
    /// Of this thread alone, see [`Self::for_thread`].
    checker: Arc<Checker>,
}

impl KeyCheckService {
    /// Serves the verdicts of `checker`.
    #[must_use]
    pub fn new(checker: Checker) -> Self {
        Self {
            checker: Arc::new(checker),
        }
    }

    /// The same service for another thread. Each call counts a reference to
    /// what it needs: threads that shared the count would wait for each other's
    /// caches.
    #[must_use]
    pub(super) fn for_thread(&self) -> Self {
        Self::new((*self.checker).clone())
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
        if request.uri().path() != CHECK {
            return Box::pin(ready(Ok(status::unimplemented().into_http())));
        }
        let check = Check(Arc::clone(&self.checker));
        Box::pin(async move {
            let mut grpc = Grpc::new(BytesCodec).max_decoding_message_size(MAX_MESSAGE_LEN);
            Ok(grpc.unary(check, request).await)
        })
    }
}

/// One call of `Check`.
struct Check(Arc<Checker>);

impl UnaryService<Bytes> for Check {
    type Response = Bytes;
    type Future = Ready<Result<Response<Bytes>, Status>>;

    fn call(&mut self, request: Request<Bytes>) -> Self::Future {
        let message = request.into_inner();
        let Ok(question) = Question::read(&message) else {
            return ready(Err(status::broken_message()));
        };
        let Question { credential, ask } = question;
        let answer = self.0.check(credential, &ask, |outcome| {
            answer::write(outcome, ask.required_scopes)
        });
        ready(Ok(Response::new(answer)))
    }
}
