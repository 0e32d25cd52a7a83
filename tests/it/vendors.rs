//! The vendors whose pages on API keys keyward has to be able to stand behind:
//! keys issued, presented, listed and ended the way each of them documents it.
//!
//! One test per vendor. The letters and numbers are those of the table of
//! promises in the documentation.
#![expect(
    clippy::too_many_lines,
    reason = "a test tells one story, from top to bottom"
)]

use std::time::{Duration, Instant};

use keyward::edge::pb::{
    CheckBatchRequest, CheckRequest, CreateKeyRequest, CreateKeyResponse, DenialReason, Denied,
    GetKeyRequest, Key, KeyState, Limit, ListKeysRequest, RevocationReason, RevokeKeyRequest,
    UpdateKeyRequest, UpdateWorkspaceRequest, Workspace,
};
use prost::Message;
use prost_types::{FieldMask, Timestamp};
use tonic::Code;

use crate::support::{
    Admin, Checks, Server, admin_client, but_for_usage, check_request, key_request, verdict_of,
};

/// Klue: keys for administrators, sent as Bearer tokens.
#[tokio::test(flavor = "multi_thread")]
async fn klue() {
    let server = Server::start();
    let (mut admin, mut checks) = (server.admin().await, server.checks().await);
    admin.workspace("klue", "klue", &[]).await;

    // K2: a key has a name, and a description.
    let request = CreateKeyRequest {
        name: "Salesforce sync".to_owned(),
        description: "pushes battlecards every night".to_owned(),
        ..key_request("klue", &["*"])
    };
    let issued = issue(&mut admin, request).await;
    let key = issued.key.clone().unwrap();
    assert_eq!(
        (&*key.name, &*key.description),
        ("Salesforce sync", "pushes battlecards every night")
    );

    // K4: it is sent as a Bearer token in `Authorization`, on every request.
    let credential = format!("Bearer {}", issued.token);
    for _ in 0..3 {
        let allowed = checks
            .header(&credential, &["anything:at:all"])
            .await
            .unwrap();
        assert_eq!(
            (&*allowed.principal, &*allowed.workspace),
            ("user:ada", "klue")
        );
    }
    assert_eq!(checks.denial("").await, DenialReason::Missing);

    // K3: it is shown once, at creation. Lost means make a new one, which is
    // another.
    shown_nowhere(&mut admin, &issued).await;
    let second = admin.key("klue", &["*"]).await;
    assert!(second.token != issued.token && second.key.unwrap().id != key.id);
    assert!(
        checks
            .header(&format!("Bearer {}", second.token), &[])
            .await
            .is_ok()
    );

    // K1: admins make and manage keys. Whoever else has one, even one for
    // everything, has to ask them.
    only_admins_manage(&server, &issued).await;
}

