//! Principals, workspaces and memberships, as keys see them: a change to one is
//! seen through all keys at once, however many there are.

use std::borrow::Borrow;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use arc_swap::{ArcSwap, Guard};

use crate::domain::limit::LimitSet;
use crate::domain::principal::{Membership, Principal};
use crate::domain::scope::ScopeSet;
use crate::domain::verdict::{PrincipalNumber, SharedLimits, WorkspaceNumber};
use crate::domain::workspace::Workspace;

use super::effective::Narrowings;

/// A workspace.
#[derive(Debug)]
pub(super) struct IndexedWorkspace {
    pub(super) id: Box<str>,
    pub(super) number: WorkspaceNumber,
    pub(super) current: ArcSwap<Workspace>,
}

/// The principal is switched off.
const DISABLED: u8 = 1;
/// The principal has limits.
const LIMITED: u8 = 2;

/// A principal.
#[derive(Debug)]
pub(super) struct IndexedPrincipal {
    id: Box<str>,
    number: PrincipalNumber,
    /// Kept apart from the limits, so that a check of a principal that has none
    /// costs a look at one byte. They are put there before this says so.
    state: AtomicU8,
    limits: ArcSwap<LimitSet>,
}

impl IndexedPrincipal {
    /// One that is named by a key and not known yet: none of its keys works
    /// before it is.
    pub(super) fn unknown(id: &str, number: PrincipalNumber, none: Arc<LimitSet>) -> Self {
        Self {
            id: id.into(),
            number,
            state: AtomicU8::new(DISABLED),
            limits: ArcSwap::new(none),
        }
    }

    /// What was counted on the limits before goes on to count: the number stays.
    pub(super) fn set(&self, principal: &Principal, limits: Arc<LimitSet>) {
        let disabled = if principal.disabled { DISABLED } else { 0 };
        let limited = if limits.is_empty() { 0 } else { LIMITED };
        self.limits.store(limits);
        self.state.store(disabled | limited, Ordering::Release);
    }

    pub(super) fn id(&self) -> &str {
        &self.id
    }

    pub(super) fn standing(&self) -> Acting {
        let state = self.state.load(Ordering::Acquire);
        Acting {
            number: self.number,
            disabled: state & DISABLED != 0,
            limits: (state & LIMITED != 0).then(|| self.limits.load()),
        }
    }
}

/// How a principal stands, for its keys.
pub(super) struct Acting {
    number: PrincipalNumber,
    pub(super) disabled: bool,
    limits: Option<Guard<Arc<LimitSet>>>,
}

impl Acting {
    /// What its keys share; none: it has no limits.
    pub(super) fn limits(&self) -> Option<SharedLimits<'_>> {
        self.limits.as_ref().map(|limits| SharedLimits {
            of: self.number,
            limits,
        })
    }
}

/// The ceiling is `*`: it need not be looked at.
const OPEN: u8 = 0;
/// There is a ceiling.
const NARROW: u8 = 1;
/// The principal is no member.
const NO_MEMBER: u8 = 2;

/// A principal's membership in a workspace, or the place of one.
#[derive(Debug)]
pub(super) struct IndexedMembership {
    pub(super) workspace: Arc<IndexedWorkspace>,
    pub(super) principal: Arc<IndexedPrincipal>,
    /// Kept apart from the ceiling, so that a check that has none costs a look
    /// at one byte. The ceiling is put there before this says so.
    state: AtomicU8,
    ceiling: ArcSwap<ScopeSet>,
    /// Of that ceiling.
    pub(super) narrowings: Narrowings,
}

impl IndexedMembership {
    /// The place of one that is not known: nobody is a member by it.
    pub(super) fn unknown(
        workspace: Arc<IndexedWorkspace>,
        principal: Arc<IndexedPrincipal>,
        none: Arc<ScopeSet>,
    ) -> Self {
        Self {
            workspace,
            principal,
            state: AtomicU8::new(NO_MEMBER),
            ceiling: ArcSwap::new(none),
            narrowings: Narrowings::default(),
        }
    }

    pub(super) fn set(&self, membership: &Membership, ceiling: Arc<ScopeSet>) {
        let state = if membership.removal.is_some() {
            NO_MEMBER
        } else if ceiling.meets("*") {
            OPEN
        } else {
            NARROW
        };
        self.ceiling.store(ceiling);
        self.state.store(state, Ordering::Release);
        self.narrowings.clear();
    }

    /// The ceiling; none: nobody is a member by it.
    pub(super) fn ceiling(&self) -> Option<Arc<ScopeSet>> {
        (self.state.load(Ordering::Acquire) != NO_MEMBER).then(|| self.ceiling.load_full())
    }

    pub(super) fn standing(&self) -> Member {
        match self.state.load(Ordering::Acquire) {
            OPEN => Member::Within(None),
            NARROW => Member::Within(Some(self.ceiling.load())),
            _ => Member::No,
        }
    }
}

/// Whether a principal is a member somewhere.
pub(super) enum Member {
    /// It is not.
    No,
    /// It is, within this ceiling; none: without.
    Within(Option<Guard<Arc<ScopeSet>>>),
}

impl Member {
    pub(super) const fn is_one(&self) -> bool {
        matches!(self, Self::Within(_))
    }

    pub(super) fn ceiling(&self) -> Option<&Arc<ScopeSet>> {
        match self {
            Self::Within(Some(ceiling)) => Some(ceiling),
            Self::Within(None) | Self::No => None,
        }
    }
}

/// A principal, as it is found by its id.
#[derive(Clone, Debug)]
pub(super) struct ById(pub(super) Arc<IndexedPrincipal>);

impl Borrow<str> for ById {
    fn borrow(&self) -> &str {
        &self.0.id
    }
}

impl PartialEq for ById {
    fn eq(&self, other: &Self) -> bool {
        self.0.id == other.0.id
    }
}

impl Eq for ById {}

impl Hash for ById {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.id.hash(state);
    }
}

/// A membership, as it is found by its workspace and principal.
#[derive(Clone, Debug)]
pub(super) struct Seat(pub(super) Arc<IndexedMembership>);

impl Seat {
    fn names(&self) -> Names<'_> {
        Names(&self.0.workspace.id, &self.0.principal.id)
    }
}

impl PartialEq for Seat {
    fn eq(&self, other: &Self) -> bool {
        self.names() == other.names()
    }
}

impl Eq for Seat {}

impl Hash for Seat {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.names().hash(state);
    }
}

/// The ids of a workspace and a principal, to find a membership by.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Names<'a>(pub(super) &'a str, pub(super) &'a str);

impl papaya::Equivalent<Seat> for Names<'_> {
    fn equivalent(&self, seat: &Seat) -> bool {
        *self == seat.names()
    }
}
