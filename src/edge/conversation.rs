//! The life of one connection: it shakes hands, serves calls, and ends when the
//! client goes, when it is old, or when the server stops.

use std::future::pending;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::{http1, http2};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::time::{sleep, timeout};
use tracing::{debug, warn};

use crate::config::listener::ConnectionLimits;

use crate::metrics::listeners::ListenerCounts;

use super::brief::{ANSWER_TIME, Runner, run_briefly};
use super::connection::{Connection, Seat, Socket};
use super::drain::Drain;
use super::line::Line;
use super::pace::{Pace, paced};
use super::plane::Plane;
use super::protocol::{Protocol, Protocols};
use super::throttle::Throttle;
use super::tls::Tls;
use super::turns::Turns;

/// How much a client may send of one request before it is read. What is read
/// makes room at once, so that a larger request only takes more round trips;
/// what is not is all that a slow handler can be made to hold.
const STREAM_WINDOW: u32 = 64 * 1024;

/// The same for all requests of a connection: hundreds of checks.
const CONNECTION_WINDOW: u32 = 1024 * 1024;

/// How many calls a client may cancel before they were looked at, at a time. A
/// gateway whose own clients all go at once does that; beyond, it is a flood,
/// and the connection ends.
const MAX_CANCELLED_UNSEEN: usize = 256;

/// How many streams may fail by the client's own faults before the connection
/// ends. Among these are what a client still sends of calls that were turned
/// away, so that there must be room.
const MAX_FAULTS: usize = 1024;

/// How many headers a request of HTTP/1 may have, which lie in memory of its own
/// while it is read: more than gateways let pass, and some kilobytes. Their size
/// is limited, too.
const MAX_HEADERS: usize = 256;

/// How much the age at which a connection ends varies, so that those that came
/// together do not all come back together.
const AGE_JITTER: f64 = 0.1;

/// How long a client that is about to greet when the server stops may still
/// take: what it sends right behind its greeting is answered.
const GREETING_AT_STOP: Duration = Duration::from_secs(1);

/// What every connection of a listener is held to.
#[derive(Clone, Debug)]
pub(super) struct Terms {
    pub(super) limits: ConnectionLimits,
    pub(super) protocols: Protocols,
    pub(super) tls: Option<Arc<Tls>>,
    pub(super) drain: Drain,
    /// For the handshakes of one thread.
    pub(super) turns: Turns,
    /// For handshakes that fail, which strangers can make happen at will.
    pub(super) failures: Arc<Throttle>,
    pub(super) counts: Arc<ListenerCounts>,
}

impl Terms {
    /// The same for another thread.
    pub(super) fn of_thread(&self) -> Self {
        Self {
            turns: Turns::new(),
            ..self.clone()
        }
    }
}

/// Serves what `plane` has for a connection on `socket` until that ends.
pub(super) async fn hold<P>(socket: Socket, _seat: Seat, terms: Terms, plane: P)
where
    P: Plane<Future: Send>,
{
    let line = Arc::new(Line::of(socket.peer().map(|peer| peer.ip())));
    let Some(connection) = greet(socket, &terms).await else {
        return;
    };
    let plane = plane.on(&line);
    match connection.protocol() {
        Protocol::Http2 => {
            let (service, runner) = run_briefly(plane, terms.limits.receive_timeout);
            let http = http2(&terms, runner);
            let serving = pin!(http.serve_connection(TokioIo::new(connection), service));
            see_through(
                serving,
                |serving| serving.graceful_shutdown(),
                &line,
                &terms,
            )
            .await;
        }
        Protocol::Http1 => {
            let (connection, service) =
                paced(connection, plane, Arc::clone(&line), pace(&terms.limits));
            let http = http1(terms.protocols);
            // On the heap, or it would be room that each one of the others has.
            let mut serving = Box::pin(http.serve_connection(TokioIo::new(connection), service));
            see_through(
                serving.as_mut(),
                |serving| serving.graceful_shutdown(),
                &line,
                &terms,
            )
            .await;
        }
    }
}

