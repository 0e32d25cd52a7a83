//! How keys were used, in a group of commits: put together with what is stored
//! of it, and taken away with its key.

use crate::domain::id::KeyId;
use crate::domain::tombstone::{Buried, Tombstone};
use crate::domain::usage::Usage;
use crate::store::local::engine::Engine;
use crate::store::local::work::Work;
use crate::store::record;
use crate::store::{Record, RecordId, Revision};

use super::{Found, Group, Halt, Step};

impl<E: Engine> Group<'_, E> {
    /// Puts how keys were used, as `work` says, and takes away what is known of
    /// those that it deletes.
    pub(super) fn put_usages(
        &self,
        step: &mut Step,
        revision: Revision,
        work: &Work,
    ) -> Result<(), Halt> {
        for write in &work.writes {
            if let Record::Tombstone(Tombstone {
                of: Buried::Key { id, .. },
                ..
            }) = &write.record
            {
                self.take_usage(step, *id)?;
            }
        }
        let mut usages = work.usages.iter();
        usages.try_for_each(|usage| self.put_usage(step, revision, usage))
    }

    /// Puts how a key was used, if the key is there.
    fn put_usage(&self, step: &mut Step, revision: Revision, usage: &Usage) -> Result<(), Halt> {
        let id = RecordId::Usage(usage.key);
        let (merged, replaced) = match self.found(&id)? {
            Some(Found {
                record: Record::Usage(stored),
                seal,
                ..
            }) => (stored.merged(usage), Some(seal)),
            // It goes together with its key: only of one without need that be
            // looked for.
            _ if usage.key == KeyId::NOBODY || self.has_key(usage.key)? => (usage.clone(), None),
            _ => return Ok(()),
        };
        let payload = record::encode(&Record::Usage(merged));
        let place = record::place(&id);
        self.put(step, &place, revision, &payload, replaced.as_ref())
    }

    fn has_key(&self, key: KeyId) -> Result<bool, Halt> {
        let found = self.found(&RecordId::Key(key))?;
        Ok(found.is_some_and(|found| matches!(found.record, Record::Key(_))))
    }

    /// Takes away how a key was used, if anything is known of that.
    fn take_usage(&self, step: &mut Step, key: KeyId) -> Result<(), Halt> {
        let place = record::place(&RecordId::Usage(key));
        if let Some(value) = self.read(&place)? {
            step.digest -= &self.ledger.open(&place, &value)?.seal;
            step.entries.push((place, None));
        }
        Ok(())
    }
}
