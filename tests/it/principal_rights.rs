//! What the admins of a workspace learn of principals, which are the system's:
//! nothing, by what they are answered and by what their log says.

use std::collections::BTreeSet;

use keyward::edge::pb::*;
use tonic::Status;
use tonic_types::StatusExt;

use crate::admin_api::calls::*;
use crate::office::{Caller, Office, told};
use crate::support::{Admin, check_request, key_request};

const PRECONDITION: &str = "FAILED_PRECONDITION, PRECONDITION_FAILED";

async fn issue(
    admin: &mut Admin,
    workspace: &str,
    principal: &str,
) -> Result<CreateKeyResponse, Status> {
    let request = CreateKeyRequest {
        principal: principal.to_owned(),
        ..key_request(workspace, &["a"])
    };
    let reply = admin.client.create_key(request).await;
    reply.map(tonic::Response::into_inner)
}

/// What the caller may read of the events since so many: what was done, and
/// what is told of that.
async fn events_since(admin: &mut Admin, seen: &mut usize) -> Vec<(String, Vec<String>)> {
    let request = ListAuditEventsRequest::default();
    let reply = admin.client.list_audit_events(request).await.unwrap();
    let mut events = reply.into_inner().events;
    let new = events.len() - *seen;
    *seen = events.len();
    events.truncate(new);
    let told = |event: AuditEvent| (event.action, event.detail.into_keys().collect());
    let mut told: Vec<(String, Vec<String>)> = events.into_iter().map(told).collect();
    told.iter_mut().for_each(|(_, names)| names.sort());
    told
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_of_a_workspace_does_not_tell_whether_a_principal_was_there() {
    let office = Office::open().await;
    let (here, yonder) = (office.workspace().await, office.workspace().await);
    let mut owner = office.owner.clone();
    issue(&mut owner, &yonder, "user:known").await.unwrap();
    set_membership(&mut owner, &yonder, "user:seen", &["*"])
        .await
        .unwrap();
    let Caller { id, mut admin, .. } = office.caller(AdminRole::Owner, &here, &["*"]).await;
    let (mut told, mut seen) = (BTreeSet::new(), 0);
    events_since(&mut admin, &mut seen).await;
    for principal in ["user:known", "user:new"] {
        issue(&mut admin, &here, principal).await.unwrap();
        told.insert(events_since(&mut admin, &mut seen).await);
    }
    for principal in ["user:seen", "user:other"] {
        set_membership(&mut admin, &here, principal, &["b"])
            .await
            .unwrap();
        told.insert(events_since(&mut admin, &mut seen).await);
    }
    assert!(told.iter().all(|events| events.len() == 1), "{told:?}");
    assert_eq!(told.len(), 2, "one of each kind: {told:?}");

    // The system's log has who made them, by what and where.
    let request = ListAuditEventsRequest {
        log: Some(list_audit_events_request::Log::System(SystemLog {})),
        action: "principal.create".to_owned(),
        actor: id,
        ..ListAuditEventsRequest::default()
    };
    let made = office.events(request).await;
    let made: Vec<_> = made
        .iter()
        .map(|event| {
            assert_eq!(event.detail["workspace"], here);
            (&*event.resource, &*event.detail["call"])
        })
        .collect();
    assert_eq!(
        made,
        [("user:other", "SetMembership"), ("user:new", "CreateKey")]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disabled_principal_does_not_show_to_a_workspace_and_gets_nothing_that_works() {
    let office = Office::open().await;
    let here = office.workspace().await;
    let mut owner = office.owner.clone();
    let mut checks = office.server.checks().await;
    let mut outcome = async |token: &str| {
        let request = check_request(token, &["a"]);
        match checks.ask(request).await {
            Ok(_) => "ALLOWED",
            Err(denied) => denied.reason().as_str_name(),
        }
    };
    let first = issue(&mut owner, &here, "user:off").await.unwrap();
    let key = first.key.unwrap().id;
    switch_principal(&mut owner, "user:off", true)
        .await
        .unwrap();

    // The system's admins are told, before they hand out what does not work.
    let disabled = |status: Status| {
        assert_eq!(told(&status), PRECONDITION);
        let info = status.get_details_error_info().unwrap();
        assert_eq!(info.metadata["condition"], "PRINCIPAL_DISABLED");
    };
    disabled(issue(&mut owner, &here, "user:off").await.unwrap_err());
    let rotation = rotation(&key, 1_000);
    let refused = rotate_key(&mut owner, rotation.clone()).await;
    disabled(refused.unwrap_err());

    // Those of the workspace are answered as of any other.
    let mut tokens = vec![first.token];
    for role in [AdminRole::Issuer, AdminRole::Owner] {
        let mut local = office.caller(role, &here, &["*"]).await.admin;
        let off = issue(&mut local, &here, "user:off").await.unwrap();
        let on = issue(&mut local, &here, "user:on").await.unwrap();
        let shown = |issued: &CreateKeyResponse| Key {
            id: String::new(),
            principal: String::new(),
            hint: String::new(),
            etag: String::new(),
            create_time: None,
            rotate_time: None,
            rotation_due_time: None,
            ..issued.key.clone().unwrap()
        };
        assert_eq!(shown(&off), shown(&on));
        assert_eq!(outcome(&on.token).await, "ALLOWED");
        let id = off.key.unwrap().id;
        let rotated = rotate_key(&mut local, crate::admin_api::calls::rotation(&id, 60_000));
        tokens.extend([off.token, rotated.await.unwrap().token]);
        switch_key(&mut local, &id, "", true).await.unwrap();
        switch_key(&mut local, &id, "", false).await.unwrap();
    }
    for token in &tokens {
        assert_eq!(outcome(token).await, "DENIAL_REASON_DISABLED");
    }
    // To enable it takes whoever may grant everything, and re-arms all of them.
    switch_principal(&mut owner, "user:off", false)
        .await
        .unwrap();
    for token in &tokens {
        assert_eq!(outcome(token).await, "ALLOWED");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn memberships_of_a_deleted_workspace_are_none() {
    let office = Office::open().await;
    let (gone, here) = (office.workspace().await, office.workspace().await);
    let mut owner = office.owner.clone();
    for workspace in [&gone, &here] {
        set_membership(&mut owner, workspace, "user:ada", &["*"])
            .await
            .unwrap();
    }
    switch_workspace(&mut owner, &gone, "", true).await.unwrap();
    delete_workspace(&mut owner, &gone, "").await.unwrap();
    let server = office.server;
    listed_where(&mut owner, &here).await;
    let server = server.kill().serve();
    let mut owner = server.admin().await;
    listed_where(&mut owner, &here).await;
    let removed = remove_membership(&mut owner, &gone, "user:ada").await;
    assert_eq!(told(&removed.unwrap_err()), "NOT_FOUND, RESOURCE_NOT_FOUND");
    // It keeps nobody from being deleted.
    delete_principal(&mut owner, "user:ada", "").await.unwrap();
}

/// `user:ada` is a member there, and nowhere else.
async fn listed_where(owner: &mut Admin, workspace: &str) {
    for principal in ["", "user:ada"] {
        // Page by page, what is none takes no place on a page.
        let request = ListMembershipsRequest {
            principal: principal.to_owned(),
            page_size: 1,
            ..ListMembershipsRequest::default()
        };
        let page = owner.client.list_memberships(request).await.unwrap();
        let page = page.into_inner();
        assert_eq!(page.memberships.len(), 1);
        assert_eq!(page.memberships[0].workspace, workspace);
        assert_eq!(page.next_page_token, "");
    }
    let request = GetPrincipalRequest {
        principal: "user:ada".to_owned(),
    };
    let found = owner.client.get_principal(request).await.unwrap();
    assert_eq!(found.into_inner().memberships.len(), 1);
}

/// Anything can be a principal, but not a token: it would be stored, and shown
/// to whoever reads of the principal.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_no_principal_and_in_no_text() {
    let office = Office::open().await;
    let here = office.workspace().await;
    let mut owner = office.owner.clone();
    let token = issue(&mut owner, &here, "user:ada").await.unwrap();
    let (key, token) = (token.key.unwrap(), token.token);
    let last = if token.ends_with('A') { "B" } else { "A" };
    let typo = format!("{}{last}", &token[..token.len() - 1]);
    let admin_token = office.server.site.admin_token();
    let before = office.events(ListAuditEventsRequest::default()).await.len();
    for secret in [&token, &typo, &admin_token] {
        let mut refused = Vec::new();
        for principal in principals_with(secret) {
            let request = CreatePrincipalRequest {
                principal: Some(principal),
            };
            refused.push(owner.client.create_principal(request).await.map(drop));
        }
        let set = set_membership(&mut owner, &here, secret, &["*"]).await;
        refused.push(set.map(drop));
        refused.push(issue(&mut owner, &here, secret).await.map(drop));
        let renamed = Key {
            name: secret.clone(),
            ..key.clone()
        };
        refused.push(update_key(&mut owner, renamed, &["name"]).await.map(drop));
        let admin = AdminKey {
            name: secret.clone(),
            ..crate::office::admin_key(AdminRole::Reader, &here, &[])
        };
        refused.push(create_admin(&mut owner, admin).await.map(drop));
        for (position, refused) in refused.into_iter().enumerate() {
            let status = refused.unwrap_err();
            assert_eq!(told(&status), "INVALID_ARGUMENT, INVALID_FIELDS");
            let request = status.get_details_bad_request().unwrap();
            let [violation] = request.field_violations.as_slice() else {
                panic!("{position}: {request:?}")
            };
            assert!(violation.description.contains("the form of a token"));
            assert!(!format!("{status:?}").contains(secret.as_str()));
        }
    }
    let after = office.events(ListAuditEventsRequest::default()).await.len();
    assert_eq!(after, before, "nothing was changed");
}

/// Who writes which token leaked into the note is not kept from ending it.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_in_a_note_is_cut_out_and_stops_no_revocation() {
    let office = Office::open().await;
    let here = office.workspace().await;
    let mut owner = office.owner.clone();
    let issued = issue(&mut owner, &here, "user:ada").await.unwrap();
    let (key, token) = (issued.key.unwrap().id, issued.token);
    let admin = crate::office::admin_key(AdminRole::Reader, &here, &[]);
    let admin = create_admin(&mut owner, admin).await.unwrap();
    let (admin, admin_token) = (admin.admin_key.unwrap().id, admin.token);

    let note = format!("KEY_{token}, in a log");
    let revoked = revoke_key(&mut owner, &key, 0, &note).await.unwrap();
    assert_eq!(revoked.revocation_note, "(a token), in a log");
    // To say it again is to change nothing, and no error.
    revoke_key(&mut owner, &key, 0, &token).await.unwrap();
    let request = RevokeAdminKeyRequest {
        admin_key_id: admin.clone(),
        note: admin_token.clone(),
        ..RevokeAdminKeyRequest::default()
    };
    let revoked = owner.client.revoke_admin_key(request).await.unwrap();
    let revoked = revoked.into_inner().admin_key.unwrap();
    assert_eq!(revoked.revocation_note, "(a token)");

    let events = office.events(ListAuditEventsRequest::default()).await;
    for (resource, note) in [(&admin, "(a token)"), (&key, "(a token), in a log")] {
        let event = events.iter().find(|event| event.resource == *resource);
        assert_eq!(event.unwrap().detail["note"], note);
    }
    let told = format!("{events:?}");
    assert!(!told.contains(&token) && !told.contains(&admin_token));
    let long = revoke_key(&mut owner, &key, 0, &"n".repeat(201)).await;
    assert_eq!(
        crate::office::told(&long.unwrap_err()),
        "INVALID_ARGUMENT, INVALID_FIELDS"
    );
}

/// Principals that have this in one of their texts.
fn principals_with(secret: &str) -> [Principal; 3] {
    let named = Principal {
        id: "user:new".to_owned(),
        ..Principal::default()
    };
    [
        Principal {
            id: secret.to_owned(),
            ..Principal::default()
        },
        Principal {
            display_name: secret.to_owned(),
            ..named.clone()
        },
        Principal {
            description: format!("(was {secret})"),
            ..named
        },
    ]
}
