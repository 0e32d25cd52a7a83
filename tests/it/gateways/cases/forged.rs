//! Headers that only keyward may set, sent by a client: none ever reaches the
//! upstream, however it is spelled and however keyward is.

use crate::gateways::client::{Ask, Speaks};
use crate::gateways::switch::State;
use crate::gateways::{Feature, Gateway, IDENTITY, OnFailure, Scene};

/// What nothing but a forgery holds.
const FORGED: &str = "forged-by-the-client";

/// Every name that keyward may set, and one that it never does.
const NAMES: [&str; 6] = [
    "x-keyward-key-id",
    "x-keyward-principal",
    "x-keyward-workspace",
    "x-keyward-environment",
    "x-keyward-scopes",
    "x-keyward-of-the-future",
];

pub(in crate::gateways) async fn no_client_says_who_it_is_while_keyward_is_up<G: Gateway>() {
    let mut scene = Scene::new::<G>(OnFailure::Close).await;
    let token = scene.token().await;
    // A key that has neither scopes nor anything that may be left out.
    let bare = scene.issue(|request| request.scopes.clear()).await;
    for ask in forgeries::<G>(&scene, "/orders") {
        for token in [&token, &bare] {
            try_it(&scene, ask.clone().bearer(token), Some("user:ada")).await;
        }
        try_it(&scene, ask, None).await;
    }
    for ask in forgeries::<G>(&scene, "/public/terms") {
        try_it(&scene, ask.bearer(&token), None).await;
    }
    // Not because nothing arrives.
    for path in ["/orders", "/public/terms"] {
        let ask = scene.get(path).header("x-keyward-principal", FORGED);
        assert!(ask.bearer(&token).send().await.is_from_the_upstream());
    }
}

pub(in crate::gateways) async fn no_client_says_who_it_is_when_it_fails_closed<G: Gateway>() {
    without_keyward::<G>(OnFailure::Close).await;
}

pub(in crate::gateways) async fn no_client_says_who_it_is_when_it_fails_open<G: Gateway>() {
    if G::can(Feature::FailOpen) {
        without_keyward::<G>(OnFailure::Open).await;
    }
}

async fn without_keyward<G: Gateway>(on_failure: OnFailure) {
    let mut scene = Scene::new::<G>(on_failure).await;
    let token = scene.token().await;
    for state in [State::Down, State::Slow, State::Overloaded] {
        scene.keyward.set(state).await;
        for path in ["/orders", "/public/terms"] {
            let forgeries = forgeries::<G>(&scene, path);
            // They wait for keyward, side by side.
            let tried = forgeries
                .into_iter()
                .map(|ask| try_it(&scene, ask.bearer(&token), None));
            futures_util::future::join_all(tried).await;
        }
        // Not because nothing arrives.
        if G::can(Feature::PublicAlone) {
            let ask = scene.get("/public/terms").header(NAMES[1], FORGED);
            assert!(ask.send().await.is_from_the_upstream(), "{state:?}");
            assert_eq!(scene.upstream.only().like(IDENTITY), []);
        }
    }
}

/// Requests that say who they are, in all spellings that a server might take for
/// keyward's.
fn forgeries<G: Gateway>(scene: &Scene, path: &str) -> Vec<Ask> {
    let mut asks = Vec::new();
    let spellings: [fn(&str) -> String; 8] = [
        str::to_owned,
        |name| name.replace('-', "_"),
        |name| name.replacen('-', "_", 1),
        |name| format!("{}_{}", &name[..9], &name[10..]),
        |name| format!("{}.{}", &name[..9], &name[10..]),
        |name| name.replace('-', "."),
        |name| name.replace('-', "!"),
        |name| name.replace('-', "~"),
    ];
    let names = match G::can(Feature::UnheardOfNames) {
        true => &NAMES[..],
        false => &NAMES[..NAMES.len() - 1],
    };
    for spell in spellings {
        let forge = |ask: Ask, name: &&str| ask.header(&spell(name), FORGED);
        let all = names.iter().fold(scene.get(path), forge);
        // Twice, which is another list of values.
        let twice = names.iter().fold(all.clone(), forge);
        if G::can(Feature::Http2) {
            asks.push(all.clone().over(Speaks::Http2));
        }
        asks.extend([all, twice]);
    }
    // Names that it is to forget on the way.
    let hop = scene.get(path).header("connection", "x-keyward-principal");
    asks.push(hop.header("x-keyward-principal", FORGED));
    asks
}

/// What has some frameworks take a request for another than the one that was
/// judged.
const OVERRIDES: [&str; 6] = [
    "x-original-url",
    "x-rewrite-url",
    "x-http-method-override",
    "x-http-method",
    "x-method-override",
    "forwarded",
];

pub(in crate::gateways) async fn no_client_has_another_request_served_than_was_judged<
    G: Gateway,
>() {
    let mut scene = Scene::new::<G>(OnFailure::Close).await;
    let token = scene.token().await;
    for path in ["/public/terms", "/orders", "/people"] {
        let ask = scene.get(path).bearer(&token);
        let forge = |ask: Ask, name: &&str| ask.header(name, FORGED);
        let answer = OVERRIDES.iter().fold(ask, forge).send().await;
        assert!(answer.is_from_the_upstream(), "{path}: {answer:?}");
        let seen = scene.upstream.only();
        assert!(!seen.holds(FORGED), "{path}: {seen:?}");
    }
}

/// Sends it. If it reaches the upstream, then as of `principal`, and of nobody else.
async fn try_it(scene: &Scene, ask: Ask, principal: Option<&str>) {
    // To refuse it, or to break off, is as good.
    let _ = ask.try_send().await;
    for seen in scene.upstream.seen() {
        assert!(!seen.holds(FORGED), "{seen:?}");
        assert_eq!(seen.header("x-keyward-principal"), principal);
        if principal.is_none() {
            assert_eq!(seen.like(IDENTITY), []);
        }
    }
}
