//! The real thing: registry, store, index and checker, as a server has them, but
//! for the sockets, the disk and the clock. How it is changed; how it is asked is
//! in `asks`.

mod asks;
mod parts;

use std::time::Duration;

use keyward::domain::clock::Timestamp;
use keyward::domain::credits::Period;
use keyward::domain::credits_draft::{Adjustment, CreditsDraft, RefillDraft};
use keyward::domain::key::{KeyState, RevocationReason};
use keyward::domain::key_draft::{KeyDraft, KeyPatch};
use keyward::domain::limit::LimitDraft;
use keyward::domain::principal::{MembershipDraft, PrincipalDraft, PrincipalPatch};
use keyward::domain::rotation::RotationDraft;
use keyward::domain::secret::End;
use keyward::domain::token::{Token, TokenPrefix};
use keyward::domain::workspace::{WorkspaceDraft, WorkspacePatch};
use keyward::service::bootstrap;
use keyward::service::error::RegistryError;
use keyward::service::registry::{CreditsChange, IssuedKey};
use keyward::store::Store;

use super::slow::World;
use super::slow::scopes::meaning;
use super::words::{
    Change, Issued, KeyChange, Limit, Limits, NewCredits, NewKey, PrincipalChange, Seen,
    WorkspaceChange,
};
use crate::records::{block_on, pepper};

use parts::{Machine, Parts};

/// How often to look for what is due any moment.
const MANY: usize = 100_000;

/// What a change comes to: what was issued, if it was a key.
type Made = Result<Option<Issued>, RegistryError>;

pub(super) struct Real {
    machine: Machine,
    owner: Token,
    stranger: Token,
    /// None: the server is not running.
    parts: Option<Parts>,
    /// How often something was written down in one of several ways: each is
    /// taken in its turn.
    turn: usize,
}

impl Real {
    /// The workspaces of a new world, and no keys.
    pub(super) fn new(world: &World) -> Self {
        let machine = Machine::new(world.now);
        let owner = bootstrap::mint_admin_token().unwrap();
        let now = Timestamp::from_micros(world.now);
        let first = bootstrap::first_owner(&owner, &pepper(), now);
        block_on(machine.store.commit(first)).unwrap();
        let parts = Parts::load(&machine, &owner);
        for workspace in &world.workspaces {
            let draft = WorkspaceDraft {
                id: workspace.id.to_owned(),
                token_prefix: "klg".to_owned(),
                environments: workspace
                    .environments
                    .iter()
                    .map(ToString::to_string)
                    .collect(),
                ..WorkspaceDraft::default()
            };
            block_on(parts.registry.create_workspace(&parts.actor, draft)).unwrap();
        }
        Self {
            machine,
            owner,
            stranger: Token::mint(&TokenPrefix::try_from("klg").unwrap(), None),
            parts: Some(parts),
            turn: 0,
        }
    }

    /// Makes a change. `world` is as it is after that.
    pub(super) fn apply(&mut self, change: &Change, world: &World) -> Made {
        match change {
            Change::CreateKey(new) => return self.create(new, world).map(Some),
            Change::Key(key, change) => return self.manage(&world.keys[*key].id, change),
            Change::Principal(id, change) => self.appoint(id, change, world)?,
            Change::Workspace(place, change) => {
                self.settle(world.workspaces[*place].id, change)?;
            }
            Change::Wait(_) => self.machine.set(world.now),
            Change::Restart => self.restart(false),
            Change::Crash => self.restart(true),
        }
        Ok(None)
    }

    fn create(&mut self, new: &NewKey, world: &World) -> Result<Issued, RegistryError> {
        let home = new.workspace.map(|place| world.workspaces[place].id);
        let draft = KeyDraft {
            workspace: home.unwrap_or_default().to_owned(),
            token_prefix: if home.is_none() { "klg_user" } else { "" }.to_owned(),
            environment: new.environment.to_owned(),
            principal: new.principal.to_owned(),
            name: "a key".to_owned(),
            scopes: new.scopes.iter().cloned().collect(),
            expire_time: new.end.map(Timestamp::from_micros),
            limits: drafts(&new.limits),
            credits: new.credits.map(CreditsDraft::from),
            source_addresses: new.sources.iter().map(|range| self.range(range)).collect(),
            ..KeyDraft::default()
        };
        let parts = self.parts();
        let issued = block_on(parts.registry.create_key(&parts.actor, draft))?;
        Ok(Issued::from(issued))
    }

