//! What passes, and what the upstream sees of it.

use http::{Method, Version};

use crate::gateways::client::Speaks;
use crate::gateways::{Feature, Gateway, IDENTITY, OnFailure, Scene};
use crate::limits::limits;

/// Some other system's token, which is none of keyward's business.
const JWT: &str = "Bearer eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhZGEifQ.c2lnbmF0dXJl";

pub(in crate::gateways) async fn who_it_is_reaches_the_upstream<G: Gateway>() {
    let mut scene = Scene::new::<G>(OnFailure::Close).await;
    let request = crate::support::key_request("klipy", &["people:read", "companies:*"]);
    let issued = scene.admin.client.create_key(request).await.unwrap();
    let (key, token) = (
        issued.get_ref().key.clone().unwrap(),
        &issued.get_ref().token,
    );

    let ask = scene.get("/people/7?full=yes").method(Method::PUT);
    let answer = ask.bearer(token).header("x-other", "stays").send().await;
    assert!(answer.is_from_the_upstream(), "{answer:?}");
    assert_eq!(
        answer.header("x-keyward-principal"),
        None,
        "for the upstream alone"
    );
    let seen = scene.upstream.only();
    assert_eq!(
        (seen.method.as_str(), seen.path.as_str()),
        ("PUT", "/people/7?full=yes")
    );
    assert_eq!(seen.header("x-other"), Some("stays"));
    let mut identity = seen.like(IDENTITY);
    identity.sort_unstable();
    assert_eq!(
        identity,
        [
            ("x-keyward-environment", "live"),
            ("x-keyward-key-id", key.id.as_str()),
            ("x-keyward-principal", "user:ada"),
            ("x-keyward-scopes", "companies:* people:read"),
            ("x-keyward-workspace", "klipy"),
        ]
    );
    assert_eq!(seen.header("authorization"), None);
    assert!(!seen.holds(token), "{seen:?}");

    // What does not apply is left out: a key without scopes has none.
    let bare = scene.issue(|request| request.scopes.clear()).await;
    assert!(
        scene
            .get("/")
            .bearer(&bare)
            .send()
            .await
            .is_from_the_upstream()
    );
    assert_eq!(scene.upstream.only().header("x-keyward-scopes"), None);
}

pub(in crate::gateways) async fn a_public_route_needs_no_key<G: Gateway>() {
    let mut scene = Scene::new::<G>(OnFailure::Close).await;
    let token = scene.token().await;
    for ask in [
        scene.get("/public/terms"),
        scene.get("/public/terms").header("authorization", JWT),
        scene.get("/public/terms").bearer(&token),
        scene.get("/public/terms").header("x-api-key", &token),
    ] {
        let ask = ask.header("x-keyward-principal", "user:root");
        assert!(ask.send().await.is_from_the_upstream());
        let seen = scene.upstream.only();
        assert_eq!(seen.like(IDENTITY), []);
        if G::can(Feature::PublicAlone) {
            assert!(!seen.holds(&token), "{seen:?}");
        }
    }
    // It is one folder, and not what begins like it.
    for path in ["/public", "/publications", "/publi"] {
        assert_eq!(scene.get(path).send().await.status, 401, "{path}");
    }
    // keyward's own table has no route at all for what differs in case alone.
    let status = scene.get("/PUBLIC/terms").send().await.status;
    assert!(matches!(status, 401 | 403), "{status}");
    assert_eq!(scene.upstream.seen().len(), 0);
}

pub(in crate::gateways) async fn a_key_in_a_header_of_its_own_leaves_the_others_alone<
    G: Gateway,
>() {
    let mut scene = Scene::new::<G>(OnFailure::Close).await;
    let token = scene.token().await;
    let ask = scene.get("/partner/orders").header("x-api-key", &token);
    assert!(
        ask.header("authorization", JWT)
            .send()
            .await
            .is_from_the_upstream()
    );
    let seen = scene.upstream.only();
    assert_eq!(seen.header("authorization"), Some(JWT));
    assert_eq!(seen.header("x-api-key"), None);
    assert_eq!(seen.header("x-keyward-principal"), Some("user:ada"));
    assert!(!seen.holds(&token), "{seen:?}");

    // The other way round, neither header is the one that counts.
    let ask = scene.get("/partner/orders").bearer(&token);
    assert_eq!(ask.header("x-api-key", JWT).send().await.status, 401);
    let ask = scene.get("/orders").header("x-api-key", &token);
    assert_eq!(ask.header("authorization", JWT).send().await.status, 401);
    assert_eq!(scene.upstream.seen().len(), 0);
}

pub(in crate::gateways) async fn a_key_that_was_just_issued_works_and_a_revoked_one_does_not<
    G: Gateway,
>() {
    let mut scene = Scene::new::<G>(OnFailure::Close).await;
    for round in 0..20 {
        let issued = scene.admin.key("klipy", &["people:read"]).await;
        let ask = scene.get("/people").bearer(&issued.token);
        let answer = ask.clone().send().await;
        assert!(answer.is_from_the_upstream(), "{round}: {answer:?}");
        scene.admin.revoke(&issued.key.unwrap().id).await;
        assert_eq!(ask.send().await.status, 401, "{round}");
    }
    assert_eq!(scene.upstream.seen().len(), 20);
}

