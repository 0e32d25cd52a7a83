//! `CheckBatch` through the socket: each question is judged by itself, in order,
//! and what spoils one spoils no other.
#![expect(
    clippy::too_many_lines,
    reason = "a test tells one story, from top to bottom"
)]

use keyward::edge::pb::{
    CheckBatchRequest, CheckBatchResponse, CheckRequest, CheckResult, CreateKeyRequest,
    DenialReason, UndecidedReason,
};
use prost::Message;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::support::{
    Checks, Server, check_request, connect, key_request, raw_call, undecided_of, verdict_of,
};

/// What a question is to come to; none: it has no verdict.
type Expected = Option<Result<(), DenialReason>>;

const PATH: &str = "/keyward.v1.KeyCheck/CheckBatch";

/// What clients take by default.
const MAX_RESPONSE_LEN: usize = 4 * 1024 * 1024;

#[tokio::test(flavor = "multi_thread")]
async fn answers_are_those_of_check_in_the_order_of_the_questions() {
    let server = Server::start();
    let (mut admin, mut checks) = (server.admin().await, server.checks().await);
    admin.workspace("w", "klg", &["live", "test"]).await;
    let (good, revoked) = (
        admin.key("w", &["people:read"]).await,
        admin.key("w", &[]).await,
    );
    admin.revoke(&revoked.key.unwrap().id).await;
    let elsewhere = CheckRequest {
        workspace: "other".to_owned(),
        ..check_request(&good.token, &[])
    };
    let kinds = [
        check_request(&format!("Bearer {}", good.token), &["people:read"]),
        check_request(&good.token, &["people:write", "a:b", "A"]),
        check_request(&revoked.token, &[]),
        elsewhere,
        check_request("", &[]),
        check_request("Bearer a, Bearer b", &[]),
        check_request(&good.token, &["a:b"; 101]),
    ];
    let mut expected = Vec::new();
    for kind in &kinds {
        expected.push(checks.ask(kind.clone()).await);
    }
    assert!(expected[0].is_ok() && expected[1..].iter().all(Result::is_err));
    for number in [1, 7, 1_000] {
        let asked = kinds.iter().cycle().take(number).cloned().collect();
        let results = batch(&mut checks, asked).await.unwrap();
        let found: Vec<_> = results.into_iter().map(verdict_of).collect();
        let expected: Vec<_> = expected.iter().cycle().take(number).cloned().collect();
        assert_eq!(found, expected);
    }
    assert_eq!(batch(&mut checks, Vec::new()).await.unwrap(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_that_cannot_be_read_spoils_no_other() {
    let server = Server::start();
    let (mut admin, channel) = (server.admin().await, connect(&server.check_address).await);
    admin.workspace("w", "klg", &[]).await;
    let good = check_request(&admin.key("w", &[]).await.token, &[]).encode_to_vec();
    let denied = |reason| Some(Err(reason));
    // Beside the good question: one that is nobody's, one that ends too early,
    // one whose text is a number, a text that is not UTF-8, nothing at all.
    let table: [(&[u8], Expected); 7] = [
        (&good, Some(Ok(()))),
        (&[0xff], None),
        (&[0x0a, 9, b'x'], None),
        (&[0x08, 1], None),
        (&[0x0a, 2, b'x', 0xff], denied(DenialReason::Malformed)),
        (&[], denied(DenialReason::Missing)),
        (&good, Some(Ok(()))),
    ];
    let mut message = Vec::new();
    for (question, _) in table {
        message.extend([0x0a, u8::try_from(question.len()).unwrap()]);
        message.extend(question);
        // Beside them what this server does not know.
        message.extend([0xfa, 0x01, 0x01, b'x', 0x10, 0x07]);
    }
    let answer = raw_call(channel.clone(), PATH, message).await.unwrap();
    let response = CheckBatchResponse::decode(answer.as_slice()).unwrap();
    assert_eq!(response.encode_to_vec(), answer);
    assert_eq!(response.results.len(), table.len());
    for (result, (question, expected)) in response.results.into_iter().zip(table) {
        match expected {
            Some(expected) => {
                let verdict = verdict_of(result);
                let verdict = verdict.map(|_| ()).map_err(|denied| denied.reason());
                assert_eq!(verdict, expected, "{question:?}");
            }
            None => assert_eq!(undecided_of(result), UndecidedReason::Unreadable),
        }
    }
    // What is no batch has no answers.
    for broken in [&[0x08, 1][..], &[0x0a, 9, b'x'], &[0x0a, 0, 0xff]] {
        let status = raw_call(channel.clone(), PATH, broken.to_vec()).await;
        let status = status.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
        assert!(status.message().contains("keyward.v1.CheckBatchRequest"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_is_too_large_is_an_error_that_says_so() {
    let server = Server::start();
    let mut checks = server.checks().await;
    let status = batch(&mut checks, vec![CheckRequest::default(); 1_001]).await;
    let status = status.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    assert!(status.message().contains("at most 1000"), "{status:?}");
    let info = status.get_details_error_info().unwrap();
    assert_eq!(info.reason, "INVALID_FIELDS");
    let violations = status.get_details_bad_request().unwrap().field_violations;
    assert_eq!(violations.len(), 1);
    assert_eq!(violations[0].field, "checks");

    let header = "a".repeat(1024 * 1024);
    let large = check_request(&header[..1024 * 1024 - 100], &[]);
    let results = batch(&mut checks, vec![large; 4]).await.unwrap();
    for result in results {
        let denied = verdict_of(result).unwrap_err();
        assert_eq!(denied.reason(), DenialReason::Malformed);
    }
    let status = batch(&mut checks, vec![check_request(&header, &[]); 4]).await;
    assert_eq!(status.unwrap_err().code(), Code::OutOfRange);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_longer_fits_into_the_response_is_undecided() {
    let server = Server::start();
    let (mut admin, mut checks) = (server.admin().await, server.checks().await);
    admin.workspace("w", "klg", &[]).await;
    // As much as a key may hold: a thousand of it would just fit. What a
    // question requires comes back with each denial, and tips the scale.
    let full = CreateKeyRequest {
        metadata: (10..26)
            .map(|number| (number.to_string(), "ä".repeat(23)))
            .collect(),
        scopes: (10..30)
            .map(|number| format!("{number}").repeat(50))
            .collect(),
        name: "n".repeat(100),
        principal: "p".repeat(128),
        ..key_request("w", &[])
    };
    let issued = admin.client.create_key(full).await.unwrap().into_inner();
    let lacking: Vec<_> = (10..50)
        .map(|number| format!("{number}").repeat(49) + ":x")
        .collect();
    let lacking: Vec<_> = lacking.iter().map(String::as_str).collect();
    let mut kinds = [lacking.as_slice(); 8];
    kinds[0] = &[];
    let kinds = kinds.map(|required| check_request(&issued.token, required));
    let mut expected = Vec::new();
    for kind in &kinds {
        expected.push(checks.ask(kind.clone()).await);
    }
    assert!(expected[0].is_ok() && expected[1..].iter().all(Result::is_err));
    let asked: Vec<_> = kinds.iter().cycle().take(1_000).cloned().collect();
    let results = batch(&mut checks, asked.clone()).await.unwrap();
    assert_eq!(results.len(), 1_000);
    let size = CheckBatchResponse {
        results: results.clone(),
    };
    let size = size.encoded_len();
    assert!(
        size > MAX_RESPONSE_LEN / 2 && size <= MAX_RESPONSE_LEN,
        "{size}"
    );
    let is_verdict = |result: &CheckResult| {
        matches!(
            result.result,
            Some(keyward::edge::pb::check_result::Result::Verdict(_))
        )
    };
    let judged = results
        .iter()
        .take_while(|result| is_verdict(result))
        .count();
    assert!(judged > 500 && judged < 1_000, "{judged}");
    let mut expected = expected.into_iter().cycle();
    let mut results = results.into_iter();
    for result in results.by_ref().take(judged) {
        assert_eq!(verdict_of(result), expected.next().unwrap());
    }
    for result in results {
        assert_eq!(undecided_of(result), UndecidedReason::ResponseFull);
    }
    // Asked again, the rest is judged.
    let results = batch(&mut checks, asked[judged..].to_vec()).await.unwrap();
    assert_eq!(results.len(), 1_000 - judged);
    for result in results {
        assert_eq!(verdict_of(result), expected.next().unwrap());
    }
}

async fn batch(checks: &mut Checks, asked: Vec<CheckRequest>) -> Result<Vec<CheckResult>, Status> {
    let request = CheckBatchRequest { checks: asked };
    let reply = checks.client.check_batch(request).await?;
    Ok(reply.into_inner().results)
}
