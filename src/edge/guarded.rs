//! What is served by way of a router, and kept within limits: as many calls as
//! the listener takes, requests that arrive in time, deadlines of clients.

use std::convert::Infallible;
use std::future::ready;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use tokio::time::{Instant, timeout_at};
use tonic::body::Body;
use tonic::codegen::http::{Request, Response};
use tonic::service::Routes;
use tower::Service as _;
use tracing::warn;

use crate::config::listener::ConnectionLimits;

use super::body::{Answer, Timely};
use super::limit::{Call, Calls};
use super::throttle::Throttle;
use super::{deadline, status};

/// Health is told however much there is to do: a server that is busy is not
/// one to be replaced.
const HEALTH: &str = "/grpc.health.v1.Health/";

/// The one service whose requests are conversations.
const REFLECTION: &str = "/grpc.reflection.";

/// How long a client may converse.
const CONVERSATION: Duration = Duration::from_secs(60);

/// An answer that is on its way.
pub(super) type Answering =
    Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

/// Routes within limits.
#[derive(Clone, Debug)]
pub(super) struct Guarded {
    routes: Routes,
    gate: Gate,
}

impl Guarded {
    /// Lets `gate` decide on who gets to `routes`.
    pub(super) const fn new(routes: Routes, gate: Gate) -> Self {
        Self { routes, gate }
    }

    /// Answers `request`, or turns it away.
    pub(super) fn answer(&self, request: Request<Incoming>) -> Answering {
        let path = request.uri().path();
        let call = if path.starts_with(HEALTH) {
            None
        } else {
            match self.gate.enter() {
                Some(call) => Some(call),
                None => return Box::pin(ready(Ok(refusal()))),
            }
        };
        let limit = if path.starts_with(REFLECTION) {
            CONVERSATION.max(self.gate.receive_timeout)
        } else {
            self.gate.receive_timeout
        };
        let deadline = deadline::asked(request.headers()).map(|asked| Instant::now() + asked);
        let mut routes = self.routes.clone();
        Box::pin(async move {
            let answering = routes.call(request.map(|body| Timely::new(body, limit)));
            let answer = match deadline {
                None => answering.await?,
                Some(deadline) => match timeout_at(deadline, answering).await {
                    Ok(answer) => answer?,
                    Err(_) => return Ok(status::deadline_exceeded().into_http()),
                },
            };
            Ok(answer.map(|body| Body::new(Answer::new(body, deadline, call))))
        })
    }
}

impl hyper::service::Service<Request<Incoming>> for Guarded {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Answering;

    fn call(&self, request: Request<Incoming>) -> Answering {
        self.answer(request)
    }
}

/// Where calls are counted, and turned away.
#[derive(Clone, Debug)]
pub(super) struct Gate {
    calls: Calls,
    /// How long a request may take to arrive.
    pub(super) receive_timeout: Duration,
    refusals: Arc<Throttle>,
}

impl Gate {
    /// A gate for each thread of a listener within `limits`.
    pub(super) fn of_threads(
        limits: &ConnectionLimits,
        threads: usize,
    ) -> impl Iterator<Item = Self> {
        let receive_timeout = limits.receive_timeout;
        let refusals = Arc::default();
        Calls::of_threads(limits.max_calls, threads).map(move |calls| Self {
            calls,
            receive_timeout,
            refusals: Arc::clone(&refusals),
        })
    }

    /// The gate of a listener within `limits` that is served in one place.
    pub(super) fn in_one_place(limits: &ConnectionLimits) -> Self {
        Self {
            calls: Calls::in_one_place(limits.max_calls),
            receive_timeout: limits.receive_timeout,
            refusals: Arc::default(),
        }
    }

    /// Counts a call; none if there are as many as the listener takes.
    pub(super) fn enter(&self) -> Option<Call> {
        let call = self.calls.begin();
        if call.is_none()
            && let Some(withheld) = self.refusals.pass()
        {
            warn!(
                withheld,
                "calls turned away: as many are under way as the listener takes"
            );
        }
        call
    }
}

/// What a call is told that is one too many.
pub(super) fn refusal() -> Response<Body> {
    status::overloaded().into_http()
}
