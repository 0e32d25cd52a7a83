//! What does not pass, and what the client is told.

use std::time::Duration;

use http::Method;
use keyward::domain::clock::{Clock, SystemClock};
use keyward::edge::pb::{Credits, DenialReason};
use prost_types::Timestamp;

use crate::admin_api::calls;
use crate::gateways::client::{Answer, Ask};
use crate::gateways::{Feature, Gateway, OnFailure, Scene};
use crate::limits::limits;

/// A token that was never issued, with a checksum that fits, and what has one that
/// does not.
const STRANGE: &str = "Bearer eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhZGEifQ.c2lnbmF0dXJl";

/// What a client is to be told.
struct Told {
    status: u16,
    challenge: Option<&'static str>,
    /// Whether it is told when to come back.
    retry: bool,
}

const NO_CREDENTIAL: Told = Told {
    status: 401,
    challenge: Some("Bearer"),
    retry: false,
};
const ANOTHER_CREDENTIAL: Told = Told {
    status: 401,
    challenge: Some("Bearer error=\"invalid_token\""),
    retry: false,
};
const FORBIDDEN: Told = Told {
    status: 403,
    challenge: None,
    retry: false,
};
const TOO_NARROW: Told = Told {
    status: 403,
    challenge: Some("Bearer error=\"insufficient_scope\", scope=\"people:read\""),
    retry: false,
};
const LATER: Told = Told {
    status: 429,
    challenge: None,
    retry: true,
};
const NEVER: Told = Told {
    status: 429,
    challenge: None,
    retry: false,
};

pub(in crate::gateways) async fn each_denial_has_its_status_and_headers<G: Gateway>() {
    let mut scene = Scene::new::<G>(OnFailure::Close).await;
    let cases = every_denial(&mut scene).await;
    for (name, ask, told) in cases {
        let answer = ask.send().await;
        told.check::<G>(name, &answer);
        let seen = scene.upstream.seen();
        assert!(seen.is_empty(), "{name}: {seen:?}");
    }
}

impl Told {
    fn check<G: Gateway>(&self, name: &str, answer: &Answer) {
        assert_eq!(answer.status, self.status, "{name}: {answer:?}");
        assert_eq!(answer.header("www-authenticate"), self.challenge, "{name}");
        let retry = answer.header("retry-after").map(str::parse::<u64>);
        assert_eq!(retry.is_some(), self.retry, "{name}: {answer:?}");
        assert!(!matches!(retry, Some(Ok(0) | Err(_))), "{name}: {answer:?}");
        for name in answer.headers.keys() {
            assert!(!name.as_str().contains("keyward"), "{answer:?}");
        }
        let body = String::from_utf8_lossy(&answer.body);
        assert!(!body.contains("key_0"), "no key's id: {body}");
        if G::can(Feature::DenialBody) {
            assert_eq!(
                answer.header("content-type"),
                Some("application/json"),
                "{name}"
            );
            let body: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
            assert!(body["error"].is_string(), "{name}: {body}");
        }
    }
}

