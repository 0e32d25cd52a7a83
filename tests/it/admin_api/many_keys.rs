//! A hundred thousand keys: every filter pages through all that fit it exactly
//! once, in order, while others come and go; no page costs much, and the server
//! grows by no more than its caches.

pub(super) mod fill;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use keyward::domain::audit::{AuditAction, OFFLINE};
use keyward::domain::digest::Pepper;
use keyward::domain::principal::Principal;
use keyward::domain::scope::{Scope, ScopeSet};
use keyward::domain::workspace::WorkspaceDraft;
use keyward::store::Record;

use self::fill::{HOUR, Known, Maker, batch, fill};
use super::*;

/// How many keys there are. Fewer are good for nothing but a quick look.
const KEYS: usize = 100_000;

/// What any page may cost, in processor time of the server, optimised or not.
const MAX_PAGE_COST: Duration = Duration::from_millis(50);

/// What the server may grow by while it is asked for pages: the cache of its
/// store, and room for replies.
const MAX_GROWTH_KIB: u64 = 96 * 1024;

/// A filter, and what it lets pass by what is known.
type Filter = (&'static str, ListKeysRequest, Box<dyn Fn(&Known) -> bool>);

fn filters(epoch: u64) -> Vec<Filter> {
    let ask = ListKeysRequest::default;
    let soon = epoch + 20 * HOUR;
    let mut filters: Vec<Filter> = vec![
        ("none", ask(), Box::new(|_| true)),
        (
            "workspace",
            ListKeysRequest {
                workspace: "large".to_owned(),
                ..ask()
            },
            Box::new(|key| key.workspace() == "large"),
        ),
        (
            "principal",
            ListKeysRequest {
                principal: "user:77".to_owned(),
                ..ask()
            },
            Box::new(|key| key.number % 1_000 == 77),
        ),
        (
            "environment",
            ListKeysRequest {
                environment: "test".to_owned(),
                ..ask()
            },
            Box::new(|key| key.environment() == "test"),
        ),
        (
            "scope",
            ListKeysRequest {
                scope: "people:read".to_owned(),
                ..ask()
            },
            Box::new(|key| {
                matches!(
                    key.scopes().first(),
                    Some(&("*" | "people:*" | "people:read"))
                )
            }),
        ),
        (
            "unused_since",
            ListKeysRequest {
                unused_since: Some(wire(epoch - 10 * HOUR + 250_000)),
                ..ask()
            },
            // One every ten microseconds, and none was ever used.
            Box::new(|key| key.number < 25_000),
        ),
        (
            "never_used",
            ListKeysRequest {
                never_used: true,
                ..ask()
            },
            Box::new(|_| true),
        ),
        (
            "expiring_before",
            ListKeysRequest {
                expiring_before: Some(wire(soon)),
                ..ask()
            },
            Box::new(move |key| key.expiry().is_some_and(|expiry| expiry < soon)),
        ),
        (
            "all of them",
            ListKeysRequest {
                workspace: "large".to_owned(),
                principal: "user:30".to_owned(),
                state: KeyState::Active.into(),
                environment: "live".to_owned(),
                scope: "companies:write".to_owned(),
                expiring_before: Some(wire(epoch + 200 * HOUR)),
                ..ask()
            },
            Box::new(move |key| {
                let scope = matches!(key.scopes().first(), Some(&("*" | "companies:read")));
                key.workspace() == "large"
                    && key.number % 1_000 == 30
                    && key.state() == KeyState::Active
                    && key.environment() == "live"
                    && scope
                    && key.expiry().is_some()
            }),
        ),
        (
            "nothing fits",
            ListKeysRequest {
                workspace: "plain".to_owned(),
                environment: "live".to_owned(),
                ..ask()
            },
            Box::new(|_| false),
        ),
    ];
    for state in [
        KeyState::Active,
        KeyState::Expired,
        KeyState::Disabled,
        KeyState::Revoked,
    ] {
        let request = ListKeysRequest {
            workspace: "plain".to_owned(),
            state: state.into(),
            ..ask()
        };
        let fits = move |key: &Known| key.workspace() == "plain" && key.state() == state;
        filters.push(("state", request, Box::new(fits)));
    }
    filters
}

fn wire(micros: u64) -> Timestamp {
    Timestamp {
        seconds: i64::try_from(micros / 1_000_000).unwrap(),
        nanos: i32::try_from(micros % 1_000_000 * 1_000).unwrap(),
    }
}

/// What all pages of a list cost the server.
#[derive(Default)]
struct Costs(Vec<Duration>);

impl Costs {
    /// The median and the most, which is not too much.
    fn judged(&mut self) -> (Duration, Duration) {
        self.0.sort_unstable();
        let (median, most) = (self.0[self.0.len() / 2], self.0[self.0.len() - 1]);
        assert!(most < MAX_PAGE_COST, "{:.1?}", self.0);
        (median, most)
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "measures processor time: tests/run runs it when the others are over"]
async fn every_filter_pages_through_a_hundred_thousand_keys() {
    let count = support::count("KEYWARD_TEST_KEYS", KEYS);
    let begin = Instant::now();
    let site = Site::init();
    let known = fill(&site, count).await;
    println!("{count} keys made in {:.1?}", begin.elapsed());
    let begin = Instant::now();
    let server = site.serve();
    println!("and loaded in {:.1?}", begin.elapsed());
    let mut admin = server.admin().await;
    let filters = filters(known[0].epoch);

    // At rest, for the costs. The first list fills the store's cache.
    let mut before = None;
    for (name, request, fits) in &filters {
        let begin = Instant::now();
        let mut costs = Costs::default();
        let listed = read(&mut admin, request, Some((&server, &mut costs))).await;
        let expected: Vec<_> = known.iter().filter(|key| fits(key)).collect();
        let (median, most) = costs.judged();
        println!(
            "{name}: {} keys on {} pages in {:.1?}; a page costs {median:.1?}, at most {most:.1?}",
            listed.len(),
            costs.0.len(),
            begin.elapsed()
        );
        exactly_once(&listed, &expected, |_| false);
        looks_right(&listed, &known);
        if before.is_none() {
            // The high water mark is set back to what is in use.
            std::fs::write(format!("/proc/{}/clear_refs", server.pid()), "5").unwrap();
            before = Some(memory(&server, "VmRSS"));
        }
    }
    let (before, most) = (before.unwrap(), memory(&server, "VmHWM"));
    println!("{before} KiB, and never more than {most} KiB");
    assert!(
        most < before + MAX_GROWTH_KIB,
        "{before} KiB grew to {most} KiB"
    );

    // While others come and go.
    let over = Arc::new(AtomicBool::new(false));
    let mut others = JoinSet::new();
    for _ in 0..2 {
        let (admin, over) = (server.admin().await, Arc::clone(&over));
        others.spawn(come_and_go(admin, over));
    }
    for (name, request, fits) in &filters {
        let listed = read(&mut admin, request, None).await;
        let expected: Vec<_> = known.iter().filter(|key| fits(key)).collect();
        exactly_once(&listed, &expected, |key| key.principal == "user:churn");
        println!(
            "{name}: {} keys, of which {} stay",
            listed.len(),
            expected.len()
        );
    }
    over.store(true, Ordering::SeqCst);
    let churned: usize = others.join_all().await.into_iter().sum();
    println!("{churned} keys came and went beside it");
    assert!(churned > 100, "nothing came and went");
}

/// The work for a page is bounded for keys at all of their limits too.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "measures processor time: tests/run runs it when the others are over"]
async fn pages_of_the_largest_keys_cost_no_more() {
    const LARGEST: usize = 3_000;
    let site = Site::init();
    let epoch = now();
    site.edit(|pepper: &Pepper, _| {
        let time = keyward::domain::clock::Timestamp::from_micros(epoch);
        let draft = WorkspaceDraft {
            id: "large".to_owned(),
            token_prefix: "klg".to_owned(),
            environments: names(&["live", "test"]),
            ..WorkspaceDraft::default()
        };
        let workspace = Record::Workspace(draft.build(OFFLINE.to_owned(), time).unwrap());
        let maker = Maker {
            hasher: pepper.token_hasher(),
            pepper_id: pepper.id(),
            epoch,
        };
        let scopes = (0..100).map(|i| format!("{i:a>width$}", width = 20 + usize::from(i < 48)));
        let scopes = ScopeSet::new(scopes.map(|scope| Scope::try_from(scope.as_str()).unwrap()));
        let largest = |number: usize| keyward::domain::key::Key {
            bond: keyward::domain::key::Bond::Workspace("large".parse().unwrap()),
            environment: Some("live".try_into().unwrap()),
            principal: format!("{number:p>128}"),
            name: "n".repeat(100),
            description: "d".repeat(300),
            metadata: (0..16)
                .map(|i| (format!("{i:m>32}"), format!("{i:v>32}")))
                .collect(),
            scopes: scopes.clone(),
            ..maker.key(number)
        };
        let mut batches = vec![batch(vec![workspace], AuditAction::CreateWorkspace, time)];
        for first in (0..LARGEST).step_by(10) {
            let stood_on = (first..first + 10).flat_map(|number| {
                let id = largest(number).principal;
                let principal = Principal::plain(&id, OFFLINE.to_owned(), time);
                [
                    Record::Principal(principal),
                    fill::membership("large", id, time),
                ]
            });
            let action = AuditAction::SetMembership;
            batches.push(batch(stood_on.collect(), action, time));
            let records = (first..first + 10).map(|number| Record::Key(largest(number)));
            batches.push(batch(records.collect(), AuditAction::CreateKey, time));
        }
        batches
    })
    .await;
    let server = site.serve();
    let mut admin = server.admin().await;
    for (name, scope, shown) in [("none", "", LARGEST), ("scope", "orders:read", 0)] {
        for workspace in ["", "large"] {
            let request = ListKeysRequest {
                scope: scope.to_owned(),
                workspace: workspace.to_owned(),
                ..ListKeysRequest::default()
            };
            let mut costs = Costs::default();
            let listed = read(&mut admin, &request, Some((&server, &mut costs))).await;
            println!("{name} {workspace}: {:.1?}", costs.0);
            assert_eq!(listed.len(), shown);
            costs.judged();
        }
    }
}

/// Makes keys and revokes them, until it is over.
async fn come_and_go(mut admin: Admin, over: Arc<AtomicBool>) -> usize {
    let mut churned = 0;
    while !over.load(Ordering::SeqCst) {
        for workspace in ["large", "plain", "small"] {
            let request = CreateKeyRequest {
                principal: "user:churn".to_owned(),
                ..key_request(workspace, &["*"])
            };
            let issued = admin.client.create_key(request).await.unwrap();
            let id = issued.into_inner().key.unwrap().id;
            admin.revoke(&id).await;
            churned += 1;
        }
    }
    churned
}

/// All keys of a list, in the largest pages, and what each page cost.
async fn read(
    admin: &mut Admin,
    request: &ListKeysRequest,
    mut costs: Option<(&Server, &mut Costs)>,
) -> Vec<Key> {
    let (mut keys, mut page_token) = (Vec::new(), String::new());
    loop {
        let question = ListKeysRequest {
            page_size: 250,
            page_token,
            ..request.clone()
        };
        let before = costs.as_ref().map(|(server, _)| spent(server));
        let page = admin.client.list_keys(question).await.unwrap().into_inner();
        if let Some((server, costs)) = &mut costs {
            let before = before.unwrap();
            let since = spent(server)
                .into_iter()
                .map(|(thread, now)| now - before.get(&thread).unwrap_or(&0));
            costs.0.push(Duration::from_nanos(since.sum()));
        }
        keys.extend(page.keys);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return keys;
        }
    }
}

/// In the order of ids, none twice, all that are expected, and no other but
/// those that `may_be` there.
fn exactly_once(listed: &[Key], expected: &[&Known], may_be: impl Fn(&Key) -> bool) {
    assert!(listed.is_sorted_by(|one, next| one.id < next.id));
    let of_these: BTreeSet<_> = listed
        .iter()
        .filter(|key| !may_be(key))
        .map(|key| key.id.as_str())
        .collect();
    let expected: BTreeSet<_> = expected.iter().map(|key| key.id.as_str()).collect();
    let (missing, more) = (
        expected.difference(&of_these).count(),
        of_these.difference(&expected).count(),
    );
    assert_eq!((missing, more), (0, 0), "of {}", expected.len());
}

/// What is shown is what was stored.
fn looks_right(listed: &[Key], known: &[Known]) {
    let by_id: HashMap<_, _> = known
        .iter()
        .map(|known| (known.id.as_str(), known))
        .collect();
    for key in listed {
        let known = by_id[key.id.as_str()];
        assert_eq!(
            (
                key.workspace.as_str(),
                key.environment.as_str(),
                key.state()
            ),
            (known.workspace(), known.environment(), known.state())
        );
        assert_eq!(key.name, format!("key {}", known.number));
        assert_eq!(key.scopes, sorted(&names(known.scopes())));
        assert_eq!(key.expire_time, known.expiry().map(wire));
    }
}

/// The processor time of each thread of the server, in nanoseconds. The threads
/// on which sled tidies up every few seconds, whoever asks, work for no page.
fn spent(server: &Server) -> HashMap<String, u64> {
    let tasks = std::fs::read_dir(format!("/proc/{}/task", server.pid())).unwrap();
    let threads = tasks.filter_map(|task| {
        let task = task.ok()?;
        let name = std::fs::read_to_string(task.path().join("comm")).ok()?;
        if name.starts_with("sled-io") || name.starts_with("log flusher") {
            return None;
        }
        // The first number is the time on a processor. A thread may have ended.
        let text = std::fs::read_to_string(task.path().join("schedstat")).ok()?;
        let nanos = text.split(' ').next()?.parse().unwrap();
        Some((task.file_name().to_string_lossy().into_owned(), nanos))
    });
    threads.collect()
}

/// A number from the server's status, in KiB.
fn memory(server: &Server, name: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
    let line = status.lines().find(|line| line.starts_with(name)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}
