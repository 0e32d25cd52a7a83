//! `keyward workspaces`: the commands under it.

mod create;
mod delete;
mod list;
mod switch;
mod update;

use clap::{Args, Subcommand};

use super::admin::{Admin, AdminFlags};
use super::failure::{Exit, Failure};
use super::table::Properties;
use super::workspace_view;
use crate::edge::pb::{GetWorkspaceRequest, Workspace};

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
    Create(create::CreateArgs),
    /// Read a workspace
    Get(GetArgs),
    /// List workspaces
    List(list::ListArgs),
    /// Change a workspace. What is not named stays as it is
    Update(update::UpdateArgs),
    /// Switch a workspace off: its keys pass no check, and none can be issued
    Disable(switch::DisableArgs),
    /// Switch a workspace on again
    Enable(switch::EnableArgs),
    /// Delete a workspace, for good: it must be disabled and empty
    Delete(delete::DeleteArgs),
}

#[derive(Args, Debug)]
struct GetArgs {
    /// The id of the workspace
    id: String,
}

/// Runs one of the commands under `keyward workspaces`.
pub(crate) async fn run(args: WorkspacesArgs) -> Result<Exit, Failure> {
    let (output, flags) = (args.flags.output, args.flags);
    match args.command {
        WorkspacesCommand::Create(args) => create::run(args, flags, output).await?,
        WorkspacesCommand::Get(GetArgs { id }) => {
            let workspace = read(&mut Admin::connect(flags).await?, &id).await?;
            workspace_view::show(output, &workspace)?;
        }
        WorkspacesCommand::List(args) => list::run(args, flags, output).await?,
        WorkspacesCommand::Update(args) => update::run(args, flags, output).await?,
        WorkspacesCommand::Disable(args) => switch::off(args, flags, output).await?,
        WorkspacesCommand::Enable(args) => switch::on(args, flags, output).await?,
        WorkspacesCommand::Delete(args) => delete::run(args, flags, output).await?,
    }
    Ok(Exit::Done)
}

async fn read(admin: &mut Admin, id: &str) -> Result<Workspace, Failure> {
    let request = GetWorkspaceRequest {
        workspace: id.to_owned(),
    };
    let reply = admin
        .read(request, async |client, r| client.get_workspace(r).await)
        .await?;
    Ok(reply.workspace.unwrap_or_default())
}

/// What tells whoever is asked which workspace it is.
fn stake(admin: &Admin, workspace: &Workspace) -> String {
    let mut lines = Properties::default();
    lines.add("Server", admin.address());
    lines.add("Workspace", &workspace.id);
    lines.add("Display name", &workspace.display_name);
    lines.add("Token prefix", &workspace.token_prefix);
    lines.lines(None)
}
