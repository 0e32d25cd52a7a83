//! The command line: the tree of commands, and what their exit codes mean.
//!
//! `init`, `serve` and `config` are the server, and `routes` reads one of its files; all
//! other commands are gRPC clients of a running one and know nothing of its store.

mod admin;
mod admin_token;
mod admin_view;
mod admins;
mod advice;
mod argument;
mod audit;
mod check;
mod check_many;
mod completions;
mod config;
mod confirm;
mod connect;
mod context;
mod contexts;
mod edit;
mod etag;
mod event_view;
mod expiry;
mod explain;
mod export;
mod failure;
mod handover;
mod import;
mod init;
mod key_view;
mod keys;
mod leak_search;
mod leak_view;
mod limits;
mod man;
mod mask;
mod memberships;
mod new_file;
mod output;
mod pages;
mod principal_view;
mod principals;
mod reach;
mod reason;
mod recover;
mod refill;
mod rotation_view;
mod routes;
mod serve;
mod server_exit;
mod settings;
mod status;
mod table;
mod text;
mod tls;
mod usage;
mod usage_view;
mod verdict_view;
mod watch;
mod when;
mod whoami;
mod workspace_view;
mod workspaces;

use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::{build_info, process};
use failure::{Exit, Failure};

const EXIT_CODES: &str = "\
Exit codes, but for init, serve, config and admins recover:
  0  done; for check and explain: allowed, with --batch all of them
  1  the call failed
  2  the command line cannot be used, or there is no admin token
  3  denied, with --batch at least one; for keys leaked: a token was found
     that is of use to whoever has it; for routes test: there is no route
  4  not known: the server was not reached, gave no answer in time, or could
     not decide, with --batch at least one; a change may have been made";

/// Issues API keys and answers, for any gateway: who is behind this header,
/// and may they?
#[derive(Parser, Debug)]
#[command(name = "keyward", version, long_version = build_info::LONG, after_help = EXIT_CODES)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Make the store, the pepper and the first admin key
    #[command(after_help = server_exit::EXIT_CODES)]
    Init(init::InitArgs),
    /// Run the server
    #[command(after_help = server_exit::EXIT_CODES)]
    Serve(Box<serve::ServeArgs>),
    /// Check and show the server's settings
    #[command(after_help = server_exit::EXIT_CODES)]
    Config(config::ConfigArgs),
    /// Create, change and delete workspaces
    #[command(visible_alias = "workspace", after_help = EXIT_CODES)]
    Workspaces(workspaces::WorkspacesArgs),
    /// Issue, change and revoke keys
    #[command(visible_alias = "key", after_help = EXIT_CODES)]
    Keys(keys::KeysArgs),
    /// Import keys that another product has issued, so that they go on working
    #[command(after_help = EXIT_CODES)]
    Import(Box<import::ImportArgs>),
    /// Show and switch those who act with keys, over all workspaces
    #[command(visible_alias = "principal", after_help = EXIT_CODES)]
    Principals(principals::PrincipalsArgs),
    /// Say what a principal may do in a workspace
    #[command(visible_alias = "membership", after_help = EXIT_CODES)]
    Memberships(memberships::MembershipsArgs),
    /// Make, change and revoke admin keys
    #[command(visible_alias = "admin", after_help = EXIT_CODES)]
    Admins(admins::AdminsArgs),
    /// Read what was done, when, and by whom
    #[command(after_help = EXIT_CODES)]
    Audit(audit::AuditArgs),
    /// Show the admin key behind the admin token
    #[command(name = "whoami", after_help = EXIT_CODES)]
    WhoAmI(whoami::WhoAmIArgs),
    /// Ask for the verdict on a header, and why
    #[command(after_help = EXIT_CODES)]
    Check(check::CheckArgs),
    /// Tell at which step a check is denied, and why, and spend nothing
    #[command(after_help = EXIT_CODES)]
    Explain(explain::ExplainArgs),
    /// Check files of routes, and tell which rule a request would have
    #[command(visible_alias = "route", after_help = EXIT_CODES)]
    Routes(routes::RoutesArgs),
    /// Name servers, so that a name is enough to reach them
    #[command(visible_alias = "context")]
    Contexts(contexts::ContextsArgs),
    /// Write a script that lets a shell complete commands
    Completions(completions::CompletionsArgs),
    /// Write the manual pages
    Man(man::ManArgs),
}

