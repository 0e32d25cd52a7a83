//! The explanation of a verdict: its steps, in order, and how each went.
//!
//! Which step it was that failed follows from the verdict alone, so that no
//! explanation can differ from what is explained.

use super::verdict::{DenialReason, Verdict};

/// The steps of the verdict.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum CheckStep {
    /// The header is one credential.
    Credential,
    /// What it holds has the form of a token.
    Token,
    /// A key has this token.
    Key,
    /// The key is good in the workspace.
    Workspace,
    /// The key was not revoked.
    Revocation,
    /// Neither the key's time nor the token's is over.
    Expiry,
    /// Nothing is switched off, and the principal is a member.
    Switches,
    /// The key is of the environment.
    Environment,
    /// The key may be used from the address.
    SourceAddress,
    /// The key has the scopes.
    Scopes,
    /// The limits that were named are there.
    LimitNames,
    /// No limit is in the way.
    Limits,
    /// There are credits enough.
    Credits,
}

impl CheckStep {
    /// All of them, in order.
    pub const ALL: [Self; 13] = [
        Self::Credential,
        Self::Token,
        Self::Key,
        Self::Workspace,
        Self::Revocation,
        Self::Expiry,
        Self::Switches,
        Self::Environment,
        Self::SourceAddress,
        Self::Scopes,
        Self::LimitNames,
        Self::Limits,
        Self::Credits,
    ];

    /// The step at which a check is denied with `reason`, by how far it got with
    /// who it is.
    #[must_use]
    pub const fn of(reason: DenialReason, reached: Reached) -> Self {
        match (reason, reached) {
            (DenialReason::Missing | DenialReason::Malformed, _) => Self::Credential,
            (DenialReason::Unknown, Reached::Nothing) => Self::Token,
            (DenialReason::Unknown, Reached::Token) => Self::Key,
            (DenialReason::Unknown, Reached::Key) | (DenialReason::WorkspaceRequired, _) => {
                Self::Workspace
            }
            (DenialReason::Revoked, _) => Self::Revocation,
            (DenialReason::Expired, _) => Self::Expiry,
            (DenialReason::Disabled, _) => Self::Switches,
            (DenialReason::Environment, _) => Self::Environment,
            (DenialReason::SourceAddress, _) => Self::SourceAddress,
            (DenialReason::InsufficientScope, _) => Self::Scopes,
            (DenialReason::UnknownLimit, _) => Self::LimitNames,
            (DenialReason::RateLimited, _) => Self::Limits,
            (DenialReason::CreditsExhausted, _) => Self::Credits,
        }
    }
}

/// What a check found out of who it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reached {
    /// Nothing.
    Nothing,
    /// There is a token of the right form.
    Token,
    /// A key has it.
    Key,
}

/// How a step went.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StepState {
    /// Nothing is in the way.
    Passed,
    /// This is why the check is denied.
    Failed,
    /// A step before it failed.
    NotReached,
}

/// What is said of a step.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Said {
    /// Why it went so, in a sentence.
    pub message: String,
    /// What was looked at.
    pub facts: Vec<(&'static str, String)>,
}

impl Said {
    /// A sentence.
    #[must_use]
    pub fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            facts: Vec::new(),
        }
    }

    /// The same with a fact, unless that is empty.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl ToString) -> Self {
        let value = value.to_string();
        if !value.is_empty() {
            self.facts.push((name, value));
        }
        self
    }
}

/// A step, and how it went.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ExplainedStep {
    /// Which.
    pub step: CheckStep,
    /// How it went.
    pub state: StepState,
    /// What is said of it; nothing, if it was not reached.
    pub said: Said,
}

/// A verdict, and how it came.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Explanation {
    /// The verdict; none, if it is not told.
    pub verdict: Option<Verdict>,
    /// All steps, in order.
    pub steps: Vec<ExplainedStep>,
}

impl Explanation {
    /// The steps up to the one that has `failed`, if one did, of each of which
    /// `say` says how it went.
    pub fn new(
        verdict: Option<Verdict>,
        failed: Option<CheckStep>,
        say: impl Fn(CheckStep, StepState) -> Said,
    ) -> Self {
        let explained = |step| {
            let state = match failed {
                Some(failed) if step == failed => StepState::Failed,
                Some(failed) if step > failed => StepState::NotReached,
                Some(_) | None => StepState::Passed,
            };
            let said = match state {
                StepState::NotReached => Said::default(),
                StepState::Passed | StepState::Failed => say(step, state),
            };
            ExplainedStep { step, state, said }
        };
        Self {
            verdict,
            steps: CheckStep::ALL.into_iter().map(explained).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_steps_are_in_the_order_of_the_reasons() {
        assert!(CheckStep::ALL.is_sorted());
        let steps = DenialReason::ALL.map(|reason| CheckStep::of(reason, Reached::Key));
        assert!(steps.is_sorted(), "{steps:?}");
        let unknown = [Reached::Nothing, Reached::Token, Reached::Key]
            .map(|reached| CheckStep::of(DenialReason::Unknown, reached));
        assert_eq!(
            unknown,
            [CheckStep::Token, CheckStep::Key, CheckStep::Workspace]
        );
    }

    #[test]
    fn what_is_behind_the_failed_step_is_not_told_of() {
        let say = |step, state| Said::new(format!("{step:?} {state:?}"));
        let told = Explanation::new(None, Some(CheckStep::Key), say);
        let states: Vec<_> = told.steps.iter().map(|step| step.state).collect();
        assert_eq!(states[..2], [StepState::Passed; 2]);
        assert_eq!(states[2], StepState::Failed);
        assert_eq!(states[3..], [StepState::NotReached; 10]);
        assert_eq!(told.steps[2].said.message, "Key Failed");
        assert!(
            told.steps[3..]
                .iter()
                .all(|step| step.said == Said::default())
        );
        let told = Explanation::new(Some(Verdict::Allowed), None, say);
        assert!(
            told.steps
                .iter()
                .all(|step| step.state == StepState::Passed)
        );
    }
}
