//! Asks before what cannot be undone, or stops much at once.

use std::io::{self, BufRead, IsTerminal, Write};

use clap::Args;

use super::failure::Failure;
use super::text::escaped;

/// The flag of every command that asks first.
#[derive(Args, Debug)]
pub(crate) struct Consent {
    /// Do it without asking first
    #[arg(long)]
    yes: bool,
}

impl Consent {
    /// Whether somebody has to be asked. `act` says what is to be done, as in
    /// `revoke a key`.
    ///
    /// # Errors
    ///
    /// Nobody agreed, and nobody can be asked.
    pub(crate) fn must_ask(&self, act: &str) -> Result<bool, Failure> {
        match (self.yes, is_somebody_there()) {
            (true, _) => Ok(false),
            (false, true) => Ok(true),
            (false, false) => Err(Failure::usage(format!(
                "to {act} has to be confirmed, and there is nobody to ask"
            ))
            .note("If it is meant, say so with --yes.")),
        }
    }

    /// Whether to ask before what takes nothing away: if somebody is there, and
    /// has not agreed yet.
    pub(crate) fn can_ask(&self) -> bool {
        !self.yes && is_somebody_there()
    }
}

fn is_somebody_there() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Shows what is at stake and asks whether to go on. Anything but a yes is a
/// no.
pub(crate) fn ask(about: &str, consequence: &str, question: &str) -> Result<(), Failure> {
    let unasked = |error: io::Error| Failure::failed(format!("cannot ask: {error}"));
    let mut terminal = io::stderr().lock();
    write!(
        terminal,
        "{about}\n{}\n{} [y/N] ",
        escaped(consequence),
        escaped(question)
    )
    .and_then(|()| terminal.flush())
    .map_err(unasked)?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer).map_err(unasked)?;
    if is_yes(&answer) {
        Ok(())
    } else {
        Err(Failure::failed("nothing was done"))
    }
}

fn is_yes(answer: &str) -> bool {
    matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_yes_is_a_yes() {
        for yes in ["y\n", "Yes\n", " YES \n", "y"] {
            assert!(is_yes(yes), "{yes:?}");
        }
        for no in ["", "\n", "n\n", "yep\n", "no\n", "y e s\n"] {
            assert!(!is_yes(no), "{no:?}");
        }
    }
}
