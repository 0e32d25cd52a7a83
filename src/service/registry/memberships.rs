//! Memberships: what a principal may do in a workspace, set, taken away and
//! listed.

use tracing::info;

use crate::domain::admin::Deed;
use crate::domain::audit::{AuditAction, AuditEntry};
use crate::domain::clock::Timestamp;
use crate::domain::id::WorkspaceId;
use crate::domain::principal::{Membership, MembershipDraft, Principal, Removal, is_principal};
use crate::domain::violation::Violations;
use crate::store::{Batch, Expect, List, Record, RecordId, Versioned};

use super::super::admission::Actor;
use super::super::error::{Kind, RegistryError};
use super::principals::{harmless, made, made_entry};
use super::walk::{Page, PageQuestion, Walk};
use super::{MAX_TRIES, Registry, conflict, entry, etag, put, refuse_stale, unchanged};

/// A membership, with what stands for its state.
#[derive(Clone, Debug)]
pub struct MembershipView {
    /// The membership.
    pub membership: Membership,
    /// Stands for this state of it.
    pub etag: String,
}

impl From<Versioned<Membership>> for MembershipView {
    fn from(found: Versioned<Membership>) -> Self {
        Self {
            membership: found.record,
            etag: etag(found.revision),
        }
    }
}

impl Registry {
    /// Sets what a principal may do in a workspace, also if it was removed
    /// there. The caller must be able to grant it. A principal that is not
    /// there yet is made. What is taken away while this is under way is not
    /// given back.
    ///
    /// # Errors
    ///
    /// [`RegistryError::Invalid`], [`RegistryError::GrantCeiling`],
    /// [`RegistryError::NotFound`] for the workspace,
    /// [`RegistryError::Precondition`] if the principal was deleted,
    /// [`RegistryError::EtagMismatch`], [`RegistryError::Conflict`], or the
    /// caller may not, or the store fails.
    pub async fn set_membership(
        &self,
        actor: &Actor,
        draft: MembershipDraft,
        etag: &str,
    ) -> Result<MembershipView, RegistryError> {
        let field = "membership.workspace";
        let label_of = || format!("{}/{}", draft.workspace, harmless(&draft.principal));
        let mut read_first = None;
        for _ in 0..MAX_TRIES {
            let deed = Deed::ManageMemberships;
            let workspace = self.workspace(actor, deed, &draft.workspace, field).await?;
            let ceiling = draft.check()?;
            actor.may_grant(&ceiling)?;
            // One that is deleted meanwhile gets no member.
            let place = RecordId::Workspace(workspace.record.id.clone());
            let stays = unchanged(place, workspace.revision);
            let workspace = workspace.record.id;
            let found = self.membership(&workspace, &draft.principal).await?;
            let id = label(&workspace, &draft.principal);
            // First: with an etag of nothing, an id that was deleted is answered
            // as one that nobody ever had.
            refuse_other(etag, found.as_ref(), &id)?;
            let principal = (draft.principal.as_str(), "membership.principal");
            let principal = self.acting_principal(actor, principal).await?;
            let now = self.clock.now();
            let before = found.as_ref().map(|found| &found.record);
            let removal = before.and_then(|before| before.removal.clone());
            let at_first = read_first.get_or_insert_with(|| removal.clone());
            if removal.is_some() && removal != *at_first {
                // Whoever asked for this did not know of that.
                break;
            }
            let membership = match before {
                Some(before) if before.removal.is_none() && before.scope_ceiling == ceiling => {
                    // It is there, as `before` was taken from it.
                    return found
                        .map(MembershipView::from)
                        .ok_or(RegistryError::Internal);
                }
                Some(before) => Membership {
                    scope_ceiling: ceiling,
                    removal: None,
                    ..before.clone()
                },
                None => Membership {
                    workspace,
                    principal: draft.principal.clone(),
                    scope_ceiling: ceiling,
                    create_time: now,
                    created_by: actor.id(),
                    removal: None,
                },
            };
            let audit = set_entry(actor, before, &membership, now);
            let mut batch = put_membership(found.as_ref(), &membership, audit);
            batch.requires.push(stays);
            act_through(&mut batch, actor, principal, &membership, now);
            if let Some(set) = self.commit_membership(actor, batch, membership).await? {
                return Ok(set);
            }
        }
        Err(conflict(Kind::Membership, &label_of()))
    }

