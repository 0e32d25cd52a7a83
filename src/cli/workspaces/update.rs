//! `keyward workspaces update`: change its name, environments, catalog and
//! limits.

use std::time::Duration;

use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use prost_types::FieldMask;

use super::read;
use crate::cli::admin::{Admin, AdminFlags};
use crate::cli::argument::Scopes;
use crate::cli::edit::Edit;
use crate::cli::etag::{self, EtagFlag};
use crate::cli::failure::Failure;
use crate::cli::limits::LimitFlag;
use crate::cli::mask::Mask;
use crate::cli::output::Output;
use crate::cli::status::Flags;
use crate::cli::{argument, workspace_view};
use crate::edge::pb::{UpdateWorkspaceRequest, Workspace};

const FLAGS: Flags = &[
    ("id", "the id"),
    ("display_name", "--display-name"),
    ("environments", "--add-environment"),
    ("default_environment", "--default-environment"),
    ("scope_catalog", "--catalog"),
    ("default_limits", "--default-limit"),
    ("rotation_period", "--rotation-period"),
    ("etag", "--etag"),
];

#[derive(Args, Debug)]
pub(crate) struct UpdateArgs {
    /// The id of the workspace
    id: String,
    /// A name for people; `''` takes it away
    #[arg(long, value_name = "TEXT")]
    display_name: Option<String>,
    /// An environment that keys can be of too. Can be given several times; none
    /// can be taken away
    #[arg(long = "add-environment", value_name = "NAME", value_parser = Scopes::parse)]
    add_environments: Vec<Scopes>,
    /// The environment that is meant where none is given
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    default_environment: Option<String>,
    /// The scopes that are in use from now on, in place of those that were
    #[arg(long, value_name = "SCOPES", value_parser = Scopes::parse,
          conflicts_with_all = ["add_catalog", "remove_catalog", "no_catalog"])]
    catalog: Vec<Scopes>,
    /// Scopes that are in use too
    #[arg(long, value_name = "SCOPES", value_parser = Scopes::parse)]
    add_catalog: Vec<Scopes>,
    /// Scopes that are in use no more. Keys that have them keep them
    #[arg(long, value_name = "SCOPES", value_parser = Scopes::parse)]
    remove_catalog: Vec<Scopes>,
    /// Any scope can be given to keys
    #[arg(long, conflicts_with_all = ["add_catalog", "remove_catalog"])]
    no_catalog: bool,
    /// The limits of its keys from now on, unless a key has one of the same
    /// name, in place of those that there are: each like `read=1000/1m` or
    /// `bulk=10/1m,always`. What was spent counts on. Can be given several times
    #[arg(long = "default-limit", value_name = "NAME=COUNT/WINDOW", value_parser = LimitFlag::parse,
          conflicts_with = "no_default_limits")]
    default_limits: Vec<LimitFlag>,
    /// Take all its default limits away
    #[arg(long, alias = "clear-default-limits")]
    no_default_limits: bool,
    /// How long keys should keep a token before they are given another, such as
    /// `30d`
    #[arg(long, value_name = "SPAN", value_parser = argument::span)]
    rotation_period: Option<Duration>,
    #[command(flatten)]
    etag: EtagFlag,
}

/// Changes the workspace and shows it.
pub(super) async fn run(
    args: UpdateArgs,
    flags: AdminFlags,
    output: Output,
) -> Result<(), Failure> {
    let given = args.etag.clone();
    let draft = Draft::new(args)?;
    let mut admin = Admin::connect(flags).await?;
    let changed = etag::revise(&given, async || {
        let mut workspace = draft.workspace.clone();
        if draft.environments.is_relative() || draft.catalog.is_relative() {
            let current = read(&mut admin, &workspace.id).await?;
            workspace.environments = draft.environments.apply(&current.environments)?;
            workspace.scope_catalog = draft.catalog.apply(&current.scope_catalog)?;
            if workspace.etag.is_empty() {
                workspace.etag = current.etag;
            }
        }
        let request = UpdateWorkspaceRequest {
            workspace: Some(workspace),
            update_mask: Some(draft.mask.clone()),
        };
        let reply = admin
            .change(request, FLAGS, async |client, r| {
                client.update_workspace(r).await
            })
            .await?;
        Ok(reply.workspace.unwrap_or_default())
    })
    .await?;
    workspace_view::show(output, &changed)
}

/// What was asked for, as far as it is known without the workspace.
#[derive(Debug)]
struct Draft {
    workspace: Workspace,
    mask: FieldMask,
    environments: Edit,
    catalog: Edit,
}

impl Draft {
    fn new(args: UpdateArgs) -> Result<Self, Failure> {
        let environments = Edit::new(Vec::new(), args.add_environments, Vec::new(), false);
        let catalog = Edit::new(
            args.catalog,
            args.add_catalog,
            args.remove_catalog,
            args.no_catalog,
        );
        let limits = LimitFlag::all(args.default_limits);
        let rotation_period = argument::wire_span("--rotation-period", args.rotation_period)?;
        let mut mask = Mask::default();
        let whole = |edit: &Edit| edit.is_any().then(|| edit.whole.clone());
        let workspace = Workspace {
            id: args.id,
            display_name: mask.set("display_name", args.display_name),
            environments: mask.set("environments", whole(&environments)),
            default_environment: mask.set("default_environment", args.default_environment),
            scope_catalog: mask.set("scope_catalog", whole(&catalog)),
            default_limits: mask.set(
                "default_limits",
                (args.no_default_limits || !limits.is_empty()).then_some(limits),
            ),
            rotation_period: mask.set("rotation_period", rotation_period.map(Some)),
            etag: args.etag.given(),
            ..Workspace::default()
        };
        Ok(Self {
            workspace,
            mask: mask.finish()?,
            environments,
            catalog,
        })
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: UpdateArgs,
    }

    #[test]
    fn only_what_is_named_is_set() {
        for (line, paths) in [
            (&["--display-name="][..], &["display_name"][..]),
            (
                &["--add-environment=eu", "--default-environment=eu"],
                &["environments", "default_environment"],
            ),
            (&["--catalog=a b"], &["scope_catalog"]),
            (&["--no-catalog"], &["scope_catalog"]),
            (&["--default-limit=read=5/1m"], &["default_limits"]),
            (&["--no-default-limits"], &["default_limits"]),
            (&["--rotation-period=30d"], &["rotation_period"]),
            (
                &["--add-catalog=a", "--remove-catalog=b"],
                &["scope_catalog"],
            ),
        ] {
            let line = [&["update", "klipy"][..], line].concat();
            let draft = Draft::new(Line::parse_from(&line).args).unwrap();
            assert_eq!(draft.mask.paths, paths, "{line:?}");
        }
        assert!(Draft::new(Line::parse_from(["update", "klipy"]).args).is_err());
    }
}
