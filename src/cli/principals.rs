//! `keyward principals`: the commands under it.

mod create;
mod delete;
mod list;
mod show;
mod switch;
mod update;

use clap::{Args, Subcommand};

use super::admin::{Admin, AdminFlags};
use super::failure::{Exit, Failure};
use super::table::Properties;
use crate::edge::pb::{GetPrincipalRequest, Principal};

#[derive(Args, Debug)]
pub(crate) struct PrincipalsArgs {
    #[command(subcommand)]
    command: PrincipalsCommand,
    #[command(flatten)]
    flags: AdminFlags,
}

#[derive(Subcommand, Debug)]
enum PrincipalsCommand {
    /// Make a principal: a user or a service. Its first key makes it, too
    Create(create::CreateArgs),
    /// Show a principal with its memberships and its keys
    Show(show::ShowArgs),
    /// List principals
    List(list::ListArgs),
    /// Change what is said of a principal. What is not named stays as it is
    Update(update::UpdateArgs),
    /// Switch a principal off: all its keys stop at once
    Disable(switch::DisableArgs),
    /// Switch a principal on again
    Enable(switch::EnableArgs),
    /// Delete a principal, for good: it must have no keys
    Delete(delete::DeleteArgs),
}

/// Runs one of the commands under `keyward principals`.
pub(crate) async fn run(args: PrincipalsArgs) -> Result<Exit, Failure> {
    let (output, flags) = (args.flags.output, args.flags);
    match args.command {
        PrincipalsCommand::Create(args) => create::run(args, flags, output).await?,
        PrincipalsCommand::Show(args) => show::run(args, flags, output).await?,
        PrincipalsCommand::List(args) => list::run(args, flags, output).await?,
        PrincipalsCommand::Update(args) => update::run(args, flags, output).await?,
        PrincipalsCommand::Disable(args) => switch::off(args, flags, output).await?,
        PrincipalsCommand::Enable(args) => switch::on(args, flags, output).await?,
        PrincipalsCommand::Delete(args) => delete::run(args, flags, output).await?,
    }
    Ok(Exit::Done)
}

async fn read(admin: &mut Admin, id: &str) -> Result<Principal, Failure> {
    let request = GetPrincipalRequest {
        principal: id.to_owned(),
    };
    let reply = admin
        .read(request, async |client, r| client.get_principal(r).await)
        .await?;
    Ok(reply.principal.unwrap_or_default())
}

/// What tells whoever is asked which principal it is.
fn stake(admin: &Admin, principal: &Principal) -> String {
    let mut lines = Properties::default();
    lines.add("Server", admin.address());
    lines.add("Principal", &principal.id);
    lines.add("Display name", &principal.display_name);
    lines.lines(None)
}
