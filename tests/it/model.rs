//! The verdict against a slow and obvious model of it.
//!
//! Histories are drawn at random: operators make, change and end keys,
//! principals, memberships and workspaces, time passes, the server is stopped or
//! killed and started anew, and between any two of these gateways ask. The real
//! registry, store, index and checker have to answer each of them as the model
//! does, which holds its state in plain lists and decides in plain words
//! (`slow`). What is drawn is in `draw`, how it is put to the real thing in
//! `real`, and what both are told in `words`.
//!
//! `KEYWARD_TEST_MODEL_STEPS` is how many steps are made, changes and checks
//! together. `KEYWARD_TEST_MODEL_SEED` is the history to begin with: a failure
//! names its own.

mod draw;
mod ledger;
mod real;
mod slow;
mod ways;
mod words;

use std::collections::BTreeMap;

use keyward::domain::verdict::DenialReason;

use crate::support::count;

use draw::Dice;
use ledger::Ledger;
use real::Real;
use slow::World;
use words::{Ask, Change, Credential};

/// How many steps are made, unless it is said otherwise: a few seconds' worth.
const STEPS: usize = 50_000;

/// How many steps a history has, so that what was deleted does not pile up.
const HISTORY: usize = 500;

/// How often each that can be heard has to be, or too little is known of it.
const OFTEN: usize = 5;

#[test]
fn every_verdict_is_the_one_of_the_slow_and_obvious_model() {
    let steps = count("KEYWARD_TEST_MODEL_STEPS", STEPS);
    let first = count("KEYWARD_TEST_MODEL_SEED", 1);
    let mut heard = BTreeMap::new();
    for seed in first..first + steps.div_ceil(HISTORY) {
        History::new(u64::try_from(seed).unwrap(), &mut heard).live();
    }
    println!("{steps} steps: {heard:#?}");
    // Every reason that there is, also one that is added, and every way to it.
    let reasons = DenialReason::ALL.map(DenialReason::as_str);
    let others = ["allowed", "first use"];
    if steps >= STEPS {
        for what in [&reasons[..], &Change::ALL, &ways::ALL, &others].concat() {
            let times = heard.get(what).copied().unwrap_or_default();
            assert!(times >= OFTEN, "{what} came {times} times: {heard:#?}");
        }
    }
}

/// One history, from an empty store to its end.
struct History<'h> {
    seed: u64,
    dice: Dice,
    world: World,
    real: Real,
    ledger: Ledger,
    /// The changes so far.
    past: Vec<String>,
    heard: &'h mut BTreeMap<String, usize>,
}

impl<'h> History<'h> {
    fn new(seed: u64, heard: &'h mut BTreeMap<String, usize>) -> Self {
        let mut dice = Dice::new(seed);
        let world = World::new(dice.beginning());
        Self {
            seed,
            dice,
            real: Real::new(&world),
            world,
            ledger: Ledger::default(),
            past: Vec::new(),
            heard,
        }
    }

    fn live(mut self) {
        for step in 0..HISTORY {
            if self.dice.is_time_for_a_change(step) {
                let change = self.dice.change(&self.world);
                self.change(step, &change);
            } else if self.dice.is_time_to_look() && !self.world.keys.is_empty() {
                let key = self.dice.key(&self.world);
                self.look(step, key);
            } else {
                let ask = self.dice.ask(&self.world);
                self.ask(step, &ask);
            }
        }
        self.real.end();
    }

    fn hear(&mut self, what: &[&str]) {
        for what in what {
            *self.heard.entry((*what).to_owned()).or_default() += 1;
        }
    }

    /// Where it is, and how it came there.
    fn so_far(&self, step: usize) -> String {
        let (seed, past) = (self.seed, self.past.join("\n"));
        format!(
            "history {seed}, step {step}: {:#?} after\n{past}",
            self.world
        )
    }

    fn change(&mut self, step: usize, change: &Change) {
        self.hear(&ways::of_change(&self.world, change));
        let expected = self.world.apply(change);
        let made = self.real.apply(change, &self.world);
        self.past
            .push(format!("{step}: {change:?}, which is done: {expected}"));
        assert_eq!(
            made.is_ok(),
            expected,
            "{change:?} gave {made:?} in {}",
            self.so_far(step)
        );
        if let Some(issued) = made.unwrap_or_default() {
            self.world.learn(change, issued);
        }
        if matches!(change, Change::Restart | Change::Crash) {
            self.ledger.forget();
        }
        if matches!(change, Change::Crash) {
            self.lose(step);
        }
        match expected {
            true => self.hear(&[change.name()]),
            false => self.hear(&[&format!("{} refused", change.name())]),
        }
    }

    /// After a crash, a block of credits may be lost of each key.
    fn lose(&mut self, step: usize) {
        for key in 0..self.world.keys.len() {
            let Some(seen) = self.real.seen(&self.world.keys[key].id) else {
                continue;
            };
            let left = seen.credits.map(|(balance, _)| balance);
            let before = self.world.keys[key].credits.clone();
            assert!(
                self.world.forfeit(key, left),
                "the crash has left {left:?} of {before:?} of key {key} in {}",
                self.so_far(step)
            );
            if before.is_some_and(|before| Some(before.balance) != left) {
                self.hear(&["forfeits credits"]);
            }
        }
    }

    fn look(&mut self, step: usize, key: usize) {
        let (expected, seen) = (
            self.world.seen(key),
            self.real.seen(&self.world.keys[key].id),
        );
        assert_eq!(seen, expected, "key {key} in {}", self.so_far(step));
        self.hear(&["look"]);
    }

    fn ask(&mut self, step: usize, ask: &Ask) {
        let answer = self.real.answer(ask, &self.world);
        if let Some(objection) = self.world.objection(ask, &answer) {
            panic!(
                "{answer:?}, but {objection}, to {ask:?} in {}",
                self.so_far(step)
            );
        }
        self.hear(&ways::of_answer(&self.world, ask, &answer));
        if let Credential::Token(key, _) = ask.credential {
            let key = &self.world.keys[key];
            let now = self.world.now;
            let bound = key.workspace.map(|bound| self.world.workspaces[bound].id);
            let site = (key, bound.or(ask.workspace));
            if let Err(broken) = self.ledger.enter(site, ask, &answer.limits, now) {
                panic!("{broken} in {}", self.so_far(step));
            }
            if answer.name() == "CREDITS_EXHAUSTED" {
                // What windows were looked at is not told then.
                self.ledger.forget();
            }
        }
        self.world.spend(ask, &answer);
        self.hear(&[answer.name()]);
        if let Some(key) = self.world.note(ask, &answer) {
            self.real.wait_for_note(&self.world.keys[key].id);
            self.hear(&["first use"]);
        }
    }
}
