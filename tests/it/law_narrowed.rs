//! Law 1, for what takes away less than a revocation: no check that starts
//! after the reply to a disabling, a narrowing of scopes, of addresses or of
//! the limits of a principal, or a shortened expiry passes, at once and after a crash; and what is given back
//! counts at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use keyward::domain::clock::{Clock, SystemClock};
use keyward::edge::pb::{
    CheckRequest, CreateKeyRequest, CreateKeyResponse, DenialReason, Key, Principal,
};
use prost_types::Timestamp;
use tokio::task::JoinSet;
use tonic::Code;

use crate::admin_api::calls::{
    remove_membership, set_membership, switch_key, switch_principal, switch_workspace, update_key,
    update_principal,
};
use crate::limits::limit;
use crate::support::{self, Admin, Checks, Server, Site};

/// How often each thing is taken away, each time under fire.
const ROUNDS: usize = 150;

/// The connections that check, and the checks under way on each.
const CONNECTIONS: usize = 6;
const STREAMS: usize = 2;

/// Enough checks before a change and after it, from each gunner.
const ENOUGH: u64 = 3;

/// What is taken away, and given back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Taken {
    Key,
    Workspace,
    Scope,
    Address,
    Lifetime,
    Principal,
    Membership,
    Ceiling,
    /// What all keys of the principal share.
    Limit,
}

impl Taken {
    fn denial(self) -> DenialReason {
        match self {
            Self::Key | Self::Workspace | Self::Principal | Self::Membership => {
                DenialReason::Disabled
            }
            Self::Scope | Self::Ceiling => DenialReason::InsufficientScope,
            Self::Address => DenialReason::SourceAddress,
            Self::Lifetime => DenialReason::Expired,
            Self::Limit => DenialReason::RateLimited,
        }
    }

    /// Takes it away; the moment from which on no check may pass, if that is
    /// later than the reply.
    async fn take(self, admin: &mut Admin, key: &Key) -> Option<u64> {
        match self {
            Self::Key => {
                switch_key(admin, &key.id, "", true).await.unwrap();
            }
            Self::Workspace => {
                switch_workspace(admin, &key.workspace, "", true)
                    .await
                    .unwrap();
            }
            Self::Scope => {
                update_key(admin, narrowed(key), &["scopes"]).await.unwrap();
            }
            Self::Address => {
                let key = Key {
                    source_addresses: vec!["203.0.112.0/24".to_owned()],
                    etag: String::new(),
                    ..key.clone()
                };
                update_key(admin, key, &["source_addresses"]).await.unwrap();
            }
            Self::Lifetime => return Some(end_soon(admin, key).await),
            Self::Principal => {
                switch_principal(admin, &key.principal, true).await.unwrap();
            }
            Self::Membership => {
                let (place, who) = (&key.workspace, &key.principal);
                remove_membership(admin, place, who).await.unwrap();
            }
            Self::Ceiling => set_ceiling(admin, key, "people:write").await,
            Self::Limit => set_limit(admin, key, "all=1/86400!").await,
        }
        None
    }

    async fn give_back(self, admin: &mut Admin, key: &Key) {
        let key = Key {
            etag: String::new(),
            ..key.clone()
        };
        match self {
            Self::Key => switch_key(admin, &key.id, "", false).await.map(drop),
            Self::Workspace => switch_workspace(admin, &key.workspace, "", false)
                .await
                .map(drop),
            Self::Scope => update_key(admin, key, &["scopes"]).await.map(drop),
            Self::Address => update_key(admin, key, &["source_addresses"])
                .await
                .map(drop),
            Self::Lifetime => update_key(admin, key, &["expire_time"]).await.map(drop),
            Self::Principal => switch_principal(admin, &key.principal, false)
                .await
                .map(drop),
            Self::Membership => {
                set_ceiling(admin, &key, "*").await;
                Ok(())
            }
            Self::Ceiling => {
                set_ceiling(admin, &key, "people:*").await;
                Ok(())
            }
            Self::Limit => {
                set_limit(admin, &key, "all=1000000000/86400!").await;
                Ok(())
            }
        }
        .unwrap();
    }
}

async fn set_ceiling(admin: &mut Admin, key: &Key, ceiling: &str) {
    set_membership(admin, &key.workspace, &key.principal, &[ceiling])
        .await
        .unwrap();
}

/// What was spent counts on: of one, which is less, nothing is left.
async fn set_limit(admin: &mut Admin, key: &Key, text: &str) {
    let principal = Principal {
        id: key.principal.clone(),
        limits: vec![limit(text)],
        ..Principal::default()
    };
    update_principal(admin, principal, &["limits"])
        .await
        .unwrap();
}

fn narrowed(key: &Key) -> Key {
    Key {
        scopes: vec!["people:write".to_owned()],
        etag: String::new(),
        ..key.clone()
    }
}

