//! The tests that take keyward as a whole, or a part of it from outside.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that fails says where, which is all it has to do"
)]

mod architecture;
mod docs;
mod index;
mod records;
mod store_damage;
mod store_refusals;
mod store_suite;
mod support;
mod vendors;
