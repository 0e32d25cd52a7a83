//! The fields of one record of a file, whatever it was written in, and what is
//! wrong with them.
//!
//! Names are compared without regard to case and underscores, for the same
//! product writes `expiresAt` in JSON and `expires_at` in SQL. What is in a
//! field is never told: it may be a token.

use std::collections::BTreeMap;

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use prost_types::Timestamp;
use serde_json::{Map, Value};

use crate::cli::expiry::Expiry;

/// From this on, a number of a time counts milliseconds: as seconds it would be
/// in the year 5138.
const FIRST_MILLIS: i64 = 100_000_000_000;

/// How long a name may be that is told.
const MAX_SHOWN: usize = 32;

/// A field that cannot be used, and why.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Problem {
    pub(super) field: String,
    pub(super) sentence: String,
}

impl Problem {
    pub(super) fn new(field: impl Into<String>, sentence: impl Into<String>) -> Self {
        Self {
            field: field.into(),
            sentence: sentence.into(),
        }
    }
}

/// The fields of a record.
#[derive(Default)]
pub(super) struct Fields {
    values: BTreeMap<String, (String, Value)>,
    pub(super) problems: Vec<Problem>,
}

/// A name as it may be told: what is not like one may be a token.
pub(super) fn shown(name: &str) -> &str {
    let mut characters = name.chars();
    let is_first = |c: char| c.is_ascii_alphabetic() || c == '_';
    let is_other = |c: char| c.is_ascii_alphanumeric() || "_ .-".contains(c);
    let is_like_one = name.len() <= MAX_SHOWN
        && characters.next().is_some_and(is_first)
        && characters.all(is_other);
    if is_like_one { name } else { "a field" }
}

fn plain(name: &str) -> String {
    let kept = name.chars().filter(|c| *c != '_' && *c != '-');
    kept.flat_map(char::to_lowercase).collect()
}

impl Fields {
    /// Those of an object. What is null, or an empty text, is not there.
    pub(super) fn of(object: Map<String, Value>) -> Self {
        let mut fields = Self::default();
        for (name, value) in object {
            let there = match &value {
                Value::Null => false,
                Value::String(text) => !text.is_empty(),
                Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => true,
            };
            let spelt = if there {
                fields.values.insert(plain(&name), (name, value))
            } else {
                None
            };
            if let Some((name, _)) = spelt {
                fields.twice(&name);
            }
        }
        fields
    }

    /// Leaves a field out; `identity.ratelimits` is one within another.
    pub(super) fn ignore(&mut self, name: &str) {
        if self.take(name).is_some() {
            return;
        }
        if let Some((outer, inner)) = name.split_once('.')
            && let Some((_, Value::Object(object))) = self.values.get_mut(&plain(outer))
        {
            object.retain(|name, _| plain(name) != plain(inner));
        }
    }

    /// Calls a field by another name, if it is there.
    pub(super) fn rename(&mut self, from: &str, to: &str) {
        if let Some(found) = self.values.remove(&plain(from))
            && self.values.insert(plain(to), found).is_some()
        {
            self.twice(to);
        }
    }

    /// Nobody can know which of the two is meant.
    fn twice(&mut self, name: &str) {
        let sentence = "is there twice, by two spellings or by --map: take one of them out of the file, or leave the other out by --ignore";
        self.problems.push(Problem::new(shown(name), sentence));
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.values.contains_key(&plain(name))
    }

    /// Leaves out all that was not taken.
    pub(super) fn forget(&mut self) {
        self.values.clear();
    }

    /// Refuses all that was not taken, but for what is known to say nothing of
    /// what a key may do: a limit that nobody reads would be a key without one.
    pub(super) fn refuse_rest(&mut self, dropped: &[&str], known: &str) {
        for name in dropped {
            let _ = self.take(name);
        }
        for (name, _) in std::mem::take(&mut self.values).into_values() {
            let unknown = format!(
                "is no field that is known{known}; leave it out by --ignore, or say what it is by --map"
            );
            self.problems.push(Problem::new(shown(&name), unknown));
        }
    }

