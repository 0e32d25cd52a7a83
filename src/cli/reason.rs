//! Why something is revoked: the flags, and what is told of a reason that
//! stays as it was.

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, ValueEnum};

use super::status::Flags;
use super::{output, text};
use crate::edge::pb::RevocationReason;

/// The flags that set the fields of a revocation.
pub(crate) const FLAGS: Flags = &[("reason", "--reason"), ("note", "--note")];

/// Why, in a word and in a sentence.
#[derive(Args, Clone, Debug)]
pub(crate) struct ReasonFlags {
    /// Why. What is revoked already keeps its first reason
    #[arg(long, value_enum)]
    reason: Option<Reason>,
    /// More of why, for people
    #[arg(long, value_name = "TEXT", value_parser = NonEmptyStringValueParser::new())]
    note: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Reason {
    /// Its token became known to others
    Leaked,
    /// It is no longer needed
    Unused,
    /// Another key has taken its place
    Superseded,
    /// Its principal has left or lost the right to it
    PrivilegeWithdrawn,
    /// It was used against the rules
    Abused,
}

impl From<Reason> for RevocationReason {
    fn from(reason: Reason) -> Self {
        match reason {
            Reason::Leaked => Self::Leaked,
            Reason::Unused => Self::Unused,
            Reason::Superseded => Self::Superseded,
            Reason::PrivilegeWithdrawn => Self::PrivilegeWithdrawn,
            Reason::Abused => Self::Abused,
        }
    }
}

impl ReasonFlags {
    /// The reason, for a request.
    pub(crate) fn reason(&self) -> i32 {
        self.reason
            .map_or(RevocationReason::Unspecified, RevocationReason::from)
            .into()
    }

    /// The note, for a request.
    pub(crate) fn note(&self) -> String {
        self.note.clone().unwrap_or_default()
    }

    /// Tells of a reason and note that stayed as they were, because it had
    /// been revoked before.
    pub(crate) fn tell_if_kept(&self, reason: i32, note: &str) {
        if reason != self.reason() || note != self.note() {
            output::tell(&format_args!(
                "note: it was revoked before, {}, which stays",
                told(reason)
            ));
        }
    }
}

fn told(reason: i32) -> String {
    if reason == i32::from(RevocationReason::Unspecified) {
        "without a reason".to_owned()
    } else {
        format!("with the reason {}", text::revocation_reason(reason))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_can_be_given() {
        let names: Vec<_> = Reason::value_variants()
            .iter()
            .map(|reason| text::revocation_reason(RevocationReason::from(*reason).into()))
            .collect();
        assert_eq!(
            names,
            [
                "LEAKED",
                "UNUSED",
                "SUPERSEDED",
                "PRIVILEGE_WITHDRAWN",
                "ABUSED"
            ]
        );
        assert_eq!(told(0), "without a reason");
        assert_eq!(told(4), "with the reason LEAKED");
    }
}
