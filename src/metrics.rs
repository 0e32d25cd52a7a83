//! What keyward counts of itself, for operators, and how Prometheus is told.
//!
//! Whoever does the work counts it, in a few atomic numbers, and pays nothing
//! else: no registry, no lock, no allocation. What is counted is read, added up
//! and written when somebody asks. Labels are words of keyward's own: nothing
//! that a client sends, and no id, is ever one, so that their number is bounded
//! and nothing leaks.

pub mod admin;
pub mod checks;
pub mod commits;
pub mod listeners;

mod count;
mod families;
mod histogram;
mod process;
mod text;

use std::fmt;
use std::sync::Arc;

use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;

use crate::domain::clock::Timestamp;

use admin::AdminCounts;
use checks::CheckCounts;
use commits::CommitCounts;
use families::Families;
use listeners::ListenerCounts;

pub use count::Count;
pub use text::Format;

/// What is read of the index and the store when metrics are asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Standing {
    /// How many keys there are.
    pub keys: usize,
    /// How many tokens stand for one of them.
    pub tokens: usize,
    /// How many workspaces there are.
    pub workspaces: usize,
    /// How many principals there are.
    pub principals: usize,
    /// The revision that checks judge by.
    pub revision: u64,
    /// Whether the store takes changes.
    pub sound: bool,
}

/// What was counted where, in one place.
pub struct Sources {
    /// When the process started.
    pub started: Timestamp,
    /// The checks.
    pub checks: CheckCounts,
    /// The calls of operators.
    pub admin: Arc<AdminCounts>,
    /// The commits of the store.
    pub commits: Arc<CommitCounts>,
    /// The listeners.
    pub listeners: Vec<Arc<ListenerCounts>>,
    /// Asked when metrics are.
    pub standing: Box<dyn Fn() -> Standing + Send + Sync>,
}

impl fmt::Debug for Sources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let listeners = &self.listeners;
        f.debug_struct("Sources")
            .field("started", &self.started)
            .field("listeners", listeners)
            .finish_non_exhaustive()
    }
}

/// Tells what was counted. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Metrics(Arc<Registry>);

/// A text for a scraper.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Exposition {
    /// What to send as its `content-type`.
    pub content_type: &'static str,
    /// The text.
    pub body: String,
}

impl Metrics {
    /// Tells what `sources` have counted.
    #[must_use]
    pub fn new(sources: Sources) -> Self {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Families(sources)));
        Self(Arc::new(registry))
    }

    /// All metrics as they are now, for a request with this `Accept` header.
    /// Takes about a millisecond, some of it to ask the system about the
    /// process.
    ///
    /// # Errors
    ///
    /// The text cannot be written, which is a fault of the program.
    pub fn render(&self, accept: Option<&str>) -> Result<Exposition, fmt::Error> {
        let format = Format::wanted(accept);
        let mut body = String::new();
        encode(&mut body, &self.0)?;
        if format == Format::Prometheus {
            body = text::as_prometheus(&body);
        }
        Ok(Exposition {
            content_type: format.content_type(),
            body,
        })
    }
}
