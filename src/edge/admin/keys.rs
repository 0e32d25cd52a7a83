//! Calls about keys.

use std::sync::Arc;

use crate::service::admission::Actor;
use crate::service::error::RegistryError;
use crate::service::registry::Registry;

use super::super::convert::{self, key};
use super::super::pb::*;

pub(super) async fn create_key(
    registry: Arc<Registry>,
    actor: Actor,
    request: CreateKeyRequest,
) -> Result<CreateKeyResponse, RegistryError> {
    let issued = registry.create_key(&actor, key::draft(request)).await?;
    Ok(CreateKeyResponse {
        token: issued.token.expose().to_owned(),
        key: Some(key::shown(issued.view)),
    })
}

pub(super) async fn get_key(
    registry: Arc<Registry>,
    actor: Actor,
    request: GetKeyRequest,
) -> Result<GetKeyResponse, RegistryError> {
    let found = registry.get_key(&actor, &request.key_id).await?;
    Ok(GetKeyResponse {
        key: Some(key::shown(found)),
    })
}

pub(super) async fn list_keys(
    registry: Arc<Registry>,
    actor: Actor,
    request: ListKeysRequest,
) -> Result<ListKeysResponse, RegistryError> {
    let (filter, question) = key::question(request)?;
    let page = registry.list_keys(&actor, filter, question).await?;
    Ok(ListKeysResponse {
        keys: page.items.into_iter().map(key::shown).collect(),
        next_page_token: page.next_page_token,
    })
}

pub(super) async fn update_key(
    registry: Arc<Registry>,
    actor: Actor,
    request: UpdateKeyRequest,
) -> Result<UpdateKeyResponse, RegistryError> {
    let asked = request.key.unwrap_or_default();
    let (id, etag) = (asked.id.clone(), asked.etag.clone());
    let patch = key::patch(asked, request.update_mask)?;
    let changed = registry.update_key(&actor, (&id, &etag), patch).await?;
    Ok(UpdateKeyResponse {
        key: Some(key::shown(changed)),
    })
}

pub(super) async fn disable_key(
    registry: Arc<Registry>,
    actor: Actor,
    request: DisableKeyRequest,
) -> Result<DisableKeyResponse, RegistryError> {
    let which = (request.key_id.as_str(), request.etag.as_str());
    let changed = registry.switch_key(&actor, which, true).await?;
    Ok(DisableKeyResponse {
        key: Some(key::shown(changed)),
    })
}

pub(super) async fn enable_key(
    registry: Arc<Registry>,
    actor: Actor,
    request: EnableKeyRequest,
) -> Result<EnableKeyResponse, RegistryError> {
    let which = (request.key_id.as_str(), request.etag.as_str());
    let changed = registry.switch_key(&actor, which, false).await?;
    Ok(EnableKeyResponse {
        key: Some(key::shown(changed)),
    })
}

pub(super) async fn revoke_key(
    registry: Arc<Registry>,
    actor: Actor,
    request: RevokeKeyRequest,
) -> Result<RevokeKeyResponse, RegistryError> {
    let reason = convert::revocation_reason(request.reason)?;
    let revoked = registry
        .revoke_key(&actor, &request.key_id, reason, &request.note)
        .await?;
    Ok(RevokeKeyResponse {
        key: Some(key::shown(revoked)),
    })
}

pub(super) async fn delete_key(
    registry: Arc<Registry>,
    actor: Actor,
    request: DeleteKeyRequest,
) -> Result<DeleteKeyResponse, RegistryError> {
    let which = (request.key_id.as_str(), request.etag.as_str());
    registry.delete_key(&actor, which).await?;
    Ok(DeleteKeyResponse {})
}
