//! Lists in pages of every size: each item once, in order, while others come and
//! go; and page tokens that are good for their own list alone.

use keyward::edge::pb::{
    AdminKey, AdminRole, ListAdminKeysRequest, ListAuditEventsRequest, ListWorkspacesRequest,
    WhoAmIRequest,
};

use super::calls::*;
use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn paging_meets_each_key_once_while_others_come_and_go() {
    let server = Server::start();
    let mut admin = server.admin().await;
    for id in ["w", "aside"] {
        admin.workspace(id, "klg", &[]).await;
    }
    let mut ids = create_keys(&admin, "w", 300).await;
    ids.sort_unstable();
    let mut ending = ids.iter().rev().step_by(3).cycle();

    for workspace in ["w", ""] {
        let (mut keys, mut token) = (Vec::new(), String::new());
        loop {
            // While each page is read, keys are made and ended before and
            // behind it.
            let mut others = admin.clone();
            let (page, ()) = tokio::join!(
                list(&mut admin, workspace, 7, &token),
                churn(&mut others, ending.next().unwrap())
            );
            let page = page.unwrap();
            assert!(page.keys.len() <= 7);
            keys.extend(page.keys);
            token = page.next_page_token;
            if token.is_empty() {
                break;
            }
        }
        assert!(
            keys.is_sorted_by(|one, next| one.id < next.id),
            "in the order of ids, none twice"
        );
        let seen: BTreeSet<_> = keys.iter().map(|key| &key.id).collect();
        assert!(
            ids.iter().all(|id| seen.contains(id)),
            "each of those that were there"
        );
        assert!(
            keys.iter()
                .all(|key| key.workspace == "w" || workspace.is_empty())
        );
    }
    // At rest, pages of every size make the same list.
    let whole = all_pages(&mut admin, "w", 1_000).await;
    assert_eq!(all_pages(&mut admin, "w", 7).await, whole);
    assert_eq!(all_pages(&mut admin, "w", 99).await, whole);
}