    /// Takes a principal out of a workspace: its keys there stop. One that is
    /// out stays so.
    ///
    /// # Errors
    ///
    /// [`RegistryError::NotFound`], [`RegistryError::EtagMismatch`], or the
    /// caller may not, or the store fails.
    pub async fn remove_membership(
        &self,
        actor: &Actor,
        (workspace, principal): (&str, &str),
        etag: &str,
    ) -> Result<MembershipView, RegistryError> {
        for _ in 0..MAX_TRIES {
            let deed = Deed::ManageMemberships;
            let place = self.workspace(actor, deed, workspace, "workspace").await?;
            if principal.is_empty() {
                return Err(Violations::of("principal", "is required").into());
            }
            let id = label(&place.record.id, principal);
            let found = match is_principal(principal) {
                true => self.member(&place.record.id, principal).await?,
                false => None,
            };
            let Some((found, of)) = found else {
                let kind = Kind::Membership;
                return Err(RegistryError::NotFound { kind, id });
            };
            refuse_stale(etag, found.revision, Kind::Membership, &id)?;
            if found.record.removal.is_some() {
                return Ok(found.into());
            }
            let now = self.clock.now();
            let membership = Membership {
                removal: Some(Removal {
                    time: now,
                    by: actor.id(),
                }),
                ..found.record.clone()
            };
            let what = (AuditAction::RemoveMembership, now);
            let audit = entry(actor, Some(&membership.workspace), what, principal, []);
            let mut batch = put_membership(Some(&found), &membership, audit);
            // Where one of them is deleted meanwhile, there is none to remove.
            let workspace = RecordId::Workspace(place.record.id);
            let principal = RecordId::Principal(of.record.id);
            batch.requires.extend([
                unchanged(workspace, place.revision),
                unchanged(principal, of.revision),
            ]);
            if let Some(removed) = self.commit_membership(actor, batch, membership).await? {
                return Ok(removed);
            }
        }
        Err(conflict(
            Kind::Membership,
            &format!("{workspace}/{}", harmless(principal)),
        ))
    }

    /// Lists memberships: of a workspace, of a principal, of both, or all that
    /// the caller may see. Those that were removed are among them; those of a
    /// workspace or a principal that was deleted are none any more.
    ///
    /// # Errors
    ///
    /// [`RegistryError::Invalid`], [`RegistryError::NotFound`] for the
    /// workspace, or the caller may not, or the store fails.
    pub async fn list_memberships(
        &self,
        actor: &Actor,
        (workspace, principal): (&str, &str),
        question: PageQuestion,
    ) -> Result<Page<MembershipView>, RegistryError> {
        let workspace = self.listed_workspace(actor, workspace).await?;
        let of = workspace.as_ref().map_or("", WorkspaceId::as_str);
        let name = format!("memberships\0{of}\0{principal}");
        if let (Some(workspace), true) = (&workspace, is_principal(principal)) {
            // One at most: those of other principals are not looked through.
            self.read_question::<u64>(&name, &question)?;
            let found = self.membership(workspace, principal).await?;
            return Ok(Page {
                items: found.into_iter().map(MembershipView::from).collect(),
                next_page_token: String::new(),
            });
        }
        let walk = Walk {
            name,
            list: match (workspace, principal) {
                (Some(workspace), _) => List::MembershipsOf(workspace),
                (None, "") => List::Memberships,
                (None, principal) => List::MembershipsOfPrincipal(principal.to_owned()),
            },
            // Some can be of what was deleted.
            filtered: true,
        };
        let keep = |found| {
            membership_in(found)
                .filter(|found| self.is_one(&found.record))
                .filter(|found| principal.is_empty() || found.record.principal == principal)
                .map(MembershipView::from)
        };
        self.walk(&walk, &question, keep).await
    }

    /// The membership of a principal, whose id is well formed.
    pub(super) async fn membership(
        &self,
        workspace: &WorkspaceId,
        principal: &str,
    ) -> Result<Option<Versioned<Membership>>, RegistryError> {
        let record = RecordId::Membership(workspace.clone(), principal.to_owned());
        let id = label(workspace, principal);
        let found = self.read(record, Kind::Membership, &id).await?;
        let found = found.and_then(membership_in);
        Ok(found.filter(|found| self.is_one(&found.record)))
    }

