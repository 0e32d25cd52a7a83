//! edge
pub mod pb;
