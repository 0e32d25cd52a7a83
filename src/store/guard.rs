//! The guard file: what was acknowledged last, kept outside the store.
//!
//! It lies beside the pepper, and is synced after the store and before any
//! answer. A store that is older than it says, or of another pepper, is
//! refused. Two slots are written in turn, so that a torn write leaves the
//! one before.
//!
//! `header | slot 0 | slot 1`, each at the start of a 4 KiB block, so that no
//! write to one can tear another, and each with a MAC keyed by the pepper.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::domain::digest::{Mac, Pepper, PepperId, Sealer, StateDigest, StoreId};

use super::{OpenError, Revision};

const MAGIC: &[u8; 8] = b"KEYWARDG";
const FORMAT: u8 = 1;
const BLOCK: u64 = 4_096;
const HEADER_LEN: usize = 8 + 1 + 16 + 8 + Mac::LEN;
const SLOT_LEN: usize = 8 + StateDigest::LEN + Mac::LEN;

/// The state that was acknowledged.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Slot {
    pub(super) revision: Revision,
    pub(super) digest: StateDigest,
}

/// The open guard file of one store.
#[derive(Debug)]
pub(super) struct GuardFile {
    file: File,
    sealer: Sealer,
    newest: Slot,
    /// Where the newest slot is; the other is written next.
    at: u64,
}

impl GuardFile {
    /// Makes the guard file of a new store, with nothing acknowledged.
    pub(super) fn create(path: &Path, pepper: &Pepper, store: StoreId) -> io::Result<Self> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)?;
        let sealer = pepper.guard_sealer(store);
        let mut header = Vec::with_capacity(HEADER_LEN);
        header.extend(MAGIC);
        header.push(FORMAT);
        header.extend(store.0);
        header.extend(pepper.id().0);
        let mac = sealer.seal(b"header", &[&header]).mac;
        header.extend(mac.0);
        file.write_all_at(&header, 0)?;
        let newest = Slot {
            revision: Revision(0),
            digest: StateDigest::default(),
        };
        let mut guard = Self {
            file,
            sealer,
            newest,
            at: 1,
        };
        guard.record(newest)?;
        guard.file.sync_all()?;
        Ok(guard)
    }

    /// Opens the guard file, and says of which store it is. As long as it is
    /// open, no other process opens it, and so none the store.
    pub(super) fn open(
        path: &Path,
        pepper: &Pepper,
        pepper_path: &Path,
    ) -> Result<(Self, StoreId), OpenError> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(path)
            .map_err(|error| OpenError::io(path, error))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(OpenError::Locked(path.to_owned())),
            Err(TryLockError::Error(error)) => return Err(OpenError::io(path, error)),
        }
        let store = read_header(&file, path, pepper, pepper_path)?;
        let sealer = pepper.guard_sealer(store);
        let slots = [0, 1].map(|at| read_slot(&file, &sealer, at).map(|slot| (at, slot)));
        let Some((at, newest)) = slots
            .into_iter()
            .flatten()
            .max_by_key(|(_, slot)| slot.revision)
        else {
            return Err(damaged(path, "neither of its two slots can be read"));
        };
        Ok((
            Self {
                file,
                sealer,
                newest,
                at,
            },
            store,
        ))
    }

    /// What was acknowledged last.
    pub(super) const fn newest(&self) -> Slot {
        self.newest
    }

    /// Notes a state durably, over the older of the two slots.
    pub(super) fn record(&mut self, slot: Slot) -> io::Result<()> {
        let at = 1 - self.at;
        let mut bytes = Vec::with_capacity(SLOT_LEN);
        bytes.extend(slot.revision.0.to_be_bytes());
        bytes.extend(slot.digest.as_bytes());
        let mac = self.sealer.seal(b"slot", &[&bytes]).mac;
        bytes.extend(mac.0);
        self.file.write_all_at(&bytes, slot_offset(at))?;
        self.file.sync_data()?;
        (self.newest, self.at) = (slot, at);
        Ok(())
    }
}

fn slot_offset(at: u64) -> u64 {
    BLOCK * (1 + at)
}

