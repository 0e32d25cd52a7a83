//! Keys that another product has issued: their tokens work, nothing that is
//! stored of them does, and each comes in once.

#![expect(
    clippy::too_many_lines,
    reason = "a test tells one story, from top to bottom"
)]

mod crash;
mod files;
mod many;
mod rights;
mod secrets;
mod streams;

use keyward::domain::digest::HashAlgorithm;
use keyward::edge::pb::{
    self, CreditsRefill, DenialReason, ImportKey, ImportKeysRequest, ImportOptions, ImportOutcome,
    ImportResult, ListAuditEventsRequest, RotateKeyRequest, TokenHash,
};
use tonic::Status;

use crate::support::{Admin, Server};

const UUID: &str = "3fa85f64-5717-4562-b3fc-2c963f66afa6";
const SECRET_KEY: &str = "sk-proj-9dKx2mQv7LpR4tYw8ZbN3cHf6JgS1aVe";
const BASE64_TOKEN: &str = "q83vEjRWeJCrze8SNFZ4kKvN7xI0Vniqu8zd7v8AESI=";
const DOTTED: &str = "SG.kY1w2E3r4T5y6U7i.8O9p0A1s2D3f4G5h6J7k8L9";

fn ordinary(number: u64) -> ImportKey {
    ImportKey {
        number,
        name: format!("key {number}"),
        principal: format!("user:{number}"),
        scopes: vec!["people:read".to_owned()],
        ..ImportKey::default()
    }
}

fn by_token(number: u64, token: &str) -> ImportKey {
    ImportKey {
        token: token.to_owned(),
        ..ordinary(number)
    }
}

fn by_hash(number: u64, algorithm: pb::HashAlgorithm, value: &str) -> ImportKey {
    ImportKey {
        hash: Some(TokenHash {
            algorithm: algorithm.into(),
            value: value.to_owned(),
            hint: "sk_4e…".to_owned(),
        }),
        ..ordinary(number)
    }
}

