//! What operators do, and what happens.

use std::collections::{BTreeMap, BTreeSet};

use super::Range;

/// A change to all that there is.
#[derive(Clone, Debug)]
pub(in super::super) enum Change {
    CreateKey(NewKey),
    Key(usize, KeyChange),
    Principal(&'static str, PrincipalChange),
    Workspace(usize, WorkspaceChange),
    /// Time passes, in microseconds.
    Wait(u64),
    /// The server is told to stop, and started again.
    Restart,
    /// The server is killed, and started again.
    Crash,
}

/// What is done with a key.
#[derive(Clone, Debug)]
pub(in super::super) enum KeyChange {
    Scopes(BTreeSet<String>),
    Sources(Vec<Range>),
    End(Option<u64>),
    Limits(Limits),
    Switch(bool),
    Rotate {
        overlap: u64,
        from_first_use: bool,
    },
    Finish,
    Cancel,
    Revoke,
    Delete,
    /// Other credits, or none any more.
    Credits(Option<NewCredits>),
    /// So many more, or less.
    Adjust(i64),
}

/// What is done with a principal.
#[derive(Clone, Debug)]
pub(in super::super) enum PrincipalChange {
    Create,
    Switch(bool),
    /// The limits that all of its keys share.
    Limits(Limits),
    Delete,
    /// Its scope ceiling in a workspace.
    Member(usize, BTreeSet<String>),
    RemoveMember(usize),
}

/// What is done with a workspace.
#[derive(Clone, Debug)]
pub(in super::super) enum WorkspaceChange {
    Switch(bool),
    Environment(&'static str),
    /// The limits of all of its keys.
    Limits(Limits),
}

impl Change {
    /// The names of all changes.
    pub(in super::super) const ALL: [&'static str; 25] = [
        "create key",
        "scopes",
        "sources",
        "end",
        "limits",
        "switch key",
        "rotate",
        "finish",
        "cancel",
        "revoke",
        "delete",
        "credits",
        "adjust",
        "create principal",
        "switch principal",
        "principal limits",
        "delete principal",
        "member",
        "remove member",
        "switch workspace",
        "default environment",
        "default limits",
        "wait",
        "restart",
        "crash",
    ];

    pub(in super::super) const fn name(&self) -> &'static str {
        match self {
            Self::CreateKey(_) => "create key",
            Self::Key(_, change) => change.name(),
            Self::Principal(_, change) => change.name(),
            Self::Workspace(_, change) => change.name(),
            Self::Wait(_) => "wait",
            Self::Restart => "restart",
            Self::Crash => "crash",
        }
    }
}

impl KeyChange {
    const fn name(&self) -> &'static str {
        match self {
            Self::Scopes(_) => "scopes",
            Self::Sources(_) => "sources",
            Self::End(_) => "end",
            Self::Limits(_) => "limits",
            Self::Switch(_) => "switch key",
            Self::Rotate { .. } => "rotate",
            Self::Finish => "finish",
            Self::Cancel => "cancel",
            Self::Revoke => "revoke",
            Self::Delete => "delete",
            Self::Credits(_) => "credits",
            Self::Adjust(_) => "adjust",
        }
    }
}

impl PrincipalChange {
    const fn name(&self) -> &'static str {
        match self {
            Self::Create => "create principal",
            Self::Switch(_) => "switch principal",
            Self::Limits(_) => "principal limits",
            Self::Delete => "delete principal",
            Self::Member(..) => "member",
            Self::RemoveMember(_) => "remove member",
        }
    }
}

impl WorkspaceChange {
    const fn name(&self) -> &'static str {
        match self {
            Self::Switch(_) => "switch workspace",
            Self::Environment(_) => "default environment",
            Self::Limits(_) => "default limits",
        }
    }
}

#[derive(Clone, Debug)]
pub(in super::super) struct NewKey {
    /// None: the key is personal.
    pub(in super::super) workspace: Option<usize>,
    pub(in super::super) principal: &'static str,
    pub(in super::super) environment: &'static str,
    pub(in super::super) scopes: BTreeSet<String>,
    pub(in super::super) sources: Vec<Range>,
    pub(in super::super) limits: Limits,
    pub(in super::super) credits: Option<NewCredits>,
    pub(in super::super) end: Option<u64>,
}

/// Limits by their names.
pub(in super::super) type Limits = BTreeMap<&'static str, Limit>;

#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Limit {
    pub(in super::super) count: u32,
    pub(in super::super) window: u64,
    pub(in super::super) always: bool,
}

/// Credits as they are asked for.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct NewCredits {
    /// None: what there is, or what the refill gives.
    pub(in super::super) balance: Option<u64>,
    pub(in super::super) refill: Option<Refill>,
}

/// What the balance becomes when.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in super::super) struct Refill {
    /// Daily, if not.
    pub(in super::super) monthly: bool,
    pub(in super::super) amount: u64,
}
