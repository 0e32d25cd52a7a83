//! The records of a file: of CSV, JSON or YAML, each with its number.
//!
//! CSV and lines of JSON are read as they come, however long the file is. Other
//! JSON, and YAML, is read as a whole.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use data_encoding::HEXLOWER;
use ring::digest::{Context, SHA256};
use serde_json::{Map, Value};

use crate::cli::failure::Failure;

use super::fields::{Fields, shown};
use super::kong;

/// What a file is written in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Writing {
    /// A header, and a record in each line.
    Csv,
    /// An object in each line.
    JsonLines,
    /// One or more documents of JSON.
    Json,
    /// One document of YAML.
    Yaml,
}

/// A file with keys.
#[derive(Clone, Debug)]
pub(super) struct Source {
    path: PathBuf,
    pub(super) writing: Writing,
}

/// A record, and where it is.
pub(super) struct Record {
    /// The line that it starts in; in JSON and YAML, which one it is.
    pub(super) number: u64,
    pub(super) object: Map<String, Value>,
}

impl Source {
    /// The file, which its name or its first character tells the writing of.
    pub(super) fn open(path: &Path, writing: Option<Writing>) -> Result<Self, Failure> {
        let path = path.to_owned();
        let found = fs::metadata(&path)
            .map_err(|error| Failure::usage(format!("cannot read {}: {error}", path.display())))?;
        if !found.is_file() {
            let failure = Failure::usage(format!("{} is no ordinary file", path.display()));
            return Err(failure.note(
                "It is read more than once: write what comes from a pipe into a file first.",
            ));
        }
        let writing = match writing {
            Some(writing) => writing,
            None => guess(&path)?,
        };
        Ok(Self { path, writing })
    }

