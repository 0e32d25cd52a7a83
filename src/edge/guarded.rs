//! What is served by way of a router, and kept within limits: as many calls as
//! the listener takes, requests that arrive in time, deadlines of clients.

use std::convert::Infallible;
use std::future::Future;
use std::net::IpAddr;
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

use crate::metrics::listeners::{CallKind, ListenerCounts, Load};

use super::admin::IMPORT_KEYS;
use super::check::CHECK_STREAM;
use super::dialogue::{Dialogue, Held};
use super::limit::{Call, Calls};
use super::line::{Line, UnderWay};
use super::plane::Plane;
use super::refusal::Refusal;
use super::reply::Reply;
use super::room::{Room, Roomy, Share};
use super::throttle::Throttle;
use super::timely::Timely;
use super::{deadline, status};

/// Health is told however much there is to do: a server that is busy is not
/// one to be replaced. Whoever asks for it is told which build this is.
const HEALTH: &str = "/grpc.health.v1.Health/Check";

/// Health as it changes: an answer that goes on.
const WATCH: &str = "/grpc.health.v1.Health/Watch";

/// A service whose requests go on, too; they are small, and there are few.
const REFLECTION: &str = "/grpc.reflection.";

/// How many conversations a connection may have: its gateway needs a few.
const MAX_CONVERSATIONS: usize = 64;

/// How long a client may go on asking in one call.
pub(super) const ASKING: Duration = Duration::from_secs(60);

/// What kind of call there is, by how long it may last and what it is counted
/// among.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    /// One question, or one change.
    Call,
    /// The same, and it is to be told always.
    Health,
    /// It may last for as long as both sides like.
    Conversation,
    /// It may last for a while.
    Asking,
}

impl Kind {
    /// That of the call to `path`.
    pub(super) fn of(path: &str) -> Self {
        match path {
            HEALTH => Self::Health,
            CHECK_STREAM | IMPORT_KEYS | WATCH => Self::Conversation,
            _ if path.starts_with(REFLECTION) => Self::Asking,
            _ => Self::Call,
        }
    }

    /// What metrics call it.
    const fn counted(self) -> CallKind {
        match self {
            Self::Call => CallKind::Call,
            Self::Health => CallKind::Health,
            Self::Conversation | Self::Asking => CallKind::Conversation,
        }
    }
}

/// An answer that is on its way.
pub(super) type Answering =
    Pin<Box<dyn Future<Output = Result<Response<Reply>, Infallible>> + Send>>;

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

    /// The same behind a gate for a connection of its own.
    pub(super) fn on(&self, line: &Arc<Line>) -> Self {
        Self {
            routes: self.routes.clone(),
            gate: self.gate.on(line),
        }
    }

    pub(super) const fn gate(&self) -> &Gate {
        &self.gate
    }

    /// Answers `request`, or turns it away.
    pub(super) fn answer(&self, mut request: Request<Incoming>) -> Answering {
        let path = request.uri().path();
        let kind = Kind::of(path);
        let Some(call) = self.gate.admit(kind).map(Arc::new) else {
            return Box::pin(Refusal::new(request.into_body()));
        };
        let line = &self.gate.line;
        // It hears of the end itself, and has more to say then.
        let ends_itself = path == CHECK_STREAM;
        let goes_on = matches!(kind, Kind::Conversation | Kind::Asking);
        let ending = (goes_on && !ends_itself).then(|| line.ending());
        let held = Held::default();
        let arriving = self.arriving(path, held.clone());
        let deadline = deadline::asked(request.headers()).map(|asked| Instant::now() + asked);
        request.extensions_mut().insert(UnderWay {
            line: Arc::clone(line),
            _call: Arc::clone(&call),
            held,
        });
        let mut routes = self.routes.clone();
        let share = self.gate.share();
        Box::pin(async move {
            let reply = |body| Reply::new(body, call, share, deadline, ending);
            let answering = routes.call(request.map(arriving));
            let mut answer = match deadline {
                None => answering.await?,
                Some(deadline) => match timeout_at(deadline, answering).await {
                    Ok(answer) => answer?,
                    Err(_) => return Ok(status::deadline_exceeded().into_http().map(reply)),
                },
            };
            if kind == Kind::Health {
                let name = HeaderValue::from_static(build_info::SERVER);
                answer.headers_mut().insert(SERVER, name);
            }
            Ok(answer.map(reply))
        })
    }

    /// What the body of a request to `path` is held to.
    fn arriving(&self, path: &str, held: Held) -> impl FnOnce(Incoming) -> Body + Send + use<> {
        let share = self.gate.share();
        let within = self.gate.receive_timeout;
        let goes_on = matches!(path, CHECK_STREAM | IMPORT_KEYS);
        let within = match Kind::of(path) {
            Kind::Asking => within.max(ASKING),
            Kind::Call | Kind::Health | Kind::Conversation => within,
        };
        move |body| {
            if goes_on {
                Body::new(Dialogue::new(body, share, within, held))
            } else {
                Body::new(Timely::new(Roomy::new(body, share), within))
            }
        }
    }
}

