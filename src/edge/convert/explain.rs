//! The question of a check that is to be explained, and the explanation.

use crate::domain::due::USUAL_COST;
use crate::domain::explanation::{CheckStep, ExplainedStep, StepState};
use crate::domain::verdict::Verdict;
use crate::service::registry::{CheckQuestion, ExplainedCheck};

use super::{key, pb};

/// What a gateway would ask.
pub(in crate::edge) fn question(request: pb::ExplainCheckRequest) -> CheckQuestion {
    CheckQuestion {
        credential: request.credential,
        workspace: request.workspace,
        environment: request.environment,
        required_scopes: request.required_scopes,
        limits: request.limits,
        cost: request.cost.unwrap_or(USUAL_COST),
        source_address: request.source_address,
    }
}

/// An explanation, as it is told.
pub(in crate::edge) fn shown(explained: ExplainedCheck) -> pb::ExplainCheckResponse {
    let (verdict, reason) = match explained.explanation.verdict {
        Some(Verdict::Allowed) => (pb::ExplainedVerdict::Allowed, None),
        Some(Verdict::Denied(reason)) => (pb::ExplainedVerdict::Denied, Some(reason)),
        None => (pb::ExplainedVerdict::NotTold, None),
    };
    pb::ExplainCheckResponse {
        verdict: verdict.into(),
        denial_reason: reason.map_or("", |reason| reason.as_str()).to_owned(),
        http_status: reason.map_or(0, |reason| reason.http_status().into()),
        steps: explained.explanation.steps.into_iter().map(step).collect(),
        key: explained.key.map(key::shown),
    }
}

fn step(explained: ExplainedStep) -> pb::ExplainedStep {
    let state = match explained.state {
        StepState::Passed => pb::CheckStepState::Passed,
        StepState::Failed => pb::CheckStepState::Failed,
        StepState::NotReached => pb::CheckStepState::NotReached,
    };
    let facts = explained.said.facts.into_iter();
    pb::ExplainedStep {
        step: wire_step(explained.step).into(),
        state: state.into(),
        message: explained.said.message,
        facts: facts
            .map(|(name, value)| pb::CheckFact {
                name: name.to_owned(),
                value,
            })
            .collect(),
    }
}

const fn wire_step(step: CheckStep) -> pb::CheckStep {
    match step {
        CheckStep::Credential => pb::CheckStep::Credential,
        CheckStep::Token => pb::CheckStep::Token,
        CheckStep::Key => pb::CheckStep::Key,
        CheckStep::Workspace => pb::CheckStep::Workspace,
        CheckStep::Revocation => pb::CheckStep::Revocation,
        CheckStep::Expiry => pb::CheckStep::Expiry,
        CheckStep::Switches => pb::CheckStep::Switches,
        CheckStep::Environment => pb::CheckStep::Environment,
        CheckStep::SourceAddress => pb::CheckStep::SourceAddress,
        CheckStep::Scopes => pb::CheckStep::Scopes,
        CheckStep::LimitNames => pb::CheckStep::LimitNames,
        CheckStep::Limits => pb::CheckStep::Limits,
        CheckStep::Credits => pb::CheckStep::Credits,
    }
}
