//! Admin keys.

use crate::domain::admin::{Reach, Role};
use crate::domain::admin_draft::{AdminKeyDraft, AdminKeyPatch};
use crate::domain::violation::Violations;
use crate::service::registry::AdminKeyView;

use super::{mask, pb, read_time, wire_revocation_reason, wire_state, wire_time};

/// What the maker of an admin key asks for. Output-only fields are ignored.
pub(in crate::edge) fn draft(admin: pb::AdminKey) -> Result<AdminKeyDraft, Violations> {
    let reach =
        match admin.workspace.as_str() {
            "" => Reach::System,
            id => Reach::Workspace(id.parse().map_err(|_| {
                Violations::of("admin_key.workspace", "is not the id of a workspace")
            })?),
        };
    Ok(AdminKeyDraft {
        role: role(&admin),
        reach,
        expire_time: admin.expire_time.map(read_time),
        name: admin.name,
        grant_ceiling: admin.grant_ceiling,
    })
}

/// What an update is to change.
pub(in crate::edge) fn patch(
    admin: pb::AdminKey,
    update_mask: Option<prost_types::FieldMask>,
) -> Result<AdminKeyPatch, Violations> {
    let known = ["name", "role", "grant_ceiling", "expire_time"];
    let paths = mask(update_mask, &known)?;
    let named = |field| paths.iter().any(|path| path == field);
    Ok(AdminKeyPatch {
        role: named("role").then_some(role(&admin)),
        expire_time: named("expire_time").then_some(admin.expire_time.map(read_time)),
        name: named("name").then_some(admin.name),
        grant_ceiling: named("grant_ceiling").then_some(admin.grant_ceiling),
    })
}

/// An admin key as it is shown.
pub(in crate::edge) fn shown(view: AdminKeyView) -> pb::AdminKey {
    let admin = view.admin;
    let (revoked_by, note) = admin
        .revocation
        .as_ref()
        .map(|end| (end.by.clone(), end.note.clone()))
        .unwrap_or_default();
    let reason = admin
        .revocation
        .as_ref()
        .map_or(pb::RevocationReason::Unspecified, |end| {
            wire_revocation_reason(end.reason)
        });
    let role = match admin.role {
        Role::Reader => pb::AdminRole::Reader,
        Role::Issuer => pb::AdminRole::Issuer,
        Role::Owner => pb::AdminRole::Owner,
    };
    pb::AdminKey {
        id: admin.id.to_string(),
        name: admin.name,
        role: role.into(),
        workspace: match admin.reach {
            Reach::System => String::new(),
            Reach::Workspace(id) => id.to_string(),
        },
        grant_ceiling: admin
            .grant_ceiling
            .iter()
            .map(ToString::to_string)
            .collect(),
        state: wire_state(view.state).into(),
        hint: view.hint,
        create_time: Some(wire_time(admin.create_time)),
        created_by: admin.created_by,
        expire_time: admin.expire_time.map(wire_time),
        revoke_time: admin.revocation.map(|end| wire_time(end.time)),
        revocation_reason: reason.into(),
        revoked_by,
        revocation_note: note,
        etag: view.etag,
        old_token_end_time: view.old_token_end_time.map(wire_time),
    }
}

/// A role that this keyward does not know is none.
fn role(admin: &pb::AdminKey) -> Option<Role> {
    match pb::AdminRole::try_from(admin.role) {
        Ok(pb::AdminRole::Reader) => Some(Role::Reader),
        Ok(pb::AdminRole::Issuer) => Some(Role::Issuer),
        Ok(pb::AdminRole::Owner) => Some(Role::Owner),
        Ok(pb::AdminRole::Unspecified) | Err(_) => None,
    }
}