fn ending(key: &Key, end: u64) -> Key {
    Key {
        expire_time: Some(Timestamp {
            seconds: i64::try_from(end / 1_000_000).unwrap(),
            nanos: i32::try_from(end % 1_000_000 * 1_000).unwrap(),
        }),
        etag: String::new(),
        ..key.clone()
    }
}

/// Lets the key end as soon as the server can be told before that: an end in
/// the past is refused.
async fn end_soon(admin: &mut Admin, key: &Key) -> u64 {
    let mut ahead = 40_000;
    loop {
        let end = SystemClock::default().now().as_micros() + ahead;
        match update_key(admin, ending(key, end), &["expire_time"]).await {
            Ok(_) => return end,
            Err(status) => assert_eq!(status.code(), Code::InvalidArgument, "{status:?}"),
        }
        ahead *= 2;
        assert!(ahead < 60_000_000, "the server takes minutes for a change");
    }
}

fn question(token: &str) -> CheckRequest {
    CheckRequest {
        source_address: "203.0.113.9".to_owned(),
        ..support::check_request(&format!("Bearer {token}"), &["people:read"])
    }
}

/// A key that is confined to addresses of which the question's is one.
async fn confined(admin: &mut Admin, workspace: &str) -> CreateKeyResponse {
    let request = CreateKeyRequest {
        source_addresses: vec!["203.0.112.0/23".to_owned()],
        // So that each is switched off by itself.
        principal: format!("user:{workspace}"),
        ..support::key_request(workspace, &["people:read"])
    };
    admin.client.create_key(request).await.unwrap().into_inner()
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_passes_after_the_reply_that_disabled_its_key() {
    under_fire(Taken::Key).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_passes_after_the_reply_that_disabled_its_workspace() {
    under_fire(Taken::Workspace).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_passes_after_the_reply_that_took_its_scope() {
    under_fire(Taken::Scope).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_passes_after_the_reply_that_took_its_address() {
    under_fire(Taken::Address).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_passes_after_the_end_that_was_moved_closer() {
    under_fire(Taken::Lifetime).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_passes_after_the_reply_that_disabled_its_principal() {
    under_fire(Taken::Principal).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_passes_after_the_reply_that_removed_its_membership() {
    under_fire(Taken::Membership).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_passes_after_the_reply_that_lowered_its_ceiling() {
    under_fire(Taken::Ceiling).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_passes_after_the_reply_that_lowered_the_limit_of_its_principal() {
    under_fire(Taken::Limit).await;
}

/// Takes it away and gives it back, over and over, while many check.
async fn under_fire(taken: Taken) {
    let rounds = support::count("KEYWARD_TEST_NARROWINGS", ROUNDS);
    let server = Server::start();
    let mut admin = server.admin().await;
    admin.workspace("w", "klg", &[]).await;
    let issued = confined(&mut admin, "w").await;
    let key = issued.key.unwrap();
    if taken == Taken::Limit {
        // So that what is spent from the start on counts.
        taken.give_back(&mut admin, &key).await;
    }
    let fire = Arc::new(Fire {
        begin: Instant::now(),
        request: question(&issued.token),
        denial: taken.denial(),
        phase: AtomicU64::new(0),
        phase_begin: AtomicU64::new(0),
        shots: std::array::from_fn(|_| AtomicU64::new(0)),
        over: AtomicBool::new(false),
    });
    let mut gunners = JoinSet::new();
    for connection in 0..CONNECTIONS {
        let checks = server.checks().await;
        for stream in 0..STREAMS {
            let (fire, checks) = (Arc::clone(&fire), checks.clone());
            gunners.spawn(async move { fire.shoot(connection * STREAMS + stream, checks).await });
        }
    }
    for _ in 0..rounds {
        fire.enter().await;
        let end = taken.take(&mut admin, &key).await;
        let replied = fire.now();
        if let Some(end) = end {
            // The server reads the same clock of the machine.
            while SystemClock::default().now().as_micros() < end {
                tokio::task::yield_now().await;
            }
        }
        fire.settle(if end.is_some() { fire.now() } else { replied });
        fire.enough().await;
        fire.unsettle();
        taken.give_back(&mut admin, &key).await;
        fire.settle(fire.now());
    }
    fire.over.store(true, Ordering::Relaxed);
    let tallies = gunners.join_all().await;
    let violations: Vec<_> = tallies.iter().flat_map(|tally| &tally.violations).collect();
    assert!(violations.is_empty(), "{taken:?}: {violations:?}");
    let crossing: u64 = tallies.iter().map(|tally| tally.crossing).sum();
    // An end by the clock has no reply to be under way at.
    assert!(
        taken == Taken::Lifetime || crossing >= rounds as u64,
        "this was no attack: {crossing} checks under way at a reply"
    );
}

/// The key under fire, and what is right of it.
struct Fire {
    begin: Instant,
    request: CheckRequest,
    denial: DenialReason,
    /// Even: anything can be heard, for it is being changed. 1 more than a
    /// multiple of 4: it is allowed; 3 more: it is denied.
    phase: AtomicU64,
    /// From when on the phase holds, in nanoseconds from the beginning.
    phase_begin: AtomicU64,
    /// How many checks each gunner has begun and ended in this phase.
    shots: [AtomicU64; CONNECTIONS * STREAMS],
    over: AtomicBool,
}

#[derive(Default)]
struct Tally {
    violations: Vec<String>,
    /// Checks that began in one phase and ended in a later one.
    crossing: u64,
}

impl Fire {
    fn now(&self) -> u64 {
        u64::try_from(self.begin.elapsed().as_nanos()).unwrap()
    }

    /// Waits until it passes, from every gunner, and lets what is said of it
    /// be either.
    async fn enter(&self) {
        if self.phase.load(Ordering::SeqCst) == 0 {
            self.settle(self.now());
        }
        self.enough().await;
        self.unsettle();
    }

    /// From `begin` on, what is said of it is certain again.
    fn settle(&self, begin: u64) {
        for shots in &self.shots {
            shots.store(0, Ordering::SeqCst);
        }
        self.phase_begin.store(begin, Ordering::SeqCst);
        self.phase.fetch_add(1, Ordering::SeqCst);
    }

    fn unsettle(&self) {
        self.phase.fetch_add(1, Ordering::SeqCst);
    }

    async fn enough(&self) {
        let few = |shots: &AtomicU64| shots.load(Ordering::SeqCst) < ENOUGH;
        while self.shots.iter().any(few) {
            tokio::task::yield_now().await;
        }
    }

    async fn shoot(&self, gunner: usize, mut checks: Checks) -> Tally {
        let mut tally = Tally::default();
        while !self.over.load(Ordering::Relaxed) {
            let before = self.phase.load(Ordering::SeqCst);
            let start = self.now();
            let reply = checks.client.check(self.request.clone()).await;
            let verdict = support::verdict(reply.expect("a check is answered").into_inner());
            // The phase may have begun while it was under way, and then also
            // before it started: the reply is noted a moment after it came.
            let phase_begin = self.phase_begin.load(Ordering::SeqCst);
            let phase = self.phase.load(Ordering::SeqCst);
            tally.crossing += u64::from(before != phase);
            let settled = phase % 2 == 1 && phase_begin < start && phase - before <= 1;
            let still = phase_begin == self.phase_begin.load(Ordering::SeqCst);
            if !(settled && still && phase == self.phase.load(Ordering::SeqCst)) {
                continue;
            }
            let right = match (&verdict, phase % 4) {
                (Ok(_), 1) => true,
                (Err(denied), 3) => denied.reason() == self.denial,
                (Ok(_) | Err(_), _) => false,
            };
            if !right {
                let late = start - phase_begin;
                tally
                    .violations
                    .push(format!("{late} ns after phase {phase}: {verdict:?}"));
            }
            self.shots[gunner].fetch_add(1, Ordering::SeqCst);
        }
        tally
    }
}

/// What was taken away before a crash stays away after it: all but what was
/// spent of limits, which is counted in memory.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_taken_before_a_crash_stays_so_after_it() {
    let mut site = Site::init();
    let all = [
        Taken::Key,
        Taken::Workspace,
        Taken::Scope,
        Taken::Principal,
        Taken::Membership,
        Taken::Ceiling,
        Taken::Address,
        Taken::Lifetime,
    ];
    for crash in 0..support::count("KEYWARD_TEST_CRASHES", 3) {
        let server = site.serve();
        let mut admin = server.admin().await;
        let mut targets = Vec::new();
        for taken in all {
            let workspace = format!("w{crash}-{taken:?}").to_lowercase();
            admin.workspace(&workspace, "klg", &[]).await;
            for _ in 0..8 {
                let issued = confined(&mut admin, &workspace).await;
                targets.push((taken, issued.token, issued.key.unwrap()));
            }
        }
        // All at once; the crash comes with the last reply.
        let mut changes = JoinSet::new();
        for (taken, _, key) in &targets {
            let (mut admin, taken, key) = (admin.clone(), *taken, key.clone());
            changes.spawn(async move { taken.take(&mut admin, &key).await });
        }
        let end = changes.join_all().await.into_iter().flatten().max();
        site = server.kill();
        let server = site.serve();
        let mut checks = server.checks().await;
        while SystemClock::default().now().as_micros() < end.unwrap() {
            tokio::task::yield_now().await;
        }
        for (taken, token, _) in &targets {
            let denied = checks.ask(question(token)).await.unwrap_err();
            assert_eq!(denied.reason(), taken.denial(), "{taken:?}");
        }
        // What is given back after the crash counts at once.
        let mut admin = server.admin().await;
        for (taken, token, key) in &targets {
            taken.give_back(&mut admin, key).await;
            checks.ask(question(token)).await.unwrap();
        }
        site = server.kill();
    }
}
