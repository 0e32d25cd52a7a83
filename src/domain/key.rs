//! The key: the managed record behind a token, and the rules for making one.

use std::collections::BTreeMap;

use super::clock::Timestamp;
use super::digest::{PepperId, TokenDigest};
use super::id::{KeyId, WorkspaceId};
use super::scope::{Scope, ScopeSet};
use super::token::EnvironmentName;
use super::violation::{Violations, plain_text};
use super::workspace::Workspace;

/// The longest name, in bytes.
pub const MAX_NAME_LEN: usize = 100;
/// The longest description, in bytes.
pub const MAX_DESCRIPTION_LEN: usize = 500;
/// The longest principal, in bytes.
pub const MAX_PRINCIPAL_LEN: usize = 128;
/// The most scopes of one key.
pub const MAX_SCOPES: usize = 100;
/// The most bytes of all scopes of one key together.
pub const MAX_SCOPES_LEN: usize = 2_048;
/// The most entries of metadata.
pub const MAX_METADATA: usize = 16;
/// The longest name of an entry of metadata, in bytes.
pub const MAX_METADATA_NAME_LEN: usize = 32;
/// The longest value of an entry of metadata, in bytes.
pub const MAX_METADATA_VALUE_LEN: usize = 128;

/// A managed API key. It holds digests, never a token.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Key {
    /// The id.
    pub id: KeyId,
    /// The workspace that it is bound to.
    pub workspace: WorkspaceId,
    /// Its environment; none, if the workspace has none.
    pub environment: Option<EnvironmentName>,
    /// Whoever acts with it.
    pub principal: String,
    /// The name for people.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// What it may do.
    pub scopes: ScopeSet,
    /// What is handed to the gateway with each allowed check.
    pub metadata: BTreeMap<String, String>,
    /// The digests of the tokens that stand for it.
    pub secrets: Vec<Secret>,
    /// When it was created.
    pub create_time: Timestamp,
    /// The id of the admin key that created it.
    pub created_by: String,
    /// When it stops working; none: when it is revoked.
    pub expire_time: Option<Timestamp>,
    /// Whether it is switched off.
    pub disabled: bool,
    /// Its end, once it is revoked.
    pub revocation: Option<Revocation>,
}

impl Key {
    /// Whether the key works at `now`, and if not, why: the first ground in
    /// the verdict's order.
    #[must_use]
    pub fn state(&self, now: Timestamp) -> KeyState {
        if self.revocation.is_some() {
            KeyState::Revoked
        } else if self.expire_time.is_some_and(|expiry| expiry <= now) {
            KeyState::Expired
        } else if self.disabled {
            KeyState::Disabled
        } else {
            KeyState::Active
        }
    }
}

/// One token of a key, of which only the digest is kept.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Secret {
    /// The keyed digest of the token.
    pub digest: TokenDigest,
    /// The token's last four characters, for display.
    pub tail: [u8; 4],
    /// When it was minted.
    pub create_time: Timestamp,
    /// The pepper that the digest is keyed by.
    pub pepper_id: PepperId,
}

/// The end of a key, which is final.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Revocation {
    /// When.
    pub time: Timestamp,
    /// Why.
    pub reason: RevocationReason,
    /// The id of the admin key that did it.
    pub by: String,
}

/// Why a key was revoked.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum RevocationReason {
    /// No reason was given.
    #[default]
    Unspecified,
    /// It is no longer needed.
    Unused,
    /// Another key has taken its place.
    Superseded,
    /// Its principal has left or lost the right to it.
    PrivilegeWithdrawn,
    /// Its token became known to others.
    Leaked,
    /// It was used against the rules.
    Abused,
}

impl RevocationReason {
    /// The reason in words of audit records and logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unspecified => "unspecified",
            Self::Unused => "unused",
            Self::Superseded => "superseded",
            Self::PrivilegeWithdrawn => "privilege_withdrawn",
            Self::Leaked => "leaked",
            Self::Abused => "abused",
        }
    }
}

/// Whether a key works.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum KeyState {
    /// It works.
    Active,
    /// Its expiry has passed.
    Expired,
    /// It is switched off, which can be undone.
    Disabled,
    /// It was revoked, for good.
    Revoked,
}

