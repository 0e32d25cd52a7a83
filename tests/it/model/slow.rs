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
    /// All that it ever had, the oldest first.
    pub(super) tokens: Vec<Token>,
    /// The one that stands for it from now on.
    pub(super) current: usize,
    /// The one that was replaced last, or taken back.
    pub(super) other: Option<usize>,
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

#[derive(Clone, Debug)]
pub(super) struct Token {
    pub(super) text: String,
    pub(super) end: TokenEnd,
}

/// When a token ends, if its key does not end before.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum TokenEnd {
    Never,
    At(u64),
    /// So long after the first use of the one that replaces it.
    AfterFirstUse(u64),
    Over,
    /// Nobody knows any more whose it was.
    Forgotten,
}

impl TokenEnd {
    /// When it is by the clock.
    pub(super) fn time(self) -> Option<u64> {
        if let Self::At(time) = self {
            Some(time)
        } else {
            None
        }
    }

    fn has_come(self, now: u64) -> bool {
        match self {
            Self::Never | Self::AfterFirstUse(_) => false,
            Self::At(end) => now >= end,
            Self::Over | Self::Forgotten => true,
        }
    }
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
    Rotate {
        key: usize,
        overlap: u64,
        from_first_use: bool,
    },
    Finish(usize),
    Cancel(usize),
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
    /// That token of that key.
    Token(usize, usize),
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
    /// While both tokens of the key work: whether this is the old one.
    pub(super) superseded: Option<bool>,
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
            Change::Rotate {
                key,
                overlap,
                from_first_use,
            } => return self.rotate(*key, *overlap, *from_first_use),
            Change::Finish(key) => return self.settle(*key, true),
            Change::Cancel(key) => return self.settle(*key, false),
            Change::Revoke(key) => {
                if self.keys[*key].deleted {
                    return false;
                }
                // Revoking it again changes nothing.
                let now = self.now;
                self.keys[*key].revoked.get_or_insert(now);
            }
            Change::Delete(key) => return self.delete(*key),
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
            tokens: vec![Token::default()],
            current: 0,
            other: None,
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

    fn rotate(&mut self, key: usize, overlap: u64, from_first_use: bool) -> bool {
        let now = self.now;
        let home = &self.workspaces[self.keys[key].workspace];
        let under_way = self.keys[key].is_under_way(now);
        if home.disabled || (under_way && overlap > 0) || (overlap == 0 && from_first_use) {
            return false;
        }
        let Some(key) = self.changeable(key).filter(|key| !key.has_ended(now)) else {
            return false;
        };
        if let Some(other) = key.other {
            key.tokens[other].end = TokenEnd::Forgotten;
        }
        key.tokens[key.current].end = if from_first_use {
            TokenEnd::AfterFirstUse(overlap)
        } else {
            key.end_after(overlap, now)
        };
        key.other = Some(key.current);
        key.current = key.tokens.len();
        key.tokens.push(Token::default());
        true
    }

    /// Ends one of the two tokens of a key that is being rotated: the old one,
    /// or the new one.
    fn settle(&mut self, key: usize, finished: bool) -> bool {
        let under_way = self.keys[key].is_under_way(self.now);
        let Some(key) = self.changeable(key).filter(|_| under_way) else {
            return false;
        };
        let (old, new) = (key.other.unwrap(), key.current);
        if finished {
            key.tokens[old].end = TokenEnd::Over;
        } else {
            key.tokens[new].end = TokenEnd::Over;
            key.tokens[old].end = TokenEnd::Never;
            (key.current, key.other) = (old, Some(new));
        }
        true
    }

    fn delete(&mut self, key: usize) -> bool {
        let now = self.now;
        let key = &mut self.keys[key];
        let over = key.revoked.is_some_and(|at| at + RETENTION <= now);
        let deleted = over && !key.deleted;
        key.deleted |= deleted;
        deleted
    }

    /// Takes the names of what was made by a change.
    pub(super) fn learn(&mut self, change: &Change, issued: Issued) {
        let key = if let Change::Rotate { key, .. } = change {
            &mut self.keys[*key]
        } else {
            self.keys.last_mut().unwrap()
        };
        key.id = issued.id;
        key.tokens.last_mut().unwrap().text = issued.token;
    }

    /// What a check brings about: the key of which an old token has got an end,
    /// because the new one was used for the first time.
    pub(super) fn note(&mut self, ask: &Ask, answer: &Answer) -> Option<usize> {
        let Credential::Token(place, token) = ask.credential else {
            return None;
        };
        // As far as to its scopes, so that the client has it and it works there.
        let is_use = ["allowed", "INSUFFICIENT_SCOPE"].contains(&answer.name());
        let now = self.now;
        let key = &mut self.keys[place];
        let old = key.other.filter(|_| is_use && token == key.current)?;
        let TokenEnd::AfterFirstUse(overlap) = key.tokens[old].end else {
            return None;
        };
        key.tokens[old].end = key.end_after(overlap, now);
        Some(place)
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
        let (key, token) = match ask.credential {
            Credential::Nothing => return nobody(DenialReason::Missing),
            Credential::Malformed => return nobody(DenialReason::Malformed),
            Credential::Mistyped(_) | Credential::Stranger | Credential::Admin => {
                return nobody(DenialReason::Unknown);
            }
            Credential::Token(key, token) => (&self.keys[key], token),
        };
        let token_end = key.tokens[token].end;
        let workspace = &self.workspaces[key.workspace];
        let is_known = !key.deleted && token_end != TokenEnd::Forgotten;
        if !is_known || ask.workspace.is_some_and(|asked| asked != workspace.id) {
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
        if key.has_ended(self.now) || token_end.has_come(self.now) {
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
            end: key.end.into_iter().chain(token_end.time()).min(),
            superseded: key
                .is_under_way(self.now)
                .then_some(Some(token) == key.other),
        })
    }
}

impl Key {
    fn has_ended(&self, now: u64) -> bool {
        self.end.is_some_and(|end| now >= end)
    }

    /// Whether two tokens work.
    pub(super) fn is_under_way(&self, now: u64) -> bool {
        self.other
            .is_some_and(|other| match self.tokens[other].end {
                TokenEnd::AfterFirstUse(_) => true,
                TokenEnd::At(end) => now < end,
                TokenEnd::Never | TokenEnd::Over | TokenEnd::Forgotten => false,
            })
    }

    /// The end of a token that works on for a while, but not beyond its key.
    fn end_after(&self, overlap: u64, now: u64) -> TokenEnd {
        let end = self.end.map_or(now + overlap, |end| end.min(now + overlap));
        if end <= now {
            TokenEnd::Over
        } else {
            TokenEnd::At(end)
        }
    }
}

impl Default for Token {
    fn default() -> Self {
        Self {
            text: String::new(),
            end: TokenEnd::Never,
        }
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
