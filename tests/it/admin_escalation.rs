//! Nobody gets beyond the rights that he was given: not by what he makes,
//! changes or repeats, and not by being quicker than who takes them away.
#![expect(
    clippy::too_many_lines,
    reason = "a test tells one story, from top to bottom"
)]

use keyward::edge::pb::*;
use tokio::task::JoinSet;
use tonic::{Code, Status};

use crate::office::{
    Ask, Caller, Office, admin_key, create_admin, get_admin, revoke_admin, rotate_admin, said,
    told, update_admin, whoami,
};
use crate::support::{Admin, count, key_request};

const CEILING: &str = "PERMISSION_DENIED, GRANT_CEILING_EXCEEDED";
const ROLE: &str = "PERMISSION_DENIED, ROLE_INSUFFICIENT";
const SYSTEM: &str = "PERMISSION_DENIED, NOT_OF_THE_SYSTEM";

#[tokio::test(flavor = "multi_thread")]
async fn a_narrow_owner_hands_out_nothing_beyond_its_ceiling() {
    let office = Office::open().await;
    let here = office.workspace().await;
    let narrow = office
        .caller(AdminRole::Owner, &here, &["people:read", "companies:*"])
        .await;
    let mut admin = narrow.admin.clone();
    for (scopes, beyond) in [
        (&[][..], ""),
        (&["people:read"], ""),
        (&["companies:a:b", "companies:*"], ""),
        (&["*"], "*"),
        (&["ALL"], "*"),
        (&["people:*"], "people:*"),
        (&["people:write"], "people:write"),
        (&["people"], "people"),
        (&["companies"], "companies"),
        (&["companiesx:read"], "companiesx:read"),
        (&["people:read", "z", "companies:read", "a"], "a z"),
    ] {
        let key = issue(&mut admin, &here, scopes).await.map(drop);
        is_refused_if_beyond(key, beyond);
        let asked = admin_key(AdminRole::Owner, &here, scopes);
        let made = create_admin(&mut admin, asked).await.map(drop);
        is_refused_if_beyond(made, beyond);

        let key = issue(&mut admin, &here, &[]).await.unwrap().key.unwrap();
        let asked = Key {
            id: key.id,
            scopes: owned(scopes),
            ..Key::default()
        };
        let widened = update_key(&mut admin, asked, &["scopes"]).await;
        is_refused_if_beyond(widened, beyond);
        let asked = admin_key(AdminRole::Reader, &here, &[]);
        let made = create_admin(&mut admin, asked).await.unwrap();
        let asked = AdminKey {
            grant_ceiling: owned(scopes),
            ..made.admin_key.unwrap()
        };
        let widened = update_admin(&mut admin, asked, &["grant_ceiling"]).await;
        is_refused_if_beyond(widened.map(drop), beyond);
    }
}

/// A key of `test` is given out lightly, as it passes nowhere by default. Who
/// makes `test` the default lets it pass everywhere, whatever it may do.
#[tokio::test(flavor = "multi_thread")]
async fn a_narrow_owner_opens_no_gateway_to_keys_beyond_its_ceiling() {
    let office = Office::open().await;
    let here = office.workspace().await;
    let mut owner = office.owner.clone();
    let request = CreateKeyRequest {
        environment: "test".to_owned(),
        ..key_request(&here, &["*"])
    };
    let reply = owner.client.create_key(request).await.unwrap();
    let token = reply.into_inner().token;
    let mut checks = office.server.checks().await;
    let scopes = ["people:*", "companies:*", "a"];
    let narrow = office.caller(AdminRole::Owner, &here, &scopes).await;
    let change = async |fields: &[&str], name: &str| {
        let workspace = Workspace {
            id: here.clone(),
            environments: owned(&["live", "test", "dev"]),
            default_environment: name.to_owned(),
            ..Workspace::default()
        };
        let paths = owned(fields);
        let request = UpdateWorkspaceRequest {
            workspace: Some(workspace),
            update_mask: Some(prost_types::FieldMask { paths }),
        };
        let mut admin = narrow.admin.clone();
        admin.client.update_workspace(request).await.map(drop)
    };
    for fields in [
        &["default_environment"][..],
        &["display_name", "default_environment", "environments"],
    ] {
        for name in ["test", "dev"] {
            let known = fields.len() > 1 || name == "test";
            let status = change(fields, name).await.unwrap_err();
            if known {
                is_refused_if_beyond(Err(status), "*");
            } else {
                assert_eq!(status.code(), Code::InvalidArgument);
            }
            assert!(checks.header(&token, &["b:read"]).await.is_err());
        }
    }
    // What opens nothing needs no more than the role.
    change(&["environments"], "").await.unwrap();
    change(&["default_environment"], "live").await.unwrap();
    let denied = office.denials_of(&narrow.id, 3).await;
    assert!(denied.iter().all(|event| event.detail["scopes"] == "*"));
    assert!(checks.header(&token, &["b:read"]).await.is_err());
}

