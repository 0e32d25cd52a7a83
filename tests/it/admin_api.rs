//! KeyAdmin through the socket: what each call does, every limit of every
//! field, and errors that name what is wrong and repeat nothing.
#![expect(
    clippy::too_many_lines,
    reason = "a test tells one story, from top to bottom"
)]

mod audit;
mod audit_filters;
pub(crate) mod calls;
mod deletion;
mod details;
mod error_sizes;
mod etags;
mod export;
mod limits;
mod many_keys;
mod paging;
mod refusals;
mod request_ids;
mod resources;
mod rotation;
mod scope_catalog;
mod switching;
mod update_admins;
mod update_keys;
mod update_workspaces;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use keyward::domain::clock::{Clock, SystemClock};
use keyward::domain::id::KeyId;
use keyward::edge::pb::key_admin_client::KeyAdminClient;
use keyward::edge::pb::{
    CreateKeyRequest, CreateWorkspaceRequest, GetKeyRequest, GetWorkspaceRequest, Key, KeyState,
    ListKeysRequest, ListKeysResponse, RevocationReason, RevokeKeyRequest, Workspace,
};
use prost::Message;
use prost_types::Timestamp;
use tokio::task::JoinSet;
use tonic::metadata::MetadataValue;
use tonic::{Code, Request, Status};
use tonic_types::StatusExt;

use crate::support::{self, Admin, Server, Site, but_for_usage, key_request};

async fn create_workspace(admin: &mut Admin, workspace: Workspace) -> Result<Workspace, Status> {
    let request = CreateWorkspaceRequest {
        workspace: Some(workspace),
    };
    admin
        .client
        .create_workspace(request)
        .await
        .map(|reply| reply.into_inner().workspace.unwrap())
}

async fn get_workspace(admin: &mut Admin, id: &str) -> Result<Workspace, Status> {
    let request = GetWorkspaceRequest {
        workspace: id.to_owned(),
    };
    admin
        .client
        .get_workspace(request)
        .await
        .map(|reply| reply.into_inner().workspace.unwrap())
}

async fn get_key(admin: &mut Admin, id: &str) -> Result<Key, Status> {
    let request = GetKeyRequest {
        key_id: id.to_owned(),
    };
    admin
        .client
        .get_key(request)
        .await
        .map(|reply| reply.into_inner().key.unwrap())
}

async fn revoke(admin: &mut Admin, id: &str, reason: i32) -> Result<Key, Status> {
    let request = RevokeKeyRequest {
        key_id: id.to_owned(),
        reason,
        ..RevokeKeyRequest::default()
    };
    admin
        .client
        .revoke_key(request)
        .await
        .map(|reply| reply.into_inner().key.unwrap())
}

async fn list(
    admin: &mut Admin,
    workspace: &str,
    page_size: i32,
    page_token: &str,
) -> Result<ListKeysResponse, Status> {
    let (workspace, page_token) = (workspace.to_owned(), page_token.to_owned());
    let request = ListKeysRequest {
        workspace,
        page_size,
        page_token,
        ..ListKeysRequest::default()
    };
    admin
        .client
        .list_keys(request)
        .await
        .map(tonic::Response::into_inner)
}

/// How many links the audit chain of a workspace has, in the files of a
/// stopped server.
fn audit_records(site: &Site, workspace: &str) -> usize {
    sled::open(site.store_dir())
        .unwrap()
        .scan_prefix(format!("x/{workspace}\0"))
        .count()
}

