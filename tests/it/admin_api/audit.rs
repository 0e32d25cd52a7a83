//! The audit log: exactly one event for each change, by whom, to what and how,
//! as the proto documents it; and none for what changed nothing.

use keyward::edge::pb::{
    AdjustCreditsRequest, AdminKey, AdminRole, AuditEvent, CreatePrincipalRequest, Credits,
    CreditsPeriod, CreditsRefill, ImportKey, ImportKeysRequest, ImportOptions, Limit,
    ListAuditEventsRequest, Principal, RevokeAdminKeyRequest, RotateAdminKeyRequest,
    RotateKeyRequest, SetCreditsRequest, UpdatePrincipalRequest, WhoAmIRequest,
};

use super::calls::*;
use super::*;
use crate::support::Checks;

/// An operator who watches the log.
struct Watch {
    admin: Admin,
    me: String,
    /// All that was seen.
    events: Vec<AuditEvent>,
}

impl Watch {
    async fn new(mut admin: Admin) -> Self {
        let said = admin.client.who_am_i(WhoAmIRequest {}).await.unwrap();
        let me = said.into_inner().admin_key.unwrap().id;
        let events = all(&mut admin).await;
        Self { admin, me, events }
    }

    /// What was logged since the last look, the oldest first.
    async fn news(&mut self) -> Vec<AuditEvent> {
        let mut events = all(&mut self.admin).await;
        let news = events.split_off(self.events.len());
        assert_eq!(events, self.events, "what was logged stays");
        self.events.extend(news.clone());
        news
    }

    /// One event was logged since the last look: this, done by the operator.
    async fn one(&mut self, action: &str, log: &str, resource: &str, detail: &[(&str, &str)]) {
        let news = self.news().await;
        let me = self.me.clone();
        self.is_one(&news, &me, (action, log, resource, detail));
    }

    /// The server did this by itself, and nothing else was logged since the
    /// last look.
    async fn one_by_keyward(&mut self, action: &str, log: &str, resource: &str, detail: &[&str]) {
        let news = loop {
            let news = self.news().await;
            if !news.is_empty() {
                break news;
            }
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        };
        let told = news[0].detail.clone();
        let detail: Vec<_> = detail.iter().map(|&name| (name, &*told[name])).collect();
        self.is_one(&news, "keyward", (action, log, resource, &detail));
    }

    /// Two events were logged since the last look, of one change.
    async fn two(&mut self, first: Told<'_>, beside: Told<'_>) {
        let news = self.news().await;
        let me = self.me.clone();
        assert_eq!(news.len(), 2, "{news:#?}");
        let seen = self.events.len() - 2;
        is_after(&self.events[..seen], &news[0], &me, first);
        is_after(&self.events[..=seen], &news[1], &me, beside);
    }

    fn is_one(&self, news: &[AuditEvent], actor: &str, told: Told<'_>) {
        let [event] = news else {
            panic!("one event {}: {news:#?}", told.0)
        };
        let before = self.events.len() - 1;
        is_after(&self.events[..before], event, actor, told);
    }
}

/// The action, the log, the resource and the detail.
type Told<'a> = (&'a str, &'a str, &'a str, &'a [(&'a str, &'a str)]);

/// `event` follows those `before` it, was made just now, and tells this.
fn is_after(
    before: &[AuditEvent],
    event: &AuditEvent,
    actor: &str,
    (action, log, resource, detail): Told<'_>,
) {
    let last = before.iter().rev().find(|event| event.workspace == log);
    let expected = AuditEvent {
        workspace: log.to_owned(),
        sequence: last.map_or(0, |last| last.sequence) + 1,
        time: event.time,
        actor: actor.to_owned(),
        action: action.to_owned(),
        resource: resource.to_owned(),
        detail: metadata(detail),
    };
    assert_eq!(*event, expected);
    let age = now().checked_sub(micros(event.time)).unwrap();
    assert!(age < 60_000_000, "{age} us ago");
}

/// The whole log, the oldest first.
pub(super) async fn all(admin: &mut Admin) -> Vec<AuditEvent> {
    let question = ListAuditEventsRequest {
        page_size: 1_000,
        ..ListAuditEventsRequest::default()
    };
    let mut events = events(admin, question).await.unwrap();
    events.reverse();
    events
}

