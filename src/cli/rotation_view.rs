//! How the rotation of a key is shown: in a sentence, in a word or two, and as
//! fields.

use std::time::Duration;

use prost_types::Timestamp;
use serde_json::{Value, json};

use super::text;
use crate::domain::clock;
use crate::edge::pb::{Key, Rotation};

/// What there is to say of the rotation of a key at `now`; empty if there is
/// nothing: it has one token, and is not due for another.
pub(crate) fn sentence(key: &Key, now: clock::Timestamp) -> String {
    match &key.rotation {
        Some(rotation) => format!("old token {} {}", rotation.old_hint, old_end(rotation)),
        None => due(key, now),
    }
}

/// The same for a column.
pub(crate) fn brief(key: &Key, now: clock::Timestamp) -> String {
    match &key.rotation {
        Some(rotation) => match &rotation.old_end_time {
            Some(end) => format!("until {}", text::second(end)),
            None => "awaits first use".to_owned(),
        },
        None => due(key, now),
    }
}

/// When the old token ends, as in `works until …`.
pub(crate) fn old_end(rotation: &Rotation) -> String {
    match &rotation.old_end_time {
        Some(end) => format!("works until {}", text::second(end)),
        None => format!(
            "works until {} after the first use of the new one",
            span(rotation.overlap.as_ref())
        ),
    }
}

fn due(key: &Key, now: clock::Timestamp) -> String {
    match &key.rotation_due_time {
        Some(due) if is_past(due, now) => format!("due since {}", text::second(due)),
        Some(_) | None => String::new(),
    }
}

fn is_past(time: &Timestamp, now: clock::Timestamp) -> bool {
    let now = i128::from(now.as_micros());
    i128::from(time.seconds) * 1_000_000 + i128::from(time.nanos / 1_000) <= now
}

/// A span as people write it, such as `7days`.
pub(crate) fn span(span: Option<&prost_types::Duration>) -> String {
    let span = span.copied().unwrap_or_default();
    humantime::format_duration(Duration::try_from(span).unwrap_or_default()).to_string()
}

/// A rotation with the names of the API.
pub(crate) fn json(rotation: &Rotation) -> Value {
    json!({
        "new_hint": rotation.new_hint,
        "old_hint": rotation.old_hint,
        "start_time": rotation.start_time.as_ref().map(text::moment),
        "old_end_time": rotation.old_end_time.as_ref().map(text::moment),
        "overlap": rotation.overlap.as_ref().map(ToString::to_string),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: clock::Timestamp = clock::Timestamp::from_micros(1_780_000_000_250_000);

    fn time(seconds: i64, nanos: i32) -> Option<Timestamp> {
        Some(Timestamp { seconds, nanos })
    }

    fn rotating(old_end_time: Option<Timestamp>) -> Key {
        Key {
            rotation: Some(Rotation {
                new_hint: "klg_…new1".to_owned(),
                old_hint: "klg_…old1".to_owned(),
                start_time: time(1_780_000_000, 0),
                old_end_time,
                overlap: Some(prost_types::Duration {
                    seconds: 7 * 24 * 3_600,
                    nanos: 0,
                }),
            }),
            ..Key::default()
        }
    }

    #[test]
    fn it_says_when_the_old_token_ends() {
        let key = rotating(time(1_780_000_060, 0));
        assert_eq!(
            (sentence(&key, NOW), brief(&key, NOW)),
            (
                "old token klg_…old1 works until 2026-05-28T20:27:40Z".to_owned(),
                "until 2026-05-28T20:27:40Z".to_owned()
            )
        );
        let key = rotating(None);
        assert_eq!(
            (sentence(&key, NOW), brief(&key, NOW)),
            (
                "old token klg_…old1 works until 7days after the first use of the new one"
                    .to_owned(),
                "awaits first use".to_owned()
            )
        );
        let shown = json(key.rotation.as_ref().unwrap());
        assert_eq!(shown["overlap"], "604800s");
        assert_eq!(shown["old_end_time"], Value::Null);
    }

    #[test]
    fn a_key_is_due_from_the_very_moment() {
        for (nanos, is_due) in [(250_000_000, true), (250_001_000, false)] {
            let key = Key {
                rotation_due_time: time(1_780_000_000, nanos),
                ..Key::default()
            };
            assert_eq!(!sentence(&key, NOW).is_empty(), is_due, "{nanos}");
            assert_eq!(sentence(&key, NOW), brief(&key, NOW));
        }
        assert_eq!(sentence(&Key::default(), NOW), "");
    }
}
