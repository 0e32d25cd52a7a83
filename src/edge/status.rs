//! Every gRPC status that keyward sends is made here.

use std::collections::BTreeMap;

use prost::Message;
use prost_types::{Any, Duration};
use tonic::codegen::StdError;
use tonic::codegen::http::HeaderMap;
use tonic::{Code, Status};
use tonic_types::pb::bad_request::FieldViolation;
use tonic_types::pb::precondition_failure::Violation;
use tonic_types::pb::{
    BadRequest, PreconditionFailure, ResourceInfo, RetryInfo, Status as RpcStatus,
};

use crate::domain::violation::{MAX_TOLD, Violations};
use crate::service::error::{Condition, Kind, RegistryError};

use super::pb::ErrorReason;

const DOMAIN: &str = "keyward";

/// When a call that lost to others, or to a store that takes no changes, may
/// be tried again at the earliest.
const RETRY_DELAY: Duration = Duration {
    seconds: 1,
    nanos: 0,
};

/// How many of them the sentence for people tells.
const MAX_TOLD_IN_MESSAGE: usize = 3;

/// When a caller who was turned away may try again: soon, for calls are short,
/// but not at once.
const OVERLOAD_DELAY: Duration = Duration {
    seconds: 0,
    nanos: 100_000_000,
};

/// The status of a method that does not exist.
pub(super) fn unimplemented() -> Status {
    Status::unimplemented("there is no such method")
}

/// The status of bytes that are not the `message` that they should be.
pub(super) fn broken_message(message: &str) -> Status {
    Status::invalid_argument(format!("the request is not a keyward.v1.{message}"))
}

/// The status of bytes that no Envoy has written.
pub(super) fn broken_check_request() -> Status {
    Status::invalid_argument("the request is not an envoy.service.auth.v3.CheckRequest")
}

/// The code that an answer with these headers has; none, if it comes later.
pub(super) fn code_of(headers: &HeaderMap) -> Option<Code> {
    Status::from_header_map(headers).map(|status| status.code())
}

/// The status of a request with fields that are not acceptable.
pub(super) fn invalid(violations: Violations) -> Status {
    of(&RegistryError::Invalid(violations))
}

/// The status of a call whose deadline, as its client set it, has passed.
pub(super) fn deadline_exceeded() -> Status {
    Status::deadline_exceeded("the call's deadline passed before it was answered")
}

/// The status of a conversation that ends well, as its connection does.
pub(super) fn ended() -> Status {
    Status::ok("the connection ends: go on over another")
}

/// The status of a call whose request did not arrive in time.
pub(super) fn received_too_slowly() -> Status {
    Status::deadline_exceeded("the request did not arrive whole in the time that the server waits")
}

/// The status of a request whose body broke off.
pub(super) fn of_body(error: StdError) -> Status {
    Status::from_error(error)
}

/// The status of a call that is one too many. Nothing was read of it.
pub(super) fn overloaded() -> Status {
    let info = ErrorInfo {
        reason: reason_name(ErrorReason::Overloaded).to_owned(),
        domain: DOMAIN.to_owned(),
        metadata: BTreeMap::new(),
    };
    let retry = RetryInfo {
        retry_delay: Some(OVERLOAD_DELAY),
    };
    with_details(
        Code::Unavailable,
        "too many calls are under way; try again in a moment".to_owned(),
        vec![
            detail("google.rpc.ErrorInfo", &info),
            detail("google.rpc.RetryInfo", &retry),
        ],
    )
}

/// The status of a check whose key may have the credits that it needs, but not
/// in hand, and not in time.
pub(super) fn credits_undecided() -> Status {
    let info = ErrorInfo {
        reason: reason_name(ErrorReason::CreditsUnavailable).to_owned(),
        domain: DOMAIN.to_owned(),
        metadata: BTreeMap::new(),
    };
    let retry = RetryInfo {
        retry_delay: Some(RETRY_DELAY),
    };
    with_details(
        Code::Unavailable,
        "the key's credits could not be read in time, and nothing was decided; try again"
            .to_owned(),
        vec![
            detail("google.rpc.ErrorInfo", &info),
            detail("google.rpc.RetryInfo", &retry),
        ],
    )
}

/// The trailers that end an answer with `status`.
pub(super) fn trailers(status: &Status) -> HeaderMap {
    let mut trailers = HeaderMap::new();
    // It cannot fail: no message of ours has what a header cannot carry.
    let _ = status.add_header(&mut trailers);
    trailers
}

