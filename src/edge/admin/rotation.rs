//! Calls that give keys new tokens.

use std::sync::Arc;

use crate::domain::rotation::RotationDraft;
use crate::service::admission::Actor;
use crate::service::error::RegistryError;
use crate::service::registry::Registry;

use super::super::convert::{key, read_span};
use super::super::pb::*;

pub(super) async fn rotate_key(
    registry: Arc<Registry>,
    actor: Actor,
    request: RotateKeyRequest,
) -> Result<RotateKeyResponse, RegistryError> {
    let draft = RotationDraft {
        overlap: read_span("overlap", request.overlap)?,
        from_first_use: request.from_first_use,
    };
    let which = (request.key_id.as_str(), request.etag.as_str());
    let rotated = registry.rotate_key(&actor, which, draft).await?;
    Ok(RotateKeyResponse {
        token: rotated.token.expose().to_owned(),
        key: Some(key::shown(rotated.view)),
    })
}

pub(super) async fn finish_rotation(
    registry: Arc<Registry>,
    actor: Actor,
    request: FinishRotationRequest,
) -> Result<FinishRotationResponse, RegistryError> {
    let which = (request.key_id.as_str(), request.etag.as_str());
    let finished = registry.finish_rotation(&actor, which).await?;
    Ok(FinishRotationResponse {
        key: Some(key::shown(finished)),
    })
}

pub(super) async fn cancel_rotation(
    registry: Arc<Registry>,
    actor: Actor,
    request: CancelRotationRequest,
) -> Result<CancelRotationResponse, RegistryError> {
    let which = (request.key_id.as_str(), request.etag.as_str());
    let cancelled = registry.cancel_rotation(&actor, which).await?;
    Ok(CancelRotationResponse {
        key: Some(key::shown(cancelled)),
    })
}
