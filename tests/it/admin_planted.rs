//! Who may call what: each role, of the system and of a workspace, against
//! each call, at home and elsewhere.
//!
//! No call makes such admin keys yet, so they are put into the store while no
//! server runs; all else goes through the socket.

use std::collections::BTreeMap;

use keyward::domain::admin::{AdminKey, Reach, Role};
use keyward::domain::clock::{Clock, SystemClock, Timestamp};
use keyward::domain::digest::Pepper;
use keyward::domain::id::{AdminKeyId, KeyId};
use keyward::domain::key::{Revocation, RevocationReason, Secret};
use keyward::edge::pb::{
    CreateKeyRequest, CreateWorkspaceRequest, GetKeyRequest, GetWorkspaceRequest, KeyState,
    ListKeysRequest, RevokeKeyRequest, Workspace,
};
use keyward::service::bootstrap;
use keyward::store::Record;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::records;
use crate::support::{Admin, Server, Site, admin_client, key_request};

/// What each call answers to each admin key: `ok`; the role that it lacks;
/// `system`, for being of a workspace; `hidden`, as if it were not there.
/// The admin keys of a workspace are of `here`.
const TABLE: &str = "
    call                    system.READER system.ISSUER system.OWNER here.READER here.ISSUER here.OWNER
    CreateWorkspace         OWNER         OWNER         ok           system      system      system
    GetWorkspace:here       ok            ok            ok           ok          ok          ok
    GetWorkspace:yonder     ok            ok            ok           hidden      hidden      hidden
    GetWorkspace:nowhere    hidden        hidden        hidden       hidden      hidden      hidden
    CreateKey:here          ISSUER        ok            ok           ISSUER      ok          ok
    CreateKey:yonder        ISSUER        ok            ok           hidden      hidden      hidden
    GetKey:here             ok            ok            ok           ok          ok          ok
    GetKey:yonder           ok            ok            ok           hidden      hidden      hidden
    GetKey:nowhere          hidden        hidden        hidden       hidden      hidden      hidden
    ListKeys:here           ok            ok            ok           ok          ok          ok
    ListKeys:yonder         ok            ok            ok           hidden      hidden      hidden
    ListKeys:all            ok            ok            ok           ok          ok          ok
    RevokeKey:here          ISSUER        ok            ok           ISSUER      ok          ok
    RevokeKey:yonder        ISSUER        ok            ok           hidden      hidden      hidden
    RevokeKey:nowhere       hidden        hidden        hidden       hidden      hidden      hidden
";

