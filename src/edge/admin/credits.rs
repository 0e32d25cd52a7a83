//! Calls about the credits of keys.

use std::sync::Arc;

use crate::domain::credits_draft::Adjustment;
use crate::service::admission::Actor;
use crate::service::error::RegistryError;
use crate::service::registry::{CreditsChange, Registry};

use super::super::convert::{credits, key};
use super::super::pb::*;

pub(super) async fn set_credits(
    registry: Arc<Registry>,
    actor: Actor,
    request: SetCreditsRequest,
) -> Result<SetCreditsResponse, RegistryError> {
    let change = CreditsChange::Set(request.credits.as_ref().map(credits::draft));
    let changed = registry.change_credits(&actor, &request.key_id, change);
    Ok(SetCreditsResponse {
        key: Some(key::shown(changed.await?)),
    })
}

pub(super) async fn adjust_credits(
    registry: Arc<Registry>,
    actor: Actor,
    request: AdjustCreditsRequest,
) -> Result<AdjustCreditsResponse, RegistryError> {
    let change = CreditsChange::Adjust(Adjustment {
        delta: request.delta,
        request_id: request.request_id,
    });
    let changed = registry.change_credits(&actor, &request.key_id, change);
    Ok(AdjustCreditsResponse {
        key: Some(key::shown(changed.await?)),
    })
}
