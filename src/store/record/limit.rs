//! Limits, of keys, principals and workspaces.

use crate::domain::limit::{Limit, LimitSet, Window};
use crate::store::pb;

use super::Unreadable;
use super::part::{bad, read};

pub(super) fn encode_limits(limits: &LimitSet) -> Vec<pb::LimitRecord> {
    let encode = |limit: &Limit| pb::LimitRecord {
        name: limit.name.as_str().to_owned(),
        count: limit.count,
        window: limit.window.as_secs(),
        always: limit.always,
    };
    limits.iter().map(encode).collect()
}

pub(super) fn decode_limits(records: &[pb::LimitRecord]) -> Result<LimitSet, Unreadable> {
    let decode = |record: &pb::LimitRecord| {
        Ok(Limit {
            name: read("limits.name", &record.name)?,
            count: record.count,
            window: Window::from_secs(record.window).ok_or_else(|| bad("limits.window"))?,
            always: record.always,
        })
    };
    let limits: Result<Vec<_>, _> = records.iter().map(decode).collect();
    limits.map(LimitSet::new)
}
