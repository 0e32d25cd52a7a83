//! The path of a request, in one spelling.

use std::borrow::Cow;

use thiserror::Error;

use super::lookalikes::is_lookalike;

/// The most bytes that a path may have, without its query. It bounds what a
/// request can cost.
pub const MAX_PATH_LEN: usize = 8 * 1024;

/// The characters that can stand in a path as they are (RFC 3986: `pchar`),
/// besides letters and digits, but for `;`, which some servers cut paths off at.
const PLAIN: &[u8] = b"-._~!$&'()*+,=:@";

/// A path in one spelling: without query, without a slash at its end, and each
/// character that can stand as it is does so. What is left of escapes is in
/// capitals.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NormalPath<'a>(Cow<'a, str>);

/// Why a path is refused: it means nothing, or two parsers may read it in two
/// ways.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum PathRefusal {
    /// There is none, or it starts with something else than a slash.
    #[error("it does not start with `/`")]
    NoSlash,
    /// It is longer than [`MAX_PATH_LEN`].
    #[error("it is longer than {MAX_PATH_LEN} bytes")]
    TooLong,
    /// Two slashes follow each other.
    #[error("it has an empty segment (`//`)")]
    EmptySegment,
    /// A segment is of nothing but dots and spaces, in whatever encoding.
    #[error("it has a segment of nothing but dots (`..`), which leads elsewhere")]
    DotSegment,
    /// A backslash, semicolon or `#`.
    #[error("it has {0:?}, which some servers end a segment or a path at")]
    Delimiter(char),
    /// An escape that stands for a delimiter or a control character.
    #[error("it has an escaped delimiter or control character (%{0:02X})")]
    EscapedDelimiter(u8),
    /// A `%` without two hexadecimal digits.
    #[error("it has a `%` that is not followed by two hexadecimal digits")]
    BrokenEscape,
    /// What becomes an escape when it is decoded.
    #[error("it is escaped twice")]
    DoubleEscape,
    /// Escapes that are no UTF-8, such as the overlong `%C0%AE`.
    #[error("its escapes are not UTF-8")]
    NotUtf8,
    /// A character that some software reads as a delimiter, such as a full-width
    /// slash.
    #[error("it has U+{0:04X}, which some software reads as a delimiter")]
    Lookalike(u32),
    /// A character that has to be escaped in a path.
    #[error("it has a character that has to be escaped in a path")]
    Character,
}

impl<'a> NormalPath<'a> {
    /// Reads a path as a client sent it, with its query, which is cut off.
    /// Allocates if there are escapes in the path.
    ///
    /// # Errors
    ///
    /// [`PathRefusal`], if it means nothing, or not the same to everybody.
    pub fn read(raw: &'a str) -> Result<Self, PathRefusal> {
        let end = raw.find('?').unwrap_or(raw.len());
        let path = raw.get(..end).unwrap_or(raw);
        if path.len() > MAX_PATH_LEN {
            return Err(PathRefusal::TooLong);
        }
        if !path.starts_with('/') {
            return Err(PathRefusal::NoSlash);
        }
        let path = decode(path)?;
        let mut segments = path.split('/').skip(1).peekable();
        while let Some(segment) = segments.next() {
            check_segment(segment, segments.peek().is_none())?;
        }
        Ok(Self(without_last_slash(path)))
    }

    /// The path as text: `/` alone, or segments of which each has a `/` before it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The segments; `/` has none.
    pub fn segments(&self) -> impl Iterator<Item = &str> {
        self.rest().into_iter().flat_map(|rest| rest.split('/'))
    }

    /// All segments as one text; none: the path is `/`.
    pub(in crate::domain) fn rest(&self) -> Option<&str> {
        self.0.strip_prefix('/').filter(|rest| !rest.is_empty())
    }
}

