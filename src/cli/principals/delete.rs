//! `keyward principals delete`: remove a principal that has no keys.

use clap::Args;
use serde_json::json;

use super::{read, stake};
use crate::cli::admin::{Admin, AdminFlags};
use crate::cli::confirm::{self, Consent};
use crate::cli::etag::EtagFlag;
use crate::cli::failure::Failure;
use crate::cli::output::Output;
use crate::edge::pb::DeletePrincipalRequest;

#[derive(Args, Debug)]
pub(crate) struct DeleteArgs {
    /// The id of the principal
    id: String,
    #[command(flatten)]
    etag: EtagFlag,
    #[command(flatten)]
    consent: Consent,
}

/// Deletes the principal, in the state in which it was shown if it was.
pub(super) async fn run(
    args: DeleteArgs,
    flags: AdminFlags,
    output: Output,
) -> Result<(), Failure> {
    let asks = args.consent.must_ask("delete a principal")?;
    let mut etag = args.etag.given();
    let mut admin = Admin::connect(flags).await?;
    if asks {
        let principal = read(&mut admin, &args.id).await?;
        confirm::ask(
            &stake(&admin, &principal),
            "This is final: its id stays taken, and its memberships end.",
            "Delete this principal?",
        )?;
        etag = args.etag.or_shown(principal.etag);
    }
    let request = DeletePrincipalRequest {
        principal: args.id.clone(),
        etag,
    };
    admin
        .change(request, &[], async |client, r| {
            client.delete_principal(r).await
        })
        .await?;
    output.print(
        || format!("the principal {} is deleted\n", args.id),
        || json!({ "deleted": args.id }),
    )
}
