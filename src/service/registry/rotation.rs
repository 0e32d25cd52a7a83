//! What the rotation of keys and of admin keys has in common: whether it can
//! start, and how its end is put off.

use std::time::Duration;

use crate::domain::clock::Timestamp;
use crate::domain::secret::{Rotation, Secret};

use super::super::error::{Condition, Kind, RegistryError};
use super::precondition;

/// A rotation of a key that is under way.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RotationView {
    /// What may be displayed of the new token.
    pub new_hint: String,
    /// What may be displayed of the old token.
    pub old_hint: String,
    /// When the new token was made.
    pub start_time: Timestamp,
    /// When the old token ends; none: some time after the first use of the new
    /// one.
    pub old_end_time: Option<Timestamp>,
    /// How long the old token was to work on.
    pub overlap: Duration,
}

impl RotationView {
    /// What can be said of `rotation`, whose tokens `hint` tells of.
    pub(super) fn new(rotation: Rotation<'_>, hint: impl Fn(&Secret) -> String) -> Self {
        Self {
            new_hint: hint(rotation.new),
            old_hint: hint(rotation.old),
            start_time: rotation.new.create_time,
            old_end_time: rotation.end.time(),
            overlap: rotation.end.overlap().unwrap_or_default(),
        }
    }
}

/// Refuses to replace a token while the one before it works too: it is not
/// known who still needs that. To end all of them at once is always possible:
/// that is what a leak takes.
pub(super) fn refuse_pending(
    secrets: &[Secret],
    overlap: Duration,
    now: Timestamp,
    kind: Kind,
    id: &str,
) -> Result<(), RegistryError> {
    match Rotation::of(secrets, now) {
        Some(rotation) if !overlap.is_zero() => {
            let until = rotation.end.time();
            Err(precondition(kind, id, Condition::RotationPending { until }))
        }
        Some(_) | None => Ok(()),
    }
}

/// A span as the audit log tells it.
pub(super) fn told(span: Duration) -> String {
    humantime::format_duration(span).to_string()
}
