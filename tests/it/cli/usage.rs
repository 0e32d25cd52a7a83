//! `keyward keys`: how they are used, and what to prune.

use std::sync::Arc;

use keyward::domain::clock::{Clock, SystemClock, Timestamp};
use keyward::domain::id::KeyId;
use keyward::domain::key::Key;
use keyward::domain::usage::Usage;
use keyward::store::home::Home;
use keyward::store::{Record, Store, Versioned};

use super::Shell;
use crate::records::update;
use crate::support::{Server, Site};

const DAY: u64 = 24 * 60 * 60 * 1_000_000;

/// A shell with a workspace, a key that is used, one that is not, and one that
/// works for three weeks. Their ids, and the token of the first.
fn shell() -> (Shell, [String; 3], String) {
    with_keys(Shell::start())
}

fn with_keys(shell: Shell) -> (Shell, [String; 3], String) {
    shell.run("workspaces create klipy --prefix klg", &[]);
    let line = "keys create --workspace klipy --name n --principal p --output json";
    let made = shell.run(line, &["--scope", "people:read people:write *"]);
    let made: serde_json::Value = serde_json::from_slice(&made.stdout).unwrap();
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    let used = text(&made["key"]["id"]);
    let token = text(&made["token"]);
    let unused = shell.key(&[]);
    let soon = shell.key(&["--expires", "21d"]);
    let check = ["--scope", "people:read", "--source-address", "203.0.113.7"];
    let checked = shell.run("check", &[&[token.as_str()], &check[..]].concat());
    assert_eq!(checked.status.code(), Some(0), "{checked:?}");
    let denied = shell.run("check", &[&token, "--environment", "live"]);
    assert_eq!(denied.status.code(), Some(3), "{denied:?}");
    (shell, [used, unused, soon], token)
}

fn listed(shell: &Shell, line: &str) -> Vec<(String, String)> {
    let output = shell.run(line, &["--output", "json"]);
    assert!(output.status.success(), "{line}: {output:?}");
    let listed: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let keys = listed["keys"].as_array().unwrap().iter();
    keys.map(|key| {
        let text = |name: &str| key[name].as_str().unwrap_or_default().to_owned();
        (text("id"), text("command"))
    })
    .collect()
}

#[test]
fn what_is_to_be_pruned_comes_with_the_command_that_works() {
    let (shell, [used, unused, soon], _) = shell();
    let revoke = |id: &String| {
        (
            id.clone(),
            format!("keyward keys revoke {id} --reason unused"),
        )
    };
    let renew = |id: &String| {
        (
            id.clone(),
            format!("keyward keys update {id} --expires 120d"),
        )
    };
    for (line, expected) in [
        ("keys never-used", vec![]),
        (
            "keys never-used --older-than 0s",
            vec![revoke(&unused), revoke(&soon)],
        ),
        ("keys never-used --older-than 0s --principal q", vec![]),
        (
            "keys never-used --older-than 0s --limit 1",
            vec![revoke(&unused)],
        ),
        ("keys stale", vec![]),
        ("keys expiring", vec![renew(&soon)]),
        ("keys expiring --days 20", vec![]),
        ("keys expiring --workspace klipy", vec![renew(&soon)]),
    ] {
        assert_eq!(listed(&shell, line), expected, "{line}");
    }
    let ids = |line| listed(&shell, line).into_iter().map(|(id, _)| id);
    assert!(ids("keys list --unused-since 0s").eq([used, unused.clone(), soon.clone()]));
    assert!(ids("keys list --never-used").eq([unused.clone(), soon.clone()]));
    assert!(ids("keys list --never-used --expiring-before 30d").eq([soon.clone()]));

    // As it is written there.
    for (id, command) in [revoke(&unused), renew(&soon)] {
        let command = command.strip_prefix("keyward ").unwrap();
        let further: &[&str] = if id == unused { &["--yes"] } else { &[] };
        let done = shell.run(command, further);
        assert!(done.status.success(), "{command}: {done:?}");
    }
    assert!(listed(&shell, "keys expiring").is_empty());
    assert_eq!(
        listed(&shell, "keys never-used --older-than 0s"),
        [revoke(&soon)]
    );

    let nothing = shell.run("keys stale --days 90", &[]);
    assert_eq!(
        (&*nothing.stdout, &*nothing.stderr),
        (&b""[..], &b"no keys\n"[..])
    );
    for flags in [["--days", "0"], ["--days", "36501"], ["--days", "-1"]] {
        let refused = shell.run("keys stale", &flags);
        assert_eq!(refused.status.code(), Some(2), "{flags:?}");
    }
}

