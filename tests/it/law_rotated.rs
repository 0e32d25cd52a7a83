//! Laws 1 to 3, for the two tokens of a key that is rotated: no check that
//! starts after the reply that ends one of them passes with it, the new one
//! works from the reply on and the one that stays never stops; and a crash
//! takes nothing of that back.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use keyward::domain::clock::{Clock, SystemClock};
use keyward::edge::pb::{CheckRequest, DenialReason, GetKeyRequest, Key, RotateKeyRequest};
use tokio::task::JoinSet;

use crate::admin_api::calls::{Settled, rotate_key, rotation, settle_rotation};
use crate::support::{self, Admin, Checks, Server, Site};

/// The keys under fire, and how often each is rotated.
const KEYS: usize = 4;
const ROUNDS: usize = 60;

/// The connections that check, and the checks under way on each.
const CONNECTIONS: usize = 6;
const STREAMS: usize = 2;

/// Checks of the tokens of a key after a reply, before the next change.
const ENOUGH: u64 = (CONNECTIONS * STREAMS * 3) as u64;

const DAY: i64 = 24 * 3_600 * 1_000;

/// How long an overlap is that is to pass, in milliseconds.
const SHORT: i64 = 120;

/// Later than anything here.
const NEVER: u64 = u64::MAX;

#[tokio::test(flavor = "multi_thread")]
async fn each_token_of_a_rotated_key_works_exactly_as_long_as_it_should() {
    let server = Server::start();
    let mut admin = server.admin().await;
    admin.workspace("klue", "klue", &[]).await;
    let over = Arc::new(AtomicBool::default());
    let mut ranges = Vec::new();
    for _ in 0..KEYS {
        let issued = admin.key("klue", &["people:read"]).await;
        ranges.push(Arc::new(Range::new(issued.key.unwrap().id, issued.token)));
    }
    let mut gunners = JoinSet::new();
    for _ in 0..CONNECTIONS {
        let checks = server.checks().await;
        for _ in 0..STREAMS {
            let (ranges, checks, over) = (ranges.clone(), checks.clone(), Arc::clone(&over));
            gunners.spawn(fire(ranges, checks, over));
        }
    }
    let mut drivers = JoinSet::new();
    for range in &ranges {
        let (range, admin) = (Arc::clone(range), server.admin().await);
        drivers.spawn(async move { drive(&range, admin).await });
    }
    let mut lives: HashMap<String, Life> = HashMap::new();
    for told in drivers.join_all().await {
        lives.extend(told);
    }
    over.store(true, Ordering::Relaxed);
    let shots: Vec<Shot> = gunners.join_all().await.into_iter().flatten().collect();

    let tally = Tally::of(&shots, &lives);
    println!("{} tokens, {tally:?}", lives.len());
    assert!(tally.wrong.is_empty(), "{:#?}", tally.wrong);
    let tokens = lives.len() as u64;
    assert!(tokens > (KEYS * ROUNDS) as u64, "this was no attack");
    assert!(tally.surely_alive > tokens * 10, "this was no attack");
    assert!(tally.surely_dead > tokens * 10, "this was no attack");
    assert!(tally.across_an_end > tokens / 4, "this was no attack");
}

/// From when to when a token is known to work, and from when on not to, in
/// microseconds.
#[derive(Clone, Copy, Debug)]
struct Life {
    /// The reply that handed it out.
    born: u64,
    /// What ended it was asked for then, or was its end by the clock.
    threatened: u64,
    /// The reply that ended it, or its end by the clock.
    dead: u64,
}

/// A key under fire.
struct Range {
    id: String,
    /// Those that are tried: the newest, and those before it.
    tokens: ArcSwap<Vec<Arc<str>>>,
    /// How many checks began since the last change.
    begun: AtomicU64,
}

/// One check.
struct Shot {
    token: Arc<str>,
    start: u64,
    end: u64,
    denial: Option<DenialReason>,
}

fn now() -> u64 {
    SystemClock::default().now().as_micros()
}

fn question(token: &str) -> CheckRequest {
    support::check_request(&format!("Bearer {token}"), &["people:read"])
}

impl Range {
    fn new(id: String, token: String) -> Self {
        Self {
            id,
            tokens: ArcSwap::from_pointee(vec![token.into()]),
            begun: AtomicU64::default(),
        }
    }

