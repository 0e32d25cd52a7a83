//! Why a command failed, in words for people, and its exit code.

use std::fmt;
use std::process::ExitCode;

use super::text::{escaped, without_tokens};

/// How a command ended. The numbers are a promise to scripts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Exit {
    /// It was done; for `check`: allowed.
    Done = 0,
    /// The call failed.
    Failed = 1,
    /// The command line or the settings cannot be used.
    Usage = 2,
    /// The credential is denied; a search found tokens that are of use.
    Denied = 3,
    /// Nobody knows: there was no answer, or no verdict.
    NotKnown = 4,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// A failure: one sentence, and under it what there is to know and to do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Failure {
    exit: Exit,
    sentence: String,
    notes: Vec<String>,
    reason: String,
}

impl Failure {
    /// The call failed, and it is certain that it did.
    pub(crate) fn failed(sentence: impl AsRef<str>) -> Self {
        Self::new(Exit::Failed, sentence.as_ref())
    }

    /// The command line or the settings cannot be used.
    pub(crate) fn usage(sentence: impl AsRef<str>) -> Self {
        Self::new(Exit::Usage, sentence.as_ref())
    }

    /// There was no answer.
    pub(crate) fn not_known(sentence: impl AsRef<str>) -> Self {
        Self::new(Exit::NotKnown, sentence.as_ref())
    }

    /// Adds a line: a detail, or what to do next.
    pub(crate) fn note(mut self, line: impl AsRef<str>) -> Self {
        self.notes.push(escaped(&without_tokens(line.as_ref())));
        self
    }

    /// The same words under another exit code.
    pub(crate) fn with_exit(self, exit: Exit) -> Self {
        Self { exit, ..self }
    }

    /// The same failure, with the name of the server's reason for it.
    pub(crate) fn because(self, reason: &str) -> Self {
        Self {
            reason: reason.to_owned(),
            ..self
        }
    }

    /// The name of the server's reason, such as `ETAG_MISMATCH`. Empty: none
    /// was given.
    pub(crate) fn reason(&self) -> &str {
        &self.reason
    }

    /// The exit code to end with.
    pub(crate) fn exit(&self) -> Exit {
        self.exit
    }

    // Much of what is told comes from a server: it is escaped on its way in.
    fn new(exit: Exit, sentence: &str) -> Self {
        Self {
            exit,
            sentence: escaped(&without_tokens(sentence)),
            notes: Vec::new(),
            reason: String::new(),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}", self.sentence)?;
        self.notes
            .iter()
            .try_for_each(|note| write!(f, "\n  {note}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_a_sentence_and_its_notes() {
        let failure = Failure::failed("no").note("one").note("two");
        assert_eq!(failure.to_string(), "error: no\n  one\n  two");
        assert_eq!(failure.exit(), Exit::Failed);
        assert_eq!(failure.with_exit(Exit::NotKnown).exit(), Exit::NotKnown);
    }

    #[test]
    fn a_server_cannot_write_to_the_terminal() {
        let failure = Failure::failed("a\x1b[2Jb").note("c\nd");
        assert_eq!(failure.to_string(), "error: a\\u{1b}[2Jb\n  c\\nd");
    }
}
