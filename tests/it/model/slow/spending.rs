//! What checks spend in the model: limits, as a list of all that has passed, and
//! credits, as a number.

use keyward::domain::verdict::DenialReason;

use super::super::words::{Answer, Ask, LIMITS, Layer, Left, Limit, Reading, Verdict};
use super::verdict::Place;
use super::{Count, Credits, Owner, Passed, Spent, World};

/// Into how many slices a window is cut: what was spent is there again a slice
/// late at most.
const SLICES: u64 = 64;

/// A limit that counts on a check.
struct Due {
    name: &'static str,
    layer: Layer,
    limit: Limit,
    count: Count,
}

/// What is left of a limit: it may be less than the most that it can be, as
/// something is given back late.
struct Range {
    least: u32,
    most: u32,
}

impl World {
    /// What is wrong with an answer; none: it is right.
    pub(in super::super) fn objection(&self, ask: &Ask, answer: &Answer) -> Option<String> {
        let place = match self.place(ask) {
            Ok(place) => place,
            Err(verdict) => return of_nothing_spent(verdict, answer),
        };
        let key = &self.keys[place.key];
        let denied = |reason| Verdict::Denied {
            reason,
            key_id: Some(key.id.clone()),
        };
        let Some(due) = self.due(&place, &ask.limits) else {
            return of_nothing_spent(denied(DenialReason::UnknownLimit), answer);
        };
        let left: Vec<_> = due.iter().map(|due| self.left(due)).collect();
        let cost = ask.cost;
        // A cost of 0 looks, and no limit denies it.
        let may_fit = left.iter().all(|left| cost <= left.most || cost == 0);
        let does_fit = left.iter().all(|left| cost <= left.least || cost == 0);
        let enough = key
            .credits
            .as_ref()
            .is_none_or(|credits| u64::from(cost) <= credits.balance);
        match &answer.verdict {
            Verdict::Allowed(told) => {
                if !may_fit || !enough || !place.is(told) {
                    return Some(format!("fits: {may_fit}, has the credits: {enough}"));
                }
                let credits = key.credits.as_ref().map(|left| left.after(cost.into()));
                wrong_credits(credits, answer).or_else(|| wrong_readings(&due, &left, ask, answer))
            }
            verdict if *verdict == denied(DenialReason::RateLimited) => {
                if does_fit {
                    return Some("it fits".to_owned());
                }
                wrong_credits(None, answer).or_else(|| wrong_readings(&due, &left, ask, answer))
            }
            verdict if *verdict == denied(DenialReason::CreditsExhausted) => {
                if !may_fit || enough || !answer.limits.is_empty() {
                    return Some(format!("fits: {may_fit}, has the credits: {enough}"));
                }
                let now = self.now;
                let credits = key.credits.as_ref();
                wrong_credits(
                    credits.map(|left| left.too_little(cost.into(), now)),
                    answer,
                )
            }
            Verdict::Denied { .. } => Some("it may, if it has what it spends".to_owned()),
        }
    }

    /// The limits that count on a check that names these, in the order of their
    /// names; none, if one is defined nowhere.
    fn due(&self, place: &Place<'_>, named: &[&str]) -> Option<Vec<Due>> {
        let key = &self.keys[place.key];
        let principal = &self.principals[key.principal];
        let workspace = &self.workspaces[place.workspace];
        let mut all = Vec::new();
        for (name, _) in LIMITS {
            // What is found further in hides the same name further out.
            let layers = [
                (Layer::Key, &key.limits),
                (Layer::Principal, &principal.limits),
                (Layer::Workspace, &workspace.limits),
            ];
            let found = layers.map(|(layer, limits)| Some((layer, *limits.get(name)?)));
            let Some((layer, limit)) = found.into_iter().flatten().next() else {
                continue;
            };
            let owner = match layer {
                Layer::Workspace if key.workspace.is_none() => {
                    Owner::KeyWithin(place.key, place.workspace)
                }
                Layer::Key | Layer::Workspace => Owner::Key(place.key),
                Layer::Principal => Owner::Principal(key.principal, place.workspace),
            };
            all.push(Due {
                name,
                layer,
                limit,
                count: (owner, name),
            });
        }
        let is_defined = |name: &&str| all.iter().any(|due| due.name == *name);
        if !named.iter().all(is_defined) {
            return None;
        }
        all.retain(|due| due.limit.always || named.contains(&due.name));
        all.sort_by_key(|due| due.name);
        Some(all)
    }

