//! `keyward memberships`: the commands under it.

mod list;
mod remove;
mod set;

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, Subcommand};

use super::admin::AdminFlags;
use super::failure::{Exit, Failure};

#[derive(Args, Debug)]
pub(crate) struct MembershipsArgs {
    #[command(subcommand)]
    command: MembershipsCommand,
    #[command(flatten)]
    flags: AdminFlags,
}

#[derive(Subcommand, Debug)]
enum MembershipsCommand {
    /// Set what a principal may do in a workspace at most
    Set(set::SetArgs),
    /// Take a principal out of a workspace: its keys there stop at once
    Remove(remove::RemoveArgs),
    /// List memberships, also removed ones
    List(list::ListArgs),
}

/// Which membership.
#[derive(Args, Debug)]
struct Which {
    /// The id of the workspace
    #[arg(long, value_name = "ID", value_parser = NonEmptyStringValueParser::new())]
    workspace: String,
    /// The id of the principal
    #[arg(long, value_name = "ID", value_parser = NonEmptyStringValueParser::new())]
    principal: String,
}

/// Runs one of the commands under `keyward memberships`.
pub(crate) async fn run(args: MembershipsArgs) -> Result<Exit, Failure> {
    let (output, flags) = (args.flags.output, args.flags);
    match args.command {
        MembershipsCommand::Set(args) => set::run(args, flags, output).await?,
        MembershipsCommand::Remove(args) => remove::run(args, flags, output).await?,
        MembershipsCommand::List(args) => list::run(args, flags, output).await?,
    }
    Ok(Exit::Done)
}
