//! What keys stand on: their workspace, their principal, and its membership
//! there. A key without one of them is damage.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};

use super::{Damage, Record};
use crate::domain::key::Key;

/// What was loaded so far that keys can stand on. It holds hashes, which are
/// others in each process, as there can be very many.
#[derive(Default)]
pub(super) struct Ground {
    hasher: RandomState,
    held: HashSet<u64>,
}

impl Ground {
    /// Takes note of a record, or looks at what it stands on. What keys stand on
    /// comes before all of them. A membership that was removed is there, too.
    pub(super) fn pass(&mut self, record: &Record) -> Result<(), Damage> {
        let place = match record {
            Record::Workspace(workspace) => Place::Workspace(workspace.id.as_str()),
            Record::Principal(principal) => Place::Principal(&principal.id),
            Record::Membership(membership) => {
                Place::Membership(membership.workspace.as_str(), &membership.principal)
            }
            Record::Key(key) => return self.carries(key),
            Record::AdminKey(_)
            | Record::Credits(_)
            | Record::Request(_)
            | Record::Usage(_)
            | Record::Tombstone(_) => return Ok(()),
        };
        self.held.insert(self.hasher.hash_one(place));
        Ok(())
    }

    fn carries(&self, key: &Key) -> Result<(), Damage> {
        let has = |place| self.held.contains(&self.hasher.hash_one(place));
        let principal = key.principal.as_str();
        let workspace = key.workspace().map(|id| id.as_str());
        let missing = match workspace {
            _ if !has(Place::Principal(principal)) => "its principal",
            Some(workspace) if !has(Place::Workspace(workspace)) => "its workspace",
            Some(workspace) if !has(Place::Membership(workspace, principal)) => {
                "its principal's membership in its workspace"
            }
            Some(_) | None => return Ok(()),
        };
        let place = format!("k/{}", key.id);
        Err(Damage::Unreadable(place, format!("{missing} is missing")))
    }
}

#[derive(Hash)]
enum Place<'a> {
    Workspace(&'a str),
    Principal(&'a str),
    Membership(&'a str, &'a str),
}
