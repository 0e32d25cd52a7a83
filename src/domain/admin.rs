//! Admin keys: who may do what, where.
//!
//! What a call needs is in one table, [`Deed::needs`]; what an admin key may is
//! decided in one place, [`AdminKey::may`]. `docs/admin-rights.md` says the same
//! in words, and a test holds it to this.

use std::fmt;

use super::clock::Timestamp;
use super::id::{AdminKeyId, WorkspaceId};
use super::key::{KeyState, Revocation};
use super::scope::ScopeSet;
use super::secret::Secret;
use super::verdict::DenialReason;

/// The prefix of admin tokens.
pub const ADMIN_TOKEN_PREFIX: &str = "keyward_admin";

/// A record of another kind than a key: it rules keys and passes no check.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AdminKey {
    /// The id.
    pub id: AdminKeyId,
    /// The name for people.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// Where it may do it.
    pub reach: Reach,
    /// The scopes that it may hand out.
    pub grant_ceiling: ScopeSet,
    /// What is kept of its tokens: at most two, the one that stands for it from
    /// now on last.
    pub secrets: Vec<Secret>,
    /// When it was created.
    pub create_time: Timestamp,
    /// The id of the admin key that created it; empty: it was made offline.
    pub created_by: String,
    /// When it stops working; none: when it is revoked.
    pub expire_time: Option<Timestamp>,
    /// Whether it is switched off.
    pub disabled: bool,
    /// Its end, once it is revoked.
    pub revocation: Option<Revocation>,
}

impl AdminKey {
    /// Why the admin key does not work at `now`; none if it does.
    #[must_use]
    pub fn denial(&self, now: Timestamp) -> Option<DenialReason> {
        match self.state(now) {
            KeyState::Active => None,
            KeyState::Revoked => Some(DenialReason::Revoked),
            KeyState::Expired => Some(DenialReason::Expired),
            KeyState::Disabled => Some(DenialReason::Disabled),
        }
    }

    /// Whether it works at `now`, and if not, why.
    #[must_use]
    pub fn state(&self, now: Timestamp) -> KeyState {
        KeyState::of(
            self.revocation.as_ref(),
            self.expire_time,
            self.disabled,
            now,
        )
    }

    /// Whether this one keeps the system from being without an owner: an OWNER
    /// of the system that works, does not expire and may grant everything.
    /// Others could not make such a one again: nobody grants more than he has.
    #[must_use]
    pub fn keeps_the_system(&self) -> bool {
        self.role == Role::Owner
            && self.reach == Reach::System
            && self.grant_ceiling.meets("*")
            && self.revocation.is_none()
            && self.expire_time.is_none()
            && !self.disabled
    }

    /// Where it acts.
    #[must_use]
    pub const fn place(&self) -> Place<'_> {
        match &self.reach {
            Reach::System => Place::System,
            Reach::Workspace(workspace) => Place::Workspace(workspace),
        }
    }

    /// Whether the key may do `deed` at `place`. Which scopes it may hand out
    /// is a question of its grant ceiling beside this one.
    ///
    /// # Errors
    ///
    /// [`Refusal`], which says what to tell the caller.
    pub fn may(&self, deed: Deed, place: Place<'_>) -> Result<(), Refusal> {
        match (&self.reach, place) {
            // The system's admins act everywhere.
            (Reach::System, Place::System | Place::Workspace(_)) => {}
            // A workspace's admins act there.
            (Reach::Workspace(own), Place::Workspace(workspace)) if own == workspace => {}
            // What another workspace holds does not exist for them.
            (Reach::Workspace(_), Place::Workspace(_)) => return Err(Refusal::Invisible),
            // What is the system's is known to exist, and not theirs.
            (Reach::Workspace(_), Place::System) => return Err(Refusal::NotOfTheSystem),
        }
        let required = deed.needs();
        if self.role >= required {
            Ok(())
        } else {
            Err(Refusal::Role { required })
        }
    }
}

/// What an admin key may do. Each role may do all that the ones before it may.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Role {
    /// Reads.
    Reader,
    /// Issues and revokes keys.
    Issuer,
    /// Manages workspace and admins.
    Owner,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Reader => "READER",
            Self::Issuer => "ISSUER",
            Self::Owner => "OWNER",
        })
    }
}

/// Where an admin key acts.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Reach {
    /// Everywhere.
    System,
    /// In one workspace.
    Workspace(WorkspaceId),
}

/// Where a deed takes place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Place<'a> {
    /// In no one workspace.
    System,
    /// In this one.
    Workspace(&'a WorkspaceId),
}

