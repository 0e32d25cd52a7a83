//! Forward-auth: a gateway asks by a plain HTTP request, which has the headers of
//! its own client and says in three more what that has asked for. The status of
//! the answer is the decision.
//!
//! What the route asks is in the query of the URL, which the gateway's operator
//! has written, and no client. Nothing of a body is ever read.

mod answer;
mod query;
mod source;

use std::net::IpAddr;
use std::sync::Arc;

use http::request::Parts;
use http::{HeaderMap, Response};
use tonic::body::Body;
use tracing::error;

use crate::config::listener::SourceConfig;

use super::gateway::{Asked, Found, Gateway, Headers, text};
use super::throttle::Throttle;

use query::Query;
use source::Sources;

/// Where it is asked.
pub(super) const PATH: &str = "/forward-auth";

/// What the gateway's client has asked for: its method, its host, its path with
/// the query.
const WHAT: [&str; 3] = ["x-forwarded-method", "x-forwarded-host", "x-forwarded-uri"];

/// Decides for gateways that ask over plain HTTP.
#[derive(Clone, Debug)]
pub struct ForwardAuth {
    gateway: Gateway,
    sources: Sources,
    /// Of gateways that say two things at once.
    faults: Arc<Throttle>,
}

impl ForwardAuth {
    /// Decides by `gateway`. Where requests come from is found by `sources`.
    #[must_use]
    pub fn new(gateway: Gateway, sources: SourceConfig) -> Self {
        Self {
            gateway,
            sources: Sources::new(sources),
            faults: Arc::default(),
        }
    }

    /// The same for another thread.
    #[must_use]
    pub(super) fn for_thread(&self) -> Self {
        Self {
            gateway: self.gateway.for_thread(),
            ..self.clone()
        }
    }

    /// The answer to a request of a gateway at `peer`; none: at a unix socket.
    pub(super) async fn answer(&self, parts: &Parts, peer: Option<IpAddr>) -> Response<Body> {
        let headers = &parts.headers;
        let query = Query::read(parts.uri.query().unwrap_or_default());
        let source = self.sources.find(headers, peer).map(|ip| ip.to_string());
        // What is there twice is refused below.
        let [method, host, path] = WHAT.map(|name| headers.find(name).one().map_or("", text));
        let asked = Asked {
            method,
            host,
            path,
            headers,
            source_address: source.as_deref(),
        };
        let decision = match (self.said_twice(headers), query.fault()) {
            (true, _) => self.gateway.misled(&asked),
            (false, Some(fault)) => self.gateway.broken(&asked, fault),
            (false, None) => self.gateway.decide(&asked, query.pairs()).await,
        };
        answer::of(decision, query.denies_with_403())
    }

    /// The answer to a request that is one too many.
    pub(super) fn refuse(parts: &Parts) -> Response<Body> {
        let query = Query::read(parts.uri.query().unwrap_or_default());
        answer::overloaded(query.denies_with_403())
    }

    /// Whether the gateway says twice what its client has asked for. One of both
    /// is the client's own, and nobody knows which.
    fn said_twice(&self, headers: &HeaderMap) -> bool {
        let twice = |name: &&str| matches!(headers.find(name), Found::Several);
        let Some(header) = WHAT.into_iter().find(twice) else {
            return false;
        };
        if let Some(withheld) = self.faults.pass() {
            error!(
                header,
                withheld,
                "a request was denied with 500, for its gateway has sent this header twice: have it set the \
                 header, in place of what its client has sent"
            );
        }
        true
    }
}
