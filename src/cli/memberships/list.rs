//! `keyward memberships list`: who may do what, where.

use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use serde_json::json;

use crate::cli::admin::{Admin, AdminFlags};
use crate::cli::failure::Failure;
use crate::cli::output::{self, Output};
use crate::cli::pages::{self, PageFlags};
use crate::cli::{principal_view, table};
use crate::edge::pb::ListMembershipsRequest;

#[derive(Args, Debug)]
pub(crate) struct ListArgs {
    /// Only those in this workspace [default: all that the admin token may read]
    #[arg(long, value_name = "ID", value_parser = NonEmptyStringValueParser::new())]
    workspace: Option<String>,
    /// Only those of this principal
    #[arg(long, value_name = "ID", value_parser = NonEmptyStringValueParser::new())]
    principal: Option<String>,
    #[command(flatten)]
    pages: PageFlags,
}

/// Lists the memberships.
pub(super) async fn run(args: ListArgs, flags: AdminFlags, output: Output) -> Result<(), Failure> {
    let mut admin = Admin::connect(flags).await?;
    let memberships = pages::all(args.pages, async |page| {
        let request = ListMembershipsRequest {
            workspace: args.workspace.clone().unwrap_or_default(),
            principal: args.principal.clone().unwrap_or_default(),
            page_size: page.size,
            page_token: page.token,
        };
        let reply = admin
            .read(request, async |client, r| client.list_memberships(r).await)
            .await?;
        Ok((reply.memberships, reply.next_page_token))
    })
    .await?;
    if memberships.is_empty() && output == Output::Table {
        output::tell(&"no memberships");
        return Ok(());
    }
    output.print(
        || principal_view::memberships(&memberships, table::terminal_width()),
        || {
            let memberships = memberships.iter().map(principal_view::membership_json);
            json!({ "memberships": memberships.collect::<Vec<_>>() })
        },
    )
}
