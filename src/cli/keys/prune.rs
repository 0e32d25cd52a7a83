//! `keyward keys stale`, `never-used` and `expiring`: what to prune or to renew,
//! with the commands that do it.

use std::time::Duration;

use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use serde_json::{Value, json};

use super::list::fetch;
use crate::cli::admin::{Admin, AdminFlags};
use crate::cli::argument;
use crate::cli::failure::Failure;
use crate::cli::output::{self, Output};
use crate::cli::pages::PageFlags;
use crate::cli::table::{self, listing};
use crate::cli::when::When;
use crate::cli::{key_view, text, usage_view};
use crate::domain::clock::{Clock, SystemClock};
use crate::edge::pb::{Key, KeyState, ListKeysRequest};

/// A day, which is what is counted in.
const DAY: u64 = 24 * 60 * 60;

/// The most days: a hundred years.
const MAX_DAYS: i64 = 36_500;

#[derive(Args, Debug)]
pub(crate) struct StaleArgs {
    /// How many days it is since they were used last, or, if they never were,
    /// created
    #[arg(long, value_name = "DAYS", default_value_t = 90,
          value_parser = clap::value_parser!(u32).range(1..=MAX_DAYS))]
    days: u32,
    #[command(flatten)]
    of: Of,
}

#[derive(Args, Debug)]
pub(crate) struct NeverUsedArgs {
    /// How long ago they were created at least: whoever has a new one may not
    /// have come to use it yet
    #[arg(long, value_name = "SPAN", default_value = "7d", value_parser = argument::span_or_none)]
    older_than: Duration,
    #[command(flatten)]
    of: Of,
}

#[derive(Args, Debug)]
pub(crate) struct ExpiringArgs {
    /// In how many days they expire at the latest
    #[arg(long, value_name = "DAYS", default_value_t = 30,
          value_parser = clap::value_parser!(u32).range(1..=MAX_DAYS))]
    days: u32,
    #[command(flatten)]
    of: Of,
}

/// Of which keys those are that are looked for.
#[derive(Args, Debug)]
struct Of {
    /// Only those of this workspace [default: all that the admin token may read]
    #[arg(long, value_name = "ID", value_parser = NonEmptyStringValueParser::new())]
    workspace: Option<String>,
    /// Only those of this principal
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    principal: Option<String>,
    #[command(flatten)]
    pages: PageFlags,
}

/// What is to be done about a key, by which command.
struct Deed {
    /// What the commands are for.
    title: &'static str,
    command: Box<dyn Fn(&Key) -> String>,
}

fn revoke() -> Deed {
    Deed {
        title: "To revoke those that nobody needs:",
        command: Box::new(|key| format!("keyward keys revoke {} --reason unused", key.id)),
    }
}

/// To give 90 days more than those in which they expire: no life gets shorter.
fn renew(days: u32) -> Deed {
    let days = days.saturating_add(90);
    Deed {
        title: "To let those work on that are needed:",
        command: Box::new(move |key| format!("keyward keys update {} --expires {days}d", key.id)),
    }
}

/// Lists keys that work and were not used for a long time.
pub(super) async fn stale(
    args: StaleArgs,
    flags: AdminFlags,
    output: Output,
) -> Result<(), Failure> {
    let since = Duration::from_secs(u64::from(args.days) * DAY);
    let request = ListKeysRequest {
        unused_since: ago("--days", since)?,
        ..args.of.request()
    };
    list(args.of.pages, request, &revoke(), (flags, output)).await
}

/// Lists keys that work and were never used.
pub(super) async fn never_used(
    args: NeverUsedArgs,
    flags: AdminFlags,
    output: Output,
) -> Result<(), Failure> {
    let request = ListKeysRequest {
        unused_since: ago("--older-than", args.older_than)?,
        never_used: true,
        ..args.of.request()
    };
    list(args.of.pages, request, &revoke(), (flags, output)).await
}

