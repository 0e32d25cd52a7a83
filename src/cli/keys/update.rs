//! `keyward keys update`: change what a key is called, may do, and until when.

use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use prost_types::FieldMask;

use super::read;
use crate::cli::admin::{Admin, AdminFlags};
use crate::cli::argument::{self, Entry, Scopes};
use crate::cli::edit::Edit;
use crate::cli::etag::{self, EtagFlag};
use crate::cli::expiry::Expiry;
use crate::cli::failure::Failure;
use crate::cli::key_view;
use crate::cli::limits::LimitFlag;
use crate::cli::mask::Mask;
use crate::cli::output::Output;
use crate::cli::status::Flags;
use crate::edge::pb::{Key, UpdateKeyRequest};

const FLAGS: Flags = &[
    ("name", "--name"),
    ("description", "--description"),
    ("scopes", "--scope"),
    ("metadata", "--metadata"),
    ("expire_time", "--expires"),
    ("limits", "--limit"),
    ("etag", "--etag"),
    ("source_addresses", "--source-address"),
];

#[derive(Args, Debug)]
pub(crate) struct UpdateArgs {
    /// The id of the key, `key_…`
    key_id: String,
    /// A name for people
    #[arg(long, value_parser = NonEmptyStringValueParser::new())]
    name: Option<String>,
    /// What it is for; `''` takes it away
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// What it may do from now on, in place of what it may do now
    #[arg(long = "scope", value_name = "SCOPES", value_parser = Scopes::parse,
          conflicts_with_all = ["add_scopes", "remove_scopes", "no_scopes"])]
    scopes: Vec<Scopes>,
    /// What it may do too
    #[arg(long = "add-scope", value_name = "SCOPES", value_parser = Scopes::parse)]
    add_scopes: Vec<Scopes>,
    /// What it may not do any more, as it stands among its scopes
    #[arg(long = "remove-scope", value_name = "SCOPES", value_parser = Scopes::parse)]
    remove_scopes: Vec<Scopes>,
    /// Take all its scopes away
    #[arg(long, conflicts_with_all = ["add_scopes", "remove_scopes"])]
    no_scopes: bool,
    /// Its metadata from now on, in place of what there is. Can be given
    /// several times
    #[arg(long, value_name = "NAME=VALUE", value_parser = Entry::parse, conflicts_with = "no_metadata")]
    metadata: Vec<Entry>,
    /// Take all its metadata away
    #[arg(long)]
    no_metadata: bool,
    /// When it is to stop working: `90d` from now, `2027-01-01`,
    /// `2027-01-01T09:30:00Z` or `never`
    #[arg(long, value_name = "WHEN")]
    expires: Option<Expiry>,
    /// Its limits from now on, in place of those that there are, each like
    /// `read=1000/1m` or `bulk=10/1m,always`. What was spent counts on. Can be
    /// given several times
    #[arg(long = "limit", value_name = "NAME=COUNT/WINDOW", value_parser = LimitFlag::parse,
          conflicts_with = "no_limits")]
    limits: Vec<LimitFlag>,
    /// Take all its limits away
    #[arg(long, alias = "clear-limits")]
    no_limits: bool,
    /// Where requests with it may come from, from now on, in place of where
    /// they may now: a range such as `203.0.113.0/24`, or an address. Can be
    /// given several times
    #[arg(long = "source-address", value_name = "RANGE", value_parser = NonEmptyStringValueParser::new(),
          conflicts_with = "no_source_addresses")]
    source_addresses: Vec<String>,
    /// Let requests with it come from anywhere
    #[arg(long, alias = "clear-source-addresses")]
    no_source_addresses: bool,
    #[command(flatten)]
    etag: EtagFlag,
}

/// Changes the key and shows it.
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
        if draft.scopes.is_relative() {
            let current = read(&mut admin, &key.id).await?;
            key.scopes = draft.scopes.apply(&current.scopes)?;
            if key.etag.is_empty() {
                key.etag = current.etag;
            }
        }
        let request = UpdateKeyRequest {
            key: Some(key),
            update_mask: Some(draft.mask.clone()),
        };
        let reply = admin
            .change(request, FLAGS, async |client, r| client.update_key(r).await)
            .await?;
        Ok(reply.key.unwrap_or_default())
    })
    .await?;
    key_view::show(output, &changed)
}