/// All that a key may have, as long as it may be.
pub(in crate::gateways) async fn a_key_with_much_to_tell_passes<G: Gateway>() {
    let mut scene = Scene::new::<G>(OnFailure::Close).await;
    let most = |number: usize| format!("people-{number:02}:{}", "x".repeat(10));
    let scopes: Vec<_> = (0..100).map(most).collect();
    let names = (0..8).map(|number| format!("{}{number}=1000000000/2678400!", "a".repeat(19)));
    let names: Vec<_> = names.collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let principal = format!("user:{}", "a".repeat(123));
    let token = scene
        .issue(|request| {
            request.scopes.clone_from(&scopes);
            request.limits = limits(&names);
            request.principal.clone_from(&principal);
        })
        .await;
    for path in ["/orders", "/public/terms"] {
        let answer = scene.get(path).bearer(&token).send().await;
        assert!(answer.is_from_the_upstream(), "{path}: {answer:?}");
        let seen = scene.upstream.only();
        if path == "/orders" {
            assert_eq!(seen.header("x-keyward-principal"), Some(&*principal));
            assert_eq!(seen.header("x-keyward-scopes"), Some(&*scopes.join(" ")));
        }
    }
}

pub(in crate::gateways) async fn http_2_is_served_as_well<G: Gateway>() {
    if !G::can(Feature::Http2) {
        return;
    }
    let mut scene = Scene::new::<G>(OnFailure::Close).await;
    let token = scene.token().await;
    let ask = scene.get("/people").over(Speaks::Http2);
    let answer = ask.clone().bearer(&token).send().await;
    assert!(answer.is_from_the_upstream(), "{answer:?}");
    let seen = scene.upstream.only();
    assert_eq!(seen.header("x-keyward-principal"), Some("user:ada"));
    assert_eq!(seen.header("authorization"), None);
    // What is no gRPC goes on as HTTP/1.1, which every service speaks.
    assert_eq!(seen.version, Version::HTTP_11);
    assert_eq!(ask.send().await.status, 401);
    assert_eq!(scene.upstream.seen().len(), 0);
}

/// What some service or other takes for a guarded path.
const AROUND: [&str; 35] = [
    "/public/../people",
    "/public/%2e%2e/people",
    "/public/.%2E/people",
    "/public/..%2fpeople",
    "/public/%2e%2e%2fpeople",
    "/public/..%5cpeople",
    "/public/..\\people",
    "/public/..;/people",
    "/public//../../people",
    "/public/./../people",
    "//people",
    "/./people",
    "/x/../people",
    "/%70eople",
    "/people/",
    "/people//",
    "/people%2f",
    "/people;x",
    "/people?x",
    "/people/../people",
    "/people/partner",
    "/bulk/partner",
    "/people/%zz",
    "/people/%",
    "/public/%zz/../../people",
    "/public%zz/../people",
    "/PEOPLE",
    "/People",
    "/Bulk/x",
    "/public/..%20/people",
    "/public/..%09/people",
    "/public/%c0%ae%c0%ae/people",
    "/public/%ef%bc%8e%ef%bc%8e/people",
    "/public/..%3f/people",
    "/public/..%23/people",
];

/// What a service may take for a path of its own, if the gateway takes it for
/// one below `/public/`.
pub(in crate::gateways) async fn no_path_leads_around_a_route<G: Gateway>() {
    let mut scene = Scene::new::<G>(OnFailure::Close).await;
    let narrow = scene.issue(|request| request.scopes.clear()).await;
    let token = scene.token().await;
    for path in AROUND {
        // Neither without a key, nor with one that lacks the scope.
        for ask in [
            scene.get(path),
            scene.get(path).bearer(&narrow),
            scene.get(path).header("x-api-key", &narrow),
        ] {
            // The client may be unable to send it, or the gateway break off.
            let _ = ask.try_send().await;
            for seen in scene.upstream.seen() {
                let served = served(&seen.path);
                let first = served.first().map(String::as_str);
                assert!(!matches!(first, Some("people" | "bulk")), "{path}");
                let is_public = first == Some("public");
                assert!(
                    is_public || seen.header("x-keyward-principal").is_some(),
                    "{path}"
                );
            }
        }
    }
    // It is what is odd about them that keeps them out.
    for path in ["/people/partner", "/people", "/public/terms"] {
        let answer = scene.get(path).bearer(&token).send().await;
        assert!(answer.is_from_the_upstream(), "{path}: {answer:?}");
    }
}

/// The segments of a path, as the most lenient of services reads it.
fn served(path: &str) -> Vec<String> {
    let path = path.split('?').next().unwrap().to_lowercase();
    let path = [
        ("%2e", "."),
        ("%2f", "/"),
        ("%5c", "/"),
        ("\\", "/"),
        ("%70", "p"),
        ("%c0%ae", "."),
        ("%ef%bc%8e", "."),
        ("%20", ""),
        ("%09", ""),
        ("%3f", "?"),
        ("%23", "?"),
    ]
    .iter()
    .fold(path, |path, (written, read)| path.replace(written, read));
    let path = path.split('?').next().unwrap();
    let mut segments = Vec::new();
    for segment in path.split('/') {
        // What is behind `;` is a parameter.
        match segment.split(';').next().unwrap() {
            "" | "." => {}
            ".." => drop(segments.pop()),
            name => segments.push(name.to_owned()),
        }
    }
    segments
}
