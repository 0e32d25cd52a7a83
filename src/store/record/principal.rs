//! Principals, what is left of them, and memberships.

use crate::domain::clock::Timestamp;
use crate::domain::principal::{Membership, Principal, Removal, is_principal};
use crate::domain::tombstone::{Buried, Tombstone};
use crate::store::{Record, pb};

use super::Unreadable;
use super::limit::{decode_limits, encode_limits};
use super::part::{bad, encode_deletion, read, scopes, texts};

pub(super) fn encode(principal: &Principal) -> pb::PrincipalRecord {
    pb::PrincipalRecord {
        id: principal.id.clone(),
        display_name: principal.display_name.clone(),
        description: principal.description.clone(),
        disabled: principal.disabled,
        create_time: principal.create_time.as_micros(),
        created_by: principal.created_by.clone(),
        limits: encode_limits(&principal.limits),
        deletion: None,
    }
}

pub(super) fn decode(record: pb::PrincipalRecord) -> Result<Record, Unreadable> {
    if let Some(deletion) = record.deletion {
        return Ok(Record::Tombstone(Tombstone {
            of: Buried::Principal(principal("id", record.id)?),
            time: Timestamp::from_micros(deletion.time),
            by: deletion.by,
        }));
    }
    Ok(Record::Principal(Principal {
        id: principal("id", record.id)?,
        display_name: record.display_name,
        description: record.description,
        disabled: record.disabled,
        create_time: Timestamp::from_micros(record.create_time),
        created_by: record.created_by,
        limits: decode_limits(&record.limits)?,
    }))
}

/// What is stored of a principal that was deleted.
pub(super) fn bury(tombstone: &Tombstone) -> pb::PrincipalRecord {
    let mut record = pb::PrincipalRecord {
        deletion: Some(encode_deletion(tombstone)),
        ..pb::PrincipalRecord::default()
    };
    if let Buried::Principal(id) = &tombstone.of {
        record.id.clone_from(id);
    }
    record
}

pub(super) fn encode_membership(membership: &Membership) -> pb::MembershipRecord {
    pb::MembershipRecord {
        workspace: membership.workspace.to_string(),
        principal: membership.principal.clone(),
        scope_ceiling: texts(&membership.scope_ceiling),
        create_time: membership.create_time.as_micros(),
        created_by: membership.created_by.clone(),
        removal: membership.removal.as_ref().map(|end| pb::DeletionRecord {
            time: end.time.as_micros(),
            by: end.by.clone(),
        }),
    }
}

pub(super) fn decode_membership(record: pb::MembershipRecord) -> Result<Record, Unreadable> {
    Ok(Record::Membership(Membership {
        workspace: read("workspace", &record.workspace)?,
        principal: principal("principal", record.principal)?,
        scope_ceiling: scopes(&record.scope_ceiling)?,
        create_time: Timestamp::from_micros(record.create_time),
        created_by: record.created_by,
        removal: record.removal.map(|end| Removal {
            time: Timestamp::from_micros(end.time),
            by: end.by,
        }),
    }))
}

fn principal(field: &str, id: String) -> Result<String, Unreadable> {
    if is_principal(&id) {
        Ok(id)
    } else {
        Err(bad(field))
    }
}
