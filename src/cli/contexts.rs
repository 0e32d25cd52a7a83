//! `keyward contexts`: names for servers, so that a name is enough.

use std::path::{Path, PathBuf};

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::connect::Server;
use super::context::{self, Context, Contexts};
use super::failure::{Exit, Failure};
use super::output::{self, Output};
use super::table::{self, Properties, listing};
use super::text;

#[derive(Args, Debug)]
pub(crate) struct ContextsArgs {
    #[command(subcommand)]
    command: ContextsCommand,
    /// The form of what is written to stdout
    #[arg(long, global = true, value_name = "FORM", value_enum, default_value_t = Output::Table)]
    output: Output,
}

#[derive(Subcommand, Debug)]
enum ContextsCommand {
    /// List contexts; the current one is marked with a `*`
    List,
    /// Show a context
    Show {
        /// Its name [default: that of the current one]
        name: Option<String>,
    },
    /// Make a context, or change one. What is not named stays as it is
    Set(SetArgs),
    /// Let a context apply from now on, where no other is named
    Use {
        /// Its name
        name: String,
    },
    /// Forget a context. The files that it names stay
    Delete {
        /// Its name
        name: String,
    },
}

#[derive(Args, Debug)]
struct SetArgs {
    /// Its name
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    name: String,
    /// The admin listener: `http://host:port`, `https://host:port` or
    /// `unix:PATH`
    #[arg(long, value_name = "URL")]
    admin_server: Option<Server>,
    /// The check listener, written in the same ways
    #[arg(long, value_name = "URL")]
    check_server: Option<Server>,
    /// The file that holds the admin token. The context keeps its path, never
    /// the token
    #[arg(long, value_name = "PATH")]
    admin_token_file: Option<PathBuf>,
    /// The authorities that may have signed the certificate of an `https://`
    /// server, in PEM
    #[arg(long, value_name = "PATH")]
    ca_file: Option<PathBuf>,
    /// The certificate to show to an `https://` server, with its chain, in PEM
    #[arg(long, value_name = "PATH", requires = "client_key")]
    client_cert: Option<PathBuf>,
    /// The private key of that, in PEM
    #[arg(long, value_name = "PATH", requires = "client_cert")]
    client_key: Option<PathBuf>,
    /// The name that the server's certificate has to be for
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    server_name: Option<String>,
    /// A mesh or a tunnel encrypts what goes to an `http://` server on another
    /// machine
    #[arg(
        long,
        value_name = "BOOL",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true",
        hide_possible_values = true
    )]
    encrypted_elsewhere: Option<bool>,
}

/// Runs one of the commands under `keyward contexts`.
pub(crate) fn run(args: ContextsArgs) -> Result<Exit, Failure> {
    let file = context::file()?;
    let mut contexts = Contexts::read(&file)?;
    let output = args.output;
    match args.command {
        ContextsCommand::List => list(&contexts, output)?,
        ContextsCommand::Show { name } => {
            let name = name.or_else(|| contexts.current.clone()).ok_or_else(|| {
                Failure::usage("there is no current context")
                    .note("`keyward contexts use` makes one current.")
            })?;
            show(&name, contexts.get(&name)?, output)?;
        }
        ContextsCommand::Set(args) => {
            let name = args.name.clone();
            let context = contexts.contexts.entry(name.clone()).or_default();
            set(context, args)?;
            contexts.write(&file)?;
            show(&name, contexts.get(&name)?, output)?;
            if contexts.current.is_none() {
                output::tell(&text::escaped(&format!(
                    "note: no context is the current one; `keyward contexts use {name}` makes this one so"
                )));
            }
        }
        ContextsCommand::Use { name } => {
            contexts.get(&name)?;
            contexts.current = Some(name.clone());
            contexts.write(&file)?;
            show(&name, contexts.get(&name)?, output)?;
        }
        ContextsCommand::Delete { name } => {
            contexts.get(&name)?;
            contexts.contexts.remove(&name);
            contexts.current = contexts.current.filter(|current| *current != name);
            contexts.write(&file)?;
            output.print(
                || format!("the context {name} is deleted\n"),
                || json!({ "deleted": name }),
            )?;
        }
    }
    Ok(Exit::Done)
}

