//! KeyAdmin's calls, each as one function: what is asked for goes in, what is
//! answered comes out.

use keyward::edge::pb::{
    AdminKey, AuditEvent, CancelRotationRequest, CreateAdminKeyRequest, CreateAdminKeyResponse,
    DeleteKeyRequest, DeleteWorkspaceRequest, DisableKeyRequest, DisableWorkspaceRequest,
    EnableKeyRequest, EnableWorkspaceRequest, FinishRotationRequest, Key, ListAuditEventsRequest,
    RevokeKeyRequest, RotateKeyRequest, RotateKeyResponse, UpdateAdminKeyRequest, UpdateKeyRequest,
    UpdateWorkspaceRequest, Workspace, list_audit_events_request::Log,
};
use keyward::edge::pb::{
    DeletePrincipalRequest, DisablePrincipalRequest, EnablePrincipalRequest, Membership, Principal,
    RemoveMembershipRequest, SetMembershipRequest, UpdatePrincipalRequest,
};
use prost_types::FieldMask;
use tonic::Status;

use crate::support::Admin;

pub(crate) fn mask(paths: &[&str]) -> Option<FieldMask> {
    let paths = paths.iter().map(|&path| path.to_owned()).collect();
    Some(FieldMask { paths })
}

pub(crate) async fn update_key(admin: &mut Admin, key: Key, paths: &[&str]) -> Result<Key, Status> {
    let request = UpdateKeyRequest {
        key: Some(key),
        update_mask: mask(paths),
    };
    let reply = admin.client.update_key(request).await?;
    Ok(reply.into_inner().key.unwrap())
}

pub(crate) async fn delete_principal(
    admin: &mut Admin,
    principal: &str,
    etag: &str,
) -> Result<(), Status> {
    let request = DeletePrincipalRequest {
        principal: principal.to_owned(),
        etag: etag.to_owned(),
    };
    admin.client.delete_principal(request).await.map(drop)
}

/// Switches a key off, or on again.
pub(crate) async fn switch_key(
    admin: &mut Admin,
    key_id: &str,
    etag: &str,
    disabled: bool,
) -> Result<Key, Status> {
    let (key_id, etag) = (key_id.to_owned(), etag.to_owned());
    let key = if disabled {
        let request = DisableKeyRequest { key_id, etag };
        admin.client.disable_key(request).await?.into_inner().key
    } else {
        let request = EnableKeyRequest { key_id, etag };
        admin.client.enable_key(request).await?.into_inner().key
    };
    Ok(key.unwrap())
}

/// The request to rotate a key with an overlap in milliseconds.
pub(crate) fn rotation(key_id: &str, overlap: i64) -> RotateKeyRequest {
    RotateKeyRequest {
        key_id: key_id.to_owned(),
        overlap: Some(prost_types::Duration {
            seconds: overlap / 1_000,
            nanos: i32::try_from(overlap % 1_000 * 1_000_000).unwrap(),
        }),
        ..RotateKeyRequest::default()
    }
}

pub(crate) async fn rotate_key(
    admin: &mut Admin,
    request: RotateKeyRequest,
) -> Result<RotateKeyResponse, Status> {
    let reply = admin.client.rotate_key(request).await?;
    Ok(reply.into_inner())
}

/// How a rotation is settled.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Settled {
    Finished,
    Cancelled,
}

pub(crate) async fn settle_rotation(
    admin: &mut Admin,
    (key_id, etag): (&str, &str),
    how: Settled,
) -> Result<Key, Status> {
    let (key_id, etag) = (key_id.to_owned(), etag.to_owned());
    let key = match how {
        Settled::Finished => {
            let request = FinishRotationRequest { key_id, etag };
            admin
                .client
                .finish_rotation(request)
                .await?
                .into_inner()
                .key
        }
        Settled::Cancelled => {
            let request = CancelRotationRequest { key_id, etag };
            admin
                .client
                .cancel_rotation(request)
                .await?
                .into_inner()
                .key
        }
    };
    Ok(key.unwrap())
}

pub(crate) async fn revoke_key(
    admin: &mut Admin,
    key_id: &str,
    reason: i32,
    note: &str,
) -> Result<Key, Status> {
    let request = RevokeKeyRequest {
        key_id: key_id.to_owned(),
        reason,
        note: note.to_owned(),
    };
    let reply = admin.client.revoke_key(request).await?;
    Ok(reply.into_inner().key.unwrap())
}

pub(crate) async fn delete_key(admin: &mut Admin, key_id: &str, etag: &str) -> Result<(), Status> {
    let request = DeleteKeyRequest {
        key_id: key_id.to_owned(),
        etag: etag.to_owned(),
    };
    admin.client.delete_key(request).await.map(drop)
}

