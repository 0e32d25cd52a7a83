//! `keyward principals show`: everything about one principal on one screen.

use clap::Args;

use crate::cli::admin::{Admin, AdminFlags};
use crate::cli::failure::Failure;
use crate::cli::output::Output;
use crate::cli::pages::{self, PageFlags};
use crate::cli::principal_view::Whole;
use crate::edge::pb::{GetPrincipalRequest, ListKeysRequest, ListMembershipsRequest};

#[derive(Args, Debug)]
pub(crate) struct ShowArgs {
    /// The id of the principal
    id: String,
    #[command(flatten)]
    pages: PageFlags,
}

/// Shows the principal, its memberships, and as many of its keys, and of those,
/// as are wanted.
pub(super) async fn run(args: ShowArgs, flags: AdminFlags, output: Output) -> Result<(), Failure> {
    let mut admin = Admin::connect(flags).await?;
    let request = GetPrincipalRequest {
        principal: args.id.clone(),
    };
    let found = admin
        .read(request, async |client, r| client.get_principal(r).await)
        .await?;
    let memberships = pages::all(args.pages, async |page| {
        let request = ListMembershipsRequest {
            principal: args.id.clone(),
            page_size: page.size,
            page_token: page.token,
            ..ListMembershipsRequest::default()
        };
        let reply = admin
            .read(request, async |client, r| client.list_memberships(r).await)
            .await?;
        Ok((reply.memberships, reply.next_page_token))
    })
    .await?;
    let keys = pages::all(args.pages, async |page| {
        let request = ListKeysRequest {
            principal: args.id.clone(),
            page_size: page.size,
            page_token: page.token,
            ..ListKeysRequest::default()
        };
        let reply = admin
            .read(request, async |client, r| client.list_keys(r).await)
            .await?;
        Ok((reply.keys, reply.next_page_token))
    })
    .await?;
    let whole = Whole {
        principal: found.principal.unwrap_or_default(),
        memberships,
        keys,
    };
    whole.show(output)
}
