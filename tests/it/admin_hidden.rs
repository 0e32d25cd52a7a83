//! What is another workspace's is not there: in no answer, no list, no page
//! token and no audit log does it differ from what does not exist.

use data_encoding::BASE64URL_NOPAD;
use keyward::domain::clock::{Clock, SystemClock, Timestamp};
use keyward::domain::id::{AdminKeyId, KeyId};
use keyward::edge::pb::*;
use tonic::{Code, Status};

use crate::office::{Ask, Caller, Office, whoami};
use crate::support::Admin;

const ROLES: [AdminRole; 3] = [AdminRole::Reader, AdminRole::Issuer, AdminRole::Owner];

/// The calls that name a workspace, a key, an admin key.
const OF_WORKSPACES: [&str; 15] = [
    "GetWorkspace",
    "UpdateWorkspace",
    "DisableWorkspace",
    "EnableWorkspace",
    "DeleteWorkspace",
    "CreateKey",
    "ImportKeys",
    "ListKeys",
    "CreateAdminKey",
    "ListAdminKeys",
    "ListAuditEvents",
    "SetMembership",
    "RemoveMembership",
    "ListMemberships",
    "ExplainCheck",
];
const OF_KEYS: [&str; 8] = [
    "GetKey",
    "UpdateKey",
    "DisableKey",
    "EnableKey",
    "RevokeKey",
    "DeleteKey",
    "SetCredits",
    "AdjustCredits",
];
const OF_ADMINS: [&str; 4] = [
    "GetAdminKey",
    "UpdateAdminKey",
    "RotateAdminKey",
    "RevokeAdminKey",
];

#[tokio::test(flavor = "multi_thread")]
async fn what_is_anothers_is_answered_in_the_same_bytes_as_what_is_not_there() {
    let office = Office::open().await;
    let (here, yonder) = (office.workspace().await, office.workspace().await);
    let key = office.key(&yonder, &["a"]).await.id;
    let personal = office.key("", &["a"]).await.id;
    let theirs = office.caller(AdminRole::Reader, &yonder, &["a"]).await.id;
    let of_the_system = office.owner_id().await;
    let absent_key = KeyId::generate(now()).to_string();
    let absent_admin = AdminKeyId::generate(now()).to_string();
    let pairs = [
        (&OF_WORKSPACES[..], &*yonder, "absent"),
        (&OF_KEYS, &*key, &*absent_key),
        (&OF_KEYS, &*personal, &*absent_key),
        (&OF_ADMINS, &*theirs, &*absent_admin),
        (&OF_ADMINS, &*of_the_system, &*absent_admin),
    ];
    for role in ROLES {
        for (calls, there, absent) in pairs {
            for call in calls {
                // Of its own, since only so many refusals are written down.
                let mut caller = office.caller(role, &here, &["a"]).await;
                for ask in asks() {
                    let [one, other] = [there, absent].map(|id| Ask {
                        workspace: id.to_owned(),
                        id: id.to_owned(),
                        ..ask.clone()
                    });
                    let one = one.send(&mut caller.admin, call).await.unwrap_err();
                    let other = other.send(&mut caller.admin, call).await.unwrap_err();
                    same_but_for_the_id(call, &one, there, &other, absent);
                }
                leaves_the_same_traces(&office, &caller, call, there, absent).await;
            }
        }
    }
    // Nobody touched it.
    let mut owner = office.owner.clone();
    let ask = Ask {
        workspace: yonder,
        id: key,
        ..Ask::default()
    };
    ask.send(&mut owner, "UpdateWorkspace").await.unwrap();
    ask.send(&mut owner, "DisableKey").await.unwrap();
}

/// However wrong the rest of a request is.
fn asks() -> Vec<Ask> {
    let text = |text: &str| text.to_owned();
    vec![
        Ask {
            name: text("a name"),
            ..Ask::default()
        },
        Ask {
            name: text("a name"),
            scopes: vec![text("b")],
            etag: text("r0"),
            ..Ask::default()
        },
        Ask {
            scopes: vec![text("No scope")],
            note: "x".repeat(201),
            ..Ask::default()
        },
    ]
}

