//! Reads the file: which settings are in it, where, and all that is wrong with
//! it.

use std::collections::BTreeSet;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::given::Given;
use super::names;
use super::origin::{Origin, Problem};
use super::setting::Setting;
use super::table::settings;

/// What a file says.
#[derive(Debug, Default)]
pub(super) struct FileContent {
    /// The settings in it.
    pub(super) given: Vec<(&'static Setting, Given, Origin)>,
    /// What in it is no TOML, or no setting.
    pub(super) problems: Vec<Problem>,
    /// Whether some of it could not be read as TOML, so that it is not known
    /// which settings it was meant to have.
    pub(super) broken: bool,
}

/// Reads `text`, the content of the file `name`.
pub(super) fn read(name: &str, text: &str) -> FileContent {
    let (table, errors) = DeTable::parse_recoverable(text);
    let mut reader = Reader {
        name,
        text,
        broken_lines: BTreeSet::new(),
        content: FileContent::default(),
    };
    for error in errors {
        reader.tell_of_syntax(&error);
    }
    reader.read_section("", table.get_ref());
    reader.content
}

struct Reader<'a> {
    name: &'a str,
    text: &'a str,
    /// What was made of these lines is a guess.
    broken_lines: BTreeSet<usize>,
    content: FileContent,
}

impl Reader<'_> {
    /// Tells of the first error of each line: others follow from it.
    fn tell_of_syntax(&mut self, error: &toml::de::Error) {
        self.content.broken = true;
        let (line, column) = self.place(error.span().map_or(0, |span| span.start));
        if self.broken_lines.insert(line) {
            let told = error.message().replace('\n', ", ");
            self.content.problems.push(Problem::new(
                self.origin(line, column),
                format!("is not TOML: {told}"),
            ));
        }
    }

    /// Reads the section `path`; that of the whole file is empty.
    fn read_section(&mut self, path: &str, section: &DeTable<'_>) {
        for (key, value) in section {
            let (line, column) = self.place(key.span().start);
            if self.broken_lines.contains(&line) {
                continue;
            }
            let origin = self.origin(line, column);
            let name = key.get_ref().as_ref();
            let full = match (path, name.contains('.')) {
                // A quoted name, which is none of ours.
                (_, true) => String::new(),
                ("", false) => name.to_owned(),
                (_, false) => format!("{path}.{name}"),
            };
            let table = value.get_ref().as_table();
            if let Some(setting) = settings().find(|setting| setting.key == full) {
                self.read_value(setting, value);
            } else if let (true, Some(table)) = (names::is_section(&full), table) {
                self.read_section(&full, table);
            } else {
                let sentence = if names::is_section(&full) {
                    format!(
                        "{full} is a section: write [{full}] in a line of its own, and its keys below that"
                    )
                } else if table.is_some() {
                    names::unknown_section(path, name)
                } else {
                    names::unknown_key(path, name)
                };
                self.content.problems.push(Problem::new(origin, sentence));
            }
        }
    }

    fn read_value(&mut self, setting: &'static Setting, value: &Spanned<DeValue<'_>>) {
        let given = match value.get_ref() {
            DeValue::String(text) => Given::Text(text.to_string()),
            DeValue::Integer(number) if number.radix() == 10 => Given::Number(number.to_string()),
            DeValue::Integer(_) => Given::Other("a number that is not decimal"),
            DeValue::Float(_) => Given::Other("a number with a fraction"),
            DeValue::Boolean(on) => Given::Switch(*on),
            DeValue::Datetime(_) => Given::Other("a date"),
            DeValue::Array(_) => Given::Other("a list"),
            DeValue::Table(_) => Given::Other("a section"),
        };
        let (line, column) = self.place(value.span().start);
        if !self.broken_lines.contains(&line) {
            let origin = self.origin(line, column);
            self.content.given.push((setting, given, origin));
        }
    }

    fn origin(&self, line: usize, column: usize) -> Origin {
        Origin::File {
            file: self.name.to_owned(),
            line,
            column,
        }
    }

    /// The line and the column, from 1, of a byte of the text.
    fn place(&self, byte: usize) -> (usize, usize) {
        let before = self.text.get(..byte).unwrap_or(self.text);
        let line = before.matches('\n').count() + 1;
        let start = before.rfind('\n').map_or(0, |newline| newline + 1);
        (line, before[start..].chars().count() + 1)
    }
}
