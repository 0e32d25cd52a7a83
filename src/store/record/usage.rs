//! How keys were used.

use std::net::IpAddr;

use crate::domain::clock::Timestamp;
use crate::domain::usage::{Denials, Usage};
use crate::domain::verdict::DenialReason;
use crate::store::pb;

use super::Unreadable;
use super::part::{bad, read, scopes, texts};

pub(super) fn encode(usage: &Usage) -> pb::UsageRecord {
    let last = usage.denials.last;
    let denials = usage.denials.iter().map(|(reason, count)| {
        let reason = number(reason);
        pb::DenialsRecord { reason, count }
    });
    pb::UsageRecord {
        key: usage.key.to_string(),
        first_used: micros(usage.first_used),
        last_used: micros(usage.last_used),
        source: match usage.source {
            None => Vec::new(),
            Some(IpAddr::V4(address)) => address.octets().to_vec(),
            Some(IpAddr::V6(address)) => address.octets().to_vec(),
        },
        superseded_used: micros(usage.superseded_used),
        allowed: usage.allowed,
        denials: denials.collect(),
        last_denied: micros(last.map(|(time, _)| time)),
        last_denial: last.map_or(0, |(_, reason)| number(reason)),
        exercised: texts(&usage.exercised),
    }
}

pub(super) fn decode(record: &pb::UsageRecord) -> Result<Usage, Unreadable> {
    let mut denials = Denials::default();
    for one in &record.denials {
        if !denials.set(reason(one.reason)?, one.count) {
            return Err(bad("denials"));
        }
    }
    if let Some(time) = time(record.last_denied) {
        denials.last = Some((time, reason(record.last_denial)?));
    }
    Ok(Usage {
        key: read("key", &record.key)?,
        first_used: time(record.first_used),
        last_used: time(record.last_used),
        source: source(&record.source)?,
        superseded_used: time(record.superseded_used),
        allowed: record.allowed,
        denials,
        exercised: scopes(&record.exercised)?,
    })
}

fn micros(time: Option<Timestamp>) -> u64 {
    time.map_or(0, Timestamp::as_micros)
}

fn time(micros: u64) -> Option<Timestamp> {
    (micros > 0).then(|| Timestamp::from_micros(micros))
}

fn source(octets: &[u8]) -> Result<Option<IpAddr>, Unreadable> {
    if octets.is_empty() {
        return Ok(None);
    }
    let v4 = <[u8; 4]>::try_from(octets).map(IpAddr::from);
    let v6 = <[u8; 16]>::try_from(octets).map(IpAddr::from);
    v4.or(v6).map(Some).map_err(|_| bad("source"))
}

/// The reason as the API numbers it.
const fn number(reason: DenialReason) -> i32 {
    match reason {
        DenialReason::Missing => 1,
        DenialReason::Malformed => 2,
        DenialReason::Unknown => 3,
        DenialReason::WorkspaceRequired => 9,
        DenialReason::Revoked => 4,
        DenialReason::Expired => 5,
        DenialReason::Disabled => 6,
        DenialReason::Environment => 7,
        DenialReason::SourceAddress => 10,
        DenialReason::InsufficientScope => 8,
        DenialReason::UnknownLimit => 11,
        DenialReason::RateLimited => 12,
        DenialReason::CreditsExhausted => 13,
    }
}

fn reason(found: i32) -> Result<DenialReason, Unreadable> {
    DenialReason::ALL
        .into_iter()
        .find(|reason| number(*reason) == found)
        .ok_or_else(|| bad("denials"))
}
