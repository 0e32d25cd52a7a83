//! `keyward admins` and `keyward whoami`: who may do what.

use std::fs;

use super::{Shell, assert_same, mode};
use crate::support::run;

const LIFE: &str = r#"
$ keyward admins create --workspace klipy --role issuer --grant people:* --expires 2099-01-01 --name CI of klipy
Admin key  adm_ID
State      ACTIVE
Name       CI of klipy
Role       ISSUER
Acts in    workspace klipy
May grant  people:*
Hint       keyward_admin_…TAIL
Created    TIME by adm_ID
Expires    2099-01-01T00:00:00Z

The token, which is shown this once and cannot be had again:

keyward_admin_TOKEN
$ keyward admins get adm_ID
Admin key  adm_ID
State      ACTIVE
Name       CI of klipy
Role       ISSUER
Acts in    workspace klipy
May grant  people:*
Hint       keyward_admin_…TAIL
Created    TIME by adm_ID
Expires    2099-01-01T00:00:00Z
$ keyward admins update adm_ID --name CI --role reader --add-grant companies:* --remove-grant people:* --expires never
Admin key  adm_ID
State      ACTIVE
Name       CI
Role       READER
Acts in    workspace klipy
May grant  companies:*
Hint       keyward_admin_…TAIL
Created    TIME by adm_ID
Expires    never
$ keyward admins update adm_ID --no-grants
Admin key  adm_ID
State      ACTIVE
Name       CI
Role       READER
Acts in    workspace klipy
May grant  none
Hint       keyward_admin_…TAIL
Created    TIME by adm_ID
Expires    never
$ keyward admins list --workspace klipy
ADMIN KEY                       STATE   ROLE    ACTS IN          NAME  HINT                 MAY GRANT  EXPIRES
adm_ID  ACTIVE  READER  workspace klipy  CI    keyward_admin_…TAIL  none       never
$ keyward admins rotate adm_ID --overlap 30d --token-only
keyward_admin_TOKEN
$ keyward admins rotate adm_ID --overlap 1h
error: the admin key adm_ID has an old token that works until TIME: wait, or rotate with an overlap of zero, which ends all old tokens
  `--overlap 0s` ends all older tokens at once.
[1]
$ keyward admins rotate adm_ID --overlap 0s --yes
Admin key  adm_ID
State      ACTIVE
Name       CI
Role       READER
Acts in    workspace klipy
May grant  none
Hint       keyward_admin_…TAIL
Created    TIME by adm_ID
Expires    never

The token, which is shown this once and cannot be had again:

keyward_admin_TOKEN
$ keyward admins revoke adm_ID --reason unused --note CI has moved --yes
Admin key  adm_ID
State      REVOKED
Name       CI
Role       READER
Acts in    workspace klipy
May grant  none
Hint       keyward_admin_…TAIL
Created    TIME by adm_ID
Expires    never
Revoked    TIME by adm_ID
Reason     UNUSED
Note       CI has moved
$ keyward admins revoke adm_ID --reason leaked --yes
Admin key  adm_ID
State      REVOKED
Name       CI
Role       READER
Acts in    workspace klipy
May grant  none
Hint       keyward_admin_…TAIL
Created    TIME by adm_ID
Expires    never
Revoked    TIME by adm_ID
Reason     UNUSED
Note       CI has moved
note: it was revoked before, with the reason UNUSED, which stays
$ keyward admins update adm_ID --name again
error: the admin key adm_ID is revoked, which is final
  `keyward admins create` makes another.
[1]
$ keyward admins get adm_ID
error: there is no such admin key: adm_ID
  `keyward admins list` shows those that this admin token may see.
[1]
$ keyward admins get keyward_admin_something
error: that is no admin key's id: it would be `adm_` and 26 characters
  `keyward admins list` shows ids; `keyward whoami` shows your own.
[2]
$ keyward admins create --name n --role owner
error: the following required arguments were not provided:
  <--workspace <ID>|--system>

Usage: keyward admins create [OPTIONS] --name <NAME> --role <ROLE> <--workspace <ID>|--system>

For more information, try '--help'.
[2]
"#;

