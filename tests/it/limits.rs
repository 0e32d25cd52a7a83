//! Limits, as gateways and operators meet them.

use std::time::{Duration, Instant};

use keyward::edge::pb::{
    Allowed, CheckBatchRequest, CheckRequest, CheckStreamRequest, CreateKeyRequest,
    CreateWorkspaceRequest, DenialReason, Denied, Key, Limit, LimitSource, RotateKeyRequest,
    UpdateKeyRequest, UpdateWorkspaceRequest, Workspace,
};
use prost_types::FieldMask;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::support::{Admin, Checks, Server, check_request, key_request, verdict_of};

/// A limit, such as `read=5/60` or `bulk=1/60!` for one that counts always.
pub(crate) fn limit(text: &str) -> Limit {
    let (name, rest) = text.split_once('=').unwrap();
    let (count, seconds) = rest.trim_end_matches('!').split_once('/').unwrap();
    Limit {
        name: name.to_owned(),
        count: count.parse().unwrap(),
        window: Some(prost_types::Duration {
            seconds: seconds.parse().unwrap(),
            nanos: 0,
        }),
        always: text.ends_with('!'),
    }
}

pub(crate) fn limits(texts: &[&str]) -> Vec<Limit> {
    texts.iter().map(|text| limit(text)).collect()
}

/// A check that names these limits.
pub(crate) fn naming(token: &str, names: &[&str], cost: Option<u32>) -> CheckRequest {
    CheckRequest {
        limits: names.iter().map(|&name| name.to_owned()).collect(),
        cost,
        ..check_request(token, &[])
    }
}

async fn issue(admin: &mut Admin, texts: &[&str]) -> (Key, String) {
    let request = CreateKeyRequest {
        limits: limits(texts),
        ..key_request("w", &["a:read"])
    };
    let issued = admin.client.create_key(request).await.unwrap().into_inner();
    (issued.key.unwrap(), issued.token)
}

async fn update(admin: &mut Admin, id: &str, texts: &[&str]) -> Result<Key, Status> {
    let request = UpdateKeyRequest {
        key: Some(Key {
            id: id.to_owned(),
            limits: limits(texts),
            ..Key::default()
        }),
        update_mask: mask("limits"),
    };
    let reply = admin.client.update_key(request).await?.into_inner();
    Ok(reply.key.unwrap())
}

async fn set_defaults(admin: &mut Admin, texts: &[&str]) -> Workspace {
    let request = UpdateWorkspaceRequest {
        workspace: Some(Workspace {
            id: "w".to_owned(),
            default_limits: limits(texts),
            ..Workspace::default()
        }),
        update_mask: mask("default_limits"),
    };
    let reply = admin.client.update_workspace(request).await.unwrap();
    reply.into_inner().workspace.unwrap()
}

fn mask(path: &str) -> Option<FieldMask> {
    Some(FieldMask {
        paths: vec![path.to_owned()],
    })
}

/// What is told of each limit: its name, what is left, and `!` if it denied.
pub(crate) fn left(verdict: &Result<Allowed, Denied>) -> String {
    let limits = match verdict {
        Ok(allowed) => &allowed.limits,
        Err(denied) => &denied.limits,
    };
    let told = limits.iter().map(|limit| {
        let denied = if limit.denied { "!" } else { "" };
        format!("{}:{}{denied}", limit.name, limit.remaining)
    });
    told.collect::<Vec<_>>().join(" ")
}

pub(crate) fn reason(verdict: &Result<Allowed, Denied>) -> Option<DenialReason> {
    verdict.as_ref().err().map(Denied::reason)
}

