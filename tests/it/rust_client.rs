//! The Rust client of docs/clients.md, and what the tests have it do: the same
//! as story.py and story.mjs.

use std::time::Duration;

use serde_json::{Value, json};
use tonic::Code;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};

use self::gateway::{Decision, Tls, act_on, connect, decide};
use self::issue::{issue, what_went_wrong};
use self::keyward_v1::key_admin_client::KeyAdminClient;
use self::keyward_v1::key_check_client::KeyCheckClient;
use self::keyward_v1::{CheckResponse, CreateKeyRequest};
use crate::clients::Given;
use crate::support::admin_over;

// What a user of keyward generates from the protos.
use keyward::edge::pb as keyward_v1;

#[path = "../clients/rust/gateway.rs"]
#[expect(unreachable_pub, reason = "in its own crate, it would be reachable")]
mod gateway;
#[path = "../clients/rust/issue.rs"]
#[expect(unreachable_pub, reason = "in its own crate, it would be reachable")]
mod issue;

/// On a machine that is busy with other tests.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) async fn tell(given: &Given) -> Value {
    let tls = given.tls.clone().map(|[ca, certificate, key]| Tls {
        ca,
        certificate,
        key,
    });
    let scheme = if tls.is_some() { "https" } else { "http" };
    let channel = |target: &str| connect(&format!("{scheme}://{target}"), tls.as_ref()).unwrap();
    let checks = KeyCheckClient::new(channel(&given.check));
    let admin = KeyAdminClient::new(channel(&given.admin));
    let key = |scope: &str| CreateKeyRequest {
        workspace: "clients".to_owned(),
        principal: "user:ada".to_owned(),
        name: "story".to_owned(),
        scopes: vec![scope.to_owned()],
        ..CreateKeyRequest::default()
    };
    let issued = issue(&admin, &given.token, "request-1", key("a:read"))
        .await
        .unwrap();
    let header = format!("Bearer {}", issued.token);
    let nobody = KeyCheckClient::new(channel(&given.nobody));
    let long = "x".repeat(2_000_000);
    let mut told = json!({
        "allowed": decided(&checks, &header, &["a:read"]).await,
        "scope": decided(&checks, &header, &["a:write"]).await,
        "none": decided(&checks, "", &[]).await,
        "long": decided(&checks, &long, &[]).await,
        "unknown outcome": told_of(act_on(CheckResponse::default()))[0],
        "nobody there": decided(&nobody, &header, &[]).await,
        "typo": refused(&admin, &given.token, key("a:raed")).await,
        "no admin": refused(&admin, &issued.token, key("a:read")).await,
    });
    if let Some(tls) = &tls {
        let stranger = KeyCheckClient::new(without_certificate(&given.check, tls));
        told["no certificate"] = decided(&stranger, &header, &["a:read"]).await;
        let outsider = KeyAdminClient::new(without_certificate(&given.admin, tls));
        let error = issue(&outsider, &given.token, "request-3", key("a:read")).await;
        told["no operator's certificate"] = json!(what_went_wrong(&error.unwrap_err()));
    }
    let mut owner = admin_over(channel(&given.admin), &given.token);
    owner.revoke(&issued.key.unwrap().id).await;
    told["revoked"] = decided(&checks, &header, &["a:read"]).await;
    told
}

/// A channel that trusts the server and shows it nothing.
fn without_certificate(target: &str, tls: &Tls) -> Channel {
    let ca = Certificate::from_pem(std::fs::read(&tls.ca).unwrap());
    let config = ClientTlsConfig::new().ca_certificate(ca);
    let endpoint = Endpoint::from_shared(format!("https://{target}")).unwrap();
    endpoint.tls_config(config).unwrap().connect_lazy()
}

async fn decided(client: &KeyCheckClient<Channel>, header: &str, scopes: &[&str]) -> Value {
    told_of(decide(client, header, "clients", scopes, PATIENCE).await)
}

fn told_of(decision: Decision) -> Value {
    match decision {
        Decision::Pass(allowed) => json!([200, allowed.principal]),
        Decision::Answer(status, log) => {
            assert!(!log.is_empty());
            json!([status, ""])
        }
    }
}

async fn refused(
    client: &KeyAdminClient<Channel>,
    admin_token: &str,
    key: CreateKeyRequest,
) -> Value {
    let error = issue(client, admin_token, "request-2", key)
        .await
        .unwrap_err();
    let names = [
        (Code::InvalidArgument, "INVALID_ARGUMENT"),
        (Code::Unauthenticated, "UNAUTHENTICATED"),
    ];
    let code = names.iter().find(|(code, _)| *code == error.code());
    let (_, code) = code.unwrap_or_else(|| panic!("{error}"));
    let (reason, fields) = what_went_wrong(&error);
    json!([code, reason, fields])
}
