//! What is served by way of a router, and kept within limits: as many calls as
//! the listener takes, requests that arrive in time, deadlines of clients.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use tokio::time::{Instant, timeout_at};
use tonic::body::Body;
use tonic::codegen::http::header::{HeaderValue, SERVER};
use tonic::codegen::http::{Request, Response};
use tonic::service::Routes;
use tower::Service as _;
use tracing::warn;

use crate::build_info;
use crate::config::listener::ConnectionLimits;

use super::body::{Answer, Timely};
use super::check::CHECK_STREAM;
use super::dialogue::Dialogue;
use super::limit::{Call, Calls};
use super::refusal::Refusal;
use super::room::{Room, Roomy};
use super::throttle::Throttle;
use super::{deadline, status};

/// Health is told however much there is to do: a server that is busy is not
/// one to be replaced. Whoever asks for it is told which build this is.
const HEALTH: &str = "/grpc.health.v1.Health/Check";

/// Health as it changes: an answer that goes on.
const WATCH: &str = "/grpc.health.v1.Health/Watch";

/// A service whose requests go on, too; they are small, and there are few.
const REFLECTION: &str = "/grpc.reflection.";

/// How long a client may go on asking in one call.
const ASKING: Duration = Duration::from_secs(60);

/// Whether a call to `path` may last for as long as both sides like.
pub(super) fn is_conversation(path: &str) -> bool {
    path == CHECK_STREAM || path == WATCH || path.starts_with(REFLECTION)
}

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
        let is_health = path == HEALTH;
        let call = if is_health {
            None
        } else {
            let entered = if is_conversation(path) {
                self.gate.converse()
            } else {
                self.gate.enter()
            };
            if entered.is_none() {
                return Box::pin(Refusal::new(request.into_body()));
            }
            entered
        };
        let arriving = self.arriving(path);
        let deadline = deadline::asked(request.headers()).map(|asked| Instant::now() + asked);
        let mut routes = self.routes.clone();
        Box::pin(async move {
            let answering = routes.call(request.map(arriving));
            let mut answer = match deadline {
                None => answering.await?,
                Some(deadline) => match timeout_at(deadline, answering).await {
                    Ok(answer) => answer?,
                    Err(_) => return Ok(status::deadline_exceeded().into_http()),
                },
            };
            if is_health {
                let name = HeaderValue::from_static(build_info::SERVER);
                answer.headers_mut().insert(SERVER, name);
            }
            Ok(answer.map(|body| Body::new(Answer::new(body, deadline, call))))
        })
    }

    /// What the body of a request to `path` is held to.
    fn arriving(&self, path: &str) -> impl FnOnce(Incoming) -> Body + Send + use<> {
        let room = self.gate.room;
        let within = self.gate.receive_timeout;
        let goes_on = path == CHECK_STREAM;
        let within = if path.starts_with(REFLECTION) {
            within.max(ASKING)
        } else {
            within
        };
        move |body| {
            if goes_on {
                Body::new(Dialogue::new(body, room, within))
            } else {
                Body::new(Timely::new(Roomy::new(body, room), within))
            }
        }
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
    /// Apart from other calls, for they can be held open: however many there
    /// are, no check is turned away for them. On average there may be one on
    /// each connection, where clients watch their servers' health.
    conversations: Calls,
    refusals: Arc<Throttle>,
    /// How long a request may take to arrive.
    pub(super) receive_timeout: Duration,
    /// What it may take up beyond the usual.
    pub(super) room: &'static Room,
}

impl Gate {
    /// A gate for each thread of a listener within `limits`.
    pub(super) fn of_threads(
        limits: &ConnectionLimits,
        threads: usize,
        room: &'static Room,
    ) -> impl Iterator<Item = Self> {
        let receive_timeout = limits.receive_timeout;
        let refusals = Arc::default();
        let calls = Calls::of_threads(limits.max_calls, threads);
        let conversations = Calls::of_threads(limits.max_connections, threads);
        calls
            .zip(conversations)
            .map(move |(calls, conversations)| Self {
                calls,
                conversations,
                refusals: Arc::clone(&refusals),
                receive_timeout,
                room,
            })
    }

    /// The gate of a listener within `limits` that is served in one place.
    pub(super) fn in_one_place(limits: &ConnectionLimits, room: &'static Room) -> Self {
        Self {
            calls: Calls::in_one_place(limits.max_calls),
            conversations: Calls::in_one_place(limits.max_connections),
            refusals: Arc::default(),
            receive_timeout: limits.receive_timeout,
            room,
        }
    }

    /// Counts a call; none if there are as many as the listener takes.
    pub(super) fn enter(&self) -> Option<Call> {
        self.told(self.calls.begin())
    }

    /// The same for a call that is a conversation.
    fn converse(&self) -> Option<Call> {
        self.told(self.conversations.begin())
    }

    fn told(&self, call: Option<Call>) -> Option<Call> {
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
