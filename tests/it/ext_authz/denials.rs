//! Every reason to deny, and what the client and the operator learn of it.

use std::collections::BTreeSet;

use keyward::edge::pb::{CreateKeyRequest, Credits};
use tonic::Code;

use super::*;
use crate::check_api::served_with_ended_keys;

#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::too_many_lines, reason = "a table")]
async fn each_reason_has_its_status_and_its_headers() {
    let (server, keys) = served_with_ended_keys().await;
    let mut admin = server.admin().await;
    let spent = CreateKeyRequest {
        credits: Some(Credits {
            balance: Some(0),
            ..Credits::default()
        }),
        ..key_request("w", &["*"])
    };
    let confined = CreateKeyRequest {
        source_addresses: vec!["10.0.0.0/8".to_owned()],
        ..key_request("w", &["*"])
    };
    let personal = CreateKeyRequest {
        token_prefix: "klg_user".to_owned(),
        ..key_request("", &["*"])
    };
    let limited = CreateKeyRequest {
        limits: limits(&["read=1/3600", "other=5/60"]),
        ..key_request("w", &["*"])
    };
    let mut tokens = Vec::new();
    for request in [spent, confined, personal, limited] {
        tokens.push(
            admin
                .client
                .create_key(request)
                .await
                .unwrap()
                .into_inner()
                .token,
        );
    }
    let [spent, confined, personal, limited] = tokens.try_into().unwrap();
    let of = |name: &str| Ask::bearer(&keys[name].token);
    let mut envoy = Envoy::of(&server).await;
    let reading = Ask::bearer(&limited).on(&[("limits", "read other")]);
    envoy.passes(&reading).await;

    let invalid = "Bearer error=\"invalid_token\"";
    let scope = "Bearer error=\"insufficient_scope\", scope=\"people:write a|b\"";
    let writing = of("good").on(&[("required_scopes", "people:write a|b")]);
    let table: [(&str, Ask, i32, Option<&str>); 16] = [
        ("MISSING", Ask::with(&[]), 401, Some("Bearer")),
        (
            "MISSING",
            Ask::with(&[("authorization", " ")]),
            401,
            Some("Bearer"),
        ),
        (
            "MALFORMED",
            Ask::with(&[("authorization", "Bearer a,Bearer b")]),
            401,
            Some(invalid),
        ),
        ("UNKNOWN", Ask::bearer("klg_nobody"), 401, Some(invalid)),
        (
            "UNKNOWN",
            of("good").on(&[("workspace", "other")]),
            401,
            Some(invalid),
        ),
        ("WORKSPACE_REQUIRED", Ask::bearer(&personal), 403, None),
        ("REVOKED", of("revoked"), 401, Some(invalid)),
        ("EXPIRED", of("expired"), 401, Some(invalid)),
        ("DISABLED", of("disabled"), 403, None),
        ("ENVIRONMENT", of("test"), 403, None),
        (
            "SOURCE_ADDRESS",
            Ask::bearer(&confined).at("192.0.2.1"),
            403,
            None,
        ),
        ("SOURCE_ADDRESS", Ask::bearer(&confined), 403, None),
        ("INSUFFICIENT_SCOPE", writing, 403, Some(scope)),
        (
            "UNKNOWN_LIMIT",
            of("good").on(&[("limits", "nowhere")]),
            403,
            None,
        ),
        ("RATE_LIMITED", reading, 429, None),
        ("CREDITS_EXHAUSTED", Ask::bearer(&spent), 429, None),
    ];
    let mut of_401 = BTreeSet::new();
    for (reason, ask, status, challenge) in table {
        let refusal = envoy.denies(&ask).await;
        assert_eq!(refusal.told["reason"], reason);
        assert_eq!(refusal.status, status, "{reason}");
        let code = match status {
            401 => Code::Unauthenticated,
            403 => Code::PermissionDenied,
            _ => Code::ResourceExhausted,
        };
        assert_eq!(refusal.code, code, "{reason}");
        let header = |name: &str| refusal.headers.get(name).map(String::as_str);
        assert_eq!(header("www-authenticate"), challenge, "{reason}");
        assert_eq!(header("content-type"), Some("application/json"));
        let body: serde_json::Value = serde_json::from_str(&refusal.body).unwrap();
        assert!(body["error"].is_string() && body["message"].is_string());
        // The key is for logs, and for nobody else.
        let named = !["MISSING", "MALFORMED", "UNKNOWN"].contains(&reason);
        assert_eq!(refusal.told.contains_key("key_id"), named, "{reason}");
        assert_eq!(refusal.told.contains_key("key_hint"), named, "{reason}");
        let to_client = format!("{:?} {}", refusal.headers, refusal.body);
        assert!(
            !to_client.contains("key_") && !to_client.contains('\u{2026}'),
            "{to_client}"
        );
        if status == 401 {
            of_401.insert(refusal.body.clone());
        }
        let limited = reason == "RATE_LIMITED";
        assert_eq!(header("ratelimit").is_some(), limited, "{reason}");
        if limited {
            let delay: u64 = header("retry-after").unwrap().parse().unwrap();
            assert!((1..=3_660).contains(&delay), "{delay}");
            assert_eq!(header("ratelimit-policy"), Some("\"read\";q=1;w=3600"));
            assert!(header("ratelimit").unwrap().starts_with("\"read\";r=0;t="));
        }
    }
    assert_eq!(of_401.len(), 1, "all that is 401 looks the same");
    let confined = Ask::bearer(&confined).at("10.1.2.3");
    envoy.passes(&confined).await;
    let personal = Ask::bearer(&personal).on(&[("workspace", "w")]);
    assert_eq!(
        envoy.passes(&personal).await.set["x-keyward-workspace"],
        "w"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn callers_that_speak_grpc_are_told_in_its_words() {
    let server = Server::start();
    let mut envoy = Envoy::of(&server).await;
    for (media_type, grpc) in [
        ("application/grpc", true),
        ("application/grpc+proto", true),
        ("application/grpc-web", false),
    ] {
        let refusal = envoy
            .denies(&Ask::with(&[("content-type", media_type)]))
            .await;
        let told = refusal.headers.get("grpc-status").map(String::as_str);
        assert_eq!(told, grpc.then_some("16"), "{media_type}");
        assert_eq!(refusal.headers.contains_key("grpc-message"), grpc);
        assert_eq!(refusal.body.is_empty(), grpc);
        // Another content type would not be gRPC any more.
        let content_type = if grpc {
            "application/grpc"
        } else {
            "application/json"
        };
        assert_eq!(refusal.headers["content-type"], content_type);
        assert_eq!(refusal.status, 401);
    }
    // A client without a proxy tells its headers and nothing else.
    let mut admin = server.admin().await;
    admin.workspace("kling", "klg", &[]).await;
    let token = admin.key("kling", &["*"]).await.token;
    let bearer = format!("Bearer {token}");
    let grpc = ("content-type", b"application/grpc".as_slice());
    for (value, passes) in [(bearer.as_bytes(), true), (b"Bearer x", false)] {
        let mut ask = Ask::raw(&[grpc, ("authorization", value)]);
        *ask.http() = HttpRequest {
            header_map: ask.http().header_map.take(),
            ..HttpRequest::default()
        };
        if passes {
            envoy.passes(&ask).await;
        } else {
            let refusal = envoy.denies(&ask).await;
            assert_eq!(refusal.headers["grpc-status"], "16");
        }
    }
}
