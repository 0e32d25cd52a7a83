//! What the process asks of the system: that its memory, in which tokens pass,
//! is not written to disk, room for connections, and to be told when to stop or to
//! read files again.

use std::io;

use rustix::process::{
    DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit,
};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Leaves no core dump, and keeps other processes of the same user from
/// reading this one's memory.
///
/// # Errors
///
/// What the system says.
pub fn keep_memory_private() -> io::Result<()> {
    let limited = setrlimit(
        Resource::Core,
        Rlimit {
            current: Some(0),
            maximum: Some(0),
        },
    );
    // Each helps without the other, and a sandbox may refuse the first.
    let hidden = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    Ok(limited.and(hidden)?)
}

/// Takes as many descriptors as the system lets it have: each connection needs
/// one, and the usual limit of 1,024 is soon reached.
///
/// # Errors
///
/// What the system says.
pub fn allow_many_connections() -> io::Result<()> {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(
        Resource::Nofile,
        Rlimit {
            current: limit.maximum,
            maximum: limit.maximum,
        },
    )?;
    Ok(())
}

/// Returns when the process is told to stop, by SIGTERM or SIGINT.
///
/// # Errors
///
/// The signals cannot be listened to.
pub async fn told_to_stop() -> io::Result<()> {
    let (mut terminate, mut interrupt) = (
        signal(SignalKind::terminate())?,
        signal(SignalKind::interrupt())?,
    );
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

/// The process's SIGHUPs, which tell it to read files again. (Without anybody
/// listening, one ends the process.)
#[derive(Debug)]
pub struct Hangups(Signal);

impl Hangups {
    /// Listens from now on. Must be called in a runtime.
    ///
    /// # Errors
    ///
    /// The signal cannot be listened to.
    pub fn listen() -> io::Result<Self> {
        signal(SignalKind::hangup()).map(Self)
    }

    /// Returns when there was one since the last.
    pub async fn next(&mut self) {
        if self.0.recv().await.is_none() {
            // The system tells no more of them: there are none.
            std::future::pending().await
        }
    }
}
