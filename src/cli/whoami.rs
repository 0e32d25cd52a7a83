//! `keyward whoami`: the admin key behind the token, and the server it is of.

use clap::Args;
use serde_json::json;

use super::admin::{Admin, AdminFlags};
use super::failure::{Exit, Failure};
use super::{admin_view, table};
use crate::edge::pb::WhoAmIRequest;

#[derive(Args, Debug)]
pub(crate) struct WhoAmIArgs {
    #[command(flatten)]
    flags: AdminFlags,
}

/// Shows who is calling.
pub(crate) async fn run(args: WhoAmIArgs) -> Result<Exit, Failure> {
    let output = args.flags.output;
    let mut admin = Admin::connect(args.flags).await?;
    let reply = admin
        .read(WhoAmIRequest {}, async |client, r| client.who_am_i(r).await)
        .await?;
    let key = reply.admin_key.unwrap_or_default();
    let lines = || {
        let mut lines = admin_view::properties(&key);
        lines.add("Server", admin.address());
        lines.add("Version", &reply.server_version);
        lines.lines(table::terminal_width())
    };
    output.print(
        lines,
        || json!({ "admin_key": admin_view::json(&key), "server_version": reply.server_version }),
    )?;
    Ok(Exit::Done)
}
