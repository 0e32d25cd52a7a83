//! Kong's key-auth: pages of its Admin API, with or without those of the
//! consumers, and decK's files.

use std::collections::HashMap;

use prost_types::Timestamp;
use serde_json::{Map, Value, json};

use super::fields::{Fields, Problem, shown};
use super::row::{self, Row};

const CREDENTIALS: &str = "keyauth_credentials";

/// What says nothing of what a key may do, and what does not of a consumer.
const DROPPED: &[&str] = &["created_at", "updated_at"];
const DROPPED_OF_CONSUMERS: &[&str] = &[
    "id",
    "username",
    "custom_id",
    "tags",
    "created_at",
    "updated_at",
    "basicauth_credentials",
    "hmacauth_credentials",
    "jwt_secrets",
    "mtls_auth_credentials",
    "oauth2_credentials",
];

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

/// A credential as a key. Its `ttl` counts from `exported` on, in seconds since
/// 1970.
pub(super) fn key(fields: &mut Fields, row: &mut Row, exported: Option<i64>) {
    row.key.token = fields.text(&["key"]).unwrap_or_default();
    let consumer = match fields.take("consumer") {
        Some((_, Value::Object(consumer))) => consumer,
        Some((_, Value::String(name))) => {
            [("username".to_owned(), json!(name))].into_iter().collect()
        }
        Some((name, _)) => fields
            .problem(name, "must be a consumer, or the name of one")
            .unwrap_or_default(),
        None => Map::new(),
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
    match (fields.number("ttl"), exported) {
        (None, _) => {}
        // It has ended while it was read; no key has none.
        (Some(0), _) => row.skip = Some("expired"),
        (Some(_), None) => fields.problems.push(Problem::new(
            "ttl",
            "counts from when the file was made: say by --exported-at when that was",
        )),
        (Some(ttl), Some(exported)) => {
            row.key.expire_time = Some(Timestamp {
                seconds: exported.saturating_add(i64::try_from(ttl).unwrap_or(i64::MAX)),
                nanos: 0,
            });
        }
    }
    let left = consumer.iter().filter(|(name, value)| {
        !DROPPED_OF_CONSUMERS.contains(&name.as_str()) && !is_nothing(value)
    });
    row.notes.extend(left.map(|(name, _)| {
        let name = shown(name);
        format!("`{name}` of its consumer was not carried over")
    }));
    row::refuse_missing(row, fields, "key");
    fields.refuse_rest(DROPPED, "");
}

fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(parts) => parts.is_empty(),
        Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}
