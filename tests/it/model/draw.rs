//! What is drawn at random: changes and questions that have to do with each
//! other often, and with nothing now and then.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, Ipv6Addr};

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};

use super::slow::{
    Address, Ask, Change, Credential, Key, NewKey, RETENTION, Range, Requirement, SEGMENTS, Source,
    World,
};

/// The most keys of a history: fewer are asked for more often.
const MAX_KEYS: usize = 12;

/// The names of all changes.
pub(super) const ALL_CHANGES: [&str; 14] = [
    "create key",
    "scopes",
    "sources",
    "end",
    "switch key",
    "rotate",
    "finish",
    "cancel",
    "revoke",
    "delete",
    "switch workspace",
    "default",
    "wait",
    "restart",
];

impl Change {
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::CreateKey(_) => "create key",
            Self::Scopes(..) => "scopes",
            Self::Sources(..) => "sources",
            Self::End(..) => "end",
            Self::SwitchKey(..) => "switch key",
            Self::Rotate { .. } => "rotate",
            Self::Finish(_) => "finish",
            Self::Cancel(_) => "cancel",
            Self::Revoke(_) => "revoke",
            Self::Delete(_) => "delete",
            Self::SwitchWorkspace(..) => "switch workspace",
            Self::Default(..) => "default",
            Self::Wait(_) => "wait",
            Self::Restart => "restart",
        }
    }
}

