//! Keys, and what is left of them.

use crate::domain::clock::Timestamp;
use crate::domain::id::WorkspaceId;
use crate::domain::key::{Bond, Key};
use crate::domain::source::SourceRanges;
use crate::domain::token::TokenPrefix;
use crate::domain::tombstone::{Buried, Tombstone};
use crate::store::{Record, pb};

use super::Unreadable;
use super::limit::{decode_limits, encode_limits};
use super::part::{
    bad, decode_revocation, encode_deletion, encode_revocation, encode_secret, optional,
    optional_environment, read, scopes, secrets, texts,
};

pub(super) fn encode(key: &Key) -> pb::KeyRecord {
    let (workspace, token_prefix) = match &key.bond {
        Bond::Workspace(id) => (id.to_string(), String::new()),
        Bond::Personal { token_prefix } => (String::new(), token_prefix.to_string()),
    };
    pb::KeyRecord {
        id: key.id.to_string(),
        workspace,
        token_prefix,
        environment: optional(key.environment.as_ref()),
        principal: key.principal.clone(),
        name: key.name.clone(),
        description: key.description.clone(),
        scopes: texts(&key.scopes),
        metadata: key.metadata.clone(),
        secrets: key.secrets.iter().map(encode_secret).collect(),
        create_time: key.create_time.as_micros(),
        created_by: key.created_by.clone(),
        expire_time: key.expire_time.map(Timestamp::as_micros),
        disabled: key.disabled,
        revocation: key.revocation.as_ref().map(encode_revocation),
        deletion: None,
        limits: encode_limits(&key.limits),
        source_ranges: key.source_addresses.pack(),
    }
}

pub(super) fn decode(record: pb::KeyRecord) -> Result<Record, Unreadable> {
    if let Some(deletion) = record.deletion {
        return Ok(Record::Tombstone(Tombstone {
            of: Buried::Key {
                id: read("id", &record.id)?,
                workspace: workspace(&record.workspace)?,
                secrets: secrets(&record.secrets)?,
            },
            time: Timestamp::from_micros(deletion.time),
            by: deletion.by,
        }));
    }
    Ok(Record::Key(Key {
        id: read("id", &record.id)?,
        bond: bond(&record.workspace, &record.token_prefix)?,
        environment: optional_environment(&record.environment)?,
        principal: record.principal,
        name: record.name,
        description: record.description,
        scopes: scopes(&record.scopes)?,
        metadata: record.metadata,
        secrets: secrets(&record.secrets)?,
        create_time: Timestamp::from_micros(record.create_time),
        created_by: record.created_by,
        expire_time: record.expire_time.map(Timestamp::from_micros),
        disabled: record.disabled,
        revocation: record.revocation.map(decode_revocation).transpose()?,
        limits: decode_limits(&record.limits)?,
        source_addresses: SourceRanges::unpack(&record.source_ranges)
            .ok_or_else(|| bad("source_ranges"))?,
    }))
}

fn workspace(id: &str) -> Result<Option<WorkspaceId>, Unreadable> {
    if id.is_empty() {
        return Ok(None);
    }
    read("workspace", id).map(Some)
}

/// A key is of a workspace, or it has a prefix of its own.
fn bond(id: &str, token_prefix: &str) -> Result<Bond, Unreadable> {
    match (workspace(id)?, token_prefix) {
        (Some(id), "") => Ok(Bond::Workspace(id)),
        (None, prefix) => TokenPrefix::try_from(prefix)
            .map(|token_prefix| Bond::Personal { token_prefix })
            .map_err(|_| bad("token_prefix")),
        (Some(_), _) => Err(bad("token_prefix")),
    }
}

/// What is stored of a key that was deleted.
pub(super) fn bury(tombstone: &Tombstone) -> pb::KeyRecord {
    let mut record = pb::KeyRecord {
        deletion: Some(encode_deletion(tombstone)),
        ..pb::KeyRecord::default()
    };
    if let Buried::Key {
        id,
        workspace,
        secrets,
    } = &tombstone.of
    {
        record.id = id.to_string();
        record.workspace = workspace
            .as_ref()
            .map(ToString::to_string)
            .unwrap_or_default();
        record.secrets = secrets.iter().map(encode_secret).collect();
    }
    record
}
