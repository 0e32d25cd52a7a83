//! Logs: where they go, in which form, and what never gets into them.
//!
//! Libraries below keyward log frames and pages at their finest levels, in
//! which tokens could be: they are held to warnings or less, whatever the filter
//! says.

use std::io::IsTerminal;
use std::panic::PanicHookInfo;

use thiserror::Error;
use tracing::error;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

/// The form of the log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Form {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Why nothing can be logged.
#[derive(Debug, Error)]
pub enum TelemetryError {
    /// The filter is not one.
    #[error(
        "`{0}` is not a log filter: give a level, or something like `info,keyward::store=debug`"
    )]
    Filter(String),
    /// Something logs already.
    #[error("logging was started twice")]
    Twice,
}

/// Starts to log to standard error what `filter` lets through.
///
/// # Errors
///
/// The filter is not one, or something logs already.
pub fn start(form: Form, filter: &str) -> Result<(), TelemetryError> {
    let filter = own(filter).ok_or_else(|| TelemetryError::Filter(filter.to_owned()))?;
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    match form {
        Form::Text => log.with_ansi(std::io::stderr().is_terminal()).try_init(),
        Form::Json => log.json().flatten_event(true).try_init(),
    }
    .map_err(|_| TelemetryError::Twice)?;
    std::panic::set_hook(Box::new(log_panic));
    Ok(())
}

/// Whether `filter` is one that [`start`] takes.
#[must_use]
pub fn is_filter(filter: &str) -> bool {
    own(filter).is_some()
}

/// The filter for keyward's own events; those of others are held to warnings.
fn own(filter: &str) -> Option<EnvFilter> {
    let directives = filter
        .split(',')
        .map(str::trim)
        .filter(|directive| !directive.is_empty());
    let mut level = LevelFilter::INFO;
    let mut own = Vec::new();
    for directive in directives {
        match directive.parse::<LevelFilter>() {
            Ok(all) => level = all,
            Err(_) if directive.starts_with("keyward") => own.push(directive),
            Err(_) => return None,
        }
    }
    let others = level.min(LevelFilter::WARN);
    // It warns of what clients do, which strangers can do as often as they like.
    let rustls = level.min(LevelFilter::ERROR);
    let base = format!("{others},rustls={rustls},keyward={level}");
    EnvFilter::builder()
        .parse([&[base.as_str()], own.as_slice()].concat().join(","))
        .ok()
}

/// A panic is logged by its place. What it says is, too, unless it was put
/// together at run time, of who knows what. Those of sled come back as errors
/// from where they were caught.
fn log_panic(panic: &PanicHookInfo<'_>) {
    let place = panic
        .location()
        .map(ToString::to_string)
        .unwrap_or_default();
    if place.contains("/sled-") {
        return;
    }
    let message = panic
        .payload()
        .downcast_ref::<&'static str>()
        .copied()
        .unwrap_or("(withheld)");
    error!(place, message, "panic");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn others_are_held_to_warnings() {
        let written = |filter| own(filter).map(|filter| filter.to_string());
        assert_eq!(written("trace").unwrap(), "keyward=trace,rustls=error,warn");
        assert_eq!(written("").unwrap(), "keyward=info,rustls=error,warn");
        assert_eq!(
            written("error").unwrap(),
            "keyward=error,rustls=error,error"
        );
        assert_eq!(written("off").unwrap(), "keyward=off,rustls=off,off");
        assert_eq!(
            written("info, keyward::store=debug").unwrap(),
            "keyward::store=debug,keyward=info,rustls=error,warn"
        );
        assert_eq!(written("h2=trace"), None);
        assert_eq!(written("loud"), None);
    }
}
