//! `keyward keys list`: those that fit what is given, once or over and over.

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, ValueEnum};
use serde_json::json;

use crate::cli::admin::{Admin, AdminFlags};
use crate::cli::failure::Failure;
use crate::cli::output::{self, Output};
use crate::cli::pages::{self, PageFlags};
use crate::cli::status::Flags;
use crate::cli::watch::{self, WatchFlag};
use crate::cli::when::When;
use crate::cli::{key_view, table};
use crate::domain::clock::{Clock, SystemClock};
use crate::edge::pb::{Key, KeyState, ListKeysRequest};

pub(super) const FLAGS: Flags = &[
    ("workspace", "--workspace"),
    ("principal", "--principal"),
    ("environment", "--environment"),
    ("scope", "--scope"),
    ("expiring_before", "--expiring-before"),
    ("rotation_due_before", "--rotation-due"),
    ("unused_since", "--unused-since"),
];

#[derive(Args, Debug)]
pub(crate) struct ListArgs {
    #[command(flatten)]
    filter: FilterFlags,
    #[command(flatten)]
    pages: PageFlags,
    #[command(flatten)]
    watch: WatchFlag,
}

/// The flags that say which keys.
#[derive(Args, Debug)]
pub(crate) struct FilterFlags {
    /// Only those of this workspace [default: all that the admin token may read]
    #[arg(long, value_name = "ID", value_parser = NonEmptyStringValueParser::new())]
    workspace: Option<String>,
    /// Only those of this principal
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    principal: Option<String>,
    /// Only those in this state
    #[arg(long, value_enum)]
    state: Option<State>,
    /// Only those of this environment
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    environment: Option<String>,
    /// Only those that may do this
    #[arg(long, value_name = "SCOPE", value_parser = NonEmptyStringValueParser::new())]
    scope: Option<String>,
    /// Only those whose expiry is before this: `30d` from now, `2027-01-01` or
    /// `2027-01-01T09:30:00Z`
    #[arg(long, value_name = "WHEN")]
    expiring_before: Option<When>,
    /// Only those that are due for a new token, now or by WHEN: `30d` from now,
    /// `2027-01-01` or `2027-01-01T09:30:00Z`
    #[arg(long, value_name = "WHEN", num_args = 0..=1, default_missing_value = "0s")]
    rotation_due: Option<When>,
    /// Only those that were created before this and not used since: `90d` ago,
    /// `2027-01-01` or `2027-01-01T09:30:00Z`
    #[arg(long, value_name = "WHEN")]
    unused_since: Option<When>,
    /// Only those that were never used
    #[arg(long)]
    never_used: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum State {
    /// They work
    Active,
    /// Their expiry has passed
    Expired,
    /// They are switched off
    Disabled,
    /// They were revoked
    Revoked,
}

impl From<State> for KeyState {
    fn from(state: State) -> Self {
        match state {
            State::Active => Self::Active,
            State::Expired => Self::Expired,
            State::Disabled => Self::Disabled,
            State::Revoked => Self::Revoked,
        }
    }
}

impl FilterFlags {
    /// The request for the keys that fit, but for its page.
    pub(super) fn request(&self) -> Result<ListKeysRequest, Failure> {
        let now = SystemClock::default().now();
        let ahead = |when: Option<When>, flag: &str| {
            when.map(|when| {
                when.ahead(now)
                    .ok_or_else(|| Failure::usage(format!("{flag} is too far away")))
            })
            .transpose()
        };
        let expiring_before = ahead(self.expiring_before, "--expiring-before")?;
        let rotation_due_before = ahead(self.rotation_due, "--rotation-due")?;
        let unused_since = self.unused_since.map(|when| {
            when.ago(now)
                .ok_or_else(|| Failure::usage("--unused-since is too far away"))
        });
        Ok(ListKeysRequest {
            workspace: self.workspace.clone().unwrap_or_default(),
            principal: self.principal.clone().unwrap_or_default(),
            state: self
                .state
                .map_or(KeyState::Unspecified, KeyState::from)
                .into(),
            environment: self.environment.clone().unwrap_or_default(),
            scope: self.scope.clone().unwrap_or_default(),
            expiring_before,
            rotation_due_before,
            unused_since: unused_since.transpose()?,
            never_used: self.never_used,
            ..ListKeysRequest::default()
        })
    }
}

/// Lists the keys, and goes on to if they are watched.
pub(super) async fn run(args: ListArgs, flags: AdminFlags, output: Output) -> Result<(), Failure> {
    let request = args.filter.request()?;
    let span = args.watch.span(output)?;
    let mut admin = Admin::connect(flags).await?;
    if let Some(span) = span {
        return watch::redrawn(span, async || {
            let keys = fetch(&mut admin, &request, args.pages).await?;
            Ok(key_view::list(&keys, table::terminal_width()))
        })
        .await;
    }
    let keys = fetch(&mut admin, &request, args.pages).await?;
    if keys.is_empty() && output == Output::Table {
        output::tell(&"no keys");
        return Ok(());
    }
    output.print(
        || key_view::list(&keys, table::terminal_width()),
        || json!({ "keys": keys.iter().map(key_view::json).collect::<Vec<_>>() }),
    )
}

/// All pages of the keys that are asked for.
pub(super) async fn fetch(
    admin: &mut Admin,
    request: &ListKeysRequest,
    flags: PageFlags,
) -> Result<Vec<Key>, Failure> {
    pages::all(flags, async |page| {
        let request = ListKeysRequest {
            page_size: page.size,
            page_token: page.token,
            ..request.clone()
        };
        let reply = admin
            .ask(request, FLAGS, async |client, r| client.list_keys(r).await)
            .await?;
        Ok((reply.keys, reply.next_page_token))
    })
    .await
}
