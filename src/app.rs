//! The composition root: the only place that puts the parts together.

mod doors;
mod error;
mod metering;
mod serving;

use std::future::{Future, ready};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio::time::Instant;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;
use tracing::{error, info};

use crate::config::ServeConfig;
use crate::domain::clock::{Clock, SystemClock};
use crate::domain::counting::Counting;
use crate::edge::admin::KeyAdminService;
use crate::edge::ext_authz::{self, AuthorizationService};
use crate::edge::forward_auth::ForwardAuth;
use crate::edge::gateway::Gateway;
use crate::edge::http_plane::HttpPlane;
use crate::edge::probes::{self, Readiness, Unready};
use crate::edge::scrape;
use crate::edge::server::{self, ServeError};
use crate::edge::{admin, check};
use crate::index::{Index, follower};
use crate::meter::Meter;
use crate::meter::clock::SystemBootClock;
use crate::metrics::checks::{CheckCounts, Interface};
use crate::process::Hangups;
use crate::service::admission::Admission;
use crate::service::checker::Checker;
use crate::service::credits::Reserver;
use crate::service::denials::Denials;
use crate::service::first_use::{FirstUseNotes, first_uses};
use crate::service::registry::Registry;
use crate::service::usage::UsageNotes;
use crate::store::{Store, StoreHealth};

use doors::Doors;
use serving::{Planes, Serving};

pub use error::{RunError, StartError};
use metering::Metering;

/// The threads that serve operators: they wait more than they work.
const CONTROL_THREADS: usize = 2;

/// How many reads of the store there are at a time: sled leaves some megabytes
/// in every thread that reads, and calls that are under way at once are many.
const READING_THREADS: usize = 8;

/// What a server runs on. It is there before everything else, because from then
/// on a SIGHUP ends nothing: it may come while the store is read.
#[derive(Debug)]
pub struct Host {
    runtime: Runtime,
    hangups: Hangups,
}

impl Host {
    /// Starts the threads, and listens to SIGHUP.
    ///
    /// # Errors
    ///
    /// [`StartError::System`].
    pub fn start() -> Result<Self, StartError> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(CONTROL_THREADS)
            .max_blocking_threads(READING_THREADS)
            .thread_name("control")
            .enable_all()
            .build()
            .map_err(StartError::System)?;
        let inside = runtime.enter();
        let hangups = Hangups::listen().map_err(StartError::System)?;
        drop(inside);
        Ok(Self { runtime, hangups })
    }
}

/// A server that is loaded and bound, and does not listen yet.
#[derive(Debug)]
pub struct App {
    host: Host,
    parts: Parts,
}

/// What is served.
#[derive(Debug)]
struct Parts {
    config: ServeConfig,
    doors: Doors,
    store: Arc<dyn Store>,
    index: Arc<Index>,
    checker: Checker,
    first_use_notes: FirstUseNotes,
    reserver: Reserver,
    usage_notes: UsageNotes,
    registry: Arc<Registry>,
    admission: Admission,
    denials: Arc<Denials>,
    metering: Metering,
}

impl App {
    /// Binds the listeners, opens the store and loads all of it.
    ///
    /// # Errors
    ///
    /// [`StartError`]; nothing is left open then.
    pub fn build(host: Host, config: ServeConfig) -> Result<Self, StartError> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
        let (started, doors) = (clock.now(), Doors::open(&config, &clock)?);
        let (store, pepper) = config.home.open(Arc::clone(&clock))?;
        let metering = Metering::begin(started, store.counts(), doors.counts());
        let store: Arc<dyn Store> = Arc::new(store);
        let index = follower::start(&*store)?;
        info!(tokens = index.len(), store = %store.id(), "store loaded");

        let hasher = pepper.token_hasher();
        let meter = Meter::start(Arc::new(SystemBootClock)).map_err(StartError::System)?;
        let (first_uses, first_use_notes) =
            first_uses(Arc::clone(&store), Arc::clone(&index), Arc::clone(&clock));
        let (desk, reserver) =
            Reserver::new(Arc::clone(&store), Arc::clone(&index), Arc::clone(&clock));
        let checker = Checker::new(
            Arc::clone(&index),
            hasher.clone(),
            Arc::clone(&clock),
            meter,
            desk,
        );
        let counting = Counting::begin(
            index.usage_mark().cloned(),
            config.usage.counted,
            clock.now(),
        );
        let usage_notes = UsageNotes::new(
            Arc::clone(&store),
            Arc::clone(&index),
            config.usage_write_interval,
        )
        .marking(counting.mark);
        let admission = Admission::new(Arc::clone(&index), hasher, Arc::clone(&clock));
        let registry = Registry::new(
            Arc::clone(&store),
            Arc::clone(&index),
            pepper,
            Arc::clone(&clock),
            config.key_retention,
        )
        .telling_usage(counting.since);
        let registry = Arc::new(registry.explaining(checker.clone()));
        // Not what is explained: that is no use.
        let checker = checker.telling(first_uses).counting(config.usage);
        let denials = Arc::new(Denials::new(Arc::clone(&store), clock));
        let parts = Parts {
            config,
            doors,
            store,
            index,
            checker,
            first_use_notes,
            reserver,
            usage_notes,
            registry,
            admission,
            denials,
            metering,
        };
        Ok(Self { host, parts })
    }

    /// Serves until `shutdown` ends, then lets calls under way come to their
    /// end for as long as the configuration gives them. Blocks.
    ///
    /// # Errors
    ///
    /// [`RunError`], if it stopped for another reason.
    pub fn run(self, shutdown: impl Future<Output = ()>) -> Result<(), RunError> {
        let Self { host, parts } = self;
        let Host { runtime, hangups } = host;
        let store = Arc::clone(&parts.store);
        let result = runtime.block_on(parts.serve(hangups, shutdown));
        store.close();
        // Without waiting for a read of the store that hangs.
        runtime.shutdown_background();
        info!("stopped");
        result
    }
}