/// The status of a failed call of an operator.
pub(super) fn of(error: &RegistryError) -> Status {
    let (code, reason) = code_and_reason(error);
    let message = message(error);
    let info = ErrorInfo {
        reason: reason_name(reason).to_owned(),
        domain: DOMAIN.to_owned(),
        metadata: metadata(error),
    };
    let mut details = vec![detail("google.rpc.ErrorInfo", &info)];
    details.extend(more(error, &message));
    with_details(code, message, details)
}

fn with_details(code: Code, message: String, details: Vec<Any>) -> Status {
    let details = RpcStatus {
        code: code.into(),
        message: message.clone(),
        details,
    };
    Status::with_details(code, message, details.encode_to_vec().into())
}

/// The sentence for people. One with all violations in it could be longer than
/// a client takes in a header; they are told one by one in the details.
fn message(error: &RegistryError) -> String {
    if let RegistryError::Invalid(violations) = error {
        let told: Violations = violations
            .iter()
            .take(MAX_TOLD_IN_MESSAGE)
            .cloned()
            .collect();
        let more = violations.iter().len() - told.iter().len();
        if more > 0 {
            return format!("{told}; and {more} more");
        }
    }
    error.to_string()
}

/// `google.rpc.ErrorInfo`, as tonic-types has it but for the ordered map: one
/// error is one sequence of bytes, in which nothing can be read between the
/// lines.
#[derive(Clone, PartialEq, Message)]
struct ErrorInfo {
    #[prost(string, tag = "1")]
    reason: String,
    #[prost(string, tag = "2")]
    domain: String,
    #[prost(btree_map = "string, string", tag = "3")]
    metadata: BTreeMap<String, String>,
}

fn detail(name: &str, message: &impl Message) -> Any {
    Any {
        type_url: format!("type.googleapis.com/{name}"),
        value: message.encode_to_vec(),
    }
}

/// What the error tells beside its reason, in the standard messages.
fn more(error: &RegistryError, message: &str) -> Option<Any> {
    match error {
        RegistryError::Invalid(violations) => {
            Some(detail("google.rpc.BadRequest", &bad_request(violations)))
        }
        RegistryError::NotFound { kind, id }
        | RegistryError::Hidden { kind, id }
        | RegistryError::Exists { kind, id }
        | RegistryError::EtagMismatch { kind, id } => Some(resource(*kind, id, message)),
        RegistryError::Issued { id } => Some(resource(Kind::Key, id, message)),
        RegistryError::Precondition {
            kind,
            id,
            condition,
        } => {
            let violation = Violation {
                r#type: condition.as_str().to_owned(),
                subject: format!("{}/{id}", kind.as_str()),
                description: condition.to_string(),
            };
            let failure = PreconditionFailure {
                violations: vec![violation],
            };
            Some(detail("google.rpc.PreconditionFailure", &failure))
        }
        RegistryError::UsageNotCounted => {
            let violation = Violation {
                r#type: "USAGE_NOT_COUNTED".to_owned(),
                subject: "usage.count".to_owned(),
                description: message.to_owned(),
            };
            let failure = PreconditionFailure {
                violations: vec![violation],
            };
            Some(detail("google.rpc.PreconditionFailure", &failure))
        }
        RegistryError::Conflict { .. } | RegistryError::StoreUnavailable => {
            let retry = RetryInfo {
                retry_delay: Some(RETRY_DELAY),
            };
            Some(detail("google.rpc.RetryInfo", &retry))
        }
        // Nothing changes by trying again, or it must be looked at first.
        RegistryError::Unauthenticated { .. }
        | RegistryError::RoleInsufficient { .. }
        | RegistryError::NotOfTheSystem
        | RegistryError::GrantCeiling(_)
        | RegistryError::OutcomeUnknown
        | RegistryError::Internal => None,
    }
}

fn resource(kind: Kind, id: &str, message: &str) -> Any {
    let info = ResourceInfo {
        resource_type: format!("keyward.v1/{}", kind.as_str()),
        resource_name: id.to_owned(),
        description: message.to_owned(),
        ..ResourceInfo::default()
    };
    detail("google.rpc.ResourceInfo", &info)
}

