//! The bytes below a one-node store: ordered places, one atomic batch, a sync.

use std::fmt;
use std::io;

use thiserror::Error;

/// What the engine says when it fails. It is not tried again: engines' errors
/// stick, and what a failed one says next is not to be trusted.
#[derive(Clone, Debug, Error)]
#[error("{text}")]
pub struct EngineError {
    /// In words for people.
    pub text: String,
    /// What the system says, if it is the system that does not let it read or
    /// write, whatever is in its files.
    pub system: Option<io::ErrorKind>,
}

impl EngineError {
    /// An error of the engine's own.
    pub(super) fn own(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            system: None,
        }
    }
}

/// What an engine's files met with. A full disk or a missing right is not
/// damage.
impl From<io::Error> for EngineError {
    fn from(error: io::Error) -> Self {
        let system = matches!(
            error.kind(),
            io::ErrorKind::StorageFull
                | io::ErrorKind::QuotaExceeded
                | io::ErrorKind::FileTooLarge
                | io::ErrorKind::PermissionDenied
                | io::ErrorKind::ReadOnlyFilesystem
        );
        Self {
            text: error.to_string(),
            system: system.then_some(error.kind()),
        }
    }
}

/// A place and the bytes there.
pub(super) type Entry = (Vec<u8>, Vec<u8>);

/// A place, and the bytes to put there; none: what is there goes.
pub(super) type Put = (Vec<u8>, Option<Vec<u8>>);

/// An iterator over entries in the order of their places.
pub(super) type Entries<'a> = Box<dyn Iterator<Item = Result<Entry, EngineError>> + 'a>;

/// An ordered map from places to bytes.
pub trait Engine: Send + Sync + fmt::Debug + 'static {
    /// The bytes at `place`.
    fn get(&self, place: &[u8]) -> Result<Option<Vec<u8>>, EngineError>;

    /// The entries whose place starts with `prefix` and comes behind `after`.
    fn scan<'a>(&'a self, prefix: &'a [u8], after: &[u8]) -> Entries<'a>;

    /// The entries whose place starts with `prefix` and comes before `before`,
    /// the last of them first; all that start so, if `before` is none.
    fn scan_back<'a>(&'a self, prefix: &'a [u8], before: Option<&[u8]>) -> Entries<'a>;

    /// Makes all of `puts`, or, after a crash, none.
    fn apply(&self, puts: &[Put]) -> Result<(), EngineError>;

    /// Returns when all that was applied survives the loss of power.
    fn sync(&self) -> Result<(), EngineError>;
}