/// Lists keys that work, but not much longer.
pub(super) async fn expiring(
    args: ExpiringArgs,
    flags: AdminFlags,
    output: Output,
) -> Result<(), Failure> {
    let within = Duration::from_secs(u64::from(args.days) * DAY);
    let before = When::Away(within).ahead(SystemClock::default().now());
    let request = ListKeysRequest {
        expiring_before: before,
        ..args.of.request()
    };
    list(args.of.pages, request, &renew(args.days), (flags, output)).await
}

impl Of {
    /// Those that work.
    fn request(&self) -> ListKeysRequest {
        ListKeysRequest {
            workspace: self.workspace.clone().unwrap_or_default(),
            principal: self.principal.clone().unwrap_or_default(),
            state: KeyState::Active.into(),
            ..ListKeysRequest::default()
        }
    }
}

fn ago(flag: &str, span: Duration) -> Result<Option<prost_types::Timestamp>, Failure> {
    let now = SystemClock::default().now();
    let then = When::Away(span).ago(now);
    then.map(Some)
        .ok_or_else(|| Failure::usage(format!("{flag} is too far away")))
}

async fn list(
    pages: PageFlags,
    request: ListKeysRequest,
    deed: &Deed,
    (flags, output): (AdminFlags, Output),
) -> Result<(), Failure> {
    let mut admin = Admin::connect(flags).await?;
    let keys = fetch(&mut admin, &request, pages).await?;
    if keys.is_empty() && output == Output::Table {
        output::tell(&"no keys");
        return Ok(());
    }
    output.print(
        || shown(&keys, deed, table::terminal_width()),
        || json!({ "keys": keys.iter().map(|key| fields(key, deed)).collect::<Vec<_>>() }),
    )
}

/// The keys, and under them the commands, to be copied.
fn shown(keys: &[Key], deed: &Deed, width: Option<u16>) -> String {
    let header = [
        "KEY",
        "NAME",
        "HINT",
        "PRINCIPAL",
        "LAST USED",
        "FROM",
        "EXPIRES",
    ];
    let row = |key: &Key| {
        vec![
            key.id.clone(),
            key.name.clone(),
            key.hint.clone(),
            key.principal.clone(),
            usage_view::last_used(key).unwrap_or_default(),
            usage_view::source(key).to_owned(),
            text::expiry(key.expire_time.as_ref()),
        ]
    };
    let rows: Vec<_> = keys.iter().map(row).collect();
    let list = listing(&header, &rows, &[0], width);
    let commands = keys.iter().map(|key| format!("{}\n", (deed.command)(key)));
    format!("{list}\n{}\n\n{}", deed.title, commands.collect::<String>())
}

/// A key with the names of the API, and the command.
fn fields(key: &Key, deed: &Deed) -> Value {
    let mut fields = key_view::json(key);
    if let Some(fields) = fields.as_object_mut() {
        fields.insert("command".to_owned(), (deed.command)(key).into());
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edge::pb::KeyUsage;

    #[test]
    fn what_is_unused_comes_with_the_command_that_revokes_it() {
        let key = Key {
            id: "key_01k3c5hw7n8d0r2vxk4w9g6m1t".to_owned(),
            name: "CRM sync".to_owned(),
            hint: "klg_…x7Qa".to_owned(),
            principal: "user:ada".to_owned(),
            usage: Some(KeyUsage::default()),
            ..Key::default()
        };
        let text = "\
KEY                             NAME      HINT       PRINCIPAL  LAST USED  FROM  EXPIRES
key_01k3c5hw7n8d0r2vxk4w9g6m1t  CRM sync  klg_…x7Qa  user:ada   never            never

To revoke those that nobody needs:

keyward keys revoke key_01k3c5hw7n8d0r2vxk4w9g6m1t --reason unused
";
        assert_eq!(shown(std::slice::from_ref(&key), &revoke(), None), text);
        // Whatever is listed expires before that.
        for (days, span) in [(30, "120d"), (120, "210d")] {
            assert_eq!(
                fields(&key, &renew(days))["command"],
                format!("keyward keys update key_01k3c5hw7n8d0r2vxk4w9g6m1t --expires {span}")
            );
        }
    }
}
