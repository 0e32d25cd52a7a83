//! How a key is shown: as lines, as a row of a list, and as fields.

use std::collections::BTreeMap;

use prost_types::Timestamp;
use serde_json::{Value, json};

use super::failure::Failure;
use super::limits;
use super::output::Output;
use super::refill;
use super::table::{self, Properties, listing};
use super::{rotation_view, text, usage_view};
use crate::domain::clock::{self, Clock, SystemClock};
use crate::edge::pb::{ImportedForm, ImportedToken, Key};

/// The narrowest terminal, in columns, in which a list shows all that it can.
const ROOMY: u16 = 160;

/// The narrowest one in which it shows when keys were used.
const SOME_ROOM: u16 = 100;

/// All of a key, a line for each property that it has.
pub(crate) fn lines(key: &Key, width: Option<u16>) -> String {
    properties(key).lines(width)
}

fn properties(key: &Key) -> Properties {
    let mut lines = Properties::default();
    lines.add("Key", &key.id);
    lines.add("State", text::key_state(key.state));
    lines.add("Name", &key.name);
    lines.add("Description", &key.description);
    lines.add("Workspace", workspace(key));
    lines.add("Environment", &key.environment);
    lines.add("Principal", &key.principal);
    lines.add("Scopes", scopes(&key.scopes));
    if let Some(effective) = &key.effective_scopes {
        lines.add("Effective", scopes(&effective.scopes));
    }
    lines.add("Metadata", metadata(&key.metadata));
    lines.add("Limits", limits::typed(&key.limits));
    lines.add("Works from", key.source_addresses.join(" "));
    lines.add("Hint", &key.hint);
    lines.add("Created", by(key.create_time.as_ref(), &key.created_by));
    lines.add("Expires", text::expiry(key.expire_time.as_ref()));
    if let Some(imported) = &key.imported {
        lines.add("Imported", import_sentence(imported));
    }
    lines.add("Rotation", rotation_view::sentence(key, now()));
    if let Some(credits) = &key.credits {
        lines.add("Credits", refill::line(credits));
    }
    if key.revoke_time.is_some() {
        lines.add("Revoked", by(key.revoke_time.as_ref(), &key.revoked_by));
        lines.add("Reason", reason(key.revocation_reason));
        lines.add("Note", &key.revocation_note);
    }
    lines
}

/// That another product's token works, and how it came.
fn import_sentence(imported: &ImportedToken) -> String {
    let form = match imported.form() {
        ImportedForm::Token => "its token",
        ImportedForm::Sha256 => "the SHA-256 of its token",
        ImportedForm::Blake3 => "the BLAKE3 of its token",
        ImportedForm::Unspecified => "its token, in a way that this keyward does not know",
    };
    let time = imported.import_time.as_ref().map(text::second);
    format!(
        "{} by {form}, which another product has issued",
        time.unwrap_or_default()
    )
}

/// The same with the names of the API.
fn import_json(imported: &ImportedToken) -> Value {
    let form = imported.form().as_str_name();
    json!({
        "form": form.strip_prefix("IMPORTED_FORM_").unwrap_or(form),
        "import_time": imported.import_time.as_ref().map(text::moment),
    })
}

/// Where it works.
pub(crate) fn workspace(key: &Key) -> &str {
    if key.personal {
        "(personal)"
    } else {
        &key.workspace
    }
}

fn now() -> clock::Timestamp {
    SystemClock::default().now()
}

/// Why it was revoked; empty if that was not said.
pub(crate) fn reason(value: i32) -> String {
    match value {
        0 => String::new(),
        value => text::revocation_reason(value),
    }
}

/// Many keys, a line each. A narrow terminal gets what tells keys apart; the
/// rest is shown by `keyward keys get`.
pub(crate) fn list(keys: &[Key], width: Option<u16>) -> String {
    let roomy = width.is_none_or(|width| width >= ROOMY);
    let tells_use =
        width.is_none_or(|width| width >= SOME_ROOM) && keys.iter().any(|key| key.usage.is_some());
    let mut header = vec!["KEY", "STATE", "NAME", "PRINCIPAL"];
    if roomy {
        header.extend(["WORKSPACE", "HINT", "SCOPES"]);
    }
    if tells_use {
        header.push("LAST USED");
    }
    if roomy {
        header.push("EXPIRES");
    }
    let now = now();
    let rotations = keys.iter().map(|key| rotation_view::brief(key, now));
    let rotates = roomy && rotations.into_iter().any(|rotation| !rotation.is_empty());
    if rotates {
        header.push("ROTATION");
    }
    let row = |key: &Key| {
        let mut row = vec![
            key.id.clone(),
            text::key_state(key.state),
            key.name.clone(),
            key.principal.clone(),
        ];
        if roomy {
            row.extend([
                workspace(key).to_owned(),
                key.hint.clone(),
                scopes(&key.scopes),
            ]);
        }
        if tells_use {
            row.push(usage_view::last_used(key).unwrap_or_default());
        }
        if roomy {
            row.push(text::expiry(key.expire_time.as_ref()));
        }
        if rotates {
            row.push(rotation_view::brief(key, now));
        }
        row
    };
    let rows: Vec<_> = keys.iter().map(row).collect();
    let is_whole = |name: &str| ["KEY", "STATE", "HINT", "LAST USED", "EXPIRES"].contains(&name);
    let whole: Vec<_> = (0..header.len())
        .filter(|column| is_whole(header[*column]))
        .collect();
    listing(&header, &rows, &whole, width)
}

