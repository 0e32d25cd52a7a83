//! nginx, by the files of deploy/nginx.

use std::net::SocketAddr;
use std::process::Command;

use super::process::{Place, program};
use super::switch::Asks;
use super::{Feature, Gateway, OnFailure};

table! { Nginx }

/// What nginx.conf includes, but for keyward-ask.conf.
const INCLUDED: [&str; 6] = [
    "keyward.conf",
    "keyward-answers.conf",
    "keyward-guard.conf",
    "keyward-guard-grpc.conf",
    "keyward-headers.conf",
    "keyward-said.conf",
];

pub(super) struct Nginx;

impl Gateway for Nginx {
    const FOLDER: &'static str = "nginx";
    const ASKS: Asks = Asks::ForwardAuth;

    fn command(place: &Place, on_failure: OnFailure) -> Command {
        let (listen, http2) = (place.listen.to_string(), place.listen_too.to_string());
        let (keyward, upstream) = (place.keyward.to_string(), place.upstream.to_string());
        let main = place.adapted(
            "deploy/nginx/nginx.conf",
            &[
                ("127.0.0.1:10000", listen.as_str()),
                ("127.0.0.1:10001", &http2),
                ("127.0.0.1:8080", &keyward),
                ("127.0.0.1:8000", &upstream),
                ("127.0.0.1:8001", &upstream),
                ("/people.v1.People/", "/keyward.test.Echo/"),
            ],
        );
        for file in INCLUDED {
            place.adapted(&format!("deploy/nginx/{file}"), &[]);
        }
        let open: &[_] = match on_failure {
            OnFailure::Close => &[],
            // As its README says.
            OnFailure::Open => &[("# error_page 502", "error_page 502")],
        };
        place.adapted("deploy/nginx/keyward-ask.conf", open);
        let mut command = Command::new(program("nginx"));
        command.arg("-p").arg(place.folder()).arg("-c").arg(main);
        command.args(["-g", "daemon off;"]);
        command
    }

    fn http2(place: &Place) -> SocketAddr {
        place.listen_too
    }

    fn cannot(feature: Feature) -> Option<&'static str> {
        match feature {
            Feature::UnheardOfNames => Some("nginx cannot take off headers by how they begin"),
            Feature::FailOpen
            | Feature::PublicAlone
            | Feature::DenialBody
            | Feature::LimitsOfTheAllowed
            | Feature::Http2
            | Feature::Grpc
            | Feature::GrpcDenials => None,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_other_route_is_reached_through_a_public_one() {
    super::cases::paths::no_other_route_is_reached_through_a_public_one::<Nginx>().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_websocket_is_judged_when_it_begins() {
    super::cases::upgrades::a_websocket_is_judged_when_it_begins::<Nginx>().await;
}