fn hashed(algorithm: pb::HashAlgorithm, token: &str) -> [u8; 32] {
    match algorithm {
        pb::HashAlgorithm::Blake3 => HashAlgorithm::Blake3.hash(token.as_bytes()),
        pb::HashAlgorithm::Unspecified | pb::HashAlgorithm::Sha256 => {
            HashAlgorithm::Sha256.hash(token.as_bytes())
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(bytes)
}

/// All encodings in which a hash is written.
fn written(hash: &[u8; 32]) -> Vec<String> {
    use data_encoding::{BASE64, BASE64_NOPAD, BASE64URL, BASE64URL_NOPAD, HEXLOWER, HEXUPPER};
    [
        HEXLOWER,
        HEXUPPER,
        BASE64,
        BASE64_NOPAD,
        BASE64URL,
        BASE64URL_NOPAD,
    ]
    .map(|encoding| encoding.encode(hash))
    .to_vec()
}

/// Imports keys in one conversation; their results, by number.
async fn import(
    admin: &Admin,
    options: ImportOptions,
    keys: Vec<ImportKey>,
) -> Result<Vec<ImportResult>, Status> {
    let mut messages = vec![ImportKeysRequest {
        options: Some(options),
        keys: Vec::new(),
    }];
    messages.extend(keys.chunks(100).map(|some| ImportKeysRequest {
        options: None,
        keys: some.to_vec(),
    }));
    let mut client = admin.client.clone();
    let stream = tokio_stream::iter(messages);
    let mut answers = client.import_keys(stream).await?.into_inner();
    let mut results = Vec::new();
    while let Some(answer) = answers.message().await? {
        results.extend(answer.results);
    }
    results.sort_unstable_by_key(|result| result.number);
    Ok(results)
}

fn into(workspace: &str) -> ImportOptions {
    ImportOptions {
        workspace: workspace.to_owned(),
        dry_run: false,
    }
}

async fn import_one(admin: &Admin, workspace: &str, key: ImportKey) -> ImportResult {
    let mut results = import(admin, into(workspace), vec![key]).await.unwrap();
    assert_eq!(results.len(), 1);
    results.remove(0)
}

/// Imports a key, and gives its id.
async fn imported(admin: &Admin, key: ImportKey) -> String {
    let result = import_one(admin, "klipy", key).await;
    assert_eq!(result.outcome(), ImportOutcome::Imported, "{result:?}");
    assert!(result.key_id.starts_with("key_"));
    result.key_id
}

async fn start() -> (Server, Admin) {
    let server = Server::start();
    let mut admin = server.admin().await;
    admin.workspace("klipy", "klp", &["live", "test"]).await;
    (server, admin)
}

async fn key(admin: &Admin, id: &str) -> pb::Key {
    let request = pb::GetKeyRequest {
        key_id: id.to_owned(),
    };
    let found = admin.client.clone().get_key(request).await.unwrap();
    found.into_inner().key.unwrap()
}

fn basic(pair: &str) -> String {
    format!("Basic {}", data_encoding::BASE64.encode(pair.as_bytes()))
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_of_others_pass_in_every_form_of_a_header() {
    let (server, admin) = start().await;
    let mut checks = server.checks().await;
    for token in [UUID, SECRET_KEY, BASE64_TOKEN, DOTTED] {
        assert_eq!(checks.denial(token).await, DenialReason::Unknown);
    }
    for (number, token) in (1..).zip([UUID, SECRET_KEY, BASE64_TOKEN, DOTTED]) {
        let id = imported(&admin, by_token(number, token)).await;
        let hint = format!("…{}", &token[token.len() - 4..]);
        for header in [
            token.to_owned(),
            format!("Bearer {token}"),
            format!("Api-Key {token}"),
            basic(&format!("{token}:")),
            basic(&format!("api:{token}")),
        ] {
            let allowed = checks.header(&header, &["people:read"]).await.unwrap();
            assert_eq!(allowed.key_id, id, "{header}");
            assert_eq!(allowed.principal, format!("user:{number}"));
        }
        let denied = checks.header(token, &["people:write"]).await.unwrap_err();
        assert_eq!(denied.reason(), DenialReason::InsufficientScope);
        assert_eq!(denied.key_hint, hint);
        let shown = key(&admin, &id).await;
        assert_eq!(shown.hint, hint);
        let told = shown.imported.unwrap();
        assert_eq!(told.form(), pb::ImportedForm::Token);
        assert_eq!(told.import_time, shown.create_time);
        // A typo, and a part of it.
        assert_eq!(checks.denial(&token[1..]).await, DenialReason::Unknown);
        assert_eq!(
            checks.denial(&format!("{token}x")).await,
            DenialReason::Unknown
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hash_lets_its_token_pass_and_never_itself() {
    let (server, admin) = start().await;
    let mut checks = server.checks().await;
    let mut number = 0;
    for algorithm in [pb::HashAlgorithm::Sha256, pb::HashAlgorithm::Blake3] {
        for form in 0..6 {
            number += 1;
            let token = format!("sk_{algorithm:?}_{form}_9dKx2mQv7LpR4tYw8ZbN3cHf");
            let hash = hashed(algorithm, &token);
            let text = &written(&hash)[form];
            let id = imported(&admin, by_hash(number, algorithm, text)).await;
            let allowed = checks
                .header(&format!("Bearer {token}"), &[])
                .await
                .unwrap();
            assert_eq!(allowed.key_id, id);
            assert_eq!(key(&admin, &id).await.hint, "sk_4e…");
            let mut stolen = written(&hash);
            for again in [pb::HashAlgorithm::Sha256, pb::HashAlgorithm::Blake3] {
                stolen.extend(written(&hashed(again, text)));
                stolen.extend(written(&hashed(again, &hex(&hash))));
            }
            for stolen in stolen {
                for header in [
                    stolen.clone(),
                    format!("Bearer {stolen}"),
                    basic(&format!("{stolen}:")),
                ] {
                    assert_eq!(
                        checks.denial(&header).await,
                        DenialReason::Unknown,
                        "{header}"
                    );
                }
            }
        }
    }
}

/// Who exports hashes and imports them as tokens by mistake would hand a key to
/// whoever reads the export.
#[tokio::test(flavor = "multi_thread")]
async fn no_text_is_a_token_and_the_hash_of_another() {
    let (server, admin) = start().await;
    let mut checks = server.checks().await;
    for (algorithm, token) in [
        (pb::HashAlgorithm::Sha256, SECRET_KEY),
        (pb::HashAlgorithm::Blake3, DOTTED),
    ] {
        let hash = hashed(algorithm, token);
        imported(&admin, by_hash(1, algorithm, &hex(&hash))).await;
        for text in written(&hash) {
            let refused = import_one(&admin, "klipy", by_token(2, &text)).await;
            assert_eq!(refused.outcome(), ImportOutcome::Refused, "{refused:?}");
            assert_eq!(refused.violations[0].field, "token");
            assert_eq!(checks.denial(&text).await, DenialReason::Unknown);
        }
        // The other way round.
        let token = format!("{token}0");
        let hash = hashed(algorithm, &token);
        let id = imported(&admin, by_token(3, &hex(&hash))).await;
        let refused = import_one(&admin, "klipy", by_hash(4, algorithm, &written(&hash)[2])).await;
        assert_eq!(refused.violations[0].field, "hash.value", "{refused:?}");
        admin.clone().revoke(&id).await;
        let id = imported(&admin, by_hash(5, algorithm, &hex(&hash))).await;
        assert_eq!(checks.header(&token, &[]).await.unwrap().key_id, id);
        for text in written(&hash) {
            assert!(checks.header(&text, &[]).await.is_err());
        }
    }
    // Both at the same moment.
    for number in 10..40 {
        let hash = hashed(pb::HashAlgorithm::Sha256, &format!("{UUID}{number}"));
        let (one, other) = tokio::join!(
            import_one(&admin, "klipy", by_token(number, &hex(&hash))),
            import_one(
                &admin,
                "klipy",
                by_hash(number, pb::HashAlgorithm::Sha256, &hex(&hash))
            )
        );
        let outcomes = [one.outcome(), other.outcome()];
        assert!(
            outcomes.contains(&ImportOutcome::Imported)
                && outcomes.contains(&ImportOutcome::Refused),
            "{one:?} {other:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_comes_with_all_that_it_is() {
    let (server, admin) = start().await;
    let mut checks = server.checks().await;
    let wanted = ImportKey {
        description: "from elsewhere".to_owned(),
        environment: "test".to_owned(),
        metadata: [("plan".to_owned(), "pro".to_owned())].into(),
        expire_time: Some(prost_types::Timestamp {
            seconds: 4_000_000_000,
            nanos: 0,
        }),
        limits: vec![pb::Limit {
            name: "read".to_owned(),
            count: 1_000,
            window: Some(prost_types::Duration {
                seconds: 60,
                nanos: 0,
            }),
            always: true,
        }],
        source_addresses: vec!["203.0.113.0/24".to_owned()],
        credits: Some(pb::Credits {
            balance: Some(7),
            refill: Some(CreditsRefill {
                period: pb::CreditsPeriod::Daily.into(),
                amount: 100,
            }),
            refill_time: None,
        }),
        disabled: true,
        ..by_token(1, SECRET_KEY)
    };
    let id = imported(&admin, wanted.clone()).await;
    let shown = key(&admin, &id).await;
    assert_eq!(shown.description, wanted.description);
    assert_eq!(shown.environment, "test");
    assert_eq!(shown.metadata, wanted.metadata);
    assert_eq!(shown.expire_time, wanted.expire_time);
    assert_eq!(shown.limits, wanted.limits);
    assert_eq!(shown.source_addresses, wanted.source_addresses);
    assert_eq!(shown.credits.unwrap().balance, Some(7));
    assert!(shown.disabled);
    assert_eq!(checks.denial(SECRET_KEY).await, DenialReason::Disabled);

    let request = ListAuditEventsRequest {
        resource: id.clone(),
        ..ListAuditEventsRequest::default()
    };
    let events = admin
        .client
        .clone()
        .list_audit_events(request)
        .await
        .unwrap();
    let events = events.into_inner().events;
    assert_eq!(events.len(), 1);
    assert_eq!(events[0].action, "key.import");
    assert_eq!(events[0].detail["form"], "token");
    assert_eq!(events[0].detail["disabled"], "true");
    assert_eq!(events[0].detail["membership_made"], "*");
    assert!(!format!("{events:?}").contains("9dKx"));
    let request = ListAuditEventsRequest {
        resource: "user:1".to_owned(),
        ..ListAuditEventsRequest::default()
    };
    let made = admin.client.clone().list_audit_events(request).await;
    let made = made.unwrap().into_inner().events.remove(0);
    assert_eq!(made.action, "principal.create");
    assert_eq!(made.detail["call"], "ImportKeys");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotated_key_has_a_token_of_its_own_and_the_old_one_for_a_while() {
    let (server, admin) = start().await;
    let mut checks = server.checks().await;
    let id = imported(&admin, by_token(1, SECRET_KEY)).await;
    let rotate = |overlap: i64| RotateKeyRequest {
        key_id: id.clone(),
        overlap: Some(prost_types::Duration {
            seconds: overlap,
            nanos: 0,
        }),
        ..RotateKeyRequest::default()
    };
    let mut client = admin.client.clone();
    let first = client.rotate_key(rotate(3_600)).await.unwrap().into_inner();
    assert!(first.token.starts_with("klp_live_"));
    let shown = first.key.unwrap();
    assert!(shown.imported.is_some());
    let rotation = shown.rotation.unwrap();
    assert_eq!(
        (rotation.old_hint.as_str(), &rotation.new_hint),
        ("…1aVe", &shown.hint)
    );
    assert!(shown.hint.starts_with("klp_live_…"));
    for token in [SECRET_KEY, &first.token] {
        assert_eq!(checks.header(token, &[]).await.unwrap().key_id, id);
    }
    let second = client.rotate_key(rotate(0)).await.unwrap().into_inner();
    assert_eq!(second.key.unwrap().imported, None);
    assert!(checks.header(SECRET_KEY, &[]).await.is_err());
    assert_eq!(checks.header(&second.token, &[]).await.unwrap().key_id, id);
    // What has stood for it once does not stand for another.
    let again = import_one(&admin, "klipy", by_token(2, SECRET_KEY)).await;
    assert_eq!(again.outcome(), ImportOutcome::AlreadyImported);
    assert_eq!((again.key_id, again.differs), (id, true));
    assert!(checks.header(SECRET_KEY, &[]).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_comes_in_once_whichever_way() {
    let (_server, admin) = start().await;
    let first = imported(&admin, by_token(1, SECRET_KEY)).await;
    let sha256 = hex(&hashed(pb::HashAlgorithm::Sha256, SECRET_KEY));
    for (item, differs) in [
        (by_token(1, SECRET_KEY), false),
        (
            ImportKey {
                name: "x".to_owned(),
                ..by_token(1, SECRET_KEY)
            },
            true,
        ),
        (
            ImportKey {
                disabled: true,
                ..by_token(1, SECRET_KEY)
            },
            true,
        ),
        // It has another hint.
        (by_hash(1, pb::HashAlgorithm::Sha256, &sha256), true),
        // What would be refused now is there all the same.
        (
            ImportKey {
                expire_time: Some(prost_types::Timestamp {
                    seconds: 1,
                    nanos: 0,
                }),
                ..by_token(1, SECRET_KEY)
            },
            true,
        ),
    ] {
        let result = import_one(&admin, "klipy", item).await;
        assert_eq!(
            result.outcome(),
            ImportOutcome::AlreadyImported,
            "{result:?}"
        );
        assert_eq!((result.key_id, result.differs), (first.clone(), differs));
    }
    // Of one that came as its BLAKE3, the token is known, too.
    let blake3 = hex(&hashed(pb::HashAlgorithm::Blake3, DOTTED));
    let id = imported(&admin, by_hash(2, pb::HashAlgorithm::Blake3, &blake3)).await;
    let result = import_one(&admin, "klipy", by_token(2, DOTTED)).await;
    assert_eq!(
        (result.outcome(), result.key_id),
        (ImportOutcome::AlreadyImported, id)
    );

    // Many at once make one key.
    let same: Vec<_> = (0..200).map(|_| by_token(9, BASE64_TOKEN)).collect();
    let (one, other) = tokio::join!(
        import(&admin, into("klipy"), same.clone()),
        import(&admin, into("klipy"), same)
    );
    let all = [one.unwrap(), other.unwrap()].concat();
    assert_eq!(all.len(), 400);
    let made = all
        .iter()
        .filter(|result| result.outcome() == ImportOutcome::Imported);
    assert_eq!(made.count(), 1);
    assert!(
        all.iter()
            .all(|result| result.key_id == all[0].key_id && !result.differs)
    );
}
