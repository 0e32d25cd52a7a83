//! Audit events.

use crate::domain::audit::AuditEvent;
use crate::domain::violation::Violations;
use crate::service::registry::{AskedLog, ListAuditEvents, PageQuestion};

use super::{pb, read_filter_time, wire_time};

/// Which events are asked for, and which page of them.
pub(in crate::edge) fn question(
    request: pb::ListAuditEventsRequest,
) -> Result<(ListAuditEvents, PageQuestion), Violations> {
    let mut violations = Violations::default();
    let log = match request.log {
        None => AskedLog::All,
        Some(pb::list_audit_events_request::Log::System(_)) => AskedLog::System,
        Some(pb::list_audit_events_request::Log::Workspace(id)) => AskedLog::Workspace(id),
    };
    let filter = ListAuditEvents {
        log,
        actor: request.actor,
        resource: request.resource,
        action: request.action,
        start_time: read_filter_time(&mut violations, "start_time", request.start_time),
        end_time: read_filter_time(&mut violations, "end_time", request.end_time),
    };
    let page = PageQuestion {
        size: request.page_size,
        token: request.page_token,
    };
    violations.none().map(|()| (filter, page))
}

/// An event as it is shown.
pub(in crate::edge) fn shown(event: AuditEvent) -> pb::AuditEvent {
    pb::AuditEvent {
        workspace: event
            .workspace
            .map(|workspace| workspace.to_string())
            .unwrap_or_default(),
        sequence: event.sequence,
        time: Some(wire_time(event.time)),
        actor: event.actor,
        action: event.action,
        resource: event.resource,
        detail: event.detail,
    }
}
