//! `keyward principals update`: change what is said of a principal.

use clap::Args;

use crate::cli::admin::{Admin, AdminFlags};
use crate::cli::etag::EtagFlag;
use crate::cli::failure::Failure;
use crate::cli::mask::Mask;
use crate::cli::output::Output;
use crate::cli::principal_view;
use crate::cli::status::Flags;
use crate::edge::pb::{Principal, UpdatePrincipalRequest};

const FLAGS: Flags = &[
    ("id", "the id"),
    ("display_name", "--display-name"),
    ("description", "--description"),
    ("etag", "--etag"),
];

#[derive(Args, Debug)]
pub(crate) struct UpdateArgs {
    /// The id of the principal
    id: String,
    /// A name for people; `''` takes it away
    #[arg(long, value_name = "TEXT")]
    display_name: Option<String>,
    /// Who it is; `''` takes it away
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    #[command(flatten)]
    etag: EtagFlag,
}

/// Changes the principal and shows it.
pub(super) async fn run(
    args: UpdateArgs,
    flags: AdminFlags,
    output: Output,
) -> Result<(), Failure> {
    let mut mask = Mask::default();
    let principal = Principal {
        id: args.id,
        display_name: mask.set("display_name", args.display_name),
        description: mask.set("description", args.description),
        etag: args.etag.given(),
        ..Principal::default()
    };
    let request = UpdatePrincipalRequest {
        principal: Some(principal),
        update_mask: Some(mask.finish()?),
    };
    let reply = Admin::connect(flags)
        .await?
        .change(request, FLAGS, async |client, r| {
            client.update_principal(r).await
        })
        .await?;
    principal_view::show(output, &reply.principal.unwrap_or_default())
}
