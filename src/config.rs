//! What a server is told to do.

use std::num::NonZeroUsize;
use std::time::Duration;

use crate::edge::listener::Address;
use crate::store::home::Home;

/// All settings of a server.
#[derive(Clone, Debug)]
pub struct ServeConfig {
    /// Where the store lies.
    pub home: Home,
    /// Where gateways ask.
    pub check_listen: Address,
    /// Where operators call.
    pub admin_listen: Address,
    /// How many threads answer checks.
    pub check_threads: NonZeroUsize,
    /// Whether something else encrypts what listeners beyond this machine
    /// send and receive.
    pub encrypted_elsewhere: bool,
    /// Whether the listeners tell what they serve.
    pub reflection: bool,
    /// How long calls under way may take once the server is told to stop.
    pub drain_timeout: Duration,
    /// How long checks go on from memory after the store was lost.
    pub store_lost_grace: Duration,
}
