//! Unkey: rows of its table `keys`, what its migrateKeys takes, and keys that
//! its API gives with their `plaintext`.

use serde_json::Value;

use super::fields::{Fields, Problem};
use super::row::{self, Row};
use crate::edge::pb::{Credits, CreditsPeriod, CreditsRefill, HashAlgorithm, TokenHash};

/// What says nothing of what a key may do.
const DROPPED: &[&str] = &[
    "api_id",
    "byte_length",
    "created_at",
    "created_at_m",
    "for_workspace_id",
    "key_auth_id",
    "key_space_id",
    "last_refill_at",
    "last_used_at",
    "pending_migration_id",
    "pk",
    "prefix",
    "ratelimit_async",
    "updated_at",
    "updated_at_m",
    "workspace_id",
];

/// What says how its limits are counted, or which they are, and not how many.
const DROPPED_OF_LIMITS: &[&str] = &["id", "key_id", "identity_id", "async", "type"];

/// A key of Unkey's as one of ours.
pub(super) fn key(fields: &mut Fields, row: &mut Row) {
    row.key.token = fields.text(&["plaintext"]).unwrap_or_default();
    let hint = fields
        .text(&["start"])
        .map(row::started)
        .unwrap_or_default();
    let hash = fields.text(&["hash"]);
    if row.key.token.is_empty() {
        row.key.hash = hash.map(|value| TokenHash {
            algorithm: HashAlgorithm::Sha256.into(),
            value,
            hint,
        });
    }
    let identity = identity(fields);
    let external = fields.text(&["external_id", "owner_id", "identity_id"]);
    row.key.principal = identity.or(external).unwrap_or_default();
    let id = fields.text(&["key_id", "id"]).unwrap_or_default();
    row.key.name = fields
        .text(&["name"])
        .unwrap_or_else(|| "key of Unkey's".to_owned());
    row.origin("Unkey", &id);
    row.key.disabled = fields.switch("enabled") == Some(false);
    row.key.expire_time = fields.time("expires");
    let deleted = ["deleted_at_m", "deleted_at"].map(|name| fields.take(name).is_some());
    if deleted.contains(&true) {
        row.skip = Some("deleted there");
    }
    row.key.scopes = fields.list("permissions");
    let roles = fields.list("roles").join(" ");
    if !roles.is_empty() {
        row.notes
            .push("what its roles permit was not carried over".to_owned());
        row.metadata("roles", Some(Value::String(roles)));
    }
    if fields.take("environment").is_some() {
        row.notes.push(
            "its environment was not carried over: --environment names that of all keys".to_owned(),
        );
    }
    if let Some(meta) = fields.object("meta") {
        row.all_metadata(meta);
    }
    limits(fields, row);
    row.key.credits = credits(fields);
    row::refuse_missing(row, fields, "hash");
    fields.refuse_rest(DROPPED, "");
}

/// Whose key it is. What all keys of an identity share is no key's own.
fn identity(fields: &mut Fields) -> Option<String> {
    let shared = "are shared by the keys of an identity, and no key's own: give its principal limits, and leave these out by --ignore";
    let is_some = |value: &Value| !matches!(value, Value::Array(items) if items.is_empty());
    if let Some((name, limits)) = fields.json("identity_ratelimits")
        && is_some(&limits)
    {
        fields.problems.push(Problem::new(name, shared));
    }
    let mut identity = Fields::of(fields.object("identity")?);
    let name = identity.text(&["external_id"]);
    if let Some((name, limits)) = identity.json("ratelimits")
        && is_some(&limits)
    {
        identity.problems.push(Problem::new(name, shared));
    }
    identity.refuse_rest_of("identity", &["id", "meta"], fields);
    name
}