/// Klipy: keys of one workspace, with a header of their own.
#[tokio::test(flavor = "multi_thread")]
async fn klipy() {
    const SCOPES: [&str; 7] = [
        "people:read",
        "people:write",
        "companies:read",
        "companies:write",
        "companies:remove",
        "interactions:read",
        "interactions:write",
    ];
    let server = Server::start();
    let (mut admin, mut checks) = (server.admin().await, server.checks().await);
    admin.workspace("acme", "klipy_api", &[]).await;
    admin.workspace("globex", "klipy_api", &[]).await;

    // P7: `X-Klipy-Api-Key: klipy_api_<id>` or `Authorization: Bearer
    // klipy_api_<id>`, with no environment in it.
    let issued = admin.key("acme", &["people:read"]).await;
    let id = issued.token.strip_prefix("klipy_api_").unwrap();
    assert!(id.bytes().all(|byte| byte.is_ascii_alphanumeric()));
    for value in [issued.token.clone(), format!("Bearer {}", issued.token)] {
        let allowed = checks.header(&value, &["people:read"]).await.unwrap();
        assert_eq!((&*allowed.workspace, &*allowed.environment), ("acme", ""));
    }

    // P1: keys are workspace-scoped: one workspace's key cannot reach another.
    only_admins_manage(&server, &issued).await;
    let elsewhere = CheckRequest {
        workspace: "globex".to_owned(),
        ..check_request(&issued.token, &[])
    };
    assert_eq!(
        checks.ask(elsewhere).await.unwrap_err(),
        unauthorized(DenialReason::Unknown)
    );
    let here = CheckRequest {
        workspace: "acme".to_owned(),
        ..check_request(&issued.token, &[])
    };
    assert!(checks.ask(here).await.is_ok());

    // P2: the name is for reference and changes nothing in behaviour.
    let named = CreateKeyRequest {
        name: "Zapier".to_owned(),
        ..key_request("acme", &["people:read"])
    };
    let named = issue(&mut admin, named).await;
    for scope in SCOPES {
        let [one, other] =
            [&issued.token, &named.token].map(|token| check_request(token, &[scope]));
        let (one, other) = (checks.ask(one).await, checks.ask(other).await);
        assert_eq!(one.is_ok(), other.is_ok(), "{scope}");
    }

    // P3: scopes are chosen at creation: each is what it says and no more, and
    // `ALL` is everything.
    for granted in SCOPES {
        let key = admin.key("acme", &[granted]).await;
        for required in SCOPES {
            let verdict = checks.header(&key.token, &[required]).await;
            assert_eq!(
                verdict.is_ok(),
                granted == required,
                "{granted} for {required}"
            );
        }
    }
    let all = admin.key("acme", &["ALL"]).await;
    assert!(checks.header(&all.token, &SCOPES).await.is_ok());

    // P4: an expiry date or none; once expired, every request gets 401.
    assert_eq!(issued.key.as_ref().unwrap().expire_time, None);
    expires(&mut admin, &mut checks, "acme").await;

    // P6: shown once, never displayed again.
    shown_nowhere(&mut admin, &issued).await;

    // P8: one key per integration: they are told apart, and end one by one.
    // P9: revoking works immediately, and nothing re-activates the key.
    let (key, other) = (issued.key.unwrap(), named.key.unwrap());
    revoked_for_good(&mut admin, &mut checks, &key, &issued.token).await;
    let allowed = checks.header(&named.token, &[]).await.unwrap();
    assert_eq!((allowed.key_id, &*allowed.name), (other.id, "Zapier"));
    let site = server.site.clone();
    server.stop();
    let server = site.serve();
    let mut checks = server.checks().await;
    assert_eq!(
        checks.denial(&issued.token).await,
        DenialReason::Revoked,
        "after a restart"
    );
}

/// `CluedIn`: descriptions, least privilege, and a list to revoke from.
#[tokio::test(flavor = "multi_thread")]
async fn cluedin() {
    let server = Server::start();
    let (mut admin, mut checks) = (server.admin().await, server.checks().await);
    admin.workspace("cluedin", "cluedin", &[]).await;

    // C1: administrators only; a descriptive name, an optional description.
    let bare = admin.key("cluedin", &["entities:read"]).await;
    assert_eq!(bare.key.as_ref().unwrap().description, "");
    only_admins_manage(&server, &bare).await;
    let described = CreateKeyRequest {
        name: "nightly export".to_owned(),
        description: "reads all entities into the lake".to_owned(),
        principal: "service:lake".to_owned(),
        expire_time: Some(in_seconds(3_600)),
        ..key_request("cluedin", &["*"])
    };
    let described = issue(&mut admin, described).await;

    // C2: read-only or full write, as little as serves.
    assert!(checks.header(&bare.token, &["entities:read"]).await.is_ok());
    let denied = checks
        .header(&bare.token, &["entities:write"])
        .await
        .unwrap_err();
    assert_eq!(
        (denied.reason(), denied.http_status),
        (DenialReason::InsufficientScope, 403)
    );
    assert!(
        checks
            .header(&described.token, &["entities:read", "entities:write"])
            .await
            .is_ok()
    );

    // C3: an optional expiry; without one, valid until revoked.
    assert_eq!(bare.key.as_ref().unwrap().expire_time, None);
    expires(&mut admin, &mut checks, "cluedin").await;

    // C4: shown at creation only.
    shown_nowhere(&mut admin, &described).await;

    // C5: a list of all active tokens, from which one is revoked, immediately.
    // C6: who created it is told, and when it was used last.
    // C7: what is not used is found.
    assert!(checks.header(&bare.token, &[]).await.is_ok());
    let unused = ListKeysRequest {
        state: KeyState::Active.into(),
        never_used: true,
        ..ListKeysRequest::default()
    };
    let mut client = admin.client.clone();
    let unused = client.list_keys(unused).await.unwrap().into_inner().keys;
    let listed = list(&mut admin, "cluedin").await;
    let active: Vec<_> = listed
        .iter()
        .filter(|key| key.state() == KeyState::Active)
        .collect();
    let ids: Vec<_> = active.iter().map(|key| &key.id).collect();
    let expected = [&bare, &described].map(|issued| &issued.key.as_ref().unwrap().id);
    assert_eq!(ids, expected);
    for key in active {
        let last_used = key.usage.as_ref().unwrap().last_used_time;
        let is_unused = unused.iter().any(|unused| unused.id == key.id);
        assert_eq!(last_used.is_none(), is_unused);
        assert!(last_used.is_some() || key.id != *expected[0]);
        assert!(key.created_by.starts_with("adm_") && key.create_time.is_some());
        admin.revoke(&key.id).await;
    }
    for token in [&bare.token, &described.token] {
        assert_eq!(checks.denial(token).await, DenialReason::Revoked);
    }
    let listed = list(&mut admin, "cluedin").await;
    assert!(listed.iter().all(|key| key.state() != KeyState::Active));
}

