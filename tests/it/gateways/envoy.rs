//! Envoy, by deploy/envoy/envoy.yaml.

use std::process::Command;

use super::process::{Place, address_of_its_own};
use super::switch::Asks;
use super::{Gateway, OnFailure};
use crate::support::tool;

table! { Envoy }

/// The shipped file.
const FILE: &str = "deploy/envoy/envoy.yaml";

pub(super) struct Envoy;

impl Gateway for Envoy {
    const FOLDER: &'static str = "envoy";
    const ASKS: Asks = Asks::ExtAuthz;

    fn command(place: &Place, on_failure: OnFailure) -> Command {
        run(place, on_failure, &[])
    }
}

/// Envoy, after these changes to what is shipped.
fn run(place: &Place, on_failure: OnFailure, more: &[(&str, &str)]) -> Command {
    let address = |address: std::net::SocketAddr| {
        let (ip, port) = (address.ip(), address.port());
        format!("{{ address: {ip}, port_value: {port} }}")
    };
    let (admin, listen) = (address(address_of_its_own()), address(place.listen));
    let (keyward, upstream) = (address(place.keyward), address(place.upstream));
    let mut changes = more.to_vec();
    changes.extend([
        ("{ address: 127.0.0.1, port_value: 9901 }", admin.as_str()),
        ("{ address: 127.0.0.1, port_value: 10000 }", &listen),
        ("{ address: 127.0.0.1, port_value: 50051 }", &keyward),
        ("{ address: 127.0.0.1, port_value: 8000 }", &upstream),
    ]);
    if on_failure == OnFailure::Open {
        // As its README says.
        changes.push(("failure_mode_allow: false", "failure_mode_allow: true"));
    }
    let mut command = Command::new(tool("envoy"));
    command
        .arg("--config-path")
        .arg(place.adapted(FILE, &changes))
        // Several run at a time, on one machine.
        .args(["--disable-hot-restart", "--concurrency", "1"])
        .args(["--log-level", "warning"]);
    command
}