    /// How a number of its records is called.
    pub(super) fn place(&self) -> &'static str {
        match self.writing {
            Writing::Csv | Writing::JsonLines => "line",
            Writing::Json | Writing::Yaml => "record",
        }
    }

    /// What it is known by: the SHA-256 of all that is in it.
    pub(super) fn fingerprint(&self) -> Result<String, Failure> {
        let mut hasher = Context::new(&SHA256);
        let mut file = BufReader::new(self.file()?);
        loop {
            let read = file.fill_buf().map_err(|error| self.unreadable(&error))?;
            let length = read.len();
            if length == 0 {
                return Ok(HEXLOWER.encode(hasher.finish().as_ref()));
            }
            hasher.update(read);
            file.consume(length);
        }
    }

    /// Hands each record to `each`, until that fails.
    pub(super) fn read(
        &self,
        each: &mut dyn FnMut(Record) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        match self.writing {
            Writing::Csv => self.read_csv(each),
            Writing::JsonLines => self.read_lines(each),
            Writing::Json | Writing::Yaml => {
                let objects = self.objects()?;
                let mut number = 0;
                objects.into_iter().try_for_each(|object| {
                    number += 1;
                    each(Record { number, object })
                })
            }
        }
    }

    fn file(&self) -> Result<File, Failure> {
        File::open(&self.path).map_err(|error| self.unreadable(&error))
    }

    fn unreadable(&self, error: &dyn std::fmt::Display) -> Failure {
        Failure::usage(format!("cannot read {}: {error}", self.path.display()))
    }

    /// The columns of a file of CSV; none, if it is none.
    pub(super) fn columns(&self) -> Result<Option<Vec<String>>, Failure> {
        if self.writing != Writing::Csv {
            return Ok(None);
        }
        let mut reader = self.csv()?;
        self.names(&mut reader).map(Some)
    }

    fn csv(&self) -> Result<csv::Reader<BufReader<File>>, Failure> {
        let file = BufReader::new(self.file()?);
        Ok(csv::ReaderBuilder::new()
            .trim(csv::Trim::Headers)
            .from_reader(file))
    }

    /// The names in the header. What is not like one is called by its place: it
    /// may be a token, where there is no header.
    fn names(&self, reader: &mut csv::Reader<BufReader<File>>) -> Result<Vec<String>, Failure> {
        let headers = reader.headers().map_err(|error| self.broken_csv(&error))?;
        let mut names = Vec::new();
        for (place, name) in (1..).zip(headers) {
            // Spreadsheets put a mark before the first.
            let name = name.trim_start_matches('\u{feff}');
            let name = match shown(name) == name {
                true => name.to_owned(),
                false => format!("column {place}"),
            };
            if names.contains(&name) {
                return Err(self.unreadable(&format!("column {place} has the name of another one")));
            }
            names.push(name);
        }
        Ok(names)
    }

    fn read_csv(&self, each: &mut dyn FnMut(Record) -> Result<(), Failure>) -> Result<(), Failure> {
        let mut reader = self.csv()?;
        let names = self.names(&mut reader)?;
        for record in reader.into_records() {
            let record = record.map_err(|error| self.broken_csv(&error))?;
            let number = record.position().map_or(0, csv::Position::line);
            let values = record.iter().map(|value| Value::String(value.to_owned()));
            let object = names.iter().cloned().zip(values).collect();
            each(Record { number, object })?;
        }
        Ok(())
    }

    /// What the crate says of its own accord would hold the line itself.
    fn broken_csv(&self, error: &csv::Error) -> Failure {
        let line = error.position().map_or(0, csv::Position::line);
        let why = if let csv::ErrorKind::UnequalLengths {
            expected_len, len, ..
        } = error.kind()
        {
            format!("line {line} has {len} fields, where the header has {expected_len}")
        } else if let csv::ErrorKind::Utf8 { .. } = error.kind() {
            format!("line {line} is no UTF-8")
        } else if let csv::ErrorKind::Io(error) = error.kind() {
            error.to_string()
        } else {
            "it is no CSV".to_owned()
        };
        self.unreadable(&why)
    }

    fn read_lines(
        &self,
        each: &mut dyn FnMut(Record) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let lines = BufReader::new(self.file()?).lines();
        for (number, line) in (1..).zip(lines) {
            let line = line.map_err(|error| self.unreadable(&error))?;
            if line.trim().is_empty() {
                continue;
            }
            let object = match serde_json::from_str(&line) {
                Ok(Value::Object(object)) => object,
                Ok(_) => {
                    return Err(self.unreadable(&format!("line {number} is no JSON object")));
                }
                Err(error) => {
                    let column = error.column();
                    return Err(self.unreadable(&format!(
                        "line {number} is no JSON, from column {column} on"
                    )));
                }
            };
            each(Record { number, object })?;
        }
        Ok(())
    }

    /// All records of a file that is read as a whole.
    fn objects(&self) -> Result<Vec<Map<String, Value>>, Failure> {
        let text = fs::read_to_string(&self.path).map_err(|error| self.unreadable(&error))?;
        let documents = if self.writing == Writing::Yaml {
            // The crate shows the lines round a mistake.
            let document = serde_saphyr::from_str::<Value>(&text)
                .map_err(|_| self.unreadable(&"it is no YAML"))?;
            vec![document]
        } else {
            let documents = serde_json::Deserializer::from_str(&text).into_iter();
            let documents: Result<Vec<Value>, _> = documents.collect();
            documents.map_err(|error| {
                let (line, column) = (error.line(), error.column());
                self.unreadable(&format!(
                    "it is no JSON, from line {line}, column {column} on"
                ))
            })?
        };
        if documents.iter().any(kong::is_declarative) {
            return Ok(documents.into_iter().flat_map(kong::flattened).collect());
        }
        let mut objects = Vec::new();
        documents
            .into_iter()
            .for_each(|document| flatten(document, &mut objects));
        Ok(kong::with_names(objects))
    }
}

/// The objects in a document: those of a list, of a page of an API, or itself.
fn flatten(document: Value, objects: &mut Vec<Map<String, Value>>) {
    match document {
        Value::Array(items) => items.into_iter().for_each(|item| flatten(item, objects)),
        Value::Object(mut object) => {
            let page = ["data", "keys", "apikey"]
                .into_iter()
                .find(|name| matches!(object.get(*name), Some(Value::Array(_) | Value::Object(_))));
            match page.and_then(|name| object.remove(name)) {
                Some(page) => flatten(page, objects),
                None => objects.push(object),
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn guess(path: &Path) -> Result<Writing, Failure> {
    let extension = path.extension().and_then(|extension| extension.to_str());
    match extension.map(str::to_lowercase).as_deref() {
        Some("csv") => Ok(Writing::Csv),
        Some("jsonl" | "ndjson") => Ok(Writing::JsonLines),
        Some("json") => Ok(Writing::Json),
        Some("yaml" | "yml") => Ok(Writing::Yaml),
        Some(_) | None => Err(Failure::usage(format!(
            "what {} is written in cannot be told by its name",
            path.display()
        ))
        .note("Let the name end in .csv, .jsonl, .json or .yaml, or say --format csv or jsonl.")),
    }
}

/// The fields of the first record, to tell whose they are.
pub(super) fn first(source: &Source) -> Result<Option<Fields>, Failure> {
    let mut first = None;
    let read = source.read(&mut |record| {
        first = Some(Fields::of(record.object));
        // Enough was read.
        Err(Failure::usage(""))
    });
    match (first, read) {
        (Some(first), _) => Ok(Some(first)),
        (None, read) => read.map(|()| None),
    }
}
