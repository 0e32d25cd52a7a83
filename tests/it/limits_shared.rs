//! Limits that all keys of a principal share, as gateways and operators meet
//! them.

use std::time::Duration;

use keyward::edge::pb::{
    AdminKey, AdminRole, Allowed, CheckRequest, CreateKeyRequest, CreatePrincipalRequest, Credits,
    DenialReason, Denied, GetPrincipalRequest, Key, LimitSource, ListPrincipalsRequest, Principal,
    Workspace,
};
use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::admin_api::calls::{
    create_admin, set_membership, switch_principal, update_key, update_principal, update_workspace,
};
use crate::limits::{left, limit, limits, naming, reason};
use crate::support::{Admin, Checks, Server, admin_client, key_request};

/// Who has most of the keys of these tests.
pub(crate) const ADA: &str = "user:ada";

const LIMITED: DenialReason = DenialReason::RateLimited;

/// A server with the workspaces `w` and `v`, of both of which `user:ada` is a
/// member.
pub(crate) async fn start() -> (Server, Admin, Checks) {
    let server = Server::start();
    let (mut admin, checks) = (server.admin().await, server.checks().await);
    for workspace in ["w", "v"] {
        admin.workspace(workspace, "klg", &[]).await;
        set_membership(&mut admin, workspace, ADA, &["*"])
            .await
            .unwrap();
    }
    (server, admin, checks)
}

/// Issues a key, which is personal where it has no workspace.
pub(crate) async fn issue(admin: &mut Admin, request: CreateKeyRequest) -> (Key, String) {
    let personal = request.workspace.is_empty();
    let request = CreateKeyRequest {
        token_prefix: if personal { "klg_user" } else { "" }.to_owned(),
        ..request
    };
    let issued = admin.client.create_key(request).await.unwrap().into_inner();
    (issued.key.unwrap(), issued.token)
}

/// A check of a token where it is good, and there of the limits that it names.
#[derive(Clone)]
pub(crate) struct Site {
    pub(crate) token: String,
    pub(crate) workspace: &'static str,
}

impl Site {
    pub(crate) fn naming(&self, names: &[&str], cost: Option<u32>) -> CheckRequest {
        CheckRequest {
            workspace: self.workspace.to_owned(),
            ..naming(&self.token, names, cost)
        }
    }
}

/// As many keys of `user:ada` in each workspace, and as many personal ones that
/// are asked for in both.
pub(crate) async fn sites(admin: &mut Admin, each: usize) -> Vec<Site> {
    let mut sites = Vec::new();
    for _ in 0..each {
        for workspace in ["w", "v"] {
            let (_, token) = issue(admin, key_request(workspace, &["*"])).await;
            sites.push(Site { token, workspace });
        }
        let (_, token) = issue(admin, key_request("", &["*"])).await;
        sites.extend(["w", "v"].map(|workspace| Site {
            token: token.clone(),
            workspace,
        }));
    }
    sites
}

/// Those of a workspace, of which all spend of the same counts.
pub(crate) fn within(sites: Vec<Site>, workspace: &str) -> Vec<Site> {
    let within = sites.into_iter();
    within.filter(|site| site.workspace == workspace).collect()
}

/// Gives a principal these limits, in place of those that it has.
pub(crate) async fn share(
    admin: &mut Admin,
    principal: &str,
    texts: &[&str],
) -> Result<Principal, Status> {
    let principal = Principal {
        id: principal.to_owned(),
        limits: limits(texts),
        ..Principal::default()
    };
    update_principal(admin, principal, &["limits"]).await
}

async fn set_own(admin: &mut Admin, key: &Key, texts: &[&str]) {
    let key = Key {
        id: key.id.clone(),
        limits: limits(texts),
        ..Key::default()
    };
    update_key(admin, key, &["limits"]).await.unwrap();
}

async fn set_defaults(admin: &mut Admin, texts: &[&str]) {
    let workspace = Workspace {
        id: "w".to_owned(),
        default_limits: limits(texts),
        ..Workspace::default()
    };
    update_workspace(admin, workspace, &["default_limits"])
        .await
        .unwrap();
}

