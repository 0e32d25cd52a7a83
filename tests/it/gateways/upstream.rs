//! The service behind a gateway: it speaks HTTP/1.1, HTTP/2 and enough gRPC, and
//! keeps whatever has reached it.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, Version};
use http_body_util::{BodyExt, Full, StreamBody, combinators::BoxBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;
use tokio_stream::wrappers::ReceiverStream;

use crate::h2raw::frame;

/// Answers with the message that it was sent.
pub(crate) const SAY: &str = "/keyward.test.Echo/Say";

/// Answers with one message, and with [`LATER`] more once it is told to go on.
pub(crate) const COUNT: &str = "/keyward.test.Echo/Count";

/// More than any buffer on the way holds back.
pub(crate) const LATER: usize = 2_000;

type Body = BoxBody<Bytes, Infallible>;

/// It runs until it is dropped.
pub(crate) struct Upstream {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    record: Arc<Record>,
    serving: JoinHandle<()>,
}

#[derive(Default)]
struct Record {
    seen: Mutex<Vec<Seen>>,
    go_on: Notify,
}

/// A request that got through.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) version: Version,
    pub(crate) method: Method,
    /// Path and query.
    pub(crate) path: String,
    /// All headers, by the very names that arrived, in lower case.
    pub(crate) headers: HeaderMap,
}

impl Upstream {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let record = Arc::new(Record::default());
        let serving = tokio::spawn(accept(listener, Arc::clone(&record)));
        Self {
            address,
            record,
            serving,
        }
    }

    /// All that has reached it since this was asked last.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        std::mem::take(&mut self.record.seen.lock().unwrap())
    }

    /// The only request that has reached it since it was asked last.
    pub(crate) fn only(&self) -> Seen {
        let mut seen = self.seen();
        assert_eq!(seen.len(), 1, "{seen:?}");
        seen.remove(0)
    }

    /// Lets one stream of [`COUNT`] go on.
    pub(crate) fn go_on(&self) {
        self.record.go_on.notify_one();
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Seen {
    /// The value of the header of this very name, which is there at most once.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let values: Vec<_> = self.headers.get_all(name).iter().collect();
        assert!(values.len() <= 1, "{name} came {} times", values.len());
        values.first().map(|value| value.to_str().unwrap())
    }

    /// All headers whose name some server takes for one that starts with
    /// `prefix`: whatever is no letter or digit counts as `-`.
    pub(crate) fn like(&self, prefix: &str) -> Vec<(&str, &str)> {
        self.headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.to_str().unwrap()))
            .filter(|(name, _)| {
                let folded = name.replace(|c: char| !c.is_ascii_alphanumeric(), "-");
                folded.starts_with(prefix)
            })
            .collect()
    }

    /// What its `Connection` headers name, in lower case.
    pub(crate) fn connection(&self) -> String {
        let values = self.headers.get_all("connection").iter();
        let values: Vec<_> = values.map(|value| value.to_str().unwrap()).collect();
        values.join(",").to_ascii_lowercase()
    }

    /// Whether `text` is anywhere in its headers or its path.
    pub(crate) fn holds(&self, text: &str) -> bool {
        let holds = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).contains(text);
        self.path.contains(text) || self.headers.values().any(holds)
    }
}

async fn accept(listener: TcpListener, record: Arc<Record>) {
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        connections.spawn(serve(stream, Arc::clone(&record)));
        while connections.try_join_next().is_some() {}
    }
}

async fn serve(stream: TcpStream, record: Arc<Record>) {
    let answer = service_fn(|request| answer(request, Arc::clone(&record)));
    // The gateway may go at any time.
    let _ = auto::Builder::new(TokioExecutor::new())
        .serve_connection(TokioIo::new(stream), answer)
        .await;
}

async fn answer(
    request: Request<Incoming>,
    record: Arc<Record>,
) -> Result<Response<Body>, hyper::Error> {
    let (head, body) = request.into_parts();
    let path = head.uri.path_and_query().unwrap().as_str().to_owned();
    let is_grpc = head.headers.get("content-type") == Some(&HeaderValue::from_static(GRPC));
    record.seen.lock().unwrap().push(Seen {
        version: head.version,
        method: head.method,
        path: path.clone(),
        headers: head.headers,
    });
    let body = body.collect().await?.to_bytes();
    Ok(match path.as_str() {
        SAY if is_grpc => grpc(one_message(body)),
        COUNT if is_grpc => grpc(many_messages(record)),
        _ => Response::new(Full::new(Bytes::from("from the upstream\n")).boxed()),
    })
}

const GRPC: &str = "application/grpc";

fn grpc(messages: mpsc::Receiver<Result<Frame<Bytes>, Infallible>>) -> Response<Body> {
    Response::builder()
        .header("content-type", GRPC)
        .body(StreamBody::new(ReceiverStream::new(messages)).boxed())
        .unwrap()
}

fn one_message(framed: Bytes) -> mpsc::Receiver<Result<Frame<Bytes>, Infallible>> {
    let (send, messages) = mpsc::channel(2);
    send.try_send(Ok(Frame::data(framed))).unwrap();
    send.try_send(Ok(well_ended())).unwrap();
    messages
}

fn many_messages(record: Arc<Record>) -> mpsc::Receiver<Result<Frame<Bytes>, Infallible>> {
    let (send, messages) = mpsc::channel(1);
    tokio::spawn(async move {
        for number in 0..=LATER {
            if number == 1 {
                record.go_on.notified().await;
            }
            let message = frame(number.to_string().as_bytes());
            if send.send(Ok(Frame::data(message))).await.is_err() {
                return;
            }
        }
        let _ = send.send(Ok(well_ended())).await;
    });
    messages
}

fn well_ended() -> Frame<Bytes> {
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    Frame::trailers(trailers)
}