/// What a case is called, its request, and what the client is to be told.
type Case = (&'static str, Ask, Told);

/// A request for each reason that there is to deny one.
async fn every_denial(scene: &mut Scene) -> Vec<Case> {
    let mut cases = without_a_good_key(scene).await;
    cases.extend(beyond_what_a_key_may(scene).await);
    scene.upstream.seen();
    cases
}

async fn without_a_good_key(scene: &mut Scene) -> Vec<Case> {
    let good = scene.token().await;
    let revoked = scene.admin.key("klipy", &["people:read"]).await;
    scene.admin.revoke(&revoked.key.unwrap().id).await;
    scene.admin.workspace("kling", "klg", &["live"]).await;
    let others = scene.admin.key("kling", &["people:read"]).await.token;
    let expired = expired(scene).await;
    let admin = scene.keyward.server().site.admin_token();

    let people = scene.get("/people");
    let mut cases = vec![
        ("missing", people.clone(), NO_CREDENTIAL),
        (
            "missing, to write",
            people.clone().method(Method::POST),
            NO_CREDENTIAL,
        ),
    ];
    for (name, header) in [
        ("of no scheme of ours", "Digest x=y".to_owned()),
        ("malformed", format!("Bearer {good}, Bearer {good}")),
        ("unknown", STRANGE.to_owned()),
        (
            "mistyped",
            format!("Bearer {}", good.replacen("klipy", "klipx", 1)),
        ),
        ("another workspace's", format!("Bearer {others}")),
        ("an admin's", format!("Bearer {admin}")),
        ("revoked", format!("Bearer {}", revoked.token)),
        ("expired", format!("Bearer {expired}")),
    ] {
        let ask = people.clone().header("authorization", header);
        cases.push((name, ask, ANOTHER_CREDENTIAL));
    }
    cases
}

async fn beyond_what_a_key_may(scene: &mut Scene) -> Vec<Case> {
    let good = scene.token().await;
    let narrow = scene.issue(|request| request.scopes.clear()).await;
    let disabled = scene.admin.key("klipy", &["people:read"]).await;
    let key = disabled.key.unwrap();
    calls::switch_key(&mut scene.admin, &key.id, &key.etag, true)
        .await
        .unwrap();
    let sandbox = scene.issue(|request| request.environment = "test".to_owned());
    let sandbox = sandbox.await;
    let elsewhere = scene
        .issue(|request| request.source_addresses = vec!["203.0.113.0/24".to_owned()])
        .await;
    let limited = scene
        .issue(|request| request.limits = limits(&["bulk=1/3600"]))
        .await;
    let one = Credits {
        balance: Some(1),
        ..Credits::default()
    };
    let spent = scene.issue(|request| request.credits = Some(one)).await;

    let at = |path: &str, token: &str| scene.get(path).bearer(token);
    for ask in [at("/bulk", &limited), at("/people", &spent)] {
        assert_eq!(ask.send().await.status, 200);
    }
    vec![
        ("disabled", at("/people", &disabled.token), FORBIDDEN),
        ("another environment's", at("/people", &sandbox), FORBIDDEN),
        ("from elsewhere", at("/people", &elsewhere), FORBIDDEN),
        ("too narrow", at("/people", &narrow), TOO_NARROW),
        ("without that limit", at("/bulk", &good), FORBIDDEN),
        ("limited", at("/bulk", &limited), LATER),
        ("spent", at("/people", &spent), NEVER),
    ]
}

/// How it stands with the limits that counted, which clients may go by.
pub(in crate::gateways) async fn limits_are_told_with_what_they_let_pass<G: Gateway>() {
    if !G::can(Feature::LimitsOfTheAllowed) {
        return;
    }
    let mut scene = Scene::new::<G>(OnFailure::Close).await;
    let limited = scene
        .issue(|request| request.limits = limits(&["bulk=2/3600"]))
        .await;
    for left in ["1", "0"] {
        let answer = scene.get("/bulk").bearer(&limited).send().await;
        assert!(answer.is_from_the_upstream(), "{answer:?}");
        let standing = answer.header("ratelimit").unwrap();
        assert!(
            standing.starts_with(&format!("\"bulk\";r={left}")),
            "{standing}"
        );
        assert_eq!(
            answer.header("ratelimit-policy"),
            Some("\"bulk\";q=2;w=3600")
        );
    }
    let answer = scene.get("/bulk").bearer(&limited).send().await;
    assert_eq!(answer.status, 429);
    assert_eq!(
        answer.header("ratelimit-policy"),
        Some("\"bulk\";q=2;w=3600")
    );
    // Of what no limit counts there is nothing to tell.
    let answer = scene.get("/people").bearer(&limited).send().await;
    assert_eq!(answer.header("ratelimit"), None);
}

/// A key whose time has come.
async fn expired(scene: &mut Scene) -> String {
    let token = scene
        .issue(|request| {
            let soon = SystemClock::default().now().as_micros() / 1_000_000 + 2;
            request.expire_time = Some(Timestamp {
                seconds: i64::try_from(soon).unwrap(),
                nanos: 0,
            });
        })
        .await;
    let mut checks = scene.keyward.server().checks().await;
    while let Ok(allowed) = checks.header(&format!("Bearer {token}"), &[]).await {
        assert!(allowed.expire_time.is_some());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(
        checks.denial(&format!("Bearer {token}")).await,
        DenialReason::Expired
    );
    token
}

pub(in crate::gateways) async fn all_that_call_for_another_credential_look_alike<G: Gateway>() {
    let mut scene = Scene::new::<G>(OnFailure::Close).await;
    let mut answers = Vec::new();
    for (_, ask, told) in every_denial(&mut scene).await {
        if told.status == 401 {
            let mut answer = ask.method(Method::GET).send().await;
            for name in ["date", "www-authenticate", "x-envoy-upstream-service-time"] {
                answer.headers.remove(name);
            }
            answers.push((answer.headers, answer.body));
        }
    }
    assert!(answers.len() > 6);
    for answer in &answers {
        assert_eq!(answer, &answers[0]);
    }
}

pub(in crate::gateways) async fn credentials_that_contradict_each_other_are_none<G: Gateway>() {
    let mut scene = Scene::new::<G>(OnFailure::Close).await;
    let (one, other) = (scene.token().await, scene.token().await);
    for (first, second) in [
        (one.as_str(), other.as_str()),
        (&one, &one),
        (&one, "nonsense"),
        ("nonsense", &one),
        (&one, ""),
        ("", &one),
    ] {
        let twice = scene.get("/people").bearer(first).bearer(second);
        let partner = scene.get("/partner").header("x-api-key", first);
        let partner = partner.header("x-api-key", second);
        for ask in [twice, partner] {
            // Some gateways refuse what comes twice by themselves.
            let status = ask.send().await.status;
            assert!([400, 401].contains(&status), "{status}");
        }
    }
    for joined in [
        format!("Bearer {one},Bearer {other}"),
        format!("Bearer {one},"),
    ] {
        let ask = scene.get("/people").header("authorization", joined);
        assert_eq!(ask.send().await.status, 401);
    }
    assert_eq!(scene.upstream.seen().len(), 0);
}

pub(in crate::gateways) async fn the_source_address_is_none_that_a_client_says<G: Gateway>() {
    let mut scene = Scene::new::<G>(OnFailure::Close).await;
    let mut confined = Vec::new();
    for range in ["127.0.0.0/8", "203.0.113.0/24"] {
        let confine = scene.issue(|request| request.source_addresses = vec![range.to_owned()]);
        confined.push(confine.await);
    }
    for name in [
        "x-forwarded-for",
        "X_Forwarded_For",
        "x-real-ip",
        "forwarded",
        "x-envoy-external-address",
        "true-client-ip",
    ] {
        for said in [
            "203.0.113.7",
            "203.0.113.7, 127.0.0.1",
            "127.0.0.1, 203.0.113.7",
        ] {
            let said = if name == "forwarded" {
                format!("for={said}")
            } else {
                said.to_owned()
            };
            let ask = scene.get("/people").header(name, &said);
            let here = ask.clone().bearer(&confined[0]).send().await.status;
            let there = ask.bearer(&confined[1]).send().await.status;
            // One with `_` may be refused whatever it says.
            let refused = name.contains('_') && here == 400 && there == 400;
            assert!(
                refused || (here, there) == (200, 403),
                "{name}: {said}: {here}, {there}"
            );
        }
    }
}

/// Behind a proxy that the gateway was told to trust. The path says the workspace.
pub(in crate::gateways) async fn the_source_address_is_what_a_proxy_says(scene: &mut Scene) {
    let confined = scene
        .issue(|request| request.source_addresses = vec!["203.0.113.0/24".to_owned()])
        .await;
    for (said, status) in [
        ("203.0.113.7", 200),
        // What is left of it, the client has said.
        ("192.0.2.1, 203.0.113.7", 200),
        ("203.0.113.7, 192.0.2.1", 403),
        ("192.0.2.1", 403),
        ("", 403),
    ] {
        let ask = scene.get("/klipy/orders").header("x-forwarded-for", said);
        // No proxy says what is asked for: that is the client.
        let ask = ask
            .header("x-forwarded-uri", "/kling/orders")
            .header("x-forwarded-method", "OPTIONS")
            .header("x-forwarded-host", "forged.example.com");
        let answer = ask.bearer(&confined).send().await;
        assert_eq!(answer.status, status, "{said}: {answer:?}");
    }
}
