//! What changes do to the model, and which of them are refused.

use super::super::words::{Change, Issued, NewCredits, NewKey, RETENTION};
use super::scopes::{covers, meaning};
use super::{Credits, Key, Membership, Token, TokenEnd, World};

/// The largest block, and what part of the credits it is at most.
const MAX_BLOCK: u64 = 1_000;
const BLOCK_PART: u64 = 10;

/// The most that a check takes here.
pub(in super::super) const MAX_COST: u32 = 7;

impl World {
    /// Makes a change, if it may be made.
    pub(in super::super) fn apply(&mut self, change: &Change) -> bool {
        match change {
            Change::CreateKey(new) => return self.create(new),
            Change::Scopes(..)
            | Change::Sources(..)
            | Change::End(..)
            | Change::Limits(..)
            | Change::SwitchKey(..)
            | Change::Credits(..)
            | Change::Adjust(..) => return self.revise(change),
            Change::Rotate {
                key,
                overlap,
                from_first_use,
            } => return self.rotate(*key, *overlap, *from_first_use),
            Change::Finish(key) => return self.settle(*key, true),
            Change::Cancel(key) => return self.settle(*key, false),
            Change::Revoke(key) => {
                if self.keys[*key].deleted {
                    return false;
                }
                // Revoking it again changes nothing.
                let now = self.now;
                self.keys[*key].revoked.get_or_insert(now);
            }
            Change::Delete(key) => return self.delete(*key),
            Change::CreatePrincipal(_)
            | Change::SwitchPrincipal(..)
            | Change::Member(..)
            | Change::RemoveMember(..) => return self.appoint(change),
            Change::SwitchWorkspace(workspace, disabled) => {
                self.workspaces[*workspace].disabled = *disabled;
            }
            Change::DefaultEnvironment(workspace, environment) => {
                let workspace = &mut self.workspaces[*workspace];
                if !workspace.environments.contains(environment) {
                    return false;
                }
                workspace.default = environment;
            }
            Change::DefaultLimits(workspace, limits) => {
                self.workspaces[*workspace].limits.clone_from(limits);
            }
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
                    || !self.is_within_ceiling(place, principal, new)
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
        let is_off = self.principals.get(principal).copied().unwrap_or_default();
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

    fn is_within_ceiling(&self, place: usize, principal: &'static str, new: &NewKey) -> bool {
        self.ceiling(place, principal)
            .is_none_or(|ceiling| covers(meaning(ceiling), meaning(&new.scopes)))
    }

    /// Changes a key, unless it has ended for good.
    fn revise(&mut self, change: &Change) -> bool {
        let now = self.now;
        let (Change::Scopes(key, _)
        | Change::Sources(key, _)
        | Change::End(key, _)
        | Change::Limits(key, _)
        | Change::SwitchKey(key, _)
        | Change::Credits(key, _)
        | Change::Adjust(key, _)) = change
        else {
            return false;
        };
        let home = self.keys[*key].workspace;
        let ceiling = home.and_then(|place| self.ceiling(place, self.keys[*key].principal));
        let ceiling = ceiling.map_or(u128::MAX, meaning);
        let Some(key) = self.changeable(*key) else {
            return false;
        };
        match change {
            Change::Scopes(_, scopes) => {
                // As they are they may stay, also if the ceiling was lowered.
                let allowed = key.scopes == *scopes || covers(ceiling, meaning(scopes));
                if allowed {
                    key.scopes.clone_from(scopes);
                }
                return allowed;
            }
            Change::Sources(_, sources) => key.sources.clone_from(sources),
            Change::End(_, end) => {
                if end.is_some_and(|end| end <= now) {
                    return false;
                }
                key.end = *end;
            }
            Change::Limits(_, limits) => key.limits.clone_from(limits),
            Change::SwitchKey(_, disabled) => key.disabled = *disabled,
            Change::Credits(_, None) => key.credits = None,
            Change::Credits(_, Some(new)) => {
                let Some(given) = new.given(key.credits.as_ref(), now) else {
                    return false;
                };
                key.credits = Some(given);
            }
            Change::Adjust(_, delta) => {
                let Some(credits) = key.credits.as_mut().filter(|_| *delta != 0) else {
                    return false;
                };
                credits.balance = credits.balance.saturating_add_signed(*delta);
                credits.most = credits.balance;
            }
            _ => return false,
        }
        true
    }

    fn rotate(&mut self, key: usize, overlap: u64, from_first_use: bool) -> bool {
        let now = self.now;
        let rotated = &self.keys[key];
        let is_off = self.principals[rotated.principal]
            || rotated
                .workspace
                .is_some_and(|place| self.workspaces[place].disabled);
        let under_way = rotated.is_under_way(now);
        if is_off || (under_way && overlap > 0) || (overlap == 0 && from_first_use) {
            return false;
        }
        let Some(key) = self.changeable(key).filter(|key| !key.has_ended(now)) else {
            return false;
        };
        if let Some(other) = key.other {
            key.tokens[other].end = TokenEnd::Forgotten;
        }
        key.tokens[key.current].end = if from_first_use {
            TokenEnd::AfterFirstUse(overlap)
        } else {
            key.end_after(overlap, now)
        };
        key.other = Some(key.current);
        key.current = key.tokens.len();
        key.tokens.push(Token::default());
        true
    }

    /// Ends one of the two tokens of a key that is being rotated: the old one,
    /// or the new one.
    fn settle(&mut self, key: usize, finished: bool) -> bool {
        let under_way = self.keys[key].is_under_way(self.now);
        let Some(key) = self.changeable(key).filter(|_| under_way) else {
            return false;
        };
        let (old, new) = (key.other.unwrap(), key.current);
        if finished {
            key.tokens[old].end = TokenEnd::Over;
        } else {
            key.tokens[new].end = TokenEnd::Over;
            key.tokens[old].end = TokenEnd::Never;
            (key.current, key.other) = (old, Some(new));
        }
        true
    }

    fn delete(&mut self, key: usize) -> bool {
        let now = self.now;
        let key = &mut self.keys[key];
        let over = key.revoked.is_some_and(|at| at + RETENTION <= now);
        let deleted = over && !key.deleted;
        key.deleted |= deleted;
        deleted
    }

    /// Changes a principal, or what it may do in a workspace.
    fn appoint(&mut self, change: &Change) -> bool {
        match change {
            Change::CreatePrincipal(id) => {
                let is_new = !self.principals.contains_key(id);
                self.principals.entry(id).or_default();
                is_new
            }
            Change::SwitchPrincipal(id, disabled) => {
                let principal = self.principals.get_mut(id);
                principal.map(|is_off| *is_off = *disabled).is_some()
            }
            Change::Member(place, id, ceiling) => {
                if ceiling.is_empty() {
                    return false;
                }
                self.principals.entry(id).or_default();
                let membership = Membership {
                    ceiling: ceiling.clone(),
                    removed: false,
                };
                self.members.insert((*place, id), membership);
                true
            }
            Change::RemoveMember(place, id) => {
                let membership = self.members.get_mut(&(*place, *id));
                membership.map(|gone| gone.removed = true).is_some()
            }
            _ => false,
        }
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
        let key = if let Change::Rotate { key, .. } = change {
            &mut self.keys[*key]
        } else {
            self.keys.last_mut().unwrap()
        };
        key.id = issued.id;
        key.tokens.last_mut().unwrap().text = issued.token;
    }

    /// Takes what is left of a key's credits after a crash, which is no more
    /// than there was, and by one block less at most.
    pub(in super::super) fn forfeit(&mut self, key: usize, left: Option<u64>) -> bool {
        let credits = self.keys[key].credits.as_mut();
        let (Some(credits), Some(left)) = (credits, left) else {
            return self.keys[key].credits.is_none() && left.is_none();
        };
        let block = (credits.most / BLOCK_PART).min(MAX_BLOCK);
        let block = block.max(MAX_COST.into());
        let lost = credits.balance.checked_sub(left);
        credits.balance = left;
        lost.is_some_and(|lost| lost <= block)
    }

    /// The key, unless it has ended for good.
    fn changeable(&mut self, key: usize) -> Option<&mut Key> {
        let key = &mut self.keys[key];
        (key.revoked.is_none() && !key.deleted).then_some(key)
    }
}

impl NewCredits {
    /// What there is then, where there was `before`; none, if that is not said.
    fn given(self, before: Option<&Credits>, now: u64) -> Option<Credits> {
        let filled = self.refill.map(|refill| refill.amount);
        let current = before.map(|credits| credits.balance);
        let balance = self.balance.or(current).or(filled)?;
        Some(Credits {
            balance,
            refill: self.refill,
            turn: self.refill.map(|refill| refill.turn(now)),
            most: balance,
        })
    }
}

impl Key {
    /// The end of a token that works on for a while, but not beyond its key.
    pub(super) fn end_after(&self, overlap: u64, now: u64) -> TokenEnd {
        let end = self.end.map_or(now + overlap, |end| end.min(now + overlap));
        if end <= now {
            TokenEnd::Over
        } else {
            TokenEnd::At(end)
        }
    }
}