/// What an admin call does, as far as its rights go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Deed {
    /// Reads workspaces or keys.
    Read,
    /// Issues, changes, switches, revokes or deletes a key.
    ManageKeys,
    /// Changes what a workspace is called, knows or means by default.
    ManageWorkspace,
    /// Makes, reads, changes or revokes admin keys.
    ManageAdmins,
    /// Reads the audit log.
    ReadAudit,
    /// Makes, switches or deletes a workspace.
    RuleWorkspaces,
    /// Says what a principal may do in a workspace.
    ManageMemberships,
    /// Makes, changes or switches principals.
    ManagePrincipals,
}

impl Deed {
    /// The least role that may do it.
    #[must_use]
    pub const fn needs(self) -> Role {
        match self {
            Self::Read => Role::Reader,
            Self::ManageKeys => Role::Issuer,
            Self::ManageWorkspace
            | Self::ManageAdmins
            | Self::ReadAudit
            | Self::RuleWorkspaces
            | Self::ManageMemberships
            | Self::ManagePrincipals => Role::Owner,
        }
    }
}

/// Why an admin key may not.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refusal {
    /// To be told that there is no such thing.
    Invisible,
    /// The deed is for the system's admins.
    NotOfTheSystem,
    /// Its role does not reach.
    Role {
        /// The least role that does.
        required: Role,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admin(role: Role, reach: Reach) -> AdminKey {
        let now = Timestamp::from_micros(1);
        AdminKey {
            id: AdminKeyId::generate(now),
            name: String::new(),
            role,
            reach,
            grant_ceiling: ScopeSet::default(),
            secrets: Vec::new(),
            create_time: now,
            created_by: String::new(),
            expire_time: None,
            disabled: false,
            revocation: None,
        }
    }

    #[test]
    fn each_role_may_what_its_table_says() {
        use Deed::{
            ManageAdmins, ManageKeys, ManageMemberships, ManagePrincipals, ManageWorkspace, Read,
            ReadAudit, RuleWorkspaces,
        };
        let all = [
            Read,
            ManageKeys,
            ManageWorkspace,
            ManageAdmins,
            ReadAudit,
            RuleWorkspaces,
            ManageMemberships,
            ManagePrincipals,
        ];
        let table = [
            (Role::Reader, &all[..1]),
            (Role::Issuer, &all[..2]),
            (Role::Owner, &all[..]),
        ];
        let here: WorkspaceId = "here".parse().unwrap();
        for (role, allowed) in table {
            for deed in all {
                let expected = if allowed.contains(&deed) {
                    Ok(())
                } else {
                    Err(Refusal::Role {
                        required: deed.needs(),
                    })
                };
                let system = admin(role, Reach::System);
                let local = admin(role, Reach::Workspace(here.clone()));
                let there = Place::Workspace(&here);
                assert_eq!(system.may(deed, Place::System), expected, "{role} {deed:?}");
                assert_eq!(system.may(deed, there), expected, "{role} {deed:?}");
                assert_eq!(local.may(deed, there), expected, "{role} {deed:?}");
                assert_eq!(local.may(deed, Place::System), Err(Refusal::NotOfTheSystem));
            }
        }
    }

    #[test]
    fn another_workspace_is_invisible_whatever_the_role() {
        let here: WorkspaceId = "here".parse().unwrap();
        let there: WorkspaceId = "there".parse().unwrap();
        for role in [Role::Reader, Role::Issuer, Role::Owner] {
            let local = admin(role, Reach::Workspace(here.clone()));
            assert_eq!(
                local.may(Deed::Read, Place::Workspace(&there)),
                Err(Refusal::Invisible)
            );
            assert_eq!(
                local.may(Deed::ManageKeys, Place::Workspace(&there)),
                Err(Refusal::Invisible)
            );
        }
    }

    #[test]
    fn an_ended_admin_key_says_why() {
        let now = Timestamp::from_micros(5);
        let mut key = admin(Role::Owner, Reach::System);
        assert_eq!(key.denial(now), None);
        key.disabled = true;
        assert_eq!(key.denial(now), Some(DenialReason::Disabled));
        key.expire_time = Some(now);
        assert_eq!(key.denial(now), Some(DenialReason::Expired));
        key.revocation = Some(Revocation {
            time: now,
            reason: super::super::key::RevocationReason::Unused,
            by: String::new(),
            note: String::new(),
        });
        assert_eq!(key.denial(now), Some(DenialReason::Revoked));
    }
}
