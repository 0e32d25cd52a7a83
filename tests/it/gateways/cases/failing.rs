//! What happens while there is no verdict to be had.

use crate::gateways::client::{Ask, Speaks};
use crate::gateways::switch::State;
use crate::gateways::{Feature, Gateway, IDENTITY, OnFailure, Scene};

pub(in crate::gateways) async fn without_a_verdict_nobody_passes_until_keyward_is_back<
    G: Gateway,
>() {
    let mut scene = Scene::new::<G>(OnFailure::Close).await;
    let token = scene.token().await;
    let ask = scene.get("/people").bearer(&token);
    for state in [State::Down, State::Slow, State::Overloaded] {
        assert!(
            ask.clone().send().await.is_from_the_upstream(),
            "before {state:?}"
        );
        scene.upstream.seen();
        scene.keyward.set(state).await;
        // Nor does who would be denied learn of it. They wait side by side.
        let mut asks = vec![ask.clone(); 3];
        asks.push(scene.get("/people"));
        let answers = asks.into_iter().map(Ask::send);
        for answer in futures_util::future::join_all(answers).await {
            assert_eq!(answer.status, G::UNDECIDED, "{state:?}: {answer:?}");
        }
        assert_eq!(scene.upstream.seen().len(), 0, "{state:?}");
        let public = scene.get("/public/terms").send().await;
        let passes = public.is_from_the_upstream();
        assert_eq!(passes, G::can(Feature::PublicAlone), "{state:?}");
        scene.keyward.set(State::Up).await;
    }
}

pub(in crate::gateways) async fn what_fails_open_lets_in_nothing_but_the_request<G: Gateway>() {
    if !G::can(Feature::FailOpen) {
        return;
    }
    let mut scene = Scene::new::<G>(OnFailure::Open).await;
    let token = scene.token().await;
    for state in [State::Up, State::Down, State::Slow, State::Overloaded] {
        scene.keyward.set(state).await;
        for speaks in [Speaks::Http1, Speaks::Http2] {
            if speaks == Speaks::Http2 && !G::can(Feature::Http2) {
                continue;
            }
            let ask = scene.get("/people").over(speaks);
            let answer = ask.bearer(&token).send().await;
            assert!(answer.is_from_the_upstream(), "{state:?}: {answer:?}");
            let seen = scene.upstream.only();
            assert!(!seen.holds(&token), "{state:?}: {seen:?}");
            let who = seen.header("x-keyward-principal");
            assert_eq!(who, (state == State::Up).then_some("user:ada"), "{state:?}");
            if state != State::Up {
                assert_eq!(seen.like(IDENTITY), [], "{state:?}");
            }

            let ask = scene.get("/partner").over(speaks);
            let answer = ask.header("x-api-key", &token).send().await;
            assert!(answer.is_from_the_upstream(), "{state:?}: {answer:?}");
            let seen = scene.upstream.only();
            assert!(!seen.holds(&token), "{state:?}: {seen:?}");

            // Denied is still denied, as long as there is somebody to say so.
            let without = scene.get("/people").over(speaks).send().await;
            assert_eq!(
                without.status,
                if state == State::Up { 401 } else { 200 },
                "{state:?}"
            );
            scene.upstream.seen();
        }
    }
}
