//! Law 1, revoked means revoked: no check that starts after the reply to a
//! revocation passes, at once and after a crash.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Instant;

use keyward::edge::pb::{CheckRequest, CreateKeyResponse, DenialReason, RevokeKeyRequest};
use tokio::sync::Notify;
use tokio::task::JoinSet;

use crate::support::{self, Admin, Checks, Server, Site};

/// How many keys are revoked, each under fire.
const REVOCATIONS: usize = 20_000;

/// The connections that check; a bit of a `u32` each.
const CONNECTIONS: u32 = 32;

/// How many revocations are under way at once, so that the store commits
/// several together.
const LANES: usize = 16;

/// How many checks each connection has under way.
const STREAMS: usize = 4;

/// What is right after a reply.
const RIGHT_AFTER: u64 = 1_000_000;

/// How many crashes, and how many keys are there to be revoked before each.
const CRASHES: usize = 3;
const KEYS_PER_CRASH: usize = 2_000;

#[tokio::test(flavor = "multi_thread")]
async fn no_check_that_starts_after_the_reply_passes() {
    let revocations = support::count("KEYWARD_TEST_REVOCATIONS", REVOCATIONS);
    let server = Server::start();
    let mut admin = server.admin().await;
    admin.workspace("klue", "klue", &[]).await;
    let begin = Instant::now();
    let keys = support::create_many(&admin, "klue", revocations).await;
    println!("{revocations} keys created in {:.1?}", begin.elapsed());

    let range = Arc::new(Range::new(keys));
    let begin = Instant::now();
    let mut gunners = JoinSet::new();
    for number in 0..CONNECTIONS {
        let checks = server.checks().await;
        for stream in 0..STREAMS {
            let (range, checks) = (Arc::clone(&range), checks.clone());
            gunners.spawn(async move { range.fire(number, checks, stream > 0).await });
        }
    }
    let mut revokers = JoinSet::new();
    for lane in 0..LANES {
        let (range, admin) = (Arc::clone(&range), server.admin().await);
        revokers.spawn(async move { range.revoke(lane, admin).await });
    }
    revokers.join_all().await;
    range.over.store(true, Ordering::Relaxed);
    let shots: Vec<Shot> = gunners.join_all().await.into_iter().flatten().collect();
    println!("revoked in {:.1?}", begin.elapsed());

    let tally = Tally::of(&range, &shots);
    println!("{tally:#?}");
    assert!(tally.violations.is_empty(), "{:?}", tally.violations);
    assert_eq!(
        tally.fewest_connections_before, CONNECTIONS,
        "each key was seen to pass on every connection"
    );
    assert_eq!(
        tally.fewest_connections_after, CONNECTIONS,
        "each key was tried on every connection after the reply"
    );
    assert!(tally.allowed >= u64::from(CONNECTIONS) * revocations as u64);
    assert!(
        tally.in_flight_at_the_reply >= revocations as u64,
        "this was no attack: {tally:?}"
    );
    assert!(
        tally.keys_in_flight_at_the_reply >= revocations / 2,
        "this was no attack: {tally:?}"
    );
    assert!(
        tally.right_after_a_reply >= revocations as u64 / 4,
        "this was no attack: {tally:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_revoked_before_a_crash_stays_revoked_after_it() {
    let mut site = Site::init();
    let mut all = Vec::new();
    for crash in 0..CRASHES {
        let server = site.serve();
        let mut admin = server.admin().await;
        if crash == 0 {
            admin.workspace("klue", "klue", &[]).await;
        }
        let fresh = support::create_many(&admin, "klue", KEYS_PER_CRASH).await;
        let first = all.len();
        all.extend(fresh.into_iter().map(|issued| (issued, Fate::Standing)));
        site = crash_while_revoking(server, &mut all[first..]).await;

        let server = site.serve();
        let mut wrong = Vec::new();
        let mut checks = server.checks().await;
        for (issued, fate) in &all {
            let verdict = checks
                .header(&format!("Bearer {}", issued.token), &["people:read"])
                .await;
            let revoked = verdict
                .as_ref()
                .is_err_and(|denied| denied.reason() == DenialReason::Revoked);
            match fate {
                Fate::Standing if verdict.is_ok() => {}
                Fate::Revoked if revoked => {}
                // Whole or not at all.
                Fate::Unknown if verdict.is_ok() || revoked => {}
                Fate::Standing | Fate::Revoked | Fate::Unknown => wrong.push((fate, verdict)),
            }
        }
        assert!(wrong.is_empty(), "{wrong:#?}");
        let count = |wanted: Fate| all.iter().filter(|(_, fate)| *fate == wanted).count();
        println!(
            "crash {crash}: {} revoked, {} not, {} asked for without an answer",
            count(Fate::Revoked),
            count(Fate::Standing),
            count(Fate::Unknown)
        );
        site = server.kill();
    }
    let revoked = all
        .iter()
        .filter(|(_, fate)| *fate == Fate::Revoked)
        .count();
    assert!(revoked > 0, "the crashes came before any revocation");
}

/// What is known of a key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fate {
    Standing,
    Revoked,
    /// Its revocation was asked for, and not replied to.
    Unknown,
}