/// The details of each action, as the proto documents them.
fn documented() -> BTreeMap<String, BTreeSet<String>> {
    let proto = include_str!("../../../proto/keyward/v1/audit_event.proto");
    let text: String = proto
        .lines()
        .filter_map(|line| line.trim().strip_prefix("//"))
        .collect();
    let table = text.split_once("By action:").unwrap().1;
    let mut details = BTreeMap::new();
    for row in table.split("- `").skip(1) {
        let (actions, rest) = row.split_once(':').unwrap();
        let quoted = |text: &str| {
            text.split('`')
                .skip(1)
                .step_by(2)
                .map(str::to_owned)
                .collect()
        };
        let mut names: BTreeSet<String> = quoted(rest);
        // Values, not names.
        names.retain(|name| !["never", "anywhere", "NOT_VISIBLE"].contains(&name.as_str()));
        let actions: BTreeSet<String> = quoted(&format!("`{actions}"));
        for action in actions {
            details.insert(action, names.clone());
        }
    }
    details
}

fn rfc3339(time: Option<Timestamp>) -> String {
    let micros = i64::try_from(micros(time)).unwrap();
    jiff::Timestamp::from_microsecond(micros)
        .unwrap()
        .to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_change_leaves_exactly_one_event() {
    let site = Site::init();
    let mut command = site.serve_command();
    command.args(["--key-retention", "0s"]);
    let server = Server::spawn(site, command).unwrap();
    let mut admin = server.admin().await;
    let mut watch = Watch::new(server.admin().await).await;
    let [init] = watch.events.as_slice() else {
        panic!("one event: {:#?}", watch.events)
    };
    assert_eq!(
        (
            init.action.as_str(),
            init.actor.as_str(),
            init.workspace.as_str(),
            &init.resource
        ),
        ("store.init", "offline", "", &watch.me)
    );
    assert_eq!(init.detail, metadata(&[("role", "OWNER")]));

    workspaces(&mut admin, &mut watch).await;
    keys(&mut admin, &mut watch).await;
    principals(&mut admin, &mut watch).await;
    rotations(&mut admin, &mut server.checks().await, &mut watch).await;
    limits_and_credits(&mut admin, &mut watch).await;
    imports(&mut admin, &mut watch).await;
    admin_keys(&mut admin, &mut watch).await;
    switch_workspace(&mut admin, "plain", "", true)
        .await
        .unwrap();
    watch.one("workspace.disable", "plain", "plain", &[]).await;
    delete_workspace(&mut admin, "plain", "").await.unwrap();
    watch.one("workspace.delete", "plain", "plain", &[]).await;

    // What is documented was seen, and nothing else; but for what others tell.
    let mut expected = documented();
    for elsewhere in ["call.deny", "admin.recover"] {
        assert!(expected.remove(elsewhere).is_some(), "{elsewhere}");
    }
    let mut seen: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for event in &watch.events {
        let names = event.detail.keys().cloned();
        seen.entry(event.action.clone()).or_default().extend(names);
    }
    assert_eq!(seen, expected);

    // They are what they were after a crash.
    let site = server.kill();
    let server = site.serve();
    assert_eq!(all(&mut server.admin().await).await, watch.events);
}

async fn workspaces(admin: &mut Admin, watch: &mut Watch) {
    let created = admin.workspace("w", "klg", &["live", "test"]).await;
    watch
        .one("workspace.create", "w", "w", &[("token_prefix", "klg")])
        .await;
    admin.workspace("plain", "abc", &[]).await;
    watch
        .one(
            "workspace.create",
            "plain",
            "plain",
            &[("token_prefix", "abc")],
        )
        .await;
    let asked = Workspace {
        display_name: "Kling".to_owned(),
        default_environment: "test".to_owned(),
        environments: names(&["test", "live", "dev"]),
        scope_catalog: names(&["people:*", "a"]),
        etag: String::new(),
        ..created
    };
    // Those that differ, and not all that were named.
    let all = [
        "scope_catalog",
        "display_name",
        "environments",
        "default_environment",
    ];
    update_workspace(admin, asked.clone(), &all[1..2])
        .await
        .unwrap();
    watch
        .one("workspace.update", "w", "w", &[("fields", "display_name")])
        .await;
    update_workspace(admin, asked, &all).await.unwrap();
    let detail = [
        ("fields", "environments default_environment scope_catalog"),
        ("default_environment_before", "live"),
        ("default_environment", "test"),
    ];
    watch.one("workspace.update", "w", "w", &detail).await;
    switch_workspace(admin, "w", "", true).await.unwrap();
    watch.one("workspace.disable", "w", "w", &[]).await;
    switch_workspace(admin, "w", "", false).await.unwrap();
    watch.one("workspace.enable", "w", "w", &[]).await;
}

async fn imports(admin: &mut Admin, watch: &mut Watch) {
    admin.workspace("moved", "mov", &["live"]).await;
    let detail = [("token_prefix", "mov")];
    watch
        .one("workspace.create", "moved", "moved", &detail)
        .await;
    let key = ImportKey {
        token: "3fa85f64-5717-4562-b3fc-2c963f66afa6".to_owned(),
        name: "moved".to_owned(),
        principal: "user:ada".to_owned(),
        scopes: vec!["a:b".to_owned()],
        expire_time: Some(Timestamp {
            seconds: 4_070_908_800,
            nanos: 0,
        }),
        limits: vec![limit("read", 10)],
        source_addresses: vec!["10.0.0.0/8".to_owned()],
        credits: Some(Credits {
            balance: Some(7),
            ..Credits::default()
        }),
        disabled: true,
        ..ImportKey::default()
    };
    let options = ImportOptions {
        workspace: "moved".to_owned(),
        dry_run: false,
    };
    let mut id = String::new();
    // The second time, it is there, and so is what tells of it.
    for _ in 0..2 {
        let request = ImportKeysRequest {
            options: Some(options.clone()),
            keys: vec![key.clone()],
        };
        let answers = admin.client.import_keys(tokio_stream::iter([request]));
        let mut answers = answers.await.unwrap().into_inner();
        while let Some(mut answer) = answers.message().await.unwrap() {
            id = answer.results.remove(0).key_id;
        }
        if watch.events.iter().any(|event| event.resource == id) {
            assert_eq!(watch.news().await, []);
            continue;
        }
        let detail = [
            ("name", "moved"),
            ("principal", "user:ada"),
            ("scopes", "a:b"),
            ("environment", "live"),
            ("expire_time", "2099-01-01T00:00:00Z"),
            ("limits", "read=10/1m"),
            ("source_addresses", "10.0.0.0/8"),
            ("credits", "7"),
            ("membership_made", "*"),
            ("form", "token"),
            ("disabled", "true"),
        ];
        watch.one("key.import", "moved", &id, &detail).await;
    }
}

/// So much a minute.
fn limit(name: &str, count: u32) -> Limit {
    Limit {
        name: name.to_owned(),
        count,
        window: Some(prost_types::Duration {
            seconds: 60,
            nanos: 0,
        }),
        always: false,
    }
}

async fn limits_and_credits(admin: &mut Admin, watch: &mut Watch) {
    let limited = Workspace {
        id: "limited".to_owned(),
        token_prefix: "lim".to_owned(),
        default_limits: vec![limit("read", 10)],
        ..Workspace::default()
    };
    let request = CreateWorkspaceRequest {
        workspace: Some(limited.clone()),
    };
    admin.client.create_workspace(request).await.unwrap();
    let detail = [("token_prefix", "lim"), ("default_limits", "read=10/1m")];
    watch
        .one("workspace.create", "limited", "limited", &detail)
        .await;
    let unlimited = Workspace {
        default_limits: Vec::new(),
        ..limited
    };
    update_workspace(admin, unlimited, &["default_limits"])
        .await
        .unwrap();
    let detail = [
        ("fields", "default_limits"),
        ("default_limits_before", "read=10/1m"),
        ("default_limits", "none"),
    ];
    watch
        .one("workspace.update", "limited", "limited", &detail)
        .await;

    let daily = |balance| Credits {
        balance: Some(balance),
        refill: Some(CreditsRefill {
            period: CreditsPeriod::Daily.into(),
            amount: 50,
        }),
        ..Credits::default()
    };
    let request = CreateKeyRequest {
        limits: vec![limit("bulk", 1)],
        credits: Some(daily(100)),
        ..key_request("limited", &[])
    };
    let key = admin.client.create_key(request).await.unwrap();
    let key = key.into_inner().key.unwrap();
    let detail = [
        ("name", "a key"),
        ("principal", "user:ada"),
        ("membership_made", "*"),
        ("limits", "bulk=1/1m"),
        ("credits", "100 DAILY=50"),
    ];
    watch.one("key.create", "limited", &key.id, &detail).await;
    let free = Key {
        id: key.id.clone(),
        ..Key::default()
    };
    update_key(admin, free, &["limits"]).await.unwrap();
    let detail = [
        ("fields", "limits"),
        ("limits_before", "bulk=1/1m"),
        ("limits", "none"),
    ];
    watch.one("key.update", "limited", &key.id, &detail).await;

    let set = SetCreditsRequest {
        key_id: key.id.clone(),
        credits: Some(daily(70)),
    };
    admin.client.set_credits(set).await.unwrap();
    let refill = [("refill_before", "DAILY=50"), ("refill", "DAILY=50")];
    let balance = [("balance_before", "100"), ("balance", "70")];
    let detail = [refill, balance].concat();
    watch.one("credits.set", "limited", &key.id, &detail).await;
    let adjust = AdjustCreditsRequest {
        key_id: key.id.clone(),
        delta: -5,
        request_id: String::new(),
    };
    admin.client.adjust_credits(adjust).await.unwrap();
    let balance = [("balance_before", "70"), ("balance", "65")];
    let detail = [&refill[..], &balance, &[("delta", "-5")]].concat();
    watch
        .one("credits.adjust", "limited", &key.id, &detail)
        .await;
}

async fn keys(admin: &mut Admin, watch: &mut Watch) {
    let bare = admin.key("plain", &[]).await.key.unwrap().id;
    let detail = [
        ("name", "a key"),
        ("principal", "user:ada"),
        ("membership_made", "*"),
    ];
    // The principal is the system's, and so is the news of it.
    let made = [("call", "CreateKey"), ("workspace", "plain")];
    watch
        .two(
            ("key.create", "plain", &bare, &detail),
            ("principal.create", "", "user:ada", &made),
        )
        .await;
    admin.revoke(&bare).await;
    watch
        .one("key.revoke", "plain", &bare, &[("reason", "unspecified")])
        .await;
    delete_key(admin, &bare, "").await.unwrap();
    watch.one("key.delete", "plain", &bare, &[]).await;

    let request = CreateKeyRequest {
        environment: "live".to_owned(),
        description: "what it is for".to_owned(),
        metadata: metadata(&[("plan", "free")]),
        expire_time: Some(in_seconds(3_600)),
        request_id: "one".to_owned(),
        source_addresses: names(&["10.0.0.0/8"]),
        ..key_request("w", &["people:write", "people:read"])
    };
    let key = admin.client.create_key(request.clone()).await.unwrap();
    let key = key.into_inner().key.unwrap();
    let first = rfc3339(key.expire_time);
    let detail = [
        ("name", "a key"),
        ("principal", "user:ada"),
        ("scopes", "people:read people:write"),
        ("environment", "live"),
        ("expire_time", &*first),
        ("membership_made", "*"),
        ("source_addresses", "10.0.0.0/8"),
    ];
    watch.one("key.create", "w", &key.id, &detail).await;
    admin.client.create_key(request).await.unwrap();
    watch.one("key.repeat", "w", &key.id, &[]).await;

    let asked = Key {
        name: "another name".to_owned(),
        scopes: names(&["people:read"]),
        expire_time: Some(in_seconds(7_200)),
        etag: String::new(),
        ..key.clone()
    };
    update_key(admin, asked.clone(), &["scopes", "name", "metadata"])
        .await
        .unwrap();
    let detail = [
        ("fields", "name scopes"),
        ("scopes_before", "people:read people:write"),
        ("scopes", "people:read"),
    ];
    watch.one("key.update", "w", &key.id, &detail).await;
    update_key(admin, asked.clone(), &["expire_time"])
        .await
        .unwrap();
    let second = rfc3339(asked.expire_time);
    let detail = [
        ("fields", "expire_time"),
        ("expire_time_before", &*first),
        ("expire_time", &*second),
    ];
    watch.one("key.update", "w", &key.id, &detail).await;
    let moved = Key {
        source_addresses: names(&["::/0", "10.0.0.9"]),
        ..asked
    };
    update_key(admin, moved, &["source_addresses"])
        .await
        .unwrap();
    let detail = [
        ("fields", "source_addresses"),
        ("source_addresses_before", "10.0.0.0/8"),
        ("source_addresses", "10.0.0.9/32 ::/0"),
    ];
    watch.one("key.update", "w", &key.id, &detail).await;
    let bare = Key {
        id: key.id.clone(),
        ..Key::default()
    };
    update_key(admin, bare.clone(), &["source_addresses"])
        .await
        .unwrap();
    let detail = [
        ("fields", "source_addresses"),
        ("source_addresses_before", "10.0.0.9/32 ::/0"),
        ("source_addresses", "anywhere"),
    ];
    watch.one("key.update", "w", &key.id, &detail).await;
    update_key(admin, bare, &["expire_time", "scopes"])
        .await
        .unwrap();
    let detail = [
        ("fields", "scopes expire_time"),
        ("scopes_before", "people:read"),
        ("expire_time_before", &*second),
        ("expire_time", "never"),
    ];
    watch.one("key.update", "w", &key.id, &detail).await;
    switch_key(admin, &key.id, "", true).await.unwrap();
    watch.one("key.disable", "w", &key.id, &[]).await;
    switch_key(admin, &key.id, "", false).await.unwrap();
    watch.one("key.enable", "w", &key.id, &[]).await;
    let note = "seen in a paste · ä";
    revoke_key(admin, &key.id, RevocationReason::Leaked.into(), note)
        .await
        .unwrap();
    let detail = [("reason", "leaked"), ("note", note)];
    watch.one("key.revoke", "w", &key.id, &detail).await;
    delete_key(admin, &key.id, "").await.unwrap();
    watch.one("key.delete", "w", &key.id, &[]).await;
}

async fn rotations(admin: &mut Admin, checks: &mut Checks, watch: &mut Watch) {
    let id = admin.key("plain", &[]).await.key.unwrap().id;
    let detail = [("name", "a key"), ("principal", "user:ada")];
    watch.one("key.create", "plain", &id, &detail).await;
    rotate_key(admin, rotation(&id, 90_000)).await.unwrap();
    let detail = [("overlap", "1m 30s")];
    watch.one("key.rotate", "plain", &id, &detail).await;
    // What is refused changes nothing, and is not logged.
    rotate_key(admin, rotation(&id, 1_000)).await.unwrap_err();
    for (how, action) in [
        (Settled::Finished, "key.rotation_finish"),
        (Settled::Cancelled, "key.rotation_cancel"),
    ] {
        settle_rotation(admin, (&id, ""), how).await.unwrap();
        watch.one(action, "plain", &id, &[]).await;
        settle_rotation(admin, (&id, ""), how).await.unwrap_err();
        let pending = RotateKeyRequest {
            from_first_use: true,
            ..rotation(&id, 1_000)
        };
        rotate_key(admin, pending).await.unwrap();
        let detail = [("overlap", "1s"), ("from_first_use", "true")];
        watch.one("key.rotate", "plain", &id, &detail).await;
    }
    settle_rotation(admin, (&id, ""), Settled::Cancelled)
        .await
        .unwrap();
    watch.one("key.rotation_cancel", "plain", &id, &[]).await;
    let pending = RotateKeyRequest {
        from_first_use: true,
        ..rotation(&id, 60_000)
    };
    let rotated = rotate_key(admin, pending).await.unwrap();
    watch.news().await;
    for _ in 0..10 {
        checks.header(&rotated.token, &[]).await.unwrap();
    }
    let detail = ["use_time"];
    watch
        .one_by_keyward("key.first_use", "plain", &id, &detail)
        .await;
    checks.header(&rotated.token, &[]).await.unwrap();
    rotate_key(admin, rotation(&id, 0)).await.unwrap();
    watch
        .one("key.rotate", "plain", &id, &[("overlap", "0s")])
        .await;
    admin.revoke(&id).await;
    watch.news().await;
    delete_key(admin, &id, "").await.unwrap();
    watch.one("key.delete", "plain", &id, &[]).await;
}

async fn principals(admin: &mut Admin, watch: &mut Watch) {
    let bob = Principal {
        id: "user:bob".to_owned(),
        display_name: "Bob".to_owned(),
        limits: vec![limit("read", 10)],
        ..Principal::default()
    };
    let request = CreatePrincipalRequest {
        principal: Some(bob.clone()),
    };
    admin.client.create_principal(request).await.unwrap();
    let detail = [("display_name", "Bob"), ("limits", "read=10/1m")];
    watch.one("principal.create", "", &bob.id, &detail).await;
    let unlimited = Principal {
        limits: Vec::new(),
        ..bob.clone()
    };
    update_principal(admin, unlimited, &["limits", "description"])
        .await
        .unwrap();
    let detail = [
        ("fields", "limits"),
        ("limits_before", "read=10/1m"),
        ("limits", "none"),
    ];
    watch.one("principal.update", "", &bob.id, &detail).await;
    let request = UpdatePrincipalRequest {
        principal: Some(Principal {
            description: "the builder".to_owned(),
            ..bob.clone()
        }),
        update_mask: mask(&["description", "display_name"]),
    };
    admin.client.update_principal(request).await.unwrap();
    let detail = [("fields", "description")];
    watch.one("principal.update", "", &bob.id, &detail).await;
    switch_principal(admin, &bob.id, true).await.unwrap();
    watch.one("principal.disable", "", &bob.id, &[]).await;
    switch_principal(admin, &bob.id, false).await.unwrap();
    watch.one("principal.enable", "", &bob.id, &[]).await;

    let ceiling = ["b", "a:*"];
    set_membership(admin, "w", &bob.id, &ceiling).await.unwrap();
    let detail = [("scope_ceiling", "a:* b")];
    watch.one("membership.set", "w", &bob.id, &detail).await;
    set_membership(admin, "w", &bob.id, &["b"]).await.unwrap();
    let detail = [("scope_ceiling_before", "a:* b"), ("scope_ceiling", "b")];
    watch.one("membership.set", "w", &bob.id, &detail).await;
    let removed = remove_membership(admin, "w", &bob.id).await.unwrap();
    watch.one("membership.remove", "w", &bob.id, &[]).await;
    // What was taken away is not what there was before; that it was is told.
    set_membership(admin, "w", &bob.id, &["b"]).await.unwrap();
    let time = rfc3339(removed.remove_time);
    let detail = [("removed_before", &*time), ("scope_ceiling", "b")];
    watch.one("membership.set", "w", &bob.id, &detail).await;

    let personal = CreateKeyRequest {
        principal: bob.id.clone(),
        token_prefix: "klg_user".to_owned(),
        ..key_request("", &[])
    };
    let key = admin.client.create_key(personal).await.unwrap();
    let key = key.into_inner().key.unwrap().id;
    let detail = [("name", "a key"), ("principal", "user:bob")];
    watch.one("key.create", "", &key, &detail).await;

    // Both events of one change can be of one log.
    let personal = CreateKeyRequest {
        principal: "user:carl".to_owned(),
        token_prefix: "klg_user".to_owned(),
        ..key_request("", &[])
    };
    let key = admin.client.create_key(personal).await.unwrap();
    let key = key.into_inner().key.unwrap().id;
    let detail = [("name", "a key"), ("principal", "user:carl")];
    let made = [("call", "CreateKey")];
    watch
        .two(
            ("key.create", "", &key, &detail),
            ("principal.create", "", "user:carl", &made),
        )
        .await;
    set_membership(admin, "w", "user:dot", &["b"])
        .await
        .unwrap();
    let made = [("call", "SetMembership"), ("workspace", "w")];
    watch
        .two(
            ("membership.set", "w", "user:dot", &[("scope_ceiling", "b")]),
            ("principal.create", "", "user:dot", &made),
        )
        .await;
    delete_principal(admin, "user:dot", "").await.unwrap();
    watch.one("principal.delete", "", "user:dot", &[]).await;
}

async fn admin_keys(admin: &mut Admin, watch: &mut Watch) {
    for (log, ceiling) in [("", &["people:read", "a"][..]), ("w", &[])] {
        let asked = AdminKey {
            name: "an operator".to_owned(),
            role: AdminRole::Issuer.into(),
            workspace: log.to_owned(),
            grant_ceiling: names(ceiling),
            expire_time: Some(in_seconds(3_600)),
            ..AdminKey::default()
        };
        let made = create_admin(admin, asked.clone())
            .await
            .unwrap()
            .admin_key
            .unwrap();
        let expiry = rfc3339(made.expire_time);
        let mut detail = vec![
            ("name", "an operator"),
            ("role", "ISSUER"),
            ("expire_time", &*expiry),
        ];
        if !ceiling.is_empty() {
            detail.push(("grant_ceiling", "a people:read"));
        }
        watch.one("admin.create", log, &made.id, &detail).await;
        let asked = AdminKey {
            id: made.id.clone(),
            name: "renamed".to_owned(),
            role: AdminRole::Reader.into(),
            ..asked
        };
        update_admin(admin, asked, &["role", "name", "expire_time"])
            .await
            .unwrap();
        detail[0] = ("name", "renamed");
        detail[1] = ("role", "READER");
        detail.extend([("fields", "name role"), ("role_before", "ISSUER")]);
        watch.one("admin.update", log, &made.id, &detail).await;
        // From something to nothing, and from nothing to something.
        let asked = AdminKey {
            id: made.id.clone(),
            grant_ceiling: names(if ceiling.is_empty() { &["b"] } else { &[] }),
            ..AdminKey::default()
        };
        let rights = ["grant_ceiling", "expire_time"];
        update_admin(admin, asked, &rights).await.unwrap();
        let mut detail = vec![
            ("fields", "grant_ceiling expire_time"),
            ("name", "renamed"),
            ("role", "READER"),
            ("expire_time_before", &*expiry),
        ];
        detail.push(match ceiling {
            [] => ("grant_ceiling", "b"),
            _ => ("grant_ceiling_before", "a people:read"),
        });
        watch.one("admin.update", log, &made.id, &detail).await;
        let asked = AdminKey {
            id: made.id.clone(),
            expire_time: made.expire_time,
            ..AdminKey::default()
        };
        update_admin(admin, asked, &["expire_time"]).await.unwrap();
        let mut detail = vec![
            ("fields", "expire_time"),
            ("name", "renamed"),
            ("role", "READER"),
            ("expire_time_before", "never"),
            ("expire_time", &*expiry),
        ];
        if ceiling.is_empty() {
            detail.push(("grant_ceiling", "b"));
        }
        watch.one("admin.update", log, &made.id, &detail).await;
        let mut rotate = RotateAdminKeyRequest {
            admin_key_id: made.id.clone(),
            overlap: None,
        };
        admin.client.rotate_admin_key(rotate.clone()).await.unwrap();
        watch
            .one("admin.rotate", log, &made.id, &[("overlap", "1day")])
            .await;
        rotate.overlap = Some(prost_types::Duration::default());
        admin.client.rotate_admin_key(rotate).await.unwrap();
        watch
            .one("admin.rotate", log, &made.id, &[("overlap", "0s")])
            .await;
        let revoke = RevokeAdminKeyRequest {
            admin_key_id: made.id.clone(),
            reason: RevocationReason::PrivilegeWithdrawn.into(),
            note: "has left".to_owned(),
        };
        admin.client.revoke_admin_key(revoke).await.unwrap();
        let detail = [("reason", "privilege_withdrawn"), ("note", "has left")];
        watch.one("admin.revoke", log, &made.id, &detail).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_changes_nothing_leaves_no_event() {
    let server = Server::start();
    let mut admin = server.admin().await;
    let workspace = admin.workspace("w", "klg", &["live"]).await;
    let request = CreateKeyRequest {
        request_id: "one".to_owned(),
        ..key_request("w", &["a"])
    };
    let first = admin
        .client
        .create_key(request.clone())
        .await
        .unwrap()
        .into_inner();
    let key = first.key.unwrap();
    let gone = admin.key("w", &["a"]).await.key.unwrap();
    let gone = admin.revoke(&gone.id).await;
    let asked = AdminKey {
        name: "an operator".to_owned(),
        role: AdminRole::Issuer.into(),
        ..AdminKey::default()
    };
    let other = create_admin(&mut admin, asked)
        .await
        .unwrap()
        .admin_key
        .unwrap();
    let mut watch = Watch::new(server.admin().await).await;
    let before = watch.events.len();

    // What is so already.
    update_key(&mut admin, key.clone(), &["name", "scopes"])
        .await
        .unwrap();
    switch_key(&mut admin, &key.id, "", false).await.unwrap();
    revoke_key(&mut admin, &gone.id, 4, "again").await.unwrap();
    let names_of = ["display_name", "environments"];
    update_workspace(&mut admin, workspace.clone(), &names_of)
        .await
        .unwrap();
    switch_workspace(&mut admin, "w", "", false).await.unwrap();
    update_admin(&mut admin, other.clone(), &["name"])
        .await
        .unwrap();

    // What is read.
    get_key(&mut admin, &key.id).await.unwrap();
    list(&mut admin, "", 0, "").await.unwrap();
    get_workspace(&mut admin, "w").await.unwrap();

    // What fails, in all ways but by the caller's rights.
    let bad = Key {
        name: String::new(),
        ..key.clone()
    };
    let stale = Key {
        name: "x".to_owned(),
        etag: "x".to_owned(),
        ..key.clone()
    };
    let stale_workspace = Workspace {
        display_name: "x".to_owned(),
        etag: "x".to_owned(),
        ..workspace.clone()
    };
    let stale_admin = AdminKey {
        name: "x".to_owned(),
        etag: "x".to_owned(),
        ..other
    };
    let other_fields = CreateKeyRequest {
        name: "another".to_owned(),
        ..request
    };
    let last = RevokeAdminKeyRequest {
        admin_key_id: watch.me.clone(),
        ..RevokeAdminKeyRequest::default()
    };
    let failures = [
        create_workspace(&mut admin, workspace.clone())
            .await
            .map(drop),
        create_workspace(&mut admin, self::workspace("No", "klg"))
            .await
            .map(drop),
        update_workspace(&mut admin, stale_workspace, &["display_name"])
            .await
            .map(drop),
        delete_workspace(&mut admin, "w", "").await,
        delete_workspace(&mut admin, "nowhere", "").await,
        admin
            .client
            .create_key(key_request("w", &["No"]))
            .await
            .map(drop),
        admin
            .client
            .create_key(key_request("nowhere", &[]))
            .await
            .map(drop),
        admin.client.create_key(other_fields).await.map(drop),
        update_key(&mut admin, bad, &["name"]).await.map(drop),
        update_key(&mut admin, stale, &["name"]).await.map(drop),
        update_key(&mut admin, gone.clone(), &["name"])
            .await
            .map(drop),
        switch_key(&mut admin, &gone.id, "", true).await.map(drop),
        delete_key(&mut admin, &key.id, "").await,
        delete_key(&mut admin, &gone.id, "").await,
        revoke_key(&mut admin, "key_x", 0, "").await.map(drop),
        create_admin(&mut admin, AdminKey::default())
            .await
            .map(drop),
        update_admin(&mut admin, stale_admin, &["name"])
            .await
            .map(drop),
        admin.client.revoke_admin_key(last).await.map(drop),
    ];
    for (number, failure) in failures.iter().enumerate() {
        assert!(failure.is_err(), "{number}");
    }
    assert_eq!(watch.news().await, []);
    assert_eq!(watch.events.len(), before);
}
