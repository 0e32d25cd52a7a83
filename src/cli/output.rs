//! Where output goes: tables, JSON or YAML to stdout, words for people to
//! stderr.

use std::fmt;
use std::io::{self, ErrorKind, Write};

use clap::ValueEnum;
use serde_json::Value;

use super::failure::Failure;
use super::text::steers;

/// The form of what is written to stdout.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum Output {
    /// For people
    Table,
    /// For programs: the fields of the API's reply, by their names there
    Json,
    /// The same as YAML
    Yaml,
}

impl Output {
    /// Writes the table or the fields to stdout.
    pub(crate) fn print(
        self,
        table: impl FnOnce() -> String,
        json: impl FnOnce() -> Value,
    ) -> Result<(), Failure> {
        match self {
            Self::Table => print(&table()),
            Self::Json | Self::Yaml => print(&self.text(&json())),
        }
    }

    /// The fields in the form that is for programs.
    pub(crate) fn text(self, fields: &Value) -> String {
        match self {
            Self::Table | Self::Json => json_text(fields),
            Self::Yaml => yaml_text(fields),
        }
    }

    /// The fields of one of many things that are written as they come: a line
    /// of JSON, or a document of YAML.
    pub(crate) fn item(self, fields: &Value) -> String {
        match self {
            Self::Table | Self::Json => json_line(fields),
            Self::Yaml => format!("---\n{}", yaml_text(fields)),
        }
    }
}

/// Writes to stdout. A reader who has seen enough and closed the pipe is no
/// failure.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    match deliver(text) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        Err(error) => Err(Failure::failed(format!("cannot write to stdout: {error}"))),
    }
}

/// Writes to stdout what must not be lost: any error is the caller's to tell.
pub(crate) fn deliver(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()
}

/// Writes a line to stderr. If that is closed, there is nobody left to tell.
pub(crate) fn tell(line: &impl fmt::Display) {
    let _ = writeln!(io::stderr().lock(), "{line}");
}

/// The value as YAML. Where that would carry an instruction to a terminal, it
/// is JSON, which is YAML too.
fn yaml_text(value: &Value) -> String {
    match serde_saphyr::to_string(value) {
        Ok(text) if !text.chars().any(|c| c != '\n' && steers(c)) => text,
        _ => json_text(value),
    }
}

/// The value as indented JSON, with a newline at its end.
pub(crate) fn json_text(value: &Value) -> String {
    steering_nothing(&format!("{value:#}\n"))
}

/// The value as JSON on one line.
fn json_line(value: &Value) -> String {
    steering_nothing(&format!("{value}\n"))
}

fn steering_nothing(json: &str) -> String {
    let mut out = String::new();
    // Such characters can stand in strings alone, where JSON can escape them;
    // the newlines of the layout stay.
    for c in json.chars() {
        if c != '\n' && steers(c) {
            out.push_str(&format!("\\u{:04x}", u32::from(c)));
        } else {
            out.push(c);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn json_carries_every_character_and_no_instruction() {
        let value = json!({ "name": "a\u{1b}[2J\u{9b}\u{202e}\n\u{7f}ü" });
        let text = json_text(&value);
        assert!(
            !text.trim_end().chars().any(|c| c != '\n' && steers(c)),
            "{text:?}"
        );
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), value);
        assert!(text.ends_with("}\n"));
        assert_eq!(yaml_text(&value), text);
    }

    #[test]
    fn yaml_tells_texts_from_other_values() {
        let value = json!({
            "key": { "name": "no", "scopes": ["*", "a:b"], "expire_time": null, "disabled": false },
            "hint": "klg_…x7Qa",
            "number": "12",
            "none": [],
            "empty": "",
            "time": "2026-05-28T20:26:40Z",
            "lines": "a\nb: c",
        });
        let expected = "\
empty: \"\"
hint: klg_…x7Qa
key:
  disabled: false
  expire_time: null
  name: \"no\"
  scopes:
  - \"*\"
  - a:b
lines: |-
  a
  b: c
none: []
number: \"12\"
time: \"2026-05-28T20:26:40Z\"
";
        assert_eq!(yaml_text(&value), expected);
    }
}