/// Revokes the keys from many callers at once, with checks beside, and kills
/// the server in the midst of it.
async fn crash_while_revoking(server: Server, keys: &mut [(CreateKeyResponse, Fate)]) -> Site {
    const CALLERS: usize = 32;
    let ids = keys
        .iter()
        .map(|(issued, _)| issued.key.clone().unwrap().id);
    let ids: Arc<Vec<String>> = Arc::new(ids.collect());
    let next = Arc::new(AtomicUsize::default());
    let mut callers = JoinSet::new();
    for _ in 0..CALLERS {
        let mut client = server.admin().await;
        let (ids, next) = (Arc::clone(&ids), Arc::clone(&next));
        callers.spawn(async move {
            let mut fates = Vec::new();
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                let Some(id) = ids.get(number) else {
                    return fates;
                };
                let fate = revoke(&mut client, id).await;
                fates.push((number, fate));
                if fate == Fate::Unknown {
                    return fates;
                }
            }
        });
    }
    let mut client = server.checks().await.client;
    let token = keys[0].0.token.clone();
    callers.spawn(async move {
        while client
            .check(support::check_request(&token, &[]))
            .await
            .is_ok()
        {}
        Vec::new()
    });
    // A moment in the midst, which differs from run to run.
    let enough = rand::random_range(ids.len() / 10..ids.len() * 9 / 10);
    while next.load(Ordering::Relaxed) < enough {
        tokio::task::yield_now().await;
    }
    let site = server.kill();
    for (number, fate) in callers.join_all().await.into_iter().flatten() {
        keys[number].1 = fate;
    }
    site
}

async fn revoke(admin: &mut Admin, key_id: &str) -> Fate {
    let key_id = key_id.to_owned();
    let request = RevokeKeyRequest {
        key_id,
        reason: 0,
        ..RevokeKeyRequest::default()
    };
    match admin.client.revoke_key(request).await {
        Ok(_) => Fate::Revoked,
        Err(_) => Fate::Unknown,
    }
}

/// Keys to be revoked, those under fire, and when what was heard of each.
struct Range {
    begin: Instant,
    targets: Vec<Target>,
    next: AtomicUsize,
    lanes: [Lane; LANES],
    over: AtomicBool,
}

/// A key, and the moments of its revocation in nanoseconds from the beginning.
struct Target {
    key_id: String,
    request: CheckRequest,
    sent: AtomicU64,
    replied: AtomicU64,
}

/// One revocation at a time.
#[derive(Default)]
struct Lane {
    /// In the upper half the stage: twice the number of the key under fire,
    /// from 1 on, and 1 more once its revocation was replied to. In the lower
    /// half the connections that have begun a check in this stage.
    stage_and_begun: AtomicU64,
    all_begun: Notify,
}

struct LaneNow {
    stage: u32,
    begun: u32,
}

/// One check.
struct Shot {
    connection: u32,
    target: usize,
    start: u64,
    end: u64,
    allowed: bool,
}

impl Range {
    fn new(keys: Vec<CreateKeyResponse>) -> Self {
        let targets = keys.into_iter().map(|issued| Target {
            key_id: issued.key.unwrap().id,
            request: support::check_request(&format!("Bearer {}", issued.token), &["people:read"]),
            sent: AtomicU64::default(),
            replied: AtomicU64::default(),
        });
        Self {
            begin: Instant::now(),
            targets: targets.collect(),
            next: AtomicUsize::default(),
            lanes: std::array::from_fn(|_| Lane::default()),
            over: AtomicBool::default(),
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.begin.elapsed().as_nanos()).unwrap()
    }

    /// Checks whatever key is under fire, until there is none any more; with
    /// `aimed`, those first that wait for this connection.
    async fn fire(&self, connection: u32, mut checks: Checks, aimed: bool) -> Vec<Shot> {
        let mut shots = Vec::new();
        let mut turn = connection as usize;
        while !self.over.load(Ordering::Relaxed) {
            turn += 1;
            let lanes = (0..LANES).map(|step| &self.lanes[(turn + step) % LANES]);
            let under_fire = lanes
                .map(|lane| (lane, lane.now()))
                .filter(|(_, now)| now.stage > 0);
            let served = |now: &LaneNow| aimed && now.begun >> connection & 1 == 1;
            let Some((lane, now)) = under_fire.min_by_key(|(_, now)| served(now)) else {
                tokio::task::yield_now().await;
                continue;
            };
            let target = now.stage as usize / 2 - 1;
            let request = self.targets[target].request.clone();
            let start = self.now();
            lane.note(now.stage, connection);
            let reply = checks
                .client
                .check(request)
                .await
                .expect("a check is answered")
                .into_inner();
            let end = self.now();
            let allowed = match support::verdict(reply) {
                Ok(_) => true,
                Err(denied) => {
                    assert_eq!(denied.reason(), DenialReason::Revoked);
                    false
                }
            };
            shots.push(Shot {
                connection,
                target,
                start,
                end,
                allowed,
            });
        }
        shots
    }

