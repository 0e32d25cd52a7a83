//! Calls about workspaces.

use std::sync::Arc;

use crate::service::admission::Actor;
use crate::service::error::RegistryError;
use crate::service::registry::{PageQuestion, Registry};

use super::super::convert::workspace;
use super::super::pb::*;

pub(super) async fn create_workspace(
    registry: Arc<Registry>,
    actor: Actor,
    request: CreateWorkspaceRequest,
) -> Result<CreateWorkspaceResponse, RegistryError> {
    let draft = workspace::draft(request.workspace.unwrap_or_default());
    let created = registry.create_workspace(&actor, draft).await?;
    Ok(CreateWorkspaceResponse {
        workspace: Some(workspace::shown(created)),
    })
}

pub(super) async fn get_workspace(
    registry: Arc<Registry>,
    actor: Actor,
    request: GetWorkspaceRequest,
) -> Result<GetWorkspaceResponse, RegistryError> {
    let found = registry.get_workspace(&actor, &request.workspace).await?;
    Ok(GetWorkspaceResponse {
        workspace: Some(workspace::shown(found)),
    })
}

pub(super) async fn list_workspaces(
    registry: Arc<Registry>,
    actor: Actor,
    request: ListWorkspacesRequest,
) -> Result<ListWorkspacesResponse, RegistryError> {
    let question = PageQuestion {
        size: request.page_size,
        token: request.page_token,
    };
    let page = registry.list_workspaces(&actor, question).await?;
    Ok(ListWorkspacesResponse {
        workspaces: page.items.into_iter().map(workspace::shown).collect(),
        next_page_token: page.next_page_token,
    })
}

pub(super) async fn update_workspace(
    registry: Arc<Registry>,
    actor: Actor,
    request: UpdateWorkspaceRequest,
) -> Result<UpdateWorkspaceResponse, RegistryError> {
    let asked = request.workspace.unwrap_or_default();
    let (id, etag) = (asked.id.clone(), asked.etag.clone());
    let patch = workspace::patch(asked, request.update_mask)?;
    let changed = registry
        .update_workspace(&actor, (&id, &etag), patch)
        .await?;
    Ok(UpdateWorkspaceResponse {
        workspace: Some(workspace::shown(changed)),
    })
}

pub(super) async fn disable_workspace(
    registry: Arc<Registry>,
    actor: Actor,
    request: DisableWorkspaceRequest,
) -> Result<DisableWorkspaceResponse, RegistryError> {
    let which = (request.workspace.as_str(), request.etag.as_str());
    let changed = registry.switch_workspace(&actor, which, true).await?;
    Ok(DisableWorkspaceResponse {
        workspace: Some(workspace::shown(changed)),
    })
}

pub(super) async fn enable_workspace(
    registry: Arc<Registry>,
    actor: Actor,
    request: EnableWorkspaceRequest,
) -> Result<EnableWorkspaceResponse, RegistryError> {
    let which = (request.workspace.as_str(), request.etag.as_str());
    let changed = registry.switch_workspace(&actor, which, false).await?;
    Ok(EnableWorkspaceResponse {
        workspace: Some(workspace::shown(changed)),
    })
}

pub(super) async fn delete_workspace(
    registry: Arc<Registry>,
    actor: Actor,
    request: DeleteWorkspaceRequest,
) -> Result<DeleteWorkspaceResponse, RegistryError> {
    let which = (request.workspace.as_str(), request.etag.as_str());
    registry.delete_workspace(&actor, which).await?;
    Ok(DeleteWorkspaceResponse {})
}