fn code_and_reason(error: &RegistryError) -> (Code, ErrorReason) {
    match error {
        RegistryError::Invalid(_) => (Code::InvalidArgument, ErrorReason::InvalidFields),
        RegistryError::Unauthenticated { .. } => {
            (Code::Unauthenticated, ErrorReason::AdminTokenInvalid)
        }
        RegistryError::RoleInsufficient { .. } => {
            (Code::PermissionDenied, ErrorReason::RoleInsufficient)
        }
        RegistryError::NotOfTheSystem => (Code::PermissionDenied, ErrorReason::NotOfTheSystem),
        RegistryError::GrantCeiling(_) => {
            (Code::PermissionDenied, ErrorReason::GrantCeilingExceeded)
        }
        RegistryError::NotFound { .. } | RegistryError::Hidden { .. } => {
            (Code::NotFound, ErrorReason::ResourceNotFound)
        }
        RegistryError::Exists { .. } | RegistryError::Issued { .. } => {
            (Code::AlreadyExists, ErrorReason::ResourceExists)
        }
        RegistryError::EtagMismatch { .. } => (Code::Aborted, ErrorReason::EtagMismatch),
        RegistryError::Precondition { .. } => {
            (Code::FailedPrecondition, ErrorReason::PreconditionFailed)
        }
        RegistryError::Conflict { .. } => (Code::Aborted, ErrorReason::Conflict),
        RegistryError::UsageNotCounted => (Code::FailedPrecondition, ErrorReason::UsageNotCounted),
        RegistryError::StoreUnavailable => (Code::Unavailable, ErrorReason::StoreUnavailable),
        RegistryError::OutcomeUnknown => (Code::Unavailable, ErrorReason::OutcomeUnknown),
        RegistryError::Internal => (Code::Internal, ErrorReason::Internal),
    }
}

/// Every variable of the message is in the metadata too (AIP-193).
fn metadata(error: &RegistryError) -> BTreeMap<String, String> {
    let entries = match error {
        RegistryError::Unauthenticated { denial, .. } => {
            vec![("denial", denial.as_str().to_owned())]
        }
        RegistryError::RoleInsufficient { role, required } => {
            vec![
                ("role", role.to_string()),
                ("requiredRole", required.to_string()),
            ]
        }
        RegistryError::GrantCeiling(scopes) => vec![("scopes", scopes.join(" "))],
        RegistryError::NotFound { kind, id }
        | RegistryError::Hidden { kind, id }
        | RegistryError::Exists { kind, id }
        | RegistryError::EtagMismatch { kind, id }
        | RegistryError::Conflict { kind, id } => {
            vec![("type", kind.as_str().to_owned()), ("id", id.clone())]
        }
        RegistryError::Issued { id } => {
            vec![("type", Kind::Key.as_str().to_owned()), ("id", id.clone())]
        }
        RegistryError::Precondition {
            kind,
            id,
            condition,
        } => precondition(*kind, id, *condition),
        RegistryError::Invalid(_)
        | RegistryError::NotOfTheSystem
        | RegistryError::UsageNotCounted
        | RegistryError::StoreUnavailable
        | RegistryError::OutcomeUnknown
        | RegistryError::Internal => Vec::new(),
    };
    entries
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}

fn precondition(kind: Kind, id: &str, condition: Condition) -> Vec<(&'static str, String)> {
    let mut entries = vec![
        ("type", kind.as_str().to_owned()),
        ("id", id.to_owned()),
        ("condition", condition.as_str().to_owned()),
    ];
    match condition {
        Condition::RetentionNotOver { until } => {
            entries.push(("deletableTime", until.to_string()));
        }
        Condition::RotationPending { until } => {
            entries.extend(until.map(|until| ("endTime", until.to_string())));
        }
        Condition::PrincipalHasKeys { keys } => {
            entries.push(("keys", keys.to_string()));
        }
        Condition::Revoked
        | Condition::NotRevoked
        | Condition::WorkspaceDisabled
        | Condition::WorkspaceEnabled
        | Condition::WorkspaceNotEmpty
        | Condition::PrincipalDisabled
        | Condition::PrincipalDeleted
        | Condition::MembershipRemoved
        | Condition::LastOwner
        | Condition::NoCredits
        | Condition::NoRotation
        | Condition::Expired => {}
    }
    entries
}

