//! Reads an `envoy.service.auth.v3.CheckRequest` where it lies, without copying
//! or allocating: the few of its fields that count.
//!
//! It differs from the generated reader on purpose. Texts need not be UTF-8, and
//! fields that do not count may hold anything: neither fails the call. What comes
//! twice in a map, which no writer of maps writes, came twice.

use crate::edge::gateway::{Asked, Found, Headers, text};
use crate::edge::question::{BrokenMessage, Value, take_field};

/// What a field that counts holds.
enum Shape {
    /// A text, or bytes.
    Text,
    /// A message, with these fields that count.
    Message(Fields),
}

/// Fields by their tags.
type Fields = &'static [(u32, Shape)];

// The fields of CheckRequest.
const ATTRIBUTES: u32 = 1;
// Of AttributeContext.
const SOURCE: u32 = 1;
const REQUEST: u32 = 4;
const CONTEXT_EXTENSIONS: u32 = 10;
// Of Peer.
const ADDRESS: u32 = 1;
// Of Address.
const SOCKET_ADDRESS: u32 = 1;
const PIPE: u32 = 2;
const INTERNAL_ADDRESS: u32 = 3;
// Of SocketAddress.
const IP: u32 = 2;
// Of Request.
const HTTP: u32 = 2;
// Of HttpRequest.
const METHOD: u32 = 2;
const HEADERS: u32 = 3;
const PATH: u32 = 4;
const HOST: u32 = 5;
const HEADER_MAP: u32 = 13;
// Of HeaderMap.
const LIST: u32 = 1;
// Of HeaderValue, and of an entry of a map.
const KEY: u32 = 1;
const VALUE: u32 = 2;
const RAW_VALUE: u32 = 3;

const CHECK_REQUEST: Fields = &[(ATTRIBUTES, Shape::Message(ATTRIBUTE_CONTEXT))];
const ATTRIBUTE_CONTEXT: Fields = &[
    (SOURCE, Shape::Message(PEER)),
    (
        REQUEST,
        Shape::Message(&[(HTTP, Shape::Message(HTTP_REQUEST))]),
    ),
    (CONTEXT_EXTENSIONS, Shape::Message(ENTRY)),
];
const PEER: Fields = &[(
    ADDRESS,
    Shape::Message(&[(SOCKET_ADDRESS, Shape::Message(IP_AND_PORT))]),
)];
const IP_AND_PORT: Fields = &[(IP, Shape::Text)];
const HTTP_REQUEST: Fields = &[
    (METHOD, Shape::Text),
    (HEADERS, Shape::Message(ENTRY)),
    (PATH, Shape::Text),
    (HOST, Shape::Text),
    (
        HEADER_MAP,
        Shape::Message(&[(LIST, Shape::Message(HEADER_VALUE))]),
    ),
];
const ENTRY: Fields = &[(KEY, Shape::Text), (VALUE, Shape::Text)];
const HEADER_VALUE: Fields = &[
    (KEY, Shape::Text),
    (VALUE, Shape::Text),
    (RAW_VALUE, Shape::Text),
];

/// A request that was read.
#[derive(Clone, Copy)]
pub(super) struct CheckRequest<'a>(&'a [u8]);

impl<'a> CheckRequest<'a> {
    /// Reads `message`, which fails only if it is not a protobuf message or fields
    /// that count are not of their types.
    pub(super) fn read(message: &'a [u8]) -> Result<Self, BrokenMessage> {
        verify(message, CHECK_REQUEST)?;
        Ok(Self(message))
    }

    /// The request that Envoy asks about.
    pub(super) fn asked(self) -> Asked<'a, RequestHeaders<'a>> {
        // As everywhere in protobuf, the last of several values counts.
        let last = |tag| {
            let values = self.http().flat_map(|http| within(http, tag));
            text(values.last().unwrap_or_default())
        };
        Asked {
            method: last(METHOD),
            host: last(HOST),
            path: last(PATH),
            headers: RequestHeaders(self),
            source_address: self.source_address(),
        }
    }

    /// What the route's configuration says.
    pub(super) fn pairs(self) -> impl Iterator<Item = (&'a str, &'a str)> + Clone {
        within(self.0, ATTRIBUTES)
            .flat_map(|attributes| within(attributes, CONTEXT_EXTENSIONS))
            .map(|entry| (text(last(entry, KEY)), text(last(entry, VALUE))))
    }

