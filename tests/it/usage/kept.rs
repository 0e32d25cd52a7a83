//! What was counted, when the server ends and while its store is slow: kept
//! whole by a stop, but for an interval by a kill; and no check writes anything.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use keyward::domain::clock::SystemClock;
use keyward::domain::id::KeyId;
use keyward::edge::pb::{CheckBatchRequest, DenialReason, ErrorReason, ListKeysRequest};
use keyward::store::home::Home;
use keyward::store::{Record, Store};
use tonic::Code;
use tonic_types::StatusExt;

use super::*;
use crate::law_durable::{leave_room, serve_without_xfsz};
use crate::records::files;
use crate::support::{Checks, key_request};
use crate::sync_order::strace;

/// Lets the log tell of each write.
const TOLD: [&str; 2] = ["--log", "info,keyward::service::usage=debug"];

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// So many checks of one token, with a batch for each thousand.
async fn ask(checks: &mut Checks, token: &str, number: usize) {
    for first in (0..number).step_by(1_000) {
        let questions = (first..number).take(1_000);
        let batch = CheckBatchRequest {
            checks: questions.map(|_| check_request(token, &[])).collect(),
        };
        checks.client.check_batch(batch).await.unwrap();
    }
}

/// The newest commit of a store that nobody serves, and how often each key was
/// used as it is stored.
fn stored(site: &Site) -> (u64, BTreeMap<String, u64>) {
    let home = Home::new(site.store_dir(), site.guard_dir()).unwrap();
    let (store, _) = home.open(Arc::new(SystemClock::default())).unwrap();
    let snapshot = store.snapshot().unwrap();
    let revision = snapshot.revision().0;
    let used = snapshot.filter_map(|found| {
        let Record::Usage(usage) = found.unwrap().record else {
            return None;
        };
        // Nobody's tells since when that is counted.
        (usage.key != KeyId::NOBODY).then(|| (usage.key.to_string(), usage.allowed))
    });
    let used = used.collect();
    store.close();
    (revision, used)
}

pub(super) fn stop(server: Server) -> Site {
    let site = server.site.clone();
    let (status, log) = tokio::task::block_in_place(|| server.stop());
    assert!(status.success(), "{log}");
    site
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_thousand_checks_write_nothing_and_a_stop_writes_once() {
    const CHECKS: usize = 100_000;
    const KEYS: usize = 4;
    let site = Site::init();
    let server = serve(&site, &[]);
    let mut admin = server.admin().await;
    admin.workspace("kling", "klg", &[]).await;
    let mut issued = Vec::new();
    for _ in 0..KEYS {
        issued.push(admin.key("kling", &[]).await);
    }
    stop(server);
    let (before, used) = tokio::task::block_in_place(|| stored(&site));
    assert!(used.is_empty(), "nothing is noted of what was not used");

    let server = serve(&site, &["--usage-write-interval", "1h"]);
    let on_disk = || (files(&site.store_dir()), files(&site.guard_dir()));
    let untouched = on_disk();
    let mut checks = server.checks().await;
    for issued in &issued {
        ask(&mut checks, &issued.token, CHECKS / KEYS).await;
    }
    assert!(on_disk() == untouched, "a check has written something");
    let mut admin = server.admin().await;
    for issued in &issued {
        assert_eq!(usage(&mut admin, issued).await.allowed, 25_000);
    }
    assert!(on_disk() == untouched, "to read it has written something");
    drop(admin);
    let site = stop(server);
    let (after, used) = tokio::task::block_in_place(|| stored(&site));
    assert_eq!(after - before, 1, "one commit for all four keys");
    assert!(used.len() == KEYS && used.values().all(|allowed| *allowed == 25_000));

    // All of it is there again, and goes on from there.
    let server = serve(&site, &[]);
    let mut admin = server.admin().await;
    let before = usage(&mut admin, &issued[0]).await;
    assert_eq!(before.allowed, 25_000);
    ask(&mut server.checks().await, &issued[0].token, 5).await;
    let after = usage(&mut admin, &issued[0]).await;
    assert_eq!(after.allowed, 25_005);
    assert_eq!(after.first_used_time, before.first_used_time);
    assert_ne!(after.last_used_time, before.last_used_time);
}

/// All that is counted of a key, through stops and changes of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_stop_keeps_all_that_was_counted() {
    let site = Site::init();
    let server = serve(&site, &[]);
    let mut admin = server.admin().await;
    admin.workspace("kling", "klg", &[]).await;
    let scopes = ["*", "orders:read", "people:*", "people:read"];
    let issued = admin.key("kling", &scopes).await;
    let unused = admin.key("kling", &scopes).await;
    let mut checks = server.checks().await;
    for address in ["192.0.2.1", "2001:db8::9"] {
        let request = from(&issued.token, &["people:read"], address);
        checks.ask(request).await.unwrap();
    }
    let mut elsewhere = from(&issued.token, &[], "");
    elsewhere.environment = "test".to_owned();
    let denied = checks.ask(elsewhere).await.unwrap_err();
    assert_eq!(denied.reason(), DenialReason::Environment);
    let before = usage(&mut admin, &issued).await;
    assert_eq!(before.last_source_address, "2001:db8::9");
    drop(admin);
    let site = stop(server);

    let server = serve(&site, &[]);
    let mut admin = server.admin().await;
    assert_eq!(usage(&mut admin, &issued).await, before);
    assert_eq!(usage(&mut admin, &unused).await, KeyUsage::default());
    // A check that is the first after it turns over to the key's scopes.
    let mut checks = server.checks().await;
    let request = check_request(&issued.token, &["orders:read"]);
    checks.ask(request).await.unwrap();
    let after = usage(&mut admin, &issued).await;
    assert_eq!(after.unexercised_scopes, ["*", "people:*"]);
    assert_eq!((after.allowed, after.last_source_address.as_str()), (3, ""));
}

