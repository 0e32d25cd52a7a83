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
    (revision, number): (Revision, u64),
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
        number,
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
    Ok(AuditHead {
        sequence: head.sequence,
        hash: hash(head.hash)?,
    })
}

/// A link of an audit chain, as it is read back.
pub(in crate::store) struct AuditLink {
    /// What it tells of.
    pub(in crate::store) event: AuditEvent,
    /// The keyed hash of the link before it; zeros for the first.
    pub(in crate::store) previous: [u8; 32],
}

/// Reads the payload of a link of the chain of `workspace`.
pub(in crate::store) fn decode_audit(
    workspace: Option<WorkspaceId>,
    payload: &[u8],
) -> Result<AuditLink, Unreadable> {
    let record = pb::AuditRecord::decode(payload)?;
    let event = AuditEvent {
        workspace,
        sequence: record.sequence,
        number: record.number,
        revision: record.revision,
        time: Timestamp::from_micros(record.time),
        actor: record.actor,
        action: record.action,
        resource: record.resource,
        detail: record.detail,
    };
    Ok(AuditLink {
        event,
        previous: hash(record.previous)?,
    })
}

fn hash(bytes: Vec<u8>) -> Result<[u8; 32], Unreadable> {
    bytes
        .try_into()
        .map_err(|_| Unreadable("its hash is not of 32 bytes".to_owned()))
}
