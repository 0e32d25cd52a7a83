//! A socket that ends so that what was said last arrives.
//!
//! To close a socket over bytes that were not read resets it, and that takes
//! back what the client has not read yet: the end of an answer, or the reason
//! why it is not let in. So it first says that no more comes, and lets what the
//! client is still sending run out.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

/// How long the client may take to hang up, too.
const LINGER: Duration = Duration::from_secs(1);

/// How many bytes of what it still sends are thrown away: more than it may have
/// sent and not been told to have been read.
const MAX_THROWN: usize = 2 * 1024 * 1024;

/// `S` with such an end: to shut it down waits for the client to hang up.
#[derive(Debug)]
pub(super) struct Farewell<S> {
    socket: S,
    /// Once no more is said, how long to listen yet.
    ending: Option<Pin<Box<Sleep>>>,
    thrown: usize,
}

impl<S> Farewell<S> {
    pub(super) const fn new(socket: S) -> Self {
        Self {
            socket,
            ending: None,
            thrown: 0,
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Farewell<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.ending.is_none() {
            ready!(Pin::new(&mut this.socket).poll_shutdown(cx))?;
        }
        let ending = this.ending.get_or_insert_with(|| Box::pin(sleep(LINGER)));
        let mut bytes = [0; 4096];
        while this.thrown < MAX_THROWN && ending.as_mut().poll(cx).is_pending() {
            let mut buffer = ReadBuf::new(&mut bytes);
            let read = ready!(Pin::new(&mut this.socket).poll_read(cx, &mut buffer));
            if read.is_err() || buffer.filled().is_empty() {
                break;
            }
            this.thrown += buffer.filled().len();
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Farewell<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_read(cx, buffer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
    use tokio::time::Instant;

    #[tokio::test(start_paused = true)]
    async fn it_listens_until_the_other_side_hangs_up_or_has_had_its_time() {
        let start = Instant::now();
        let (client, server) = duplex(16);
        let mut server = Farewell::new(server);
        let (mut hears, mut says) = tokio::io::split(client);
        let ended = tokio::spawn(async move {
            server.write_all(b"farewell").await.unwrap();
            server.shutdown().await.unwrap();
            (server, start.elapsed())
        });
        // It takes what there is no room for, and does not take back its word.
        says.write_all(&[0; 10_000]).await.unwrap();
        let mut heard = Vec::new();
        hears.read_to_end(&mut heard).await.unwrap();
        assert_eq!(heard, b"farewell");
        says.shutdown().await.unwrap();
        assert_eq!(ended.await.unwrap().1, Duration::ZERO);

        let (_silent, server) = duplex(16);
        Farewell::new(server).shutdown().await.unwrap();
        assert_eq!(start.elapsed(), LINGER);

        let (mut flood, server) = duplex(1 << 16);
        let flooding =
            tokio::spawn(async move { while flood.write_all(&[0; 1 << 16]).await.is_ok() {} });
        let mut server = Farewell::new(server);
        server.shutdown().await.unwrap();
        assert!(server.thrown <= MAX_THROWN + 4096);
        drop(server);
        flooding.await.unwrap();
        assert_eq!(start.elapsed(), LINGER);
    }
}
