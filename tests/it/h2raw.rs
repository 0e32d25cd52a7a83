//! HTTP/2 without a gRPC library in between: calls that are half sent, and
//! statuses as the server itself sends them.

use std::time::Duration;

use bytes::Bytes;
use h2::SendStream;
use h2::client::{ResponseFuture, SendRequest};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tonic::Status;

/// Longer than anything takes that ends.
const PATIENCE: Duration = Duration::from_secs(30);

/// One connection, and its end.
pub(crate) struct Raw {
    pub(crate) sender: SendRequest<Bytes>,
    pub(crate) ended: JoinHandle<Result<(), h2::Error>>,
}

/// One call: its answer, and the way to send more of its request.
pub(crate) struct Call {
    pub(crate) answer: ResponseFuture,
    pub(crate) request: SendStream<Bytes>,
}

impl Raw {
    pub(crate) async fn connect(address: &str) -> Self {
        let address = address.trim_start_matches("http://");
        Self::on(TcpStream::connect(address).await.unwrap()).await
    }

    pub(crate) async fn on<S>(stream: S) -> Self
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (sender, connection) = h2::client::handshake(stream).await.unwrap();
        Self {
            sender,
            ended: tokio::spawn(connection),
        }
    }

    /// Begins a call with these headers. Fails if the connection takes no more.
    pub(crate) async fn begin(
        &self,
        path: &str,
        headers: &[(&str, &str)],
    ) -> Result<Call, h2::Error> {
        let mut request = http::Request::post(format!("http://localhost{path}"))
            .header("content-type", "application/grpc")
            .header("te", "trailers");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut sender = self.sender.clone().ready().await?;
        let (answer, request) = sender.send_request(request.body(()).unwrap(), false)?;
        Ok(Call { answer, request })
    }

    /// A whole call.
    pub(crate) async fn call(
        &self,
        path: &str,
        headers: &[(&str, &str)],
        message: &[u8],
    ) -> Result<Answer, h2::Error> {
        let mut call = self.begin(path, headers).await?;
        call.request.send_data(frame(message), true)?;
        call.answer().await
    }
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: Status,
    /// Whether the status came with the headers, and nothing else.
    pub(crate) trailers_only: bool,
    pub(crate) messages: Vec<u8>,
}

impl Call {
    /// The whole answer, which has to come soon.
    pub(crate) async fn answer(self) -> Result<Answer, h2::Error> {
        // Its request is not dropped before, which would cancel it.
        answer(self.answer).await
    }
}

/// The whole answer, which has to come soon.
pub(crate) async fn answer(coming: ResponseFuture) -> Result<Answer, h2::Error> {
    tokio::time::timeout(PATIENCE, read(coming))
        .await
        .expect("an answer")
}

async fn read(coming: ResponseFuture) -> Result<Answer, h2::Error> {
    let response = coming.await?;
    let http = response.status();
    let early = Status::from_header_map(response.headers());
    let mut body = response.into_body();
    let mut messages = Vec::new();
    while let Some(part) = body.data().await {
        let part = part?;
        body.flow_control().release_capacity(part.len())?;
        messages.extend_from_slice(&part);
    }
    let trailers_only = early.is_some();
    let late = body.trailers().await?;
    let late = late.and_then(|trailers| Status::from_header_map(&trailers));
    let status = early.or(late);
    Ok(Answer {
        status: status.unwrap_or_else(|| Status::unknown(format!("no gRPC: HTTP {http}"))),
        trailers_only,
        messages,
    })
}

/// A message as gRPC frames it.
pub(crate) fn frame(message: &[u8]) -> Bytes {
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    [&[0], length.as_slice(), message].concat().into()
}
