//! What keyward means: records, tokens, scopes and the verdict.
//!
//! Architecture invariant: nothing here knows a transport, a store or a
//! runtime, and time is an argument. `tests/it/architecture.rs` keeps it so.

pub mod admin;
pub mod admin_draft;
pub mod audit;
pub mod audit_filter;
pub mod catalog;
pub mod clock;
pub mod counting;
pub mod credential;
pub mod credit_account;
pub mod credits;
pub mod credits_draft;
pub mod digest;
pub mod due;
pub mod explanation;
pub mod fields;
pub mod granted;
pub mod id;
pub mod import;
pub mod key;
pub mod key_draft;
pub mod leak;
pub mod limit;
pub mod policy;
pub mod principal;
pub mod request;
pub mod rotation;
pub mod route;
pub mod scope;
pub mod secret;
pub mod source;
pub mod target;
pub mod text;
pub mod token;
pub mod tombstone;
pub mod usage;
pub mod verdict;
pub mod violation;
pub mod window;
pub mod workspace;

mod base62;