impl hyper::service::Service<Request<Incoming>> for Guarded {
    type Response = Response<Reply>;
    type Error = Infallible;
    type Future = Answering;

    fn call(&self, request: Request<Incoming>) -> Answering {
        self.answer(request)
    }
}

impl Plane for Guarded {
    fn on(&self, line: &Arc<Line>) -> Self {
        Self::on(self, line)
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
    /// Apart, too: it is told when calls are turned away.
    health: Calls,
    refusals: Arc<Throttle>,
    counts: Arc<ListenerCounts>,
    /// How long a request may take to arrive.
    pub(super) receive_timeout: Duration,
    /// What messages may take up beyond the usual.
    room: &'static Room,
    /// The connection that the calls are of.
    line: Arc<Line>,
}

impl Gate {
    /// A gate for each thread of a listener within `limits`, which tells
    /// `counts` what it lets in and what it does not.
    pub(super) fn of_threads(
        limits: &ConnectionLimits,
        threads: usize,
        room: &'static Room,
        counts: &Arc<ListenerCounts>,
    ) -> impl Iterator<Item = Self> {
        let receive_timeout = limits.receive_timeout;
        let counts = Arc::clone(counts);
        let refusals = Arc::default();
        let calls = Calls::of_threads(limits.max_calls, threads);
        let conversations = Calls::of_threads(limits.max_connections, threads);
        let health = Calls::of_threads(limits.max_connections, threads);
        calls
            .zip(conversations.zip(health))
            .map(move |(calls, (conversations, health))| Self {
                calls,
                conversations,
                health,
                refusals: Arc::clone(&refusals),
                counts: Arc::clone(&counts),
                receive_timeout,
                room,
                line: Arc::new(Line::new()),
            })
            .enumerate()
            .map(|(thread, gate)| {
                // Each sees the calls of all.
                if thread == 0 {
                    gate.tell_load();
                }
                gate
            })
    }

    /// The gate of a listener within `limits` that is served in one place.
    pub(super) fn in_one_place(
        limits: &ConnectionLimits,
        room: &'static Room,
        counts: &Arc<ListenerCounts>,
    ) -> Self {
        let gate = Self {
            calls: Calls::in_one_place(limits.max_calls),
            conversations: Calls::in_one_place(limits.max_connections),
            health: Calls::in_one_place(limits.max_connections),
            refusals: Arc::default(),
            counts: Arc::clone(counts),
            receive_timeout: limits.receive_timeout,
            room,
            line: Arc::new(Line::new()),
        };
        gate.tell_load();
        gate
    }

    /// Has metrics tell how many calls are under way.
    fn tell_load(&self) {
        let kinds = [&self.calls, &self.conversations, &self.health].map(Calls::clone);
        self.counts.watch(move || Load {
            calls: kinds.each_ref().map(Calls::len),
            ..Load::default()
        });
    }

    /// The same for a connection of its own.
    pub(super) fn on(&self, line: &Arc<Line>) -> Self {
        Self {
            line: Arc::clone(line),
            ..self.clone()
        }
    }

    /// Counts a check; none if there are as many calls as the listener takes.
    pub(super) fn enter(&self) -> Option<Call> {
        self.admit(Kind::Call)
    }

    /// The same for any call.
    pub(super) fn admit(&self, kind: Kind) -> Option<Call> {
        let line = &*self.line;
        let call = match kind {
            Kind::Call => self.calls.begin(&line.calls),
            Kind::Health => self.health.begin(&line.health),
            Kind::Conversation | Kind::Asking => (line.conversations.len() < MAX_CONVERSATIONS)
                .then(|| self.conversations.begin(&line.conversations))
                .flatten(),
        };
        if call.is_none() {
            self.counts.call_refused(kind.counted());
            if let Some(withheld) = self.refusals.pass() {
                warn!(
                    withheld,
                    "calls turned away: as many are under way as the listener takes"
                );
            }
        }
        call
    }

    /// Where the client is; none: on this machine, at a unix socket.
    pub(super) fn peer(&self) -> Option<IpAddr> {
        self.line.peer
    }

    /// What the connection may have of the listener's room.
    pub(super) fn share(&self) -> Share {
        Share::new(self.room, Arc::clone(&self.line))
    }
}
