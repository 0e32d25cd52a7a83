//! What programs read: JSON and YAML, with every field.

use serde_json::{Value, json};

use super::{Shell, assert_same, redacted, redacted_json};

#[test]
fn json_holds_every_field_by_its_name_in_the_api() {
    let shell = Shell::start();
    let workspace = json!({
        "workspace": {
            "id": "kling",
            "display_name": "",
            "token_prefix": "klg",
            "environments": ["live", "test"],
            "default_environment": "live",
            "unmarked_environment": "live",
            "scope_catalog": [],
            "default_limits": [],
            "rotation_period": "7776000s",
            "disabled": false,
            "create_time": "TIME",
            "created_by": "adm_ID",
            "etag": "ETAG",
        },
    });
    let created =
        shell.json("workspaces create kling --prefix klg --environment live --environment test --unmarked-environment live");
    assert_eq!((&created.0, created.1), (&workspace, 0));
    assert_eq!(shell.json("workspaces get kling").0, workspace);

    let mut key = json!({
        "id": "key_ID",
        "workspace": "kling",
        "personal": false,
        "environment": "live",
        "principal": "user:ada",
        "name": "crm",
        "description": "",
        "scopes": ["*"],
        "effective_scopes": null,
        "metadata": { "plan": "free", "equation": "a=b" },
        "limits": [{ "name": "read", "count": 5, "window": "60s", "always": true }],
        "state": "ACTIVE",
        "disabled": false,
        "hint": "klg_…TAIL",
        "create_time": "TIME",
        "created_by": "adm_ID",
        "expire_time": null,
        "revoke_time": null,
        "revocation_reason": null,
        "revoked_by": "",
        "revocation_note": "",
        "imported": null,
        "rotation": null,
        "rotate_time": "TIME",
        "rotation_due_time": "TIME",
        "source_addresses": [],
        "credits": null,
        "usage": {
            "first_used_time": null,
            "last_used_time": null,
            "last_source_address": "",
            "allowed": 0,
            "denied": {},
            "last_denied_time": null,
            "last_denial_reason": "",
            "unexercised_scopes": [],
            "old_token_last_used_time": null,
            "counted_since_time": null,
        },
        "etag": "ETAG",
    });
    let line = "keys create --workspace kling --name crm --principal user:ada --scope ALL \
                --metadata plan=free --metadata equation=a=b --limit read=5/1m,always";
    let output = shell.run(line, &["--output", "json"]);
    let issued: Value = serde_json::from_slice(&output.stdout).unwrap();
    let (token, id) = (
        issued["token"].as_str().unwrap(),
        issued["key"]["id"].as_str().unwrap(),
    );
    assert_eq!(
        redacted_json(&output.stdout, &shell),
        json!({ "key": key, "token": "klg_TOKEN" })
    );
    assert_eq!(
        shell.json(&format!("keys get {id}")),
        (json!({ "key": key }), 0)
    );
    assert_eq!(shell.json("keys list"), (json!({ "keys": [key] }), 0));
    assert_eq!(
        shell.json("keys list --principal nobody"),
        (json!({ "keys": [] }), 0)
    );

    let allowed = json!({
        "allowed": {
            "key_id": "key_ID",
            "name": "crm",
            "principal": "user:ada",
            "workspace": "kling",
            "environment": "live",
            "scopes": ["*"],
            "metadata": { "plan": "free", "equation": "a=b" },
            "expire_time": null,
            "limits": [{
                "name": "read",
                "limit": 5,
                "window": "60s",
                "remaining": 5,
                "retry_delay": null,
                "reset_delay": null,
                "source": "KEY",
                "denied": false,
            }],
            "token": null,
            "credits": null,
        },
    });
    assert_eq!(
        shell.json(&format!("check {token} --scope a:b --cost 0")),
        (allowed, 0)
    );
    let denied = |reason: &str, status: u16, missing: &[&str], key_id: &str, key_hint: &str| {
        json!({
            "denied": {
                "reason": reason,
                "http_status": status,
                "missing_scopes": missing,
                "key_id": key_id,
                "key_hint": key_hint,
                "limits": [],
                "retry_delay": null,
                "credits": null,
            },
        })
    };
    let expected = denied("INSUFFICIENT_SCOPE", 403, &["A:b"], "key_ID", "klg_…TAIL");
    assert_eq!(
        shell.json(&format!("check {token} --scope A:b")),
        (expected, 3)
    );
    assert_eq!(
        shell.json("check nonsense"),
        (denied("UNKNOWN", 401, &[], "", ""), 3)
    );
    let output = shell.run("check", &["", "--output", "json"]);
    assert_eq!(
        redacted_json(&output.stdout, &shell),
        denied("MISSING", 401, &[], "", "")
    );

    // Two checks of it were made since.
    let mut usage = shell.json(&format!("keys get {id}")).0["key"]["usage"].take();
    assert_eq!(usage["first_used_time"], "TIME");
    key["usage"] = usage.take();
    for (field, value) in [
        ("state", "REVOKED"),
        ("revoke_time", "TIME"),
        ("revocation_reason", "UNSPECIFIED"),
        ("revoked_by", "adm_ID"),
    ] {
        key[field] = value.into();
    }
    key["rotation_due_time"] = Value::Null;
    assert_eq!(
        shell.json(&format!("keys revoke {id} --yes")),
        (json!({ "key": key }), 0)
    );
}

#[test]
fn yaml_holds_the_same_as_json() {
    let shell = Shell::start();
    shell.run("workspaces create klipy --prefix klg", &[]);
    let id = shell.key(&["--description", "no", "--scope", "*"]);
    let output = shell.run("keys get", &[&id, "--output", "yaml"]);
    let text = String::from_utf8(output.stdout).unwrap();
    let etag = text.lines().find(|line| line.contains("etag: ")).unwrap();
    assert_same(
        &redacted(&text.replace(etag, "  etag: ETAG"), &shell.server.site),
        KEY,
    );
    let output = shell.run("keys list --principal nobody --output yaml", &[]);
    assert_eq!(output.stdout, b"keys: []\n");
    let output = shell.run("check abc --output yaml", &[]);
    assert!(output.stdout.starts_with(b"denied:\n"), "{output:?}");
}

const KEY: &str = "\
key:
  create_time: \"TIME\"
  created_by: adm_ID
  credits: null
  description: \"no\"
  disabled: false
  effective_scopes: null
  environment: \"\"
  etag: ETAG
  expire_time: null
  hint: klg_…TAIL
  id: key_ID
  imported: null
  limits: []
  metadata: {}
  name: \"n\"
  personal: false
  principal: p
  revocation_note: \"\"
  revocation_reason: null
  revoke_time: null
  revoked_by: \"\"
  rotate_time: \"TIME\"
  rotation: null
  rotation_due_time: \"TIME\"
  scopes:
  - \"*\"
  source_addresses: []
  state: ACTIVE
  usage:
    allowed: 0
    counted_since_time: null
    denied: {}
    first_used_time: null
    last_denial_reason: \"\"
    last_denied_time: null
    last_source_address: \"\"
    last_used_time: null
    old_token_last_used_time: null
    unexercised_scopes: []
  workspace: klipy
";
