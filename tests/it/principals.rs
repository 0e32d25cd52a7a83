//! Principals, memberships and personal keys, through the socket: what the
//! first key makes, what a membership narrows, and where a personal key passes.
#![expect(
    clippy::too_many_lines,
    reason = "a test tells one story, from top to bottom"
)]

use std::collections::BTreeSet;

use keyward::edge::pb::*;
use tonic::Status;
use tonic_types::StatusExt;

use crate::admin_api::calls::{
    remove_membership, set_membership, switch_principal, switch_workspace, update_key,
};
use crate::office::{Office, told};
use crate::support::{Admin, Checks, Server, check_request, key_request};

const INVALID: &str = "INVALID_ARGUMENT, INVALID_FIELDS";
const PRECONDITION: &str = "FAILED_PRECONDITION, PRECONDITION_FAILED";
const NOT_FOUND: &str = "NOT_FOUND, RESOURCE_NOT_FOUND";

async fn issue(admin: &mut Admin, request: CreateKeyRequest) -> Result<CreateKeyResponse, Status> {
    let reply = admin.client.create_key(request).await;
    reply.map(tonic::Response::into_inner)
}

async fn get_key(admin: &mut Admin, id: &str) -> Result<Key, Status> {
    let request = GetKeyRequest {
        key_id: id.to_owned(),
    };
    let reply = admin.client.get_key(request).await?;
    Ok(reply.into_inner().key.unwrap())
}

/// A request for a personal key of `user:ada`.
fn personal(scopes: &[&str]) -> CreateKeyRequest {
    CreateKeyRequest {
        token_prefix: "klg_user".to_owned(),
        ..key_request("", scopes)
    }
}

async fn memberships(
    admin: &mut Admin,
    workspace: &str,
    principal: &str,
) -> Result<Vec<Membership>, Status> {
    let request = ListMembershipsRequest {
        workspace: workspace.to_owned(),
        principal: principal.to_owned(),
        ..ListMembershipsRequest::default()
    };
    let reply = admin.client.list_memberships(request).await?.into_inner();
    assert_eq!(reply.next_page_token, "");
    Ok(reply.memberships)
}

async fn principal(admin: &mut Admin, id: &str) -> Result<GetPrincipalResponse, Status> {
    let request = GetPrincipalRequest {
        principal: id.to_owned(),
    };
    let reply = admin.client.get_principal(request).await;
    reply.map(tonic::Response::into_inner)
}

fn ceilings(memberships: &[Membership]) -> Vec<(&str, String)> {
    memberships
        .iter()
        .map(|one| (one.workspace.as_str(), one.scope_ceiling.join(" ")))
        .collect()
}

fn fields(status: &Status) -> Vec<String> {
    let request = status.get_details_bad_request().unwrap();
    let fields = request.field_violations.into_iter();
    fields.map(|violation| violation.field).collect()
}