#[test]
fn a_key_shows_its_use_and_how_to_narrow_it() {
    let (shell, [used, unused, _], token) = shell();
    let shown = |id: &str| String::from_utf8(shell.run("keys get", &[id]).stdout).unwrap();
    let text = shown(&used);
    let line = |name: &str| {
        let line = text.lines().find(|line| line.starts_with(name));
        line.unwrap_or_else(|| panic!("no {name} in {text}"))[name.len()..].trim()
    };
    assert!(line("Last used").ends_with(" from 203.0.113.7"), "{text}");
    assert_eq!(line("Checks"), "1 allowed, 1 denied ENVIRONMENT");
    assert!(line("Last denied").ends_with(", ENVIRONMENT"), "{text}");
    assert_eq!(line("Not needed"), "* people:write");
    let command = line("To narrow");
    let (words, scopes) = command.split_once('\'').unwrap();
    let words = words.strip_prefix("keyward ").unwrap();
    let done = shell.run(words, &[scopes.trim_end_matches('\'')]);
    assert!(done.status.success(), "{done:?}");
    let checked = shell.run("check", &[&token, "--scope", "people:read"]);
    assert_eq!(checked.status.code(), Some(0));
    let text = shown(&used);
    assert!(
        !text.contains("Not needed") && !text.contains("narrow"),
        "{text}"
    );
    let never = shown(&unused);
    assert!(never.ends_with("Last used  never\n"), "{never}");

    // A column of the list, and a field.
    let list = String::from_utf8(shell.run("keys list", &[]).stdout).unwrap();
    assert!(list.lines().next().unwrap().contains("LAST USED"), "{list}");
    let (json, _) = shell.json(&format!("keys get {used}"));
    assert_eq!(json["key"]["usage"]["allowed"], 2);
    assert_eq!(json["key"]["usage"]["denied"]["ENVIRONMENT"], 1);
    let (json, _) = shell.json(&format!("keys get {unused}"));
    assert_eq!(
        json["key"]["usage"]["last_used_time"],
        serde_json::Value::Null
    );
}

/// Notes that uses are counted for so many days.
async fn count_since(site: &Site, days: u64) {
    let home = Home::new(site.store_dir(), site.guard_dir()).unwrap();
    let clock = SystemClock::default();
    let since = clock.now().as_micros() - days * DAY;
    let (store, _) = home.open(Arc::new(clock)).unwrap();
    tokio::task::block_in_place(|| store.snapshot().unwrap().for_each(drop));
    let noted = Usage {
        last_used: Some(Timestamp::from_micros(since)),
        ..Usage::none(KeyId::NOBODY)
    };
    store.note_usage(vec![noted]).await.unwrap();
    store.close();
}

/// Keys of long ago, as there are none in a new store.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_not_used_for_long_is_stale() {
    let site = Site::init();
    count_since(&site, 200).await;
    let served = || Shell {
        server: site.serve(),
        transcript: String::new(),
    };
    let (shell, ids, _) = tokio::task::block_in_place(|| with_keys(served()));
    let site = shell.server.site.clone();
    let (status, _) = tokio::task::block_in_place(|| shell.server.stop());
    assert!(status.success());
    // The three were made 100, 80 and 95 days ago.
    let days = [100, 80, 95];
    site.edit(|_, records| {
        let keys = records.into_iter().filter_map(|found| {
            let revision = found.revision;
            let Record::Key(record) = found.record else {
                return None;
            };
            Some(Versioned { record, revision })
        });
        let aged = keys.map(|key| {
            let place = ids.iter().position(|id| *id == key.record.id.to_string());
            let age = days[place.unwrap()] * DAY;
            let made = Timestamp::from_micros(key.record.create_time.as_micros() - age);
            let aged = Key {
                create_time: made,
                ..key.record
            };
            update(Record::Key(aged), key.revision)
        });
        aged.collect()
    })
    .await;
    let shell = Shell {
        server: tokio::task::block_in_place(|| site.serve()),
        transcript: String::new(),
    };
    for (line, expected) in [
        ("keys stale", &[2][..]),
        ("keys stale --days 80", &[1, 2]),
        ("keys stale --days 100", &[]),
        ("keys never-used", &[1, 2]),
        ("keys never-used --older-than 90d", &[2]),
    ] {
        let found = tokio::task::block_in_place(|| listed(&shell, line));
        let found: Vec<_> = found.into_iter().map(|(id, _)| id).collect();
        let expected: Vec<_> = expected.iter().map(|place| ids[*place].clone()).collect();
        assert_eq!(found, expected, "{line}");
    }
}

#[test]
fn where_nothing_is_counted_it_says_so() {
    let (shell, [used, ..], _) = shell();
    let site = shell.server.site.clone();
    drop(shell.server.stop());
    let mut command = site.serve_command();
    command.arg("--no-usage");
    let shell = Shell {
        server: Server::spawn(site, command).unwrap(),
        transcript: String::new(),
    };
    for line in ["keys stale", "keys never-used", "keys list --never-used"] {
        let refused = shell.run(line, &[]);
        assert_eq!(refused.status.code(), Some(1), "{line}");
        let told = String::from_utf8(refused.stderr).unwrap();
        assert!(told.contains("does not count uses"), "{told}");
        assert!(told.contains("--no-usage"), "{told}");
    }
    let list = String::from_utf8(shell.run("keys list", &[]).stdout).unwrap();
    assert!(!list.contains("LAST USED"), "{list}");
    let shown = String::from_utf8(shell.run("keys get", &[&used]).stdout).unwrap();
    assert!(!shown.contains("Last used"), "{shown}");
}
