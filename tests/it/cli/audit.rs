//! `keyward audit`: what was done, and what is being done.

use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::sync::mpsc;
use std::time::Duration;

use super::{Shell, assert_same};

const LOG: &str = r#"
$ keyward audit list --workspace klipy
TIME                  LOG    NO  ACTION            ACTOR                           RESOURCE                        DETAIL
TIME  klipy  3   key.revoke        adm_ID  key_ID  reason=leaked
TIME  klipy  2   key.create        adm_ID  key_ID  membership_made=* name=n principal=p
TIME  klipy  1   workspace.create  adm_ID  klipy                           token_prefix=klg
$ keyward audit list --key key_ID --action key.revoke
TIME                  LOG    NO  ACTION      ACTOR                           RESOURCE                        DETAIL
TIME  klipy  3   key.revoke  adm_ID  key_ID  reason=leaked
$ keyward audit list --workspace klipy --limit 1 --page-size 1
TIME                  LOG    NO  ACTION      ACTOR                           RESOURCE                        DETAIL
TIME  klipy  3   key.revoke  adm_ID  key_ID  reason=leaked
$ keyward audit list --since 1h --until 30m
no events
$ keyward audit list --system --actor nobody
no events
"#;

#[test]
fn the_log_is_read_newest_first_and_by_what_is_asked() {
    let mut shell = Shell::start();
    shell.run("workspaces create klipy --prefix klg", &[]);
    let key = shell.key(&[]);
    shell.run("keys revoke", &[&key, "--reason", "leaked", "--yes"]);
    shell.run("workspaces get nowhere", &[]);
    shell.type_in("audit list --workspace klipy", &[]);
    shell.type_in("audit list --key", &[&key, "--action", "key.revoke"]);
    shell.type_in("audit list --workspace klipy --limit 1 --page-size 1", &[]);
    shell.type_in("audit list --since 1h --until 30m", &[]);
    shell.type_in("audit list --system --actor nobody", &[]);
    assert_same(&shell.transcript, LOG);

    let (all, _) = shell.json("audit list --action key. --since 1h");
    let actions: Vec<_> = all["events"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| event["action"].as_str().unwrap())
        .collect();
    assert_eq!(actions, ["key.revoke", "key.create"]);
    let output = shell.run("audit list --system --workspace klipy", &[]);
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn a_log_is_followed_oldest_first_and_over_a_restart_of_nothing() {
    let shell = Shell::start();
    for id in ["one", "two", "three"] {
        shell.run("workspaces create --prefix klg", &[id]);
    }
    let mut command = shell.command("audit");
    command.args(["list", "--watch", "50ms", "--limit", "2"]);
    command.args(["--action", "workspace.create", "--output", "json"]);
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let (told, events) = mpsc::channel();
    std::thread::spawn(move || {
        for line in lines.map_while(Result::ok) {
            let _ = told.send(line);
        }
    });
    let next = || {
        let line = events.recv_timeout(Duration::from_secs(30)).unwrap();
        let event: serde_json::Value = serde_json::from_str(&line).unwrap();
        event["resource"].as_str().unwrap().to_owned()
    };
    assert_eq!([next(), next()], ["two", "three"]);
    for id in ["four", "five"] {
        shell.run("workspaces create --prefix klg", &[id]);
        assert_eq!(next(), id);
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(
        events.recv_timeout(Duration::from_secs(30)).is_err(),
        "each once"
    );
}

#[test]
fn an_action_that_is_none_is_told() {
    let shell = Shell::start();
    for watch in [&[][..], &["--watch"]] {
        let output = shell.run("audit list --action key.revokd", watch);
        assert_eq!(output.status.code(), Some(1));
        assert!(output.stdout.is_empty());
        let told = String::from_utf8(output.stderr).unwrap();
        assert!(
            told.contains("--action") && told.contains("`key.revoke`"),
            "{told}"
        );
    }
}
