//! What is printed: a line for each round, the medians, and one line to quote.

use std::time::Duration;

use crate::usage::Usage;

/// What a server spent on one figure of one round.
#[derive(Clone, Copy, Default)]
pub(crate) struct Cost {
    /// Microseconds of processor time per call.
    pub(crate) micros: f64,
    /// Calls per second.
    pub(crate) rate: f64,
    /// Whether the machine did nothing else meanwhile.
    pub(crate) quiet: bool,
}

impl Cost {
    /// Shares the time out among the calls.
    pub(crate) fn new(processor: Duration, seconds: f64, calls: usize, quiet: bool) -> Self {
        #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
        let calls = calls as f64;
        Self {
            micros: processor.as_secs_f64() * 1e6 / calls,
            rate: calls / seconds,
            quiet,
        }
    }
}

/// The five figures of one round.
pub(crate) struct Round {
    pub(crate) echo_by_h2load: Cost,
    pub(crate) one_key: Cost,
    pub(crate) ext_authz: Cost,
    pub(crate) echo_by_load: Cost,
    pub(crate) random_keys: Cost,
}

impl Round {
    fn one_key_ratio(&self) -> f64 {
        self.one_key.micros / self.echo_by_h2load.micros
    }

    fn ext_authz_ratio(&self) -> f64 {
        self.ext_authz.micros / self.echo_by_h2load.micros
    }

    fn random_keys_ratio(&self) -> f64 {
        self.random_keys.micros / self.echo_by_load.micros
    }

    fn quiet(&self) -> bool {
        [
            self.echo_by_h2load,
            self.one_key,
            self.ext_authz,
            self.echo_by_load,
            self.random_keys,
        ]
        .iter()
        .all(|cost| cost.quiet)
    }
}

/// The rounds so far.
pub(crate) struct Report {
    usage: Usage,
    rounds: Vec<Round>,
}

impl Report {
    /// One for rounds with or without usage.
    pub(crate) fn of(usage: Usage) -> Self {
        let rounds = Vec::new();
        Self { usage, rounds }
    }

    /// Prints the head of the table.
    pub(crate) fn head() {
        println!("\nServer processor time per call in microseconds (thousand calls per second)\n");
        println!(
            "{:12} | {:^64} | {:^40}",
            "", "by h2load", "by a generator on h2"
        );
        print_cells(
            "round",
            ["stock echo", "one key", "ratio", "ext_authz", "ratio"],
            ["stock echo", "random keys", "ratio"],
        );
    }

    /// Prints a round and keeps it. Returns whether it was a quiet one.
    pub(crate) fn add(&mut self, round: Round) -> bool {
        let quiet = round.quiet();
        let number = self.rounds.len() + 1;
        let name = format!(
            "{number}{}{}",
            self.usage.name(),
            if quiet { "" } else { " noisy" }
        );
        print_row(
            &name,
            &round,
            [
                round.one_key_ratio(),
                round.ext_authz_ratio(),
                round.random_keys_ratio(),
            ],
        );
        self.rounds.push(round);
        quiet
    }

    /// How many rounds count.
    pub(crate) fn quiet_rounds(&self) -> usize {
        self.rounds.iter().filter(|round| round.quiet()).count()
    }

    /// Prints the medians of the quiet rounds, of all only if there are none,
    /// and what to quote of them.
    pub(crate) fn finish(&self, keys: usize) {
        let cost = |of: fn(&Round) -> Cost| Cost {
            micros: self.median(|round| of(round).micros),
            rate: self.median(|round| of(round).rate),
            quiet: true,
        };
        let medians = Round {
            echo_by_h2load: cost(|round| round.echo_by_h2load),
            one_key: cost(|round| round.one_key),
            ext_authz: cost(|round| round.ext_authz),
            echo_by_load: cost(|round| round.echo_by_load),
            random_keys: cost(|round| round.random_keys),
        };
        // Of the rounds' own ratios: both servers of a round met the same
        // machine, those of different rounds may not have.
        let one = self.median(Round::one_key_ratio);
        let envoy = self.median(Round::ext_authz_ratio);
        let random = self.median(Round::random_keys_ratio);
        let name = format!("median{}", self.usage.name());
        print_row(&name, &medians, [one, envoy, random]);
        println!(
            "\nA check costs {random:.2} of a stock tonic empty echo with a random key of {keys} \
             ({:.1} of {:.1} us), {one:.2} with one key ({:.1} of {:.1} us).",
            medians.random_keys.micros,
            medians.echo_by_load.micros,
            medians.one_key.micros,
            medians.echo_by_h2load.micros,
        );
        println!(
            "Asked as Envoy asks, with one key, it costs {envoy:.2} of the echo ({:.1} us).",
            medians.ext_authz.micros,
        );
        if self.quiet_rounds() < self.rounds.len() {
            println!(
                "{} of {} rounds were noisy: other processes used the machine. {}",
                self.rounds.len() - self.quiet_rounds(),
                self.rounds.len(),
                if self.quiet_rounds() == 0 {
                    "DO NOT QUOTE these figures."
                } else {
                    "They do not count."
                },
            );
        }
    }

    fn median(&self, of: impl Fn(&Round) -> f64) -> f64 {
        let all_noisy = self.quiet_rounds() == 0;
        let counted = self
            .rounds
            .iter()
            .filter(|round| all_noisy || round.quiet());
        median(counted.map(of).collect())
    }
}

/// Prints what it costs to count uses: the medians of how rounds with it compare
/// to those without it right beside them, where both were quiet.
pub(crate) fn compare(with: &Report, without: &Report) {
    let pairs: Vec<_> = with
        .rounds
        .iter()
        .zip(&without.rounds)
        .filter(|(with, without)| with.quiet() && without.quiet())
        .collect();
    if pairs.is_empty() {
        println!("No pair of rounds was quiet: what it costs to count uses is not known.");
        return;
    }
    let cost = |of: fn(&Round) -> f64| {
        let ratios = pairs.iter().map(|(with, without)| of(with) / of(without));
        100.0 * (median(ratios.collect()) - 1.0)
    };
    println!(
        "\nTo count uses makes a check {:+.1} % dearer with random keys, {:+.1} % with one key \
         (medians of {} pairs of rounds).",
        cost(Round::random_keys_ratio),
        cost(Round::one_key_ratio),
        pairs.len()
    );
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len().is_multiple_of(2) {
        f64::midpoint(values[middle - 1], values[middle])
    } else {
        values[middle]
    }
}

fn print_row(name: &str, round: &Round, [one, envoy, random]: [f64; 3]) {
    let cost = |cost: Cost| format!("{:.2} ({:.1} k)", cost.micros, cost.rate / 1e3);
    let ratio = |ratio: f64| format!("{ratio:.2}");
    print_cells(
        name,
        [
            &cost(round.echo_by_h2load),
            &cost(round.one_key),
            &ratio(one),
            &cost(round.ext_authz),
            &ratio(envoy),
        ],
        [
            &cost(round.echo_by_load),
            &cost(round.random_keys),
            &ratio(random),
        ],
    );
}

fn print_cells(
    name: &str,
    [echo, one, one_ratio, envoy, envoy_ratio]: [&str; 5],
    [bare, random, random_ratio]: [&str; 3],
) {
    println!(
        "{name:12} | {echo:>16} {one:>16} {one_ratio:>6} {envoy:>16} {envoy_ratio:>6} | {bare:>16} {random:>16} {random_ratio:>6}"
    );
}
