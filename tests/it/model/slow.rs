//! The slow and obvious model: what keyward promises in its documents, in plain
//! lists and plain words. This is what it remembers; what changes do to it is in
//! `changes`, and what it answers in `verdict` and `spending`.

mod calendar;
mod changes;
mod keys;
pub(super) mod scopes;
mod spending;
mod verdict;

use std::collections::{BTreeMap, BTreeSet};

use super::words::{Limits, Range, Refill, Seen};

use scopes::meaning;

/// All that there is.
#[derive(Debug)]
pub(super) struct World {
    /// In microseconds.
    pub(super) now: u64,
    pub(super) workspaces: Vec<Workspace>,
    pub(super) principals: BTreeMap<&'static str, Principal>,
    pub(super) members: BTreeMap<(usize, &'static str), Membership>,
    /// None is ever taken away from here.
    pub(super) keys: Vec<Key>,
    /// What was spent of each limit, since the last start.
    pub(super) spent: BTreeMap<Count, Spent>,
}

/// Whose count of the limit of which name it is.
pub(super) type Count = (Owner, &'static str);

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Owner {
    Key(usize),
    /// A personal key's in that workspace.
    KeyWithin(usize, usize),
    /// That of all keys of a principal in that workspace.
    Principal(&'static str, usize),
}

#[derive(Debug)]
pub(super) struct Workspace {
    pub(super) id: &'static str,
    pub(super) environments: &'static [&'static str],
    pub(super) default: &'static str,
    pub(super) disabled: bool,
    pub(super) limits: Limits,
}

/// What was spent of a limit.
#[derive(Clone, Default, Debug)]
pub(super) struct Spent {
    /// The window that was last looked at, and when.
    pub(super) window: u64,
    pub(super) looked: u64,
    pub(super) all: Vec<Passed>,
}

/// That something has passed, at one of these moments: they are one, as long as
/// the window is what it was.
#[derive(Clone, Copy, Debug)]
pub(super) struct Passed {
    pub(super) earliest: u64,
    pub(super) latest: u64,
    pub(super) cost: u32,
    /// Whether it is known to have been taken along, whenever the window was
    /// changed.
    pub(super) kept: bool,
}

/// Whoever acts, also once it was deleted.
#[derive(Default, Debug)]
pub(super) struct Principal {
    pub(super) disabled: bool,
    pub(super) limits: Limits,
    pub(super) deleted: bool,
}

/// A principal in a workspace, also once it was taken out.
#[derive(Debug)]
pub(super) struct Membership {
    pub(super) ceiling: BTreeSet<String>,
    pub(super) removed: bool,
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
    /// None: it is personal.
    pub(super) workspace: Option<usize>,
    pub(super) principal: &'static str,
    /// Empty: none, or, of a personal key, the default of wherever it is used.
    pub(super) environment: &'static str,
    pub(super) scopes: BTreeSet<String>,
    pub(super) sources: Vec<Range>,
    pub(super) limits: Limits,
    pub(super) credits: Option<Credits>,
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

/// What a key has left to use up.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Credits {
    pub(super) balance: u64,
    pub(super) refill: Option<Refill>,
    /// When the balance is filled next.
    pub(super) turn: Option<u64>,
    /// The most that there was since it was set or filled.
    pub(super) most: u64,
}

impl World {
    /// The workspaces of a new world, and nothing else.
    pub(super) fn new(now: u64) -> Self {
        let workspace = |id, environments: &'static [&'static str]| Workspace {
            id,
            environments,
            default: environments.first().copied().unwrap_or_default(),
            disabled: false,
            limits: Limits::new(),
        };
        Self {
            now,
            workspaces: vec![
                workspace("one", &["live", "test"]),
                workspace("two", &["live", "test"]),
                workspace("plain", &[]),
            ],
            principals: BTreeMap::new(),
            members: BTreeMap::new(),
            keys: Vec::new(),
            spent: BTreeMap::new(),
        }
    }

    /// The scope ceiling of a principal where it is a member.
    pub(super) fn ceiling(&self, workspace: usize, of: &'static str) -> Option<&BTreeSet<String>> {
        let membership = self.members.get(&(workspace, of))?;
        (!membership.removed).then_some(&membership.ceiling)
    }

    /// What an operator sees of a key; none, if it was deleted.
    pub(super) fn seen(&self, key: usize) -> Option<Seen> {
        let key = &self.keys[key];
        let ceiling = match key.workspace {
            // What it may do is another thing in each workspace.
            None => u128::MAX,
            Some(workspace) => {
                meaning(self.ceiling(workspace, key.principal).into_iter().flatten())
            }
        };
        let seen = Seen {
            state: if key.revoked.is_some() {
                "REVOKED"
            } else if key.has_ended(self.now) {
                "EXPIRED"
            } else if key.disabled {
                "DISABLED"
            } else {
                "ACTIVE"
            },
            credits: key.credits.as_ref().map(|left| (left.balance, left.turn)),
            scopes: meaning(&key.scopes) & ceiling,
        };
        (!key.deleted).then_some(seen)
    }
}

impl Key {
    pub(super) fn has_ended(&self, now: u64) -> bool {
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
}

impl TokenEnd {
    /// When it is by the clock.
    pub(super) const fn time(self) -> Option<u64> {
        if let Self::At(time) = self {
            Some(time)
        } else {
            None
        }
    }

    const fn has_come(self, now: u64) -> bool {
        match self {
            Self::Never | Self::AfterFirstUse(_) => false,
            Self::At(end) => now >= end,
            Self::Over | Self::Forgotten => true,
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
