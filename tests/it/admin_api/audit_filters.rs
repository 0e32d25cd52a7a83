//! Reading the audit log: each filter, alone and with others, in pages of every
//! size.

use keyward::edge::pb::{
    AdminKey, AdminRole, AuditEvent, ListAuditEventsRequest, SystemLog, WhoAmIRequest,
    list_audit_events_request::Log,
};

use super::audit::all;
use super::calls::*;
use super::*;

/// Each filter of the log, alone and together, by what an unfiltered reading
/// shows; in pages of every size.
#[tokio::test(flavor = "multi_thread")]
async fn every_filter_and_page_size_tells_the_same_story() {
    let server = Server::start();
    let mut admin = server.admin().await;
    let asked = AdminKey {
        name: "an operator".to_owned(),
        role: AdminRole::Owner.into(),
        grant_ceiling: names(&["*"]),
        ..AdminKey::default()
    };
    let made = create_admin(&mut admin, asked).await.unwrap();
    let mut other = support::admin_client(&server.admin_address, &made.token).await;
    let mut middle = 0;
    let mut of_key = String::new();
    for round in 0..12 {
        for (id, operator) in [
            (format!("w{}", round % 3), &mut admin),
            ("x".to_owned(), &mut other),
        ] {
            if round < 3 && (id != "x" || round == 0) {
                operator.workspace(&id, "klg", &[]).await;
            }
            let key = operator.key(&id, &["a"]).await.key.unwrap().id;
            switch_key(operator, &key, "", true).await.unwrap();
            operator.revoke(&key).await;
            of_key = key;
        }
        if round == 5 {
            middle = now();
        }
    }
    let everything = all(&mut admin).await;
    let me = other
        .client
        .who_am_i(WhoAmIRequest {})
        .await
        .unwrap()
        .into_inner();
    let me = me.admin_key.unwrap().id;
    let ask = ListAuditEventsRequest::default;
    let moment = Some(Timestamp {
        seconds: i64::try_from(middle / 1_000_000).unwrap(),
        nanos: i32::try_from(middle % 1_000_000 * 1_000).unwrap(),
    });
    type Row = (ListAuditEventsRequest, Box<dyn Fn(&AuditEvent) -> bool>);
    let (key, actor) = (of_key.clone(), me.clone());
    let rows: Vec<Row> = vec![
        (ask(), Box::new(|_| true)),
        (log_of("w1"), Box::new(|event| event.workspace == "w1")),
        (log_of("x"), Box::new(|event| event.workspace == "x")),
        (
            ListAuditEventsRequest {
                log: Some(Log::System(SystemLog {})),
                ..ask()
            },
            Box::new(|event| event.workspace.is_empty()),
        ),
        (
            ListAuditEventsRequest {
                actor: me.clone(),
                ..ask()
            },
            Box::new(move |event| event.actor == actor),
        ),
        (
            ListAuditEventsRequest {
                actor: "offline".to_owned(),
                ..ask()
            },
            Box::new(|event| event.actor == "offline"),
        ),
        (
            ListAuditEventsRequest {
                resource: of_key.clone(),
                ..ask()
            },
            Box::new(move |event| event.resource == key),
        ),
        (
            ListAuditEventsRequest {
                action: "key.revoke".to_owned(),
                ..ask()
            },
            Box::new(|event| event.action == "key.revoke"),
        ),
        (
            ListAuditEventsRequest {
                action: "key.".to_owned(),
                ..log_of("w2")
            },
            Box::new(|event| event.workspace == "w2" && event.action.starts_with("key.")),
        ),
        (
            // One that there is, and nobody has done.
            ListAuditEventsRequest {
                action: "admin.recover".to_owned(),
                ..ask()
            },
            Box::new(|_| false),
        ),
        (
            ListAuditEventsRequest {
                start_time: moment,
                ..ask()
            },
            Box::new(move |event| micros(event.time) >= middle),
        ),
        (
            ListAuditEventsRequest {
                end_time: moment,
                ..log_of("x")
            },
            Box::new(move |event| event.workspace == "x" && micros(event.time) < middle),
        ),
        (
            ListAuditEventsRequest {
                start_time: moment,
                end_time: moment,
                ..ask()
            },
            Box::new(|_| false),
        ),
        (
            ListAuditEventsRequest {
                actor: me.clone(),
                action: "key.create".to_owned(),
                start_time: moment,
                ..log_of("x")
            },
            Box::new(move |event| {
                event.workspace == "x"
                    && event.action == "key.create"
                    && micros(event.time) >= middle
            }),
        ),
    ];
    for (number, (question, fits)) in rows.into_iter().enumerate() {
        let expected: Vec<_> = everything
            .iter()
            .rev()
            .filter(|event| fits(event))
            .cloned()
            .collect();
        for page_size in [1, 7, 1_000] {
            let question = ListAuditEventsRequest {
                page_size,
                ..question.clone()
            };
            let found = events(&mut admin, question).await.unwrap();
            assert_eq!(found, expected, "row {number} in pages of {page_size}");
        }
    }
    // A time that is none is no time to filter by.
    let no_time = Some(Timestamp {
        seconds: 0,
        nanos: -1,
    });
    for (question, field) in [
        (
            ListAuditEventsRequest {
                start_time: no_time,
                ..ask()
            },
            "start_time",
        ),
        (
            ListAuditEventsRequest {
                end_time: no_time,
                ..ask()
            },
            "end_time",
        ),
    ] {
        let status = admin.client.list_audit_events(question).await.unwrap_err();
        assert_eq!(fields(&status), [field]);
    }
    let question = ListKeysRequest {
        expiring_before: no_time,
        ..ListKeysRequest::default()
    };
    let status = admin.client.list_keys(question).await.unwrap_err();
    assert_eq!(fields(&status), ["expiring_before"]);
}

