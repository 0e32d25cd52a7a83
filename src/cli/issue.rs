//! `keyward keys create`: issue a key and hand over its token, this once.

use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use serde_json::json;

use super::admin::{Admin, AdminFlags};
use super::argument::{Entry, Scopes};
use super::expiry::Expiry;
use super::failure::Failure;
use super::output::{self, Output};
use super::status::Flags;
use super::{key_view, table, text};
use crate::domain::clock::{Clock, SystemClock};
use crate::edge::pb::{CreateKeyRequest, CreateKeyResponse};

const FLAGS: Flags = &[
    ("workspace", "--workspace"),
    ("environment", "--environment"),
    ("principal", "--principal"),
    ("name", "--name"),
    ("description", "--description"),
    ("scopes", "--scope"),
    ("metadata", "--metadata"),
    ("expire_time", "--expires"),
];

#[derive(Args, Debug)]
pub(crate) struct CreateArgs {
    /// The workspace that the key is to work in
    #[arg(long, value_name = "ID", value_parser = NonEmptyStringValueParser::new())]
    workspace: String,
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
    /// One of the workspace's environments [default: the workspace's]
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
    /// Write the token to stdout and nothing else
    #[arg(long, conflicts_with = "output")]
    token_only: bool,
}

/// Issues the key and shows it with its token.
pub(crate) async fn run(
    args: CreateArgs,
    flags: AdminFlags,
    output: Output,
) -> Result<(), Failure> {
    let request = CreateKeyRequest {
        workspace: args.workspace,
        environment: args.environment.unwrap_or_default(),
        principal: args.principal,
        name: args.name,
        description: args.description,
        scopes: Scopes::all(args.scopes),
        metadata: Entry::all(args.metadata)?,
        expire_time: args
            .expires
            .resolve(SystemClock::default().now())
            .map_err(Failure::usage)?,
        ..CreateKeyRequest::default()
    };
    let mut admin = Admin::connect(flags).await?;
    let reply = admin
        .change(request, FLAGS, async |client, r| client.create_key(r).await)
        .await?;

    // Even a closed pipe is told of: what it swallowed cannot be had again.
    output::deliver(&issued(&reply, args.token_only, output)).map_err(|error| {
        let id = reply.key.map(|key| key.id).unwrap_or_default();
        Failure::failed(format!(
            "the key {id} was issued, but its token could not be written to stdout: {error}"
        ))
        .note(format!(
            "The token is lost. Revoke the key with `keyward keys revoke {id}`, and issue another."
        ))
    })
}

/// What is shown of a new key. The token has a line of its own, which no
/// table breaks.
fn issued(reply: &CreateKeyResponse, token_only: bool, output: Output) -> String {
    let (key, token) = (
        reply.key.clone().unwrap_or_default(),
        text::escaped(&reply.token),
    );
    if token_only {
        return format!("{token}\n");
    }
    match output {
        Output::Json => {
            output::json_text(&json!({ "key": key_view::json(&key), "token": reply.token }))
        }
        Output::Table => {
            let lines = key_view::lines(&key, table::terminal_width());
            format!(
                "{lines}\nThe token, which is shown this once and cannot be had again:\n\n{token}\n"
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edge::pb::Key;

    #[test]
    fn a_new_key_comes_with_its_token_in_every_form() {
        let key = Key {
            id: "key_1".to_owned(),
            ..Key::default()
        };
        let reply = CreateKeyResponse {
            key: Some(key),
            token: "klg_live_x".to_owned(),
        };
        assert_eq!(issued(&reply, true, Output::Table), "klg_live_x\n");
        let text = issued(&reply, false, Output::Table);
        assert!(
            text.ends_with("cannot be had again:\n\nklg_live_x\n"),
            "{text}"
        );
        let json: serde_json::Value =
            serde_json::from_str(&issued(&reply, false, Output::Json)).unwrap();
        assert_eq!(json["token"], "klg_live_x");
        assert_eq!(json["key"]["id"], "key_1");
    }
}
