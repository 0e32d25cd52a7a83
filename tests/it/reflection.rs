//! Reflection: each listener describes what it serves and knows nothing of the
//! other; and a client with no proto files can drive both.
#![expect(
    clippy::too_many_lines,
    reason = "a test tells one story, from top to bottom"
)]

use std::process::{Command, Output};

use keyward::edge::pb::ListKeysRequest;
use prost::Message;
use prost_types::FileDescriptorProto;
use serde_json::{Value, json};
use tonic::Code;

use crate::support::{self, Server, Site, connect};

/// What either listener serves beside its own service.
const SHARED: [&str; 3] = [
    "grpc.health.v1.Health",
    "grpc.reflection.v1.ServerReflection",
    "grpc.reflection.v1alpha.ServerReflection",
];

/// What there is of KeyCheck alone.
const OF_CHECK: [&str; 21] = [
    "keyward.v1.KeyCheck",
    "keyward.v1.KeyCheck.Check",
    "keyward.v1.KeyCheck.CheckBatch",
    "keyward.v1.KeyCheck.CheckStream",
    "keyward.v1.CheckBatchRequest",
    "keyward.v1.CheckBatchResponse",
    "keyward.v1.CheckStreamRequest",
    "keyward.v1.CheckStreamResponse",
    "keyward.v1.CheckResult",
    "keyward.v1.CheckResult.result",
    "keyward.v1.Undecided",
    "keyward.v1.UndecidedReason",
    "keyward.v1.CheckRequest",
    "keyward.v1.CheckResponse",
    "keyward.v1.CheckResponse.outcome",
    "keyward.v1.Allowed",
    "keyward.v1.Allowed.MetadataEntry",
    "keyward.v1.Denied",
    "keyward.v1.DenialReason",
    "keyward.v1.LimitStatus",
    "keyward.v1.LimitSource",
];

/// What there is of KeyAdmin alone.
const OF_ADMIN: [&str; 22] = [
    "keyward.v1.KeyAdmin",
    "keyward.v1.KeyAdmin.CreateKey",
    "keyward.v1.CreateWorkspaceRequest",
    "keyward.v1.CreateWorkspaceResponse",
    "keyward.v1.GetWorkspaceRequest",
    "keyward.v1.GetWorkspaceResponse",
    "keyward.v1.CreateKeyRequest",
    "keyward.v1.CreateKeyRequest.token_prefix_is_no_field",
    "keyward.v1.CreateKeyResponse",
    "keyward.v1.GetKeyRequest",
    "keyward.v1.GetKeyResponse",
    "keyward.v1.ListKeysRequest",
    "keyward.v1.ListKeysResponse",
    "keyward.v1.RevokeKeyRequest",
    "keyward.v1.RevokeKeyResponse",
    "keyward.v1.Key",
    "keyward.v1.KeyState",
    "keyward.v1.RevocationReason",
    "keyward.v1.Workspace",
    "keyward.v1.Workspace.token_prefix",
    "keyward.v1.Limit.always",
    "keyward.v1.ErrorReason",
];

const FILES_OF_CHECK: [&str; 1] = ["keyward/v1/key_check.proto"];

const FILES_OF_ADMIN: [&str; 5] = [
    "keyward/v1/key_admin.proto",
    "keyward/v1/key.proto",
    "keyward/v1/workspace.proto",
    "keyward/v1/limit.proto",
    "keyward/v1/error_reason.proto",
];

/// The schema of stored records is nobody's business.
const OF_NOBODY: [&str; 4] = [
    "keyward.store.v1.KeyRecord",
    "keyward.store.v1.AdminKeyRecord",
    "keyward.v1.Nothing",
    "KeyAdmin",
];

