//! The slow and obvious model: what keyward promises, in plain lists and plain
//! words. Nothing in it comes from keyward but the names of the reasons.

use std::collections::BTreeSet;

use keyward::domain::verdict::DenialReason;

/// How long a revoked key is kept, in microseconds: 30 days.
pub(super) const RETENTION: u64 = 30 * 24 * 3_600 * 1_000_000;

/// Segments of scopes: as few as can be, so that scopes often have to do with
/// each other.
pub(super) const SEGMENTS: [&str; 2] = ["a", "b"];

/// All that can be answered.
pub(super) const ALL_ANSWERS: [&str; 10] = [
    "allowed",
    "MISSING",
    "MALFORMED",
    "UNKNOWN",
    "REVOKED",
    "EXPIRED",
    "DISABLED",
    "ENVIRONMENT",
    "SOURCE_ADDRESS",
    "INSUFFICIENT_SCOPE",
];

/// All that there is.
#[derive(Debug)]
pub(super) struct World {
    /// In microseconds.
    pub(super) now: u64,
    pub(super) workspaces: Vec<Workspace>,
    /// None is ever taken away from here.
    pub(super) keys: Vec<Key>,
}

#[derive(Debug)]
pub(super) struct Workspace {
    pub(super) id: &'static str,
    pub(super) environments: &'static [&'static str],
    pub(super) default: &'static str,
    pub(super) disabled: bool,
}

#[derive(Clone, Debug)]
pub(super) struct Key {
    /// As the real thing calls it.
    pub(super) id: String,
    pub(super) token: String,
    pub(super) workspace: usize,
    pub(super) environment: &'static str,
    pub(super) scopes: BTreeSet<String>,
    pub(super) sources: Vec<Range>,
    /// When it ends, in microseconds.
    pub(super) end: Option<u64>,
    pub(super) disabled: bool,
    /// When it was revoked.
    pub(super) revoked: Option<u64>,
    pub(super) deleted: bool,
}

/// An address: its family, and its bits as `0` and `1`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Address {
    pub(super) v4: bool,
    pub(super) bits: String,
}

/// The addresses that begin with these bits.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Range {
    pub(super) v4: bool,
    pub(super) prefix: String,
}

impl Range {
    fn holds(&self, address: &Address) -> bool {
        self.v4 == address.v4 && address.bits.starts_with(&self.prefix)
    }
}