#[test]
fn an_admin_key_from_its_making_to_its_end() {
    let mut shell = Shell::start();
    shell.run("workspaces create klipy --prefix klg", &[]);
    let created = shell.type_in(
        "admins create --workspace klipy --role issuer --grant people:* --expires 2099-01-01 --name",
        &["CI of klipy"],
    );
    let id = created.split_whitespace().nth(2).unwrap().to_owned();
    shell.type_in("admins get", &[&id]);
    shell.type_in(
        "admins update",
        &[
            &id,
            "--name",
            "CI",
            "--role",
            "reader",
            "--add-grant",
            "companies:*",
            "--remove-grant",
            "people:*",
            "--expires",
            "never",
        ],
    );
    shell.type_in("admins update", &[&id, "--no-grants"]);
    shell.type_in("admins list --workspace klipy", &[]);
    shell.type_in("admins rotate", &[&id, "--overlap", "30d", "--token-only"]);
    shell.type_in("admins rotate", &[&id, "--overlap", "1h"]);
    shell.type_in("admins rotate", &[&id, "--overlap", "0s", "--yes"]);
    shell.type_in(
        "admins revoke",
        &[&id, "--reason", "unused", "--note", "CI has moved", "--yes"],
    );
    shell.type_in("admins revoke", &[&id, "--reason", "leaked", "--yes"]);
    shell.type_in("admins update", &[&id, "--name", "again"]);
    shell.type_in("admins get adm_01k3c5hw7n8d0r2vxk4w9g6m1t", &[]);
    shell.type_in("admins get keyward_admin_something", &[]);
    shell.type_in("admins create --name n --role owner", &[]);
    let expected = LIFE.replace("adm_01k3c5hw7n8d0r2vxk4w9g6m1t", "adm_ID");
    assert_same(&shell.transcript, &expected);
}

#[test]
fn the_last_owner_cannot_be_revoked() {
    let shell = Shell::start();
    let (me, code) = shell.json("whoami");
    assert_eq!((code, &me["admin_key"]["role"]), (0, &"OWNER".into()));
    let output = shell.run("whoami", &[]);
    let id = String::from_utf8(output.stdout).unwrap();
    let id = id.split_whitespace().nth(2).unwrap();
    let output = shell.run("admins revoke", &[id, "--yes"]);
    assert_eq!(output.status.code(), Some(1));
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(
        told.contains("`keyward admins create --system --role owner --grant '*' --name NAME`"),
        "{told}"
    );
}

#[test]
fn whoami_tells_of_the_key_behind_the_token_and_of_the_server() {
    let mut shell = Shell::start();
    shell.type_in("whoami", &[]);
    let version = env!("CARGO_PKG_VERSION");
    assert!(
        shell
            .transcript
            .contains("Role       OWNER\nActs in    the whole system\nMay grant  *\n"),
        "{}",
        shell.transcript
    );
    assert!(
        shell.transcript.contains(&format!(
            "\nServer     http://127.0.0.1:PORT\nVersion    {version}"
        )),
        "{}",
        shell.transcript
    );
}

#[test]
fn a_token_that_goes_to_a_file_is_private_and_works() {
    let shell = Shell::start();
    let path = shell.server.site.path().join("new.token");
    let path = path.to_str().unwrap();
    let line = "admins create --system --role reader --name n --token-file";
    let output = shell.run(line, &[path]);
    assert!(output.status.success(), "{output:?}");
    let shown = String::from_utf8(output.stdout).unwrap();
    assert!(
        shown.ends_with(&format!(
            "\nThe token is in {path} (readable by you alone).\n"
        )),
        "{shown}"
    );
    let token = fs::read_to_string(path).unwrap();
    assert!(!shown.contains(token.trim()) && mode(path.as_ref()) == 0o600);
    let mut whoami = shell.command("whoami");
    let output = run(whoami.args(["--admin-token-file", path]));
    assert!(
        String::from_utf8(output.stdout)
            .unwrap()
            .contains("Role       READER")
    );

    // One that is there is left alone, and nothing is made for it.
    let output = shell.run(line, &[path]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert_eq!(fs::read_to_string(path).unwrap(), token);
    // A refusal leaves no file behind.
    let other = shell.server.site.path().join("other.token");
    let output = shell.run(
        "admins create --workspace nowhere --role reader --name n --output json --token-file",
        &[other.to_str().unwrap()],
    );
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(!other.exists());
    let (all, _) = shell.json("admins list");
    assert_eq!(all["admin_keys"].as_array().unwrap().len(), 2);
}