    /// Has enough checks begin from now on.
    async fn enough(&self) {
        self.begun.store(0, Ordering::Relaxed);
        while self.begun.load(Ordering::Relaxed) < ENOUGH {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    fn aim(&self, tokens: Vec<Arc<str>>) {
        self.tokens.store(Arc::new(tokens));
    }
}

/// Checks all tokens of all keys, over and over.
async fn fire(ranges: Vec<Arc<Range>>, mut checks: Checks, over: Arc<AtomicBool>) -> Vec<Shot> {
    let mut shots = Vec::new();
    while !over.load(Ordering::Relaxed) {
        for range in &ranges {
            for token in range.tokens.load_full().iter() {
                let start = now();
                range.begun.fetch_add(1, Ordering::Relaxed);
                let verdict = checks.ask(question(token)).await;
                shots.push(Shot {
                    token: Arc::clone(token),
                    start,
                    end: now(),
                    denial: verdict.err().map(|denied| denied.reason()),
                });
            }
        }
    }
    shots
}

/// Rotates a key in every way, and tells from when to when each token works.
async fn drive(range: &Range, admin: Admin) -> HashMap<String, Life> {
    let first = range.tokens.load()[0].clone();
    let mut driver = Driver {
        range,
        admin,
        lives: HashMap::new(),
        stands: first.clone(),
    };
    driver.is_born(&first, 0);
    range.enough().await;
    for round in 0..ROUNDS {
        let before = driver.stands.clone();
        match round % 6 {
            0 => {
                let new = driver.rotate(rotation(&range.id, DAY)).await;
                driver.settle(Settled::Finished, &before, &new).await;
            }
            1 => {
                let new = driver.rotate(rotation(&range.id, DAY)).await;
                driver.settle(Settled::Cancelled, &new, &before).await;
            }
            2 => {
                driver.replace(&[&before]).await;
            }
            3 => {
                let asked = now();
                let new = driver.rotate(rotation(&range.id, SHORT)).await;
                driver.wait_for_the_end(asked, &before, &new).await;
            }
            4 => {
                // The checks use it at once.
                let request = RotateKeyRequest {
                    from_first_use: true,
                    ..rotation(&range.id, SHORT)
                };
                let asked = now();
                let new = driver.rotate(request).await;
                driver.wait_for_the_end(asked, &before, &new).await;
            }
            _ => {
                let leaked = driver.rotate(rotation(&range.id, DAY)).await;
                driver.replace(&[&before, &leaked]).await;
            }
        }
    }
    driver.lives
}

struct Driver<'a> {
    range: &'a Range,
    admin: Admin,
    lives: HashMap<String, Life>,
    /// The one token that works between rotations.
    stands: Arc<str>,
}

impl Driver<'_> {
    fn is_born(&mut self, token: &str, born: u64) {
        let life = Life {
            born,
            threatened: NEVER,
            dead: NEVER,
        };
        self.lives.insert(token.to_owned(), life);
    }

    fn is_dead(&mut self, token: &str, threatened: u64, dead: u64) {
        let life = self.lives.get_mut(token).unwrap();
        (life.threatened, life.dead) = (threatened, dead);
    }

    /// Starts a rotation, and gives the new token.
    async fn rotate(&mut self, request: RotateKeyRequest) -> Arc<str> {
        let rotated = rotate_key(&mut self.admin, request).await.unwrap();
        self.is_born(&rotated.token, now());
        let new: Arc<str> = rotated.token.into();
        self.range.aim(vec![new.clone(), self.stands.clone()]);
        self.range.enough().await;
        new
    }

    /// Ends all tokens so far at once.
    async fn replace(&mut self, ends: &[&Arc<str>]) {
        let asked = now();
        let request = rotation(&self.range.id, 0);
        let rotated = rotate_key(&mut self.admin, request).await.unwrap();
        let replied = now();
        self.is_born(&rotated.token, replied);
        for token in ends {
            self.is_dead(token, asked, replied);
        }
        let new: Arc<str> = rotated.token.into();
        let ended = ends.iter().map(|&token| token.clone());
        self.range
            .aim(Some(new.clone()).into_iter().chain(ended).collect());
        self.range.enough().await;
        self.stands = new;
    }

    async fn settle(&mut self, how: Settled, ends: &Arc<str>, stays: &Arc<str>) {
        let asked = now();
        settle_rotation(&mut self.admin, (&self.range.id, ""), how)
            .await
            .unwrap();
        self.is_dead(ends, asked, now());
        self.range.enough().await;
        self.stands = stays.clone();
    }

