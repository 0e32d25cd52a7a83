//! Limits, as they are defined.

use std::time::Duration;

use crate::domain::limit::{Limit, LimitDraft, LimitSet};

use super::pb;

/// Limits as an operator describes them.
pub(super) fn drafts(limits: Vec<pb::Limit>) -> Vec<LimitDraft> {
    limits.into_iter().map(draft).collect()
}

/// A window that is not given is none, and so is a negative one: both are told
/// of with whatever else is wrong with the limit.
fn draft(limit: pb::Limit) -> LimitDraft {
    let window = limit.window.map(Duration::try_from);
    LimitDraft {
        name: limit.name,
        count: limit.count,
        window: window.and_then(Result::ok).unwrap_or_default(),
        always: limit.always,
    }
}

/// Limits as they are shown.
pub(super) fn shown(limits: &LimitSet) -> Vec<pb::Limit> {
    let shown = |limit: &Limit| pb::Limit {
        name: limit.name.as_str().to_owned(),
        count: limit.count,
        window: Some(prost_types::Duration {
            seconds: limit.window.as_secs().into(),
            nanos: 0,
        }),
        always: limit.always,
    };
    limits.iter().map(shown).collect()
}
