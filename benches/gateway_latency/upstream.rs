//! The service behind the gateway: it answers every request at once, with nothing,
//! on a thread of this process, whose time nobody counts.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::Result;

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
const END_OF_HEAD: &[u8] = b"\r\n\r\n";

/// It runs until the process ends.
pub(crate) struct Upstream {
    /// Where it listens.
    pub(crate) address: SocketAddr,
}

impl Upstream {
    pub(crate) fn start() -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .build()?;
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0"))?;
        let address = listener.local_addr()?;
        std::thread::spawn(move || {
            runtime.block_on(async {
                while let Ok((stream, _)) = listener.accept().await {
                    tokio::spawn(async move {
                        // The gateway closes its connections when it likes.
                        let _ = answer(stream).await;
                    });
                }
            });
        });
        Ok(Self { address })
    }
}

/// Requests have no body here, and come one after the other.
async fn answer(mut stream: TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut head = Vec::new();
    while stream.read_buf(&mut head).await? > 0 {
        if head.ends_with(END_OF_HEAD) {
            head.clear();
            stream.write_all(ANSWER).await?;
        }
    }
    Ok(())
}
