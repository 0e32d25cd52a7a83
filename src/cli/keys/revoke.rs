//! `keyward keys revoke`: end a key for good, with a reason.

use clap::Args;

use super::{read, stake};
use crate::cli::admin::{Admin, AdminFlags};
use crate::cli::confirm::{self, Consent};
use crate::cli::failure::Failure;
use crate::cli::output::Output;
use crate::cli::reason::{self, ReasonFlags};
use crate::cli::{argument, key_view};
use crate::edge::pb::RevokeKeyRequest;

#[derive(Args, Debug)]
pub(crate) struct RevokeArgs {
    /// The id of the key, `key_…`
    key_id: String,
    #[command(flatten)]
    why: ReasonFlags,
    #[command(flatten)]
    consent: Consent,
}

/// Revokes the key and shows what has become of it.
pub(super) async fn run(
    args: RevokeArgs,
    flags: AdminFlags,
    output: Output,
) -> Result<(), Failure> {
    let key_id = argument::key_id(args.key_id)?;
    let asks = args.consent.must_ask("revoke a key")?;
    let mut admin = Admin::connect(flags).await?;
    if asks {
        let key = read(&mut admin, &key_id).await?;
        confirm::ask(
            &stake(&admin, &key),
            "This is final: no check that starts from then on passes with it.",
            "Revoke this key?",
        )?;
    }
    let request = RevokeKeyRequest {
        key_id,
        reason: args.why.reason(),
        note: args.why.note(),
    };
    let key = admin
        .change(request, reason::FLAGS, async |client, r| {
            client.revoke_key(r).await
        })
        .await?
        .key
        .unwrap_or_default();
    args.why
        .tell_if_kept(key.revocation_reason, &key.revocation_note);
    key_view::show(output, &key)
}
