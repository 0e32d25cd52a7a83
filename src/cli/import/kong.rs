//! Kong's key-auth: pages of its Admin API, with or without those of the
//! consumers, and decK's files.

use std::collections::HashMap;

use prost_types::Timestamp;
use serde_json::{Map, Value, json};

use super::fields::Fields;
use super::row::{self, Row};

const CREDENTIALS: &str = "keyauth_credentials";

/// Whether it is a file of decK's.
pub(super) fn is_declarative(document: &Value) -> bool {
    document.get("consumers").is_some_and(Value::is_array)
        || document.get(CREDENTIALS).is_some_and(Value::is_array)
}

/// The credentials of such a file, each with its consumer.
pub(super) fn flattened(document: Value) -> Vec<Map<String, Value>> {
    let Value::Object(mut document) = document else {
        return Vec::new();
    };
    let mut found = Vec::new();
    let list = |value: Option<Value>| match value {
        Some(Value::Array(items)) => items,
        Some(_) | None => Vec::new(),
    };
    for credential in list(document.remove(CREDENTIALS)) {
        found.extend(credential.as_object().cloned());
    }
    for mut consumer in list(document.remove("consumers")) {
        let credentials = consumer.get_mut(CREDENTIALS).map(Value::take);
        for credential in list(credentials) {
            if let Value::Object(mut credential) = credential {
                credential.insert("consumer".to_owned(), consumer.clone());
                found.push(credential);
            }
        }
    }
    found
}

/// The records with the names of their consumers, where those are among them:
/// a consumer has no key of its own.
pub(super) fn with_names(records: Vec<Map<String, Value>>) -> Vec<Map<String, Value>> {
    let is_consumer = |record: &Map<String, Value>| {
        !record.contains_key("key")
            && (record.contains_key("username") || record.contains_key("custom_id"))
    };
    if !records.iter().any(is_consumer) {
        return records;
    }
    let (consumers, mut credentials): (Vec<_>, Vec<_>) = records.into_iter().partition(is_consumer);
    let by_id: HashMap<_, _> = consumers
        .into_iter()
        .filter_map(|consumer| Some((consumer.get("id")?.as_str()?.to_owned(), consumer)))
        .collect();
    for credential in &mut credentials {
        let id = credential
            .get("consumer")
            .and_then(|consumer| consumer.get("id"));
        if let Some(named) = id.and_then(Value::as_str).and_then(|id| by_id.get(id)) {
            credential.insert("consumer".to_owned(), Value::Object(named.clone()));
        }
    }
    credentials
}

/// A credential as a key. Its `ttl` counts from `written` on.
pub(super) fn key(fields: &mut Fields, row: &mut Row, written: u64) {
    row.key.token = fields.text(&["key"]).unwrap_or_default();
    let consumer = match fields.take("consumer") {
        Some((_, Value::Object(consumer))) => consumer,
        Some((_, Value::String(name))) => {
            [("username".to_owned(), json!(name))].into_iter().collect()
        }
        Some(_) | None => Map::new(),
    };
    let named = |name: &str| consumer.get(name).and_then(Value::as_str);
    let principal = named("username")
        .or_else(|| named("custom_id"))
        .or_else(|| named("id"));
    row.key.principal = principal.unwrap_or_default().to_owned();
    let id = fields.text(&["id"]).unwrap_or_default();
    row.key.name = format!("{} in Kong", principal.unwrap_or("key"));
    row.origin("Kong", &id);
    for (name, value) in [
        ("custom_id", named("custom_id").map(str::to_owned)),
        (
            "tags",
            Some(fields.list("tags").join(" ")).filter(|tags| !tags.is_empty()),
        ),
    ] {
        row.metadata(name, value.map(Value::String));
    }
    row.key.expire_time = fields
        .number("ttl")
        .filter(|ttl| *ttl > 0)
        .map(|ttl| Timestamp {
            seconds: i64::try_from(written.saturating_add(ttl)).unwrap_or(i64::MAX),
            nanos: 0,
        });
    row::refuse_missing(row, fields, "key");
}
