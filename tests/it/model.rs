//! The verdict against a slow and obvious model of it.
//!
//! Histories are drawn at random: operators make, change and end keys and
//! workspaces, time passes, the index is loaded anew, and between any two of
//! these gateways ask. The real registry, store, index and checker have to
//! answer each of them as the model does, which holds its state in plain lists
//! and decides in plain words (`slow`). What is drawn is in `draw`, and how it is
//! put to the real thing in `real`.
//!
//! `KEYWARD_TEST_MODEL_STEPS` is how many steps are made, changes and checks
//! together. `KEYWARD_TEST_MODEL_SEED` is the history to begin with: a failure
//! names its own.

mod draw;
mod real;
mod slow;

use std::collections::BTreeMap;

use crate::support::count;

use draw::Dice;
use real::Real;
use slow::World;

/// How many steps are made, unless it is said otherwise: a few seconds' worth.
const STEPS: usize = 50_000;

/// How many steps a history has, so that what was deleted does not pile up.
const HISTORY: usize = 500;

#[test]
fn every_verdict_is_the_one_of_the_slow_and_obvious_model() {
    let steps = count("KEYWARD_TEST_MODEL_STEPS", STEPS);
    let first = count("KEYWARD_TEST_MODEL_SEED", 1);
    let mut heard = BTreeMap::new();
    for seed in first..first + steps.div_ceil(HISTORY) {
        live(u64::try_from(seed).unwrap(), &mut heard);
    }
    println!("{steps} steps: {heard:#?}");
    // All that can be heard was, or nothing would be known of it.
    if steps >= STEPS {
        for what in slow::ALL_ANSWERS
            .iter()
            .chain(&draw::ALL_CHANGES)
            .chain(&["first use"])
        {
            let times = heard.get(*what).copied().unwrap_or_default();
            assert!(times >= 5, "{what} came {times} times: {heard:#?}");
        }
    }
}

/// One history, from an empty store to its end.
fn live(seed: u64, heard: &mut BTreeMap<String, usize>) {
    let mut dice = Dice::new(seed);
    let mut world = World::default();
    let mut real = Real::new(world.now);
    let mut past = Vec::new();
    for step in 0..HISTORY {
        let at = || format!("history {seed}, step {step}");
        if dice.is_time_for_a_change(step) {
            let change = dice.change(&world);
            let expected = world.apply(&change);
            let made = real.apply(&change, &world);
            past.push(format!("{step}: {change:?}, which is done: {expected}"));
            assert_eq!(
                made.is_ok(),
                expected,
                "{}: {change:?} gave {made:?} after\n{}",
                at(),
                past.join("\n")
            );
            if let Some(issued) = made.unwrap_or_default() {
                world.learn(&change, issued);
            }
            let refused = if expected { "" } else { " refused" };
            *heard
                .entry(format!("{}{refused}", change.name()))
                .or_default() += 1;
        } else {
            let ask = dice.ask(&world);
            let expected = world.answer(&ask);
            let answer = real.answer(&ask, &world);
            assert_eq!(
                answer,
                expected,
                "{}: {ask:?} in {world:#?} after\n{}",
                at(),
                past.join("\n")
            );
            *heard.entry(expected.name().to_owned()).or_default() += 1;
            if let Some(key) = world.note(&ask, &expected) {
                real.wait_for_note(&world.keys[key].id);
                *heard.entry("first use".to_owned()).or_default() += 1;
            }
        }
    }
    real.end();
}