/// The clients of both versions of the protocol are generated apart, and look
/// the same.
macro_rules! client_of {
    ($version:ident) => {
        mod $version {
            use tonic::transport::Channel;
            use tonic_reflection::pb::$version::ServerReflectionRequest;
            use tonic_reflection::pb::$version::server_reflection_client::ServerReflectionClient;
            use tonic_reflection::pb::$version::server_reflection_request::MessageRequest;
            use tonic_reflection::pb::$version::server_reflection_response::MessageResponse;

            use super::{Answer, Question};

            pub(super) async fn ask(channel: Channel, question: Question) -> Answer {
                let message_request = Some(match question {
                    Question::Services => MessageRequest::ListServices(String::new()),
                    Question::Symbol(name) => MessageRequest::FileContainingSymbol(name.to_owned()),
                    Question::File(name) => MessageRequest::FileByFilename(name.to_owned()),
                });
                let request = ServerReflectionRequest {
                    host: String::new(),
                    message_request,
                };
                let asked = tokio_stream::iter([request]);
                let mut client = ServerReflectionClient::new(channel);
                let mut answers = client.server_reflection_info(asked).await?.into_inner();
                let answer = answers.message().await?.unwrap().message_response.unwrap();
                Ok(match answer {
                    MessageResponse::FileDescriptorResponse(files) => files.file_descriptor_proto,
                    MessageResponse::ListServicesResponse(services) => services
                        .service
                        .into_iter()
                        .map(|service| service.name.into_bytes())
                        .collect(),
                    MessageResponse::ErrorResponse(error) => {
                        return Err(tonic::Status::new(
                            error.error_code.into(),
                            error.error_message,
                        ));
                    }
                    MessageResponse::AllExtensionNumbersResponse(_) => panic!("nobody asked"),
                })
            }
        }
    };
}

client_of!(v1);
client_of!(v1alpha);

