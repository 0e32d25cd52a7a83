//! `keyward keys create`: issue a key and hand over its token, this once.

use clap::builder::NonEmptyStringValueParser;
use clap::{ArgGroup, Args};
use serde_json::json;
use ulid::Ulid;

use crate::cli::admin::{Admin, AdminFlags};
use crate::cli::argument::{Entry, Scopes};
use crate::cli::expiry::Expiry;
use crate::cli::failure::{Exit, Failure};
use crate::cli::handover::{HandoverFlags, Issued};
use crate::cli::limits::LimitFlag;
use crate::cli::output::Output;
use crate::cli::refill::Refill;
use crate::cli::status::Flags;
use crate::cli::{key_view, table, text};
use crate::edge::pb::{CreateKeyRequest, Credits};

const FLAGS: Flags = &[
    ("workspace", "--workspace"),
    ("token_prefix", "--token-prefix"),
    ("environment", "--environment"),
    ("principal", "--principal"),
    ("name", "--name"),
    ("description", "--description"),
    ("scopes", "--scope"),
    ("metadata", "--metadata"),
    ("expire_time", "--expires"),
    ("credits.balance", "--credits"),
    ("credits.refill.period", "--refill"),
    ("credits.refill.amount", "--refill"),
    ("request_id", "--request-id"),
    ("limits", "--limit"),
    ("source_addresses", "--source-address"),
];

#[derive(Args, Debug)]
#[command(group = ArgGroup::new("place").args(["workspace", "personal"]).required(true))]
pub(crate) struct CreateArgs {
    /// The workspace that the key is to work in
    #[arg(long, value_name = "ID", value_parser = NonEmptyStringValueParser::new())]
    workspace: Option<String>,
    /// The key is to work in every workspace that its principal is a member of;
    /// each check selects one
    #[arg(long, requires = "token_prefix")]
    personal: bool,
    /// What the tokens of a personal key start with, such as `klg_user`
    #[arg(long, value_name = "PREFIX", value_parser = NonEmptyStringValueParser::new(),
          requires = "personal")]
    token_prefix: Option<String>,
    /// A name for people
    #[arg(long)]
    name: String,
    /// Whoever is to act with the key, such as `user:ada`
    #[arg(long)]
    principal: String,
    /// What it may do, such as `people:read`; `*` is everything. Can be given
    /// several times, or hold several separated by spaces. Without it, the key
    /// passes checks that require no scope
    #[arg(long = "scope", value_name = "SCOPES", value_parser = Scopes::parse)]
    scopes: Vec<Scopes>,
    /// What it is for
    #[arg(
        long,
        value_name = "TEXT",
        default_value = "",
        hide_default_value = true
    )]
    description: String,
    /// One of the workspace's environments; of a personal key, any [default: the
    /// workspace's]
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    environment: Option<String>,
    /// When it is to stop working: `90d`, `2027-01-01`, `2027-01-01T09:30:00Z`
    /// or `never`
    #[arg(long, value_name = "WHEN", default_value = "never")]
    expires: Expiry,
    /// Handed to the gateway with every allowed check. Can be given several
    /// times
    #[arg(long, value_name = "NAME=VALUE", value_parser = Entry::parse)]
    metadata: Vec<Entry>,
    /// How much checks of it may spend in how long, by name: `read=1000/1m`. With
    /// `,always` behind it, also of those that do not name it. Can be given
    /// several times
    #[arg(long = "limit", value_name = "NAME=COUNT/WINDOW", value_parser = LimitFlag::parse)]
    limits: Vec<LimitFlag>,
    /// Where requests with it may come from: a range of addresses such as
    /// `203.0.113.0/24` or `2001:db8::/32`, or an address. Can be given several
    /// times [default: from anywhere]
    #[arg(long = "source-address", value_name = "RANGE",
          value_parser = NonEmptyStringValueParser::new())]
    source_addresses: Vec<String>,
    /// How many checks it is to pass until it is given more [default: any
    /// number; with --refill, what that gives]
    #[arg(long, value_name = "NUMBER")]
    credits: Option<u64>,
    /// When it is to be given more: `daily=1000` and `monthly=50000` are what
    /// its credits become at the start of each day or month, in UTC; `none`
    #[arg(long, value_name = "WHEN")]
    refill: Option<Refill>,
    /// Makes it safe to try again: the same line with the same id never issues
    /// a second key [default: a new one, which is shown if it is needed]
    #[arg(long, value_name = "ID", value_parser = NonEmptyStringValueParser::new())]
    request_id: Option<String>,
    #[command(flatten)]
    handover: HandoverFlags,
}

/// Issues the key and shows it with its token.
pub(super) async fn run(
    args: CreateArgs,
    flags: AdminFlags,
    output: Output,
) -> Result<(), Failure> {
    let request = CreateKeyRequest {
        workspace: args.workspace.unwrap_or_default(),
        token_prefix: args.token_prefix.unwrap_or_default(),
        environment: args.environment.unwrap_or_default(),
        principal: args.principal,
        name: args.name,
        description: args.description,
        scopes: Scopes::all(args.scopes),
        metadata: Entry::all(args.metadata)?,
        expire_time: args.expires.resolve()?,
        source_addresses: args.source_addresses,
        credits: credits(args.credits, args.refill),
        request_id: args
            .request_id
            .unwrap_or_else(|| Ulid::generate().to_string().to_ascii_lowercase()),
        limits: LimitFlag::all(args.limits),
    };
    let mut admin = Admin::connect(flags).await?;
    let place = args.handover.prepare()?;
    let again = again(&request);
    let reply = admin
        .change_once(request, FLAGS, async |client, r| client.create_key(r).await)
        .await
        .map_err(|failure| match failure.exit() {
            Exit::NotKnown => failure.note(again),
            Exit::Done | Exit::Failed | Exit::Usage | Exit::Denied => failure,
        })?;
    let key = reply.key.unwrap_or_default();
    place.give(
        output,
        &reply.token,
        &key_view::lines(&key, table::terminal_width()),
        json!({ "key": key_view::json(&key) }),
        Issued {
            sentence: format!("the key {} was issued", key.id),
            remedy: format!(
                "Revoke the key with `keyward keys revoke {}`, and issue another.",
                key.id
            ),
        },
    )
}

/// The credits that the flags ask for; none: it needs nothing of the kind.
fn credits(balance: Option<u64>, refill: Option<Refill>) -> Option<Credits> {
    let refill = refill.and_then(Refill::wire);
    (balance.is_some() || refill.is_some()).then_some(Credits {
        balance,
        refill,
        refill_time: None,
    })
}

/// How to try again without issuing a second key: with the same id, and with
/// the same fields, of which an expiry that was a span would be another now.
fn again(request: &CreateKeyRequest) -> String {
    let expires = request
        .expire_time
        .as_ref()
        .map(|time| format!(" --expires {}", text::moment(time)))
        .unwrap_or_default();
    format!(
        "It may have been issued all the same: the same line with `--request-id {}{expires}` issues no second key, and within 10 minutes shows the token of the first.",
        request.request_id
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_to_be_repeated_is_said_in_full() {
        let request = CreateKeyRequest {
            request_id: "r1".to_owned(),
            ..CreateKeyRequest::default()
        };
        assert!(again(&request).contains("`--request-id r1` issues"));
        let expiring = CreateKeyRequest {
            expire_time: Some(prost_types::Timestamp {
                seconds: 1_798_761_600,
                nanos: 250_000_000,
            }),
            ..request
        };
        assert!(
            again(&expiring)
                .contains("`--request-id r1 --expires 2027-01-01T00:00:00.250Z` issues")
        );
    }
}
