//! keyward
pub mod app;
pub mod cli;
pub mod config;
pub mod domain;
pub mod edge;
pub mod index;
pub mod process;
pub mod service;
pub mod store;
pub mod telemetry;
