//! What is printed: a line for each round and way of asking, and the medians.

use crate::h2load::Load;
use crate::stand::Link;
use crate::times::{Times, median};

/// What one kind of requests met in one round.
#[derive(Clone, Copy)]
pub(crate) struct Figure {
    pub(crate) times: Times,
    /// Microseconds of processor time per request.
    pub(crate) envoy: f64,
    /// The same of keyward.
    pub(crate) keyward: f64,
    /// Whether the machine did nothing else meanwhile.
    pub(crate) quiet: bool,
}

/// The same requests, once without keyward and once with it.
#[derive(Clone, Copy)]
pub(crate) struct Round {
    pub(crate) without: Figure,
    pub(crate) with: Figure,
}

/// A column's head, and what it has of a round.
type Column = (&'static str, fn(&Round) -> f64);

const COLUMNS: [Column; 11] = [
    ("p50", |round| round.without.times.p50),
    ("p99", |round| round.without.times.p99),
    ("p50", |round| round.with.times.p50),
    ("p99", |round| round.with.times.p99),
    ("p50", |round| {
        round.with.times.p50 - round.without.times.p50
    }),
    ("p99", |round| {
        round.with.times.p99 - round.without.times.p99
    }),
    ("ratio50", |round| {
        round.with.times.p50 / round.without.times.p50
    }),
    ("ratio99", |round| {
        round.with.times.p99 / round.without.times.p99
    }),
    ("Envoy", |round| round.without.envoy),
    ("Envoy", |round| round.with.envoy),
    ("keyward", |round| round.with.keyward),
];

impl Round {
    fn quiet(&self) -> bool {
        self.without.quiet && self.with.quiet
    }
}

/// The rounds so far of one way of asking.
pub(crate) struct Report {
    link: Link,
    load: Load,
    rounds: Vec<Round>,
}

impl Report {
    pub(crate) fn new(link: Link, load: Load) -> Self {
        let rounds = Vec::new();
        Self { link, load, rounds }
    }

    /// Prints the head of a table.
    pub(crate) fn head() {
        println!(
            "\n{:28} | {:^15} | {:^15} | {:^33} | {:^25}",
            "Microseconds of a request",
            "without keyward",
            "with keyward",
            "added",
            "processor: without, with",
        );
        print_row("", &COLUMNS.map(|(name, _)| name.to_owned()));
    }

    /// Prints a round and keeps it. Returns whether it was a quiet one.
    pub(crate) fn add(&mut self, round: Round) -> bool {
        let quiet = round.quiet();
        self.rounds.push(round);
        let mark = if quiet { "" } else { " noisy" };
        let name = format!("{}{mark}", self.rounds.len());
        self.print(&name, COLUMNS.map(|(_, of)| of(&round)));
        quiet
    }

    /// How many rounds count.
    pub(crate) fn quiet_rounds(&self) -> usize {
        self.rounds.iter().filter(|round| round.quiet()).count()
    }

    /// Prints the medians of the quiet rounds, of all only if there are none.
    /// Differences and ratios are those of the rounds: both sides of a round met
    /// the same machine, those of different rounds may not have.
    pub(crate) fn finish(&self) {
        let all_noisy = self.quiet_rounds() == 0;
        let counted: Vec<_> = self
            .rounds
            .iter()
            .filter(|round| all_noisy || round.quiet())
            .collect();
        let of_all = COLUMNS.map(|(_, of)| median(counted.iter().map(|round| of(round)).collect()));
        self.print("", of_all);
    }

    /// Says how far the medians can be relied on.
    pub(crate) fn foot(reports: &[Self]) {
        let noisy: usize = reports
            .iter()
            .map(|report| report.rounds.len() - report.quiet_rounds())
            .sum();
        let all: usize = reports.iter().map(|report| report.rounds.len()).sum();
        println!(
            "\nMedians of the quiet rounds. {noisy} of {all} were noisy: other processes used the machine."
        );
        if reports.iter().any(|report| report.quiet_rounds() == 0) {
            println!("DO NOT QUOTE these figures: a row has no quiet round.");
        }
        if cfg!(debug_assertions) {
            println!("DO NOT QUOTE these figures: keyward was built without optimisation.");
        }
    }

    fn print(&self, number: &str, values: [f64; COLUMNS.len()]) {
        let name = format!("{:4} {:15} {number}", self.link.name(), self.load.name());
        let mut cells = values.map(|value| format!("{value:.0}"));
        for (cell, ((column, _), value)) in cells.iter_mut().zip(COLUMNS.into_iter().zip(values)) {
            if column.starts_with("ratio") {
                *cell = format!("{value:.2}");
            }
        }
        print_row(&name, &cells);
    }
}

fn print_row(name: &str, cells: &[String; COLUMNS.len()]) {
    let [
        w50,
        w99,
        k50,
        k99,
        a50,
        a99,
        r50,
        r99,
        without,
        with,
        keyward,
    ] = cells;
    println!(
        "{name:28} | {w50:>7} {w99:>7} | {k50:>7} {k99:>7} | {a50:>7} {a99:>7} {r50:>8} {r99:>8} | {without:>8} {with:>8} {keyward:>8}"
    );
}
