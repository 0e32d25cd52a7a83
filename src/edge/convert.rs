//! Between wire types and the domain's.

use crate::domain::clock::Timestamp;
use crate::domain::key::{KeyDraft, KeyState, RevocationReason};
use crate::domain::token::EnvironmentName;
use crate::domain::violation::Violations;
use crate::domain::workspace::{Workspace, WorkspaceDraft};
use crate::service::registry::KeyView;

use super::pb;

/// What the creator of a workspace asks for. Output-only fields are ignored.
pub(super) fn workspace_draft(workspace: pb::Workspace) -> WorkspaceDraft {
    WorkspaceDraft {
        id: workspace.id,
        display_name: workspace.display_name,
        token_prefix: workspace.token_prefix,
        environments: workspace.environments,
        default_environment: workspace.default_environment,
        unmarked_environment: workspace.unmarked_environment,
    }
}

/// A workspace as it is shown.
pub(super) fn workspace(workspace: Workspace) -> pb::Workspace {
    let name = |environment: Option<EnvironmentName>| {
        environment
            .map(|name| name.as_str().to_owned())
            .unwrap_or_default()
    };
    pb::Workspace {
        id: workspace.id.to_string(),
        display_name: workspace.display_name,
        token_prefix: workspace.token_prefix.as_str().to_owned(),
        environments: workspace
            .environments
            .iter()
            .map(|name| name.as_str().to_owned())
            .collect(),
        default_environment: name(workspace.default_environment),
        unmarked_environment: name(workspace.unmarked_environment),
        create_time: Some(wire_time(workspace.create_time)),
        created_by: workspace.created_by,
        ..pb::Workspace::default()
    }
}

/// What the issuer of a key asks for.
pub(super) fn key_draft(request: pb::CreateKeyRequest) -> KeyDraft {
    KeyDraft {
        workspace: request.workspace,
        environment: request.environment,
        principal: request.principal,
        name: request.name,
        description: request.description,
        scopes: request.scopes,
        metadata: request.metadata,
        expire_time: request.expire_time.map(read_time),
    }
}

/// A key as it is shown.
pub(super) fn key(view: KeyView) -> pb::Key {
    let key = view.key;
    let revocation = key.revocation.as_ref();
    let reason = revocation.map_or(pb::RevocationReason::Unspecified, |end| {
        wire_revocation_reason(end.reason)
    });
    pb::Key {
        id: key.id.to_string(),
        workspace: key.workspace.to_string(),
        environment: key
            .environment
            .map(|name| name.as_str().to_owned())
            .unwrap_or_default(),
        principal: key.principal,
        name: key.name,
        description: key.description,
        scopes: key.scopes.iter().map(ToString::to_string).collect(),
        metadata: key.metadata,
        state: wire_state(view.state).into(),
        hint: view.hint,
        create_time: Some(wire_time(key.create_time)),
        created_by: key.created_by,
        expire_time: key.expire_time.map(wire_time),
        revoke_time: revocation.map(|end| wire_time(end.time)),
        revocation_reason: reason.into(),
        revoked_by: revocation.map(|end| end.by.clone()).unwrap_or_default(),
        ..pb::Key::default()
    }
}

/// The reason that a wire value names. One that this keyward does not know is
/// refused: it would be lost.
pub(super) fn revocation_reason(value: i32) -> Result<RevocationReason, Violations> {
    match pb::RevocationReason::try_from(value) {
        Ok(pb::RevocationReason::Unspecified) => Ok(RevocationReason::Unspecified),
        Ok(pb::RevocationReason::Unused) => Ok(RevocationReason::Unused),
        Ok(pb::RevocationReason::Superseded) => Ok(RevocationReason::Superseded),
        Ok(pb::RevocationReason::PrivilegeWithdrawn) => Ok(RevocationReason::PrivilegeWithdrawn),
        Ok(pb::RevocationReason::Leaked) => Ok(RevocationReason::Leaked),
        Ok(pb::RevocationReason::Abused) => Ok(RevocationReason::Abused),
        Err(_) => {
            let mut violations = Violations::default();
            violations.add(
                "reason",
                format!("{value} is not a RevocationReason that this server knows"),
            );
            Err(violations)
        }
    }
}

const fn wire_revocation_reason(reason: RevocationReason) -> pb::RevocationReason {
    match reason {
        RevocationReason::Unspecified => pb::RevocationReason::Unspecified,
        RevocationReason::Unused => pb::RevocationReason::Unused,
        RevocationReason::Superseded => pb::RevocationReason::Superseded,
        RevocationReason::PrivilegeWithdrawn => pb::RevocationReason::PrivilegeWithdrawn,
        RevocationReason::Leaked => pb::RevocationReason::Leaked,
        RevocationReason::Abused => pb::RevocationReason::Abused,
    }
}

const fn wire_state(state: KeyState) -> pb::KeyState {
    match state {
        KeyState::Active => pb::KeyState::Active,
        KeyState::Expired => pb::KeyState::Expired,
        KeyState::Disabled => pb::KeyState::Disabled,
        KeyState::Revoked => pb::KeyState::Revoked,
    }
}

fn wire_time(time: Timestamp) -> prost_types::Timestamp {
    let micros = time.as_micros();
    prost_types::Timestamp {
        seconds: i64::try_from(micros / 1_000_000).unwrap_or(i64::MAX),
        nanos: i32::try_from(micros % 1_000_000 * 1_000).unwrap_or_default(),
    }
}

/// Keeps the microseconds; the rest is cut off, so that a key never lives
/// longer than was asked for. What is before 1970 is as far in the past as can
/// be, and what is no time at all is beyond [`Timestamp::MAX`]: both are told
/// of with whatever else is wrong with the key.
fn read_time(time: prost_types::Timestamp) -> Timestamp {
    const NO_TIME: Timestamp = Timestamp::from_micros(u64::MAX);
    let Ok(nanos) = u64::try_from(time.nanos) else {
        return NO_TIME;
    };
    if nanos >= 1_000_000_000 {
        return NO_TIME;
    }
    let seconds = u64::try_from(time.seconds).unwrap_or(0);
    let micros = seconds
        .checked_mul(1_000_000)
        .and_then(|micros| micros.checked_add(nanos / 1_000));
    micros.map_or(NO_TIME, Timestamp::from_micros)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_cut_to_the_microsecond_and_bounded() {
        let read = |seconds, nanos| read_time(prost_types::Timestamp { seconds, nanos });
        assert_eq!(read(1, 999_999_999).as_micros(), 1_999_999);
        assert_eq!(read(253_402_300_799, 999_999_999), Timestamp::MAX);
        assert_eq!(read(-1, 0).as_micros(), 0);
        for (seconds, nanos) in [
            (253_402_300_800, 0),
            (0, -1),
            (0, 1_000_000_000),
            (i64::MAX, 0),
            (18_446_744_073_709, 999_999_999),
        ] {
            assert!(read(seconds, nanos) > Timestamp::MAX, "{seconds} {nanos}");
        }
    }

    #[test]
    fn unknown_reasons_are_refused_and_known_ones_survive() {
        for value in 0..=5 {
            let reason = revocation_reason(value).unwrap();
            assert_eq!(i32::from(wire_revocation_reason(reason)), value);
        }
        assert!(revocation_reason(6).is_err());
        assert!(revocation_reason(-1).is_err());
    }
}