    /// The same within the field `outer`.
    pub(super) fn refuse_rest_of(mut self, outer: &str, dropped: &[&str], into: &mut Self) {
        self.refuse_rest(dropped, "");
        for Problem { field, sentence } in self.problems {
            into.problems
                .push(Problem::new(format!("{outer}.{field}"), sentence));
        }
    }

    /// Takes a field out, as it is.
    pub(super) fn take(&mut self, name: &str) -> Option<(String, Value)> {
        self.values.remove(&plain(name))
    }

    /// Takes all fields whose names start with `start`, by what follows that.
    pub(super) fn take_all(&mut self, start: &str) -> Vec<(String, Value)> {
        let names: Vec<_> = self
            .values
            .keys()
            .filter(|name| name.starts_with(start))
            .cloned()
            .collect();
        let taken = names
            .into_iter()
            .filter_map(|name| self.values.remove(&name));
        taken
            .map(|(name, value)| {
                (
                    name.get(start.len()..).unwrap_or_default().to_owned(),
                    value,
                )
            })
            .collect()
    }

    /// Takes the first that is there of several names.
    pub(super) fn text(&mut self, names: &[&str]) -> Option<String> {
        let mut found = None;
        for name in names {
            let taken = self.take(name);
            if found.is_none() {
                found = taken;
            }
        }
        let (name, value) = found?;
        match value {
            Value::String(text) => Some(text),
            Value::Number(number) => Some(number.to_string()),
            Value::Bool(_) | Value::Null | Value::Array(_) | Value::Object(_) => {
                self.problem(name, "must be a text")
            }
        }
    }

    pub(super) fn problem<T>(&mut self, field: impl Into<String>, sentence: &str) -> Option<T> {
        self.problems.push(Problem::new(field, sentence));
        None
    }

    /// Takes a number that is not negative; a part of one is cut off.
    pub(super) fn number(&mut self, name: &str) -> Option<u64> {
        let (name, value) = self.take(name)?;
        match whole(&value) {
            Some(number) => Some(number),
            None => self.problem(name, "must be a number that is not negative"),
        }
    }

    /// Takes what is true or false, as databases write it.
    pub(super) fn switch(&mut self, name: &str) -> Option<bool> {
        let (name, value) = self.take(name)?;
        let text = match value {
            Value::Bool(switch) => return Some(switch),
            Value::Number(number) => number.to_string(),
            Value::String(text) => text.to_lowercase(),
            Value::Null | Value::Array(_) | Value::Object(_) => String::new(),
        };
        match text.as_str() {
            "true" | "t" | "1" | "yes" => Some(true),
            "false" | "f" | "0" | "no" => Some(false),
            _ => self.problem(name, "must be true or false"),
        }
    }

    /// Takes a time: of RFC 3339, as SQL writes it (in UTC), or as the seconds or
    /// milliseconds since 1970.
    pub(super) fn time(&mut self, name: &str) -> Option<Timestamp> {
        let (name, value) = self.take(name)?;
        match time(&value) {
            Some(time) => Some(time),
            None => self.problem(
                name,
                "must be a time such as `2027-01-01T09:30:00Z`, or the milliseconds since 1970",
            ),
        }
    }

    /// Takes what is JSON, or a text with JSON in it, however often that was
    /// put into a text.
    pub(super) fn json(&mut self, name: &str) -> Option<(String, Value)> {
        let (name, mut value) = self.take(name)?;
        for _ in 0..3 {
            let Value::String(text) = &value else { break };
            match serde_json::from_str(text) {
                Ok(inner) => value = inner,
                Err(_) => return self.problem(name, "must be JSON"),
            }
        }
        (!value.is_null()).then_some((name, value))
    }

