//! Caddy, by deploy/caddy/Caddyfile.

use std::process::Command;
use std::time::{Duration, Instant};

use super::process::{Place, Process, address_of_its_own};
use super::switch::{Asks, State};
use super::{Feature, Gateway, OnFailure, Scene};
use crate::support::tool;

table! { Caddy }

/// The shipped file.
const FILE: &str = "deploy/caddy/Caddyfile";

/// Longer than a line of its log takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

pub(super) struct Caddy;

impl Gateway for Caddy {
    const FOLDER: &'static str = "caddy";
    const ASKS: Asks = Asks::ForwardAuth;

    fn command(place: &Place, _: OnFailure) -> Command {
        run(place, &[])
    }

    fn cannot(feature: Feature) -> Option<&'static str> {
        match feature {
            Feature::FailOpen => Some("Caddy lets nobody pass without a verdict."),
            Feature::DenialBody
            | Feature::LimitsOfTheAllowed
            | Feature::Http2
            | Feature::Grpc
            | Feature::GrpcDenials
            | Feature::UnheardOfNames
            | Feature::PublicAlone => None,
        }
    }
}

/// Caddy, after these changes to what is shipped.
fn run(place: &Place, more: &[(&str, &str)]) -> Command {
    let (site, bind, keyward, upstream) = (
        format!("http://:{} {{", place.listen.port()),
        format!("bind {}\n", place.listen.ip()),
        format!("forward_auth {} {{", place.keyward),
        place.upstream.to_string(),
    );
    let mut changes = more.to_vec();
    changes.extend([
        ("http://:10000 {", site.as_str()),
        ("bind 127.0.0.1\n", &bind),
        ("forward_auth 127.0.0.1:8080 {", &keyward),
        ("127.0.0.1:8000", &upstream),
    ]);
    let file = place.adapted(FILE, &changes);
    let mut command = Command::new(tool("caddy"));
    command
        .args(["run", "--adapter", "caddyfile", "--config"])
        .arg(file)
        // It has files of its own, and looks for a home to put them in.
        .env("XDG_DATA_HOME", place.folder())
        .env("XDG_CONFIG_HOME", place.folder());
    command
}

#[tokio::test(flavor = "multi_thread")]
async fn its_log_says_what_failed_and_no_credentials() {
    let mut scene = Scene::new::<Caddy>(OnFailure::Close).await;
    let token = scene.token().await;
    scene.keyward.set(State::Down).await;
    for ask in [
        scene.get("/people").bearer(&token),
        scene.get("/partner").header("x-api-key", &token),
        scene
            .get("/partner")
            .header("cookie", format!("key={token}")),
    ] {
        let answer = ask.send().await;
        assert_eq!(answer.status, 503);
        assert_eq!(answer.header("retry-after"), Some("1"));
    }
    // It is written when the answer is, by somebody else.
    let deadline = Instant::now() + PATIENCE;
    while scene.gateway.log().matches("connection refused").count() < 3 {
        assert!(Instant::now() < deadline, "{}", scene.gateway.log());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(!scene.gateway.log().contains(&token));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_behind_it_is_no_fault_of_keywards() {
    let mut scene = Scene::new::<Caddy>(OnFailure::Close).await;
    let token = scene.token().await;
    let place = Place::new(scene.keyward.address, address_of_its_own());
    let command = Caddy::command(&place, OnFailure::Close);
    scene.gateway = Process::start(command, place).await;
    let answer = scene.get("/people").bearer(&token).send().await;
    assert_eq!(answer.status, 502);
    assert_eq!(scene.get("/people").send().await.status, 401);
}

/// As its README says.
#[tokio::test(flavor = "multi_thread")]
async fn behind_another_proxy_the_source_address_is_what_that_says() {
    let mut scene = Scene::new::<Caddy>(OnFailure::Close).await;
    let place = Place::new(scene.keyward.address, scene.upstream.address);
    let trusted = "protocols h1 h2c\ntrusted_proxies static 127.0.0.0/8\ntrusted_proxies_strict";
    let host = "header_up -Cookie\nheader_up X-Forwarded-Host {http.request.hostport}";
    let changes = [
        ("protocols h1 h2c", trusted),
        ("header_up -Cookie", host),
        ("?workspace=klipy&", "?workspace_path=/%7Bworkspace%7D/**&"),
    ];
    let command = run(&place, &changes);
    scene.gateway = Process::start(command, place).await;
    super::cases::denied::the_source_address_is_what_a_proxy_says(&mut scene).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_other_route_is_reached_through_a_public_one() {
    super::cases::paths::no_other_route_is_reached_through_a_public_one::<Caddy>().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_websocket_is_judged_when_it_begins() {
    super::cases::upgrades::a_websocket_is_judged_when_it_begins::<Caddy>().await;
}
