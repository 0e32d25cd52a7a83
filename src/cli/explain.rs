//! `keyward explain`: what a check would be answered, at which step, and why.

use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use serde_json::{Value, json};

use super::admin::{Admin, AdminFlags};
use super::argument::Scopes;
use super::check::{self, Word};
use super::failure::{Exit, Failure};
use super::key_view;
use super::status::Flags;
use super::table::{self, listing};
use super::text::bare;
use crate::edge::pb::{
    CheckStep, CheckStepState, ExplainCheckRequest, ExplainCheckResponse, ExplainedStep,
    ExplainedVerdict,
};

const FLAGS: Flags = &[("workspace", "--workspace")];

#[derive(Args, Debug)]
pub(crate) struct ExplainArgs {
    /// The value of the header that carries the credential, such as
    /// `Bearer klg_live_…`; `-` reads it from stdin, so that the token is in no
    /// shell history and no list of processes
    #[arg(value_name = "HEADER", required = true, num_args = 1..)]
    words: Vec<Word>,
    /// The workspace that the request is for [default: the key's own]
    #[arg(long, value_name = "ID", value_parser = NonEmptyStringValueParser::new())]
    workspace: Option<String>,
    /// The environment that the request is for; `*` is any [default: the
    /// workspace's default]
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    environment: Option<String>,
    /// What the key must be allowed, as for `keyward check`
    #[arg(long = "scope", value_name = "SCOPES", value_parser = Scopes::parse)]
    scopes: Vec<Scopes>,
    /// A limit to count on, by its name, beside those that always count. Can be
    /// given several times, or hold several separated by spaces
    #[arg(long = "limit", value_name = "NAMES", value_parser = Scopes::parse)]
    limits: Vec<Scopes>,
    /// How much of each limit the check would take up. Nothing is taken
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    cost: u32,
    /// The address that the request came from
    #[arg(long, value_name = "ADDRESS", value_parser = NonEmptyStringValueParser::new())]
    source_address: Option<String>,
    #[command(flatten)]
    flags: AdminFlags,
}

/// Asks for the explanation and shows it.
pub(crate) async fn run(args: ExplainArgs) -> Result<Exit, Failure> {
    let output = args.flags.output;
    let request = ExplainCheckRequest {
        credential: check::credential(&args.words)?,
        workspace: args.workspace.unwrap_or_default(),
        environment: args.environment.unwrap_or_default(),
        required_scopes: Scopes::all(args.scopes),
        limits: Scopes::all(args.limits),
        cost: Some(args.cost),
        source_address: args.source_address.unwrap_or_default(),
    };
    let mut admin = Admin::connect(args.flags).await?;
    let reply = admin
        .ask(request, FLAGS, async |client, r| {
            client.explain_check(r).await
        })
        .await?;
    output.print(
        || {
            let steps = steps(&reply.steps, table::terminal_width());
            format!("{}\n\n{steps}", headline(&reply))
        },
        || fields(&reply),
    )?;
    Ok(match reply.verdict() {
        ExplainedVerdict::Allowed => Exit::Done,
        ExplainedVerdict::NotTold => Exit::NotKnown,
        // One that is not known here is a denial, as of a check.
        ExplainedVerdict::Denied | ExplainedVerdict::Unspecified => Exit::Denied,
    })
}

fn verdict(reply: &ExplainCheckResponse) -> String {
    let known = ExplainedVerdict::try_from(reply.verdict).map(|verdict| verdict.as_str_name());
    bare(known, "EXPLAINED_VERDICT_", reply.verdict)
}

/// As `keyward check` has it.
fn headline(reply: &ExplainCheckResponse) -> String {
    match reply.denial_reason.as_str() {
        "" => verdict(reply),
        reason => {
            let status = reply.http_status;
            format!(
                "{}: {} (HTTP {status})",
                verdict(reply),
                super::text::escaped(reason)
            )
        }
    }
}

fn names(step: &ExplainedStep) -> (String, String) {
    let known = CheckStep::try_from(step.step).map(|step| step.as_str_name());
    let state = CheckStepState::try_from(step.state).map(|state| state.as_str_name());
    (
        bare(known, "CHECK_STEP_", step.step),
        bare(state, "CHECK_STEP_STATE_", step.state),
    )
}

fn steps(steps: &[ExplainedStep], width: Option<u16>) -> String {
    let row = |step: &ExplainedStep| {
        let (name, state) = names(step);
        vec![name, state, step.message.clone()]
    };
    let rows: Vec<_> = steps.iter().map(row).collect();
    listing(&["STEP", "STATE", "WHY"], &rows, &[0, 1], width)
}

fn fields(reply: &ExplainCheckResponse) -> Value {
    let step = |step: &ExplainedStep| {
        let (name, state) = names(step);
        let fact = |name: &str, value: &str| json!({ "name": name, "value": value });
        let facts = step.facts.iter();
        let facts: Vec<_> = facts.map(|of| fact(&of.name, &of.value)).collect();
        json!({
            "step": name,
            "state": state,
            "message": step.message,
            "facts": facts,
        })
    };
    json!({
        "verdict": verdict(reply),
        "denial_reason": reply.denial_reason,
        "http_status": reply.http_status,
        "steps": reply.steps.iter().map(step).collect::<Vec<_>>(),
        "key": reply.key.as_ref().map(key_view::json),
    })
}
