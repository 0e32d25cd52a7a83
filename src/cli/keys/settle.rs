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
use crate::edge::pb::{CancelRotationRequest, FinishRotationRequest, Rotation};

#[derive(Args, Debug)]
pub(crate) struct SettleArgs {
    /// The id of the key, `key_…`
    key_id: String,
    #[command(flatten)]
    etag: EtagFlag,
    #[command(flatten)]
    consent: Consent,
}

/// One of the two tokens, for whoever is asked whether it is to end.
struct Side {
    what: &'static str,
    hint: fn(&Rotation) -> &str,
    question: &'static str,
}

const OLD: Side = Side {
    what: "The old token",
    hint: |rotation| &rotation.old_hint,
    question: "Finish the rotation?",
};

const NEW: Side = Side {
    what: "The new token",
    hint: |rotation| &rotation.new_hint,
    question: "Cancel the rotation?",
};

/// Ends the old token and shows the key.
pub(super) async fn finish(
    args: SettleArgs,
    flags: AdminFlags,
    output: Output,
) -> Result<(), Failure> {
    let asks = args.consent.must_ask("end the old token of a key")?;
    let mut admin = Admin::connect(flags).await?;
    let (key_id, etag) = agreed(args, &mut admin, asks, &OLD).await?;
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
    let (key_id, etag) = agreed(args, &mut admin, asks, &NEW).await?;
    let request = CancelRotationRequest { key_id, etag };
    let reply = admin
        .change(request, &[], async |client, r| {
            client.cancel_rotation(r).await
        })
        .await?;
    key_view::show(output, &reply.key.unwrap_or_default())
}

/// The key and the etag to go on with, once it was agreed that this token ends,
/// if that has to be.
async fn agreed(
    args: SettleArgs,
    admin: &mut Admin,
    asks: bool,
    side: &Side,
) -> Result<(String, String), Failure> {
    let key_id = argument::key_id(args.key_id)?;
    if !asks {
        return Ok((key_id, args.etag.given()));
    }
    let key = read(admin, &key_id).await?;
    // Without a rotation, nothing ends, and the server says so.
    if let Some(rotation) = &key.rotation {
        let hint = (side.hint)(rotation);
        confirm::ask(
            &stake(admin, &key),
            &format!("{}, {hint}, stops working at once, for good.", side.what),
            side.question,
        )?;
    }
    Ok((key_id, args.etag.or_shown(key.etag)))
}
