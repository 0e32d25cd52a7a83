//! Writes all of a list as it comes, page by page, for other programs: in bounded
//! memory, and never in part without saying so.

use std::io::{self, BufWriter, ErrorKind, IsTerminal, Write};
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use serde_json::Value;
use tempfile::NamedTempFile;

use super::failure::Failure;
use super::output::{self, Output};
use super::pages::{self, Page};
use super::text::escaped;

/// How much is asked for in one call.
const PAGE_SIZE: i32 = 250;

/// The flags of every command that exports.
#[derive(Args, Debug)]
pub(crate) struct ExportFlags {
    /// The form of what is written
    #[arg(long, value_name = "FORM", value_enum, default_value_t = Format::Jsonl)]
    format: Format,
    /// Write a new file, which is there once it is whole [default: stdout]
    #[arg(long, value_name = "PATH")]
    to: Option<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Format {
    /// An object on each line, with the fields of the API by their names there
    Jsonl,
    /// A table with a header, for spreadsheets
    Csv,
}

/// What a list consists of.
pub(crate) struct Sheet<T> {
    /// The names of the fields, in the order of a table.
    pub(crate) columns: &'static [&'static str],
    /// The fields of a row.
    pub(crate) fields: fn(&T) -> Value,
}

/// Fetches all pages and writes each as it comes.
pub(crate) async fn run<T>(
    flags: ExportFlags,
    output: Output,
    sheet: Sheet<T>,
    fetch: impl AsyncFnMut(Page) -> Result<(Vec<T>, String), Failure>,
) -> Result<(), Failure> {
    if output != Output::Table {
        return Err(Failure::usage("an export takes --format, not --output"));
    }
    let Some(path) = flags.to else {
        let stdout = io::stdout();
        let shows = stdout.is_terminal();
        let out = BufWriter::new(stdout.lock());
        return write(out, (flags.format, shows), sheet, fetch)
            .await
            .map(drop);
    };
    if path.exists() {
        let path = path.display();
        return Err(Failure::usage(format!("{path} exists: name another file")));
    }
    // Beside it, so that it can be put in place in one step.
    let folder = path.parent().filter(|folder| *folder != Path::new(""));
    let told = |error: io::Error| Failure::failed(format!("{}: {error}", path.display()));
    let file = NamedTempFile::new_in(folder.unwrap_or_else(|| Path::new("."))).map_err(told)?;
    let out = BufWriter::new(file);
    let (out, rows) = write(out, (flags.format, false), sheet, fetch).await?;
    let file = out.into_inner().map_err(|error| told(error.into_error()))?;
    file.as_file().sync_all().map_err(told)?;
    file.persist_noclobber(&path)
        .map_err(|error| told(error.error))?;
    output::tell(&format_args!("{rows} rows in {}", path.display()));
    Ok(())
}

/// Writes all rows, and tells how many there were.
async fn write<T, W: Write>(
    mut out: W,
    (format, shows): (Format, bool),
    sheet: Sheet<T>,
    fetch: impl AsyncFnMut(Page) -> Result<(Vec<T>, String), Failure>,
) -> Result<(W, u64), Failure> {
    let columns = sheet.columns;
    let mut rows = 0;
    if format == Format::Csv {
        let header = line(columns.iter().map(|&name| name.to_owned()), shows);
        out.write_all(&header?).map_err(|error| cut(&error, 0))?;
    }
    let written = pages::each(PAGE_SIZE, fetch, |items: Vec<T>| {
        for item in &items {
            let fields = (sheet.fields)(item);
            let row = match format {
                Format::Jsonl => Output::Json.item(&fields).into_bytes(),
                Format::Csv => line(columns.iter().map(|name| cell(&fields[*name])), shows)?,
            };
            out.write_all(&row).map_err(|error| cut(&error, rows))?;
            rows += 1;
        }
        out.flush().map_err(|error| cut(&error, rows))
    });
    written.await.map_err(|failure| match rows {
        0 => failure,
        _ => failure.note("The export is not whole: do not use what was written of it."),
    })?;
    out.flush().map_err(|error| cut(&error, rows))?;
    Ok((out, rows))
}

