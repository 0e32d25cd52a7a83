//! What is served over plain HTTP: what a router has (probes, metrics), within
//! the limits of a listener.

use std::convert::Infallible;
use std::sync::Arc;

use axum::Router;
use axum::body::Body as RouterBody;
use hyper::body::Incoming;
use hyper::service::Service;
use tonic::body::Body;
use tonic::codegen::http::{Request, Response, StatusCode};
use tower::Service as _;

use super::guarded::{Answering, Gate, Kind};
use super::line::Line;
use super::plane::Plane;
use super::reply::Reply;
use super::unread::Unread;

/// What those who try an address are told.
const NOTHING_HERE: &str = "there is nothing here; see /livez, /readyz and /metrics\n";

/// What those are told who come while there is too much to do.
const OVERLOADED: &str = "there is too much to do; try again\n";

/// All that is served over plain HTTP, on any number of threads.
#[derive(Clone, Debug)]
pub struct HttpPlane {
    routes: Router,
}

impl HttpPlane {
    /// Serves `routes`, to GET and HEAD, however much else there is to do.
    #[must_use]
    pub fn new(routes: Router) -> Self {
        let routes = routes.fallback(async || (StatusCode::NOT_FOUND, NOTHING_HERE));
        Self { routes }
    }

    /// The plane as one thread serves it, behind a gate of its own.
    pub(super) fn on_thread(&self, gate: Gate) -> HttpThread {
        HttpThread {
            routes: self.routes.clone(),
            gate,
        }
    }
}

/// What one thread serves over plain HTTP.
#[derive(Clone, Debug)]
pub(super) struct HttpThread {
    routes: Router,
    gate: Gate,
}

impl HttpThread {
    /// Answers by way of the router.
    fn route(&self, request: Request<Incoming>) -> Answering {
        let (parts, body) = request.into_parts();
        let unread = Unread::new(body, parts.version);
        let call = self.gate.admit(Kind::Health).map(Arc::new);
        let share = self.gate.share();
        let mut routes = self.routes.clone();
        Box::pin(async move {
            let mut answer = match call {
                None => refused().map(Reply::uncounted),
                Some(call) => {
                    let request = Request::from_parts(parts, RouterBody::empty());
                    let answer = routes.call(request).await?;
                    answer.map(|body| Reply::new(Body::new(body), call, share, None, None))
                }
            };
            unread.end(&mut answer);
            Ok(answer)
        })
    }
}

fn refused() -> Response<Body> {
    let mut answer = Response::new(Body::new(RouterBody::from(OVERLOADED)));
    *answer.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    answer
}

impl Service<Request<Incoming>> for HttpThread {
    type Response = Response<Reply>;
    type Error = Infallible;
    type Future = Answering;

    fn call(&self, request: Request<Incoming>) -> Answering {
        self.route(request)
    }
}

impl Plane for HttpThread {
    fn on(&self, line: &Arc<Line>) -> Self {
        Self {
            routes: self.routes.clone(),
            gate: self.gate.on(line),
        }
    }
}
