//! Writes a `CheckResponse` straight from the index.
//!
//! The fields are described once and walked over twice: to measure nested
//! messages, and to write them. A test holds the result against the generated
//! reader.

use bytes::{BufMut, Bytes, BytesMut};
use prost::encoding::{WireType, encode_key, encode_varint, encoded_len_varint, key_len};

use crate::domain::clock::Timestamp;
use crate::domain::credits::CreditsLeft;
use crate::domain::due::Reading;
use crate::domain::id::ID_LEN;
use crate::domain::scope::{MAX_REQUIREMENT_LEN, ScopeSet};
use crate::domain::verdict::{DenialReason, MAX_REQUIREMENTS, Standing, Verdict, unmet};
use crate::index::IndexedKey;
use crate::service::checker::Outcome;

use super::pb;
use super::question::RequiredScopes;

mod limits;

pub(super) use limits::retry_delay;

/// Writes the answer to a check whose requirements were `required_scopes`.
pub(super) fn write(outcome: Outcome<'_>, required_scopes: RequiredScopes<'_>) -> Bytes {
    let mut buffer = BytesMut::new();
    append(&mut buffer, &[], outcome, required_scopes);
    buffer.freeze()
}

/// Appends the answer to a check whose requirements were `required_scopes`, as
/// a field of a message round it: `within` is the path to that field, by tags.
pub(super) fn append(
    buffer: &mut BytesMut,
    within: &[u32],
    outcome: Outcome<'_>,
    required_scopes: RequiredScopes<'_>,
) {
    let Outcome {
        limits, credits, ..
    } = outcome;
    let found = outcome.key.zip(outcome.standing);
    match (outcome.verdict, found.zip(outcome.effective)) {
        (Verdict::Allowed, Some(((key, standing), effective))) => {
            let scopes = effective.scopes();
            let token = outcome.rotating.map(|rotating| PresentedToken {
                hint: key.hint(),
                superseded: rotating.superseded(),
                end_time: rotating.end_time().filter(|_| rotating.superseded()),
            });
            let allowed = Allowed {
                key,
                workspace: standing.workspace,
                environment: standing.environment,
                scopes: &scopes,
                limits,
                credits,
                token,
            };
            enclose(buffer, within, ALLOWED, &allowed);
        }
        // It cannot be that nobody is allowed; if it were, it would not pass.
        (Verdict::Allowed, None) => enclose(
            buffer,
            within,
            DENIED,
            &Denied::new(DenialReason::Unknown, None, required_scopes, (&[], None)),
        ),
        (Verdict::Denied(reason), _) => {
            let denied = Denied::new(reason, found, required_scopes, (limits, credits));
            enclose(buffer, within, DENIED, &denied);
        }
    }
}

// The fields of CheckResponse.
const ALLOWED: u32 = 1;
const DENIED: u32 = 2;

/// Appends `message` as the field `tag` of the message at the path `within`.
pub(super) fn enclose(buffer: &mut BytesMut, within: &[u32], tag: u32, message: &impl Message) {
    let mut length = Length(0);
    message.tell(&mut length);
    let length = length.0;
    let innermost = enclosed_len(&[tag], length);
    buffer.reserve(enclosed_len(within, innermost));
    for depth in 0..within.len() {
        let inner = enclosed_len(&within[depth + 1..], innermost);
        open(buffer, within[depth], inner);
    }
    open(buffer, tag, length);
    message.tell(buffer);
}

/// What precedes a message of this length that is the field `tag`.
fn open(buffer: &mut BytesMut, tag: u32, length: usize) {
    encode_key(tag, WireType::LengthDelimited, buffer);
    encode_varint(length as u64, buffer);
}

/// The length of `length` bytes at the end of the path `within`.
fn enclosed_len(within: &[u32], length: usize) -> usize {
    within.iter().rev().fold(length, |length, &tag| {
        key_len(tag) + encoded_len_varint(length as u64) + length
    })
}

/// The wire value of a reason.
const fn wire_reason(reason: DenialReason) -> pb::DenialReason {
    match reason {
        DenialReason::Missing => pb::DenialReason::Missing,
        DenialReason::Malformed => pb::DenialReason::Malformed,
        DenialReason::Unknown => pb::DenialReason::Unknown,
        DenialReason::WorkspaceRequired => pb::DenialReason::WorkspaceRequired,
        DenialReason::Revoked => pb::DenialReason::Revoked,
        DenialReason::Expired => pb::DenialReason::Expired,
        DenialReason::Disabled => pb::DenialReason::Disabled,
        DenialReason::Environment => pb::DenialReason::Environment,
        DenialReason::SourceAddress => pb::DenialReason::SourceAddress,
        DenialReason::InsufficientScope => pb::DenialReason::InsufficientScope,
        DenialReason::UnknownLimit => pb::DenialReason::UnknownLimit,
        DenialReason::RateLimited => pb::DenialReason::RateLimited,
        DenialReason::CreditsExhausted => pb::DenialReason::CreditsExhausted,
    }
}

/// The name of a reason, as in `INSUFFICIENT_SCOPE`.
pub(super) fn reason_name(reason: DenialReason) -> &'static str {
    let name = wire_reason(reason).as_str_name();
    name.trim_start_matches("DENIAL_REASON_")
}

/// A message that can tell its fields.
pub(super) trait Message {
    fn tell(&self, fields: &mut impl Fields);
}

/// What fields are told to.
pub(super) trait Fields: Sized {
    /// A varint; 0 is left out, as proto3 has it.
    fn number(&mut self, tag: u32, value: u64);
    /// Bytes behind their length, empty or not.
    fn entry(&mut self, tag: u32, value: &[u8]);
    /// A message in a message.
    fn nested(&mut self, tag: u32, message: &impl Message);

