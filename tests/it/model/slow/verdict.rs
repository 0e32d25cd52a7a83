//! What the model answers: the first ground for denial in the documented order,
//! as far as it is not about what is spent.

use std::collections::BTreeSet;

use keyward::domain::verdict::DenialReason;

use super::super::words::{Address, Answer, Ask, Credential, Range, Source, Told, Verdict};
use super::scopes::{is_everything, meaning};
use super::{Key, TokenEnd, World};

/// A key where it is used: none of it is denied, so far.
pub(super) struct Place<'w> {
    pub(super) key: usize,
    pub(super) workspace: usize,
    /// What is to be told of it.
    told: Told,
    /// The scopes that are to be told, as what they mean.
    granted: u128,
    /// The same as they are to be written, if that is one way alone.
    written: Option<&'w BTreeSet<String>>,
}

impl Place<'_> {
    /// Whether that is what is to be told.
    pub(super) fn is(&self, told: &Told) -> bool {
        let expected = Told {
            scopes: told.scopes.clone(),
            ..self.told.clone()
        };
        *told == expected
            && meaning(&told.scopes) == self.granted
            && self.written.is_none_or(|written| told.scopes == *written)
    }
}

impl World {
    /// What is to be denied for; or the key where it is used, which may, but for
    /// what it spends.
    pub(super) fn place(&self, ask: &Ask) -> Result<Place<'_>, Verdict> {
        let nobody = |reason| Verdict::Denied {
            reason,
            key_id: None,
        };
        let (number, token) = match ask.credential {
            Credential::Nothing => return Err(nobody(DenialReason::Missing)),
            Credential::Malformed => return Err(nobody(DenialReason::Malformed)),
            Credential::Mistyped(_) | Credential::Stranger | Credential::Admin => {
                return Err(nobody(DenialReason::Unknown));
            }
            Credential::Token(key, token) => (key, token),
        };
        let key = &self.keys[number];
        let token_end = key.tokens[token].end;
        if key.deleted || token_end == TokenEnd::Forgotten {
            return Err(nobody(DenialReason::Unknown));
        }
        let asked = ask.workspace.map(|id| {
            let mut places = self.workspaces.iter();
            places.position(|workspace| workspace.id == id)
        });
        let denied = |reason| Verdict::Denied {
            reason,
            key_id: Some(key.id.clone()),
        };
        let place = match (key.workspace, asked) {
            (None, None) => return Err(denied(DenialReason::WorkspaceRequired)),
            (None, Some(Some(asked))) if self.ceiling(asked, key.principal).is_some() => asked,
            (Some(home), None) => home,
            (Some(home), Some(Some(asked))) if asked == home => home,
            (_, Some(_)) => return Err(nobody(DenialReason::Unknown)),
        };
        match self.ground(ask, (key, token_end), place) {
            Some(reason) => Err(denied(reason)),
            None => Ok(self.standing(number, token, place)),
        }
    }

    /// Why a key may not, in a workspace of which it is.
    fn ground(
        &self,
        ask: &Ask,
        (key, token_end): (&Key, TokenEnd),
        place: usize,
    ) -> Option<DenialReason> {
        let workspace = &self.workspaces[place];
        if key.revoked.is_some() {
            return Some(DenialReason::Revoked);
        }
        if key.has_ended(self.now) || token_end.has_come(self.now) {
            return Some(DenialReason::Expired);
        }
        let ceiling = self.ceiling(place, key.principal);
        let is_off = key.disabled || self.principals[key.principal].disabled || workspace.disabled;
        let Some(ceiling) = ceiling.filter(|_| !is_off) else {
            return Some(DenialReason::Disabled);
        };
        let of_key = self.environment(key, place);
        let asked = match ask.environment {
            Some("*") => of_key,
            Some(environment) => environment,
            None => workspace.default,
        };
        if asked != of_key {
            return Some(DenialReason::Environment);
        }
        if !key.sources.is_empty() && !key.sources.iter().any(|range| ask.source.is_in(range)) {
            return Some(DenialReason::SourceAddress);
        }
        let granted = meaning(&key.scopes) & meaning(ceiling);
        let met = ask.required.iter().all(|term| term.is_met_by(granted));
        (!met).then_some(DenialReason::InsufficientScope)
    }

    /// The environment of a key there: one that a personal key does not name is
    /// the default of the workspace.
    fn environment(&self, key: &Key, place: usize) -> &'static str {
        match (key.workspace, key.environment) {
            (None, "") => self.workspaces[place].default,
            (_, environment) => environment,
        }
    }

    fn standing(&self, number: usize, token: usize, place: usize) -> Place<'_> {
        let key = &self.keys[number];
        let ceiling = &self.members[&(place, key.principal)].ceiling;
        let token_end = key.tokens[token].end.time();
        Place {
            key: number,
            workspace: place,
            told: Told {
                key_id: key.id.clone(),
                workspace: self.workspaces[place].id.to_owned(),
                environment: self.environment(key, place).to_owned(),
                scopes: BTreeSet::new(),
                end: key.end.into_iter().chain(token_end).min(),
                superseded: key
                    .is_under_way(self.now)
                    .then_some(Some(token) == key.other),
            },
            granted: meaning(&key.scopes) & meaning(ceiling),
            written: is_everything(ceiling).then_some(&key.scopes),
        }
    }

    /// What a check brings about: the key of which an old token has got an end,
    /// because the new one was used for the first time.
    pub(in super::super) fn note(&mut self, ask: &Ask, answer: &Answer) -> Option<usize> {
        let Credential::Token(place, token) = ask.credential else {
            return None;
        };
        // As far as to its scopes, so that the client has it and it works there.
        let is_use = [
            "allowed",
            "INSUFFICIENT_SCOPE",
            "UNKNOWN_LIMIT",
            "RATE_LIMITED",
            "CREDITS_EXHAUSTED",
        ]
        .contains(&answer.name());
        let now = self.now;
        let key = &mut self.keys[place];
        let old = key.other.filter(|_| is_use && token == key.current)?;
        let TokenEnd::AfterFirstUse(overlap) = key.tokens[old].end else {
            return None;
        };
        key.tokens[old].end = key.end_after(overlap, now);
        Some(place)
    }
}

impl Source {
    fn is_in(&self, range: &Range) -> bool {
        match self {
            Self::Address(address) => range.holds(address),
            Self::Unsaid | Self::Nonsense(_) => false,
        }
    }
}

impl Range {
    fn holds(&self, address: &Address) -> bool {
        self.v4 == address.v4 && address.bits.starts_with(&self.prefix)
    }
}
