//! A limit that many keys share lets exactly as much pass as it says, however
//! many ask at once, with whichever of them.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use keyward::edge::pb::{
    Allowed, CheckBatchRequest, CheckRequest, CreateKeyRequest, Credits, DenialReason, Denied,
};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::limits::{left, limits};
use crate::limits_shared::{ADA, Site, issue, share, sites, start, within};
use crate::support::{Checks, count, key_request, verdict_of};

/// How much the limit of these tests lets pass: nothing of it comes back while
/// a test runs.
const LIMIT: u32 = 700;

/// Longer than any of this takes on a busy machine: what waits for ever does
/// not.
const PATIENCE: Duration = Duration::from_secs(120);

/// The question of a client's turn: with one key after the other, naming the
/// limit or not, which counts always.
fn turn(sites: &[Site], name: &str, number: usize) -> CheckRequest {
    let names: &[&str] = if number.is_multiple_of(3) {
        &[name]
    } else {
        &[]
    };
    sites[number % sites.len()].naming(names, Some(1))
}

/// Whether the check has passed; if not, a limit or too few credits were in the
/// way.
fn passes(verdict: Result<Allowed, Denied>) -> bool {
    let Err(denied) = verdict else { return true };
    let spent = [DenialReason::RateLimited, DenialReason::CreditsExhausted];
    assert!(spent.contains(&denied.reason()), "{denied:?}");
    false
}

