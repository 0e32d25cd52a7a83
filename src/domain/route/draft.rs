//! A rule as an operator writes it.

use crate::domain::policy::{Policy, WorkspaceChoice};
use crate::domain::target::host_template::HostTemplate;
use crate::domain::target::path_template::PathTemplate;
use crate::domain::text::shown;
use crate::domain::violation::Violations;

use super::{Methods, Route};

/// A rule as its text says it; nothing in it is checked yet.
#[derive(Clone, Debug, Default)]
pub struct RouteDraft<'a> {
    /// Methods and path, as in `GET|HEAD /v1/customers/**`; none, if it was not
    /// given.
    pub pattern: Option<&'a str>,
    /// The hosts; none: all.
    pub host: Option<&'a str>,
    /// Whether requests pass without a credential.
    pub public: bool,
    /// What it asks, as [`Policy::parse`] reads it.
    pub policy: Vec<(&'a str, &'a str)>,
    /// The line that it starts at, from 1.
    pub line: usize,
}

impl RouteDraft<'_> {
    /// Checks the draft and makes a rule of it.
    ///
    /// # Errors
    ///
    /// All that is wrong, against `match`, `host`, `public` or the names of the
    /// policy.
    pub fn build(self) -> Result<Route, Violations> {
        let mut violations = Violations::default();
        let pattern = match self.pattern {
            Some(pattern) => violations.check("match", read_pattern(pattern)),
            None => violations.check("match", Err(MISSING)),
        };
        let host = self.host.map(HostTemplate::read).transpose();
        let host = violations.check("host", host);
        let policy = match Policy::parse(self.policy.iter().copied()) {
            Ok(policy) => Some(policy),
            Err(error) => {
                for violation in error.violations().iter() {
                    violations.add(&violation.field, &violation.description);
                }
                None
            }
        };
        let (Some((methods, path)), Some(host), Some(policy)) = (pattern, host, policy) else {
            return Err(violations);
        };
        let mut route = Route {
            line: self.line,
            methods,
            host,
            path,
            public: self.public,
            policy,
        };
        if route.public {
            check_public(&mut violations, &route);
        } else {
            select_workspace(&mut violations, &mut route);
        }
        violations.none().map(|()| route)
    }
}

/// What is said of a rule without a pattern.
const MISSING: &str =
    "is required: it says which requests the rule is for, as in `match = \"GET /v1/customers/**\"`";

fn read_pattern(text: &str) -> Result<(Methods, PathTemplate), String> {
    let mut words = text.split_ascii_whitespace();
    let (Some(methods), Some(path), None) = (words.next(), words.next(), words.next()) else {
        return Err(format!(
            "is `{}`, and must be methods and a path, as in `GET|HEAD /v1/customers/**`",
            shown(text)
        ));
    };
    let methods = Methods::read(methods)?;
    let path = PathTemplate::read(path).map_err(|error| error.to_string())?;
    Ok((methods, path))
}

/// A public rule asks nothing. Whoever wrote that it does has meant another one.
fn check_public(violations: &mut Violations, route: &Route) {
    let asks = Policy {
        preflights_public: false,
        ..route.policy.clone()
    };
    let captures =
        route.path.has_workspace() || matches!(&route.host, Some(HostTemplate::Workspace(_)));
    if asks != Policy::default() {
        violations.add(
            "public",
            "lets requests pass without a credential, so the rule can ask nothing else: leave out \
             `public`, or what is asked",
        );
    } else if captures {
        violations.add(
            "public",
            "lets requests pass without a credential, so no workspace is selected: write `*` for \
             `{workspace}`",
        );
    }
}

/// Makes `{workspace}` in the host or the path the way to select the workspace.
fn select_workspace(violations: &mut Violations, route: &mut Route) {
    let in_path = route
        .path
        .has_workspace()
        .then(|| ("match", WorkspaceChoice::Path(route.path.clone())));
    let in_host = route
        .host
        .iter()
        .find(|host| matches!(host, HostTemplate::Workspace(_)))
        .map(|host| ("host", WorkspaceChoice::Host(host.clone())));
    for (field, choice) in in_path.into_iter().chain(in_host) {
        if route.policy.workspace.is_some() {
            violations.add(
                field,
                "selects the workspace by `{workspace}`, and the rule selects it in another way, \
                 too: write `*` for `{workspace}`, or leave the other out",
            );
        }
        route.policy.workspace = Some(choice);
    }
}
