//! One accepted connection, TCP or unix, encrypted or not, and the seat that it
//! takes.

use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::farewell::Farewell;
use super::protocol::{Protocol, Protocols};
use super::turns::Turns;

/// What a client of HTTP/2 says first.
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A socket before it belongs to a runtime: it can still be sent to any.
#[derive(Debug)]
pub(super) enum Socket {
    Tcp(std::net::TcpStream, SocketAddr),
    Unix(std::os::unix::net::UnixStream),
}

impl Socket {
    /// Where the client is; none: on this machine, at a unix socket.
    pub(super) const fn peer(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(_, peer) => Some(*peer),
            Self::Unix(_) => None,
        }
    }
}

/// A connection of a client that has greeted.
#[derive(Debug)]
pub(super) struct Connection {
    stream: Stream,
    protocol: Protocol,
    greeting: Greeting,
}

/// What was read to tell what the client speaks, and is still to be read by who
/// speaks with it.
#[derive(Debug)]
struct Greeting {
    bytes: [u8; PREFACE.len()],
    left: Range<usize>,
}

#[derive(Debug)]
enum Stream {
    Plain(Farewell<Plain>),
    Tls(Box<TlsStream<Farewell<Plain>>>),
}

impl Connection {
    /// Hands `socket` to the runtime that this is called in, shakes hands if
    /// it is to be encrypted, and waits for the client's greeting.
    ///
    /// What there is to compute for the handshake is done in `turns`. A client
    /// that speaks none of `protocols` is an error.
    pub(super) async fn open(
        socket: Socket,
        tls: Option<TlsAcceptor>,
        turns: Turns,
        protocols: Protocols,
    ) -> io::Result<Self> {
        let plain = match socket {
            Socket::Tcp(socket, _) => Plain::Tcp(TcpStream::from_std(socket)?),
            Socket::Unix(socket) => Plain::Unix(UnixStream::from_std(socket)?),
        };
        let plain = Farewell::new(plain);
        let stream = match tls {
            None => Stream::Plain(plain),
            Some(tls) => match turns.take(tls.accept(plain).into_fallible()).await {
                Ok(stream) => Stream::Tls(Box::new(stream)),
                Err((error, mut plain)) => {
                    // It learns why.
                    let _ = plain.shutdown().await;
                    return Err(error);
                }
            },
        };
        let mut connection = Self {
            stream,
            protocol: Protocol::Http2,
            greeting: Greeting {
                bytes: [0; PREFACE.len()],
                left: 0..0,
            },
        };
        connection.read_greeting().await?;
        if connection.protocol == Protocol::Http1 && !protocols.has_http1() {
            return Err(io::Error::other("the client does not speak HTTP/2"));
        }
        Ok(connection)
    }

    /// Reads until it is plain what the client speaks.
    async fn read_greeting(&mut self) -> io::Result<()> {
        let mut bytes = [0; PREFACE.len()];
        let mut end = 0;
        while end < bytes.len() && self.protocol == Protocol::Http2 {
            let read = self.read(&mut bytes[end..]).await?;
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            end += read;
            if bytes[..end] != PREFACE[..end] {
                self.protocol = Protocol::Http1;
            }
        }
        self.greeting = Greeting {
            bytes,
            left: 0..end,
        };
        Ok(())
    }

    /// What the client speaks.
    pub(super) const fn protocol(&self) -> Protocol {
        self.protocol
    }
}

/// One connection of those that a worker has; given back when it is dropped.
#[derive(Debug)]
pub(super) struct Seat(Arc<AtomicUsize>);

impl Seat {
    /// Counts one more connection.
    pub(super) fn take(taken: &Arc<AtomicUsize>) -> Self {
        // Only a count, which guards no memory: relaxed is enough.
        taken.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(taken))
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.greeting.left.is_empty() {
            let Greeting { bytes, left } = &mut self.greeting;
            let now = left.len().min(buffer.remaining());
            buffer.put_slice(&bytes[left.start..left.start + now]);
            left.start += now;
            return Poll::Ready(Ok(()));
        }
        match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_read(cx, buffer),
            Stream::Tls(stream) => Pin::new(stream).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Stream::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
            Stream::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match &self.stream {
            Stream::Plain(stream) => stream.is_write_vectored(),
            Stream::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Stream::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Stream::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

/// A connection as the system has it.
#[derive(Debug)]
enum Plain {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl AsyncRead for Plain {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Tcp(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::Unix(stream) => Pin::new(stream).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Plain {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut *self {
            Self::Tcp(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Unix(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut *self {
            Self::Tcp(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
            Self::Unix(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Tcp(stream) => stream.is_write_vectored(),
            Self::Unix(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Tcp(stream) => Pin::new(stream).poll_flush(cx),
            Self::Unix(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
