//! A hundred thousand used keys: written back in commits of bounded size, which
//! operators do not have to wait for.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use keyward::domain::id::KeyId;
use keyward::domain::key::Key;
use keyward::domain::secret::Secret;
use keyward::domain::token::Token;
use keyward::edge::pb::CheckBatchRequest;
use keyward::store::{Batch, Expect, Record, Write};

use super::*;
use crate::records;
use crate::sync_order::strace;

const KEYS: u64 = 100_000;

/// How many keys one commit makes: well below the longest.
const KEYS_PER_COMMIT: usize = 100;

/// The most keys that one commit is to note, and the fewest if there are more;
/// and the longest that it may be.
const MOST: usize = 512;
const FEWEST: usize = 450;
const LONGEST: usize = 96 * 1024;

/// Longer than all of it takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(180);

/// What a call of an operator may take while all of it is written.
const WAIT: Duration = Duration::from_secs(4);

/// Makes the keys through the store itself. Their tokens.
async fn fill(site: &Site, keys: u64) -> Vec<String> {
    let mut tokens = Vec::new();
    site.edit(|pepper, _| {
        let workspace = records::workspace("kling");
        let (hasher, pepper_id) = (pepper.token_hasher(), pepper.id());
        let first = records::key(&workspace, 1);
        let mut records = vec![
            Record::Principal(records::principal_of(&first)),
            Record::Membership(records::membership_of(&first)),
        ];
        for number in 1..=keys {
            let token = Token::mint(
                &workspace.token_prefix,
                workspace.default_environment.as_ref(),
            );
            let secret = Secret {
                digest: hasher.digest(token.expose().as_bytes()),
                tail: token.tail(),
                pepper_id,
                ..records::secret(number)
            };
            tokens.push(token.expose().to_owned());
            records.push(Record::Key(Key {
                principal: first.principal.clone(),
                secrets: vec![secret],
                ..records::key(&workspace, number)
            }));
        }
        let mut batches = vec![records::create(Record::Workspace(workspace))];
        batches.extend(records.chunks(KEYS_PER_COMMIT).map(|records| Batch {
            writes: records.iter().cloned().map(new).collect(),
            ..records::create(records[0].clone())
        }));
        batches
    })
    .await;
    tokens
}

fn new(record: Record) -> Write {
    Write {
        record,
        expect: Expect::Absent,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_thousand_keys_are_written_in_small_commits() {
    let site = Site::init();
    let tokens = fill(&site, KEYS).await;
    let told = ["--log", "info,keyward::service::usage=debug"];
    let flags = [&told[..], &["--usage-write-interval", "1s"]].concat();
    let server = serve(&site, &flags);
    let mut admin = server.admin().await;
    admin.workspace("other", "oth", &[]).await;
    let resident = memory(&server);
    let operator = tokio::spawn(async move {
        let (mut slowest, mut changes) = (Duration::ZERO, 0);
        let begin = Instant::now();
        while begin.elapsed() < Duration::from_secs(8) {
            let asked = Instant::now();
            admin.key("other", &[]).await;
            slowest = slowest.max(asked.elapsed());
            changes += 1;
        }
        (slowest, changes)
    });
    let begin = Instant::now();
    use_all(&server, &tokens).await;
    let asked_for = begin.elapsed();
    let grown = memory(&server).saturating_sub(resident) * 1_024 / KEYS;
    let (slowest, changes) = operator.await.unwrap();
    println!(
        "{KEYS} keys used in {asked_for:?}, {grown} bytes each; {changes} changes meanwhile, \
         one in {slowest:?} at most"
    );
    assert!(slowest < WAIT, "a change took {slowest:?}");
    while told_written(&server) < KEYS {
        assert!(begin.elapsed() < PATIENCE, "they are not written");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let stopping = Instant::now();
    let (status, log) = tokio::task::block_in_place(|| server.stop());
    assert!(status.success(), "{log}");
    println!("stopped in {:?}", stopping.elapsed());
    let rounds = begin.elapsed().as_secs() + 2;

    let commits = tokio::task::block_in_place(|| noted(&site));
    let keys: usize = commits.values().map(|(keys, _)| keys).sum();
    assert_eq!(keys, usize::try_from(KEYS).unwrap());
    for (revision, (keys, length)) in &commits {
        assert!(
            *keys <= MOST && *length <= LONGEST,
            "{revision}: {keys}, {length}"
        );
    }
    // Full but for the last of each round.
    let most = keys.div_ceil(FEWEST) + usize::try_from(rounds).unwrap();
    println!("{} commits, at most {most} expected", commits.len());
    assert!(commits.len() <= most, "{} commits", commits.len());
}

async fn use_all(server: &Server, tokens: &[String]) {
    let mut checks = server.checks().await;
    for tokens in tokens.chunks(1_000) {
        let questions = tokens
            .iter()
            .map(|token| check_request(token, &["people:read"]));
        let batch = CheckBatchRequest {
            checks: questions.collect(),
        };
        checks.client.check_batch(batch).await.unwrap();
    }
}

/// One at a time they would take far longer than a stop may.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_being_written_one_by_one_is_written_together_at_a_stop() {
    const FEW: u64 = 3_600;
    let site = Site::init();
    let tokens = fill(&site, FEW).await;
    let mut serve = site.serve_command();
    serve.args(["--log", "info,keyward::service::usage=debug"]);
    serve.args(["--usage-write-interval", "1s"]);
    let mut slow = strace();
    slow.args(["--seccomp-bpf", "-e", "trace=fdatasync", "-o"])
        .arg(site.path().join("trace"))
        .args(["-e", "inject=fdatasync:delay_enter=1500000"]);
    let server = Server::spawn(site.clone(), wrapped(slow, &serve)).unwrap();
    use_all(&server, &tokens).await;
    let begin = Instant::now();
    while told_written(&server) == 0 {
        assert!(begin.elapsed() < PATIENCE, "they are not written");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let stopping = Instant::now();
    let (_, log) = tokio::task::block_in_place(|| server.stop());
    println!("stopped in {:?}", stopping.elapsed());
    assert!(!log.contains("not written in time"), "{log}");
    let commits = tokio::task::block_in_place(|| noted(&site));
    let keys: usize = commits.values().map(|(keys, _)| keys).sum();
    assert_eq!(keys, usize::try_from(FEW).unwrap());
    assert!(commits.len() > 6, "{} commits", commits.len());
}

/// How many keys the log says were written.
fn told_written(server: &Server) -> u64 {
    let log = server.log();
    let stored = log
        .lines()
        .filter(|line| line.contains("usage of keys stored"));
    let events = stored.map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    events.map(|event| event["keys"].as_u64().unwrap()).sum()
}

/// How many notes each commit has left in the store's files, and how long these
/// are together.
fn noted(site: &Site) -> BTreeMap<u64, (usize, usize)> {
    let db = sled::open(site.store_dir()).unwrap();
    let mut commits = BTreeMap::new();
    for entry in db.scan_prefix("u/") {
        let (place, value) = entry.unwrap();
        if place.ends_with(KeyId::NOBODY.to_string().as_bytes()) {
            // Since when that is counted.
            continue;
        }
        let revision = u64::from_be_bytes(value[1..9].try_into().unwrap());
        let (keys, length) = commits.entry(revision).or_insert((0, 0));
        (*keys, *length) = (*keys + 1, *length + place.len() + value.len());
    }
    commits
}

/// What the server holds in memory, in KiB.
fn memory(server: &Server) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let number = line.unwrap().split_whitespace().nth(1).unwrap();
    number.parse().unwrap()
}