fn is_refused_if_beyond(answer: Result<(), Status>, beyond: &str) {
    if beyond.is_empty() {
        answer.unwrap();
        return;
    }
    let status = answer.unwrap_err();
    assert_eq!(
        (&*told(&status), &*said(&status, "scopes")),
        (CEILING, beyond)
    );
    assert!(status.message().contains(beyond), "{status:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_beyond_the_ceiling_can_be_ended_and_not_kept_alive() {
    let office = Office::open().await;
    let here = office.workspace().await;
    let mut narrow = office.caller(AdminRole::Owner, &here, &["a:*"]).await.admin;
    for call in [
        "UpdateKey",
        "EnableKey",
        "DisableKey",
        "RevokeKey",
        "DeleteKey",
    ] {
        let key = office.key(&here, &["a:read", "b:read"]).await;
        let ask = Ask {
            id: key.id.clone(),
            name: "another name".to_owned(),
            // To name the expiry alone takes it away, which is more.
            fields: owned(if call == "UpdateKey" {
                &["name", "expire_time"]
            } else {
                &[]
            }),
            ..Ask::default()
        };
        if call == "DeleteKey" {
            ask.send(&mut narrow, "RevokeKey").await.unwrap();
        }
        let answer = ask.send(&mut narrow, call).await;
        let hands_out = ["UpdateKey", "EnableKey"].contains(&call);
        is_refused_if_beyond(answer, if hands_out { "b:read" } else { "" });
        // Taken down to what is covered, it can be changed.
        if call == "UpdateKey" {
            let ask = Ask {
                scopes: owned(&["a:read"]),
                fields: owned(&["name", "scopes"]),
                ..ask
            };
            ask.send(&mut narrow, call).await.unwrap();
        }
    }
    let wide = office
        .caller(AdminRole::Issuer, &here, &["a:read", "b:read"])
        .await;
    let asked = AdminKey {
        id: wide.id.clone(),
        name: "another name".to_owned(),
        role: AdminRole::Reader.into(),
        ..AdminKey::default()
    };
    for fields in [
        &["name"][..],
        &["role"],
        &["expire_time"],
        &["name", "role"],
    ] {
        let changed = update_admin(&mut narrow, asked.clone(), fields).await;
        is_refused_if_beyond(changed.map(drop), "b:read");
    }
    let rotated = rotate_admin(&mut narrow, &wide.id, 0).await;
    is_refused_if_beyond(rotated.map(drop), "b:read");
    assert!(
        whoami(&mut wide.admin.clone()).await.is_ok(),
        "its token works on"
    );
    revoke_admin(&mut narrow, &wide.id).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_makes_himself_wider() {
    let office = Office::open().await;
    let (here, yonder) = (office.workspace().await, office.workspace().await);
    for role in [AdminRole::Reader, AdminRole::Issuer, AdminRole::Owner] {
        for place in ["", &*here] {
            let mut caller = office.caller(role, place, &["a:*"]).await;
            let before = whoami(&mut caller.admin).await.unwrap();
            let owner = role == AdminRole::Owner;
            let change = |change: fn(&mut AdminKey)| {
                let mut asked = before.clone();
                change(&mut asked);
                asked
            };
            let widened = change(|asked| asked.grant_ceiling = owned(&["*"]));
            let status = update_admin(&mut caller.admin, widened, &["grant_ceiling"]).await;
            assert_eq!(
                told(&status.unwrap_err()),
                if owner { CEILING } else { ROLE }
            );
            if !owner {
                let raised = change(|asked| asked.role = AdminRole::Owner.into());
                let status = update_admin(&mut caller.admin, raised, &["role"]).await;
                assert_eq!(told(&status.unwrap_err()), ROLE);
            }
            // Where it acts is final, and what it is is not for it to say.
            for (field, workspace) in [
                ("workspace", ""),
                ("workspace", &*yonder),
                ("id", ""),
                ("state", ""),
                ("created_by", ""),
                ("*", ""),
            ] {
                let asked = AdminKey {
                    workspace: workspace.to_owned(),
                    ..before.clone()
                };
                let status = update_admin(&mut caller.admin, asked, &[field]).await;
                assert_eq!(
                    told(&status.unwrap_err()),
                    "INVALID_ARGUMENT, INVALID_FIELDS"
                );
            }
            assert_eq!(whoami(&mut caller.admin).await.unwrap(), before);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_workspace_makes_no_admin_key_but_its_own_and_an_issuer_none() {
    let office = Office::open().await;
    let (here, yonder) = (office.workspace().await, office.workspace().await);
    for role in [AdminRole::Reader, AdminRole::Issuer, AdminRole::Owner] {
        let mut caller = office.caller(role, &here, &["*"]).await;
        for made in [AdminRole::Reader, AdminRole::Issuer, AdminRole::Owner] {
            let mut try_at = async |place: &str| {
                let asked = admin_key(made, place, &[]);
                let answer = create_admin(&mut caller.admin, asked).await;
                answer.map_or_else(|status| told(&status), |_| "OK".to_owned())
            };
            assert_eq!(try_at("").await, SYSTEM);
            assert_eq!(try_at(&yonder).await, "NOT_FOUND, RESOURCE_NOT_FOUND");
            let own = if role == AdminRole::Owner { "OK" } else { ROLE };
            assert_eq!(try_at(&here).await, own);
        }
    }
    // A READER has one change to make: a new token for itself.
    let mut reader = office.caller(AdminRole::Reader, &here, &[]).await;
    let mut before = whoami(&mut reader.admin).await.unwrap();
    let rotated = rotate_admin(&mut reader.admin, &reader.id, 0)
        .await
        .unwrap();
    let mut after = whoami(&mut office.admin(&rotated.token)).await.unwrap();
    for shown in [&mut before, &mut after] {
        shown.etag.clear();
        shown.hint.clear();
    }
    assert_eq!(after, before, "it is what it was");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repetition_shows_a_token_only_to_who_could_issue_it_now() {
    let office = Office::open().await;
    let here = office.workspace().await;
    let mut owner = office.owner.clone();
    let mut issuer = office.caller(AdminRole::Issuer, &here, &["a:*"]).await;
    let request = CreateKeyRequest {
        request_id: "one".to_owned(),
        ..key_request(&here, &["a:read"])
    };
    let mut repeat = async || {
        let reply = issuer.admin.client.create_key(request.clone()).await;
        reply.map(|reply| reply.into_inner().token)
    };
    let token = repeat().await.unwrap();
    assert_eq!(repeat().await.unwrap(), token);
    let with = |role: AdminRole, ceiling: &[&str]| AdminKey {
        id: issuer.id.clone(),
        ..admin_key(role, "", ceiling)
    };
    let fields = ["role", "grant_ceiling"];
    for (change, expected) in [
        (with(AdminRole::Issuer, &["a:write"]), CEILING),
        (with(AdminRole::Reader, &["a:*"]), ROLE),
    ] {
        update_admin(&mut owner, change, &fields).await.unwrap();
        assert_eq!(told(&repeat().await.unwrap_err()), expected);
    }
    update_admin(&mut owner, with(AdminRole::Issuer, &["a:*"]), &fields)
        .await
        .unwrap();
    assert_eq!(repeat().await.unwrap(), token);
    // It is no other caller's request, however much that one may.
    let other = owner.client.create_key(request.clone()).await.unwrap();
    assert_ne!(other.into_inner().token, token);
    revoke_admin(&mut owner, &issuer.id).await.unwrap();
    assert_eq!(repeat().await.unwrap_err().code(), Code::Unauthenticated);
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_disabled_workspace_nothing_is_made() {
    let office = Office::open().await;
    let here = office.workspace().await;
    let mut own = office.caller(AdminRole::Owner, &here, &["*"]).await;
    let mut reader = office.caller(AdminRole::Reader, &here, &["*"]).await;
    let key = office.key(&here, &[]).await;
    let ask = Ask {
        workspace: here.clone(),
        name: "a name".to_owned(),
        ..Ask::default()
    };
    let mut owner = office.owner.clone();
    ask.send(&mut owner, "DisableWorkspace").await.unwrap();
    for admin in [&mut own.admin, &mut owner] {
        for call in ["CreateKey", "CreateAdminKey"] {
            let status = ask.send(admin, call).await.unwrap_err();
            assert_eq!(told(&status), "FAILED_PRECONDITION, PRECONDITION_FAILED");
            assert_eq!(said(&status, "condition"), "WORKSPACE_DISABLED");
        }
    }
    // Who may not is told that, and no more.
    for call in ["CreateKey", "CreateAdminKey"] {
        assert_eq!(
            told(&ask.send(&mut reader.admin, call).await.unwrap_err()),
            ROLE
        );
    }
    assert_eq!(
        told(
            &ask.send(&mut own.admin, "EnableWorkspace")
                .await
                .unwrap_err()
        ),
        SYSTEM
    );
    // What is there can be ended.
    let ask = Ask { id: key.id, ..ask };
    ask.send(&mut own.admin, "RevokeKey").await.unwrap();
    rotate_admin(&mut own.admin, &own.id, 0).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_an_admin_key_does_comes_after_its_end() {
    let office = Office::open().await;
    let here = office.workspace().await;
    let mut owner = office.owner.clone();
    for round in 0..count("KEYWARD_TEST_RACE_ROUNDS", 40) {
        let caller = office.caller(AdminRole::Owner, &here, &["*"]).await;
        let mut busy = JoinSet::new();
        for _ in 0..12 {
            busy.spawn(makes_what_it_can(caller.clone(), here.clone()));
        }
        // Some of it is under way.
        while office.events_of(&caller.id).await.len() < 12 {}
        let what = ["revoke", "demote", "narrow"][round % 3];
        let less = AdminKey {
            id: caller.id.clone(),
            ..admin_key(AdminRole::Reader, "", &[])
        };
        match what {
            "revoke" => revoke_admin(&mut owner, &caller.id).await,
            "demote" => update_admin(&mut owner, less, &["role"]).await,
            _ => update_admin(&mut owner, less, &["grant_ceiling"]).await,
        }
        .unwrap();
        let statuses = busy.join_all().await;
        for status in &statuses {
            let known = ["UNAUTHENTICATED", "PERMISSION_DENIED", "ABORTED"];
            let told = told(status);
            assert!(
                known.iter().any(|code| told.starts_with(code)),
                "{status:?}"
            );
        }
        let all = office.events(ListAuditEventsRequest::default()).await;
        let end = all
            .iter()
            .position(|event| event.resource == caller.id && event.action != "admin.create")
            .unwrap();
        let late: Vec<_> = all[..end]
            .iter()
            .filter(|event| event.actor == caller.id && event.action != "call.deny")
            .collect();
        assert!(late.is_empty(), "round {round}: after {what}, {late:?}");
    }
}

/// Makes keys and admin keys until it is stopped; what stopped it.
async fn makes_what_it_can(mut caller: Caller, here: String) -> Status {
    loop {
        if let Err(status) = issue(&mut caller.admin, &here, &["a"]).await {
            return status;
        }
        let asked = admin_key(AdminRole::Owner, &here, &["a"]);
        if let Err(status) = create_admin(&mut caller.admin, asked).await {
            return status;
        }
        // All but the first time, the token is shown again.
        let request = CreateKeyRequest {
            request_id: "one".to_owned(),
            ..key_request(&here, &["a"])
        };
        if let Err(status) = caller.admin.client.create_key(request).await {
            return status;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn elsewhere_an_owner_rotates_changes_and_ends_nobody() {
    let office = Office::open().await;
    let (here, yonder) = (office.workspace().await, office.workspace().await);
    let mut own = office.caller(AdminRole::Owner, &here, &["*"]).await.admin;
    let system = office.caller(AdminRole::Reader, "", &[]).await;
    let theirs = office.caller(AdminRole::Reader, &yonder, &[]).await;
    let mut owner = office.owner.clone();
    for victim in [system, theirs] {
        let before = get_admin(&mut owner, &victim.id).await.unwrap();
        for overlap in [0, 1_000] {
            let status = rotate_admin(&mut own, &victim.id, overlap)
                .await
                .unwrap_err();
            assert_eq!(status.code(), Code::NotFound);
        }
        let status = update_admin(&mut own, before.clone(), &["name"])
            .await
            .unwrap_err();
        assert_eq!(status.code(), Code::NotFound);
        let status = revoke_admin(&mut own, &victim.id).await.unwrap_err();
        assert_eq!(status.code(), Code::NotFound);
        assert_eq!(get_admin(&mut owner, &victim.id).await.unwrap(), before);
        assert!(whoami(&mut victim.admin.clone()).await.is_ok());
    }
}

async fn issue(
    admin: &mut Admin,
    workspace: &str,
    scopes: &[&str],
) -> Result<CreateKeyResponse, Status> {
    let reply = admin
        .client
        .create_key(key_request(workspace, scopes))
        .await?;
    Ok(reply.into_inner())
}

async fn update_key(admin: &mut Admin, key: Key, fields: &[&str]) -> Result<(), Status> {
    let ask = Ask {
        id: key.id,
        scopes: key.scopes,
        fields: owned(fields),
        ..Ask::default()
    };
    ask.send(admin, "UpdateKey").await
}

fn owned(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|&text| text.to_owned()).collect()
}
