//! The call that tells whose tokens were found.

use std::sync::Arc;

use crate::service::admission::Actor;
use crate::service::error::RegistryError;
use crate::service::registry::Registry;

use super::super::convert::token_search;
use super::super::pb::*;

pub(super) async fn identify_tokens(
    registry: Arc<Registry>,
    actor: Actor,
    request: IdentifyTokensRequest,
) -> Result<IdentifyTokensResponse, RegistryError> {
    let identified = registry.identify_tokens(&actor, &request.tokens).await?;
    Ok(IdentifyTokensResponse {
        tokens: identified.into_iter().map(token_search::shown).collect(),
    })
}
