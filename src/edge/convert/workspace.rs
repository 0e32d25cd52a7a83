//! Workspaces.

use std::time::Duration;

use crate::domain::token::EnvironmentName;
use crate::domain::violation::Violations;
use crate::domain::workspace::{WorkspaceDraft, WorkspacePatch};
use crate::service::registry::WorkspaceView;

use super::{limit, mask, pb, wire_span, wire_time};

/// What the creator of a workspace asks for. Output-only fields are ignored.
pub(in crate::edge) fn draft(workspace: pb::Workspace) -> WorkspaceDraft {
    WorkspaceDraft {
        id: workspace.id,
        display_name: workspace.display_name,
        token_prefix: workspace.token_prefix,
        environments: workspace.environments,
        default_environment: workspace.default_environment,
        unmarked_environment: workspace.unmarked_environment,
        scope_catalog: workspace.scope_catalog,
        default_limits: limit::drafts(workspace.default_limits),
        rotation_period: period(workspace.rotation_period),
    }
}

/// What is negative is none that can be accepted, and told of with whatever
/// else is wrong with the workspace.
fn period(period: Option<prost_types::Duration>) -> Option<Duration> {
    period.map(|period| Duration::try_from(period).unwrap_or(Duration::ZERO))
}

/// What an update is to change.
pub(in crate::edge) fn patch(
    workspace: pb::Workspace,
    update_mask: Option<prost_types::FieldMask>,
) -> Result<WorkspacePatch, Violations> {
    let known = [
        "display_name",
        "environments",
        "default_environment",
        "scope_catalog",
        "default_limits",
        "rotation_period",
    ];
    let paths = mask(update_mask, &known)?;
    let named = |field| paths.iter().any(|path| path == field);
    Ok(WorkspacePatch {
        display_name: named("display_name").then_some(workspace.display_name),
        environments: named("environments").then_some(workspace.environments),
        default_environment: named("default_environment").then_some(workspace.default_environment),
        scope_catalog: named("scope_catalog").then_some(workspace.scope_catalog),
        default_limits: named("default_limits").then(|| limit::drafts(workspace.default_limits)),
        rotation_period: named("rotation_period").then_some(period(workspace.rotation_period)),
    })
}

/// A workspace as it is shown.
pub(in crate::edge) fn shown(view: WorkspaceView) -> pb::Workspace {
    let WorkspaceView { workspace, etag } = view;
    let name = |environment: Option<EnvironmentName>| {
        environment
            .map(|name| name.as_str().to_owned())
            .unwrap_or_default()
    };
    let catalog = workspace.scope_catalog.scopes().iter();
    pb::Workspace {
        id: workspace.id.to_string(),
        display_name: workspace.display_name,
        token_prefix: workspace.token_prefix.as_str().to_owned(),
        environments: workspace
            .environments
            .iter()
            .map(|name| name.as_str().to_owned())
            .collect(),
        default_environment: name(workspace.default_environment),
        unmarked_environment: name(workspace.unmarked_environment),
        create_time: Some(wire_time(workspace.create_time)),
        created_by: workspace.created_by,
        scope_catalog: catalog.map(ToString::to_string).collect(),
        default_limits: limit::shown(&workspace.default_limits),
        disabled: workspace.disabled,
        etag,
        rotation_period: Some(wire_span(workspace.rotation_period)),
    }
}
