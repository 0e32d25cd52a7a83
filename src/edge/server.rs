//! Serves the listeners: checks on one single-threaded runtime per core, with
//! connections dealt to the least busy; operators on the runtime that the
//! process runs on.
//!
//! A runtime per core spares each check the work of moving between threads.

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
use super::listener::Bound;
use super::plane::{CheckPlane, Plane};
use super::tls::Tls;
use super::turns::Turns;
use super::{pb, room};

/// The largest message about health or the schema that is read, in bytes: they
/// hold a name. Some of it is sent back.
const MAX_ASIDE_LEN: usize = 4 * 1024;

/// A listener that is ready to be served.
#[derive(Debug)]
pub struct Door {
    /// Where it listens.
    pub bound: Bound,
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
        tls: Option<Arc<Tls>>,
        limits: ConnectionLimits,
    ) -> Self {
        let counted = ListenerLimits {
            connections: limits.max_connections,
            calls: limits.max_calls,
        };
        Self {
            bound,
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

/// Serves `routes` at `door` in the runtime that this is called in, until the
/// drain is over. It listens when this returns; the future serves.
///
/// # Errors
///
/// The socket cannot listen.
pub fn serve_here(
    door: Door,
    routes: Routes,
    drain: Drain,
) -> Result<impl Future<Output = ()>, ServeError> {
    let (terms, max_connections) = (door.terms(&drain), door.limits.max_connections);
    let (worker, dealt) = Worker::new();
    let gate = Gate::in_one_place(&door.limits, &room::ADMIN, &door.counts);
    let routes = Guarded::new(routes.prepare(), gate);
    let listener = door.bound.listen()?;
    let dealing = deal(listener, vec![worker], max_connections, drain, door.counts);
    let dealing = tokio::spawn(dealing);
    Ok(async move {
        serve_dealt(routes, dealt, terms).await;
        dealing.abort();
    })
}

/// Serves `plane` at `door` from `threads` threads until the drain is over.
///
/// Each thread has a runtime of its own. The returned receivers tell of each
/// thread's end. Must be called in a runtime, which accepts the connections.
///
/// # Errors
///
/// The socket cannot listen, or a thread cannot be started.
pub fn serve_on_threads(
    door: Door,
    plane: &CheckPlane,
    threads: usize,
    drain: &Drain,
) -> Result<Vec<oneshot::Receiver<Result<(), ServeError>>>, ServeError> {
    let terms = door.terms(drain);
    let mut workers = Vec::with_capacity(threads);
    let mut ends = Vec::with_capacity(threads);
    let gates = Gate::of_threads(&door.limits, threads, &room::CHECKS, &door.counts);
    for (number, gate) in gates.enumerate() {
        let (worker, dealt) = Worker::new();
        let (end, ended) = oneshot::channel();
        let (plane, terms) = (plane.on_thread(gate), terms.of_thread());
        thread::Builder::new()
            .name(format!("check-{number}"))
            .spawn(move || {
                // Nobody may be left to be told.
                let _ = end.send(run_worker(plane, dealt, terms));
            })?;
        workers.push(worker);
        ends.push(ended);
    }
    let listener = door.bound.listen()?;
    tokio::spawn(deal(
        listener,
        workers,
        door.limits.max_connections,
        drain.clone(),
        door.counts,
    ));
    Ok(ends)
}

impl Door {
    fn terms(&self, drain: &Drain) -> Terms {
        Terms {
            limits: self.limits,
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

fn run_worker<P>(plane: P, dealt: Dealt, terms: Terms) -> Result<(), ServeError>
where
    P: Plane<Future: Send> + Clone,
{
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(serve_dealt(plane, dealt, terms));
    Ok(())
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