/// Serves until the connection ends, which it is told to, by `wind_down`, when
/// it is old or the server stops.
async fn see_through<F>(
    mut serving: Pin<&mut F>,
    wind_down: impl FnOnce(Pin<&mut F>),
    line: &Line,
    terms: &Terms,
) where
    F: Future<Output = hyper::Result<()>>,
{
    let limits = &terms.limits;
    let mut stuck = pin!(stuck(line, limits.receive_timeout + ANSWER_TIME));
    let stopped = pin!(terms.drain.clone().begun());
    let old = pin!(age(limits.max_connection_age));
    let grace = tokio::select! {
        // First, for the others have hardly ever anything to say; and what was
        // sent along with the greeting is taken before any end.
        biased;
        served = &mut serving => return ended(served),
        // Cut off with all others, when the drain is over.
        () = stopped => None,
        () = old => Some(limits.max_connection_age_grace),
        () = &mut stuck => return,
    };
    wind_down(serving.as_mut());
    line.end();
    tokio::select! {
        biased;
        served = &mut serving => ended(served),
        () = over(grace) => debug!("connection cut off: calls did not end within its grace"),
        () = stuck => {}
    }
}

/// Returns when a call, or an answer that the client does not take, has been
/// there for `patience`, and at most for twice as long.
async fn stuck(line: &Line, patience: Duration) {
    loop {
        sleep(patience).await;
        if line.is_stuck() {
            debug!("connection cut off: the client does not take its answers");
            return;
        }
    }
}

/// The connection, once the client has shaken hands and greeted; none if it has
/// not in time.
async fn greet(socket: Socket, terms: &Terms) -> Option<Connection> {
    let acceptor = terms.tls.as_ref().map(|tls| tls.acceptor());
    let peer = socket.peer();
    let opening = timeout(
        terms.limits.receive_timeout,
        Connection::open(socket, acceptor, terms.turns.clone(), terms.protocols),
    );
    let stopped = async {
        terms.drain.clone().begun().await;
        sleep(GREETING_AT_STOP).await;
    };
    let opened = tokio::select! {
        opened = opening => opened,
        // Nothing was asked yet.
        () = stopped => return None,
    };
    match opened {
        Ok(Ok(connection)) => return Some(connection),
        // What TLS finds wrong: somebody may be waiting to be told.
        Ok(Err(error)) if error.kind() == io::ErrorKind::InvalidData => {
            terms.counts.handshakes_failed.one_more();
            if let Some(withheld) = terms.failures.pass() {
                let listener = terms.tls.as_ref().map(|tls| tls.listener());
                warn!(listener, peer = peer.map(display), %error, withheld, "TLS handshake failed");
            }
        }
        Ok(Err(error)) => debug!(%error, "connection ended before it began"),
        Err(_) => debug!("connection closed: the client did not greet in time"),
    }
    None
}

/// How long a client of HTTP/1 may take, which cannot be pinged.
fn pace(limits: &ConnectionLimits) -> Pace {
    Pace {
        headers: limits.receive_timeout,
        idle: limits.keepalive_interval + limits.keepalive_timeout,
    }
}

fn http1(protocols: Protocols) -> http1::Builder {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        // See `pace`.
        .header_read_timeout(None)
        .max_headers(MAX_HEADERS)
        .max_buf_size(usize::try_from(protocols.max_headers()).unwrap_or(usize::MAX));
    http
}

fn http2(terms: &Terms, runner: Runner) -> http2::Builder<Runner> {
    let limits = &terms.limits;
    let mut http = http2::Builder::new(runner);
    http.timer(TokioTimer::new())
        // gRPC knows no date.
        .auto_date_header(false)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_concurrent_streams(limits.max_streams)
        .max_header_list_size(terms.protocols.max_headers())
        .max_pending_accept_reset_streams(MAX_CANCELLED_UNSEEN)
        .max_local_error_reset_streams(MAX_FAULTS)
        .keep_alive_interval(limits.keepalive_interval)
        .keep_alive_timeout(limits.keepalive_timeout);
    http
}

async fn age(limit: Option<Duration>) {
    match limit {
        Some(limit) => {
            let jitter = rand::random_range(1.0 - AGE_JITTER..=1.0 + AGE_JITTER);
            sleep(limit.mul_f64(jitter)).await;
        }
        None => pending().await,
    }
}

async fn over(grace: Option<Duration>) {
    match grace {
        Some(grace) => sleep(grace).await,
        None => pending().await,
    }
}

fn ended(served: hyper::Result<()>) {
    if let Err(error) = served {
        // Clients that go without a word are no news.
        debug!(%error, "connection ended");
    }
}
