//! What the world sees: the wire types, the gRPC services and the listeners.
//!
//! Handlers decode, call a service, encode and map the error; nothing is
//! decided here.

pub mod admin;
pub mod check;
pub mod drain;
pub mod ext_authz;
pub mod forward_auth;
pub mod gateway;
pub mod http_plane;
pub mod listener;
pub mod pb;
pub mod probes;
pub mod protocol;
pub mod scrape;
pub mod server;
pub mod tls;

mod answer;
mod brief;
mod bytes_codec;
mod check_batch;
mod check_stream;
mod connection;
mod conversation;
mod convert;
mod deadline;
mod deal;
mod dialogue;
mod ending;
mod farewell;
mod guarded;
mod limit;
mod line;
mod pace;
mod plane;
mod promptly;
mod question;
mod refusal;
mod reply;
mod result;
mod room;
mod status;
mod throttle;
mod timely;
mod turns;
mod unread;
mod waiting;
