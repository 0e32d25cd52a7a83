//! The conversation: keys go out as they are read, results come in as they are
//! known. What the server does not take is not read.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use prost::Message;
use serde_json::{Value, json};
use tokio::sync::mpsc::{self, Sender};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use super::format::Reader;
use super::progress::Progress;
use super::report::Report;
use super::row::Row;
use crate::cli::admin::Admin;
use crate::cli::failure::{Exit, Failure};
use crate::cli::output::Output;
use crate::cli::status::Flags;
use crate::edge::pb::{ImportKeysRequest, ImportOptions, ImportOutcome, ImportResult};

/// How many bytes of keys go into a message, and how many messages wait.
const MAX_MESSAGE_LEN: usize = 32 * 1024;
const MAX_WAITING: usize = 4;

/// How many refusals are told of.
const MAX_TOLD: usize = 20;

const FLAGS: Flags = &[("options.workspace", "--workspace")];

/// What became of all keys.
#[derive(Default)]
pub(super) struct Tally {
    pub(super) imported: u64,
    pub(super) already: u64,
    pub(super) differ: u64,
    pub(super) refused: u64,
    pub(super) reserved: u64,
    pub(super) skipped: u64,
    pub(super) noted: u64,
    /// The first that were not imported, and why.
    pub(super) told: Vec<String>,
}

/// What both sides of the conversation know.
struct Shared {
    report: Mutex<Report>,
    sent: AtomicU64,
    skipped: AtomicU64,
    bad: AtomicU64,
    /// What was left out of keys that are on their way.
    notes: Mutex<HashMap<u64, Vec<String>>>,
}

impl Shared {
    /// Whether the row is to be sent; what is not is written down.
    fn lets(&self, row: &Row) -> Result<bool, Failure> {
        let number = row.key.number;
        let mut report = self.report.lock().unwrap_or_else(PoisonError::into_inner);
        if report.has(number) {
            return Ok(false);
        }
        if let Some(why) = row.skip {
            self.skipped.fetch_add(1, Ordering::Relaxed);
            report.line(&json!({ "number": number, "outcome": "LEFT_OUT", "why": why }))?;
            return Ok(false);
        }
        // Also one that has become so since the file was looked through.
        if report.is_bad(number) || !row.problems.is_empty() {
            self.bad.fetch_add(1, Ordering::Relaxed);
            report.problems(row)?;
            return Ok(false);
        }
        Ok(true)
    }
}

/// Sends the keys, `all` of them, and writes down what became of each.
pub(super) async fn run(
    mut admin: Admin,
    options: ImportOptions,
    reader: Reader,
    report: Report,
    (all, output): (u64, Output),
) -> Result<Tally, Failure> {
    let shared = Arc::new(Shared {
        report: Mutex::new(report),
        sent: AtomicU64::new(0),
        skipped: AtomicU64::new(0),
        bad: AtomicU64::new(0),
        notes: Mutex::default(),
    });
    let place = reader.place();
    let dry_run = options.dry_run;
    let (messages, waiting) = mpsc::channel(MAX_WAITING);
    let reading = {
        let shared = Arc::clone(&shared);
        tokio::task::spawn_blocking(move || read(&reader, options, &messages, &shared))
    };
    let mut progress = Progress::start(all, output);
    let stream = ReceiverStream::new(waiting);
    let answered = admin
        .converse(stream, async |client, r| client.import_keys(r).await)
        .await;
    let mut results = answered.map_err(|status| ended(&admin, &status, 0))?;
    let mut tally = Tally::default();
    let mut answers = 0;
    let ended = loop {
        match results.message().await {
            Ok(Some(message)) => {
                answers += message.results.len() as u64;
                progress.more(message.results.len() as u64);
                note(&shared, &mut tally, message.results, (place, dry_run))?;
            }
            Ok(None) => break Ok(()),
            Err(status) => break Err(ended(&admin, &status, answers)),
        }
    };
    drop(results);
    progress.end();
    let read = reading
        .await
        .unwrap_or_else(|_| Err(Failure::failed("the file could not be read to its end")));
    ended?;
    read?;
    let sent = shared.sent.load(Ordering::Relaxed);
    if answers != sent {
        return Err(
            Failure::not_known("the server has ended the import before its end").note(AGAIN),
        );
    }
    if sent != all {
        let changed = format!(
            "the file has changed while it was imported: it had {all} keys, and {sent} were sent"
        );
        return Err(Failure::not_known(changed).note(AGAIN));
    }
    tally.skipped = shared.skipped.load(Ordering::Relaxed);
    tally.refused += shared.bad.load(Ordering::Relaxed);
    Ok(tally)
}

