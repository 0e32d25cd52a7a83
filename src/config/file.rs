//! Reads the file: which settings are in it, where, and all that is wrong with
//! it.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::document::Document;
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
    let mut document = Document::new(name, text);
    let content = FileContent {
        problems: document.syntax_problems(&errors),
        broken: !errors.is_empty(),
        ..FileContent::default()
    };
    let mut reader = Reader { document, content };
    reader.read_section("", table.get_ref());
    reader.content
}

struct Reader<'a> {
    document: Document<'a>,
    content: FileContent,
}

impl Reader<'_> {
    /// Reads the section `path`; that of the whole file is empty.
    fn read_section(&mut self, path: &str, section: &DeTable<'_>) {
        for (key, value) in section {
            if self.document.is_broken(&key.span()) {
                continue;
            }
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
                let problem = self.document.problem(key.span().start, sentence);
                self.content.problems.push(problem);
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
        if !self.document.is_broken(&value.span()) {
            let origin = self.document.origin(value.span().start);
            self.content.given.push((setting, given, origin));
        }
    }
}
