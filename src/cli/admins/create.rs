//! `keyward admins create`: make an admin key and hand over its token, this
//! once.

use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use serde_json::json;

use super::Role;
use crate::cli::admin::{Admin, AdminFlags};
use crate::cli::argument::Scopes;
use crate::cli::expiry::Expiry;
use crate::cli::failure::{Exit, Failure};
use crate::cli::handover::{HandoverFlags, Issued};
use crate::cli::output::Output;
use crate::cli::status::Flags;
use crate::cli::{admin_view, table};
use crate::edge::pb::{AdminKey, AdminRole, CreateAdminKeyRequest};

const FLAGS: Flags = &[
    ("name", "--name"),
    ("role", "--role"),
    ("workspace", "--workspace"),
    ("grant_ceiling", "--grant"),
    ("expire_time", "--expires"),
];

#[derive(Args, Debug)]
pub(crate) struct CreateArgs {
    /// A name for people
    #[arg(long)]
    name: String,
    /// What it may do where it acts
    #[arg(long, value_enum)]
    role: Role,
    #[command(flatten)]
    place: Place,
    /// The scopes that it may hand out, such as `people:*`; `*` is any. Can be
    /// given several times, or hold several separated by spaces. Without it, it
    /// can issue keys without scopes alone
    #[arg(long = "grant", value_name = "SCOPES", value_parser = Scopes::parse)]
    grants: Vec<Scopes>,
    /// When it is to stop working: `90d`, `2027-01-01`, `2027-01-01T09:30:00Z`
    /// or `never`
    #[arg(long, value_name = "WHEN", default_value = "never")]
    expires: Expiry,
    #[command(flatten)]
    handover: HandoverFlags,
}

/// Where it acts: that has to be said, as the whole system is much.
#[derive(Args, Debug)]
#[group(required = true, multiple = false)]
struct Place {
    /// The workspace that it is to act in
    #[arg(long, value_name = "ID", value_parser = NonEmptyStringValueParser::new())]
    workspace: Option<String>,
    /// It is to act in the whole system
    #[arg(long)]
    system: bool,
}

/// Makes the admin key and shows it with its token.
pub(super) async fn run(
    args: CreateArgs,
    flags: AdminFlags,
    output: Output,
) -> Result<(), Failure> {
    let key = AdminKey {
        name: args.name,
        role: AdminRole::from(args.role).into(),
        workspace: args.place.workspace.unwrap_or_default(),
        grant_ceiling: Scopes::all(args.grants),
        expire_time: args.expires.resolve()?,
        ..AdminKey::default()
    };
    let request = CreateAdminKeyRequest {
        admin_key: Some(key),
    };
    let mut admin = Admin::connect(flags).await?;
    let place = args.handover.prepare()?;
    let reply = admin
        .change(request, FLAGS, async |client, r| {
            client.create_admin_key(r).await
        })
        .await
        .map_err(|failure| match failure.exit() {
            Exit::NotKnown => failure.note(
                "If it is in `keyward admins list`, its token is lost: revoke it and make another.",
            ),
            Exit::Done | Exit::Failed | Exit::Usage | Exit::Denied => failure,
        })?;
    let key = reply.admin_key.unwrap_or_default();
    place.give(
        output,
        &reply.token,
        &admin_view::properties(&key).lines(table::terminal_width()),
        json!({ "admin_key": admin_view::json(&key) }),
        Issued {
            sentence: format!("the admin key {} was made", key.id),
            remedy: format!(
                "Revoke it with `keyward admins revoke {}`, and make another.",
                key.id
            ),
        },
    )
}
