//! `keyward keys`: the commands under it.

mod create;
mod credits;
mod delete;
mod export;
mod leaked;
mod list;
mod prune;
mod revoke;
mod rotate;
mod settle;
mod switch;
mod update;

use clap::{Args, Subcommand};

use super::admin::{Admin, AdminFlags};
use super::failure::{Exit, Failure};
use super::table::Properties;
use super::{argument, key_view};
use crate::edge::pb::{GetKeyRequest, Key};

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
    Create(create::CreateArgs),
    /// Read a key
    Get(GetArgs),
    /// List keys, in the order of their creation
    List(list::ListArgs),
    /// Write all keys that fit, for other programs
    Export(export::ExportArgs),
    /// List keys that were not used for a long time, and how to revoke them
    Stale(prune::StaleArgs),
    /// List keys that were never used, and how to revoke them
    NeverUsed(prune::NeverUsedArgs),
    /// List keys that expire soon, and how to let them work on
    Expiring(prune::ExpiringArgs),
    /// Change a key. What is not named stays as it is
    Update(update::UpdateArgs),
    /// Show the credits of a key, set them, add to them or take them away
    Credits(credits::CreditsArgs),
    /// Switch a key off, which can be undone
    Disable(switch::SwitchArgs),
    /// Switch a key on again
    Enable(switch::SwitchArgs),
    /// Give a key a new token. The old one works on for a while
    Rotate(rotate::RotateArgs),
    /// End the old token of a key that is being rotated
    FinishRotation(settle::SettleArgs),
    /// End the new token of a key that is being rotated; the old one works on
    CancelRotation(settle::SettleArgs),
    /// Revoke a key, for good: no check that starts from then on passes
    Revoke(revoke::RevokeArgs),
    /// Delete what is left of a key that was revoked long enough ago
    Delete(delete::DeleteArgs),
    /// Find tokens where they do not belong, and say whose they are
    Leaked(leaked::LeakedArgs),
}

#[derive(Args, Debug)]
struct GetArgs {
    /// The id of the key, `key_…`
    key_id: String,
}

/// Runs one of the commands under `keyward keys`.
pub(crate) async fn run(args: KeysArgs) -> Result<Exit, Failure> {
    let (output, flags) = (args.flags.output, args.flags);
    match args.command {
        KeysCommand::Create(args) => create::run(args, flags, output).await?,
        KeysCommand::Get(GetArgs { key_id }) => {
            let key_id = argument::key_id(key_id)?;
            let key = read(&mut Admin::connect(flags).await?, &key_id).await?;
            key_view::show_with_usage(output, &key)?;
        }
        KeysCommand::List(args) => list::run(args, flags, output).await?,
        KeysCommand::Export(args) => export::run(args, flags, output).await?,
        KeysCommand::Stale(args) => prune::stale(args, flags, output).await?,
        KeysCommand::NeverUsed(args) => prune::never_used(args, flags, output).await?,
        KeysCommand::Expiring(args) => prune::expiring(args, flags, output).await?,
        KeysCommand::Update(args) => Box::pin(update::run(args, flags, output)).await?,
        KeysCommand::Credits(args) => credits::run(args, flags, output).await?,
        KeysCommand::Disable(args) => switch::off(args, flags, output).await?,
        KeysCommand::Enable(args) => switch::on(args, flags, output).await?,
        KeysCommand::Rotate(args) => rotate::run(args, flags, output).await?,
        KeysCommand::FinishRotation(args) => settle::finish(args, flags, output).await?,
        KeysCommand::CancelRotation(args) => settle::cancel(args, flags, output).await?,
        KeysCommand::Revoke(args) => revoke::run(args, flags, output).await?,
        KeysCommand::Delete(args) => delete::run(args, flags, output).await?,
        KeysCommand::Leaked(args) => return leaked::run(args, flags, output).await,
    }
    Ok(Exit::Done)
}

async fn read(admin: &mut Admin, key_id: &str) -> Result<Key, Failure> {
    let request = GetKeyRequest {
        key_id: key_id.to_owned(),
    };
    let reply = admin
        .read(request, async |client, r| client.get_key(r).await)
        .await?;
    Ok(reply.key.unwrap_or_default())
}

/// What tells whoever is asked which key it is.
fn stake(admin: &Admin, key: &Key) -> String {
    let mut lines = Properties::default();
    lines.add("Server", admin.address());
    lines.add("Key", &key.id);
    lines.add("Name", &key.name);
    lines.add("Principal", &key.principal);
    lines.add("Workspace", key_view::workspace(key));
    lines.add("Environment", &key.environment);
    lines.add("Hint", &key.hint);
    lines.lines(None)
}
