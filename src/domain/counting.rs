//! Since when uses of keys are counted without a gap: of what was before, that
//! nothing is known does not say that a key was not used.
//!
//! It lies with the usage of keys, in what is noted of nobody's: the last use is
//! when the counting began, and that of a superseded token when a server began
//! that does not count. Merged, both only go forward.

use super::clock::Timestamp;
use super::id::KeyId;
use super::usage::Usage;

/// What a server begins with.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Counting {
    /// Since when uses are counted; none: they are not.
    pub since: Option<Timestamp>,
    /// What is to be stored of that.
    pub mark: Option<Mark>,
}

/// What is to be stored, among the usage of keys.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mark {
    /// It, as nobody's usage.
    pub usage: Usage,
    /// Whether it must be stored before a key is used. If not, it goes with the
    /// next usage: lost, it only makes the next counting begin later.
    pub at_once: bool,
}

impl Counting {
    /// What a server begins with at `now` that finds this `stored`.
    #[must_use]
    pub fn begin(stored: Option<Usage>, counted: bool, now: Timestamp) -> Self {
        let stored = stored.unwrap_or_else(|| Usage::none(KeyId::NOBODY));
        let stopped = stored.superseded_used;
        let since = stored.last_used.filter(|since| stopped < Some(*since));
        let (usage, at_once) = match (counted, since) {
            (true, Some(_)) => return Self { since, mark: None },
            (false, None) => return Self::default(),
            (true, None) => (
                Usage {
                    last_used: Some(now),
                    ..stored
                },
                false,
            ),
            (false, Some(since)) => (
                Usage {
                    superseded_used: Some(now.max(since)),
                    ..stored
                },
                true,
            ),
        };
        Self {
            since: counted.then_some(now),
            mark: Some(Mark { usage, at_once }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_does_not_count_makes_the_next_begin_anew() {
        let at = Timestamp::from_micros;
        let mut stored = None;
        for (counted, now, since, is_stored) in [
            (false, 5, None, false),
            (true, 10, Some(10), true),
            (true, 20, Some(10), false),
            (false, 30, None, true),
            (false, 40, None, false),
            (true, 50, Some(50), true),
            (true, 60, Some(50), false),
            // As soon as it began: nobody can tell which was first.
            (false, 50, None, true),
            (true, 70, Some(70), true),
        ] {
            let begun = Counting::begin(stored.clone(), counted, at(now));
            assert_eq!(begun.since, since.map(at), "{now}");
            assert_eq!(begun.mark.is_some(), is_stored, "{now}");
            if let Some(Mark { usage, at_once }) = begun.mark {
                assert_eq!(at_once, !counted);
                let before = stored.unwrap_or_else(|| usage.clone());
                stored = Some(before.merged(&usage));
            }
        }
    }
}
