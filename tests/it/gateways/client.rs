//! A client of a gateway, which sends what it likes: any header, also twice, over
//! HTTP/1.1, HTTP/2 or as gRPC, each request on a connection of its own.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::{Buf, Bytes};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::h2raw::frame;

/// Longer than any answer takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a client speaks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Speaks {
    Http1,
    /// Without TLS, and without asking for it first.
    Http2,
}

/// A request to be.
#[derive(Clone)]
pub(crate) struct Ask {
    to: SocketAddr,
    http2_at: SocketAddr,
    /// What goes before it.
    first: String,
    speaks: Speaks,
    method: Method,
    path: String,
    headers: HeaderMap,
    body: Bytes,
}

/// What came back.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    trailers: HeaderMap,
}

/// An answer that is on its way.
pub(crate) struct Coming {
    response: Response<Incoming>,
    read: Vec<u8>,
}

impl Ask {
    /// A GET over HTTP/1.1.
    pub(crate) fn get(to: SocketAddr, path: &str) -> Self {
        Self {
            to,
            http2_at: to,
            first: String::new(),
            speaks: Speaks::Http1,
            method: Method::GET,
            path: path.to_owned(),
            headers: HeaderMap::new(),
            body: Bytes::new(),
        }
    }

    /// A gRPC call with one message.
    pub(crate) fn grpc(to: SocketAddr, path: &str, message: &[u8]) -> Self {
        Self {
            speaks: Speaks::Http2,
            method: Method::POST,
            body: frame(message),
            ..Self::get(to, path)
        }
        .header("content-type", "application/grpc")
        .header("te", "trailers")
    }

    /// Where it is to go if it is over HTTP/2, should that be elsewhere.
    pub(crate) fn http2_at(self, http2_at: SocketAddr) -> Self {
        Self { http2_at, ..self }
    }

    pub(crate) fn over(self, speaks: Speaks) -> Self {
        Self { speaks, ..self }
    }

    pub(crate) fn method(self, method: Method) -> Self {
        Self { method, ..self }
    }

    /// One header more, also of a name that is there.
    pub(crate) fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        let name: HeaderName = name.parse().unwrap();
        let value = HeaderValue::from_bytes(value.as_ref()).unwrap();
        self.headers.append(name, value);
        self
    }

    /// By way of a balancer, which says that it comes from `source`.
    pub(crate) fn by_proxy_from(self, source: &str) -> Self {
        let first = format!("PROXY TCP4 {source} 127.0.0.1 12345 80\r\n");
        Self { first, ..self }
    }

    /// With this token after `Bearer`.
    pub(crate) fn bearer(self, token: &str) -> Self {
        self.header("authorization", format!("Bearer {token}"))
    }

    /// The whole answer. Fails if the gateway breaks off.
    pub(crate) async fn try_send(self) -> Result<Answer, hyper::Error> {
        let answer = async { self.try_begin().await?.whole().await };
        tokio::time::timeout(PATIENCE, answer)
            .await
            .expect("an answer")
    }

    /// The whole answer.
    pub(crate) async fn send(self) -> Answer {
        self.try_send().await.unwrap()
    }

    /// The answer's headers; the rest is read as it comes.
    pub(crate) async fn begin(self) -> Coming {
        let begun = tokio::time::timeout(PATIENCE, self.try_begin());
        begun.await.expect("an answer").unwrap()
    }

    async fn try_begin(self) -> Result<Coming, hyper::Error> {
        let to = match self.speaks {
            Speaks::Http1 => self.to,
            Speaks::Http2 => self.http2_at,
        };
        let mut stream = TcpStream::connect(to).await.unwrap();
        stream.write_all(self.first.as_bytes()).await.unwrap();
        let stream = TokioIo::new(stream);
        let mut request = Request::new(Full::new(self.body));
        *request.method_mut() = self.method;
        *request.headers_mut() = self.headers;
        let response = match self.speaks {
            Speaks::Http1 => {
                *request.uri_mut() = self.path.parse().unwrap();
                let host = HeaderValue::from_static("api.example.com");
                request.headers_mut().entry("host").or_insert(host);
                let (mut sender, connection) = http1::handshake(stream).await?;
                tokio::spawn(connection);
                sender.send_request(request).await?
            }
            Speaks::Http2 => {
                let uri = format!("http://api.example.com{}", self.path);
                *request.uri_mut() = uri.parse().unwrap();
                let (mut sender, connection) =
                    http2::handshake(TokioExecutor::new(), stream).await?;
                tokio::spawn(connection);
                sender.send_request(request).await?
            }
        };
        Ok(Coming {
            response,
            read: Vec::new(),
        })
    }
}

impl Coming {
    /// The next gRPC message; none: there are no more.
    pub(crate) async fn message(&mut self) -> Option<Bytes> {
        loop {
            if let Some((head, rest)) = self.read.split_first_chunk::<5>() {
                let length = (&head[1..]).get_u32() as usize;
                if rest.len() >= length {
                    let message = Bytes::copy_from_slice(&rest[..length]);
                    self.read.drain(..5 + length);
                    return Some(message);
                }
            }
            let frame = tokio::time::timeout(PATIENCE, self.response.frame());
            let frame = frame.await.expect("more of the answer")?.unwrap();
            match frame.into_data() {
                Ok(data) => self.read.extend_from_slice(&data),
                Err(trailers) => {
                    let trailers = trailers.into_trailers().unwrap();
                    self.response.headers_mut().extend(trailers);
                    return None;
                }
            }
        }
    }

    /// What is left of it.
    pub(crate) async fn whole(self) -> Result<Answer, hyper::Error> {
        let (head, body) = self.response.into_parts();
        let body = body.collect().await?;
        let trailers = body.trailers().cloned().unwrap_or_default();
        Ok(Answer {
            status: head.status.as_u16(),
            headers: head.headers,
            body: [Bytes::from(self.read), body.to_bytes()].concat().into(),
            trailers,
        })
    }

    /// The code of the gRPC status that it has ended with.
    pub(crate) fn grpc_status(&self) -> Option<u32> {
        code(self.response.headers())
    }
}

impl Answer {
    /// The value of this header, which is there at most once.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let values: Vec<_> = self.headers.get_all(name).iter().collect();
        assert!(values.len() <= 1, "{name} came {} times", values.len());
        values.first().map(|value| value.to_str().unwrap())
    }

    pub(crate) fn is_from_the_upstream(&self) -> bool {
        self.status == StatusCode::OK && self.body == "from the upstream\n"
    }

    /// The code of its gRPC status, from the headers or behind the messages.
    pub(crate) fn grpc_status(&self) -> Option<u32> {
        code(&self.headers).or_else(|| code(&self.trailers))
    }
}

fn code(headers: &HeaderMap) -> Option<u32> {
    let code = headers.get("grpc-status")?;
    Some(code.to_str().unwrap().parse().unwrap())
}
