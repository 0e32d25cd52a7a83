//! Calls about admin keys, whoever calls, and the audit log.

use std::sync::Arc;

use crate::build_info;
use crate::domain::rotation::RotationDraft;
use crate::service::admission::Actor;
use crate::service::error::RegistryError;
use crate::service::registry::{PageQuestion, Registry};

use super::super::convert::{self, admin_key, audit_event};
use super::super::pb::*;

pub(super) async fn who_am_i(
    registry: Arc<Registry>,
    actor: Actor,
    _: WhoAmIRequest,
) -> Result<WhoAmIResponse, RegistryError> {
    let admin = registry.who_am_i(&actor).await?;
    Ok(WhoAmIResponse {
        admin_key: Some(admin_key::shown(admin)),
        server_version: build_info::SHORT.to_owned(),
    })
}

pub(super) async fn create_admin_key(
    registry: Arc<Registry>,
    actor: Actor,
    request: CreateAdminKeyRequest,
) -> Result<CreateAdminKeyResponse, RegistryError> {
    let draft = admin_key::draft(request.admin_key.unwrap_or_default())?;
    let created = registry.create_admin(&actor, draft).await?;
    Ok(CreateAdminKeyResponse {
        token: created.token.expose().to_owned(),
        admin_key: Some(admin_key::shown(created.view)),
    })
}

pub(super) async fn get_admin_key(
    registry: Arc<Registry>,
    actor: Actor,
    request: GetAdminKeyRequest,
) -> Result<GetAdminKeyResponse, RegistryError> {
    let found = registry.get_admin(&actor, &request.admin_key_id).await?;
    Ok(GetAdminKeyResponse {
        admin_key: Some(admin_key::shown(found)),
    })
}

pub(super) async fn list_admin_keys(
    registry: Arc<Registry>,
    actor: Actor,
    request: ListAdminKeysRequest,
) -> Result<ListAdminKeysResponse, RegistryError> {
    let question = PageQuestion {
        size: request.page_size,
        token: request.page_token,
    };
    let page = registry
        .list_admins(&actor, &request.workspace, question)
        .await?;
    Ok(ListAdminKeysResponse {
        admin_keys: page.items.into_iter().map(admin_key::shown).collect(),
        next_page_token: page.next_page_token,
    })
}

pub(super) async fn update_admin_key(
    registry: Arc<Registry>,
    actor: Actor,
    request: UpdateAdminKeyRequest,
) -> Result<UpdateAdminKeyResponse, RegistryError> {
    let asked = request.admin_key.unwrap_or_default();
    let (id, etag) = (asked.id.clone(), asked.etag.clone());
    let patch = admin_key::patch(asked, request.update_mask)?;
    let changed = registry.update_admin(&actor, (&id, &etag), patch).await?;
    Ok(UpdateAdminKeyResponse {
        admin_key: Some(admin_key::shown(changed)),
    })
}

pub(super) async fn rotate_admin_key(
    registry: Arc<Registry>,
    actor: Actor,
    request: RotateAdminKeyRequest,
) -> Result<RotateAdminKeyResponse, RegistryError> {
    let draft = RotationDraft {
        overlap: convert::read_span("overlap", request.overlap)?,
        from_first_use: false,
    };
    let rotated = registry
        .rotate_admin(&actor, &request.admin_key_id, draft)
        .await?;
    Ok(RotateAdminKeyResponse {
        token: rotated.token.expose().to_owned(),
        admin_key: Some(admin_key::shown(rotated.view)),
    })
}

pub(super) async fn revoke_admin_key(
    registry: Arc<Registry>,
    actor: Actor,
    request: RevokeAdminKeyRequest,
) -> Result<RevokeAdminKeyResponse, RegistryError> {
    let reason = convert::revocation_reason(request.reason)?;
    let revoked = registry
        .revoke_admin(&actor, &request.admin_key_id, reason, &request.note)
        .await?;
    Ok(RevokeAdminKeyResponse {
        admin_key: Some(admin_key::shown(revoked)),
    })
}

pub(super) async fn list_audit_events(
    registry: Arc<Registry>,
    actor: Actor,
    request: ListAuditEventsRequest,
) -> Result<ListAuditEventsResponse, RegistryError> {
    let (filter, question) = audit_event::question(request)?;
    let page = registry.list_audit_events(&actor, filter, question).await?;
    Ok(ListAuditEventsResponse {
        events: page.items.into_iter().map(audit_event::shown).collect(),
        next_page_token: page.next_page_token,
    })
}
