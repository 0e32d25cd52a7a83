//! What is counted of a gateway's decisions, on one thread.

use crate::metrics::checks::{Asked, Cause, CheckCounts, Interface, Open};

use super::Decision;

/// Counts the decisions of one kind of gateway.
#[derive(Clone, Debug)]
pub(in crate::edge) struct GatewayCounts {
    pub(super) counts: CheckCounts,
    pub(super) interface: Interface,
}

impl Default for GatewayCounts {
    /// They are told to nobody.
    fn default() -> Self {
        Self {
            counts: CheckCounts::default(),
            interface: Interface::ExtAuthz,
        }
    }
}

impl GatewayCounts {
    /// The same for another thread.
    pub(super) fn for_thread(&self) -> Self {
        Self {
            counts: self.counts.for_thread(),
            ..*self
        }
    }

    /// There is a decision.
    pub(super) fn decided(&self, decision: &Decision) {
        match decision.counted() {
            Some(decided) => self.counts.decided(self.interface, decided),
            None => self
                .counts
                .undecided(self.interface, Cause::CreditsUnavailable),
        }
    }

    /// There will be one, or none.
    pub(super) fn open(&self) -> Open {
        self.counts.open(self.interface)
    }

    /// What was asked cannot be read.
    pub(in crate::edge) fn unreadable(&self) {
        self.counts.undecided(self.interface, Cause::Unreadable);
    }

    /// What was asked then has its answer.
    pub(in crate::edge) fn answered(&self, asked: Asked) {
        asked.answered(&self.counts, self.interface);
    }
}