/// What operators do, and what happens.
#[derive(Clone, Debug)]
pub(super) enum Change {
    CreateKey(NewKey),
    Scopes(usize, BTreeSet<String>),
    Sources(usize, Vec<Range>),
    End(usize, Option<u64>),
    SwitchKey(usize, bool),
    Revoke(usize),
    Delete(usize),
    SwitchWorkspace(usize, bool),
    Default(usize, &'static str),
    /// Time passes, in microseconds.
    Wait(u64),
    /// The index is loaded anew from the store.
    Restart,
}

#[derive(Clone, Debug)]
pub(super) struct NewKey {
    pub(super) workspace: usize,
    pub(super) environment: &'static str,
    pub(super) scopes: BTreeSet<String>,
    pub(super) sources: Vec<Range>,
    pub(super) end: Option<u64>,
}

/// What the real thing calls a key that it has issued.
#[derive(Debug)]
pub(super) struct Issued {
    pub(super) id: String,
    pub(super) token: String,
}

/// What a gateway asks.
#[derive(Debug)]
pub(super) struct Ask {
    pub(super) credential: Credential,
    pub(super) workspace: Option<&'static str>,
    pub(super) environment: Option<&'static str>,
    pub(super) required: Vec<Requirement>,
    pub(super) source: Source,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Credential {
    Nothing,
    /// No credential in any documented form.
    Malformed,
    /// A token with a letter that is another.
    Mistyped(usize),
    /// A token that nobody has issued.
    Stranger,
    /// The token of an admin key.
    Admin,
    Token(usize),
}

#[derive(Debug)]
pub(super) enum Requirement {
    /// Any one of these scopes.
    AnyOf(Vec<String>),
    /// What is no requirement.
    IllFormed(&'static str),
}

#[derive(Debug)]
pub(super) enum Source {
    Unsaid,
    /// What is no address.
    Nonsense(&'static str),
    Address(Address),
}

/// What a gateway is told.
#[derive(PartialEq, Eq, Debug)]
pub(super) enum Answer {
    Allowed(Told),
    Denied {
        reason: DenialReason,
        /// The key, where the gateway may know it.
        key_id: Option<String>,
    },
}

/// What is told of a key that may.
#[derive(PartialEq, Eq, Debug)]
pub(super) struct Told {
    pub(super) key_id: String,
    pub(super) workspace: String,
    pub(super) environment: String,
    pub(super) scopes: BTreeSet<String>,
    pub(super) end: Option<u64>,
}

impl Answer {
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Allowed(_) => "allowed",
            Self::Denied { reason, .. } => reason.as_str(),
        }
    }
}

impl Default for World {
    fn default() -> Self {
        let workspace = |id, environments: &'static [&'static str]| Workspace {
            id,
            environments,
            default: environments.first().copied().unwrap_or_default(),
            disabled: false,
        };
        Self {
            now: 1_780_000_000_000_000,
            workspaces: vec![
                workspace("one", &["live", "test"]),
                workspace("two", &["live", "test"]),
                workspace("plain", &[]),
            ],
            keys: Vec::new(),
        }
    }
}

impl World {
    /// Makes a change, if it may be made.
    pub(super) fn apply(&mut self, change: &Change) -> bool {
        match change {
            Change::CreateKey(new) => return self.create(new),
            Change::Scopes(key, scopes) => {
                let Some(key) = self.changeable(*key) else {
                    return false;
                };
                key.scopes.clone_from(scopes);
            }
            Change::Sources(key, sources) => {
                let Some(key) = self.changeable(*key) else {
                    return false;
                };
                key.sources.clone_from(sources);
            }
            Change::End(key, end) => {
                let past = end.is_some_and(|end| end <= self.now);
                let Some(key) = self.changeable(*key).filter(|_| !past) else {
                    return false;
                };
                key.end = *end;
            }
            Change::SwitchKey(key, disabled) => {
                let Some(key) = self.changeable(*key) else {
                    return false;
                };
                key.disabled = *disabled;
            }
            Change::Revoke(key) => {
                if self.keys[*key].deleted {
                    return false;
                }
                // Revoking it again changes nothing.
                let now = self.now;
                self.keys[*key].revoked.get_or_insert(now);
            }
            Change::Delete(key) => {
                let now = self.now;
                let key = &mut self.keys[*key];
                let over = key.revoked.is_some_and(|at| at + RETENTION <= now);
                if key.deleted || !over {
                    return false;
                }
                key.deleted = true;
            }
            Change::SwitchWorkspace(workspace, disabled) => {
                self.workspaces[*workspace].disabled = *disabled;
            }
            Change::Default(workspace, environment) => {
                let workspace = &mut self.workspaces[*workspace];
                if !workspace.environments.contains(environment) {
                    return false;
                }
                workspace.default = environment;
            }
            Change::Wait(span) => self.now += span,
            Change::Restart => {}
        }
        true
    }

    fn create(&mut self, new: &NewKey) -> bool {
        let workspace = &self.workspaces[new.workspace];
        let environment = if new.environment.is_empty() {
            workspace.default
        } else if workspace.environments.contains(&new.environment) {
            new.environment
        } else {
            return false;
        };
        if workspace.disabled || new.end.is_some_and(|end| end <= self.now) {
            return false;
        }
        self.keys.push(Key {
            id: String::new(),
            token: String::new(),
            workspace: new.workspace,
            environment,
            scopes: new.scopes.clone(),
            sources: new.sources.clone(),
            end: new.end,
            disabled: false,
            revoked: None,
            deleted: false,
        });
        true
    }

