//! The workspace: tenant and isolation boundary.

use std::time::Duration;

use super::catalog::ScopeCatalog;
use super::clock::Timestamp;
use super::id::WorkspaceId;
use super::limit::{LimitDraft, LimitSet, read_limits};
use super::rotation;
use super::text::plain_text;
use super::token::{EnvironmentName, TokenPrefix};
use super::violation::Violations;

/// The longest display name, in bytes.
pub const MAX_DISPLAY_NAME_LEN: usize = 100;

/// The most environments that a workspace can declare.
pub const MAX_ENVIRONMENTS: usize = 10;

/// What the field of the default environment is called where a change names
/// the fields that differ.
pub const DEFAULT_ENVIRONMENT: &str = "default_environment";

/// What the field of the default limits is called there.
pub const DEFAULT_LIMITS: &str = "default_limits";

/// The environment that is meant by default, if it is declared.
const USUAL_DEFAULT: &str = "live";

/// A tenant: it owns keys, the prefix of their tokens, and environments.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Workspace {
    /// The id.
    pub id: WorkspaceId,
    /// The name for people.
    pub display_name: String,
    /// What its tokens start with.
    pub token_prefix: TokenPrefix,
    /// The environments that its keys can be of.
    pub environments: Vec<EnvironmentName>,
    /// The environment that is meant where none is given; none, if it has none.
    pub default_environment: Option<EnvironmentName>,
    /// The environment whose tokens carry no mark of it.
    pub unmarked_environment: Option<EnvironmentName>,
    /// When it was created.
    pub create_time: Timestamp,
    /// The id of the admin key that created it.
    pub created_by: String,
    /// Whether it is switched off.
    pub disabled: bool,
    /// The scopes that are in use there.
    pub scope_catalog: ScopeCatalog,
    /// The limits of each key that has none of the same name.
    pub default_limits: LimitSet,
    /// How long its keys keep a token before they should be given another.
    pub rotation_period: Duration,
}

impl Workspace {
    /// The part of a token that marks `environment`, if it is marked.
    #[must_use]
    pub fn mark<'a>(
        &self,
        environment: Option<&'a EnvironmentName>,
    ) -> Option<&'a EnvironmentName> {
        environment.filter(|environment| self.unmarked_environment.as_ref() != Some(environment))
    }
}

/// A workspace as its creator describes it; nothing in it is checked yet.
#[derive(Clone, Debug, Default)]
pub struct WorkspaceDraft {
    /// The id.
    pub id: String,
    /// The name for people. Optional.
    pub display_name: String,
    /// What its tokens are to start with.
    pub token_prefix: String,
    /// The environments that its keys can be of.
    pub environments: Vec<String>,
    /// Empty: `live` if it is declared, else the first of the environments.
    pub default_environment: String,
    /// Empty: all are marked.
    pub unmarked_environment: String,
    /// The scopes that are in use there; empty: any may be given.
    pub scope_catalog: Vec<String>,
    /// The limits of each key that has none of the same name.
    pub default_limits: Vec<LimitDraft>,
    /// How long its keys are to keep a token; none: as long as is usual.
    pub rotation_period: Option<Duration>,
}

impl WorkspaceDraft {
    /// Checks the draft and makes a workspace of it.
    ///
    /// # Errors
    ///
    /// All fields that are not acceptable.
    pub fn build(self, created_by: String, now: Timestamp) -> Result<Workspace, Violations> {
        let mut violations = Violations::default();
        let id = self.id.parse::<WorkspaceId>().map_err(|_| {
            "must be 1 to 63 characters of a-z, 0-9, `_`, `.` and `-`, the first a letter or digit"
        });
        let id = violations.check("workspace.id", id);
        plain_text(
            &mut violations,
            "workspace.display_name",
            &self.display_name,
            false,
            MAX_DISPLAY_NAME_LEN,
        );
        let prefix = "workspace.token_prefix";
        let token_prefix = TokenPrefix::read(&mut violations, prefix, &self.token_prefix);
        let environments = declared(&mut violations, &self.environments);
        let default_environment = pick(
            &mut violations,
            "workspace.default_environment",
            &self.default_environment,
            &environments,
        )
        .or_else(|| usual_default(&environments));
        let unmarked_environment = pick(
            &mut violations,
            "workspace.unmarked_environment",
            &self.unmarked_environment,
            &environments,
        );
        let scope_catalog = ScopeCatalog::read(
            &mut violations,
            "workspace.scope_catalog",
            &self.scope_catalog,
        );
        let default_limits = read_limits(
            &mut violations,
            "workspace.default_limits",
            &self.default_limits,
        );
        let rotation_period = rotation::read_period(
            &mut violations,
            "workspace.rotation_period",
            self.rotation_period,
        );

        // A missing part has left a violation, so nothing is lost here.
        let (Some(id), Some(token_prefix), true) = (id, token_prefix, violations.is_empty()) else {
            return Err(violations);
        };
        Ok(Workspace {
            id,
            display_name: self.display_name,
            token_prefix,
            environments,
            default_environment,
            unmarked_environment,
            create_time: now,
            created_by,
            disabled: false,
            scope_catalog,
            default_limits,
            rotation_period,
        })
    }
}

