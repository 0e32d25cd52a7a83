//! What gateways ask, drawn at random: mostly what a key may, so that all
//! grounds for denial are reached.

use rand::RngExt;
use rand::seq::IndexedRandom;

use super::super::slow::{Key, World};
use super::super::words::{Address, Ask, Credential, LIMITS, Range, Requirement, Source};
use super::Dice;

impl Dice {
    pub(in super::super) fn ask(&mut self, world: &World) -> Ask {
        let credential = self.credential(world);
        let key = if let Credential::Token(key, _) = credential {
            Some(&world.keys[key])
        } else {
            None
        };
        let place = key.map(|key| self.place(world, key));
        let required = self.one_of(&[0, 0, 1, 2]);
        Ask {
            credential,
            workspace: match key {
                // It says nothing, or what the key is of, or what it is not.
                _ if self.once_in(12) => Some(self.one_of(&["one", "two", "plain", "nowhere"])),
                Some(key) if key.workspace.is_some() && self.once_in(3) => None,
                _ if self.once_in(8) => None,
                _ => place.map(|place| world.workspaces[place].id),
            },
            environment: self.environment(world, key, place),
            required: (0..required).map(|_| self.requirement(key)).collect(),
            source: self.source(key.map_or(&[], |key| &key.sources)),
            limits: self.names(world, key, place),
            cost: self.one_of(&[0, 1, 1, 1, 2, 7]),
        }
    }

    /// Where a key is good, mostly.
    fn place(&mut self, world: &World, key: &Key) -> usize {
        let places = 0..world.workspaces.len();
        let members = places.filter(|place| world.ceiling(*place, key.principal).is_some());
        let members: Vec<_> = members.collect();
        let any = self.0.random_range(0..world.workspaces.len());
        let member = members.choose(&mut self.0).copied().unwrap_or(any);
        key.workspace.unwrap_or(member)
    }

    fn environment(
        &mut self,
        world: &World,
        key: Option<&Key>,
        place: Option<usize>,
    ) -> Option<&'static str> {
        if self.once_in(10) {
            return Some(self.one_of(&["live", "test", "*", "prod", "LIVE"]));
        }
        let environment = match key?.environment {
            "" => world.workspaces[place?].default,
            environment => environment,
        };
        let is_said = !environment.is_empty() && !self.once_in(4);
        is_said.then_some(environment)
    }

    fn requirement(&mut self, key: Option<&Key>) -> Requirement {
        if self.once_in(24) {
            return Requirement::IllFormed(
                self.one_of(&["", "a|", "A", "a::b", "*:a", "a b", "all|All"]),
            );
        }
        let granted: Vec<_> = key.into_iter().flat_map(|key| &key.scopes).collect();
        let number = self.0.random_range(1..3);
        let mut scopes: Vec<_> = (0..number).map(|_| self.scope()).collect();
        if let Some(granted) = granted.choose(&mut self.0)
            && self.once_in(2)
        {
            scopes.push((*granted).clone());
        }
        Requirement::AnyOf(scopes)
    }

    /// The names of limits, mostly of those that are defined for the key.
    fn names(
        &mut self,
        world: &World,
        key: Option<&Key>,
        place: Option<usize>,
    ) -> Vec<&'static str> {
        let of_place = place.map(|place| &world.workspaces[place].limits);
        let mut names = Vec::new();
        for (name, _) in LIMITS {
            let of_key = key.is_some_and(|key| key.limits.contains_key(name));
            let is_defined = of_key || of_place.is_some_and(|limits| limits.contains_key(name));
            if self.once_in(if is_defined { 2 } else { 24 }) {
                names.push(name);
            }
        }
        if self.once_in(48) {
            names.push("nowhere");
        }
        names
    }

    fn credential(&mut self, world: &World) -> Credential {
        let known = !world.keys.is_empty();
        let key = if known { self.key(world) } else { 0 };
        match self.0.random_range(0..48) {
            0 => Credential::Nothing,
            1 => Credential::Malformed,
            2 => Credential::Stranger,
            3 => Credential::Admin,
            4 if known => Credential::Mistyped(key),
            _ if known => {
                // Mostly one of those that work, and sometimes one of before.
                let all = world.keys[key].tokens.len();
                let one = &world.keys[key];
                let token = match self.0.random_range(0..8) {
                    0 => self.0.random_range(0..all),
                    1 | 2 => one.other.unwrap_or(one.current),
                    _ => one.current,
                };
                Credential::Token(key, token)
            }
            _ => Credential::Stranger,
        }
    }

    /// Mostly what lies in one of the ranges.
    fn source(&mut self, ranges: &[Range]) -> Source {
        match self.0.random_range(0..10) {
            0 => Source::Unsaid,
            1 => Source::Nonsense(self.one_of(&[
                "unknown",
                "10.0.113.1, 10.0.113.1",
                "fe80::1%1",
                "10.0.113.1/32",
                "\0",
            ])),
            2 | 3 => Source::Address(self.address()),
            _ => match ranges.choose(&mut self.0).cloned() {
                Some(Range {
                    v4,
                    prefix: mut bits,
                }) => {
                    let most = if v4 { 32 } else { 128 };
                    while bits.len() < most {
                        bits.push(self.one_of(&['0', '1']));
                    }
                    Source::Address(Address { v4, bits })
                }
                None => Source::Address(self.address()),
            },
        }
    }
}
