//! `keyward keys disable` and `enable`: switch a key off and on.

use clap::Args;

use crate::cli::admin::{Admin, AdminFlags};
use crate::cli::etag::EtagFlag;
use crate::cli::failure::Failure;
use crate::cli::output::Output;
use crate::cli::{argument, key_view};
use crate::edge::pb::{DisableKeyRequest, EnableKeyRequest};

#[derive(Args, Debug)]
pub(crate) struct SwitchArgs {
    /// The id of the key, `key_…`
    key_id: String,
    #[command(flatten)]
    etag: EtagFlag,
}

/// Switches the key off and shows it.
pub(super) async fn off(
    args: SwitchArgs,
    flags: AdminFlags,
    output: Output,
) -> Result<(), Failure> {
    let request = DisableKeyRequest {
        key_id: argument::key_id(args.key_id)?,
        etag: args.etag.given(),
    };
    let reply = Admin::connect(flags)
        .await?
        .change(request, &[], async |client, r| client.disable_key(r).await)
        .await?;
    key_view::show(output, &reply.key.unwrap_or_default())
}

/// Switches the key on and shows it.
pub(super) async fn on(args: SwitchArgs, flags: AdminFlags, output: Output) -> Result<(), Failure> {
    let request = EnableKeyRequest {
        key_id: argument::key_id(args.key_id)?,
        etag: args.etag.given(),
    };
    let reply = Admin::connect(flags)
        .await?
        .change(request, &[], async |client, r| client.enable_key(r).await)
        .await?;
    key_view::show(output, &reply.key.unwrap_or_default())
}
