//! How records lie in the store: their places, and their payloads.

mod admin_key;
mod audit;
mod credits;
mod key;
mod limit;
mod part;
mod place;
mod principal;
mod request;
mod usage;
mod workspace;

use prost::Message;

use crate::domain::tombstone::Buried;

use super::{Record, pb};

pub(super) use audit::{
    AuditLink, decode_audit, decode_audit_head, encode_audit, encode_audit_head,
};
pub(super) use place::*;

/// The payload of a record.
pub(super) fn encode(record: &Record) -> Vec<u8> {
    match record {
        Record::Workspace(workspace) => workspace::encode(workspace).encode_to_vec(),
        Record::Key(key) => key::encode(key).encode_to_vec(),
        Record::AdminKey(admin) => admin_key::encode(admin).encode_to_vec(),
        Record::Credits(credits) => credits::encode(credits).encode_to_vec(),
        Record::Usage(usage) => usage::encode(usage).encode_to_vec(),
        Record::Request(request) => request::encode(request).encode_to_vec(),
        Record::Principal(principal) => principal::encode(principal).encode_to_vec(),
        Record::Membership(membership) => principal::encode_membership(membership).encode_to_vec(),
        Record::Tombstone(tombstone) => match tombstone.of {
            Buried::Workspace(_) => workspace::bury(tombstone).encode_to_vec(),
            Buried::Key { .. } => key::bury(tombstone).encode_to_vec(),
            Buried::Principal(_) => principal::bury(tombstone).encode_to_vec(),
        },
    }
}

/// Reads the payload of the record at `place`, which is under [`WORKSPACES`],
/// [`ADMIN_KEYS`], [`PRINCIPALS`], [`MEMBERSHIPS`], [`KEYS`], [`CREDITS`],
/// [`USAGES`] or [`REQUESTS`].
pub(super) fn decode(place: &[u8], payload: &[u8]) -> Result<Record, Unreadable> {
    if place.starts_with(WORKSPACES) {
        workspace::decode(pb::WorkspaceRecord::decode(payload)?)
    } else if place.starts_with(ADMIN_KEYS) {
        admin_key::decode(pb::AdminKeyRecord::decode(payload)?).map(Record::AdminKey)
    } else if place.starts_with(KEYS) {
        key::decode(pb::KeyRecord::decode(payload)?)
    } else if place.starts_with(PRINCIPALS) {
        principal::decode(pb::PrincipalRecord::decode(payload)?)
    } else if place.starts_with(MEMBERSHIPS) {
        principal::decode_membership(pb::MembershipRecord::decode(payload)?)
    } else if place.starts_with(CREDITS) {
        credits::decode(&pb::CreditsRecord::decode(payload)?).map(Record::Credits)
    } else if place.starts_with(USAGES) {
        usage::decode(&pb::UsageRecord::decode(payload)?).map(Record::Usage)
    } else if place.starts_with(REQUESTS) {
        request::decode(&pb::RequestRecord::decode(payload)?).map(Record::Request)
    } else {
        Err(Unreadable("no record lies there".to_owned()))
    }
}

/// Why a payload cannot be read.
#[derive(Debug)]
pub(super) struct Unreadable(pub(super) String);

impl From<prost::DecodeError> for Unreadable {
    fn from(error: prost::DecodeError) -> Self {
        Self(error.to_string())
    }
}
