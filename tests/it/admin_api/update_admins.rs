//! Admin keys are changed by a field mask, and the change holds for the very
//! next call.

use keyward::edge::pb::{
    AdminKey, AdminRole, GetAdminKeyRequest, RevokeAdminKeyRequest, RotateAdminKeyRequest,
    UpdateAdminKeyRequest, WhoAmIRequest,
};

use super::calls::*;
use super::*;

fn asked(name: &str, role: AdminRole, ceiling: &[&str]) -> AdminKey {
    AdminKey {
        name: name.to_owned(),
        role: role.into(),
        grant_ceiling: names(ceiling),
        ..AdminKey::default()
    }
}

async fn get_admin(admin: &mut Admin, id: &str) -> Result<AdminKey, Status> {
    let request = GetAdminKeyRequest {
        admin_key_id: id.to_owned(),
    };
    let reply = admin.client.get_admin_key(request).await?;
    Ok(reply.into_inner().admin_key.unwrap())
}

async fn revoke_admin(admin: &mut Admin, id: &str, note: &str) -> Result<AdminKey, Status> {
    let request = RevokeAdminKeyRequest {
        admin_key_id: id.to_owned(),
        reason: RevocationReason::Unused.into(),
        note: note.to_owned(),
    };
    let reply = admin.client.revoke_admin_key(request).await?;
    Ok(reply.into_inner().admin_key.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn each_field_is_changed_alone_and_stays_so() {
    let server = Server::start();
    let mut admin = server.admin().await;
    admin.workspace("w", "klg", &[]).await;
    let new = AdminKey {
        id: String::new(),
        name: "another name".to_owned(),
        role: AdminRole::Reader.into(),
        workspace: "w".to_owned(),
        grant_ceiling: names(&["people:write", "people:read", "people:read"]),
        state: KeyState::Revoked.into(),
        hint: "hint".to_owned(),
        expire_time: Some(Timestamp {
            seconds: 4_100_000_000,
            nanos: 1_999,
        }),
        created_by: "me".to_owned(),
        ..AdminKey::default()
    };
    type Change = fn(&mut AdminKey, &AdminKey);
    let fields: [(&str, Change); 4] = [
        ("name", |it, new| it.name.clone_from(&new.name)),
        ("role", |it, new| it.role = new.role),
        ("grant_ceiling", |it, _| {
            it.grant_ceiling = names(&["people:read", "people:write"]);
        }),
        ("expire_time", |it, _| {
            it.expire_time = Some(Timestamp {
                seconds: 4_100_000_000,
                nanos: 1_000,
            });
        }),
    ];
    let mut changed = Vec::new();
    for (field, change) in fields {
        let made = create_admin(&mut admin, asked("one", AdminRole::Issuer, &["*"])).await;
        let before = made.unwrap().admin_key.unwrap();
        let asked = AdminKey {
            id: before.id.clone(),
            ..new.clone()
        };
        let after = update_admin(&mut admin, asked.clone(), &[field])
            .await
            .unwrap();
        let mut expected = before.clone();
        change(&mut expected, &new);
        expected.etag.clone_from(&after.etag);
        assert_eq!(after, expected, "{field}");
        assert_ne!(after, before, "{field}");
        assert_ne!(after.etag, before.etag, "{field}");
        assert_eq!(get_admin(&mut admin, &before.id).await.unwrap(), after);
        let again = update_admin(&mut admin, asked, &[field]).await.unwrap();
        assert_eq!(again, after, "{field}");
        changed.push(after);
    }
    // An expiry that is named and not given is taken away.
    let last = changed.pop().unwrap();
    let bare = AdminKey {
        id: last.id.clone(),
        ..AdminKey::default()
    };
    let cleared = update_admin(&mut admin, bare, &["expire_time"])
        .await
        .unwrap();
    assert_eq!(cleared.expire_time, None);
    changed.push(cleared);

    let site = server.site.clone();
    server.kill();
    let server = site.serve();
    let mut admin = server.admin().await;
    for one in changed {
        assert_eq!(get_admin(&mut admin, &one.id).await.unwrap(), one);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_it_is_left_with_holds_for_its_next_call() {
    let server = Server::start();
    let mut owner = server.admin().await;
    owner.workspace("w", "klg", &[]).await;
    let made = create_admin(&mut owner, asked("one", AdminRole::Issuer, &["*"])).await;
    let made = made.unwrap();
    let key = made.admin_key.unwrap();
    let mut other = support::admin_client(&server.admin_address, &made.token).await;
    let said = other
        .client
        .who_am_i(WhoAmIRequest {})
        .await
        .unwrap()
        .into_inner();
    assert_eq!(said.admin_key.as_ref(), Some(&key));
    assert!(said.server_version.starts_with(env!("CARGO_PKG_VERSION")));
    for round in 0..20 {
        let with = |role: AdminRole, ceiling: &[&str]| AdminKey {
            id: key.id.clone(),
            ..asked("one", role, ceiling)
        };
        other.key("w", &["people:write"]).await;
        let narrow = with(AdminRole::Issuer, &["people:read"]);
        update_admin(&mut owner, narrow, &["grant_ceiling"])
            .await
            .unwrap();
        let request = key_request("w", &["people:write", "people:read"]);
        let status = other.client.create_key(request).await.unwrap_err();
        told(
            &status,
            Code::PermissionDenied,
            "GRANT_CEILING_EXCEEDED",
            &[("scopes", "people:write")],
        );
        let reader = with(AdminRole::Reader, &["*"]);
        update_admin(&mut owner, reader, &["role", "grant_ceiling"])
            .await
            .unwrap();
        let request = key_request("w", &[]);
        let status = other.client.create_key(request).await.unwrap_err();
        told(
            &status,
            Code::PermissionDenied,
            "ROLE_INSUFFICIENT",
            &[("role", "READER"), ("requiredRole", "ISSUER")],
        );
        let issuer = with(AdminRole::Issuer, &["*"]);
        update_admin(&mut owner, issuer, &["role"]).await.unwrap();
        other.key("w", &[&format!("round:{round}")]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_is_refused_and_told_at_once() {
    let server = Server::start();
    let mut admin = server.admin().await;
    let made = create_admin(&mut admin, asked("one", AdminRole::Issuer, &["*"])).await;
    let before = made.unwrap().admin_key.unwrap();
    let status = update_admin(&mut admin, before.clone(), &[])
        .await
        .unwrap_err();
    assert_eq!(fields(&status), ["update_mask"]);
    for path in [
        "*",
        "",
        "id",
        "workspace",
        "state",
        "hint",
        "grantCeiling",
        "etag",
    ] {
        let status = update_admin(&mut admin, before.clone(), &["name", path]).await;
        assert_eq!(
            fields(&status.unwrap_err()),
            ["update_mask.paths[1]"],
            "{path:?}"
        );
    }
    let bad = AdminKey {
        name: "a\nb".to_owned(),
        role: 9,
        grant_ceiling: names(&["a", "No"]),
        expire_time: Some(in_seconds(-1)),
        ..before.clone()
    };
    let all = ["name", "role", "grant_ceiling", "expire_time"];
    let status = update_admin(&mut admin, bad.clone(), &all)
        .await
        .unwrap_err();
    let expected = [
        "admin_key.name",
        "admin_key.role",
        "admin_key.grant_ceiling[1]",
        "admin_key.expire_time",
    ];
    assert_eq!(fields(&status), expected);
    let status = create_admin(&mut admin, bad).await.unwrap_err();
    assert_eq!(fields(&status), expected);
    let status = create_admin(&mut admin, AdminKey::default())
        .await
        .unwrap_err();
    assert_eq!(fields(&status), ["admin_key.name", "admin_key.role"]);
    let nobody = UpdateAdminKeyRequest {
        admin_key: None,
        update_mask: mask(&["name"]),
    };
    let status = admin.client.update_admin_key(nobody).await.unwrap_err();
    assert_eq!(fields(&status), ["admin_key.id"]);
    for workspace in ["No", "a b", "-w"] {
        let astray = AdminKey {
            workspace: workspace.to_owned(),
            ..asked("one", AdminRole::Reader, &[])
        };
        let status = create_admin(&mut admin, astray).await.unwrap_err();
        assert_eq!(fields(&status), ["admin_key.workspace"], "{workspace}");
    }
    assert_eq!(get_admin(&mut admin, &before.id).await.unwrap(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_one_stays_as_it_was_when_it_ended() {
    let server = Server::start();
    let mut admin = server.admin().await;
    let made = create_admin(&mut admin, asked("one", AdminRole::Owner, &["*"])).await;
    let made = made.unwrap();
    let id = made.admin_key.unwrap().id;
    let mut other = support::admin_client(&server.admin_address, &made.token).await;
    let revoked = revoke_admin(&mut admin, &id, "gone · ä").await.unwrap();
    assert_eq!(
        (
            revoked.state(),
            revoked.revocation_reason(),
            revoked.revocation_note.as_str()
        ),
        (KeyState::Revoked, RevocationReason::Unused, "gone · ä")
    );
    assert_eq!(
        revoke_admin(&mut admin, &id, "again").await.unwrap(),
        revoked
    );
    let status = revoke_admin(&mut admin, &id, "a\nb").await.unwrap_err();
    assert_eq!(fields(&status), ["note"]);
    let status = other.client.who_am_i(WhoAmIRequest {}).await.unwrap_err();
    told(
        &status,
        Code::Unauthenticated,
        "ADMIN_TOKEN_INVALID",
        &[("denial", "REVOKED")],
    );
    let rotate = RotateAdminKeyRequest {
        admin_key_id: id.clone(),
        overlap: None,
    };
    for status in [
        update_admin(&mut admin, revoked.clone(), &["name"])
            .await
            .unwrap_err(),
        admin.client.rotate_admin_key(rotate).await.unwrap_err(),
    ] {
        told(
            &status,
            Code::FailedPrecondition,
            "PRECONDITION_FAILED",
            &[("type", "admin_key"), ("id", &id), ("condition", "REVOKED")],
        );
    }
}

/// What it may and may no longer hand out is in one audit event, and fits.
#[tokio::test(flavor = "multi_thread")]
async fn an_admin_key_at_all_of_its_limits_can_be_changed_to_others() {
    let server = Server::start();
    let mut admin = server.admin().await;
    let id = "w".repeat(63);
    admin.workspace(&id, "klg", &[]).await;
    // 100 scopes, and 2,048 bytes.
    let ceiling = |first: char| -> Vec<_> {
        (0..100)
            .map(|n| format!("{first}{n:0>width$}", width = 19 + usize::from(n < 48)))
            .collect()
    };
    let asked = AdminKey {
        name: "n".repeat(100),
        role: AdminRole::Reader.into(),
        workspace: id.clone(),
        grant_ceiling: ceiling('a'),
        expire_time: Some(in_seconds(3_600)),
        ..AdminKey::default()
    };
    let length: usize = asked.grant_ceiling.iter().map(String::len).sum();
    assert_eq!(length, 2_048);
    let made = create_admin(&mut admin, asked).await.unwrap();
    let asked = AdminKey {
        name: "m".repeat(100),
        role: AdminRole::Issuer.into(),
        grant_ceiling: ceiling('b'),
        expire_time: Some(in_seconds(7_200)),
        ..made.admin_key.unwrap()
    };
    let all = ["name", "role", "grant_ceiling", "expire_time"];
    update_admin(&mut admin, asked, &all).await.unwrap();
    let event = &events(&mut admin, log_of(&id)).await.unwrap()[0];
    let length: usize = event.detail.values().map(String::len).sum();
    assert!(
        event.action == "admin.update" && length > 2 * 2_048,
        "{event:?}"
    );
}
