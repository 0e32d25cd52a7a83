//! `keyward import`: keys that another product has issued, from a file.
//!
//! The file is read twice: first for what is wrong with it, so that nothing of
//! a bad one is sent; then to send it. A second run of the same line goes on
//! where the first one ended, for a token is imported once.

mod better_auth;
mod fields;
mod format;
mod kong;
mod own;
mod progress;
mod report;
mod row;
mod send;
mod source;
mod unkey;

use std::path::PathBuf;

use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use serde_json::{Value, json};

use super::admin::{Admin, AdminFlags};
use super::argument::Scopes;
use super::failure::{Exit, Failure};
use super::output::{self, Output};
use super::table::Properties;
use super::text::escaped;
use format::{Defaults, FormatFlag, Reader, Renamed};
use report::Report;
use row::Row;
use send::Tally;

/// How many bad records are told of on the terminal.
const MAX_TOLD: usize = 20;

#[derive(Args, Debug)]
pub(crate) struct ImportArgs {
    /// The file with the keys: CSV, lines of JSON, JSON, or YAML of decK's
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The workspace that the keys are to work in
    #[arg(long, value_name = "ID", value_parser = NonEmptyStringValueParser::new())]
    workspace: String,
    /// Whose file it is
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t = FormatFlag::Auto)]
    format: FormatFlag,
    /// Do everything but the import itself
    #[arg(long)]
    dry_run: bool,
    /// Write what became of each key into this new file, as lines of JSON
    #[arg(long, value_name = "PATH", conflicts_with = "resume")]
    report: Option<PathBuf>,
    /// Leave out what this report has as imported, and go on writing it
    #[arg(long, value_name = "REPORT")]
    resume: Option<PathBuf>,
    /// A column of ours is called so in the file: `token=api_key`. Can be given
    /// several times
    #[arg(long, value_name = "OURS=THEIRS", value_parser = Renamed::parse)]
    map: Vec<Renamed>,
    /// Leave this column of the file out. Can be given several times
    #[arg(long, value_name = "COLUMN")]
    ignore: Vec<String>,
    /// Import the good records of a file that has bad ones, too
    #[arg(long)]
    skip_bad: bool,
    /// Who acts with keys that name nobody
    #[arg(long, value_name = "PRINCIPAL", value_parser = NonEmptyStringValueParser::new())]
    principal: Option<String>,
    /// The environment of keys that name none [default: the workspace's]
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    environment: Option<String>,
    /// What keys may do that name no scopes. Can be given several times, or hold
    /// several separated by spaces
    #[arg(long = "scope", value_name = "SCOPES", value_parser = Scopes::parse)]
    scopes: Vec<Scopes>,
    /// What separates the parts of scopes in the file, which `:` is to take the
    /// place of
    #[arg(long, value_name = "CHARACTER")]
    scope_separator: Option<char>,
    /// Let `*` and `ALL` in another product's scopes permit all that they stand
    /// for here
    #[arg(long)]
    wildcards: bool,
    /// better-auth's column `key` holds the tokens themselves, and no hashes
    #[arg(long)]
    plain_keys: bool,
    /// When Kong's file was made, from which a `ttl` in it counts: a time or
    /// a day
    #[arg(long, value_name = "TIME", value_parser = fields::exported_at)]
    exported_at: Option<i64>,
    /// Leave all metadata out
    #[arg(long)]
    no_metadata: bool,
    #[command(flatten)]
    flags: AdminFlags,
}

