//! `keyward keys delete`: remove what is left of a revoked key.

use clap::Args;
use serde_json::json;

use super::{read, stake};
use crate::cli::admin::{Admin, AdminFlags};
use crate::cli::argument;
use crate::cli::confirm::{self, Consent};
use crate::cli::etag::EtagFlag;
use crate::cli::failure::Failure;
use crate::cli::output::Output;
use crate::edge::pb::DeleteKeyRequest;

#[derive(Args, Debug)]
pub(crate) struct DeleteArgs {
    /// The id of the key, `key_…`
    key_id: String,
    #[command(flatten)]
    etag: EtagFlag,
    #[command(flatten)]
    consent: Consent,
}

/// Deletes the key, in the state in which it was shown if it was.
pub(super) async fn run(
    args: DeleteArgs,
    flags: AdminFlags,
    output: Output,
) -> Result<(), Failure> {
    let key_id = argument::key_id(args.key_id)?;
    let asks = args.consent.must_ask("delete a key")?;
    let mut etag = args.etag.given();
    let mut admin = Admin::connect(flags).await?;
    if asks {
        let key = read(&mut admin, &key_id).await?;
        confirm::ask(
            &stake(&admin, &key),
            "Its record goes for good: checks will call its token UNKNOWN, and only the audit log tells of it.",
            "Delete this key?",
        )?;
        etag = args.etag.or_shown(key.etag);
    }
    let request = DeleteKeyRequest {
        key_id: key_id.clone(),
        etag,
    };
    admin
        .change(request, &[], async |client, r| client.delete_key(r).await)
        .await?;
    output.print(
        || format!("the key {key_id} is deleted\n"),
        || json!({ "deleted": key_id }),
    )
}
