//! What operators say of a key, to issue it or to change it: checked as a
//! whole before anything is made of it.

use std::collections::BTreeMap;

use super::catalog::ScopeCatalog;
use super::clock::Timestamp;
use super::credits::Balance;
use super::credits_draft::CreditsDraft;
use super::fields;
use super::key::{Bond, Key};
use super::limit::{LimitDraft, LimitSet, read_limits};
use super::principal::check_principal;
use super::request::check_request_id;
use super::scope::ScopeSet;
use super::source::SourceRanges;
use super::token::{EnvironmentName, TokenPrefix};
use super::violation::Violations;
use super::workspace::Workspace;

/// A key as its issuer describes it; nothing in it is checked yet.
#[derive(Clone, Debug, Default)]
pub struct KeyDraft {
    /// The id of the workspace that it is to work in; empty: it is personal.
    pub workspace: String,
    /// What the tokens of a personal key are to start with; empty for others.
    pub token_prefix: String,
    /// Empty: the workspace's default.
    pub environment: String,
    /// Whoever is to act with it.
    pub principal: String,
    /// The name for people.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// What it may do.
    pub scopes: Vec<String>,
    /// What is handed to the gateway.
    pub metadata: BTreeMap<String, String>,
    /// When it is to stop working.
    pub expire_time: Option<Timestamp>,
    /// What it is to have to use up; none: it needs nothing of the kind.
    pub credits: Option<CreditsDraft>,
    /// What makes it safe to ask again; empty: nothing does.
    pub request_id: String,
    /// How much checks of it may spend.
    pub limits: Vec<LimitDraft>,
    /// Where requests with it may come from; none: from anywhere.
    pub source_addresses: Vec<String>,
}

/// The parts of a draft that had to be read to be checked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KeySpec {
    /// Where it can be used.
    pub bond: Bond,
    /// The environment of the key.
    pub environment: Option<EnvironmentName>,
    /// What it may do.
    pub scopes: ScopeSet,
    /// How much checks of it may spend.
    pub limits: LimitSet,
    /// Where requests with it may come from.
    pub source_addresses: SourceRanges,
    /// What it has to use up.
    pub credits: Option<Balance>,
}

/// What all keys have, as it was read.
struct Fields {
    scopes: ScopeSet,
    limits: LimitSet,
    source_addresses: SourceRanges,
    credits: Option<Balance>,
}

impl KeyDraft {
    /// Whether it asks for a personal key: one of no workspace, whose tokens
    /// start with a prefix of their own.
    #[must_use]
    pub fn is_personal(&self) -> bool {
        self.workspace.is_empty() && !self.token_prefix.is_empty()
    }

    /// Checks the draft for a key of `workspace`.
    ///
    /// # Errors
    ///
    /// All fields that are not acceptable.
    pub fn check(&self, workspace: &Workspace, now: Timestamp) -> Result<KeySpec, Violations> {
        let mut violations = Violations::default();
        if !self.token_prefix.is_empty() {
            violations.add(
                "token_prefix",
                "is for personal keys alone: leave it out, or name no workspace",
            );
        }
        let environment = self.check_environment(&mut violations, workspace);
        let catalog = &workspace.scope_catalog;
        let fields = self.check_fields(&mut violations, catalog, now);
        violations.none().map(|()| KeySpec {
            bond: Bond::Workspace(workspace.id.clone()),
            environment,
            scopes: fields.scopes,
            limits: fields.limits,
            source_addresses: fields.source_addresses,
            credits: fields.credits,
        })
    }

    /// Checks the draft for a personal key, and reads what its tokens are to
    /// start with.
    ///
    /// # Errors
    ///
    /// All fields that are not acceptable.
    pub fn check_personal(&self, now: Timestamp) -> Result<(KeySpec, TokenPrefix), Violations> {
        let mut violations = Violations::default();
        let token_prefix = TokenPrefix::read(&mut violations, "token_prefix", &self.token_prefix);
        let environment = match self.environment.as_str() {
            "" => None,
            name => violations.check("environment", EnvironmentName::try_from(name)),
        };
        let fields = self.check_fields(&mut violations, &ScopeCatalog::default(), now);
        // A missing part has left a violation, so nothing is lost here.
        let (Some(token_prefix), true) = (token_prefix, violations.is_empty()) else {
            return Err(violations);
        };
        let spec = KeySpec {
            bond: Bond::Personal {
                token_prefix: token_prefix.clone(),
            },
            environment,
            scopes: fields.scopes,
            limits: fields.limits,
            source_addresses: fields.source_addresses,
            credits: fields.credits,
        };
        Ok((spec, token_prefix))
    }