/// Whoever reads has gone, or there is no room.
fn cut(error: &io::Error, rows: u64) -> Failure {
    Failure::failed(if error.kind() == ErrorKind::BrokenPipe {
        format!("nobody reads on after some {rows} rows")
    } else {
        format!("cannot write after some {rows} rows: {error}")
    })
}

/// A line of a table. One that is shown on a terminal steers nothing there.
fn line(cells: impl Iterator<Item = String>, shows: bool) -> Result<Vec<u8>, Failure> {
    let told = |error: csv::Error| Failure::failed(format!("cannot write a row: {error}"));
    let mut writer = csv::Writer::from_writer(Vec::new());
    for text in cells {
        let text = if shows { escaped(&text) } else { text };
        writer.write_field(harmless(text)).map_err(told)?;
    }
    writer.write_record(None::<&[u8]>).map_err(told)?;
    writer
        .into_inner()
        .map_err(|error| Failure::failed(format!("cannot write a row: {error}")))
}

/// The text of a field: lists are separated by spaces, as they can be typed, and
/// what has fields of its own is JSON.
fn cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Bool(_) | Value::Number(_) | Value::Object(_) => value.to_string(),
        Value::Array(items) => {
            let texts: Option<Vec<_>> = items.iter().map(Value::as_str).collect();
            texts.map_or_else(|| value.to_string(), |texts| texts.join(" "))
        }
    }
}

/// The text as one that no spreadsheet takes for a formula: whatever could be the
/// start of one has an apostrophe before it. So has an apostrophe, so that what
/// is taken away to read a value is always one.
fn harmless(text: String) -> String {
    match text.chars().next() {
        Some(
            '=' | '+' | '-' | '@' | '\t' | '\r' | '\n' | '\'' | '\u{ff1d}' | '\u{ff0b}'
            | '\u{ff0d}' | '\u{ff20}',
        ) => format!("'{text}"),
        Some(_) | None => text,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    const SHEET: Sheet<Value> = Sheet {
        columns: &["name", "list", "map", "none", "number"],
        fields: Value::clone,
    };

    async fn written(format: Format, rows: &[Value]) -> String {
        let fetch = async |page: Page| {
            let at: usize = page.token.parse().unwrap_or_default();
            let next = (at + 1).to_string();
            let more = at + 1 < rows.len();
            Ok((
                rows[at..=at].to_vec(),
                if more { next } else { String::new() },
            ))
        };
        let (out, count) = write(Vec::new(), (format, false), SHEET, fetch)
            .await
            .unwrap();
        assert_eq!(count, rows.len() as u64);
        String::from_utf8(out).unwrap()
    }

    #[tokio::test]
    async fn rows_are_written_in_either_form() {
        let rows = [
            json!({ "name": "a, \"b\"\nc", "list": ["x:y", "z"], "map": { "k": "v" }, "none": null, "number": 7 }),
            json!({ "name": "=1+1", "list": [], "map": {}, "none": null, "number": 0 }),
        ];
        assert_eq!(
            written(Format::Csv, &rows).await,
            "name,list,map,none,number\n\"a, \"\"b\"\"\nc\",x:y z,\"{\"\"k\"\":\"\"v\"\"}\",,7\n'=1+1,,{},,0\n"
        );
        let lines = written(Format::Jsonl, &rows).await;
        let read: Vec<Value> = lines
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(read, rows);
    }

    #[tokio::test]
    async fn one_that_is_cut_off_says_so() {
        let fetch = async |page: Page| match page.token.as_str() {
            "" => Ok((vec![json!({})], "1".to_owned())),
            _ => Err(Failure::not_known("away")),
        };
        let ended = write(Vec::new(), (Format::Jsonl, false), SHEET, fetch).await;
        let told = ended.unwrap_err().to_string();
        assert!(
            told.contains("away") && told.contains("not whole"),
            "{told}"
        );
    }

    proptest! {
        #[test]
        fn what_a_table_holds_can_be_read_back(text in "['=+@\t\r\n -]{0,2}\\PC{0,12}") {
            let row = line([text.clone(), String::new()].into_iter(), false).unwrap();
            let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(&*row);
            let read = reader.records().next().unwrap().unwrap();
            let cell = &read[0];
            prop_assert!(!cell.starts_with(['=', '+', '-', '@', '\t', '\r', '\n']));
            prop_assert_eq!(cell.strip_prefix('\'').unwrap_or(cell), text);
        }
    }
}
