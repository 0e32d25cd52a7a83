//! Serves the listeners: checks on one single-threaded runtime per core, with
//! connections dealt to the least busy; operators on the runtime that the
//! process runs on.
//!
//! A runtime per core spares each check the work of moving between threads.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::thread;

use hyper::body::Incoming;
use hyper::service::Service;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;
use tonic::body::Body;
use tonic::codegen::http::{Request, Response};
use tonic::service::{Routes, RoutesBuilder};
use tonic_health::server::HealthReporter;
use tonic_reflection::server::Builder as Reflection;
use tracing::warn;

use crate::config::listener::ConnectionLimits;
use crate::service::checker::Checker;

use super::admin::KeyAdminService;
use super::check::KeyCheckService;
use super::conversation::{self, Terms};
use super::deal::{Dealt, Worker, deal};
use super::drain::Drain;
use super::guarded::{Gate, Guarded};
use super::listener::Bound;
use super::plane::CheckPlane;
use super::tls::Tls;
use super::{pb, room};

/// A listener that is ready to be served.
#[derive(Debug)]
pub struct Door {
    /// Where it listens.
    pub bound: Bound,
    /// How it encrypts; none: not at all.
    pub tls: Option<Arc<Tls>>,
    /// How much it takes on.
    pub limits: ConnectionLimits,
}

/// What is served to gateways: checks, health and, if asked for, reflection
/// of those alone. Conversations end when `stop` turns true.
///
/// # Errors
///
/// The descriptors cannot be read, which is a fault of the build.
pub fn check_plane(
    checker: Checker,
    stop: watch::Receiver<bool>,
    health: HealthReporter,
    reflection: bool,
) -> Result<CheckPlane, tonic_reflection::server::Error> {
    let mut routes = Routes::builder();
    let checks = KeyCheckService::new(checker, stop);
    // Known to the router too, for all methods but one, and those that do not
    // exist.
    routes.add_service(checks.clone());
    add_shared(
        &mut routes,
        health,
        reflection.then_some(&[pb::CHECK_DESCRIPTORS, tonic_types::pb::FILE_DESCRIPTOR_SET]),
    )?;
    Ok(CheckPlane::new(checks, routes.routes().prepare()))
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
    routes.add_service(tonic_health::pb::health_server::HealthServer::new(health));
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
    routes.add_service(reflection().build_v1()?);
    routes.add_service(reflection().build_v1alpha()?);
    Ok(())
}

/// Serves `routes` at `door` in the runtime that this is called in, until the
/// drain is over. It listens when this returns; the future serves.
///
/// # Errors
///
/// The socket cannot listen; of the future: serving failed.
pub fn serve_here(
    door: Door,
    routes: Routes,
    drain: Drain,
) -> Result<impl Future<Output = Result<(), ServeError>>, ServeError> {
    let (terms, max_connections) = (door.terms(&drain), door.limits.max_connections);
    let (worker, dealt) = Worker::new();
    let routes = Guarded::new(
        routes.prepare(),
        Gate::in_one_place(&door.limits, &room::ADMIN),
    );
    let listener = door.bound.listen()?;
    let dealing = tokio::spawn(deal(listener, vec![worker], max_connections, drain));
    Ok(async move {
        serve_dealt(routes, dealt, terms).await;
        dealing.abort();
        Ok(())
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
    for (number, gate) in Gate::of_threads(&door.limits, threads, &room::CHECKS).enumerate() {
        let (worker, dealt) = Worker::new();
        let (end, ended) = oneshot::channel();
        let (plane, terms) = (plane.on_thread(gate), terms.clone());
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
    ));
    Ok(ends)
}

impl Door {
    fn terms(&self, drain: &Drain) -> Terms {
        Terms {
            limits: self.limits,
            tls: self.tls.clone(),
            drain: drain.clone(),
            failures: Arc::default(),
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

/// What answers the calls of any number of connections.
trait Plane: Service<Request<Incoming>, Response = Response<Body>, Error = Infallible> {}

impl<S> Plane for S where
    S: Service<Request<Incoming>, Response = Response<Body>, Error = Infallible>
{
}

fn run_worker<S>(plane: S, dealt: Dealt, terms: Terms) -> Result<(), ServeError>
where
    S: Plane<Future: Send> + Clone + Send + 'static,
{
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(serve_dealt(plane, dealt, terms));
    Ok(())
}

/// Serves each connection that is dealt until the drain has begun, and all of
/// them until they have ended or the drain is over.
async fn serve_dealt<S>(plane: S, mut dealt: Dealt, terms: Terms)
where
    S: Plane<Future: Send> + Clone + Send + 'static,
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
    // Who was not taken yet is not kept waiting for what will not come.
    drop(dealt);
    let all_ended = async { while connections.join_next().await.is_some() {} };
    tokio::select! {
        () = all_ended => {}
        () = terms.drain.over() => {
            warn!("calls were cut off: they did not end within the drain timeout");
        }
    }
}
