//! The scope catalog: a typo in a key's scopes is refused when the key is
//! issued or changed, with the nearest scope named; keys that are there stay.

use super::calls::*;
use super::*;

const CATALOG: [&str; 4] = ["people:read", "people:write", "reports:*", "companies:read"];

async fn with_catalog(server: &Server) -> Admin {
    let mut admin = server.admin().await;
    let asked = Workspace {
        scope_catalog: names(&CATALOG),
        ..workspace("w", "klg")
    };
    let created = create_workspace(&mut admin, asked).await.unwrap();
    assert_eq!(sorted(&created.scope_catalog), sorted(&names(&CATALOG)));
    admin
}

/// The fields and what is said of them.
fn said(status: &Status) -> Vec<(String, String)> {
    let fields = fields(status);
    let request = status.get_details_bad_request().unwrap();
    let said = request.field_violations.into_iter();
    fields
        .into_iter()
        .zip(said.map(|violation| violation.description))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_typo_is_refused_with_the_nearest_scope_named() {
    let server = Server::start();
    let mut admin = with_catalog(&server).await;
    let key = admin.key("w", &["people:read"]).await.key.unwrap();
    let outside = "is not in the workspace's scope catalog";
    for (scope, nearest) in [
        ("people:raed", Some("people:read")),
        ("poeple:read", Some("people:read")),
        ("people:writ", Some("people:write")),
        ("company:read", Some("companies:read")),
        ("people", None),
        ("invoices:send", None),
        ("reports", Some("reports:*")),
        ("people:read:all", None),
        ("invoices:*", None),
    ] {
        let description = match nearest {
            Some(nearest) => format!("{outside}; did you mean `{nearest}`?"),
            None => outside.to_owned(),
        };
        let request = key_request("w", &["people:write", scope]);
        let status = admin.client.create_key(request).await.unwrap_err();
        assert_eq!(
            said(&status),
            [("scopes[1]".to_owned(), description.clone())],
            "{scope}"
        );
        let asked = Key {
            scopes: names(&[scope]),
            ..key.clone()
        };
        let status = update_key(&mut admin, asked, &["scopes"])
            .await
            .unwrap_err();
        assert_eq!(
            said(&status),
            [("key.scopes[0]".to_owned(), description)],
            "{scope}"
        );
    }
    assert_eq!(
        but_for_usage(&get_key(&mut admin, &key.id).await.unwrap()),
        but_for_usage(&key)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_in_it_or_covered_or_covers_some_of_it_is_accepted() {
    let server = Server::start();
    let mut admin = with_catalog(&server).await;
    for scope in [
        "people:read",
        "people:write",
        "people:*",
        "*",
        "ALL",
        "reports:*",
        "reports:daily",
        "reports:daily:pdf",
        "reports:daily:*",
        "companies:*",
        "companies:read",
    ] {
        let key = admin.key("w", &[scope]).await.key.unwrap();
        let kept = if scope == "ALL" { "*" } else { scope };
        assert_eq!(key.scopes, [kept]);
        let asked = Key {
            scopes: names(&[scope, "people:write"]),
            ..key
        };
        update_key(&mut admin, asked, &["scopes"]).await.unwrap();
    }
    // No scopes at all are fine too.
    admin.key("w", &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_that_were_issued_before_stay_as_they_are() {
    let server = Server::start();
    let (mut admin, mut checks) = (server.admin().await, server.checks().await);
    let before = admin.workspace("w", "klg", &[]).await;
    let issued = admin.key("w", &["legacy:thing"]).await;
    let key = issued.key.unwrap();
    let asked = Workspace {
        scope_catalog: names(&CATALOG),
        ..before
    };
    let with = update_workspace(&mut admin, asked, &["scope_catalog"])
        .await
        .unwrap();
    assert!(
        checks
            .header(&issued.token, &["legacy:thing"])
            .await
            .is_ok()
    );
    assert_eq!(
        but_for_usage(&get_key(&mut admin, &key.id).await.unwrap()),
        but_for_usage(&key)
    );
    // Its other fields can be changed, and it can be switched off and on.
    let renamed = Key {
        name: "renamed".to_owned(),
        ..key.clone()
    };
    update_key(&mut admin, renamed, &["name"]).await.unwrap();
    for disabled in [true, false] {
        switch_key(&mut admin, &key.id, "", disabled).await.unwrap();
    }
    assert!(
        checks
            .header(&issued.token, &["legacy:thing"])
            .await
            .is_ok()
    );
    // New ones are held to it, until it is taken away.
    let request = key_request("w", &["legacy:thing"]);
    let status = admin.client.create_key(request.clone()).await.unwrap_err();
    assert_eq!(fields(&status), ["scopes[0]"]);
    let without = Workspace {
        scope_catalog: Vec::new(),
        ..with
    };
    update_workspace(&mut admin, without, &["scope_catalog"])
        .await
        .unwrap();
    admin.client.create_key(request).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn every_limit_of_it_holds_at_the_limit_and_one_beyond() {
    let server = Server::start();
    let mut admin = server.admin().await;
    let before = admin.workspace("w", "klg", &[]).await;
    let many = |count: usize, len: usize| {
        (0..count)
            .map(|i| format!("{i:s>len$}"))
            .collect::<Vec<_>>()
    };
    // 4,096 bytes together: 40 of 100, and one of 96.
    let full: Vec<_> = many(40, 100)
        .into_iter()
        .chain([("x").repeat(96)])
        .collect();
    let over: Vec<_> = many(40, 100)
        .into_iter()
        .chain([("x").repeat(97)])
        .collect();
    for (good, bad, field) in [
        (many(200, 20), many(201, 20), "workspace.scope_catalog"),
        (many(1, 100), many(1, 101), "workspace.scope_catalog[0]"),
        (full, over, "workspace.scope_catalog"),
    ] {
        let with = |scope_catalog: &[String]| Workspace {
            scope_catalog: scope_catalog.to_vec(),
            etag: String::new(),
            ..before.clone()
        };
        let kept = update_workspace(&mut admin, with(&good), &["scope_catalog"]).await;
        assert_eq!(sorted(&kept.unwrap().scope_catalog), sorted(&good));
        let status = update_workspace(&mut admin, with(&bad), &["scope_catalog"]).await;
        assert_eq!(fields(&status.unwrap_err()), [field]);
    }
}