#[tokio::test(flavor = "multi_thread")]
async fn page_sizes_are_defaulted_capped_or_refused() {
    let server = Server::start();
    let mut admin = server.admin().await;
    admin.workspace("w", "klg", &[]).await;
    admin.workspace("empty", "klg", &[]).await;
    create_keys(&admin, "w", 253).await;
    for (asked, given) in [
        (0, 50),
        (1, 1),
        (50, 50),
        (250, 250),
        (251, 250),
        (i32::MAX, 250),
    ] {
        let page = list_raw(&server, "w", asked).await;
        assert_eq!(page.keys.len(), given, "{asked}");
        assert!(!page.next_page_token.is_empty());
        let rest = list(&mut admin, "w", 5, &page.next_page_token)
            .await
            .unwrap();
        assert!(rest.keys[0].id > page.keys[given - 1].id, "{asked}");
    }
    for asked in [-1, i32::MIN] {
        assert_eq!(
            fields(&list(&mut admin, "w", asked, "").await.unwrap_err()),
            ["page_size"]
        );
        let both = list(&mut admin, "w", asked, "x").await.unwrap_err();
        assert_eq!(fields(&both), ["page_size", "page_token"]);
    }
    assert_eq!(
        list(&mut admin, "empty", 7, "").await.unwrap(),
        ListKeysResponse::default()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_token_is_good_for_its_list_on_its_server_alone() {
    let (server, other) = (Server::start(), Server::start());
    let (mut admin, mut others) = (server.admin().await, other.admin().await);
    for admin in [&mut admin, &mut others] {
        for workspace in ["w", "v"] {
            admin.workspace(workspace, "klg", &[]).await;
            create_keys(admin, workspace, 3).await;
        }
    }
    let first = list(&mut admin, "w", 1, "").await.unwrap();
    let of_v = list(&mut admin, "v", 1, "").await.unwrap().next_page_token;
    let of_all = list(&mut admin, "", 1, "").await.unwrap().next_page_token;
    let foreign = list(&mut others, "w", 1, "").await.unwrap().next_page_token;
    let good = first.next_page_token;
    let garbage = [
        "x",
        "====",
        "ä",
        "\0",
        &good[1..],
        &format!("{good}A"),
        &"A".repeat(10_000),
        &first.keys[0].id,
    ];
    let bad = garbage
        .map(str::to_owned)
        .into_iter()
        .chain([of_v, of_all.clone(), foreign]);
    for token in bad {
        let status = list(&mut admin, "w", 1, &token).await.unwrap_err();
        assert_eq!(fields(&status), ["page_token"]);
    }
    assert_eq!(
        fields(&list(&mut admin, "", 1, &good).await.unwrap_err()),
        ["page_token"]
    );
    // It lasts, and another page size goes with it.
    let site = server.site.clone();
    server.stop();
    let server = site.serve();
    let mut admin = server.admin().await;
    assert_eq!(
        list(&mut admin, "w", 10, &good).await.unwrap().keys.len(),
        2
    );
    assert_eq!(
        list(&mut admin, "", 10, &of_all).await.unwrap().keys.len(),
        5
    );
}

/// Workspaces and admin keys, in pages of every size, by what is known of
/// them.
#[tokio::test(flavor = "multi_thread")]
async fn workspaces_and_admin_keys_are_listed_in_pages_of_every_size() {
    let server = Server::start();
    let mut admin = server.admin().await;
    let (mut workspaces, mut admins) = (Vec::new(), Vec::new());
    for number in 0..17 {
        // Such that the order of ids is not that of creation.
        let id = format!("w{}", (number * 7) % 17);
        workspaces.push(admin.workspace(&id, "klg", &[]).await);
        let workspace = if number % 3 == 0 {
            String::new()
        } else {
            "w0".to_owned()
        };
        let asked = AdminKey {
            name: format!("operator {number}"),
            role: AdminRole::Reader.into(),
            workspace,
            ..AdminKey::default()
        };
        admins.push(
            create_admin(&mut admin, asked)
                .await
                .unwrap()
                .admin_key
                .unwrap(),
        );
    }
    // One that is off is listed, one that is deleted is not.
    let off = switch_workspace(&mut admin, "w3", "", true).await.unwrap();
    switch_workspace(&mut admin, "w5", "", true).await.unwrap();
    delete_workspace(&mut admin, "w5", "").await.unwrap();
    workspaces.retain(|workspace| workspace.id != "w5");
    for workspace in &mut workspaces {
        if workspace.id == "w3" {
            workspace.clone_from(&off);
        }
    }
    workspaces.sort_by(|one, other| one.id.cmp(&other.id));
    let me = admin
        .client
        .who_am_i(WhoAmIRequest {})
        .await
        .unwrap()
        .into_inner();
    admins.push(me.admin_key.unwrap());
    admins.sort_by(|one, other| one.id.cmp(&other.id));
    for page_size in [1, 7, 1_000] {
        assert_eq!(all_workspaces(&mut admin, page_size).await, workspaces);
        let of = |workspace: &str| {
            let listed = admins
                .iter()
                .filter(|one| workspace.is_empty() || one.workspace == workspace);
            listed.cloned().collect::<Vec<_>>()
        };
        for workspace in ["", "w0", "w1"] {
            let listed = all_admins(&mut admin, workspace, page_size).await;
            assert_eq!(
                listed,
                of(workspace),
                "{workspace:?} in pages of {page_size}"
            );
        }
    }
    let request = ListAdminKeysRequest {
        workspace: "nowhere".to_owned(),
        ..ListAdminKeysRequest::default()
    };
    let status = admin.client.list_admin_keys(request).await.unwrap_err();
    let of = [("type", "workspace"), ("id", "nowhere")];
    told(&status, Code::NotFound, "RESOURCE_NOT_FOUND", &of);
    // What is no page, and the page of another list.
    let of_keys = {
        create_keys(&admin, "w0", 2).await;
        list(&mut admin, "", 1, "").await.unwrap().next_page_token
    };
    for page_token in [of_keys, "x".to_owned()] {
        let workspaces = ListWorkspacesRequest {
            page_size: -1,
            page_token: page_token.clone(),
        };
        let status = admin.client.list_workspaces(workspaces).await.unwrap_err();
        assert_eq!(fields(&status), ["page_size", "page_token"]);
        let admins = ListAdminKeysRequest {
            page_size: -1,
            page_token: page_token.clone(),
            ..ListAdminKeysRequest::default()
        };
        let status = admin.client.list_admin_keys(admins).await.unwrap_err();
        assert_eq!(fields(&status), ["page_size", "page_token"]);
        let events = ListAuditEventsRequest {
            page_size: -1,
            page_token,
            ..ListAuditEventsRequest::default()
        };
        let status = admin.client.list_audit_events(events).await.unwrap_err();
        assert_eq!(fields(&status), ["page_size", "page_token"]);
    }
}

async fn all_workspaces(admin: &mut Admin, page_size: i32) -> Vec<Workspace> {
    let (mut workspaces, mut page_token) = (Vec::new(), String::new());
    loop {
        let request = ListWorkspacesRequest {
            page_size,
            page_token,
        };
        let page = admin
            .client
            .list_workspaces(request)
            .await
            .unwrap()
            .into_inner();
        assert!(page.workspaces.len() <= usize::try_from(page_size).unwrap());
        workspaces.extend(page.workspaces);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return workspaces;
        }
    }
}

async fn all_admins(admin: &mut Admin, workspace: &str, page_size: i32) -> Vec<AdminKey> {
    let (mut admins, mut page_token) = (Vec::new(), String::new());
    loop {
        let request = ListAdminKeysRequest {
            workspace: workspace.to_owned(),
            page_size,
            page_token,
        };
        let page = admin
            .client
            .list_admin_keys(request)
            .await
            .unwrap()
            .into_inner();
        assert!(page.admin_keys.len() <= usize::try_from(page_size).unwrap());
        admins.extend(page.admin_keys);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return admins;
        }
    }
}