/// A key as its issuer describes it; nothing in it is checked yet.
#[derive(Clone, Debug, Default)]
pub struct KeyDraft {
    /// The id of the workspace that it is to work in.
    pub workspace: String,
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
}

/// The parts of a draft that had to be read to be checked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KeySpec {
    /// The environment of the key.
    pub environment: Option<EnvironmentName>,
    /// What it may do.
    pub scopes: ScopeSet,
}

impl KeyDraft {
    /// Checks the draft for a key of `workspace`.
    ///
    /// # Errors
    ///
    /// All fields that are not acceptable.
    pub fn check(&self, workspace: &Workspace, now: Timestamp) -> Result<KeySpec, Violations> {
        let mut violations = Violations::default();
        let environment = self.check_environment(&mut violations, workspace);
        plain_text(
            &mut violations,
            "principal",
            &self.principal,
            true,
            MAX_PRINCIPAL_LEN,
        );
        plain_text(&mut violations, "name", &self.name, true, MAX_NAME_LEN);
        plain_text(
            &mut violations,
            "description",
            &self.description,
            false,
            MAX_DESCRIPTION_LEN,
        );
        let scopes = self.check_scopes(&mut violations);
        self.check_metadata(&mut violations);
        match self.expire_time {
            Some(expiry) if expiry <= now => {
                violations.add(
                    "expire_time",
                    format!("is not in the future; it is now {now}"),
                );
            }
            Some(expiry) if expiry > Timestamp::MAX => {
                violations.add(
                    "expire_time",
                    "is not a time up to the end of the year 9999",
                );
            }
            Some(_) | None => {}
        }
        violations.none().map(|()| KeySpec {
            environment,
            scopes,
        })
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

    fn check_scopes(&self, violations: &mut Violations) -> ScopeSet {
        if self.scopes.len() > MAX_SCOPES {
            let description = format!(
                "has {} entries; at most {MAX_SCOPES} are allowed",
                self.scopes.len()
            );
            violations.add("scopes", description);
            return ScopeSet::default();
        }
        let length: usize = self.scopes.iter().map(String::len).sum();
        if length > MAX_SCOPES_LEN {
            violations.add(
                "scopes",
                format!("are {length} bytes together; at most {MAX_SCOPES_LEN} are allowed"),
            );
        }
        let mut scopes = Vec::with_capacity(self.scopes.len());
        for (position, text) in self.scopes.iter().enumerate() {
            let scope = Scope::try_from(text.as_str());
            scopes.extend(violations.check(format!("scopes[{position}]"), scope));
        }
        ScopeSet::new(scopes)
    }

    fn check_metadata(&self, violations: &mut Violations) {
        if self.metadata.len() > MAX_METADATA {
            let description = format!(
                "has {} entries; at most {MAX_METADATA} are allowed",
                self.metadata.len()
            );
            violations.add("metadata", description);
            return;
        }
        for (position, (name, value)) in self.metadata.iter().enumerate() {
            // The name is not echoed: it is the caller's text, of any length.
            let field = format!("metadata[{position}]");
            let characters = name
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b));
            if name.is_empty() || name.len() > MAX_METADATA_NAME_LEN || !characters {
                let description = format!(
                    "its name must be 1 to {MAX_METADATA_NAME_LEN} characters of A-Z, a-z, 0-9, `_`, `.` and `-`"
                );
                violations.add(&field, description);
            }
            plain_text(violations, &field, value, false, MAX_METADATA_VALUE_LEN);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
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
        let limits: [(&str, usize, Fill); 8] = [
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
    fn all_violations_come_at_once() {
        let draft = KeyDraft {
            environment: "prod".into(),
            name: " ".into(),
            principal: "a\nb".into(),
            scopes: vec!["people:read".into(), "People".into()],
            metadata: [("a b".into(), "\u{7f}".into())].into(),
            expire_time: Some(NOW),
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
                "expire_time"
            ]
        );
    }

    #[test]
    fn the_state_follows_the_order_of_the_verdict() {
        let spec = draft().check(&workspace(&[]), NOW).unwrap();
        let mut key = Key {
            id: KeyId::generate(NOW),
            workspace: "w".parse().unwrap(),
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
        });
        assert_eq!(key.state(NOW), KeyState::Revoked);
    }
}