    /// Revokes one key after the other, each once every connection has tried
    /// it, and goes on once every connection has tried it again.
    async fn revoke(&self, lane: usize, mut admin: Admin) {
        let lane = &self.lanes[lane];
        loop {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            let Some(target) = self.targets.get(number) else {
                break;
            };
            let stage = 2 * (number as u32 + 1);
            lane.enter(stage).await;
            let request = RevokeKeyRequest {
                key_id: target.key_id.clone(),
                reason: 0,
                ..RevokeKeyRequest::default()
            };
            target.sent.store(self.now(), Ordering::Relaxed);
            admin
                .client
                .revoke_key(request)
                .await
                .expect("a key is revoked");
            target.replied.store(self.now(), Ordering::Relaxed);
            lane.enter(stage + 1).await;
        }
        lane.stage_and_begun.store(0, Ordering::Release);
    }
}

impl Lane {
    fn now(&self) -> LaneNow {
        let both = self.stage_and_begun.load(Ordering::Acquire);
        LaneNow {
            stage: (both >> 32) as u32,
            begun: both as u32,
        }
    }

    /// Opens a stage and waits until a check has begun in it on every
    /// connection.
    async fn enter(&self, stage: u32) {
        self.stage_and_begun
            .store(u64::from(stage) << 32, Ordering::Release);
        self.all_begun.notified().await;
    }

    /// Notes that a check has begun, if the stage is still what it was then.
    fn note(&self, stage: u32, connection: u32) {
        let noted = self
            .stage_and_begun
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |now| {
                let noted = now | 1 << connection;
                (now >> 32 == u64::from(stage) && now != noted).then_some(noted)
            });
        if noted.is_ok_and(|before| (before | 1 << connection) as u32 == u32::MAX) {
            self.all_begun.notify_one();
        }
    }
}

/// What came of it all.
#[derive(Debug)]
struct Tally {
    #[expect(dead_code, reason = "it is printed")]
    checks: usize,
    allowed: u64,
    /// Checks that began before a reply and ended after it.
    in_flight_at_the_reply: u64,
    /// Keys with such checks.
    keys_in_flight_at_the_reply: usize,
    /// Checks that began after a reply, and within 1 ms of it.
    right_after_a_reply: u64,
    /// Over all keys, the fewest connections that began a check before the
    /// revocation was sent, and after it was replied to.
    fewest_connections_before: u32,
    fewest_connections_after: u32,
    violations: Vec<String>,
}

impl Tally {
    fn of(range: &Range, shots: &[Shot]) -> Self {
        let mut tally = Self {
            checks: shots.len(),
            allowed: 0,
            in_flight_at_the_reply: 0,
            keys_in_flight_at_the_reply: 0,
            right_after_a_reply: 0,
            fewest_connections_before: 0,
            fewest_connections_after: 0,
            violations: Vec::new(),
        };
        let mut connections = vec![(0_u32, 0_u32); range.targets.len()];
        let mut in_flight = vec![false; range.targets.len()];
        for shot in shots {
            let target = &range.targets[shot.target];
            let (sent, replied) = (
                target.sent.load(Ordering::Relaxed),
                target.replied.load(Ordering::Relaxed),
            );
            let (before, after) = &mut connections[shot.target];
            let bit = 1 << shot.connection;
            if shot.start < sent {
                *before |= bit;
            }
            if shot.start > replied {
                *after |= bit;
            }
            tally.allowed += u64::from(shot.allowed);
            if shot.start < replied && shot.end > replied {
                tally.in_flight_at_the_reply += 1;
                in_flight[shot.target] = true;
            }
            tally.right_after_a_reply +=
                u64::from(shot.start > replied && shot.start - replied <= RIGHT_AFTER);
            if shot.allowed && shot.start > replied {
                let late = shot.start - replied;
                tally.violations.push(format!(
                    "{} passed {late} ns after the reply",
                    target.key_id
                ));
            }
            if !shot.allowed && shot.end < sent {
                tally.violations.push(format!(
                    "{} was denied before it was revoked",
                    target.key_id
                ));
            }
        }
        tally.keys_in_flight_at_the_reply =
            in_flight.into_iter().filter(|in_flight| *in_flight).count();
        let fewest = |of: fn(&(u32, u32)) -> u32| {
            connections.iter().map(|masks| of(masks).count_ones()).min()
        };
        tally.fewest_connections_before = fewest(|masks| masks.0).unwrap();
        tally.fewest_connections_after = fewest(|masks| masks.1).unwrap();
        tally
    }
}