    /// The membership of a principal, whose id is well formed, and the principal.
    async fn member(
        &self,
        workspace: &WorkspaceId,
        principal: &str,
    ) -> Result<Option<(Versioned<Membership>, Versioned<Principal>)>, RegistryError> {
        let of = self.principal(principal).await?;
        let found = self.membership(workspace, principal).await?;
        Ok(found.zip(of))
    }

    /// Whether neither the workspace nor the principal was deleted. What is left
    /// of memberships in those stays in the store, for there can be any number
    /// of them, and is none.
    fn is_one(&self, membership: &Membership) -> bool {
        self.index.is_known(&membership.principal)
            && self
                .index
                .workspace(membership.workspace.as_str())
                .is_some()
    }

    async fn commit_membership(
        &self,
        actor: &Actor,
        batch: Batch,
        membership: Membership,
    ) -> Result<Option<MembershipView>, RegistryError> {
        let id = label(&membership.workspace, &membership.principal);
        let what = batch.audit.action.as_str();
        let committed = self.attempt(actor, batch, Kind::Membership, &id).await?;
        Ok(committed.map(|revision| {
            info!(
                actor = actor.id(),
                membership = id,
                what,
                "membership changed"
            );
            MembershipView {
                membership,
                etag: etag(revision),
            }
        }))
    }
}

/// A membership as errors and logs name it.
pub(super) fn label(workspace: &WorkspaceId, principal: &str) -> String {
    format!("{workspace}/{}", harmless(principal))
}

/// Lets the change rely on the principal, as one that is deleted meanwhile gets
/// no membership; or make it.
fn act_through(
    batch: &mut Batch,
    actor: &Actor,
    principal: Option<Versioned<Principal>>,
    membership: &Membership,
    now: Timestamp,
) {
    let id = &membership.principal;
    match principal {
        Some(found) => {
            let id = RecordId::Principal(found.record.id);
            batch.requires.push(unchanged(id, found.revision));
        }
        None => {
            let by = ("SetMembership", Some(&membership.workspace));
            batch.beside = Some(made_entry(actor, by, id, now));
            // Before its membership: of nobody there is none.
            batch.writes.insert(0, made(id, actor, now));
        }
    }
}

fn put_membership(
    found: Option<&Versioned<Membership>>,
    membership: &Membership,
    audit: AuditEntry,
) -> Batch {
    let expect = found.map_or(Expect::Absent, |found| Expect::At(found.revision));
    put(Record::Membership(membership.clone()), expect, audit)
}

/// A membership that is not there is of no state that could have been read.
fn refuse_other(
    asked: &str,
    found: Option<&Versioned<Membership>>,
    id: &str,
) -> Result<(), RegistryError> {
    match found {
        Some(found) => refuse_stale(asked, found.revision, Kind::Membership, id),
        None if asked.is_empty() => Ok(()),
        None => Err(RegistryError::EtagMismatch {
            kind: Kind::Membership,
            id: id.to_owned(),
        }),
    }
}

fn set_entry(
    actor: &Actor,
    before: Option<&Membership>,
    after: &Membership,
    now: Timestamp,
) -> AuditEntry {
    let removal = before.and_then(|before| before.removal.as_ref());
    let removed = removal.map(|removal| removal.time.to_string());
    let before = before.filter(|before| before.removal.is_none());
    let before = before.map(|before| before.scope_ceiling.to_string());
    entry(
        actor,
        Some(&after.workspace),
        (AuditAction::SetMembership, now),
        &after.principal,
        [
            ("removed_before", removed.unwrap_or_default()),
            ("scope_ceiling_before", before.unwrap_or_default()),
            ("scope_ceiling", after.scope_ceiling.to_string()),
        ],
    )
}

fn membership_in(found: Versioned) -> Option<Versioned<Membership>> {
    match found.record {
        Record::Membership(record) => Some(Versioned {
            record,
            revision: found.revision,
        }),
        Record::Workspace(_)
        | Record::Key(_)
        | Record::AdminKey(_)
        | Record::Credits(_)
        | Record::Usage(_)
        | Record::Request(_)
        | Record::Principal(_)
        | Record::Tombstone(_) => None,
    }
}