pub(crate) async fn update_workspace(
    admin: &mut Admin,
    workspace: Workspace,
    paths: &[&str],
) -> Result<Workspace, Status> {
    let request = UpdateWorkspaceRequest {
        workspace: Some(workspace),
        update_mask: mask(paths),
    };
    let reply = admin.client.update_workspace(request).await?;
    Ok(reply.into_inner().workspace.unwrap())
}

/// Switches a workspace off, or on again.
pub(crate) async fn switch_workspace(
    admin: &mut Admin,
    workspace: &str,
    etag: &str,
    disabled: bool,
) -> Result<Workspace, Status> {
    let (workspace, etag) = (workspace.to_owned(), etag.to_owned());
    let workspace = if disabled {
        let request = DisableWorkspaceRequest { workspace, etag };
        let reply = admin.client.disable_workspace(request).await?;
        reply.into_inner().workspace
    } else {
        let request = EnableWorkspaceRequest { workspace, etag };
        let reply = admin.client.enable_workspace(request).await?;
        reply.into_inner().workspace
    };
    Ok(workspace.unwrap())
}

pub(crate) async fn delete_workspace(
    admin: &mut Admin,
    workspace: &str,
    etag: &str,
) -> Result<(), Status> {
    let request = DeleteWorkspaceRequest {
        workspace: workspace.to_owned(),
        etag: etag.to_owned(),
    };
    admin.client.delete_workspace(request).await.map(drop)
}

pub(crate) async fn create_admin(
    admin: &mut Admin,
    admin_key: AdminKey,
) -> Result<CreateAdminKeyResponse, Status> {
    let request = CreateAdminKeyRequest {
        admin_key: Some(admin_key),
    };
    let reply = admin.client.create_admin_key(request).await?;
    Ok(reply.into_inner())
}

pub(crate) async fn update_admin(
    admin: &mut Admin,
    admin_key: AdminKey,
    paths: &[&str],
) -> Result<AdminKey, Status> {
    let request = UpdateAdminKeyRequest {
        admin_key: Some(admin_key),
        update_mask: mask(paths),
    };
    let reply = admin.client.update_admin_key(request).await?;
    Ok(reply.into_inner().admin_key.unwrap())
}

/// All events that fit the question, in pages of its size, newest first.
pub(crate) async fn events(
    admin: &mut Admin,
    question: ListAuditEventsRequest,
) -> Result<Vec<AuditEvent>, Status> {
    let (mut events, mut page_token) = (Vec::new(), String::new());
    loop {
        let request = ListAuditEventsRequest {
            page_token,
            ..question.clone()
        };
        let page = admin.client.list_audit_events(request).await?.into_inner();
        events.extend(page.events);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return Ok(events);
        }
    }
}

/// The question for the log of a workspace.
pub(crate) fn log_of(workspace: &str) -> ListAuditEventsRequest {
    ListAuditEventsRequest {
        log: Some(Log::Workspace(workspace.to_owned())),
        page_size: 1_000,
        ..ListAuditEventsRequest::default()
    }
}

pub(crate) async fn set_membership(
    admin: &mut Admin,
    workspace: &str,
    principal: &str,
    ceiling: &[&str],
) -> Result<Membership, Status> {
    let request = SetMembershipRequest {
        membership: Some(Membership {
            workspace: workspace.to_owned(),
            principal: principal.to_owned(),
            scope_ceiling: ceiling.iter().map(|&scope| scope.to_owned()).collect(),
            ..Membership::default()
        }),
    };
    let reply = admin.client.set_membership(request).await?;
    Ok(reply.into_inner().membership.unwrap())
}

pub(crate) async fn remove_membership(
    admin: &mut Admin,
    workspace: &str,
    principal: &str,
) -> Result<Membership, Status> {
    let request = RemoveMembershipRequest {
        workspace: workspace.to_owned(),
        principal: principal.to_owned(),
        etag: String::new(),
    };
    let reply = admin.client.remove_membership(request).await?;
    Ok(reply.into_inner().membership.unwrap())
}

pub(crate) async fn update_principal(
    admin: &mut Admin,
    principal: Principal,
    paths: &[&str],
) -> Result<Principal, Status> {
    let request = UpdatePrincipalRequest {
        principal: Some(principal),
        update_mask: mask(paths),
    };
    let reply = admin.client.update_principal(request).await?;
    Ok(reply.into_inner().principal.unwrap())
}

/// Switches a principal off, or on again.
pub(crate) async fn switch_principal(
    admin: &mut Admin,
    principal: &str,
    disabled: bool,
) -> Result<Principal, Status> {
    let (principal, etag) = (principal.to_owned(), String::new());
    let client = &mut admin.client;
    let principal = if disabled {
        let request = DisablePrincipalRequest { principal, etag };
        client
            .disable_principal(request)
            .await?
            .into_inner()
            .principal
    } else {
        let request = EnablePrincipalRequest { principal, etag };
        client
            .enable_principal(request)
            .await?
            .into_inner()
            .principal
    };
    Ok(principal.unwrap())
}