/// Kling: two environments, read and write scopes, 401 apart from 403.
#[tokio::test(flavor = "multi_thread")]
async fn kling() {
    const SCOPES: [&str; 8] = [
        "read:customers",
        "read:campaigns",
        "read:flows",
        "read:analytics",
        "write:customers",
        "write:campaigns",
        "write:flows",
        "write:forms",
    ];
    let server = Server::start();
    let (mut admin, mut checks) = (server.admin().await, server.checks().await);
    admin.workspace("kling", "klg", &["live", "test"]).await;

    // G1: a name, permissions, an optional expiry; the full key is shown once.
    let live = admin.key("kling", &["read:customers"]).await;
    shown_nowhere(&mut admin, &live).await;
    expires(&mut admin, &mut checks, "kling").await;

    // G2: each permission is what it says, and `*` is all of them.
    for granted in SCOPES {
        let key = admin.key("kling", &[granted]).await;
        for required in SCOPES {
            let verdict = checks.header(&key.token, &[required]).await;
            assert_eq!(
                verdict.is_ok(),
                granted == required,
                "{granted} for {required}"
            );
        }
    }
    let all = admin.key("kling", &["*"]).await;
    assert!(checks.header(&all.token, &SCOPES).await.is_ok());

    // G5: the list shows creation, last use and permissions.
    let listed = list(&mut admin, "kling").await;
    for (issued, is_used) in [(&all, true), (&live, false)] {
        let id = &issued.key.as_ref().unwrap().id;
        let key = listed.iter().find(|key| key.id == *id).unwrap();
        let last_used = key.usage.as_ref().unwrap().last_used_time;
        assert!(key.create_time.is_some() && !key.scopes.is_empty());
        assert_eq!(last_used.is_some(), is_used);
    }

    // G3: `klg_live_` reaches production, `klg_test_` the sandbox and never
    // real data.
    let test = CreateKeyRequest {
        environment: "test".to_owned(),
        ..key_request("kling", &["*"])
    };
    let test = issue(&mut admin, test).await;
    assert!(live.token.starts_with("klg_live_") && test.token.starts_with("klg_test_"));
    for (token, environment, reached) in [
        (&live.token, "", true),
        (&live.token, "live", true),
        (&live.token, "test", false),
        (&test.token, "", false),
        (&test.token, "live", false),
        (&test.token, "test", true),
    ] {
        let request = CheckRequest {
            environment: environment.to_owned(),
            ..check_request(token, &[])
        };
        let verdict = checks.ask(request).await;
        assert_eq!(
            verdict.is_ok(),
            reached,
            "{} for {environment:?}",
            &token[..9]
        );
        if let Err(denied) = verdict {
            assert_eq!(
                (denied.reason(), denied.http_status),
                (DenialReason::Environment, 403)
            );
        }
    }

    // G5: the list shows when a key was created, and its permissions.
    let listed = list(&mut admin, "kling").await;
    let shown = listed
        .iter()
        .find(|key| key.id == live.key.as_ref().unwrap().id)
        .unwrap();
    assert_eq!(shown.scopes, ["read:customers"]);
    assert!(shown.create_time.is_some());

    // G6: name, description and permissions can be edited.
    let edited = Key {
        id: all.key.unwrap().id,
        name: "another name".to_owned(),
        description: "what it is for now".to_owned(),
        scopes: vec!["read:flows".to_owned()],
        ..Key::default()
    };
    let fields = ["name", "description", "scopes"];
    let request = UpdateKeyRequest {
        key: Some(edited.clone()),
        update_mask: Some(FieldMask {
            paths: fields.map(str::to_owned).into(),
        }),
    };
    admin.client.update_key(request).await.unwrap();
    let listed = list(&mut admin, "kling").await;
    let shown = listed.iter().find(|key| key.id == edited.id).unwrap();
    assert_eq!(
        (&shown.name, &shown.description, &shown.scopes),
        (&edited.name, &edited.description, &edited.scopes)
    );
    assert!(checks.header(&all.token, &["read:flows"]).await.is_ok());
    assert!(
        checks
            .header(&all.token, &["read:customers"])
            .await
            .is_err()
    );

    // G8: limits by kind of endpoint, on every key of theirs; beyond, 429.
    let kinds = [("bulk", 10), ("read", 1_000), ("write", 100)];
    let defaults = Workspace {
        id: "kling".to_owned(),
        default_limits: kinds.map(per_minute).into(),
        ..Workspace::default()
    };
    let request = UpdateWorkspaceRequest {
        workspace: Some(defaults),
        update_mask: Some(FieldMask {
            paths: vec!["default_limits".to_owned()],
        }),
    };
    admin.client.update_workspace(request).await.unwrap();
    for (kind, count) in kinds {
        let request = CheckRequest {
            limits: vec![kind.to_owned()],
            ..check_request(&live.token, &[])
        };
        let batch = CheckBatchRequest {
            checks: vec![request.clone(); count as usize],
        };
        let results = checks.client.check_batch(batch).await.unwrap();
        let mut verdicts = results.into_inner().results.into_iter().map(verdict_of);
        assert!(verdicts.all(|verdict| verdict.is_ok()), "{kind}");
        let beyond = checks.ask(request).await.unwrap_err();
        assert_eq!(
            (beyond.reason(), beyond.http_status),
            (DenialReason::RateLimited, 429)
        );
        assert!(beyond.retry_delay.unwrap().seconds < 61);
    }

    // G9: 401 for an invalid key, 403 for insufficient permissions, 429 for too
    // many requests, as above.
    let mistyped = format!("{}x", live.token);
    let invalid = checks
        .header(&format!("Bearer {mistyped}"), &[])
        .await
        .unwrap_err();
    assert_eq!(invalid, unauthorized(DenialReason::Unknown));
    let insufficient = checks
        .header(&live.token, &["write:forms"])
        .await
        .unwrap_err();
    assert_eq!(insufficient.http_status, 403);
    assert_eq!(insufficient.missing_scopes, ["write:forms"]);

    // G7: revoking disables at once, every request fails, and it cannot be
    // undone.
    revoked_for_good(&mut admin, &mut checks, &live.key.unwrap(), &live.token).await;
}

