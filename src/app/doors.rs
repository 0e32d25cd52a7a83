//! The listeners: made ready before anything is loaded, and their TLS looked
//! after while they are served.

use std::sync::Arc;

use tokio::task::{JoinSet, spawn_blocking};
use tracing::field::display;
use tracing::info;

use crate::config::ServeConfig;
use crate::config::listener::{ConnectionLimits, ListenerConfig};
use crate::domain::clock::Clock;
use crate::edge::listener::{Address, Bound};
use crate::edge::protocol::Protocols;
use crate::edge::server::Door;
use crate::edge::tls::{self, Tls};
use crate::metrics::listeners::ListenerCounts;
use crate::process::Hangups;

use super::StartError;

/// How many connections and calls there may be at a time where metrics have a
/// listener of their own.
const METRICS_CALLERS: usize = 256;

/// The listeners of a server.
#[derive(Debug)]
pub(super) struct Doors {
    pub(super) check: Door,
    pub(super) admin: Door,
    pub(super) http: Option<Door>,
    pub(super) metrics: Option<Door>,
}

/// Where a server can be reached.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Addresses {
    check: Address,
    admin: Address,
    http: Option<Address>,
    metrics: Option<Address>,
}

impl Doors {
    /// Reads the TLS files of all listeners, and takes their addresses.
    pub(super) fn open(config: &ServeConfig, clock: &Arc<dyn Clock>) -> Result<Self, StartError> {
        let open = |name, protocols, listener: &ListenerConfig| {
            let encrypted = listener.tls.is_some() || config.encrypted_elsewhere;
            if !listener.listen.is_local() && !encrypted {
                return Err(StartError::Unencrypted(listener.listen.clone()));
            }
            door(name, protocols, listener, clock)
        };
        let http = config.http.as_ref();
        // They say nothing that is secret: those who gather them may be
        // elsewhere.
        let metrics = config.metrics.as_ref().map(|address| ListenerConfig {
            limits: ConnectionLimits {
                max_connections: METRICS_CALLERS,
                max_calls: METRICS_CALLERS,
                ..ConnectionLimits::default()
            },
            ..ListenerConfig::plain(address.clone())
        });
        Ok(Self {
            check: open("check", Protocols::Grpc, &config.check)?,
            admin: open("admin", Protocols::Grpc, &config.admin)?,
            http: http
                .map(|http| open("http", Protocols::Http, &http.listener))
                .transpose()?,
            metrics: metrics
                .map(|metrics| door("metrics", Protocols::Http, &metrics, clock))
                .transpose()?,
        })
    }

    /// What is counted of each.
    pub(super) fn counts(&self) -> Vec<Arc<ListenerCounts>> {
        [
            Some(&self.check),
            Some(&self.admin),
            self.http.as_ref(),
            self.metrics.as_ref(),
        ]
        .into_iter()
        .flatten()
        .map(|door| Arc::clone(&door.counts))
        .collect()
    }

    /// Where the server will listen.
    pub(super) fn addresses(&self) -> Addresses {
        let address = |door: &Door| door.bound.address().clone();
        Addresses {
            check: address(&self.check),
            admin: address(&self.admin),
            http: self.http.as_ref().map(address),
            metrics: self.metrics.as_ref().map(address),
        }
    }

    /// Reads TLS files again when they change, and at SIGHUP, for as long as what
    /// is returned lives.
    pub(super) fn look_after_tls(&self, mut hangups: Hangups) -> JoinSet<()> {
        let doors = [Some(&self.check), Some(&self.admin), self.http.as_ref()];
        let doors = doors.into_iter().flatten();
        let tls: Vec<_> = doors.filter_map(|door| door.tls.clone()).collect();
        let mut watches = JoinSet::new();
        for tls in tls.iter().cloned() {
            watches.spawn(tls::watch(tls));
        }
        watches.spawn(async move {
            loop {
                hangups.next().await;
                info!("SIGHUP: TLS files are read again; every other setting needs a restart");
                for tls in &tls {
                    let tls = Arc::clone(tls);
                    // The files may lie on a disk that hangs. What comes of it
                    // is in the log.
                    let _ = spawn_blocking(move || tls.reload()).await;
                }
            }
        });
        watches
    }
}

impl Addresses {
    /// Tells where the server listens, with so many threads for checks.
    pub(super) fn tell(&self, threads: usize) {
        let (check, admin) = (&self.check, &self.admin);
        let http = self.http.as_ref().map(display);
        let metrics = self.metrics.as_ref().map(display);
        info!(%check, %admin, http, metrics, threads, "listening");
    }
}

fn door(
    name: &'static str,
    protocols: Protocols,
    config: &ListenerConfig,
    clock: &Arc<dyn Clock>,
) -> Result<Door, StartError> {
    let address = &config.listen;
    let open = |settings| Tls::open(name, protocols, settings, Arc::clone(clock));
    let tls = config.tls.clone().map(open).transpose();
    let tls = tls.map_err(|error| StartError::Tls {
        listener: name,
        error,
    })?;
    let bound = Bound::bind(address).map_err(|error| StartError::Bind {
        address: address.clone(),
        error,
    })?;
    let (tls, limits) = (tls.map(Arc::new), config.limits);
    Ok(Door::new(name, bound, protocols, tls, limits))
}
