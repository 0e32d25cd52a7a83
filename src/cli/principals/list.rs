//! `keyward principals list`: all that there are.

use clap::Args;
use serde_json::json;

use crate::cli::admin::{Admin, AdminFlags};
use crate::cli::failure::Failure;
use crate::cli::output::{self, Output};
use crate::cli::pages::{self, PageFlags};
use crate::cli::{principal_view, table};
use crate::edge::pb::ListPrincipalsRequest;

#[derive(Args, Debug)]
pub(crate) struct ListArgs {
    #[command(flatten)]
    pages: PageFlags,
}

/// Lists the principals.
pub(super) async fn run(args: ListArgs, flags: AdminFlags, output: Output) -> Result<(), Failure> {
    let mut admin = Admin::connect(flags).await?;
    let principals = pages::all(args.pages, async |page| {
        let request = ListPrincipalsRequest {
            page_size: page.size,
            page_token: page.token,
        };
        let reply = admin
            .read(request, async |client, r| client.list_principals(r).await)
            .await?;
        Ok((reply.principals, reply.next_page_token))
    })
    .await?;
    if principals.is_empty() && output == Output::Table {
        output::tell(&"no principals");
        return Ok(());
    }
    output.print(
        || principal_view::list(&principals, table::terminal_width()),
        || json!({ "principals": principals.iter().map(principal_view::json).collect::<Vec<_>>() }),
    )
}
