//! `keyward workspaces`: create and read.

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::admin::{Admin, AdminFlags};
use super::failure::{Exit, Failure};
use super::status::Flags;
use super::table::{self, Properties};
use super::{key_view, text};
use crate::edge::pb::{CreateWorkspaceRequest, GetWorkspaceRequest, Workspace};

const CREATE_FLAGS: Flags = &[
    ("id", "the id"),
    ("display_name", "--display-name"),
    ("token_prefix", "--prefix"),
    ("environments", "--environment"),
    ("default_environment", "--default-environment"),
    ("unmarked_environment", "--unmarked-environment"),
];

#[derive(Args, Debug)]
pub(crate) struct WorkspacesArgs {
    #[command(subcommand)]
    command: WorkspacesCommand,
    #[command(flatten)]
    flags: AdminFlags,
}

#[derive(Subcommand, Debug)]
enum WorkspacesCommand {
    /// Create a workspace: a tenant, with its tokens' prefix
    Create(CreateArgs),
    /// Read a workspace
    Get(GetArgs),
}

#[derive(Args, Debug)]
struct CreateArgs {
    /// The id, final: 1 to 63 characters of a-z, 0-9, `_`, `.` and `-`
    id: String,
    /// What its tokens start with, such as `klipy_api`
    #[arg(long)]
    prefix: String,
    /// An environment that keys can be of, such as `live` or `test`. Can be
    /// given several times. Without it, tokens have no such part
    #[arg(long = "environment", value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    environments: Vec<String>,
    /// The environment that is meant where none is given [default: `live` if
    /// it is among them, else the first]
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    default_environment: Option<String>,
    /// The environment whose tokens carry no mark of it [default: all are
    /// marked]
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    unmarked_environment: Option<String>,
    /// A name for people
    #[arg(
        long,
        value_name = "TEXT",
        default_value = "",
        hide_default_value = true
    )]
    display_name: String,
}

#[derive(Args, Debug)]
struct GetArgs {
    /// The id of the workspace
    id: String,
}

/// Runs one of the commands under `keyward workspaces`.
pub(crate) async fn run(args: WorkspacesArgs) -> Result<Exit, Failure> {
    let output = args.flags.output;
    let mut admin = Admin::connect(args.flags).await?;
    let workspace = match args.command {
        WorkspacesCommand::Create(args) => {
            let request = CreateWorkspaceRequest {
                workspace: Some(draft(args)),
            };
            admin
                .change(request, CREATE_FLAGS, async |client, r| {
                    client.create_workspace(r).await
                })
                .await?
                .workspace
        }
        WorkspacesCommand::Get(GetArgs { id }) => {
            let request = GetWorkspaceRequest { workspace: id };
            admin
                .read(request, async |client, r| client.get_workspace(r).await)
                .await?
                .workspace
        }
    };
    let workspace = workspace.unwrap_or_default();
    output.print(
        || lines(&workspace),
        || json!({ "workspace": fields(&workspace) }),
    )?;
    Ok(Exit::Done)
}

fn draft(args: CreateArgs) -> Workspace {
    Workspace {
        id: args.id,
        display_name: args.display_name,
        token_prefix: args.prefix,
        environments: args.environments,
        default_environment: args.default_environment.unwrap_or_default(),
        unmarked_environment: args.unmarked_environment.unwrap_or_default(),
        ..Workspace::default()
    }
}

fn lines(workspace: &Workspace) -> String {
    let mut lines = Properties::default();
    lines.add("Workspace", &workspace.id);
    lines.add("Display name", &workspace.display_name);
    lines.add("Token prefix", &workspace.token_prefix);
    lines.add("Environments", workspace.environments.join(" "));
    lines.add("Default", &workspace.default_environment);
    lines.add("Unmarked", &workspace.unmarked_environment);
    lines.add(
        "Created",
        key_view::by(workspace.create_time.as_ref(), &workspace.created_by),
    );
    lines.lines(table::terminal_width())
}

fn fields(workspace: &Workspace) -> Value {
    json!({
        "id": workspace.id,
        "display_name": workspace.display_name,
        "token_prefix": workspace.token_prefix,
        "environments": workspace.environments,
        "default_environment": workspace.default_environment,
        "unmarked_environment": workspace.unmarked_environment,
        "create_time": workspace.create_time.as_ref().map(text::moment),
        "created_by": workspace.created_by,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_json_of_a_workspace_is_stable() {
        let workspace = Workspace {
            id: "klipy".to_owned(),
            token_prefix: "klipy_api".to_owned(),
            environments: vec!["live".to_owned(), "test".to_owned()],
            default_environment: "live".to_owned(),
            create_time: Some(prost_types::Timestamp {
                seconds: 1_780_000_000,
                nanos: 0,
            }),
            ..Workspace::default()
        };
        assert_eq!(
            fields(&workspace),
            json!({
                "id": "klipy",
                "display_name": "",
                "token_prefix": "klipy_api",
                "environments": ["live", "test"],
                "default_environment": "live",
                "unmarked_environment": "",
                "create_time": "2026-05-28T20:26:40Z",
                "created_by": "",
            })
        );
    }
}
