//! What the index holds of a key while it is being rotated, for each of its
//! two tokens.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::domain::clock::Timestamp;
use crate::domain::key::Key;
use crate::domain::secret::{End, Secret};

/// A rotation, as one of the two tokens finds it.
#[derive(Debug)]
pub struct Rotating {
    /// Whether the token is the one that is replaced.
    superseded: bool,
    /// When the replaced one ends; none: some time after the first use of the
    /// other.
    end_time: Option<Timestamp>,
    first_use: FirstUse,
}

impl Rotating {
    /// The rotation of `key`, as `secret` finds it; none, if it has none. One
    /// that is there can be over by its time, see [`Self::is_under_way`].
    pub(super) fn of(key: &Key, secret: &Secret) -> Option<Self> {
        let [old, _] = key.secrets.as_slice() else {
            return None;
        };
        let end_time = match old.end? {
            End::Ended => return None,
            End::At { time, .. } => Some(time),
            End::AfterFirstUse { .. } => None,
        };
        Some(Self {
            superseded: secret.digest == old.digest,
            end_time,
            first_use: FirstUse::default(),
        })
    }

    /// Whether the token is the one that is replaced.
    #[must_use]
    pub const fn superseded(&self) -> bool {
        self.superseded
    }

    /// When the replaced token ends; none: some time after the first use of
    /// the other.
    #[must_use]
    pub const fn end_time(&self) -> Option<Timestamp> {
        self.end_time
    }

    /// Whether both tokens work at `now`, as far as it is for them.
    #[must_use]
    pub fn is_under_way(&self, now: Timestamp) -> bool {
        self.end_time.is_none_or(|end| now < end)
    }

    /// Set if a use of the token is what the end of the other waits for.
    #[must_use]
    pub fn awaited_use(&self) -> Option<&FirstUse> {
        (!self.superseded && self.end_time.is_none()).then_some(&self.first_use)
    }
}

/// Whether somebody has taken it on to tell of the first use.
#[derive(Debug, Default)]
pub struct FirstUse(AtomicBool);

impl FirstUse {
    /// Takes it on; false: another has.
    #[must_use]
    pub fn claim(&self) -> bool {
        // Nothing else is read by what this says, so relaxed is enough. The
        // load first: of many checks of one key, only one is to write.
        !self.0.load(Ordering::Relaxed) && !self.0.swap(true, Ordering::Relaxed)
    }

    /// Leaves it to the next one.
    pub fn release(&self) {
        self.0.store(false, Ordering::Relaxed);
    }
}