/// A limit of so many a minute.
fn per_minute((name, count): (&str, u32)) -> Limit {
    Limit {
        name: name.to_owned(),
        count,
        window: Some(prost_types::Duration {
            seconds: 60,
            nanos: 0,
        }),
        always: false,
    }
}

/// Erathos: `Authorization: Api-Key`, for a key that belongs to a user.
#[tokio::test(flavor = "multi_thread")]
async fn erathos() {
    let server = Server::start();
    let (mut admin, mut checks) = (server.admin().await, server.checks().await);
    admin.workspace("erathos", "erathos", &[]).await;

    // E1: a key belongs to a user, whom every check names.
    let of_bob = CreateKeyRequest {
        principal: "user:bob".to_owned(),
        ..key_request("erathos", &["jobs:run"])
    };
    let of_bob = issue(&mut admin, of_bob).await;
    let of_ada = admin.key("erathos", &["jobs:run"]).await;

    // E3: `Authorization: Api-Key <API_KEY>`.
    for (issued, user) in [(&of_bob, "user:bob"), (&of_ada, "user:ada")] {
        let allowed = checks
            .header(&format!("Api-Key {}", issued.token), &["jobs:run"])
            .await
            .unwrap();
        assert_eq!(allowed.principal, user);
    }

    // E2: displayed at creation only; an expiry date can be set.
    shown_nowhere(&mut admin, &of_bob).await;
    expires(&mut admin, &mut checks, "erathos").await;
}

async fn issue(admin: &mut Admin, request: CreateKeyRequest) -> CreateKeyResponse {
    admin.client.create_key(request).await.unwrap().into_inner()
}

async fn list(admin: &mut Admin, workspace: &str) -> Vec<Key> {
    let request = ListKeysRequest {
        workspace: workspace.to_owned(),
        page_size: 1_000,
        page_token: String::new(),
        ..ListKeysRequest::default()
    };
    admin
        .client
        .list_keys(request)
        .await
        .unwrap()
        .into_inner()
        .keys
}

/// What a gateway is told of a credential that is nobody's.
fn unauthorized(reason: DenialReason) -> Denied {
    Denied {
        reason: reason.into(),
        http_status: 401,
        ..Denied::default()
    }
}

fn in_seconds(seconds: i64) -> Timestamp {
    let now = keyward::domain::clock::Clock::now(&keyward::domain::clock::SystemClock::default());
    let micros = i64::try_from(now.as_micros()).unwrap();
    Timestamp {
        seconds: micros / 1_000_000 + seconds,
        nanos: 0,
    }
}

