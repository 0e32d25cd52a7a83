//! HAProxy, by the files of deploy/haproxy.

use std::process::Command;

use super::process::{Place, address_of_its_own, program};
use super::switch::Asks;
use super::{Gateway, OnFailure};

table! { HaProxy }

/// What its configuration loads.
const SCRIPT: &str = "deploy/haproxy/keyward.lua";

pub(super) struct HaProxy;

impl Gateway for HaProxy {
    const FOLDER: &'static str = "haproxy";
    const ASKS: Asks = Asks::ForwardAuth;

    fn command(place: &Place, on_failure: OnFailure) -> Command {
        let script = place.adapted(SCRIPT, &[]);
        let (listen, between) = (place.listen.to_string(), address_of_its_own().to_string());
        let (keyward, upstream) = (place.keyward.to_string(), place.upstream.to_string());
        let mut changes = vec![
            (SCRIPT, script.to_str().unwrap()),
            ("127.0.0.1:10000", &listen),
            ("127.0.0.1:8079", &between),
            ("127.0.0.1:8080", &keyward),
            ("127.0.0.1:8000", &upstream),
            ("127.0.0.1:8001", &upstream),
        ];
        if on_failure == OnFailure::Open {
            // As its README says.
            let line = "http-request set-var(txn.keyward_open)";
            changes.push(("# http-request set-var(txn.keyward_open)", line));
        }
        let mut command = Command::new(program("haproxy"));
        command.arg("-db").arg("-f");
        command.arg(place.adapted("deploy/haproxy/haproxy.cfg", &changes));
        command
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_other_route_is_reached_through_a_public_one() {
    super::cases::paths::no_other_route_is_reached_through_a_public_one::<HaProxy>().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_websocket_is_judged_when_it_begins() {
    super::cases::upgrades::a_websocket_is_judged_when_it_begins::<HaProxy>().await;
}
