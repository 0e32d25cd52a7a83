//! What keyward tells Prometheus: exact, there from the start, readable, and
//! free of everything that is nobody's business.

#![expect(
    clippy::too_many_lines,
    reason = "a test tells one story, from top to bottom"
)]

mod exposition;

use std::collections::{BTreeMap, BTreeSet};

use keyward::edge::pb::key_check_client::KeyCheckClient;
use keyward::edge::pb::{
    CheckBatchRequest, CheckRequest, CheckStreamRequest, CreateKeyRequest, GetKeyRequest,
};
use prost::Message;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tonic::Code;

use crate::docs::document;
use crate::h1raw::Line;
use crate::support::{
    Checks, Server, Site, admin_client, check_request, connect, key_request, raw_call,
    raw_conversation,
};

use exposition::{Exposition, Kind};

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const CHECKS: &str = "keyward_checks_total";
const UNDECIDED: &str = "keyward_undecided_total";

/// The head and the body of what `server` answers to a scraper.
async fn get(server: &Server, accept: &str) -> (String, String) {
    let address = server.http_address.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!(
        "GET /metrics HTTP/1.1\r\nhost: {address}\r\naccept: {accept}\r\nconnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    let head = head.to_ascii_lowercase();
    assert!(
        head.contains(&format!("content-length: {}", body.len())),
        "{head}"
    );
    (head, body.to_owned())
}

async fn scrape(server: &Server) -> Exposition {
    let (head, body) = get(server, "application/openmetrics-text").await;
    assert!(
        head.contains(&format!("content-type: {OPEN_METRICS}")),
        "{head}"
    );
    Exposition::parse(&body)
}

/// All counts of checks that are not zero, as `interface verdict reason`.
fn checks(text: &Exposition) -> BTreeMap<String, u64> {
    nonzero(text, CHECKS, &["interface", "verdict", "reason"])
}

fn nonzero(text: &Exposition, name: &str, labels: &[&str]) -> BTreeMap<String, u64> {
    let samples = text.samples_of(name);
    let counted = samples.filter(|sample| sample.value > 0.0);
    counted
        .map(|sample| {
            let values: Vec<_> = labels.iter().map(|&name| sample.label(name)).collect();
            (values.join(" "), sample.value as u64)
        })
        .collect()
}

fn counts<const N: usize>(expected: [(&str, u64); N]) -> BTreeMap<String, u64> {
    expected
        .map(|(name, count)| (name.to_owned(), count))
        .into()
}

fn threads(server: &Server) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("Threads:"));
    line.unwrap().trim().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn many_scrapes_at_once_take_no_threads_and_hold_up_no_gateway() {
    const SCRAPES: usize = 200;
    let site = Site::init();
    let mut command = site.serve_command();
    command.args(["--metrics-listen", "127.0.0.1:0"]);
    let server = Server::spawn(site, command).unwrap();
    for address in [&server.http_address, &server.metrics_address] {
        let mut lines = Vec::new();
        for _ in 0..SCRAPES {
            let mut line = Line::connect(address).await.unwrap();
            assert_eq!(line.get("/livez", &[]).await.status, 200);
            lines.push(line);
        }
        let before = threads(&server);
        let mut scraping = JoinSet::new();
        for mut line in lines {
            scraping.spawn(async move {
                let mut texts = 0;
                for _ in 0..5 {
                    let answer = line.get("/metrics", &[]).await;
                    assert!(matches!(answer.status, 200 | 503), "{answer:?}");
                    let is_text = answer.body.contains("keyward_build_info");
                    assert_eq!(is_text, answer.status == 200, "{answer:?}");
                    texts += usize::from(is_text);
                }
                texts
            });
        }
        let mut gateway = Line::connect(&server.http_address).await.unwrap();
        let (mut most, mut texts) = (0, 0);
        loop {
            assert_eq!(gateway.get("/forward-auth", &[]).await.status, 401);
            most = most.max(threads(&server));
            match scraping.try_join_next() {
                Some(of_one) => texts += of_one.unwrap(),
                None if scraping.is_empty() => break,
                None => tokio::task::yield_now().await,
            }
        }
        assert!(texts > 0);
        assert!(most <= before + 4, "{before} threads, then {most}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_series_of_a_check_is_there_before_the_first() {
    let server = Server::start();
    let text = scrape(&server).await;
    let reasons = [
        "MISSING",
        "MALFORMED",
        "UNKNOWN",
        "WORKSPACE_REQUIRED",
        "REVOKED",
        "EXPIRED",
        "DISABLED",
        "ENVIRONMENT",
        "SOURCE_ADDRESS",
        "INSUFFICIENT_SCOPE",
        "UNKNOWN_LIMIT",
        "RATE_LIMITED",
        "CREDITS_EXHAUSTED",
    ];
    let expected: BTreeSet<_> = [
        "check",
        "check_batch",
        "check_stream",
        "ext_authz",
        "forward_auth",
    ]
    .into_iter()
    .flat_map(|interface| {
        let of_routes: &[_] = match interface {
            "ext_authz" => &[
                "allowed PUBLIC",
                "denied NO_ROUTE",
                "denied BROKEN_POLICY",
                "denied TOO_LARGE",
            ],
            "forward_auth" => &["allowed PUBLIC", "denied NO_ROUTE", "denied BROKEN_POLICY"],
            _ => &[],
        };
        let denied = reasons.map(|reason| format!("{interface} denied {reason}"));
        let others = of_routes.iter().chain(&["allowed KEY"]);
        let others = others.map(move |labels| format!("{interface} {labels}"));
        denied.into_iter().chain(others)
    })
    .collect();
    let told: BTreeSet<_> = text
        .samples_of(CHECKS)
        .map(|sample| {
            assert_eq!(sample.value, 0.0);
            ["interface", "verdict", "reason"]
                .map(|name| sample.label(name))
                .join(" ")
        })
        .collect();
    assert_eq!(told, expected);
    for (name, labels) in [
        (
            "keyward_check_duration_seconds_count",
            &[("interface", "ext_authz")][..],
        ),
        (
            "keyward_connections_refused_total",
            &[("listener", "check")],
        ),
        (
            "keyward_calls_refused_total",
            &[("listener", "http"), ("kind", "health")],
        ),
        (
            "keyward_tls_handshakes_failed_total",
            &[("listener", "admin")],
        ),
        (
            "keyward_admin_calls_total",
            &[("method", "CreateKey"), ("code", "OK")],
        ),
        (
            "keyward_admin_calls_total",
            &[("method", "ImportKeys"), ("code", "OK")],
        ),
        (
            "keyward_admin_calls_denied_total",
            &[("reason", "ADMIN_TOKEN_INVALID")],
        ),
        ("keyward_commits_total", &[("outcome", "OUTCOME_UNKNOWN")]),
    ] {
        assert_eq!(text.value(name, labels), 0.0, "{name}");
    }
    assert_eq!(text.value("keyward_store_healthy", &[]), 1.0);
    assert!(text.value("process_open_fds", &[]) > 10.0);
    assert!(text.value("process_resident_memory_bytes", &[]) > 1e6);
    let started = text.value("process_start_time_seconds", &[]);
    let again = scrape(&server).await;
    assert_eq!(again.value("process_start_time_seconds", &[]), started);
    let build = text.samples_of("keyward_build_info").next().unwrap();
    assert_eq!(build.label("version"), env!("CARGO_PKG_VERSION"));
}

/// A question that cannot be read: a length that goes beyond the end.
const UNREADABLE: [u8; 2] = [0x0a, 0x09];

#[tokio::test(flavor = "multi_thread")]
async fn checks_are_counted_to_the_last_one_whichever_way_they_come() {
    const CALLERS: u64 = 6;
    const ROUNDS: u64 = 25;
    let server = Server::start();
    let mut admin = server.admin().await;
    admin.workspace("kling", "klg", &[]).await;
    let good = admin.key("kling", &["invoices:read"]).await;
    let revoked = admin.key("kling", &["*"]).await;
    admin.revoke(&revoked.key.unwrap().id).await;
    let questions = [
        check_request(&format!("Bearer {}", good.token), &["invoices:read"]),
        check_request(&format!("Bearer {}", good.token), &["invoices:write"]),
        check_request(&format!("Bearer {}", revoked.token), &[]),
        check_request("Bearer klg_nothing", &[]),
        check_request("", &[]),
    ];
    let mut callers = JoinSet::new();
    for _ in 0..CALLERS {
        // A connection of its own, and so one thread or the other.
        let mut checks = server.checks().await;
        let questions = questions.clone();
        callers.spawn(async move {
            for _ in 0..ROUNDS {
                ask_every_way(&mut checks, &questions).await;
            }
        });
    }
    callers.join_all().await;

    let text = scrape(&server).await;
    let each = CALLERS * ROUNDS;
    let mut expected = BTreeMap::new();
    for interface in ["check", "check_batch", "check_stream"] {
        for decided in [
            "allowed KEY",
            "denied INSUFFICIENT_SCOPE",
            "denied REVOKED",
            "denied UNKNOWN",
            "denied MISSING",
        ] {
            expected.insert(format!("{interface} {decided}"), each);
        }
    }
    assert_eq!(checks(&text), expected);
    let took = |interface| {
        let name = "keyward_check_duration_seconds_count";
        text.value(name, &[("interface", interface)]) as u64
    };
    assert_eq!(took("check"), 5 * each);
    assert_eq!(took("check_batch"), each, "a batch is one answer");
    assert_eq!(took("check_stream"), 5 * each);
    assert_eq!(nonzero(&text, UNDECIDED, &["cause"]), BTreeMap::new());
    let connections = text.value("keyward_connections", &[("listener", "check")]);
    assert!(connections <= CALLERS as f64, "{connections}");
}

async fn ask_every_way(checks: &mut Checks, questions: &[CheckRequest]) {
    for question in questions {
        checks.client.check(question.clone()).await.unwrap();
    }
    let batch = CheckBatchRequest {
        checks: questions.to_vec(),
    };
    let answers = checks.client.check_batch(batch).await.unwrap().into_inner();
    assert_eq!(answers.results.len(), questions.len());
    let asked = questions
        .iter()
        .cloned()
        .map(|question| CheckStreamRequest {
            id: 1,
            check: Some(question),
        });
    let asked = tokio_stream::iter(asked.collect::<Vec<_>>());
    let mut heard = checks
        .client
        .check_stream(asked)
        .await
        .unwrap()
        .into_inner();
    let mut answers = 0;
    while heard.message().await.unwrap().is_some() {
        answers += 1;
    }
    assert_eq!(answers, questions.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_no_verdict_is_counted_by_its_cause() {
    let server = Server::start();
    let channel = connect(&server.check_address).await;
    let broken = raw_call(
        channel.clone(),
        "/keyward.v1.KeyCheck/Check",
        UNREADABLE.to_vec(),
    );
    assert_eq!(broken.await.unwrap_err().code(), Code::InvalidArgument);
    // A question that cannot be read between two that can.
    let mut batch = CheckBatchRequest {
        checks: vec![check_request("", &[]); 2],
    }
    .encode_to_vec();
    batch.extend([0x0a, 2]);
    batch.extend(UNREADABLE);
    raw_call(channel.clone(), "/keyward.v1.KeyCheck/CheckBatch", batch)
        .await
        .unwrap();
    let path = "/keyward.v1.KeyCheck/CheckStream";
    let (answers, end) =
        raw_conversation(channel.clone(), path, vec![UNREADABLE.to_vec(), vec![]]).await;
    assert_eq!((answers.len(), end.is_ok()), (2, true));
    let path = "/envoy.service.auth.v3.Authorization/Check";
    assert!(raw_call(channel, path, UNREADABLE.to_vec()).await.is_err());

    let text = scrape(&server).await;
    assert_eq!(
        nonzero(&text, UNDECIDED, &["interface", "cause"]),
        counts([
            ("check UNREADABLE", 1),
            ("check_batch UNREADABLE", 1),
            ("check_stream UNREADABLE", 1),
            ("ext_authz UNREADABLE", 1),
        ])
    );
    assert_eq!(
        checks(&text),
        counts([
            ("check_batch denied MISSING", 2),
            ("check_stream denied MISSING", 1)
        ])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_decided_for_gateways_is_counted_as_theirs() {
    let server = Server::start();
    let address = server.http_address.strip_prefix("http://").unwrap();
    for (query, status) in [("", "401"), ("?limits=bulk", "401"), ("?nonsense=1", "500")] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = format!(
            "GET /forward-auth{query} HTTP/1.1\r\nhost: {address}\r\nx-forwarded-method: GET\r\n\
             x-forwarded-host: api.test\r\nx-forwarded-uri: /v1/a\r\nconnection: close\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{answer}"
        );
    }
    let channel = connect(&server.check_address).await;
    // Nothing is known of the request, and so there is no credential in it.
    let path = "/envoy.service.auth.v3.Authorization/Check";
    raw_call(channel, path, Vec::new()).await.unwrap();

    let text = scrape(&server).await;
    assert_eq!(
        checks(&text),
        counts([
            ("ext_authz denied MISSING", 1),
            ("forward_auth denied BROKEN_POLICY", 1),
            ("forward_auth denied MISSING", 2),
        ])
    );
    for (interface, took) in [("ext_authz", 1.0), ("forward_auth", 3.0)] {
        let name = "keyward_check_duration_seconds_count";
        assert_eq!(text.value(name, &[("interface", interface)]), took);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_and_calls_of_operators_are_counted() {
    let server = Server::start();
    let before = scrape(&server).await;
    let mut admin = server.admin().await;
    admin.workspace("kling", "klg", &[]).await;
    let key = admin.key("kling", &["*"]).await.key.unwrap();
    admin.key("kling", &["*"]).await;
    let unknown = GetKeyRequest {
        key_id: "key_01ARZ3NDEKTSV4RRFFQ69G5FAV".to_owned(),
    };
    let missing = admin.client.get_key(unknown).await.unwrap_err().code();
    let invalid = CreateKeyRequest {
        workspace: String::new(),
        ..key_request("kling", &["not a scope"])
    };
    let invalid = admin.client.create_key(invalid).await.unwrap_err().code();
    assert_eq!((missing, invalid), (Code::NotFound, Code::InvalidArgument));
    let mut stranger = admin_client(&server.admin_address, "kwa_nobody").await;
    let request = GetKeyRequest { key_id: key.id };
    let denied = stranger.client.get_key(request).await.unwrap_err().code();
    assert_eq!(denied, Code::Unauthenticated);

    let text = scrape(&server).await;
    assert_eq!(
        nonzero(&text, "keyward_admin_calls_total", &["method", "code"]),
        counts([
            ("CreateKey INVALID_ARGUMENT", 1),
            ("CreateKey OK", 2),
            ("CreateWorkspace OK", 1),
            ("GetKey NOT_FOUND", 1),
            ("GetKey UNAUTHENTICATED", 1),
        ])
    );
    assert_eq!(
        nonzero(&text, "keyward_admin_calls_denied_total", &["reason"]),
        counts([("ADMIN_TOKEN_INVALID", 1)])
    );
    for (name, more) in [
        ("keyward_index_keys", 2.0),
        ("keyward_index_tokens", 2.0),
        ("keyward_index_workspaces", 1.0),
        ("keyward_index_principals", 1.0),
    ] {
        let grown = text.value(name, &[]) - before.value(name, &[]);
        assert_eq!(grown, more, "{name}");
    }
    let durable = |text: &Exposition| {
        let told = text.value("keyward_commits_total", &[("outcome", "DURABLE")]);
        let timed = text.value("keyward_commit_duration_seconds_count", &[]);
        let grouped = text.value("keyward_commit_group_size_sum", &[]);
        let revision = text.value("keyward_store_revision", &[]);
        assert!(
            told <= timed && timed == grouped,
            "{told} {timed} {grouped}"
        );
        (told, revision)
    };
    let (first, last) = (durable(&before), durable(&text));
    // The workspace and two keys; what was denied is written down when there is
    // time, and how keys are used, too.
    assert!(last.0 - first.0 >= 3.0, "{first:?} {last:?}");
    assert!(last.1 - first.1 >= 3.0, "{first:?} {last:?}");
    assert!(text.value("keyward_index_revision", &[]) >= first.1 + 3.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_anybody_sends_is_told() {
    let server = Server::start();
    let mut admin = server.admin().await;
    admin.workspace("kling", "klg", &["staging"]).await;
    let issued = admin.key("kling", &["invoices:read"]).await;
    let key = issued.key.unwrap();
    let mut checks = server.checks().await;
    let mut question = check_request(&format!("Bearer {}", issued.token), &["invoices:write"]);
    question.workspace = "no-such-workspace".to_owned();
    question.limits = vec!["no-such-limit".to_owned()];
    question.source_address = "203.0.113.9".to_owned();
    checks.ask(question).await.unwrap_err();
    let credential = format!("Bearer {}", issued.token);
    checks
        .header(&credential, &["invoices:write"])
        .await
        .unwrap_err();
    checks
        .header("Bearer secret-of-somebody", &[])
        .await
        .unwrap_err();
    let mut stranger = admin_client(&server.admin_address, "kwa_somebody").await;
    let request = GetKeyRequest {
        key_id: key.id.clone(),
    };
    stranger.client.get_key(request).await.unwrap_err();
    let (secret, hint) = (issued.token.rsplit('_').next().unwrap(), key.hint.clone());
    for accept in ["application/openmetrics-text", "*/*"] {
        let (_, text) = get(&server, accept).await;
        for private in [
            issued.token.as_str(),
            &secret[..12],
            &hint,
            &key.id,
            &key.principal,
            "kling",
            "klg",
            "staging",
            "invoices",
            "no-such",
            "203.0.113.9",
            "somebody",
            &server.site.admin_token(),
        ] {
            assert!(!text.contains(private), "{private} is told");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn to_be_asked_all_the_time_holds_up_no_check_and_loses_no_count() {
    const CHECKED: u64 = 2_000;
    let server = Server::start();
    let mut checking = JoinSet::new();
    for _ in 0..4 {
        let channel = connect(&server.check_address).await;
        checking.spawn(async move {
            let mut client = KeyCheckClient::new(channel);
            for _ in 0..CHECKED / 4 {
                client.check(check_request("", &[])).await.unwrap();
            }
        });
    }
    // What is told never goes back, and is whole each time.
    let mut told = 0.0;
    let labels = [
        ("interface", "check"),
        ("verdict", "denied"),
        ("reason", "MISSING"),
    ];
    let mut scraped = 0;
    while !checking.is_empty() {
        let text = scrape(&server).await;
        let count = text.value(CHECKS, &labels);
        assert!(count >= told, "{count} after {told}");
        told = count;
        scraped += 1;
        while let Some(done) = checking.try_join_next() {
            done.unwrap();
        }
    }
    assert!(scraped > 1, "there was load while it was asked");
    let text = scrape(&server).await;
    assert_eq!(text.value(CHECKS, &labels) as u64, CHECKED);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_for_nothing_special_gets_the_text_that_everybody_reads() {
    let server = Server::start();
    let (head, text) = get(&server, "*/*").await;
    assert!(
        head.contains("content-type: text/plain; version=0.0.4"),
        "{head}"
    );
    assert!(
        !text.contains("# EOF") && !text.contains("# UNIT"),
        "{text}"
    );
    for line in [
        "# TYPE keyward_checks_total counter",
        "# TYPE keyward_build_info gauge",
        "# TYPE keyward_check_duration_seconds histogram",
        "# TYPE process_cpu_seconds_total counter",
    ] {
        assert!(text.lines().any(|told| told == line), "no {line}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_names_each_metric_with_its_kind_and_labels() {
    let server = Server::start();
    let text = scrape(&server).await;
    let page = document("docs/metrics.md");
    let rows = page.lines().filter_map(|line| {
        let mut cells = line.strip_prefix("| `")?.split('|').map(str::trim);
        let name = cells.next()?.trim_end_matches('`').to_owned();
        let (kind, labels) = (cells.next()?.to_owned(), cells.next()?);
        let labels = labels.split(", ").filter(|label| !label.is_empty());
        let labels: BTreeSet<_> = labels
            .map(|label| label.trim_matches('`').to_owned())
            .collect();
        (name.starts_with("keyward_") || name.starts_with("process_"))
            .then_some((name, (kind, labels)))
    });
    let documented: BTreeMap<_, _> = rows.collect();
    let told: BTreeMap<_, _> = text
        .families
        .iter()
        .map(|family| {
            let suffix = match family.kind {
                Kind::Counter => "_total",
                Kind::Info => "_info",
                Kind::Gauge | Kind::Histogram => "",
            };
            let kind = format!("{:?}", family.kind).to_lowercase();
            (format!("{}{suffix}", family.name), (kind, family.labels()))
        })
        .collect();
    assert_eq!(documented, told);
}
