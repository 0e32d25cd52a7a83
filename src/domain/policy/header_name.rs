//! Names of HTTP headers, as operators write them.

use thiserror::Error;

/// The longest name of a header, in bytes.
pub(super) const MAX_HEADER_NAME_LEN: usize = 100;

/// The text is not the name of a header.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[error(
    "is not the name of a header: 1 to {MAX_HEADER_NAME_LEN} letters, digits and `!#$%&'*+-.^_|~`"
)]
pub(super) struct InvalidHeaderName;

/// The name in lower case, in which gateways hand it over.
pub(super) fn header_name(text: &str) -> Result<Box<str>, InvalidHeaderName> {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    let fits = (1..=MAX_HEADER_NAME_LEN).contains(&text.len());
    if fits && text.bytes().all(is_token) {
        Ok(text.to_ascii_lowercase().into())
    } else {
        Err(InvalidHeaderName)
    }
}
