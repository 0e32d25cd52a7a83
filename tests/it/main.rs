//! The tests that take keyward as a whole, or a part of it from outside.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that fails says where, which is all it has to do"
)]
#![allow(
    clippy::result_large_err,
    reason = "a denial is an answer here, and as large as one"
)]

mod admin_api;
mod admin_denials;
mod admin_ended;
mod admin_escalation;
mod admin_hidden;
mod admin_owners;
mod admin_rights;
mod admin_rotation;
mod architecture;
mod check_api;
mod check_batch;
mod check_stream;
mod cli;
mod clients;
mod config;
mod credits;
mod docs;
mod drain;
mod explain;
mod ext_authz;
mod forward_auth;
mod gateways;
mod h1raw;
mod h2raw;
mod health;
mod http_listener;
mod import;
mod index;
mod law_ceiling;
mod law_durable;
mod law_narrowed;
mod law_new_key;
mod law_principal;
mod law_revoked;
mod law_revoked_many;
mod law_rotated;
mod law_secrets;
mod law_undecided;
mod leaks;
mod limits;
mod limits_clock;
mod limits_exact;
mod limits_shared;
mod limits_shared_exact;
mod listeners;
mod load;
mod manifests;
mod metrics;
mod model;
mod office;
mod packaging;
mod pki;
mod principal_deletion;
mod principal_races;
mod principal_rights;
mod principals;
mod promises;
mod python_client;
mod records;
mod recover;
mod redact;
mod reflection;
mod routes;
mod rust_client;
mod source_addresses;
mod store_damage;
mod store_refusals;
mod store_suite;
mod strangers;
mod support;
mod sync_order;
mod tls;
mod tls_rotation;
mod tours;
mod usage;
mod vendors;
