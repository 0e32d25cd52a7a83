//! The services behind the edges: [`checker::Checker`] reads, for gateways;
//! [`registry::Registry`] changes, for operators.
//!
//! Architecture invariant: nothing here knows a transport or a store's
//! backend.

pub mod admission;
pub mod bootstrap;
pub mod checker;
pub mod credits;
pub mod denials;
pub mod error;
pub mod first_use;
pub mod page;
pub mod registry;
pub mod usage;
