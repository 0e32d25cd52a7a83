//! `keyward keys`: the commands under it, and those that read.

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, Subcommand};
use serde_json::json;

use super::admin::{Admin, AdminFlags};
use super::failure::{Exit, Failure};
use super::output::{self, Output};
use super::{argument, issue, key_view, revoke, table};
use crate::edge::pb::{GetKeyRequest, Key, ListKeysRequest};

#[derive(Args, Debug)]
pub(crate) struct KeysArgs {
    #[command(subcommand)]
    command: KeysCommand,
    #[command(flatten)]
    flags: AdminFlags,
}

#[derive(Subcommand, Debug)]
enum KeysCommand {
    /// Issue a key. Its token is shown this once
    Create(issue::CreateArgs),
    /// Read a key
    Get(GetArgs),
    /// List keys, in the order of their creation
    List(ListArgs),
    /// Revoke a key, for good: no check that starts from then on passes
    Revoke(revoke::RevokeArgs),
}

#[derive(Args, Debug)]
struct GetArgs {
    /// The id of the key, `key_…`
    key_id: String,
}

#[derive(Args, Debug)]
struct ListArgs {
    /// Only those of this workspace [default: all that the admin token may read]
    #[arg(long, value_name = "ID", value_parser = NonEmptyStringValueParser::new())]
    workspace: Option<String>,
    /// At most so many [default: all]
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// How many to ask for in one call
    #[arg(long, value_name = "N", default_value_t = 500, value_parser = clap::value_parser!(i32).range(1..=1000))]
    page_size: i32,
}

/// Runs one of the commands under `keyward keys`.
pub(crate) async fn run(args: KeysArgs) -> Result<Exit, Failure> {
    let (output, flags) = (args.flags.output, args.flags);
    match args.command {
        KeysCommand::Create(args) => issue::run(args, flags, output).await?,
        KeysCommand::Get(GetArgs { key_id }) => {
            let request = GetKeyRequest {
                key_id: argument::key_id(key_id)?,
            };
            let reply = Admin::connect(flags)
                .await?
                .read(request, async |client, r| client.get_key(r).await)
                .await?;
            key_view::show(output, &reply.key.unwrap_or_default())?;
        }
        KeysCommand::List(args) => list(args, flags, output).await?,
        KeysCommand::Revoke(args) => revoke::run(args, flags, output).await?,
    }
    Ok(Exit::Done)
}

async fn list(args: ListArgs, flags: AdminFlags, output: Output) -> Result<(), Failure> {
    let limit = args.limit.unwrap_or(usize::MAX);
    let mut admin = Admin::connect(flags).await?;
    let mut keys: Vec<Key> = Vec::new();
    let mut request = ListKeysRequest {
        workspace: args.workspace.unwrap_or_default(),
        page_size: args.page_size,
        page_token: String::new(),
        ..ListKeysRequest::default()
    };
    while keys.len() < limit {
        let wanted = i32::try_from(limit - keys.len()).unwrap_or(i32::MAX);
        request.page_size = args.page_size.min(wanted);
        let page = admin
            .read(request.clone(), async |client, r| client.list_keys(r).await)
            .await?;
        keys.extend(page.keys);
        if page.next_page_token.is_empty() {
            break;
        }
        if page.next_page_token == request.page_token {
            return Err(Failure::failed(
                "the server sends the same page over and over",
            ));
        }
        request.page_token = page.next_page_token;
    }
    keys.truncate(limit);

    let table = || key_view::list(&keys, table::terminal_width());
    let json = || json!({ "keys": keys.iter().map(key_view::json).collect::<Vec<_>>() });
    if keys.is_empty() && output == Output::Table {
        output::tell(&"no keys");
        return Ok(());
    }
    output.print(table, json)
}