    fn manage(&mut self, id: &str, change: &KeyChange) -> Made {
        let mut patch = KeyPatch::default();
        match change {
            KeyChange::Scopes(scopes) => patch.scopes = Some(scopes.iter().cloned().collect()),
            KeyChange::Sources(sources) => {
                let ranges = sources.iter().map(|range| self.range(range));
                patch.source_addresses = Some(ranges.collect());
            }
            KeyChange::End(end) => patch.expire_time = Some(end.map(Timestamp::from_micros)),
            KeyChange::Limits(limits) => patch.limits = Some(drafts(limits)),
            KeyChange::Credits(credits) => {
                let change = CreditsChange::Set(credits.map(CreditsDraft::from));
                return self.change_credits(id, change);
            }
            KeyChange::Adjust(delta) => {
                let adjustment = Adjustment {
                    delta: *delta,
                    ..Adjustment::default()
                };
                return self.change_credits(id, CreditsChange::Adjust(adjustment));
            }
            KeyChange::Rotate {
                overlap,
                from_first_use,
            } => return self.rotate(id, *overlap, *from_first_use),
            KeyChange::Switch(_)
            | KeyChange::Finish
            | KeyChange::Cancel
            | KeyChange::Revoke
            | KeyChange::Delete => return self.end_something(id, change),
        }
        let parts = self.parts();
        block_on(parts.registry.update_key(&parts.actor, (id, ""), patch))?;
        Ok(None)
    }

    fn change_credits(&self, id: &str, change: CreditsChange) -> Made {
        let parts = self.parts();
        block_on(parts.registry.change_credits(&parts.actor, id, change))?;
        Ok(None)
    }

    fn rotate(&self, id: &str, overlap: u64, from_first_use: bool) -> Made {
        let parts = self.parts();
        let draft = RotationDraft {
            overlap: Some(Duration::from_micros(overlap)),
            from_first_use,
        };
        let issued = block_on(parts.registry.rotate_key(&parts.actor, (id, ""), draft))?;
        Ok(Some(Issued::from(issued)))
    }

    /// Ends a key, or one of its tokens.
    fn end_something(&self, id: &str, change: &KeyChange) -> Made {
        let Parts {
            registry, actor, ..
        } = self.parts();
        match change {
            KeyChange::Switch(disabled) => {
                block_on(registry.switch_key(actor, (id, ""), *disabled))?;
            }
            KeyChange::Finish => {
                block_on(registry.finish_rotation(actor, (id, "")))?;
            }
            KeyChange::Cancel => {
                block_on(registry.cancel_rotation(actor, (id, "")))?;
            }
            KeyChange::Revoke => {
                let reason = RevocationReason::Unused;
                block_on(registry.revoke_key(actor, id, reason, ""))?;
            }
            KeyChange::Delete => block_on(registry.delete_key(actor, (id, "")))?,
            KeyChange::Scopes(_)
            | KeyChange::Sources(_)
            | KeyChange::End(_)
            | KeyChange::Limits(_)
            | KeyChange::Rotate { .. }
            | KeyChange::Credits(_)
            | KeyChange::Adjust(_) => panic!("{change:?} ends nothing"),
        }
        Ok(None)
    }

    /// Changes a principal, or what it may do in a workspace.
    fn appoint(
        &self,
        id: &str,
        change: &PrincipalChange,
        world: &World,
    ) -> Result<(), RegistryError> {
        let Parts {
            registry, actor, ..
        } = self.parts();
        match change {
            PrincipalChange::Create => {
                let draft = PrincipalDraft {
                    id: id.to_owned(),
                    ..PrincipalDraft::default()
                };
                block_on(registry.create_principal(actor, draft)).map(drop)
            }
            PrincipalChange::Switch(disabled) => {
                block_on(registry.switch_principal(actor, (id, ""), *disabled)).map(drop)
            }
            PrincipalChange::Limits(limits) => {
                let patch = PrincipalPatch {
                    limits: Some(drafts(limits)),
                    ..PrincipalPatch::default()
                };
                block_on(registry.update_principal(actor, (id, ""), patch)).map(drop)
            }
            PrincipalChange::Delete => block_on(registry.delete_principal(actor, (id, ""))),
            PrincipalChange::Member(place, ceiling) => {
                let draft = MembershipDraft {
                    workspace: world.workspaces[*place].id.to_owned(),
                    principal: id.to_owned(),
                    scope_ceiling: ceiling.iter().cloned().collect(),
                };
                block_on(registry.set_membership(actor, draft, "")).map(drop)
            }
            PrincipalChange::RemoveMember(place) => {
                let which = (world.workspaces[*place].id, id);
                block_on(registry.remove_membership(actor, which, "")).map(drop)
            }
        }
    }

