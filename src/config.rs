//! What a server is told to do, one struct per concern.

pub mod listener;

use std::num::NonZeroUsize;
use std::time::Duration;

use crate::store::home::Home;

use listener::ListenerConfig;

/// All settings of a server.
#[derive(Clone, Debug)]
pub struct ServeConfig {
    /// Where the store lies.
    pub home: Home,
    /// Where gateways ask.
    pub check: ListenerConfig,
    /// Where operators call.
    pub admin: ListenerConfig,
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
    /// How long a revoked key is kept before it can be deleted.
    pub key_retention: Duration,
}

/// The retention of revoked keys where none is set: 30 days.
pub const DEFAULT_KEY_RETENTION: Duration = Duration::from_secs(30 * 24 * 60 * 60);