    fn left(&self, due: &Due) -> Range {
        let (now, window) = (self.now, due.limit.window);
        let spent = self.spent.get(&due.count);
        let spent = spent.map(|spent| spent.under(window, now));
        let all = spent.unwrap_or_default().all;
        let without = |counts: fn(&Passed, u64, u64) -> bool| {
            let counting = all.iter().filter(|passed| counts(passed, window, now));
            let sum: u32 = counting.map(|passed| passed.cost).sum();
            due.limit.count.saturating_sub(sum)
        };
        Range {
            least: without(Passed::may_count),
            most: without(Passed::does_count),
        }
    }

    /// Takes what a check has cost: of all that counts, if it was allowed, and
    /// else of nothing.
    pub(in super::super) fn spend(&mut self, ask: &Ask, answer: &Answer) {
        let Ok(place) = self.place(ask) else {
            return;
        };
        let due = self.due(&place, &ask.limits).unwrap_or_default();
        let (now, key) = (self.now, place.key);
        let cost = if answer.is_allowed() { ask.cost } else { 0 };
        for due in due {
            let window = due.limit.window;
            // Another window holds for the next check, which is this one.
            let spent = self.spent.entry(due.count).or_default();
            *spent = Spent {
                looked: now,
                ..spent.under(window, now)
            };
            spent.all.push(Passed {
                earliest: now,
                latest: now,
                cost,
                kept: true,
            });
        }
        if let Some(credits) = &mut self.keys[key].credits {
            credits.balance -= u64::from(cost);
        }
    }
}

impl Spent {
    /// The same, where the window is another: what still counts goes on to
    /// count, as if all of its slice had passed at the end of that; what did
    /// not when it was last looked at is forgotten.
    fn under(&self, window: u64, now: u64) -> Self {
        let before = self.window;
        if window == before {
            return self.clone();
        }
        let counting = self
            .all
            .iter()
            .filter(|one| one.may_count(before, self.looked));
        let taken_along = counting.map(|passed| Passed {
            latest: now.min(passed.latest + before / SLICES),
            kept: passed.does_count(before, now),
            ..*passed
        });
        Self {
            window,
            looked: self.looked,
            all: taken_along.collect(),
        }
    }
}

impl Passed {
    /// Whether it counts in a window of that length which ends now.
    const fn does_count(&self, window: u64, now: u64) -> bool {
        self.kept && now - self.earliest < window
    }

    /// Whether it may count, as its slice has not wholly left the window.
    const fn may_count(&self, window: u64, now: u64) -> bool {
        now - self.latest < window + window / SLICES
    }
}

impl Credits {
    fn after(&self, cost: u64) -> Left {
        Left {
            remaining: self.balance - cost,
            turn: self.turn,
            retry: None,
        }
    }

    /// That there is less than that.
    fn too_little(&self, cost: u64, now: u64) -> Left {
        let enough = self.refill.filter(|refill| cost <= refill.amount);
        Left {
            remaining: self.balance,
            turn: self.turn,
            retry: enough.and(self.turn).map(|turn| turn - now),
        }
    }
}

fn of_nothing_spent(verdict: Verdict, answer: &Answer) -> Option<String> {
    let right = Answer {
        verdict,
        limits: Vec::new(),
        credits: None,
    };
    (*answer != right).then(|| format!("it is to be {right:?}"))
}

fn wrong_credits(right: Option<Left>, answer: &Answer) -> Option<String> {
    (answer.credits != right).then(|| format!("its credits are {right:?}"))
}

/// What is wrong with what is told of limits: those that are due, each with what
/// is left after the check.
fn wrong_readings(due: &[Due], left: &[Range], ask: &Ask, answer: &Answer) -> Option<String> {
    let taken = if answer.is_allowed() { ask.cost } else { 0 };
    let right = |reading: &Reading, due: &Due, left: &Range| {
        let remaining = reading.remaining + taken;
        let expected = Reading {
            name: due.name.to_owned(),
            layer: due.layer,
            count: due.limit.count,
            window: due.limit.window,
            remaining: reading.remaining,
            denied: ask.cost > remaining,
        };
        *reading == expected && (left.least..=left.most).contains(&remaining)
    };
    let told = &answer.limits;
    let all_right = told.len() == due.len()
        && told
            .iter()
            .zip(due.iter().zip(left))
            .all(|(reading, (due, left))| right(reading, due, left));
    let has_denied = told.iter().any(|reading| reading.denied);
    (!all_right || has_denied == answer.is_allowed()).then(|| {
        let due = due.iter().zip(left);
        let due = due.map(|(due, left)| format!("{} {}..={}", due.name, left.least, left.most));
        format!("its limits are {:?}", due.collect::<Vec<_>>())
    })
}
