//! Serves the listeners: gateways on one single-threaded runtime per core, with
//! connections dealt to the least busy; operators and metrics on the runtime that
//! the process runs on.
//!
//! A runtime per core spares each check the work of moving between threads, be it
//! asked for over gRPC or over plain HTTP.

use std::io;
use std::sync::Arc;
use std::thread;

use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tonic::service::{Routes, RoutesBuilder};
use tonic_health::pb::health_server::HealthServer;
use tonic_health::server::HealthReporter;
use tonic_reflection::server::Builder as Reflection;
use tracing::warn;

use crate::config::listener::ConnectionLimits;
use crate::metrics::listeners::{ListenerCounts, ListenerLimits};
use crate::service::checker::Checker;

use super::admin::KeyAdminService;
use super::check::KeyCheckService;
use super::conversation::{self, Terms};
use super::deal::{Dealt, Worker, deal};
use super::drain::Drain;
use super::ext_authz::AuthorizationService;
use super::guarded::{Gate, Guarded};
use super::http_plane::HttpPlane;
use super::listener::Bound;
use super::plane::Plane;
use super::protocol::Protocols;
use super::room::Room;
use super::tls::Tls;
use super::turns::Turns;
use super::{pb, room};

pub use super::plane::CheckPlane;

/// The largest message about health or the schema that is read, in bytes: they
/// hold a name. Some of it is sent back.
const MAX_ASIDE_LEN: usize = 4 * 1024;

/// A listener that is ready to be served.
#[derive(Debug)]
pub struct Door {
    /// Where it listens.
    pub bound: Bound,
    /// What is spoken there.
    pub protocols: Protocols,
    /// How it encrypts; none: not at all.
    pub tls: Option<Arc<Tls>>,
    /// How much it takes on.
    pub limits: ConnectionLimits,
    /// Where it is counted what comes in there.
    pub counts: Arc<ListenerCounts>,
}

impl Door {
    /// That of the listener `name`, of which nothing was counted yet.
    #[must_use]
    pub fn new(
        name: &'static str,
        bound: Bound,
        protocols: Protocols,
        tls: Option<Arc<Tls>>,
        limits: ConnectionLimits,
    ) -> Self {
        let counted = ListenerLimits {
            connections: limits.max_connections,
            calls: limits.max_calls,
        };
        Self {
            bound,
            protocols,
            tls,
            limits,
            counts: Arc::new(ListenerCounts::new(name, counted)),
        }
    }
}

/// What is served to gateways: checks in keyward's words and in Envoy's, health
/// and, if asked for, reflection of what there are descriptors of.
///
/// # Errors
///
/// The descriptors cannot be read, which is a fault of the build.
pub fn check_plane(
    checker: Checker,
    authorization: AuthorizationService,
    health: HealthReporter,
    reflection: bool,
) -> Result<CheckPlane, tonic_reflection::server::Error> {
    let mut routes = Routes::builder();
    let checks = KeyCheckService::new(checker);
    add_shared(
        &mut routes,
        health,
        reflection.then_some(&[pb::CHECK_DESCRIPTORS, tonic_types::pb::FILE_DESCRIPTOR_SET]),
    )?;
    Ok(CheckPlane::new(checks, authorization, routes.routes()))
}

/// What is served to operators: administration, health and, if asked for,
/// reflection of those alone and of the details of errors.
///
/// # Errors
///
/// The descriptors cannot be read, which is a fault of the build.
pub fn admin_routes(
    admin: KeyAdminService,
    health: HealthReporter,
    reflection: bool,
) -> Result<Routes, tonic_reflection::server::Error> {
    let mut routes = Routes::builder();
    routes.add_service(admin.server());
    let descriptors = [pb::ADMIN_DESCRIPTORS, tonic_types::pb::FILE_DESCRIPTOR_SET];
    add_shared(&mut routes, health, reflection.then_some(&descriptors))?;
    Ok(routes.routes())
}