const AGAIN: &str =
    "What was imported stays so. The same line again goes on: no key is imported twice.";

/// What the end of the conversation means, after so many results.
fn ended(admin: &Admin, status: &Status, answers: u64) -> Failure {
    let failure = admin.failure(status, FLAGS);
    match (answers, failure.exit()) {
        // It was refused as a whole.
        (0, Exit::Failed | Exit::Usage) => failure,
        _ => failure.note(AGAIN),
    }
}

/// Reads the file into messages, as fast as they are taken.
fn read(
    reader: &Reader,
    options: ImportOptions,
    messages: &Sender<ImportKeysRequest>,
    shared: &Shared,
) -> Result<(), Failure> {
    let mut message = ImportKeysRequest {
        options: Some(options),
        keys: Vec::new(),
    };
    let mut length = 0;
    // Nobody takes them any more, and whoever did says why.
    let send = |message: ImportKeysRequest| {
        shared
            .sent
            .fetch_add(message.keys.len() as u64, Ordering::Relaxed);
        messages
            .blocking_send(message)
            .map_err(|_| Failure::not_known("the import has ended"))
    };
    let read = reader.read(&mut |row| {
        if !shared.lets(&row)? {
            return Ok(());
        }
        if !row.notes.is_empty() {
            let mut notes = shared.notes.lock().unwrap_or_else(PoisonError::into_inner);
            notes.insert(row.key.number, row.notes);
        }
        length += row.key.encoded_len() + 8;
        message.keys.push(row.key);
        if length >= MAX_MESSAGE_LEN {
            length = 0;
            send(std::mem::take(&mut message))?;
        }
        Ok(())
    });
    match (read, messages.is_closed()) {
        (_, true) => Ok(()),
        (Err(failure), false) => Err(failure),
        (Ok(()), false) => send(message).or(Ok(())),
    }
}

/// Writes results down, and counts them.
fn note(
    shared: &Shared,
    tally: &mut Tally,
    results: Vec<ImportResult>,
    (place, dry_run): (&str, bool),
) -> Result<(), Failure> {
    let mut report = shared.report.lock().unwrap_or_else(PoisonError::into_inner);
    let mut all_notes = shared.notes.lock().unwrap_or_else(PoisonError::into_inner);
    for result in results {
        let notes: Vec<_> = all_notes
            .remove(&result.number)
            .into_iter()
            .flatten()
            .collect();
        tally.count(&result, place, notes.is_empty());
        let mut line = line(&result, notes);
        if dry_run {
            line["dry_run"] = json!(true);
        }
        report.line(&line)?;
    }
    report.flush()
}

fn line(result: &ImportResult, mut notes: Vec<String>) -> Value {
    let outcome = result.outcome().as_str_name();
    let mut line = json!({
        "number": result.number,
        "outcome": outcome.strip_prefix("IMPORT_OUTCOME_").unwrap_or(outcome),
    });
    if !result.key_id.is_empty() {
        line["key_id"] = json!(result.key_id);
    }
    if result.differs {
        line["differs"] = json!(true);
    }
    let problems = result.violations.iter();
    let problems: Vec<_> = problems
        .map(|violation| json!({ "field": violation.field, "problem": violation.description }))
        .collect();
    if !problems.is_empty() {
        line["problems"] = json!(problems);
    }
    notes.extend(result.warnings.iter().cloned());
    if !notes.is_empty() {
        line["notes"] = json!(notes);
    }
    line
}

impl Tally {
    fn count(&mut self, result: &ImportResult, place: &str, is_plain: bool) {
        self.noted += u64::from(!is_plain || !result.warnings.is_empty());
        let number = result.number;
        match result.outcome() {
            ImportOutcome::Imported => self.imported += 1,
            ImportOutcome::AlreadyImported => {
                self.already += 1;
                self.differ += u64::from(result.differs);
            }
            ImportOutcome::Reserved => {
                self.reserved += 1;
                let whose = match result.key_id.as_str() {
                    "" => "a key of another workspace".to_owned(),
                    id => format!("{id}, which was revoked or deleted"),
                };
                self.tell(|| format!("{place} {number}: reserved: its token is that of {whose}"));
            }
            ImportOutcome::Refused | ImportOutcome::Unspecified => {
                self.refused += 1;
                let violations = result.violations.iter();
                let why: Vec<_> = violations
                    .map(|violation| format!("{} {}", violation.field, violation.description))
                    .collect();
                self.tell(|| format!("{place} {number}: {}", why.join("; ")));
            }
        }
    }

    fn tell(&mut self, line: impl FnOnce() -> String) {
        if self.told.len() < MAX_TOLD {
            self.told.push(line());
        }
    }
}
