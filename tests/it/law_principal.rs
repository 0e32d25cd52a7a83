//! Law 1 for a principal with many keys: no check that starts after the reply
//! to its disabling passes with any of them, and checks of others go on as if
//! nothing had happened.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use keyward::edge::pb::{CheckBatchRequest, CheckRequest, CreateKeyRequest, DenialReason};
use tokio::task::JoinSet;

use crate::admin_api::calls::switch_principal;
use crate::support::{self, Admin, Checks, Server, verdict_of};

/// How many keys the principal has.
const KEYS: usize = 10_000;

/// How often it is switched off, and on again.
const ROUNDS: u64 = 4;

/// The connections that ask for its keys, each for its share of them.
const GUNNERS: usize = 4;

/// How many are asked for at once.
const VOLLEY: usize = 250;

#[tokio::test(flavor = "multi_thread")]
async fn no_key_of_a_disabled_principal_passes_however_many_it_has() {
    let keys = support::count("KEYWARD_TEST_PRINCIPAL_KEYS", KEYS);
    let server = Server::start();
    let mut admin = server.admin().await;
    admin.workspace("w", "klg", &[]).await;
    let many = support::create_many(&admin, "w", keys).await;
    let tokens: Vec<_> = many.into_iter().map(|issued| issued.token).collect();
    let one = issued(&mut admin, "user:one").await;
    let other = issued(&mut admin, "user:other").await;

    let many = attack(&server, "user:ada", &tokens, &other).await;
    let few = attack(&server, "user:one", &[one], &other).await;
    println!("many: {many:?}, few: {few:?}");
    assert!(many.judged >= 2 * ROUNDS * tokens.len() as u64);
    assert!(many.crossing >= ROUNDS, "this was no attack: {many:?}");
    // Others were answered meanwhile, and no switch held up more of them for
    // having more keys.
    assert!(many.others >= ROUNDS && few.others >= ROUNDS);
    assert!(
        many.others <= 20 * few.others,
        "switching many keys takes long: {many:?}, {few:?}"
    );
}

async fn issued(admin: &mut Admin, principal: &str) -> String {
    let request = CreateKeyRequest {
        principal: principal.to_owned(),
        ..support::key_request("w", &["people:read"])
    };
    let reply = admin.client.create_key(request).await.unwrap();
    reply.into_inner().token
}

/// What came of an attack.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    /// Checks whose verdict was certain.
    judged: u64,
    /// Volleys that were under way while the principal was being switched.
    crossing: u64,
    /// Checks of another principal's key meanwhile.
    others: u64,
}

/// The principal under fire.
#[derive(Default)]
struct Fire {
    /// A multiple of 4: it is on; 2 more: it is off; odd: it is being switched.
    phase: AtomicU64,
    /// The last phase in which each gunner has asked for its whole share.
    done: [AtomicU64; GUNNERS],
    over: AtomicBool,
}

/// Switches the principal of `tokens` off and on, while all of them are asked
/// for, and `other`.
async fn attack(server: &Server, principal: &str, tokens: &[String], other: &str) -> Tally {
    let mut admin = server.admin().await;
    let fire = Arc::new(Fire::default());
    let mut gunners = JoinSet::new();
    for gunner in 0..GUNNERS {
        let share = tokens.iter().skip(gunner).step_by(GUNNERS);
        let mut share: Vec<_> = share.map(|token| question(token)).collect();
        if share.is_empty() {
            share.push(question(&tokens[0]));
        }
        let (fire, checks) = (Arc::clone(&fire), server.checks().await);
        gunners.spawn(async move { fire.shoot(gunner, &share, checks).await });
    }
    let (watched, checks) = (Arc::clone(&fire), server.checks().await);
    let other = question(other);
    gunners.spawn(async move { watched.go_on(other, checks).await });
    fire.all_done(0).await;
    for round in 0..ROUNDS {
        for (step, disabled) in [(1, true), (3, false)] {
            let phase = 4 * round + step;
            fire.phase.store(phase, Ordering::SeqCst);
            switch_principal(&mut admin, principal, disabled)
                .await
                .unwrap();
            fire.phase.store(phase + 1, Ordering::SeqCst);
            fire.all_done(phase + 1).await;
        }
    }
    fire.over.store(true, Ordering::SeqCst);
    let mut sum = Tally::default();
    for tally in gunners.join_all().await {
        sum.judged += tally.judged;
        sum.crossing += tally.crossing;
        sum.others += tally.others;
    }
    sum
}

fn question(token: &str) -> CheckRequest {
    support::check_request(&format!("Bearer {token}"), &["people:read"])
}

impl Fire {
    /// Waits until every key was asked for in this phase.
    async fn all_done(&self, phase: u64) {
        // One more, so that the first phase has to be done, too.
        let behind = |done: &AtomicU64| done.load(Ordering::SeqCst) != phase + 1;
        while self.done.iter().any(behind) {
            tokio::task::yield_now().await;
        }
    }

    async fn shoot(&self, gunner: usize, share: &[CheckRequest], mut checks: Checks) -> Tally {
        let mut tally = Tally::default();
        while !self.over.load(Ordering::SeqCst) {
            let phase = self.phase.load(Ordering::SeqCst);
            for volley in share.chunks(VOLLEY) {
                let before = self.phase.load(Ordering::SeqCst);
                let batch = CheckBatchRequest {
                    checks: volley.to_vec(),
                };
                let reply = checks.client.check_batch(batch).await.unwrap();
                let certain =
                    self.phase.load(Ordering::SeqCst) == before && before.is_multiple_of(2);
                tally.crossing += u64::from(!certain);
                let results = reply.into_inner().results;
                assert_eq!(results.len(), volley.len());
                for verdict in results.into_iter().map(verdict_of).filter(|_| certain) {
                    tally.judged += 1;
                    match (verdict, before % 4) {
                        (Ok(_), 0) => {}
                        (Err(denied), 2) => assert_eq!(denied.reason(), DenialReason::Disabled),
                        (verdict, _) => panic!("in phase {before}: {verdict:?}"),
                    }
                }
            }
            // Nobody goes on to the next phase before this one is done.
            self.done[gunner].store(phase + 1, Ordering::SeqCst);
        }
        tally
    }

    /// Asks for the key of another principal, all the time.
    async fn go_on(&self, other: CheckRequest, mut checks: Checks) -> Tally {
        let mut tally = Tally::default();
        while !self.over.load(Ordering::SeqCst) {
            let before = self.phase.load(Ordering::SeqCst);
            checks.ask(other.clone()).await.unwrap();
            tally.others += before % 2;
        }
        tally
    }
}