fn read_header(
    file: &File,
    path: &Path,
    pepper: &Pepper,
    pepper_path: &Path,
) -> Result<StoreId, OpenError> {
    let mut header = [0; HEADER_LEN];
    file.read_exact_at(&mut header, 0)
        .map_err(|_| damaged(path, "it is too short"))?;
    let (magic, rest) = header.split_at(MAGIC.len());
    if magic != MAGIC {
        return Err(damaged(path, "it does not start as one"));
    }
    if rest[0] > FORMAT {
        return Err(OpenError::Newer {
            found: rest[0],
            known: FORMAT,
        });
    }
    let (mut store, mut pepper_id) = ([0; 16], [0; 8]);
    store.copy_from_slice(&rest[1..17]);
    pepper_id.copy_from_slice(&rest[17..25]);
    let (store, expected) = (StoreId(store), PepperId(pepper_id));
    if pepper.id() != expected {
        let path = PathBuf::from(pepper_path);
        return Err(OpenError::WrongPepper {
            path,
            found: pepper.id(),
            expected,
        });
    }
    let (body, mac) = header.split_at(HEADER_LEN - Mac::LEN);
    if Mac::from_slice(mac) != Some(pepper.guard_sealer(store).seal(b"header", &[body]).mac) {
        return Err(damaged(path, "its header was changed"));
    }
    Ok(store)
}

/// A slot that was torn, or never written, is none.
fn read_slot(file: &File, sealer: &Sealer, at: u64) -> Option<Slot> {
    let mut bytes = [0; SLOT_LEN];
    file.read_exact_at(&mut bytes, slot_offset(at)).ok()?;
    let (body, mac) = bytes.split_at(SLOT_LEN - Mac::LEN);
    if Mac::from_slice(mac) != Some(sealer.seal(b"slot", &[body]).mac) {
        return None;
    }
    let (revision, digest) = body.split_at(8);
    let revision = Revision(u64::from_be_bytes(revision.try_into().ok()?));
    Some(Slot {
        revision,
        digest: StateDigest::from_slice(digest)?,
    })
}

fn damaged(path: &Path, problem: &str) -> OpenError {
    let problem = format!(
        "the guard file is damaged: {problem}; put back the one that was kept with the pepper"
    );
    OpenError::Guard {
        path: path.to_owned(),
        problem,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use zeroize::Zeroizing;

    fn slot(revision: u64) -> Slot {
        Slot {
            revision: Revision(revision),
            digest: StateDigest::default(),
        }
    }

    fn pepper(byte: u8) -> Pepper {
        Pepper::from_bytes(Zeroizing::new([byte; 32]))
    }

    fn open(path: &Path) -> Result<GuardFile, OpenError> {
        GuardFile::open(path, &pepper(1), Path::new("pepper")).map(|(guard, _)| guard)
    }

    fn with_guard(test: impl FnOnce(&Path, GuardFile)) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("guard");
        let guard = GuardFile::create(&path, &pepper(1), StoreId([9; 16])).unwrap();
        test(&path, guard);
    }

    #[test]
    fn the_newest_slot_is_found_again() {
        with_guard(|path, mut guard| {
            assert_eq!(open(path).unwrap().newest(), slot(0));
            for revision in 1..=5 {
                guard.record(slot(revision)).unwrap();
                assert_eq!(open(path).unwrap().newest(), slot(revision));
            }
        });
    }

    #[test]
    fn a_torn_slot_leaves_the_one_before() {
        with_guard(|path, mut guard| {
            guard.record(slot(1)).unwrap();
            guard.record(slot(2)).unwrap();
            for byte in 0..SLOT_LEN as u64 {
                let at = slot_offset(guard.at) + byte;
                let mut old = [0];
                guard.file.read_exact_at(&mut old, at).unwrap();
                guard.file.write_all_at(&[!old[0]], at).unwrap();
                assert_eq!(open(path).unwrap().newest(), slot(1), "byte {byte}");
                guard.file.write_all_at(&old, at).unwrap();
            }
            assert_eq!(open(path).unwrap().newest(), slot(2));
        });
    }

    #[test]
    fn any_change_to_the_header_is_seen() {
        with_guard(|path, guard| {
            for byte in 0..HEADER_LEN as u64 {
                let mut old = [0];
                guard.file.read_exact_at(&mut old, byte).unwrap();
                guard.file.write_all_at(&[old[0] ^ 1], byte).unwrap();
                assert!(open(path).is_err(), "byte {byte}");
                guard.file.write_all_at(&old, byte).unwrap();
            }
        });
    }

    #[test]
    fn another_pepper_is_named() {
        with_guard(|path, _| {
            let error = GuardFile::open(path, &pepper(2), Path::new("pepper")).unwrap_err();
            assert!(
                matches!(error, OpenError::WrongPepper { expected, .. } if expected == pepper(1).id())
            );
        });
    }

    #[test]
    fn both_slots_lost_is_an_error() {
        with_guard(|path, guard| {
            guard.file.set_len(BLOCK).unwrap();
            assert!(matches!(open(path), Err(OpenError::Guard { .. })));
        });
    }
}
