//! What is said to the real thing and to the model alike, in plain words:
//! questions and answers here, and changes in `changes`. Nothing in it comes from
//! keyward but the names of the reasons.

mod changes;

use std::collections::BTreeSet;

use keyward::domain::verdict::DenialReason;

pub(super) use changes::{
    Change, KeyChange, Limit, Limits, NewCredits, NewKey, PrincipalChange, Refill, WorkspaceChange,
};

pub(super) const SECOND: u64 = 1_000_000;
pub(super) const DAY: u64 = 24 * 3_600 * SECOND;

/// How long a revoked key is kept here, in microseconds: not for so long that
/// everything else would be over.
pub(super) const RETENTION: u64 = 3_600 * SECOND;

/// Whoever acts with keys.
pub(super) const PRINCIPALS: [&str; 3] = ["user:ada", "user:bob", "service:x"];

/// Those who have few keys, so that they can be deleted.
pub(super) const OTHERS: [&str; 2] = ["user:eve", "service:y"];

/// The limits that there can be: their names, and their windows in
/// microseconds, the first of which is usual.
pub(super) const LIMITS: [(&str, [u64; 2]); 3] = [
    ("read", [SECOND, 4 * SECOND]),
    ("bulk", [60 * SECOND, SECOND]),
    ("all", [5 * SECOND, 3_600 * SECOND]),
];

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
    Principal,
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
