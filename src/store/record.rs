//! How records lie in the store: their places, and their payloads.
//!
//! | place | what |
//! |---|---|
//! | `s` | the state of the whole store |
//! | `w/<workspace>` | a workspace |
//! | `a/<admin key>` | an admin key |
//! | `k/<key>` | a key |
//! | `h/<chain>` | the newest link of an audit chain |
//! | `x/<chain>\0<sequence, 8 bytes big endian>` | a link of an audit chain |
//! | `n/<workspace>\0<key>` | nothing: it finds a workspace's keys in order |
//!
//! A chain is named by its workspace; the system's has an empty name.

use std::str::FromStr;

use prost::Message;

use crate::domain::admin::{AdminKey, Reach, Role};
use crate::domain::audit::{AuditEntry, AuditHead};
use crate::domain::clock::Timestamp;
use crate::domain::digest::{PepperId, TokenDigest};
use crate::domain::id::{KeyId, WorkspaceId};
use crate::domain::key::{Key, Revocation, RevocationReason, Secret};
use crate::domain::scope::{Scope, ScopeSet};
use crate::domain::token::{EnvironmentName, TokenPrefix};
use crate::domain::workspace::Workspace;

use super::{Record, RecordId, Revision, pb};

/// Where the state of the whole store lies.
pub(super) const STATE: &[u8] = b"s";
/// What the places of workspaces start with.
pub(super) const WORKSPACES: &[u8] = b"w/";
/// What the places of admin keys start with.
pub(super) const ADMIN_KEYS: &[u8] = b"a/";
/// What the places of audit heads start with.
pub(super) const AUDIT_HEADS: &[u8] = b"h/";
/// What the places of keys start with.
pub(super) const KEYS: &[u8] = b"k/";

/// What postings start with.
pub(super) const POSTINGS: &[u8] = b"n/";

/// Where a record lies.
pub(super) fn place(id: &RecordId) -> Vec<u8> {
    match id {
        RecordId::Workspace(id) => format!("w/{id}"),
        RecordId::Key(id) => format!("k/{id}"),
        RecordId::AdminKey(id) => format!("a/{id}"),
    }
    .into_bytes()
}

/// Where a record can be found by other ways than its id.
pub(super) fn posting(record: &Record) -> Option<Vec<u8>> {
    match record {
        Record::Key(key) => {
            let mut place = postings_of(&key.workspace);
            place.extend(key.id.to_string().into_bytes());
            Some(place)
        }
        Record::Workspace(_) | Record::AdminKey(_) => None,
    }
}

/// What the postings of a workspace's keys start with.
pub(super) fn postings_of(workspace: &WorkspaceId) -> Vec<u8> {
    format!("n/{workspace}\0").into_bytes()
}

/// The key that a place under [`KEYS`], or a posting, is about.
pub(super) fn key_at(place: &[u8]) -> Option<KeyId> {
    let id = place.rsplit(|&byte| byte == 0 || byte == b'/').next()?;
    std::str::from_utf8(id).ok()?.parse().ok()
}

/// Where the newest link of a chain is noted.
pub(super) fn audit_head_place(chain: &str) -> Vec<u8> {
    format!("h/{chain}").into_bytes()
}

/// Where a link of a chain lies.
pub(super) fn audit_place(chain: &str, sequence: u64) -> Vec<u8> {
    let mut place = format!("x/{chain}\0").into_bytes();
    place.extend(sequence.to_be_bytes());
    place
}

/// A place as people read it.
pub(super) fn readable(place: &[u8]) -> String {
    place.escape_ascii().to_string()
}

/// The payload of a record.
pub(super) fn encode(record: &Record) -> Vec<u8> {
    match record {
        Record::Workspace(workspace) => encode_workspace(workspace).encode_to_vec(),
        Record::Key(key) => encode_key(key).encode_to_vec(),
        Record::AdminKey(admin) => encode_admin(admin).encode_to_vec(),
    }
}

