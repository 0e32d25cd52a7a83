//! Requests that may be repeated and are carried out once: to issue a key, or
//! to adjust the credits of one.

use std::fmt;

use super::id::KeyId;
use super::violation::Violations;

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
    /// The key that was issued, or whose credits were adjusted.
    pub key: KeyId,
}

/// The longest id that a caller can give a request, in bytes.
pub const MAX_REQUEST_ID_LEN: usize = 64;

/// Notes it if `text` is neither empty nor the id of a request.
pub fn check_request_id(violations: &mut Violations, text: &str) {
    if !text.is_empty() && !is_request_id(text) {
        violations.add(
            "request_id",
            format!(
                "must be 1 to {MAX_REQUEST_ID_LEN} characters of A-Z, a-z, 0-9, `_`, `.` and `-`"
            ),
        );
    }
}

/// Whether a text can be the id of a request.
#[must_use]
pub fn is_request_id(text: &str) -> bool {
    (1..=MAX_REQUEST_ID_LEN).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b))
}
