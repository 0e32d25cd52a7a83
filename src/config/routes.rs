//! Reads the file of routes, and tells all that is wrong with it.

use std::fs;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::domain::policy;
use crate::domain::route::{MAX_ROUTES, Route, RouteDraft, RouteTable, Shadowed};

use super::document::Document;
use super::gather::Gathered;
use super::names::nearest;
use super::origin::{Problem, Problems};
use super::table::settings;

/// The setting that names the file.
const SETTING: &str = "gateway.routes";
/// What each rule is called in the file.
const ROUTE: &str = "route";
/// The keys of a rule that are not of its policy.
const OWN_KEYS: [&str; 3] = ["match", "host", "public"];
/// The keys that can hold a list.
const LISTS: [&str; 3] = ["required_scopes", "limits", "credential_headers"];
/// How alike two names have to be for one to be taken for the other, of 1.
const ALIKE: f64 = 0.8;

/// The table of the routes in `text`, the content of the file `name`.
///
/// # Errors
///
/// All that is wrong with it, each with its place.
pub fn read(name: &str, text: &str) -> Result<RouteTable, Problems> {
    let (table, errors) = DeTable::parse_recoverable(text);
    let mut document = Document::new(name, text);
    let problems = document.syntax_problems(&errors);
    let mut reader = Reader {
        document,
        problems,
        routes: Vec::new(),
        places: Vec::new(),
    };
    reader.read_file(table.get_ref());
    reader.finish()
}

/// The table that the settings name, and what is wrong with it; none, if they name
/// none.
pub(super) fn named_by(all: &Gathered) -> (RouteTable, Vec<Problem>) {
    let setting = settings().find(|setting| setting.key == SETTING);
    let (Some(path), Some(setting)) = (&all.draft.routes, setting) else {
        return (RouteTable::default(), Vec::new());
    };
    let read = match fs::read_to_string(path) {
        Ok(text) => read(&path.display().to_string(), &text).map_err(Problems::into_vec),
        Err(error) => {
            let fault = format!("names {path:?}, which cannot be read: {error}");
            Err(vec![Problem::with(setting, &all.origin(SETTING), &fault)])
        }
    };
    match read {
        Ok(table) => (table, Vec::new()),
        Err(problems) => (RouteTable::closed(), problems),
    }
}

struct Reader<'a> {
    document: Document<'a>,
    problems: Vec<Problem>,
    routes: Vec<Route>,
    /// Where each of them starts.
    places: Vec<usize>,
}

/// A value of a rule, as the policy's text.
struct Field<'t> {
    key: &'t str,
    text: String,
    span: Range<usize>,
}

impl Reader<'_> {
    fn tell(&mut self, byte: usize, sentence: impl Into<String>) {
        let problem = self.document.problem(byte, sentence);
        self.problems.push(problem);
    }

    fn read_file(&mut self, table: &DeTable<'_>) {
        for (key, value) in table {
            let name = key.get_ref().as_ref();
            if self.document.is_broken(&key.span()) {
                continue;
            }
            let start = key.span().start;
            if name != ROUTE {
                let name = name.escape_debug();
                let told = format!(
                    "unknown key `{name}` outside of all rules; a rule starts with [[route]]"
                );
                self.tell(start, told);
            } else if let DeValue::Array(rules) = value.get_ref() {
                rules.iter().for_each(|rule| self.read_rule(rule));
            } else {
                self.tell(
                    start,
                    "a rule is written as [[route]], in two pairs of brackets",
                );
            }
        }
    }

    fn read_rule(&mut self, rule: &Spanned<DeValue<'_>>) {
        let place = rule.span().start;
        let Some(table) = rule.get_ref().as_table() else {
            return self.tell(
                place,
                "a rule is written as [[route]], with its keys below that",
            );
        };
        let mut fields = Vec::new();
        let mut public = false;
        let before = self.problems.len();
        let mut broken = false;
        for (key, value) in table {
            let span = value.span();
            if self.document.is_broken(&key.span()) || self.document.is_broken(&span) {
                broken = true;
                continue;
            }
            let name = key.get_ref().as_ref();
            match (keys().find(|known| *known == name), value.get_ref()) {
                (None, _) => self.tell(key.span().start, unknown(name)),
                (Some("public"), DeValue::Boolean(on)) => public = *on,
                (Some(key), value) => match text(key, value) {
                    Ok(text) => fields.push(Field { key, text, span }),
                    Err(fault) => self.tell(span.start, format!("{key} {fault}")),
                },
            }
        }
        let draft = draft(&fields, public, self.document.line(place));
        match draft.build() {
            Ok(route) => {
                self.routes.push(route);
                self.places.push(place);
            }
            Err(violations) => {
                for violation in violations.iter() {
                    let field = fields.iter().find(|field| field.key == violation.field);
                    // What lacks may be what could not be read.
                    if field.is_some() || !(broken || self.problems.len() > before) {
                        let at = field.map_or(place, |field| field.span.start);
                        let sentence = format!("{} {}", violation.field, violation.description);
                        self.tell(at, sentence);
                    }
                }
            }
        }
    }

    fn finish(mut self) -> Result<RouteTable, Problems> {
        // What is missing may be what could not be read.
        if self.problems.is_empty() {
            if self.routes.is_empty() {
                self.tell(
                    0,
                    "there is no [[route]], and every request would be denied: write rules, or do \
                     without the file",
                );
            } else if self.routes.len() > MAX_ROUTES {
                let told = format!(
                    "there are {} rules; at most {MAX_ROUTES} are allowed",
                    self.routes.len()
                );
                self.tell(0, told);
                // They are too many to be compared.
                self.routes.clear();
            }
        }
        let lines: Vec<_> = self.routes.iter().map(|route| route.line).collect();
        let table = match RouteTable::new(self.routes) {
            Ok(table) => table,
            Err(shadowed) => {
                for shadowed in shadowed {
                    let place = self.places.get(shadowed.rule).copied();
                    let sentence = never(&shadowed, &lines);
                    let problem = self.document.problem(place.unwrap_or_default(), sentence);
                    self.problems.push(problem);
                }
                RouteTable::closed()
            }
        };
        Problems::of(self.problems).map_or(Ok(table), Err)
    }
}

