//! Reads a `CheckRequest` where it lies, without copying or allocating.
//!
//! It differs from the generated reader in one way, which is on purpose: a
//! text that is not UTF-8 is an odd credential or an odd scope, which the
//! verdict denies, and no reason to fail the call.

use std::fmt;

use bytes::Buf;
use prost::DecodeError;
use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};

use crate::domain::due::{Demand, Named, USUAL_COST};
use crate::domain::verdict::Ask;

const CREDENTIAL: u32 = 1;
const WORKSPACE: u32 = 2;
const ENVIRONMENT: u32 = 3;
const REQUIRED_SCOPES: u32 = 4;
const LIMITS: u32 = 5;
const COST: u32 = 6;
const SOURCE_ADDRESS: u32 = 7;

/// Stands for a text that is not UTF-8: no workspace, environment, scope, limit
/// or address is spelled so.
const NOT_A_NAME: &str = "\0";

/// The bytes are not a protobuf message, or its fields are of other types.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct BrokenMessage;

impl From<DecodeError> for BrokenMessage {
    fn from(_: DecodeError) -> Self {
        Self
    }
}

/// A question, borrowed from the message that asks it.
#[derive(Clone, Copy)]
pub(super) struct Question<'a> {
    pub(super) credential: &'a [u8],
    pub(super) ask: Ask<'a, RequiredScopes<'a>>,
    pub(super) demand: Demand<'a>,
}

impl<'a> Question<'a> {
    /// Reads `message`, which fails only if it is not a protobuf message or
    /// its fields are not of the types of a `CheckRequest`.
    pub(super) fn read(message: &'a [u8]) -> Result<Self, BrokenMessage> {
        let (mut credential, mut workspace, mut environment) = (&[][..], &[][..], &[][..]);
        let mut source_address = &[][..];
        let (mut limits, mut cost) = (Named::default(), USUAL_COST);
        let mut rest = message;
        // As everywhere in protobuf, the last of several values counts.
        while let Some(field) = next_field(&mut rest)? {
            match field {
                (CREDENTIAL, Value::Bytes(value)) => credential = value,
                (WORKSPACE, Value::Bytes(value)) => workspace = value,
                (ENVIRONMENT, Value::Bytes(value)) => environment = value,
                (LIMITS, Value::Bytes(value)) => limits.add(text(value)),
                (COST, Value::Number(value)) => cost = low_half(value),
                (SOURCE_ADDRESS, Value::Bytes(value)) => source_address = value,
                _ => {}
            }
        }
        let required_scopes = RequiredScopes(message);
        let ask = Ask {
            workspace: name(workspace),
            environment: name(environment),
            required_scopes,
            source_address: name(source_address),
        };
        let demand = Demand { limits, cost };
        Ok(Self {
            credential,
            ask,
            demand,
        })
    }
}

/// Walks over the scope requirements of a message that was read before.
#[derive(Clone, Copy)]
pub(super) struct RequiredScopes<'a>(&'a [u8]);

impl fmt::Debug for RequiredScopes<'_> {
    /// Without the message, in which the credential is.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(*self).finish()
    }
}

impl<'a> Iterator for RequiredScopes<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        loop {
            match next_field(&mut self.0) {
                Ok(Some((REQUIRED_SCOPES, Value::Bytes(value)))) => return Some(text(value)),
                Ok(Some(_)) => {}
                // `Question::read` has been through the same bytes.
                Ok(None) | Err(_) => return None,
            }
        }
    }
}

/// The next field of a `CheckRequest`; those that are none of it are skipped.
fn next_field<'a>(rest: &mut &'a [u8]) -> Result<Option<(u32, Value<'a>)>, BrokenMessage> {
    while rest.has_remaining() {
        let field = take_field(rest)?;
        match field {
            (CREDENTIAL..=LIMITS | SOURCE_ADDRESS, Value::Bytes(_)) | (COST, Value::Number(_)) => {
                return Ok(Some(field));
            }
            (CREDENTIAL..=SOURCE_ADDRESS, _) => return Err(BrokenMessage),
            (_, _) => {}
        }
    }
    Ok(None)
}

/// What a field holds.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Value<'a> {
    /// A varint.
    Number(u64),
    /// A text or a message.
    Bytes(&'a [u8]),
    /// What no field that is read here has.
    Other,
}

/// The field that `rest` starts with, by its tag.
#[inline]
pub(super) fn take_field<'a>(rest: &mut &'a [u8]) -> Result<(u32, Value<'a>), BrokenMessage> {
    let (tag, wire_type) = decode_key(rest)?;
    let value = match wire_type {
        WireType::LengthDelimited => Value::Bytes(take_text(rest)?),
        WireType::Varint => Value::Number(decode_varint(rest)?),
        WireType::ThirtyTwoBit
        | WireType::SixtyFourBit
        | WireType::StartGroup
        | WireType::EndGroup => {
            skip_field(wire_type, tag, rest, DecodeContext::default())?;
            Value::Other
        }
    };
    Ok((tag, value))
}

fn take_text<'a>(rest: &mut &'a [u8]) -> Result<&'a [u8], BrokenMessage> {
    let length = usize::try_from(decode_varint(rest)?).map_err(|_| BrokenMessage)?;
    let (value, behind) = rest.split_at_checked(length).ok_or(BrokenMessage)?;
    *rest = behind;
    Ok(value)
}

/// Empty is the same as absent.
fn name(bytes: &[u8]) -> Option<&str> {
    (!bytes.is_empty()).then(|| text(bytes))
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap_or(NOT_A_NAME)
}

