//! keyward's own columns, for a file that somebody has put together.

use super::fields::{Fields, Problem};
use super::row::{self, Row};
use crate::cli::limits::LimitFlag;
use crate::cli::refill::Refill;
use crate::edge::pb::{Credits, HashAlgorithm, TokenHash};

/// The columns, as they are to be written.
pub(super) const COLUMNS: &str = "token, sha256, blake3, hint, name, description, principal, \
     environment, scopes, metadata, metadata.NAME, expires, limits, source_addresses, credits, \
     refill, disabled";

/// A record as a key.
pub(super) fn key(fields: &mut Fields, row: &mut Row) {
    row.key.token = fields.text(&["token"]).unwrap_or_default();
    let hint = fields.text(&["hint"]).unwrap_or_default();
    for (name, algorithm) in [
        ("sha256", HashAlgorithm::Sha256),
        ("blake3", HashAlgorithm::Blake3),
    ] {
        let Some(value) = fields.text(&[name]) else {
            continue;
        };
        if row.key.hash.is_some() || !row.key.token.is_empty() {
            let twice = "is one credential too many: give token, sha256 or blake3";
            fields.problems.push(Problem::new(name, twice));
        }
        row.key.hash = Some(TokenHash {
            algorithm: algorithm.into(),
            value,
            hint: hint.clone(),
        });
    }
    row.key.name = fields.text(&["name"]).unwrap_or_default();
    row.key.description = fields.text(&["description"]).unwrap_or_default();
    row.key.principal = fields.text(&["principal"]).unwrap_or_default();
    row.key.environment = fields.text(&["environment"]).unwrap_or_default();
    row.key.scopes = fields.list("scopes");
    if let Some(metadata) = fields.object("metadata") {
        row.all_metadata(metadata);
    }
    row.all_metadata(fields.take_all("metadata.").into_iter().collect());
    row.key.expire_time = match fields.has("expires") {
        true => never_or_time(fields),
        false => None,
    };
    limits(fields, row);
    row.key.source_addresses = fields.list("source_addresses");
    credits(fields, row);
    row.key.disabled = fields.switch("disabled").unwrap_or(false);
    row::refuse_missing(row, fields, "token");
    fields.refuse_rest(&[], &format!(": those are {COLUMNS}"));
}

fn never_or_time(fields: &mut Fields) -> Option<prost_types::Timestamp> {
    let (name, value) = fields.take("expires")?;
    if value == "never" {
        return None;
    }
    let mut one = Fields::of([(name, value)].into_iter().collect());
    let time = one.time("expires");
    fields.problems.append(&mut one.problems);
    time
}

fn limits(fields: &mut Fields, row: &mut Row) {
    let Some(text) = fields.text(&["limits"]) else {
        return;
    };
    let mut flags = Vec::new();
    for limit in text.split_whitespace() {
        match LimitFlag::parse(limit) {
            Ok(limit) => flags.push(limit),
            // What it says itself holds what is there, which may be a token.
            Err(_) => {
                let form = "must be like `read=1000/1m bulk=10/1m,always`";
                fields.problems.push(Problem::new("limits", form));
            }
        }
    }
    row.key.limits = LimitFlag::all(flags);
}

fn credits(fields: &mut Fields, row: &mut Row) {
    let balance = fields.number("credits");
    let refill = fields
        .text(&["refill"])
        .and_then(|text| match text.parse::<Refill>() {
            Ok(refill) => refill.wire(),
            Err(why) => fields.problem("refill", why),
        });
    if balance.is_some() || refill.is_some() {
        row.key.credits = Some(Credits {
            balance,
            refill,
            refill_time: None,
        });
    }
}