    /// Takes the names of the key that was made last.
    pub(super) fn learn(&mut self, issued: Issued) {
        let key = self.keys.last_mut().unwrap();
        (key.id, key.token) = (issued.id, issued.token);
    }

    /// The key, unless it has ended for good.
    fn changeable(&mut self, key: usize) -> Option<&mut Key> {
        let key = &mut self.keys[key];
        (key.revoked.is_none() && !key.deleted).then_some(key)
    }

    /// The first ground for denial, in the documented order.
    pub(super) fn answer(&self, ask: &Ask) -> Answer {
        let nobody = |reason| Answer::Denied {
            reason,
            key_id: None,
        };
        let key = match ask.credential {
            Credential::Nothing => return nobody(DenialReason::Missing),
            Credential::Malformed => return nobody(DenialReason::Malformed),
            Credential::Mistyped(_) | Credential::Stranger | Credential::Admin => {
                return nobody(DenialReason::Unknown);
            }
            Credential::Token(key) => &self.keys[key],
        };
        let workspace = &self.workspaces[key.workspace];
        if key.deleted || ask.workspace.is_some_and(|asked| asked != workspace.id) {
            return nobody(DenialReason::Unknown);
        }
        let asked_environment = match ask.environment {
            Some("*") => key.environment,
            Some(environment) => environment,
            None => workspace.default,
        };
        let denied = |reason| Answer::Denied {
            reason,
            key_id: Some(key.id.clone()),
        };
        if key.revoked.is_some() {
            return denied(DenialReason::Revoked);
        }
        if key.end.is_some_and(|end| self.now >= end) {
            return denied(DenialReason::Expired);
        }
        if key.disabled || workspace.disabled {
            return denied(DenialReason::Disabled);
        }
        if asked_environment != key.environment {
            return denied(DenialReason::Environment);
        }
        if !key.sources.is_empty() && !key.sources.iter().any(|range| ask.source.is_in(range)) {
            return denied(DenialReason::SourceAddress);
        }
        if !ask.required.iter().all(|term| term.is_met_by(&key.scopes)) {
            return denied(DenialReason::InsufficientScope);
        }
        Answer::Allowed(Told {
            key_id: key.id.clone(),
            workspace: workspace.id.to_owned(),
            environment: key.environment.to_owned(),
            scopes: key.scopes.clone(),
            end: key.end,
        })
    }
}

impl Source {
    fn is_in(&self, range: &Range) -> bool {
        match self {
            Self::Address(address) => range.holds(address),
            Self::Unsaid | Self::Nonsense(_) => false,
        }
    }
}

impl Requirement {
    fn is_met_by(&self, granted: &BTreeSet<String>) -> bool {
        match self {
            Self::AnyOf(scopes) => scopes
                .iter()
                .any(|scope| granted.iter().any(|granted| covers(granted, scope))),
            Self::IllFormed(_) => false,
        }
    }
}

/// Whether all that `required` matches is matched by `granted`: of all scopes
/// of up to four segments, which is one more than any pattern here has.
fn covers(granted: &str, required: &str) -> bool {
    let mut words: Vec<Vec<&str>> = vec![Vec::new()];
    let mut longest = words.clone();
    for _ in 0..4 {
        longest = longest
            .iter()
            .flat_map(|word| SEGMENTS.map(|segment| [&word[..], &[segment]].concat()))
            .collect();
        words.extend(longest.iter().cloned());
    }
    words
        .iter()
        .filter(|word| !word.is_empty() && matches(required, word))
        .all(|word| matches(granted, word))
}

/// Whether the pattern matches the scope of these segments.
fn matches(pattern: &str, word: &[&str]) -> bool {
    let segments: Vec<_> = pattern.split(':').collect();
    match segments.split_last().unwrap() {
        (&"*" | &"ALL", stem) => word.len() > stem.len() && word.starts_with(stem),
        _ => segments == word,
    }
}
