//! Reads a `CheckRequest` where it lies, without copying or allocating.
//!
//! It differs from the generated reader in one way, which is on purpose: a
//! text that is not UTF-8 is an odd credential or an odd scope, which the
//! verdict denies, and no reason to fail the call.

use std::fmt;

use bytes::Buf;
use prost::DecodeError;
use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};

use crate::domain::verdict::Ask;

const CREDENTIAL: u32 = 1;
const WORKSPACE: u32 = 2;
const ENVIRONMENT: u32 = 3;
const REQUIRED_SCOPES: u32 = 4;
const SOURCE_ADDRESS: u32 = 7;

/// Stands for a text that is not UTF-8: no workspace, environment, scope or
/// address is spelled so.
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
}

impl<'a> Question<'a> {
    /// Reads `message`, which fails only if it is not a protobuf message or
    /// its fields are not of the types of a `CheckRequest`.
    pub(super) fn read(message: &'a [u8]) -> Result<Self, BrokenMessage> {
        let (mut credential, mut workspace, mut environment) = (&[][..], &[][..], &[][..]);
        let mut source_address = &[][..];
        let mut rest = message;
        // As everywhere in protobuf, the last of several values counts.
        while let Some((tag, value)) = next_field(&mut rest)? {
            match tag {
                CREDENTIAL => credential = value,
                WORKSPACE => workspace = value,
                ENVIRONMENT => environment = value,
                SOURCE_ADDRESS => source_address = value,
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
        Ok(Self { credential, ask })
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
                Ok(Some((REQUIRED_SCOPES, value))) => {
                    return Some(std::str::from_utf8(value).unwrap_or(NOT_A_NAME));
                }
                Ok(Some(_)) => {}
                // `Question::read` has been through the same bytes.
                Ok(None) | Err(_) => return None,
            }
        }
    }
}

/// The next field of a `CheckRequest` that has a text; others are skipped.
fn next_field<'a>(rest: &mut &'a [u8]) -> Result<Option<(u32, &'a [u8])>, BrokenMessage> {
    while rest.has_remaining() {
        let (tag, value) = take_field(rest)?;
        match value {
            Value::Bytes(value) => return Ok(Some((tag, value))),
            _ if matches!(tag, CREDENTIAL..=REQUIRED_SCOPES | SOURCE_ADDRESS) => {
                return Err(BrokenMessage);
            }
            Value::Number(_) | Value::Other => {}
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
fn name(text: &[u8]) -> Option<&str> {
    if text.is_empty() {
        None
    } else {
        Some(std::str::from_utf8(text).unwrap_or(NOT_A_NAME))
    }
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
    }

    proptest! {
        #[test]
        fn a_request_reads_as_the_generated_reader_reads_it(
            credential in ".{0,40}",
            workspace in ".{0,10}",
            environment in ".{0,10}",
            required_scopes in proptest::collection::vec(".{0,10}", 0..5),
            source_address in ".{0,10}",
        ) {
            let request = pb::CheckRequest {
                credential,
                workspace,
                environment,
                required_scopes,
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
            source_address: "10.0.0.1".into(),
        };
        let message = request.encode_to_vec();
        let allocations = allocation_counter::measure(|| {
            let question = Question::read(&message).unwrap();
            assert_eq!(question.ask.required_scopes.count(), 40);
        });
        assert_eq!(allocations.count_total, 0);
    }
}
