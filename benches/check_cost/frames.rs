//! The messages that are sent, built before anything is measured.

use std::cell::Cell;

use bytes::{BufMut, Bytes, BytesMut};
use envoy_types::pb::envoy::config::core::v3::{HeaderMap, HeaderValue};
use envoy_types::pb::envoy::service::auth::v3 as envoy;
use envoy_types::pb::envoy::service::auth::v3::attribute_context::{HttpRequest, Request};
use keyward::edge::pb::{CheckRequest, CheckResponse, check_response::Outcome};
use prost::Message;
use rand::seq::SliceRandom;

use crate::{Result, fill};

/// A gRPC message is preceded by a flag and its length.
const PREFIX: usize = 5;

/// Messages to send, one after the other and round again.
pub(crate) struct Frames {
    all: Vec<Bytes>,
    next: Cell<usize>,
}

impl Frames {
    /// The empty message.
    pub(crate) fn empty() -> Self {
        Self {
            all: vec![Bytes::from_static(&[0; PREFIX])],
            next: Cell::new(0),
        }
    }

    /// One question for each token, as a gateway would ask it, in random
    /// order: none comes twice before all have come.
    pub(crate) fn questions(tokens: &[String]) -> Self {
        let mut all: Vec<Bytes> = tokens.iter().map(|token| question(token)).collect();
        all.shuffle(&mut rand::rng());
        Self {
            all,
            next: Cell::new(0),
        }
    }

    /// What Envoy asks of a request with this token, as a browser would send it.
    pub(crate) fn of_envoy(token: &str) -> Self {
        Self {
            all: vec![frame(&envoy_question(token))],
            next: Cell::new(0),
        }
    }

    /// One of them.
    pub(crate) fn first(&self) -> &Bytes {
        &self.all[0]
    }

    /// The next in turn, which goes on from one round to the other.
    pub(crate) fn next(&self) -> Bytes {
        let index = self.next.get();
        self.next.set((index + 1) % self.all.len());
        self.all[index].clone()
    }
}

/// The principal of an answer that allows.
pub(crate) fn allowed_principal(answer: &[u8]) -> Result<String> {
    let message = answer.get(PREFIX..).ok_or("an answer without a message")?;
    match CheckResponse::decode(message)?.outcome {
        Some(Outcome::Allowed(allowed)) => Ok(allowed.principal),
        Some(Outcome::Denied(denied)) => Err(format!("denied: {:?}", denied.reason()).into()),
        None => Err("an answer without an outcome".into()),
    }
}

/// Whether Envoy is told to let a request pass.
pub(crate) fn is_passed(answer: &[u8]) -> Result<bool> {
    let message = answer.get(PREFIX..).ok_or("an answer without a message")?;
    let status = envoy::CheckResponse::decode(message)?.status;
    Ok(status.is_some_and(|status| status.code == 0))
}

fn envoy_question(token: &str) -> envoy::CheckRequest {
    let headers = [
        (":authority", "api.example.com"),
        (":method", "GET"),
        (":path", "/v1/people?page=2"),
        (":scheme", "https"),
        ("accept", "application/json, text/plain, */*"),
        ("accept-encoding", "gzip, deflate, br, zstd"),
        ("accept-language", "en-GB,en;q=0.9"),
        ("authorization", &format!("Bearer {token}")),
        ("origin", "https://app.example.com"),
        (
            "user-agent",
            "Mozilla/5.0 (X11; Linux x86_64) Gecko/20100101",
        ),
        ("x-forwarded-for", "203.0.113.7"),
        ("x-forwarded-proto", "https"),
        ("x-request-id", "7a2a4b42-9f5c-4a2e-8a55-5f2b7b3f1c11"),
    ];
    let header = |(key, value): (&str, &str)| HeaderValue {
        key: key.to_owned(),
        raw_value: value.as_bytes().to_vec(),
        ..HeaderValue::default()
    };
    let http = HttpRequest {
        method: "GET".to_owned(),
        host: "api.example.com".to_owned(),
        path: "/v1/people?page=2".to_owned(),
        header_map: Some(HeaderMap {
            headers: headers.map(header).to_vec(),
        }),
        ..HttpRequest::default()
    };
    let asks = ("required_scopes".to_owned(), fill::SCOPES[0].to_owned());
    envoy::CheckRequest {
        attributes: Some(envoy::AttributeContext {
            request: Some(Request {
                http: Some(http),
                ..Request::default()
            }),
            context_extensions: [asks].into(),
            ..envoy::AttributeContext::default()
        }),
    }
}

fn question(token: &str) -> Bytes {
    let request = CheckRequest {
        credential: format!("Bearer {token}"),
        required_scopes: vec![fill::SCOPES[0].to_owned()],
        ..CheckRequest::default()
    };
    frame(&request)
}

fn frame(message: &impl Message) -> Bytes {
    let length = message.encoded_len();
    let mut frame = BytesMut::with_capacity(PREFIX + length);
    frame.put_u8(0);
    frame.put_u32(u32::try_from(length).unwrap_or(u32::MAX));
    frame.put(message.encode_to_vec().as_slice());
    frame.freeze()
}
