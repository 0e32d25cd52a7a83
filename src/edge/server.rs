//! Serves the listeners: checks on one single-threaded runtime per core, with
//! connections dealt to the least busy; operators on the runtime that the
//! process runs on.
//!
//! A runtime per core spares each check the work of moving between threads.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::{oneshot, watch};
use tokio_stream::StreamExt;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::body::Body;
use tonic::codegen::http;
use tonic::service::{Routes, RoutesBuilder};
use tonic::transport::Server;
use tonic_health::server::HealthReporter;
use tonic_reflection::server::Builder as Reflection;
use tower::Service;
use tracing::warn;

use crate::service::checker::Checker;

use super::admin::KeyAdminService;
use super::check::KeyCheckService;
use super::connection::{Connection, Seat, Socket};
use super::listener::{Bound, Listener};
use super::pb;
use super::plane::CheckPlane;

/// How long the dealer waits when no connection can be accepted, as when the
/// process has no more descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

const STREAM_WINDOW: u32 = 1024 * 1024;
const CONNECTION_WINDOW: u32 = 4 * 1024 * 1024;
const MAX_STREAMS: u32 = 1_024;
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(60);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(20);

/// When to stop, and how long to let calls under way come to their end.
#[derive(Clone, Debug)]
pub struct Drain {
    /// Turns true when it is time to stop.
    pub stop: watch::Receiver<bool>,
    /// How long calls under way may take from then on.
    pub grace: Duration,
}

impl Drain {
    async fn begun(mut self) {
        // If nobody can tell any more, it is time too.
        let _ = self.stop.wait_for(|stop| *stop).await;
    }

    async fn over(self) {
        let grace = self.grace;
        self.begun().await;
        tokio::time::sleep(grace).await;
    }
}

/// What is served to gateways: checks, health and, if asked for, reflection
/// of those alone.
///
/// # Errors
///
/// The descriptors cannot be read, which is a fault of the build.
pub fn check_plane(
    checker: Checker,
    health: HealthReporter,
    reflection: bool,
) -> Result<CheckPlane, tonic_reflection::server::Error> {
    let mut routes = Routes::builder();
    let checks = KeyCheckService::new(checker);
    // Known to the router too, which answers for methods that do not exist.
    routes.add_service(checks.clone());
    add_shared(
        &mut routes,
        health,
        reflection.then_some(&[pb::CHECK_DESCRIPTORS, tonic_types::pb::FILE_DESCRIPTOR_SET]),
    )?;
    Ok(CheckPlane::new(checks, routes.routes()))
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

/// Serves `routes` on `bound` in the runtime that this is called in, until
/// the drain is over. It listens when this returns; the future serves.
///
/// # Errors
///
/// The socket cannot listen; of the future: serving failed.
pub fn serve_here(
    bound: Bound,
    routes: Routes,
    drain: Drain,
) -> Result<impl Future<Output = Result<(), ServeError>>, ServeError> {
    let (connections, dealt) = unbounded_channel();
    let worker = Worker {
        connections,
        taken: Arc::default(),
    };
    let dealing = tokio::spawn(deal(bound.listen()?, vec![worker], drain.clone()));
    Ok(async move {
        let served = serve_dealt(routes, dealt, drain).await;
        dealing.abort();
        served
    })
}

/// Serves `plane` on `bound` from `threads` threads until the drain is over.
///
/// Each thread has a runtime of its own. The returned receivers tell of each
/// thread's end. Must be called in a runtime, which accepts the connections.
///
/// # Errors
///
/// The socket cannot listen, or a thread cannot be started.
pub fn serve_on_threads(
    bound: Bound,
    plane: &CheckPlane,
    threads: usize,
    drain: &Drain,
) -> Result<Vec<oneshot::Receiver<Result<(), ServeError>>>, ServeError> {
    let plane = plane.clone().until(drain.stop.clone());
    let mut workers = Vec::with_capacity(threads);
    let mut ends = Vec::with_capacity(threads);
    for number in 0..threads {
        let (connections, dealt) = unbounded_channel();
        let (end, ended) = oneshot::channel();
        let (plane, drain) = (plane.for_thread(), drain.clone());
        thread::Builder::new()
            .name(format!("check-{number}"))
            .spawn(move || {
                // Nobody may be left to be told.
                let _ = end.send(run_worker(plane, dealt, drain));
            })?;
        workers.push(Worker {
            connections,
            taken: Arc::default(),
        });
        ends.push(ended);
    }
    tokio::spawn(deal(bound.listen()?, workers, drain.clone()));
    Ok(ends)
}

/// Why a listener is not served any more.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The socket or the runtime.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The HTTP/2 server.
    #[error(transparent)]
    Transport(#[from] tonic::transport::Error),
}

fn run_worker(
    plane: CheckPlane,
    dealt: UnboundedReceiver<(Socket, Seat)>,
    drain: Drain,
) -> Result<(), ServeError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(serve_dealt(plane, dealt, drain))
}

async fn serve_dealt<S>(
    service: S,
    dealt: UnboundedReceiver<(Socket, Seat)>,
    drain: Drain,
) -> Result<(), ServeError>
where
    S: Service<http::Request<Body>, Response = http::Response<Body>, Error = Infallible>
        + Clone
        + Send
        + 'static,
    S::Future: Send,
{
    let connections =
        UnboundedReceiverStream::new(dealt).map(|(socket, seat)| Connection::new(socket, seat));
    let serving = Server::builder()
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_concurrent_streams(MAX_STREAMS)
        .http2_keepalive_interval(Some(KEEPALIVE_INTERVAL))
        .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
        .serve_with_incoming_shutdown(service, connections, drain.clone().begun());
    tokio::select! {
        served = serving => Ok(served?),
        // tonic itself would wait for the slowest caller for ever.
        () = drain.over() => {
            warn!("calls were cut off: they did not end within the drain timeout");
            Ok(())
        }
    }
}

/// Where connections can be dealt to.
struct Worker {
    connections: UnboundedSender<(Socket, Seat)>,
    taken: Arc<AtomicUsize>,
}

/// Accepts connections and deals each to the worker that has the fewest.
async fn deal(listener: Listener, workers: Vec<Worker>, drain: Drain) {
    let mut stopped = std::pin::pin!(drain.begun());
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = &mut stopped => return,
        };
        match accepted {
            Ok(socket) => {
                let Some(worker) = workers
                    .iter()
                    .min_by_key(|worker| worker.taken.load(Ordering::Relaxed))
                else {
                    return;
                };
                // A worker that is gone has ended the process's run, too.
                let _ = worker.connections.send((socket, Seat::take(&worker.taken)));
            }
            Err(error) => {
                warn!(%error, "connection not accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}
