//! `keyward admins`: the commands under it.

mod create;
mod list;
mod revoke;
mod rotate;
mod update;

use std::process::ExitCode;

use clap::{Args, Subcommand, ValueEnum};

use super::admin::{Admin, AdminFlags};
use super::failure::{Exit, Failure};
use super::table::Properties;
use super::{admin_view, argument, recover, server_exit, text};
use crate::edge::pb::{AdminKey, AdminRole, GetAdminKeyRequest};

#[derive(Args, Debug)]
pub(crate) struct AdminsArgs {
    #[command(subcommand)]
    command: AdminsCommand,
    #[command(flatten)]
    flags: AdminFlags,
}

#[derive(Subcommand, Debug)]
enum AdminsCommand {
    #[command(flatten)]
    Call(Call),
    /// Make another OWNER of the system where all tokens are lost, beside a
    /// stopped server
    #[command(after_help = server_exit::EXIT_CODES)]
    Recover(recover::RecoverArgs),
}

#[derive(Subcommand, Debug)]
enum Call {
    /// Make an admin key. Its token is shown this once
    Create(create::CreateArgs),
    /// Read an admin key
    Get(GetArgs),
    /// List admin keys, in the order of their creation
    List(list::ListArgs),
    /// Change an admin key. What is not named stays as it is
    Update(update::UpdateArgs),
    /// Give an admin key a new token, which is shown this once
    Rotate(rotate::RotateArgs),
    /// Revoke an admin key, for good
    Revoke(revoke::RevokeArgs),
}

#[derive(Args, Debug)]
struct GetArgs {
    /// The id of the admin key, `adm_…`
    admin_key_id: String,
}

/// What an admin key may do.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Role {
    /// Reads workspaces and keys
    Reader,
    /// Issues, changes and revokes keys, too
    Issuer,
    /// Manages the workspace and its admin keys, and reads the audit log, too
    Owner,
}

impl From<Role> for AdminRole {
    fn from(role: Role) -> Self {
        match role {
            Role::Reader => Self::Reader,
            Role::Issuer => Self::Issuer,
            Role::Owner => Self::Owner,
        }
    }
}

/// Runs one of the commands under `keyward admins`.
pub(crate) fn run(args: AdminsArgs) -> ExitCode {
    match args.command {
        AdminsCommand::Call(call) => super::ask(make(call, args.flags)),
        AdminsCommand::Recover(recover) => recover::run(&recover),
    }
}

async fn make(call: Call, flags: AdminFlags) -> Result<Exit, Failure> {
    let output = flags.output;
    match call {
        Call::Create(args) => create::run(args, flags, output).await?,
        Call::Get(GetArgs { admin_key_id }) => {
            let id = argument::admin_key_id(admin_key_id)?;
            let key = read(&mut Admin::connect(flags).await?, &id).await?;
            admin_view::show(output, &key)?;
        }
        Call::List(args) => list::run(args, flags, output).await?,
        Call::Update(args) => update::run(args, flags, output).await?,
        Call::Rotate(args) => rotate::run(args, flags, output).await?,
        Call::Revoke(args) => revoke::run(args, flags, output).await?,
    }
    Ok(Exit::Done)
}

async fn read(admin: &mut Admin, id: &str) -> Result<AdminKey, Failure> {
    let request = GetAdminKeyRequest {
        admin_key_id: id.to_owned(),
    };
    let reply = admin
        .read(request, async |client, r| client.get_admin_key(r).await)
        .await?;
    Ok(reply.admin_key.unwrap_or_default())
}

/// What tells whoever is asked which admin key it is.
fn stake(admin: &Admin, key: &AdminKey) -> String {
    let mut lines = Properties::default();
    lines.add("Server", admin.address());
    lines.add("Admin key", &key.id);
    lines.add("Name", &key.name);
    lines.add("Role", text::admin_role(key.role));
    lines.add("Acts in", admin_view::place(key));
    lines.add("Hint", &key.hint);
    lines.lines(None)
}
