//! Which header counts, and that nothing is picked of two.

use super::*;

#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::too_many_lines, reason = "a table")]
async fn one_credential_counts_and_is_kept_from_the_upstream() {
    let server = Server::start();
    let mut admin = server.admin().await;
    admin.workspace("kling", "klg", &[]).await;
    let (one, other) = (
        admin.key("kling", &["*"]).await.token,
        admin.key("kling", &["*"]).await.token,
    );
    let mut envoy = Envoy::of(&server).await;
    let bearer = format!("Bearer {one}");
    let (bearer, one, other) = (bearer.as_str(), one.as_str(), other.as_str());
    let jwt = "Bearer eyJhbGciOiJIUzI1NiJ9.e30.x";
    let key: &[(&str, &str)] = &[("credential_headers", "x-api-key")];
    let both: &[(&str, &str)] = &[("credential_headers", "X-Api-Key, authorization")];
    let auth = "authorization";
    type Row<'a> = (
        &'a [(&'a str, &'a str)],
        &'a [(&'a str, &'a str)],
        Result<&'a [&'a str], &'a str>,
    );
    let passes: &[Row<'_>] = &[
        (&[], &[(auth, bearer)], Ok(&[auth])),
        (&[], &[(auth, one)], Ok(&[auth])),
        (&[], &[("Authorization", bearer)], Ok(&[auth])),
        // A JWT for the upstream, beside a key for the gateway.
        (key, &[(auth, jwt), ("x-api-key", one)], Ok(&["x-api-key"])),
        (both, &[("x-api-key", one)], Ok(&["x-api-key", auth])),
        (both, &[(auth, bearer)], Ok(&["x-api-key", auth])),
        (
            both,
            &[(auth, ""), ("x-api-key", one)],
            Ok(&["x-api-key", auth]),
        ),
        (
            both,
            &[(auth, bearer), ("x-api-key", one)],
            Ok(&["x-api-key", auth]),
        ),
        (
            both,
            &[(auth, bearer), ("x-api-key", other)],
            Err("MALFORMED"),
        ),
        (both, &[(auth, jwt), ("x-api-key", one)], Err("MALFORMED")),
        (&[], &[("x-api-key", one)], Err("MISSING")),
        (key, &[(auth, bearer)], Err("MISSING")),
        (&[], &[(auth, bearer), ("x-api-key", other)], Ok(&[auth])),
    ];
    for (route, headers, expected) in passes {
        let merged = Ask::with(headers).on(route);
        let bytes: Vec<_> = headers.iter().map(|(n, v)| (*n, v.as_bytes())).collect();
        let raw = Ask::raw(&bytes).on(route);
        // Envoy tells of headers in one of two ways; somebody else may in both.
        let mut twofold = raw.clone();
        twofold.http().headers = owned(headers).collect();
        for ask in [merged, raw, twofold] {
            match expected {
                Err(reason) => assert_eq!(envoy.reason(&ask).await, *reason, "{headers:?}"),
                Ok(taken_off) => {
                    let passage = envoy.passes(&ask).await;
                    let of_credential =
                        passage.remove.iter().filter(|n| !IDENTITY.contains(&&***n));
                    assert!(of_credential.eq(taken_off.iter()), "{:?}", passage.remove);
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_header_that_comes_twice_is_no_credential() {
    let server = Server::start();
    let mut admin = server.admin().await;
    admin.workspace("kling", "klg", &[]).await;
    let token = admin.key("kling", &["*"]).await.token;
    let bearer = format!("Bearer {token}");
    let twice = format!("{bearer},{bearer}");
    let (name, bearer, twice) = ("authorization", bearer.as_bytes(), twice.as_str());
    let mut envoy = Envoy::of(&server).await;
    let mut disagreeing = Ask::raw(&[(name, bearer)]);
    disagreeing.http().headers = owned(&[(name, "Bearer x")]).collect();
    let mut two_spellings = Ask::bearer(&token);
    two_spellings
        .http()
        .headers
        .insert("AUTHORIZATION".to_owned(), token.clone());
    for ask in [
        Ask::raw(&[(name, bearer), (name, bearer)]),
        Ask::raw(&[(name, bearer), ("Authorization", b"Bearer x")]),
        Ask::raw(&[(name, bearer), (name, b"")]),
        Ask::with(&[(name, twice)]),
        disagreeing,
        two_spellings,
    ] {
        assert_eq!(envoy.reason(&ask).await, "MALFORMED");
    }
    // What does not count may come as often as it likes.
    let beside = Ask::raw(&[(name, bearer), ("x-api-key", b"1"), ("x-api-key", b"2")]);
    envoy.passes(&beside).await;
}
