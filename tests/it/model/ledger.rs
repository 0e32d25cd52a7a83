//! The promise of limits against a log of what has passed, whatever the model
//! says: in no window of its length does more than the count pass.

use std::collections::BTreeMap;

use super::slow::Key;
use super::words::{Ask, Layer, Reading};

/// All that has passed since the last start, by whose count it is, of the limit
/// of which name.
#[derive(Default)]
pub(super) struct Ledger(BTreeMap<(String, String), Log>);

#[derive(Default)]
struct Log {
    /// The window that was last seen.
    window: u64,
    /// When how much has passed.
    passed: Vec<(u64, u32)>,
}

impl Ledger {
    /// Nothing is known to count any more.
    pub(super) fn forget(&mut self) {
        self.0.clear();
    }

    /// Writes down what was told of the limits of a key in a workspace, and looks at the windows that end
    /// now; an error tells of one in which too much has passed. Whatever window there is ends with something that has passed, or has
    /// no more in it than one that does.
    pub(super) fn enter(
        &mut self,
        (key, place): (&Key, Option<&str>),
        ask: &Ask,
        limits: &[Reading],
        now: u64,
    ) -> Result<(), String> {
        let has_passed = !limits.iter().any(|reading| reading.denied);
        for reading in limits {
            let owner = match (reading.layer, place) {
                (Layer::Workspace, Some(workspace)) if key.workspace.is_none() => {
                    format!("{} in {workspace}", key.id)
                }
                (Layer::Key | Layer::Workspace, _) => key.id.clone(),
                (Layer::Principal, place) => format!("{} in {place:?}", key.principal),
            };
            let log = self.0.entry((owner, reading.name.clone())).or_default();
            if log.window != reading.window {
                // What has left the window of before is forgotten.
                let window = log.window;
                log.passed.retain(|(at, _)| now - at < window);
                log.window = reading.window;
            }
            if has_passed && ask.cost > 0 {
                log.passed.push((now, ask.cost));
                let within = log.passed.iter().filter(|(at, _)| now - at < log.window);
                let sum: u32 = within.map(|(_, cost)| cost).sum();
                if sum > reading.count {
                    return Err(format!("{sum} have passed in one window of {reading:?}"));
                }
            }
        }
        Ok(())
    }
}
