//! `keyward workspaces disable` and `enable`: switch a workspace off and on.

use clap::Args;

use super::{read, stake};
use crate::cli::admin::{Admin, AdminFlags};
use crate::cli::confirm::{self, Consent};
use crate::cli::etag::EtagFlag;
use crate::cli::failure::Failure;
use crate::cli::output::Output;
use crate::cli::workspace_view;
use crate::edge::pb::{DisableWorkspaceRequest, EnableWorkspaceRequest};

#[derive(Args, Debug)]
pub(crate) struct DisableArgs {
    /// The id of the workspace
    id: String,
    #[command(flatten)]
    etag: EtagFlag,
    #[command(flatten)]
    consent: Consent,
}

#[derive(Args, Debug)]
pub(crate) struct EnableArgs {
    /// The id of the workspace
    id: String,
    #[command(flatten)]
    etag: EtagFlag,
}

/// Switches the workspace off, in the state in which it was shown if it was,
/// and shows it.
pub(super) async fn off(
    args: DisableArgs,
    flags: AdminFlags,
    output: Output,
) -> Result<(), Failure> {
    let asks = args.consent.must_ask("disable a whole workspace")?;
    let mut etag = args.etag.given();
    let mut admin = Admin::connect(flags).await?;
    if asks {
        let workspace = read(&mut admin, &args.id).await?;
        confirm::ask(
            &stake(&admin, &workspace),
            "All its keys stop to pass checks at once, until it is enabled again.",
            "Disable this workspace?",
        )?;
        etag = args.etag.or_shown(workspace.etag);
    }
    let request = DisableWorkspaceRequest {
        workspace: args.id,
        etag,
    };
    let reply = admin
        .change(request, &[], async |client, r| {
            client.disable_workspace(r).await
        })
        .await?;
    workspace_view::show(output, &reply.workspace.unwrap_or_default())
}

/// Switches the workspace on and shows it.
pub(super) async fn on(args: EnableArgs, flags: AdminFlags, output: Output) -> Result<(), Failure> {
    let request = EnableWorkspaceRequest {
        workspace: args.id,
        etag: args.etag.given(),
    };
    let reply = Admin::connect(flags)
        .await?
        .change(request, &[], async |client, r| {
            client.enable_workspace(r).await
        })
        .await?;
    workspace_view::show(output, &reply.workspace.unwrap_or_default())
}
