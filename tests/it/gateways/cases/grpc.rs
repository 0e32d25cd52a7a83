//! gRPC through a gateway.

use std::time::Duration;

use http::{Method, Version};

use crate::admin_api::calls;
use crate::gateways::upstream::{COUNT, LATER, SAY};
use crate::gateways::{Feature, Gateway, OnFailure, Scene};
use crate::h2raw::frame;
use crate::limits::limits;

/// Longer than what gateways give an answer if nobody tells them otherwise.
const LONG: Duration = Duration::from_secs(17);

pub(in crate::gateways) async fn calls_pass_both_ways<G: Gateway>() {
    if !G::can(Feature::Grpc) {
        return;
    }
    let mut scene = Scene::new::<G>(OnFailure::Close).await;
    let token = scene.token().await;
    let answer = scene.call(SAY, b"hello").bearer(&token).send().await;
    assert_eq!(
        (answer.status, answer.grpc_status()),
        (200, Some(0)),
        "{answer:?}"
    );
    assert_eq!(answer.body, frame(b"hello"));
    let seen = scene.upstream.only();
    assert_eq!(seen.version, Version::HTTP_2);
    assert_eq!(seen.header("te"), Some("trailers"));
    assert_eq!(seen.header("x-keyward-principal"), Some("user:ada"));
    assert!(!seen.holds(&token), "{seen:?}");
}

pub(in crate::gateways) async fn a_long_stream_outlasts_every_timeout<G: Gateway>() {
    if !G::can(Feature::Grpc) {
        return;
    }
    let mut scene = Scene::new::<G>(OnFailure::Close).await;
    let issued = scene.admin.key("klipy", &[]).await;
    let mut coming = scene.call(COUNT, b"").bearer(&issued.token).begin().await;
    // The first is here while there is no other yet.
    assert_eq!(coming.message().await.unwrap(), "0");
    // A verdict is on the beginning of a request.
    scene.admin.revoke(&issued.key.unwrap().id).await;
    tokio::time::sleep(LONG).await;
    scene.upstream.go_on();
    for number in 1..=LATER {
        assert_eq!(coming.message().await.unwrap(), number.to_string());
    }
    assert_eq!(coming.message().await, None);
    assert_eq!(coming.grpc_status(), Some(0));
}

pub(in crate::gateways) async fn denials_have_codes_of_grpc<G: Gateway>() {
    if !G::can(Feature::GrpcDenials) {
        return;
    }
    let mut scene = Scene::new::<G>(OnFailure::Close).await;
    let disabled = scene.admin.key("klipy", &[]).await;
    let key = disabled.key.unwrap();
    calls::switch_key(&mut scene.admin, &key.id, &key.etag, true)
        .await
        .unwrap();
    let limited = scene
        .issue(|request| request.limits = limits(&["all=1/3600!"]))
        .await;
    assert_eq!(scene.get("/").bearer(&limited).send().await.status, 200);
    scene.upstream.seen();
    for (name, ask, code) in [
        ("missing", scene.call(SAY, b""), 16),
        ("unknown", scene.call(SAY, b"").bearer("nonsense"), 16),
        ("disabled", scene.call(SAY, b"").bearer(&disabled.token), 7),
        ("limited", scene.call(SAY, b"").bearer(&limited), 8),
    ] {
        let answer = ask.send().await;
        assert_eq!(
            (answer.status, answer.grpc_status()),
            (200, Some(code)),
            "{name}: {answer:?}"
        );
        let message = answer.header("grpc-message").unwrap();
        assert!(!message.is_empty(), "{name}");
        assert_eq!(answer.body, "", "{name}");
    }
    assert_eq!(scene.upstream.seen().len(), 0);
}

/// A client says by itself that it speaks gRPC.
pub(in crate::gateways) async fn to_speak_grpc_gets_nobody_around_a_route<G: Gateway>() {
    let mut scene = Scene::new::<G>(OnFailure::Close).await;
    let narrow = scene.issue(|request| request.scopes.clear()).await;
    for content_type in [
        "application/grpc",
        "application/grpc+proto",
        "application/grpc-web",
    ] {
        for path in ["/people", "/people/Read", "/bulk", "/partner"] {
            let ask = scene.get(path).method(Method::POST).bearer(&narrow);
            let answer = ask.header("content-type", content_type).send().await;
            assert!(!answer.is_from_the_upstream(), "{path}: {answer:?}");
            assert_eq!(scene.upstream.seen().len(), 0, "{path}");
        }
    }
}
