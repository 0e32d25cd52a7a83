//! Why a check is answered as it is, told to those who may read the key.

mod phrases;
mod words;

use std::fmt;

use crate::domain::admin::Deed;
use crate::domain::credential::{self, Scratch};
use crate::domain::digest::TokenDigest;
use crate::domain::due::{Demand, Named};
use crate::domain::explanation::{CheckStep, Explanation, Reached};
use crate::domain::token::{self, Shape};
use crate::domain::verdict::{Ask, Verdict};
use crate::store::{Record, RecordId, Versioned};

use super::super::admission::Actor;
use super::super::checker::{Checker, Trial};
use super::super::error::{Kind, RegistryError};
use super::{KeyView, MAX_TRIES, Registry, conflict};

use words::Case;

/// What a gateway would ask.
#[derive(Clone, Default)]
pub struct CheckQuestion {
    /// The raw value of the header.
    pub credential: String,
    /// The workspace; empty: the key's own.
    pub workspace: String,
    /// The environment; empty: the default.
    pub environment: String,
    /// What the key must be allowed.
    pub required_scopes: Vec<String>,
    /// The limits to count on.
    pub limits: Vec<String>,
    /// How much to spend of them.
    pub cost: u32,
    /// Where the request came from; empty: that is not known.
    pub source_address: String,
}

impl fmt::Debug for CheckQuestion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CheckQuestion")
            .field("workspace", &self.workspace)
            .finish_non_exhaustive()
    }
}

/// Why a check is answered so, and the key that it is about.
#[derive(Clone, Debug)]
pub struct ExplainedCheck {
    /// The verdict and its steps.
    pub explanation: Explanation,
    /// The key; none, if there is none that the caller may see.
    pub key: Option<KeyView>,
}

impl Registry {
    /// The same, that explains the verdicts of `checker`.
    #[must_use]
    pub fn explaining(self, checker: Checker) -> Self {
        Self {
            checker: Some(checker),
            ..self
        }
    }

    /// Tells what a check would be answered now, and why, and spends nothing.
    ///
    /// # Errors
    ///
    /// [`RegistryError::NotFound`] for a workspace that the caller may not see,
    /// or the caller may not, or the store fails, or others change the key over
    /// and over.
    pub async fn explain_check(
        &self,
        actor: &Actor,
        question: &CheckQuestion,
    ) -> Result<ExplainedCheck, RegistryError> {
        match (question.workspace.as_str(), actor.workspace()) {
            // One that is not there is denied by the verdict, as for a check.
            (_, None) => actor.may(Deed::Read)?,
            ("", Some(_)) => {}
            (asked, Some(_)) => {
                self.workspace(actor, Deed::Read, asked, "workspace")
                    .await?;
            }
        }
        let checker = self.checker.as_ref().ok_or(RegistryError::Internal)?;
        let mut raced = RegistryError::Internal;
        for _ in 0..MAX_TRIES {
            let credential = question.credential.as_bytes();
            let key = self.presented_key(actor, credential).await?;
            let told = question.put_to(checker, |trial| {
                explained(actor, question, key.as_ref(), trial)
            });
            match told {
                Ok(explanation) if self.is_still(actor, credential, key.as_ref()).await? => {
                    return Ok(ExplainedCheck { explanation, key });
                }
                Ok(_) => {
                    let id = key.map(|view| view.key.id.to_string());
                    raced = conflict(Kind::Key, &id.unwrap_or_default());
                }
                Err(error) => raced = error,
            }
        }
        Err(raced)
    }

    /// Whether the key whose token is presented is as it was read, `before` it was
    /// judged: what is told of it is then what was judged.
    async fn is_still(
        &self,
        actor: &Actor,
        credential: &[u8],
        before: Option<&KeyView>,
    ) -> Result<bool, RegistryError> {
        let etag = |view: &KeyView| view.etag.clone();
        let after = self.presented_key(actor, credential).await?;
        Ok(after.as_ref().map(etag) == before.map(etag))
    }