fn add_shared(
    routes: &mut RoutesBuilder,
    health: HealthReporter,
    descriptors: Option<&[&[u8]]>,
) -> Result<(), tonic_reflection::server::Error> {
    let health = tonic_health::server::HealthService::from_health_reporter(health);
    let health = HealthServer::new(health).max_decoding_message_size(MAX_ASIDE_LEN);
    routes.add_service(health);
    let Some(descriptors) = descriptors else {
        return Ok(());
    };
    let reflection = || {
        let base = Reflection::configure()
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET);
        descriptors.iter().fold(base, |builder, set| {
            builder.register_encoded_file_descriptor_set(set)
        })
    };
    // Newer clients ask for v1, many others still for v1alpha alone.
    let v1 = reflection().build_v1()?;
    routes.add_service(v1.max_decoding_message_size(MAX_ASIDE_LEN));
    let v1alpha = reflection().build_v1alpha()?;
    routes.add_service(v1alpha.max_decoding_message_size(MAX_ASIDE_LEN));
    Ok(())
}

/// Serves administration at `door`, in the runtime that this is called in.
///
/// # Errors
///
/// The socket cannot listen.
pub fn serve_admin(
    door: Door,
    routes: Routes,
    drain: Drain,
) -> Result<impl Future<Output = ()>, ServeError> {
    let gate = Gate::in_one_place(&door.limits, &room::ADMIN, &door.counts);
    serve_here(door, Guarded::new(routes.prepare(), gate), drain)
}

/// Serves metrics and probes at `door`, in the runtime that this is called in.
///
/// # Errors
///
/// The socket cannot listen.
pub fn serve_metrics(
    door: Door,
    plane: &HttpPlane,
    drain: Drain,
) -> Result<impl Future<Output = ()> + use<>, ServeError> {
    let gate = Gate::in_one_place(&door.limits, &room::HTTP, &door.counts);
    serve_here(door, plane.on_thread(gate), drain)
}

/// Serves `plane` at `door` in the runtime that this is called in, until the
/// drain is over. It listens when this returns; the future serves.
fn serve_here<P>(door: Door, plane: P, drain: Drain) -> Result<impl Future<Output = ()>, ServeError>
where
    P: Plane<Future: Send> + Clone,
{
    let (terms, max_connections) = (door.terms(&drain), door.limits.max_connections);
    let (worker, dealt) = Worker::new();
    let listener = door.bound.listen()?;
    let dealing = deal(listener, vec![worker], max_connections, drain, door.counts);
    let dealing = tokio::spawn(dealing);
    let part = Part {
        plane,
        dealt,
        terms,
    };
    Ok(async move {
        part.serve().await;
        dealing.abort();
    })
}

/// Serves gateways from `threads` threads until the drain is over: at the first
/// door over gRPC, and at the other, if there is one, over plain HTTP. Either is
/// a check's way, and a thread waits for none.
///
/// Each thread has a runtime of its own. The returned receivers tell of each
/// thread's end. Must be called in a runtime, which accepts the connections.
///
/// # Errors
///
/// A socket cannot listen, or a thread cannot be started.
pub fn serve_on_threads(
    (check, plane): (Door, &CheckPlane),
    http: Option<(Door, &HttpPlane)>,
    threads: usize,
    drain: &Drain,
) -> Result<Vec<oneshot::Receiver<Result<(), ServeError>>>, ServeError> {
    let (check_workers, checks) = spread(&check, &room::CHECKS, threads, drain, |gate| {
        plane.on_thread(gate)
    });
    let (http_workers, mut https) = match &http {
        None => (Vec::new(), Vec::new()),
        Some((door, plane)) => spread(door, &room::HTTP, threads, drain, |gate| {
            plane.on_thread(gate)
        }),
    };
    let mut ends = Vec::with_capacity(threads);
    for (number, check) in checks.into_iter().enumerate() {
        let (end, ended) = oneshot::channel();
        let http = https.pop().map(|http| http.beside(&check));
        thread::Builder::new()
            .name(format!("check-{number}"))
            .spawn(move || {
                // Nobody may be left to be told.
                let _ = end.send(run_worker(check, http));
            })?;
        ends.push(ended);
    }
    accept(check, check_workers, drain)?;
    if let Some((door, _)) = http {
        accept(door, http_workers, drain)?;
    }
    Ok(ends)
}

