//! Envoy, by deploy/envoy/envoy.yaml.

mod changed;

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use super::process::{Place, adapted, address_of_its_own};
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

/// Where the README's session says that things are, and where they are to be for a
/// keyward that listens at `keyward`: Envoy's file, which is put into `folder`, the
/// gateway itself, and the service behind it.
pub(crate) fn places(keyward: SocketAddr, folder: &Path) -> [(&'static str, String); 3] {
    let [admin, listen, upstream] = [(); 3].map(|()| address_of_its_own());
    let text = adapted(
        FILE,
        &[
            (ADMIN, &written(admin)),
            (LISTEN, &written(listen)),
            (KEYWARD, &written(keyward)),
            (UPSTREAM, &written(upstream)),
        ],
    );
    let file = folder.join("envoy.yaml");
    std::fs::write(&file, text).unwrap();
    [
        (FILE, file.display().to_string()),
        ("127.0.0.1:10000", listen.to_string()),
        (
            "(\"127.0.0.1\", 8000)",
            format!("(\"{}\", {})", upstream.ip(), upstream.port()),
        ),
    ]
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
        .args([
            "--log-level",
            "warning",
            "--file-flush-interval-msec",
            "100",
        ]);
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

    // Of the first, who waited for Envoy asked.
    let lines = requests_logged(&scene, 6).await;
    let lines = &lines[1..];
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

/// The lines of the access log, once there are so many: they come late.
async fn requests_logged(scene: &Scene, number: usize) -> Vec<serde_json::Value> {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let log = scene.gateway.log();
        let parsed = |line| serde_json::from_str(line).ok();
        let lines: Vec<_> = log.lines().filter_map(parsed).collect();
        if lines.len() >= number {
            assert_eq!(lines.len(), number, "{log}");
            return lines;
        }
        assert!(Instant::now() < deadline, "{log}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
