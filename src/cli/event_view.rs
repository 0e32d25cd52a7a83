//! How audit events are shown: as rows of a list, and as fields.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::table::listing;
use super::text;
use crate::edge::pb::AuditEvent;

/// Many events, a line each.
pub(crate) fn list(events: &[AuditEvent], width: Option<u16>) -> String {
    let rows: Vec<_> = events
        .iter()
        .map(|event| {
            vec![
                event.time.as_ref().map(text::second).unwrap_or_default(),
                log(event).to_owned(),
                event.sequence.to_string(),
                event.action.clone(),
                event.actor.clone(),
                event.resource.clone(),
                detail(event),
            ]
        })
        .collect();
    let header = ["TIME", "LOG", "NO", "ACTION", "ACTOR", "RESOURCE", "DETAIL"];
    listing(&header, &rows, &[0, 2, 3], width)
}

/// An event in one line, without columns: what follows is not known yet.
pub(crate) fn line(event: &AuditEvent) -> String {
    let time = event.time.as_ref().map(text::second).unwrap_or_default();
    let mut line = format!(
        "{time}  {} {}  {}  {}",
        log(event),
        event.sequence,
        event.action,
        event.actor
    );
    for part in [&event.resource, &detail(event)] {
        if !part.is_empty() {
            line.push_str("  ");
            line.push_str(part);
        }
    }
    let mut line = text::escaped(&line);
    line.push('\n');
    line
}

/// What is worth knowing, name by name. Values of several words are in quotes.
fn detail(event: &AuditEvent) -> String {
    let told = event.detail.iter().map(|(name, value)| {
        if value.contains([' ', '"']) {
            format!("{name}={}", Value::from(value.as_str()))
        } else {
            format!("{name}={value}")
        }
    });
    told.collect::<Vec<_>>().join(" ")
}

/// Whose log it is in, for people.
fn log(event: &AuditEvent) -> &str {
    match event.workspace.as_str() {
        "" => "(system)",
        workspace => workspace,
    }
}

/// The fields of an event, in the order of a table.
pub(crate) const COLUMNS: &[&str] = &[
    "time",
    "workspace",
    "sequence",
    "action",
    "actor",
    "resource",
    "detail",
];

/// An event with the names of the API.
pub(crate) fn json(event: &AuditEvent) -> Value {
    let detail: &BTreeMap<String, String> = &event.detail;
    json!({
        "workspace": event.workspace,
        "sequence": event.sequence,
        "time": event.time.as_ref().map(text::moment),
        "actor": event.actor,
        "action": event.action,
        "resource": event.resource,
        "detail": detail,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_has_all_fields() {
        let fields = json(&sample());
        let mut columns = COLUMNS.to_vec();
        columns.sort_unstable();
        let names: Vec<_> = fields.as_object().unwrap().keys().collect();
        assert_eq!(columns, names);
    }

    fn sample() -> AuditEvent {
        AuditEvent {
            workspace: "klipy".to_owned(),
            sequence: 7,
            time: Some(prost_types::Timestamp {
                seconds: 1_780_000_000,
                nanos: 250_000_000,
            }),
            actor: "adm_1".to_owned(),
            action: "key.revoke".to_owned(),
            resource: "key_1".to_owned(),
            detail: BTreeMap::from([
                ("note".to_owned(), "in a log".to_owned()),
                ("reason".to_owned(), "LEAKED\x1b[2J".to_owned()),
            ]),
        }
    }

    #[test]
    fn an_event_is_a_line_and_no_instruction() {
        assert_eq!(
            line(&sample()),
            "2026-05-28T20:26:40Z  klipy 7  key.revoke  adm_1  key_1  note=\"in a log\" reason=LEAKED\\u{1b}[2J\n"
        );
        let mut event = sample();
        event.workspace.clear();
        event.resource.clear();
        event.detail.clear();
        assert_eq!(
            line(&event),
            "2026-05-28T20:26:40Z  (system) 7  key.revoke  adm_1\n"
        );
        assert!(list(&[event], None).starts_with("TIME "));
    }

    #[test]
    fn the_json_of_an_event_is_stable() {
        assert_eq!(
            json(&sample()),
            json!({
                "workspace": "klipy",
                "sequence": 7,
                "time": "2026-05-28T20:26:40.250Z",
                "actor": "adm_1",
                "action": "key.revoke",
                "resource": "key_1",
                "detail": { "note": "in a log", "reason": "LEAKED\u{1b}[2J" },
            })
        );
    }
}
