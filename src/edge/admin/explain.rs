//! The call that tells why a check is answered as it is.

use std::sync::Arc;

use crate::service::admission::Actor;
use crate::service::error::RegistryError;
use crate::service::registry::Registry;

use super::super::convert::explain;
use super::super::pb::*;

pub(super) async fn explain_check(
    registry: Arc<Registry>,
    actor: Actor,
    request: ExplainCheckRequest,
) -> Result<ExplainCheckResponse, RegistryError> {
    let question = explain::question(request);
    let explained = registry.explain_check(&actor, &question).await?;
    Ok(explain::shown(explained))
}
