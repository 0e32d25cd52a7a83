//! What a server is told to do, one struct per concern; and how that is read
//! from flags, variables, a file and defaults.
//!
//! [`table`] has one row for each setting, and everything follows from it.

mod agree;
mod document;
mod draft;
pub mod example;
mod file;
pub mod gateway;
pub mod gather;
mod given;
pub mod listener;
pub mod names;
pub mod origin;
pub mod routes;
pub mod setting;
pub mod table;

use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;

use crate::domain::route::RouteTable;
use crate::domain::usage::UsageRule;
use crate::edge::listener::Address;
use crate::store::OpenError;
use crate::store::home::Home;
use crate::telemetry::Form;

use draft::Draft;
use gateway::GatewayConfig;
use gather::{Effective, Gathered, Sources, gather};
use listener::{HttpConfig, ListenerConfig};
use origin::{Problem, Problems};

/// All settings of a server.
#[derive(Clone, Debug)]
pub struct ServeConfig {
    /// Where the store lies.
    pub home: Home,
    /// Where gateways ask.
    pub check: ListenerConfig,
    /// Where operators call.
    pub admin: ListenerConfig,
    /// Where gateways ask over plain HTTP; none: nowhere.
    pub http: Option<HttpConfig>,
    /// Where metrics and probes are answered; none: where `http` is.
    pub metrics: Option<Address>,
    /// What other gateways than keyward's own clients are told.
    pub gateway: GatewayConfig,
    /// What their requests need.
    pub routes: Arc<RouteTable>,
    /// How many threads answer checks.
    pub check_threads: NonZeroUsize,
    /// Whether something else encrypts what listeners beyond this machine
    /// send and receive.
    pub encrypted_elsewhere: bool,
    /// Whether the listeners tell what they serve.
    pub reflection: bool,
    /// How long calls under way may take once the server is told to stop.
    pub drain_timeout: Duration,
    /// How long checks go on from memory after the store was lost.
    pub store_lost_grace: Duration,
    /// How long a revoked key is kept before it can be deleted.
    pub key_retention: Duration,
    /// What is counted of how keys are used.
    pub usage: UsageRule,
    /// How often that is written to the store.
    pub usage_write_interval: Duration,
}

/// How the server logs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LogConfig {
    /// The form of the log.
    pub form: Form,
    /// What is logged.
    pub filter: String,
}

/// Settings that can be used.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What the server is told.
    pub serve: ServeConfig,
    /// How it logs.
    pub log: LogConfig,
    /// Each setting with where it came from.
    pub effective: Vec<Effective>,
}

/// Settings cannot be used.
#[derive(Debug, Error)]
pub enum SettingsError {
    /// They are wrong.
    #[error(transparent)]
    Problems(#[from] Problems),
    /// They are right, but for the folders of the store.
    #[error(transparent)]
    Home(#[from] OpenError),
}

/// The settings for a server.
///
/// # Errors
///
/// All that is wrong with them.
pub fn load(sources: &Sources) -> Result<Settings, SettingsError> {
    finish(gather(sources, |_| true), |_| Vec::new())
}

/// The same, but files that they name must be there as well.
///
/// # Errors
///
/// All that is wrong with them.
pub fn check(sources: &Sources) -> Result<Settings, SettingsError> {
    finish(gather(sources, |_| true), agree::unreadable_files)
}

/// The folders of the store. The other settings are not looked at.
///
/// # Errors
///
/// All that is wrong with them, or with the names in the file.
pub fn load_home(sources: &Sources) -> Result<Home, SettingsError> {
    let gathered = gather(sources, |setting| FOLDERS.contains(&setting.key));
    if let Some(problems) = Problems::of(gathered.problems) {
        return Err(problems.into());
    }
    Ok(home(&gathered.draft)?)
}

/// The settings that say where the store lies.
pub const FOLDERS: [&str; 2] = ["store.data_dir", "store.guard_dir"];

/// The store in the folder `data`, with the guard's folder in it unless that is
/// elsewhere.
///
/// # Errors
///
/// [`OpenError::Guard`]: the guard's folder is in the store's.
pub fn home_in(data: &Path, guard: Option<&Path>) -> Result<Home, OpenError> {
    let guard = guard.map_or_else(|| data.join("guard"), Path::to_path_buf);
    Home::new(data.join("store"), guard)
}

fn home(draft: &Draft) -> Result<Home, OpenError> {
    home_in(&draft.data_dir, draft.guard_dir.as_deref())
}

/// The settings, if they go together and `probe` has nothing against them.
fn finish(
    gathered: Gathered,
    probe: impl Fn(&Gathered) -> Vec<Problem>,
) -> Result<Settings, SettingsError> {
    let draft = &gathered.draft;
    let home = home(draft);
    let mut problems = gathered.problems.clone();
    problems.extend(probe(&gathered));
    let (routes, of_routes) = routes::named_by(&gathered);
    problems.extend(of_routes);
    // In a broken file there may be what seems to lack.
    if !gathered.broken {
        problems.extend(agree::problems(&gathered));
    }
    if let (Err(error), false) = (&home, problems.is_empty()) {
        problems.push(Problem::new(gathered.origin(FOLDERS[1]), error.to_string()));
    }
    if let Some(problems) = Problems::of(problems) {
        return Err(problems.into());
    }
    let form = if draft.log_as_json {
        Form::Json
    } else {
        Form::Text
    };
    Ok(Settings {
        serve: ServeConfig {
            home: home?,
            check: draft.check.config(),
            admin: draft.admin.config(),
            http: draft.http(),
            metrics: draft.metrics.clone(),
            gateway: draft.gateway.clone(),
            routes: Arc::new(routes),
            check_threads: draft.threads.unwrap_or_else(one_per_core),
            encrypted_elsewhere: draft.encrypted_elsewhere,
            reflection: draft.reflection,
            drain_timeout: draft.drain_timeout,
            store_lost_grace: draft.lost_grace,
            key_retention: draft.key_retention,
            usage: draft.usage,
            usage_write_interval: draft.usage_write_interval,
        },
        log: LogConfig {
            form,
            filter: draft.log_filter.clone(),
        },
        effective: gathered.effective,
    })
}

fn one_per_core() -> NonZeroUsize {
    std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN)
}

#[cfg(test)]
mod tests;
