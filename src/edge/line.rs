//! One connection, as its calls see it: how many there are, what room they have
//! taken, and when those that go on are to end.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use tokio::sync::watch;

use super::dialogue::Held;
use super::ending::Ending;
use super::limit::{Call, Tally};

/// What the calls of one connection share.
#[derive(Debug)]
pub(super) struct Line {
    /// Where the client is; none: on this machine, at a unix socket.
    pub(super) peer: Option<IpAddr>,
    pub(super) calls: Tally,
    pub(super) conversations: Tally,
    pub(super) health: Tally,
    /// How much of the listener's room they have, in bytes.
    pub(super) room: AtomicUsize,
    end: watch::Sender<bool>,
    /// Of which all others are copies, so that the end is news to each.
    ending: watch::Receiver<bool>,
}

impl Line {
    /// That of nobody yet.
    pub(super) fn new() -> Self {
        Self::of(None)
    }

    /// That of a new connection of `peer`.
    pub(super) fn of(peer: Option<IpAddr>) -> Self {
        let (end, ending) = watch::channel(false);
        Self {
            peer,
            calls: Tally::default(),
            conversations: Tally::default(),
            health: Tally::default(),
            room: AtomicUsize::new(0),
            end,
            ending,
        }
    }

    /// Has conversations come to their end.
    pub(super) fn end(&self) {
        self.end.send_replace(true);
    }

    /// When conversations are to come to their end.
    pub(super) fn ending(&self) -> Ending {
        Ending::new(self.ending.clone())
    }

    /// Whether an answer is being made or sent.
    pub(super) fn is_busy(&self) -> bool {
        self.calls.len() + self.health.len() > 0
    }

    /// Called once in a while, with the same time in between; true: a call, or
    /// its answer, has been there for longer than that.
    pub(super) fn is_stuck(&self) -> bool {
        // Both, for each takes note.
        let stuck = [self.calls.turn(), self.health.turn()];
        stuck.contains(&true)
    }
}

/// What a call that passed the gate is part of, for whoever answers it.
#[derive(Clone, Debug)]
pub(super) struct UnderWay {
    pub(super) line: Arc<Line>,
    /// Counted for as long as anybody holds it.
    pub(super) _call: Arc<Call>,
    /// To be told when no more of the request is read.
    pub(super) held: Held,
}
