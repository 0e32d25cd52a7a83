//! Everything that a gateway's listener serves: checks straight away, and what
//! is seldom asked for (health, reflection) by way of a router.

use std::convert::Infallible;
use std::task::{Context, Poll};

use tokio::sync::watch;
use tonic::body::Body;
use tonic::codegen::http;
use tonic::service::Routes;
use tower::Service;

use super::check::{KeyCheckService, METHODS};

/// Checks, and the rest. A router in front of both would be work for nothing in
/// every check: there is one start of a path to compare.
#[derive(Clone, Debug)]
pub struct CheckPlane {
    checks: KeyCheckService,
    rest: Routes,
}

impl CheckPlane {
    /// Serves `checks` beside `rest`.
    pub(super) const fn new(checks: KeyCheckService, rest: Routes) -> Self {
        Self { checks, rest }
    }

    /// The same plane, whose conversations end when `stop` turns true.
    #[must_use]
    pub(super) fn until(self, stop: watch::Receiver<bool>) -> Self {
        Self::new(self.checks.until(stop), self.rest)
    }

    /// The same plane for another thread.
    pub(super) fn for_thread(&self) -> Self {
        Self::new(self.checks.for_thread(), self.rest.clone())
    }
}

impl Service<http::Request<Body>> for CheckPlane {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = <KeyCheckService as Service<http::Request<Body>>>::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        // Checks are always ready.
        Service::<http::Request<Body>>::poll_ready(&mut self.rest, cx)
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        if request.uri().path().starts_with(METHODS) {
            self.checks.call(request)
        } else {
            Box::pin(self.rest.call(request))
        }
    }
}
