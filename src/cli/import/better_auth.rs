//! better-auth: its table `apikey`.

use serde_json::Value;

use super::fields::{Fields, Problem};
use super::row::{self, Row};
use crate::domain::import::reads_as_hash;
use crate::edge::pb::{Credits, CreditsPeriod, CreditsRefill, HashAlgorithm, TokenHash};

/// How long a hash is there, in base64 without padding. What is not that long is
/// the token itself: hashing can be switched off.
const HASH_LEN: usize = 43;

/// What says nothing of what a key may do.
const DROPPED: &[&str] = &[
    "config_id",
    "last_refill_at",
    "request_count",
    "last_request",
    "created_at",
    "updated_at",
];

const DAY: u64 = 24 * 60 * 60 * 1_000;

/// A row of the table as a key; `plain` if it holds tokens, whatever they look
/// like.
pub(super) fn key(fields: &mut Fields, row: &mut Row, plain: bool) {
    let start = fields.text(&["start"]);
    let prefix = fields.text(&["prefix"]);
    let hint = start.or(prefix).map(row::started).unwrap_or_default();
    match fields.text(&["key"]) {
        Some(value) if is_hash(&value) && !plain => {
            row.key.hash = Some(TokenHash {
                algorithm: HashAlgorithm::Sha256.into(),
                value,
                hint,
            });
        }
        token => {
            row.key.token = token.unwrap_or_default();
            if reads_as_hash(&row.key.token) && !plain {
                let unclear = "reads as a hash that better-auth does not write, and imported as a token it would itself work as a key: say by --plain-keys that the column holds the tokens themselves";
                fields.problems.push(Problem::new("key", unclear));
            }
        }
    }
    row.key.principal = fields
        .text(&["user_id", "reference_id"])
        .unwrap_or_default();
    row.key.name = fields
        .text(&["name"])
        .unwrap_or_else(|| "key of better-auth's".to_owned());
    let id = fields.text(&["id"]).unwrap_or_default();
    row.origin("better-auth", &id);
    row.key.disabled = fields.switch("enabled") == Some(false);
    row.key.expire_time = fields.time("expires_at");
    if let Some((name, permissions)) = fields.json("permissions") {
        match scopes(&permissions) {
            Some(scopes) => row.key.scopes = scopes,
            None => fields.problems.push(Problem::new(
                name,
                "must be JSON of resources, each with a list of actions",
            )),
        }
    }
    if let Some(metadata) = fields.object("metadata") {
        row.all_metadata(metadata);
    }
    let limited = fields.switch("rate_limit_enabled").unwrap_or(true);
    let (window, most) = (
        fields.number("rate_limit_time_window"),
        fields.number("rate_limit_max"),
    );
    if let (true, Some(window), Some(most)) = (limited, window, most) {
        row.limit("requests", most, window, true);
    }
    credits(fields, row);
    row::refuse_missing(row, fields, "key");
    fields.refuse_rest(DROPPED, "");
}

fn is_hash(value: &str) -> bool {
    let is_base64 = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    value.len() == HASH_LEN && value.bytes().all(is_base64)
}

/// `{"projects": ["read", "write"]}` is `projects:read projects:write`.
fn scopes(permissions: &Value) -> Option<Vec<String>> {
    let mut scopes = Vec::new();
    for (resource, actions) in permissions.as_object()? {
        for action in actions.as_array()? {
            scopes.push(format!("{resource}:{}", action.as_str()?));
        }
    }
    Some(scopes)
}

fn credits(fields: &mut Fields, row: &mut Row) {
    let remaining = fields.number("remaining");
    let (interval, amount) = (
        fields.number("refill_interval"),
        fields.number("refill_amount"),
    );
    let Some(remaining) = remaining else { return };
    let period = match interval {
        Some(DAY) => Some(CreditsPeriod::Daily),
        Some(interval) if (28 * DAY..=31 * DAY).contains(&interval) => Some(CreditsPeriod::Monthly),
        Some(_) => {
            row.notes.push(
                "its refill was not carried over: there are daily and monthly ones".to_owned(),
            );
            None
        }
        None => None,
    };
    row.key.credits = Some(Credits {
        balance: Some(remaining),
        refill: period.zip(amount).map(|(period, amount)| CreditsRefill {
            period: period.into(),
            amount,
        }),
        refill_time: None,
    });
}
