//! Principals and memberships.

use crate::domain::principal::{MembershipDraft, PrincipalDraft, PrincipalPatch};
use crate::domain::violation::Violations;
use crate::service::registry::{MembershipView, PrincipalView};

use super::{limit, mask, pb, wire_time};

/// What the creator of a principal asks for. Output-only fields are ignored.
pub(in crate::edge) fn draft(principal: pb::Principal) -> PrincipalDraft {
    PrincipalDraft {
        id: principal.id,
        display_name: principal.display_name,
        description: principal.description,
        limits: limit::drafts(principal.limits),
    }
}

/// What an update is to change.
pub(in crate::edge) fn patch(
    principal: pb::Principal,
    update_mask: Option<prost_types::FieldMask>,
) -> Result<PrincipalPatch, Violations> {
    let paths = mask(update_mask, &["display_name", "description", "limits"])?;
    let named = |field| paths.iter().any(|path| path == field);
    Ok(PrincipalPatch {
        display_name: named("display_name").then_some(principal.display_name),
        description: named("description").then_some(principal.description),
        limits: named("limits").then(|| limit::drafts(principal.limits)),
    })
}

/// A principal as it is shown.
pub(in crate::edge) fn shown(view: PrincipalView) -> pb::Principal {
    let PrincipalView { principal, etag } = view;
    pb::Principal {
        id: principal.id,
        display_name: principal.display_name,
        description: principal.description,
        disabled: principal.disabled,
        limits: limit::shown(&principal.limits),
        create_time: Some(wire_time(principal.create_time)),
        created_by: principal.created_by,
        etag,
    }
}

/// The membership that is asked for. Output-only fields are ignored.
pub(in crate::edge) fn membership_draft(membership: pb::Membership) -> MembershipDraft {
    MembershipDraft {
        workspace: membership.workspace,
        principal: membership.principal,
        scope_ceiling: membership.scope_ceiling,
    }
}

/// A membership as it is shown.
pub(in crate::edge) fn membership_shown(view: MembershipView) -> pb::Membership {
    let MembershipView { membership, etag } = view;
    let ceiling = membership.scope_ceiling.iter();
    let (remove_time, removed_by) = match membership.removal {
        Some(end) => (Some(wire_time(end.time)), end.by),
        None => (None, String::new()),
    };
    pb::Membership {
        workspace: membership.workspace.to_string(),
        principal: membership.principal,
        scope_ceiling: ceiling.map(ToString::to_string).collect(),
        create_time: Some(wire_time(membership.create_time)),
        created_by: membership.created_by,
        remove_time,
        removed_by,
        etag,
    }
}