/// What is told of each limit, by its source.
fn told(verdict: &Result<Allowed, Denied>) -> String {
    let limits = match verdict {
        Ok(allowed) => &allowed.limits,
        Err(denied) => &denied.limits,
    };
    let told = limits.iter().map(|limit| {
        let source = match limit.source() {
            LimitSource::Key => "key",
            LimitSource::Principal => "principal",
            LimitSource::Workspace => "workspace",
            LimitSource::Unspecified => "?",
        };
        let denied = if limit.denied { "!" } else { "" };
        format!("{source}.{}:{}{denied}", limit.name, limit.remaining)
    });
    told.collect::<Vec<_>>().join(" ")
}

#[tokio::test(flavor = "multi_thread")]
async fn all_keys_of_a_principal_spend_of_one_count_in_each_workspace() {
    let (_server, mut admin, mut checks) = start().await;
    let shared = share(&mut admin, ADA, &["all=4/3600!"]).await.unwrap();
    assert_eq!(shared.limits, limits(&["all=4/3600!"]));
    let sites = sites(&mut admin, 2).await;
    assert_eq!(sites.len(), 8);
    for (spent, site) in sites.iter().enumerate() {
        let verdict = checks.ask(site.naming(&[], None)).await;
        // They are of the one workspace and the other, by turns.
        assert_eq!(told(&verdict), format!("principal.all:{}", 3 - spent / 2));
    }
    for site in &sites {
        let denied = checks.ask(site.naming(&["all"], None)).await;
        assert_eq!(told(&denied), "principal.all:0!");
        let denied = denied.unwrap_err();
        assert_eq!(denied.reason(), DenialReason::RateLimited);
        assert_eq!(denied.http_status, 429);
        // It describes the count that has denied.
        let status = &denied.limits[0];
        assert_eq!((&*status.name, status.limit), ("all", 4));
        assert_eq!(status.window, limit("all=4/3600!").window);
        let delay = Duration::try_from(denied.retry_delay.unwrap()).unwrap();
        assert!(delay <= Duration::from_secs(3_600 + 57), "{delay:?}");
        assert_eq!(status.retry_delay, denied.retry_delay);
        // To look passes.
        let looked = checks.ask(site.naming(&[], Some(0))).await;
        assert_eq!(told(&looked), "principal.all:0");
    }
    // A key that comes later spends of it too, and none of another principal.
    let (_, late) = issue(&mut admin, key_request("w", &["*"])).await;
    assert_eq!(told(&checks.header(&late, &[]).await), "principal.all:0!");
    let others = CreateKeyRequest {
        principal: "user:bob".to_owned(),
        ..key_request("w", &["*"])
    };
    let (_, bobs) = issue(&mut admin, others).await;
    assert_eq!(told(&checks.header(&bobs, &[]).await), "");
    share(&mut admin, "user:bob", &["all=8/3600!"])
        .await
        .unwrap();
    assert_eq!(told(&checks.header(&bobs, &[]).await), "principal.all:7");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_on_the_key_hides_the_principal_s_and_that_the_workspace_s() {
    let (_server, mut admin, mut checks) = start().await;
    let (key, token) = issue(&mut admin, key_request("w", &["*"])).await;
    let (_, other) = issue(&mut admin, key_request("w", &["*"])).await;
    let read = |token: &str| naming(token, &["read"], None);
    set_defaults(&mut admin, &["read=9/60!", "day=50/60!"]).await;
    let verdict = checks.ask(read(&token)).await;
    assert_eq!(told(&verdict), "workspace.day:49 workspace.read:8");
    // Not always: so is what hides it.
    share(&mut admin, ADA, &["read=5/60"]).await.unwrap();
    let verdict = checks.ask(read(&token)).await;
    assert_eq!(told(&verdict), "principal.read:4 workspace.day:48");
    assert_eq!(told(&checks.header(&token, &[]).await), "workspace.day:47");
    set_own(&mut admin, &key, &["read=2/60"]).await;
    // The key's count of that name is the one that its workspace's default was.
    let verdict = checks.ask(read(&token)).await;
    assert_eq!(told(&verdict), "key.read:0 workspace.day:46");
    let verdict = checks.ask(read(&token)).await;
    assert_eq!(told(&verdict), "key.read:0! workspace.day:46");
    let verdict = checks.ask(read(&other)).await;
    assert_eq!(told(&verdict), "principal.read:3 workspace.day:49");
    // What is taken away uncovers what was hidden, as it was left.
    set_own(&mut admin, &key, &[]).await;
    let verdict = checks.ask(read(&token)).await;
    assert_eq!(told(&verdict), "principal.read:2 workspace.day:45");
    share(&mut admin, ADA, &[]).await.unwrap();
    let verdict = checks.ask(read(&token)).await;
    assert_eq!(told(&verdict), "workspace.day:44 workspace.read:6");
    // A name that is found anywhere is known, and no other.
    share(&mut admin, ADA, &["bulk=1/60"]).await.unwrap();
    let verdict = checks.ask(naming(&token, &["bulk"], None)).await;
    assert_eq!(
        told(&verdict),
        "principal.bulk:0 workspace.day:43 workspace.read:5"
    );
    let verdict = checks.ask(naming(&token, &["bulk", "blk"], Some(0))).await;
    assert_eq!(reason(&verdict), Some(DenialReason::UnknownLimit));
}

/// Whoever may issue keys in a workspace may issue one to anybody. He neither
/// uses up what the same principal has in another, nor learns how much is asked
/// there.
#[tokio::test(flavor = "multi_thread")]
async fn an_issuer_of_one_workspace_leaves_what_is_left_in_another() {
    let (server, mut admin, mut checks) = start().await;
    share(&mut admin, ADA, &["all=5/3600!"]).await.unwrap();
    let there = within(sites(&mut admin, 1).await, "v");
    let issuer = AdminKey {
        name: "an issuer".to_owned(),
        workspace: "w".to_owned(),
        role: AdminRole::Issuer.into(),
        grant_ceiling: vec!["*".to_owned()],
        ..AdminKey::default()
    };
    let issuer = create_admin(&mut admin, issuer).await.unwrap();
    let mut issuer = admin_client(&server.admin_address, &issuer.token).await;
    let (_, his) = issue(&mut issuer, key_request("w", &["*"])).await;
    let used = checks.ask(naming(&his, &[], Some(5))).await;
    assert_eq!(told(&used), "principal.all:0");
    assert_eq!(told(&checks.header(&his, &[]).await), "principal.all:0!");
    for (spent, site) in there.iter().enumerate() {
        let verdict = checks.ask(site.naming(&[], None)).await;
        assert_eq!(told(&verdict), format!("principal.all:{}", 4 - spent));
    }
    let (_, another) = issue(&mut issuer, key_request("w", &["*"])).await;
    share(&mut admin, ADA, &["all=9/3600!"]).await.unwrap();
    for token in [&his, &another] {
        let looked = checks.ask(naming(token, &[], Some(0))).await;
        assert_eq!(told(&looked), "principal.all:4", "only what is asked here");
    }
}

/// A key on which limits of all three kinds count, and that has credits.
async fn spender(admin: &mut Admin) -> (Key, String) {
    set_defaults(admin, &["day=20/3600!"]).await;
    share(admin, ADA, &["all=10/3600!"]).await.unwrap();
    let request = CreateKeyRequest {
        limits: limits(&["own=8/3600!"]),
        credits: Some(Credits {
            balance: Some(6),
            ..Credits::default()
        }),
        ..key_request("w", &["a:read"])
    };
    issue(admin, request).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_denied_check_leaves_every_count_as_it_was() {
    let (_server, mut admin, mut checks) = start().await;
    let (_, token) = spender(&mut admin).await;
    let ask = |cost| naming(&token, &[], Some(cost));
    let looked = checks.ask(ask(0)).await;
    let untouched = "key.own:8 principal.all:10 workspace.day:20";
    assert_eq!(told(&looked), untouched);
    for (cost, expected, why) in [
        (
            30,
            "key.own:8! principal.all:10! workspace.day:20!",
            LIMITED,
        ),
        (12, "key.own:8! principal.all:10! workspace.day:20", LIMITED),
        (9, "key.own:8! principal.all:10 workspace.day:20", LIMITED),
        // The limits would let it pass, and the credits do not.
        (7, "", DenialReason::CreditsExhausted),
    ] {
        let denied = checks.ask(ask(cost)).await;
        assert_eq!(reason(&denied), Some(why));
        assert_eq!(told(&denied), expected);
        let looked = checks.ask(ask(0)).await;
        assert_eq!(told(&looked), untouched);
        assert_eq!(looked.unwrap().credits.unwrap().remaining, 6);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_other_keys_have_spent_denies_and_what_denies_is_not_spent() {
    let (_server, mut admin, mut checks) = start().await;
    let (key, token) = spender(&mut admin).await;
    let ask = |cost| naming(&token, &[], Some(cost));
    let (_, other) = issue(&mut admin, key_request("w", &["a:read"])).await;
    let spent = checks.ask(naming(&other, &[], Some(7))).await;
    assert_eq!(told(&spent), "principal.all:3 workspace.day:13");
    let left = "key.own:8 principal.all:3! workspace.day:20";
    let denied = checks.ask(ask(4)).await;
    assert_eq!(told(&denied), left);
    // What is denied for another ground is not counted either.
    let lacking = checks.header(&token, &["b:read"]).await;
    assert_eq!(reason(&lacking), Some(DenialReason::InsufficientScope));
    let passed = checks.ask(ask(3)).await;
    assert_eq!(told(&passed), "key.own:5 principal.all:0 workspace.day:17");
    assert_eq!(passed.unwrap().credits.unwrap().remaining, 3);
    // And where the key's own are used up, what is shared stays for others.
    share(&mut admin, ADA, &["all=100/3600!"]).await.unwrap();
    set_own(&mut admin, &key, &["own=3/3600!"]).await;
    let denied = checks.ask(ask(1)).await;
    assert_eq!(
        told(&denied),
        "key.own:0! principal.all:90 workspace.day:17"
    );
    let looked = checks.ask(naming(&other, &[], Some(0))).await;
    assert_eq!(told(&looked), "principal.all:90 workspace.day:13");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_holds_for_the_next_check_of_every_key_and_what_was_spent_counts_on() {
    let (_server, mut admin, mut checks) = start().await;
    let sites = within(sites(&mut admin, 2).await, "w");
    share(&mut admin, ADA, &["read=5/60"]).await.unwrap();
    let spent = checks.ask(sites[0].naming(&["read"], Some(4))).await;
    assert_eq!(left(&spent), "read:1");
    for (definition, cost, expected) in [
        ("read=6/60", 3, "read:2!"),
        ("read=3/60", 1, "read:0!"),
        ("read=4/3600", 1, "read:0!"),
        ("read=6/2678400", 3, "read:2!"),
        ("read=4/60!", 1, "read:0!"),
    ] {
        share(&mut admin, ADA, &[definition]).await.unwrap();
        for site in &sites {
            let verdict = checks.ask(site.naming(&["read"], Some(cost))).await;
            assert_eq!(left(&verdict), expected, "{definition}");
        }
    }
    // It is not forgotten either when the limit is gone for a while.
    share(&mut admin, ADA, &[]).await.unwrap();
    for site in &sites {
        assert_eq!(left(&checks.ask(site.naming(&[], None)).await), "");
        let unknown = checks.ask(site.naming(&["read"], None)).await;
        assert_eq!(reason(&unknown), Some(DenialReason::UnknownLimit));
    }
    share(&mut admin, ADA, &["read=7/60"]).await.unwrap();
    let verdict = checks.ask(sites[3].naming(&["read"], Some(2))).await;
    assert_eq!(left(&verdict), "read:1");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_principal_that_was_switched_off_comes_back_with_what_it_had_spent() {
    let (server, mut admin, mut checks) = start().await;
    let sites = within(sites(&mut admin, 2).await, "w");
    share(&mut admin, ADA, &["all=6/3600!"]).await.unwrap();
    let spent = checks.ask(sites[0].naming(&[], Some(4))).await;
    assert_eq!(left(&spent), "all:2");
    let off = switch_principal(&mut admin, ADA, true).await.unwrap();
    assert_eq!(off.limits, limits(&["all=6/3600!"]));
    for site in &sites {
        let denied = checks.ask(site.naming(&[], None)).await;
        assert_eq!(reason(&denied), Some(DenialReason::Disabled));
        assert_eq!(left(&denied), "");
    }
    // It can be limited meanwhile, which does not switch it on.
    let narrowed = share(&mut admin, ADA, &["all=5/3600!"]).await.unwrap();
    assert!(narrowed.disabled);
    let denied = checks.ask(sites[1].naming(&[], None)).await;
    assert_eq!(reason(&denied), Some(DenialReason::Disabled));
    switch_principal(&mut admin, ADA, false).await.unwrap();
    assert_eq!(left(&checks.ask(sites[1].naming(&[], None)).await), "all:0");
    assert_eq!(
        left(&checks.ask(sites[2].naming(&[], None)).await),
        "all:0!"
    );
    // A restart keeps what is defined, and forgets what was spent.
    let server = server.kill().serve();
    let mut checks = server.checks().await;
    for (site, expected) in sites.iter().zip(["all:4", "all:3", "all:2", "all:1"]) {
        assert_eq!(left(&checks.ask(site.naming(&[], None)).await), expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_of_principals_are_made_shown_and_refused_as_those_of_keys() {
    let (_server, mut admin, _) = start().await;
    let create = |id: &str, texts: &[&str]| CreatePrincipalRequest {
        principal: Some(Principal {
            id: id.to_owned(),
            limits: limits(texts),
            ..Principal::default()
        }),
    };
    let request = create("service:billing", &["read=5/60", "bulk=1/86400!"]);
    let made = admin.client.create_principal(request).await.unwrap();
    let made = made.into_inner().principal.unwrap();
    assert_eq!(made.limits, limits(&["bulk=1/86400!", "read=5/60"]));
    let request = GetPrincipalRequest {
        principal: made.id.clone(),
    };
    let got = admin.client.get_principal(request).await.unwrap();
    assert_eq!(got.into_inner().principal.as_ref(), Some(&made));
    let listed = admin
        .client
        .list_principals(ListPrincipalsRequest::default())
        .await
        .unwrap();
    assert!(listed.into_inner().principals.contains(&made));
    // What is not named stays, and so does what is the same.
    let renamed = Principal {
        display_name: "Billing".to_owned(),
        limits: Vec::new(),
        ..made.clone()
    };
    let renamed = update_principal(&mut admin, renamed, &["display_name"]).await;
    let renamed = renamed.unwrap();
    assert_eq!(renamed.limits, made.limits);
    let same = share(&mut admin, &made.id, &["bulk=1/86400!", "read=5/60"]).await;
    assert_eq!(same.unwrap(), renamed);
    // An update by an older state is refused.
    let stale = update_principal(&mut admin, made.clone(), &["limits"]).await;
    assert_eq!(stale.unwrap_err().code(), Code::Aborted);

    let fields = |status: Status| {
        assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
        let request = status.get_details_bad_request().unwrap();
        let fields = request.field_violations.into_iter();
        fields.map(|told| told.field).collect::<Vec<_>>()
    };
    let broken = ["a=1/1", "READ=0/0", "a=2/1"];
    let expected = [
        "principal.limits[1].name",
        "principal.limits[1].count",
        "principal.limits[1].window",
        "principal.limits[2].name",
    ];
    let refused = admin.client.create_principal(create("x", &broken)).await;
    assert_eq!(fields(refused.unwrap_err()), expected);
    let refused = share(&mut admin, &made.id, &broken).await.unwrap_err();
    assert_eq!(fields(refused), expected);
    let nine = ["a", "b", "c", "d", "e", "f", "g", "h", "i"].map(|name| format!("{name}=1/1"));
    let mut nine: Vec<_> = nine.iter().map(String::as_str).collect();
    let refused = share(&mut admin, &made.id, &nine).await.unwrap_err();
    assert_eq!(fields(refused), ["principal.limits"]);
    nine.pop();
    let eight = share(&mut admin, &made.id, &nine).await.unwrap();
    assert_eq!(eight.limits.len(), 8);
}
