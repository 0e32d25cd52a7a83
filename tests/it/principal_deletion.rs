//! A principal without keys is deleted for good: its id is not used again, its
//! memberships are none any more, and what others do meanwhile changes nothing
//! of that.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use keyward::domain::principal as domain;
use keyward::edge::pb::*;
use keyward::store::Record;
use tonic::Status;
use tonic_types::StatusExt;

use crate::admin_api::calls::{
    delete_key, delete_principal, delete_workspace, remove_membership, set_membership,
    switch_principal, switch_workspace, update_principal,
};
use crate::office::{Office, told};
use crate::records::{self, buried, update};
use crate::support::{Admin, Server, key_request, keyward, run};

const INVALID: &str = "INVALID_ARGUMENT, INVALID_FIELDS";
const PRECONDITION: &str = "FAILED_PRECONDITION, PRECONDITION_FAILED";
const NOT_FOUND: &str = "NOT_FOUND, RESOURCE_NOT_FOUND";
const EXISTS: &str = "ALREADY_EXISTS, RESOURCE_EXISTS";

const ADA: &str = "user:ada";

async fn create(admin: &mut Admin, id: &str) -> Result<Principal, Status> {
    let request = CreatePrincipalRequest {
        principal: Some(Principal {
            id: id.to_owned(),
            ..Principal::default()
        }),
    };
    let reply = admin.client.create_principal(request).await?;
    Ok(reply.into_inner().principal.unwrap())
}

async fn show(admin: &mut Admin, id: &str) -> Result<GetPrincipalResponse, Status> {
    let request = GetPrincipalRequest {
        principal: id.to_owned(),
    };
    let reply = admin.client.get_principal(request).await;
    reply.map(tonic::Response::into_inner)
}

async fn issue(admin: &mut Admin, workspace: &str) -> Result<Key, Status> {
    let request = key_request(workspace, &[]);
    let reply = admin.client.create_key(request).await?.into_inner();
    Ok(reply.key.unwrap())
}

async fn principals(admin: &mut Admin) -> Vec<String> {
    let request = ListPrincipalsRequest::default();
    let reply = admin.client.list_principals(request).await.unwrap();
    let principals = reply.into_inner().principals.into_iter();
    principals.map(|principal| principal.id).collect()
}

async fn memberships(admin: &mut Admin, workspace: &str, principal: &str) -> Vec<String> {
    let request = ListMembershipsRequest {
        workspace: workspace.to_owned(),
        principal: principal.to_owned(),
        ..ListMembershipsRequest::default()
    };
    let reply = admin.client.list_memberships(request).await.unwrap();
    let memberships = reply.into_inner().memberships.into_iter();
    memberships
        .map(|one| format!("{}/{}", one.workspace, one.principal))
        .collect()
}

fn condition(status: &Status) -> (String, Option<String>) {
    assert_eq!(told(status), PRECONDITION);
    let mut info = status.get_details_error_info().unwrap();
    assert_eq!(info.metadata["type"], "principal");
    assert_eq!(info.metadata["id"], ADA);
    let condition = info.metadata.remove("condition").unwrap();
    (condition, info.metadata.remove("keys"))
}