    /// The old token ends by the clock, [`SHORT`] after it was `asked` at the
    /// earliest.
    async fn wait_for_the_end(&mut self, asked: u64, old: &Arc<str>, new: &Arc<str>) {
        let mut end = None;
        while let Some(rotation) = self.key().await.rotation {
            let told = rotation.old_end_time.map(|end| {
                u64::try_from(end.seconds).unwrap() * 1_000_000
                    + u64::try_from(end.nanos / 1_000).unwrap()
            });
            assert!(end.is_none() || end == told, "an end does not move");
            end = told;
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        let over = now();
        match end {
            Some(end) => {
                assert!(end <= over, "a rotation is over when its end has come");
                self.is_dead(old, end, end);
            }
            // On a busy machine, it is over before it can be looked at.
            None => self.is_dead(old, asked + SHORT as u64 * 1_000, over),
        }
        self.range.enough().await;
        self.stands = new.clone();
    }

    async fn key(&mut self) -> Key {
        let request = GetKeyRequest {
            key_id: self.range.id.clone(),
        };
        let reply = self.admin.client.get_key(request).await.unwrap();
        reply.into_inner().key.unwrap()
    }
}

/// What came of it all.
#[derive(Debug, Default)]
struct Tally {
    /// Checks that had to pass.
    surely_alive: u64,
    /// Checks that had to be denied.
    surely_dead: u64,
    /// Checks that were under way when a token ended.
    across_an_end: u64,
    wrong: Vec<String>,
}

impl Tally {
    fn of(shots: &[Shot], lives: &HashMap<String, Life>) -> Self {
        let mut tally = Self::default();
        for shot in shots {
            let life = lives[&*shot.token];
            let Shot {
                start, end, denial, ..
            } = shot;
            if *start > life.born && *end < life.threatened {
                tally.surely_alive += 1;
                if denial.is_some() {
                    let wrong = format!("denied while it worked: {denial:?}, {start}, {life:?}");
                    tally.wrong.push(wrong);
                }
            } else if *start > life.dead {
                tally.surely_dead += 1;
                let ended = [DenialReason::Expired, DenialReason::Unknown];
                if !denial.is_some_and(|reason| ended.contains(&reason)) {
                    let late = start - life.dead;
                    let wrong = format!("{denial:?} {late} us after its end: {life:?}");
                    tally.wrong.push(wrong);
                }
            } else {
                tally.across_an_end += 1;
            }
        }
        tally
    }
}

/// A key, and what was last acknowledged of its tokens.
#[derive(Clone, Debug)]
struct Held {
    id: String,
    /// The one that stands for the key.
    newest: String,
    /// The one that works beside it.
    old: Option<String>,
    /// The last one that was ended.
    ended: Option<String>,
    /// What was asked for, and not replied to.
    asked: Option<Step>,
}

/// What can be done to the tokens of a key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Step {
    Rotate,
    Replace,
    Finish,
    Cancel,
}

impl Held {
    fn step(&self) -> Step {
        let steps: &[Step] = match self.old {
            None => &[Step::Rotate, Step::Rotate, Step::Replace],
            Some(_) => &[Step::Finish, Step::Cancel, Step::Replace],
        };
        steps[rand::random_range(0..steps.len())]
    }

    /// Takes a step, unless the server dies before its reply.
    async fn take(&mut self, admin: &mut Admin, step: Step) -> bool {
        self.asked = Some(step);
        let overlap = if step == Step::Rotate { DAY } else { 0 };
        let taken = match step {
            Step::Rotate | Step::Replace => rotate_key(admin, rotation(&self.id, overlap))
                .await
                .map(|rotated| Some(rotated.token)),
            Step::Finish => settle_rotation(admin, (&self.id, ""), Settled::Finished)
                .await
                .map(|_| None),
            Step::Cancel => settle_rotation(admin, (&self.id, ""), Settled::Cancelled)
                .await
                .map(|_| None),
        };
        let Ok(token) = taken else { return false };
        self.asked = None;
        match (step, token) {
            (Step::Rotate, Some(token)) => {
                self.old = Some(std::mem::replace(&mut self.newest, token));
                self.ended = None;
            }
            (Step::Replace, Some(token)) => {
                self.ended = Some(std::mem::replace(&mut self.newest, token));
                self.old = None;
            }
            (Step::Finish, _) => self.ended = self.old.take(),
            (Step::Cancel, _) => {
                let old = self.old.take().unwrap();
                self.ended = Some(std::mem::replace(&mut self.newest, old));
            }
            (Step::Rotate | Step::Replace, None) => panic!("a token is handed out"),
        }
        true
    }

