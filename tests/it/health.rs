//! Health: each listener tells of what it serves, and says so when it stops.

use std::time::Duration;

use keyward::edge::pb::WhoAmIRequest;
use keyward::edge::{admin, check};
use serde_json::{Value, json};
use tonic::Code;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use crate::support::{Server, check_request, connect, keyward, run};

#[tokio::test(flavor = "multi_thread")]
async fn each_listener_tells_of_its_own_service_and_no_other() {
    let server = Server::start();
    for (address, own, other) in [
        (&server.check_address, check::SERVICE, admin::SERVICE),
        (&server.admin_address, admin::SERVICE, check::SERVICE),
    ] {
        let mut client = HealthClient::new(connect(address).await);
        for service in ["", own] {
            let request = HealthCheckRequest {
                service: service.to_owned(),
            };
            let status = client.check(request).await.unwrap().into_inner().status();
            assert_eq!(status, ServingStatus::Serving, "{service:?}");
        }
        for service in [other, "keyward.v1.Other", "KeyCheck", "*"] {
            let request = HealthCheckRequest {
                service: service.to_owned(),
            };
            let status = client.check(request).await.unwrap_err();
            assert_eq!(status.code(), Code::NotFound, "{service}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn all_that_names_the_build_names_the_same_one() {
    let version = run(keyward().arg("--version"));
    let said = String::from_utf8(version.stdout).unwrap();
    let mut lines = said.lines();
    let version = lines.next().unwrap().strip_prefix("keyward ").unwrap();
    let commit = lines.next().unwrap().strip_prefix("commit: ").unwrap();
    assert_eq!(version, env!("CARGO_PKG_VERSION"));
    assert!(!commit.is_empty());

    let server = Server::start();
    let log = server.log();
    let start = log.lines().next().unwrap();
    let start: Value = serde_json::from_str(start).unwrap();
    assert_eq!(
        (&start["message"], &start["version"], &start["commit"]),
        (&json!("keyward"), &json!(version), &json!(commit)),
        "{log}"
    );
    let mut owner = server.admin().await;
    let whoami = owner.client.who_am_i(WhoAmIRequest::default()).await;
    let whoami = whoami.unwrap();
    let both = format!("{version} ({commit})");
    assert!(whoami.metadata().get("server").is_none());
    assert_eq!(whoami.into_inner().server_version, both);
    for address in [&server.check_address, &server.admin_address] {
        let mut client = HealthClient::new(connect(address).await);
        let health = client.check(HealthCheckRequest::default()).await.unwrap();
        let named = health.metadata().get("server").unwrap();
        assert_eq!(named.to_str().unwrap(), format!("keyward/{both}"));
    }
    // Checks carry nothing that is not asked for.
    let mut checks = server.checks().await;
    let check = checks.client.check(check_request("x", &[])).await.unwrap();
    assert!(check.metadata().get("server").is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn who_watches_sees_the_stop_before_it_comes() {
    let server = Server::start();
    let mut watches = Vec::new();
    for (address, service) in [
        (&server.check_address, ""),
        (&server.check_address, check::SERVICE),
        (&server.admin_address, ""),
        (&server.admin_address, admin::SERVICE),
    ] {
        let mut client = HealthClient::new(connect(address).await);
        let request = HealthCheckRequest {
            service: service.to_owned(),
        };
        let mut watch = client.watch(request).await.unwrap().into_inner();
        assert_eq!(
            watch.message().await.unwrap().unwrap().status(),
            ServingStatus::Serving
        );
        watches.push((service, watch));
    }
    server.signal(rustix::process::Signal::TERM);
    for (service, watch) in &mut watches {
        let told = tokio::time::timeout(Duration::from_secs(30), watch.message());
        let status = told.await.unwrap().unwrap().unwrap().status();
        assert_eq!(status, ServingStatus::NotServing, "{service:?}");
    }
    // Then it is over: whoever watches does not hold up the stop.
    for (service, watch) in &mut watches {
        let told = tokio::time::timeout(Duration::from_secs(30), watch.message());
        assert!(!matches!(told.await.unwrap(), Ok(Some(_))), "{service:?}");
    }
    let (status, log) = server.wait();
    assert!(status.success(), "{status:?} {log}");
    assert!(!log.contains("cut off"), "{log}");
}