    /// Changes a workspace.
    fn settle(&self, id: &str, change: &WorkspaceChange) -> Result<(), RegistryError> {
        let Parts {
            registry, actor, ..
        } = self.parts();
        let mut patch = WorkspacePatch::default();
        match change {
            WorkspaceChange::Switch(disabled) => {
                return block_on(registry.switch_workspace(actor, (id, ""), *disabled)).map(drop);
            }
            WorkspaceChange::Environment(name) => {
                patch.default_environment = Some((*name).to_owned());
            }
            WorkspaceChange::Limits(limits) => patch.default_limits = Some(drafts(limits)),
        }
        block_on(registry.update_workspace(actor, (id, ""), patch)).map(drop)
    }

    fn restart(&mut self, killed: bool) {
        let old = self.parts.take().unwrap();
        if killed {
            old.crash(&self.machine);
        } else {
            old.stop();
        }
        self.parts = Some(Parts::load(&self.machine, &self.owner));
    }

    fn parts(&self) -> &Parts {
        self.parts.as_ref().unwrap()
    }

    /// Looks at a key, as operators do; none, if there is none.
    pub(super) fn seen(&self, id: &str) -> Option<Seen> {
        let parts = self.parts();
        let view = block_on(parts.registry.get_key(&parts.actor, id)).ok()?;
        let scopes = view.effective_scopes.as_ref().unwrap_or(&view.key.scopes);
        let scopes: Vec<_> = scopes.iter().map(ToString::to_string).collect();
        Some(Seen {
            state: match view.state {
                KeyState::Active => "ACTIVE",
                KeyState::Expired => "EXPIRED",
                KeyState::Disabled => "DISABLED",
                KeyState::Revoked => "REVOKED",
            },
            credits: view
                .credits
                .map(|left| (left.balance, left.refill_time.map(Timestamp::as_micros))),
            scopes: meaning(&scopes),
        })
    }

    /// Returns when the first use of a key's new token was noted, of which no
    /// check waits for the end.
    pub(super) fn wait_for_note(&self, id: &str) {
        let parts = self.parts();
        for _ in 0..MANY {
            let view = block_on(parts.registry.get_key(&parts.actor, id)).unwrap();
            let old = view.key.secrets.first().and_then(|old| old.end);
            if !matches!(old, Some(End::AfterFirstUse { .. })) {
                return;
            }
            std::thread::yield_now();
        }
        panic!("the first use of a new token of {id} is not noted");
    }

    pub(super) fn end(self) {
        self.parts.unwrap().stop();
        self.machine.store.close();
    }
}

impl From<IssuedKey> for Issued {
    fn from(issued: IssuedKey) -> Self {
        Self {
            id: issued.view.key.id.to_string(),
            token: issued.token.expose().to_owned(),
        }
    }
}

impl From<NewCredits> for CreditsDraft {
    fn from(credits: NewCredits) -> Self {
        Self {
            balance: credits.balance,
            refill: credits.refill.map(|refill| RefillDraft {
                period: Some(if refill.monthly {
                    Period::Month
                } else {
                    Period::Day
                }),
                amount: refill.amount,
            }),
        }
    }
}

fn drafts(limits: &Limits) -> Vec<LimitDraft> {
    let draft = |(name, limit): (&&'static str, &Limit)| LimitDraft {
        name: (*name).to_owned(),
        count: limit.count,
        window: Duration::from_micros(limit.window),
        always: limit.always,
    };
    limits.iter().map(draft).collect()
}