/// What was asked for, as far as it is known without the key.
#[derive(Debug)]
struct Draft {
    key: Key,
    mask: FieldMask,
    scopes: Edit,
}

impl Draft {
    fn new(args: UpdateArgs) -> Result<Self, Failure> {
        let scopes = Edit::new(
            args.scopes,
            args.add_scopes,
            args.remove_scopes,
            args.no_scopes,
        );
        let metadata = Entry::all(args.metadata)?;
        let limits = LimitFlag::all(args.limits);
        let mut mask = Mask::default();
        let key = Key {
            id: argument::key_id(args.key_id)?,
            name: mask.set("name", args.name),
            description: mask.set("description", args.description),
            scopes: mask.set("scopes", scopes.is_any().then(|| scopes.whole.clone())),
            metadata: mask.set(
                "metadata",
                (args.no_metadata || !metadata.is_empty()).then_some(metadata),
            ),
            expire_time: mask.set(
                "expire_time",
                args.expires.map(Expiry::resolve).transpose()?,
            ),
            limits: mask.set(
                "limits",
                (args.no_limits || !limits.is_empty()).then_some(limits),
            ),
            source_addresses: mask.set(
                "source_addresses",
                (args.no_source_addresses || !args.source_addresses.is_empty())
                    .then_some(args.source_addresses),
            ),
            etag: args.etag.given(),
            ..Key::default()
        };
        Ok(Self {
            key,
            mask: mask.finish()?,
            scopes,
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

    /// What a line sets, and the fields that it names.
    fn draft(line: &[&str]) -> (Key, Vec<String>) {
        let id = "key_01k3c5hw7n8d0r2vxk4w9g6m1t";
        let line = [&["update", id][..], line].concat();
        let draft = Draft::new(Line::try_parse_from(line).unwrap().args).unwrap();
        assert_eq!(draft.key.id, id);
        (draft.key, draft.mask.paths)
    }

    #[test]
    fn fields_that_are_not_named_stay() {
        let (key, paths) = draft(&["--name", "n", "--expires", "2027-01-01"]);
        assert_eq!((key.name.as_str(), key.description.as_str()), ("n", ""));
        assert!(key.expire_time.is_some());
        assert_eq!(paths, ["name", "expire_time"]);
    }

    #[test]
    fn what_is_named_can_be_taken_away() {
        let (key, paths) = draft(&[
            "--description",
            "",
            "--no-scopes",
            "--no-metadata",
            "--expires",
            "never",
            "--no-limits",
            "--no-source-addresses",
        ]);
        assert_eq!(
            key,
            Key {
                id: key.id.clone(),
                ..Key::default()
            }
        );
        assert_eq!(
            paths,
            [
                "description",
                "scopes",
                "metadata",
                "expire_time",
                "limits",
                "source_addresses"
            ]
        );
        let (key, paths) = draft(&["--limit", "read=5/1m", "--limit=bulk=1/1s,always"]);
        assert_eq!((key.limits.len(), paths), (2, vec!["limits".to_owned()]));
    }

    #[test]
    fn addresses_are_replaced_as_a_whole() {
        let line = ["--source-address", "10.0.0.0/8", "--source-address", "::1"];
        let (key, paths) = draft(&line);
        assert_eq!(key.source_addresses, ["10.0.0.0/8", "::1"]);
        assert_eq!(paths, ["source_addresses"]);
        assert_eq!(draft(&["--clear-source-addresses"]).1, paths);
    }

    #[test]
    fn a_line_that_changes_nothing_or_says_two_things_is_refused() {
        let id = "key_01k3c5hw7n8d0r2vxk4w9g6m1t";
        assert!(Draft::new(Line::parse_from(["update", id]).args).is_err());
        for line in [
            ["--scope=a", "--add-scope=b"],
            ["--no-scopes", "--remove-scope=b"],
            ["--no-metadata", "--metadata=a=b"],
            ["--no-limits", "--limit=a=1/1s"],
            ["--no-source-addresses", "--source-address=::1"],
        ] {
            let line = [&["update", id][..], &line].concat();
            assert!(Line::try_parse_from(line).is_err());
        }
    }
}