fn workspace(id: &str, prefix: &str) -> Workspace {
    Workspace {
        id: id.to_owned(),
        token_prefix: prefix.to_owned(),
        ..Workspace::default()
    }
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

fn metadata(entries: &[(&str, &str)]) -> BTreeMap<String, String> {
    entries
        .iter()
        .map(|&(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

fn sorted(texts: &[String]) -> Vec<String> {
    let mut texts = texts.to_vec();
    texts.sort_unstable();
    texts
}

/// The time in microseconds.
fn now() -> u64 {
    SystemClock::default().now().as_micros()
}

/// The times from then to now.
fn since(then: u64) -> Range<u64> {
    then..now() + 1
}

fn micros(time: Option<Timestamp>) -> u64 {
    let time = time.unwrap();
    u64::try_from(time.seconds).unwrap() * 1_000_000 + u64::try_from(time.nanos).unwrap() / 1_000
}

/// The status is of this code, for this reason, with this metadata and no
/// other, and with the standard details that go with that and no more.
fn told(status: &Status, code: Code, reason: &str, metadata: &[(&str, &str)]) {
    assert_eq!(status.code(), code, "{status:?}");
    let info = status.get_details_error_info().unwrap();
    assert_eq!(
        (info.reason.as_str(), info.domain.as_str()),
        (reason, "keyward"),
        "{status:?}"
    );
    let told: BTreeMap<_, _> = info.metadata.into_iter().collect();
    assert_eq!(told, self::metadata(metadata));
    assert!(!status.message().is_empty());
    let of = |name: &str| told.get(name).map_or("", String::as_str);
    let beside = match reason {
        "RESOURCE_NOT_FOUND" | "RESOURCE_EXISTS" | "ETAG_MISMATCH" => {
            let resource = status.get_details_resource_info().unwrap();
            assert_eq!(
                resource.resource_type,
                format!("keyward.v1/{}", of("type")),
                "{status:?}"
            );
            assert_eq!(resource.resource_name, of("id"));
            assert_eq!(
                (resource.owner.as_str(), resource.description.as_str()),
                ("", status.message())
            );
            Some("google.rpc.ResourceInfo")
        }
        "PRECONDITION_FAILED" => {
            let failure = status.get_details_precondition_failure().unwrap();
            let [violation] = failure.violations.as_slice() else {
                panic!("one violation: {failure:?}")
            };
            assert_eq!(violation.r#type, of("condition"));
            assert_eq!(violation.subject, format!("{}/{}", of("type"), of("id")));
            assert!(
                status.message().ends_with(&violation.description),
                "{status:?}"
            );
            Some("google.rpc.PreconditionFailure")
        }
        "CONFLICT" | "STORE_UNAVAILABLE" => {
            let retry = status.get_details_retry_info().unwrap();
            assert!(retry.retry_delay.unwrap() > std::time::Duration::ZERO);
            Some("google.rpc.RetryInfo")
        }
        "INVALID_FIELDS" => Some("google.rpc.BadRequest"),
        _ => None,
    };
    let expected: Vec<_> = Some("google.rpc.ErrorInfo")
        .into_iter()
        .chain(beside)
        .collect();
    assert_eq!(detail_names(status), expected, "{status:?}");
}

/// The paths of the fields that the status says are not acceptable.
fn fields(status: &Status) -> Vec<String> {
    told(status, Code::InvalidArgument, "INVALID_FIELDS", &[]);
    let violations = status.get_details_bad_request().unwrap().field_violations;
    for (position, violation) in violations.iter().enumerate() {
        assert!(violation.description.len() > 5, "{violation:?}");
        // The sentence for people tells the first of them.
        assert_eq!(
            status.message().contains(&violation.field),
            position < 3,
            "{violation:?}"
        );
    }
    violations
        .into_iter()
        .map(|violation| violation.field)
        .collect()
}

/// The names of the messages in the details, in order.
fn detail_names(status: &Status) -> Vec<String> {
    let details = tonic_types::pb::Status::decode(status.details()).unwrap();
    assert_eq!(details.code, i32::from(status.code()));
    assert_eq!(details.message, status.message());
    let names = details.details.iter().map(|detail| {
        let name = detail.type_url.strip_prefix("type.googleapis.com/");
        name.unwrap().to_owned()
    });
    names.collect()
}

/// The whole second that is so many from now.
fn in_seconds(seconds: i64) -> Timestamp {
    Timestamp {
        seconds: i64::try_from(now() / 1_000_000).unwrap() + seconds,
        nanos: 0,
    }
}
