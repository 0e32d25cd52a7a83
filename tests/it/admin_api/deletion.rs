//! Keys are deleted once their retention is over, workspaces once they are
//! disabled and empty; what is left makes neither a token nor an id good again.

use std::sync::Arc;

use keyward::edge::pb::{AdminKey, AdminRole, CreateKeyResponse, DenialReason};

use super::calls::*;
use super::*;

/// A server that keeps revoked keys for so long.
fn serve(site: &Site, retention: &str) -> Server {
    let mut command = site.serve_command();
    command.args(["--key-retention", retention]);
    Server::spawn(site.clone(), command).unwrap()
}

/// Whatever is asked about the key, it is not there.
async fn is_gone(server: &Server, issued: &CreateKeyResponse) {
    let (mut admin, mut checks) = (server.admin().await, server.checks().await);
    let key = issued.key.as_ref().unwrap();
    let asked = || Key {
        etag: String::new(),
        ..key.clone()
    };
    let refused = [
        get_key(&mut admin, &key.id).await.map(drop),
        update_key(&mut admin, asked(), &["name"]).await.map(drop),
        switch_key(&mut admin, &key.id, "", true).await.map(drop),
        switch_key(&mut admin, &key.id, "", false).await.map(drop),
        revoke_key(&mut admin, &key.id, 0, "").await.map(drop),
        delete_key(&mut admin, &key.id, "").await,
        delete_key(&mut admin, &key.id, &key.etag).await,
    ];
    for refused in refused {
        told(
            &refused.unwrap_err(),
            Code::NotFound,
            "RESOURCE_NOT_FOUND",
            &[("type", "key"), ("id", &key.id)],
        );
    }
    for workspace in [key.workspace.as_str(), ""] {
        let listed = list(&mut admin, workspace, 1_000, "").await.unwrap();
        assert!(listed.keys.iter().all(|listed| listed.id != key.id));
    }
    // A check is told no more than of a token that was never issued.
    for header in [issued.token.clone(), format!("Bearer {}", issued.token)] {
        let denied = checks.header(&header, &[]).await.unwrap_err();
        assert_eq!(
            (
                denied.reason(),
                denied.http_status,
                denied.key_id.as_str(),
                denied.key_hint.as_str()
            ),
            (DenialReason::Unknown, 401, "", "")
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_deleted_once_its_retention_is_over_and_stays_gone() {
    let site = Site::init();
    let server = serve(&site, "0s");
    let (mut admin, mut checks) = (server.admin().await, server.checks().await);
    admin.workspace("w", "klg", &["live", "test"]).await;
    let issued = admin.key("w", &["a"]).await;
    let kept = admin.key("w", &["a"]).await;
    let id = issued.key.clone().unwrap().id;
    let refuse = |status: Status, condition: &str| {
        let told_of = [("type", "key"), ("id", &*id), ("condition", condition)];
        told(
            &status,
            Code::FailedPrecondition,
            "PRECONDITION_FAILED",
            &told_of,
        );
    };
    // Not while it works, nor while it is switched off.
    refuse(
        delete_key(&mut admin, &id, "").await.unwrap_err(),
        "NOT_REVOKED",
    );
    switch_key(&mut admin, &id, "", true).await.unwrap();
    refuse(
        delete_key(&mut admin, &id, "").await.unwrap_err(),
        "NOT_REVOKED",
    );
    let revoked = admin.revoke(&id).await;
    assert_eq!(checks.denial(&issued.token).await, DenialReason::Revoked);
    delete_key(&mut admin, &id, &revoked.etag).await.unwrap();
    is_gone(&server, &issued).await;
    let before = events(&mut admin, log_of("w")).await.unwrap();
    assert_eq!(
        (before[0].action.as_str(), &before[0].resource),
        ("key.delete", &id)
    );

    let site = server.kill();
    let server = serve(&site, "0s");
    is_gone(&server, &issued).await;
    server
        .checks()
        .await
        .header(&kept.token, &["a"])
        .await
        .unwrap();
    // What it leaves is there on any later start too, whatever the retention.
    server.stop();
    is_gone(&site.serve(), &issued).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_kept_until_the_moment_that_the_refusal_tells() {
    let site = Site::init();
    let server = serve(&site, "1s");
    let mut admin = server.admin().await;
    admin.workspace("w", "klg", &[]).await;
    let issued = admin.key("w", &["a"]).await;
    let id = issued.key.clone().unwrap().id;
    let revoked = admin.revoke(&id).await;
    let ready = micros(revoked.revoke_time) + 1_000_000;
    let mut refusals = 0;
    // It is asked for without a pause: the first time it is granted is not
    // before that moment.
    loop {
        let asked_at = now();
        match delete_key(&mut admin, &id, "").await {
            Ok(()) => {
                assert!(now() >= ready);
                break;
            }
            Err(status) => {
                assert!(asked_at < ready, "{} us late", asked_at - ready);
                let time: jiff::Timestamp = told_time(&status).parse().unwrap();
                assert_eq!(u64::try_from(time.as_microsecond()).unwrap(), ready);
                told(
                    &status,
                    Code::FailedPrecondition,
                    "PRECONDITION_FAILED",
                    &[
                        ("type", "key"),
                        ("id", &id),
                        ("condition", "RETENTION_NOT_OVER"),
                        ("deletableTime", &time.to_string()),
                    ],
                );
                refusals += 1;
            }
        }
    }
    assert!(refusals > 0);
    is_gone(&server, &issued).await;
    // By default it is a month.
    server.stop();
    let server = site.serve();
    let mut admin = server.admin().await;
    let id = admin.key("w", &[]).await.key.unwrap().id;
    let revoked = admin.revoke(&id).await;
    let status = delete_key(&mut admin, &id, "").await.unwrap_err();
    let time: jiff::Timestamp = told_time(&status).parse().unwrap();
    let month = 30 * 24 * 60 * 60 * 1_000_000;
    assert_eq!(
        u64::try_from(time.as_microsecond()).unwrap(),
        micros(revoked.revoke_time) + month
    );
    assert_eq!(get_key(&mut admin, &id).await.unwrap(), revoked);
}

fn told_time(status: &Status) -> String {
    let mut info = status.get_details_error_info().unwrap();
    info.metadata.remove("deletableTime").unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_workspace_is_deleted_when_it_is_disabled_and_empty() {
    let site = Site::init();
    let server = serve(&site, "0s");
    let mut admin = server.admin().await;
    let first = admin.workspace("w", "klg", &[]).await;
    let refuse = |status: Result<(), Status>, condition: &str| {
        told(
            &status.unwrap_err(),
            Code::FailedPrecondition,
            "PRECONDITION_FAILED",
            &[("type", "workspace"), ("id", "w"), ("condition", condition)],
        );
    };
    let key = admin.key("w", &[]).await;
    let key_id = key.key.clone().unwrap().id;
    let local = AdminKey {
        name: "local".to_owned(),
        role: AdminRole::Owner.into(),
        workspace: "w".to_owned(),
        ..AdminKey::default()
    };
    let local = create_admin(&mut admin, local).await.unwrap();
    refuse(
        delete_workspace(&mut admin, "w", "").await,
        "WORKSPACE_ENABLED",
    );
    switch_workspace(&mut admin, "w", "", true).await.unwrap();
    // A key in any state is in the way, and an admin key that is not revoked.
    refuse(
        delete_workspace(&mut admin, "w", "").await,
        "WORKSPACE_NOT_EMPTY",
    );
    admin.revoke(&key_id).await;
    refuse(
        delete_workspace(&mut admin, "w", "").await,
        "WORKSPACE_NOT_EMPTY",
    );
    delete_key(&mut admin, &key_id, "").await.unwrap();
    refuse(
        delete_workspace(&mut admin, "w", "").await,
        "WORKSPACE_NOT_EMPTY",
    );
    let revocation = keyward::edge::pb::RevokeAdminKeyRequest {
        admin_key_id: local.admin_key.unwrap().id,
        ..Default::default()
    };
    admin.client.revoke_admin_key(revocation).await.unwrap();
    switch_workspace(&mut admin, "w", "", false).await.unwrap();
    refuse(
        delete_workspace(&mut admin, "w", "").await,
        "WORKSPACE_ENABLED",
    );
    let off = switch_workspace(&mut admin, "w", "", true).await.unwrap();
    let status = delete_workspace(&mut admin, "w", &first.etag)
        .await
        .unwrap_err();
    told(
        &status,
        Code::Aborted,
        "ETAG_MISMATCH",
        &[("type", "workspace"), ("id", "w")],
    );
    delete_workspace(&mut admin, "w", &off.etag).await.unwrap();
    let log = events(&mut admin, log_of("w")).await.unwrap();
    assert_eq!(log[0].action, "workspace.delete");
    assert_eq!(log.last().unwrap().action, "workspace.create");
    workspace_is_gone(&server, &log).await;
    let server = serve(&server.kill(), "0s");
    workspace_is_gone(&server, &log).await;
    is_gone_too(&server, &key).await;
}

/// The workspace is not there for any call, its id stays taken, and its log is
/// what it was.
async fn workspace_is_gone(server: &Server, log: &[keyward::edge::pb::AuditEvent]) {
    let mut admin = server.admin().await;
    let absent = [("type", "workspace"), ("id", "w")];
    let asked = Workspace {
        display_name: "x".to_owned(),
        ..workspace("w", "klg")
    };
    let local = AdminKey {
        name: "local".to_owned(),
        role: AdminRole::Owner.into(),
        workspace: "w".to_owned(),
        ..AdminKey::default()
    };
    let refused = [
        get_workspace(&mut admin, "w").await.map(drop),
        update_workspace(&mut admin, asked.clone(), &["display_name"])
            .await
            .map(drop),
        switch_workspace(&mut admin, "w", "", true).await.map(drop),
        switch_workspace(&mut admin, "w", "", false).await.map(drop),
        delete_workspace(&mut admin, "w", "").await,
        list(&mut admin, "w", 0, "").await.map(drop),
        admin
            .client
            .create_key(key_request("w", &[]))
            .await
            .map(drop),
        create_admin(&mut admin, local).await.map(drop),
    ];
    for refused in refused {
        told(
            &refused.unwrap_err(),
            Code::NotFound,
            "RESOURCE_NOT_FOUND",
            &absent,
        );
    }
    let status = create_workspace(&mut admin, asked).await.unwrap_err();
    told(&status, Code::AlreadyExists, "RESOURCE_EXISTS", &absent);
    let listed = admin
        .client
        .list_workspaces(keyward::edge::pb::ListWorkspacesRequest::default());
    assert_eq!(listed.await.unwrap().into_inner().workspaces, []);
    assert_eq!(events(&mut admin, log_of("w")).await.unwrap(), log);
}

/// The key of a workspace that is gone with it.
async fn is_gone_too(server: &Server, issued: &CreateKeyResponse) {
    let id = &issued.key.as_ref().unwrap().id;
    let status = get_key(&mut server.admin().await, id).await.unwrap_err();
    told(
        &status,
        Code::NotFound,
        "RESOURCE_NOT_FOUND",
        &[("type", "key"), ("id", id)],
    );
    let denial = server.checks().await.denial(&issued.token).await;
    assert_eq!(denial, DenialReason::Unknown);
}

/// Keys are issued from all sides while the workspace is switched off and
/// deleted: whoever is faster, there is never a key in a deleted workspace.
#[tokio::test(flavor = "multi_thread")]
async fn no_key_is_ever_in_a_deleted_workspace() {
    const ISSUERS: usize = 8;
    let rounds = support::count("KEYWARD_TEST_DELETIONS", 60);
    let site = Site::init();
    let server = serve(&site, "0s");
    let mut admin = server.admin().await;
    let issuers: Vec<_> = operators(&server, ISSUERS).await;
    let (mut deleted, mut kept, mut issued_in_all) = (Vec::new(), 0, 0);
    for round in 0..rounds {
        let id = Arc::new(format!("w{round}"));
        admin.workspace(&id, "klg", &[]).await;
        let mut calls = JoinSet::new();
        for (number, issuer) in issuers.iter().enumerate() {
            let (mut issuer, id) = (issuer.clone(), Arc::clone(&id));
            // Some with ids of their own, which must not be carried out twice
            // either.
            let request_id = if number % 2 == 0 {
                format!("{id}-{number}")
            } else {
                String::new()
            };
            calls.spawn(async move {
                let mut issued = Vec::new();
                loop {
                    let request = CreateKeyRequest {
                        request_id: if issued.is_empty() {
                            request_id.clone()
                        } else {
                            String::new()
                        },
                        ..key_request(&id, &[])
                    };
                    match issuer.client.create_key(request).await {
                        Ok(reply) => issued.push(reply.into_inner()),
                        Err(status) => {
                            let known = [Code::FailedPrecondition, Code::NotFound, Code::Aborted];
                            assert!(known.contains(&status.code()), "{status:?}");
                            if status.code() != Code::Aborted {
                                return issued;
                            }
                        }
                    }
                }
            });
        }
        // In every second round there is something to be found by the first
        // try, else it is a matter of moments.
        if round % 2 == 0 {
            while list(&mut admin, &id, 1, "").await.unwrap().keys.is_empty() {}
        }
        switch_workspace(&mut admin, &id, "", true).await.unwrap();
        let early = delete_workspace(&mut admin, &id, "").await;
        let issued: Vec<_> = calls.join_all().await.into_iter().flatten().collect();
        issued_in_all += issued.len();
        match early {
            Ok(()) => {
                assert!(
                    issued.is_empty(),
                    "{id} was deleted with {} keys",
                    issued.len()
                );
                deleted.push(id);
                continue;
            }
            Err(status) => {
                assert_eq!(status.code(), Code::FailedPrecondition, "{status:?}");
                assert!(!issued.is_empty(), "{id} was said not to be empty");
            }
        }
        // All that were issued are there, and in the way until they are gone.
        let found = paging::all_pages(&mut admin, &id, 1_000).await;
        let found: BTreeSet<_> = found.into_iter().map(|key| key.id).collect();
        let answered: BTreeSet<_> = issued.into_iter().map(|one| one.key.unwrap().id).collect();
        assert_eq!(found, answered);
        if round % 4 != 0 {
            kept += 1;
            continue;
        }
        for key in found {
            assert!(delete_workspace(&mut admin, &id, "").await.is_err());
            admin.revoke(&key).await;
            delete_key(&mut admin, &key, "").await.unwrap();
        }
        delete_workspace(&mut admin, &id, "").await.unwrap();
        deleted.push(id);
    }
    println!(
        "{issued_in_all} keys issued, {} workspaces deleted, {kept} kept",
        deleted.len()
    );
    assert!(issued_in_all >= rounds / 2);
    let keys = paging::all_pages(&mut admin, "", 1_000).await;
    assert!(
        keys.iter()
            .all(|key| !deleted.iter().any(|id| **id == key.workspace))
    );
    // It loads, for all that it says holds together. Since when uses are counted is
    // another matter: no use was written before the kill.
    let server = serve(&server.kill(), "0s");
    let loaded = paging::all_pages(&mut server.admin().await, "", 1_000).await;
    let plain = |keys: &[Key]| keys.iter().map(but_for_usage).collect::<Vec<_>>();
    assert_eq!(plain(&loaded), plain(&keys));
}

/// Operators over connections of their own.
async fn operators(server: &Server, count: usize) -> Vec<Admin> {
    let mut admins = Vec::new();
    for _ in 0..count {
        admins.push(server.admin().await);
    }
    admins
}

/// A workspace that is switched on again while it is being deleted is there
/// or not there, and never half.
#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_and_a_switching_on_cannot_both_win() {
    let site = Site::init();
    let server = serve(&site, "0s");
    let admin = server.admin().await;
    let (mut one, mut two) = (admin.clone(), server.admin().await);
    let (mut gone, mut there) = (0, 0);
    for round in 0..support::count("KEYWARD_TEST_DELETIONS", 60) {
        let id = format!("w{round}");
        one.workspace(&id, "klg", &[]).await;
        switch_workspace(&mut one, &id, "", true).await.unwrap();
        let (deleted, on) = tokio::join!(delete_workspace(&mut one, &id, ""), async {
            let on = switch_workspace(&mut two, &id, "", false).await;
            let issued = two.client.create_key(key_request(&id, &[])).await;
            (on, issued)
        });
        let (on, issued) = on;
        assert_eq!(on.is_ok(), issued.is_ok(), "{on:?} {issued:?}");
        assert_ne!(deleted.is_ok(), on.is_ok(), "{deleted:?} {on:?}");
        assert_eq!(get_workspace(&mut one, &id).await.is_ok(), on.is_ok());
        gone += usize::from(deleted.is_ok());
        there += usize::from(on.is_ok());
    }
    println!("{gone} deleted, {there} switched on");
}
