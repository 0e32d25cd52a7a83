//! The secrets of a record: what is kept of its tokens, and how one of them
//! replaces another.
//!
//! A record has at most two: the one that stands for it from now on, which is
//! the last, and the one before it. While both work, a rotation is under way.

use std::time::Duration;

use super::clock::Timestamp;
use super::digest::{PepperId, TokenDigest};
use super::import::Imported;

/// One token of a key, of which only the digest is kept.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Secret {
    /// The keyed digest of the token.
    pub digest: TokenDigest,
    /// The token's last four characters, for display. Of an imported one, which
    /// has a hint of its own, nothing.
    pub tail: [u8; 4],
    /// When it was minted.
    pub create_time: Timestamp,
    /// The pepper that the digest is keyed by.
    pub pepper_id: PepperId,
    /// When the token stops working, if before its key does.
    pub end: Option<End>,
    /// Set if another product has minted it.
    pub imported: Option<Imported>,
}

/// When a token stops working that was replaced, or that was to replace
/// another.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    /// It has stopped, and no clock gets to say otherwise.
    Ended,
    /// At a time.
    At {
        /// The first moment at which it is dead.
        time: Timestamp,
        /// How long it was to work on.
        overlap: Duration,
    },
    /// So long after the first use of the token that replaces it.
    AfterFirstUse {
        /// How long it works on then.
        overlap: Duration,
    },
}

impl End {
    /// The end of what works on for `overlap` from `start` on, but no longer
    /// than its key does, as it is to be noted at `now`: what is not in the
    /// future has come, so that no clock has to agree.
    #[must_use]
    pub fn after(
        overlap: Duration,
        start: Timestamp,
        expiry: Option<Timestamp>,
        now: Timestamp,
    ) -> Self {
        let end = start.saturating_add(overlap);
        let time = expiry.map_or(end, |expiry| expiry.min(end));
        if time <= now {
            Self::Ended
        } else {
            Self::At { time, overlap }
        }
    }

    /// How long the token was to work on, as long as it may.
    #[must_use]
    pub const fn overlap(self) -> Option<Duration> {
        match self {
            Self::Ended => None,
            Self::At { overlap, .. } | Self::AfterFirstUse { overlap } => Some(overlap),
        }
    }

    /// The first moment at which the token is dead; none: it is not known yet.
    #[must_use]
    pub const fn time(self) -> Option<Timestamp> {
        match self {
            // Before any moment that a clock can give.
            Self::Ended => Some(Timestamp::from_micros(0)),
            Self::At { time, .. } => Some(time),
            Self::AfterFirstUse { .. } => None,
        }
    }
}

impl Secret {
    /// Whether the token still stands for its key at `now`.
    #[must_use]
    pub fn is_live(&self, now: Timestamp) -> bool {
        self.end_time().is_none_or(|end| now < end)
    }

    /// The first moment at which the token is dead; none: with its key, or it
    /// is not known yet.
    #[must_use]
    pub fn end_time(&self) -> Option<Timestamp> {
        self.end.and_then(End::time)
    }

    fn ending(&self, end: Option<End>) -> Self {
        Self {
            end,
            ..self.clone()
        }
    }
}

/// The secrets of a record once `newest` has taken the place of the one that
/// stood for it, which gets this `end`. Those before it are not kept: what is
/// not needed to tell whose a token was is not held.
#[must_use]
pub fn rotated(secrets: &[Secret], newest: Secret, end: End) -> Vec<Secret> {
    let replaced = secrets.last().map(|last| last.ending(Some(end)));
    replaced.into_iter().chain([newest]).collect()
}

/// A rotation that is under way: two tokens, both of which work.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rotation<'a> {
    /// The one that is replaced.
    pub old: &'a Secret,
    /// When that one stops working.
    pub end: End,
    /// The one that replaces it.
    pub new: &'a Secret,
}

impl<'a> Rotation<'a> {
    /// The rotation that is under way at `now`, if there is one.
    #[must_use]
    pub fn of(secrets: &'a [Secret], now: Timestamp) -> Option<Self> {
        let [old, new] = secrets else { return None };
        let end = old.end.filter(|_| old.is_live(now))?;
        Some(Self { old, end, new })
    }

    /// The secrets once the old token has stopped working.
    #[must_use]
    pub fn finished(self) -> Vec<Secret> {
        vec![self.old.ending(Some(End::Ended)), self.new.clone()]
    }

    /// The secrets once the new token has stopped working, and the old one
    /// works on as if there had been no other.
    #[must_use]
    pub fn cancelled(self) -> Vec<Secret> {
        vec![self.new.ending(Some(End::Ended)), self.old.ending(None)]
    }

