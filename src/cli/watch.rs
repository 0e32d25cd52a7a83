//! `--watch`: to look again and again, until Ctrl-C.

use std::io::{self, IsTerminal};
use std::time::Duration;

use clap::Args;

use super::argument;
use super::failure::{Exit, Failure};
use super::output::{self, Output};

/// Puts the cursor to the upper left corner and clears all behind it.
const CLEAR: &str = "\x1b[H\x1b[2J";

/// The flag of commands that can look again.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct WatchFlag {
    /// Show them anew every 2s, or every SPAN, until Ctrl-C
    #[arg(
        long,
        value_name = "SPAN",
        num_args = 0..=1,
        default_missing_value = "2s",
        value_parser = argument::span
    )]
    watch: Option<Duration>,
}

impl WatchFlag {
    /// How often to look, if more than once. That redraws a table on a
    /// terminal, and means nothing elsewhere.
    pub(crate) fn span(self, output: Output) -> Result<Option<Duration>, Failure> {
        if self.watch.is_some() && !(output == Output::Table && io::stdout().is_terminal()) {
            return Err(Failure::usage(
                "--watch redraws a table on a terminal, and stdout is none",
            )
            .note("Without --watch, the list is written once."));
        }
        Ok(self.watch)
    }
}

/// Draws what `look` gives over and over.
pub(crate) async fn redrawn(
    span: Duration,
    mut look: impl AsyncFnMut() -> Result<String, Failure>,
) -> Result<(), Failure> {
    let mut outage = Outage::default();
    loop {
        if let Some(drawn) = outage.bridge(look().await)? {
            output::print(&format!("{CLEAR}{drawn}"))?;
        }
        tokio::time::sleep(span).await;
    }
}

/// A time without answers, which whoever watches sits out.
#[derive(Debug, Default)]
pub(crate) struct Outage {
    told: bool,
}

impl Outage {
    /// What was seen. `None`: there was no answer this time, which is told of
    /// once.
    ///
    /// # Errors
    ///
    /// An answer that looking again will not change.
    pub(crate) fn bridge<T>(&mut self, seen: Result<T, Failure>) -> Result<Option<T>, Failure> {
        match seen {
            Ok(seen) => {
                self.told = false;
                Ok(Some(seen))
            }
            Err(failure) if failure.exit() == Exit::NotKnown => {
                if !self.told {
                    output::tell(&failure);
                }
                self.told = true;
                Ok(None)
            }
            Err(failure) => Err(failure),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_is_sat_out_and_a_refusal_is_not() {
        let mut outage = Outage::default();
        assert_eq!(outage.bridge(Ok(1)), Ok(Some(1)));
        for _ in 0..2 {
            assert_eq!(
                outage.bridge::<u8>(Err(Failure::not_known("away"))),
                Ok(None)
            );
            assert!(outage.told);
        }
        assert_eq!(outage.bridge(Ok(2)), Ok(Some(2)));
        assert!(!outage.told);
        assert!(outage.bridge::<u8>(Err(Failure::failed("no"))).is_err());
    }
}
