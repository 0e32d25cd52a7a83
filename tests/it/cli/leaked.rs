//! `keyward keys leaked`: from a folder with tokens in it to revoked keys.

use std::fs;

use serde_json::Value;

use super::{Shell, assert_same};
use crate::support::{keyward, run, run_with_input};

/// The token of a new key in workspace `kling`, and the key's id.
fn issued(shell: &Shell) -> (String, String) {
    let line = "keys create --workspace kling --name n --principal p --output json";
    let output = shell.run(line, &[]);
    let made: Value = serde_json::from_slice(&output.stdout).unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    (text(&made["token"]), text(&made["key"]["id"]))
}

fn words(line: &str) -> Vec<String> {
    line.split("  ")
        .map(str::trim)
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect()
}

#[test]
fn a_folder_is_searched_and_the_keys_behind_its_tokens_are_revoked() {
    let shell = Shell::start();
    shell.run("workspaces create kling --prefix klg", &[]);
    let ((live, id), (dead, dead_id)) = (issued(&shell), issued(&shell));
    shell.run("keys revoke", &[&dead_id, "--yes"]);
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let dir = folder.path().to_str().unwrap();
    fs::create_dir(at("sub")).unwrap();
    fs::write(at("app.log"), format!("ok\n\\n  key={live}&x\nxx{live}\n")).unwrap();
    // Never issued: as the documents have it.
    let strange = "klg_live_yhjskwdA6OZ1AL1YmHWZWm8LLG7HjnuCA2j5rOw8Xp13kbUxd";
    fs::write(at("core"), [b"\0\xff", strange.as_bytes()].concat()).unwrap();
    fs::write(at("sub/config.json"), format!("{{\"key\":\"{dead}\"}}")).unwrap();
    std::os::unix::fs::symlink(folder.path(), at("sub/loop")).unwrap();

    let output = shell.run("keys leaked", &[dir]);
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    let told = String::from_utf8(output.stdout).unwrap();
    let hint = |token: &str| format!("klg_…{}", &token[token.len() - 4..]);
    let lines: Vec<_> = told.lines().map(words).collect();
    assert_eq!(lines.len(), 5, "{told}");
    assert_eq!(
        lines[1][..4],
        [
            format!("{dir}/app.log:2:9"),
            "LIVE".to_owned(),
            hint(&live),
            id
        ]
    );
    assert_eq!(
        lines[2][..2],
        [format!("{dir}/app.log:3:3"), "LIVE".to_owned()]
    );
    assert_eq!(
        lines[3][..2],
        [format!("{dir}/core: byte 2"), "UNKNOWN".to_owned()]
    );
    assert_eq!(lines[4][0], format!("{dir}/sub/config.json:1:9"));
    assert!(lines[4][1].starts_with("ENDED: revoked 20"), "{told}");
    assert_eq!(lines[4][3], dead_id);
    let said = String::from_utf8(output.stderr).unwrap();
    let size: u64 = ["app.log", "core", "sub/config.json"]
        .iter()
        .map(|name| fs::metadata(at(name)).unwrap().len())
        .sum();
    assert_same(
        &said,
        &format!("searched 3 files with {size} bytes: 3 tokens in 4 places\n"),
    );

    // Nobody is there to be asked.
    let output = shell.run("keys leaked --revoke", &[dir]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    let output = shell.run(
        "keys leaked --revoke --yes --note forum --output json",
        &[dir],
    );
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    let first = &told["findings"][0];
    assert_eq!(
        (&first["state"], &first["line"]),
        (&"LIVE".into(), &2.into()),
        "as it was found"
    );
    let revoked: Vec<_> = (0..4)
        .map(|at| told["findings"][at]["revoked"] == true)
        .collect();
    assert_eq!(revoked, [true, true, false, false]);
    assert_eq!(first["key"]["revocation_reason"], "LEAKED");
    assert_eq!(first["key"]["revocation_note"], "forum");
    assert_eq!(told["findings"][2]["line"], Value::Null);
    assert_eq!((&told["files"], &told["unread"]), (&3.into(), &0.into()));
    for output in [&output.stdout, &output.stderr] {
        let text = String::from_utf8_lossy(output);
        assert!(
            ![&*live, &*dead, strange]
                .iter()
                .any(|token| text.contains(token))
        );
    }
    let check = shell.run("check", &[&live]);
    assert!(
        String::from_utf8(check.stdout)
            .unwrap()
            .starts_with("DENIED: REVOKED")
    );

    // What is left is of no use to anybody.
    let output = shell.run("keys leaked", &[dir]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let log = shell.server.log();
    assert!(
        ![&*live, &*dead, strange]
            .iter()
            .any(|token| log.contains(token))
    );
}

#[test]
fn without_a_server_tokens_are_found_and_it_is_told_what_could_not_be_read() {
    let token = "klipy_api_003aUlTJC7tjlCTQj2uNU3MFagCXG9LRKRcwGkBIDlf0nTd9z";
    let mut search = keyward();
    search.args(["keys", "leaked", "--offline", "-"]);
    let output = run_with_input(&mut search, format!("a\n{token}").as_bytes());
    assert_eq!(output.status.code(), Some(3));
    let told = String::from_utf8(output.stdout).unwrap();
    assert_same(&told, "FOUND AT  HINT\n-:2:1     klipy_api_…Td9z\n");
    let output = run_with_input(&mut search, b"nothing of ours");
    assert_eq!((output.status.code(), &*output.stdout), (Some(0), &b""[..]));
    let output = run(keyward().args(["keys", "leaked", "--offline", "/nowhere/at/all"]));
    assert_eq!(output.status.code(), Some(1));
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(
        told.contains("cannot read") && told.contains("0 files"),
        "{told}"
    );
    for line in [
        "keys leaked",
        "keys leaked --offline --revoke a",
        "keys leaked --note x a",
    ] {
        let output = run(keyward().args(line.split(' ')));
        assert_eq!(output.status.code(), Some(2), "{line}");
    }
}

#[test]
fn tokens_that_may_not_be_told_of_are_taken_for_live_ones() {
    let shell = Shell::start();
    let reader = shell.run(
        "admins create --name ci --role reader --system --token-only",
        &[],
    );
    let token = String::from_utf8(reader.stdout).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    fs::write(&file, &token).unwrap();
    let mut search = shell.command("keys");
    search.arg("leaked").arg(shell.server.site.token_file());
    search.env("KEYWARD_ADMIN_TOKEN_FILE", &file);
    let output = run(&mut search);
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    assert!(
        String::from_utf8(output.stdout)
            .unwrap()
            .contains("NOT_TOLD")
    );
    assert!(
        String::from_utf8(output.stderr)
            .unwrap()
            .contains("OWNER of the system")
    );
    // Its own it may see, and not revoke.
    let mut search = shell.command("keys");
    search.args(["leaked", "--revoke", "--yes"]).arg(&file);
    search.env("KEYWARD_ADMIN_TOKEN_FILE", &file);
    let output = run(&mut search);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.contains("was not revoked"), "{told}");
}

#[test]
fn one_of_a_workspace_does_not_pass_over_a_live_token_of_another() {
    let shell = Shell::start();
    shell.run("workspaces create kling --prefix klg", &[]);
    shell.run("workspaces create yonder --prefix yon", &[]);
    let (live, _) = issued(&shell);
    let line = "admins create --name ci --role reader --workspace yonder --token-only";
    let folder = tempfile::tempdir().unwrap();
    let [token, found] = ["token", "found"].map(|name| folder.path().join(name));
    fs::write(&token, shell.run(line, &[]).stdout).unwrap();
    // Never issued: nobody is to learn which is there.
    let strange = "klg_live_yhjskwdA6OZ1AL1YmHWZWm8LLG7HjnuCA2j5rOw8Xp13kbUxd";
    for text in [&*live, strange] {
        fs::write(&found, text).unwrap();
        let mut search = shell.command("keys");
        search.args(["leaked", "--revoke", "--yes"]).arg(&found);
        search.env("KEYWARD_ADMIN_TOKEN_FILE", &token);
        let output = run(&mut search);
        assert_eq!(output.status.code(), Some(3), "{output:?}");
        let told = String::from_utf8(output.stdout).unwrap();
        assert!(told.contains("NOT_TOLD"), "{told}");
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains("note: 1 token may be of keys"), "{said}");
    }
}

#[test]
fn the_admin_key_that_revokes_is_revoked_last() {
    let shell = Shell::start();
    shell.run("workspaces create kling --prefix klg", &[]);
    let (live, _) = issued(&shell);
    let [own, other] = ["owner", "reader"].map(|role| {
        let line = format!("admins create --name {role} --role {role} --system --token-only");
        String::from_utf8(shell.run(&line, &[]).stdout).unwrap()
    });
    let folder = tempfile::tempdir().unwrap();
    let [token, found] = ["token", "found"].map(|name| folder.path().join(name));
    fs::write(&token, &own).unwrap();
    fs::write(&found, format!("{own}\n{other}\n{live}\n")).unwrap();
    let mut search = shell.command("keys");
    search.args(["leaked", "--revoke", "--yes", "--output", "json"]);
    search.arg(&found).env("KEYWARD_ADMIN_TOKEN_FILE", &token);
    let output = run(&mut search);
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    let findings = told["findings"].as_array().unwrap();
    assert_eq!(findings.len(), 3);
    for finding in findings {
        assert_eq!(
            (&finding["state"], &finding["revoked"]),
            (&"LIVE".into(), &true.into())
        );
    }
}
