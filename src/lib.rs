//! keyward
pub mod domain;
pub mod edge;
pub mod index;
pub mod service;
pub mod store;
