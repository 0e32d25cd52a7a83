//! `keyward workspaces delete`: remove a workspace that is disabled and empty.

use clap::Args;
use serde_json::json;

use super::{read, stake};
use crate::cli::admin::{Admin, AdminFlags};
use crate::cli::confirm::{self, Consent};
use crate::cli::etag::EtagFlag;
use crate::cli::failure::Failure;
use crate::cli::output::Output;
use crate::edge::pb::DeleteWorkspaceRequest;

#[derive(Args, Debug)]
pub(crate) struct DeleteArgs {
    /// The id of the workspace
    id: String,
    #[command(flatten)]
    etag: EtagFlag,
    #[command(flatten)]
    consent: Consent,
}

/// Deletes the workspace, in the state in which it was shown if it was.
pub(super) async fn run(
    args: DeleteArgs,
    flags: AdminFlags,
    output: Output,
) -> Result<(), Failure> {
    let asks = args.consent.must_ask("delete a workspace")?;
    let mut etag = args.etag.given();
    let mut admin = Admin::connect(flags).await?;
    if asks {
        let workspace = read(&mut admin, &args.id).await?;
        confirm::ask(
            &stake(&admin, &workspace),
            "This is final: its id stays taken, and only its audit log can still be read.",
            "Delete this workspace?",
        )?;
        etag = args.etag.or_shown(workspace.etag);
    }
    let request = DeleteWorkspaceRequest {
        workspace: args.id.clone(),
        etag,
    };
    admin
        .change(request, &[], async |client, r| {
            client.delete_workspace(r).await
        })
        .await?;
    output.print(
        || format!("the workspace {} is deleted\n", args.id),
        || json!({ "deleted": args.id }),
    )
}
