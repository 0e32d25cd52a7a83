//! The protocols that a listener speaks.

/// What the clients of one connection speak.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Protocol {
    /// One request after the other.
    Http1,
    /// Many at a time.
    Http2,
}

/// What the clients of a listener may speak.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Protocols {
    /// gRPC, which is HTTP/2.
    Grpc,
    /// HTTP, by either version.
    Http,
}

impl Protocols {
    /// How they are called when TLS agrees on one, the better first.
    pub(super) fn alpn(self) -> Vec<Vec<u8>> {
        let names: &[&[u8]] = match self {
            Self::Grpc => &[b"h2"],
            Self::Http => &[b"h2", b"http/1.1"],
        };
        names.iter().map(|name| name.to_vec()).collect()
    }

    /// Whether a client may speak HTTP/1.
    pub(super) const fn has_http1(self) -> bool {
        matches!(self, Self::Http)
    }

    /// The headers of one request, in bytes.
    ///
    /// What gRPC asks about is in the message, so that what is here is but tokens
    /// of operators and traces. Over HTTP, gateways hand on what their clients
    /// sent, of which they take up to so much.
    pub(super) const fn max_headers(self) -> u32 {
        match self {
            Self::Grpc => 16 * 1024,
            Self::Http => 64 * 1024,
        }
    }
}
