//! The promise of limits against a log of what has passed, whatever the model
//! says: in no window of its length does more than the count pass.

use super::words::{Answer, Layer, Verdict};

/// All that has passed since the last start.
#[derive(Default)]
pub(super) struct Ledger(Vec<Passed>);

/// What has passed on one limit.
struct Passed {
    at: u64,
    key: String,
    name: String,
    /// The workspace, where a count is of one.
    within: Option<String>,
    cost: u32,
}

impl Ledger {
    /// Nothing counts any more.
    pub(super) fn forget(&mut self) {
        self.0.clear();
    }

    /// Writes down what has passed, and looks at the window that ends with it.
    /// Whatever window there is ends with something that has passed, or has no
    /// more in it than one that does.
    pub(super) fn enter(&mut self, answer: &Answer, cost: u32, now: u64, personal: bool) {
        let Verdict::Allowed(told) = &answer.verdict else {
            return;
        };
        for reading in answer.limits.iter().filter(|_| cost > 0) {
            let within = personal && reading.layer == Layer::Workspace;
            let passed = Passed {
                at: now,
                key: told.key_id.clone(),
                name: reading.name.clone(),
                within: within.then(|| told.workspace.clone()),
                cost,
            };
            let same = |other: &&Passed| {
                other.key == passed.key
                    && other.name == passed.name
                    && other.within == passed.within
                    && now - other.at < reading.window
            };
            let before: u32 = self.0.iter().filter(same).map(|other| other.cost).sum();
            assert!(
                before + cost <= reading.count,
                "{before} and {cost} have passed in a window of {reading:?}"
            );
            self.0.push(passed);
        }
    }
}