/// A log is that of a workspace that there is or was; else there is none, and
/// not an empty one.
#[tokio::test(flavor = "multi_thread")]
async fn a_workspace_that_never_was_has_no_log() {
    let server = Server::start();
    let mut admin = server.admin().await;
    admin.workspace("w", "klg", &[]).await;
    switch_workspace(&mut admin, "w", "", true).await.unwrap();
    delete_workspace(&mut admin, "w", "").await.unwrap();
    let later = Some(in_seconds(3_600));
    for start_time in [None, later] {
        let of = |id| ListAuditEventsRequest {
            start_time,
            ..log_of(id)
        };
        let left = if start_time.is_none() { 3 } else { 0 };
        assert_eq!(events(&mut admin, of("w")).await.unwrap().len(), left);
        let never = admin.client.list_audit_events(of("v")).await;
        told(
            &never.unwrap_err(),
            Code::NotFound,
            "RESOURCE_NOT_FOUND",
            &[("type", "workspace"), ("id", "v")],
        );
    }
}

/// What a filter leaves out was read all the same: many large events are no
/// work of one page.
#[tokio::test(flavor = "multi_thread")]
async fn a_page_ends_where_enough_was_read_though_none_of_it_fits() {
    const KEYS: usize = 12;
    const CHANGES: usize = 50;
    let server = Server::start();
    let mut admin = server.admin().await;
    admin.workspace("w", "klg", &[]).await;
    // 100 scopes, and 2,000 bytes: both, before and after, are in each event.
    let scopes = |first: char| -> Vec<_> { (0..100).map(|n| format!("{first}{n:0>19}")).collect() };
    let mut callers = tokio::task::JoinSet::new();
    for _ in 0..KEYS {
        let mut admin = admin.clone();
        callers.spawn(async move {
            let mut key = admin.key("w", &[]).await.key.unwrap();
            for change in 0..CHANGES {
                key.etag.clear();
                key.scopes = scopes(['a', 'b'][change % 2]);
                key = update_key(&mut admin, key, &["scopes"]).await.unwrap();
            }
        });
    }
    callers.join_all().await;
    let mut question = ListAuditEventsRequest {
        action: "workspace.create".to_owned(),
        page_size: 1_000,
        ..log_of("w")
    };
    let (mut pages, mut found) = (0, Vec::new());
    loop {
        let reply = admin.client.list_audit_events(question.clone()).await;
        let reply = reply.unwrap().into_inner();
        pages += 1;
        found.extend(reply.events);
        question.page_token = reply.next_page_token;
        if question.page_token.is_empty() {
            break;
        }
    }
    assert_eq!(found.len(), 1, "the oldest of all");
    // 2 MiB for each, of about 2.5 MB.
    assert_eq!(pages, 2);
    // The same, for what fits: each is there once.
    let mut seen = events(&mut admin, log_of("w")).await.unwrap();
    assert_eq!(seen.len(), 1 + KEYS + KEYS * CHANGES);
    seen.dedup();
    assert_eq!(seen.len(), 1 + KEYS + KEYS * CHANGES);
}

/// What is no action finds nothing, now or ever.
#[tokio::test(flavor = "multi_thread")]
async fn what_no_action_is_called_is_refused_with_what_may_have_been_meant() {
    let server = Server::start();
    let mut admin = server.admin().await;
    for (action, told) in [
        ("key", "did you mean `key.`?"),
        ("keys.create", "did you mean `key.create`?"),
        ("principal.dellete", "did you mean `principal.delete`?"),
        ("KEY.CREATE", "there are store.init"),
        ("key.create ", "did you mean `key.create`?"),
    ] {
        let request = ListAuditEventsRequest {
            action: action.to_owned(),
            ..ListAuditEventsRequest::default()
        };
        let status = events(&mut admin, request).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument);
        let request = status.get_details_bad_request().unwrap();
        let [violation] = request.field_violations.as_slice() else {
            panic!("{request:?}")
        };
        assert_eq!(violation.field, "action");
        assert!(
            violation.description.contains(told),
            "{action}: {violation:?}"
        );
    }
}
