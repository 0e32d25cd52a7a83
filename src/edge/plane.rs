//! Everything that a gateway's listener serves: checks straight away, and what
//! is seldom asked for (health, reflection) by way of a router.

use std::convert::Infallible;
use std::task::{Context, Poll};

use tonic::body::Body;
use tonic::codegen::http;
use tonic::service::Routes;
use tower::Service;

use super::check::{CHECK, KeyCheckService};

/// Checks, and the rest. A router in front of both would be work for nothing in
/// every check: there is one path to compare.
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
        if request.uri().path() == CHECK {
            self.checks.call(request)
        } else {
            Box::pin(self.rest.call(request))
        }
    }
}
