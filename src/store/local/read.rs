//! Reads for operators: single records, and lists in the order of ids. Whatever
//! is read is verified.

use crate::domain::digest::Sealer;
use crate::store::record::{self, readable};
use crate::store::{Damage, List, Record, RecordId, StoreError, Versioned};

use super::engine::{Engine, EngineError};
use super::ledger::open_one;

/// The record at `place`.
pub(super) fn record<E: Engine>(
    engine: &E,
    sealer: &Sealer,
    place: &[u8],
) -> Result<Option<Versioned>, StoreError> {
    let Some(value) = engine.get(place).map_err(unreadable)? else {
        return Ok(None);
    };
    versioned(sealer, place, &value).map(Some)
}

/// At most `limit` records of `list` from behind `after` on.
pub(super) fn list<E: Engine>(
    engine: &E,
    sealer: &Sealer,
    list: &List,
    after: Option<&RecordId>,
    limit: usize,
) -> Result<Vec<Versioned>, StoreError> {
    let prefix = match list {
        List::Workspaces => record::WORKSPACES.to_vec(),
        List::AdminKeys => record::ADMIN_KEYS.to_vec(),
        List::Keys => record::KEYS.to_vec(),
        List::KeysOf(workspace) => record::postings_of(workspace),
        List::KeysOfPrincipal(principal) => record::postings_of_principal(principal),
        List::Principals => record::PRINCIPALS.to_vec(),
        List::Memberships => record::MEMBERSHIPS.to_vec(),
        List::MembershipsOf(workspace) => record::memberships_of(workspace),
        List::MembershipsOfPrincipal(principal) => record::memberships_of_principal(principal),
    };
    let after = match (list, after) {
        (_, None) => Vec::new(),
        (List::KeysOf(_) | List::KeysOfPrincipal(_), Some(RecordId::Key(id))) => {
            [prefix.as_slice(), id.to_string().as_bytes()].concat()
        }
        (List::MembershipsOfPrincipal(_), Some(RecordId::Membership(workspace, _))) => {
            [prefix.as_slice(), workspace.as_str().as_bytes()].concat()
        }
        (_, Some(id)) => record::place(id),
    };
    let mut records = Vec::new();
    for entry in engine.scan(&prefix, &after) {
        if records.len() == limit {
            break;
        }
        let (place, value) = entry.map_err(unreadable)?;
        match list {
            List::KeysOf(_) | List::KeysOfPrincipal(_) => {
                let id = record::key_at(&place).map(RecordId::Key);
                records.extend(posted(engine, sealer, &place, id)?);
            }
            List::MembershipsOfPrincipal(principal) => {
                let id = record::workspace_at(&place)
                    .map(|workspace| RecordId::Membership(workspace, principal.clone()));
                records.extend(posted(engine, sealer, &place, id)?);
            }
            List::Workspaces
            | List::AdminKeys
            | List::Keys
            | List::Principals
            | List::Memberships
            | List::MembershipsOf(_) => {
                records.push(versioned(sealer, &place, &value)?);
            }
        }
    }
    Ok(records)
}

/// The record `id`, which a posting names; none, if it was deleted since the
/// posting was read.
fn posted<E: Engine>(
    engine: &E,
    sealer: &Sealer,
    posting: &[u8],
    id: Option<RecordId>,
) -> Result<Option<Versioned>, StoreError> {
    let lost = || Damage::Unreadable(readable(posting), "it names nothing".to_owned());
    let place = record::place(&id.ok_or_else(lost)?);
    let found = record(engine, sealer, &place)?.ok_or_else(lost)?;
    if matches!(found.record, Record::Tombstone(_)) {
        return Ok(None);
    }
    let named = record::postings(&found.record);
    if named.iter().any(|own| own == posting) {
        Ok(Some(found))
    } else {
        Err(lost().into())
    }
}

fn versioned(sealer: &Sealer, place: &[u8], value: &[u8]) -> Result<Versioned, StoreError> {
    let opened = open_one(sealer, place, value)?;
    let record = record::decode(place, opened.payload)
        .map_err(|error| Damage::Unreadable(readable(place), error.0))?;
    Ok(Versioned {
        record,
        revision: opened.revision,
    })
}

/// What an engine that cannot be read is to whoever reads. One that the system
/// lets read or write no more has failed, whatever is in its files: the writer
/// will meet with that too, and lose the store, perhaps a moment later.
pub(super) fn unreadable(error: EngineError) -> StoreError {
    match error.system {
        Some(_) => StoreError::Unavailable,
        None => StoreError::Damaged(Damage::Files(error.text)),
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn a_full_disk_is_no_damage() {
        let full = EngineError::from(io::Error::from(io::ErrorKind::FileTooLarge));
        assert!(matches!(unreadable(full), StoreError::Unavailable));
        let damaged = EngineError::own("a page of the log is corrupt");
        assert!(matches!(unreadable(damaged), StoreError::Damaged(_)));
    }
}
