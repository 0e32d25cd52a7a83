//! `keyward keys credits`: what a key has left to use up, and more or less of
//! it.

use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use ulid::Ulid;

use super::read;
use crate::cli::admin::{Admin, AdminFlags};
use crate::cli::failure::{Exit, Failure};
use crate::cli::output::Output;
use crate::cli::refill::Refill;
use crate::cli::status::Flags;
use crate::cli::{argument, key_view};
use crate::edge::pb::{AdjustCreditsRequest, Credits, Key, SetCreditsRequest};

const FLAGS: Flags = &[
    ("credits.balance", "--set"),
    ("credits.refill.period", "--refill"),
    ("credits.refill.amount", "--refill"),
    ("delta", "--add"),
    ("request_id", "--request-id"),
];

#[derive(Args, Debug)]
pub(crate) struct CreditsArgs {
    /// The id of the key, `key_…`
    key_id: String,
    /// What it is to have from now on. Without it, the balance stays
    #[arg(long, value_name = "NUMBER")]
    set: Option<u64>,
    /// When it is to be given more: `daily=1000` and `monthly=50000` are what
    /// the balance becomes at the start of each day or month, in UTC; `none`.
    /// Without it, that stays
    #[arg(long, value_name = "WHEN")]
    refill: Option<Refill>,
    /// How many more it is to have; negative: how many less, down to none
    #[arg(
        long,
        value_name = "NUMBER",
        allow_negative_numbers = true,
        conflicts_with_all = ["set", "refill", "remove"]
    )]
    add: Option<i64>,
    /// Makes it safe to try again: the same line with the same id never adds a
    /// second time [default: a new one, which is shown if it is needed]
    #[arg(
        long,
        value_name = "ID",
        requires = "add",
        value_parser = NonEmptyStringValueParser::new()
    )]
    request_id: Option<String>,
    /// Take its credits away: it needs none from then on
    #[arg(long, conflicts_with_all = ["set", "refill"])]
    remove: bool,
}

/// Changes the credits, if anything is to be changed, and shows the key.
pub(super) async fn run(
    args: CreditsArgs,
    flags: AdminFlags,
    output: Output,
) -> Result<(), Failure> {
    let key_id = argument::key_id(args.key_id)?;
    let mut admin = Admin::connect(flags).await?;
    let key = if let Some(delta) = args.add {
        let request = AdjustCreditsRequest {
            key_id,
            delta,
            request_id: args
                .request_id
                .unwrap_or_else(|| Ulid::generate().to_string().to_ascii_lowercase()),
        };
        adjust(&mut admin, request).await?
    } else if args.remove {
        set(&mut admin, key_id, None).await?
    } else if args.set.is_some() || args.refill.is_some() {
        let refill = match args.refill {
            Some(refill) => refill.wire(),
            None => {
                let now = read(&mut admin, &key_id).await?.credits;
                now.and_then(|credits| credits.refill)
            }
        };
        let credits = Credits {
            balance: args.set,
            refill,
            refill_time: None,
        };
        set(&mut admin, key_id, Some(credits)).await?
    } else {
        read(&mut admin, &key_id).await?
    };
    key_view::show(output, &key)
}

/// Says how to try again without adding a second time, if nobody knows whether
/// it was done.
async fn adjust(admin: &mut Admin, request: AdjustCreditsRequest) -> Result<Key, Failure> {
    let again = format!(
        "It may have been done all the same: the same line with `--request-id {}` adds no second time.",
        request.request_id
    );
    let reply = admin
        .change_once(request, FLAGS, async |client, r| {
            client.adjust_credits(r).await
        })
        .await
        .map_err(|failure| match failure.exit() {
            Exit::NotKnown => failure.note(again),
            Exit::Done | Exit::Failed | Exit::Usage | Exit::Denied => failure,
        })?;
    Ok(reply.key.unwrap_or_default())
}

async fn set(admin: &mut Admin, key_id: String, credits: Option<Credits>) -> Result<Key, Failure> {
    let request = SetCreditsRequest { key_id, credits };
    let reply = admin
        .change(request, FLAGS, async |client, r| {
            client.set_credits(r).await
        })
        .await?;
    Ok(reply.key.unwrap_or_default())
}
