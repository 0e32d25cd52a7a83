//! Reads for operators: single records, lists in the order of ids, and the
//! audit log backwards. Whatever is read is verified.

use crate::domain::audit::{AuditEvent, AuditHead, AuditLog};
use crate::domain::digest::Sealer;
use crate::domain::id::WorkspaceId;
use crate::store::record::{self, readable};
use crate::store::{Damage, List, Record, RecordId, Revision, StoreError, Versioned};

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
    };
    let after = match (list, after) {
        (_, None) => Vec::new(),
        (List::KeysOf(_), Some(RecordId::Key(id))) => {
            [prefix.as_slice(), id.to_string().as_bytes()].concat()
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
            List::KeysOf(workspace) => {
                records.extend(posted(engine, sealer, &place, workspace)?);
            }
            List::Workspaces | List::AdminKeys | List::Keys => {
                records.push(versioned(sealer, &place, &value)?);
            }
        }
    }
    Ok(records)
}

/// The key that a posting in the list of `workspace` names; none, if it was
/// deleted since the posting was read.
fn posted<E: Engine>(
    engine: &E,
    sealer: &Sealer,
    posting: &[u8],
    workspace: &WorkspaceId,
) -> Result<Option<Versioned>, StoreError> {
    let lost = || Damage::Unreadable(readable(posting), "it names no key".to_owned());
    let id = record::key_at(posting).ok_or_else(lost)?;
    let found = record(engine, sealer, &record::place(&RecordId::Key(id)))?.ok_or_else(lost)?;
    match &found.record {
        Record::Key(key) if key.workspace == *workspace => Ok(Some(found)),
        Record::Tombstone(_) => Ok(None),
        Record::Key(_) | Record::Workspace(_) | Record::AdminKey(_) | Record::Request(_) => {
            Err(lost().into())
        }
    }
}

/// At most `limit` events of `log`, newest first.
pub(super) fn audit<E: Engine>(
    engine: &E,
    sealer: &Sealer,
    log: &AuditLog,
    before: Option<u64>,
    limit: usize,
) -> Result<Vec<AuditEvent>, StoreError> {
    match log {
        AuditLog::All => all_events(engine, sealer, before, limit),
        AuditLog::Of(workspace) => chain_events(engine, sealer, workspace.as_ref(), before, limit),
    }
}

fn all_events<E: Engine>(
    engine: &E,
    sealer: &Sealer,
    before: Option<u64>,
    limit: usize,
) -> Result<Vec<AuditEvent>, StoreError> {
    let end = before.map(|revision| record::audit_order_place(Revision(revision)));
    let mut events: Vec<AuditEvent> = Vec::new();
    let entries = engine.scan_back(record::AUDIT_ORDER, end.as_deref());
    for entry in entries.take(limit) {
        let (_, place) = entry.map_err(unreadable)?;
        let event = event(engine, sealer, &place)?;
        // Each commit writes one event, so there is one for each revision.
        let next = events.last().map_or(before, |last| Some(last.revision));
        refuse_gap(&place, next, event.revision)?;
        events.push(event);
    }
    Ok(events)
}

fn chain_events<E: Engine>(
    engine: &E,
    sealer: &Sealer,
    workspace: Option<&WorkspaceId>,
    before: Option<u64>,
    limit: usize,
) -> Result<Vec<AuditEvent>, StoreError> {
    let chain = workspace.map(WorkspaceId::as_str).unwrap_or_default();
    // Read before the links, of which there may be more in a moment. It is
    // loaded and part of the state digest, so that a tail that was cut off
    // shows.
    let newest = head(engine, sealer, chain)?.sequence;
    let end = before.unwrap_or(newest + 1).min(newest + 1);
    let (links, end_place) = (
        record::audit_links_of(chain),
        record::audit_place(chain, end),
    );
    let mut expected = end;
    let mut events = Vec::new();
    let entries = engine.scan_back(&links, Some(&end_place));
    for entry in entries.take(limit) {
        let (place, _) = entry.map_err(unreadable)?;
        let event = event(engine, sealer, &place)?;
        refuse_gap(&place, Some(expected), event.sequence)?;
        expected = event.sequence;
        events.push(event);
    }
    if events.len() < limit && expected > 1 {
        return Err(gap(&end_place).into());
    }
    Ok(events)
}

fn head<E: Engine>(engine: &E, sealer: &Sealer, chain: &str) -> Result<AuditHead, StoreError> {
    let place = record::audit_head_place(chain);
    let Some(value) = engine.get(&place).map_err(unreadable)? else {
        return Ok(AuditHead::default());
    };
    let opened = open_one(sealer, &place, &value)?;
    record::decode_audit_head(opened.payload)
        .map_err(|error| Damage::Unreadable(readable(&place), error.0).into())
}

/// The event whose link lies at `place`.
fn event<E: Engine>(engine: &E, sealer: &Sealer, place: &[u8]) -> Result<AuditEvent, StoreError> {
    let value = engine
        .get(place)
        .map_err(unreadable)?
        .ok_or_else(|| gap(place))?;
    let opened = open_one(sealer, place, &value)?;
    let workspace = record::chain_at(place)
        .filter(|chain| !chain.is_empty())
        .map(|chain| chain.parse())
        .transpose()
        .map_err(|_| Damage::Unreadable(readable(place), "it is of no chain".to_owned()))?;
    record::decode_audit(workspace, opened.payload)
        .map_err(|error| Damage::Unreadable(readable(place), error.0).into())
}

/// Positions are counted down by one each.
fn refuse_gap(place: &[u8], behind: Option<u64>, found: u64) -> Result<(), StoreError> {
    match behind {
        Some(behind) if found + 1 != behind => Err(gap(place).into()),
        Some(_) | None => Ok(()),
    }
}

fn gap(place: &[u8]) -> Damage {
    Damage::Unreadable(
        readable(place),
        "an event of the audit log beside it is missing".to_owned(),
    )
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

fn unreadable(error: EngineError) -> StoreError {
    StoreError::Damaged(Damage::Files(error.text))
}
