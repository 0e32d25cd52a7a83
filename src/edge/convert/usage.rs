//! How keys were used.

use std::net::IpAddr;

use crate::service::registry::UsageView;

use super::{pb, wire_time};

/// How a key was used, as it is shown.
pub(in crate::edge) fn shown(view: &UsageView) -> pb::KeyUsage {
    let usage = &view.usage;
    let last_denied = usage.denials.last;
    let denied = usage
        .denials
        .iter()
        .map(|(reason, count)| (reason.as_str().to_owned(), count));
    pb::KeyUsage {
        first_used_time: usage.first_used.map(wire_time),
        last_used_time: usage.last_used.map(wire_time),
        last_source_address: usage
            .source
            .as_ref()
            .map(IpAddr::to_string)
            .unwrap_or_default(),
        allowed: usage.allowed,
        denied: denied.collect(),
        last_denied_time: last_denied.map(|(time, _)| wire_time(time)),
        last_denial_reason: last_denied
            .map(|(_, reason)| reason.as_str().to_owned())
            .unwrap_or_default(),
        unexercised_scopes: view.unexercised.iter().map(ToString::to_string).collect(),
        old_token_last_used_time: view.old_token_used.map(wire_time),
        counted_since_time: view.counted_since.map(wire_time),
    }
}
