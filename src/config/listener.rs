//! One listener: its address, its encryption, and how much it takes on.

use std::path::PathBuf;
use std::time::Duration;

use http::HeaderName;
use ipnet::IpNet;

use crate::edge::listener::Address;

/// A listener's settings.
#[derive(Clone, Debug)]
pub struct ListenerConfig {
    /// Where it listens.
    pub listen: Address,
    /// How it encrypts; none: not at all.
    pub tls: Option<TlsConfig>,
    /// How much it takes on.
    pub limits: ConnectionLimits,
}

impl ListenerConfig {
    /// A listener in the clear, with the usual limits.
    #[must_use]
    pub fn plain(listen: Address) -> Self {
        Self {
            listen,
            tls: None,
            limits: ConnectionLimits::default(),
        }
    }
}

/// The listener that gateways ask over plain HTTP.
#[derive(Clone, Debug)]
pub struct HttpConfig {
    /// Where it listens, how it encrypts, how much it takes on.
    pub listener: ListenerConfig,
    /// Whose word counts for where a request comes from.
    pub sources: SourceConfig,
}

/// Where forwarded requests are taken to come from.
#[derive(Clone, Debug)]
pub struct SourceConfig {
    /// Who may say so: peers with these addresses, and any on a unix socket.
    pub trusted: Vec<IpNet>,
    /// The header in which they do.
    pub header: HeaderName,
}

/// The files of a listener that encrypts. They are read again when they
/// change.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TlsConfig {
    /// The certificate chain, PEM, the listener's own first.
    pub certificate: PathBuf,
    /// The private key, PEM.
    pub key: PathBuf,
    /// Who signs clients' certificates, PEM. None: clients show none.
    pub client_ca: Option<PathBuf>,
    /// Whether a client that shows no certificate is turned away. Needs
    /// `client_ca`.
    pub client_certificate_required: bool,
}

/// How much a listener takes on before it turns callers away.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ConnectionLimits {
    /// Connections at a time; further ones are closed at once.
    pub max_connections: usize,
    /// Calls under way at a time, over all connections; further ones are
    /// UNAVAILABLE at once.
    pub max_calls: usize,
    /// Calls under way at a time on one connection; HTTP/2 makes the client
    /// wait with further ones.
    pub max_streams: u32,
    /// How long a connection may live before the client is told to open
    /// another. None: for ever.
    pub max_connection_age: Option<Duration>,
    /// How long calls may go on after that.
    pub max_connection_age_grace: Duration,
    /// How long a silent connection is left alone before it is pinged.
    pub keepalive_interval: Duration,
    /// How long the answer to a ping may take.
    pub keepalive_timeout: Duration,
    /// How long a client may take to send a request whole, and to shake hands.
    pub receive_timeout: Duration,
}

impl Default for ConnectionLimits {
    fn default() -> Self {
        Self {
            max_connections: 10_000,
            max_calls: 10_000,
            max_streams: 1_024,
            max_connection_age: None,
            max_connection_age_grace: Duration::from_secs(30),
            keepalive_interval: Duration::from_secs(60),
            keepalive_timeout: Duration::from_secs(20),
            receive_timeout: Duration::from_secs(10),
        }
    }
}
