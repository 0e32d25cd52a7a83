//! Writes a `CheckResult`: what came of one question of several, a verdict or
//! the reason why there is none.

use bytes::BytesMut;

use crate::service::checker::Checker;

use super::answer::{self, Fields, Message};
use super::pb::UndecidedReason;
use super::question::Question;

// The fields of CheckResult.
const VERDICT: u32 = 1;
const UNDECIDED: u32 = 2;

/// Judges the `CheckRequest` that `question` should be, and appends the result
/// as the field `tag` of the message round it.
pub(super) fn append(buffer: &mut BytesMut, tag: u32, checker: &Checker, question: &[u8]) {
    let Ok(Question {
        credential,
        ask,
        demand,
    }) = Question::read(question)
    else {
        return append_undecided(buffer, tag, UndecidedReason::Unreadable);
    };
    checker.check(credential, &ask, &demand, |outcome| {
        answer::append(buffer, &[tag, VERDICT], outcome, ask.required_scopes);
    });
}

/// Appends the result of a question that was not judged.
pub(super) fn append_undecided(buffer: &mut BytesMut, tag: u32, reason: UndecidedReason) {
    answer::enclose(buffer, &[tag], UNDECIDED, &Undecided(reason));
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
    }
}
