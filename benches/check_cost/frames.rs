//! The messages that are sent, built before anything is measured.

use std::cell::Cell;

use bytes::{BufMut, Bytes, BytesMut};
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

fn question(token: &str) -> Bytes {
    let request = CheckRequest {
        credential: format!("Bearer {token}"),
        required_scopes: vec![fill::SCOPES[0].to_owned()],
        ..CheckRequest::default()
    };
    let length = request.encoded_len();
    let mut frame = BytesMut::with_capacity(PREFIX + length);
    frame.put_u8(0);
    frame.put_u32(u32::try_from(length).unwrap_or(u32::MAX));
    frame.put(request.encode_to_vec().as_slice());
    frame.freeze()
}
