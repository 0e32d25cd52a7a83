//! How principals and memberships are shown: as lines, as rows, and as fields.

use serde_json::{Value, json};

use super::failure::Failure;
use super::output::Output;
use super::table::{self, Properties, listing};
use super::{key_view, limits, text};
use crate::edge::pb::{Key, Membership, Principal};

/// All that a principal has: itself, its memberships and its keys.
#[derive(Debug, Default)]
pub(crate) struct Whole {
    pub(crate) principal: Principal,
    pub(crate) memberships: Vec<Membership>,
    pub(crate) keys: Vec<Key>,
}

impl Whole {
    /// Shows all of it on one screen.
    pub(crate) fn show(&self, output: Output) -> Result<(), Failure> {
        output.print(|| self.text(table::terminal_width()), || self.json())
    }

    fn text(&self, width: Option<u16>) -> String {
        let mut text = lines(&self.principal, width);
        text.push('\n');
        if self.memberships.is_empty() {
            text.push_str("It is a member of no workspace.\n");
        } else {
            text.push_str(&memberships(&self.memberships, width));
        }
        text.push('\n');
        if self.keys.is_empty() {
            text.push_str("It has no keys.\n");
        } else {
            text.push_str(&keys(&self.keys, width));
        }
        text
    }

    fn json(&self) -> Value {
        json!({
            "principal": json(&self.principal),
            "memberships": self.memberships.iter().map(membership_json).collect::<Vec<_>>(),
            "keys": self.keys.iter().map(key_view::json).collect::<Vec<_>>(),
        })
    }
}

fn lines(principal: &Principal, width: Option<u16>) -> String {
    let mut lines = Properties::default();
    lines.add("Principal", &principal.id);
    lines.add("State", state(principal));
    lines.add("Display name", &principal.display_name);
    lines.add("Description", &principal.description);
    lines.add("Limits", limits::typed(&principal.limits));
    let by = key_view::by(principal.create_time.as_ref(), &principal.created_by);
    lines.add("Created", by);
    lines.lines(width)
}

fn state(principal: &Principal) -> &'static str {
    if principal.disabled {
        "DISABLED"
    } else {
        "ENABLED"
    }
}

/// Many principals, a line each; their limits, if any of them has some.
pub(crate) fn list(principals: &[Principal], width: Option<u16>) -> String {
    let limited = principals.iter().any(|one| !one.limits.is_empty());
    let mut header = vec!["PRINCIPAL", "STATE", "DISPLAY NAME"];
    header.extend(limited.then_some("LIMITS"));
    let row = |principal: &Principal| {
        let mut row = vec![
            principal.id.clone(),
            state(principal).to_owned(),
            principal.display_name.clone(),
        ];
        row.extend(limited.then(|| limits::typed(&principal.limits)));
        row
    };
    let rows: Vec<_> = principals.iter().map(row).collect();
    listing(&header, &rows, &[0, 1], width)
}

/// Many memberships, a line each.
pub(crate) fn memberships(memberships: &[Membership], width: Option<u16>) -> String {
    let row = |membership: &Membership| {
        let ceiling = match membership.remove_time {
            Some(_) => "none: removed".to_owned(),
            None => key_view::scopes(&membership.scope_ceiling),
        };
        vec![
            membership.workspace.clone(),
            membership.principal.clone(),
            ceiling,
        ]
    };
    let rows: Vec<_> = memberships.iter().map(row).collect();
    listing(
        &["WORKSPACE", "PRINCIPAL", "SCOPE CEILING"],
        &rows,
        &[0],
        width,
    )
}

/// The keys of one principal, a line each.
fn keys(keys: &[Key], width: Option<u16>) -> String {
    let row = |key: &Key| {
        vec![
            key.id.clone(),
            text::key_state(key.state),
            key_view::workspace(key).to_owned(),
            key.name.clone(),
            key_view::scopes(&key.scopes),
        ]
    };
    let rows: Vec<_> = keys.iter().map(row).collect();
    let header = ["KEY", "STATE", "WORKSPACE", "NAME", "SCOPES"];
    listing(&header, &rows, &[0, 1], width)
}

fn membership_lines(membership: &Membership, width: Option<u16>) -> String {
    let mut lines = Properties::default();
    lines.add("Workspace", &membership.workspace);
    lines.add("Principal", &membership.principal);
    lines.add("Scope ceiling", key_view::scopes(&membership.scope_ceiling));
    let by = key_view::by(membership.create_time.as_ref(), &membership.created_by);
    lines.add("Created", by);
    if membership.remove_time.is_some() {
        let by = key_view::by(membership.remove_time.as_ref(), &membership.removed_by);
        lines.add("Removed", by);
    }
    lines.lines(width)
}