    fn http(self) -> impl Iterator<Item = &'a [u8]> + Clone {
        within(self.0, ATTRIBUTES)
            .flat_map(|attributes| within(attributes, REQUEST))
            .flat_map(|request| within(request, HTTP))
    }

    /// The address of the connection's other end, if it has one: that of a pipe
    /// tells nothing.
    fn source_address(self) -> Option<&'a str> {
        let addresses = within(self.0, ATTRIBUTES)
            .flat_map(|attributes| within(attributes, SOURCE))
            .flat_map(|peer| within(peer, ADDRESS));
        let mut known = None;
        for (tag, value) in addresses.flat_map(Parts) {
            match (tag, value) {
                (SOCKET_ADDRESS, Value::Bytes(socket)) => {
                    let ip = within(socket, IP).last();
                    known = ip.or(known);
                }
                // It is one of these, and the last counts.
                (PIPE | INTERNAL_ADDRESS, _) => known = None,
                _ => {}
            }
        }
        known.filter(|ip| !ip.is_empty()).map(text)
    }
}

/// The headers of the request: merged ones by name, or each as it was, depending
/// on how Envoy is set up; or both.
#[derive(Clone, Copy)]
pub(super) struct RequestHeaders<'a>(CheckRequest<'a>);

impl<'a> Headers<'a> for RequestHeaders<'a> {
    fn find(self, name: &str) -> Found<'a> {
        let is_it = |key: &[u8]| key.eq_ignore_ascii_case(name.as_bytes());
        let (mut merged, mut raw) = (Found::Nothing, Found::Nothing);
        for (tag, value) in self.0.http().flat_map(Parts) {
            match (tag, value) {
                (HEADERS, Value::Bytes(entry)) if is_it(last(entry, KEY)) => {
                    merged = one_more(merged, Found::One(last(entry, VALUE)));
                }
                (HEADER_MAP, Value::Bytes(list)) => {
                    for header in within(list, LIST) {
                        if is_it(last(header, KEY)) {
                            raw = one_more(raw, value_of(header));
                        }
                    }
                }
                _ => {}
            }
        }
        // A header that is told in both ways is one.
        if merged == raw {
            merged
        } else {
            one_more(merged, raw)
        }
    }
}

/// The value of a header, which is told as text or as bytes.
fn value_of(header: &[u8]) -> Found<'_> {
    match (last(header, VALUE), last(header, RAW_VALUE)) {
        (value, b"") => Found::One(value),
        (value, raw) if value.is_empty() || value == raw => Found::One(raw),
        (_, _) => Found::Several,
    }
}

const fn one_more<'a>(before: Found<'a>, next: Found<'a>) -> Found<'a> {
    match (before, next) {
        (Found::Nothing, found) | (found, Found::Nothing) => found,
        (_, _) => Found::Several,
    }
}

/// Whether `message` is one, and its `fields` are of their types.
fn verify(message: &[u8], fields: Fields) -> Result<(), BrokenMessage> {
    let mut rest = message;
    while !rest.is_empty() {
        let (tag, value) = take_field(&mut rest)?;
        let shape = fields.iter().find(|(field, _)| *field == tag);
        match (shape, value) {
            (None, _) | (Some((_, Shape::Text)), Value::Bytes(_)) => {}
            (Some((_, Shape::Message(fields))), Value::Bytes(inner)) => verify(inner, fields)?,
            (Some(_), Value::Number(_) | Value::Other) => return Err(BrokenMessage),
        }
    }
    Ok(())
}

/// The fields of a message that was verified.
#[derive(Clone, Copy)]
struct Parts<'a>(&'a [u8]);

impl<'a> Iterator for Parts<'a> {
    type Item = (u32, Value<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        take_field(&mut self.0).ok()
    }
}

/// What the fields `tag` of `message` hold.
fn within(message: &[u8], tag: u32) -> impl Iterator<Item = &[u8]> + Clone {
    Parts(message).filter_map(move |(field, value)| match value {
        Value::Bytes(bytes) if field == tag => Some(bytes),
        Value::Bytes(_) | Value::Number(_) | Value::Other => None,
    })
}

/// What the last of the fields `tag` of `message` holds; nothing, if there is
/// none.
fn last(message: &[u8], tag: u32) -> &[u8] {
    within(message, tag).last().unwrap_or_default()
}

#[cfg(test)]
mod tests;
