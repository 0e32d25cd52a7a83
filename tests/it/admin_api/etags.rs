//! Etags: a change that was decided on by an older state is refused, so that
//! among many writers no update is lost.

use keyward::edge::pb::{AdminKey, AdminRole, RotateKeyRequest};

use super::calls::*;
use super::*;

fn stale(status: &Status, kind: &str, id: &str) {
    told(
        status,
        Code::Aborted,
        "ETAG_MISMATCH",
        &[("type", kind), ("id", id)],
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_needs_the_etag_of_now_or_none() {
    let server = Server::start();
    let mut admin = server.admin().await;
    let mut of_workspace = vec![admin.workspace("w", "klg", &[]).await.etag];
    let first = admin.key("w", &["a"]).await.key.unwrap();
    let mut of_key = vec![first.etag.clone()];
    for round in 0..3 {
        let asked = Key {
            name: format!("name {round}"),
            etag: of_key[round].clone(),
            ..first.clone()
        };
        of_key.push(update_key(&mut admin, asked, &["name"]).await.unwrap().etag);
        let asked = Workspace {
            display_name: format!("name {round}"),
            etag: of_workspace[round].clone(),
            ..workspace("w", "")
        };
        let changed = update_workspace(&mut admin, asked, &["display_name"]).await;
        of_workspace.push(changed.unwrap().etag);
    }
    let distinct = |etags: &[String]| etags.iter().collect::<BTreeSet<_>>().len();
    assert_eq!((distinct(&of_key), distinct(&of_workspace)), (4, 4));
    let (current, old) = of_key.split_last().unwrap();
    let (workspace_now, workspace_old) = of_workspace.split_last().unwrap();
    let garbage = ["x", "0", &current.to_uppercase(), &format!("{current} ")].map(str::to_owned);
    let before = get_key(&mut admin, &first.id).await.unwrap();
    for etag in old.iter().chain(workspace_old).chain(&garbage) {
        let asked = Key {
            name: "stale".to_owned(),
            etag: etag.clone(),
            ..first.clone()
        };
        let refused = [
            update_key(&mut admin, asked, &["name"]).await.map(drop),
            switch_key(&mut admin, &first.id, etag, true)
                .await
                .map(drop),
            switch_key(&mut admin, &first.id, etag, false)
                .await
                .map(drop),
            delete_key(&mut admin, &first.id, etag).await,
            rotate_key(
                &mut admin,
                RotateKeyRequest {
                    etag: etag.clone(),
                    ..rotation(&first.id, 1_000)
                },
            )
            .await
            .map(drop),
            settle_rotation(&mut admin, (&first.id, etag), Settled::Finished)
                .await
                .map(drop),
            settle_rotation(&mut admin, (&first.id, etag), Settled::Cancelled)
                .await
                .map(drop),
        ];
        for refused in refused {
            stale(&refused.unwrap_err(), "key", &first.id);
        }
        let asked = Workspace {
            display_name: "stale".to_owned(),
            etag: etag.clone(),
            ..workspace("w", "")
        };
        let refused = [
            update_workspace(&mut admin, asked, &["display_name"])
                .await
                .map(drop),
            switch_workspace(&mut admin, "w", etag, true)
                .await
                .map(drop),
            switch_workspace(&mut admin, "w", etag, false)
                .await
                .map(drop),
            delete_workspace(&mut admin, "w", etag).await,
        ];
        for refused in refused {
            stale(&refused.unwrap_err(), "workspace", "w");
        }
    }
    assert_eq!(get_key(&mut admin, &first.id).await.unwrap(), before);
    assert_eq!(&before.etag, current);
    // The current one is good, also after a restart, and where nothing is
    // changed.
    let site = server.site.clone();
    server.kill();
    let server = site.serve();
    let mut admin = server.admin().await;
    let same = switch_key(&mut admin, &first.id, current, false)
        .await
        .unwrap();
    assert_eq!(&same.etag, current);
    let off = switch_key(&mut admin, &first.id, current, true)
        .await
        .unwrap();
    assert_ne!(&off.etag, current);
    let off = switch_workspace(&mut admin, "w", workspace_now, true).await;
    assert_ne!(&off.unwrap().etag, workspace_now);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_admin_key_s_etag_is_checked_too() {
    let server = Server::start();
    let mut admin = server.admin().await;
    let asked = AdminKey {
        name: "one".to_owned(),
        role: AdminRole::Issuer.into(),
        ..AdminKey::default()
    };
    let made = create_admin(&mut admin, asked)
        .await
        .unwrap()
        .admin_key
        .unwrap();
    let renamed = AdminKey {
        name: "two".to_owned(),
        ..made.clone()
    };
    let after = update_admin(&mut admin, renamed, &["name"]).await.unwrap();
    let status = update_admin(&mut admin, made.clone(), &["name"])
        .await
        .unwrap_err();
    stale(&status, "admin_key", &made.id);
    let back = AdminKey {
        name: "one".to_owned(),
        ..after
    };
    update_admin(&mut admin, back, &["name"]).await.unwrap();
}

/// Many writers each add their own entry to what they have read. With etags,
/// none overwrites another's.
#[tokio::test(flavor = "multi_thread")]
async fn no_update_is_lost_among_many_writers() {
    const WRITERS: usize = 16;
    let rounds = support::count("KEYWARD_TEST_WRITES", 12);
    let server = Server::start();
    let mut admin = server.admin().await;
    admin.workspace("w", "klg", &[]).await;
    let key = admin.key("w", &["a"]).await.key.unwrap();
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        let (mut admin, id) = (server.admin().await, key.id.clone());
        writers.spawn(async move {
            let mut refused = 0;
            for round in 0..rounds {
                loop {
                    let mut key = get_key(&mut admin, &id).await.unwrap();
                    let count = key.metadata.entry(format!("w{writer}")).or_default();
                    assert_eq!(
                        *count,
                        if round == 0 {
                            String::new()
                        } else {
                            round.to_string()
                        }
                    );
                    *count = (round + 1).to_string();
                    match update_key(&mut admin, key, &["metadata"]).await {
                        Ok(_) => break,
                        Err(status) => stale(&status, "key", &id),
                    }
                    refused += 1;
                }
            }
            refused
        });
    }
    let refused: usize = writers.join_all().await.into_iter().sum();
    assert!(refused > WRITERS, "this was no attack: {refused}");
    let metadata = get_key(&mut admin, &key.id).await.unwrap().metadata;
    let expected = (0..WRITERS).map(|writer| (format!("w{writer}"), rounds.to_string()));
    assert_eq!(metadata, expected.collect());
    // As many events as there were writes.
    let events = events(&mut admin, log_of("w")).await.unwrap();
    assert_eq!(events.len(), 2 + WRITERS * rounds);
}

/// Without an etag a writer sets its own field only, and what others set in
/// the meantime stays.
#[tokio::test(flavor = "multi_thread")]
async fn writers_of_different_fields_do_not_undo_each_other() {
    let server = Server::start();
    let mut admin = server.admin().await;
    admin.workspace("w", "klg", &[]).await;
    let key = admin.key("w", &["a"]).await.key.unwrap();
    for round in 0..50 {
        let text = format!("round {round}");
        let asked = Key {
            id: key.id.clone(),
            name: text.clone(),
            description: text.clone(),
            scopes: vec![format!("round:{round}")],
            metadata: metadata(&[("round", &text)]),
            ..Key::default()
        };
        let mut writers = JoinSet::new();
        for field in ["name", "description", "scopes", "metadata"] {
            let (mut admin, asked) = (admin.clone(), asked.clone());
            writers.spawn(async move { update_key(&mut admin, asked, &[field]).await.unwrap() });
        }
        writers.join_all().await;
        let found = get_key(&mut admin, &key.id).await.unwrap();
        let expected = Key {
            name: asked.name,
            description: asked.description,
            scopes: asked.scopes,
            metadata: asked.metadata,
            etag: found.etag.clone(),
            ..key.clone()
        };
        assert_eq!(found, expected, "{round}");
    }
}
