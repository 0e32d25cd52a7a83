//! `keyward admins list`: of one workspace, or all that may be read.

use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use serde_json::json;

use crate::cli::admin::{Admin, AdminFlags};
use crate::cli::failure::Failure;
use crate::cli::output::{self, Output};
use crate::cli::pages::{self, PageFlags};
use crate::cli::status::Flags;
use crate::cli::{admin_view, table};
use crate::edge::pb::ListAdminKeysRequest;

const FLAGS: Flags = &[("workspace", "--workspace")];

#[derive(Args, Debug)]
pub(crate) struct ListArgs {
    /// Only those of this workspace [default: all that the admin token may read]
    #[arg(long, value_name = "ID", value_parser = NonEmptyStringValueParser::new())]
    workspace: Option<String>,
    #[command(flatten)]
    pages: PageFlags,
}

/// Lists the admin keys.
pub(super) async fn run(args: ListArgs, flags: AdminFlags, output: Output) -> Result<(), Failure> {
    let mut admin = Admin::connect(flags).await?;
    let workspace = args.workspace.unwrap_or_default();
    let keys = pages::all(args.pages, async |page| {
        let request = ListAdminKeysRequest {
            workspace: workspace.clone(),
            page_size: page.size,
            page_token: page.token,
        };
        let reply = admin
            .ask(request, FLAGS, async |client, r| {
                client.list_admin_keys(r).await
            })
            .await?;
        Ok((reply.admin_keys, reply.next_page_token))
    })
    .await?;
    if keys.is_empty() && output == Output::Table {
        output::tell(&"no admin keys");
        return Ok(());
    }
    output.print(
        || admin_view::list(&keys, table::terminal_width()),
        || json!({ "admin_keys": keys.iter().map(admin_view::json).collect::<Vec<_>>() }),
    )
}
