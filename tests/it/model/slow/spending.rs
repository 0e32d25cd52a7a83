//! What checks spend in the model: limits, as a list of all that has passed, and
//! credits, as a number.

use keyward::domain::verdict::DenialReason;

use super::super::words::{Answer, Ask, Layer, Left, Limit, Reading, Verdict, window};
use super::verdict::Place;
use super::{Count, Credits, World};

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
        let workspace = &self.workspaces[place.workspace];
        let mut all = Vec::new();
        for (name, _) in super::super::words::LIMITS {
            let of_key = key.limits.get(name).map(|limit| (Layer::Key, *limit));
            let of_workspace = workspace.limits.get(name);
            let of_workspace = of_workspace.map(|limit| (Layer::Workspace, *limit));
            // What is found on the key hides the same name on the workspace.
            let Some((layer, limit)) = of_key.or(of_workspace) else {
                continue;
            };
            let within =
                (key.workspace.is_none() && layer == Layer::Workspace).then_some(place.workspace);
            all.push(Due {
                name,
                layer,
                limit,
                count: (place.key, within, name),
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
        let spent = self.spent.get(&due.count);
        let within = |window: u64| {
            let all = spent.into_iter().flatten();
            let recent = all.filter(|(at, _)| self.now - at < window);
            let sum: u32 = recent.map(|(_, cost)| cost).sum();
            due.limit.count.saturating_sub(sum)
        };
        let window = window(due.name);
        Range {
            least: within(window + window / SLICES),
            most: within(window),
        }
    }

    /// Takes what a check has cost: of all that counts, if it was allowed, and
    /// else of nothing.
    pub(in super::super) fn spend(&mut self, ask: &Ask, answer: &Answer) {
        if !answer.is_allowed() || ask.cost == 0 {
            return;
        }
        let Ok(place) = self.place(ask) else {
            return;
        };
        let due = self.due(&place, &ask.limits).unwrap_or_default();
        let (now, key) = (self.now, place.key);
        for due in due {
            let spent = self.spent.entry(due.count).or_default();
            spent.push((now, ask.cost));
        }
        if let Some(credits) = &mut self.keys[key].credits {
            credits.balance -= u64::from(ask.cost);
        }
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
            window: window(due.name),
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