impl Cli {
    /// Reads the command line. What cannot be read is told of on stderr,
    /// without a token that was given in the place of something else.
    ///
    /// # Errors
    ///
    /// The code to end with: also after `--help` and `--version`.
    pub fn read() -> Result<Self, ExitCode> {
        let mut command = Self::command();
        usage::steady(&mut command);
        let parsed = command
            .try_get_matches()
            .and_then(|matches| Self::from_arg_matches(&matches));
        parsed.map_err(|error| {
            let code = u8::try_from(error.exit_code()).unwrap_or(2);
            let told = error.render();
            if error.use_stderr() {
                output::tell(&text::without_tokens(&told.to_string()).trim_end());
            } else if error.print().is_err() {
                return ExitCode::FAILURE;
            }
            ExitCode::from(code)
        })
    }

    /// Runs the command that was given and says how it ended.
    #[must_use]
    pub fn run(self) -> ExitCode {
        // Every command has a token in its memory; `serve` warns if this fails.
        let _ = process::keep_memory_private();
        match self.command {
            Command::Init(args) => init::run(&args),
            Command::Serve(args) => serve::run(&args),
            Command::Config(args) => config::run(&args),
            Command::Workspaces(args) => ask(workspaces::run(args)),
            Command::Keys(args) => ask(keys::run(args)),
            Command::Import(args) => ask(import::run(*args)),
            Command::Principals(args) => ask(principals::run(args)),
            Command::Memberships(args) => ask(memberships::run(args)),
            Command::Admins(args) => admins::run(args),
            Command::Audit(args) => ask(audit::run(args)),
            Command::WhoAmI(args) => ask(whoami::run(args)),
            Command::Check(args) => ask(check::run(args)),
            Command::Explain(args) => ask(explain::run(args)),
            Command::Routes(args) => end(routes::run(&args)),
            Command::Contexts(args) => end(contexts::run(args)),
            Command::Completions(args) => end(completions::run(&args, Self::command())),
            Command::Man(args) => end(man::run(args, Self::command())),
        }
    }
}

/// Runs a client's calls. One thread is enough for one call at a time.
fn ask(calls: impl Future<Output = Result<Exit, Failure>>) -> ExitCode {
    let ended = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::failed(format!("cannot start: {error}")))
        .and_then(|runtime| runtime.block_on(calls));
    end(ended)
}

fn end(ended: Result<Exit, Failure>) -> ExitCode {
    match ended {
        Ok(exit) => exit.into(),
        Err(failure) => {
            output::tell(&failure);
            failure.exit().into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_exit_codes_are_in_the_help() {
        let help = Cli::command().render_long_help().to_string();
        assert!(help.contains("3  denied"), "{help}");
    }

    #[test]
    fn client_flags_go_before_and_after_the_verb() {
        for line in [
            "keyward keys --output json list --admin-server unix:/run/keyward.sock",
            "keyward workspaces get klipy --output json --timeout 1s",
            "keyward check --check-server 127.0.0.1:1 Bearer abc --scope a:b",
        ] {
            let parsed = Cli::try_parse_from(line.split(' '));
            assert!(parsed.is_ok(), "{line}: {parsed:?}");
        }
    }

    #[test]
    fn an_empty_restriction_is_refused_rather_than_dropped() {
        for flag in ["--workspace=", "--environment=", "--scope=", "--scope= "] {
            assert!(
                Cli::try_parse_from(["keyward", "check", "abc", flag]).is_err(),
                "{flag}"
            );
        }
        assert!(Cli::try_parse_from(["keyward", "keys", "list", "--workspace="]).is_err());
    }

    #[test]
    fn the_token_to_check_is_not_in_debug_output() {
        let parsed =
            Cli::try_parse_from(["keyward", "check", "Bearer", "klg_live_secret"]).unwrap();
        assert!(!format!("{parsed:?}").contains("secret"));
    }
}