#[derive(Clone, Copy, Debug)]
enum Question {
    Services,
    Symbol(&'static str),
    File(&'static str),
}

/// Files, or the names of services.
type Answer = Result<Vec<Vec<u8>>, tonic::Status>;

/// Asks in both versions, which have to agree.
async fn ask(address: &str, question: Question) -> Answer {
    let newer = v1::ask(connect(address).await, question).await;
    let older = v1alpha::ask(connect(address).await, question).await;
    match (&newer, &older) {
        (Ok(newer), Ok(older)) if !matches!(question, Question::Services) => {
            assert_eq!(newer, older)
        }
        (newer, older) => assert_eq!(newer.is_ok(), older.is_ok(), "{question:?}"),
    }
    newer
}

#[tokio::test(flavor = "multi_thread")]
async fn each_listener_lists_its_own_service() {
    let server = Server::start();
    for (address, own) in [
        (&server.check_address, "keyward.v1.KeyCheck"),
        (&server.admin_address, "keyward.v1.KeyAdmin"),
    ] {
        let channel = || connect(address);
        for (version, listed) in [
            (
                "v1",
                v1::ask(channel().await, Question::Services).await.unwrap(),
            ),
            (
                "v1alpha",
                v1alpha::ask(channel().await, Question::Services)
                    .await
                    .unwrap(),
            ),
        ] {
            let listed: Vec<_> = listed
                .into_iter()
                .map(|name| String::from_utf8(name).unwrap())
                .collect();
            assert!(listed.iter().any(|name| name == own), "{listed:?}");
            // Each version tells of the protocol that it is of.
            let reflection = format!("grpc.reflection.{version}.ServerReflection");
            assert!(listed.contains(&reflection), "{listed:?}");
            let others: Vec<_> = listed.iter().filter(|name| *name != own).collect();
            assert!(
                others.iter().all(|name| SHARED.contains(&name.as_str())),
                "{listed:?}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_listener_describes_its_own_and_nothing_of_the_other() {
    let server = Server::start();
    let sides = [
        (
            &server.check_address,
            &OF_CHECK[..],
            &FILES_OF_CHECK[..],
            &OF_ADMIN[..],
            &FILES_OF_ADMIN[..],
        ),
        (
            &server.admin_address,
            &OF_ADMIN[..],
            &FILES_OF_ADMIN[..],
            &OF_CHECK[..],
            &FILES_OF_CHECK[..],
        ),
    ];
    for (address, own, own_files, others, others_files) in sides {
        for symbol in own.iter().filter(|symbol| !symbol.ends_with("is_no_field")) {
            let files = ask(address, Question::Symbol(symbol)).await.unwrap();
            assert!(own_files.contains(&name_of(&files)), "{symbol}");
            says_nothing_of(&files, others_files, others);
        }
        for file in own_files {
            let files = ask(address, Question::File(file)).await.unwrap();
            assert_eq!(name_of(&files), *file);
            says_nothing_of(&files, others_files, others);
        }
        for symbol in others.iter().chain(&OF_NOBODY) {
            let status = ask(address, Question::Symbol(symbol)).await.unwrap_err();
            assert_eq!(status.code(), Code::NotFound, "{symbol}");
        }
        for file in
            others_files
                .iter()
                .chain(&["keyward/store/v1/record.proto", "", "../key.proto"])
        {
            let status = ask(address, Question::File(file)).await.unwrap_err();
            assert_eq!(status.code(), Code::NotFound, "{file}");
        }
        // What both serve, both describe.
        for symbol in ["grpc.health.v1.Health", "grpc.health.v1.HealthCheckRequest"] {
            assert!(
                ask(address, Question::Symbol(symbol)).await.is_ok(),
                "{symbol}"
            );
        }
        for file in ["google/protobuf/timestamp.proto"] {
            assert!(ask(address, Question::File(file)).await.is_ok(), "{file}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_details_of_errors_are_described_where_they_are_sent() {
    let server = Server::start();
    for symbol in [
        "google.rpc.ErrorInfo",
        "google.rpc.BadRequest",
        "google.rpc.BadRequest.FieldViolation",
    ] {
        for address in [&server.check_address, &server.admin_address] {
            let files = ask(address, Question::Symbol(symbol)).await.unwrap();
            let file = FileDescriptorProto::decode(files[0].as_slice()).unwrap();
            assert_eq!(file.package(), "google.rpc", "{symbol}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_can_be_switched_off() {
    let site = Site::init();
    let mut command = site.serve_command();
    command.arg("--no-reflection");
    let server = Server::spawn(site, command).unwrap();
    for address in [&server.check_address, &server.admin_address] {
        let status = ask(address, Question::Services).await.unwrap_err();
        assert_eq!(status.code(), Code::Unimplemented);
    }
    // The rest is there.
    server.admin().await.workspace("w", "klg", &[]).await;
    let denied = server.checks().await.header("", &[]).await.unwrap_err();
    assert_eq!(denied.http_status, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn buf_curl_drives_both_listeners_without_any_proto_file() {
    let server = Server::start();
    let owner = format!("authorization: Bearer {}", server.site.admin_token());
    let admin = |method: &str, message: Value| {
        let url = format!("{}/keyward.v1.KeyAdmin/{method}", server.admin_address);
        reply(&curl(&url, &["--header", &owner], &message))
    };
    let check = |message: Value| {
        let url = format!("{}/keyward.v1.KeyCheck/Check", server.check_address);
        reply(&curl(&url, &[], &message))
    };

    let workspace =
        json!({ "id": "kling", "tokenPrefix": "klg", "environments": ["live", "test"] });
    let mut created =
        admin("CreateWorkspace", json!({ "workspace": workspace }))["workspace"].take();
    let creator = created["createdBy"].take();
    assert!(!created["etag"].take().as_str().unwrap().is_empty());
    assert!(
        created["createTime"]
            .take()
            .as_str()
            .unwrap()
            .ends_with('Z')
    );
    let expected = json!({
        "id": "kling",
        "tokenPrefix": "klg",
        "environments": ["live", "test"],
        "defaultEnvironment": "live",
        "rotationPeriod": "7776000s",
        "createTime": null,
        "createdBy": null,
        "etag": null,
    });
    assert_eq!(created, expected);

    let request = json!({
        "workspace": "kling",
        "principal": "user:ada",
        "name": "CRM sync",
        "scopes": ["read:customers"],
        "metadata": { "plan": "free" },
        "expireTime": "2099-01-01T00:00:00Z",
    });
    let issued = admin("CreateKey", request);
    let (token, key) = (issued["token"].as_str().unwrap(), &issued["key"]);
    assert!(token.starts_with("klg_live_"));
    assert_eq!(
        (&key["state"], &key["createdBy"]),
        (&json!("KEY_STATE_ACTIVE"), &creator)
    );

    let question =
        json!({ "credential": format!("Bearer {token}"), "requiredScopes": ["read:customers"] });
    let allowed = json!({
        "allowed": {
            "keyId": key["id"],
            "name": "CRM sync",
            "principal": "user:ada",
            "workspace": "kling",
            "environment": "live",
            "scopes": ["read:customers"],
            "metadata": { "plan": "free" },
            "expireTime": "2099-01-01T00:00:00Z",
        },
    });
    assert_eq!(check(question.clone()), allowed);

    let revocation = json!({ "keyId": key["id"], "reason": "REVOCATION_REASON_LEAKED" });
    let revoked = &admin("RevokeKey", revocation)["key"];
    assert_eq!(revoked["state"], "KEY_STATE_REVOKED");
    assert_eq!(revoked["revocationReason"], "REVOCATION_REASON_LEAKED");
    let denied = json!({
        "denied": {
            "reason": "DENIAL_REASON_REVOKED",
            "httpStatus": 401,
            "keyId": key["id"],
            "keyHint": key["hint"],
        },
    });
    assert_eq!(check(question), denied);

    // What is wrong arrives too.
    let url = format!("{}/keyward.v1.KeyAdmin/CreateKey", server.admin_address);
    let refused = curl(
        &url,
        &["--header", &owner],
        &json!({ "workspace": "kling" }),
    );
    let said = String::from_utf8(refused.stderr).unwrap();
    for part in [
        "google.rpc.ErrorInfo",
        "google.rpc.BadRequest",
        "principal: is required",
    ] {
        assert!(said.contains(part), "{said}");
    }
    // KeyAdmin is no part of the check listener, however it is asked for.
    let url = format!("{}/keyward.v1.KeyAdmin/CreateKey", server.check_address);
    let refused = curl(
        &url,
        &["--header", &owner],
        &json!({ "workspace": "kling" }),
    );
    assert!(!refused.status.success());
    assert!(
        String::from_utf8(refused.stderr)
            .unwrap()
            .contains("keyward.v1.KeyAdmin")
    );
    let methods = |address: &str| {
        let mut command = buf();
        command.arg(address).arg("--list-methods");
        String::from_utf8(support::run(&mut command).stdout).unwrap()
    };
    let (of_check, of_admin) = (
        methods(&server.check_address),
        methods(&server.admin_address),
    );
    for method in ["Check\n", "CheckBatch\n", "CheckStream\n"] {
        assert!(of_check.contains(&format!("keyward.v1.KeyCheck/{method}")));
    }
    assert!(!of_check.contains("KeyAdmin"));
    let methods: Vec<_> = include_str!("../../proto/keyward/v1/key_admin.proto")
        .lines()
        .filter_map(|line| line.trim().strip_prefix("rpc ")?.split_once('('))
        .map(|(method, _)| method)
        .collect();
    assert!(methods.len() > 20, "{methods:?}");
    for method in methods {
        let line = format!("keyward.v1.KeyAdmin/{method}\n");
        assert!(of_admin.contains(&line), "{method}");
    }
    assert!(!of_admin.contains("KeyCheck"));
}

#[tokio::test(flavor = "multi_thread")]
async fn neither_service_can_be_called_on_the_others_listener() {
    let server = Server::start();
    // Reflection aside: a client that knows the schema calls in vain.
    let token = server.site.admin_token();
    let mut astray = support::admin_client(&server.check_address, &token).await;
    let status = astray
        .client
        .list_keys(ListKeysRequest::default())
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::Unimplemented);
    let channel = connect(&server.admin_address).await;
    let mut astray = keyward::edge::pb::key_check_client::KeyCheckClient::new(channel);
    let status = astray
        .check(support::check_request("", &[]))
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::Unimplemented);
}

fn buf() -> Command {
    let mut command = Command::new(support::tool("buf"));
    // Where there is no proto file to be found.
    command
        .args(["curl", "--protocol", "grpc", "--http2-prior-knowledge"])
        .current_dir("/");
    command
}

fn curl(url: &str, flags: &[&str], message: &Value) -> Output {
    let mut command = buf();
    command.args(flags).args(["--data", "@-", url]);
    support::run_with_input(&mut command, message.to_string().as_bytes())
}

fn reply(output: &Output) -> Value {
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The name of the first file, which is the one that was asked for.
fn name_of(files: &[Vec<u8>]) -> &'static str {
    let name = FileDescriptorProto::decode(files[0].as_slice())
        .unwrap()
        .name
        .unwrap();
    name.leak()
}

/// No file names another service, or a file or message of it, even in a
/// dependency or a comment.
fn says_nothing_of(files: &[Vec<u8>], others_files: &[&str], others: &[&str]) {
    for bytes in files {
        let file = FileDescriptorProto::decode(bytes.as_slice()).unwrap();
        let own = ["keyward/v1/", "google/"]
            .iter()
            .any(|start| file.name().starts_with(start));
        assert!(own, "{}", file.name());
        for other in others_files {
            assert!(!contains(bytes, other), "{} names {other}", file.name());
        }
        for other in others {
            let defined = other.rsplit('.').next().unwrap();
            let names: Vec<_> = file
                .message_type
                .iter()
                .map(|message| message.name())
                .chain(file.service.iter().map(|service| service.name()))
                .chain(file.enum_type.iter().map(|kind| kind.name()))
                .collect();
            assert!(!names.contains(&defined), "{} has {other}", file.name());
            assert!(!contains(bytes, other), "{} names {other}", file.name());
        }
    }
}

fn contains(bytes: &[u8], text: &str) -> bool {
    bytes
        .windows(text.len())
        .any(|part| part == text.as_bytes())
}