    /// Whether the newest and the old token may work, as they do: as was
    /// acknowledged, or as was asked for.
    fn may_be(&self, works: [bool; 2]) -> bool {
        let before = [true, self.old.is_some()];
        let after = match self.asked {
            // The token that came of it is not known.
            None | Some(Step::Rotate) => before,
            Some(Step::Replace) => [false, false],
            Some(Step::Finish) => [true, false],
            Some(Step::Cancel) => [false, true],
        };
        works == before || works == after
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_takes_back_nothing_that_was_acknowledged_and_leaves_nothing_half_done() {
    const CRASHES: usize = 6;
    const CALLERS: usize = 24;
    let mut server = Server::start();
    let mut admin = server.admin().await;
    admin.workspace("klue", "klue", &[]).await;
    let mut asked = 0;
    for crash in 0..CRASHES {
        let mut callers = JoinSet::new();
        for _ in 0..CALLERS {
            let mut admin = server.admin().await;
            let issued = admin.key("klue", &["people:read"]).await;
            let mut held = Held {
                id: issued.key.unwrap().id,
                newest: issued.token,
                old: None,
                ended: None,
                asked: None,
            };
            callers.spawn(async move {
                loop {
                    let step = held.step();
                    if !held.take(&mut admin, step).await {
                        return held;
                    }
                }
            });
        }
        tokio::time::sleep(Duration::from_millis(rand::random_range(150..600))).await;
        let site = server.kill();
        let all = callers.join_all().await;
        asked += all.iter().filter(|held| held.asked.is_some()).count();
        server = site.serve();
        let mut checks = server.checks().await;
        for held in all {
            let mut works = async |token: &Option<String>| match token {
                None => false,
                Some(token) => checks.ask(question(token)).await.is_ok(),
            };
            let found = [
                works(&Some(held.newest.clone())).await,
                works(&held.old).await,
            ];
            assert!(held.may_be(found), "crash {crash}: {found:?} of {held:?}");
            assert!(!works(&held.ended).await, "crash {crash}: {held:?}");
        }
    }
    assert!(asked > CRASHES, "the crashes came between the calls");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_pending_or_overlaps_goes_on_after_a_crash() {
    let server = Server::start();
    let mut admin = server.admin().await;
    admin.workspace("klue", "klue", &[]).await;
    let mut rotated = Vec::new();
    // Whose old token has a day, ends while the server is down, waits for a
    // use, and has been given its end by one.
    for (overlap, from_first_use) in [(DAY, false), (300, false), (DAY, true), (DAY, true)] {
        let issued = admin.key("klue", &["people:read"]).await;
        let id = issued.key.unwrap().id;
        let request = RotateKeyRequest {
            from_first_use,
            ..rotation(&id, overlap)
        };
        let new = rotate_key(&mut admin, request).await.unwrap().token;
        rotated.push((id, issued.token, new));
    }
    let used = &rotated[3];
    server.checks().await.ask(question(&used.2)).await.unwrap();
    let noted = loop {
        let rotation = get_key(&mut admin, &used.0).await.rotation.unwrap();
        if rotation.old_end_time.is_some() {
            break rotation;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    };
    let site = server.kill();
    tokio::time::sleep(Duration::from_millis(400)).await;

    let server = site.serve();
    let (mut admin, mut checks) = (server.admin().await, server.checks().await);
    for (number, (_, old, new)) in rotated.iter().enumerate() {
        let verdict = checks.ask(question(old)).await;
        match number {
            1 => assert_eq!(verdict.unwrap_err().reason(), DenialReason::Expired),
            _ => assert!(verdict.unwrap().token.unwrap().superseded),
        }
        if number != 2 {
            checks.ask(question(new)).await.unwrap();
        }
    }
    let again = get_key(&mut admin, &used.0).await.rotation.unwrap();
    assert_eq!(again, noted, "an end does not move");
    // A use that was not noted before the crash is no use; the next one is.
    let (id, _, new) = &rotated[2];
    let pending = get_key(&mut admin, id).await.rotation.unwrap();
    assert_eq!(pending.old_end_time, None);
    for _ in 0..3 {
        checks.ask(question(new)).await.unwrap();
    }
    while get_key(&mut admin, id)
        .await
        .rotation
        .unwrap()
        .old_end_time
        .is_none()
    {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// With the server killed right after each use, whether the use was noted or
/// not: the end is there in the end, and never without a use.
#[tokio::test(flavor = "multi_thread")]
async fn a_first_use_is_noted_whole_or_told_again() {
    let mut site = Site::init();
    let server = site.serve();
    let mut admin = server.admin().await;
    admin.workspace("klue", "klue", &[]).await;
    let issued = admin.key("klue", &["people:read"]).await;
    let id = issued.key.unwrap().id;
    let request = RotateKeyRequest {
        from_first_use: true,
        ..rotation(&id, DAY)
    };
    let new = rotate_key(&mut admin, request).await.unwrap().token;
    site = server.kill();
    let mut uses = 0;
    for _ in 0..5 {
        let server = site.serve();
        let mut admin = server.admin().await;
        let rotation = get_key(&mut admin, &id).await.rotation.unwrap();
        if rotation.old_end_time.is_some() {
            break;
        }
        server.checks().await.ask(question(&new)).await.unwrap();
        uses += 1;
        site = server.kill();
    }
    assert!(uses > 0, "there is no end without a use");
}

async fn get_key(admin: &mut Admin, id: &str) -> Key {
    let request = GetKeyRequest {
        key_id: id.to_owned(),
    };
    let reply = admin.client.get_key(request).await.unwrap();
    reply.into_inner().key.unwrap()
}
