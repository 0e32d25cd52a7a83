//! How the limits that counted on a check are told in its answer.

use std::time::Duration;

use crate::domain::due::{Reading, Source};

use super::super::pb::LimitSource;
use super::{Fields, Message};

/// A `LimitStatus`.
impl Message for Reading {
    fn tell(&self, fields: &mut impl Fields) {
        let limit = &self.limit;
        fields.text(1, limit.name.as_str());
        fields.number(2, limit.count.into());
        let window = Duration::from_secs(limit.window.as_secs().into());
        fields.nested(3, &window);
        fields.number(4, self.remaining.into());
        if let Some(delay) = &self.retry {
            fields.nested(5, delay);
        }
        if let Some(delay) = &self.reset {
            fields.nested(6, delay);
        }
        fields.number(7, wire_source(self.source) as u64);
        fields.number(8, self.denied.into());
    }
}

/// A `google.protobuf.Duration`.
impl Message for Duration {
    fn tell(&self, fields: &mut impl Fields) {
        fields.number(1, self.as_secs());
        fields.number(2, self.subsec_nanos().into());
    }
}

/// How long until none of those that have denied the check would: the longest
/// of their delays. None, if one of them always would.
pub(in crate::edge) fn retry_delay(limits: &[Reading]) -> Option<Duration> {
    let denied = limits.iter().filter(|limit| limit.denied);
    denied.map(|limit| limit.retry).max_by_key(|retry| {
        // What never passes is later than all else.
        retry.unwrap_or(Duration::MAX)
    })?
}

const fn wire_source(source: Source) -> LimitSource {
    match source {
        Source::Key => LimitSource::Key,
        Source::Principal => LimitSource::Principal,
        Source::Workspace => LimitSource::Workspace,
    }
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use prost::Message as _;

    use super::*;
    use crate::domain::limit::{Limit, Window};
    use crate::edge::pb;

    fn reading(denied: bool, retry: Option<u64>) -> Reading {
        Reading {
            limit: Limit {
                name: "read".parse().unwrap(),
                count: 1_000,
                window: Window::from_secs(60).unwrap(),
                always: true,
            },
            source: Source::Workspace,
            denied,
            remaining: 7,
            retry: retry.map(Duration::from_millis),
            reset: Some(Duration::from_micros(3)),
        }
    }

    #[test]
    fn a_status_reads_as_the_generated_reader_reads_it() {
        let mut written = BytesMut::new();
        reading(true, Some(1_500)).tell(&mut written);
        let duration = |seconds, nanos| Some(prost_types::Duration { seconds, nanos });
        let expected = pb::LimitStatus {
            name: "read".to_owned(),
            limit: 1_000,
            window: duration(60, 0),
            remaining: 7,
            retry_delay: duration(1, 500_000_000),
            reset_delay: duration(0, 3_000),
            source: LimitSource::Workspace.into(),
            denied: true,
        };
        assert_eq!(pb::LimitStatus::decode(written).unwrap(), expected);
    }

    #[test]
    fn the_delay_is_the_longest_of_those_that_denied() {
        let of = |limits: &[(bool, Option<u64>)]| {
            let limits = limits.iter().map(|&(denied, retry)| reading(denied, retry));
            retry_delay(&limits.collect::<Vec<_>>())
        };
        let seconds = |seconds| Some(Duration::from_secs(seconds));
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[(false, Some(5_000))]), None);
        let some = [
            (true, Some(1_000)),
            (true, Some(2_000)),
            (false, Some(9_000)),
        ];
        assert_eq!(of(&some), seconds(2));
        assert_eq!(of(&[some[0], (true, None)]), None);
    }
}
