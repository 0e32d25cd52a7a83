//! Check through the socket: every scheme, every reason, and answers that hold
//! what is documented and nothing else.
#![expect(
    clippy::too_many_lines,
    reason = "a test tells one story, from top to bottom"
)]

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bytes::{Buf, BufMut, Bytes};
use keyward::domain::clock::Timestamp;
use keyward::domain::digest::Pepper;
use keyward::domain::token::{Token, TokenPrefix};
use keyward::edge::pb::check_response::Outcome;
use keyward::edge::pb::{
    Allowed, CheckRequest, CheckResponse, CreateKeyRequest, CreateWorkspaceRequest, DenialReason,
    Denied, GetKeyRequest, GetWorkspaceRequest, Key, ListKeysRequest, RevokeKeyRequest, Workspace,
};
use keyward::store::{Batch, Record, Versioned};
use prost::Message;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::{Code, Request, Status};
use tonic_types::StatusExt;

use crate::records;
use crate::support::{self, Server, Site, admin_client, check_request, key_request};

#[tokio::test(flavor = "multi_thread")]
async fn every_scheme_presents_the_token() {
    let server = Server::start();
    let (mut admin, mut checks) = (server.admin().await, server.checks().await);
    admin.workspace("w", "klg", &["live", "test"]).await;
    let issued = admin.key("w", &["people:read"]).await;
    let (token, key) = (&issued.token, issued.key.as_ref().unwrap());
    let basic = |pair: String| data_encoding::BASE64.encode(pair.as_bytes());
    let unpadded = |pair: String| basic(pair).trim_end_matches('=').to_owned();
    for credential in [
        token.clone(),
        format!("Bearer {token}"),
        format!("bearer {token}"),
        format!("BEARER   {token}"),
        format!("  Bearer {token} "),
        format!("Api-Key {token}"),
        format!("api-key {token}"),
        format!("ApiKey {token}"),
        format!("APIKEY {token}"),
        format!("Token {token}"),
        format!("token {token}"),
        format!("Basic {}", basic(format!("{token}:"))),
        format!("Basic {}", basic(format!(":{token}"))),
        format!("basic {}", basic(format!("x:{token}"))),
        format!("Basic {}", basic(format!("{token}:x"))),
        format!("Basic {}", unpadded(format!("xy:{token}"))),
        format!("Basic {}", unpadded(format!("xyz:{token}"))),
    ] {
        let form = credential.replace(token.as_str(), "<token>");
        let allowed = checks.header(&credential, &["people:read"]).await;
        assert_eq!(
            allowed.map(|allowed| allowed.key_id),
            Ok(key.id.clone()),
            "{form}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_one_credential_is_malformed_in_no_time() {
    let server = Server::start();
    let (mut admin, mut checks) = (server.admin().await, server.checks().await);
    admin.workspace("w", "klg", &["live"]).await;
    let token = admin.key("w", &[]).await.token;
    let both = data_encoding::BASE64.encode(format!("{token}:{token}").as_bytes());
    let hostile = [
        "Bearer".to_owned(),
        "Basic".to_owned(),
        format!("Bearer Bearer {token}"),
        format!("Bearer Api-Key {token}"),
        format!("Bearer {token} {token}"),
        format!("Bearer {token}, Bearer {token}"),
        format!("Bearer {token},"),
        format!("Negotiate {token}"),
        format!("Bearer: {token}"),
        format!("Bearer\t{token}"),
        format!("Bearer {token}\r\nX-Admin: yes"),
        format!("Bearer {token}\0"),
        format!("\0Bearer {token}"),
        format!("\u{feff}Bearer {token}"),
        format!("\u{202e}Bearer {token}"),
        format!("Bearer \u{202e}{token}"),
        // The first letter is Cyrillic.
        format!("\u{412}earer {token}"),
        // The blank is none of ASCII's.
        format!("Bearer\u{a0}{token}"),
        format!("Bearer \"{token}\""),
        format!("Basic {both}"),
        "Basic !!!!".to_owned(),
        format!("Bearer {}", "a".repeat(1_024)),
        "a".repeat(64 * 1024),
        format!("Bearer {}", " ".repeat(64 * 1024)),
        "Bearer ".repeat(8 * 1024),
        "\u{fffd}".repeat(64 * 1024),
    ];
    let begun = Instant::now();
    for credential in &hostile {
        let form: String = credential
            .replace(&token, "<token>")
            .chars()
            .take(40)
            .collect();
        let denied = checks.header(credential, &[]).await.unwrap_err();
        assert_eq!(denied, denial(DenialReason::Malformed, 401), "{form:?}");
    }
    assert!(begun.elapsed() < Duration::from_secs(5));
    for credential in ["", " ", "      "] {
        let denied = checks.header(credential, &[]).await.unwrap_err();
        assert_eq!(denied, denial(DenialReason::Missing, 401), "{credential:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_is_no_question_is_an_error_and_an_odd_one_is_a_denial() {
    let server = Server::start();
    let wire = Wire::connect(&server).await;
    // Field 1 is a number here, and then a text that ends too early.
    for broken in [&[0x08, 0x01][..], &[0x0a, 0xff, 0x01, b'x'], &[0xff]] {
        let status = wire.check_bytes(broken).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
    }
    // Texts that are not UTF-8: a credential that is none, and a scope, a
    // workspace and an environment that nothing has.
    let odd = wire.check_bytes(&[0x0a, 0x02, b'x', 0xff]).await.unwrap();
    assert_eq!(decoded(&odd), Err(denial(DenialReason::Malformed, 401)));
    // What this server does not know is skipped.
    let newer = wire.check_bytes(&[0xfa, 0x01, 0x01, b'x']).await.unwrap();
    assert_eq!(decoded(&newer), Err(denial(DenialReason::Missing, 401)));
    // No gateway passes on headers of more than 1 MiB; one that is near it is
    // denied, as is what the documents say to cut it to.
    let huge = check_request(&"a".repeat(1024 * 1024), &[]);
    let status = wire.check(&huge).await.unwrap_err();
    assert_eq!(status.code(), Code::OutOfRange, "{status:?}");
    for length in [1024 * 1024 - 4, 1_025] {
        let large = check_request(&"a".repeat(length), &[]);
        let answer = wire.check(&large).await.unwrap();
        assert_eq!(decoded(&answer), Err(denial(DenialReason::Malformed, 401)));
    }
    // There are three methods.
    let mut grpc = tonic::client::Grpc::new(support::connect(&server.check_address).await);
    for path in [
        "/keyward.v1.KeyCheck/CheckBatches",
        "/keyward.v1.KeyCheck/check",
        "/keyward.v1.KeyCheck/",
    ] {
        grpc.ready().await.unwrap();
        let path = http::uri::PathAndQuery::from_static(path);
        let request = Request::new(Bytes::new());
        let status = grpc.unary(request, path, BytesCodec).await.unwrap_err();
        assert_eq!(status.code(), Code::Unimplemented);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_missing_is_told_within_bounds() {
    let server = Server::start();
    let (mut admin, mut checks) = (server.admin().await, server.checks().await);
    admin.workspace("w", "klg", &[]).await;
    let (all, none) = (admin.key("w", &["*"]).await, admin.key("w", &[]).await);
    let numbered: Vec<_> = (1..=300).map(|number| format!("a:{number}")).collect();
    let numbered: Vec<_> = numbered.iter().map(String::as_str).collect();

    assert!(checks.header(&all.token, &numbered[..100]).await.is_ok());
    let denied = checks.header(&all.token, &numbered[..103]).await;
    let denied = denied.unwrap_err();
    assert_eq!(denied.reason(), DenialReason::InsufficientScope);
    assert_eq!(denied.missing_scopes, ["a:101", "a:102", "a:103"]);
    let denied = checks.header(&none.token, &numbered).await.unwrap_err();
    assert_eq!(denied.missing_scopes, numbered[..100]);
    // One of more than 1,024 bytes is never met, and not told.
    let (longest, longer) = ("a|".repeat(512), "a|".repeat(512) + "a");
    let denied = checks.header(&all.token, &[&longest, &longer, "A"]).await;
    assert_eq!(denied.unwrap_err().missing_scopes, [&longest, "A"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_allowed_answer_holds_all_that_is_documented() {
    let server = Server::start();
    let (mut admin, wire) = (server.admin().await, Wire::connect(&server).await);
    admin.workspace("w", "klg", &["live", "test"]).await;
    admin.workspace("plain", "plain", &[]).await;
    let metadata = [
        ("plan", "free"),
        ("empty", ""),
        ("n.A_me-1", "ä, with = and :"),
    ];
    let metadata: BTreeMap<_, _> = metadata
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    let full = CreateKeyRequest {
        environment: "test".to_owned(),
        name: "a näme".to_owned(),
        description: "not for gateways".to_owned(),
        principal: "service:billing".to_owned(),
        metadata: metadata.clone(),
        expire_time: Some(prost_types::Timestamp {
            seconds: 4_000_000_000,
            nanos: 123_456_789,
        }),
        ..key_request("w", &["people:read", "ALL", "companies:*", "people:read"])
    };
    let full = admin.client.create_key(full).await.unwrap().into_inner();
    let answer = CheckRequest {
        environment: "*".to_owned(),
        ..check_request(&full.token, &["people:read"])
    };
    let answer = wire.check(&answer).await.unwrap();
    let expected = Allowed {
        key_id: full.key.unwrap().id,
        name: "a näme".to_owned(),
        principal: "service:billing".to_owned(),
        workspace: "w".to_owned(),
        environment: "test".to_owned(),
        scopes: ["*", "companies:*", "people:read"]
            .map(str::to_owned)
            .to_vec(),
        metadata,
        expire_time: Some(prost_types::Timestamp {
            seconds: 4_000_000_000,
            nanos: 123_456_000,
        }),
        ..Allowed::default()
    };
    assert_eq!(decoded(&answer), Ok(expected));

    let least = admin.key("plain", &[]).await;
    let answer = wire.check(&check_request(&least.token, &[])).await.unwrap();
    let expected = Allowed {
        key_id: least.key.unwrap().id,
        name: "a key".to_owned(),
        principal: "user:ada".to_owned(),
        workspace: "plain".to_owned(),
        ..Allowed::default()
    };
    assert_eq!(decoded(&answer), Ok(expected));
}

#[tokio::test(flavor = "multi_thread")]
async fn each_denial_tells_what_is_documented_and_no_more() {
    let (server, keys) = served_with_ended_keys().await;
    let wire = Wire::connect(&server).await;
    let (good, test) = (&keys["good"], &keys["test"]);
    let mistyped = flipped(&good.token);
    let known = |reason: DenialReason, http_status, key: &Planted| Denied {
        key_id: key.id.clone(),
        key_hint: key.hint.clone(),
        ..denial(reason, http_status)
    };
    let insufficient = Denied {
        missing_scopes: vec![
            "people:write".to_owned(),
            "a:b|c:d".to_owned(),
            "Ill Formed".to_owned(),
        ],
        ..known(DenialReason::InsufficientScope, 403, good)
    };
    let asked = [
        "people:read",
        "people:write",
        "x|people:read",
        "a:b|c:d",
        "Ill Formed",
    ];
    let table = [
        (check_request("", &[]), denial(DenialReason::Missing, 401)),
        (
            check_request("Bearer", &[]),
            denial(DenialReason::Malformed, 401),
        ),
        (
            check_request(&mistyped, &[]),
            denial(DenialReason::Unknown, 401),
        ),
        (
            check_request(&minted("klg"), &[]),
            denial(DenialReason::Unknown, 401),
        ),
        (
            check_request("Bearer eyJhbGciOiJIUzI1NiJ9.e30.abc", &[]),
            denial(DenialReason::Unknown, 401),
        ),
        (
            check_request(&server.site.admin_token(), &[]),
            denial(DenialReason::Unknown, 401),
        ),
        (
            of_workspace("other", &good.token),
            denial(DenialReason::Unknown, 401),
        ),
        (
            check_request(&keys["revoked"].token, &[]),
            known(DenialReason::Revoked, 401, &keys["revoked"]),
        ),
        (
            check_request(&keys["expired"].token, &[]),
            known(DenialReason::Expired, 401, &keys["expired"]),
        ),
        (
            check_request(&keys["disabled"].token, &[]),
            known(DenialReason::Disabled, 403, &keys["disabled"]),
        ),
        (
            check_request(&keys["closed"].token, &[]),
            known(DenialReason::Disabled, 403, &keys["closed"]),
        ),
        (
            check_request(&test.token, &[]),
            known(DenialReason::Environment, 403, test),
        ),
        (check_request(&good.token, &asked), insufficient),
    ];
    for (row, (request, expected)) in table.into_iter().enumerate() {
        let answer = wire.check(&request).await.unwrap();
        assert_eq!(decoded(&answer), Err(expected), "row {row}");
    }
    // Of several grounds, the first in the documented order.
    for (name, reason) in [
        ("revoked", DenialReason::Revoked),
        ("expired", DenialReason::Expired),
        ("disabled", DenialReason::Disabled),
        ("good", DenialReason::Environment),
    ] {
        let request = CheckRequest {
            environment: "nowhere".to_owned(),
            ..check_request(&keys[name].token, &["lacks:this"])
        };
        let answer = wire.check(&request).await.unwrap();
        assert_eq!(decoded(&answer).unwrap_err().reason(), reason, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_is_the_same_bytes_whatever_it_hides() {
    let (server, keys) = served_with_ended_keys().await;
    let wire = Wire::connect(&server).await;
    let (never_issued, stranger) = (minted("klg"), flipped(&keys["good"].token));
    let (expected, expected_headers) = wire.call(&check_request(&never_issued, &[])).await.unwrap();
    let elsewhere = keys.values().map(|key| of_workspace("other", &key.token));
    let nowhere = keys
        .values()
        .map(|key| of_workspace("no-such-workspace", &key.token));
    let odd =
        ["W", " ", "w ", "w\0", "*"].map(|workspace| of_workspace(workspace, &keys["good"].token));
    let hidden = [
        check_request(&stranger, &[]),
        check_request(&server.site.admin_token(), &[]),
        of_workspace("w", &server.site.admin_token()),
        check_request("some-other-system-s-credential", &["*"]),
        of_workspace("w", &keys["others"].token),
        CheckRequest {
            environment: "nowhere".to_owned(),
            ..of_workspace("other", &keys["good"].token)
        },
        CheckRequest {
            required_scopes: vec!["*".to_owned()],
            ..of_workspace("other", &keys["good"].token)
        },
    ];
    // A key that lives in `other` is no stranger there.
    let is_its_own = of_workspace("other", &keys["others"].token);
    for request in hidden
        .into_iter()
        .chain(elsewhere)
        .chain(nowhere)
        .chain(odd)
    {
        if request == is_its_own {
            continue;
        }
        let (answer, headers) = wire.call(&request).await.unwrap();
        assert_eq!(answer, expected, "{request:?}");
        assert_eq!(headers, expected_headers, "{request:?}");
    }
    assert_eq!(decoded(&expected), Err(denial(DenialReason::Unknown, 401)));
    assert!(decoded(&wire.check(&is_its_own).await.unwrap()).is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_environment_is_the_default_the_asked_or_any() {
    let server = Server::start();
    let (mut admin, mut checks) = (server.admin().await, server.checks().await);
    admin.workspace("two", "two", &["test", "live"]).await;
    admin.workspace("none", "none", &[]).await;
    let unmarked = Workspace {
        id: "unmarked".to_owned(),
        token_prefix: "um".to_owned(),
        environments: vec!["prod".to_owned(), "dev".to_owned()],
        default_environment: "dev".to_owned(),
        unmarked_environment: "prod".to_owned(),
        ..Workspace::default()
    };
    let request = CreateWorkspaceRequest {
        workspace: Some(unmarked),
    };
    admin.client.create_workspace(request).await.unwrap();

    let asked = [
        "", "*", "live", "test", "prod", "dev", "LIVE", "live ", "**",
    ];
    // Which of them each key passes, and what its token starts with.
    let table = [
        ("two", "", "two_live_", "yyynnnnnn"),
        ("two", "live", "two_live_", "yyynnnnnn"),
        ("two", "test", "two_test_", "nynynnnnn"),
        ("none", "", "none_", "yynnnnnnn"),
        ("unmarked", "", "um_dev_", "yynnnynnn"),
        ("unmarked", "dev", "um_dev_", "yynnnynnn"),
        ("unmarked", "prod", "um_", "nynnynnnn"),
    ];
    for (workspace, environment, start, passes) in table {
        let request = CreateKeyRequest {
            environment: environment.to_owned(),
            ..key_request(workspace, &[])
        };
        let issued = admin.client.create_key(request).await.unwrap().into_inner();
        let (label, _) = issued.token.split_at(issued.token.len() - 49);
        assert_eq!(label, start);
        assert_eq!(
            issued.key.unwrap().hint,
            format!("{label}…{}", &issued.token[issued.token.len() - 4..])
        );
        for (environment, passes) in asked.into_iter().zip(passes.chars()) {
            let request = CheckRequest {
                environment: environment.to_owned(),
                ..check_request(&issued.token, &[])
            };
            match (checks.ask(request).await, passes) {
                (Ok(_), 'y') => {}
                (Err(denied), 'n') => assert_eq!(denied.reason(), DenialReason::Environment),
                (other, _) => panic!("{start} asked for {environment:?}: {other:?}"),
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn requirements_all_hold_and_alternatives_are_any() {
    let server = Server::start();
    let (mut admin, mut checks) = (server.admin().await, server.checks().await);
    admin.workspace("w", "w2", &[]).await;
    let table: &[(&[&str], &[&str], &[&str])] = &[
        (&[], &[], &[]),
        (&[], &["a"], &["a"]),
        (&["people:read"], &["people:read"], &[]),
        (
            &["people:read"],
            &["people:read", "people:write"],
            &["people:write"],
        ),
        (&["people:read"], &["people:write|people:read"], &[]),
        (
            &["people:read"],
            &["people:write|people:remove"],
            &["people:write|people:remove"],
        ),
        (&["people:*"], &["people:read", "people:a:b"], &[]),
        (&["people:*"], &["people"], &["people"]),
        (&["people:*"], &["people:*"], &[]),
        (&["people:read"], &["people:*"], &["people:*"]),
        (&["people"], &["people:read"], &["people:read"]),
        (&["*"], &["a", "a:b:c", "*"], &[]),
        (&["ALL"], &["anything", "ALL"], &[]),
        (
            &["companies:read", "companies:write"],
            &["companies:read companies:write"],
            &["companies:read companies:write"],
        ),
        // Not well formed: never met, not even by `*`, and told as asked.
        (
            &["*"],
            &["", "a|", "|a", "A:b", "a::b", "a b", "*:a"],
            &["", "a|", "|a", "A:b", "a::b", "a b", "*:a"],
        ),
        (&["*"], &["ok", "not ok", "ok"], &["not ok"]),
        (&["x"], &["z", "y", "z"], &["z", "y", "z"]),
    ];
    for (granted, required, missing) in table {
        let issued = admin.key("w", granted).await;
        let verdict = checks.header(&issued.token, required).await;
        match verdict {
            Ok(_) => assert!(missing.is_empty(), "{granted:?} for {required:?}"),
            Err(denied) => {
                assert_eq!(denied.reason(), DenialReason::InsufficientScope);
                assert_eq!(
                    denied.missing_scopes, *missing,
                    "{granted:?} for {required:?}"
                );
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_for_everything_is_nobodys_admin() {
    let server = Server::start();
    let (mut admin, mut checks) = (server.admin().await, server.checks().await);
    admin.workspace("w", "klg", &["live"]).await;
    let issued = admin.key("w", &["*"]).await;
    let key = issued.key.unwrap();
    let mut holder = admin_client(&server.admin_address, &issued.token)
        .await
        .client;
    let workspace = Workspace {
        id: "mine".to_owned(),
        token_prefix: "mine".to_owned(),
        ..Default::default()
    };
    let refusals = [
        holder
            .create_workspace(CreateWorkspaceRequest {
                workspace: Some(workspace),
            })
            .await
            .unwrap_err(),
        holder
            .get_workspace(GetWorkspaceRequest {
                workspace: "w".to_owned(),
            })
            .await
            .unwrap_err(),
        holder.create_key(key_request("w", &[])).await.unwrap_err(),
        holder
            .get_key(GetKeyRequest {
                key_id: key.id.clone(),
            })
            .await
            .unwrap_err(),
        holder
            .list_keys(ListKeysRequest::default())
            .await
            .unwrap_err(),
        holder
            .revoke_key(RevokeKeyRequest {
                key_id: key.id.clone(),
                reason: 0,
                ..RevokeKeyRequest::default()
            })
            .await
            .unwrap_err(),
    ];
    // It is told no more than a stranger.
    let mut stranger = admin_client(&server.admin_address, &minted("keyward_admin"))
        .await
        .client;
    let strangers = stranger
        .get_key(GetKeyRequest {
            key_id: key.id.clone(),
        })
        .await
        .unwrap_err();
    for refusal in refusals {
        assert_eq!(refusal.code(), Code::Unauthenticated);
        assert_eq!(
            refusal.get_details_error_info().unwrap().metadata["denial"],
            "UNKNOWN"
        );
        assert_eq!(refusal.message(), strangers.message());
        assert_eq!(refusal.details(), strangers.details());
    }
    // Nothing came of any of it.
    assert!(checks.header(&issued.token, &["*"]).await.is_ok());
    let status = admin
        .client
        .get_workspace(GetWorkspaceRequest {
            workspace: "mine".to_owned(),
        })
        .await;
    assert_eq!(status.unwrap_err().code(), Code::NotFound);
    // And the other way round: an admin token passes no check.
    let token = server.site.admin_token();
    for credential in [token.clone(), format!("Bearer {token}")] {
        assert_eq!(
            checks.header(&credential, &[]).await,
            Err(denial(DenialReason::Unknown, 401))
        );
    }
}

/// A key and its token.
pub(crate) struct Planted {
    pub(crate) token: String,
    id: String,
    hint: String,
}

/// A server with keys in every state, two of which no call can make yet.
pub(crate) async fn served_with_ended_keys() -> (Server, BTreeMap<&'static str, Planted>) {
    let server = Server::start();
    let mut admin = server.admin().await;
    for (id, prefix) in [("w", "klg"), ("other", "klg"), ("shut", "shut")] {
        admin.workspace(id, prefix, &["live", "test"]).await;
    }
    let mut keys = BTreeMap::new();
    for (name, workspace, environment) in [
        ("good", "w", "live"),
        ("test", "w", "test"),
        ("revoked", "w", "live"),
        ("expired", "w", "live"),
        ("disabled", "w", "live"),
        ("others", "other", "live"),
        ("closed", "shut", "live"),
    ] {
        let request = CreateKeyRequest {
            environment: environment.to_owned(),
            ..key_request(workspace, &["people:read"])
        };
        let issued = admin.client.create_key(request).await.unwrap().into_inner();
        let Key { id, hint, .. } = issued.key.unwrap();
        keys.insert(
            name,
            Planted {
                token: issued.token,
                id,
                hint,
            },
        );
    }
    admin.revoke(&keys["revoked"].id).await;
    let site = server.site.clone();
    server.stop();
    end_offline(&site, &keys["expired"].id, &keys["disabled"].id).await;
    (site.serve(), keys)
}

/// Lets a key expire, and switches off another and a workspace.
async fn end_offline(site: &Site, expired: &str, disabled: &str) {
    let change = |_: &Pepper, records: Vec<Versioned>| -> Vec<Batch> {
        let mut batches = Vec::new();
        for Versioned { record, revision } in records {
            let changed = match record {
                Record::Key(mut key) if key.id.to_string() == expired => {
                    key.expire_time = Some(Timestamp::from_micros(key.create_time.as_micros() + 1));
                    Record::Key(key)
                }
                Record::Key(mut key) if key.id.to_string() == disabled => {
                    key.disabled = true;
                    Record::Key(key)
                }
                Record::Workspace(mut workspace) if workspace.id.as_str() == "shut" => {
                    workspace.disabled = true;
                    Record::Workspace(workspace)
                }
                Record::Key(_)
                | Record::Workspace(_)
                | Record::AdminKey(_)
                | Record::Credits(_)
                | Record::Usage(_)
                | Record::Request(_)
                | Record::Principal(_)
                | Record::Membership(_)
                | Record::Tombstone(_) => continue,
            };
            batches.push(records::update(changed, revision));
        }
        assert_eq!(batches.len(), 3);
        batches
    };
    site.edit(change).await;
}

/// A well-formed token that was never issued.
fn minted(prefix: &str) -> String {
    Token::mint(&TokenPrefix::try_from(prefix).unwrap(), None)
        .expose()
        .to_owned()
}

/// The token with its last character replaced.
fn flipped(token: &str) -> String {
    let (start, end) = token.split_at(token.len() - 1);
    format!("{start}{}", if end == "0" { "1" } else { "0" })
}

fn of_workspace(workspace: &str, token: &str) -> CheckRequest {
    CheckRequest {
        workspace: workspace.to_owned(),
        ..check_request(token, &[])
    }
}

fn denial(reason: DenialReason, http_status: i32) -> Denied {
    Denied {
        reason: reason.into(),
        http_status,
        ..Denied::default()
    }
}

/// The verdict in an answer, which has to be in the bytes that the generated
/// writer makes of it: it has no field beside those that are read here, and
/// none twice.
fn decoded(answer: &Bytes) -> Result<Allowed, Denied> {
    let response = CheckResponse::decode(answer.clone()).unwrap();
    assert_eq!(
        Bytes::from(response.encode_to_vec()),
        *answer,
        "{response:?}"
    );
    match response.outcome.unwrap() {
        Outcome::Allowed(allowed) => Ok(allowed),
        Outcome::Denied(denied) => Err(denied),
    }
}

/// A client that sees the bytes.
struct Wire(tonic::client::Grpc<tonic::transport::Channel>);

impl Wire {
    async fn connect(server: &Server) -> Self {
        Self(tonic::client::Grpc::new(
            support::connect(&server.check_address).await,
        ))
    }

    async fn check(&self, request: &CheckRequest) -> Result<Bytes, Status> {
        self.call(request).await.map(|(answer, _)| answer)
    }

    async fn check_bytes(&self, request: &[u8]) -> Result<Bytes, Status> {
        self.send(Bytes::copy_from_slice(request))
            .await
            .map(|(answer, _)| answer)
    }

    /// The answer, and the headers and trailers round it.
    async fn call(&self, request: &CheckRequest) -> Result<(Bytes, String), Status> {
        self.send(request.encode_to_vec().into()).await
    }

    async fn send(&self, request: Bytes) -> Result<(Bytes, String), Status> {
        let mut grpc = self.0.clone();
        grpc.ready().await.unwrap();
        let path = http::uri::PathAndQuery::from_static("/keyward.v1.KeyCheck/Check");
        let response = grpc.unary(Request::new(request), path, BytesCodec).await?;
        let headers: BTreeMap<_, _> = response
            .metadata()
            .as_ref()
            .iter()
            // The time is no part of what is told.
            .filter(|(name, _)| *name != "date")
            .map(|(name, value)| (name.to_string(), value.clone()))
            .collect();
        Ok((response.into_inner(), format!("{headers:?}")))
    }
}

#[derive(Clone, Copy, Default)]
struct BytesCodec;

impl Codec for BytesCodec {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for BytesCodec {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, message: Bytes, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put(message);
        Ok(())
    }
}

impl Decoder for BytesCodec {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(buffer.copy_to_bytes(buffer.remaining())))
    }
}
