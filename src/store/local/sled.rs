//! sled 0.34 as an engine, with what it takes to be able to rely on it.
//!
//! - Its `flush` ends in `sync_file_range`, which leaves data in the disk's
//!   cache (spacejam/sled#1351, #1452): the log file is synced here as well.
//! - A batch on one tree is atomic over a crash; of several batches before a
//!   sync, a later one may survive an earlier one: there is one tree, and the
//!   writer applies one batch before each sync.
//! - It panics on most kinds of damage to its files: every call is guarded.

use std::fs::File;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::thread;
use std::time::Duration;

use super::engine::{Engine, EngineError, Entries, Put};

/// The file that sled keeps its log in, in its folder.
pub(in crate::store) const LOG_FILE: &str = "db";

const CACHE_BYTES: u64 = 64 * 1024 * 1024;

/// Never none: the background flush also collects garbage.
const FLUSH_EVERY_MS: u64 = 5_000;

/// The threads of a database that was just closed hold its lock for a moment.
const LOCK_TRIES: u32 = 25;
const LOCK_PAUSE: Duration = Duration::from_millis(20);

/// An open sled database.
pub struct SledEngine {
    db: sled::Db,
    log: File,
}

/// Why a database was not opened.
#[derive(Debug)]
pub(in crate::store) enum Unopened {
    /// Another process has it.
    Locked,
    /// Its files cannot be read.
    Failed(EngineError),
}

impl SledEngine {
    /// Opens the database in `folder`, or makes one there. Opening rewrites a
    /// torn tail of the log.
    pub(in crate::store) fn open(folder: &Path) -> Result<Self, Unopened> {
        let config = sled::Config::new()
            .path(folder)
            .cache_capacity(CACHE_BYTES)
            .flush_every_ms(Some(FLUSH_EVERY_MS));
        let mut tries = 0;
        let db = loop {
            tries += 1;
            match catch_unwind(AssertUnwindSafe(|| config.open())) {
                Ok(Ok(db)) => break db,
                Ok(Err(sled::Error::Io(error))) if is_lock_refusal(&error) => {
                    if tries == LOCK_TRIES {
                        return Err(Unopened::Locked);
                    }
                    thread::sleep(LOCK_PAUSE);
                }
                Ok(Err(error)) => return Err(Unopened::Failed(told(&error))),
                Err(_) => return Err(Unopened::Failed(panicked())),
            }
        };
        let log =
            File::open(folder.join(LOG_FILE)).map_err(|error| Unopened::Failed(error.into()))?;
        Ok(Self { db, log })
    }
}

impl std::fmt::Debug for SledEngine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SledEngine")
    }
}

impl Engine for SledEngine {
    fn get(&self, place: &[u8]) -> Result<Option<Vec<u8>>, EngineError> {
        guarded(|| Ok(self.db.get(place)?.map(|value| value.to_vec())))
    }

    fn scan<'a>(&'a self, prefix: &'a [u8], after: &[u8]) -> Entries<'a> {
        let mut entries = if after < prefix {
            self.db.range(prefix..)
        } else {
            let bounds = (std::ops::Bound::Excluded(after), std::ops::Bound::Unbounded);
            self.db.range::<&[u8], _>(bounds)
        };
        under(prefix, move || entries.next())
    }

    fn scan_back<'a>(&'a self, prefix: &'a [u8], before: Option<&[u8]>) -> Entries<'a> {
        let end = before.map_or_else(|| behind(prefix), <[u8]>::to_vec);
        let mut entries = self.db.range(prefix.to_vec()..end);
        under(prefix, move || entries.next_back())
    }

    fn apply(&self, puts: &[Put]) -> Result<(), EngineError> {
        let mut batch = sled::Batch::default();
        for (place, value) in puts {
            match value {
                Some(value) => batch.insert(place.as_slice(), value.as_slice()),
                None => batch.remove(place.as_slice()),
            }
        }
        guarded(|| self.db.apply_batch(batch))
    }

    fn sync(&self) -> Result<(), EngineError> {
        guarded(|| self.db.flush().map(drop))?;
        self.log.sync_data().map_err(EngineError::from)
    }
}

/// The entries that `next` gives, as long as they are under `prefix`. None come
/// after an error: sled's stick.
fn under<'a>(
    prefix: &'a [u8],
    mut next: impl FnMut() -> Option<sled::Result<(sled::IVec, sled::IVec)>> + 'a,
) -> Entries<'a> {
    let mut ended = false;
    let next = move || {
        if ended {
            return None;
        }
        let entry = guarded(|| next().transpose());
        ended = !matches!(entry, Ok(Some(_)));
        match entry {
            Ok(Some((place, value))) if place.starts_with(prefix) => {
                Some(Ok((place.to_vec(), value.to_vec())))
            }
            Ok(_) => None,
            Err(error) => Some(Err(error)),
        }
    };
    Box::new(std::iter::from_fn(next))
}

/// The first place behind all that start with `prefix`. Prefixes are of ASCII,
/// so that their last byte can be counted up.
fn behind(prefix: &[u8]) -> Vec<u8> {
    let mut place = prefix.to_vec();
    if let Some(last) = place.last_mut() {
        *last = last.saturating_add(1);
    }
    place
}

fn guarded<T>(call: impl FnOnce() -> sled::Result<T>) -> Result<T, EngineError> {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(told(&error)),
        Err(_) => Err(panicked()),
    }
}

/// What sled says, in words for people.
fn told(error: &sled::Error) -> EngineError {
    match error {
        sled::Error::Corruption { .. } => EngineError::own("a page of the log is corrupt"),
        sled::Error::Io(error) => io::Error::new(error.kind(), error.to_string()).into(),
        sled::Error::CollectionNotFound(_)
        | sled::Error::Unsupported(_)
        | sled::Error::ReportableBug(_) => EngineError::own(error.to_string()),
    }
}

fn panicked() -> EngineError {
    EngineError::own("sled gave up on what it found in them")
}

/// sled tells of a lock that is taken as an error of its own making, which
/// keeps only the kind of the one that it had.
fn is_lock_refusal(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock
        || error.to_string().contains("could not acquire lock")
}
