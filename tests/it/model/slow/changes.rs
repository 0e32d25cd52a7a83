//! What changes do to the model, and which of them are refused. What is done
//! with a key that there is, is in `keys`.

use super::super::words::{Change, Issued, NewKey, PrincipalChange, WorkspaceChange};
use super::{Key, Membership, Principal, Token, World};

impl World {
    /// Makes a change, if it may be made.
    pub(in super::super) fn apply(&mut self, change: &Change) -> bool {
        match change {
            Change::CreateKey(new) => return self.create(new),
            Change::Key(key, change) => return self.manage(*key, change),
            Change::Principal(principal, change) => return self.appoint(principal, change),
            Change::Workspace(place, change) => return self.settle(*place, change),
            Change::Wait(span) => self.wait(*span),
            // What was spent of limits is forgotten, and nothing else.
            Change::Restart | Change::Crash => self.spent.clear(),
        }
        true
    }

    fn create(&mut self, new: &NewKey) -> bool {
        let (now, principal) = (self.now, new.principal);
        let environment = match new.workspace {
            None => new.environment,
            Some(place) => {
                let workspace = &self.workspaces[place];
                let removed = self.members.get(&(place, principal));
                let is_declared = workspace.environments.contains(&new.environment);
                if workspace.disabled
                    || removed.is_some_and(|membership| membership.removed)
                    || !self.is_within_ceiling(new.workspace, principal, &new.scopes)
                    || !(is_declared || new.environment.is_empty())
                {
                    return false;
                }
                if is_declared {
                    new.environment
                } else {
                    workspace.default
                }
            }
        };
        let found = self.principals.get(principal);
        let is_off = found.is_some_and(|found| found.disabled || found.deleted);
        let credits = new.credits.map(|credits| credits.given(None, now));
        if is_off || credits == Some(None) || new.end.is_some_and(|end| end <= now) {
            return false;
        }
        // Whatever it stands on is made with it.
        self.principals.entry(principal).or_default();
        if let Some(place) = new.workspace {
            self.members
                .entry((place, principal))
                .or_insert_with(|| Membership {
                    ceiling: ["*".to_owned()].into(),
                    removed: false,
                });
        }
        self.keys.push(Key {
            id: String::new(),
            tokens: vec![Token::default()],
            current: 0,
            other: None,
            workspace: new.workspace,
            principal,
            environment,
            scopes: new.scopes.clone(),
            sources: new.sources.clone(),
            limits: new.limits.clone(),
            credits: credits.flatten(),
            end: new.end,
            disabled: false,
            revoked: None,
            deleted: false,
        });
        true
    }

    /// Changes a principal, or what it may do in a workspace.
    fn appoint(&mut self, id: &'static str, change: &PrincipalChange) -> bool {
        let is_deleted = self.principals.get(id).is_some_and(|found| found.deleted);
        if is_deleted {
            // Its id stays taken.
            return false;
        }
        match change {
            PrincipalChange::Create => {
                let is_new = !self.principals.contains_key(id);
                self.principals.entry(id).or_default();
                is_new
            }
            PrincipalChange::Switch(disabled) => self.revise_principal(id, |principal| {
                principal.disabled = *disabled;
            }),
            PrincipalChange::Limits(limits) => self.revise_principal(id, |principal| {
                principal.limits.clone_from(limits);
            }),
            PrincipalChange::Delete => {
                let mut keys = self.keys.iter();
                let has_keys = keys.any(|key| key.principal == id && !key.deleted);
                // Its memberships end with it.
                self.members.retain(|(_, of), _| has_keys || *of != id);
                !has_keys && self.revise_principal(id, |principal| principal.deleted = true)
            }
            PrincipalChange::Member(_, ceiling) if ceiling.is_empty() => false,
            PrincipalChange::Member(place, ceiling) => {
                self.principals.entry(id).or_default();
                let membership = Membership {
                    ceiling: ceiling.clone(),
                    removed: false,
                };
                self.members.insert((*place, id), membership);
                true
            }
            PrincipalChange::RemoveMember(place) => {
                let membership = self.members.get_mut(&(*place, id));
                membership.map(|gone| gone.removed = true).is_some()
            }
        }
    }

    fn revise_principal(&mut self, id: &'static str, change: impl FnOnce(&mut Principal)) -> bool {
        self.principals.get_mut(id).map(change).is_some()
    }

    fn settle(&mut self, place: usize, change: &WorkspaceChange) -> bool {
        let workspace = &mut self.workspaces[place];
        match change {
            WorkspaceChange::Switch(disabled) => workspace.disabled = *disabled,
            WorkspaceChange::Environment(name) => {
                let is_declared = workspace.environments.contains(name);
                if is_declared {
                    workspace.default = name;
                }
                return is_declared;
            }
            WorkspaceChange::Limits(limits) => workspace.limits.clone_from(limits),
        }
        true
    }

    fn wait(&mut self, span: u64) {
        self.now += span;
        for credits in self.keys.iter_mut().filter_map(|key| key.credits.as_mut()) {
            if let Some(refill) = credits.refill
                && credits.turn.is_some_and(|turn| turn <= self.now)
            {
                credits.balance = refill.amount;
                credits.most = refill.amount;
                credits.turn = Some(refill.turn(self.now));
            }
        }
    }

    /// Takes the names of what was made by a change.
    pub(in super::super) fn learn(&mut self, change: &Change, issued: Issued) {
        let key = if let Change::Key(key, _) = change {
            &mut self.keys[*key]
        } else {
            self.keys.last_mut().unwrap()
        };
        key.id = issued.id;
        key.tokens.last_mut().unwrap().text = issued.token;
    }
}
