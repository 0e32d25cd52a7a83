//! `keyward memberships remove`: take a principal out of a workspace.

use clap::Args;

use super::Which;
use crate::cli::admin::{Admin, AdminFlags};
use crate::cli::confirm::{self, Consent};
use crate::cli::etag::EtagFlag;
use crate::cli::failure::Failure;
use crate::cli::output::Output;
use crate::cli::principal_view;
use crate::cli::status::Flags;
use crate::cli::table::Properties;
use crate::edge::pb::RemoveMembershipRequest;

const FLAGS: Flags = &[("workspace", "--workspace"), ("principal", "--principal")];

#[derive(Args, Debug)]
pub(crate) struct RemoveArgs {
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    etag: EtagFlag,
    #[command(flatten)]
    consent: Consent,
}

/// Removes the membership and shows it.
pub(super) async fn run(
    args: RemoveArgs,
    flags: AdminFlags,
    output: Output,
) -> Result<(), Failure> {
    let asks = args
        .consent
        .must_ask("take a principal out of a workspace")?;
    let mut admin = Admin::connect(flags).await?;
    if asks {
        let mut lines = Properties::default();
        lines.add("Server", admin.address());
        lines.add("Workspace", &args.which.workspace);
        lines.add("Principal", &args.which.principal);
        confirm::ask(
            &lines.lines(None),
            "All its keys stop to pass checks there at once, until the membership is set again.",
            "Remove this membership?",
        )?;
    }
    let request = RemoveMembershipRequest {
        workspace: args.which.workspace,
        principal: args.which.principal,
        etag: args.etag.given(),
    };
    let reply = admin
        .change(request, FLAGS, async |client, r| {
            client.remove_membership(r).await
        })
        .await?;
    principal_view::show_membership(output, &reply.membership.unwrap_or_default())
}
