//! `keyward workspaces`: from creation to deletion.

use super::{Shell, assert_same};

const LIFE: &str = r#"
?"#;

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
