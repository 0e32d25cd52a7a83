//! Envoy by the shipped file after the changes that its README proposes.

use std::marker::PhantomData;
use std::process::Command;

use http::Method;

use super::{Envoy, KEYWARD, run};
use crate::docs::document;
use crate::gateways::cases::{allowed, denied, failing, forged};
use crate::gateways::process::Place;
use crate::gateways::switch::{Asks, socket};
use crate::gateways::{Gateway, OnFailure, Scene};

/// What is changed.
trait Change {
    const ASKS: Asks = Asks::ExtAuthz;

    /// Texts of the shipped file, and what is there instead.
    fn made(place: &Place) -> Vec<(String, String)>;
}

/// Envoy after a change.
struct Changed<C>(PhantomData<C>);

impl<C: Change> Gateway for Changed<C> {
    const FOLDER: &'static str = Envoy::FOLDER;
    const ASKS: Asks = C::ASKS;

    fn command(place: &Place, on_failure: OnFailure) -> Command {
        run(place, on_failure, &C::made(place))
    }
}

/// The block of the README that has `text` in it.
fn proposed(text: &str) -> String {
    let readme = document("deploy/envoy/README.md");
    let blocks = readme.split("```yaml\n").skip(1);
    let mut blocks = blocks.filter_map(|rest| Some(rest.split_once("```")?.0));
    let found = blocks.find(|block| block.contains(text));
    found.unwrap_or_else(|| panic!("no {text}")).to_owned()
}

fn replace(shipped: &str, here: &str) -> (String, String) {
    (shipped.to_owned(), here.to_owned())
}

struct OnASocket;

impl Change for OnASocket {
    const ASKS: Asks = Asks::ExtAuthzOnASocket;

