//! `keyward memberships set`: what a principal may do in a workspace at most.

use clap::Args;

use super::Which;
use crate::cli::admin::{Admin, AdminFlags};
use crate::cli::argument::Scopes;
use crate::cli::etag::EtagFlag;
use crate::cli::failure::Failure;
use crate::cli::output::Output;
use crate::cli::principal_view;
use crate::cli::status::Flags;
use crate::edge::pb::{Membership, SetMembershipRequest};

const FLAGS: Flags = &[
    ("workspace", "--workspace"),
    ("principal", "--principal"),
    ("scope_ceiling", "--ceiling"),
    ("etag", "--etag"),
];

#[derive(Args, Debug)]
pub(crate) struct SetArgs {
    #[command(flatten)]
    which: Which,
    /// The scopes that its keys may use there at most; `*` is everything. Can be
    /// given several times, or hold several separated by spaces
    #[arg(long, value_name = "SCOPES", value_parser = Scopes::parse, required = true)]
    ceiling: Vec<Scopes>,
    #[command(flatten)]
    etag: EtagFlag,
}

/// Sets the membership and shows it.
pub(super) async fn run(args: SetArgs, flags: AdminFlags, output: Output) -> Result<(), Failure> {
    let membership = Membership {
        workspace: args.which.workspace,
        principal: args.which.principal,
        scope_ceiling: Scopes::all(args.ceiling),
        etag: args.etag.given(),
        ..Membership::default()
    };
    let request = SetMembershipRequest {
        membership: Some(membership),
    };
    let reply = Admin::connect(flags)
        .await?
        .change(request, FLAGS, async |client, r| {
            client.set_membership(r).await
        })
        .await?;
    principal_view::show_membership(output, &reply.membership.unwrap_or_default())
}
