//! `keyward admins revoke`: end an admin key for good, with a reason.

use clap::Args;

use super::{read, stake};
use crate::cli::admin::{Admin, AdminFlags};
use crate::cli::confirm::{self, Consent};
use crate::cli::failure::Failure;
use crate::cli::output::Output;
use crate::cli::reason::{self, ReasonFlags};
use crate::cli::{admin_view, argument};
use crate::edge::pb::RevokeAdminKeyRequest;

#[derive(Args, Debug)]
pub(crate) struct RevokeArgs {
    /// The id of the admin key, `adm_…`
    admin_key_id: String,
    #[command(flatten)]
    why: ReasonFlags,
    #[command(flatten)]
    consent: Consent,
}

/// Revokes the admin key and shows what has become of it.
pub(super) async fn run(
    args: RevokeArgs,
    flags: AdminFlags,
    output: Output,
) -> Result<(), Failure> {
    let admin_key_id = argument::admin_key_id(args.admin_key_id)?;
    let asks = args.consent.must_ask("revoke an admin key")?;
    let mut admin = Admin::connect(flags).await?;
    if asks {
        let key = read(&mut admin, &admin_key_id).await?;
        confirm::ask(
            &stake(&admin, &key),
            "This is final: whoever works with it can do nothing any more.",
            "Revoke this admin key?",
        )?;
    }
    let request = RevokeAdminKeyRequest {
        admin_key_id,
        reason: args.why.reason(),
        note: args.why.note(),
    };
    let key = admin
        .change(request, reason::FLAGS, async |client, r| {
            client.revoke_admin_key(r).await
        })
        .await?
        .admin_key
        .unwrap_or_default();
    args.why
        .tell_if_kept(key.revocation_reason, &key.revocation_note);
    admin_view::show(output, &key)
}
