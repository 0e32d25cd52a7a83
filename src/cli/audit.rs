//! `keyward audit`: what was done, when, and by whom.

mod follow;

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, Subcommand};
use serde_json::json;

use super::admin::{Admin, AdminFlags};
use super::export::{self, ExportFlags, Sheet};
use super::failure::{Exit, Failure};
use super::output::{self, Output};
use super::pages::{self, Page, PageFlags};
use super::status::Flags;
use super::when::When;
use super::{event_view, table};
use crate::domain::clock::{Clock, SystemClock};
use crate::edge::pb::list_audit_events_request::Log;
use crate::edge::pb::{AuditEvent, ListAuditEventsRequest, SystemLog};

const FLAGS: Flags = &[
    ("workspace", "--workspace"),
    ("actor", "--actor"),
    ("resource", "--resource"),
    ("action", "--action"),
    ("start_time", "--since"),
    ("end_time", "--until"),
];

#[derive(Args, Debug)]
pub(crate) struct AuditArgs {
    #[command(subcommand)]
    command: AuditCommand,
    #[command(flatten)]
    flags: AdminFlags,
}

#[derive(Subcommand, Debug)]
enum AuditCommand {
    /// List audit events, newest first
    List(ListArgs),
    /// Write all audit events that fit, newest first, for other programs
    Export(ExportArgs),
}

#[derive(Args, Debug)]
struct ListArgs {
    #[command(flatten)]
    filter: FilterFlags,
    #[command(flatten)]
    pages: PageFlags,
    #[command(flatten)]
    follow: follow::FollowFlag,
}

#[derive(Args, Debug)]
struct ExportArgs {
    #[command(flatten)]
    filter: FilterFlags,
    #[command(flatten)]
    export: ExportFlags,
}

/// The flags that say which events.
#[derive(Args, Debug)]
struct FilterFlags {
    /// The log of this workspace, also of a deleted one [default: all logs]
    #[arg(long, value_name = "ID", value_parser = NonEmptyStringValueParser::new())]
    workspace: Option<String>,
    /// The log of the system itself: what is of no one workspace
    #[arg(long, conflicts_with = "workspace")]
    system: bool,
    /// Only what was done by this: the id of an admin key, `offline` or
    /// `unknown`
    #[arg(long, value_name = "ID", value_parser = NonEmptyStringValueParser::new())]
    actor: Option<String>,
    /// Only what was done to this: the id of a key, an admin key or a workspace
    #[arg(long, visible_alias = "key", value_name = "ID", value_parser = NonEmptyStringValueParser::new())]
    resource: Option<String>,
    /// Only what is called so, such as `key.revoke`, or `key.` for all that
    /// starts so
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    action: Option<String>,
    /// Only what was done from then on: `1h` ago, `2027-01-01` or
    /// `2027-01-01T09:30:00Z`
    #[arg(long, value_name = "WHEN")]
    since: Option<When>,
    /// Only what was done before then, written in the same ways
    #[arg(long, value_name = "WHEN")]
    until: Option<When>,
}

impl FilterFlags {
    fn request(&self) -> Result<ListAuditEventsRequest, Failure> {
        let now = SystemClock::default().now();
        let time = |when: Option<When>, flag: &str| {
            when.map(|when| {
                when.ago(now)
                    .ok_or_else(|| Failure::usage(format!("{flag} is too far away")))
            })
            .transpose()
        };
        let log = match (&self.workspace, self.system) {
            (Some(workspace), _) => Some(Log::Workspace(workspace.clone())),
            (None, true) => Some(Log::System(SystemLog {})),
            (None, false) => None,
        };
        Ok(ListAuditEventsRequest {
            log,
            actor: self.actor.clone().unwrap_or_default(),
            resource: self.resource.clone().unwrap_or_default(),
            action: self.action.clone().unwrap_or_default(),
            start_time: time(self.since, "--since")?,
            end_time: time(self.until, "--until")?,
            ..ListAuditEventsRequest::default()
        })
    }
}

/// Runs one of the commands under `keyward audit`.
pub(crate) async fn run(args: AuditArgs) -> Result<Exit, Failure> {
    let (output, flags) = (args.flags.output, args.flags);
    match args.command {
        AuditCommand::List(args) => list(args, flags, output).await?,
        AuditCommand::Export(args) => write(args, flags, output).await?,
    }
    Ok(Exit::Done)
}

async fn list(args: ListArgs, flags: AdminFlags, output: Output) -> Result<(), Failure> {
    let request = args.filter.request()?;
    let mut admin = Admin::connect(flags).await?;
    if let Some(span) = args.follow.span() {
        return follow::run(&mut admin, request, args.pages, span, output).await;
    }
    let events = fetch(&mut admin, &request, args.pages).await?;
    if events.is_empty() && output == Output::Table {
        output::tell(&"no events");
        return Ok(());
    }
    output.print(
        || event_view::list(&events, table::terminal_width()),
        || json!({ "events": events.iter().map(event_view::json).collect::<Vec<_>>() }),
    )
}

async fn write(args: ExportArgs, flags: AdminFlags, output: Output) -> Result<(), Failure> {
    let request = args.filter.request()?;
    let mut admin = Admin::connect(flags).await?;
    let sheet = Sheet {
        columns: event_view::COLUMNS,
        fields: event_view::json,
    };
    export::run(args.export, output, sheet, async |page| {
        fetch_page(&mut admin, &request, page).await
    })
    .await
}

/// The events that fit, newest first.
async fn fetch(
    admin: &mut Admin,
    request: &ListAuditEventsRequest,
    flags: PageFlags,
) -> Result<Vec<AuditEvent>, Failure> {
    pages::all(flags, async |page| fetch_page(admin, request, page).await).await
}

async fn fetch_page(
    admin: &mut Admin,
    request: &ListAuditEventsRequest,
    page: Page,
) -> Result<(Vec<AuditEvent>, String), Failure> {
    let request = ListAuditEventsRequest {
        page_size: page.size,
        page_token: page.token,
        ..request.clone()
    };
    let reply = admin
        .ask(request, FLAGS, async |client, r| {
            client.list_audit_events(r).await
        })
        .await?;
    Ok((reply.events, reply.next_page_token))
}
