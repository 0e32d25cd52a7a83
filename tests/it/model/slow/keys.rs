//! What is done with a key in the model: changed, rotated, revoked, deleted.

use std::collections::BTreeSet;

use super::super::words::{KeyChange, NewCredits, RETENTION};
use super::scopes::{covers, meaning};
use super::{Credits, Key, Token, TokenEnd, World};

/// The largest block, and what part of the credits it is at most.
const MAX_BLOCK: u64 = 1_000;
const BLOCK_PART: u64 = 10;

/// The most that a check takes here.
pub(in super::super) const MAX_COST: u32 = 7;

impl World {
    pub(super) fn manage(&mut self, key: usize, change: &KeyChange) -> bool {
        match change {
            KeyChange::Scopes(scopes) => self.set_scopes(key, scopes),
            KeyChange::Sources(sources) => self.revise(key, |key| key.sources.clone_from(sources)),
            KeyChange::End(end) => {
                let is_past = end.is_some_and(|end| end <= self.now);
                !is_past && self.revise(key, |key| key.end = *end)
            }
            KeyChange::Limits(limits) => self.revise(key, |key| key.limits.clone_from(limits)),
            KeyChange::Switch(disabled) => self.revise(key, |key| key.disabled = *disabled),
            KeyChange::Rotate {
                overlap,
                from_first_use,
            } => self.rotate(key, *overlap, *from_first_use),
            KeyChange::Finish => self.end_rotation(key, true),
            KeyChange::Cancel => self.end_rotation(key, false),
            KeyChange::Revoke => self.revoke(key),
            KeyChange::Delete => self.delete(key),
            KeyChange::Credits(None) => self.revise(key, |key| key.credits = None),
            KeyChange::Credits(Some(new)) => {
                let given = new.given(self.keys[key].credits.as_ref(), self.now);
                given.is_some() && self.revise(key, |key| key.credits = given)
            }
            KeyChange::Adjust(delta) => self.adjust(key, *delta),
        }
    }

    /// Changes a key, unless it has ended for good.
    fn revise(&mut self, key: usize, change: impl FnOnce(&mut Key)) -> bool {
        self.changeable(key).map(change).is_some()
    }

    fn set_scopes(&mut self, key: usize, scopes: &BTreeSet<String>) -> bool {
        let is_within =
            self.is_within_ceiling(self.keys[key].workspace, self.keys[key].principal, scopes);
        // As they are they may stay, also if the ceiling was lowered.
        (is_within || self.keys[key].scopes == *scopes)
            && self.revise(key, |key| key.scopes.clone_from(scopes))
    }

    /// Whether the principal may have these scopes there. Where it is no member,
    /// and for a personal key, there is no ceiling yet.
    pub(super) fn is_within_ceiling(
        &self,
        place: Option<usize>,
        principal: &'static str,
        scopes: &BTreeSet<String>,
    ) -> bool {
        place
            .and_then(|place| self.ceiling(place, principal))
            .is_none_or(|ceiling| covers(meaning(ceiling), meaning(scopes)))
    }

    fn adjust(&mut self, key: usize, delta: i64) -> bool {
        let key = self.changeable(key).filter(|_| delta != 0);
        let Some(credits) = key.and_then(|key| key.credits.as_mut()) else {
            return false;
        };
        credits.balance = credits.balance.saturating_add_signed(delta);
        credits.most = credits.balance;
        true
    }

    fn revoke(&mut self, key: usize) -> bool {
        let now = self.now;
        let key = &mut self.keys[key];
        if !key.deleted {
            // Revoking it again changes nothing.
            key.revoked.get_or_insert(now);
        }
        !key.deleted
    }

    fn rotate(&mut self, key: usize, overlap: u64, from_first_use: bool) -> bool {
        let now = self.now;
        let rotated = &self.keys[key];
        let is_off = self.principals[rotated.principal].disabled
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
    fn end_rotation(&mut self, key: usize, finished: bool) -> bool {
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
    pub(super) fn given(self, before: Option<&Credits>, now: u64) -> Option<Credits> {
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