/// One client that asks one by one and in a batch, and how much has passed.
async fn client(mut checks: Checks, sites: Arc<[Site]>, name: String, turns: Range<usize>) -> u32 {
    let mut passed = 0;
    let half = (turns.start + turns.end) / 2;
    for number in turns.start..half {
        passed += u32::from(passes(checks.ask(turn(&sites, &name, number)).await));
    }
    let batch = CheckBatchRequest {
        checks: (half..turns.end)
            .map(|number| turn(&sites, &name, number))
            .collect(),
    };
    let results = checks.client.check_batch(batch).await.unwrap();
    let results = results.into_inner().results.into_iter();
    let verdicts = results.map(|result| passes(verdict_of(result)));
    passed + u32::try_from(verdicts.filter(|passes| *passes).count()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn of_checks_with_many_keys_exactly_as_many_pass_in_each_workspace_as_their_principal_may() {
    let (server, mut admin, mut checks) = start().await;
    let all = sites(&mut admin, 3).await;
    let places = ["w", "v"].map(|workspace| Arc::from(within(all.clone(), workspace)));
    for round in 0..count("KEYWARD_LIMIT_ROUNDS", 2) {
        for clients in [1, 2, 64] {
            // Of another name, so that each starts from empty.
            let name = format!("r{round}-{clients}");
            let limit = format!("{name}={LIMIT}/86400!");
            share(&mut admin, ADA, &[&limit]).await.unwrap();
            let each = 3 * LIMIT as usize / 2 / clients + 1;
            // So many in each workspace, all at once.
            let mut running = JoinSet::new();
            for (place, number) in (0..clients).flat_map(|number| [(0, number), (1, number)]) {
                // Each on a connection of its own, so that they are on
                // different threads of the server.
                let (checks, sites) = (server.checks().await, Arc::clone(&places[place]));
                let (name, turns) = (name.clone(), number..number + each);
                running.spawn(async move { (place, client(checks, sites, name, turns).await) });
            }
            let mut passed = [0; 2];
            for (place, number) in timeout(PATIENCE, running.join_all()).await.unwrap() {
                passed[place] += number;
            }
            assert_eq!(passed, [LIMIT; 2], "{clients} clients in round {round}");
            for site in &all {
                let looked = checks.ask(site.naming(&[], Some(0))).await;
                assert_eq!(left(&looked), format!("{name}:0"));
            }
        }
    }
}

/// When a check that has passed was sent, and when its answer was there. It was
/// admitted in between.
type Admission = (Instant, Instant);

/// Asks for as long as that takes, and tells what has passed.
async fn ask_for(
    span: Duration,
    mut checks: Checks,
    sites: Arc<[Site]>,
    first: usize,
) -> Vec<Admission> {
    let (start, mut log) = (Instant::now(), Vec::new());
    for number in first.. {
        let sent = Instant::now();
        if sent - start > span {
            break;
        }
        if passes(checks.ask(turn(&sites, "tick", number)).await) {
            log.push((sent, Instant::now()));
        }
    }
    log
}

#[tokio::test(flavor = "multi_thread")]
async fn in_no_window_passes_more_with_all_keys_of_a_principal() {
    const COUNT: usize = 40;
    const CLIENTS: usize = 8;
    let window = Duration::from_secs(1);
    let (server, mut admin, _) = start().await;
    let sites: Arc<[Site]> = within(sites(&mut admin, 2).await, "w").into();
    share(&mut admin, ADA, &[&format!("tick={COUNT}/1!")])
        .await
        .unwrap();
    let mut running = JoinSet::new();
    for first in 0..CLIENTS {
        let (checks, sites) = (server.checks().await, Arc::clone(&sites));
        running.spawn(ask_for(4 * window, checks, sites, first));
    }
    let logs = timeout(PATIENCE, running.join_all()).await.unwrap();
    let log = logs.concat();
    for (start, _) in &log {
        // Those that were certainly admitted in the window that starts here.
        let within = |(sent, done): &&Admission| sent >= start && *done <= *start + window;
        let passed = log.iter().filter(within).count();
        assert!(passed <= COUNT, "{passed} have passed in a second");
    }
    // What has left the window is there again.
    assert!(log.len() >= 2 * COUNT, "{} have passed", log.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn under_fire_a_changed_limit_lets_pass_what_it_says_and_no_more() {
    const CLIENTS: usize = 8;
    let (server, mut admin, _) = start().await;
    let sites: Arc<[Site]> = within(sites(&mut admin, 2).await, "w").into();
    share(&mut admin, ADA, &["all=1/86400!"]).await.unwrap();
    let passed = Arc::new(AtomicU32::new(0));
    let asked: Arc<[AtomicU32]> = (0..CLIENTS).map(|_| AtomicU32::new(0)).collect();
    let over = Arc::new(AtomicBool::new(false));
    let mut running = JoinSet::new();
    for number in 0..CLIENTS {
        let (mut checks, sites) = (server.checks().await, Arc::clone(&sites));
        let (passed, asked, over) = (Arc::clone(&passed), Arc::clone(&asked), Arc::clone(&over));
        running.spawn(async move {
            while !over.load(Ordering::SeqCst) {
                let turns = asked[number].load(Ordering::SeqCst) as usize;
                let passes = passes(checks.ask(turn(&sites, "all", number + turns)).await);
                passed.fetch_add(u32::from(passes), Ordering::SeqCst);
                asked[number].fetch_add(1, Ordering::SeqCst);
            }
        });
    }
    // Until each client has had answers to checks that it sent since, all of
    // them denials: so nothing is under way that could pass.
    let settled = async || {
        let mut spent = passed.load(Ordering::SeqCst);
        loop {
            let begin: Vec<_> = asked.iter().map(|one| one.load(Ordering::SeqCst)).collect();
            let few = |(one, begin): (&AtomicU32, &u32)| one.load(Ordering::SeqCst) < begin + 3;
            while asked.iter().zip(&begin).any(few) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            let now = passed.load(Ordering::SeqCst);
            if now == spent {
                return now;
            }
            spent = now;
        }
    };
    let mut most = 1;
    for number in [100, 300, 1, 250, 600, 50, 610, 900] {
        share(&mut admin, ADA, &[&format!("all={number}/86400!")])
            .await
            .unwrap();
        most = number.max(most);
        let spent = timeout(PATIENCE, settled()).await.unwrap();
        assert_eq!(spent, most, "at {number}");
    }
    over.store(true, Ordering::SeqCst);
    timeout(PATIENCE, running.join_all()).await.unwrap();
    assert_eq!(passed.load(Ordering::SeqCst), 900);
}

/// Keys with limits of their own, and such with credits, bound and personal: what
/// each may spend, all of them and their principal.
#[tokio::test(flavor = "multi_thread")]
async fn keys_that_share_spend_their_own_together_with_it_or_nothing() {
    const OWN: u32 = 10;
    const CREDITS: u64 = 7;
    let (server, mut admin, mut checks) = start().await;
    let mut own = Vec::new();
    for workspace in ["w", "w", ""] {
        let request = CreateKeyRequest {
            limits: limits(&[&format!("own={OWN}/86400!")]),
            ..key_request(workspace, &["*"])
        };
        let (_, token) = issue(&mut admin, request).await;
        own.push(Site {
            token,
            workspace: "w",
        });
    }
    let mut credited = Vec::new();
    for workspace in ["w", "w"] {
        let request = CreateKeyRequest {
            credits: Some(Credits {
                balance: Some(CREDITS),
                ..Credits::default()
            }),
            ..key_request(workspace, &["*"])
        };
        let (_, token) = issue(&mut admin, request).await;
        credited.push(Site { token, workspace });
    }
    let all: Arc<[Site]> = [&own[..], &credited].concat().into();
    let most = 3 * OWN + 2 * u32::try_from(CREDITS).unwrap();
    for (limit, expected) in [(most - 9, most - 9), (1_000, most)] {
        share(&mut admin, ADA, &[&format!("all={limit}/86400!")])
            .await
            .unwrap();
        let mut running = JoinSet::new();
        for number in 0..16 {
            let (checks, all) = (server.checks().await, Arc::clone(&all));
            running.spawn(client(checks, all, "all".to_owned(), number..number + 60));
        }
        timeout(PATIENCE, running.join_all()).await.unwrap();
        // What passed was counted on all that it was to be counted on, and what
        // was denied on nothing.
        let mut spent = 0;
        for site in &own {
            let looked = checks.ask(site.naming(&[], Some(0))).await.unwrap();
            spent += OWN - looked.limits[0].remaining;
            assert_eq!(looked.limits[1].remaining, limit - expected);
        }
        for site in &credited {
            let looked = checks.ask(site.naming(&[], Some(0))).await.unwrap();
            spent += u32::try_from(CREDITS - looked.credits.unwrap().remaining).unwrap();
        }
        assert_eq!(spent, expected);
    }
}