fn limits(fields: &mut Fields, row: &mut Row) {
    match fields.json("ratelimits") {
        Some((_, Value::Array(several))) => {
            for (position, limit) in several.into_iter().enumerate() {
                one_limit(fields, row, &format!("ratelimits[{position}]"), limit);
            }
        }
        Some((name, _)) => fields
            .problems
            .push(Problem::new(name, "must be a JSON list")),
        None => {}
    }
    if let Some((name, limit)) = fields.json("ratelimit") {
        one_limit(fields, row, &name, limit);
    }
    // The columns that there were before.
    let (count, millis) = (
        fields.number("ratelimit_limit"),
        fields.number("ratelimit_duration"),
    );
    match (count, millis) {
        (Some(count), Some(millis)) => row.limit("requests", count, millis, true),
        (None, None) => {}
        (Some(_), None) | (None, Some(_)) => fields.problems.push(Problem::new(
            "ratelimit_limit",
            "must come with a `ratelimit_duration` in milliseconds",
        )),
    }
}

fn one_limit(fields: &mut Fields, row: &mut Row, place: &str, limit: Value) {
    let Value::Object(limit) = limit else {
        fields
            .problems
            .push(Problem::new(place, "must be a JSON object"));
        return;
    };
    let mut limit = Fields::of(limit);
    let name = limit.text(&["name"]);
    let count = limit.number("limit");
    let millis = limit.number("duration");
    let millis = limit.number("refill_interval").or(millis);
    let always = limit.switch("auto_apply").unwrap_or_else(|| name.is_none());
    // A bucket that fills more slowly than it may be emptied.
    if limit
        .number("refill_rate")
        .is_some_and(|rate| Some(rate) != count)
    {
        let other = "must be the same as its `limit`: there is no bucket of another kind here";
        limit.problems.push(Problem::new("refillRate", other));
    }
    match (count, millis) {
        (Some(count), Some(millis)) => {
            row.limit(name.as_deref().unwrap_or("requests"), count, millis, always);
        }
        _ => fields.problems.push(Problem::new(
            place,
            "must have a `limit` and a `duration` in milliseconds",
        )),
    }
    limit.refuse_rest_of(place, DROPPED_OF_LIMITS, fields);
}

fn credits(fields: &mut Fields) -> Option<Credits> {
    let (mut nested_balance, mut refill) = (None, None);
    if let Some(credits) = fields.object("credits") {
        let mut credits = Fields::of(credits);
        nested_balance = credits.number("remaining");
        refill = refill_in(&mut credits);
        credits.refuse_rest_of("credits", &["last_refill_at"], fields);
    }
    let refill = refill.or_else(|| refill_in(fields));
    let remaining = fields.number("remaining");
    let requests = fields.number("remaining_requests");
    let day = fields.number("refill_day").is_some();
    let interval = fields.text(&["refill_interval"]);
    let amount = fields.number("refill_amount");
    let period = match interval {
        Some(interval) => period(fields, "refill_interval", &interval),
        None if day => Some(CreditsPeriod::Monthly),
        None => Some(CreditsPeriod::Daily),
    };
    let refill = refill.or_else(|| Some((period?, amount?)));
    Some(Credits {
        balance: Some(nested_balance.or(remaining).or(requests)?),
        refill: refill.map(|(period, amount)| CreditsRefill {
            period: period.into(),
            amount,
        }),
        refill_time: None,
    })
}

/// A field `refill`, as the API writes it.
fn refill_in(fields: &mut Fields) -> Option<(CreditsPeriod, u64)> {
    let mut refill = Fields::of(fields.object("refill")?);
    let (interval, amount) = (refill.text(&["interval"]), refill.number("amount"));
    let period = period(&mut refill, "interval", &interval.unwrap_or_default());
    if amount.is_none() {
        refill.problems.push(Problem::new("amount", "is required"));
    }
    refill.refuse_rest_of("refill", &["refill_day", "last_refill_at"], fields);
    period.zip(amount)
}

fn period(fields: &mut Fields, name: &str, interval: &str) -> Option<CreditsPeriod> {
    match interval {
        "daily" => Some(CreditsPeriod::Daily),
        "monthly" => Some(CreditsPeriod::Monthly),
        _ => fields.problem(name, "must be `daily` or `monthly`"),
    }
}
