//! The report of an import: a line of JSON for each key, and one before them
//! that says of which file. It never holds a token, a hash or a hint.

use std::collections::HashSet;
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::format::Reader;
use super::row::Row;
use crate::cli::failure::Failure;

/// What became of keys before, and where it is written down.
#[derive(Default)]
pub(super) struct Report {
    file: Option<(PathBuf, BufWriter<File>)>,
    /// The numbers of keys that need not be sent.
    done: HashSet<u64>,
    /// Those that cannot.
    bad: HashSet<u64>,
}

impl Report {
    /// Writes nothing down.
    pub(super) fn none() -> Self {
        Self::default()
    }

    /// Starts a report in a new file.
    pub(super) fn create(path: &Path, reader: &Reader, workspace: &str) -> Result<Self, Failure> {
        let made = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path);
        let file = made.map_err(|error| {
            let failure = Failure::usage(format!(
                "cannot write the report {}: {error}",
                path.display()
            ));
            failure
                .note("To go on with an import that was broken off, name its report by --resume.")
        })?;
        let mut report = Self {
            file: Some((path.to_owned(), BufWriter::new(file))),
            ..Self::default()
        };
        report.line(&heading(reader, workspace)?)?;
        report.flush()?;
        Ok(report)
    }

    /// Goes on with a report of the same import.
    pub(super) fn resume(path: &Path, reader: &Reader, workspace: &str) -> Result<Self, Failure> {
        let unusable = |why: &dyn std::fmt::Display| {
            Failure::usage(format!(
                "cannot go on with the report {}: {why}",
                path.display()
            ))
        };
        let file = OpenOptions::new().read(true).append(true).open(path);
        let file = file.map_err(|error| unusable(&error))?;
        let mut report = Self::default();
        let mut lines = BufReader::new(&file).split(b'\n');
        let first = lines.next().transpose().map_err(|error| unusable(&error))?;
        let first: Option<Value> = first.and_then(|line| serde_json::from_slice(&line).ok());
        if first != Some(heading(reader, workspace)?) {
            return Err(unusable(
                &"it is of another file, of another workspace, or of other flags: without --resume, the server finds out what it has",
            ));
        }
        for line in lines {
            let line = line.map_err(|error| unusable(&error))?;
            // The last line may have been cut off: its key is sent again.
            let Ok(told) = serde_json::from_slice::<Value>(&line) else {
                continue;
            };
            let is_done = matches!(
                told.get("outcome").and_then(Value::as_str),
                Some("IMPORTED" | "ALREADY_IMPORTED")
            );
            if is_done && told.get("dry_run").is_none() {
                report
                    .done
                    .extend(told.get("number").and_then(Value::as_u64));
            }
        }
        report.file = Some((path.to_owned(), BufWriter::new(file)));
        // Behind a line that was cut off.
        report.text("\n")?;
        Ok(report)
    }

    /// Whether a key need not be sent.
    pub(super) fn has(&self, number: u64) -> bool {
        self.done.contains(&number)
    }

    /// Whether there are keys that need not be sent.
    pub(super) fn has_any(&self) -> bool {
        !self.done.is_empty()
    }

    /// Notes that a key cannot be sent.
    pub(super) fn bad(&mut self, number: u64) {
        self.bad.insert(number);
    }

    pub(super) fn is_bad(&self, number: u64) -> bool {
        self.bad.contains(&number)
    }

    /// Tells of a key that was not sent for what is wrong with it.
    pub(super) fn problems(&mut self, row: &Row) -> Result<(), Failure> {
        let problems: Vec<_> = row
            .problems
            .iter()
            .map(|problem| json!({ "field": problem.field, "problem": problem.sentence }))
            .collect();
        self.line(&json!({ "number": row.key.number, "outcome": "REFUSED", "problems": problems }))
    }

    /// Writes one line.
    pub(super) fn line(&mut self, line: &Value) -> Result<(), Failure> {
        self.text(&format!("{line}\n"))
    }

    /// Lets what was written be found after a crash of this process.
    pub(super) fn flush(&mut self) -> Result<(), Failure> {
        self.write(|file| file.flush())
    }

    fn text(&mut self, text: &str) -> Result<(), Failure> {
        self.write(|file| file.write_all(text.as_bytes()))
    }

    fn write(
        &mut self,
        write: impl FnOnce(&mut BufWriter<File>) -> std::io::Result<()>,
    ) -> Result<(), Failure> {
        let Some((path, file)) = &mut self.file else {
            return Ok(());
        };
        write(file).map_err(|error| {
            Failure::failed(format!(
                "cannot write the report {}: {error}",
                path.display()
            ))
        })
    }
}

/// Which import a report is of.
fn heading(reader: &Reader, workspace: &str) -> Result<Value, Failure> {
    Ok(json!({ "import_into": workspace, "of": reader.fingerprint()? }))
}
