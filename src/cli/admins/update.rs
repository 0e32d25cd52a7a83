//! `keyward admins update`: change what an admin key is called, may do, and
//! until when.

use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use prost_types::FieldMask;

use super::{Role, read};
use crate::cli::admin::{Admin, AdminFlags};
use crate::cli::admin_view;
use crate::cli::argument::{self, Scopes};
use crate::cli::edit::Edit;
use crate::cli::etag::{self, EtagFlag};
use crate::cli::expiry::Expiry;
use crate::cli::failure::Failure;
use crate::cli::mask::Mask;
use crate::cli::output::Output;
use crate::cli::status::Flags;
use crate::edge::pb::{AdminKey, AdminRole, UpdateAdminKeyRequest};

const FLAGS: Flags = &[
    ("name", "--name"),
    ("role", "--role"),
    ("grant_ceiling", "--grant"),
    ("expire_time", "--expires"),
    ("etag", "--etag"),
];

#[derive(Args, Debug)]
pub(crate) struct UpdateArgs {
    /// The id of the admin key, `adm_…`
    admin_key_id: String,
    /// A name for people
    #[arg(long, value_parser = NonEmptyStringValueParser::new())]
    name: Option<String>,
    /// What it may do where it acts
    #[arg(long, value_enum)]
    role: Option<Role>,
    /// The scopes that it may hand out from now on, in place of those that it
    /// may now
    #[arg(long = "grant", value_name = "SCOPES", value_parser = Scopes::parse,
          conflicts_with_all = ["add_grants", "remove_grants", "no_grants"])]
    grants: Vec<Scopes>,
    /// Scopes that it may hand out too
    #[arg(long = "add-grant", value_name = "SCOPES", value_parser = Scopes::parse)]
    add_grants: Vec<Scopes>,
    /// Scopes that it may not hand out any more, as they stand among those that
    /// it may
    #[arg(long = "remove-grant", value_name = "SCOPES", value_parser = Scopes::parse)]
    remove_grants: Vec<Scopes>,
    /// It may hand out no scopes
    #[arg(long, conflicts_with_all = ["add_grants", "remove_grants"])]
    no_grants: bool,
    /// When it is to stop working: `90d` from now, `2027-01-01`,
    /// `2027-01-01T09:30:00Z` or `never`
    #[arg(long, value_name = "WHEN")]
    expires: Option<Expiry>,
    #[command(flatten)]
    etag: EtagFlag,
}

/// Changes the admin key and shows it.
pub(super) async fn run(
    args: UpdateArgs,
    flags: AdminFlags,
    output: Output,
) -> Result<(), Failure> {
    let given = args.etag.clone();
    let draft = Draft::new(args)?;
    let mut admin = Admin::connect(flags).await?;
    let changed = etag::revise(&given, async || {
        let mut key = draft.key.clone();
        if draft.grants.is_relative() {
            let current = read(&mut admin, &key.id).await?;
            key.grant_ceiling = draft.grants.apply(&current.grant_ceiling)?;
            if key.etag.is_empty() {
                key.etag = current.etag;
            }
        }
        let request = UpdateAdminKeyRequest {
            admin_key: Some(key),
            update_mask: Some(draft.mask.clone()),
        };
        let reply = admin
            .change(request, FLAGS, async |client, r| {
                client.update_admin_key(r).await
            })
            .await?;
        Ok(reply.admin_key.unwrap_or_default())
    })
    .await?;
    admin_view::show(output, &changed)
}

/// What was asked for, as far as it is known without the admin key.
#[derive(Debug)]
struct Draft {
    key: AdminKey,
    mask: FieldMask,
    grants: Edit,
}

impl Draft {
    fn new(args: UpdateArgs) -> Result<Self, Failure> {
        let grants = Edit::new(
            args.grants,
            args.add_grants,
            args.remove_grants,
            args.no_grants,
        );
        let mut mask = Mask::default();
        let key = AdminKey {
            id: argument::admin_key_id(args.admin_key_id)?,
            name: mask.set("name", args.name),
            role: mask.set("role", args.role.map(|role| AdminRole::from(role).into())),
            grant_ceiling: mask.set(
                "grant_ceiling",
                grants.is_any().then(|| grants.whole.clone()),
            ),
            expire_time: mask.set(
                "expire_time",
                args.expires.map(Expiry::resolve).transpose()?,
            ),
            etag: args.etag.given(),
            ..AdminKey::default()
        };
        Ok(Self {
            key,
            mask: mask.finish()?,
            grants,
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
        let id = "adm_01k3c5hw7n8d0r2vxk4w9g6m1t";
        for (line, paths) in [
            (&["--name=n", "--role=owner"][..], &["name", "role"][..]),
            (&["--no-grants"], &["grant_ceiling"]),
            (&["--add-grant=a"], &["grant_ceiling"]),
            (&["--expires=never"], &["expire_time"]),
        ] {
            let line = [&["update", id][..], line].concat();
            let draft = Draft::new(Line::parse_from(&line).args).unwrap();
            assert_eq!(draft.mask.paths, paths, "{line:?}");
        }
        assert!(Draft::new(Line::parse_from(["update", id]).args).is_err());
    }
}
