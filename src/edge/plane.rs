//! Everything that a gateway's listener serves: checks straight away, and what
//! is seldom asked for (health, reflection) by way of a router.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use hyper::body::Incoming;
use tonic::body::Body;
use tonic::codegen::http::{Request, Response};
use tonic::service::Routes;
use tower::Service as _;

use super::check::{CHECK, KeyCheckService};
use super::deadline::{self, Prompt};
use super::guarded::{Answering, Gate, Guarded};
use super::refusal::Refusal;
use super::room::Roomy;

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

    /// The plane as one thread serves it, behind a gate of its own.
    pub(super) fn on_thread(&self, gate: Gate) -> ThreadPlane {
        ThreadPlane {
            checks: self.checks.for_thread(),
            rest: Guarded::new(self.rest.clone(), gate.clone()),
            gate,
        }
    }
}

/// What one thread serves to gateways.
#[derive(Clone, Debug)]
pub(super) struct ThreadPlane {
    checks: KeyCheckService,
    rest: Guarded,
    gate: Gate,
}

impl hyper::service::Service<Request<Incoming>> for ThreadPlane {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = PlaneFuture;

    fn call(&self, request: Request<Incoming>) -> PlaneFuture {
        if request.uri().path() != CHECK {
            return PlaneFuture::Rest(self.rest.answer(request));
        }
        let Some(call) = self.gate.enter() else {
            return PlaneFuture::Refused(Refusal::new(request.into_body()));
        };
        let asked = deadline::asked(request.headers());
        let room = self.gate.room;
        let checking = self
            .checks
            .clone()
            .call(request.map(|body| Roomy::new(body, room)));
        PlaneFuture::Check(Prompt::new(
            checking,
            call,
            asked,
            self.gate.receive_timeout,
        ))
    }
}

/// An answer to a gateway that is on its way.
pub(super) enum PlaneFuture {
    Check(Prompt<<KeyCheckService as tower::Service<Request<Roomy<Incoming>>>>::Future>),
    Rest(Answering),
    /// There are as many calls as the listener takes.
    Refused(Refusal),
}

impl Future for PlaneFuture {
    type Output = Result<Response<Body>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.get_mut() {
            Self::Check(check) => Pin::new(check).poll(cx),
            Self::Rest(rest) => rest.as_mut().poll(cx),
            Self::Refused(refusal) => Pin::new(refusal).poll(cx),
        }
    }
}
