//! `keyward workspaces list`: all that the admin token may see.

use clap::Args;
use serde_json::json;

use crate::cli::admin::{Admin, AdminFlags};
use crate::cli::failure::Failure;
use crate::cli::output::{self, Output};
use crate::cli::pages::{self, PageFlags};
use crate::cli::{table, workspace_view};
use crate::edge::pb::ListWorkspacesRequest;

#[derive(Args, Debug)]
pub(crate) struct ListArgs {
    #[command(flatten)]
    pages: PageFlags,
}

/// Lists the workspaces.
pub(super) async fn run(args: ListArgs, flags: AdminFlags, output: Output) -> Result<(), Failure> {
    let mut admin = Admin::connect(flags).await?;
    let workspaces = pages::all(args.pages, async |page| {
        let request = ListWorkspacesRequest {
            page_size: page.size,
            page_token: page.token,
        };
        let reply = admin
            .read(request, async |client, r| client.list_workspaces(r).await)
            .await?;
        Ok((reply.workspaces, reply.next_page_token))
    })
    .await?;
    if workspaces.is_empty() && output == Output::Table {
        output::tell(&"no workspaces");
        return Ok(());
    }
    output.print(
        || workspace_view::list(&workspaces, table::terminal_width()),
        || json!({ "workspaces": workspaces.iter().map(workspace_view::json).collect::<Vec<_>>() }),
    )
}
