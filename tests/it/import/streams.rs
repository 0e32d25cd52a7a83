//! Imports as conversations: held up by whoever takes no results, ended by what
//! ends the admin key, and never taken back.

use std::time::Duration;

use keyward::edge::pb::{
    AdminKey, AdminRole, CreateAdminKeyRequest, ListKeysRequest, RevokeAdminKeyRequest,
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Code;

use super::*;
use crate::support::admin_client;

fn token(number: u64) -> String {
    format!("sk_{number:08}_9dKx2mQv7LpR4tYw8ZbN3cHf6JgS1aVe")
}

fn message(numbers: std::ops::Range<u64>, options: Option<ImportOptions>) -> ImportKeysRequest {
    ImportKeysRequest {
        options,
        keys: numbers
            .map(|number| by_token(number, &token(number)))
            .collect(),
    }
}

async fn number_of_keys(admin: &Admin) -> usize {
    let mut keys = 0;
    let mut page = String::new();
    loop {
        let request = ListKeysRequest {
            workspace: "klipy".to_owned(),
            page_size: 1_000,
            page_token: page,
            ..ListKeysRequest::default()
        };
        let list = admin
            .client
            .clone()
            .list_keys(request)
            .await
            .unwrap()
            .into_inner();
        keys += list.keys.len();
        page = list.next_page_token;
        if page.is_empty() {
            return keys;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_takes_no_results_is_held_up() {
    let (_server, admin) = start().await;
    let (messages, stream) = mpsc::channel(1);
    let mut client = admin.client.clone();
    let answers = client
        .import_keys(ReceiverStream::new(stream))
        .await
        .unwrap();
    let mut answers = answers.into_inner();
    messages
        .send(message(0..50, Some(into("klipy"))))
        .await
        .unwrap();
    // 50 keys at a time, until no more are taken.
    let mut sent = 50;
    while let Ok(taken) = tokio::time::timeout(
        Duration::from_secs(5),
        messages.send(message(sent..sent + 50, None)),
    )
    .await
    {
        taken.unwrap();
        sent += 50;
        assert!(sent < 100_000, "nothing holds it up");
    }
    drop(messages);
    let mut results = 0;
    while let Some(answer) = answers.message().await.unwrap() {
        results += answer.results.len() as u64;
    }
    // The message that did not get through in time was not sent.
    assert_eq!(results, sent);
    assert_eq!(number_of_keys(&admin).await as u64, sent);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_admin_key_that_ends_ends_its_import() {
    let (server, admin) = start().await;
    let request = CreateAdminKeyRequest {
        admin_key: Some(AdminKey {
            name: "importer".to_owned(),
            role: AdminRole::Issuer.into(),
            workspace: "klipy".to_owned(),
            grant_ceiling: vec!["*".to_owned()],
            ..AdminKey::default()
        }),
    };
    let made = admin
        .client
        .clone()
        .create_admin_key(request)
        .await
        .unwrap()
        .into_inner();
    let mut importer = admin_client(&server.admin_address, &made.token).await;
    let (messages, stream) = mpsc::channel(1);
    let answers = importer
        .client
        .import_keys(ReceiverStream::new(stream))
        .await
        .unwrap();
    let mut answers = answers.into_inner();
    messages
        .send(message(0..5, Some(into("klipy"))))
        .await
        .unwrap();
    let mut results = 0;
    while results < 5 {
        results += answers.message().await.unwrap().unwrap().results.len();
    }
    let request = RevokeAdminKeyRequest {
        admin_key_id: made.admin_key.unwrap().id,
        ..RevokeAdminKeyRequest::default()
    };
    admin
        .client
        .clone()
        .revoke_admin_key(request)
        .await
        .unwrap();
    messages.send(message(5..10, None)).await.unwrap();
    let ended = loop {
        match answers.message().await {
            Ok(answer) => assert!(answer.is_none_or(|answer| answer.results.is_empty())),
            Err(status) => break status,
        }
    };
    assert_eq!(ended.code(), Code::Unauthenticated);
    assert_eq!(number_of_keys(&admin).await, 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_told_is_there_though_the_client_goes() {
    let (server, admin) = start().await;
    let mut told = Vec::new();
    {
        let mut client = admin.client.clone();
        let messages =
            (0..40).map(|n| message(n * 50..(n + 1) * 50, (n == 0).then(|| into("klipy"))));
        let stream = tokio_stream::iter(messages.collect::<Vec<_>>());
        let mut answers = client.import_keys(stream).await.unwrap().into_inner();
        while told.len() < 300 {
            told.extend(answers.message().await.unwrap().unwrap().results);
        }
    }
    let mut checks = server.checks().await;
    for result in &told {
        let allowed = checks.header(&token(result.number), &[]).await.unwrap();
        assert_eq!(allowed.key_id, result.key_id);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_message_says_how_and_no_other_does() {
    let (_server, admin) = start().await;
    let refusal = async |messages: Vec<ImportKeysRequest>| {
        let mut client = admin.client.clone();
        let answers = client.import_keys(tokio_stream::iter(messages)).await;
        let mut answers = answers.unwrap().into_inner();
        loop {
            match answers.message().await {
                Ok(Some(_)) => {}
                Ok(None) => panic!("it was let through"),
                Err(status) => return status,
            }
        }
    };
    let options = Some(into("klipy"));
    // Small ones fit by their length.
    let many = |options| ImportKeysRequest {
        options,
        keys: vec![ImportKey::default(); 1_001],
    };
    let status = refusal(vec![many(options.clone())]).await;
    assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
    for messages in [
        vec![],
        vec![message(0..1, options.clone()), many(None)],
        vec![message(0..1, None)],
        vec![message(0..1, options.clone()), message(1..2, options)],
        vec![message(0..1, Some(into("")))],
    ] {
        let status = refusal(messages).await;
        assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
    }
}
