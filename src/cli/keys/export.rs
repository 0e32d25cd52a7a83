//! `keyward keys export`: all keys that fit, for other programs.

use clap::Args;

use super::list::{FLAGS, FilterFlags};
use crate::cli::admin::{Admin, AdminFlags};
use crate::cli::export::{self, ExportFlags, Sheet};
use crate::cli::failure::Failure;
use crate::cli::key_view;
use crate::cli::output::Output;
use crate::edge::pb::ListKeysRequest;

#[derive(Args, Debug)]
pub(crate) struct ExportArgs {
    #[command(flatten)]
    filter: FilterFlags,
    #[command(flatten)]
    export: ExportFlags,
}

/// Writes the keys as they come.
pub(super) async fn run(
    args: ExportArgs,
    flags: AdminFlags,
    output: Output,
) -> Result<(), Failure> {
    let request = args.filter.request()?;
    let mut admin = Admin::connect(flags).await?;
    let sheet = Sheet {
        columns: key_view::COLUMNS,
        fields: key_view::json,
    };
    export::run(args.export, output, sheet, async |page| {
        let request = ListKeysRequest {
            page_size: page.size,
            page_token: page.token,
            ..request.clone()
        };
        let reply = admin
            .ask(request, FLAGS, async |client, r| client.list_keys(r).await)
            .await?;
        Ok((reply.keys, reply.next_page_token))
    })
    .await
}