/// What to change of a workspace; what is none stays.
#[derive(Clone, Debug, Default)]
pub struct WorkspacePatch {
    /// The name for people.
    pub display_name: Option<String>,
    /// The environments that its keys can be of: those of now, and more.
    pub environments: Option<Vec<String>>,
    /// The environment that is meant where none is given.
    pub default_environment: Option<String>,
    /// The scopes that are in use there.
    pub scope_catalog: Option<Vec<String>>,
    /// The limits of each key that has none of the same name.
    pub default_limits: Option<Vec<LimitDraft>>,
    /// How long its keys keep a token, or that it is as long as is usual.
    pub rotation_period: Option<Option<Duration>>,
}

impl WorkspacePatch {
    /// The workspace as it is to be, and the names of the fields that differ.
    ///
    /// # Errors
    ///
    /// All fields that are not acceptable.
    pub fn apply(
        self,
        workspace: &Workspace,
    ) -> Result<(Workspace, Vec<&'static str>), Violations> {
        let mut violations = Violations::default();
        let mut changed = workspace.clone();
        if let Some(name) = self.display_name {
            let field = "workspace.display_name";
            plain_text(&mut violations, field, &name, false, MAX_DISPLAY_NAME_LEN);
            changed.display_name = name;
        }
        if let Some(texts) = self.environments {
            changed.environments = declared(&mut violations, &texts);
            refuse_lost_environments(&mut violations, workspace, &changed.environments);
        }
        if let Some(name) = self.default_environment {
            let field = "workspace.default_environment";
            if name.is_empty() && !changed.environments.is_empty() {
                violations.add(field, "is required where there are environments");
            }
            changed.default_environment =
                pick(&mut violations, field, &name, &changed.environments);
        }
        if let Some(texts) = self.scope_catalog {
            let field = "workspace.scope_catalog";
            changed.scope_catalog = ScopeCatalog::read(&mut violations, field, &texts);
        }
        if let Some(drafts) = self.default_limits {
            let field = "workspace.default_limits";
            changed.default_limits = read_limits(&mut violations, field, &drafts);
        }
        if let Some(period) = self.rotation_period {
            let field = "workspace.rotation_period";
            changed.rotation_period = rotation::read_period(&mut violations, field, period);
        }
        violations.none()?;
        let differing = differing(workspace, &changed);
        Ok((changed, differing))
    }
}

/// The names of the fields that can be changed and differ.
fn differing(workspace: &Workspace, changed: &Workspace) -> Vec<&'static str> {
    let fields = [
        (
            "display_name",
            changed.display_name != workspace.display_name,
        ),
        (
            "environments",
            changed.environments != workspace.environments,
        ),
        (
            DEFAULT_ENVIRONMENT,
            changed.default_environment != workspace.default_environment,
        ),
        (
            "scope_catalog",
            changed.scope_catalog != workspace.scope_catalog,
        ),
        (
            DEFAULT_LIMITS,
            changed.default_limits != workspace.default_limits,
        ),
        (
            "rotation_period",
            changed.rotation_period != workspace.rotation_period,
        ),
    ];
    let differing = fields.into_iter().filter(|(_, differs)| *differs);
    differing.map(|(field, _)| field).collect()
}

/// Keys that were issued stay of the environment that they are of: none may
/// lose its own, and those of no environment would pass nowhere any more.
fn refuse_lost_environments(
    violations: &mut Violations,
    workspace: &Workspace,
    environments: &[EnvironmentName],
) {
    let field = "workspace.environments";
    if workspace.environments.is_empty() && !environments.is_empty() {
        violations.add(
            field,
            "cannot be given to a workspace that was created without: its keys are of none; create another workspace",
        );
    }
    let lost: Vec<_> = workspace
        .environments
        .iter()
        .filter(|name| !environments.contains(name))
        .map(EnvironmentName::as_str)
        .collect();
    if !lost.is_empty() {
        violations.add(
            field,
            format!("can only grow: keys may be of {}", lost.join(", ")),
        );
    }
}

