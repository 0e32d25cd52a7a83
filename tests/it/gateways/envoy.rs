//! Envoy, by deploy/envoy/envoy.yaml.

mod changed;

use std::net::SocketAddr;
use std::process::Command;

use super::process::{Place, address_of_its_own};
use super::switch::{Asks, State};
use super::{Gateway, OnFailure, Scene};
use crate::support::{key_request, tool};

table! { Envoy }

/// The shipped file.
const FILE: &str = "deploy/envoy/envoy.yaml";

/// Where it says that keyward is.
const KEYWARD: &str = "{ address: 127.0.0.1, port_value: 50051 }";

/// By what Envoy marks what passes without a verdict.
const MARK: &str = "x-envoy-auth-failure-mode-allowed";

struct Envoy;

impl Gateway for Envoy {
    const FOLDER: &'static str = "envoy";
    const ASKS: Asks = Asks::ExtAuthz;

    fn command(place: &Place, on_failure: OnFailure) -> Command {
        run(place, on_failure, &[])
    }
}

/// Envoy with the shipped file, in which `changes` were made first.
fn run(place: &Place, on_failure: OnFailure, changes: &[(String, String)]) -> Command {
    let mut all: Vec<(&str, &str)> = changes
        .iter()
        .map(|(shipped, here)| (shipped.as_str(), here.as_str()))
        .collect();
    if on_failure == OnFailure::Open {
        // As its README says.
        all.push(("failure_mode_allow: false", "failure_mode_allow: true"));
    }
    let [admin, listen, keyward, upstream] = [
        address_of_its_own(),
        place.listen,
        place.keyward,
        place.upstream,
    ]
    .map(written);
    all.extend([
        (ADMIN, admin.as_str()),
        (LISTEN, &listen),
        (UPSTREAM, &upstream),
    ]);
    // Changes may have put something else there.
    if !changes.iter().any(|(shipped, _)| shipped.contains(KEYWARD)) {
        all.push((KEYWARD, &keyward));
    }
    let mut command = Command::new(tool("envoy"));
    command
        .arg("--config-path")
        .arg(place.adapted(FILE, &all))
        // Several run at a time, on one machine.
        .args(["--disable-hot-restart", "--concurrency", "1"])
        .args(["--log-level", "warning"]);
    command
}

const ADMIN: &str = "{ address: 127.0.0.1, port_value: 9901 }";
const LISTEN: &str = "{ address: 127.0.0.1, port_value: 10000 }";
const UPSTREAM: &str = "{ address: 127.0.0.1, port_value: 8000 }";

/// An address as the file writes it.
fn written(address: SocketAddr) -> String {
    let (ip, port) = (address.ip(), address.port());
    format!("{{ address: {ip}, port_value: {port} }}")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_passed_without_a_verdict_is_marked_by_envoy_alone() {
    let mut scene = Scene::new::<Envoy>(OnFailure::Open).await;
    let token = scene.token().await;
    let ask = scene.get("/people").bearer(&token).header(MARK, "true");
    for (state, mark) in [(State::Up, None), (State::Down, Some("true"))] {
        scene.keyward.set(state).await;
        assert!(ask.clone().send().await.is_from_the_upstream());
        assert_eq!(scene.upstream.only().header(MARK), mark, "{state:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_access_log_says_who_it_was_and_why_not_and_never_by_what() {
    let mut scene = Scene::new::<Envoy>(OnFailure::Close).await;
    let request = key_request("klipy", &["people:read"]);
    let issued = scene.admin.client.create_key(request).await.unwrap();
    let (key, token) = (
        issued.get_ref().key.clone().unwrap(),
        issued.into_inner().token,
    );
    for path in ["/people?token=in-a-query", "/bulk", "/public/terms"] {
        scene.get(path).bearer(&token).send().await;
    }
    scene.get("/people").send().await;
    scene.keyward.set(State::Down).await;
    scene.get("/people").bearer(&token).send().await;

    // Envoy writes it when it likes to.
    let lines = loop {
        let log = scene.gateway.log();
        let lines: Vec<serde_json::Value> = log
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect();
        // The first was asked by who waited for it to start.
        if let [_, lines @ ..] = lines.as_slice()
            && lines.len() == 5
        {
            break lines.to_vec();
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    };
    let told = |line: &serde_json::Value| {
        ["path", "status", "reason", "principal", "key"].map(|name| line[name].clone())
    };
    let told: Vec<_> = lines.iter().map(told).collect();
    let id = key.id.as_str();
    let expected = serde_json::json!([
        ["/people", 200, null, "user:ada", id],
        ["/bulk", 403, "UNKNOWN_LIMIT", null, id],
        ["/public/terms", 200, null, null, null],
        ["/people", 401, "MISSING", null, null],
        ["/people", 503, null, null, null],
    ]);
    assert_eq!(serde_json::json!(told), expected);
    let log = scene.gateway.log();
    assert!(
        !log.contains(&token) && !log.contains("in-a-query"),
        "{log}"
    );
}
