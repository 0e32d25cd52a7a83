//! What a route asks of whoever calls it. A gateway's operator says so, where
//! clients have no say: in the gateway's own configuration, or in keyward's
//! routes.

mod header_name;
mod read;
mod selection;

use thiserror::Error;

use super::due::USUAL_COST;
use super::limit::{LimitName, MAX_LIMITS};
use super::target::host_template::HostTemplate;
use super::target::path_template::PathTemplate;
use super::verdict::{ANY_ENVIRONMENT, MAX_REQUIREMENTS};

pub use read::{PolicyError, names};
pub use selection::Selection;

/// What a route asks.
///
/// Everything is optional: of two policies that count on one request, both hold
/// ([`Policy::and`]).
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Policy {
    /// Scope requirements, all of which must hold; none twice.
    pub required_scopes: Vec<Box<str>>,
    /// The limits that count besides those that always do; none twice.
    pub limits: Vec<LimitName>,
    /// How much a request spends; none: 1.
    pub cost: Option<u32>,
    /// The environment that the request is for; none: the workspace's default;
    /// `*`: any.
    pub environment: Option<Box<str>>,
    /// The workspace that the request is for; none: the key's own.
    pub workspace: Option<WorkspaceChoice>,
    /// The names, in lower case, of the headers that may hold the credential,
    /// none twice; none: `authorization` alone.
    pub credential_headers: Option<Vec<Box<str>>>,
    /// Whether a CORS preflight passes without a credential.
    pub preflights_public: bool,
}

/// How the workspace that a request is for is selected.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum WorkspaceChoice {
    /// Always this one.
    Fixed(Box<str>),
    /// The value of the header of this name, in lower case.
    Header(Box<str>),
    /// What stands in the host for `{workspace}`.
    Host(HostTemplate),
    /// What stands in the path for `{workspace}`.
    Path(PathTemplate),
}

/// Two policies count on one request, and no request can meet both.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum PolicyConflict {
    /// They are of two environments.
    #[error(
        "one policy is of environment {0}, the other of {1}: name the environment in one place"
    )]
    Environments(Box<str>, Box<str>),
    /// They select the workspace in two ways.
    #[error("two policies select the workspace in different ways: select it in one place")]
    Workspaces,
    /// They take the credential from different headers.
    #[error(
        "two policies take the credential from different headers: name the same in both, or name \
         them in one place"
    )]
    CredentialHeaders,
    /// They name more limits than a check can.
    #[error("two policies name {0} limits together, and a check can name at most {MAX_LIMITS}")]
    Limits(usize),
    /// They require more scopes than a check can.
    #[error(
        "two policies require {0} scopes together, and a check can require at most \
         {MAX_REQUIREMENTS}"
    )]
    Scopes(usize),
}

impl Policy {
    /// The policy that text pairs write: the names are those of [`names`], each
    /// at most once, and no value is empty.
    ///
    /// | name | value |
    /// |---|---|
    /// | `required_scopes` | requirements apart by spaces, alternatives of one joined by `\|` |
    /// | `limits` | names apart by commas or spaces |
    /// | `cost` | a number; 0 looks and spends nothing |
    /// | `environment` | its name, or `*` |
    /// | `workspace` | its id |
    /// | `workspace_header` | the name of the header that has the id |
    /// | `workspace_host` | as in `{workspace}.example.com` |
    /// | `workspace_path` | as in `/w/{workspace}/**` |
    /// | `credential_headers` | names of headers apart by commas or spaces |
    /// | `preflights` | `public` |
    ///
    /// # Errors
    ///
    /// All that is wrong, for the operator who wrote it: names that are none of
    /// these, values that mean nothing, more than one way to select the workspace.
    pub fn parse<'a>(
        pairs: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Self, PolicyError> {
        read::read(pairs)
    }

    /// The policy under which both hold: what either requires, the limits of
    /// both, the higher cost. Where one is silent, the other counts, but never to
    /// ask for less than silence does: a cost of 0 and `*` for the environment hold
    /// only if both say so. Preflights are public if either says so, for there is no way to
    /// say the opposite.
    ///
    /// # Errors
    ///
    /// [`PolicyConflict`], if they name different environments, ways to select
    /// the workspace, or credential headers, in whatever order; or more limits or
    /// scopes together than a check can.
    pub fn and(&self, other: &Self) -> Result<Self, PolicyConflict> {
        let required_scopes = union(&self.required_scopes, &other.required_scopes);
        if required_scopes.len() > MAX_REQUIREMENTS {
            return Err(PolicyConflict::Scopes(required_scopes.len()));
        }
        let limits = union(&self.limits, &other.limits);
        if limits.len() > MAX_LIMITS {
            return Err(PolicyConflict::Limits(limits.len()));
        }
        let environment = self.environment_with(other)?;
        let workspace = either(&self.workspace, &other.workspace)
            .map_err(|_different| PolicyConflict::Workspaces)?;
        Ok(Self {
            required_scopes,
            limits,
            cost: self.cost_with(other),
            environment,
            workspace,
            credential_headers: self.headers_with(other)?,
            preflights_public: self.preflights_public || other.preflights_public,
        })
    }

    /// The higher cost; one that is not named is the usual one.
    fn cost_with(&self, other: &Self) -> Option<u32> {
        let named = self.cost.or(other.cost)?;
        let cost = |policy: &Self| policy.cost.unwrap_or(USUAL_COST);
        Some(named.max(cost(self)).max(cost(other)))
    }

    /// The environment of both. Silence asks for the default one, which any is not.
    fn environment_with(&self, other: &Self) -> Result<Option<Box<str>>, PolicyConflict> {
        match (self.environment.as_deref(), other.environment.as_deref()) {
            (Some(ANY_ENVIRONMENT), None) | (None, Some(ANY_ENVIRONMENT)) => Ok(None),
            _ => either(&self.environment, &other.environment)
                .map_err(|(one, two)| PolicyConflict::Environments(one.clone(), two.clone())),
        }
    }

    fn headers_with(&self, other: &Self) -> Result<Option<Vec<Box<str>>>, PolicyConflict> {
        let sorted = |policy: &Self| {
            let mut headers = policy.credential_headers.clone()?;
            headers.sort_unstable();
            Some(headers)
        };
        either(&sorted(self), &sorted(other))
            .map_err(|_different| PolicyConflict::CredentialHeaders)?;
        let headers = self.credential_headers.as_ref();
        Ok(headers.or(other.credential_headers.as_ref()).cloned())
    }
}

fn union<T: Clone + PartialEq>(one: &[T], other: &[T]) -> Vec<T> {
    let added = other.iter().filter(|item| !one.contains(item));
    one.iter().chain(added).cloned().collect()
}

/// The one that is there, or what both are.
fn either<'a, T: Clone + PartialEq>(
    one: &'a Option<T>,
    other: &'a Option<T>,
) -> Result<Option<T>, (&'a T, &'a T)> {
    match (one, other) {
        (Some(one), Some(other)) if one != other => Err((one, other)),
        (Some(value), _) | (None, Some(value)) => Ok(Some(value.clone())),
        (None, None) => Ok(None),
    }
}

#[cfg(test)]
mod tests;
