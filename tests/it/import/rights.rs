//! Who may import what, and what is refused of a key.

use keyward::edge::pb::{
    AdminKey, AdminRole, CreateAdminKeyRequest, DeleteKeyRequest, DenialReason, ImportKey,
    ImportOptions, ImportOutcome, ListKeysRequest,
};
use tonic::Code;

use super::*;
use crate::support::{Site, admin_client};

/// An admin key of workspace `klipy`.
async fn confined(server: &Server, admin: &Admin, role: AdminRole, ceiling: &[&str]) -> Admin {
    let request = CreateAdminKeyRequest {
        admin_key: Some(AdminKey {
            name: "n".to_owned(),
            role: role.into(),
            workspace: "klipy".to_owned(),
            grant_ceiling: ceiling.iter().map(|&scope| scope.to_owned()).collect(),
            ..AdminKey::default()
        }),
    };
    let made = admin
        .client
        .clone()
        .create_admin_key(request)
        .await
        .unwrap();
    admin_client(&server.admin_address, &made.into_inner().token).await
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_imports_what_he_could_not_issue() {
    let (server, mut admin) = start().await;
    admin.workspace("other", "oth", &[]).await;
    let issuer = confined(&server, &admin, AdminRole::Issuer, &["people:read"]).await;
    let reader = confined(&server, &admin, AdminRole::Reader, &["*"]).await;
    let token = by_token(1, SECRET_KEY);

    let refused = import(&reader, into("klipy"), vec![token.clone()])
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
    // It is hidden, not named.
    for workspace in ["other", "nowhere"] {
        let refused = import(&issuer, into(workspace), vec![token.clone()])
            .await
            .unwrap_err();
        assert_eq!(refused.code(), Code::NotFound);
    }
    let wide = ImportKey {
        scopes: vec!["people:write".to_owned()],
        ..token.clone()
    };
    let refused = import_one(&issuer, "klipy", wide).await;
    assert_eq!(refused.outcome(), ImportOutcome::Refused);
    assert_eq!(refused.violations[0].field, "scopes");
    let mut checks = server.checks().await;
    assert_eq!(checks.denial(SECRET_KEY).await, DenialReason::Unknown);
    imported(&issuer, token.clone()).await;

    // Another workspace's token is taken, and no more is said of it.
    let elsewhere = import_one(&admin, "other", token).await;
    assert_eq!(elsewhere.outcome(), ImportOutcome::Reserved);
    assert_eq!((elsewhere.key_id.as_str(), elsewhere.differs), ("", false));

    let anybody = admin_client(&server.admin_address, "nonsense").await;
    let refused = import(&anybody, into("klipy"), Vec::new())
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_revoked_or_deleted_does_not_come_back() {
    let site = Site::init();
    let serve = || {
        let mut command = site.serve_command();
        command.args(["--key-retention", "0s"]);
        Server::spawn(site.clone(), command).unwrap()
    };
    let server = serve();
    let mut admin = server.admin().await;
    admin.workspace("klipy", "klp", &[]).await;
    admin.workspace("other", "oth", &[]).await;
    let revoked = imported(&admin, by_token(1, SECRET_KEY)).await;
    let sha256 = hex(&hashed(pb::HashAlgorithm::Sha256, UUID));
    let deleted = imported(&admin, by_hash(2, pb::HashAlgorithm::Sha256, &sha256)).await;
    admin.revoke(&revoked).await;
    admin.revoke(&deleted).await;
    let request = DeleteKeyRequest {
        key_id: deleted.clone(),
        ..DeleteKeyRequest::default()
    };
    admin.client.delete_key(request).await.unwrap();

    let mut server = server;
    for _ in 0..2 {
        let admin = server.admin().await;
        let mut checks = server.checks().await;
        assert_eq!(checks.denial(SECRET_KEY).await, DenialReason::Revoked);
        assert_eq!(checks.denial(UUID).await, DenialReason::Unknown);
        for (key, id) in [
            (by_token(1, SECRET_KEY), &revoked),
            (by_token(2, UUID), &deleted),
            (by_hash(2, pb::HashAlgorithm::Sha256, &sha256), &deleted),
        ] {
            let own = import_one(&admin, "klipy", key.clone()).await;
            assert_eq!((own.outcome(), &own.key_id), (ImportOutcome::Reserved, id));
            let others = import_one(&admin, "other", key).await;
            assert_eq!(
                (others.outcome(), others.key_id.as_str()),
                (ImportOutcome::Reserved, "")
            );
        }
        drop(server);
        server = serve();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_tells_the_same_and_changes_nothing() {
    let (server, admin) = start().await;
    let there = imported(&admin, by_token(1, SECRET_KEY)).await;
    let keys = vec![
        by_token(1, SECRET_KEY),
        by_token(2, UUID),
        by_token(3, "short"),
        by_token(4, "8fK2mQ9xLp4RtVw7Zb"),
    ];
    let options = ImportOptions {
        dry_run: true,
        ..into("klipy")
    };
    let results = import(&admin, options, keys).await.unwrap();
    let told: Vec<_> = results
        .iter()
        .map(|result| (result.outcome(), result.key_id.as_str()))
        .collect();
    assert_eq!(
        told,
        [
            (ImportOutcome::AlreadyImported, there.as_str()),
            (ImportOutcome::Imported, ""),
            (ImportOutcome::Refused, ""),
            (ImportOutcome::Imported, ""),
        ]
    );
    assert!(results[3].warnings[0].contains("bits"), "{:?}", results[3]);
    let mut checks = server.checks().await;
    assert_eq!(checks.denial(UUID).await, DenialReason::Unknown);
    let request = ListKeysRequest {
        workspace: "klipy".to_owned(),
        ..ListKeysRequest::default()
    };
    let keys = admin
        .client
        .clone()
        .list_keys(request)
        .await
        .unwrap()
        .into_inner()
        .keys;
    assert_eq!(keys.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_field_that_is_not_acceptable_is_named() {
    let (_server, admin) = start().await;
    let native = "klg_live_yhjskwdA6OZ1AL1YmHWZWm8LLG7HjnuCA2j5rOw8Xp13kbUxd";
    for (key, fields) in [
        (ordinary(1), vec!["token"]),
        (by_token(1, native), vec!["token"]),
        (
            ImportKey {
                hash: by_hash(1, pb::HashAlgorithm::Sha256, "x").hash,
                ..by_token(1, UUID)
            },
            vec!["token"],
        ),
        (
            by_hash(1, pb::HashAlgorithm::Unspecified, &hex(&[7; 32])),
            vec!["hash.algorithm"],
        ),
        (
            by_hash(1, pb::HashAlgorithm::Sha256, "zz"),
            vec!["hash.value"],
        ),
        (
            ImportKey {
                name: String::new(),
                scopes: vec!["A B".to_owned()],
                ..by_token(1, UUID)
            },
            vec!["name", "scopes[0]"],
        ),
        (
            ImportKey {
                token: "x".to_owned(),
                name: String::new(),
                ..ordinary(1)
            },
            vec!["token", "name"],
        ),
        (
            ImportKey {
                environment: "prod".to_owned(),
                ..by_token(1, UUID)
            },
            vec!["environment"],
        ),
    ] {
        let result = import_one(&admin, "klipy", key).await;
        assert_eq!(result.outcome(), ImportOutcome::Refused, "{result:?}");
        let named: Vec<_> = result.violations.iter().map(|v| v.field.as_str()).collect();
        assert_eq!(named, fields);
        assert!(!format!("{result:?}").contains("yhjsk"));
    }
}