/// The part that each of `threads` threads has in serving `door`, and how it is
/// dealt connections.
fn spread<P>(
    door: &Door,
    room: &'static Room,
    threads: usize,
    drain: &Drain,
    plane: impl Fn(Gate) -> P,
) -> (Vec<Worker>, Vec<Part<P>>) {
    let terms = door.terms(drain);
    Gate::of_threads(&door.limits, threads, room, &door.counts)
        .map(|gate| {
            let (worker, dealt) = Worker::new();
            let part = Part {
                plane: plane(gate),
                dealt,
                terms: terms.of_thread(),
            };
            (worker, part)
        })
        .unzip()
}

/// Deals what comes to `door`.
fn accept(door: Door, workers: Vec<Worker>, drain: &Drain) -> Result<(), ServeError> {
    let listener = door.bound.listen()?;
    let most = door.limits.max_connections;
    tokio::spawn(deal(listener, workers, most, drain.clone(), door.counts));
    Ok(())
}

impl Door {
    fn terms(&self, drain: &Drain) -> Terms {
        Terms {
            limits: self.limits,
            protocols: self.protocols,
            tls: self.tls.clone(),
            drain: drain.clone(),
            turns: Turns::new(),
            failures: Arc::default(),
            counts: Arc::clone(&self.counts),
        }
    }
}

/// Why a listener is not served any more.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The socket or the runtime.
    #[error(transparent)]
    Io(#[from] io::Error),
}

fn run_worker<P, Q>(check: Part<P>, http: Option<Part<Q>>) -> Result<(), ServeError>
where
    P: Plane<Future: Send> + Clone,
    Q: Plane<Future: Send> + Clone,
{
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let http = async {
        if let Some(http) = http {
            http.serve().await;
        }
    };
    runtime.block_on(async { tokio::join!(check.serve(), http) });
    Ok(())
}

/// What one thread has of a listener.
struct Part<P> {
    plane: P,
    dealt: Dealt,
    terms: Terms,
}

impl<P: Plane<Future: Send> + Clone> Part<P> {
    /// The same, on one thread with another: their handshakes take turns.
    fn beside<Q>(mut self, other: &Part<Q>) -> Self {
        self.terms.turns = other.terms.turns.clone();
        self
    }

    async fn serve(self) {
        serve_dealt(self.plane, self.dealt, self.terms).await;
    }
}

/// Serves each connection that is dealt until the drain has begun, and all of
/// them until they have ended or the drain is over.
async fn serve_dealt<P>(plane: P, mut dealt: Dealt, terms: Terms)
where
    P: Plane<Future: Send> + Clone,
{
    // When they are dropped, they end.
    let mut connections = JoinSet::new();
    let mut stopped = std::pin::pin!(terms.drain.clone().begun());
    loop {
        tokio::select! {
            () = &mut stopped => break,
            Some((socket, seat)) = dealt.recv() => {
                connections.spawn(conversation::hold(socket, seat, terms.clone(), plane.clone()));
            }
            // A panic in one is in the log, and no other's concern.
            Some(_) = connections.join_next() => {}
        }
    }
    let all_ended = async {
        // Those that were let in before. The dealer stops, too, and so there is
        // an end to them.
        while let Some((socket, seat)) = dealt.recv().await {
            connections.spawn(conversation::hold(
                socket,
                seat,
                terms.clone(),
                plane.clone(),
            ));
        }
        while connections.join_next().await.is_some() {}
    };
    tokio::select! {
        () = all_ended => {}
        () = terms.drain.clone().over() => {
            warn!("calls were cut off: they did not end within the drain timeout");
        }
    }
}