/// The keys of a rule.
fn keys() -> impl Iterator<Item = &'static str> {
    OWN_KEYS.into_iter().chain(policy::names())
}

fn draft<'f>(fields: &'f [Field<'_>], public: bool, line: usize) -> RouteDraft<'f> {
    let value = |key: &str| {
        let field = fields.iter().find(|field| field.key == key);
        field.map(|field| field.text.as_str())
    };
    let of_policy = |field: &&Field<'_>| !OWN_KEYS.contains(&field.key);
    RouteDraft {
        pattern: value("match"),
        host: value("host"),
        public,
        policy: fields
            .iter()
            .filter(of_policy)
            .map(|field| (field.key, field.text.as_str()))
            .collect(),
        line,
    }
}

/// The value of `key` as text.
fn text(key: &str, value: &DeValue<'_>) -> Result<String, String> {
    let wanted = match key {
        "public" => "true or false, without quotes",
        "cost" => "a whole number, without quotes",
        key if LISTS.contains(&key) => "a text in quotes, or a list of them in brackets",
        _ => "a text in quotes",
    };
    match value {
        DeValue::String(text) if key != "cost" && key != "public" => Ok(text.to_string()),
        DeValue::Integer(number) if key == "cost" && number.radix() == 10 => Ok(number.to_string()),
        DeValue::Array(items) if LISTS.contains(&key) => {
            let texts: Option<Vec<_>> = items.iter().map(|item| item.get_ref().as_str()).collect();
            let texts = texts
                .ok_or_else(|| format!("is a list of something else than texts; give {wanted}"))?;
            Ok(texts.join(" "))
        }
        DeValue::String(_) => Err(format!("is a text; give {wanted}")),
        DeValue::Integer(_) | DeValue::Float(_) => Err(format!("is a number; give {wanted}")),
        DeValue::Boolean(on) => Err(format!("is {on}; give {wanted}")),
        DeValue::Datetime(_) => Err(format!("is a date; give {wanted}")),
        DeValue::Array(_) => Err(format!("is a list; give {wanted}")),
        DeValue::Table(_) => Err(format!("is a section; give {wanted}")),
    }
}

/// What to say of a key that no rule has.
fn unknown(name: &str) -> String {
    let spoken = name.replace('-', "_");
    let advice = match spoken.as_str() {
        "path" | "paths" | "method" | "methods" => {
            "methods and path are in `match`, as in `match = \"GET /v1/customers/**\"`".to_owned()
        }
        "scopes" | "scope" => "did you mean `required_scopes`?".to_owned(),
        _ => nearest(&spoken, keys(), ALIKE, |key| key).map_or_else(
            || {
                let keys: Vec<_> = keys().map(|key| format!("`{key}`")).collect();
                format!("a rule has {}", keys.join(", "))
            },
            |key| format!("did you mean `{key}`?"),
        ),
    };
    format!("unknown key `{}`; {advice}", name.escape_debug())
}

/// What to say of a rule that can never match.
fn never(shadowed: &Shadowed, lines: &[usize]) -> String {
    let by: Vec<_> = shadowed
        .by
        .iter()
        .filter_map(|rule| lines.get(*rule))
        .map(ToString::to_string)
        .collect();
    let (rules, match_it) = match by.len() {
        1 => ("the rule of line", "matches"),
        _ => ("the rules of lines", "match"),
    };
    format!(
        "this rule can never match: {rules} {} {match_it} all that it would, and the first that \
         matches counts; put this one before, or leave it out",
        by.join(", ")
    )
}

#[cfg(test)]
mod tests;