impl Parts {
    async fn serve(
        self,
        hangups: Hangups,
        shutdown: impl Future<Output = ()>,
    ) -> Result<(), RunError> {
        let mut shutdown = pin!(shutdown);
        // Asked before anybody can know that the server is there: a signal to
        // stop that comes right after must find it listening for signals.
        tokio::select! {
            biased;
            () = &mut shutdown => return Ok(()),
            () = ready(()) => {}
        }
        let addresses = self.doors.addresses();
        let mut chores = self.doors.look_after_tls(hangups);
        chores.spawn(self.first_use_notes.take());
        let readiness = Readiness::default();
        let (check_health, admin_health) = (HealthReporter::new(), HealthReporter::new());
        let reflection = self.config.reflection;
        let mut reserving = self.reserver.start();
        let mut usage_noting = self.usage_notes.marked().await.start();

        let checks = self.metering.checks.clone();
        let threads = self.config.check_threads;
        let (grace, lost_grace) = (self.config.drain_timeout, self.config.store_lost_grace);
        let (authorization, forward_auth) = gateways(self.checker.clone(), self.config, &checks);
        let health = check_health.clone();
        let check_plane =
            server::check_plane(self.checker, authorization, health, reflection)?.counting(checks);
        let admin = KeyAdminService::new(self.registry, self.admission, self.denials);
        let metrics = self
            .metering
            .metrics(admin.counts(), &self.index, &self.store);
        let admin_routes = server::admin_routes(admin, admin_health.clone(), reflection)?;
        announce_checks(&check_health, ServingStatus::Serving).await;
        announce(&admin_health, admin::SERVICE, ServingStatus::Serving).await;
        let scraped = scrape::routes(metrics).map_err(ServeError::from)?;
        let watched = HttpPlane::new(probes::routes(readiness.clone()).merge(scraped));
        let planes = Planes {
            check: check_plane,
            admin: admin_routes,
            http: watched.clone().with(forward_auth),
            watched,
        };
        let mut serving = Serving::open(self.doors, planes, threads, grace)?;
        addresses.tell(threads.get());

        let result = tokio::select! {
            () = &mut shutdown => Ok(()),
            () = lost(self.store.health(), &admin_health, lost_grace) => Err(RunError::StoreLost),
            () = self.index.ended() => Err(RunError::ThreadDied),
            // None of these ends before it is told to.
            _ = chores.join_next() => Err(RunError::ThreadDied),
            () = reserving.ended() => Err(RunError::ThreadDied),
            () = usage_noting.ended() => Err(RunError::ThreadDied),
            why = serving.ended() => Err(why),
        };

        info!("stopping");
        readiness.end(unready(&result));
        // Before connections are told to end, so that who watches sees why.
        announce_checks(&check_health, ServingStatus::NotServing).await;
        announce(&admin_health, admin::SERVICE, ServingStatus::NotServing).await;
        let drained = Instant::now() + grace;
        let result = result.and(serving.stop().await);
        reserving.give_back(drained).await;
        usage_noting.finish().await;
        serving.finish().await;
        result
    }
}

/// What decides for gateways that do not speak keyward's own API: Envoy, and those
/// that ask over plain HTTP, if any may.
fn gateways(
    checker: Checker,
    config: ServeConfig,
    checks: &CheckCounts,
) -> (AuthorizationService, Option<ForwardAuth>) {
    let gateway = Gateway::new(checker, config.gateway.headers).routing(config.routes);
    let counting = |interface| gateway.clone().counting(checks.clone(), interface);
    let forward_auth = config
        .http
        .map(|http| ForwardAuth::new(counting(Interface::ForwardAuth), http.sources));
    let gateway = counting(Interface::ExtAuthz);
    let authorization = AuthorizationService::new(gateway, config.gateway.undecided);
    (authorization, forward_auth)
}

/// Tells a service's health, and with it that of the listener as a whole.
async fn announce(health: &HealthReporter, service: &str, status: ServingStatus) {
    health.set_service_status(service, status).await;
    health.set_service_status("", status).await;
}

/// The same of all that gateways ask.
async fn announce_checks(health: &HealthReporter, status: ServingStatus) {
    for service in [check::SERVICE, ext_authz::SERVICE] {
        announce(health, service, status).await;
    }
}

/// Returns when the store has been lost for `grace`. Until then checks go on
/// from memory, and only changes are refused.
async fn lost(mut health: watch::Receiver<StoreHealth>, admin: &HealthReporter, grace: Duration) {
    if health
        .wait_for(|health| *health == StoreHealth::Lost)
        .await
        .is_ok()
    {
        error!(
            seconds = grace.as_secs(),
            "checks go on from memory; keyward exits after the grace"
        );
        announce(admin, admin::SERVICE, ServingStatus::NotServing).await;
    }
    tokio::time::sleep(grace).await;
}

/// Why a server whose run ended like this is not ready any more.
const fn unready(result: &Result<(), RunError>) -> Unready {
    match result {
        Ok(()) => Unready::Stopping,
        Err(RunError::StoreLost) => Unready::StoreLost,
        Err(RunError::Serve(_) | RunError::Reflection(_) | RunError::ThreadDied) => Unready::Failed,
    }
}
