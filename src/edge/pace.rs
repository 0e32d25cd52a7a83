//! A connection of HTTP/1 whose client keeps pace: once it has begun a request,
//! the headers arrive in time; and where none comes for long, it ends.
//!
//! HTTP/2 has pings for that. hyper has one time for both, and a connection that
//! is kept for the next request may be silent for longer than a slow client may
//! take.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper::body::Incoming;
use hyper::service::Service;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};
use tonic::codegen::http::Request;

use super::line::Line;

/// How long a client may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// To send the headers of a request, from its first byte on.
    pub(super) headers: Duration,
    /// To begin one.
    pub(super) idle: Duration,
}

/// A connection with such a client.
#[derive(Debug)]
pub(super) struct Paced<C> {
    connection: C,
    line: Arc<Line>,
    pace: Pace,
    /// How many requests have arrived; and of how many this is known.
    arrived: Arc<AtomicUsize>,
    known: usize,
    /// Whether a part of the next one has.
    arriving: bool,
    timer: Pin<Box<Sleep>>,
}

/// A service that tells its connection of each request.
#[derive(Debug)]
pub(super) struct Telling<S> {
    inner: S,
    arrived: Arc<AtomicUsize>,
}

/// `connection`, whose client is to keep `pace`, and `service` for its requests,
/// which are counted in `line`.
pub(super) fn paced<C, S>(
    connection: C,
    service: S,
    line: Arc<Line>,
    pace: Pace,
) -> (Paced<C>, Telling<S>) {
    let arrived = Arc::default();
    let telling = Telling {
        inner: service,
        arrived: Arc::clone(&arrived),
    };
    let paced = Paced {
        connection,
        line,
        pace,
        arrived,
        known: 0,
        arriving: false,
        timer: Box::pin(sleep(pace.idle)),
    };
    (paced, telling)
}

impl<S: Service<Request<Incoming>>> Service<Request<Incoming>> for Telling<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn call(&self, request: Request<Incoming>) -> S::Future {
        // Read by the same task, later.
        self.arrived.fetch_add(1, Ordering::Relaxed);
        self.inner.call(request)
    }
}

impl<C> Paced<C> {
    fn wait(&mut self, time: Duration) {
        self.timer.as_mut().reset(Instant::now() + time);
    }

    /// Takes note of requests that have arrived since.
    fn look(&mut self) {
        let arrived = self.arrived.load(Ordering::Relaxed);
        if arrived != self.known {
            self.known = arrived;
            self.arriving = false;
            self.wait(self.pace.idle);
        }
    }

    /// Ready when the client has had its time.
    fn poll_over(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        ready!(self.timer.as_mut().poll(cx));
        while self.line.is_busy() {
            // It is the client that waits.
            self.wait(self.pace.idle);
            ready!(self.timer.as_mut().poll(cx));
        }
        Poll::Ready(())
    }
}

impl<C: AsyncRead + Unpin> AsyncRead for Paced<C> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let before = buffer.filled().len();
        let read = Pin::new(&mut this.connection).poll_read(cx, buffer);
        this.look();
        if read.is_ready() {
            let more = buffer.filled().len() > before;
            if more && !this.arriving && !this.line.is_busy() {
                this.arriving = true;
                this.wait(this.pace.headers);
            }
            return read;
        }
        ready!(this.poll_over(cx));
        Poll::Ready(Err(io::Error::new(
            io::ErrorKind::TimedOut,
            "the client has sent no request in time",
        )))
    }
}

impl<C: AsyncWrite + Unpin> AsyncWrite for Paced<C> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.connection).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.connection).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.connection.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.connection).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.connection).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    const PACE: Pace = Pace {
        headers: Duration::from_secs(10),
        idle: Duration::from_secs(80),
    };

    /// How long it takes until a read fails, where the client sends a byte every
    /// so often.
    async fn ends_after(every: Duration) -> Duration {
        let start = Instant::now();
        let (mut client, server) = duplex(16);
        let (mut server, _) = paced(server, (), Arc::new(Line::new()), PACE);
        let dripping = tokio::spawn(async move {
            loop {
                tokio::time::sleep(every).await;
                if client.write_all(b"G").await.is_err() {
                    return;
                }
            }
        });
        let mut bytes = [0; 16];
        while let Ok(read) = server.read(&mut bytes).await {
            assert_ne!(read, 0);
        }
        dripping.abort();
        start.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_may_be_silent_for_longer_than_it_may_be_slow() {
        let near = |found: Duration, meant: u64| {
            let meant = Duration::from_secs(meant);
            assert!(found >= meant && found < meant + Duration::from_millis(50));
        };
        near(ends_after(Duration::from_secs(1_000)).await, 80);
        near(ends_after(Duration::from_secs(3)).await, 13);
    }

    #[tokio::test(start_paused = true)]
    async fn each_request_has_its_own_time_and_an_answer_all_it_takes() {
        let (mut client, server) = duplex(16);
        let line = Arc::new(Line::new());
        let (mut server, telling) = paced(server, (), Arc::clone(&line), PACE);
        let mut bytes = [0; 16];
        for _ in 0..20 {
            tokio::time::sleep(Duration::from_secs(9)).await;
            client.write_all(b"GET").await.unwrap();
            assert_eq!(server.read(&mut bytes).await.unwrap(), 3);
            telling.arrived.fetch_add(1, Ordering::Relaxed);
        }
        let calls = super::super::limit::Calls::in_one_place(10);
        let call = calls.begin(&line.calls).unwrap();
        let waiting = tokio::time::timeout(Duration::from_secs(500), server.read(&mut bytes));
        assert!(waiting.await.is_err(), "it is being answered");
        drop(call);
        assert!(server.read(&mut bytes).await.is_err());
    }
}