fn bad_request(violations: &Violations) -> BadRequest {
    let field_violations = violations
        .iter()
        .take(MAX_TOLD)
        .map(|violation| FieldViolation {
            field: violation.field.clone(),
            description: violation.description.clone(),
            ..FieldViolation::default()
        })
        .collect();
    BadRequest { field_violations }
}

/// The reason as `ErrorInfo` carries it: without the enum's own name.
fn reason_name(reason: ErrorReason) -> &'static str {
    reason.as_str_name().trim_start_matches("ERROR_REASON_")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::admin::Role;
    use crate::domain::verdict::DenialReason;
    use crate::service::error::Kind;
    use tonic_types::StatusExt;

    fn violations() -> Violations {
        let mut violations = Violations::default();
        violations.add("name", "is required");
        violations
    }

    #[test]
    #[expect(clippy::too_many_lines, reason = "a table, a row for each error")]
    fn each_error_has_its_code_reason_and_metadata() {
        let key = || (Kind::Key, "key_1".to_owned());
        let table = [
            (
                RegistryError::Invalid(violations()),
                Code::InvalidArgument,
                "INVALID_FIELDS",
                "",
            ),
            (
                RegistryError::Unauthenticated {
                    denial: DenialReason::Expired,
                    admin: None,
                },
                Code::Unauthenticated,
                "ADMIN_TOKEN_INVALID",
                "denial=EXPIRED",
            ),
            (
                RegistryError::RoleInsufficient {
                    role: Role::Reader,
                    required: Role::Owner,
                },
                Code::PermissionDenied,
                "ROLE_INSUFFICIENT",
                "requiredRole=OWNER role=READER",
            ),
            (
                RegistryError::NotOfTheSystem,
                Code::PermissionDenied,
                "NOT_OF_THE_SYSTEM",
                "",
            ),
            (
                RegistryError::GrantCeiling(vec!["a".into(), "b".into()]),
                Code::PermissionDenied,
                "GRANT_CEILING_EXCEEDED",
                "scopes=a b",
            ),
            (
                RegistryError::NotFound {
                    kind: key().0,
                    id: key().1,
                },
                Code::NotFound,
                "RESOURCE_NOT_FOUND",
                "id=key_1 type=key",
            ),
            (
                RegistryError::Exists {
                    kind: key().0,
                    id: key().1,
                },
                Code::AlreadyExists,
                "RESOURCE_EXISTS",
                "id=key_1 type=key",
            ),
            (
                RegistryError::Conflict {
                    kind: key().0,
                    id: key().1,
                },
                Code::Aborted,
                "CONFLICT",
                "id=key_1 type=key",
            ),
            (
                RegistryError::StoreUnavailable,
                Code::Unavailable,
                "STORE_UNAVAILABLE",
                "",
            ),
            (
                RegistryError::OutcomeUnknown,
                Code::Unavailable,
                "OUTCOME_UNKNOWN",
                "",
            ),
            (RegistryError::Internal, Code::Internal, "INTERNAL", ""),
        ];
        for (error, code, reason, metadata) in table {
            let status = of(&error);
            assert_eq!(status.code(), code, "{error}");
            let info = status.get_details_error_info().unwrap();
            assert_eq!(
                (info.reason.as_str(), info.domain.as_str()),
                (reason, "keyward")
            );
            let mut found: Vec<_> = info
                .metadata
                .iter()
                .map(|(name, value)| format!("{name}={value}"))
                .collect();
            found.sort();
            assert_eq!(found.join(" "), metadata, "{error}");
        }
    }

    #[test]
    fn who_is_turned_away_is_told_when_to_come_back() {
        let status = overloaded();
        assert_eq!(status.code(), Code::Unavailable);
        let info = status.get_details_error_info().unwrap();
        assert_eq!(
            (info.reason.as_str(), info.domain.as_str()),
            ("OVERLOADED", "keyward")
        );
        let delay = status.get_details_retry_info().unwrap().retry_delay;
        assert_eq!(delay, Some(std::time::Duration::from_millis(100)));
    }

    #[test]
    fn violations_are_told_one_by_one() {
        let request = of(&RegistryError::Invalid(violations()))
            .get_details_bad_request()
            .unwrap();
        let [violation] = request.field_violations.as_slice() else {
            panic!("one violation: {request:?}")
        };
        assert_eq!(violation.field, "name");
        assert_eq!(violation.description, "is required");
    }
}
