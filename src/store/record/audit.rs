//! The links of audit chains, and their heads.

use prost::Message;

use crate::domain::audit::{AuditEntry, AuditEvent, AuditHead};
use crate::domain::clock::Timestamp;
use crate::domain::id::WorkspaceId;
use crate::store::{Revision, pb};

use super::Unreadable;

/// The payload of a link of an audit chain.
pub(in crate::store) fn encode_audit(
    entry: &AuditEntry,
    previous: AuditHead,
    revision: Revision,
) -> Vec<u8> {
    pb::AuditRecord {
        sequence: previous.sequence + 1,
        revision: revision.0,
        time: entry.time.as_micros(),
        actor: entry.actor.clone(),
        action: entry.action.as_str().to_owned(),
        resource: entry.resource.clone(),
        detail: entry.detail.clone(),
        previous: previous.hash.to_vec(),
    }
    .encode_to_vec()
}

/// The payload of an audit head.
pub(in crate::store) fn encode_audit_head(head: AuditHead) -> Vec<u8> {
    pb::AuditHeadRecord {
        sequence: head.sequence,
        hash: head.hash.to_vec(),
    }
    .encode_to_vec()
}

/// Reads the payload of an audit head.
pub(in crate::store) fn decode_audit_head(payload: &[u8]) -> Result<AuditHead, Unreadable> {
    let head = pb::AuditHeadRecord::decode(payload)?;
    let hash = head
        .hash
        .try_into()
        .map_err(|_| Unreadable("its hash is not of 32 bytes".to_owned()))?;
    Ok(AuditHead {
        sequence: head.sequence,
        hash,
    })
}

/// Reads the payload of a link of the chain of `workspace`.
pub(in crate::store) fn decode_audit(
    workspace: Option<WorkspaceId>,
    payload: &[u8],
) -> Result<AuditEvent, Unreadable> {
    let record = pb::AuditRecord::decode(payload)?;
    Ok(AuditEvent {
        workspace,
        sequence: record.sequence,
        revision: record.revision,
        time: Timestamp::from_micros(record.time),
        actor: record.actor,
        action: record.action,
        resource: record.resource,
        detail: record.detail,
    })
}
