//! `keyward workspaces`: from creation to deletion.

use super::{Shell, assert_same};

const LIFE: &str = r#"
$ keyward workspaces list
no workspaces
$ keyward workspaces create klipy --prefix klipy_api --environment live --environment test --catalog people:read people:write
Workspace     klipy
Token prefix  klipy_api
Environments  live test
Default       live
Catalog       people:read people:write
Created       TIME by adm_ID
$ keyward workspaces create erathos --prefix erathos
Workspace     erathos
Token prefix  erathos
Created       TIME by adm_ID
$ keyward workspaces update klipy
error: nothing to change was named
  --help lists the flags that do.
[2]
$ keyward workspaces update klipy --display-name Klipy --add-environment eu --default-environment eu --add-catalog companies:read --remove-catalog people:write
Workspace     klipy
Display name  Klipy
Token prefix  klipy_api
Environments  live test eu
Default       eu
Catalog       companies:read people:read
Created       TIME by adm_ID
$ keyward workspaces update klipy --remove-catalog people:wriet
error: there is no people:wriet to be removed
  What there is: companies:read people:read
[1]
$ keyward workspaces update klipy --display-name= --no-catalog
Workspace     klipy
Token prefix  klipy_api
Environments  live test eu
Default       eu
Created       TIME by adm_ID
$ keyward workspaces update klipy --add-environment A_B
error: not everything that was given is acceptable
  --add-environment (workspace.environments[3]): must be of a-z and 0-9 alone, and its character 1 is not
[1]
$ keyward workspaces update klipy --display-name x --etag stale
error: the workspace klipy has changed since it was read; nothing was changed: read it again, and decide again
  `keyward workspaces get klipy` shows it as it is now.
[1]
$ keyward workspaces delete erathos --yes
error: the workspace erathos is enabled: disable it first
  `keyward workspaces disable erathos` does that.
[1]
$ keyward workspaces disable erathos --yes
Workspace     erathos
State         DISABLED
Token prefix  erathos
Created       TIME by adm_ID
$ keyward keys create --workspace erathos --name n --principal p
error: the workspace erathos is disabled: enable it first
  `keyward workspaces enable erathos` switches the workspace on again.
[1]
$ keyward workspaces list
WORKSPACE  STATE     PREFIX     ENVIRONMENTS  DISPLAY NAME
erathos    DISABLED  erathos
klipy      ENABLED   klipy_api  live test eu
$ keyward workspaces delete erathos --yes
the workspace erathos is deleted
$ keyward workspaces list --limit 5 --page-size 1
WORKSPACE  STATE    PREFIX     ENVIRONMENTS  DISPLAY NAME
klipy      ENABLED  klipy_api  live test eu
$ keyward workspaces enable klipy
Workspace     klipy
Token prefix  klipy_api
Environments  live test eu
Default       eu
Created       TIME by adm_ID
"#;

#[test]
fn a_workspace_from_its_creation_to_its_end() {
    let mut shell = Shell::start();
    shell.type_in("workspaces list", &[]);
    shell.type_in("workspaces create klipy --prefix klipy_api --environment live --environment test --catalog", &["people:read people:write"]);
    shell.type_in("workspaces create erathos --prefix erathos", &[]);
    shell.type_in("workspaces update klipy", &[]);
    shell.type_in("workspaces update klipy --display-name Klipy --add-environment eu --default-environment eu --add-catalog companies:read --remove-catalog people:write", &[]);
    shell.type_in("workspaces update klipy --remove-catalog people:wriet", &[]);
    shell.type_in("workspaces update klipy --display-name= --no-catalog", &[]);
    shell.type_in("workspaces update klipy --add-environment A_B", &[]);
    shell.type_in("workspaces update klipy --display-name x --etag stale", &[]);
    shell.type_in("workspaces delete erathos --yes", &[]);
    shell.type_in("workspaces disable erathos --yes", &[]);
    shell.type_in(
        "keys create --workspace erathos --name n --principal p",
        &[],
    );
    shell.type_in("workspaces list", &[]);
    shell.type_in("workspaces delete erathos --yes", &[]);
    shell.type_in("workspaces list --limit 5 --page-size 1", &[]);
    shell.type_in("workspaces enable klipy", &[]);
    assert_same(&shell.transcript, LIFE);
}
