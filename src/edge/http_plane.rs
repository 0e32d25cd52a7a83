//! What is served over plain HTTP, within the limits of a listener: forward-auth
//! straight away, and what a router has (probes, metrics).

use std::convert::Infallible;
use std::sync::Arc;

use axum::Router;
use axum::body::Body as RouterBody;
use hyper::body::Incoming;
use hyper::service::Service;
use tonic::body::Body;
use tonic::codegen::http::{Request, Response, StatusCode};
use tower::Service as _;

use super::forward_auth::{self, ForwardAuth};
use super::guarded::{Answering, Gate, Kind};
use super::line::Line;
use super::plane::Plane;
use super::reply::Reply;
use super::unread::Unread;

/// What those who try an address are told.
const NOTHING_HERE: &str =
    "there is nothing here; gateways ask at /forward-auth, probes at /livez and /readyz\n";

/// What those are told who come while there is too much to do.
const OVERLOADED: &str = "there is too much to do; try again\n";

/// All that is served over plain HTTP, on any number of threads.
#[derive(Clone, Debug)]
pub struct HttpPlane {
    routes: Router,
    forward_auth: Option<ForwardAuth>,
}

impl HttpPlane {
    /// Serves `routes`, to GET and HEAD, however much else there is to do.
    #[must_use]
    pub fn new(routes: Router) -> Self {
        let routes = routes.fallback(async || (StatusCode::NOT_FOUND, NOTHING_HERE));
        Self {
            routes,
            forward_auth: None,
        }
    }

    /// The same, with answers for gateways.
    #[must_use]
    pub fn with(self, forward_auth: Option<ForwardAuth>) -> Self {
        Self {
            forward_auth,
            ..self
        }
    }

    /// The plane as one thread serves it, behind a gate of its own.
    pub(super) fn on_thread(&self, gate: Gate) -> HttpThread {
        HttpThread {
            routes: self.routes.clone(),
            forward_auth: self
                .forward_auth
                .as_ref()
                .map(ForwardAuth::for_thread)
                .map(Arc::new),
            gate,
        }
    }
}

/// What one thread serves over plain HTTP.
#[derive(Clone, Debug)]
pub(super) struct HttpThread {
    routes: Router,
    /// Of this thread alone, so that no other's counts of references are touched.
    forward_auth: Option<Arc<ForwardAuth>>,
    gate: Gate,
}

impl HttpThread {
    /// Answers a gateway.
    fn ask(&self, forward_auth: &Arc<ForwardAuth>, request: Request<Incoming>) -> Answering {
        let (parts, body) = request.into_parts();
        let unread = Unread::new(body, parts.version);
        let call = self.gate.enter().map(Arc::new);
        let under_way = call.clone();
        let peer = self.gate.peer();
        let forward_auth = Arc::clone(forward_auth);
        Box::pin(async move {
            let mut answer = match call {
                None => ForwardAuth::refuse(&parts).map(Reply::uncounted),
                Some(call) => {
                    let answer = forward_auth.answer(&parts, peer).await;
                    answer.map(|body| Reply::of_shared(body, call))
                }
            };
            unread.end(&mut answer, under_way);
            Ok(answer)
        })
    }

    /// Answers by way of the router.
    fn route(&self, request: Request<Incoming>) -> Answering {
        let (parts, body) = request.into_parts();
        let unread = Unread::new(body, parts.version);
        let call = self.gate.admit(Kind::Health).map(Arc::new);
        let under_way = call.clone();
        let share = self.gate.share();
        let mut routes = self.routes.clone();
        Box::pin(async move {
            let mut answer = match call {
                None => whole(StatusCode::SERVICE_UNAVAILABLE, OVERLOADED).map(Reply::uncounted),
                Some(call) => {
                    let request = Request::from_parts(parts, RouterBody::empty());
                    let answer = routes.call(request).await?;
                    answer.map(|body| Reply::new(Body::new(body), call, share, None, None))
                }
            };
            unread.end(&mut answer, under_way);
            Ok(answer)
        })
    }
}

/// An answer with this status and body.
pub(super) fn whole(status: StatusCode, body: &'static str) -> Response<Body> {
    let body = if body.is_empty() {
        Body::empty()
    } else {
        Body::new(RouterBody::from(body))
    };
    let mut answer = Response::new(body);
    *answer.status_mut() = status;
    answer
}

impl Service<Request<Incoming>> for HttpThread {
    type Response = Response<Reply>;
    type Error = Infallible;
    type Future = Answering;

    fn call(&self, request: Request<Incoming>) -> Answering {
        match &self.forward_auth {
            Some(forward_auth) if request.uri().path() == forward_auth::PATH => {
                self.ask(forward_auth, request)
            }
            Some(_) | None => self.route(request),
        }
    }
}

impl Plane for HttpThread {
    fn on(&self, line: &Arc<Line>) -> Self {
        Self {
            routes: self.routes.clone(),
            forward_auth: self.forward_auth.clone(),
            gate: self.gate.on(line),
        }
    }
}
