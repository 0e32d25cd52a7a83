//! `keyward admins rotate`: a new token for an admin key, while the old one
//! still works for a while.

use std::time::Duration;

use clap::Args;
use serde_json::json;

use super::{read, stake};
use crate::cli::admin::{Admin, AdminFlags};
use crate::cli::confirm::{self, Consent};
use crate::cli::failure::{Exit, Failure};
use crate::cli::handover::{HandoverFlags, Issued};
use crate::cli::output::Output;
use crate::cli::status::Flags;
use crate::cli::{admin_view, argument, table};
use crate::edge::pb::RotateAdminKeyRequest;

const FLAGS: Flags = &[("overlap", "--overlap")];

#[derive(Args, Debug)]
pub(crate) struct RotateArgs {
    /// The id of the admin key, `adm_…`
    admin_key_id: String,
    /// How long the old token works on, up to 30d; `0s` ends all old ones at
    /// once [default: a day]
    #[arg(long, value_name = "SPAN", value_parser = argument::span_or_none)]
    overlap: Option<Duration>,
    #[command(flatten)]
    handover: HandoverFlags,
    #[command(flatten)]
    consent: Consent,
}

/// Rotates the admin key and shows it with its new token.
pub(super) async fn run(
    args: RotateArgs,
    flags: AdminFlags,
    output: Output,
) -> Result<(), Failure> {
    let admin_key_id = argument::admin_key_id(args.admin_key_id)?;
    let overlap = argument::wire_span("--overlap", args.overlap)?;
    let asks = args.overlap == Some(Duration::ZERO)
        && args
            .consent
            .must_ask("end the token of an admin key at once")?;
    let mut admin = Admin::connect(flags).await?;
    if asks {
        let key = read(&mut admin, &admin_key_id).await?;
        confirm::ask(
            &stake(&admin, &key),
            "Its tokens so far stop working at once; only the new one will do.",
            "Rotate this admin key?",
        )?;
    }
    let place = args.handover.prepare()?;
    let request = RotateAdminKeyRequest {
        admin_key_id,
        overlap,
    };
    let reply = admin
        .change(request, FLAGS, async |client, r| {
            client.rotate_admin_key(r).await
        })
        .await
        .map_err(|failure| match failure.exit() {
            Exit::NotKnown => failure.note(
                "If it was rotated, that token is lost: rotate again with `--overlap 0s` once the old one is not needed.",
            ),
            Exit::Done | Exit::Failed | Exit::Usage | Exit::Denied => failure,
        })?;
    let key = reply.admin_key.unwrap_or_default();
    place.give(
        output,
        &reply.token,
        &admin_view::properties(&key).lines(table::terminal_width()),
        json!({ "admin_key": admin_view::json(&key) }),
        Issued {
            sentence: format!("the admin key {} was rotated", key.id),
            remedy: format!(
                "While the old one works, `keyward admins rotate {} --overlap 0s` makes another.",
                key.id
            ),
        },
    )
}
