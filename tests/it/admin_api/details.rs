//! Every error says in google.rpc details what it is: its reason with the
//! metadata that the proto documents, and what goes with that.

use keyward::edge::pb::{
    AdjustCreditsRequest, AdminKey, AdminRole, GetAdminKeyRequest, ListAuditEventsRequest,
    RevokeAdminKeyRequest, RotateAdminKeyRequest, SystemLog, WhoAmIRequest,
    list_audit_events_request::Log,
};
use tonic::transport::Endpoint;

use super::calls::*;
use super::*;
use crate::law_durable::{leave_room, serve_without_xfsz};

/// What clients commonly take in headers, in bytes.
pub(super) const MAX_HEADERS: u32 = 8 * 1024;

/// An operator whose client takes no more than that.
pub(super) async fn strict(server: &Server, token: &str) -> Admin {
    let endpoint = Endpoint::from_shared(server.admin_address.clone()).unwrap();
    let endpoint = endpoint.http2_max_header_list_size(MAX_HEADERS);
    support::admin_over(endpoint.connect().await.unwrap(), token)
}

/// What was seen of each reason: the names of its metadata, and the values of
/// `type` and `condition`.
#[derive(Default)]
struct Seen {
    metadata: BTreeMap<String, BTreeSet<String>>,
    conditions: BTreeSet<String>,
}

impl Seen {
    fn note(&mut self, status: &Status, code: Code, reason: &str, metadata: &[(&str, &str)]) {
        told(status, code, reason, metadata);
        self.keep(status);
    }

    fn keep(&mut self, status: &Status) {
        let length = headers_len(status);
        assert!(length < MAX_HEADERS as usize, "{length} bytes: {status:?}");
        let info = status.get_details_error_info().unwrap();
        self.conditions
            .extend(info.metadata.get("condition").cloned());
        let names = info.metadata.into_keys();
        self.metadata.entry(info.reason).or_default().extend(names);
    }
}

/// How long the headers of the error are at least, as HTTP/2 counts them: 32
/// bytes for each beside its name and value.
pub(super) fn headers_len(status: &Status) -> usize {
    let encoded = |byte: u8| {
        if (b'!'..=b'~').contains(&byte) && !b"\"#%<>`?{}".contains(&byte) {
            1
        } else {
            3
        }
    };
    let message: usize = status.message().bytes().map(encoded).sum();
    let details = status.details().len().div_ceil(3) * 4;
    let rest = "content-type application/grpc date Sat, 21 Nov 2026 14:20:52 GMT :status 200 grpc-status 16";
    message + details + "grpc-message".len() + "grpc-status-details-bin".len() + rest.len() + 6 * 32
}

/// A code, and names of metadata.
type Told = (String, BTreeSet<String>);

/// What the proto says of each reason: the code, and the names in backquotes
/// behind `Metadata:` that are names of metadata.
fn documented() -> (BTreeMap<String, Told>, BTreeSet<String>) {
    let proto = include_str!("../../../proto/keyward/v1/error_reason.proto");
    let (mut reasons, mut conditions) = (BTreeMap::new(), BTreeSet::new());
    let mut comment = String::new();
    for line in proto.lines().map(str::trim) {
        if let Some(text) = line.strip_prefix("//") {
            comment.push_str(text);
        } else if let Some((name, _)) = line
            .strip_prefix("ERROR_REASON_")
            .and_then(|rest| rest.split_once(" = "))
        {
            let code = comment.split(':').next().unwrap().trim().to_owned();
            let metadata = comment.split_once("Metadata:").map_or("", |(_, rest)| rest);
            let mut names = BTreeSet::new();
            for word in metadata.split('`').skip(1).step_by(2) {
                let is_value = word.chars().all(|c| c.is_ascii_uppercase() || c == '_');
                if is_value {
                    conditions.insert(word.to_owned());
                } else if !["workspace", "key", "admin_key", "principal", "membership"]
                    .contains(&word)
                    && word != "<workspace>/<principal>"
                {
                    names.insert(word.to_owned());
                }
            }
            reasons.insert(name.to_owned(), (code, names));
            comment.clear();
        } else {
            comment.clear();
        }
    }
    reasons.remove("UNSPECIFIED");
    (reasons, conditions)
}