fn told_of<T: std::fmt::Debug>(answer: Result<T, Status>) -> String {
    told(&answer.unwrap_err())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_principal_is_deleted_once_it_has_no_keys() {
    let office = Office::open().await;
    let (here, yonder) = (office.workspace().await, office.workspace().await);
    let mut owner = office.owner.clone();
    let keys = [
        issue(&mut owner, &here).await.unwrap().id,
        issue(&mut owner, &yonder).await.unwrap().id,
        office.key("", &[]).await.id,
    ];
    let has_keys = |status: Result<(), Status>, keys: &str| {
        let status = status.unwrap_err();
        let expected = ("PRINCIPAL_HAS_KEYS".to_owned(), Some(keys.to_owned()));
        assert_eq!(condition(&status), expected);
        assert!(status.message().contains("revoke and delete them first"));
    };
    has_keys(delete_principal(&mut owner, ADA, "").await, "3");
    // That it is disabled, or that they are revoked, is not enough.
    switch_principal(&mut owner, ADA, true).await.unwrap();
    for id in &keys {
        owner.revoke(id).await;
    }
    has_keys(delete_principal(&mut owner, ADA, "").await, "3");
    for (id, left) in keys.iter().zip(["2", "1", ""]) {
        delete_key(&mut owner, id, "").await.unwrap();
        if !left.is_empty() {
            has_keys(delete_principal(&mut owner, ADA, "").await, left);
        }
    }
    let read = show(&mut owner, ADA).await.unwrap().principal.unwrap();
    let stale = delete_principal(&mut owner, ADA, "r1").await;
    assert_eq!(told_of(stale), "ABORTED, ETAG_MISMATCH");
    delete_principal(&mut owner, ADA, &read.etag).await.unwrap();
    assert_eq!(
        told_of(delete_principal(&mut owner, ADA, "").await),
        NOT_FOUND
    );
    let event = office.events(ListAuditEventsRequest::default()).await;
    let event = (&*event[0].action, &*event[0].resource, &*event[0].workspace);
    assert_eq!(event, ("principal.delete", ADA, ""));

    is_gone(&mut owner, &here).await;
    let server = office.server.kill().serve();
    is_gone(&mut server.admin().await, &here).await;
}

/// Whatever is asked about it, it is not there, and nothing makes it anew.
async fn is_gone(owner: &mut Admin, workspace: &str) {
    assert_eq!(told_of(show(owner, ADA).await), NOT_FOUND);
    assert_eq!(told_of(delete_principal(owner, ADA, "").await), NOT_FOUND);
    for disabled in [true, false] {
        let switched = switch_principal(owner, ADA, disabled).await;
        assert_eq!(told_of(switched), NOT_FOUND);
    }
    assert_eq!(principals(owner).await, [""; 0]);
    for (workspace, principal) in [("", ""), ("", ADA), (workspace, ""), (workspace, ADA)] {
        let listed = memberships(owner, workspace, principal).await;
        assert_eq!(listed, [""; 0], "{workspace}/{principal}");
    }
    let remove = RemoveMembershipRequest {
        workspace: workspace.to_owned(),
        principal: ADA.to_owned(),
        ..RemoveMembershipRequest::default()
    };
    let removed = owner.client.remove_membership(remove).await;
    assert_eq!(told_of(removed), NOT_FOUND);

    assert_eq!(told_of(create(owner, ADA).await), EXISTS);
    let deleted = ("PRINCIPAL_DELETED".to_owned(), None);
    let status = issue(owner, workspace).await.unwrap_err();
    assert_eq!(condition(&status), deleted);
    let status = set_membership(owner, workspace, ADA, &["*"]).await;
    assert_eq!(condition(&status.unwrap_err()), deleted);
    let personal = CreateKeyRequest {
        token_prefix: "klg_user".to_owned(),
        ..key_request("", &[])
    };
    let status = owner.client.create_key(personal).await.unwrap_err();
    assert_eq!(condition(&status), deleted);
    // Nothing of that was written down as a change.
    let events = ListAuditEventsRequest {
        resource: ADA.to_owned(),
        ..ListAuditEventsRequest::default()
    };
    let events = owner.client.list_audit_events(events).await.unwrap();
    let newest = events.into_inner().events.remove(0);
    assert_eq!(newest.action, "principal.delete");
}

/// An admin of a workspace in which there was one learns that the id cannot be
/// used, and that its membership is none, and no more: not why, and not from a
/// log. What he asks with an etag is answered as of an id that nobody ever had.
#[tokio::test(flavor = "multi_thread")]
async fn a_workspace_is_not_told_who_was_deleted() {
    let office = Office::open().await;
    let here = office.workspace().await;
    let mut owner = office.owner.clone();
    let set = set_membership(&mut owner, &here, ADA, &["*"]).await;
    let etag = set.unwrap().etag;
    let mut local = office.caller(AdminRole::Owner, &here, &["*"]).await.admin;
    assert_eq!(memberships(&mut local, "", "").await.len(), 1);
    delete_principal(&mut owner, ADA, "").await.unwrap();
    for (workspace, principal) in [("", ""), (&*here, ADA)] {
        let left = memberships(&mut local, workspace, principal).await;
        assert_eq!(left, [""; 0]);
    }
    let answers = answers_with(&mut local, &here, &etag).await;
    assert_eq!(answers[0], answers[1]);
    assert_eq!(answers[0][0].0, "ABORTED, ETAG_MISMATCH");
    let refusals = [
        (issue(&mut local, &here).await.map(drop), "principal"),
        (
            set_membership(&mut local, &here, ADA, &["*"])
                .await
                .map(drop),
            "membership.principal",
        ),
    ];
    for (refused, field) in refusals {
        let status = refused.unwrap_err();
        assert_eq!(told(&status), INVALID);
        let request = status.get_details_bad_request().unwrap();
        assert_eq!(request.field_violations[0].field, field);
        let text = format!("{status:?}");
        assert!(
            !text.contains("delete") && !text.contains("DELETED"),
            "{text}"
        );
    }
    let log = ListAuditEventsRequest::default();
    let log = local.client.list_audit_events(log).await.unwrap();
    let log = log.into_inner().events;
    let of_her: Vec<_> = log.iter().filter(|event| event.resource == ADA).collect();
    let of_her: Vec<_> = of_her.iter().map(|event| &*event.action).collect();
    assert_eq!(of_her, ["membership.set"]);
    let refused = delete_principal(&mut local, ADA, "").await;
    assert_eq!(told_of(refused), "PERMISSION_DENIED, NOT_OF_THE_SYSTEM");
}

/// What a set with this etag and a removal are answered: of her, and of an id
/// that nobody ever had.
async fn answers_with(local: &mut Admin, here: &str, etag: &str) -> Vec<[(String, String); 2]> {
    let mut answers = Vec::new();
    for principal in [ADA, "user:nobody"] {
        let request = SetMembershipRequest {
            membership: Some(Membership {
                workspace: here.to_owned(),
                principal: principal.to_owned(),
                scope_ceiling: vec!["*".to_owned()],
                etag: etag.to_owned(),
                ..Membership::default()
            }),
        };
        let set = local.client.set_membership(request).await.unwrap_err();
        let request = RemoveMembershipRequest {
            workspace: here.to_owned(),
            principal: principal.to_owned(),
            ..RemoveMembershipRequest::default()
        };
        let removed = local.client.remove_membership(request).await;
        let told = [set, removed.unwrap_err()].map(|status| {
            let message = status.message().replace(principal, "ID");
            (told(&status), message)
        });
        answers.push(told);
    }
    answers
}

/// Operators issue, delete and end at once. Whatever comes of it, no key is left
/// without its principal: a server would not start on that.
#[tokio::test(flavor = "multi_thread")]
async fn no_key_is_left_of_a_principal_that_was_deleted_beside_it() {
    const ROUNDS: usize = 60;
    let server = Server::start();
    let mut owner = server.admin().await;
    owner.workspace("w", "klg", &[]).await;
    let deleted = Arc::new(AtomicUsize::new(0));
    let issued = Arc::new(AtomicUsize::new(0));
    for round in 0..ROUNDS {
        let id = format!("user:{round}");
        create(&mut owner, &id).await.unwrap();
        let request = CreateKeyRequest {
            principal: id.clone(),
            ..key_request("w", &[])
        };
        let mut one = server.admin().await;
        let (mut other, mut third) = (one.clone(), one.clone());
        // Now one starts first and now the other, by more and more.
        let lead = Duration::from_micros(round as u64 / 2 * 200);
        let (first, second) = match round % 2 {
            0 => (Duration::ZERO, lead),
            _ => (lead, Duration::ZERO),
        };
        let (ended, key, _) = tokio::join!(
            async {
                tokio::time::sleep(first).await;
                delete_principal(&mut one, &id, "").await
            },
            async {
                tokio::time::sleep(second).await;
                other.client.create_key(request).await
            },
            set_membership(&mut third, "w", &id, &["*"]),
        );
        match (ended, key) {
            (Ok(()), Err(status)) => {
                assert_eq!(told(&status), PRECONDITION);
                deleted.fetch_add(1, Ordering::Relaxed);
                assert_eq!(memberships(&mut owner, "", &id).await, [""; 0]);
            }
            (Err(status), Ok(_)) => {
                assert_eq!(told(&status), PRECONDITION);
                issued.fetch_add(1, Ordering::Relaxed);
                assert_eq!(memberships(&mut owner, "", &id).await.len(), 1);
            }
            neither => panic!("{neither:?}"),
        }
    }
    let counts = [&deleted, &issued].map(|count| count.load(Ordering::Relaxed));
    assert!(counts.iter().all(|count| *count > 0), "{counts:?}");
    let left = principals_in_pages(&mut owner).await;
    assert_eq!(left, issued.load(Ordering::Relaxed));
    let server = server.kill().serve();
    assert_eq!(principals_in_pages(&mut server.admin().await).await, left);
}

/// What was deleted takes no place on a page.
#[tokio::test(flavor = "multi_thread")]
async fn pages_are_full_after_deletions() {
    let server = Server::start();
    let mut owner = server.admin().await;
    for number in 0..6 {
        let id = format!("user:{number}");
        create(&mut owner, &id).await.unwrap();
        if number < 4 {
            delete_principal(&mut owner, &id, "").await.unwrap();
        }
    }
    let request = ListPrincipalsRequest {
        page_size: 2,
        ..ListPrincipalsRequest::default()
    };
    let page = owner.client.list_principals(request).await.unwrap();
    let page = page.into_inner();
    assert_eq!(page.principals.len(), 2);
    assert_eq!(page.next_page_token, "");

    for number in 0..6 {
        let id = format!("w{number}");
        owner.workspace(&id, &format!("klg{number}"), &[]).await;
        if number < 4 {
            switch_workspace(&mut owner, &id, "", true).await.unwrap();
            delete_workspace(&mut owner, &id, "").await.unwrap();
        }
    }
    let request = ListWorkspacesRequest {
        page_size: 2,
        ..ListWorkspacesRequest::default()
    };
    let page = owner.client.list_workspaces(request).await.unwrap();
    let page = page.into_inner();
    assert_eq!(page.workspaces.len(), 2);
    assert_eq!(page.next_page_token, "");
}

/// Before there was a rule against it, a token could be a principal's id. The
/// store of then is served, and the principal can be brought to its end.
#[tokio::test(flavor = "multi_thread")]
async fn a_principal_of_old_with_the_form_of_a_token_is_read_and_ended() {
    let id = format!("ci_token_{}", "0".repeat(49));
    let server = Server::start();
    let mut owner = server.admin().await;
    owner.workspace("w", "klg", &[]).await;
    assert_eq!(told_of(create(&mut owner, &id).await), INVALID);
    let site = server.kill();
    site.edit(|_, _| {
        let principal = domain::Principal::plain(&id, "adm".to_owned(), records::time(1));
        let membership = domain::Membership {
            workspace: "w".parse().unwrap(),
            principal: id.clone(),
            scope_ceiling: records::scopes(["*"]),
            create_time: records::time(1),
            created_by: "adm".to_owned(),
            removal: None,
        };
        vec![
            records::create(Record::Principal(principal)),
            records::create(Record::Membership(membership)),
        ]
    })
    .await;
    let server = site.serve();
    let mut owner = server.admin().await;
    let found = show(&mut owner, &id).await.unwrap();
    assert_eq!(found.principal.unwrap().id, id);
    assert_eq!(memberships(&mut owner, "w", &id).await.len(), 1);
    let renamed = Principal {
        id: id.clone(),
        display_name: "Old CI".to_owned(),
        ..Principal::default()
    };
    update_principal(&mut owner, renamed, &["display_name"])
        .await
        .unwrap();
    switch_principal(&mut owner, &id, true).await.unwrap();
    remove_membership(&mut owner, "w", &id).await.unwrap();
    delete_principal(&mut owner, &id, "").await.unwrap();
    let server = server.kill().serve();
    assert_eq!(
        told_of(show(&mut server.admin().await, &id).await),
        NOT_FOUND
    );
}

async fn principals_in_pages(admin: &mut Admin) -> usize {
    let (mut count, mut token) = (0, String::new());
    loop {
        let request = ListPrincipalsRequest {
            page_size: 7,
            page_token: token,
        };
        let page = admin.client.list_principals(request).await.unwrap();
        let page = page.into_inner();
        count += page.principals.len();
        token = page.next_page_token;
        if token.is_empty() {
            return count;
        }
    }
}

/// A key whose principal is buried under it is damage, and not a key that is
/// DISABLED: no server starts on it.
#[tokio::test(flavor = "multi_thread")]
async fn a_store_with_a_key_of_nobody_is_refused_as_damaged() {
    let server = Server::start();
    let mut owner = server.admin().await;
    owner.workspace("w", "klg", &[]).await;
    let key = issue(&mut owner, "w").await.unwrap().id;
    let site = server.kill();
    site.edit(|_, records| {
        let principal = records
            .into_iter()
            .find(|found| matches!(found.record, Record::Principal(_)))
            .unwrap();
        vec![update(buried(&principal.record), principal.revision)]
    })
    .await;
    let Err((status, said)) = Server::spawn(site.clone(), site.serve_command()) else {
        panic!("it is served")
    };
    assert_eq!(status.code(), Some(65), "{said}");
    let sentence = format!(
        "the store is damaged: the record under `k/{key}` cannot be read: its principal is missing; \
         put its files back as they were, or restore a backup"
    );
    assert!(said.contains(&sentence), "{said}");

    // Nor is another OWNER put on it.
    let mut recover = keyward();
    recover.args(["admins", "recover", "--data-dir"]);
    recover.arg(site.data_dir()).arg("--token-file");
    recover.arg(site.path().join("new.token"));
    let output = run(&mut recover);
    assert_eq!(output.status.code(), Some(65), "{output:?}");
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains(&sentence), "{said}");
}