/// The fields of a key, in the order of a table.
pub(crate) const COLUMNS: &[&str] = &[
    "id",
    "state",
    "name",
    "description",
    "workspace",
    "personal",
    "environment",
    "principal",
    "scopes",
    "effective_scopes",
    "metadata",
    "limits",
    "source_addresses",
    "hint",
    "imported",
    "create_time",
    "created_by",
    "expire_time",
    "disabled",
    "revoke_time",
    "revocation_reason",
    "revoked_by",
    "revocation_note",
    "rotation",
    "rotate_time",
    "rotation_due_time",
    "credits",
    "usage",
    "etag",
];

/// A key with the names of the API. All fields are always there; a time that
/// is not set, and the reason of a revocation that was not, are null.
pub(crate) fn json(key: &Key) -> Value {
    json!({
        "id": key.id,
        "workspace": key.workspace,
        "personal": key.personal,
        "environment": key.environment,
        "principal": key.principal,
        "name": key.name,
        "description": key.description,
        "scopes": key.scopes,
        "effective_scopes": key.effective_scopes.as_ref().map(|effective| &effective.scopes),
        "metadata": key.metadata,
        "limits": limits::json(&key.limits),
        "state": text::key_state(key.state),
        "disabled": key.disabled,
        "hint": key.hint,
        "create_time": key.create_time.as_ref().map(text::moment),
        "created_by": key.created_by,
        "expire_time": key.expire_time.as_ref().map(text::moment),
        "revoke_time": key.revoke_time.as_ref().map(text::moment),
        "revocation_reason": key.revoke_time.map(|_| text::revocation_reason(key.revocation_reason)),
        "revoked_by": key.revoked_by,
        "revocation_note": key.revocation_note,
        "source_addresses": key.source_addresses,
        "imported": key.imported.as_ref().map(import_json),
        "rotation": key.rotation.as_ref().map(rotation_view::json),
        "rotate_time": key.rotate_time.as_ref().map(text::moment),
        "rotation_due_time": key.rotation_due_time.as_ref().map(text::moment),
        "credits": key.credits.as_ref().map(refill::json),
        "usage": key.usage.as_ref().map(usage_view::json),
        "etag": key.etag,
    })
}

/// Scopes, separated by spaces as they can be typed.
pub(crate) fn scopes(scopes: &[String]) -> String {
    if scopes.is_empty() {
        "none".to_owned()
    } else {
        scopes.join(" ")
    }
}

/// Metadata, as it can be typed.
pub(crate) fn metadata(metadata: &BTreeMap<String, String>) -> String {
    metadata
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect::<Vec<_>>()
        .join(" ")
}

/// A time, and who it was.
pub(crate) fn by(time: Option<&Timestamp>, who: &str) -> String {
    let time = time.map(text::second).unwrap_or_default();
    if who.is_empty() {
        time
    } else {
        format!("{time} by {who}")
    }
}

/// Shows a key in either form.
pub(crate) fn show(output: Output, key: &Key) -> Result<(), Failure> {
    let table = || lines(key, table::terminal_width());
    output.print(table, || json!({ "key": json(key) }))
}

