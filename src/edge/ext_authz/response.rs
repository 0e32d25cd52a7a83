//! Writes a decision as an `envoy.service.auth.v3.CheckResponse`.
//!
//! `status` is always set: without it, Envoy takes a denial, and an error, for
//! leave to pass.

use bytes::Bytes;
use envoy_types::pb::envoy::config::core::v3::header_value_option::HeaderAppendAction;
use envoy_types::pb::envoy::config::core::v3::{HeaderValue, HeaderValueOption};
use envoy_types::pb::envoy::service::auth::v3::check_response::HttpResponse;
use envoy_types::pb::envoy::service::auth::v3::{
    CheckResponse, DeniedHttpResponse, OkHttpResponse,
};
use envoy_types::pb::envoy::r#type::v3::HttpStatus;
use envoy_types::pb::google::protobuf::value::Kind;
use envoy_types::pb::google::protobuf::{BoolValue, ListValue, Struct, Value};
use envoy_types::pb::google::rpc::Status;
use http::StatusCode;
use prost::Message;
use tonic::Code;

use crate::edge::gateway::{Allowed, Denied, Header, Identity, Undecided};

/// The answer that lets a request pass.
pub(super) fn allowed(allowed: Allowed) -> Bytes {
    let metadata = allowed.identity.map(of_identity);
    let ok = OkHttpResponse {
        headers: headers(allowed.set, Existing::Replaced),
        headers_to_remove: allowed
            .remove
            .iter()
            .map(|name| name.as_str().to_owned())
            .collect(),
        // The upstream may have limits of its own to tell.
        response_headers_to_add: headers(allowed.respond, Existing::Kept),
        ..OkHttpResponse::default()
    };
    encode(Code::Ok, "", HttpResponse::OkResponse(ok), metadata)
}

/// The answer that has a request denied.
pub(super) fn denied(denied: Denied) -> Bytes {
    let reason = denied.reason.name();
    let mut told = vec![("reason", text(reason))];
    told.extend(denied.detail.map(|detail| ("detail", text(detail))));
    if let Some(key) = denied.key {
        told.extend([("key_id", text(key.id)), ("key_hint", text(key.hint))]);
    }
    let http = of_client(denied.status, denied.headers, denied.body);
    let code = match denied.status {
        StatusCode::UNAUTHORIZED => Code::Unauthenticated,
        StatusCode::FORBIDDEN => Code::PermissionDenied,
        StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => {
            Code::ResourceExhausted
        }
        _ => Code::Internal,
    };
    encode(
        code,
        reason,
        HttpResponse::DeniedResponse(http),
        Some(metadata(told)),
    )
}

/// The answer that says that there is none.
pub(super) fn undecided(undecided: Undecided) -> Bytes {
    let http = of_client(undecided.status, undecided.headers, undecided.body);
    encode(
        Code::Unavailable,
        "UNDECIDED",
        HttpResponse::ErrorResponse(http),
        None,
    )
}

fn encode(
    code: Code,
    message: &str,
    http_response: HttpResponse,
    dynamic_metadata: Option<Struct>,
) -> Bytes {
    let response = CheckResponse {
        status: Some(Status {
            code: code.into(),
            message: message.to_owned(),
            details: Vec::new(),
        }),
        dynamic_metadata,
        http_response: Some(http_response),
    };
    response.encode_to_vec().into()
}

fn of_client(status: StatusCode, told: Vec<Header>, body: &str) -> DeniedHttpResponse {
    DeniedHttpResponse {
        status: Some(HttpStatus {
            code: status.as_u16().into(),
        }),
        headers: headers(told, Existing::Replaced),
        body: body.to_owned(),
    }
}

/// What becomes of headers of the same name.
#[derive(Clone, Copy)]
enum Existing {
    Replaced,
    Kept,
}

fn headers(headers: Vec<Header>, existing: Existing) -> Vec<HeaderValueOption> {
    let (append, append_action) = match existing {
        Existing::Replaced => (false, HeaderAppendAction::OverwriteIfExistsOrAdd),
        Existing::Kept => (true, HeaderAppendAction::AppendIfExistsOrAdd),
    };
    let option = |(name, value): Header| HeaderValueOption {
        header: Some(HeaderValue {
            key: name.as_str().to_owned(),
            value,
            raw_value: Vec::new(),
        }),
        // Which of the two counts depends on Envoy's version.
        #[expect(deprecated, reason = "older ones know nothing else")]
        append: Some(BoolValue { value: append }),
        append_action: append_action.into(),
        keep_empty_value: false,
    };
    headers.into_iter().map(option).collect()
}

/// What other filters, and access logs, can read of who it is.
fn of_identity(identity: Identity) -> Struct {
    let scopes = identity.scopes.iter().map(|scope| text(scope.as_str()));
    let scopes = Kind::ListValue(ListValue {
        values: scopes.collect(),
    });
    let of_key = identity.metadata.into_iter();
    let of_key = Kind::StructValue(metadata(of_key.map(|(name, value)| (name, text(value)))));
    let told = [
        ("key_id", text(identity.key_id)),
        ("key_name", text(identity.key_name)),
        ("principal", text(identity.principal)),
        ("workspace", text(identity.workspace)),
        ("environment", text(identity.environment)),
        ("scopes", Value { kind: Some(scopes) }),
        ("metadata", Value { kind: Some(of_key) }),
    ];
    let superseded = identity
        .superseded
        .map(|hint| ("superseded_token", text(hint)));
    metadata(told.into_iter().chain(superseded))
}

fn metadata(fields: impl IntoIterator<Item = (impl Into<String>, Value)>) -> Struct {
    let fields = fields.into_iter();
    Struct {
        fields: fields.map(|(name, value)| (name.into(), value)).collect(),
    }
}

fn text(text: impl Into<String>) -> Value {
    Value {
        kind: Some(Kind::StringValue(text.into())),
    }
}