/// Imports the keys and tells what became of them.
pub(crate) async fn run(args: ImportArgs) -> Result<Exit, Failure> {
    let (output, flags) = (args.flags.output, args.flags);
    let defaults = Defaults {
        principal: args.principal,
        environment: args.environment,
        scopes: Scopes::all(args.scopes),
        scope_separator: args.scope_separator,
        no_metadata: args.no_metadata,
        wildcards: args.wildcards,
        plain_keys: args.plain_keys,
        exported_at: args.exported_at,
    };
    let reader = Reader::open(&args.file, args.format, args.map, args.ignore, defaults)?;
    let mut report = match (args.report, args.resume) {
        (Some(path), _) => Report::create(&path, &reader, &args.workspace)?,
        (None, Some(path)) => Report::resume(&path, &reader, &args.workspace)?,
        (None, None) => Report::none(),
    };
    let all = checked(&reader, &mut report, args.skip_bad)?;
    let admin = Admin::connect(flags).await?;
    let options = crate::edge::pb::ImportOptions {
        workspace: args.workspace,
        dry_run: args.dry_run,
    };
    let tally = send::run(admin, options, reader, report, (all, output)).await?;
    output.print(
        || table(&tally, args.dry_run),
        || json(&tally, args.dry_run),
    )?;
    Ok(match tally.refused + tally.reserved {
        0 => Exit::Done,
        _ => Exit::Failed,
    })
}

/// Reads the whole file for what is wrong with it, and tells how many keys are
/// to be sent.
fn checked(reader: &Reader, report: &mut Report, skip_bad: bool) -> Result<u64, Failure> {
    let mut seen = format::Seen::default();
    let (mut good, mut bad) = (0_u64, 0_u64);
    let mut told = Vec::new();
    reader.read(&mut |mut row| {
        let number = row.key.number;
        if report.has(number) || row.skip.is_some() {
            return Ok(());
        }
        row.problems.extend(seen.again(&row, reader.place()));
        if row.problems.is_empty() {
            good += 1;
            return Ok(());
        }
        bad += 1;
        report.bad(number);
        if !skip_bad {
            report.problems(&row)?;
        }
        if told.len() < MAX_TOLD {
            told.push(complaint(reader.place(), &row));
        }
        Ok(())
    })?;
    if bad > 0 && !skip_bad {
        let failure = Failure::usage(format!(
            "{bad} of the {} keys cannot be imported as they are; none was sent",
            good + bad
        ));
        let more = bad.saturating_sub(told.len() as u64);
        let failure = told
            .iter()
            .fold(failure, |failure, line| failure.note(line));
        let failure = match more {
            0 => failure,
            more => failure.note(format!("and {more} more; --report writes all of them")),
        };
        return Err(failure.note("Mend the file, or let them be left out by --skip-bad."));
    }
    if good == 0 && bad == 0 && !report.has_any() {
        return Err(Failure::usage("there is no key in the file"));
    }
    Ok(good)
}

fn complaint(place: &str, row: &Row) -> String {
    let number = row.key.number;
    let problems = row.problems.iter();
    let problems = problems.map(|problem| format!("{} {}", problem.field, problem.sentence));
    format!(
        "{place} {number}: {}",
        problems.collect::<Vec<_>>().join("; ")
    )
}

fn table(tally: &Tally, dry_run: bool) -> String {
    let mut lines = Properties::default();
    let imported = if dry_run {
        "Would be imported"
    } else {
        "Imported"
    };
    lines.add(imported, tally.imported.to_string());
    let some = |number: u64| match number {
        0 => String::new(),
        number => number.to_string(),
    };
    let already = match tally.differ {
        0 => some(tally.already),
        differ => format!(
            "{}, {differ} of them with other fields, which were not changed",
            tally.already
        ),
    };
    lines.add("Imported before", already);
    lines.add("Refused", some(tally.refused));
    lines.add("Reserved", some(tally.reserved));
    lines.add("Left out", some(tally.skipped));
    lines.add("With notes", some(tally.noted));
    let mut text = lines.lines(None);
    for line in &tally.told {
        text += &format!("{}\n", escaped(line));
    }
    text
}

fn json(tally: &Tally, dry_run: bool) -> Value {
    json!({
        "dry_run": dry_run,
        "imported": tally.imported,
        "already_imported": tally.already,
        "differing": tally.differ,
        "refused": tally.refused,
        "reserved": tally.reserved,
        "left_out": tally.skipped,
        "with_notes": tally.noted,
    })
}

/// What was shown to a person, where one watches.
fn watched(output: Output) -> bool {
    use std::io::IsTerminal;
    output == Output::Table && std::io::stderr().is_terminal()
}

fn say(line: &str) {
    output::tell(&escaped(line));
}
