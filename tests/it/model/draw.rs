//! What is drawn at random: changes that have to do with each other often, and
//! with nothing now and then. Questions are drawn in `asks`.

mod asks;
mod pieces;

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};

use super::slow::{Key, Passed, World};
use super::words::{
    Change, KeyChange, LIMITS, Limit, Limits, NewCredits, NewKey, OTHERS, PRINCIPALS,
    PrincipalChange, RETENTION, Refill, SECOND, WorkspaceChange,
};

/// The most keys of a history: fewer are asked for more often.
const MAX_KEYS: usize = 12;

/// When histories begin: on a day like others, and just before months turn.
const BEGINNINGS: [u64; 4] = [
    1_780_000_000,
    // 2026-05-31, 2027-12-31 and 2028-02-28, ten seconds before midnight.
    1_780_271_990,
    1_830_297_590,
    1_835_395_190,
];

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

    pub(super) fn beginning(&mut self) -> u64 {
        self.one_of(&BEGINNINGS) * SECOND
    }

    pub(super) fn is_time_for_a_change(&mut self, step: usize) -> bool {
        step < 5 || self.once_in(5)
    }

    /// Whether an operator looks at a key.
    pub(super) fn is_time_to_look(&mut self) -> bool {
        self.once_in(16)
    }

    /// Any key, but mostly one that has not ended.
    pub(super) fn key(&mut self, world: &World) -> usize {
        let keys = 0..world.keys.len();
        let lives = |key: &usize| {
            let key = &world.keys[*key];
            key.revoked.is_none() && !key.has_ended(world.now)
        };
        let living: Vec<_> = keys.clone().filter(lives).collect();
        match living.choose(&mut self.0) {
            Some(key) if !self.once_in(4) => *key,
            Some(_) | None => self.0.random_range(keys),
        }
    }

    pub(super) fn change(&mut self, world: &World) -> Change {
        let room = world.keys.len() < MAX_KEYS;
        if world.keys.is_empty() || (room && self.once_in(4)) {
            return Change::CreateKey(self.new_key(world));
        }
        match self.0.random_range(0..20) {
            0..10 => self.change_of_key(world),
            10..14 => self.change_of_principal(world),
            14..17 => self.change_of_workspace(world),
            17..19 => Change::Wait(self.span(world)),
            _ => self.one_of(&[Change::Restart, Change::Crash]),
        }
    }

    fn change_of_key(&mut self, world: &World) -> Change {
        let key = self.key(world);
        let change = match self.0.random_range(0..32) {
            0..4 => KeyChange::Scopes(self.scopes()),
            4..7 => KeyChange::Sources(self.ranges()),
            7..10 => KeyChange::End(self.end(world)),
            // More often on than off, or little would pass.
            10..13 => KeyChange::Switch(self.once_in(3)),
            13 => KeyChange::Revoke,
            14 => {
                // Mostly one that may be, and now and then one that may be soon.
                let kept = if self.once_in(3) { 0 } else { RETENTION };
                let over = |key: &Key| key.revoked.is_some_and(|at| at + kept <= world.now);
                let key = self
                    .such(world, |key| over(key) && !key.deleted)
                    .unwrap_or(key);
                return Change::Key(key, KeyChange::Delete);
            }
            15..20 => KeyChange::Rotate {
                overlap: self.one_of(&[0, 1, SECOND, 5 * SECOND, 3_600 * SECOND]),
                from_first_use: self.once_in(2),
            },
            20..22 => {
                let change = self.one_of(&[KeyChange::Finish, KeyChange::Cancel]);
                let rotating = self.such(world, |key| key.is_under_way(world.now));
                return Change::Key(rotating.unwrap_or(key), change);
            }
            22..26 => KeyChange::Limits(self.limits()),
            26..30 => KeyChange::Credits(self.credits()),
            _ => {
                let change = KeyChange::Adjust(self.one_of(&[-1_000, -3, -1, 0, 1, 5, 20]));
                let with = self.such(world, |key| key.credits.is_some());
                return Change::Key(with.unwrap_or(key), change);
            }
        };
        Change::Key(key, change)
    }

    fn change_of_principal(&mut self, world: &World) -> Change {
        let principal = self.principal();
        let place = self.0.random_range(0..world.workspaces.len());
        let change = match self.0.random_range(0..19) {
            0 => {
                let principal = self.absent(world).unwrap_or(principal);
                return Change::Principal(principal, PrincipalChange::Create);
            }
            1..5 => PrincipalChange::Switch(self.once_in(5)),
            5 => {
                let principal = self.one_of(&OTHERS);
                return Change::Principal(principal, PrincipalChange::Delete);
            }
            16..19 => PrincipalChange::Limits(self.limits()),
            6..9 => PrincipalChange::RemoveMember(place),
            _ => PrincipalChange::Member(place, self.ceiling()),
        };
        Change::Principal(principal, change)
    }

    fn change_of_workspace(&mut self, world: &World) -> Change {
        let place = self.0.random_range(0..world.workspaces.len());
        let change = match self.0.random_range(0..8) {
            0..3 => WorkspaceChange::Switch(self.once_in(5)),
            3..5 => WorkspaceChange::Environment(self.one_of(&["live", "test", "prod"])),
            _ => WorkspaceChange::Limits(self.limits()),
        };
        Change::Workspace(place, change)
    }

    fn new_key(&mut self, world: &World) -> NewKey {
        NewKey {
            workspace: if self.once_in(3) {
                None
            } else {
                Some(self.0.random_range(0..world.workspaces.len()))
            },
            principal: self.principal(),
            environment: self.one_of(&["", "", "", "live", "test"]),
            scopes: self.scopes(),
            sources: self.ranges(),
            limits: if self.once_in(2) {
                self.limits()
            } else {
                Limits::new()
            },
            credits: if self.once_in(3) {
                self.credits()
            } else {
                None
            },
            end: self.end(world),
        }
    }

    /// Some of all limits, with counts that are soon used up.
    fn limits(&mut self) -> Limits {
        let mut limits = Limits::new();
        for (name, [usual, other]) in LIMITS {
            if self.once_in(2) {
                let limit = Limit {
                    count: self.0.random_range(1..9),
                    window: self.one_of(&[usual, usual, usual, other]),
                    always: self.once_in(3),
                };
                limits.insert(name, limit);
            }
        }
        limits
    }

    /// Credits that are soon used up, now and then many; or, which is refused,
    /// neither a balance nor a refill.
    fn credits(&mut self) -> Option<NewCredits> {
        if self.once_in(6) {
            return None;
        }
        let few = self.0.random_range(0..30);
        let balance = self.one_of(&[None, Some(few), Some(few), Some(few), Some(2_000)]);
        let refill = Refill {
            monthly: self.once_in(2),
            amount: self.0.random_range(1..20),
        };
        Some(NewCredits {
            balance,
            refill: if self.once_in(3) { None } else { Some(refill) },
        })
    }

    /// A principal: mostly one that has keys.
    fn principal(&mut self) -> &'static str {
        if self.once_in(12) {
            self.one_of(&OTHERS)
        } else {
            self.one_of(&PRINCIPALS)
        }
    }

    /// A principal that there is not.
    fn absent(&mut self, world: &World) -> Option<&'static str> {
        let all = PRINCIPALS.into_iter().chain(OTHERS);
        let absent: Vec<_> = all
            .filter(|id| !world.principals.contains_key(id))
            .collect();
        absent.choose(&mut self.0).copied()
    }

    /// A key that is so, if there is one.
    fn such(&mut self, world: &World, is_so: impl Fn(&Key) -> bool) -> Option<usize> {
        let keys = world.keys.iter().enumerate();
        let such: Vec<_> = keys.filter(|(_, key)| is_so(key)).collect();
        such.choose(&mut self.0).map(|(place, _)| *place)
    }

    /// The end of a key: none, soon, or, which is refused, now or before.
    fn end(&mut self, world: &World) -> Option<u64> {
        match self.0.random_range(0..10) {
            0..6 => None,
            6 => Some(world.now - self.0.random_range(0..3)),
            _ => Some(world.now + self.0.random_range(1..10 * SECOND)),
        }
    }

    /// A while: to the microsecond at which something is due or the one before,
    /// or any.
    fn span(&mut self, world: &World) -> u64 {
        let mut due: Vec<_> = world.keys.iter().flat_map(due_of).collect();
        for spent in world.spent.values() {
            let window = spent.window;
            let back = |passed: &Passed| {
                let late = passed.latest + window + window / 64;
                [passed.earliest + window, late]
            };
            due.extend(spent.all.iter().flat_map(back));
        }
        due.retain(|due| *due > world.now);
        let (one, other) = (due.choose(&mut self.0), due.choose(&mut self.0));
        // Mostly what comes first, or far less would ever be due.
        let first = one.zip(other).map(|(one, other)| *one.min(other));
        match first {
            Some(due) if !self.once_in(3) => due - world.now - u64::from(self.once_in(2)),
            Some(_) | None => self.one_of(&[0, 1, 1_000, SECOND, 3_600 * SECOND]),
        }
    }
}

/// When something happens to a key by itself.
fn due_of(key: &Key) -> Vec<u64> {
    let kept = key.revoked.map(|at| at + RETENTION);
    let turn = key.credits.as_ref().and_then(|credits| credits.turn);
    let tokens = key.tokens.iter().filter_map(|token| token.end.time());
    let due = key.end.into_iter().chain(kept).chain(turn);
    due.chain(tokens).collect()
}
