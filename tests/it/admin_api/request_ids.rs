//! A key is issued once for each request id, however often, by how many at
//! once and over how many crashes it is asked for.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use keyward::edge::pb::{AdminKey, AdminRole, CreateKeyResponse};

use super::calls::*;
use super::*;

fn request(id: &str) -> CreateKeyRequest {
    CreateKeyRequest {
        request_id: id.to_owned(),
        description: "what it is for".to_owned(),
        metadata: metadata(&[("plan", "free"), ("team", "crm")]),
        ..key_request("w", &["people:read", "people:write"])
    }
}

async fn issue(admin: &mut Admin, request: CreateKeyRequest) -> Result<CreateKeyResponse, Status> {
    let reply = admin.client.create_key(request).await?;
    Ok(reply.into_inner())
}

async fn key_ids(admin: &mut Admin) -> Vec<String> {
    let keys = paging::all_pages(admin, "w", 1_000).await;
    keys.into_iter().map(|key| key.id).collect()
}

/// The key was issued, and its token is no longer held.
fn issued_before(status: &Status, key_id: &str) {
    told(
        status,
        Code::AlreadyExists,
        "RESOURCE_EXISTS",
        &[("type", "key"), ("id", key_id)],
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repetition_is_answered_as_the_first_time() {
    let server = Server::start();
    let (mut admin, mut checks) = (server.admin().await, server.checks().await);
    admin.workspace("w", "klg", &[]).await;
    // Every character that it can have, and its longest.
    let longest = "aZ09_.-".repeat(10)[..64].to_owned();
    for id in [
        "1",
        "crm-sync",
        "0b1e3a6e-1c1f-4c5b-9f5e-2f1a5d1c9b7a",
        &*longest,
    ] {
        let first = issue(&mut admin, request(id)).await.unwrap();
        for _ in 0..3 {
            assert_eq!(issue(&mut admin, request(id)).await.unwrap(), first);
        }
        // Over another connection too.
        let mut another = server.admin().await;
        assert_eq!(issue(&mut another, request(id)).await.unwrap(), first);
        checks.header(&first.token, &["people:read"]).await.unwrap();
    }
    assert_eq!(key_ids(&mut admin).await.len(), 4);
    // One event for each key, and one each time that its token was shown again.
    let log = events(&mut admin, log_of("w")).await.unwrap();
    let times = |action| log.iter().filter(|event| event.action == action).count();
    assert_eq!((times("key.create"), times("key.repeat")), (4, 4 * 4));
    assert_eq!(log.len(), 1 + 4 + 4 * 4);
    // Without an id, each call issues a key.
    let (one, two) = (
        issue(&mut admin, request("")).await,
        issue(&mut admin, request("")).await,
    );
    assert_ne!(one.unwrap().token, two.unwrap().token);
}

#[tokio::test(flavor = "multi_thread")]
async fn other_fields_under_the_same_id_are_refused() {
    let server = Server::start();
    let mut admin = server.admin().await;
    admin.workspace("w", "klg", &["live", "test"]).await;
    admin.workspace("v", "klg", &["live", "test"]).await;
    let first = issue(&mut admin, request("one")).await.unwrap();
    type Change = fn(&mut CreateKeyRequest);
    let changes: [Change; 14] = [
        |r| r.workspace = "v".to_owned(),
        |r| r.environment = "test".to_owned(),
        // The default, but said.
        |r| r.environment = "live".to_owned(),
        |r| r.principal = "user:bo".to_owned(),
        |r| r.name.push('x'),
        |r| r.description.clear(),
        |r| r.scopes.truncate(1),
        |r| r.scopes = names(&["people:read people:write"]),
        |r| r.metadata = metadata(&[("plan", "paid"), ("team", "crm")]),
        |r| r.metadata = metadata(&[("plan", "free")]),
        |r| r.expire_time = Some(in_seconds(3_600)),
        |r| r.source_addresses = names(&["10.0.0.0/8"]),
        // Not acceptable in itself.
        |r| r.name.clear(),
        |r| r.scopes = names(&["No"]),
    ];
    for (number, change) in changes.into_iter().enumerate() {
        let mut other = request("one");
        change(&mut other);
        let status = issue(&mut admin, other).await.unwrap_err();
        assert_eq!(fields(&status), ["request_id"], "change {number}");
    }
    assert_eq!(issue(&mut admin, request("one")).await.unwrap(), first);
    assert_eq!(key_ids(&mut admin).await, [first.key.unwrap().id]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_a_request_id_is_refused() {
    let server = Server::start();
    let mut admin = server.admin().await;
    admin.workspace("w", "klg", &[]).await;
    let token = admin.key("w", &[]).await.token;
    let long = "x".repeat(65);
    for id in [
        " ",
        "a b",
        "a/b",
        "ä",
        "a\n",
        "\0",
        "{}",
        "a:b",
        &*long,
        &*token.repeat(3),
    ] {
        let status = issue(&mut admin, request(id)).await.unwrap_err();
        assert_eq!(fields(&status), ["request_id"], "{id:?}");
        refusals::repeats_nothing_of(&status, &token);
        // With whatever else is wrong.
        let worse = CreateKeyRequest {
            name: String::new(),
            ..request(id)
        };
        let status = issue(&mut admin, worse).await.unwrap_err();
        assert_eq!(fields(&status), ["name", "request_id"], "{id:?}");
    }
    assert_eq!(key_ids(&mut admin).await.len(), 1);
    // What failed has not used the id up.
    let bad = CreateKeyRequest {
        name: String::new(),
        ..request("one")
    };
    assert!(issue(&mut admin, bad).await.is_err());
    issue(&mut admin, request("one")).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn another_caller_s_id_is_another_id() {
    let server = Server::start();
    let mut admin = server.admin().await;
    admin.workspace("w", "klg", &[]).await;
    let mut callers = vec![admin.clone()];
    for workspace in ["", "w", "w"] {
        let asked = AdminKey {
            name: "another".to_owned(),
            role: AdminRole::Issuer.into(),
            workspace: workspace.to_owned(),
            grant_ceiling: names(&["*"]),
            ..AdminKey::default()
        };
        let made = create_admin(&mut admin, asked).await.unwrap();
        callers.push(support::admin_client(&server.admin_address, &made.token).await);
    }
    let mut issued = Vec::new();
    for caller in &mut callers {
        issued.push(issue(caller, request("one")).await.unwrap());
    }
    let tokens: BTreeSet<_> = issued.iter().map(|one| &one.token).collect();
    assert_eq!(tokens.len(), 4);
    assert_eq!(key_ids(&mut admin).await.len(), 4);
    for (caller, first) in callers.iter_mut().zip(&issued) {
        assert_eq!(&issue(caller, request("one")).await.unwrap(), first);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sixty_four_repetitions_at_once_issue_one_key() {
    const CALLERS: usize = 64;
    let server = Server::start();
    let mut admin = server.admin().await;
    admin.workspace("w", "klg", &[]).await;
    let mut admins = Vec::new();
    for _ in 0..CALLERS {
        admins.push(server.admin().await);
    }
    for round in 0..support::count("KEYWARD_TEST_REPETITIONS", 20) {
        let gate = Arc::new(tokio::sync::Barrier::new(CALLERS));
        let mut calls = JoinSet::new();
        for admin in &admins {
            let (mut admin, gate) = (admin.clone(), Arc::clone(&gate));
            calls.spawn(async move {
                gate.wait().await;
                issue(&mut admin, request(&format!("round-{round}")))
                    .await
                    .unwrap()
            });
        }
        let replies = calls.join_all().await;
        assert!(
            replies.iter().all(|reply| *reply == replies[0]),
            "{replies:#?}"
        );
        let mut checks = server.checks().await;
        checks
            .header(&replies[0].token, &["people:read"])
            .await
            .unwrap();
        assert_eq!(key_ids(&mut admin).await.len(), round + 1);
    }
}

/// What the first answer was given for may have changed since: the repetition
/// is no new key, so it is not judged as one.
#[tokio::test(flavor = "multi_thread")]
async fn a_repetition_is_answered_whatever_has_changed_since() {
    let server = Server::start();
    let (mut admin, mut checks) = (server.admin().await, server.checks().await);
    let mut workspace = admin.workspace("w", "klg", &[]).await;
    let end = now() + 1_000_000;
    let ending = CreateKeyRequest {
        expire_time: Some(Timestamp {
            seconds: i64::try_from(end / 1_000_000).unwrap(),
            nanos: i32::try_from(end % 1_000_000 * 1_000).unwrap(),
        }),
        ..request("ending")
    };
    let first = issue(&mut admin, ending.clone()).await.unwrap();
    let other = issue(&mut admin, request("other")).await.unwrap();
    // A catalog without its scopes, a workspace that is off, a key that is.
    workspace.scope_catalog = names(&["reports:read"]);
    update_workspace(&mut admin, workspace, &["scope_catalog"])
        .await
        .unwrap();
    assert_eq!(issue(&mut admin, request("other")).await.unwrap(), other);
    switch_workspace(&mut admin, "w", "", true).await.unwrap();
    assert_eq!(issue(&mut admin, request("other")).await.unwrap(), other);
    let revoked = admin.revoke(&other.key.as_ref().unwrap().id).await;
    let again = issue(&mut admin, request("other")).await.unwrap();
    assert_eq!((&again.token, again.key), (&other.token, Some(revoked)));
    // The expiry that was asked for has passed.
    while now() < end {
        let _ = checks.header(&first.token, &[]).await;
    }
    let again = issue(&mut admin, ending).await.unwrap();
    let key = again.key.unwrap();
    assert_eq!(again.token, first.token);
    assert_eq!(
        (key.state(), &key.id),
        (KeyState::Expired, &first.key.unwrap().id)
    );
}

/// A repetition hands out a token, so that the caller must still be allowed
/// to grant what it can do.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_not_handed_out_again_to_one_who_may_no_longer_grant_it() {
    let server = Server::start();
    let mut admin = server.admin().await;
    admin.workspace("w", "klg", &[]).await;
    let asked = AdminKey {
        name: "issuer".to_owned(),
        role: AdminRole::Issuer.into(),
        grant_ceiling: names(&["people:*"]),
        ..AdminKey::default()
    };
    let made = create_admin(&mut admin, asked).await.unwrap();
    let mut issuer = support::admin_client(&server.admin_address, &made.token).await;
    let mut first = issue(&mut issuer, request("one")).await.unwrap();
    // The key was given more by one who may, once its principal may have more.
    set_membership(&mut admin, "w", "user:ada", &["*"])
        .await
        .unwrap();
    let wider = Key {
        scopes: names(&["*"]),
        ..first.key.clone().unwrap()
    };
    let wider = update_key(&mut admin, wider, &["scopes"]).await.unwrap();
    let status = issue(&mut issuer, request("one")).await.unwrap_err();
    let beyond = [("scopes", "*")];
    told(
        &status,
        Code::PermissionDenied,
        "GRANT_CEILING_EXCEEDED",
        &beyond,
    );
    let back = Key {
        scopes: first.key.clone().unwrap().scopes,
        ..wider
    };
    first.key = Some(update_key(&mut admin, back, &["scopes"]).await.unwrap());
    assert_eq!(issue(&mut issuer, request("one")).await.unwrap(), first);
    // The caller may grant less.
    let narrower = AdminKey {
        grant_ceiling: names(&["people:read"]),
        ..made.admin_key.unwrap()
    };
    update_admin(&mut admin, narrower, &["grant_ceiling"])
        .await
        .unwrap();
    let status = issue(&mut issuer, request("one")).await.unwrap_err();
    let beyond = [("scopes", "people:write")];
    told(
        &status,
        Code::PermissionDenied,
        "GRANT_CEILING_EXCEEDED",
        &beyond,
    );
    assert_eq!(key_ids(&mut admin).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_stays_used_after_a_restart_and_after_its_key_is_deleted() {
    let site = Site::init();
    let serve = |site: &Site| {
        let mut command = site.serve_command();
        command.args(["--key-retention", "0s"]);
        Server::spawn(site.clone(), command).unwrap()
    };
    let server = serve(&site);
    let mut admin = server.admin().await;
    admin.workspace("w", "klg", &[]).await;
    let (one, two) = (
        issue(&mut admin, request("one"))
            .await
            .unwrap()
            .key
            .unwrap()
            .id,
        issue(&mut admin, request("two"))
            .await
            .unwrap()
            .key
            .unwrap()
            .id,
    );
    // Deleted while its token is held.
    admin.revoke(&two).await;
    delete_key(&mut admin, &two, "").await.unwrap();
    issued_before(&issue(&mut admin, request("two")).await.unwrap_err(), &two);
    server.stop();
    for crash in [false, true] {
        let server = serve(&site);
        let mut admin = server.admin().await;
        issued_before(&issue(&mut admin, request("one")).await.unwrap_err(), &one);
        issued_before(&issue(&mut admin, request("two")).await.unwrap_err(), &two);
        let other = CreateKeyRequest {
            name: "other".to_owned(),
            ..request("one")
        };
        let status = issue(&mut admin, other).await.unwrap_err();
        assert_eq!(fields(&status), ["request_id"]);
        assert_eq!(key_ids(&mut admin).await, std::slice::from_ref(&one));
        if crash {
            server.kill();
        } else {
            server.stop();
        }
    }
}

/// A deleted key is hidden from a caller who is confined to a workspace. Its
/// request is his own all the same, and stays used.
#[tokio::test(flavor = "multi_thread")]
async fn an_id_stays_used_for_a_workspace_s_issuer_when_its_key_is_deleted() {
    let site = Site::init();
    let mut command = site.serve_command();
    command.args(["--key-retention", "0s"]);
    let server = Server::spawn(site, command).unwrap();
    let mut admin = server.admin().await;
    admin.workspace("w", "klg", &[]).await;
    let asked = AdminKey {
        name: "issuer".to_owned(),
        role: AdminRole::Issuer.into(),
        workspace: "w".to_owned(),
        grant_ceiling: names(&["people:*"]),
        ..AdminKey::default()
    };
    let made = create_admin(&mut admin, asked).await.unwrap();
    let mut issuer = support::admin_client(&server.admin_address, &made.token).await;
    let issued = issue(&mut issuer, request("one")).await.unwrap();
    let id = issued.key.unwrap().id;
    admin.revoke(&id).await;
    delete_key(&mut issuer, &id, "").await.unwrap();
    let status = issue(&mut issuer, request("one")).await.unwrap_err();
    issued_before(&status, &id);
    assert!(key_ids(&mut admin).await.is_empty());
}

/// Callers ask again and again while the server is killed under them. For
/// none of their ids is there ever a second key.
#[tokio::test(flavor = "multi_thread")]
async fn no_crash_makes_two_keys_of_one_request() {
    const CALLERS: usize = 32;
    let kills = support::count("KEYWARD_TEST_CRASHES", 5);
    let mut site = Site::init();
    let mut tokens: BTreeMap<String, String> = BTreeMap::new();
    let (mut named, mut begun) = (0, 0);
    // The number that each pair of callers was at when the server died.
    let mut reached = [0_usize; CALLERS / 2];
    for kill in 0..kills {
        let server = site.serve();
        if kill == 0 {
            server.admin().await.workspace("w", "klg", &[]).await;
        }
        let (answered, over) = (
            Arc::new(AtomicUsize::new(0)),
            Arc::new(AtomicBool::new(false)),
        );
        let mut callers = JoinSet::new();
        for caller in 0..CALLERS {
            let mut admin = server.admin().await;
            let (answered, over) = (Arc::clone(&answered), Arc::clone(&over));
            let pair = caller / 2;
            // From the ids that the crash before has cut off, on.
            let first = reached[pair].saturating_sub(10);
            callers.spawn(async move {
                let mut heard = Vec::new();
                for number in first..first + 50 {
                    let id = format!("{pair}-{number}");
                    let reply = issue(&mut admin, request(&id)).await;
                    let last = over.load(Ordering::SeqCst);
                    answered.fetch_add(1, Ordering::SeqCst);
                    let lost = matches!(&reply, Err(status) if status.code() == Code::Unavailable
                        || status.code() == Code::Unknown || status.code() == Code::Cancelled
                        || status.code() == Code::Internal);
                    heard.push((id, reply));
                    if lost || last {
                        break;
                    }
                }
                (pair, first + heard.len(), heard)
            });
        }
        let enough = rand::random_range(CALLERS..CALLERS * 35);
        while answered.load(Ordering::SeqCst) < enough {
            tokio::task::yield_now().await;
        }
        over.store(true, Ordering::SeqCst);
        site = server.kill();
        for (pair, next, heard) in callers.join_all().await {
            reached[pair] = reached[pair].max(next);
            begun += heard.len();
            for (id, reply) in heard {
                match reply {
                    Ok(issued) => {
                        let known = tokens.entry(id).or_insert_with(|| issued.token.clone());
                        assert_eq!(*known, issued.token, "two tokens for one request");
                    }
                    Err(status) if status.code() == Code::AlreadyExists => named += 1,
                    Err(_) => {}
                }
            }
        }
    }
    let server = site.serve();
    let (mut admin, mut checks) = (server.admin().await, server.checks().await);
    let log = events(&mut admin, log_of("w")).await.unwrap();
    let keys = key_ids(&mut admin).await;
    let repeated = log.iter().filter(|event| event.action == "key.repeat");
    assert_eq!(log.len() - repeated.count(), 1 + keys.len());
    // Whoever asks now is told of the one key, and every id has its own.
    let (mut of_ids, mut fresh) = (BTreeSet::new(), 0);
    for (pair, next) in reached.into_iter().enumerate() {
        for number in 0..next {
            match issue(&mut admin, request(&format!("{pair}-{number}"))).await {
                Ok(_) => fresh += 1,
                Err(status) => {
                    let info = status.get_details_error_info().unwrap();
                    issued_before(&status, &info.metadata["id"]);
                    assert!(
                        of_ids.insert(info.metadata["id"].clone()),
                        "one key for two ids"
                    );
                }
            }
        }
    }
    assert_eq!(of_ids, BTreeSet::from_iter(keys), "each key is of one id");
    for token in tokens.values() {
        checks.header(token, &["people:read"]).await.unwrap();
    }
    println!(
        "{begun} calls, {} tokens, {named} told to exist, {fresh} never made",
        tokens.len()
    );
    assert!(named > 0, "this was no attack");
}
