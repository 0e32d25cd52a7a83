//! The audit log, read backwards. An event that is missing, was exchanged, or
//! is not the one that those after it follow is told as damage.

use crate::domain::audit::{AuditEvent, AuditHead, AuditLog};
use crate::domain::digest::Sealer;
use crate::domain::id::WorkspaceId;
use crate::store::record::{self, AuditLink, readable};
use crate::store::{Damage, StoreError};

use super::engine::Engine;
use super::ledger::{events, open_one};
use super::read::unreadable;

/// What it takes to read and verify the audit log.
pub(super) struct AuditReader<'s, E> {
    pub(super) engine: &'s E,
    /// Opens records.
    pub(super) records: &'s Sealer,
    /// Makes the hashes by which each link knows the one before.
    pub(super) links: &'s Sealer,
}

impl<E: Engine> AuditReader<'_, E> {
    /// At most `limit` events of `log` from before `before` on, newest first.
    pub(super) fn events(
        &self,
        log: &AuditLog,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Vec<AuditEvent>, StoreError> {
        // How far the log goes is read before its events, of which there may
        // be more in a moment. It was verified when the store was loaded, so
        // that a tail that was cut off shows.
        match log {
            AuditLog::All => {
                let newest = self.newest()?;
                let place = record::audit_order_place;
                let range = Range::new(record::AUDIT_ORDER, newest, before, place);
                self.read(log, &range, limit, |_, link| link)
            }
            AuditLog::Of(workspace) => {
                let chain = workspace.as_ref().map_or("", WorkspaceId::as_str);
                let newest = self.head(chain)?.sequence;
                let place = |position| record::audit_place(chain, position);
                let range = Range::new(&record::audit_links_of(chain), newest, before, place);
                self.read(log, &range, limit, |link, _| link)
            }
        }
    }

    /// Reads `range` backwards; `link` tells from an entry where its link is.
    fn read(
        &self,
        log: &AuditLog,
        range: &Range,
        limit: usize,
        link: fn(Vec<u8>, Vec<u8>) -> Vec<u8>,
    ) -> Result<Vec<AuditEvent>, StoreError> {
        let mut events = Vec::new();
        let mut last = range.end;
        let entries = self.engine.scan_back(&range.prefix, Some(&range.end_place));
        for entry in entries.take(limit) {
            let (place, value) = entry.map_err(unreadable)?;
            let event = self.event(&link(place, value))?;
            let position = log.position(&event);
            // In each log, positions count up by one.
            if position + 1 != last {
                return Err(missing(&range.end_place).into());
            }
            last = position;
            events.push(event);
        }
        // The first position is 1.
        if events.len() < limit && last > 1 {
            return Err(missing(&range.end_place).into());
        }
        Ok(events)
    }

    /// The event whose link lies at `place`.
    fn event(&self, place: &[u8]) -> Result<AuditEvent, StoreError> {
        let odd = |problem: &str| broken(place, problem);
        let chain = record::chain_at(place).ok_or_else(|| odd("no event lies there"))?;
        let workspace = match chain {
            "" => None,
            id => Some(id.parse().map_err(|_| odd("it is of no workspace"))?),
        };
        let value = self.engine.get(place).map_err(unreadable)?;
        let value = value.ok_or_else(|| missing(place))?;
        let opened = open_one(self.records, place, &value)?;
        let link = record::decode_audit(workspace, opened.payload)
            .map_err(|error| Damage::Unreadable(readable(place), error.0))?;

        // Its seal fits one that was put back from another copy of the store,
        // too. What was written behind it does not.
        let hash = self.links.seal(place, &[opened.payload]).state;
        if self.followed(chain, link.event.sequence)? == hash {
            Ok(link.event)
        } else {
            Err(odd("it is not the event that the log goes on from").into())
        }
    }

    /// The hash of the link number `sequence` of `chain`, as what was written
    /// behind it has it. The link has been read before, so that the head is
    /// not behind it.
    fn followed(&self, chain: &str, sequence: u64) -> Result<[u8; 32], StoreError> {
        let head = self.head(chain)?;
        if head.sequence <= sequence {
            return Ok(head.hash);
        }
        let place = record::audit_place(chain, sequence + 1);
        let value = self.engine.get(&place).map_err(unreadable)?;
        let value = value.ok_or_else(|| missing(&place))?;
        let opened = open_one(self.records, &place, &value)?;
        record::decode_audit(None, opened.payload)
            .map(|AuditLink { previous, .. }| previous)
            .map_err(|error| Damage::Unreadable(readable(&place), error.0).into())
    }

    /// The number of the newest event: how many there are.
    fn newest(&self) -> Result<u64, StoreError> {
        let Some(value) = self.engine.get(record::STATE).map_err(unreadable)? else {
            return Ok(0);
        };
        let opened = open_one(self.records, record::STATE, &value)?;
        events(opened.payload)
            .map_err(|error| Damage::Unreadable(readable(record::STATE), error).into())
    }

    /// The newest link of `chain`.
    fn head(&self, chain: &str) -> Result<AuditHead, StoreError> {
        let place = record::audit_head_place(chain);
        let Some(value) = self.engine.get(&place).map_err(unreadable)? else {
            return Ok(AuditHead::default());
        };
        let opened = open_one(self.records, &place, &value)?;
        record::decode_audit_head(opened.payload)
            .map_err(|error| Damage::Unreadable(readable(&place), error.0).into())
    }
}

/// The entries of one log from its first to before a position.
struct Range {
    prefix: Vec<u8>,
    end: u64,
    end_place: Vec<u8>,
}

impl Range {
    /// Those before `before`, and not behind `newest`.
    fn new(
        prefix: &[u8],
        newest: u64,
        before: Option<u64>,
        place: impl FnOnce(u64) -> Vec<u8>,
    ) -> Self {
        let end = before.unwrap_or(u64::MAX).min(newest.saturating_add(1));
        Self {
            prefix: prefix.to_vec(),
            end,
            end_place: place(end),
        }
    }
}

fn missing(place: &[u8]) -> Damage {
    broken(place, "an event there, or before it, is missing")
}

fn broken(place: &[u8], problem: &str) -> Damage {
    Damage::AuditLog {
        place: readable(place),
        problem: problem.to_owned(),
    }
}
