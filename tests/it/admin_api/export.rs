//! Exports of many keys: all of them, in bounded memory, as lines of JSON and as
//! a table, and never in part without saying so.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::many_keys::fill::fill;
use crate::support::{Server, Site, count, keyward, run};

/// What a client may have in memory, whatever it exports.
const MAX_KIB: u64 = 64 * 1024;

fn command(server: &Server, line: &str) -> Command {
    let mut command = keyward();
    command
        .args(line.split(' '))
        .env("KEYWARD_ADMIN_SERVER", &server.admin_address)
        .env("KEYWARD_ADMIN_TOKEN_FILE", server.site.token_file());
    command
}

/// The most memory that the process had until it ended, in KiB.
fn most_memory(mut child: Child) -> u64 {
    let path = format!("/proc/{}/status", child.id());
    let mut most = 0;
    loop {
        let status = fs::read_to_string(&path).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
        most = kib.unwrap_or(most);
        if let Some(ended) = child.try_wait().unwrap() {
            assert!(ended.success());
            return most;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn many_keys_are_exported_whole_and_in_bounded_memory() {
    let keys = count("KEYWARD_TEST_EXPORT_KEYS", 20_000);
    let site = Site::init();
    let known = fill(&site, keys).await;
    let ids: BTreeSet<_> = known.iter().map(|key| key.id.clone()).collect();
    let server = site.serve();
    let folder = tempfile::tempdir().unwrap();
    for (format, of_line) in [
        ("jsonl", id_in_json as fn(&str) -> String),
        ("csv", |line| line.split(',').next().unwrap().to_owned()),
    ] {
        let path = folder.path().join(format);
        let line = format!("keys export --format {format} --to");
        let child = command(&server, &line)
            .arg(&path)
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let kib = most_memory(child);
        println!(
            "{format}: {keys} keys, {} bytes, {kib} KiB",
            read(&path).len()
        );
        assert!((1..MAX_KIB).contains(&kib), "{kib} KiB");
        let text = read(&path);
        let header = usize::from(format == "csv");
        let exported: Vec<_> = text.lines().skip(header).map(of_line).collect();
        assert_eq!(exported.len(), keys);
        assert_eq!(exported.into_iter().collect::<BTreeSet<_>>(), ids);
        // What is there is not replaced.
        let again = run(command(&server, &line).arg(&path));
        assert_eq!(again.status.code(), Some(2), "{again:?}");
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
}

fn id_in_json(line: &str) -> String {
    let fields: serde_json::Value = serde_json::from_str(line).unwrap();
    fields["id"].as_str().unwrap().to_owned()
}

#[test]
fn an_export_that_is_cut_off_leaves_no_file_and_says_so() {
    let server = Server::start();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.csv");
    let output = run(command(&server, "keys export --workspace nowhere --to").arg(&path));
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    let full = fs::OpenOptions::new()
        .write(true)
        .open("/dev/full")
        .unwrap();
    let output = command(&server, "audit export")
        .stdout(full)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let output = run(&mut command(&server, "keys export --output json"));
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    let output = run(&mut command(
        &server,
        "audit export --format csv --action system.",
    ));
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(
        text.lines().next(),
        Some("time,workspace,sequence,action,actor,resource,detail")
    );
}
