//! `keyward workspaces create`: a tenant, with its tokens' prefix.

use std::time::Duration;

use clap::Args;
use clap::builder::NonEmptyStringValueParser;

use crate::cli::admin::{Admin, AdminFlags};
use crate::cli::argument::Scopes;
use crate::cli::failure::Failure;
use crate::cli::limits::LimitFlag;
use crate::cli::output::Output;
use crate::cli::status::Flags;
use crate::cli::{argument, workspace_view};
use crate::edge::pb::{CreateWorkspaceRequest, Workspace};

const FLAGS: Flags = &[
    ("id", "the id"),
    ("display_name", "--display-name"),
    ("token_prefix", "--prefix"),
    ("environments", "--environment"),
    ("default_environment", "--default-environment"),
    ("unmarked_environment", "--unmarked-environment"),
    ("scope_catalog", "--catalog"),
    ("default_limits", "--default-limit"),
    ("rotation_period", "--rotation-period"),
];

#[derive(Args, Debug)]
pub(crate) struct CreateArgs {
    /// The id, final: 1 to 63 characters of a-z, 0-9, `_`, `.` and `-`
    id: String,
    /// What its tokens start with, such as `klipy_api`
    #[arg(long)]
    prefix: String,
    /// An environment that keys can be of, such as `live` or `test`. Can be
    /// given several times. Without it, tokens have no such part
    #[arg(long = "environment", value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    environments: Vec<String>,
    /// The environment that is meant where none is given [default: `live` if
    /// it is among them, else the first]
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    default_environment: Option<String>,
    /// The environment whose tokens carry no mark of it [default: all are
    /// marked]
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    unmarked_environment: Option<String>,
    /// The scopes that are in use here; keys are then given no others, so that
    /// a typo is refused. Can be given several times, or hold several
    /// separated by spaces [default: any scope can be given]
    #[arg(long, value_name = "SCOPES", value_parser = Scopes::parse)]
    catalog: Vec<Scopes>,
    /// How much checks of each key may spend in how long, unless the key has a
    /// limit of that name: `read=1000/1m`, or `bulk=10/1m,always` to count on
    /// every check. Can be given several times
    #[arg(long = "default-limit", value_name = "NAME=COUNT/WINDOW", value_parser = LimitFlag::parse)]
    default_limits: Vec<LimitFlag>,
    /// How long keys should keep a token before they are given another, such as
    /// `30d`: `keys list --rotation-due` shows those that have not [default: 90d]
    #[arg(long, value_name = "SPAN", value_parser = argument::span)]
    rotation_period: Option<Duration>,
    /// A name for people
    #[arg(
        long,
        value_name = "TEXT",
        default_value = "",
        hide_default_value = true
    )]
    display_name: String,
}

/// Creates the workspace and shows it.
pub(super) async fn run(
    args: CreateArgs,
    flags: AdminFlags,
    output: Output,
) -> Result<(), Failure> {
    let workspace = Workspace {
        id: args.id,
        display_name: args.display_name,
        token_prefix: args.prefix,
        environments: args.environments,
        default_environment: args.default_environment.unwrap_or_default(),
        unmarked_environment: args.unmarked_environment.unwrap_or_default(),
        scope_catalog: Scopes::all(args.catalog),
        default_limits: LimitFlag::all(args.default_limits),
        rotation_period: argument::wire_span("--rotation-period", args.rotation_period)?,
        ..Workspace::default()
    };
    let request = CreateWorkspaceRequest {
        workspace: Some(workspace),
    };
    let reply = Admin::connect(flags)
        .await?
        .change(request, FLAGS, async |client, r| {
            client.create_workspace(r).await
        })
        .await?;
    workspace_view::show(output, &reply.workspace.unwrap_or_default())
}
