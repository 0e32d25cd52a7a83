//! keyward issues API keys and answers, for any gateway: who is behind this
//! header, and may they?
//!
//! ```text
//! gateways ──► edge::check ──► checker ──► domain::verdict ◄── index     a check
//!                                                                ▲
//!                                                                │ commits
//! operators ─► edge::admin ──► registry ─► store ────────────────┘       a change
//! ```
//!
//! A check reads memory alone. A change is durable, and in the index, before
//! it is answered.
//!
//! # Layout
//!
//! Source dependencies point at [`domain`], which knows no transport and no
//! storage.
//!
//! - [`domain`]: what keyward means. Tokens, credentials, scopes, records, and
//!   the one function that judges.
//! - [`store`]: the durable truth, as a trait in domain types, and the store of
//!   one node.
//! - [`index`]: the complete view of keys in memory, fed by the store alone.
//! - [`meter`]: what checks spend, and the one step in which they do.
//! - [`service`]: the read path, the write path, and who may use that.
//! - [`edge`]: the wire types, the gRPC services and the listeners.
//! - [`app`]: the only place that puts the parts together; [`config`] is what it
//!   is told, [`process`] and [`telemetry`] are what it asks of the system, and
//!   [`build_info`] is which build it is.
//! - [`cli`]: the command line, most of which is a client of the server.
//!
//! # Laws
//!
//! 1. Revoked means revoked: no check that starts after the reply to a
//!    revocation passes, crash and restart included.
//! 2. Acknowledged means durable, through kill -9 and power loss.
//! 3. A key just issued works: there is no memory of what was unknown.
//! 4. Nothing of a token but its display hint is in the store, a log, an error,
//!    an audit record or `Debug` output.
//! 5. Damaged data never decides: it is refused at start, with what to do next.
//! 6. A check does no I/O, takes no global lock and never waits for a write.
//! 7. When keyward cannot decide, it says so: it never guesses "allowed", and
//!    never calls it a denial.
//!
//! `docs/architecture.md` tells the life of a check and of a change, and the
//! reasons for what was chosen.

pub mod app;
pub mod build_info;
pub mod cli;
pub mod config;
pub mod domain;
pub mod edge;
pub mod index;
pub mod meter;
pub mod metrics;
pub mod process;
pub mod service;
pub mod store;
pub mod telemetry;
