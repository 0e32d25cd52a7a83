//! Everything that a gateway's listener serves: checks straight away, and what
//! is seldom asked for (health, reflection) by way of a router.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use hyper::body::Incoming;
use hyper::service::Service;
use tonic::codegen::http::{Request, Response};
use tonic::service::Routes;
use tower::Service as Tower;

use crate::metrics::checks::CheckCounts;

use super::check::{CHECK, KeyCheckService};
use super::deadline::{self, Prompt};
use super::ext_authz::{self, AuthorizationService};
use super::guarded::{Answering, Gate, Guarded};
use super::line::Line;
use super::refusal::Refusal;
use super::reply::Reply;
use super::room::Roomy;
use super::timely::Timely;

/// What answers the calls of any number of connections.
pub(super) trait Plane:
    Service<Request<Incoming>, Response = Response<Reply>, Error = Infallible> + Send + 'static
{
    /// What answers the calls of one that is new.
    fn on(&self, line: &Arc<Line>) -> Self;
}

/// Checks, and the rest. A router in front of them would be work for nothing in
/// every check: there are two paths to compare.
#[derive(Clone, Debug)]
pub struct CheckPlane {
    checks: KeyCheckService,
    authorization: AuthorizationService,
    /// What is served beside them, by a router.
    aside: Routes,
}

impl CheckPlane {
    /// Serves `checks` and `authorization` beside what is seldom asked for.
    pub(super) const fn new(
        checks: KeyCheckService,
        authorization: AuthorizationService,
        aside: Routes,
    ) -> Self {
        Self {
            checks,
            authorization,
            aside,
        }
    }

    /// The same, that counts checks with `counts`.
    #[must_use]
    pub fn counting(self, counts: CheckCounts) -> Self {
        Self {
            checks: self.checks.counting(counts),
            ..self
        }
    }

    /// The plane as one thread serves it, behind a gate of its own.
    pub(super) fn on_thread(&self, gate: Gate) -> ThreadPlane {
        let checks = self.checks.for_thread();
        // Known to the router too, for all methods but one, and those that do not
        // exist.
        let rest = self.aside.clone().add_service(checks.clone());
        let authorization = self.authorization.for_thread();
        let rest = rest.add_service(authorization.clone());
        ThreadPlane {
            checks,
            authorization,
            rest: Guarded::new(rest.prepare(), gate),
        }
    }
}

/// What one thread serves to gateways.
#[derive(Clone, Debug)]
pub(super) struct ThreadPlane {
    checks: KeyCheckService,
    authorization: AuthorizationService,
    rest: Guarded,
}

impl Service<Request<Incoming>> for ThreadPlane {
    type Response = Response<Reply>;
    type Error = Infallible;
    type Future = PlaneFuture;

    fn call(&self, request: Request<Incoming>) -> PlaneFuture {
        // The one that must cost least is looked for first.
        let of_envoy = match request.uri().path() {
            CHECK => false,
            ext_authz::CHECK => true,
            _ => return PlaneFuture::Rest(self.rest.answer(request)),
        };
        let gate = self.rest.gate();
        let Some(call) = gate.enter() else {
            return PlaneFuture::Refused(Refusal::new(request.into_body()));
        };
        let asked = deadline::asked(request.headers());
        let (share, within) = (gate.share(), gate.receive_timeout);
        let arriving = |body| Timely::new(Roomy::new(body, share), within);
        let request = request.map(arriving);
        let checking = if of_envoy {
            self.authorization.clone().call(request)
        } else {
            self.checks.clone().call(request)
        };
        PlaneFuture::Check(Prompt::new(checking, call, asked))
    }
}

impl Plane for ThreadPlane {
    fn on(&self, line: &Arc<Line>) -> Self {
        Self {
            checks: self.checks.clone(),
            authorization: self.authorization.clone(),
            rest: self.rest.on(line),
        }
    }
}

/// An answer to a gateway that is on its way.
pub(super) enum PlaneFuture {
    Check(Prompt<<KeyCheckService as Tower<Request<Timely<Roomy<Incoming>>>>>::Future>),
    Rest(Answering),
    /// There are as many calls as the listener takes.
    Refused(Refusal),
}

impl Future for PlaneFuture {
    type Output = Result<Response<Reply>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.get_mut() {
            Self::Check(check) => Pin::new(check).poll(cx),
            Self::Rest(rest) => rest.as_mut().poll(cx),
            Self::Refused(refusal) => Pin::new(refusal).poll(cx),
        }
    }
}