/// What decides.
pub(super) struct Dice(StdRng);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(StdRng::seed_from_u64(seed))
    }

    /// True once in so many times.
    fn once_in(&mut self, times: u32) -> bool {
        self.0.random_ratio(1, times)
    }

    fn one_of<T: Clone>(&mut self, these: &[T]) -> T {
        these.choose(&mut self.0).unwrap().clone()
    }

    pub(super) fn is_time_for_a_change(&mut self, step: usize) -> bool {
        step < 3 || self.once_in(6)
    }

    pub(super) fn change(&mut self, world: &World) -> Change {
        let room = world.keys.len() < MAX_KEYS;
        if world.keys.is_empty() || (room && self.once_in(4)) {
            return Change::CreateKey(self.new_key(world));
        }
        let key = self.0.random_range(0..world.keys.len());
        let workspace = self.0.random_range(0..world.workspaces.len());
        match self.0.random_range(0..31) {
            0..4 => Change::Scopes(key, self.scopes()),
            4..8 => Change::Sources(key, self.ranges()),
            8..11 => Change::End(key, self.end(world)),
            11..14 => Change::SwitchKey(key, self.once_in(2)),
            14 => Change::Revoke(key),
            15 => Change::Delete(self.revoked(world).unwrap_or(key)),
            // More often on than off, or little would pass.
            16..18 => Change::SwitchWorkspace(workspace, self.once_in(3)),
            18 => Change::Default(workspace, self.one_of(&["live", "test", "prod"])),
            19..23 => Change::Wait(self.span(world)),
            23..28 => Change::Rotate {
                key,
                overlap: self.one_of(&[0, 1, 1_000_000, 5_000_000, 3_600_000_000]),
                from_first_use: self.once_in(2),
            },
            28 => Change::Finish(self.rotating(world).unwrap_or(key)),
            29 => Change::Cancel(self.rotating(world).unwrap_or(key)),
            _ => Change::Restart,
        }
    }

    fn new_key(&mut self, world: &World) -> NewKey {
        NewKey {
            workspace: self.0.random_range(0..world.workspaces.len()),
            environment: self.one_of(&["", "", "live", "test"]),
            scopes: self.scopes(),
            sources: self.ranges(),
            end: self.end(world),
        }
    }

    fn revoked(&mut self, world: &World) -> Option<usize> {
        let gone = |(_, key): &(usize, &Key)| key.revoked.is_some() && !key.deleted;
        let revoked: Vec<_> = world.keys.iter().enumerate().filter(gone).collect();
        revoked.choose(&mut self.0).map(|(place, _)| *place)
    }

    /// A key of which two tokens work.
    fn rotating(&mut self, world: &World) -> Option<usize> {
        let two = |(_, key): &(usize, &Key)| key.is_under_way(world.now);
        let rotating: Vec<_> = world.keys.iter().enumerate().filter(two).collect();
        rotating.choose(&mut self.0).map(|(place, _)| *place)
    }

    /// The end of a key: none, soon, or, which is refused, now or before.
    fn end(&mut self, world: &World) -> Option<u64> {
        match self.0.random_range(0..8) {
            0..4 => None,
            4 => Some(world.now - self.0.random_range(0..3)),
            _ => Some(world.now + self.0.random_range(1..10_000_000)),
        }
    }

    /// A while: to the microsecond at which something is due or the one before,
    /// or any.
    fn span(&mut self, world: &World) -> u64 {
        let due = world.keys.iter().flat_map(|key| {
            let kept = key.revoked.map(|at| at + RETENTION);
            let tokens = key.tokens.iter().filter_map(|token| token.end.time());
            key.end.into_iter().chain(kept).chain(tokens)
        });
        let due: Vec<_> = due.filter(|due| *due > world.now).collect();
        match due.choose(&mut self.0) {
            Some(due) if !self.once_in(3) => due - world.now - u64::from(self.once_in(2)),
            Some(_) | None => self.one_of(&[0, 1, 1_000, 1_000_000, 3_600_000_000]),
        }
    }

    pub(super) fn scopes(&mut self) -> BTreeSet<String> {
        let number = self.0.random_range(0..4);
        (0..number)
            .map(|_| self.scope())
            // As it is kept.
            .map(|scope| scope.replace("ALL", "*"))
            .collect()
    }

    /// A scope of one to three segments.
    fn scope(&mut self) -> String {
        if self.once_in(16) {
            return self.one_of(&["*", "ALL"]).to_owned();
        }
        let number = self.0.random_range(1..=3);
        let mut segments: Vec<_> = (0..number).map(|_| self.one_of(&SEGMENTS)).collect();
        if number > 1 && self.once_in(3) {
            segments[number - 1] = "*";
        }
        segments.join(":")
    }

    fn requirement(&mut self) -> Requirement {
        if self.once_in(24) {
            return Requirement::IllFormed(
                self.one_of(&["", "a|", "A", "a::b", "*:a", "a b", "all|All"]),
            );
        }
        let number = self.0.random_range(1..3);
        Requirement::AnyOf((0..number).map(|_| self.scope()).collect())
    }

    fn ranges(&mut self) -> Vec<Range> {
        if self.once_in(2) {
            return Vec::new();
        }
        let number = self.0.random_range(1..4);
        let mut ranges = Vec::new();
        for _ in 0..number {
            let Address { v4, mut bits } = self.address();
            let most = bits.len();
            bits.truncate(match self.0.random_range(0..4) {
                0 => most,
                1 => 0,
                // Near where the addresses differ.
                2 => most - self.0.random_range(0..5),
                _ => self.0.random_range(0..=most),
            });
            ranges.push(Range { v4, prefix: bits });
        }
        ranges
    }

    /// An address of few, which differ in their last bits or in their first.
    fn address(&mut self) -> Address {
        let last = self.0.random_range(0..8_u8);
        if self.once_in(2) {
            let first = self.one_of(&[10, 11, 203]);
            let bits = Ipv4Addr::new(first, 0, 113, last).to_bits();
            return Address {
                v4: true,
                bits: format!("{bits:032b}"),
            };
        }
        let first = self.one_of(&[0, 0x2001, 0xfe80]);
        let bits = Ipv6Addr::new(first, 0xdb8, 0, 0, 0, 0, 0, last.into()).to_bits();
        Address {
            v4: false,
            bits: format!("{bits:0128b}"),
        }
    }

    pub(super) fn ask(&mut self, world: &World) -> Ask {
        let credential = self.credential(world);
        let home = if let Credential::Token(key, _) = credential {
            Some(&world.keys[key])
        } else {
            None
        };
        let (mut workspace, mut environment) = (None, None);
        if !self.once_in(3) {
            // Mostly what the key is of, and sometimes what it is not.
            workspace = home.map(|key| world.workspaces[key.workspace].id);
            environment = home
                .map(|key| key.environment)
                .filter(|name| !name.is_empty());
        }
        if self.once_in(8) {
            workspace = Some(self.one_of(&["one", "two", "plain", "nowhere"]));
        }
        if self.once_in(8) {
            environment = Some(self.one_of(&["live", "test", "*", "prod", "LIVE"]));
        }
        let required = self.0.random_range(0..3);
        Ask {
            credential,
            workspace,
            environment,
            required: (0..required).map(|_| self.requirement()).collect(),
            source: self.source(home.map_or(&[], |key| &key.sources)),
        }
    }

    fn credential(&mut self, world: &World) -> Credential {
        let key = self.0.random_range(0..world.keys.len().max(1));
        let known = key < world.keys.len();
        match self.0.random_range(0..20) {
            0 => Credential::Nothing,
            1 => Credential::Malformed,
            2 => Credential::Stranger,
            3 => Credential::Admin,
            4 if known => Credential::Mistyped(key),
            _ if known => {
                // Mostly one of those that work, and sometimes one of before.
                let all = world.keys[key].tokens.len();
                let one = &world.keys[key];
                let token = match self.0.random_range(0..6) {
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
        match self.0.random_range(0..8) {
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
