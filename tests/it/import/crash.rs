//! Server and client killed in the middle: what is left is finished by the same
//! line again, and each key is there once.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use super::*;
use crate::support::{count, keyward, run};

/// A command of somebody who knows where the server is.
pub(super) fn command(server: &Server, line: &str) -> Command {
    let mut command = keyward();
    command
        .args(line.split_whitespace())
        .env("KEYWARD_ADMIN_SERVER", &server.admin_address)
        .env("KEYWARD_ADMIN_TOKEN_FILE", server.site.token_file());
    command
}

pub(super) fn token(number: usize) -> String {
    format!("old_{number:07}_Kx2mQv7LpR4tYw8ZbN3cHf6JgS1aVe")
}

/// A file of so many keys, from line 2 on.
pub(super) fn file(path: &Path, keys: usize) {
    let mut text = "token,name,principal,scopes\n".to_owned();
    for number in 0..keys {
        text += &format!(
            "{},key {number},user:{},people:read\n",
            token(number),
            number % 1_000
        );
    }
    std::fs::write(path, text).unwrap();
}

pub(super) fn lines(report: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(report).unwrap();
    let lines = text
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok());
    lines.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_that_is_killed_is_finished_by_the_same_line_again() {
    let keys = count("KEYWARD_TEST_IMPORT", 3_000);
    let (mut server, _) = start().await;
    let folder = tempfile::tempdir().unwrap();
    let (path, report) = (
        folder.path().join("keys.csv"),
        folder.path().join("report.jsonl"),
    );
    file(&path, keys);
    let mut flag = "--report";
    for round in 0..4 {
        let mut importing = command(&server, "import --workspace klipy")
            .arg(&path)
            .arg(flag)
            .arg(&report)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        flag = "--resume";
        // Some way into what is left of it.
        let before = lines(&report_or_empty(&report)).len();
        for _ in 0..2_000 {
            if lines(&report_or_empty(&report)).len() > before + keys / 8 {
                break;
            }
            if importing.try_wait().unwrap().is_some() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let site = server.site.clone();
        match round {
            0 => drop(server.kill()),
            // A server that is told to stop ends imports, and does not wait for
            // their clients.
            2 => {
                let (status, log) = tokio::task::block_in_place(|| server.stop());
                assert!(status.success(), "{log}");
            }
            _ => {
                importing.kill().unwrap();
                let _ = importing.wait().unwrap();
                continue;
            }
        }
        let _ = importing.wait().unwrap();
        server = site.serve();
    }
    let last = tokio::task::block_in_place(|| {
        run(command(&server, "import --workspace klipy --output json")
            .arg(&path)
            .arg("--resume")
            .arg(&report))
    });
    assert!(last.status.success(), "{last:?}");

    // Each line has one key, in the report and in the store.
    let mut by_line: HashMap<u64, HashSet<String>> = HashMap::new();
    for line in lines(&report) {
        if let (Some(number), Some(id)) = (line["number"].as_u64(), line["key_id"].as_str()) {
            by_line.entry(number).or_default().insert(id.to_owned());
        }
    }
    assert_eq!(by_line.len(), keys);
    assert!(by_line.values().all(|ids| ids.len() == 1));
    let ids: HashSet<_> = by_line.values().flatten().collect();
    assert_eq!(ids.len(), keys);
    let mut checks = server.checks().await;
    for number in (0..keys).step_by(97).chain([keys - 1]) {
        let allowed = checks
            .header(&token(number), &["people:read"])
            .await
            .unwrap();
        assert!(by_line[&(number as u64 + 2)].contains(&allowed.key_id));
    }
    let listed = tokio::task::block_in_place(|| {
        run(&mut command(
            &server,
            "keys list --workspace klipy --output json",
        ))
    });
    let listed: Value = serde_json::from_slice(&listed.stdout).unwrap();
    assert_eq!(listed["keys"].as_array().unwrap().len(), keys);
    // No token is in what was told.
    let told = std::fs::read_to_string(&report).unwrap();
    assert!(!told.contains("Kx2mQv7"));
}

fn report_or_empty(report: &Path) -> std::path::PathBuf {
    if report.exists() {
        report.to_owned()
    } else {
        "/dev/null".into()
    }
}
