//! The audit log, read backwards, page by page.

use std::sync::Arc;
use std::time::Duration;

use crate::domain::admin::{Deed, Place};
use crate::domain::audit::{AuditEvent, AuditLog};
use crate::domain::audit_filter::check_action;
use crate::domain::clock::Timestamp;
use crate::domain::id::WorkspaceId;
use crate::store::Revision;

use super::super::admission::Actor;
use super::super::error::{Kind, RegistryError};
use super::walk::{CHUNK, MAX_LOOKED_AT, Page, PageQuestion};
use super::{Registry, blocking, workspace_id};

/// How long all events that are looked at for one page may be together, in
/// bytes: a reply is well below what gRPC clients take in one message.
const MAX_LOOKED_AT_LEN: usize = 2 * 1024 * 1024;

/// Changes are timed before they are ordered: an event can be this much older
/// than one that was committed before it.
const DISORDER: Duration = Duration::from_secs(60);

/// Which events to list: those that fit all of it.
#[derive(Clone, Debug)]
pub struct ListAuditEvents {
    /// Whose log; a workspace by the id that the caller gave.
    pub log: AskedLog,
    /// Only what this actor did; empty: any.
    pub actor: String,
    /// Only what was done to this; empty: anything.
    pub resource: String,
    /// Only this action, or all that start so if it ends with a dot; empty:
    /// any.
    pub action: String,
    /// Only what was done at this time or later.
    pub start_time: Option<Timestamp>,
    /// Only what was done before this time.
    pub end_time: Option<Timestamp>,
}

/// A log as a caller names it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum AskedLog {
    /// All that the caller may read.
    All,
    /// The system's own.
    System,
    /// That of the workspace with this id.
    Workspace(String),
}

impl ListAuditEvents {
    fn fits(&self, event: &AuditEvent) -> bool {
        let action = if self.action.ends_with('.') {
            event.action.starts_with(&self.action)
        } else {
            self.action.is_empty() || self.action == event.action
        };
        action
            && (self.actor.is_empty() || self.actor == event.actor)
            && (self.resource.is_empty() || self.resource == event.resource)
            && self.start_time.is_none_or(|start| event.time >= start)
            && self.end_time.is_none_or(|end| event.time < end)
    }

    /// Whether all that comes before `event` is too old to fit.
    fn is_over(&self, event: &AuditEvent) -> bool {
        self.start_time
            .is_some_and(|start| event.time.saturating_add(DISORDER) < start)
    }

    /// Whether it leaves any event out.
    fn is_selective(&self) -> bool {
        !(self.actor.is_empty()
            && self.resource.is_empty()
            && self.action.is_empty()
            && self.start_time.is_none()
            && self.end_time.is_none())
    }
}

impl Registry {
    /// Lists audit events, newest first.
    ///
    /// # Errors
    ///
    /// [`RegistryError::Invalid`], [`RegistryError::NotFound`] for a workspace
    /// that never was, or the caller may not, or the store fails.
    pub async fn list_audit_events(
        &self,
        actor: &Actor,
        filter: ListAuditEvents,
        question: PageQuestion,
    ) -> Result<Page<AuditEvent>, RegistryError> {
        let log = readable_log(actor, &filter.log)?;
        check_action("action", &filter.action)?;
        let name = format!("audit\0{log:?}\0{filter:?}");
        let (size, before) = self.read_question::<u64>(&name, &question)?;
        let mut left = if filter.is_selective() {
            MAX_LOOKED_AT
        } else {
            size
        };
        let (mut items, mut length, mut last) = (Vec::new(), 0, before);
        'page: loop {
            let wanted = left.min(CHUNK);
            // One more than is looked at tells whether there is more.
            let chunk = self.events(&log, last, wanted + 1).await?;
            if let (AuditLog::Of(Some(id)), None, []) = (&log, last, &*chunk) {
                return Err(actor.absent(Kind::Workspace, id.as_str()));
            }
            let is_last = chunk.len() <= wanted;
            for event in chunk.into_iter().take(wanted) {
                if items.len() == size || length > MAX_LOOKED_AT_LEN {
                    break 'page;
                }
                if filter.is_over(&event) {
                    last = None;
                    break 'page;
                }
                left -= 1;
                length += text_len(&event);
                last = Some(log.position(&event));
                items.extend(Some(event).filter(|event| filter.fits(event)));
            }
            if is_last {
                last = None;
                break;
            }
            if left == 0 {
                break;
            }
        }
        let next_page_token = match last {
            Some(last) => self.pager.token(&name, &last.to_string()),
            None => String::new(),
        };
        Ok(Page {
            items,
            next_page_token,
        })
    }
}

impl Registry {
    /// Some events of `log` from before `before` on, which every check judges
    /// by.
    async fn events(
        &self,
        log: &AuditLog,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Vec<AuditEvent>, RegistryError> {
        let (store, log) = (Arc::clone(&self.store), log.clone());
        let events = blocking(move || store.audit(&log, before, limit))
            .await?
            .map_err(|error| RegistryError::from_store(&error, Kind::Workspace, ""))?;
        let newest = events.iter().map(|event| event.revision).max();
        self.settled(Revision(newest.unwrap_or(0))).await?;
        Ok(events)
    }
}

/// The log that is meant, if the caller may read it. That of a deleted
/// workspace stays.
fn readable_log(actor: &Actor, asked: &AskedLog) -> Result<AuditLog, RegistryError> {
    let deed = Deed::ReadAudit;
    match (asked, actor.workspace()) {
        (AskedLog::All, None) => actor.may(deed).map(|()| AuditLog::All),
        (AskedLog::All, Some(own)) => own_log(actor, own),
        (AskedLog::System, _) => actor.may(deed).map(|()| AuditLog::Of(None)),
        (AskedLog::Workspace(id), _) => own_log(actor, &workspace_id(id, "workspace")?),
    }
}

fn own_log(actor: &Actor, id: &WorkspaceId) -> Result<AuditLog, RegistryError> {
    let place = Place::Workspace(id);
    actor.may_at(Deed::ReadAudit, place, Kind::Workspace, id.as_str())?;
    Ok(AuditLog::Of(Some(id.clone())))
}

/// About how long an event is on the wire, in bytes.
fn text_len(event: &AuditEvent) -> usize {
    /// Numbers, times, names, tags and lengths.
    const FIXED: usize = 250;
    let detail = event.detail.iter();
    FIXED
        + detail
            .map(|(name, value)| name.len() + value.len() + 6)
            .sum::<usize>()
}