/// Reads the payload of the record at `place`, which is under [`WORKSPACES`],
/// [`ADMIN_KEYS`] or [`KEYS`].
pub(super) fn decode(place: &[u8], payload: &[u8]) -> Result<Record, Unreadable> {
    if place.starts_with(WORKSPACES) {
        decode_workspace(pb::WorkspaceRecord::decode(payload)?).map(Record::Workspace)
    } else if place.starts_with(ADMIN_KEYS) {
        decode_admin(pb::AdminKeyRecord::decode(payload)?).map(Record::AdminKey)
    } else if place.starts_with(KEYS) {
        decode_key(pb::KeyRecord::decode(payload)?).map(Record::Key)
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

/// The payload of a link of an audit chain.
pub(super) fn encode_audit(entry: &AuditEntry, previous: AuditHead, revision: Revision) -> Vec<u8> {
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
pub(super) fn encode_audit_head(head: AuditHead) -> Vec<u8> {
    pb::AuditHeadRecord {
        sequence: head.sequence,
        hash: head.hash.to_vec(),
    }
    .encode_to_vec()
}

/// Reads the payload of an audit head.
pub(super) fn decode_audit_head(payload: &[u8]) -> Result<AuditHead, Unreadable> {
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

fn encode_workspace(workspace: &Workspace) -> pb::WorkspaceRecord {
    pb::WorkspaceRecord {
        id: workspace.id.to_string(),
        display_name: workspace.display_name.clone(),
        token_prefix: workspace.token_prefix.as_str().to_owned(),
        environments: workspace
            .environments
            .iter()
            .map(|name| name.as_str().to_owned())
            .collect(),
        default_environment: optional(workspace.default_environment.as_ref()),
        unmarked_environment: optional(workspace.unmarked_environment.as_ref()),
        create_time: workspace.create_time.as_micros(),
        created_by: workspace.created_by.clone(),
        disabled: workspace.disabled,
        scope_catalog: Vec::new(),
        deletion: None,
    }
}

fn decode_workspace(record: pb::WorkspaceRecord) -> Result<Workspace, Unreadable> {
    Ok(Workspace {
        id: read("id", &record.id)?,
        display_name: record.display_name,
        token_prefix: TokenPrefix::try_from(record.token_prefix.as_str())
            .map_err(|_| bad("token_prefix"))?,
        environments: record
            .environments
            .iter()
            .map(|name| environment(name))
            .collect::<Result<_, _>>()?,
        default_environment: optional_environment(&record.default_environment)?,
        unmarked_environment: optional_environment(&record.unmarked_environment)?,
        create_time: Timestamp::from_micros(record.create_time),
        created_by: record.created_by,
        disabled: record.disabled,
    })
}

fn encode_key(key: &Key) -> pb::KeyRecord {
    pb::KeyRecord {
        id: key.id.to_string(),
        workspace: key.workspace.to_string(),
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
    }
}

fn decode_key(record: pb::KeyRecord) -> Result<Key, Unreadable> {
    Ok(Key {
        id: read("id", &record.id)?,
        workspace: read("workspace", &record.workspace)?,
        environment: optional_environment(&record.environment)?,
        principal: record.principal,
        name: record.name,
        description: record.description,
        scopes: scopes(&record.scopes)?,
        metadata: record.metadata,
        secrets: record
            .secrets
            .iter()
            .map(decode_secret)
            .collect::<Result<_, _>>()?,
        create_time: Timestamp::from_micros(record.create_time),
        created_by: record.created_by,
        expire_time: record.expire_time.map(Timestamp::from_micros),
        disabled: record.disabled,
        revocation: record.revocation.map(decode_revocation).transpose()?,
    })
}

fn encode_admin(admin: &AdminKey) -> pb::AdminKeyRecord {
    let workspace = match &admin.reach {
        Reach::System => String::new(),
        Reach::Workspace(id) => id.to_string(),
    };
    let role = match admin.role {
        Role::Reader => pb::AdminRole::Reader,
        Role::Issuer => pb::AdminRole::Issuer,
        Role::Owner => pb::AdminRole::Owner,
    };
    pb::AdminKeyRecord {
        id: admin.id.to_string(),
        name: admin.name.clone(),
        role: role.into(),
        workspace,
        grant_ceiling: texts(&admin.grant_ceiling),
        secrets: admin.secrets.iter().map(encode_secret).collect(),
        create_time: admin.create_time.as_micros(),
        created_by: admin.created_by.clone(),
        expire_time: admin.expire_time.map(Timestamp::as_micros),
        disabled: admin.disabled,
        revocation: admin.revocation.as_ref().map(encode_revocation),
    }
}

fn decode_admin(record: pb::AdminKeyRecord) -> Result<AdminKey, Unreadable> {
    let role = match record.role() {
        pb::AdminRole::Unspecified => return Err(bad("role")),
        pb::AdminRole::Reader => Role::Reader,
        pb::AdminRole::Issuer => Role::Issuer,
        pb::AdminRole::Owner => Role::Owner,
    };
    let reach = match record.workspace.as_str() {
        "" => Reach::System,
        id => Reach::Workspace(read("workspace", id)?),
    };
    Ok(AdminKey {
        id: read("id", &record.id)?,
        name: record.name,
        role,
        reach,
        grant_ceiling: scopes(&record.grant_ceiling)?,
        secrets: record
            .secrets
            .iter()
            .map(decode_secret)
            .collect::<Result<_, _>>()?,
        create_time: Timestamp::from_micros(record.create_time),
        created_by: record.created_by,
        expire_time: record.expire_time.map(Timestamp::from_micros),
        disabled: record.disabled,
        revocation: record.revocation.map(decode_revocation).transpose()?,
    })
}

fn encode_secret(secret: &Secret) -> pb::SecretRecord {
    pb::SecretRecord {
        digest: secret.digest.0.to_vec(),
        tail: String::from_utf8_lossy(&secret.tail).into_owned(),
        create_time: secret.create_time.as_micros(),
        pepper_id: secret.pepper_id.0.to_vec(),
        end_time: None,
    }
}

fn decode_secret(record: &pb::SecretRecord) -> Result<Secret, Unreadable> {
    Ok(Secret {
        digest: TokenDigest(
            record
                .digest
                .as_slice()
                .try_into()
                .map_err(|_| bad("digest"))?,
        ),
        tail: record.tail.as_bytes().try_into().map_err(|_| bad("tail"))?,
        create_time: Timestamp::from_micros(record.create_time),
        pepper_id: PepperId(
            record
                .pepper_id
                .as_slice()
                .try_into()
                .map_err(|_| bad("pepper_id"))?,
        ),
    })
}

fn encode_revocation(revocation: &Revocation) -> pb::RevocationRecord {
    let reason = match revocation.reason {
        RevocationReason::Unspecified => 0,
        RevocationReason::Unused => 1,
        RevocationReason::Superseded => 2,
        RevocationReason::PrivilegeWithdrawn => 3,
        RevocationReason::Leaked => 4,
        RevocationReason::Abused => 5,
    };
    pb::RevocationRecord {
        time: revocation.time.as_micros(),
        reason,
        by: revocation.by.clone(),
        note: String::new(),
    }
}

fn decode_revocation(record: pb::RevocationRecord) -> Result<Revocation, Unreadable> {
    let reason = match record.reason {
        0 => RevocationReason::Unspecified,
        1 => RevocationReason::Unused,
        2 => RevocationReason::Superseded,
        3 => RevocationReason::PrivilegeWithdrawn,
        4 => RevocationReason::Leaked,
        5 => RevocationReason::Abused,
        _ => return Err(bad("revocation.reason")),
    };
    Ok(Revocation {
        time: Timestamp::from_micros(record.time),
        reason,
        by: record.by,
    })
}

fn bad(field: &str) -> Unreadable {
    Unreadable(format!("its {field} is not acceptable"))
}

fn read<T: FromStr>(field: &str, text: &str) -> Result<T, Unreadable> {
    text.parse().map_err(|_| bad(field))
}

fn environment(text: &str) -> Result<EnvironmentName, Unreadable> {
    EnvironmentName::try_from(text).map_err(|_| bad("environment"))
}

fn optional_environment(text: &str) -> Result<Option<EnvironmentName>, Unreadable> {
    if text.is_empty() {
        Ok(None)
    } else {
        environment(text).map(Some)
    }
}

fn optional(name: Option<&EnvironmentName>) -> String {
    name.map(|name| name.as_str().to_owned())
        .unwrap_or_default()
}

fn texts(scopes: &ScopeSet) -> Vec<String> {
    scopes
        .iter()
        .map(|scope| scope.as_str().to_owned())
        .collect()
}

fn scopes(texts: &[String]) -> Result<ScopeSet, Unreadable> {
    let scopes = texts
        .iter()
        .map(|text| Scope::try_from(text.as_str()).map_err(|_| bad("scopes")));
    scopes.collect::<Result<Vec<_>, _>>().map(ScopeSet::new)
}