/// A principal with the names of the API.
pub(crate) fn json(principal: &Principal) -> Value {
    json!({
        "id": principal.id,
        "display_name": principal.display_name,
        "description": principal.description,
        "disabled": principal.disabled,
        "limits": limits::json(&principal.limits),
        "create_time": principal.create_time.as_ref().map(text::moment),
        "created_by": principal.created_by,
        "etag": principal.etag,
    })
}

/// A membership with the names of the API.
pub(crate) fn membership_json(membership: &Membership) -> Value {
    json!({
        "workspace": membership.workspace,
        "principal": membership.principal,
        "scope_ceiling": membership.scope_ceiling,
        "create_time": membership.create_time.as_ref().map(text::moment),
        "created_by": membership.created_by,
        "remove_time": membership.remove_time.as_ref().map(text::moment),
        "removed_by": membership.removed_by,
        "etag": membership.etag,
    })
}

/// Shows a principal in any form.
pub(crate) fn show(output: Output, principal: &Principal) -> Result<(), Failure> {
    output.print(
        || lines(principal, table::terminal_width()),
        || json!({ "principal": json(principal) }),
    )
}

/// Shows a membership in any form.
pub(crate) fn show_membership(output: Output, membership: &Membership) -> Result<(), Failure> {
    output.print(
        || membership_lines(membership, table::terminal_width()),
        || json!({ "membership": membership_json(membership) }),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edge::pb::{KeyState, Limit};
    use prost_types::Timestamp;

    const TIME: Option<Timestamp> = Some(Timestamp {
        seconds: 1_780_000_000,
        nanos: 0,
    });

    fn sample() -> Whole {
        let membership = |workspace: &str, remove_time| Membership {
            workspace: workspace.to_owned(),
            principal: "user:ada".to_owned(),
            scope_ceiling: vec!["people:*".to_owned()],
            create_time: TIME,
            remove_time,
            ..Membership::default()
        };
        Whole {
            principal: Principal {
                id: "user:ada".to_owned(),
                create_time: TIME,
                created_by: "adm_1".to_owned(),
                ..Principal::default()
            },
            memberships: vec![membership("kling", TIME), membership("klipy", None)],
            keys: vec![Key {
                id: "key_1".to_owned(),
                name: "CLI".to_owned(),
                state: KeyState::Active.into(),
                scopes: vec!["*".to_owned()],
                personal: true,
                ..Key::default()
            }],
        }
    }

    #[test]
    fn a_principal_is_shown_with_all_that_it_has() {
        let expected = "\
Principal  user:ada
State      ENABLED
Created    2026-05-28T20:26:40Z by adm_1

WORKSPACE  PRINCIPAL  SCOPE CEILING
kling      user:ada   none: removed
klipy      user:ada   people:*

KEY    STATE   WORKSPACE   NAME  SCOPES
key_1  ACTIVE  (personal)  CLI   *
";
        assert_eq!(sample().text(None), expected);
        let bare = Whole {
            principal: Principal {
                disabled: true,
                ..sample().principal
            },
            ..Whole::default()
        };
        let text = bare.text(None);
        assert!(text.contains("DISABLED"), "{text}");
        assert!(
            text.ends_with("\nIt is a member of no workspace.\n\nIt has no keys.\n"),
            "{text}"
        );
    }

    #[test]
    fn limits_are_shown_where_there_are_some() {
        let limited = Principal {
            limits: vec![Limit {
                name: "read".to_owned(),
                count: 5,
                window: Some(prost_types::Duration {
                    seconds: 60,
                    nanos: 0,
                }),
                always: true,
            }],
            ..sample().principal
        };
        let text = lines(&limited, None);
        assert!(text.contains("\nLimits     read=5/1m,always\n"), "{text}");
        let plain = Principal {
            id: "user:bob".to_owned(),
            ..sample().principal
        };
        assert!(!list(std::slice::from_ref(&plain), None).contains("LIMITS"));
        let expected = "\
PRINCIPAL  STATE    DISPLAY NAME  LIMITS
user:ada   ENABLED                read=5/1m,always
user:bob   ENABLED
";
        assert_eq!(list(&[limited.clone(), plain], None), expected);
        assert_eq!(json(&limited)["limits"][0]["count"], 5);
    }

    #[test]
    fn the_json_of_principals_and_memberships_is_stable() {
        let whole = sample();
        assert_eq!(
            json(&whole.principal),
            json!({
                "id": "user:ada",
                "display_name": "",
                "description": "",
                "disabled": false,
                "limits": [],
                "create_time": "2026-05-28T20:26:40Z",
                "created_by": "adm_1",
                "etag": "",
            })
        );
        assert_eq!(
            membership_json(&whole.memberships[1]),
            json!({
                "workspace": "klipy",
                "principal": "user:ada",
                "scope_ceiling": ["people:*"],
                "create_time": "2026-05-28T20:26:40Z",
                "created_by": "",
                "remove_time": null,
                "removed_by": "",
                "etag": "",
            })
        );
        assert_eq!(whole.json()["keys"][0]["personal"], true);
    }
}
