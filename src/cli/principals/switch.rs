//! `keyward principals disable` and `enable`: stop all keys of a principal, and
//! let them work again.

use clap::Args;

use super::{read, stake};
use crate::cli::admin::{Admin, AdminFlags};
use crate::cli::confirm::{self, Consent};
use crate::cli::etag::EtagFlag;
use crate::cli::failure::Failure;
use crate::cli::output::Output;
use crate::cli::principal_view;
use crate::edge::pb::{DisablePrincipalRequest, EnablePrincipalRequest};

#[derive(Args, Debug)]
pub(crate) struct DisableArgs {
    /// The id of the principal
    id: String,
    #[command(flatten)]
    etag: EtagFlag,
    #[command(flatten)]
    consent: Consent,
}

#[derive(Args, Debug)]
pub(crate) struct EnableArgs {
    /// The id of the principal
    id: String,
    #[command(flatten)]
    etag: EtagFlag,
}

/// Switches the principal off, in the state in which it was shown if it was,
/// and shows it.
pub(super) async fn off(
    args: DisableArgs,
    flags: AdminFlags,
    output: Output,
) -> Result<(), Failure> {
    let asks = args.consent.must_ask("disable a principal")?;
    let mut etag = args.etag.given();
    let mut admin = Admin::connect(flags).await?;
    if asks {
        let principal = read(&mut admin, &args.id).await?;
        confirm::ask(
            &stake(&admin, &principal),
            "All its keys, in all workspaces, stop to pass checks at once, until it is enabled again.",
            "Disable this principal?",
        )?;
        etag = args.etag.or_shown(principal.etag);
    }
    let request = DisablePrincipalRequest {
        principal: args.id,
        etag,
    };
    let reply = admin
        .change(request, &[], async |client, r| {
            client.disable_principal(r).await
        })
        .await?;
    principal_view::show(output, &reply.principal.unwrap_or_default())
}

/// Switches the principal on and shows it.
pub(super) async fn on(args: EnableArgs, flags: AdminFlags, output: Output) -> Result<(), Failure> {
    let request = EnablePrincipalRequest {
        principal: args.id,
        etag: args.etag.given(),
    };
    let reply = Admin::connect(flags)
        .await?
        .change(request, &[], async |client, r| {
            client.enable_principal(r).await
        })
        .await?;
    principal_view::show(output, &reply.principal.unwrap_or_default())
}