    /// Checks what all keys have.
    fn check_fields(
        &self,
        violations: &mut Violations,
        catalog: &ScopeCatalog,
        now: Timestamp,
    ) -> Fields {
        check_principal(violations, "principal", &self.principal);
        fields::check_name(violations, "name", &self.name);
        fields::check_description(violations, "description", &self.description);
        let scopes = fields::read_key_scopes(violations, "scopes", &self.scopes, catalog);
        fields::check_metadata(violations, "metadata", &self.metadata);
        fields::check_expiry(violations, "expire_time", self.expire_time, now);
        let source_addresses =
            SourceRanges::read(violations, "source_addresses", &self.source_addresses);
        let credits = self
            .credits
            .as_ref()
            .and_then(|draft| draft.read(violations, "credits", None, now));
        check_request_id(violations, &self.request_id);
        let limits = read_limits(violations, "limits", &self.limits);
        Fields {
            scopes,
            limits,
            source_addresses,
            credits,
        }
    }

    fn check_environment(
        &self,
        violations: &mut Violations,
        workspace: &Workspace,
    ) -> Option<EnvironmentName> {
        if self.environment.is_empty() {
            return workspace.default_environment.clone();
        }
        let declared = &workspace.environments;
        let found = declared
            .iter()
            .find(|name| name.as_str() == self.environment);
        if found.is_none() {
            let names: Vec<_> = declared.iter().map(EnvironmentName::as_str).collect();
            let description = if names.is_empty() {
                "must be empty: the workspace has no environments".to_owned()
            } else {
                format!(
                    "is not one of the workspace's environments: {}",
                    names.join(", ")
                )
            };
            violations.add("environment", description);
        }
        found.cloned()
    }
}

/// What to change of a key; what is none stays.
#[derive(Clone, Debug, Default)]
pub struct KeyPatch {
    /// The name for people.
    pub name: Option<String>,
    /// What it is for.
    pub description: Option<String>,
    /// What it may do.
    pub scopes: Option<Vec<String>>,
    /// What is handed to the gateway.
    pub metadata: Option<BTreeMap<String, String>>,
    /// When it is to stop working, or that it is not to.
    pub expire_time: Option<Option<Timestamp>>,
    /// How much checks of it may spend.
    pub limits: Option<Vec<LimitDraft>>,
    /// Where requests with it may come from.
    pub source_addresses: Option<Vec<String>>,
}

