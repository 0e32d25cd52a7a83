//! `keyward keys`: lists, changes, and tokens that get lost.

use std::fs::OpenOptions;
use std::net::TcpListener;
use std::process::Stdio;

use keyward::edge::pb::CreateKeyRequest;

use super::terminal::Terminal;
use super::{Shell, assert_failed, assert_same};
use crate::support::key_request;

#[tokio::test(flavor = "multi_thread")]
async fn a_list_is_a_line_for_each_key_whatever_they_are_called() {
    let shell = Shell::start();
    let mut admin = shell.server.admin().await;
    admin.workspace(&"w".repeat(63), "klg", &[]).await;
    // Long, wide, and written against the direction of the line.
    for name in [
        "n".repeat(100),
        "日".repeat(33),
        "\u{202e}txt.exe".to_owned(),
        "| a | b |".to_owned(),
        "🔑".to_owned(),
    ] {
        let request = CreateKeyRequest {
            name,
            principal: "p".repeat(128),
            scopes: (0..100).map(|i| format!("{i:0>20}")).collect(),
            ..key_request(&"w".repeat(63), &[])
        };
        admin.client.create_key(request).await.unwrap();
    }
    let list = String::from_utf8(shell.run("keys list", &[]).stdout).unwrap();
    let lines: Vec<_> = list.lines().collect();
    assert_eq!(lines.len(), 6, "{list}");
    assert!(lines[0].starts_with("KEY ") && lines[1..].iter().all(|line| line.starts_with("key_")));
    assert!(
        !list.contains('\u{202e}') && list.contains("\\u{202e}txt.exe"),
        "{list}"
    );
    assert!(
        lines[1..]
            .iter()
            .all(|line| line.ends_with("never") && line.contains(&"p".repeat(128)))
    );

    // As many as are asked for, however they are fetched.
    let whole: Vec<_> = lines[1..].iter().map(|line| &line[..30]).collect();
    for (flags, count) in [
        (&["--page-size", "1"][..], 5),
        (&["--page-size", "2", "--limit", "3"], 3),
        (&["--limit", "5"], 5),
        (&["--limit", "99", "--page-size", "250"], 5),
    ] {
        let output = shell.run("keys list", flags);
        let list = String::from_utf8(output.stdout).unwrap();
        let ids: Vec<_> = list.lines().skip(1).map(|line| &line[..30]).collect();
        assert_eq!(ids, whole[..count], "{flags:?}");
    }
    for flags in [
        ["--page-size", "0"],
        ["--page-size", "251"],
        ["--limit", "-1"],
    ] {
        assert_eq!(
            shell.run("keys list", &flags).status.code(),
            Some(2),
            "{flags:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_could_not_be_shown_is_told_of() {
    let shell = Shell::start();
    let mut admin = shell.server.admin().await;
    admin.workspace("w", "klg", &[]).await;
    let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
    let mut command = shell.command("keys");
    command.args([
        "create",
        "--workspace",
        "w",
        "--name",
        "n",
        "--principal",
        "p",
    ]);
    let child = command
        .stdin(Stdio::null())
        .stdout(full)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let output = child.wait_with_output().unwrap();
    let expected = "\
        error: the key key_ID was issued, but its token could not be written to stdout: No space left on device (os error 28)\n  \
        The token is lost. Revoke the key with `keyward keys revoke key_ID`, and issue another.\n";
    assert_failed(&output, 1, expected, &shell);
}

const LIFE: &str = r#"
$ keyward keys update key_ID --name CRM sync --add-scope companies:read --expires 2099-01-01
Key        key_ID
State      ACTIVE
Name       CRM sync
Workspace  klipy
Principal  p
Scopes     companies:read people:read
Metadata   team=crm
Hint       klg_…TAIL
Created    TIME by adm_ID
Expires    2099-01-01T00:00:00Z
$ keyward keys update key_ID --remove-scope people:raed
error: there is no people:raed to be removed
  What there is: companies:read people:read
[1]
$ keyward keys update key_ID --scope a:b --no-metadata --expires never
Key        key_ID
State      ACTIVE
Name       CRM sync
Workspace  klipy
Principal  p
Scopes     a:b
Hint       klg_…TAIL
Created    TIME by adm_ID
Expires    never
$ keyward keys update key_ID
error: nothing to change was named
  --help lists the flags that do.
[2]
$ keyward keys update key_ID --name x --etag stale
error: the key key_ID has changed since it was read; nothing was changed: read it again, and decide again
  `keyward keys get key_ID` shows it as it is now.
[1]
$ keyward keys update key_ID --scope A:b --metadata a b=c
error: not everything that was given is acceptable
  --scope (key.scopes[0]): a scope is lower-case unless it is `ALL`, and character 1 is 'A'
  --metadata (key.metadata[0]): its name must be 1 to 32 characters of A-Z, a-z, 0-9, `_`, `.` and `-`
[1]
$ keyward keys disable key_ID
Key        key_ID
State      DISABLED
Name       CRM sync
Workspace  klipy
Principal  p
Scopes     a:b
Hint       klg_…TAIL
Created    TIME by adm_ID
Expires    never
$ keyward keys enable key_ID
Key        key_ID
State      ACTIVE
Name       CRM sync
Workspace  klipy
Principal  p
Scopes     a:b
Hint       klg_…TAIL
Created    TIME by adm_ID
Expires    never
$ keyward keys delete key_ID --yes
error: the key key_ID is not revoked: revoke it first
  `keyward keys revoke key_ID` does that.
[1]
$ keyward keys revoke key_ID --yes
Key        key_ID
State      REVOKED
Name       CRM sync
Workspace  klipy
Principal  p
Scopes     a:b
Hint       klg_…TAIL
Created    TIME by adm_ID
Expires    never
Revoked    TIME by adm_ID
$ keyward keys revoke key_ID --note too late --yes
Key        key_ID
State      REVOKED
Name       CRM sync
Workspace  klipy
Principal  p
Scopes     a:b
Hint       klg_…TAIL
Created    TIME by adm_ID
Expires    never
Revoked    TIME by adm_ID
note: it was revoked before, without a reason, which stays
$ keyward keys update key_ID --name x
error: the key key_ID is revoked, which is final
  `keyward keys create` makes another.
[1]
$ keyward keys delete key_ID --yes
error: the key key_ID was revoked too recently: it can be deleted from TIME on
[1]
"#;

#[test]
fn a_key_from_its_issue_to_its_end() {
    let mut shell = Shell::start();
    shell.run("workspaces create klipy --prefix klg", &[]);
    let id = shell.key(&["--scope", "people:read", "--metadata", "team=crm"]);
    shell.type_in(
        "keys update",
        &[
            &id,
            "--name",
            "CRM sync",
            "--add-scope",
            "companies:read",
            "--expires",
            "2099-01-01",
        ],
    );
    shell.type_in("keys update", &[&id, "--remove-scope", "people:raed"]);
    shell.type_in(
        "keys update",
        &[&id, "--scope", "a:b", "--no-metadata", "--expires", "never"],
    );
    shell.type_in("keys update", &[&id]);
    shell.type_in("keys update", &[&id, "--name", "x", "--etag", "stale"]);
    shell.type_in(
        "keys update",
        &[&id, "--scope", "A:b", "--metadata", "a b=c"],
    );
    shell.type_in("keys disable", &[&id]);
    shell.type_in("keys enable", &[&id]);
    shell.type_in("keys delete", &[&id, "--yes"]);
    shell.type_in("keys revoke", &[&id, "--yes"]);
    shell.type_in("keys revoke", &[&id, "--note", "too late", "--yes"]);
    shell.type_in("keys update", &[&id, "--name", "x"]);
    shell.type_in("keys delete", &[&id, "--yes"]);
    assert_same(&shell.transcript, LIFE);
}

#[test]
fn filters_leave_what_fits() {
    let shell = Shell::start();
    shell.run(
        "workspaces create klipy --prefix klg --environment live --environment test",
        &[],
    );
    shell.run("workspaces create other --prefix klg", &[]);
    let ada = shell.key(&["--scope", "people:*"]);
    let test = shell.key(&["--environment", "test", "--expires", "10d"]);
    let off = shell.key(&["--expires", "90d"]);
    let gone = shell.key(&[]);
    let other = shell.id(
        "keys create --workspace other --name n --principal user:bo --output json",
        &[],
        "key",
    );
    shell.run("keys disable", &[&off]);
    shell.run("keys revoke", &[&gone, "--yes"]);
    for (filter, expected) in [
        ("--workspace other", &[&other][..]),
        ("--principal user:bo", &[&other]),
        ("--state disabled", &[&off]),
        ("--state revoked", &[&gone]),
        ("--environment test", &[&test]),
        ("--scope people:read", &[&ada]),
        ("--expiring-before 30d", &[&test]),
        ("--expiring-before 2099-01-01", &[&test, &off]),
        ("--state active --workspace klipy", &[&ada, &test]),
        ("--state expired", &[]),
    ] {
        let output = shell.run(
            "keys list --output json",
            &filter.split(' ').collect::<Vec<_>>(),
        );
        let listed: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let ids: Vec<_> = listed["keys"]
            .as_array()
            .unwrap()
            .iter()
            .map(|key| key["id"].as_str().unwrap())
            .collect();
        assert_eq!(ids, expected, "{filter}");
    }
}

#[test]
fn a_request_id_makes_an_issue_safe_to_repeat() {
    let shell = Shell::start();
    shell.run("workspaces create klipy --prefix klg", &[]);
    let line = "keys create --workspace klipy --name n --principal p --request-id r1 --token-only";
    let [first, again] = [&[][..], &[]].map(|further| shell.run(line, further).stdout);
    assert!(first.starts_with(b"klg_") && first == again);
    // Without one, each line is a key of its own.
    let line = "keys create --workspace klipy --name n --principal p --token-only";
    let [first, again] = [&[][..], &[]].map(|further| shell.run(line, further).stdout);
    assert!(first.starts_with(b"klg_") && first != again);
    let (keys, _) = shell.json("keys list");
    assert_eq!(keys["keys"].as_array().unwrap().len(), 3);
}

#[test]
fn an_issue_that_was_not_answered_says_how_to_repeat_it() {
    let shell = Shell::start();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap().to_string();
    let output = shell.run(
        "keys create --workspace w --name n --principal p --expires 90d --timeout 200ms --admin-server",
        &[&address],
    );
    assert_eq!(output.status.code(), Some(4), "{output:?}");
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(
        told.contains("the same line with `--request-id ") && told.contains(" --expires 20"),
        "{told}"
    );
    assert!(!told.contains("look before you try again"), "{told}");
}

#[test]
fn scopes_that_many_add_at_once_are_all_there() {
    let shell = Shell::start();
    shell.run("workspaces create klipy --prefix klg", &[]);
    let id = shell.key(&[]);
    let all: Vec<_> = (0..4).map(|number| format!("scope:{number}")).collect();
    std::thread::scope(|threads| {
        for scope in &all {
            threads.spawn(|| {
                let output = shell.run("keys update", &[&id, "--add-scope", scope]);
                assert!(output.status.success(), "{output:?}");
            });
        }
    });
    let (key, _) = shell.json(&format!("keys get {id}"));
    assert_eq!(key["key"]["scopes"], serde_json::json!(all));
}

#[test]
fn a_watched_list_is_drawn_anew_and_only_on_a_terminal() {
    let shell = Shell::start();
    shell.run("workspaces create klipy --prefix klg", &[]);
    let mut command = shell.command("keys");
    command.args(["list", "--watch", "50ms"]);
    let mut terminal = Terminal::run(command);
    terminal.wait_for("KEY  STATE", 2);
    let id = shell.key(&[]);
    terminal.wait_for(&id, 2);
    shell.run("keys disable", &[&id]);
    terminal.wait_for("DISABLED", 1);
    assert!(terminal.seen.starts_with("\x1b[H\x1b[2JKEY  STATE"));

    let output = shell.run("keys list --watch", &[]);
    assert_eq!(output.status.code(), Some(2));
    let output = shell.run("keys list --watch --output json", &[]);
    assert_eq!(output.status.code(), Some(2));
}
