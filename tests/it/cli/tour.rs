//! From nothing to a denied key.

use super::{Shell, assert_same};

/// From nothing to a denied key, as the README shows it.
const TOUR: &str = r#"
$ keyward workspaces create kling --prefix klg --environment live --environment test --display-name Kling, Inc.
Workspace     kling
Display name  Kling, Inc.
Token prefix  klg
Environments  live test
Default       live
Created       TIME by adm_ID
$ keyward workspaces create klipy --prefix klipy_api
Workspace     klipy
Token prefix  klipy_api
Created       TIME by adm_ID
$ keyward workspaces get klipy
Workspace     klipy
Token prefix  klipy_api
Created       TIME by adm_ID
$ keyward keys create --workspace kling --name CRM sync --principal user:ada --scope read:customers write:forms --scope read:flows --metadata plan=free --description syncs --expires 2099-01-01
Key          key_ID
State        ACTIVE
Name         CRM sync
Description  syncs
Workspace    kling
Environment  live
Principal    user:ada
Scopes       read:customers read:flows write:forms
Metadata     plan=free
Hint         klg_live_…TAIL
Created      TIME by adm_ID
Expires      2099-01-01T00:00:00Z

The token, which is shown this once and cannot be had again:

klg_live_TOKEN
$ keyward keys create --workspace klipy --name Zapier --principal service:zapier --scope ALL --token-only
klipy_api_TOKEN
$ keyward check Bearer klg_live_TOKEN --scope read:customers read:flows|nothing:else
ALLOWED

Principal    user:ada
Workspace    kling
Environment  live
Scopes       read:customers read:flows write:forms
Metadata     plan=free
Key          key_ID
Name         CRM sync
Expires      2099-01-01T00:00:00Z
$ keyward check klg_live_TOKEN --scope write:flows --scope read:customers --scope write:forms|write:flows a:b
DENIED: INSUFFICIENT_SCOPE (HTTP 403)
The key works, but lacks what was required.

Missing  write:flows a:b
Key      key_ID
Hint     klg_live_…TAIL
[3]
$ keyward check klg_live_TOKEN --environment test
DENIED: ENVIRONMENT (HTTP 403)
The key is of another environment than was asked for. Without --environment, the workspace's default is meant.

Key   key_ID
Hint  klg_live_…TAIL
[3]
$ keyward check klg_live_TOKEN --workspace klipy
DENIED: UNKNOWN (HTTP 401)
No key has this token: it is mistyped, was never issued here, is an admin's, or its key is of another workspace or of nobody who is a member of this one.
[3]
$ keyward keys list
KEY                             STATE   NAME      PRINCIPAL       WORKSPACE  HINT             SCOPES                                 LAST USED             EXPIRES
key_ID  ACTIVE  CRM sync  user:ada        kling      klg_live_…TAIL   read:customers read:flows write:forms  TIME  2099-01-01T00:00:00Z
key_ID  ACTIVE  Zapier    service:zapier  klipy      klipy_api_…TAIL  *                                      never                 never
$ keyward keys revoke key_ID --reason leaked --yes
Key          key_ID
State        REVOKED
Name         CRM sync
Description  syncs
Workspace    kling
Environment  live
Principal    user:ada
Scopes       read:customers read:flows write:forms
Metadata     plan=free
Hint         klg_live_…TAIL
Created      TIME by adm_ID
Expires      2099-01-01T00:00:00Z
Revoked      TIME by adm_ID
Reason       LEAKED
$ keyward check Bearer klg_live_TOKEN
DENIED: REVOKED (HTTP 401)
The key was revoked, which is final. `keyward keys create` issues another.

Key   key_ID
Hint  klg_live_…TAIL
[3]
$ keyward keys list --workspace kling
KEY                             STATE    NAME      PRINCIPAL  WORKSPACE  HINT            SCOPES                                 LAST USED             EXPIRES
key_ID  REVOKED  CRM sync  user:ada   kling      klg_live_…TAIL  read:customers read:flows write:forms  TIME  2099-01-01T00:00:00Z
$ keyward keys revoke key_ID --yes
Key          key_ID
State        REVOKED
Name         CRM sync
Description  syncs
Workspace    kling
Environment  live
Principal    user:ada
Scopes       read:customers read:flows write:forms
Metadata     plan=free
Hint         klg_live_…TAIL
Created      TIME by adm_ID
Expires      2099-01-01T00:00:00Z
Revoked      TIME by adm_ID
Reason       LEAKED
note: it was revoked before, with the reason LEAKED, which stays
"#;

#[test]
fn the_tour_from_a_new_workspace_to_a_denied_key() {
    let mut shell = Shell::start();
    shell.type_in(
        "workspaces create kling --prefix klg --environment live --environment test",
        &["--display-name", "Kling, Inc."],
    );
    shell.type_in("workspaces create klipy --prefix klipy_api", &[]);
    shell.type_in("workspaces get klipy", &[]);
    let created = shell.type_in(
        "keys create --workspace kling --name",
        &[
            "CRM sync",
            "--principal",
            "user:ada",
            "--scope",
            "read:customers write:forms",
            "--scope",
            "read:flows",
            "--metadata",
            "plan=free",
            "--description",
            "syncs",
            "--expires",
            "2099-01-01",
        ],
    );
    let (id, token) = (
        created.split_whitespace().nth(1).unwrap(),
        created.lines().last().unwrap(),
    );
    shell.type_in(
        "keys create --workspace klipy --name Zapier --principal service:zapier --scope ALL --token-only",
        &[],
    );
    let bearer = format!("Bearer {token}");
    shell.type_in(
        "check",
        &[&bearer, "--scope", "read:customers read:flows|nothing:else"],
    );
    shell.type_in(
        "check",
        &[
            token,
            "--scope",
            "write:flows",
            "--scope",
            "read:customers",
            "--scope",
            "write:forms|write:flows a:b",
        ],
    );
    shell.type_in("check", &[token, "--environment", "test"]);
    shell.type_in("check", &[token, "--workspace", "klipy"]);
    shell.type_in("keys list", &[]);
    shell.type_in("keys revoke", &[id, "--reason", "leaked", "--yes"]);
    shell.type_in("check", &[&bearer]);
    shell.type_in("keys list --workspace kling", &[]);
    shell.type_in("keys revoke", &[id, "--yes"]);
    assert_same(&shell.transcript, TOUR);
}
