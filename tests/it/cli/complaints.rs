//! What each misuse is answered with, and what to do then.

use super::{Shell, assert_same};

/// What each misuse is answered with.
const COMPLAINTS: &str = r#"
$ keyward workspaces create klipy --prefix klg
error: the workspace klipy exists already, or was deleted and keeps its id
  `keyward workspaces get klipy` shows it.
[1]
$ keyward workspaces create Klipy --prefix keyward_x --environment a_b --default-environment prod
error: not everything that was given is acceptable
  the id: must be 1 to 63 characters of a-z, 0-9, `_`, `.` and `-`, the first a letter or digit
  --prefix: starts with `keyward`, which is reserved for keyward's own tokens
  --environment (workspace.environments[0]): must be of a-z and 0-9 alone, and its character 2 is not
  --default-environment: is not one of the workspace's environments
[1]
$ keyward workspaces get nowhere
error: there is no such workspace: nowhere
  `keyward workspaces list` shows those that this admin token may see.
[1]
$ keyward keys create --workspace klipy --name n --principal p --scope a b:C --environment prod --expires 2001-01-01
error: not everything that was given is acceptable
  --environment: must be empty: the workspace has no environments
  --scope (scopes[1]): a scope is lower-case unless it is `ALL`, and character 3 is 'C'
  --expires: is not in the future; it is now TIME
[1]
$ keyward keys create --workspace nowhere --name n --principal p
error: there is no such workspace: nowhere
  `keyward workspaces list` shows those that this admin token may see.
[1]
$ keyward keys create --workspace klipy --name n --principal p --metadata plan=a --metadata plan=b
error: --metadata names `plan` twice
[2]
$ keyward keys get key_01k3c5hw7n8d0r2vxk4w9g6m1t
error: there is no such key: key_ID
  `keyward keys list` shows those that this admin token may see.
[1]
$ keyward keys get klg_something
error: that is no key id: it would be `key_` and 26 characters
  `keyward keys list` shows ids; `keyward check -` tells whose a token is.
[2]
$ keyward keys revoke klg_something
error: that is no key id: it would be `key_` and 26 characters
  `keyward keys list` shows ids; `keyward check -` tells whose a token is.
[2]
$ keyward keys list --workspace nowhere
error: there is no such workspace: nowhere
  `keyward workspaces list` shows those that this admin token may see.
[1]
"#;

#[test]
fn complaints_name_the_flag_and_say_what_to_do() {
    let mut shell = Shell::start();
    shell.run("workspaces create klipy --prefix klg", &[]);
    shell.type_in("workspaces create klipy --prefix klg", &[]);
    shell.type_in(
        "workspaces create Klipy --prefix keyward_x --environment a_b --default-environment prod",
        &[],
    );
    shell.type_in("workspaces get nowhere", &[]);
    shell.type_in(
        "keys create --workspace klipy --name n --principal p --scope",
        &["a b:C", "--environment", "prod", "--expires", "2001-01-01"],
    );
    shell.type_in(
        "keys create --workspace nowhere --name n --principal p",
        &[],
    );
    shell.type_in(
        "keys create --workspace klipy --name n --principal p --metadata plan=a --metadata plan=b",
        &[],
    );
    shell.type_in("keys get key_01k3c5hw7n8d0r2vxk4w9g6m1t", &[]);
    shell.type_in("keys get klg_something", &[]);
    shell.type_in("keys revoke klg_something", &[]);
    shell.type_in("keys list --workspace nowhere", &[]);
    let expected = COMPLAINTS.replace("get key_01k3c5hw7n8d0r2vxk4w9g6m1t", "get key_ID");
    assert_same(&shell.transcript, &expected);
}
