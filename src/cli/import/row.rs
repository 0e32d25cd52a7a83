//! One record of a file, as the key that is to be imported.

use serde_json::{Map, Value};

use super::fields::{Fields, Problem};
use crate::domain::credential::MAX_FOREIGN_LEN;
use crate::edge::pb::{ImportKey, Limit};

/// How much of the start of a token is shown, in characters.
const MAX_START: usize = 20;

/// A record, and what was made of it.
#[derive(Default)]
pub(super) struct Row {
    pub(super) key: ImportKey,
    /// Why it cannot be sent.
    pub(super) problems: Vec<Problem>,
    /// What was left out on the way.
    pub(super) notes: Vec<String>,
    /// Why it is not to be sent, though nothing is wrong with it.
    pub(super) skip: Option<&'static str>,
}

impl Row {
    /// Says where the key comes from.
    pub(super) fn origin(&mut self, product: &str, id: &str) {
        self.key.description = format!("Imported from {product}: {id}")
            .trim_end_matches(": ")
            .to_owned();
    }

    /// Notes a value that goes to the gateway.
    pub(super) fn metadata(&mut self, name: &str, value: Option<Value>) {
        let text = match value {
            None | Some(Value::Null) => return,
            Some(Value::String(text)) => text,
            // What has parts goes as JSON.
            Some(other) => other.to_string(),
        };
        self.key.metadata.insert(name.to_owned(), text);
    }

    pub(super) fn all_metadata(&mut self, values: Map<String, Value>) {
        for (name, value) in values {
            self.metadata(&name, Some(value));
        }
    }

    /// Notes a limit whose window is in milliseconds.
    pub(super) fn limit(&mut self, name: &str, count: u64, millis: u64, always: bool) {
        // What is beyond, the server refuses, as it would the true number.
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        let window = prost_types::Duration {
            seconds: i64::try_from(millis / 1_000).unwrap_or(i64::MAX),
            nanos: i32::try_from(millis % 1_000 * 1_000_000).unwrap_or_default(),
        };
        self.key.limits.push(Limit {
            name: name.to_owned(),
            count,
            window: Some(window),
            always,
        });
    }
}

/// The start of a token, as what may be displayed of it.
pub(super) fn started(start: String) -> String {
    let shown: String = start.chars().take(MAX_START).collect();
    format!("{shown}…")
}

/// Refuses a record without the credential that `field` should hold, or with
/// one that no message could carry.
pub(super) fn refuse_missing(row: &mut Row, fields: &mut Fields, field: &str) {
    let given = match &row.key.hash {
        Some(hash) => &hash.value,
        None => &row.key.token,
    };
    if given.is_empty() {
        fields.problems.push(Problem::new(field, "is required"));
        // Not told of: where there is no token, one may be in a name's place.
        fields.forget();
    } else if given.len() > MAX_FOREIGN_LEN {
        let sentence = format!("must have at most {MAX_FOREIGN_LEN} characters");
        fields.problems.push(Problem::new(field, sentence));
    }
}
