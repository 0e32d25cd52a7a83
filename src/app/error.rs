//! Why a server does not start, and why one stops that was not told to.

use std::io;

use thiserror::Error;

use crate::edge::listener::Address;
use crate::edge::server::ServeError;
use crate::edge::tls::TlsError;
use crate::store::OpenError;

/// A server was not started.
#[derive(Debug, Error)]
pub enum StartError {
    /// An address is not to be had.
    #[error(
        "cannot listen on {address}: {error}; stop what has it, or name another with --check-listen, --admin-listen, \
         --http-listen or --metrics-listen"
    )]
    Bind {
        /// The address.
        address: Address,
        /// What the system says.
        error: io::Error,
    },
    /// A listener would send tokens in clear over a network.
    #[error(
        "{0} can be reached from other machines, and tokens would cross the network in clear: give the listener a \
         certificate and a key, listen on a loopback address or a unix socket, or say with --encrypted-elsewhere that \
         something else encrypts the traffic"
    )]
    Unencrypted(Address),
    /// A listener cannot encrypt as it should.
    #[error("the {listener} listener: {error}")]
    Tls {
        /// Which one: `check`, `admin` or `http`.
        listener: &'static str,
        /// What is wrong with its files.
        error: TlsError,
    },
    /// The system gives no threads, or no signals.
    #[error("cannot run on this system: {0}")]
    System(io::Error),
    /// The store cannot be served.
    #[error(transparent)]
    Store(#[from] OpenError),
}

/// A server stopped other than by being told to.
#[derive(Debug, Error)]
pub enum RunError {
    /// The store was lost, and the grace is over.
    #[error("the store was lost; start keyward again once its disk is well")]
    StoreLost,
    /// A listener is not served any more.
    #[error("a listener failed: {0}")]
    Serve(#[from] ServeError),
    /// The descriptors for reflection cannot be read.
    #[error("reflection: {0}")]
    Reflection(#[from] tonic_reflection::server::Error),
    /// A thread of the server has panicked.
    #[error("a thread of the server has died; its panic is in the log")]
    ThreadDied,
}