/// No reply but that to its creation holds the token of a key, or any stretch
/// of it.
async fn shown_nowhere(admin: &mut Admin, issued: &CreateKeyResponse) {
    let key = issued.key.as_ref().unwrap();
    let read = GetKeyRequest {
        key_id: key.id.clone(),
    };
    let read = admin.client.get_key(read).await.unwrap().into_inner();
    let listed = ListKeysRequest {
        workspace: key.workspace.clone(),
        page_size: 1_000,
        ..Default::default()
    };
    let listed = admin.client.list_keys(listed).await.unwrap().into_inner();
    let read = read.key.unwrap();
    assert_eq!(but_for_usage(&read), but_for_usage(key));
    assert!(listed.keys.contains(&read), "it was listed");

    let secret = &issued.token[issued.token.rfind('_').unwrap() + 1..];
    let replies = [
        key.encode_to_vec(),
        read.encode_to_vec(),
        listed.encode_to_vec(),
    ]
    .concat();
    for stretch in secret.as_bytes().windows(8) {
        assert!(!replies.windows(8).any(|bytes| bytes == stretch));
    }
    // What may be displayed is its beginning and its end.
    let (start, end) = key.hint.split_once('…').unwrap();
    assert!(issued.token.starts_with(start) && issued.token.ends_with(end) && end.len() == 4);
}

/// An API key is nobody's admin, and nobody without a token is.
async fn only_admins_manage(server: &Server, issued: &CreateKeyResponse) {
    let workspace = &issued.key.as_ref().unwrap().workspace;
    let mut holder = admin_client(&server.admin_address, &issued.token).await;
    let refused = holder
        .client
        .create_key(key_request(workspace, &[]))
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated);
    let mut nobody = keyward::edge::pb::key_admin_client::KeyAdminClient::new(
        crate::support::connect(&server.admin_address).await,
    );
    let refused = nobody
        .create_key(key_request(workspace, &[]))
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated);
}

/// A key works until its expiry and is 401 from then on.
async fn expires(admin: &mut Admin, checks: &mut Checks, workspace: &str) {
    // Cut to the second, which leaves it between one and two.
    let request = CreateKeyRequest {
        expire_time: Some(in_seconds(2)),
        ..key_request(workspace, &["*"])
    };
    let issued = issue(admin, request).await;
    let key = issued.key.unwrap();
    assert_eq!(
        checks.header(&issued.token, &[]).await.unwrap().expire_time,
        key.expire_time
    );
    let patience = Instant::now() + Duration::from_secs(10);
    let denied = loop {
        match checks.header(&issued.token, &[]).await {
            Ok(_) => assert!(Instant::now() < patience, "it does not expire"),
            Err(denied) => break denied,
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    let expected = Denied {
        key_id: key.id.clone(),
        key_hint: key.hint,
        ..unauthorized(DenialReason::Expired)
    };
    assert_eq!(denied, expected);
    let read = admin
        .client
        .get_key(GetKeyRequest { key_id: key.id })
        .await
        .unwrap()
        .into_inner();
    assert_eq!(read.key.unwrap().state(), KeyState::Expired);
}

/// From the reply to its revocation on, a key is 401, and stays so whatever is
/// called.
async fn revoked_for_good(admin: &mut Admin, checks: &mut Checks, key: &Key, token: &str) {
    assert!(checks.header(token, &[]).await.is_ok());
    let request = RevokeKeyRequest {
        key_id: key.id.clone(),
        reason: RevocationReason::Leaked.into(),
        ..RevokeKeyRequest::default()
    };
    let revoked = admin
        .client
        .revoke_key(request)
        .await
        .unwrap()
        .into_inner()
        .key
        .unwrap();
    assert_eq!(
        (revoked.state(), revoked.revocation_reason()),
        (KeyState::Revoked, RevocationReason::Leaked)
    );
    let expected = Denied {
        key_id: key.id.clone(),
        key_hint: key.hint.clone(),
        ..unauthorized(DenialReason::Revoked)
    };
    assert_eq!(checks.header(token, &[]).await.unwrap_err(), expected);
    assert_eq!(
        but_for_usage(&admin.revoke(&key.id).await),
        but_for_usage(&revoked),
        "revoking again changes nothing"
    );
    admin.key(&key.workspace, &[]).await;
    for scheme in ["", "Bearer ", "Api-Key "] {
        assert_eq!(
            checks.denial(&format!("{scheme}{token}")).await,
            DenialReason::Revoked
        );
    }
}
