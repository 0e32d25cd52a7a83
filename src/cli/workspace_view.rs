//! How a workspace is shown: as lines, as a row of a list, and as fields.

use serde_json::{Value, json};

use super::failure::Failure;
use super::output::Output;
use super::table::{self, Properties, listing};
use super::{key_view, limits, rotation_view, text};
use crate::domain::rotation::USUAL_PERIOD;
use crate::edge::pb::Workspace;

/// All of a workspace, a line for each property that it has.
pub(crate) fn lines(workspace: &Workspace, width: Option<u16>) -> String {
    let mut lines = Properties::default();
    lines.add("Workspace", &workspace.id);
    lines.add("State", if workspace.disabled { "DISABLED" } else { "" });
    lines.add("Display name", &workspace.display_name);
    lines.add("Token prefix", &workspace.token_prefix);
    lines.add("Environments", workspace.environments.join(" "));
    lines.add("Default", &workspace.default_environment);
    lines.add("Unmarked", &workspace.unmarked_environment);
    lines.add("Catalog", workspace.scope_catalog.join(" "));
    lines.add("Key limits", limits::typed(&workspace.default_limits));
    lines.add("Rotation", rotation(workspace));
    lines.add(
        "Created",
        key_view::by(workspace.create_time.as_ref(), &workspace.created_by),
    );
    lines.lines(width)
}

/// How often its keys should get new tokens, if that is not what is usual.
fn rotation(workspace: &Workspace) -> String {
    let usual = prost_types::Duration::try_from(USUAL_PERIOD).ok();
    match &workspace.rotation_period {
        period if *period == usual || period.is_none() => String::new(),
        period => format!("every {}", rotation_view::span(period.as_ref())),
    }
}

/// Many workspaces, a line each.
pub(crate) fn list(workspaces: &[Workspace], width: Option<u16>) -> String {
    let rows: Vec<_> = workspaces
        .iter()
        .map(|workspace| {
            vec![
                workspace.id.clone(),
                if workspace.disabled {
                    "DISABLED"
                } else {
                    "ENABLED"
                }
                .to_owned(),
                workspace.token_prefix.clone(),
                workspace.environments.join(" "),
                workspace.display_name.clone(),
            ]
        })
        .collect();
    let header = [
        "WORKSPACE",
        "STATE",
        "PREFIX",
        "ENVIRONMENTS",
        "DISPLAY NAME",
    ];
    listing(&header, &rows, &[0, 1], width)
}

/// A workspace with the names of the API.
pub(crate) fn json(workspace: &Workspace) -> Value {
    json!({
        "id": workspace.id,
        "display_name": workspace.display_name,
        "token_prefix": workspace.token_prefix,
        "environments": workspace.environments,
        "default_environment": workspace.default_environment,
        "unmarked_environment": workspace.unmarked_environment,
        "scope_catalog": workspace.scope_catalog,
        "default_limits": limits::json(&workspace.default_limits),
        "rotation_period": workspace.rotation_period.as_ref().map(ToString::to_string),
        "disabled": workspace.disabled,
        "create_time": workspace.create_time.as_ref().map(text::moment),
        "created_by": workspace.created_by,
        "etag": workspace.etag,
    })
}

/// Shows a workspace in any form.
pub(crate) fn show(output: Output, workspace: &Workspace) -> Result<(), Failure> {
    output.print(
        || lines(workspace, table::terminal_width()),
        || json!({ "workspace": json(workspace) }),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Workspace {
        Workspace {
            id: "klipy".to_owned(),
            token_prefix: "klipy_api".to_owned(),
            environments: vec!["live".to_owned(), "test".to_owned()],
            default_environment: "live".to_owned(),
            scope_catalog: vec!["people:read".to_owned()],
            create_time: Some(prost_types::Timestamp {
                seconds: 1_780_000_000,
                nanos: 0,
            }),
            rotation_period: prost_types::Duration::try_from(USUAL_PERIOD).ok(),
            etag: "e1".to_owned(),
            ..Workspace::default()
        }
    }

    #[test]
    fn the_json_of_a_workspace_is_stable() {
        assert_eq!(
            json(&sample()),
            json!({
                "id": "klipy",
                "display_name": "",
                "token_prefix": "klipy_api",
                "environments": ["live", "test"],
                "default_environment": "live",
                "unmarked_environment": "",
                "scope_catalog": ["people:read"],
                "default_limits": [],
                "rotation_period": "7776000s",
                "disabled": false,
                "create_time": "2026-05-28T20:26:40Z",
                "created_by": "",
                "etag": "e1",
            })
        );
    }

    #[test]
    fn a_period_is_shown_if_it_is_not_the_usual_one() {
        let mut workspace = sample();
        assert!(!lines(&workspace, None).contains("Rotation"));
        workspace.rotation_period = Some(prost_types::Duration {
            seconds: 30 * 24 * 3_600,
            nanos: 0,
        });
        assert!(lines(&workspace, None).contains("Rotation      every 30days\n"));
    }

    #[test]
    fn a_disabled_workspace_says_so() {
        let mut workspace = sample();
        assert!(!lines(&workspace, None).contains("State"));
        assert!(list(&[workspace.clone()], None).contains("klipy      ENABLED  klipy_api"));
        workspace.disabled = true;
        assert!(lines(&workspace, None).contains("State         DISABLED\n"));
        assert!(list(&[workspace], None).contains("klipy      DISABLED  klipy_api"));
    }
}
