//! Caddy, by deploy/caddy/Caddyfile.

use std::process::Command;
use std::time::{Duration, Instant};

use super::process::{Place, Process, address_of_its_own};
use super::switch::{Asks, State};
use super::{Feature, Gateway, OnFailure, Scene};
use crate::limits::limits;
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
        let (site, bind, keyward, upstream) = (
            format!("http://:{} {{", place.listen.port()),
            format!("bind {}\n", place.listen.ip()),
            format!("forward_auth {} {{", place.keyward),
            place.upstream.to_string(),
        );
        let changes = [
            ("http://:10000 {", site.as_str()),
            ("bind 127.0.0.1\n", &bind),
            ("forward_auth 127.0.0.1:8080 {", &keyward),
            ("127.0.0.1:8000", &upstream),
        ];
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

    fn cannot(feature: Feature) -> Option<&'static str> {
        match feature {
            Feature::FailOpen => Some("Caddy lets nobody pass without a verdict."),
            Feature::DenialBody
            | Feature::LimitsOfTheAllowed
            | Feature::Http2
            | Feature::Grpc
            | Feature::GrpcDenials
            | Feature::UnheardOfNames => None,
        }
    }
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

#[tokio::test(flavor = "multi_thread")]
async fn clients_learn_what_is_left_of_their_limits() {
    let mut scene = Scene::new::<Caddy>(OnFailure::Close).await;
    let limited = scene.issue(|request| request.limits = limits(&["bulk=3/3600"]));
    let limited = limited.await;
    let answer = scene.get("/bulk").bearer(&limited).send().await;
    assert!(answer.is_from_the_upstream(), "{answer:?}");
    let left = answer.header("ratelimit").unwrap();
    assert!(left.starts_with("\"bulk\";r=2;t="), "{left}");
    let policy = answer.header("ratelimit-policy");
    assert_eq!(policy, Some("\"bulk\";q=3;w=3600"));

    let unlimited = scene.token().await;
    let answer = scene.get("/people").bearer(&unlimited).send().await;
    assert!(answer.is_from_the_upstream(), "{answer:?}");
    assert_eq!(answer.header("ratelimit"), None);
    assert_eq!(answer.header("ratelimit-policy"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_other_route_is_reached_through_a_public_one() {
    super::cases::paths::no_other_route_is_reached_through_a_public_one::<Caddy>().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_websocket_is_judged_when_it_begins() {
    super::cases::upgrades::a_websocket_is_judged_when_it_begins::<Caddy>().await;
}
