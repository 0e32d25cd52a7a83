//! Requests to issue a key that may be repeated without issuing a second one.

use std::fmt;

use super::id::KeyId;

/// Which request: the keyed hash of who asked and of the id that he gave it,
/// so that nobody meets another's.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct RequestId(pub [u8; 16]);

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A request that was carried out.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct IssueRequest {
    /// Which.
    pub id: RequestId,
    /// The keyed hash of all that was asked for.
    pub content: [u8; 16],
    /// The key that was issued.
    pub key: KeyId,
}

/// The longest id that a caller can give a request, in bytes.
pub const MAX_REQUEST_ID_LEN: usize = 64;

/// Whether a text can be the id of a request.
#[must_use]
pub fn is_request_id(text: &str) -> bool {
    (1..=MAX_REQUEST_ID_LEN).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b))
}