pub(super) fn asked(name: &str, role: AdminRole, workspace: &str, ceiling: &[&str]) -> AdminKey {
    AdminKey {
        name: name.to_owned(),
        role: role.into(),
        workspace: workspace.to_owned(),
        grant_ceiling: names(ceiling),
        ..AdminKey::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_error_has_the_details_that_are_documented() {
    let mut seen = Seen::default();
    let server = Server::start();
    let mut owner = strict(&server, &server.site.admin_token()).await;
    owner.workspace("w", "klg", &[]).await;
    owner.workspace("v", "klg", &[]).await;
    let key = owner.key("w", &["a"]).await.key.unwrap();
    let made = create_admin(&mut owner, asked("reader", AdminRole::Reader, "w", &[])).await;
    let made = made.unwrap();
    let mut reader = strict(&server, &made.token).await;
    let reader_id = made.admin_key.unwrap().id;
    let made = create_admin(
        &mut owner,
        asked("owner of w", AdminRole::Owner, "w", &["a"]),
    )
    .await;
    let mut local = strict(&server, &made.unwrap().token).await;

    not_admitted(&mut seen, &server, &mut reader, &mut local, &key).await;
    not_there(&mut seen, &mut owner, &mut local, &key).await;
    not_now(&mut seen, &mut owner, &key, &reader_id).await;

    let status = owner.client.create_key(CreateKeyRequest::default()).await;
    let status = status.unwrap_err();
    assert_eq!(fields(&status), ["workspace"]);
    seen.keep(&status);

    // Others keep changing what is being changed: the last of many lose.
    let mut writers = JoinSet::new();
    for number in 0..100 {
        let mut admin = owner.clone();
        let asked = Workspace {
            display_name: format!("n{number}"),
            ..workspace("v", "")
        };
        writers.spawn(async move { update_workspace(&mut admin, asked, &["display_name"]).await });
    }
    let lost: Vec<_> = writers
        .join_all()
        .await
        .into_iter()
        .filter_map(Result::err)
        .collect();
    assert!(!lost.is_empty(), "nobody lost");
    for status in lost {
        let of = [("type", "workspace"), ("id", "v")];
        seen.note(&status, Code::Aborted, "CONFLICT", &of);
    }
    server.stop();
    store_lost(&mut seen).await;

    // Whatever is documented was seen, and nothing else.
    let (documented, conditions) = documented();
    let mut expected: BTreeMap<_, _> = documented
        .into_iter()
        .map(|(reason, (_, names))| (reason, names))
        .collect();
    // That is what nobody can ask for.
    assert_eq!(expected.remove("INTERNAL"), Some(BTreeSet::new()));
    // That is the listener's, and seen where its limits are tried.
    assert_eq!(expected.remove("OVERLOADED"), Some(BTreeSet::new()));
    // That is for gateways, and seen where credits are tried.
    let of_checks = expected.remove("CREDITS_UNAVAILABLE");
    assert_eq!(of_checks, Some(BTreeSet::new()));
    // That is of a server that counts nothing, and seen where usage is tried.
    assert_eq!(expected.remove("USAGE_NOT_COUNTED"), Some(BTreeSet::new()));
    assert_eq!(seen.metadata, expected);
    assert_eq!(seen.conditions, conditions);
}

/// Who is not admitted, and who may not.
async fn not_admitted(
    seen: &mut Seen,
    server: &Server,
    reader: &mut Admin,
    local: &mut Admin,
    key: &Key,
) {
    let mut nobody = strict(server, "x").await;
    let status = nobody.client.who_am_i(WhoAmIRequest {}).await.unwrap_err();
    let unknown = [("denial", "UNKNOWN")];
    seen.note(
        &status,
        Code::Unauthenticated,
        "ADMIN_TOKEN_INVALID",
        &unknown,
    );

    for (status, required) in [
        (
            reader
                .client
                .create_key(key_request("w", &[]))
                .await
                .map(drop),
            "ISSUER",
        ),
        (
            reader.client.list_audit_events(log_of("w")).await.map(drop),
            "OWNER",
        ),
        (revoke_key(reader, &key.id, 0, "").await.map(drop), "ISSUER"),
    ] {
        seen.note(
            &status.unwrap_err(),
            Code::PermissionDenied,
            "ROLE_INSUFFICIENT",
            &[("role", "READER"), ("requiredRole", required)],
        );
    }
    let system = ListAuditEventsRequest {
        log: Some(Log::System(SystemLog {})),
        ..ListAuditEventsRequest::default()
    };
    for status in [
        create_workspace(local, workspace("x", "klg"))
            .await
            .map(drop),
        switch_workspace(local, "w", "", true).await.map(drop),
        delete_workspace(local, "w", "").await,
        create_admin(local, asked("system", AdminRole::Reader, "", &[]))
            .await
            .map(drop),
        local.client.list_audit_events(system).await.map(drop),
    ] {
        let status = status.unwrap_err();
        seen.note(&status, Code::PermissionDenied, "NOT_OF_THE_SYSTEM", &[]);
    }
    let status = local
        .client
        .create_key(key_request("w", &["b", "a", "c"]))
        .await;
    seen.note(
        &status.unwrap_err(),
        Code::PermissionDenied,
        "GRANT_CEILING_EXCEEDED",
        &[("scopes", "b c")],
    );
}

/// What is not there, or is not for this caller, or is there already.
async fn not_there(seen: &mut Seen, owner: &mut Admin, local: &mut Admin, key: &Key) {
    let absent = KeyId::generate(SystemClock::default().now()).to_string();
    let get_admin = |id: &str| GetAdminKeyRequest {
        admin_key_id: id.to_owned(),
    };
    let absent_admin = absent.replace("key_", "adm_");
    let elsewhere = owner.key("v", &[]).await.key.unwrap().id;
    for (status, kind, id) in [
        (get_key(owner, &absent).await.map(drop), "key", &*absent),
        (get_key(owner, "x").await.map(drop), "key", ""),
        (
            get_key(local, &elsewhere).await.map(drop),
            "key",
            &*elsewhere,
        ),
        (get_workspace(owner, "x").await.map(drop), "workspace", "x"),
        (get_workspace(local, "v").await.map(drop), "workspace", "v"),
        (list(local, "v", 0, "").await.map(drop), "workspace", "v"),
        (
            owner
                .client
                .get_admin_key(get_admin(&absent_admin))
                .await
                .map(drop),
            "admin_key",
            &*absent_admin,
        ),
        (
            owner
                .client
                .get_admin_key(get_admin(&key.id))
                .await
                .map(drop),
            "admin_key",
            "",
        ),
    ] {
        let of = [("type", kind), ("id", id)];
        seen.note(
            &status.unwrap_err(),
            Code::NotFound,
            "RESOURCE_NOT_FOUND",
            &of,
        );
    }
    let status = create_workspace(owner, workspace("w", "klg"))
        .await
        .unwrap_err();
    let of = [("type", "workspace"), ("id", "w")];
    seen.note(&status, Code::AlreadyExists, "RESOURCE_EXISTS", &of);
    let stale = Key {
        etag: "x".to_owned(),
        ..key.clone()
    };
    let status = update_key(owner, stale, &["name"]).await.unwrap_err();
    let of = [("type", "key"), ("id", &*key.id)];
    seen.note(&status, Code::Aborted, "ETAG_MISMATCH", &of);
}

/// What is there, and not in a state in which it can be done.
async fn not_now(seen: &mut Seen, owner: &mut Admin, key: &Key, other_admin: &str) {
    let code = Code::FailedPrecondition;
    let mut refuse =
        |status: Status, kind: &str, id: &str, condition: &str, more: &[(&str, String)]| {
            let mut metadata = vec![("type", kind), ("id", id), ("condition", condition)];
            metadata.extend(more.iter().map(|(name, value)| (*name, value.as_str())));
            seen.note(&status, code, "PRECONDITION_FAILED", &metadata);
        };
    let time = |status: &Status, name: &str| {
        let text = status
            .get_details_error_info()
            .unwrap()
            .metadata
            .remove(name)
            .unwrap();
        assert!(status.message().contains(&text), "{status:?}");
        text.parse::<jiff::Timestamp>().unwrap();
        (text, status.clone())
    };
    let status = delete_key(owner, &key.id, "").await.unwrap_err();
    refuse(status, "key", &key.id, "NOT_REVOKED", &[]);
    let status = settle_rotation(owner, (&key.id, ""), Settled::Finished)
        .await
        .unwrap_err();
    refuse(status, "key", &key.id, "NO_ROTATION", &[]);
    let brief = CreateKeyRequest {
        expire_time: Some(in_seconds(3)),
        ..key_request("w", &[])
    };
    let brief = owner.client.create_key(brief).await.unwrap().into_inner();
    let brief = brief.key.unwrap().id;
    while get_key(owner, &brief).await.unwrap().state() != KeyState::Expired {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let status = rotate_key(owner, rotation(&brief, 1)).await.unwrap_err();
    refuse(status, "key", &brief, "EXPIRED", &[]);
    let more = AdjustCreditsRequest {
        key_id: key.id.clone(),
        delta: 1,
        request_id: String::new(),
    };
    let status = owner.client.adjust_credits(more).await.unwrap_err();
    refuse(status, "key", &key.id, "NO_CREDITS", &[]);
    owner.revoke(&key.id).await;
    let status = switch_key(owner, &key.id, "", true).await.unwrap_err();
    refuse(status, "key", &key.id, "REVOKED", &[]);
    let (until, status) = time(
        &delete_key(owner, &key.id, "").await.unwrap_err(),
        "deletableTime",
    );
    refuse(
        status,
        "key",
        &key.id,
        "RETENTION_NOT_OVER",
        &[("deletableTime", until)],
    );
    let status = delete_workspace(owner, "w", "").await.unwrap_err();
    refuse(status, "workspace", "w", "WORKSPACE_ENABLED", &[]);
    switch_workspace(owner, "w", "", true).await.unwrap();
    let status = delete_workspace(owner, "w", "").await.unwrap_err();
    refuse(status, "workspace", "w", "WORKSPACE_NOT_EMPTY", &[]);
    let status = owner
        .client
        .create_key(key_request("w", &[]))
        .await
        .unwrap_err();
    refuse(status, "workspace", "w", "WORKSPACE_DISABLED", &[]);
    switch_workspace(owner, "w", "", false).await.unwrap();

    remove_membership(owner, "w", "user:ada").await.unwrap();
    let status = owner.client.create_key(key_request("w", &[])).await;
    let (kind, id) = ("membership", "w/user:ada");
    refuse(status.unwrap_err(), kind, id, "MEMBERSHIP_REMOVED", &[]);
    switch_principal(owner, "user:ada", true).await.unwrap();
    let status = owner.client.create_key(key_request("v", &[])).await;
    let (kind, id) = ("principal", "user:ada");
    refuse(status.unwrap_err(), kind, id, "PRINCIPAL_DISABLED", &[]);
    let of = |principal: &str| CreateKeyRequest {
        principal: principal.to_owned(),
        ..key_request("v", &[])
    };
    owner.client.create_key(of("user:keyed")).await.unwrap();
    let status = delete_principal(owner, "user:keyed", "").await.unwrap_err();
    let (id, keys) = ("user:keyed", ("keys", "1".to_owned()));
    refuse(status, kind, id, "PRINCIPAL_HAS_KEYS", &[keys]);
    set_membership(owner, "v", "user:gone", &["*"])
        .await
        .unwrap();
    delete_principal(owner, "user:gone", "").await.unwrap();
    let status = owner.client.create_key(of("user:gone")).await.unwrap_err();
    refuse(status, kind, "user:gone", "PRINCIPAL_DELETED", &[]);

    let me = owner
        .client
        .who_am_i(WhoAmIRequest {})
        .await
        .unwrap()
        .into_inner();
    let me = me.admin_key.unwrap().id;
    let last = RevokeAdminKeyRequest {
        admin_key_id: me.clone(),
        ..RevokeAdminKeyRequest::default()
    };
    let status = owner.client.revoke_admin_key(last).await.unwrap_err();
    refuse(status, "admin_key", &me, "LAST_OWNER", &[]);
    let rotate = RotateAdminKeyRequest {
        admin_key_id: other_admin.to_owned(),
        overlap: None,
    };
    owner.client.rotate_admin_key(rotate.clone()).await.unwrap();
    let status = owner.client.rotate_admin_key(rotate).await.unwrap_err();
    let (end, status) = time(&status, "endTime");
    refuse(
        status,
        "admin_key",
        other_admin,
        "ROTATION_PENDING",
        &[("endTime", end)],
    );
}

/// A store that is full while a change is made, and from then on. If it is sled
/// itself that finds out first, between two changes, it is lost before the next
/// one is made; then another is filled.
async fn store_lost(seen: &mut Seen) {
    const TRIES: usize = 10;
    for _ in 0..TRIES {
        let [first, second] = fill_store().await;
        seen.note(&second, Code::Unavailable, "STORE_UNAVAILABLE", &[]);
        let reason = first.get_details_error_info().unwrap().reason;
        if reason != "STORE_UNAVAILABLE" {
            seen.note(&first, Code::Unavailable, "OUTCOME_UNKNOWN", &[]);
            return;
        }
    }
    panic!("no store was lost by a change");
}

/// Fills a store, and gives the first two refusals.
async fn fill_store() -> [Status; 2] {
    let site = Site::init();
    let server = Server::spawn(site.clone(), serve_without_xfsz(&site, "60s")).unwrap();
    let mut owner = strict(&server, &site.admin_token()).await;
    owner.workspace("w", "klg", &[]).await;
    leave_room(&server, 0);
    let first = loop {
        if let Err(status) = owner.client.create_key(key_request("w", &["a"])).await {
            break status;
        }
    };
    let second = owner.client.create_key(key_request("w", &["a"])).await;
    [first, second.unwrap_err()]
}

/// The code that the proto names for a reason is the one that is sent.
#[test]
fn the_proto_names_a_code_for_each_reason() {
    let (documented, conditions) = documented();
    let code = |reason: &str| documented[reason].0.as_str();
    for (reason, expected) in [
        ("INVALID_FIELDS", "INVALID_ARGUMENT"),
        ("ADMIN_TOKEN_INVALID", "UNAUTHENTICATED"),
        ("ROLE_INSUFFICIENT", "PERMISSION_DENIED"),
        ("NOT_OF_THE_SYSTEM", "PERMISSION_DENIED"),
        ("GRANT_CEILING_EXCEEDED", "PERMISSION_DENIED"),
        ("RESOURCE_NOT_FOUND", "NOT_FOUND"),
        ("RESOURCE_EXISTS", "ALREADY_EXISTS"),
        ("ETAG_MISMATCH", "ABORTED"),
        ("CONFLICT", "ABORTED"),
        ("PRECONDITION_FAILED", "FAILED_PRECONDITION"),
        ("STORE_UNAVAILABLE", "UNAVAILABLE"),
        ("OUTCOME_UNKNOWN", "UNAVAILABLE"),
        ("OVERLOADED", "UNAVAILABLE"),
        ("INTERNAL", "INTERNAL"),
        ("CREDITS_UNAVAILABLE", "UNAVAILABLE"),
        ("USAGE_NOT_COUNTED", "FAILED_PRECONDITION"),
    ] {
        assert_eq!(code(reason), expected);
    }
    assert_eq!(
        (documented.len(), conditions.len()),
        (16, 15),
        "{documented:#?}"
    );
}
