//! How an admin key is shown: as lines, as a row of a list, and as fields.

use serde_json::{Value, json};

use super::failure::Failure;
use super::output::Output;
use super::table::{self, Properties, listing};
use super::{key_view, text};
use crate::edge::pb::AdminKey;

/// The narrowest terminal, in columns, in which a list shows all that it can.
const ROOMY: u16 = 140;

/// All of an admin key, a line for each property that it has.
pub(crate) fn properties(key: &AdminKey) -> Properties {
    let mut lines = Properties::default();
    lines.add("Admin key", &key.id);
    lines.add("State", text::key_state(key.state));
    lines.add("Name", &key.name);
    lines.add("Role", text::admin_role(key.role));
    lines.add("Acts in", place(key));
    lines.add("May grant", key_view::scopes(&key.grant_ceiling));
    lines.add("Hint", &key.hint);
    lines.add(
        "Created",
        key_view::by(key.create_time.as_ref(), &key.created_by),
    );
    lines.add("Expires", text::expiry(key.expire_time.as_ref()));
    if let Some(end) = &key.old_token_end_time {
        lines.add("Old token", format!("works until {}", text::second(end)));
    }
    if key.revoke_time.is_some() {
        lines.add(
            "Revoked",
            key_view::by(key.revoke_time.as_ref(), &key.revoked_by),
        );
        lines.add("Reason", key_view::reason(key.revocation_reason));
        lines.add("Note", &key.revocation_note);
    }
    lines
}

/// Where it acts, in words.
pub(crate) fn place(key: &AdminKey) -> String {
    match key.workspace.as_str() {
        "" => "the whole system".to_owned(),
        workspace => format!("workspace {workspace}"),
    }
}

/// Many admin keys, a line each.
pub(crate) fn list(keys: &[AdminKey], width: Option<u16>) -> String {
    let roomy = width.is_none_or(|width| width >= ROOMY);
    let mut header = vec!["ADMIN KEY", "STATE", "ROLE", "ACTS IN", "NAME"];
    if roomy {
        header.extend(["HINT", "MAY GRANT", "EXPIRES"]);
    }
    let row = |key: &AdminKey| {
        let mut row = vec![
            key.id.clone(),
            text::key_state(key.state),
            text::admin_role(key.role),
            place(key),
            key.name.clone(),
        ];
        if roomy {
            row.extend([
                key.hint.clone(),
                key_view::scopes(&key.grant_ceiling),
                text::expiry(key.expire_time.as_ref()),
            ]);
        }
        row
    };
    let rows: Vec<_> = keys.iter().map(row).collect();
    let whole: &[usize] = if roomy { &[0, 1, 2, 5, 7] } else { &[0, 1, 2] };
    listing(&header, &rows, whole, width)
}

/// An admin key with the names of the API.
pub(crate) fn json(key: &AdminKey) -> Value {
    json!({
        "id": key.id,
        "name": key.name,
        "role": text::admin_role(key.role),
        "workspace": key.workspace,
        "grant_ceiling": key.grant_ceiling,
        "state": text::key_state(key.state),
        "hint": key.hint,
        "create_time": key.create_time.as_ref().map(text::moment),
        "created_by": key.created_by,
        "expire_time": key.expire_time.as_ref().map(text::moment),
        "revoke_time": key.revoke_time.as_ref().map(text::moment),
        "revocation_reason": key.revoke_time.map(|_| text::revocation_reason(key.revocation_reason)),
        "revoked_by": key.revoked_by,
        "revocation_note": key.revocation_note,
        "old_token_end_time": key.old_token_end_time.as_ref().map(text::moment),
        "etag": key.etag,
    })
}

/// Shows an admin key in any form.
pub(crate) fn show(output: Output, key: &AdminKey) -> Result<(), Failure> {
    output.print(
        || properties(key).lines(table::terminal_width()),
        || json!({ "admin_key": json(key) }),
    )
}

#[cfg(test)]
mod tests {
    use prost_types::Timestamp;

    use super::*;
    use crate::edge::pb::{AdminRole, KeyState};

    fn sample() -> AdminKey {
        let time = |seconds| Some(Timestamp { seconds, nanos: 0 });
        AdminKey {
            id: "adm_01k3c5hw7n8d0r2vxk4w9g6m1t".to_owned(),
            name: "CI".to_owned(),
            role: AdminRole::Issuer.into(),
            workspace: "klipy".to_owned(),
            grant_ceiling: vec!["people:read".to_owned()],
            state: KeyState::Active.into(),
            hint: "keyward_admin_…x7Qa".to_owned(),
            create_time: time(1_780_000_000),
            old_token_end_time: time(1_780_000_060),
            etag: "e1".to_owned(),
            ..AdminKey::default()
        }
    }

    #[test]
    fn the_json_of_an_admin_key_is_stable() {
        assert_eq!(
            json(&sample()),
            json!({
                "id": "adm_01k3c5hw7n8d0r2vxk4w9g6m1t",
                "name": "CI",
                "role": "ISSUER",
                "workspace": "klipy",
                "grant_ceiling": ["people:read"],
                "state": "ACTIVE",
                "hint": "keyward_admin_…x7Qa",
                "create_time": "2026-05-28T20:26:40Z",
                "created_by": "",
                "expire_time": null,
                "revoke_time": null,
                "revocation_reason": null,
                "revoked_by": "",
                "revocation_note": "",
                "old_token_end_time": "2026-05-28T20:27:40Z",
                "etag": "e1",
            })
        );
    }

    #[test]
    fn an_admin_key_says_where_it_acts_and_until_when_its_old_token_does() {
        let mut key = sample();
        let text = properties(&key).lines(None);
        assert!(
            text.contains("Role       ISSUER\nActs in    workspace klipy\n"),
            "{text}"
        );
        assert!(
            text.contains("Old token  works until 2026-05-28T20:27:40Z\n"),
            "{text}"
        );
        key.workspace.clear();
        assert!(list(&[key], Some(100)).contains("the whole system"));
    }
}