/// How often the log tells that something was written.
fn writes(server: &Server) -> usize {
    server.log().matches("usage of keys stored").count()
}

async fn until_written(server: &Server, before: usize) {
    let begin = Instant::now();
    while writes(server) == before {
        assert!(begin.elapsed() < PATIENCE, "nothing is written");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_loses_what_was_not_written_and_nothing_that_was() {
    let flags = [&TOLD[..], &["--usage-write-interval", "1s"]].concat();
    let mut server = serve(&Site::init(), &flags);
    let mut admin = server.admin().await;
    admin.workspace("kling", "klg", &[]).await;
    let issued = admin.key("kling", &[]).await;
    let (mut asked, mut kept) = (0, 0);
    for round in 0..5 {
        let mut checks = server.checks().await;
        ask(&mut checks, &issued.token, 300).await;
        asked += 300;
        until_written(&server, writes(&server)).await;
        // What is written next was counted after all of these.
        let (sure, before) = (asked, writes(&server));
        ask(&mut checks, &issued.token, 1).await;
        until_written(&server, before).await;
        ask(&mut checks, &issued.token, 700).await;
        asked += 701;
        let site = tokio::task::block_in_place(|| server.kill());
        server = serve(&site, &flags);
        let found = usage(&mut server.admin().await, &issued).await.allowed;
        let least = kept + sure;
        println!("round {round}: {found} of {asked} are there, {least} were written");
        assert!(least <= found && found <= kept + asked);
        (asked, kept) = (0, found);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_full_disk_checks_are_counted_and_it_is_said_once() {
    let site = Site::init();
    let mut command = serve_without_xfsz(&site, "30s");
    command.args(["--usage-write-interval", "1s"]).args(TOLD);
    let server = Server::spawn(site, command).unwrap();
    let mut admin = server.admin().await;
    admin.workspace("kling", "klg", &[]).await;
    let issued = admin.key("kling", &[]).await;
    let mut checks = server.checks().await;
    ask(&mut checks, &issued.token, 10).await;
    until_written(&server, 0).await;

    leave_room(&server, 0);
    let begin = Instant::now();
    // The log is given room in large pieces, and some of the last one is left.
    let mut fill = async || admin.client.create_key(key_request("kling", &[])).await;
    while fill().await.is_ok() {
        assert!(begin.elapsed() < PATIENCE);
    }
    let complaints = || server.log().matches("usage of keys not written").count();
    let begin = Instant::now();
    while complaints() == 0 {
        checks.header(&issued.token, &[]).await.unwrap();
        assert!(begin.elapsed() < PATIENCE, "nobody tells of it");
    }
    // Through some more intervals.
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_secs(4) {
        checks.header(&issued.token, &[]).await.unwrap();
    }
    assert_eq!(complaints(), 1, "{}", server.log());
    // A stop is not held up by it.
    let site = server.site.clone();
    let begin = Instant::now();
    let (_, log) = tokio::task::block_in_place(|| server.stop());
    assert!(begin.elapsed() < Duration::from_secs(20), "{log}");
    assert_eq!(log.matches("usage of keys not written").count(), 1, "{log}");
    let (_, used) = tokio::task::block_in_place(|| stored(&site));
    assert!(used[id(&issued)] >= 10, "{used:?}");
}

/// Law 6: no check waits for a write. The disk takes three seconds for each
/// sync, and something is to be written all the time.
#[tokio::test(flavor = "multi_thread")]
async fn no_check_waits_for_a_disk_that_hangs() {
    let site = Site::init();
    let server = serve(&site, &[]);
    let mut admin = server.admin().await;
    admin.workspace("kling", "klg", &[]).await;
    let issued = admin.key("kling", &[]).await;
    stop(server);

    let mut serve = site.serve_command();
    serve.args(["--usage-write-interval", "1s"]).args(TOLD);
    let mut slow = strace();
    slow.args(["--seccomp-bpf", "-e", "trace=fdatasync", "-o"])
        .arg(site.path().join("trace"))
        .args(["-e", "inject=fdatasync:delay_enter=3000000"]);
    let server = Server::spawn(site, wrapped(slow, &serve)).unwrap();
    let mut checks = server.checks().await;
    let (begin, mut slowest, mut asked) = (Instant::now(), Duration::ZERO, 0);
    while writes(&server) < 3 {
        let asking = Instant::now();
        checks.header(&issued.token, &[]).await.unwrap();
        slowest = slowest.max(asking.elapsed());
        asked += 1;
        assert!(begin.elapsed() < PATIENCE, "nothing is written");
    }
    println!(
        "{asked} checks in {:?}, one in {slowest:?} at most",
        begin.elapsed()
    );
    assert!(
        begin.elapsed() > Duration::from_secs(9),
        "the disk was slow"
    );
    assert!(slowest < Duration::from_secs(2), "a check took {slowest:?}");
    // And it is exact meanwhile.
    let mut admin = server.admin().await;
    assert_eq!(usage(&mut admin, &issued).await.allowed, asked);
}

#[tokio::test(flavor = "multi_thread")]
async fn addresses_are_kept_only_if_they_are_to_be() {
    let site = Site::init();
    let server = serve(&site, &["--no-usage-addresses"]);
    let mut admin = server.admin().await;
    admin.workspace("kling", "klg", &[]).await;
    let issued = admin.key("kling", &[]).await;
    let mut checks = server.checks().await;
    let request = from(&issued.token, &[], "203.0.113.77");
    checks.ask(request.clone()).await.unwrap();
    let seen = usage(&mut admin, &issued).await;
    assert_eq!((seen.allowed, seen.last_source_address.as_str()), (1, ""));
    drop(admin);
    let site = stop(server);
    let written: Vec<_> = files(&site.data_dir()).into_values().collect();
    let octets = [203, 0, 113, 77];
    let is_there = |bytes: &Vec<u8>| bytes.windows(4).any(|window| window == octets);
    assert!(!written.iter().any(is_there));
    // With it they are, until the next use without one.
    let server = serve(&site, &[]);
    let mut admin = server.admin().await;
    let mut checks = server.checks().await;
    checks.ask(request).await.unwrap();
    let seen = usage(&mut admin, &issued).await;
    assert_eq!(seen.last_source_address, "203.0.113.77");
    drop(admin);
    let server = serve(&stop(server), &["--no-usage-addresses"]);
    let mut admin = server.admin().await;
    server
        .checks()
        .await
        .header(&issued.token, &[])
        .await
        .unwrap();
    let seen = usage(&mut admin, &issued).await;
    assert_eq!((seen.allowed, seen.last_source_address.as_str()), (3, ""));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_counted_is_not_told_and_not_listed_as_unused() {
    let site = Site::init();
    let server = serve(&site, &[]);
    let mut admin = server.admin().await;
    admin.workspace("kling", "klg", &[]).await;
    let issued = admin.key("kling", &[]).await;
    ask(&mut server.checks().await, &issued.token, 3).await;
    drop(admin);
    let site = stop(server);
    let before = tokio::task::block_in_place(|| stored(&site));

    let server = serve(&site, &["--no-usage"]);
    let mut admin = server.admin().await;
    ask(&mut server.checks().await, &issued.token, 4).await;
    assert_eq!(key(&mut admin, id(&issued)).await.usage, None);
    let unused = ListKeysRequest {
        unused_since: Some(prost_types::Timestamp::default()),
        ..ListKeysRequest::default()
    };
    let never = ListKeysRequest {
        never_used: true,
        ..ListKeysRequest::default()
    };
    for request in [unused, never] {
        let status = admin.client.list_keys(request).await.unwrap_err();
        assert_eq!(status.code(), Code::FailedPrecondition);
        let details = status.get_error_details();
        let reason = ErrorReason::UsageNotCounted.as_str_name();
        let told = &details.error_info().unwrap().reason;
        assert_eq!(Some(told.as_str()), reason.strip_prefix("ERROR_REASON_"));
        let violations = &details.precondition_failure().unwrap().violations;
        assert_eq!(violations[0].r#type, "USAGE_NOT_COUNTED");
        assert_eq!(violations[0].subject, "usage.count");
    }
    let all = admin.client.list_keys(ListKeysRequest::default()).await;
    assert_eq!(all.unwrap().into_inner().keys.len(), 1);
    drop(admin);
    let site = stop(server);
    let after = tokio::task::block_in_place(|| stored(&site));
    // It is only noted that there is a gap.
    assert_eq!(after, (before.0 + 1, before.1), "nothing is forgotten");
}

/// What lies in the store of how a key was used, damaged: nothing is served.
#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_note_of_use_is_refused_at_the_start() {
    let site = Site::init();
    let server = serve(&site, &[]);
    let mut admin = server.admin().await;
    admin.workspace("kling", "klg", &[]).await;
    let issued = admin.key("kling", &[]).await;
    ask(&mut server.checks().await, &issued.token, 3).await;
    drop(admin);
    let site = stop(server);
    let place = format!("u/{}", id(&issued));
    let damage = |edit: &dyn Fn(&sled::Db)| {
        tokio::task::block_in_place(|| {
            let db = sled::open(site.store_dir()).unwrap();
            edit(&db);
            db.flush().unwrap();
        });
    };
    let whole = {
        let db = tokio::task::block_in_place(|| sled::open(site.store_dir()).unwrap());
        db.get(&place).unwrap().unwrap().to_vec()
    };
    let mut more = whole.clone();
    *more.last_mut().unwrap() ^= 1;
    for (case, left) in [("edited", Some(more)), ("taken away", None)] {
        damage(&|db| match &left {
            Some(value) => drop(db.insert(&place, value.as_slice()).unwrap()),
            None => drop(db.remove(&place).unwrap()),
        });
        let start = || Server::spawn(site.clone(), site.serve_command());
        let Err((status, log)) = tokio::task::block_in_place(start) else {
            panic!("{case}: it is served");
        };
        assert!(!status.success(), "{case}");
        assert!(!log.contains("panicked"), "{case}: {log}");
        damage(&|db| drop(db.insert(&place, whole.as_slice()).unwrap()));
    }
    let server = serve(&site, &[]);
    let found = usage(&mut server.admin().await, &issued).await;
    assert_eq!(found.allowed, 3);
}
