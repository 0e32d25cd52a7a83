//! Requests that may be repeated.

use crate::domain::request::{IssueRequest, RequestId};
use crate::store::pb;

use super::Unreadable;
use super::part::{bad, read};

pub(super) fn encode(request: &IssueRequest) -> pb::RequestRecord {
    pb::RequestRecord {
        id: request.id.0.to_vec(),
        content: request.content.to_vec(),
        key: request.key.to_string(),
    }
}

pub(super) fn decode(record: &pb::RequestRecord) -> Result<IssueRequest, Unreadable> {
    let sixteen = |field: &str, bytes: &[u8]| bytes.try_into().map_err(|_| bad(field));
    Ok(IssueRequest {
        id: RequestId(sixteen("id", &record.id)?),
        content: sixteen("content", &record.content)?,
        key: read("key", &record.key)?,
    })
}
