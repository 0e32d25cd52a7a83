//! Health: each listener tells of what it serves, and says so when it stops.

use std::time::Duration;

use keyward::edge::{admin, check};
use tonic::Code;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use crate::support::{Server, connect};

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