    /// The key whose token is presented, if the caller may read it. Checks judge
    /// by it from then on, or by what came after it.
    async fn presented_key(
        &self,
        actor: &Actor,
        credential: &[u8],
    ) -> Result<Option<KeyView>, RegistryError> {
        let Some(digest) = self.presented(credential) else {
            return Ok(None);
        };
        let Some(id) = self.visible_key(actor, digest) else {
            return Ok(None);
        };
        let found = self
            .read(RecordId::Key(id), Kind::Key, &id.to_string())
            .await?;
        let now = self.clock.now();
        Ok(found.and_then(|found| match found {
            Versioned {
                record: Record::Key(record),
                revision,
            } => Some(self.view(Versioned { record, revision }, now)),
            // It was deleted in the meantime.
            Versioned { .. } => None,
        }))
    }

    fn presented(&self, credential: &[u8]) -> Option<TokenDigest> {
        let mut scratch = Scratch::new();
        let token = credential::parse(credential, &mut scratch).ok()?;
        match token::shape(token) {
            Shape::Native => Some(self.hasher.digest(token)),
            Shape::BadChecksum => None,
            // Another product's, if it was imported.
            Shape::Foreign => self.index.foreign(&self.hasher, token),
        }
    }
}

impl CheckQuestion {
    /// Tries the question out, as a gateway would ask it.
    fn put_to<T>(&self, checker: &Checker, see: impl FnOnce(Trial<'_>) -> T) -> T {
        let ask = Ask {
            workspace: named(&self.workspace),
            environment: named(&self.environment),
            required_scopes: self.required_scopes.iter().map(String::as_str),
            source_address: named(&self.source_address),
        };
        let mut limits = Named::default();
        for name in &self.limits {
            limits.add(name);
        }
        let demand = Demand {
            limits,
            cost: self.cost,
        };
        checker.try_out(self.credential.as_bytes(), &ask, &demand, see)
    }
}

fn named(text: &str) -> Option<&str> {
    Some(text).filter(|text| !text.is_empty())
}

/// Says how each step went. A key that was found and is not `visible` is, to
/// whoever is confined to a workspace, as if there were none.
fn explained(
    actor: &Actor,
    question: &CheckQuestion,
    visible: Option<&KeyView>,
    trial: Trial<'_>,
) -> Result<Explanation, RegistryError> {
    let case = Case::new(question, visible, &trial);
    let found = trial.key.map(|(key, _)| key.id());
    let is_confined = actor.workspace().is_some();
    let reached = match (found, visible) {
        (Some(found), Some(view)) if found == view.key.id => Reached::Key,
        (None, None) => trial.reached,
        // That it was imported elsewhere is not told either.
        (Some(_), None) if is_confined && case.is_foreign() => Reached::Nothing,
        (Some(_), None) if is_confined => Reached::Token,
        // It was issued, changed or deleted just now: the next try tells.
        (Some(found), _) => return Err(conflict(Kind::Key, &found.to_string())),
        (None, Some(view)) => return Err(conflict(Kind::Key, &view.key.id.to_string())),
    };
    // No key can have a token that starts like an admin's, so that one is known.
    let is_certain = match reached {
        Reached::Key => true,
        Reached::Token => !is_confined || case.is_of_admin(),
        Reached::Nothing => !is_confined || !case.is_foreign(),
    };
    let failed = match (reached, trial.verdict) {
        (Reached::Token, _) => Some(CheckStep::Key),
        (Reached::Nothing, _) if !is_certain => Some(CheckStep::Token),
        (_, Verdict::Denied(reason)) => Some(CheckStep::of(reason, reached)),
        (_, Verdict::Allowed) => None,
    };
    let verdict = is_certain.then_some(trial.verdict);
    Ok(Explanation::new(verdict, failed, |step, state| {
        case.say(step, state, is_certain)
    }))
}
