//! Unkey: rows of its table `keys`, what its migrateKeys takes, and keys that
//! its API gives with their `plaintext`.

use serde_json::Value;

use super::fields::{Fields, Problem, whole};
use super::row::{self, Row};
use crate::edge::pb::{Credits, CreditsPeriod, CreditsRefill, HashAlgorithm, TokenHash};

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
    let identity = match fields.take("identity") {
        Some((_, Value::Object(identity))) => identity
            .get("externalId")
            .and_then(Value::as_str)
            .map(str::to_owned),
        Some(_) | None => None,
    };
    let external = fields.text(&["external_id", "owner_id", "identity_id"]);
    row.key.principal = identity.or(external).unwrap_or_default();
    let id = fields.text(&["key_id", "id"]).unwrap_or_default();
    row.key.name = fields
        .text(&["name"])
        .unwrap_or_else(|| "key of Unkey's".to_owned());
    row.origin("Unkey", &id);
    row.key.disabled = fields.switch("enabled") == Some(false);
    row.key.expire_time = fields.time("expires");
    if fields.has("deleted_at_m") || fields.has("deleted_at") {
        row.skip = Some("deleted there");
    }
    row.key.scopes = fields.list("permissions");
    let roles = fields.list("roles").join(" ");
    if !roles.is_empty() {
        row.notes
            .push("what its roles permit was not carried over".to_owned());
        row.metadata("roles", Some(Value::String(roles)));
    }
    if let Some((_, Value::Object(meta))) = fields.json("meta") {
        row.all_metadata(meta);
    }
    limits(fields, row);
    row.key.credits = credits(fields);
    row::refuse_missing(row, fields, "hash");
}

fn limits(fields: &mut Fields, row: &mut Row) {
    let several = fields.json("ratelimits").map(|(_, several)| several);
    let one = fields.json("ratelimit").map(|(_, one)| one);
    let several = match (several, one) {
        (Some(Value::Array(several)), _) => several,
        (_, Some(one)) => vec![one],
        (Some(_) | None, None) => Vec::new(),
    };
    for (position, limit) in several.iter().enumerate() {
        let name = limit
            .get("name")
            .and_then(Value::as_str)
            .unwrap_or("requests");
        let count = limit.get("limit").and_then(whole);
        let millis = limit
            .get("duration")
            .or_else(|| limit.get("refillInterval"))
            .and_then(whole);
        let (Some(count), Some(millis)) = (count, millis) else {
            fields.problems.push(Problem::new(
                format!("ratelimits[{position}]"),
                "must have a `limit` and a `duration` in milliseconds",
            ));
            continue;
        };
        let always = limit.get("autoApply").and_then(Value::as_bool);
        row.limit(
            name,
            count,
            millis,
            always.unwrap_or_else(|| limit.get("name").is_none()),
        );
    }
}

fn credits(fields: &mut Fields) -> Option<Credits> {
    let nested = match fields.json("credits") {
        Some((_, Value::Object(credits))) => Some(credits),
        Some(_) | None => None,
    };
    let refill_amount = fields.number("refill_amount");
    let monthly = fields.number("refill_day").is_some();
    let remaining = fields
        .number("remaining")
        .or_else(|| fields.number("remaining_requests"));
    let balance = nested
        .as_ref()
        .and_then(|credits| whole(credits.get("remaining")?));
    let refill = nested.as_ref().and_then(|credits| {
        let refill = credits.get("refill")?;
        let monthly = refill.get("interval").and_then(Value::as_str) == Some("monthly");
        Some((whole(refill.get("amount")?)?, monthly))
    });
    let refill = refill.or_else(|| refill_amount.map(|amount| (amount, monthly)));
    let balance = balance.or(remaining)?;
    Some(Credits {
        balance: Some(balance),
        refill: refill.map(|(amount, monthly)| CreditsRefill {
            period: match monthly {
                true => CreditsPeriod::Monthly.into(),
                false => CreditsPeriod::Daily.into(),
            },
            amount,
        }),
        refill_time: None,
    })
}
