//! What is round every stored payload: format, revision and MAC.
//!
//! `format (1 byte) | revision (8, big endian) | MAC (16) | payload`

use crate::domain::digest::{Mac, Seal, Sealer};

use super::{Damage, OpenError, Revision};

/// The format that this keyward writes, and the newest that it reads.
pub(super) const FORMAT: u8 = 1;

/// The longest stored value, in bytes. sled writes pages over 128 KiB to files
/// of their own that it never syncs; values as small as this keep pages far
/// below that.
pub(super) const MAX_VALUE_LEN: usize = 6 * 1024;

const HEAD_LEN: usize = 1 + 8;
const PAYLOAD_AT: usize = HEAD_LEN + Mac::LEN;

/// An opened envelope.
pub(super) struct Opened<'a> {
    pub(super) revision: Revision,
    pub(super) payload: &'a [u8],
    pub(super) seal: Seal,
}

/// Puts `payload` into an envelope for `place`.
pub(super) fn wrap(
    sealer: &Sealer,
    place: &[u8],
    revision: Revision,
    payload: &[u8],
) -> (Vec<u8>, Seal) {
    let mut value = Vec::with_capacity(PAYLOAD_AT + payload.len());
    value.push(FORMAT);
    value.extend(revision.0.to_be_bytes());
    let seal = sealer.seal(place, &[&value, payload]);
    value.extend(seal.mac.0);
    value.extend(payload);
    (value, seal)
}

/// Opens the envelope found under `place`.
pub(super) fn open<'a>(
    sealer: &Sealer,
    place: &[u8],
    value: &'a [u8],
) -> Result<Opened<'a>, Unopened> {
    let (Some(head), Some(payload)) = (value.get(..HEAD_LEN), value.get(PAYLOAD_AT..)) else {
        return Err(Unopened::Forged);
    };
    let format = head[0];
    if format > FORMAT {
        return Err(Unopened::Newer(format));
    }
    let seal = sealer.seal(place, &[head, payload]);
    if format == 0 || Mac::from_slice(&value[HEAD_LEN..PAYLOAD_AT]) != Some(seal.mac) {
        return Err(Unopened::Forged);
    }
    let mut revision = [0; 8];
    revision.copy_from_slice(&head[1..]);
    Ok(Opened {
        revision: Revision(u64::from_be_bytes(revision)),
        payload,
        seal,
    })
}

/// The payload, whether or not the seal fits: to find out what happened to it.
pub(super) fn payload_unverified(value: &[u8]) -> Option<&[u8]> {
    value.get(PAYLOAD_AT..)
}

/// Why an envelope was not opened.
#[derive(Debug)]
pub(super) enum Unopened {
    /// A newer keyward wrote it.
    Newer(u8),
    /// Its seal does not fit.
    Forged,
}

impl Unopened {
    /// Says where it was found.
    pub(super) fn at(self, damage: impl FnOnce() -> Damage) -> OpenError {
        match self {
            Self::Newer(found) => OpenError::Newer {
                found,
                known: FORMAT,
            },
            Self::Forged => OpenError::Damaged(damage()),
        }
    }
}