    /// The secrets once the new token was first used at `used`, if that is
    /// what the old one's end waits for.
    #[must_use]
    pub fn first_used(
        self,
        used: Timestamp,
        expiry: Option<Timestamp>,
        now: Timestamp,
    ) -> Option<Vec<Secret>> {
        match self.end {
            End::AfterFirstUse { overlap } => {
                let end = End::after(overlap, used, expiry, now);
                Some(vec![self.old.ending(Some(end)), self.new.clone()])
            }
            End::Ended | End::At { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(24 * 60 * 60);

    const fn at(seconds: u64) -> Timestamp {
        Timestamp::from_micros(seconds * 1_000_000)
    }

    fn secret(number: u8) -> Secret {
        Secret {
            digest: TokenDigest([number; 32]),
            tail: [b'a' + number; 4],
            create_time: at(u64::from(number)),
            pepper_id: PepperId([0; 8]),
            end: None,
            imported: None,
        }
    }

    fn ending(number: u8, end: End) -> Secret {
        secret(number).ending(Some(end))
    }

    #[test]
    fn an_overlap_ends_with_the_key_and_is_over_once_it_is_not_in_the_future() {
        let now = at(100);
        let end = |overlap, start, expiry| {
            End::after(Duration::from_secs(overlap), at(start), expiry, now)
        };
        let until = |time, overlap| End::At {
            time: at(time),
            overlap: Duration::from_secs(overlap),
        };
        assert_eq!(end(10, 100, None), until(110, 10));
        assert_eq!(end(10, 100, Some(at(105))), until(105, 10));
        assert_eq!(end(10, 100, Some(at(111))), until(110, 10));
        assert_eq!(end(0, 100, None), End::Ended);
        assert_eq!(end(10, 90, None), End::Ended);
        assert_eq!(end(10, 91, None), until(101, 10));
        assert_eq!(end(10, 100, Some(now)), End::Ended);
    }

    #[test]
    fn a_token_lives_until_its_end() {
        let until = End::At {
            time: at(5),
            overlap: DAY,
        };
        let pending = End::AfterFirstUse { overlap: DAY };
        for (end, live, dead) in [
            (None, Some(at(u32::MAX.into())), None),
            (Some(until), Some(at(4)), Some(at(5))),
            (Some(pending), Some(at(u32::MAX.into())), None),
            // Whatever a clock says.
            (Some(End::Ended), None, Some(Timestamp::from_micros(0))),
        ] {
            let secret = secret(1).ending(end);
            assert!(live.is_none_or(|now| secret.is_live(now)), "{end:?}");
            assert!(!dead.is_some_and(|now| secret.is_live(now)), "{end:?}");
        }
    }

    #[test]
    fn a_record_keeps_the_newest_two() {
        let mut secrets = vec![secret(0)];
        for number in 1..4 {
            secrets = rotated(&secrets, secret(number), End::Ended);
            assert_eq!(
                secrets,
                [ending(number - 1, End::Ended), secret(number)],
                "{number}"
            );
        }
    }

    #[test]
    fn a_rotation_is_under_way_while_the_old_token_works() {
        let until = End::At {
            time: at(50),
            overlap: DAY,
        };
        let secrets = rotated(&[secret(0)], secret(1), until);
        let rotation = Rotation::of(&secrets, at(49)).unwrap();
        assert_eq!((rotation.old, rotation.new), (&secrets[0], &secrets[1]));
        assert_eq!(Rotation::of(&secrets, at(50)), None);
        assert_eq!(rotation.finished(), [ending(0, End::Ended), secret(1)]);
        assert_eq!(Rotation::of(&rotation.finished(), at(0)), None);
        // The one that goes on is the one that stands for the key again.
        assert_eq!(rotation.cancelled(), [ending(1, End::Ended), secret(0)]);
        assert_eq!(Rotation::of(&rotation.cancelled(), at(0)), None);
        assert_eq!(rotation.first_used(at(20), None, at(20)), None);
        assert_eq!(Rotation::of(&[secret(0)], at(0)), None);
        assert_eq!(
            Rotation::of(&rotated(&[secret(0)], secret(1), End::Ended), at(0)),
            None
        );
    }

    #[test]
    fn the_first_use_is_what_a_pending_end_waits_for() {
        let overlap = Duration::from_secs(10);
        let secrets = rotated(&[secret(0)], secret(1), End::AfterFirstUse { overlap });
        let rotation = Rotation::of(&secrets, at(1_000_000)).unwrap();
        let used = |used, expiry, now| rotation.first_used(at(used), expiry, at(now)).unwrap();
        let until = |time| End::At {
            time: at(time),
            overlap,
        };
        assert_eq!(used(20, None, 21), [ending(0, until(30)), secret(1)]);
        assert_eq!(
            used(20, Some(at(25)), 21),
            [ending(0, until(25)), secret(1)]
        );
        // It was long until that could be noted.
        assert_eq!(used(20, None, 30), [ending(0, End::Ended), secret(1)]);
        let secrets = used(20, None, 21);
        let again = Rotation::of(&secrets, at(22)).unwrap();
        assert_eq!(again.first_used(at(22), None, at(22)), None);
    }
}