/// A page, read over a connection of its own.
async fn list_raw(server: &Server, workspace: &str, page_size: i32) -> ListKeysResponse {
    list(&mut server.admin().await, workspace, page_size, "")
        .await
        .unwrap()
}

/// All keys of a list, read in pages of at most so many.
pub(super) async fn all_pages(admin: &mut Admin, workspace: &str, page_size: i32) -> Vec<Key> {
    let (mut keys, mut token) = (Vec::new(), String::new());
    loop {
        let page = list(admin, workspace, page_size, &token).await.unwrap();
        assert!(page.keys.len() <= usize::try_from(page_size).unwrap());
        keys.extend(page.keys);
        token = page.next_page_token;
        if token.is_empty() {
            return keys;
        }
    }
}

/// Creates so many keys, many at a time, and says which.
async fn create_keys(admin: &Admin, workspace: &str, count: usize) -> Vec<String> {
    const AT_ONCE: usize = 50;
    let mut ids = Vec::with_capacity(count);
    while ids.len() < count {
        let mut calls = JoinSet::new();
        for _ in 0..AT_ONCE.min(count - ids.len()) {
            let (mut admin, workspace) = (admin.clone(), workspace.to_owned());
            calls.spawn(async move { admin.key(&workspace, &["a"]).await.key.unwrap().id });
        }
        ids.extend(calls.join_all().await);
    }
    ids
}

/// Creates a key in each of two workspaces, and revokes one of them and `id`.
async fn churn(admin: &mut Admin, id: &str) {
    let created = admin.key("w", &[]).await.key.unwrap();
    admin.key("aside", &[]).await;
    admin.revoke(&created.id).await;
    admin.revoke(id).await;
}