    /// A text; an empty one is left out, as proto3 has it.
    fn text(&mut self, tag: u32, value: &str) {
        if !value.is_empty() {
            self.entry(tag, value.as_bytes());
        }
    }
}

/// Measures.
struct Length(usize);

impl Fields for Length {
    fn number(&mut self, tag: u32, value: u64) {
        if value != 0 {
            self.0 += key_len(tag) + encoded_len_varint(value);
        }
    }

    fn entry(&mut self, tag: u32, value: &[u8]) {
        self.0 += key_len(tag) + encoded_len_varint(value.len() as u64) + value.len();
    }

    fn nested(&mut self, tag: u32, message: &impl Message) {
        let mut inner = Self(0);
        message.tell(&mut inner);
        self.0 += key_len(tag) + encoded_len_varint(inner.0 as u64) + inner.0;
    }
}

/// Writes.
impl Fields for BytesMut {
    fn number(&mut self, tag: u32, value: u64) {
        if value != 0 {
            encode_key(tag, WireType::Varint, self);
            encode_varint(value, self);
        }
    }

    fn entry(&mut self, tag: u32, value: &[u8]) {
        open(self, tag, value.len());
        self.put_slice(value);
    }

    fn nested(&mut self, tag: u32, message: &impl Message) {
        let mut length = Length(0);
        message.tell(&mut length);
        open(self, tag, length.0);
        message.tell(self);
    }
}

struct Allowed<'k> {
    key: &'k IndexedKey,
    workspace: &'k str,
    environment: &'k str,
    scopes: &'k ScopeSet,
    limits: &'k [Reading],
    token: Option<PresentedToken>,
    credits: Option<CreditsLeft>,
}

impl Message for Allowed<'_> {
    fn tell(&self, fields: &mut impl Fields) {
        let key = self.key;
        fields.text(1, key.id().write(&mut [0; ID_LEN]));
        fields.text(2, key.name());
        fields.text(3, key.principal());
        fields.text(4, self.workspace);
        fields.text(5, self.environment);
        for scope in self.scopes.iter() {
            fields.entry(6, scope.as_str().as_bytes());
        }
        for (name, value) in key.metadata() {
            fields.nested(7, &MapEntry { name, value });
        }
        if let Some(expiry) = key.expire_time() {
            fields.nested(8, &expiry);
        }
        for limit in self.limits {
            fields.nested(9, limit);
        }
        if let Some(token) = &self.token {
            fields.nested(11, token);
        }
        if let Some(credits) = self.credits {
            fields.nested(10, &credits);
        }
    }
}

/// Which of two tokens that work it was.
struct PresentedToken {
    hint: String,
    superseded: bool,
    end_time: Option<Timestamp>,
}

impl Message for PresentedToken {
    fn tell(&self, fields: &mut impl Fields) {
        fields.text(1, &self.hint);
        fields.number(2, u64::from(self.superseded));
        if let Some(end) = &self.end_time {
            fields.nested(3, end);
        }
    }
}

struct MapEntry<'k> {
    name: &'k str,
    value: &'k str,
}

impl Message for MapEntry<'_> {
    fn tell(&self, fields: &mut impl Fields) {
        fields.text(1, self.name);
        fields.text(2, self.value);
    }
}

impl Message for CreditsLeft {
    fn tell(&self, fields: &mut impl Fields) {
        fields.number(1, self.remaining);
        if let Some(time) = self.refill_time {
            fields.nested(2, &time);
        }
    }
}

/// A `google.protobuf.Timestamp`.
impl Message for Timestamp {
    fn tell(&self, fields: &mut impl Fields) {
        fields.number(1, self.as_micros() / 1_000_000);
        fields.number(2, self.as_micros() % 1_000_000 * 1_000);
    }
}

struct Denied<'k> {
    reason: DenialReason,
    /// The key and its hint.
    key: Option<(&'k IndexedKey, String)>,
    missing_scopes: Vec<&'k str>,
    limits: &'k [Reading],
    credits: Option<CreditsLeft>,
}

impl<'k> Denied<'k> {
    fn new(
        reason: DenialReason,
        found: Option<(&'k IndexedKey, Standing<'k>)>,
        required_scopes: RequiredScopes<'k>,
        (limits, credits): (&'k [Reading], Option<CreditsLeft>),
    ) -> Self {
        let missing_scopes = match (reason, &found) {
            (DenialReason::InsufficientScope, Some((_, standing))) => {
                unmet(&standing.scopes, required_scopes)
                    .filter(|requirement| requirement.len() <= MAX_REQUIREMENT_LEN)
                    .take(MAX_REQUIREMENTS)
                    .collect()
            }
            (_, _) => Vec::new(),
        };
        Self {
            reason,
            key: found.map(|(key, _)| (key, key.hint())),
            missing_scopes,
            limits,
            credits,
        }
    }
}

impl Message for Denied<'_> {
    fn tell(&self, fields: &mut impl Fields) {
        fields.number(1, wire_reason(self.reason) as u64);
        fields.number(2, u64::from(self.reason.http_status()));
        let Some((key, hint)) = &self.key else { return };
        for requirement in &self.missing_scopes {
            fields.entry(3, requirement.as_bytes());
        }
        fields.text(4, key.id().write(&mut [0; ID_LEN]));
        fields.text(5, hint);
        for limit in self.limits {
            fields.nested(6, limit);
        }
        let retry = self.credits.and_then(|credits| credits.retry_delay);
        if let Some(credits) = self.credits {
            fields.nested(7, &credits);
        }
        if let Some(delay) = retry_delay(self.limits).or(retry) {
            fields.nested(8, &delay);
        }
    }
}