/// What a check in a place and an environment comes to: the workspace and the
/// scopes of whoever may, or the reason.
async fn asked(
    checks: &mut Checks,
    token: &str,
    (workspace, environment): (&str, &str),
    scope: &str,
) -> String {
    let request = CheckRequest {
        workspace: workspace.to_owned(),
        environment: environment.to_owned(),
        ..check_request(&format!("Bearer {token}"), &[scope])
    };
    match checks.ask(request).await {
        Ok(allowed) => format!(
            "{} {} {}",
            allowed.workspace,
            allowed.environment,
            allowed.scopes.join(",")
        ),
        Err(denied) => {
            let told = !denied.key_id.is_empty();
            assert_eq!(
                told,
                denied.reason() != DenialReason::Unknown,
                "{denied:?}: only of what is there is told"
            );
            assert_eq!(told, !denied.key_hint.is_empty());
            format!("{} {}", denied.reason().as_str_name(), denied.http_status)
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_key_makes_the_principal_and_its_membership() {
    let office = Office::open().await;
    let (here, yonder) = (office.workspace().await, office.workspace().await);
    let mut owner = office.owner.clone();
    assert_eq!(
        told(&principal(&mut owner, "user:ada").await.unwrap_err()),
        NOT_FOUND
    );
    let mut narrow = office
        .caller(AdminRole::Issuer, &here, &["b", "a:*", "a:read"])
        .await;
    issue(&mut narrow.admin, key_request(&here, &["b"]))
        .await
        .unwrap();
    let mut wide = office.caller(AdminRole::Issuer, &yonder, &["x", "*"]).await;
    issue(&mut wide.admin, key_request(&yonder, &[]))
        .await
        .unwrap();
    let found = principal(&mut owner, "user:ada").await.unwrap();
    let made = found.principal.unwrap();
    assert_eq!((made.created_by, made.disabled), (narrow.id, false));
    // Nobody hands out more than he may.
    assert_eq!(
        ceilings(&found.memberships),
        [
            (&*here, "a:* a:read b".to_owned()),
            (&*yonder, "*".to_owned())
        ]
    );
    assert_eq!(found.next_page_token, "");
    // It is made once.
    for _ in 0..3 {
        issue(&mut wide.admin, key_request(&here, &[]))
            .await
            .unwrap_err();
        issue(&mut owner, key_request(&here, &["b"])).await.unwrap();
    }
    let again = principal(&mut owner, "user:ada").await.unwrap();
    assert_eq!(again.memberships, found.memberships);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_membership_says_what_keys_may_be_given() {
    let office = Office::open().await;
    let here = office.workspace().await;
    let mut owner = office.owner.clone();
    let id = "service:billing";
    // Also before there is a principal.
    let set = set_membership(&mut owner, &here, id, &["people:*", "a"]).await;
    assert_eq!(set.unwrap().scope_ceiling, ["a", "people:*"]);
    let request = |scopes: &[&str]| CreateKeyRequest {
        principal: id.to_owned(),
        ..key_request(&here, scopes)
    };
    let beyond = issue(&mut owner, request(&["people:read", "b", "a", "*"])).await;
    let beyond = beyond.unwrap_err();
    assert_eq!(told(&beyond), INVALID);
    assert_eq!(fields(&beyond), ["scopes[1]", "scopes[3]"]);
    let key = issue(&mut owner, request(&["people:read"])).await.unwrap();
    let key = key.key.unwrap();
    assert_eq!(key.effective_scopes, None);
    let wider = |scopes: &[&str]| Key {
        id: key.id.clone(),
        name: "renamed".to_owned(),
        scopes: scopes.iter().map(|&scope| scope.to_owned()).collect(),
        ..Key::default()
    };
    let beyond = update_key(&mut owner, wider(&["b"]), &["scopes"]).await;
    let beyond = beyond.unwrap_err();
    assert_eq!(
        (told(&beyond), fields(&beyond)),
        (INVALID.to_owned(), vec!["key.scopes[0]".to_owned()])
    );
    update_key(&mut owner, wider(&["people:*"]), &["scopes"])
        .await
        .unwrap();

    // One that was given before keeps it, and may use what is left of it.
    set_membership(&mut owner, &here, id, &["people:read", "z"])
        .await
        .unwrap();
    let shown = update_key(&mut owner, wider(&[]), &["name"]).await.unwrap();
    assert_eq!(shown.scopes, ["people:*"]);
    assert_eq!(shown.effective_scopes.unwrap().scopes, ["people:read"]);
    remove_membership(&mut owner, &here, id).await.unwrap();
    let shown = get_key(&mut owner, &key.id).await.unwrap();
    assert_eq!(shown.effective_scopes, Some(EffectiveScopes::default()));
    assert_eq!(shown.state(), KeyState::Active, "by itself, it works");

    let refused = issue(&mut owner, request(&[])).await.unwrap_err();
    assert_eq!(told(&refused), PRECONDITION);
    set_membership(&mut owner, &here, id, &["b"]).await.unwrap();
    issue(&mut owner, request(&["b"])).await.unwrap();
    switch_principal(&mut owner, id, true).await.unwrap();
    let refused = issue(&mut owner, request(&["b"])).await.unwrap_err();
    assert_eq!(told(&refused), PRECONDITION);
    assert!(refused.message().contains("is disabled"), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_is_judged_by_the_key_within_the_membership() {
    let server = Server::start();
    let (mut admin, mut checks) = (server.admin().await, server.checks().await);
    admin.workspace("w", "klg", &[]).await;
    let token = admin.key("w", &["people:*", "orders:read"]).await.token;
    let mut check = async |scope: &str| asked(&mut checks, &token, ("w", ""), scope).await;
    assert_eq!(check("people:write").await, "w  orders:read,people:*");
    for (ceiling, scope, expected) in [
        (&["*"][..], "people:write", "w  orders:read,people:*"),
        (&["people:read"], "people:read", "w  people:read"),
        (
            &["people:read"],
            "people:write",
            "DENIAL_REASON_INSUFFICIENT_SCOPE 403",
        ),
        (
            &["people:read"],
            "people:write|people:read",
            "w  people:read",
        ),
        (
            &["people:read", "orders:*"],
            "orders:read",
            "w  orders:read,people:read",
        ),
        // The one has the one, the other the other.
        (
            &["orders:write"],
            "orders:read|orders:write",
            "DENIAL_REASON_INSUFFICIENT_SCOPE 403",
        ),
        (&["people:*"], "people:*", "w  people:*"),
        (
            &["people:a", "people:b"],
            "people:*",
            "DENIAL_REASON_INSUFFICIENT_SCOPE 403",
        ),
    ] {
        set_membership(&mut admin, "w", "user:ada", ceiling)
            .await
            .unwrap();
        assert_eq!(check(scope).await, expected, "{scope} within {ceiling:?}");
    }
    remove_membership(&mut admin, "w", "user:ada")
        .await
        .unwrap();
    assert_eq!(check("people:a").await, "DENIAL_REASON_DISABLED 403");
    set_membership(&mut admin, "w", "user:ada", &["*"])
        .await
        .unwrap();
    switch_principal(&mut admin, "user:ada", true)
        .await
        .unwrap();
    assert_eq!(check("people:a").await, "DENIAL_REASON_DISABLED 403");
    switch_principal(&mut admin, "user:ada", false)
        .await
        .unwrap();
    assert_eq!(check("people:a").await, "w  orders:read,people:*");
}

/// A server with workspaces of which `user:ada` is a member, and her keys.
async fn with_personal_keys() -> (Server, Admin, [String; 2]) {
    let server = Server::start();
    let mut admin = server.admin().await;
    for (id, environments) in [
        ("klipy", &["live", "test"][..]),
        ("kling", &["test"]),
        ("plain", &[]),
        ("shut", &[]),
        ("left", &[]),
        ("stranger", &[]),
    ] {
        admin.workspace(id, "abc", environments).await;
        if id != "stranger" {
            set_membership(&mut admin, id, "user:ada", &["*"])
                .await
                .unwrap();
        }
    }
    set_membership(&mut admin, "kling", "user:ada", &["people:read"])
        .await
        .unwrap();
    switch_workspace(&mut admin, "shut", "", true)
        .await
        .unwrap();
    remove_membership(&mut admin, "left", "user:ada")
        .await
        .unwrap();
    let any = issue(&mut admin, personal(&["people:*"])).await.unwrap();
    let test = CreateKeyRequest {
        environment: "test".to_owned(),
        ..personal(&["people:*"])
    };
    let test = issue(&mut admin, test).await.unwrap();
    let (key, marked) = (any.key.unwrap(), test.key.unwrap());
    assert!(any.token.starts_with("klg_user_") && test.token.starts_with("klg_user_test_"));
    assert!(key.hint.starts_with("klg_user_…"), "{}", key.hint);
    assert!(
        marked.hint.starts_with("klg_user_test_…"),
        "{}",
        marked.hint
    );
    assert_eq!(
        (key.personal, &*key.workspace, &*key.environment),
        (true, "", "")
    );
    assert_eq!((marked.personal, &*marked.environment), (true, "test"));
    (server, admin, [any.token, test.token])
}

#[tokio::test(flavor = "multi_thread")]
async fn where_a_personal_key_passes() {
    let (server, mut admin, [any, test]) = with_personal_keys().await;
    let unknown = "DENIAL_REASON_UNKNOWN 401";
    let required = "DENIAL_REASON_WORKSPACE_REQUIRED 403";
    let environment = "DENIAL_REASON_ENVIRONMENT 403";
    let disabled = "DENIAL_REASON_DISABLED 403";
    // place and environment asked for; what the one of any environment gets,
    // and the one of `test`
    let table = [
        (("klipy", ""), "klipy live people:*", environment),
        (("klipy", "live"), "klipy live people:*", environment),
        (("klipy", "*"), "klipy live people:*", "klipy test people:*"),
        (("klipy", "test"), environment, "klipy test people:*"),
        (("klipy", "other"), environment, environment),
        (
            ("kling", ""),
            "kling test people:read",
            "kling test people:read",
        ),
        (
            ("kling", "test"),
            "kling test people:read",
            "kling test people:read",
        ),
        (("kling", "live"), environment, environment),
        (("plain", ""), "plain  people:*", environment),
        (("plain", "*"), "plain  people:*", "plain test people:*"),
        (("plain", "live"), environment, environment),
        (("shut", ""), disabled, disabled),
        (("left", ""), unknown, unknown),
        (("left", "*"), unknown, unknown),
        (("stranger", ""), unknown, unknown),
        (("absent", ""), unknown, unknown),
        (("Klipy", ""), unknown, unknown),
        (("", ""), required, required),
        (("", "*"), required, required),
    ];
    let check_all = async |server: &Server| {
        let mut checks = server.checks().await;
        for (place, one, other) in table {
            for (token, expected) in [(&any, one), (&test, other)] {
                let told = asked(&mut checks, token, place, "people:read").await;
                assert_eq!(told, expected, "{place:?}");
            }
        }
        let place = ("kling", "");
        let told = asked(&mut checks, &any, place, "people:write").await;
        assert_eq!(told, "DENIAL_REASON_INSUFFICIENT_SCOPE 403");
    };
    check_all(&server).await;
    // What is in memory is what is in the store.
    let server = server.kill().serve();
    check_all(&server).await;
    admin = {
        drop(admin);
        server.admin().await
    };

    // What ends it ends it everywhere; what comes first in the order is told.
    let mut checks = server.checks().await;
    let mut all = async |expected: [&str; 4]| {
        for (place, expected) in ["klipy", "plain", "left", ""].into_iter().zip(expected) {
            let told = asked(&mut checks, &any, (place, ""), "people:read").await;
            assert_eq!(told, expected, "{place}");
        }
    };
    switch_principal(&mut admin, "user:ada", true)
        .await
        .unwrap();
    all([disabled, disabled, unknown, required]).await;
    switch_principal(&mut admin, "user:ada", false)
        .await
        .unwrap();
    remove_membership(&mut admin, "plain", "user:ada")
        .await
        .unwrap();
    set_membership(&mut admin, "left", "user:ada", &["*"])
        .await
        .unwrap();
    all(["klipy live people:*", unknown, "left  people:*", required]).await;
    let keys = ListKeysRequest {
        principal: "user:ada".to_owned(),
        ..ListKeysRequest::default()
    };
    let keys = admin
        .client
        .list_keys(keys)
        .await
        .unwrap()
        .into_inner()
        .keys;
    assert_eq!(keys.len(), 2);
    for key in keys {
        assert_eq!((key.personal, key.effective_scopes), (true, None));
        admin.revoke(&key.id).await;
    }
    let revoked = "DENIAL_REASON_REVOKED 401";
    all([revoked, unknown, revoked, required]).await;
}

/// A deleted workspace is none, whoever was a member of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_workspace_is_unknown_to_personal_keys() {
    let (server, mut admin, [any, _]) = with_personal_keys().await;
    let request = DeleteWorkspaceRequest {
        workspace: "shut".to_owned(),
        ..DeleteWorkspaceRequest::default()
    };
    admin.client.delete_workspace(request).await.unwrap();
    let gone = async |server: &Server| {
        let mut checks = server.checks().await;
        let told = asked(&mut checks, &any, ("shut", ""), "people:read").await;
        assert_eq!(told, "DENIAL_REASON_UNKNOWN 401");
        let mut admin = server.admin().await;
        let status = set_membership(&mut admin, "shut", "user:ada", &["*"]).await;
        assert_eq!(told_of(status), NOT_FOUND);
    };
    gone(&server).await;
    gone(&server.kill().serve()).await;
}

fn told_of<T: std::fmt::Debug>(answer: Result<T, Status>) -> String {
    told(&answer.unwrap_err())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_personal_key_needs() {
    let office = Office::open().await;
    let here = office.workspace().await;
    let mut owner = office.owner.clone();
    for (change, expected) in [
        (
            (|r| r.token_prefix = "keyward_x".into()) as fn(&mut CreateKeyRequest),
            "token_prefix",
        ),
        (|r| r.token_prefix = "A".into(), "token_prefix"),
        (|r| r.token_prefix.clear(), "workspace"),
        (|r| r.environment = "No".into(), "environment"),
        (|r| r.principal = "a\nb".into(), "principal"),
        (|r| r.scopes = vec!["No".into()], "scopes[0]"),
    ] {
        let mut request = personal(&["a"]);
        change(&mut request);
        let status = issue(&mut owner, request).await.unwrap_err();
        assert_eq!(fields(&status), [expected]);
    }
    let both = CreateKeyRequest {
        workspace: here.clone(),
        ..personal(&["a"])
    };
    let status = issue(&mut owner, both).await.unwrap_err();
    assert_eq!(fields(&status), ["token_prefix"]);
    // A repetition is known, and another prefix is another request.
    let request = CreateKeyRequest {
        request_id: "one".to_owned(),
        ..personal(&["a"])
    };
    let first = issue(&mut owner, request.clone()).await.unwrap();
    assert_eq!(issue(&mut owner, request.clone()).await.unwrap(), first);
    let other = CreateKeyRequest {
        token_prefix: "other".to_owned(),
        ..request
    };
    let status = issue(&mut owner, other).await.unwrap_err();
    assert_eq!(fields(&status), ["request_id"]);
    // It makes no membership, and so passes nowhere.
    let found = principal(&mut owner, "user:ada").await.unwrap();
    assert_eq!(found.memberships, []);
    switch_principal(&mut owner, "user:ada", true)
        .await
        .unwrap();
    assert_eq!(
        told_of(issue(&mut owner, personal(&[])).await),
        PRECONDITION
    );
}

/// Of what an admin of a workspace hands out, a personal key has no more there
/// than he may hand out.
#[tokio::test(flavor = "multi_thread")]
async fn a_personal_key_gets_no_more_than_who_made_its_membership_may_grant() {
    let office = Office::open().await;
    let here = office.workspace().await;
    let mut owner = office.owner.clone();
    let token = issue(&mut owner, personal(&["*"])).await.unwrap().token;
    let mut narrow = office.caller(AdminRole::Owner, &here, &["a:*"]).await;
    issue(&mut narrow.admin, key_request(&here, &["a:read"]))
        .await
        .unwrap();
    let mut checks = office.server.checks().await;
    let mut check = async |scope: &str| asked(&mut checks, &token, (&here, ""), scope).await;
    let insufficient = "DENIAL_REASON_INSUFFICIENT_SCOPE 403";
    let granted = format!("{here} live a:*");
    assert_eq!(
        (check("a:x").await, check("b").await),
        (granted.clone(), insufficient.to_owned())
    );
    let beyond = set_membership(&mut narrow.admin, &here, "user:ada", &["a:*", "b"]).await;
    assert_eq!(told_of(beyond), "PERMISSION_DENIED, GRANT_CEILING_EXCEEDED");
    assert_eq!(
        (check("a:x").await, check("b").await),
        (granted, insufficient.to_owned())
    );
    // To take away needs no ceiling; to give back does.
    set_membership(&mut owner, &here, "user:ada", &["*"])
        .await
        .unwrap();
    remove_membership(&mut narrow.admin, &here, "user:ada")
        .await
        .unwrap();
    let back = set_membership(&mut narrow.admin, &here, "user:ada", &["*"]).await;
    assert_eq!(told_of(back), "PERMISSION_DENIED, GRANT_CEILING_EXCEEDED");
    assert_eq!(check("a:x").await, "DENIAL_REASON_UNKNOWN 401");
    let mut second = office.caller(AdminRole::Owner, "", &["a:*"]).await;
    switch_principal(&mut second.admin, "user:ada", true)
        .await
        .unwrap();
    let back = switch_principal(&mut second.admin, "user:ada", false).await;
    assert_eq!(told_of(back), "PERMISSION_DENIED, GRANT_CEILING_EXCEEDED");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_workspace_sees_its_own_of_a_principal_and_nothing_else() {
    let office = Office::open().await;
    let (here, yonder) = (office.workspace().await, office.workspace().await);
    let mut owner = office.owner.clone();
    let own = office.key(&here, &["a"]).await.id;
    let others: BTreeSet<_> = [
        office.key(&yonder, &["a"]).await.id,
        office.key("", &["a"]).await.id,
    ]
    .into();
    let listed = async |admin: &mut Admin, workspace: &str| {
        let request = ListKeysRequest {
            workspace: workspace.to_owned(),
            principal: "user:ada".to_owned(),
            page_size: 1,
            ..ListKeysRequest::default()
        };
        let reply = admin.client.list_keys(request).await.unwrap().into_inner();
        let ids: Vec<_> = reply.keys.into_iter().map(|key| key.id).collect();
        (ids, reply.next_page_token)
    };
    for role in [AdminRole::Reader, AdminRole::Issuer, AdminRole::Owner] {
        let mut local = office.caller(role, &here, &["*"]).await.admin;
        for workspace in ["", &*here] {
            assert_eq!(
                listed(&mut local, workspace).await,
                (vec![own.clone()], String::new())
            );
            for principal in ["", "user:ada"] {
                let found = memberships(&mut local, workspace, principal).await.unwrap();
                assert_eq!(ceilings(&found), [(&*here, "*".to_owned())]);
            }
            assert_eq!(
                memberships(&mut local, workspace, "user:bob")
                    .await
                    .unwrap(),
                []
            );
        }
        assert_eq!(
            told_of(memberships(&mut local, &yonder, "").await),
            NOT_FOUND
        );
        let system = "PERMISSION_DENIED, NOT_OF_THE_SYSTEM";
        for id in ["user:ada", "user:bob", ""] {
            assert_eq!(told_of(principal(&mut local, id).await), system);
        }
        assert_eq!(told_of(issue(&mut local, personal(&[])).await), system);
        for id in &others {
            assert_eq!(told_of(get_key(&mut local, id).await), NOT_FOUND);
        }
    }
    // The system's admins see all of it, in pages.
    let (mut found, mut token) = (BTreeSet::new(), String::new());
    loop {
        let request = ListKeysRequest {
            principal: "user:ada".to_owned(),
            page_size: 1,
            page_token: token,
            ..ListKeysRequest::default()
        };
        let page = owner.client.list_keys(request).await.unwrap().into_inner();
        found.extend(page.keys.into_iter().map(|key| key.id));
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    assert!(found.remove(&own));
    assert_eq!(found, others);
    assert_eq!(listed(&mut owner, &here).await.0, [own]);
    let both = memberships(&mut owner, "", "user:ada").await.unwrap();
    assert_eq!(both.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn principals_are_made_changed_and_listed() {
    let server = Server::start();
    let mut admin = server.admin().await;
    admin.workspace("w", "klg", &[]).await;
    let create = async |admin: &mut Admin, id: &str| {
        let request = CreatePrincipalRequest {
            principal: Some(Principal {
                id: id.to_owned(),
                display_name: "a name".to_owned(),
                description: "who it is".to_owned(),
                disabled: true,
                created_by: "me".to_owned(),
                ..Principal::default()
            }),
        };
        let reply = admin.client.create_principal(request).await?;
        Ok::<_, Status>(reply.into_inner().principal.unwrap())
    };
    // Any text is an id, also one that could be a path or another's place.
    let ids = [
        "a",
        "a/b",
        "a:b",
        "m/w",
        "user:Ada Lovelace <ada@example.org>",
        "ä\u{1f511}",
    ];
    for id in ids {
        let made = create(&mut admin, id).await.unwrap();
        assert_eq!((&*made.id, made.disabled), (id, false));
        assert_ne!(made.created_by, "me");
        assert_eq!(
            principal(&mut admin, id).await.unwrap().principal,
            Some(made)
        );
        assert_eq!(
            told_of(create(&mut admin, id).await),
            "ALREADY_EXISTS, RESOURCE_EXISTS"
        );
        set_membership(&mut admin, "w", id, &["*"]).await.unwrap();
        assert_eq!(memberships(&mut admin, "w", id).await.unwrap().len(), 1);
        assert_eq!(memberships(&mut admin, "", id).await.unwrap().len(), 1);
    }
    for id in ["", " ", "a\0b", "a\nb", &"p".repeat(129)] {
        assert_eq!(told_of(create(&mut admin, id).await), INVALID, "{id:?}");
    }
    let (mut listed, mut token) = (Vec::new(), String::new());
    loop {
        let request = ListPrincipalsRequest {
            page_size: 4,
            page_token: token,
        };
        let page = admin
            .client
            .list_principals(request)
            .await
            .unwrap()
            .into_inner();
        listed.extend(page.principals.into_iter().map(|one| one.id));
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    let mut expected = ids.to_vec();
    expected.sort_unstable();
    assert_eq!(listed, expected);

    let first = principal(&mut admin, "a").await.unwrap().principal.unwrap();
    let update = async |admin: &mut Admin, etag: &str, paths: &[&str]| {
        let request = UpdatePrincipalRequest {
            principal: Some(Principal {
                id: "a".to_owned(),
                display_name: "new".to_owned(),
                etag: etag.to_owned(),
                ..Principal::default()
            }),
            update_mask: crate::admin_api::calls::mask(paths),
        };
        let reply = admin.client.update_principal(request).await?;
        Ok::<_, Status>(reply.into_inner().principal.unwrap())
    };
    let changed = update(&mut admin, &first.etag, &["display_name"])
        .await
        .unwrap();
    assert_eq!(
        (&*changed.display_name, &*changed.description),
        ("new", "who it is")
    );
    assert_eq!(
        told_of(update(&mut admin, &first.etag, &["display_name"]).await),
        "ABORTED, ETAG_MISMATCH"
    );
    assert_eq!(told_of(update(&mut admin, "", &["id"]).await), INVALID);
    assert_eq!(
        told_of(update(&mut admin, "", &["disabled"]).await),
        INVALID
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_a_membership_is_refused_and_says_why() {
    let server = Server::start();
    let mut admin = server.admin().await;
    admin.workspace("w", "klg", &[]).await;
    let token = admin.key("w", &[]).await.token;
    for (principal, ceiling, expected) in [
        ("", &["*"][..], "membership.principal"),
        ("a\nb", &["*"], "membership.principal"),
        ("p", &[], "membership.scope_ceiling"),
        ("p", &["a", "No"], "membership.scope_ceiling[1]"),
    ] {
        let status = set_membership(&mut admin, "w", principal, ceiling)
            .await
            .unwrap_err();
        assert_eq!(fields(&status), [expected]);
    }
    assert_eq!(
        told_of(set_membership(&mut admin, "x", "p", &["*"]).await),
        NOT_FOUND
    );
    // What was given in the place of an id does not come back.
    for given in [token.as_str(), "a\nb"] {
        let status = remove_membership(&mut admin, "w", given).await.unwrap_err();
        assert_eq!(
            (told(&status), status.message().contains(given)),
            (NOT_FOUND.to_owned(), false)
        );
        let status = principal(&mut admin, given).await.unwrap_err();
        assert_eq!(
            (told(&status), status.message().contains(given)),
            (NOT_FOUND.to_owned(), false)
        );
    }
    // An etag is of the state that was read.
    let set = async |admin: &mut Admin, etag: &str| {
        let request = SetMembershipRequest {
            membership: Some(Membership {
                workspace: "w".to_owned(),
                principal: "user:new".to_owned(),
                scope_ceiling: vec!["a".to_owned()],
                etag: etag.to_owned(),
                ..Membership::default()
            }),
        };
        let reply = admin.client.set_membership(request).await?;
        Ok::<_, Status>(reply.into_inner().membership.unwrap())
    };
    assert_eq!(
        told_of(set(&mut admin, "r1").await),
        "ABORTED, ETAG_MISMATCH"
    );
    let first = set(&mut admin, "").await.unwrap();
    assert_eq!(
        set(&mut admin, &first.etag).await.unwrap(),
        first,
        "nothing was changed"
    );
    let removed = remove_membership(&mut admin, "w", "user:new")
        .await
        .unwrap();
    assert!(removed.remove_time.is_some() && !removed.removed_by.is_empty());
    assert_eq!(
        remove_membership(&mut admin, "w", "user:new")
            .await
            .unwrap(),
        removed
    );
    assert_eq!(
        told_of(set(&mut admin, &first.etag).await),
        "ABORTED, ETAG_MISMATCH"
    );
    let back = set(&mut admin, &removed.etag).await.unwrap();
    assert_eq!((back.remove_time, &*back.removed_by), (None, ""));
}