/// One spelling for each character. Borrowed, if there are no escapes.
fn decode(path: &str) -> Result<Cow<'_, str>, PathRefusal> {
    if !path.contains('%') {
        path.bytes().try_for_each(check_plain)?;
        return Ok(path.into());
    }
    let bytes = path.as_bytes();
    let mut decoded = String::with_capacity(path.len());
    let mut utf8 = Vec::new();
    let mut at = 0;
    while let Some(byte) = bytes.get(at).copied() {
        if byte != b'%' {
            check_plain(byte)?;
            decoded.push(char::from(byte));
            at += 1;
            continue;
        }
        let escaped = escaped(bytes, at).ok_or(PathRefusal::BrokenEscape)?;
        at += ESCAPE_LEN;
        if !escaped.is_ascii() {
            utf8.push(escaped);
        } else if is_plain(escaped) {
            decoded.push(char::from(escaped));
        } else if escaped.is_ascii_control() || b"/\\;?#".contains(&escaped) {
            return Err(PathRefusal::EscapedDelimiter(escaped));
        } else {
            push_escape(&mut decoded, escaped);
        }
        // A run of them is one text.
        if !utf8.is_empty() && escaped_at(bytes, at).is_none_or(|next| next.is_ascii()) {
            check_utf8(&utf8)?;
            utf8.drain(..)
                .for_each(|byte| push_escape(&mut decoded, byte));
        }
    }
    check_single(&decoded)?;
    Ok(decoded.into())
}

/// How long an escape is: `%` and two digits.
const ESCAPE_LEN: usize = 3;

fn escaped_at(bytes: &[u8], at: usize) -> Option<u8> {
    (bytes.get(at) == Some(&b'%')).then(|| escaped(bytes, at))?
}

/// The byte that the escape at `at` stands for.
fn escaped(bytes: &[u8], at: usize) -> Option<u8> {
    let digit = |offset: usize| char::from(*bytes.get(at + offset)?).to_digit(16);
    u8::try_from(digit(1)? * 16 + digit(2)?).ok()
}

fn push_escape(text: &mut String, byte: u8) {
    text.push('%');
    for digit in [byte >> 4, byte & 0xf] {
        let digit = char::from_digit(digit.into(), 16).unwrap_or_default();
        text.push(digit.to_ascii_uppercase());
    }
}

/// Whether `byte` can stand in a segment as it is.
fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || PLAIN.contains(&byte)
}

fn check_plain(byte: u8) -> Result<(), PathRefusal> {
    match byte {
        b'/' => Ok(()),
        byte if is_plain(byte) => Ok(()),
        b'\\' | b';' | b'#' => Err(PathRefusal::Delimiter(char::from(byte))),
        _ => Err(PathRefusal::Character),
    }
}

fn check_utf8(bytes: &[u8]) -> Result<(), PathRefusal> {
    let text = std::str::from_utf8(bytes).map_err(|_| PathRefusal::NotUtf8)?;
    let found = text.chars().find(|character| is_lookalike(*character));
    found.map_or(Ok(()), |found| Err(PathRefusal::Lookalike(found.into())))
}

/// Refuses what is still, or once more, an escape when it is decoded again: a
/// server that decodes twice would find there what nobody has looked at.
fn check_single(decoded: &str) -> Result<(), PathRefusal> {
    let twice = decoded.match_indices("%25").any(|(at, escape)| {
        let behind = decoded.as_bytes().get(at + escape.len()..);
        let behind = behind.unwrap_or_default();
        // `%u002e` is an escape for some, and `%25%32` has two to come.
        behind.first().is_some_and(|byte| matches!(byte, b'u' | b'U'))
            || matches!(behind, [one, two, ..] if one.is_ascii_hexdigit() && two.is_ascii_hexdigit())
    });
    if twice {
        Err(PathRefusal::DoubleEscape)
    } else {
        Ok(())
    }
}

/// Refuses segments that lead elsewhere. A slash at the end of the path leaves an
/// empty last one, which is none.
fn check_segment(segment: &str, last: bool) -> Result<(), PathRefusal> {
    if segment.is_empty() {
        return if last {
            Ok(())
        } else {
            Err(PathRefusal::EmptySegment)
        };
    }
    // Windows cuts off spaces behind dots.
    let mut rest = segment;
    while let Some(shorter) = rest.strip_prefix('.').or_else(|| rest.strip_prefix("%20")) {
        rest = shorter;
    }
    if rest.is_empty() {
        Err(PathRefusal::DotSegment)
    } else {
        Ok(())
    }
}

fn without_last_slash(path: Cow<'_, str>) -> Cow<'_, str> {
    match path {
        Cow::Borrowed(path) => match path.strip_suffix('/') {
            Some(shorter) if !shorter.is_empty() => shorter.into(),
            Some(_) | None => path.into(),
        },
        Cow::Owned(mut path) => {
            if path.len() > 1 && path.ends_with('/') {
                path.pop();
            }
            path.into()
        }
    }
}

#[cfg(test)]
mod tests;
