//! `keyward principals create`: a user or a service, before its first key.

use clap::Args;

use crate::cli::admin::{Admin, AdminFlags};
use crate::cli::failure::Failure;
use crate::cli::limits::LimitFlag;
use crate::cli::output::Output;
use crate::cli::principal_view;
use crate::cli::status::Flags;
use crate::edge::pb::{CreatePrincipalRequest, Principal};

const FLAGS: Flags = &[
    ("id", "the id"),
    ("display_name", "--display-name"),
    ("description", "--description"),
    ("limits", "--limit"),
];

#[derive(Args, Debug)]
pub(crate) struct CreateArgs {
    /// The id, final, such as `user:ada` or `service:billing`
    id: String,
    /// A name for people
    #[arg(
        long,
        value_name = "TEXT",
        default_value = "",
        hide_default_value = true
    )]
    display_name: String,
    /// Who it is
    #[arg(
        long,
        value_name = "TEXT",
        default_value = "",
        hide_default_value = true
    )]
    description: String,
    /// A limit that all its keys share in each workspace, such as
    /// `read=1000/1m` or, to count on every check, `all=5000/1h,always`. Can be
    /// given several times
    #[arg(long = "limit", value_name = "NAME=COUNT/WINDOW", value_parser = LimitFlag::parse)]
    limits: Vec<LimitFlag>,
}

/// Makes the principal and shows it.
pub(super) async fn run(
    args: CreateArgs,
    flags: AdminFlags,
    output: Output,
) -> Result<(), Failure> {
    let principal = Principal {
        id: args.id,
        display_name: args.display_name,
        description: args.description,
        limits: LimitFlag::all(args.limits),
        ..Principal::default()
    };
    let request = CreatePrincipalRequest {
        principal: Some(principal),
    };
    let reply = Admin::connect(flags)
        .await?
        .change(request, FLAGS, async |client, r| {
            client.create_principal(r).await
        })
        .await?;
    principal_view::show(output, &reply.principal.unwrap_or_default())
}