fn declared(violations: &mut Violations, texts: &[String]) -> Vec<EnvironmentName> {
    if texts.len() > MAX_ENVIRONMENTS {
        let description = format!(
            "has {} entries; at most {MAX_ENVIRONMENTS} are allowed",
            texts.len()
        );
        violations.add("workspace.environments", description);
        return Vec::new();
    }
    let mut declared = Vec::new();
    for (position, text) in texts.iter().enumerate() {
        let field = format!("workspace.environments[{position}]");
        let Some(name) = violations.check(&field, EnvironmentName::try_from(text.as_str())) else {
            continue;
        };
        if declared.contains(&name) {
            violations.add(field, "is named twice");
        } else {
            declared.push(name);
        }
    }
    declared
}

/// The declared environment called `name`; none if `name` is empty.
fn pick(
    violations: &mut Violations,
    field: &str,
    name: &str,
    declared: &[EnvironmentName],
) -> Option<EnvironmentName> {
    if name.is_empty() {
        return None;
    }
    let found = declared
        .iter()
        .find(|environment| environment.as_str() == name);
    if found.is_none() {
        violations.add(field, "is not one of the workspace's environments");
    }
    found.cloned()
}

fn usual_default(declared: &[EnvironmentName]) -> Option<EnvironmentName> {
    declared
        .iter()
        .find(|name| name.as_str() == USUAL_DEFAULT)
        .or_else(|| declared.first())
        .cloned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draft() -> WorkspaceDraft {
        WorkspaceDraft {
            id: "kling".into(),
            token_prefix: "klg".into(),
            ..WorkspaceDraft::default()
        }
    }

    fn build(draft: WorkspaceDraft) -> Result<Workspace, Vec<String>> {
        draft
            .build("adm_x".into(), Timestamp::from_micros(1))
            .map_err(|violations| violations.iter().map(|v| v.field.clone()).collect())
    }

    #[test]
    fn the_default_environment_is_live_or_the_first() {
        let of = |names: &[&str]| {
            let environments = names.iter().map(|&name| name.into()).collect();
            build(WorkspaceDraft {
                environments,
                ..draft()
            })
            .unwrap()
            .default_environment
        };
        assert_eq!(of(&["test", "live"]).unwrap().as_str(), "live");
        assert_eq!(of(&["sandbox", "prod"]).unwrap().as_str(), "sandbox");
        assert_eq!(of(&[]), None);
    }

    #[test]
    fn only_the_unmarked_environment_has_no_mark() {
        let workspace = build(WorkspaceDraft {
            environments: vec!["live".into(), "test".into()],
            unmarked_environment: "live".into(),
            ..draft()
        })
        .unwrap();
        let [live, test] = workspace.environments.as_slice() else {
            panic!("two environments")
        };
        assert_eq!(workspace.mark(Some(live)), None);
        assert_eq!(workspace.mark(Some(test)), Some(test));
        assert_eq!(workspace.mark(None), None);
    }

    #[test]
    fn all_violations_come_at_once() {
        let fields = build(WorkspaceDraft {
            id: "Kling".into(),
            display_name: "x".repeat(MAX_DISPLAY_NAME_LEN + 1),
            token_prefix: "keyward_x".into(),
            environments: vec!["live".into(), "live".into(), "LIVE".into()],
            default_environment: "prod".into(),
            unmarked_environment: "prod".into(),
            scope_catalog: vec!["people:read".into(), "People".into()],
            default_limits: vec![LimitDraft::default()],
            rotation_period: Some(Duration::ZERO),
        })
        .unwrap_err();
        assert_eq!(
            fields,
            [
                "workspace.id",
                "workspace.display_name",
                "workspace.token_prefix",
                "workspace.environments[1]",
                "workspace.environments[2]",
                "workspace.default_environment",
                "workspace.unmarked_environment",
                "workspace.scope_catalog[1]",
                "workspace.default_limits[0].name",
                "workspace.default_limits[0].count",
                "workspace.default_limits[0].window",
                "workspace.rotation_period",
            ]
        );
    }
}
