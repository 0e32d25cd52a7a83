//! Whose tokens were found.

use crate::service::registry::{Holder, IdentifiedToken, TokenState};

use super::pb::identified_token::Holder as Wire;
use super::{admin_key, key, pb, wire_time};

/// A token, as it is told of.
pub(in crate::edge) fn shown(token: IdentifiedToken) -> pb::IdentifiedToken {
    let state = match token.state {
        TokenState::Unknown => pb::TokenState::Unknown,
        TokenState::Live => pb::TokenState::Live,
        TokenState::Dormant => pb::TokenState::Dormant,
        TokenState::Ended => pb::TokenState::Ended,
        TokenState::NotTold => pb::TokenState::NotTold,
    };
    pb::IdentifiedToken {
        state: state.into(),
        holder: token.holder.map(|holder| match holder {
            Holder::Key(view) => Wire::Key(key::shown(*view)),
            Holder::Admin(view) => Wire::AdminKey(admin_key::shown(*view)),
        }),
        hint: token.hint,
        end_time: token.end_time.map(wire_time),
    }
}
