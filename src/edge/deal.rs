//! Accepts connections and deals each to the worker that has the fewest, up to
//! as many as the listener takes.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tracing::warn;

use crate::metrics::listeners::{ListenerCounts, Load};

use super::connection::{Seat, Socket};
use super::drain::Drain;
use super::listener::Listener;
use super::throttle::Throttle;

/// How long the dealer waits when no connection can be accepted, as when the
/// process has no more descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What a worker is dealt.
pub(super) type Dealt = UnboundedReceiver<(Socket, Seat)>;

/// Where connections can be dealt to.
#[derive(Debug)]
pub(super) struct Worker {
    connections: UnboundedSender<(Socket, Seat)>,
    taken: Arc<AtomicUsize>,
}

impl Worker {
    /// A worker, and what it is dealt.
    pub(super) fn new() -> (Self, Dealt) {
        let (connections, dealt) = unbounded_channel();
        let worker = Self {
            connections,
            taken: Arc::default(),
        };
        (worker, dealt)
    }

    fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }
}

/// Deals what `listener` accepts until the drain begins. Of more than
/// `max_connections` at a time, those that came last are closed at once.
pub(super) async fn deal(
    listener: Listener,
    workers: Vec<Worker>,
    max_connections: usize,
    drain: Drain,
    counts: Arc<ListenerCounts>,
) {
    let taken = workers.iter().map(|worker| Arc::clone(&worker.taken));
    let taken: Vec<_> = taken.collect();
    counts.watch(move || Load {
        connections: taken
            .iter()
            .map(|taken| taken.load(Ordering::Relaxed))
            .sum(),
        ..Load::default()
    });
    let mut stopped = std::pin::pin!(drain.begun());
    let (refusals, failures) = (Throttle::default(), Throttle::default());
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = &mut stopped => return,
        };
        match accepted {
            Ok(socket) => {
                // Nobody else takes seats, so that the sum is no smaller by
                // the time that one is taken.
                let taken: usize = workers.iter().map(Worker::taken).sum();
                if taken >= max_connections {
                    drop(socket);
                    counts.connections_refused.one_more();
                    if let Some(withheld) = refusals.pass() {
                        warn!(
                            max_connections,
                            withheld, "connection closed: there are as many as the listener takes"
                        );
                    }
                    continue;
                }
                let Some(worker) = workers.iter().min_by_key(|worker| worker.taken()) else {
                    return;
                };
                // A worker that is gone has ended the process's run, too.
                let _ = worker.connections.send((socket, Seat::take(&worker.taken)));
            }
            Err(error) => {
                if let Some(withheld) = failures.pass() {
                    warn!(%error, withheld, "connection not accepted");
                }
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}