fn set(context: &mut Context, args: SetArgs) -> Result<(), Failure> {
    let server = |given: Option<Server>| given.map(|server| server.to_string());
    merge(&mut context.admin_server, server(args.admin_server));
    merge(&mut context.check_server, server(args.check_server));
    merge(&mut context.server_name, args.server_name);
    merge(&mut context.encrypted_elsewhere, args.encrypted_elsewhere);
    for (kept, given) in [
        (&mut context.admin_token_file, args.admin_token_file),
        (&mut context.ca_file, args.ca_file),
        (&mut context.client_cert, args.client_cert),
        (&mut context.client_key, args.client_key),
    ] {
        merge(kept, given.as_deref().map(absolute).transpose()?);
    }
    Ok(())
}

fn merge<T>(kept: &mut Option<T>, given: Option<T>) {
    if given.is_some() {
        *kept = given;
    }
}

/// The path from the root on: it has to hold in other folders too.
fn absolute(path: &Path) -> Result<PathBuf, Failure> {
    let text = path.to_string_lossy();
    if text::without_tokens(&text) != text {
        return Err(
            Failure::usage("a token was given where the path of a file is meant")
                .note("Put it into a file that you alone can read, and name that."),
        );
    }
    std::path::absolute(path)
        .map_err(|error| Failure::usage(format!("{}: {error}", path.display())))
}

fn list(contexts: &Contexts, output: Output) -> Result<(), Failure> {
    if contexts.contexts.is_empty() && output == Output::Table {
        output::tell(&"no contexts");
        return Ok(());
    }
    let current = |name: &String| contexts.current.as_ref() == Some(name);
    let rows: Vec<_> = contexts
        .contexts
        .iter()
        .map(|(name, context)| {
            let mark = if current(name) { "*" } else { "" };
            vec![
                mark.to_owned(),
                name.clone(),
                context.admin_server.clone().unwrap_or_default(),
                context.check_server.clone().unwrap_or_default(),
            ]
        })
        .collect();
    let header = ["", "CONTEXT", "ADMIN SERVER", "CHECK SERVER"];
    output.print(
        || listing(&header, &rows, &[0, 1], table::terminal_width()),
        || {
            let all = contexts.contexts.iter();
            let all: Vec<_> = all.map(|(name, context)| fields(name, context)).collect();
            json!({ "current": contexts.current, "contexts": all })
        },
    )
}

fn show(name: &str, context: &Context, output: Output) -> Result<(), Failure> {
    output.print(
        || {
            let mut lines = Properties::default();
            lines.add("Context", name);
            for (label, value) in labels(context) {
                lines.add(label, value);
            }
            lines.lines(table::terminal_width())
        },
        || json!({ "context": fields(name, context) }),
    )
}

fn labels(context: &Context) -> [(&'static str, String); 8] {
    let path = |path: &Option<PathBuf>| {
        path.as_ref()
            .map(|path| path.display().to_string())
            .unwrap_or_default()
    };
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let elsewhere = match context.encrypted_elsewhere {
        Some(true) => "yes",
        Some(false) => "no",
        None => "",
    };
    [
        ("Admin server", text(&context.admin_server)),
        ("Check server", text(&context.check_server)),
        ("Admin token file", path(&context.admin_token_file)),
        ("CA file", path(&context.ca_file)),
        ("Client certificate", path(&context.client_cert)),
        ("Client key", path(&context.client_key)),
        ("Server name", text(&context.server_name)),
        ("Encrypted elsewhere", elsewhere.to_owned()),
    ]
}

fn fields(name: &str, context: &Context) -> Value {
    json!({
        "name": name,
        "admin_server": context.admin_server,
        "check_server": context.check_server,
        "admin_token_file": context.admin_token_file,
        "ca_file": context.ca_file,
        "client_cert": context.client_cert,
        "client_key": context.client_key,
        "server_name": context.server_name,
        "encrypted_elsewhere": context.encrypted_elsewhere,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_not_taken_for_a_path() {
        let token = "klg_live_yhjskwdA6OZ1AL1YmHWZWm8LLG7HjnuCA2j5rOw8Xp13kbUxd";
        let failure = absolute(Path::new(token)).unwrap_err();
        assert!(!failure.to_string().contains(token), "{failure}");
        assert!(absolute(Path::new("admin.token")).unwrap().is_absolute());
    }
}
