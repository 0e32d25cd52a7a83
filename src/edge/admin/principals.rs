//! Calls about principals and their memberships.

use std::sync::Arc;

use crate::service::admission::Actor;
use crate::service::error::RegistryError;
use crate::service::registry::{PageQuestion, Registry};

use super::super::convert::principal;
use super::super::pb::*;

pub(super) async fn create_principal(
    registry: Arc<Registry>,
    actor: Actor,
    request: CreatePrincipalRequest,
) -> Result<CreatePrincipalResponse, RegistryError> {
    let draft = principal::draft(request.principal.unwrap_or_default());
    let created = registry.create_principal(&actor, draft).await?;
    Ok(CreatePrincipalResponse {
        principal: Some(principal::shown(created)),
    })
}

pub(super) async fn get_principal(
    registry: Arc<Registry>,
    actor: Actor,
    request: GetPrincipalRequest,
) -> Result<GetPrincipalResponse, RegistryError> {
    let (found, page) = registry.get_principal(&actor, &request.principal).await?;
    Ok(GetPrincipalResponse {
        principal: Some(principal::shown(found)),
        memberships: page
            .items
            .into_iter()
            .map(principal::membership_shown)
            .collect(),
        next_page_token: page.next_page_token,
    })
}

pub(super) async fn list_principals(
    registry: Arc<Registry>,
    actor: Actor,
    request: ListPrincipalsRequest,
) -> Result<ListPrincipalsResponse, RegistryError> {
    let question = PageQuestion {
        size: request.page_size,
        token: request.page_token,
    };
    let page = registry.list_principals(&actor, question).await?;
    Ok(ListPrincipalsResponse {
        principals: page.items.into_iter().map(principal::shown).collect(),
        next_page_token: page.next_page_token,
    })
}

pub(super) async fn update_principal(
    registry: Arc<Registry>,
    actor: Actor,
    request: UpdatePrincipalRequest,
) -> Result<UpdatePrincipalResponse, RegistryError> {
    let asked = request.principal.unwrap_or_default();
    let (id, etag) = (asked.id.clone(), asked.etag.clone());
    let patch = principal::patch(asked, request.update_mask)?;
    let changed = registry
        .update_principal(&actor, (&id, &etag), patch)
        .await?;
    Ok(UpdatePrincipalResponse {
        principal: Some(principal::shown(changed)),
    })
}

pub(super) async fn disable_principal(
    registry: Arc<Registry>,
    actor: Actor,
    request: DisablePrincipalRequest,
) -> Result<DisablePrincipalResponse, RegistryError> {
    let which = (request.principal.as_str(), request.etag.as_str());
    let changed = registry.switch_principal(&actor, which, true).await?;
    Ok(DisablePrincipalResponse {
        principal: Some(principal::shown(changed)),
    })
}

pub(super) async fn enable_principal(
    registry: Arc<Registry>,
    actor: Actor,
    request: EnablePrincipalRequest,
) -> Result<EnablePrincipalResponse, RegistryError> {
    let which = (request.principal.as_str(), request.etag.as_str());
    let changed = registry.switch_principal(&actor, which, false).await?;
    Ok(EnablePrincipalResponse {
        principal: Some(principal::shown(changed)),
    })
}

pub(super) async fn delete_principal(
    registry: Arc<Registry>,
    actor: Actor,
    request: DeletePrincipalRequest,
) -> Result<DeletePrincipalResponse, RegistryError> {
    let which = (request.principal.as_str(), request.etag.as_str());
    registry.delete_principal(&actor, which).await?;
    Ok(DeletePrincipalResponse {})
}

pub(super) async fn set_membership(
    registry: Arc<Registry>,
    actor: Actor,
    request: SetMembershipRequest,
) -> Result<SetMembershipResponse, RegistryError> {
    let asked = request.membership.unwrap_or_default();
    let etag = asked.etag.clone();
    let draft = principal::membership_draft(asked);
    let set = registry.set_membership(&actor, draft, &etag).await?;
    Ok(SetMembershipResponse {
        membership: Some(principal::membership_shown(set)),
    })
}

pub(super) async fn remove_membership(
    registry: Arc<Registry>,
    actor: Actor,
    request: RemoveMembershipRequest,
) -> Result<RemoveMembershipResponse, RegistryError> {
    let which = (request.workspace.as_str(), request.principal.as_str());
    let removed = registry
        .remove_membership(&actor, which, &request.etag)
        .await?;
    Ok(RemoveMembershipResponse {
        membership: Some(principal::membership_shown(removed)),
    })
}

pub(super) async fn list_memberships(
    registry: Arc<Registry>,
    actor: Actor,
    request: ListMembershipsRequest,
) -> Result<ListMembershipsResponse, RegistryError> {
    let which = (request.workspace.as_str(), request.principal.as_str());
    let question = PageQuestion {
        size: request.page_size,
        token: request.page_token,
    };
    let page = registry.list_memberships(&actor, which, question).await?;
    Ok(ListMembershipsResponse {
        memberships: page
            .items
            .into_iter()
            .map(principal::membership_shown)
            .collect(),
        next_page_token: page.next_page_token,
    })
}
