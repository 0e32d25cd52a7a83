//! Traefik, by deploy/traefik/traefik.yaml and dynamic.yaml.

use std::process::Command;

use http::Method;

use super::process::{Place, Process};
use super::switch::Asks;
use super::upstream::SAY;
use super::{Feature, Gateway, OnFailure, Scene};
use crate::support::tool;

table! { Traefik }

/// What is set at the start.
const STATIC: &str = "deploy/traefik/traefik.yaml";

/// The routes.
const DYNAMIC: &str = "deploy/traefik/dynamic.yaml";

pub(super) struct Traefik;

impl Gateway for Traefik {
    const FOLDER: &'static str = "traefik";
    const ASKS: Asks = Asks::ForwardAuth;
    const UNDECIDED: u16 = 500;

    fn command(place: &Place, _: OnFailure) -> Command {
        run(place, &[], &[])
    }

    fn cannot(feature: Feature) -> Option<&'static str> {
        match feature {
            Feature::FailOpen => Some("Traefik cannot let requests pass without a verdict."),
            Feature::LimitsOfTheAllowed => Some(
                "Traefik cannot tell clients what is left of their limits while they are allowed.",
            ),
            Feature::GrpcDenials => Some("Traefik cannot answer gRPC with HTTP's status 200"),
            Feature::UnheardOfNames => {
                Some("it forgets headers by their whole names, and not by `X-Keyward-*`")
            }
            Feature::DenialBody | Feature::Http2 | Feature::Grpc | Feature::PublicAlone => None,
        }
    }
}

/// Traefik, after these changes to what is shipped: to what is set at the start, and
/// to the routes.
fn run(place: &Place, start: &[(&str, &str)], routes: &[(&str, &str)]) -> Command {
    let (listen, keyward, upstream) = (
        format!("address: {}", place.listen),
        format!("http://{}/", place.keyward),
        format!("//{}", place.upstream),
    );
    let mut changes = routes.to_vec();
    changes.extend([
        ("http://127.0.0.1:8080/", keyward.as_str()),
        ("//127.0.0.1:8000", &upstream),
    ]);
    place.adapted(DYNAMIC, &changes);
    let mut changes = start.to_vec();
    changes.push(("address: 127.0.0.1:10000", &listen));
    let start = place.adapted(STATIC, &changes);
    let mut command = Command::new(tool("traefik"));
    command
        .arg(format!("--configFile={}", start.display()))
        // The other file is named by what it is called in here.
        .current_dir(place.folder());
    command
}

/// The gateway of `scene` again, after these changes to its routes.
async fn changed(scene: &mut Scene, routes: &[(&str, &str)]) {
    restarted(scene, &[], routes).await;
}

/// The gateway of `scene` again, after these changes to both of its files.
async fn restarted(scene: &mut Scene, start: &[(&str, &str)], routes: &[(&str, &str)]) {
    let place = Place::new(scene.keyward.address, scene.upstream.address);
    let command = run(&place, start, routes);
    scene.gateway = Process::start(command, place).await;
    scene.upstream.seen();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_route_with_a_mistake_is_nobodys() {
    let mut scene = Scene::new::<Traefik>(OnFailure::Close).await;
    let token = scene.token().await;
    for (right, wrong) in [
        // A middleware that there is not, and one that cannot be made.
        ("middlewares: [people]", "middlewares: [peolpe]"),
        (
            "rule: PathRegexp(`(?i)^/people(/|$)`)",
            "rule: PathRegexp(`(?i)^/people(/|$`)",
        ),
    ] {
        changed(&mut scene, &[(right, wrong)]).await;
        // The wider route, by which any key would pass, does not take its place.
        for path in ["/people", "/people/7"] {
            let answer = scene.get(path).bearer(&token).send().await;
            assert_eq!(answer.status, 404, "{wrong}: {path}");
        }
        assert_eq!(scene.upstream.seen().len(), 0, "{wrong}");
        assert!(
            scene
                .get("/orders")
                .bearer(&token)
                .send()
                .await
                .is_from_the_upstream()
        );
        scene.upstream.seen();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_that_keyward_cannot_read_lets_nobody_pass() {
    let mut scene = Scene::new::<Traefik>(OnFailure::Close).await;
    let token = scene.token().await;
    changed(&mut scene, &[("&required_scopes=", "&required_scope=")]).await;
    let answer = scene.get("/people").bearer(&token).send().await;
    assert_eq!(answer.status, 500);
    assert_eq!(scene.upstream.seen().len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_preflight_passes_where_the_policy_says_so() {
    let mut scene = Scene::new::<Traefik>(OnFailure::Close).await;
    let ask = |scene: &Scene| {
        let ask = scene.get("/people").method(Method::OPTIONS);
        ask.header("origin", "https://example.com")
            .header("access-control-request-method", "PUT")
    };
    assert_eq!(ask(&scene).send().await.status, 401);
    let public = (
        "&required_scopes=people:read",
        "&required_scopes=people:read&preflights=public",
    );
    changed(&mut scene, &[public]).await;
    assert!(ask(&scene).send().await.is_from_the_upstream());
    assert_eq!(scene.get("/people").send().await.status, 401);
}

/// As its README says.
#[tokio::test(flavor = "multi_thread")]
async fn behind_another_proxy_the_source_address_is_what_that_says() {
    let mut scene = Scene::new::<Traefik>(OnFailure::Close).await;
    let trusted = "address: 127.0.0.1:10000\n    forwardedHeaders: {trustedIPs: [127.0.0.0/8]}";
    let as_i_see_it = "  middlewares:\n    as-i-see-it:\n      headers:\n        customRequestHeaders:\n          \
         X-Forwarded-Method: \"\"\n          X-Forwarded-Uri: \"\"\n          X-Forwarded-Host: \"\"\n";
    restarted(
        &mut scene,
        &[("address: 127.0.0.1:10000", trusted)],
        &[
            ("trustForwardHeader: false", "trustForwardHeader: true"),
            ("  middlewares:\n", as_i_see_it),
            ("[other]", "[as-i-see-it, other]"),
            (
                "?workspace=klipy\n",
                "?workspace_path=/%7Bworkspace%7D/**\n",
            ),
        ],
    )
    .await;
    super::cases::denied::the_source_address_is_what_a_proxy_says(&mut scene).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn grpc_denials_have_both_statuses() {
    let mut scene = Scene::new::<Traefik>(OnFailure::Close).await;
    let answer = scene.call(SAY, b"").send().await;
    assert_eq!(
        (answer.status, answer.grpc_status()),
        (401, Some(16)),
        "{answer:?}"
    );
    scene.keyward.set(super::switch::State::Down).await;
    let token = "nonsense";
    let answer = scene.call(SAY, b"").bearer(token).send().await;
    assert_eq!(
        (answer.status, answer.grpc_status()),
        (500, None),
        "{answer:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn no_other_route_is_reached_through_a_public_one() {
    super::cases::paths::no_other_route_is_reached_through_a_public_one::<Traefik>().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_websocket_is_judged_when_it_begins() {
    super::cases::upgrades::a_websocket_is_judged_when_it_begins::<Traefik>().await;
}