#[tokio::test(flavor = "multi_thread")]
async fn each_role_may_what_the_table_says_and_nothing_else() {
    let office = Office::open().await;
    let mut owner = office.server.admin().await;
    let mut rows = TABLE
        .trim()
        .lines()
        .map(|row| row.split_whitespace().collect::<Vec<_>>());
    let header = rows.next().unwrap();
    for row in rows {
        let (call, place) = row[0].split_once(':').unwrap_or((row[0], ""));
        for (name, expected) in header.iter().zip(&row).skip(1) {
            let mut admin = office.admin(name).await;
            // A key of its own for each attempt, since some of them end it.
            let key = match place {
                "here" | "yonder" => owner.key(place, &["a"]).await.key.unwrap().id,
                "" => made_by(name),
                _ => KeyId::generate(now()).to_string(),
            };
            let outcome = attempt(name, &mut admin, call, place, &key).await;
            assert_eq!(outcome, *expected, "{name} calls {}", row[0]);
            // What was refused was not done.
            if let Ok(key) = get_key(&mut owner, &key).await {
                let revoked = call == "RevokeKey" && *expected == "ok";
                let state = if revoked {
                    KeyState::Revoked
                } else {
                    KeyState::Active
                };
                assert_eq!(key.state(), state, "{name} calls {}", row[0]);
            }
        }
    }
    // One workspace was made, by the one who may, and no key was issued but by
    // those who may.
    for (name, made) in [
        ("system.READER", false),
        ("here.OWNER", false),
        ("system.OWNER", true),
    ] {
        let id = made_by(name);
        let found = owner
            .client
            .get_workspace(GetWorkspaceRequest { workspace: id })
            .await;
        assert_eq!(found.is_ok(), made, "{name}");
    }
    let issuers: Vec<_> = all_keys(&mut owner)
        .await
        .into_iter()
        .map(|key| key.created_by)
        .collect();
    for name in header.iter().skip(1) {
        let id = &office.admins[*name].id;
        assert_eq!(issuers.contains(id), !name.ends_with("READER"), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_of_all_holds_what_the_caller_may_see() {
    let office = Office::open().await;
    let mut owner = office.server.admin().await;
    for workspace in ["here", "here", "yonder"] {
        owner.key(workspace, &[]).await;
    }
    let all = all_keys(&mut owner).await;
    assert_eq!(all.len(), 3);
    let of_here: Vec<_> = all
        .iter()
        .filter(|key| key.workspace == "here")
        .cloned()
        .collect();
    assert_eq!(
        all_keys(&mut office.admin("system.READER").await).await,
        all
    );
    for name in ["here.READER", "here.ISSUER", "here.OWNER"] {
        assert_eq!(
            all_keys(&mut office.admin(name).await).await,
            of_here,
            "{name}"
        );
    }
    let of_yonder = all_keys(&mut office.admin("yonder.OWNER").await).await;
    assert!(of_yonder.iter().all(|key| key.workspace == "yonder") && of_yonder.len() == 1);

    // A page token of the system's list does not open it to others.
    let request = ListKeysRequest {
        page_size: 1,
        ..ListKeysRequest::default()
    };
    let page_token = owner
        .client
        .list_keys(request)
        .await
        .unwrap()
        .into_inner()
        .next_page_token;
    let request = ListKeysRequest {
        page_token,
        ..ListKeysRequest::default()
    };
    let status = office
        .admin("here.OWNER")
        .await
        .client
        .list_keys(request)
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_hands_out_more_than_their_grant_ceiling() {
    let office = Office::open().await;
    // The ceiling of this one is `people:read` and `companies:*`.
    let mut admin = office.admin("capped").await;
    for scopes in [
        &[][..],
        &["people:read"],
        &["companies:read"],
        &["companies:a:b"],
        &["companies:*"],
        &["people:read", "companies:write", "companies:*"],
    ] {
        assert!(
            admin
                .client
                .create_key(key_request("here", scopes))
                .await
                .is_ok(),
            "{scopes:?}"
        );
    }
    for (scopes, beyond) in [
        (&["*"][..], "*"),
        (&["ALL"], "*"),
        (&["people:*"], "people:*"),
        (&["people:write"], "people:write"),
        (&["people"], "people"),
        (&["companies"], "companies"),
        (&["companiesx:read"], "companiesx:read"),
        (&["people:read", "z", "companies:read", "a"], "a z"),
    ] {
        let status = admin
            .client
            .create_key(key_request("here", scopes))
            .await
            .unwrap_err();
        assert_eq!(status.code(), Code::PermissionDenied, "{scopes:?}");
        let info = status.get_details_error_info().unwrap();
        assert_eq!(
            (&*info.reason, &*info.metadata["scopes"]),
            ("GRANT_CEILING_EXCEEDED", beyond)
        );
        assert_eq!(info.metadata.len(), 1);
        assert!(status.message().contains(beyond), "{status:?}");
    }
    // A ceiling of nothing: keys without scopes, and no others.
    let mut none = office.admin("here.ISSUER.of-nothing").await;
    assert!(
        none.client
            .create_key(key_request("here", &[]))
            .await
            .is_ok()
    );
    assert!(
        none.client
            .create_key(key_request("here", &["people:read"]))
            .await
            .is_err()
    );
    // Revoking hands nothing out.
    let mut owner = office.server.admin().await;
    let key = owner.key("here", &["*"]).await.key.unwrap();
    assert_eq!(none.revoke(&key.id).await.state(), KeyState::Revoked);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_anothers_is_not_found_in_the_same_bytes_as_what_is_not_there() {
    let office = Office::open().await;
    let mut owner = office.server.admin().await;
    let theirs = owner.key("yonder", &["a"]).await.key.unwrap().id;
    let absent = KeyId::generate(now()).to_string();
    for name in ["here.READER", "here.ISSUER", "here.OWNER"] {
        let mut admin = office.admin(name).await;
        for reason in [0, 4] {
            let [one, other] = [&theirs, &absent].map(|id| RevokeKeyRequest {
                key_id: id.clone(),
                reason,
                ..RevokeKeyRequest::default()
            });
            let one = admin.client.revoke_key(one).await.unwrap_err();
            let other = admin.client.revoke_key(other).await.unwrap_err();
            same_but_for_the_id(&one, &theirs, &other, &absent);
        }
        let one = get_key(&mut admin, &theirs).await.unwrap_err();
        let other = get_key(&mut admin, &absent).await.unwrap_err();
        same_but_for_the_id(&one, &theirs, &other, &absent);
        let one = get_workspace(&mut admin, "yonder").await.unwrap_err();
        let other = get_workspace(&mut admin, "absent").await.unwrap_err();
        same_but_for_the_id(&one, "yonder", &other, "absent");
        let one = list_keys(&mut admin, "yonder").await.unwrap_err();
        let other = list_keys(&mut admin, "absent").await.unwrap_err();
        same_but_for_the_id(&one, "yonder", &other, "absent");
        // However wrong the rest of the request is.
        for request in [
            key_request("", &["a"]),
            key_request("", &["*"]),
            key_request("", &["Not a scope"]),
            CreateKeyRequest {
                environment: "nowhere".to_owned(),
                ..key_request("", &[])
            },
            CreateKeyRequest::default(),
        ] {
            let [one, other] = ["yonder", "absent"].map(|id| CreateKeyRequest {
                workspace: id.to_owned(),
                ..request.clone()
            });
            let one = admin.client.create_key(one).await.unwrap_err();
            let other = admin.client.create_key(other).await.unwrap_err();
            same_but_for_the_id(&one, "yonder", &other, "absent");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ended_admin_key_does_nothing_and_is_told_why() {
    let office = Office::open().await;
    let mut owner = office.server.admin().await;
    let key = owner.key("here", &["a"]).await.key.unwrap().id;
    for (name, denial) in [
        ("expired", "EXPIRED"),
        ("disabled", "DISABLED"),
        ("revoked", "REVOKED"),
    ] {
        let mut admin = office.admin(name).await;
        let calls = [
            "CreateWorkspace",
            "GetWorkspace",
            "CreateKey",
            "GetKey",
            "ListKeys",
            "RevokeKey",
        ];
        for call in calls {
            let status = attempted(&mut admin, call, "here", &key).await.unwrap_err();
            assert_eq!(status.code(), Code::Unauthenticated, "{name} calls {call}");
            let info = status.get_details_error_info().unwrap();
            assert_eq!(
                (&*info.reason, &*info.domain),
                ("ADMIN_TOKEN_INVALID", "keyward")
            );
            assert_eq!(
                (&*info.metadata["denial"], info.metadata.len()),
                (denial, 1)
            );
        }
        // It is an admin's token all the same, and no key's.
        let denied = office
            .server
            .checks()
            .await
            .header(&office.admins[name].token, &[])
            .await;
        assert_eq!(denied.unwrap_err().key_id, "");
    }
    assert_eq!(
        get_key(&mut owner, &key).await.unwrap().state(),
        KeyState::Active
    );
}

/// A server with two workspaces, `here` and `yonder`, and admin keys of every
/// kind.
struct Office {
    server: Server,
    admins: BTreeMap<String, Planted>,
}

/// An admin key, and its token.
struct Planted {
    id: String,
    token: String,
}

impl Office {
    async fn open() -> Self {
        let site = Site::init();
        let server = site.serve();
        let mut owner = server.admin().await;
        for workspace in ["here", "yonder"] {
            owner.workspace(workspace, "klg", &[]).await;
        }
        server.stop();
        let mut admins = BTreeMap::new();
        let plant = |pepper: &Pepper, _| {
            plans()
                .into_iter()
                .map(|(name, plan)| {
                    let (admin, planted) = planted(pepper, plan);
                    admins.insert(name.to_owned(), planted);
                    records::create(Record::AdminKey(admin))
                })
                .collect()
        };
        site.edit(plant).await;
        Self {
            server: site.serve(),
            admins,
        }
    }

    async fn admin(&self, name: &str) -> Admin {
        admin_client(&self.server.admin_address, &self.admins[name].token).await
    }
}

/// What becomes of an admin key before it is stored.
type Plan = (
    Role,
    Option<&'static str>,
    &'static [&'static str],
    fn(&mut AdminKey),
);

fn plans() -> Vec<(&'static str, Plan)> {
    const ALL: &[&str] = &["*"];
    let as_it_is: fn(&mut AdminKey) = |_| {};
    vec![
        ("system.READER", (Role::Reader, None, ALL, as_it_is)),
        ("system.ISSUER", (Role::Issuer, None, ALL, as_it_is)),
        ("system.OWNER", (Role::Owner, None, ALL, as_it_is)),
        ("here.READER", (Role::Reader, Some("here"), ALL, as_it_is)),
        ("here.ISSUER", (Role::Issuer, Some("here"), ALL, as_it_is)),
        ("here.OWNER", (Role::Owner, Some("here"), ALL, as_it_is)),
        ("yonder.OWNER", (Role::Owner, Some("yonder"), ALL, as_it_is)),
        (
            "capped",
            (
                Role::Owner,
                Some("here"),
                &["people:read", "companies:*"],
                as_it_is,
            ),
        ),
        (
            "here.ISSUER.of-nothing",
            (Role::Issuer, Some("here"), &[], as_it_is),
        ),
        (
            "expired",
            (Role::Owner, None, ALL, |admin| {
                admin.expire_time = Some(admin.create_time)
            }),
        ),
        (
            "disabled",
            (Role::Owner, None, ALL, |admin| admin.disabled = true),
        ),
        (
            "revoked",
            (Role::Owner, None, ALL, |admin| {
                let (time, by) = (admin.create_time, String::new());
                admin.revocation = Some(Revocation {
                    time,
                    reason: RevocationReason::Leaked,
                    by,
                    note: String::new(),
                });
            }),
        ),
    ]
}

fn planted(pepper: &Pepper, plan: Plan) -> (AdminKey, Planted) {
    let (role, workspace, ceiling, finish) = plan;
    let (now, token) = (now(), bootstrap::mint_admin_token().unwrap());
    let secret = Secret {
        digest: pepper.token_hasher().digest(token.expose().as_bytes()),
        tail: token.tail(),
        create_time: now,
        pepper_id: pepper.id(),
        end_time: None,
    };
    let mut admin = AdminKey {
        id: AdminKeyId::generate(now),
        name: "an admin".to_owned(),
        role,
        reach: workspace.map_or(Reach::System, |id| Reach::Workspace(id.parse().unwrap())),
        grant_ceiling: ceiling
            .iter()
            .map(|scope| (*scope).try_into().unwrap())
            .collect(),
        secrets: vec![secret],
        create_time: now,
        created_by: String::new(),
        expire_time: None,
        disabled: false,
        revocation: None,
    };
    finish(&mut admin);
    let planted = Planted {
        id: admin.id.to_string(),
        token: token.expose().to_owned(),
    };
    (admin, planted)
}

fn now() -> Timestamp {
    SystemClock::default().now()
}

/// The id of the workspace that this admin key tries to make.
fn made_by(name: &str) -> String {
    format!("by-{}", name.to_lowercase())
}

/// Makes a call and says, in the table's words, what came of it.
async fn attempt(name: &str, admin: &mut Admin, call: &str, place: &str, key: &str) -> String {
    let Err(status) = attempted(admin, call, place, key).await else {
        return "ok".to_owned();
    };
    let info = status.get_details_error_info().unwrap();
    assert_eq!(info.domain, "keyward");
    match (status.code(), info.reason.as_str()) {
        (Code::PermissionDenied, "NOT_OF_THE_SYSTEM") => {
            assert!(info.metadata.is_empty());
            "system".to_owned()
        }
        (Code::PermissionDenied, "ROLE_INSUFFICIENT") => {
            assert_eq!(info.metadata.len(), 2, "`role` and `requiredRole`");
            for role in info.metadata.values() {
                assert!(status.message().contains(role.as_str()), "{status:?}");
            }
            assert!(name.ends_with(&info.metadata["role"]), "{status:?}");
            info.metadata["requiredRole"].clone()
        }
        (Code::NotFound, "RESOURCE_NOT_FOUND") => "hidden".to_owned(),
        other => panic!("{call} {place}: {other:?} {status:?}"),
    }
}

async fn attempted(admin: &mut Admin, call: &str, place: &str, key: &str) -> Result<(), Status> {
    let workspace = if place == "all" { "" } else { place };
    let client = &mut admin.client;
    match call {
        "CreateWorkspace" => {
            let workspace = Workspace {
                id: key.to_owned(),
                token_prefix: "klg".to_owned(),
                ..Workspace::default()
            };
            let request = CreateWorkspaceRequest {
                workspace: Some(workspace),
            };
            client.create_workspace(request).await.map(drop)
        }
        "GetWorkspace" => get_workspace(admin, workspace).await,
        "CreateKey" => client
            .create_key(key_request(workspace, &["a"]))
            .await
            .map(drop),
        "GetKey" => get_key(admin, key).await.map(drop),
        "ListKeys" => list_keys(admin, workspace).await,
        "RevokeKey" => {
            let request = RevokeKeyRequest {
                key_id: key.to_owned(),
                reason: 0,
                ..RevokeKeyRequest::default()
            };
            client.revoke_key(request).await.map(drop)
        }
        other => panic!("{other} is no call"),
    }
}

async fn get_workspace(admin: &mut Admin, id: &str) -> Result<(), Status> {
    let request = GetWorkspaceRequest {
        workspace: id.to_owned(),
    };
    admin.client.get_workspace(request).await.map(drop)
}

async fn get_key(admin: &mut Admin, id: &str) -> Result<keyward::edge::pb::Key, Status> {
    let request = GetKeyRequest {
        key_id: id.to_owned(),
    };
    admin
        .client
        .get_key(request)
        .await
        .map(|reply| reply.into_inner().key.unwrap())
}

async fn list_keys(admin: &mut Admin, workspace: &str) -> Result<(), Status> {
    let request = ListKeysRequest {
        workspace: workspace.to_owned(),
        ..ListKeysRequest::default()
    };
    admin.client.list_keys(request).await.map(drop)
}

async fn all_keys(admin: &mut Admin) -> Vec<keyward::edge::pb::Key> {
    let request = ListKeysRequest {
        page_size: 1_000,
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

/// Nothing but the id that was asked for tells the two statuses apart.
fn same_but_for_the_id(one: &Status, id: &str, other: &Status, other_id: &str) {
    assert_eq!(one.code(), Code::NotFound, "{one:?}");
    assert_eq!(one.code(), other.code());
    assert_eq!(one.message().replace(id, other_id), other.message());
    assert_eq!(id.len(), other_id.len(), "so that details can be compared");
    let details = replaced(one.details(), id, other_id);
    assert_eq!(
        details.escape_ascii().to_string(),
        other.details().escape_ascii().to_string()
    );
    let headers = |status: &Status| {
        let mut headers = status.metadata().clone().into_headers();
        // The details once more, in base64, and the time.
        headers.remove("grpc-status-details-bin");
        headers.remove("date");
        format!("{headers:?}")
    };
    assert_eq!(headers(one), headers(other));
}

fn replaced(bytes: &[u8], what: &str, by: &str) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    while let Some(at) = bytes
        .windows(what.len())
        .position(|part| part == what.as_bytes())
    {
        bytes[at..at + what.len()].copy_from_slice(by.as_bytes());
    }
    bytes
}
