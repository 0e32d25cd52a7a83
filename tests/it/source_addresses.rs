//! Keys that are confined to source addresses, through the socket: from where
//! they pass, from where not, and what is told of it.

use keyward::edge::pb::{
    CheckBatchRequest, CheckRequest, CheckStreamRequest, CreateKeyRequest, CreateKeyResponse,
    DenialReason, Denied, Key,
};
use tokio_stream::StreamExt;
use tonic::Code;
use tonic_types::StatusExt;

use crate::admin_api::calls::update_key;
use crate::support::{self, Admin, Checks, Server, check_request, key_request};

/// A key that is confined to these ranges.
async fn confined(admin: &mut Admin, ranges: &[&str]) -> CreateKeyResponse {
    let request = CreateKeyRequest {
        source_addresses: owned(ranges),
        ..key_request("w", &["people:read"])
    };
    admin.client.create_key(request).await.unwrap().into_inner()
}

fn owned(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|&text| text.to_owned()).collect()
}

fn question(token: &str, address: &str) -> CheckRequest {
    CheckRequest {
        source_address: address.to_owned(),
        ..check_request(token, &["people:read"])
    }
}

async fn passes(checks: &mut Checks, token: &str, address: &str) -> bool {
    match checks.ask(question(token, address)).await {
        Ok(_) => true,
        Err(denied) => {
            assert_eq!(denied.reason(), DenialReason::SourceAddress, "{address:?}");
            false
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_confined_key_passes_from_its_addresses_alone() {
    let server = Server::start();
    let mut admin = server.admin().await;
    admin.workspace("w", "klg", &[]).await;
    let asked = [
        "203.0.113.7",
        "203.0.113.7:443",
        "::ffff:203.0.113.7",
        "[::ffff:203.0.113.7]:443",
        "203.0.114.7",
        "2001:db8::1",
        "[2001:db8::1]",
        "[2001:db8::1]:443",
        "2001:db9::1",
        "",
        "unknown",
        "203.0.113.7, 203.0.113.7",
        "fe80::1%eth0",
    ];
    let table: [(&[&str], &str); 8] = [
        (&["203.0.113.0/24"], "yyyynnnnnnnnn"),
        (&["203.0.113.7"], "yyyynnnnnnnnn"),
        (&["::ffff:203.0.113.0/120"], "yyyynnnnnnnnn"),
        (&["0.0.0.0/0"], "yyyyynnnnnnnn"),
        (&["2001:db8::/32"], "nnnnnyyynnnnn"),
        (&["::/0"], "nnnnnyyyynnnn"),
        (&["0.0.0.0/0", "::/0"], "yyyyyyyyynnnn"),
        // Without a list, nobody looks.
        (&[], "yyyyyyyyyyyyy"),
    ];
    let mut issued = Vec::new();
    for (ranges, expected) in table {
        let token = confined(&mut admin, ranges).await.token;
        issued.push((ranges, token, expected));
    }
    let mut server = server;
    for start in ["first", "second"] {
        let mut checks = server.checks().await;
        for (ranges, token, expected) in &issued {
            for (address, expected) in asked.iter().zip(expected.chars()) {
                let passes = passes(&mut checks, token, address).await;
                assert_eq!(passes, expected == 'y', "{ranges:?} {address:?}, {start}");
            }
        }
        // And the same once it is read from the store.
        server = server.kill().serve();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_denial_tells_which_key_it_was_and_comes_at_its_place() {
    let server = Server::start();
    let (mut admin, mut checks) = (server.admin().await, server.checks().await);
    admin.workspace("w", "klg", &["live", "test"]).await;
    let issued = confined(&mut admin, &["10.0.0.0/8"]).await;
    let key = issued.key.unwrap();
    let denied = checks.ask(question(&issued.token, "11.0.0.1")).await;
    let expected = Denied {
        reason: DenialReason::SourceAddress.into(),
        http_status: 403,
        key_id: key.id.clone(),
        key_hint: key.hint.clone(),
        ..Denied::default()
    };
    assert_eq!(denied, Err(expected));

    let everything_wrong = CheckRequest {
        environment: "test".to_owned(),
        required_scopes: owned(&["people:write"]),
        ..question(&issued.token, "11.0.0.1")
    };
    let right_environment = CheckRequest {
        environment: "live".to_owned(),
        ..everything_wrong.clone()
    };
    let right_address = CheckRequest {
        source_address: "10.0.0.1".to_owned(),
        ..right_environment.clone()
    };
    for (request, reason) in [
        (everything_wrong.clone(), DenialReason::Environment),
        (right_environment, DenialReason::SourceAddress),
        (right_address, DenialReason::InsufficientScope),
    ] {
        assert_eq!(checks.ask(request).await.unwrap_err().reason(), reason);
    }
    admin.revoke(&key.id).await;
    let denied = checks.ask(everything_wrong).await.unwrap_err();
    assert_eq!(denied.reason(), DenialReason::Revoked);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_questions_are_each_judged_by_their_own_address() {
    let server = Server::start();
    let (mut admin, mut checks) = (server.admin().await, server.checks().await);
    admin.workspace("w", "klg", &[]).await;
    let token = confined(&mut admin, &["10.0.0.0/8"]).await.token;
    let asked = [("10.0.0.1", true), ("11.0.0.1", false), ("", false)];
    let questions = asked.map(|(address, _)| question(&token, address));
    let batch = CheckBatchRequest {
        checks: questions.to_vec(),
    };
    let results = checks.client.check_batch(batch).await.unwrap().into_inner();
    let mut conversation = Vec::new();
    for (id, check) in (0..).zip(questions) {
        conversation.push(CheckStreamRequest {
            id,
            check: Some(check),
        });
    }
    let answers = checks
        .client
        .check_stream(tokio_stream::iter(conversation))
        .await
        .unwrap()
        .into_inner();
    let answers: Vec<_> = answers.map(|answer| answer.unwrap()).collect().await;
    for (place, (address, passes)) in asked.into_iter().enumerate() {
        let of_batch = support::verdict_of(results.results[place].clone());
        assert_eq!(of_batch.is_ok(), passes, "{address:?}");
        let answer = answers.iter().find(|answer| answer.id == place as u64);
        let of_stream = support::verdict_of(answer.unwrap().result.clone().unwrap());
        assert_eq!(of_stream, of_batch, "{address:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_range_is_refused_with_what_would_be_right() {
    let server = Server::start();
    let mut admin = server.admin().await;
    admin.workspace("w", "klg", &[]).await;
    let request = CreateKeyRequest {
        source_addresses: owned(&["10.0.0.0/8", "10.0.0.1/8", "fe80::1%eth0", "::/129"]),
        ..key_request("w", &[])
    };
    let status = admin.client.create_key(request).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    let told = status.get_details_bad_request().unwrap().field_violations;
    let told: Vec<_> = told
        .iter()
        .map(|violation| (violation.field.as_str(), violation.description.as_str()))
        .collect();
    assert_eq!(
        told,
        [
            (
                "source_addresses[1]",
                "has bits set behind its first 8; if it is the range that is meant, write 10.0.0.0/8"
            ),
            (
                "source_addresses[2]",
                "is not a range of addresses, such as 203.0.113.0/24, 2001:db8::/32 or 203.0.113.7"
            ),
            (
                "source_addresses[3]",
                "has no number from 0 to 128 behind its `/`"
            ),
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_confined_and_let_free_at_once() {
    let server = Server::start();
    let (mut admin, mut checks) = (server.admin().await, server.checks().await);
    admin.workspace("w", "klg", &[]).await;
    let issued = admin.key("w", &["people:read"]).await;
    let (token, mut key) = (issued.token, issued.key.unwrap());
    assert_eq!(key.source_addresses, owned(&[]));
    // The ranges of now, as they are shown, and whether 10.0.0.1 passes.
    let table: [(&[&str], &[&str], bool); 4] = [
        (&["10.0.0.0/8"], &["10.0.0.0/8"], true),
        (
            &["::1", "10.0.0.0/24", "10.0.0.0/24"],
            &["10.0.0.0/24", "::1/128"],
            true,
        ),
        (&["10.0.1.0/24"], &["10.0.1.0/24"], false),
        (&[], &[], true),
    ];
    for (ranges, shown, expected) in table {
        key = Key {
            source_addresses: owned(ranges),
            ..key
        };
        key = update_key(&mut admin, key, &["source_addresses"])
            .await
            .unwrap();
        assert_eq!(key.source_addresses, owned(shown));
        assert_eq!(passes(&mut checks, &token, "10.0.0.1").await, expected);
    }
}