impl KeyPatch {
    /// The key as it is to be, and the names of the fields that differ. What its
    /// scopes can be is in `catalog`.
    ///
    /// # Errors
    ///
    /// All fields that are not acceptable.
    pub fn apply(
        self,
        key: &Key,
        catalog: &ScopeCatalog,
        now: Timestamp,
    ) -> Result<(Key, Vec<&'static str>), Violations> {
        let mut violations = Violations::default();
        let mut changed = key.clone();
        if let Some(name) = self.name {
            fields::check_name(&mut violations, "key.name", &name);
            changed.name = name;
        }
        if let Some(description) = self.description {
            fields::check_description(&mut violations, "key.description", &description);
            changed.description = description;
        }
        if let Some(texts) = self.scopes {
            changed.scopes =
                fields::read_key_scopes(&mut violations, "key.scopes", &texts, catalog);
        }
        if let Some(metadata) = self.metadata {
            fields::check_metadata(&mut violations, "key.metadata", &metadata);
            changed.metadata = metadata;
        }
        if let Some(expiry) = self.expire_time {
            fields::check_expiry(&mut violations, "key.expire_time", expiry, now);
            changed.expire_time = expiry;
        }
        if let Some(drafts) = self.limits {
            changed.limits = read_limits(&mut violations, "key.limits", &drafts);
        }
        if let Some(texts) = self.source_addresses {
            let field = "key.source_addresses";
            changed.source_addresses = SourceRanges::read(&mut violations, field, &texts);
        }
        violations.none()?;
        let fields = [
            ("name", changed.name != key.name),
            ("description", changed.description != key.description),
            ("scopes", changed.scopes != key.scopes),
            ("metadata", changed.metadata != key.metadata),
            ("expire_time", changed.expire_time != key.expire_time),
            ("limits", changed.limits != key.limits),
            (
                "source_addresses",
                changed.source_addresses != key.source_addresses,
            ),
        ];
        let differing = fields.into_iter().filter(|(_, differs)| *differs);
        let differing = differing.map(|(field, _)| field).collect();
        Ok((changed, differing))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::fields::*;
    use crate::domain::id::KeyId;
    use crate::domain::key::{KeyState, Revocation, RevocationReason};
    use crate::domain::source::MAX_SOURCE_RANGES;
    use crate::domain::workspace::WorkspaceDraft;

    const NOW: Timestamp = Timestamp::from_micros(1_000);

    fn workspace(environments: &[&str]) -> Workspace {
        let environments = environments.iter().map(|&name| name.into()).collect();
        let draft = WorkspaceDraft {
            id: "w".into(),
            token_prefix: "abc".into(),
            environments,
            ..Default::default()
        };
        draft.build("adm".into(), NOW).unwrap()
    }

    fn draft() -> KeyDraft {
        KeyDraft {
            workspace: "w".into(),
            principal: "user:ada".into(),
            name: "n".into(),
            ..KeyDraft::default()
        }
    }

    fn fields(draft: &KeyDraft, workspace: &Workspace) -> Vec<String> {
        match draft.check(workspace, NOW) {
            Ok(_) => Vec::new(),
            Err(violations) => violations.iter().map(|v| v.field.clone()).collect(),
        }
    }

    #[test]
    fn every_limit_holds_at_the_limit_and_one_beyond() {
        type Fill = fn(&mut KeyDraft, usize);
        let limits: [(&str, usize, Fill); 9] = [
            ("name", MAX_NAME_LEN, |d, n| d.name = "x".repeat(n)),
            ("description", MAX_DESCRIPTION_LEN, |d, n| {
                d.description = "x".repeat(n)
            }),
            ("principal", MAX_PRINCIPAL_LEN, |d, n| {
                d.principal = "x".repeat(n)
            }),
            ("scopes", MAX_SCOPES, |d, n| {
                d.scopes = (0..n).map(|i| format!("s{i}")).collect()
            }),
            ("scopes", MAX_SCOPES_LEN, |d, n| {
                d.scopes = vec!["x".repeat(64); n / 64];
                d.scopes
                    .extend(Some("y".repeat(n % 64)).filter(|rest| !rest.is_empty()));
            }),
            ("metadata", MAX_METADATA, |d, n| {
                d.metadata = (0..n).map(|i| (i.to_string(), String::new())).collect()
            }),
            ("metadata[0]", MAX_METADATA_NAME_LEN, |d, n| {
                d.metadata = [("x".repeat(n), "v".into())].into()
            }),
            ("metadata[0]", MAX_METADATA_VALUE_LEN, |d, n| {
                d.metadata = [("x".into(), "v".repeat(n))].into()
            }),
            ("source_addresses", MAX_SOURCE_RANGES, |d, n| {
                d.source_addresses = (0..n).map(|i| format!("10.0.0.{i}")).collect()
            }),
        ];
        let workspace = workspace(&[]);
        for (field, limit, fill) in limits {
            let mut draft = draft();
            fill(&mut draft, limit);
            assert_eq!(fields(&draft, &workspace), [""; 0], "{field} at {limit}");
            fill(&mut draft, limit + 1);
            assert_eq!(
                fields(&draft, &workspace),
                [field],
                "{field} beyond {limit}"
            );
        }
    }

    #[test]
    fn the_environment_is_one_of_the_workspace_s_or_its_default() {
        let of = |workspace: &Workspace, environment: &str| {
            let draft = KeyDraft {
                environment: environment.into(),
                ..draft()
            };
            draft
                .check(workspace, NOW)
                .map(|spec| spec.environment.map(|name| name.as_str().to_owned()))
        };
        let two = workspace(&["test", "live"]);
        assert_eq!(of(&two, "").unwrap().as_deref(), Some("live"));
        assert_eq!(of(&two, "test").unwrap().as_deref(), Some("test"));
        assert!(of(&two, "prod").is_err());
        let none = workspace(&[]);
        assert_eq!(of(&none, "").unwrap(), None);
        assert!(of(&none, "live").is_err());
    }

    #[test]
    fn a_personal_key_has_a_prefix_of_its_own_and_any_environment() {
        let of = |prefix: &str, environment: &str| {
            let draft = KeyDraft {
                workspace: String::new(),
                token_prefix: prefix.into(),
                environment: environment.into(),
                ..draft()
            };
            let told = match draft.check_personal(NOW) {
                Ok((spec, _)) => {
                    assert!(spec.bond.workspace().is_none());
                    let of = spec.environment.as_ref();
                    assert_eq!(of.map_or("", EnvironmentName::as_str), environment);
                    Vec::new()
                }
                Err(violations) => violations.iter().map(|v| v.field.clone()).collect(),
            };
            (draft.is_personal(), told)
        };
        let none: Vec<String> = Vec::new();
        assert_eq!(of("abc", ""), (true, none.clone()));
        assert_eq!(of("abc", "anything1"), (true, none));
        assert_eq!(of("abc", "No"), (true, vec!["environment".into()]));
        assert_eq!(of("keyward_x", ""), (true, vec!["token_prefix".into()]));
        assert_eq!(of("A", ""), (true, vec!["token_prefix".into()]));
        assert_eq!(of("", ""), (false, vec!["token_prefix".into()]));
        let bound = KeyDraft {
            token_prefix: "abc".into(),
            ..draft()
        };
        assert!(!bound.is_personal());
        assert_eq!(fields(&bound, &workspace(&[])), ["token_prefix"]);
    }

    #[test]
    fn all_violations_come_at_once() {
        let draft = KeyDraft {
            environment: "prod".into(),
            name: " ".into(),
            principal: "a\nb".into(),
            scopes: vec!["people:read".into(), "People".into()],
            metadata: [("a b".into(), "\u{7f}".into())].into(),
            expire_time: Some(NOW),
            source_addresses: vec!["10.0.0.1".into(), "10.0.0.1/8".into()],
            ..draft()
        };
        assert_eq!(
            fields(&draft, &workspace(&["live"])),
            [
                "environment",
                "principal",
                "name",
                "scopes[1]",
                "metadata[0]",
                "metadata[0]",
                "expire_time",
                "source_addresses[1]"
            ]
        );
    }

    #[test]
    fn the_state_follows_the_order_of_the_verdict() {
        let spec = draft().check(&workspace(&[]), NOW).unwrap();
        let mut key = Key {
            id: KeyId::generate(NOW),
            bond: spec.bond,
            environment: spec.environment,
            principal: "p".into(),
            name: "n".into(),
            description: String::new(),
            scopes: spec.scopes,
            metadata: BTreeMap::new(),
            secrets: Vec::new(),
            create_time: NOW,
            created_by: String::new(),
            expire_time: None,
            disabled: false,
            revocation: None,
            limits: spec.limits,
            source_addresses: spec.source_addresses,
        };
        assert_eq!(key.state(NOW), KeyState::Active);
        key.disabled = true;
        assert_eq!(key.state(NOW), KeyState::Disabled);
        key.expire_time = Some(NOW);
        assert_eq!(key.state(NOW), KeyState::Expired);
        key.expire_time = Some(Timestamp::from_micros(NOW.as_micros() + 1));
        assert_eq!(key.state(NOW), KeyState::Disabled);
        key.revocation = Some(Revocation {
            time: NOW,
            reason: RevocationReason::Leaked,
            by: String::new(),
            note: String::new(),
        });
        assert_eq!(key.state(NOW), KeyState::Revoked);
    }
}
