//! keyward behind real gateways: each runs the very configuration that `deploy`
//! ships for it, between a client that tries everything and a service that keeps
//! what reached it. All have to pass one table of cases; what one cannot do, it
//! says by name, and its README says why.
//!
//! The configurations have these routes in common:
//!
//! | path | who passes |
//! |---|---|
//! | `/public/…` | everybody, without a key |
//! | `/people…` | keys of `klipy` with the scope `people:read` |
//! | `/bulk…` | keys of `klipy`, as often as their limit `bulk` allows |
//! | `/partner…` | keys of `klipy` that come in `x-api-key` |
//! | any other | keys of `klipy` |

use std::net::SocketAddr;
use std::process::Command;

use keyward::edge::pb::CreateKeyRequest;

use crate::docs::document;
use crate::support::{Admin, key_request};
use client::Ask;
use process::{Place, Process};
use switch::{Asks, Keyward};
use upstream::Upstream;

/// Runs the table on a gateway. Another case is another line here.
macro_rules! table {
    ($gateway:ty) => {
        table! { @on $gateway,
            allowed::who_it_is_reaches_the_upstream
            allowed::a_public_route_needs_no_key
            allowed::a_key_in_a_header_of_its_own_leaves_the_others_alone
            allowed::a_key_that_was_just_issued_works_and_a_revoked_one_does_not
            allowed::a_key_with_much_to_tell_passes
            allowed::http_2_is_served_as_well
            allowed::no_path_leads_around_a_route
            denied::each_denial_has_its_status_and_headers
            denied::all_that_call_for_another_credential_look_alike
            denied::credentials_that_contradict_each_other_are_none
            denied::limits_are_told_with_what_they_let_pass
            denied::the_source_address_is_none_that_a_client_says
            forged::no_client_says_who_it_is_while_keyward_is_up
            forged::no_client_says_who_it_is_when_it_fails_closed
            forged::no_client_says_who_it_is_when_it_fails_open
            forged::no_client_has_another_request_served_than_was_judged
            hops::nothing_is_upgraded_to_http_2
            hops::no_client_has_the_upstream_forget_who_it_is
            hops::methods_that_are_for_proxies_reach_nobody
            failing::without_a_verdict_nobody_passes_until_keyward_is_back
            failing::what_fails_open_lets_in_nothing_but_the_request
            grpc::calls_pass_both_ways
            grpc::a_long_stream_outlasts_every_timeout
            grpc::denials_have_codes_of_grpc
            grpc::to_speak_grpc_gets_nobody_around_a_route
            cannot::what_it_cannot_do_is_told_in_its_readme
        }
    };
    (@on $gateway:ty, $($group:ident::$case:ident)*) => {
        $(
            #[tokio::test(flavor = "multi_thread")]
            async fn $case() {
                crate::gateways::cases::$group::$case::<$gateway>().await;
            }
        )*
    };
}

mod caddy;
mod cases;
mod client;
pub(crate) mod envoy;
mod haproxy;
mod istio;
mod nginx;
mod process;
mod switch;
mod traefik;
mod upstream;

/// What comes before the names of the headers that say who it is.
const IDENTITY: &str = "x-keyward-";

/// What a gateway does with a request that there is no verdict on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum OnFailure {
    Close,
    Open,
}

/// What not every gateway can do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Feature {
    /// Lets requests pass that there is no verdict on.
    FailOpen,
    /// Lets requests of public routes pass without asking keyward.
    PublicAlone,
    /// Hands on the body of a denial.
    DenialBody,
    /// Hands on `RateLimit` and `RateLimit-Policy` with what is allowed.
    LimitsOfTheAllowed,
    /// Speaks HTTP/2 without TLS to clients.
    Http2,
    /// Passes gRPC on.
    Grpc,
    /// Answers gRPC clients with the code that keyward means.
    GrpcDenials,
    /// Takes off whatever is called as keyward's headers are, and not those alone
    /// that its configuration names.
    UnheardOfNames,
}

impl Feature {
    const ALL: [Self; 8] = [
        Self::FailOpen,
        Self::PublicAlone,
        Self::DenialBody,
        Self::LimitsOfTheAllowed,
        Self::Http2,
        Self::Grpc,
        Self::GrpcDenials,
        Self::UnheardOfNames,
    ];
}

/// A kind of gateway.
trait Gateway {
    /// Its folder in `deploy`.
    const FOLDER: &'static str;

    /// By which of keyward's listeners it asks.
    const ASKS: Asks;

    /// Writes the configuration that `deploy` ships, for this place, and says how
    /// to run the gateway with it, in the foreground.
    fn command(place: &Place, on_failure: OnFailure) -> Command;

    /// Where it takes HTTP/2.
    fn http2(place: &Place) -> SocketAddr {
        place.listen
    }

    /// What keyward is started with for it.
    fn flags() -> Vec<String> {
        Vec::new()
    }

    /// Why it cannot do this, in the words of its README; none: it can.
    fn cannot(_: Feature) -> Option<&'static str> {
        None
    }

    /// What a client gets if there is no verdict and the gateway fails closed.
    const UNDECIDED: u16 = 503;

    fn can(feature: Feature) -> bool {
        Self::cannot(feature).is_none()
    }

    /// What its README says, each run of spaces and line ends one space.
    fn readme() -> String {
        let text = document(&format!("deploy/{}/README.md", Self::FOLDER));
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    }
}

/// A gateway, with keyward and a service behind it.
struct Scene {
    keyward: Keyward,
    upstream: Upstream,
    gateway: Process,
    http2: SocketAddr,
    admin: Admin,
}

impl Scene {
    /// All of it up, with the workspace that the routes are of.
    async fn new<G: Gateway>(on_failure: OnFailure) -> Self {
        let keyward = Keyward::start(G::ASKS, G::flags());
        let mut admin = keyward.server().admin().await;
        admin
            .workspace("klipy", "klipy_api", &["live", "test"])
            .await;
        let upstream = Upstream::start().await;
        let place = Place::new(keyward.address, upstream.address);
        let command = G::command(&place, on_failure);
        let http2 = G::http2(&place);
        let gateway = Process::start(command, place).await;
        upstream.seen();
        Self {
            keyward,
            upstream,
            gateway,
            http2,
            admin,
        }
    }

    /// A GET to the gateway.
    fn get(&self, path: &str) -> Ask {
        Ask::get(self.gateway.place().listen, path).http2_at(self.http2)
    }

    /// A gRPC call to the gateway.
    fn call(&self, path: &str, message: &[u8]) -> Ask {
        Ask::grpc(self.http2, path, message)
    }

    /// The token of a key of `klipy` that may read people.
    async fn token(&mut self) -> String {
        self.issue(|_| {}).await
    }

    /// The token of such a key, but for what `change` does.
    async fn issue(&mut self, change: impl FnOnce(&mut CreateKeyRequest)) -> String {
        let mut request = key_request("klipy", &["people:read"]);
        change(&mut request);
        let reply = self.admin.client.create_key(request).await;
        reply.unwrap().into_inner().token
    }
}
