//! Puts together what metrics are told of.

use std::sync::Arc;

use crate::domain::clock::Timestamp;
use crate::index::{Index, Numbers};
use crate::metrics::admin::AdminCounts;
use crate::metrics::checks::CheckCounts;
use crate::metrics::commits::CommitCounts;
use crate::metrics::listeners::ListenerCounts;
use crate::metrics::{Metrics, Sources, Standing};
use crate::store::{Store, StoreHealth};

/// What is counted from the start on.
#[derive(Debug)]
pub(super) struct Metering {
    /// When the process started.
    pub(super) started: Timestamp,
    /// The checks.
    pub(super) checks: CheckCounts,
    /// The commits of the store.
    pub(super) commits: Arc<CommitCounts>,
    /// The listeners.
    pub(super) listeners: Vec<Arc<ListenerCounts>>,
}

impl Metering {
    /// No check was counted yet.
    pub(super) fn begin(
        started: Timestamp,
        commits: Arc<CommitCounts>,
        listeners: Vec<Arc<ListenerCounts>>,
    ) -> Self {
        Self {
            started,
            checks: CheckCounts::default(),
            commits,
            listeners,
        }
    }

    /// All of it, with what else there is to tell.
    pub(super) fn metrics(
        self,
        admin: Arc<AdminCounts>,
        index: &Arc<Index>,
        store: &Arc<dyn Store>,
    ) -> Metrics {
        let (index, health) = (Arc::clone(index), store.health());
        let standing = move || {
            let Numbers {
                keys,
                tokens,
                workspaces,
                principals,
            } = index.numbers();
            Standing {
                keys,
                tokens,
                workspaces,
                principals,
                revision: index.revision().0,
                sound: *health.borrow() == StoreHealth::Sound,
            }
        };
        Metrics::new(Sources {
            started: self.started,
            checks: self.checks,
            admin,
            commits: self.commits,
            listeners: self.listeners,
            standing: Box::new(standing),
        })
    }
}
