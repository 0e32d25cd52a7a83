//! Writes a `CheckResult`: what came of one question of several, a verdict or
//! the reason why there is none.

use bytes::BytesMut;
use tokio::time::Instant;

use crate::domain::verdict::Verdict;
use crate::metrics::checks::{Cause, CheckCounts, Interface, Open};
use crate::service::checker::Checker;
use crate::service::credits::{CreditsUndecided, Wait, until_decided};

use super::answer::{self, Fields, Message};
use super::pb::UndecidedReason;
use super::question::Question;

// The fields of CheckResult.
const VERDICT: u32 = 1;
const UNDECIDED: u32 = 2;

/// What a result says.
#[derive(Clone, Copy)]
pub(super) enum Said {
    Verdict(Verdict),
    Undecided(UndecidedReason),
}

impl Said {
    /// Counts a result that is on its way.
    pub(super) fn count(self, counts: &CheckCounts, interface: Interface) {
        match self {
            Self::Verdict(verdict) => counts.decided(interface, verdict),
            Self::Undecided(reason) => counts.undecided(interface, cause(reason)),
        }
    }

    /// Counts what became of a question that had to wait.
    pub(super) fn close(self, open: Open) {
        match self {
            Self::Verdict(verdict) => open.decided(verdict),
            Self::Undecided(reason) => open.undecided(cause(reason)),
        }
    }
}

const fn cause(reason: UndecidedReason) -> Cause {
    match reason {
        UndecidedReason::Unspecified | UndecidedReason::Unreadable => Cause::Unreadable,
        UndecidedReason::ResponseFull => Cause::ResponseFull,
        UndecidedReason::CreditsUnavailable => Cause::CreditsUnavailable,
    }
}

/// Judges the `CheckRequest` that `question` should be, and appends the result
/// as the field `tag` of the message round it. If it has to wait, nothing was
/// appended.
pub(super) fn append(
    buffer: &mut BytesMut,
    tag: u32,
    checker: &Checker,
    question: &[u8],
) -> Result<Said, Wait> {
    let Ok(Question {
        credential,
        ask,
        demand,
    }) = Question::read(question)
    else {
        return Ok(append_undecided(buffer, tag, UndecidedReason::Unreadable));
    };
    checker.check(credential, &ask, &demand, |outcome| {
        let verdict = outcome.verdict;
        answer::append(buffer, &[tag, VERDICT], outcome, ask.required_scopes);
        Said::Verdict(verdict)
    })
}

/// Goes on with a question that has to wait, until `deadline`, and appends what
/// comes of it.
pub(super) async fn append_in_time(
    buffer: &mut BytesMut,
    tag: u32,
    checker: &Checker,
    question: &[u8],
    (wait, deadline): (Wait, Instant),
) -> Said {
    let decided = until_decided(wait, deadline, || append(buffer, tag, checker, question));
    match decided.await {
        Ok(said) => said,
        Err(CreditsUndecided) => append_undecided(buffer, tag, UndecidedReason::CreditsUnavailable),
    }
}

/// Appends the result of a question that was not judged.
pub(super) fn append_undecided(buffer: &mut BytesMut, tag: u32, reason: UndecidedReason) -> Said {
    answer::enclose(buffer, &[tag], UNDECIDED, &Undecided(reason));
    Said::Undecided(reason)
}

struct Undecided(UndecidedReason);

impl Message for Undecided {
    fn tell(&self, fields: &mut impl Fields) {
        fields.number(1, self.0 as u64);
        fields.text(2, sentence(self.0));
    }
}

const fn sentence(reason: UndecidedReason) -> &'static str {
    match reason {
        UndecidedReason::Unspecified => "",
        UndecidedReason::Unreadable => {
            "the question's bytes are not those of the message that it should be"
        }
        UndecidedReason::ResponseFull => {
            "the answers before it have filled the response: ask again in another batch"
        }
        UndecidedReason::CreditsUnavailable => {
            "the key's credits could not be read in time: ask again"
        }
    }
}
