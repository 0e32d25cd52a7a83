//! `keyward keys finish-rotation` and `cancel-rotation`: end one of the two
//! tokens of a key now, the old one or the new one.

use clap::Args;

use super::{read, stake};
use crate::cli::admin::{Admin, AdminFlags};
use crate::cli::confirm::{self, Consent};
use crate::cli::etag::EtagFlag;
use crate::cli::failure::Failure;
use crate::cli::output::Output;
use crate::cli::{argument, key_view};
use crate::edge::pb::{CancelRotationRequest, FinishRotationRequest, Key};

#[derive(Args, Debug)]
pub(crate) struct SettleArgs {
    /// The id of the key, `key_…`
    key_id: String,
    #[command(flatten)]
    etag: EtagFlag,
    #[command(flatten)]
    consent: Consent,
}

/// Ends the old token and shows the key.
pub(super) async fn finish(
    args: SettleArgs,
    flags: AdminFlags,
    output: Output,
) -> Result<(), Failure> {
    let asks = args.consent.must_ask("end the old token of a key")?;
    let mut admin = Admin::connect(flags).await?;
    let (key_id, etag) = agreed(args, &mut admin, asks, |key| Loss {
        hint: key
            .rotation
            .as_ref()
            .map(|rotation| rotation.old_hint.clone()),
        what: "The old token",
        question: "Finish the rotation?",
    })
    .await?;
    let request = FinishRotationRequest { key_id, etag };
    let reply = admin
        .change(request, &[], async |client, r| {
            client.finish_rotation(r).await
        })
        .await?;
    key_view::show(output, &reply.key.unwrap_or_default())
}

/// Ends the new token and shows the key.
pub(super) async fn cancel(
    args: SettleArgs,
    flags: AdminFlags,
    output: Output,
) -> Result<(), Failure> {
    let asks = args.consent.must_ask("end the new token of a key")?;
    let mut admin = Admin::connect(flags).await?;
    let (key_id, etag) = agreed(args, &mut admin, asks, |key| Loss {
        hint: key
            .rotation
            .as_ref()
            .map(|rotation| rotation.new_hint.clone()),
        what: "The new token",
        question: "Cancel the rotation?",
    })
    .await?;
    let request = CancelRotationRequest { key_id, etag };
    let reply = admin
        .change(request, &[], async |client, r| {
            client.cancel_rotation(r).await
        })
        .await?;
    key_view::show(output, &reply.key.unwrap_or_default())
}

/// Which token ends, for whoever is asked.
struct Loss {
    /// None: no rotation is under way, as the server will say.
    hint: Option<String>,
    what: &'static str,
    question: &'static str,
}

/// The key and the etag to go on with, once that was agreed to if it has to be.
async fn agreed(
    args: SettleArgs,
    admin: &mut Admin,
    asks: bool,
    loss: impl FnOnce(&Key) -> Loss,
) -> Result<(String, String), Failure> {
    let key_id = argument::key_id(args.key_id)?;
    if !asks {
        return Ok((key_id, args.etag.given()));
    }
    let key = read(admin, &key_id).await?;
    let loss = loss(&key);
    if let Some(hint) = loss.hint {
        confirm::ask(
            &stake(admin, &key),
            &format!("{}, {hint}, stops working at once, for good.", loss.what),
            loss.question,
        )?;
    }
    Ok((key_id, args.etag.or_shown(key.etag)))
}
