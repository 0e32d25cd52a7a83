//! Admin keys.

use crate::domain::admin::{AdminKey, Reach, Role};
use crate::domain::clock::Timestamp;
use crate::store::pb;

use super::Unreadable;
use super::part::{
    bad, decode_revocation, encode_revocation, encode_secret, read, scopes, secrets, texts,
};

pub(super) fn encode(admin: &AdminKey) -> pb::AdminKeyRecord {
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

pub(super) fn decode(record: pb::AdminKeyRecord) -> Result<AdminKey, Unreadable> {
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
        secrets: secrets(&record.secrets)?,
        create_time: Timestamp::from_micros(record.create_time),
        created_by: record.created_by,
        expire_time: record.expire_time.map(Timestamp::from_micros),
        disabled: record.disabled,
        revocation: record.revocation.map(decode_revocation).transpose()?,
    })
}