/// What the OWNER of the caller's workspace can read of the calls does not
/// tell which of the two is there either.
async fn leaves_the_same_traces(
    office: &Office,
    caller: &Caller,
    call: &str,
    there: &str,
    absent: &str,
) {
    let count = 2 * asks().len();
    let traces: Vec<_> = office
        .denials_of(&caller.id, count)
        .await
        .into_iter()
        .map(|event| (event.resource, event.workspace, event.detail))
        .collect();
    let of = |id: &str| {
        let of = traces.iter().filter(|(resource, ..)| resource == id);
        let of = of.map(|(_, workspace, detail)| (workspace, detail));
        of.collect::<Vec<_>>()
    };
    assert_eq!(of(there), of(absent), "{call}");
    assert_eq!(of(there).len(), asks().len(), "{call}: {traces:?}");
    assert!(
        of(there)
            .iter()
            .all(|(_, detail)| detail["reason"] == "NOT_VISIBLE")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn anyone_may_know_who_he_is() {
    let office = Office::open().await;
    let here = office.workspace().await;
    for role in ROLES {
        for place in ["", &*here] {
            let mut caller = office.caller(role, place, &["a"]).await;
            let found = whoami(&mut caller.admin).await.unwrap();
            assert_eq!(
                (found.id, found.workspace, found.role),
                (caller.id, place.to_owned(), role.into())
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_of_a_workspace_and_their_page_tokens_tell_of_no_other() {
    let office = Office::open().await;
    let mut owner = office.owner.clone();
    // Before and behind it in every order there is.
    let (before, here, behind) = (
        office.workspace().await,
        office.workspace().await,
        office.workspace().await,
    );
    for place in ["", &*before, &*behind] {
        office.caller(AdminRole::Owner, place, &["*"]).await;
    }
    let mut mine = Vec::new();
    for _ in 0..3 {
        mine.push(office.caller(AdminRole::Owner, &here, &["*"]).await);
        for place in ["", &*before, &*behind] {
            office.caller(AdminRole::Reader, place, &[]).await;
        }
        for place in [&before, &here, &behind] {
            office.key(place, &[]).await;
        }
    }
    let caller = &mut mine[0].admin.clone();
    for (call, expected) in [
        ("ListWorkspaces", vec![here.clone()]),
        ("ListKeys", key_ids(&mut owner, &here).await),
        (
            "ListAdminKeys",
            mine.iter().map(|one| one.id.clone()).collect(),
        ),
    ] {
        // Asked for by name, and as all that there is.
        for workspace in ["", &*here] {
            let (mut found, mut token) = (Vec::new(), String::new());
            loop {
                let (page, next) = page(caller, call, workspace, 1, token).await;
                // No page is short for something that is not shown.
                assert_eq!(page.len(), 1, "{call}");
                found.extend(page);
                if next.is_empty() {
                    break;
                }
                let bytes = BASE64URL_NOPAD.decode(next.as_bytes()).unwrap();
                let text = String::from_utf8_lossy(&bytes).into_owned();
                assert!(
                    text.ends_with(found.last().unwrap()),
                    "{call} continues behind what was shown, and not at {text:?}"
                );
                token = next;
            }
            assert_eq!(found, expected, "{call}");
        }
        let (_, next) = page(&mut owner, call, "", 1, String::new()).await;
        let refused = try_page(caller, call, "", 1, next).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{call}");
    }
}

async fn key_ids(admin: &mut Admin, workspace: &str) -> Vec<String> {
    page(admin, "ListKeys", workspace, 100, String::new())
        .await
        .0
}

async fn page(
    admin: &mut Admin,
    call: &str,
    workspace: &str,
    page_size: i32,
    page_token: String,
) -> (Vec<String>, String) {
    try_page(admin, call, workspace, page_size, page_token)
        .await
        .unwrap()
}

/// The ids of one page, and where the next one starts.
async fn try_page(
    admin: &mut Admin,
    call: &str,
    workspace: &str,
    page_size: i32,
    page_token: String,
) -> Result<(Vec<String>, String), Status> {
    let (client, workspace) = (&mut admin.client, workspace.to_owned());
    Ok(match call {
        "ListWorkspaces" => {
            let request = ListWorkspacesRequest {
                page_size,
                page_token,
            };
            let reply = client.list_workspaces(request).await?.into_inner();
            let ids = reply.workspaces.into_iter().map(|workspace| workspace.id);
            (ids.collect(), reply.next_page_token)
        }
        "ListKeys" => {
            let request = ListKeysRequest {
                workspace,
                page_size,
                page_token,
                ..ListKeysRequest::default()
            };
            let reply = client.list_keys(request).await?.into_inner();
            let ids = reply.keys.into_iter().map(|key| key.id);
            (ids.collect(), reply.next_page_token)
        }
        _ => {
            let request = ListAdminKeysRequest {
                workspace,
                page_size,
                page_token,
            };
            let reply = client.list_admin_keys(request).await?.into_inner();
            let ids = reply.admin_keys.into_iter().map(|admin| admin.id);
            (ids.collect(), reply.next_page_token)
        }
    })
}

fn now() -> Timestamp {
    SystemClock::default().now()
}

/// Nothing but the id that was asked for tells the two statuses apart.
fn same_but_for_the_id(call: &str, one: &Status, id: &str, other: &Status, other_id: &str) {
    assert_eq!(one.code(), Code::NotFound, "{call}: {one:?}");
    assert_eq!(one.code(), other.code(), "{call}");
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
