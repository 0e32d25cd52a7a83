//! The tests that take keyward as a whole, or a part of it from outside.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that fails says where, which is all it has to do"
)]

mod admin_api;
mod admin_rights;
mod architecture;
mod check_api;
mod cli;
mod docs;
mod drain;
mod h2raw;
mod health;
mod index;
mod law_durable;
mod law_new_key;
mod law_revoked;
mod law_secrets;
mod law_undecided;
mod listeners;
mod pki;
mod python_client;
mod records;
mod reflection;
mod store_damage;
mod store_refusals;
mod store_suite;
mod strangers;
mod support;
mod sync_order;
mod tls;
mod vendors;