    /// Takes an object, as [`Self::json`] does.
    pub(super) fn object(&mut self, name: &str) -> Option<Map<String, Value>> {
        match self.json(name)? {
            (_, Value::Object(object)) => Some(object),
            (name, _) => self.problem(name, "must be a JSON object"),
        }
    }

    /// Takes a list: of JSON, or separated by spaces or commas.
    pub(super) fn list(&mut self, name: &str) -> Vec<String> {
        let Some((name, value)) = self.take(name) else {
            return Vec::new();
        };
        let items = match value {
            Value::String(text) if text.trim_start().starts_with('[') => {
                serde_json::from_str(&text).ok()
            }
            Value::String(text) => {
                let words = text.split([' ', ',', ';']).filter(|word| !word.is_empty());
                Some(words.map(|word| Value::String(word.to_owned())).collect())
            }
            Value::Array(items) => Some(items),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => None,
        };
        let texts = items.map(|items: Vec<Value>| {
            let texts = items.iter().map(|item| item.as_str().map(str::to_owned));
            texts.collect::<Option<Vec<_>>>()
        });
        match texts.flatten() {
            Some(texts) => texts,
            None => self
                .problem(name, "must be a list of texts")
                .unwrap_or_default(),
        }
    }
}

/// A number that is not negative, also one in a text.
pub(super) fn whole(value: &Value) -> Option<u64> {
    match value {
        Value::Number(number) => number.as_u64().or_else(|| {
            let number = number.as_f64()?;
            // What has a part is a number of JSON's all the same.
            (0.0..9e15).contains(&number).then_some(number as u64)
        }),
        Value::String(text) => text.trim().parse().ok(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

fn time(value: &Value) -> Option<Timestamp> {
    let Value::String(text) = value else {
        return number_time(i64::try_from(whole(value)?).ok()?);
    };
    let text = text.trim();
    if let Ok(number) = text.parse() {
        return number_time(number);
    }
    // SQL leaves out the zone, and may put a space before a short one.
    let zoned = text.replacen(' ', "T", 1);
    if let Ok(time) = zoned
        .parse::<jiff::Timestamp>()
        .or_else(|_| format!("{zoned}:00").parse())
    {
        return wire(time);
    }
    if let Ok(local) = zoned.parse::<DateTime>() {
        return wire(local.to_zoned(TimeZone::UTC).ok()?.timestamp());
    }
    let expiry: Expiry = text.parse().ok()?;
    expiry.resolve().ok()?
}

/// When a file was made, in seconds since 1970: a time that has come.
pub(super) fn exported_at(text: &str) -> Result<i64, &'static str> {
    let text = text.trim();
    let time = time(&Value::String(text.to_owned())).map(|time| time.seconds);
    time.filter(|seconds| *seconds <= jiff::Timestamp::now().as_second())
        .ok_or("expected a time that has passed, such as `2027-01-01T09:30:00Z`")
}

fn number_time(number: i64) -> Option<Timestamp> {
    let time = if number.abs() >= FIRST_MILLIS {
        jiff::Timestamp::from_millisecond(number)
    } else {
        jiff::Timestamp::from_second(number)
    };
    wire(time.ok()?)
}

fn wire(time: jiff::Timestamp) -> Option<Timestamp> {
    let micros = time.as_microsecond();
    Some(Timestamp {
        seconds: micros.div_euclid(1_000_000),
        nanos: i32::try_from(micros.rem_euclid(1_000_000) * 1_000).ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn fields(object: Value) -> Fields {
        Fields::of(object.as_object().unwrap().clone())
    }

    #[test]
    fn times_are_read_as_each_product_writes_them() {
        for written in [
            json!("2027-01-01T09:30:00Z"),
            json!("2027-01-01T10:30:00+01:00"),
            json!("2027-01-01 09:30:00"),
            json!("2027-01-01 09:30:00.000"),
            json!("2027-01-01 10:30:00+01"),
            json!(1_798_795_800),
            json!(1_798_795_800_000_i64),
            json!("1798795800000"),
        ] {
            let time = fields(json!({ "expires_at": written })).time("expiresAt");
            assert_eq!(
                time.unwrap().to_string(),
                "2027-01-01T09:30:00Z",
                "{written}"
            );
        }
        for written in [json!("soon"), json!([1]), json!(-1)] {
            let mut fields = fields(json!({ "expires": written }));
            assert_eq!(fields.time("expires"), None);
            assert_eq!(fields.problems.len(), 1, "{written}");
        }
        assert_eq!(fields(json!({ "expires": null })).time("expires"), None);
    }

    #[test]
    fn lists_and_json_are_read_from_texts_too() {
        for written in [
            json!(["a:b", "c"]),
            json!("a:b c"),
            json!("a:b, c"),
            json!("[\"a:b\",\"c\"]"),
        ] {
            assert_eq!(
                fields(json!({ "Scopes": written })).list("scopes"),
                ["a:b", "c"]
            );
        }
        for written in [
            json!({ "a": 1 }),
            json!("{\"a\":1}"),
            json!("\"{\\\"a\\\":1}\""),
        ] {
            let (_, value) = fields(json!({ "meta": written })).json("meta").unwrap();
            assert_eq!(value, json!({ "a": 1 }));
        }
        let mut broken = fields(json!({ "meta": "sup3rsecret", "scopes": [1] }));
        assert_eq!(broken.json("meta"), None);
        assert!(broken.list("scopes").is_empty());
        assert_eq!(broken.problems.len(), 2);
        assert!(!format!("{:?}", broken.problems).contains("sup3r"));
    }

    #[test]
    fn what_is_there_twice_is_refused_and_not_chosen() {
        let twice = |fields: &Fields| {
            let told = fields.problems.iter();
            told.map(|told| told.field.clone()).collect::<Vec<_>>()
        };
        let spelt = fields(json!({ "expires_at": 1, "expiresAt": 2, "name": "a" }));
        assert_eq!(twice(&spelt).len(), 1);
        let mut mapped = fields(json!({ "token": "a", "secret": "b" }));
        mapped.rename("secret", "token");
        assert_eq!(twice(&mapped), ["token"]);
        // What is empty is not there.
        let mut empty =
            fields(json!({ "token": "", "secret": "b", "expires_at": null, "expiresAt": 2 }));
        empty.rename("secret", "token");
        assert!(twice(&empty).is_empty());
        // One that was ignored before is none.
        let mut ignored = fields(json!({ "token": "a", "secret": "b" }));
        ignored.ignore("token");
        ignored.rename("secret", "token");
        assert!(twice(&ignored).is_empty());
    }

    #[test]
    fn what_is_not_taken_is_left() {
        let mut fields =
            fields(json!({ "a": 1, "B_c": "t", "d": null, "metadata.Team": "x", "e": "" }));
        assert_eq!(fields.switch("bC"), Some(true));
        assert_eq!(
            fields.take_all("metadata."),
            [("Team".to_owned(), json!("x"))]
        );
        assert_eq!(fields.number("a"), Some(1));
        let mut fields = super::tests::fields(
            json!({ "a": 1, "b": { "c_d": 2, "e": 3 }, "sk-9dKx!": 4, "createdAt": 5 }),
        );
        fields.ignore("b.cD");
        assert_eq!(fields.object("b").unwrap().len(), 1);
        fields.refuse_rest(&["created_at"], "");
        let told: Vec<_> = fields
            .problems
            .iter()
            .map(|told| told.field.as_str())
            .collect();
        assert_eq!(told, ["a", "a field"]);
        for wrong in [json!([1]), json!(7), json!("[1]")] {
            let mut fields = super::tests::fields(json!({ "meta": wrong }));
            assert_eq!((fields.object("meta"), fields.problems.len()), (None, 1));
        }
    }
}
