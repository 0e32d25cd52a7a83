//! What the world sees: the wire types, the gRPC services and the listeners.
//!
//! Handlers decode, call a service, encode and map the error; nothing is
//! decided here.

pub mod admin;
pub mod check;
pub mod listener;
pub mod pb;
pub mod server;

mod answer;
mod bytes_codec;
mod check_batch;
mod check_stream;
mod connection;
mod convert;
mod plane;
mod question;
mod result;
mod status;