    fn made(place: &Place) -> Vec<(String, String)> {
        let socket = socket(place.keyward).display().to_string();
        let here = proposed("pipe:").replace("/run/keyward/check.sock", &socket);
        vec![replace(&format!("socket_address: {KEYWARD}"), here.trim())]
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_unix_socket_does_as_well() {
    allowed::who_it_is_reaches_the_upstream::<Changed<OnASocket>>().await;
    failing::without_a_verdict_nobody_passes_until_keyward_is_back::<Changed<OnASocket>>().await;
}

struct BehindABalancer;

impl Change for BehindABalancer {
    fn made(_: &Place) -> Vec<(String, String)> {
        let filters = proposed("listener_filters:");
        let chains = "    filter_chains:\n";
        vec![replace(chains, &(filters + chains))]
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_balancer_s_word_on_the_source_address_is_taken() {
    let mut scene = Scene::new::<Changed<BehindABalancer>>(OnFailure::Close).await;
    let confined = scene
        .issue(|request| request.source_addresses = vec!["203.0.113.0/24".to_owned()])
        .await;
    for (source, status) in [("203.0.113.7", 200), ("198.51.100.7", 403)] {
        let ask = scene.get("/people").bearer(&confined).by_proxy_from(source);
        let answer = ask.header("x-forwarded-for", "203.0.113.7").send().await;
        assert_eq!(answer.status, status, "{source}");
    }
}

struct TwoWorkspaces;

impl Change for TwoWorkspaces {
    fn made(_: &Place) -> Vec<(String, String)> {
        let hosts = "            virtual_hosts:\n";
        let kling = proposed("kling.example.com") + "              routes:\n";
        let routes =
            "              - match: { prefix: / }\n                route: { cluster: service }\n";
        vec![replace(hosts, &format!("{hosts}{kling}{routes}"))]
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_virtual_host_has_a_workspace() {
    let mut scene = Scene::new::<Changed<TwoWorkspaces>>(OnFailure::Close).await;
    scene.admin.workspace("kling", "klg", &[]).await;
    let klings = scene.admin.key("kling", &["people:read"]).await.token;
    let klipys = scene.token().await;
    for (host, klipy, kling) in [
        ("api.example.com", 200, 401),
        ("kling.example.com", 401, 200),
        ("kling.example.com:443", 200, 401),
    ] {
        for (token, status) in [(&klipys, klipy), (&klings, kling)] {
            let ask = scene.get("/people").header("host", host).bearer(token);
            assert_eq!(ask.send().await.status, status, "{host}");
        }
    }
}

struct ByHost;

impl Change for ByHost {
    fn made(_: &Place) -> Vec<(String, String)> {
        let readme = document("deploy/envoy/README.md");
        let here = "workspace_host: \"{workspace}.example.com\"";
        assert!(readme.contains(here));
        vec![replace("workspace: klipy", here)]
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_host_may_say_which_workspace() {
    let mut scene = Scene::new::<Changed<ByHost>>(OnFailure::Close).await;
    scene.admin.workspace("kling", "klg", &[]).await;
    let klings = scene.admin.key("kling", &["people:read"]).await.token;
    let klipys = scene.token().await;
    for (host, klipy, kling) in [
        ("klipy.example.com", 200, 401),
        ("kling.example.com", 401, 200),
        ("KLING.example.com:443", 401, 200),
        ("example.com", 401, 401),
        ("other.example.com", 401, 401),
        ("a.kling.example.com", 401, 401),
    ] {
        for (token, status) in [(&klipys, klipy), (&klings, kling)] {
            let ask = scene.get("/people").header("host", host).bearer(token);
            let answer = ask.send().await;
            // A host that names no workspace at all is none of the route's.
            let denied = status == 401 && [401, 403].contains(&answer.status);
            assert!(denied || answer.status == status, "{host}: {answer:?}");
        }
    }
}

struct WithPreflights;

impl Change for WithPreflights {
    fn made(_: &Place) -> Vec<(String, String)> {
        let shipped = "                        required_scopes: people:read\n";
        let here = format!("{shipped}                        preflights: public\n");
        vec![replace(shipped, &here)]
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn preflights_may_pass_without_a_key() {
    let scene = Scene::new::<Changed<WithPreflights>>(OnFailure::Close).await;
    let preflight = scene.get("/people").method(Method::OPTIONS);
    let preflight = preflight.header("origin", "https://app.example.com");
    let method = "access-control-request-method";
    let ask = preflight.clone().header(method, "PUT");
    assert_eq!(ask.send().await.status, 200);
    assert_eq!(preflight.send().await.status, 401, "no preflight");
    let get = scene
        .get("/people")
        .header("origin", "https://app.example.com");
    assert_eq!(get.header(method, "PUT").send().await.status, 401);
}

struct Mistaken;

impl Change for Mistaken {
    fn made(_: &Place) -> Vec<(String, String)> {
        vec![replace(
            "required_scopes: people:read",
            "required_scope: people:read",
        )]
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mistake_in_a_route_lets_nobody_in_and_is_told() {
    for on_failure in [OnFailure::Close, OnFailure::Open] {
        let mut scene = Scene::new::<Changed<Mistaken>>(on_failure).await;
        let token = scene.token().await;
        let answer = scene.get("/people").bearer(&token).send().await;
        assert_eq!(answer.status, 500, "{answer:?}");
        assert_eq!(scene.upstream.seen().len(), 0);
        let log = scene.keyward.server().log();
        assert!(log.contains("required_scope"), "{log}");
        assert_eq!(scene.get("/").bearer(&token).send().await.status, 200);
    }
}

/// What many Envoys run with: headers in a map, where those that came twice are
/// one, and all of them.
struct AllHeaders;

impl Change for AllHeaders {
    fn made(_: &Place) -> Vec<(String, String)> {
        vec![
            replace("encode_raw_headers: true", "encode_raw_headers: false"),
            replace(
                "                patterns:\n",
                "                patterns:\n                - safe_regex: { regex: \".*\" }\n",
            ),
        ]
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_in_a_map_are_read_as_well() {
    allowed::who_it_is_reaches_the_upstream::<Changed<AllHeaders>>().await;
    denied::credentials_that_contradict_each_other_are_none::<Changed<AllHeaders>>().await;
    forged::no_client_says_who_it_is_while_keyward_is_up::<Changed<AllHeaders>>().await;
}
