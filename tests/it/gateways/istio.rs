//! The ingress gateway of a mesh, by deploy/istio: Envoy, with the filters that
//! Istio makes of the policy and of the provider, and with the patch as Istio merges
//! it. There is no Istio here: how it does that was read in its source.

use std::fs;
use std::net::SocketAddr;
use std::process::Command;

use serde_json::{Value, json};

use super::process::{Place, address_of_its_own};
use super::switch::Asks;
use super::{Feature, Gateway, OnFailure};
use crate::docs::{document, root};
use crate::support::tool;

table! { Istio }

/// What Istio calls keyward's cluster.
const CLUSTER: &str = "outbound|50051||keyward.keyward.svc.cluster.local";

/// By what the one filter tells the other that a policy applies.
const MARK: &str = "istio-ext-authz";

const TYPES: &str = "type.googleapis.com/envoy.extensions";

pub(super) struct Istio;

impl Gateway for Istio {
    const FOLDER: &'static str = "istio";
    const ASKS: Asks = Asks::ExtAuthz;

    fn command(place: &Place, on_failure: OnFailure) -> Command {
        // It cannot fail open.
        assert_eq!(on_failure, OnFailure::Close);
        let path = place.folder().join("envoy.json");
        fs::write(&path, bootstrap(place).to_string()).unwrap();
        let mut command = Command::new(tool("envoy"));
        command
            .arg("--config-path")
            .arg(path)
            .args(["--use-dynamic-base-id", "--concurrency", "1"])
            .args(["--log-level", "warning"]);
        command
    }

    fn flags() -> Vec<String> {
        let table = root().join("deploy/istio/routes.toml");
        vec!["--routes".to_owned(), table.to_str().unwrap().to_owned()]
    }

    fn cannot(feature: Feature) -> Option<&'static str> {
        match feature {
            Feature::FailOpen => Some("would let everybody in while keyward is away"),
            Feature::PublicAlone => Some("public routes, too, need keyward to be there"),
            Feature::DenialBody
            | Feature::LimitsOfTheAllowed
            | Feature::Http2
            | Feature::Grpc
            | Feature::GrpcDenials
            | Feature::UnheardOfNames => None,
        }
    }
}

fn shipped(name: &str) -> Value {
    let text = document(&format!("deploy/istio/{name}"));
    serde_saphyr::from_str(&text).unwrap()
}

fn bootstrap(place: &Place) -> Value {
    json!({
        "admin": { "address": at(address_of_its_own()) },
        "static_resources": {
            "listeners": [{
                "name": "gateway",
                "address": at(place.listen),
                "filter_chains": [{ "filters": [{
                    "name": "envoy.filters.network.http_connection_manager",
                    "typed_config": patched(manager()),
                }]}],
            }],
            "clusters": [
                cluster(CLUSTER, place.keyward, true),
                cluster("service", place.upstream, false),
                cluster("service_grpc", place.upstream, true),
            ],
        },
    })
}

/// Before any patch.
fn manager() -> Value {
    json!({
        "@type": format!("{TYPES}.filters.network.http_connection_manager.v3.HttpConnectionManager"),
        "stat_prefix": "gateway",
        "use_remote_address": true,
        "normalize_path": true,
        "route_config": { "virtual_hosts": [{
            "name": "all",
            "domains": ["*"],
            "routes": [
                {
                    "match": { "prefix": "/", "grpc": {} },
                    "route": {
                        "cluster": "service_grpc",
                        "timeout": "0s",
                        "max_stream_duration": { "grpc_timeout_header_max": "0s" },
                    },
                },
                {
                    "match": { "prefix": "/" },
                    "route": { "cluster": "service", "timeout": "0s" },
                },
            ],
        }]},
        "http_filters": [policy(), provider(), {
            "name": "envoy.filters.http.router",
            "typed_config": { "@type": format!("{TYPES}.filters.http.router.v3.Router") },
        }],
    })
}

/// The policy's rules are tried, and that they match is noted.
fn policy() -> Value {
    let shipped = shipped("authorization-policy.yaml");
    assert_eq!(shipped["spec"]["rules"], json!([{}]));
    let name = shipped["spec"]["provider"]["name"].as_str().unwrap();
    let policy = format!("{MARK}-{name}-ns[istio-ingress]-policy[keyward]-rule[0]");
    let any = json!([{ "any": true }]);
    json!({
        "name": "envoy.filters.http.rbac",
        "typed_config": {
            "@type": format!("{TYPES}.filters.http.rbac.v3.RBAC"),
            "shadow_rules": {
                "action": "DENY",
                "policies": { policy: { "permissions": any, "principals": any } },
            },
            "shadow_rules_stat_prefix": "istio_ext_authz_",
        },
    })
}

/// What was noted has keyward asked.
fn provider() -> Value {
    let mesh = shipped("mesh.yaml");
    let asks = &mesh["spec"]["meshConfig"]["extensionProviders"][0]["envoyExtAuthzGrpc"];
    let status: u16 = asks["statusOnError"].as_str().unwrap().parse().unwrap();
    json!({
        "name": "envoy.filters.http.ext_authz",
        "typed_config": {
            "@type": format!("{TYPES}.filters.http.ext_authz.v3.ExtAuthz"),
            "transport_api_version": "V3",
            "failure_mode_allow": asks["failOpen"],
            "status_on_error": { "code": status },
            "clear_route_cache": true,
            "grpc_service": {
                "envoy_grpc": { "cluster_name": CLUSTER, "authority": asks["service"] },
                "timeout": asks["timeout"],
            },
            "filter_enabled_metadata": {
                "filter": "envoy.filters.http.rbac",
                "path": [{ "key": "istio_ext_authz_shadow_effective_policy_id" }],
                "value": { "string_match": { "prefix": MARK } },
            },
        },
    })
}

/// After the one patch, which adds fields that are not there.
fn patched(mut manager: Value) -> Value {
    let filter = shipped("envoy-filter.yaml");
    let patches = filter["spec"]["configPatches"].as_array().unwrap();
    let [patch] = patches.as_slice() else {
        panic!("{patches:?}");
    };
    assert_eq!(patch["patch"]["operation"], "MERGE");
    let adds = patch["patch"]["value"]["typed_config"].as_object().unwrap();
    for (name, value) in adds {
        let before = manager[name].take();
        assert!(before.is_null() || before == *value, "{name}");
        manager[name] = value.clone();
    }
    manager
}

fn cluster(name: &str, address: SocketAddr, http2: bool) -> Value {
    let mut cluster = json!({
        "name": name,
        "type": "STATIC",
        "connect_timeout": "1s",
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [{ "lb_endpoints": [{ "endpoint": { "address": at(address) } }] }],
        },
    });
    if http2 {
        let options = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";
        cluster["typed_extension_protocol_options"] = json!({ options: {
            "@type": format!("{TYPES}.upstreams.http.v3.HttpProtocolOptions"),
            "explicit_http_config": { "http2_protocol_options": {} },
        }});
    }
    cluster
}

fn at(address: SocketAddr) -> Value {
    json!({ "socket_address": { "address": address.ip(), "port_value": address.port() } })
}