/// A `uint32`, of which protobuf keeps no more than that.
fn low_half(number: u64) -> u32 {
    u32::try_from(number & u64::from(u32::MAX)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edge::pb;
    use proptest::prelude::*;
    use prost::Message;

    fn same(message: &[u8], expected: &pb::CheckRequest) {
        let question = Question::read(message).unwrap();
        assert_eq!(question.credential, expected.credential.as_bytes());
        assert_eq!(
            question.ask.workspace.unwrap_or_default(),
            expected.workspace
        );
        assert_eq!(
            question.ask.environment.unwrap_or_default(),
            expected.environment
        );
        assert_eq!(
            question.ask.source_address.unwrap_or_default(),
            expected.source_address
        );
        assert!(
            question
                .ask
                .required_scopes
                .eq(expected.required_scopes.iter().map(String::as_str))
        );
        let mut limits = Named::default();
        expected.limits.iter().for_each(|name| limits.add(name));
        assert_eq!(
            format!("{:?}", question.demand.limits),
            format!("{limits:?}")
        );
        assert_eq!(question.demand.cost, expected.cost.unwrap_or(1));
    }

    proptest! {
        #[test]
        fn a_request_reads_as_the_generated_reader_reads_it(
            credential in ".{0,40}",
            workspace in ".{0,10}",
            environment in ".{0,10}",
            required_scopes in proptest::collection::vec(".{0,10}", 0..5),
            limits in proptest::collection::vec("[ab]{0,2}|.{0,9}", 0..12),
            cost in proptest::option::of(prop_oneof![0..3_u32, any::<u32>()]),
            source_address in ".{0,10}",
        ) {
            let request = pb::CheckRequest {
                credential,
                workspace,
                environment,
                required_scopes,
                limits,
                cost,
                source_address,
            };
            same(&request.encode_to_vec(), &request);
        }

        #[test]
        fn any_bytes_are_read_as_the_generated_reader_reads_them(
            message in proptest::collection::vec(prop_oneof![0_u8..64, any::<u8>()], 0..40),
        ) {
            match (Question::read(&message), pb::CheckRequest::decode(message.as_slice())) {
                (Ok(_), Ok(expected)) => same(&message, &expected),
                (Err(_), Err(_)) => {}
                // The one difference: texts that are not UTF-8 do not fail.
                (Ok(_), Err(error)) => prop_assert!(error.to_string().contains("UTF-8"), "{}", error),
                (Err(_), Ok(expected)) => prop_assert!(false, "refused what reads as {:?}", expected),
            }
        }
    }

    #[test]
    fn the_last_of_several_values_counts() {
        let first = pb::CheckRequest {
            workspace: "a".into(),
            required_scopes: vec!["x".into()],
            ..Default::default()
        };
        let second = pb::CheckRequest {
            workspace: "b".into(),
            required_scopes: vec!["y".into()],
            ..Default::default()
        };
        let message = [first.encode_to_vec(), second.encode_to_vec()].concat();
        same(
            &message,
            &pb::CheckRequest::decode(message.as_slice()).unwrap(),
        );
        assert_eq!(Question::read(&message).unwrap().ask.workspace, Some("b"));
    }

    #[test]
    fn a_cost_is_read_as_protobuf_reads_it() {
        for message in [
            &[][..],
            &[0x30, 0],
            &[0x30, 3],
            &[0x30, 3, 0x30, 1],
            // More than fits: protobuf cuts it off, and so a client that wrote
            // that would be read by others.
            &[0x30, 0x85, 0x80, 0x80, 0x80, 0x10],
        ] {
            same(message, &pb::CheckRequest::decode(message).unwrap());
        }
        for broken in [&[0x32, 1, b'x'][..], &[0x28, 1], &[0x35, 0, 0, 0, 0]] {
            assert!(Question::read(broken).is_err());
            assert!(pb::CheckRequest::decode(broken).is_err());
        }
    }

    #[test]
    fn a_text_that_is_not_utf8_names_nothing() {
        let question = Question::read(&[0x12, 1, 0xff, 0x22, 1, 0xff]).unwrap();
        assert_eq!(question.ask.workspace, Some(NOT_A_NAME));
        assert!(question.ask.required_scopes.eq([NOT_A_NAME]));
    }

    #[test]
    fn the_credential_is_not_in_debug_output() {
        let request = pb::CheckRequest {
            credential: "Bearer secret".into(),
            required_scopes: vec!["a:b".into()],
            ..Default::default()
        };
        let message = request.encode_to_vec();
        let batch = pb::CheckBatchRequest {
            checks: vec![request.clone()],
        };
        let one_of_many = pb::CheckStreamRequest {
            id: 1,
            check: Some(request.clone()),
        };
        let ask = Question::read(&message).unwrap().ask;
        let printed = format!("{ask:?} {request:?} {batch:?} {one_of_many:?}");
        assert!(printed.contains("a:b"), "{printed}");
        assert!(
            !printed.contains("secret") && !printed.contains("115"),
            "{printed}"
        );
    }

    #[test]
    fn nothing_is_allocated() {
        let request = pb::CheckRequest {
            credential: "Bearer x".into(),
            workspace: "w".into(),
            environment: "live".into(),
            required_scopes: vec!["a:b".into(); 40],
            limits: vec!["read".into(), "write".into()],
            cost: Some(2),
            source_address: "10.0.0.1".into(),
        };
        let message = request.encode_to_vec();
        let allocations = allocation_counter::measure(|| {
            let question = Question::read(&message).unwrap();
            assert_eq!(question.ask.required_scopes.count(), 40);
            assert_eq!(question.demand.limits.as_slice(), ["read", "write"]);
        });
        assert_eq!(allocations.count_total, 0);
    }
}
