//! Paths that a gateway might take for public, and the service behind it for
//! something else.

use crate::gateways::{Gateway, OnFailure, Scene};

/// All of them mean `/people` to somebody.
const ODD: [&str; 26] = [
    "/public/../people",
    "/public/x/../../people",
    "/public/./../people",
    "/public//../people",
    "/public/%2e%2e/people",
    "/public/.%2E/people",
    "/public/%252e%252e/people",
    "/public%2f..%2fpeople",
    "/public/..%2Fpeople",
    "/public/..%5cpeople",
    "/public/..\\people",
    "/public/..;/people",
    "/public/..;x=y/people",
    "/public/%2e%2e;/people",
    "//public/../people",
    "/people/../public/../people",
    "/public/..%20/people",
    "/public/%20../people",
    "/public/..%09/people",
    "/public/..%0d/people",
    "/public/..%3f/people",
    "/public/..%23/people",
    "/public/%c0%ae%c0%ae/people",
    "/public/%ef%bc%8e%ef%bc%8e/people",
    "/public/%zz/../../people",
    "/public/..%/people",
];

/// What some servers resolve, and others do not.
const UNRESOLVED: [&str; 13] = [
    "..",
    "//",
    "%2e",
    "%2f",
    "%5c",
    "%25",
    "\\",
    ";",
    "%0",
    "%3f",
    "%23",
    "%c0%ae",
    "%ef%bc%8e",
];

pub(in crate::gateways) async fn no_other_route_is_reached_through_a_public_one<G: Gateway>() {
    let scene = Scene::new::<G>(OnFailure::Close).await;
    for path in ODD {
        // To refuse it, or to break off, is as good.
        let _ = scene.get(path).try_send().await;
        for seen in scene.upstream.seen() {
            let there = seen.path.to_ascii_lowercase();
            assert!(there.starts_with("/public/"), "{path}: {seen:?}");
            let odd = UNRESOLVED.iter().find(|part| there.contains(**part));
            assert_eq!(odd, None, "{path}: {seen:?}");
        }
    }
    // What is only in the query is nobody's business.
    let query = scene.get("/public/x?to=/../people;%2e%2e//");
    assert!(query.send().await.is_from_the_upstream());
}
