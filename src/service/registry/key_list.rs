//! Lists of keys, and what they can be narrowed by.

use crate::domain::admin::{Deed, Place};
use crate::domain::clock::Timestamp;
use crate::domain::id::WorkspaceId;
use crate::domain::key::{Key, KeyState};
use crate::domain::scope::Scope;
use crate::domain::violation::Violations;
use crate::store::{List, Record, Versioned};

use super::super::admission::Actor;
use super::super::error::{Kind, RegistryError};
use super::usage::UnusedFilter;
use super::walk::{Page, PageQuestion, Walk};
use super::{KeyView, Registry};

/// Which keys to list: those that fit all of it.
#[derive(Clone, Debug, Default)]
pub struct KeyFilter {
    /// Only those of this workspace; empty: all that the caller may read.
    pub workspace: String,
    /// Only those of this principal; empty: of any.
    pub principal: String,
    /// Only those in this state.
    pub state: Option<KeyState>,
    /// Only those of this environment; empty: of any.
    pub environment: String,
    /// Only those whose scopes cover this one; empty: with any.
    pub scope: String,
    /// Only those with an expiry before this.
    pub expiring_before: Option<Timestamp>,
    /// Only those that should be given a new token before this.
    pub rotation_due_before: Option<Timestamp>,
    /// Only those that are unused.
    pub unused: UnusedFilter,
}

impl KeyFilter {
    /// Whether it leaves any key of the workspace out.
    fn is_selective(&self) -> bool {
        !(self.principal.is_empty()
            && self.state.is_none()
            && self.environment.is_empty()
            && self.scope.is_empty()
            && self.expiring_before.is_none()
            && self.rotation_due_before.is_none()
            && !self.unused.is_selective())
    }

    /// Whether `key` fits at `now`, as far as it is for the key alone. The
    /// scope is handed in as it was read.
    fn fits(&self, key: &Key, scope: Option<&Scope>, now: Timestamp) -> bool {
        let environment = key.environment.as_ref().map_or("", |name| name.as_str());
        let workspace = key.workspace().map_or("", WorkspaceId::as_str);
        (self.workspace.is_empty() || self.workspace == workspace)
            && (self.principal.is_empty() || self.principal == key.principal)
            && self.state.is_none_or(|state| state == key.state(now))
            && (self.environment.is_empty() || self.environment == environment)
            && scope.is_none_or(|scope| key.scopes.covers(scope))
            && self
                .expiring_before
                .is_none_or(|end| key.expire_time.is_some_and(|expiry| expiry < end))
    }
}

impl Registry {
    /// Lists keys.
    ///
    /// # Errors
    ///
    /// [`RegistryError::Invalid`], [`RegistryError::NotFound`] for the
    /// workspace, [`RegistryError::UsageNotCounted`], or the caller may not, or the store fails.
    pub async fn list_keys(
        &self,
        actor: &Actor,
        filter: KeyFilter,
        question: PageQuestion,
    ) -> Result<Page<KeyView>, RegistryError> {
        let workspace = self.listed_workspace(actor, &filter.workspace).await?;
        let mut violations = Violations::default();
        let scope = match filter.scope.as_str() {
            "" => None,
            text => violations.check("scope", Scope::try_from(text)),
        };
        violations.none()?;
        self.refuse_uncounted(filter.unused)?;
        let of = workspace.as_ref().map_or("", WorkspaceId::as_str);
        let walk = Walk {
            name: format!(
                "keys\0{of}\0{}\0{:?}\0{}\0{}\0{:?}\0{:?}\0{:?}",
                filter.principal,
                filter.state,
                filter.environment,
                filter.scope,
                filter.expiring_before,
                filter.rotation_due_before,
                filter.unused
            ),
            list: listed(actor, workspace, &filter.principal),
            filtered: filter.is_selective(),
        };
        let now = self.clock.now();
        let keep = |found: Versioned| match found.record {
            Record::Key(record) if filter.fits(&record, scope.as_ref(), now) => {
                let due = |end| self.due_time(&record, now).is_some_and(|due| due < end);
                if !filter.rotation_due_before.is_none_or(due)
                    || !self.is_unused(&record, filter.unused)
                {
                    return None;
                }
                let revision = found.revision;
                Some(self.view(Versioned { record, revision }, now))
            }
            Record::Key(_)
            | Record::Tombstone(_)
            | Record::Workspace(_)
            | Record::AdminKey(_)
            | Record::Credits(_)
            | Record::Usage(_)
            | Record::Request(_)
            | Record::Principal(_)
            | Record::Membership(_) => None,
        };
        self.walk(&walk, &question, keep).await
    }

    /// The workspace whose keys or memberships a list shows; none: all.
    pub(super) async fn listed_workspace(
        &self,
        actor: &Actor,
        asked: &str,
    ) -> Result<Option<WorkspaceId>, RegistryError> {
        match (asked, actor.workspace()) {
            ("", None) => actor.may(Deed::Read).map(|()| None),
            ("", Some(own)) => {
                actor.may_at(
                    Deed::Read,
                    Place::Workspace(own),
                    Kind::Workspace,
                    own.as_str(),
                )?;
                Ok(Some(own.clone()))
            }
            (id, _) => {
                let found = self.workspace(actor, Deed::Read, id, "workspace").await?;
                Ok(Some(found.record.id))
            }
        }
    }
}

/// The shortest list in which the keys are. That of a principal is for the
/// system's admins alone: to pass by keys of another workspace takes time, by
/// which they would show.
fn listed(actor: &Actor, workspace: Option<WorkspaceId>, principal: &str) -> List {
    match (actor.workspace(), workspace) {
        (None, _) if !principal.is_empty() => List::KeysOfPrincipal(principal.to_owned()),
        (_, Some(workspace)) => List::KeysOf(workspace),
        (_, None) => List::Keys,
    }
}