/// The same, with how it was used.
pub(crate) fn show_with_usage(output: Output, key: &Key) -> Result<(), Failure> {
    let table = || {
        let mut lines = properties(key);
        usage_view::add(&mut lines, key);
        lines.lines(table::terminal_width())
    };
    output.print(table, || json!({ "key": json(key) }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edge::pb::{KeyState, Limit, RevocationReason};

    #[test]
    fn a_table_has_all_fields() {
        let fields = json(&sample());
        let mut columns = COLUMNS.to_vec();
        columns.sort_unstable();
        let names: Vec<_> = fields.as_object().unwrap().keys().collect();
        assert_eq!(columns, names);
    }

    fn sample() -> Key {
        Key {
            id: "key_01k3c5hw7n8d0r2vxk4w9g6m1t".to_owned(),
            workspace: "klipy".to_owned(),
            environment: "live".to_owned(),
            principal: "user:ada".to_owned(),
            name: "CRM sync".to_owned(),
            scopes: vec!["companies:write".to_owned(), "people:read".to_owned()],
            metadata: BTreeMap::from([("team".to_owned(), "crm".to_owned())]),
            state: KeyState::Active.into(),
            hint: "klipy_api_live_…x7Qa".to_owned(),
            create_time: Some(Timestamp {
                seconds: 1_780_000_000,
                nanos: 250_000_000,
            }),
            created_by: "adm_1".to_owned(),
            etag: "e1".to_owned(),
            limits: vec![Limit {
                name: "read".to_owned(),
                count: 1_000,
                window: Some(prost_types::Duration {
                    seconds: 60,
                    nanos: 0,
                }),
                always: false,
            }],
            ..Key::default()
        }
    }

    #[test]
    fn the_json_of_a_key_is_stable() {
        let key = sample();
        assert_eq!(
            json(&key),
            json!({
                "id": "key_01k3c5hw7n8d0r2vxk4w9g6m1t",
                "workspace": "klipy",
                "personal": false,
                "environment": "live",
                "principal": "user:ada",
                "name": "CRM sync",
                "description": "",
                "scopes": ["companies:write", "people:read"],
                "effective_scopes": null,
                "metadata": { "team": "crm" },
                "limits": [{ "name": "read", "count": 1000, "window": "60s", "always": false }],
                "state": "ACTIVE",
                "disabled": false,
                "hint": "klipy_api_live_…x7Qa",
                "create_time": "2026-05-28T20:26:40.250Z",
                "created_by": "adm_1",
                "expire_time": null,
                "revoke_time": null,
                "revocation_reason": null,
                "revoked_by": "",
                "revocation_note": "",
                "source_addresses": [],
                "imported": null,
                "rotation": null,
                "rotate_time": null,
                "rotation_due_time": null,
                "credits": null,
                "usage": null,
                "etag": "e1",
            })
        );
    }

    #[test]
    fn a_revoked_key_says_when_why_and_by_whom() {
        let mut key = sample();
        key.state = KeyState::Revoked.into();
        key.revoke_time = Some(Timestamp {
            seconds: 1_780_000_060,
            nanos: 0,
        });
        key.revocation_reason = RevocationReason::Leaked.into();
        key.revoked_by = "adm_2".to_owned();
        assert_eq!(json(&key)["revocation_reason"], "LEAKED");
        let text = lines(&key, None);
        assert!(
            text.contains("Revoked      2026-05-28T20:27:40Z by adm_2\nReason       LEAKED\n"),
            "{text}"
        );
        key.revocation_reason = RevocationReason::Unspecified.into();
        key.revocation_note = "said so on the phone".to_owned();
        let text = lines(&key, None);
        assert!(
            text.ends_with("by adm_2\nNote         said so on the phone\n"),
            "{text}"
        );
    }

    #[test]
    fn a_key_that_is_due_says_so_where_there_is_room() {
        let mut key = sample();
        assert!(!list(&[key.clone()], None).contains("ROTATION"));
        key.rotation_due_time = key.create_time;
        let due = "due since 2026-05-28T20:26:40Z";
        assert!(lines(&key, None).contains(&format!("Rotation     {due}\n")));
        let listed = list(&[sample(), key.clone()], None);
        assert!(
            listed.contains("ROTATION") && listed.contains(due),
            "{listed}"
        );
        assert!(!list(&[key], Some(80)).contains("ROTATION"));
    }

    #[test]
    fn a_list_fits_any_terminal_and_keeps_ids_whole() {
        let mut key = sample();
        key.name = "The one that the people of accounting asked for last year".to_owned();
        for width in [80, 100, 140, 200] {
            let text = list(&[key.clone()], Some(width));
            assert!(
                text.lines()
                    .all(|line| line.chars().count() <= usize::from(width)),
                "{width}:\n{text}"
            );
            assert!(text.contains(&key.id), "{width}:\n{text}");
        }
        assert!(list(&[key], None).contains("klipy_api_live_…x7Qa"));
    }

    #[test]
    fn an_imported_key_says_how_its_token_came() {
        let imported = ImportedToken {
            form: ImportedForm::Sha256.into(),
            import_time: Some(Timestamp {
                seconds: 1_780_000_000,
                nanos: 0,
            }),
        };
        assert_eq!(
            import_sentence(&imported),
            "2026-05-28T20:26:40Z by the SHA-256 of its token, which another product has issued"
        );
        assert_eq!(import_json(&imported)["form"], "SHA256");
    }
}
