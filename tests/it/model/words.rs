//! What is said to the real thing and to the model alike: changes, questions
//! and answers, in plain words. Nothing in it comes from keyward but the names
//! of the reasons.

use std::collections::{BTreeMap, BTreeSet};

use keyward::domain::verdict::DenialReason;

pub(super) const SECOND: u64 = 1_000_000;
pub(super) const DAY: u64 = 24 * 3_600 * SECOND;

/// How long a revoked key is kept, in microseconds: 30 days.
pub(super) const RETENTION: u64 = 30 * DAY;

/// Whoever acts with keys.
pub(super) const PRINCIPALS: [&str; 3] = ["user:ada", "user:bob", "service:x"];

/// The limits that there can be: their names, and their windows in
/// microseconds.
pub(super) const LIMITS: [(&str, u64); 3] =
    [("read", SECOND), ("bulk", 60 * SECOND), ("all", 5 * SECOND)];

/// What can be changed of a key, or of all that it stands on.
#[derive(Clone, Debug)]
pub(super) enum Change {
    CreateKey(NewKey),
    Scopes(usize, BTreeSet<String>),
    Sources(usize, Vec<Range>),
    End(usize, Option<u64>),
    /// Other limits of a key.
    Limits(usize, Limits),
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
    /// Other credits of a key, or none any more.
    Credits(usize, Option<NewCredits>),
    /// So many more, or less.
    Adjust(usize, i64),
    CreatePrincipal(&'static str),
    SwitchPrincipal(&'static str, bool),
    /// A principal's scope ceiling in a workspace.
    Member(usize, &'static str, BTreeSet<String>),
    RemoveMember(usize, &'static str),
    SwitchWorkspace(usize, bool),
    DefaultEnvironment(usize, &'static str),
    /// Other limits of all keys of a workspace.
    DefaultLimits(usize, Limits),
    /// Time passes, in microseconds.
    Wait(u64),
    /// The server is told to stop, and started again.
    Restart,
    /// The server is killed, and started again.
    Crash,
}

impl Change {
    /// The names of all changes.
    pub(super) const ALL: [&'static str; 23] = [
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
        "member",
        "remove member",
        "switch workspace",
        "default environment",
        "default limits",
        "wait",
        "restart",
        "crash",
    ];

    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::CreateKey(_) => "create key",
            Self::Scopes(..) => "scopes",
            Self::Sources(..) => "sources",
            Self::End(..) => "end",
            Self::Limits(..) => "limits",
            Self::SwitchKey(..) => "switch key",
            Self::Rotate { .. } => "rotate",
            Self::Finish(_) => "finish",
            Self::Cancel(_) => "cancel",
            Self::Revoke(_) => "revoke",
            Self::Delete(_) => "delete",
            Self::Credits(..) => "credits",
            Self::Adjust(..) => "adjust",
            Self::CreatePrincipal(_) => "create principal",
            Self::SwitchPrincipal(..) => "switch principal",
            Self::Member(..) => "member",
            Self::RemoveMember(..) => "remove member",
            Self::SwitchWorkspace(..) => "switch workspace",
            Self::DefaultEnvironment(..) => "default environment",
            Self::DefaultLimits(..) => "default limits",
            Self::Wait(_) => "wait",
            Self::Restart => "restart",
            Self::Crash => "crash",
        }
    }
}

#[derive(Clone, Debug)]
pub(super) struct NewKey {
    /// None: the key is personal.
    pub(super) workspace: Option<usize>,
    pub(super) principal: &'static str,
    pub(super) environment: &'static str,
    pub(super) scopes: BTreeSet<String>,
    pub(super) sources: Vec<Range>,
    pub(super) limits: Limits,
    pub(super) credits: Option<NewCredits>,
    pub(super) end: Option<u64>,
}

/// Limits by their names, which are of [`LIMITS`].
pub(super) type Limits = BTreeMap<&'static str, Limit>;

#[derive(Clone, Copy, Debug)]
pub(super) struct Limit {
    pub(super) count: u32,
    pub(super) always: bool,
}

/// The window of the limit of this name.
pub(super) fn window(of: &str) -> u64 {
    LIMITS.iter().find(|(name, _)| *name == of).unwrap().1
}

/// Credits as they are asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct NewCredits {
    /// None: what there is, or what the refill gives.
    pub(super) balance: Option<u64>,
    pub(super) refill: Option<Refill>,
}

/// What the balance becomes when.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Refill {
    /// Daily, if not.
    pub(super) monthly: bool,
    pub(super) amount: u64,
}

/// What the real thing calls a key that it has issued.
#[derive(Debug)]
pub(super) struct Issued {
    pub(super) id: String,
    pub(super) token: String,
}

/// What an operator sees of a key.
#[derive(PartialEq, Eq, Debug)]
pub(super) struct Seen {
    pub(super) state: &'static str,
    /// What is left, and when there is more.
    pub(super) credits: Option<(u64, Option<u64>)>,
    /// The scopes, as what they mean.
    pub(super) scopes: u128,
}

/// What a gateway asks.
#[derive(Debug)]
pub(super) struct Ask {
    pub(super) credential: Credential,
    pub(super) workspace: Option<&'static str>,
    pub(super) environment: Option<&'static str>,
    pub(super) required: Vec<Requirement>,
    pub(super) source: Source,
    /// The names of limits to count it on.
    pub(super) limits: Vec<&'static str>,
    pub(super) cost: u32,
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

/// What a gateway is told.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Answer {
    pub(super) verdict: Verdict,
    /// The limits that counted, in the order of their names.
    pub(super) limits: Vec<Reading>,
    pub(super) credits: Option<Left>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Verdict {
    Allowed(Told),
    Denied {
        reason: DenialReason,
        /// The key, where the gateway may know it.
        key_id: Option<String>,
    },
}

/// What is told of a key that may.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Told {
    pub(super) key_id: String,
    pub(super) workspace: String,
    pub(super) environment: String,
    pub(super) scopes: BTreeSet<String>,
    pub(super) end: Option<u64>,
    /// While both tokens of the key work: whether this is the old one.
    pub(super) superseded: Option<bool>,
}

/// What is told of a limit.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Reading {
    pub(super) name: String,
    pub(super) layer: Layer,
    pub(super) count: u32,
    pub(super) window: u64,
    pub(super) remaining: u32,
    pub(super) denied: bool,
}

/// Where a limit is defined.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Layer {
    Key,
    Workspace,
}

/// What is told of credits.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Left {
    pub(super) remaining: u64,
    /// When there is more.
    pub(super) turn: Option<u64>,
    /// How long until the check would pass, if it was denied for that.
    pub(super) retry: Option<u64>,
}

impl Answer {
    pub(super) fn name(&self) -> &'static str {
        match &self.verdict {
            Verdict::Allowed(_) => "allowed",
            Verdict::Denied { reason, .. } => reason.as_str(),
        }
    }

    pub(super) const fn is_allowed(&self) -> bool {
        matches!(self.verdict, Verdict::Allowed(_))
    }
}