async fn start() -> (Server, Admin, Checks) {
    let server = Server::start();
    let (mut admin, checks) = (server.admin().await, server.checks().await);
    admin.workspace("w", "klg", &[]).await;
    (server, admin, checks)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_lets_as_much_pass_as_it_says_and_tells_how_it_stands() {
    let (_server, mut admin, mut checks) = start().await;
    let (key, token) = issue(&mut admin, &["read=3/3600", "bulk=1/60"]).await;
    assert_eq!(key.limits, limits(&["bulk=1/60", "read=3/3600"]));
    for remaining in [2, 1, 0] {
        let allowed = checks.ask(naming(&token, &["read"], None)).await.unwrap();
        let [read] = allowed.limits.as_slice() else {
            panic!("one limit counts: {allowed:?}")
        };
        assert_eq!((read.name.as_str(), read.limit), ("read", 3));
        assert_eq!(read.window, limit("read=3/3600").window);
        assert_eq!((read.remaining, read.denied), (remaining, false));
        assert_eq!(read.source(), LimitSource::Key);
        assert_eq!(read.retry_delay.is_some(), remaining == 0);
        assert!(read.reset_delay.is_some());
    }
    let denied = checks.ask(naming(&token, &["read"], None)).await;
    assert_eq!(left(&denied), "read:0!");
    let denied = denied.unwrap_err();
    assert_eq!(denied.reason(), DenialReason::RateLimited);
    assert_eq!((denied.http_status, &denied.key_id), (429, &key.id));
    assert!(denied.key_hint.starts_with("klg_…"), "{denied:?}");
    // All of it was spent in one slice of the window, or in two: it is there
    // again when that has wholly left.
    let delay = Duration::try_from(denied.retry_delay.unwrap()).unwrap();
    let (hour, slice) = (3_600, 3_600 / 64 + 1);
    let bounds = Duration::from_secs(hour - slice)..=Duration::from_secs(hour + slice);
    assert!(bounds.contains(&delay), "{delay:?}");
    assert_eq!(denied.limits[0].retry_delay, denied.retry_delay);
    // What was not named was not spent, and a check that names nothing passes.
    let other = checks.ask(naming(&token, &["bulk"], None)).await;
    assert_eq!(left(&other), "bulk:0");
    assert_eq!(left(&checks.header(&token, &[]).await), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn all_limits_are_spent_or_none() {
    let (_server, mut admin, mut checks) = start().await;
    let texts = ["all=9/60!", "bulk=2/60", "read=5/60"];
    let (_, token) = issue(&mut admin, &texts).await;
    for (names, cost, expected) in [
        (&[][..], None, "all:8"),
        (&["read", "bulk"], Some(2), "all:6 bulk:0 read:3"),
        (&["read", "bulk"], None, "all:6 bulk:0! read:3"),
        (&["read"], Some(4), "all:6 read:3!"),
        (&["read", "read"], Some(3), "all:3 read:0"),
        (&["read", "bulk"], Some(7), "all:3! bulk:0! read:0!"),
        (&["read", "all"], Some(0), "all:3 read:0"),
        (&[], Some(4), "all:3!"),
        (&[], Some(3), "all:0"),
    ] {
        let verdict = checks.ask(naming(&token, names, cost)).await;
        assert_eq!(left(&verdict), expected, "{names:?} {cost:?}");
        let expected = expected.contains('!').then_some(DenialReason::RateLimited);
        assert_eq!(reason(&verdict), expected);
    }
    // A denial for another ground spends nothing, and tells of no limit.
    let (_, token) = issue(&mut admin, &["all=1/60!"]).await;
    let lacking = checks.header(&token, &["b:read"]).await;
    assert_eq!(reason(&lacking), Some(DenialReason::InsufficientScope));
    assert_eq!(left(&lacking), "");
    assert_eq!(left(&checks.header(&token, &["a:read"]).await), "all:0");
    // Other grounds are told before a limit that is used up.
    let lacking = checks.header(&token, &["b:read"]).await;
    assert_eq!(reason(&lacking), Some(DenialReason::InsufficientScope));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cost_that_can_never_pass_has_no_delay() {
    let (_server, mut admin, mut checks) = start().await;
    let (_, token) = issue(&mut admin, &["bulk=2/60", "read=5/60"]).await;
    for (cost, delays) in [(6, false), (3, false), (u32::MAX, false)] {
        let denied = checks
            .ask(naming(&token, &["bulk", "read"], Some(cost)))
            .await;
        let denied = denied.unwrap_err();
        assert_eq!(denied.reason(), DenialReason::RateLimited);
        assert_eq!(denied.retry_delay.is_some(), delays, "{denied:?}");
        assert!(denied.limits[0].denied && denied.limits[0].retry_delay.is_none());
        assert_eq!(
            (denied.limits[0].remaining, denied.limits[1].remaining),
            (2, 5)
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_that_is_defined_nowhere_is_a_denial_that_spends_nothing() {
    let (_server, mut admin, mut checks) = start().await;
    let (key, token) = issue(&mut admin, &["read=5/60", "all=9/60!"]).await;
    let long = "a".repeat(100_000);
    let nine = ["a", "b", "c", "d", "e", "f", "g", "h", "i"];
    for names in [
        &["write"][..],
        &["read", "write"],
        &["Read"],
        &[""],
        &["read", ""],
        &["read\n"],
        &[&long],
        &nine,
        &["read"; 9].map(|_| "x"),
    ] {
        for cost in [None, Some(0), Some(1_000)] {
            let verdict = checks.ask(naming(&token, names, cost)).await;
            let denied = verdict.unwrap_err();
            assert_eq!(denied.reason(), DenialReason::UnknownLimit, "{names:?}");
            assert_eq!((denied.http_status, &denied.key_id), (403, &key.id));
            assert_eq!((denied.limits, denied.retry_delay), (Vec::new(), None));
        }
    }
    let many = ["read"; 5_000];
    let verdict = checks.ask(naming(&token, &many, None)).await;
    assert_eq!(left(&verdict), "all:8 read:4");
    // What is denied for another ground is not told of limits.
    let unknown = checks.ask(naming("klg_x", &["write"], None)).await;
    assert_eq!(reason(&unknown), Some(DenialReason::Unknown));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_limits_of_a_workspace_are_each_key_s_own_and_hidden_by_the_key_s() {
    let (_server, mut admin, mut checks) = start().await;
    let workspace = set_defaults(&mut admin, &["read=2/60", "all=5/60!"]).await;
    assert_eq!(
        workspace.default_limits,
        limits(&["all=5/60!", "read=2/60"])
    );
    let (_, plain) = issue(&mut admin, &[]).await;
    let (_, other) = issue(&mut admin, &[]).await;
    let (own, richer) = issue(&mut admin, &["read=3/60", "all=1/60"]).await;
    for token in [&plain, &other] {
        let verdict = checks.ask(naming(token, &["read"], None)).await;
        assert_eq!(left(&verdict), "all:4 read:1");
        let sources = verdict.unwrap().limits;
        assert!(
            sources
                .iter()
                .all(|limit| limit.source() == LimitSource::Workspace)
        );
    }
    // Its own are meant, and what hides a limit that always counts need not.
    let verdict = checks.ask(naming(&richer, &["read"], None)).await;
    assert_eq!(left(&verdict), "read:2");
    // What was spent counts on where the definition moves from one to the other.
    update(&mut admin, &own.id, &[]).await.unwrap();
    let verdict = checks.ask(naming(&richer, &["read"], None)).await;
    assert_eq!(left(&verdict), "all:4 read:0");
    // A change of the defaults holds for the next check of every key.
    set_defaults(&mut admin, &["read=1/60"]).await;
    let verdict = checks.ask(naming(&plain, &["read"], None)).await;
    assert_eq!(left(&verdict), "read:0!");
    set_defaults(&mut admin, &[]).await;
    let verdict = checks.ask(naming(&plain, &["read"], None)).await;
    assert_eq!(reason(&verdict), Some(DenialReason::UnknownLimit));
    assert_eq!(left(&checks.header(&plain, &[]).await), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_spent_counts_on_when_a_limit_is_changed() {
    let (_server, mut admin, mut checks) = start().await;
    let (key, token) = issue(&mut admin, &["read=5/60"]).await;
    let spent = checks.ask(naming(&token, &["read"], Some(4))).await;
    assert_eq!(left(&spent), "read:1");
    for (definition, cost, expected) in [
        ("read=6/60", 3, "read:2!"),
        ("read=3/60", 1, "read:0!"),
        ("read=6/3600", 1, "read:1"),
        ("read=6/2678400", 2, "read:1!"),
        ("read=5/60!", 1, "read:0!"),
    ] {
        update(&mut admin, &key.id, &[definition]).await.unwrap();
        let verdict = checks.ask(naming(&token, &["read"], Some(cost))).await;
        assert_eq!(left(&verdict), expected, "{definition}");
    }
    // It is not forgotten either when the limit is gone for a while.
    update(&mut admin, &key.id, &[]).await.unwrap();
    assert_eq!(left(&checks.header(&token, &[]).await), "");
    update(&mut admin, &key.id, &["read=7/60"]).await.unwrap();
    let verdict = checks.ask(naming(&token, &["read"], Some(2))).await;
    assert_eq!(left(&verdict), "read:0");
}

#[tokio::test(flavor = "multi_thread")]
async fn both_tokens_of_a_key_that_is_rotated_spend_of_one_count() {
    let (_server, mut admin, mut checks) = start().await;
    let (key, old) = issue(&mut admin, &["read=3/3600"]).await;
    let spent = checks.ask(naming(&old, &["read"], None)).await;
    assert_eq!(left(&spent), "read:2");
    let rotation = RotateKeyRequest {
        key_id: key.id,
        ..RotateKeyRequest::default()
    };
    let rotated = admin.client.rotate_key(rotation).await.unwrap();
    let new = rotated.into_inner().token;
    for (token, expected) in [
        (&new, "read:1"),
        (&old, "read:0"),
        (&new, "read:0!"),
        (&old, "read:0!"),
    ] {
        let verdict = checks.ask(naming(token, &["read"], None)).await;
        assert_eq!(left(&verdict), expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_window_ends_when_it_is_told_to() {
    let (_server, mut admin, mut checks) = start().await;
    let (_, token) = issue(&mut admin, &["read=2/1"]).await;
    let start = Instant::now();
    let first = checks.ask(naming(&token, &["read"], Some(2))).await;
    assert_eq!(left(&first), "read:0");
    let denied = checks.ask(naming(&token, &["read"], None)).await;
    let delay = match denied {
        Err(denied) => Duration::try_from(denied.retry_delay.unwrap()).unwrap(),
        // Only where the test itself was held up for so long.
        Ok(_) => {
            assert!(start.elapsed() > Duration::from_secs(1));
            return;
        }
    };
    assert!(delay <= Duration::from_micros(1_015_625), "{delay:?}");
    tokio::time::sleep(delay).await;
    let again = checks.ask(naming(&token, &["read"], Some(2))).await;
    assert_eq!(left(&again), "read:0");
    assert!(start.elapsed() > Duration::from_secs(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn each_question_of_many_spends_by_itself_and_in_order() {
    let (_server, mut admin, mut checks) = start().await;
    let (_, token) = issue(&mut admin, &["read=3/3600"]).await;
    let ask = |cost| naming(&token, &["read"], Some(cost));
    let asked = [1, 3, 2, 0, 1];
    let expected = ["read:2", "read:2!", "read:0", "read:0", "read:0!"];
    let batch = CheckBatchRequest {
        checks: asked.map(ask).into(),
    };
    let results = checks.client.check_batch(batch).await.unwrap().into_inner();
    let told: Vec<_> = results.results.into_iter().map(verdict_of).collect();
    assert_eq!(told.iter().map(left).collect::<Vec<_>>(), expected);

    let (_, token) = issue(&mut admin, &["read=3/3600"]).await;
    let ask = |cost| naming(&token, &["read"], Some(cost));
    let questions = asked.map(|cost| CheckStreamRequest {
        id: cost.into(),
        check: Some(ask(cost)),
    });
    let questions = tokio_stream::iter(questions);
    let mut answers = checks
        .client
        .check_stream(questions)
        .await
        .unwrap()
        .into_inner();
    let mut told = Vec::new();
    while let Some(answer) = answers.message().await.unwrap() {
        told.push(left(&verdict_of(answer.result.unwrap())));
    }
    assert_eq!(told, expected);
}

/// A response is kept below 4 MiB. What did not fit was not judged, so that it
/// has spent nothing and can be asked again.
#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_fit_into_a_response_has_spent_nothing() {
    let (_server, mut admin, mut checks) = start().await;
    let large = CreateKeyRequest {
        limits: limits(&["read=100000/3600"]),
        scopes: (10..30)
            .map(|number| format!("{number}").repeat(50))
            .collect(),
        metadata: (10..21)
            .map(|number| (number.to_string(), "ä".repeat(32)))
            .collect(),
        name: "n".repeat(100),
        principal: "p".repeat(128),
        ..key_request("w", &[])
    };
    let issued = admin.client.create_key(large).await.unwrap().into_inner();
    let lacking: Vec<_> = (10..70)
        .map(|number| format!("{number}").repeat(49) + ":x")
        .collect();
    // Denials that are large and spend nothing, and checks that do.
    let question = |place: usize| CheckRequest {
        required_scopes: if place.is_multiple_of(2) {
            Vec::new()
        } else {
            lacking.clone()
        },
        ..naming(&issued.token, &["read"], None)
    };
    let batch = CheckBatchRequest {
        checks: (0..1_000).map(question).collect(),
    };
    let results = checks
        .client
        .check_batch(batch)
        .await
        .unwrap()
        .into_inner()
        .results;
    let passed = results.iter().filter(|result| match &result.result {
        Some(keyward::edge::pb::check_result::Result::Verdict(verdict)) => {
            crate::support::verdict(verdict.clone()).is_ok()
        }
        Some(_) | None => false,
    });
    let passed = u32::try_from(passed.count()).unwrap();
    assert!(passed > 200 && passed < 500, "{passed}");
    let looked = checks.ask(naming(&issued.token, &["read"], Some(0))).await;
    assert_eq!(left(&looked), format!("read:{}", 100_000 - passed));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_limit_is_refused_field_by_field() {
    let (_server, mut admin, _) = start().await;
    let fields = |status: Status| {
        assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
        let request = status.get_details_bad_request().unwrap();
        let fields = request.field_violations.into_iter();
        fields.map(|told| told.field).collect::<Vec<_>>()
    };
    let broken = Limit {
        window: None,
        ..limit("READ=0/1")
    };
    let request = CreateKeyRequest {
        limits: vec![limit("a=1/1"), broken.clone(), limit("a=2/1")],
        ..key_request("w", &[])
    };
    let status = admin.client.create_key(request).await.unwrap_err();
    let expected = [
        "limits[1].name",
        "limits[1].count",
        "limits[1].window",
        "limits[2].name",
    ];
    assert_eq!(fields(status), expected);
    let (key, _) = issue(&mut admin, &["read=5/60"]).await;
    let status = update(&mut admin, &key.id, &["a=1/2678401"])
        .await
        .unwrap_err();
    assert_eq!(fields(status), ["key.limits[0].window"]);
    let workspace = Workspace {
        id: "v".to_owned(),
        token_prefix: "klg".to_owned(),
        default_limits: vec![broken],
        ..Workspace::default()
    };
    let request = CreateWorkspaceRequest {
        workspace: Some(workspace),
    };
    let status = admin.client.create_workspace(request).await.unwrap_err();
    let field = |name: &str| format!("workspace.default_limits[0].{name}");
    assert_eq!(fields(status), ["name", "count", "window"].map(field));
}

#[tokio::test(flavor = "multi_thread")]
async fn each_change_of_limits_is_audited_with_what_was_before() {
    let (_server, mut admin, _) = start().await;
    let (key, _) = issue(&mut admin, &["read=5/60"]).await;
    let changed = update(&mut admin, &key.id, &["read=6/60", "bulk=1/86400!"]).await;
    assert_eq!(
        changed.unwrap().limits,
        limits(&["bulk=1/86400!", "read=6/60"])
    );
    update(&mut admin, &key.id, &[]).await.unwrap();
    set_defaults(&mut admin, &["read=1/90"]).await;
    let request = keyward::edge::pb::ListAuditEventsRequest {
        page_size: 5,
        ..Default::default()
    };
    let events = admin.client.list_audit_events(request).await.unwrap();
    let told: Vec<_> = events
        .into_inner()
        .events
        .into_iter()
        // The first key has made its principal, beside.
        .filter(|event| event.action != "principal.create")
        .map(|event| {
            let of_limits = event
                .detail
                .iter()
                .filter(|(name, _)| name.contains("limits"));
            let told = of_limits.map(|(name, value)| format!("{name}={value}"));
            format!("{} {}", event.action, told.collect::<Vec<_>>().join(", "))
        })
        .collect();
    assert_eq!(
        told,
        [
            "workspace.update default_limits=read=1/90s, default_limits_before=none",
            "key.update limits=none, limits_before=bulk=1/1d,always read=6/1m",
            "key.update limits=bulk=1/1d,always read=6/1m, limits_before=read=5/1m",
            "key.create limits=read=5/1m",
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_keeps_what_is_defined_and_forgets_what_was_spent() {
    let (server, mut admin, mut checks) = start().await;
    let (_, token) = issue(&mut admin, &["read=1/3600"]).await;
    assert_eq!(
        left(&checks.ask(naming(&token, &["read"], None)).await),
        "read:0"
    );
    let server = server.kill().serve();
    let mut checks = server.checks().await;
    assert_eq!(
        left(&checks.ask(naming(&token, &["read"], None)).await),
        "read:0"
    );
    assert_eq!(
        left(&checks.ask(naming(&token, &["read"], None)).await),
        "read:0!"
    );
}
