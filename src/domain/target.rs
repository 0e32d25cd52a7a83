//! What a request is aimed at: its host and its path, each in the one spelling
//! in which rules are compared with it, or the reason why it has none.
//!
//! Gateways, and the servers behind them, read odd spellings in different ways:
//! what is `/public/..;/admin` for one is `/admin` for another. So there is no
//! attempt to find out what was meant: whatever could be read in two ways is
//! refused.

pub mod host;
pub mod host_template;
mod lookalikes;
pub mod path;
pub mod path_template;

use host::{HostRefusal, NormalHost};
use path::{NormalPath, PathRefusal};

/// What stands in a template for a workspace's id.
const WORKSPACE: &str = "{workspace}";

/// The host and the path of a request. Each can be refused by itself, and is, by
/// whatever rule looks at it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Target<'a> {
    /// The host, if it can be read in one way only.
    pub host: Result<NormalHost<'a>, HostRefusal>,
    /// The path, if it can be read in one way only.
    pub path: Result<NormalPath<'a>, PathRefusal>,
}

impl<'a> Target<'a> {
    /// Reads the host as the client sent it (`Host` or `:authority`), and the path
    /// as the client sent it, with the query. Allocates if there are capital
    /// letters in the host or escapes in the path.
    #[must_use]
    pub fn read(host: &'a str, raw_path: &'a str) -> Self {
        Self {
            host: NormalHost::read(host),
            path: NormalPath::read(raw_path),
        }
    }
}
