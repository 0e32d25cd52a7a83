//! `keyward principals update`: change what is said of a principal, and its
//! limits.

use clap::Args;

use crate::cli::admin::{Admin, AdminFlags};
use crate::cli::etag::EtagFlag;
use crate::cli::failure::Failure;
use crate::cli::limits::LimitFlag;
use crate::cli::mask::Mask;
use crate::cli::output::Output;
use crate::cli::principal_view;
use crate::cli::status::Flags;
use crate::edge::pb::{Principal, UpdatePrincipalRequest};

const FLAGS: Flags = &[
    ("id", "the id"),
    ("display_name", "--display-name"),
    ("description", "--description"),
    ("limits", "--limit"),
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
    /// The limits that all its keys share from now on in each workspace, in
    /// place of those that there are: each like `read=1000/1m` or
    /// `all=5000/1h,always`. What was spent counts on. Can be given several times
    #[arg(long = "limit", value_name = "NAME=COUNT/WINDOW", value_parser = LimitFlag::parse,
          conflicts_with = "no_limits")]
    limits: Vec<LimitFlag>,
    /// Take all its limits away
    #[arg(long, alias = "clear-limits")]
    no_limits: bool,
    #[command(flatten)]
    etag: EtagFlag,
}

/// Changes the principal and shows it.
pub(super) async fn run(
    args: UpdateArgs,
    flags: AdminFlags,
    output: Output,
) -> Result<(), Failure> {
    let request = request(args)?;
    let reply = Admin::connect(flags)
        .await?
        .change(request, FLAGS, async |client, r| {
            client.update_principal(r).await
        })
        .await?;
    principal_view::show(output, &reply.principal.unwrap_or_default())
}

fn request(args: UpdateArgs) -> Result<UpdatePrincipalRequest, Failure> {
    let limits = LimitFlag::all(args.limits);
    let mut mask = Mask::default();
    let principal = Principal {
        id: args.id,
        display_name: mask.set("display_name", args.display_name),
        description: mask.set("description", args.description),
        limits: mask.set(
            "limits",
            (args.no_limits || !limits.is_empty()).then_some(limits),
        ),
        etag: args.etag.given(),
        ..Principal::default()
    };
    Ok(UpdatePrincipalRequest {
        principal: Some(principal),
        update_mask: Some(mask.finish()?),
    })
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

    fn parsed(line: &[&str]) -> Result<UpdateArgs, clap::Error> {
        let line = [&["update", "user:ada"][..], line].concat();
        Line::try_parse_from(line).map(|line| line.args)
    }

    #[test]
    fn only_what_is_named_is_set() {
        let typed = ["--limit", "read=5/1m", "--limit=all=9/1h,always"];
        for (line, paths, limits) in [
            (&["--display-name="][..], &["display_name"][..], 0),
            (&["--description=who"], &["description"], 0),
            (&typed, &["limits"], 2),
            (&["--no-limits"], &["limits"], 0),
            (&["--clear-limits"], &["limits"], 0),
        ] {
            let request = request(parsed(line).unwrap()).unwrap();
            assert_eq!(request.update_mask.unwrap().paths, paths, "{line:?}");
            assert_eq!(request.principal.unwrap().limits.len(), limits, "{line:?}");
        }
        assert!(request(parsed(&[]).unwrap()).is_err());
        assert!(parsed(&["--no-limits", "--limit=a=1/1s"]).is_err());
    }
}
