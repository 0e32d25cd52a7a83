//! How the use of a key is shown: as lines of the key, in a column, and as
//! fields.

use serde_json::{Value, json};

use super::table::Properties;
use super::text;
use crate::edge::pb::{Key, KeyState, KeyUsage};

/// Adds what there is to say of the use of `key`, and what to do about it.
pub(crate) fn add(lines: &mut Properties, key: &Key) {
    let Some(usage) = &key.usage else { return };
    lines.add("Last used", last_use(usage));
    if let Some(first) = &usage.first_used_time {
        lines.add("First used", text::second(first));
    }
    lines.add("Checks", checks(usage));
    if let Some(denied) = &usage.last_denied_time {
        let reason = &usage.last_denial_reason;
        lines.add("Last denied", format!("{}, {reason}", text::second(denied)));
    }
    if key.rotation.is_some() {
        let used = usage.old_token_last_used_time.as_ref();
        let used = used.map_or_else(|| unused_old_token(key, usage), text::second);
        lines.add("Old token", used);
    }
    lines.add("Not needed", usage.unexercised_scopes.join(" "));
    if key.state != i32::from(KeyState::Revoked) {
        lines.add("To narrow", narrowing(key, usage));
    }
}

/// When a key was used last, for a column; none: that is not known.
pub(crate) fn last_used(key: &Key) -> Option<String> {
    let usage = key.usage.as_ref()?;
    let last = usage.last_used_time.as_ref();
    Some(last.map_or_else(|| never(usage), text::second))
}

/// Where it was used from last; empty if that is not known.
pub(crate) fn source(key: &Key) -> &str {
    let usage = key.usage.as_ref();
    usage.map_or("", |usage| &usage.last_source_address)
}

/// How a key was used, with the names of the API.
pub(crate) fn json(usage: &KeyUsage) -> Value {
    json!({
        "first_used_time": usage.first_used_time.as_ref().map(text::moment),
        "last_used_time": usage.last_used_time.as_ref().map(text::moment),
        "last_source_address": usage.last_source_address,
        "allowed": usage.allowed,
        "denied": usage.denied,
        "last_denied_time": usage.last_denied_time.as_ref().map(text::moment),
        "last_denial_reason": usage.last_denial_reason,
        "unexercised_scopes": usage.unexercised_scopes,
        "old_token_last_used_time": usage.old_token_last_used_time.as_ref().map(text::moment),
        "counted_since_time": usage.counted_since_time.as_ref().map(text::moment),
    })
}

fn last_use(usage: &KeyUsage) -> String {
    match (&usage.last_used_time, usage.last_source_address.as_str()) {
        (None, _) => never(usage),
        (Some(time), "") => text::second(time),
        (Some(time), source) => format!("{} from {source}", text::second(time)),
    }
}

/// That it was never used, as far as that is known.
fn never(usage: &KeyUsage) -> String {
    let counted = usage.counted_since_time.as_ref();
    counted.map_or_else(
        || "never".to_owned(),
        |since| format!("not since {}", text::second(since)),
    )
}

/// That the old token was not used, if that is known for all of the rotation.
fn unused_old_token(key: &Key, usage: &KeyUsage) -> String {
    let start = key.rotation.as_ref().and_then(|it| it.start_time.as_ref());
    let at = |time: &prost_types::Timestamp| (time.seconds, time.nanos);
    match (&usage.counted_since_time, start.map(at)) {
        (Some(since), start) if start.is_none_or(|start| start < at(since)) => {
            "not known".to_owned()
        }
        _ => "not used since".to_owned(),
    }
}

/// How many checks there were, and of those that were denied, why.
fn checks(usage: &KeyUsage) -> String {
    if usage.allowed == 0 && usage.denied.is_empty() {
        return String::new();
    }
    let reasons = usage.denied.iter();
    let reasons: Vec<_> = reasons
        .map(|(reason, count)| format!("{count} denied {reason}"))
        .collect();
    let allowed = format!("{} allowed", usage.allowed);
    [vec![allowed], reasons].concat().join(", ")
}

/// The command that takes away what was never needed.
fn narrowing(key: &Key, usage: &KeyUsage) -> String {
    if usage.unexercised_scopes.is_empty() {
        return String::new();
    }
    let scopes = usage.unexercised_scopes.join(" ");
    format!("keyward keys update {} --remove-scope '{scopes}'", key.id)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use prost_types::Timestamp;

    use super::*;
    use crate::edge::pb::Rotation;

    fn shown(key: &Key) -> String {
        let mut lines = Properties::default();
        add(&mut lines, key);
        lines.lines(None)
    }

    fn time(seconds: i64) -> Option<Timestamp> {
        let seconds = 1_780_000_000 + seconds;
        Some(Timestamp { seconds, nanos: 7 })
    }

    #[test]
    fn a_used_key_says_when_from_where_and_what_it_did_not_need() {
        let mut key = Key {
            id: "key_1".to_owned(),
            usage: Some(KeyUsage {
                first_used_time: time(0),
                last_used_time: time(60),
                last_source_address: "203.0.113.7".to_owned(),
                allowed: 12,
                denied: BTreeMap::from([("RATE_LIMITED".to_owned(), 2)]),
                last_denied_time: time(30),
                last_denial_reason: "RATE_LIMITED".to_owned(),
                unexercised_scopes: vec!["*".to_owned(), "a:b".to_owned()],
                old_token_last_used_time: None,
                counted_since_time: None,
            }),
            rotation: Some(Rotation::default()),
            ..Key::default()
        };
        let text = "\
Last used    2026-05-28T20:27:40Z from 203.0.113.7
First used   2026-05-28T20:26:40Z
Checks       12 allowed, 2 denied RATE_LIMITED
Last denied  2026-05-28T20:27:10Z, RATE_LIMITED
Old token    not used since
Not needed   * a:b
To narrow    keyward keys update key_1 --remove-scope '* a:b'
";
        assert_eq!(shown(&key), text);
        key.state = KeyState::Revoked.into();
        assert!(!shown(&key).contains("narrow"));
        let fields = json(key.usage.as_ref().unwrap());
        assert_eq!(fields["denied"]["RATE_LIMITED"], 2);
        assert_eq!(fields["old_token_last_used_time"], Value::Null);
    }

    #[test]
    fn what_was_never_used_says_so_and_what_is_not_counted_says_nothing() {
        let mut key = Key::default();
        assert_eq!((shown(&key).as_str(), last_used(&key)), ("\n", None));
        key.usage = Some(KeyUsage::default());
        assert_eq!(shown(&key), "Last used  never\n");
        assert_eq!(last_used(&key).as_deref(), Some("never"));
        // It may have been, before that was counted.
        key.usage.as_mut().unwrap().counted_since_time = time(0);
        assert_eq!(shown(&key), "Last used  not since 2026-05-28T20:26:40Z\n");
        for (start, said) in [(-1, "not known"), (0, "not used since")] {
            key.rotation = Some(Rotation {
                start_time: time(start),
                ..Rotation::default()
            });
            assert!(shown(&key).contains(&format!("Old token  {said}\n")));
        }
    }
}
