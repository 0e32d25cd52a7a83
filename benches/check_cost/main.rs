//! What a Check costs: `cargo bench --bench check_cost`.
//!
//! The yardstick is not time but another server: a stock tonic echo that takes
//! and returns an empty message (`benches/stock_echo`). Both are driven in
//! turns, over real sockets, in the same way, and what is compared is the
//! processor time that each server spent per call. Machines differ; the ratio
//! is what stays, if the machine does nothing else: rounds in which it did are
//! taken again.
//!
//! - With one key: h2load sends the same question over and over.
//! - As Envoy asks: h2load sends the same `ext_authz` request over and over, with
//!   the headers of a browser and a scope from the route.
//! - With random keys: `load` sends another key's token every time, so that
//!   every lookup misses the caches, and the echo its empty message.
//!
//! `KEYWARD_BENCH_USAGE` says whether uses of keys are counted: `on`, as keyward
//! comes, `off`, or `both`, which are then driven in the same rounds, so that the
//! difference is told.
//!
//! `KEYWARD_BENCH_KEYS` (1000000), `KEYWARD_BENCH_ROUNDS` (6) and
//! `KEYWARD_BENCH_CALLS` (100000 per round and figure) change the sizes. The
//! store with its keys is kept under `target/bench/` for the next run.
#![expect(clippy::print_stdout, reason = "the figures are what it is for")]

mod cpu;
mod fill;
mod frames;
mod h2load;
mod load;
mod quiet;
mod report;
mod server;
mod stand;
mod usage;

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use report::Report;
use stand::Stand;
use usage::Usage;

/// A disturbed round is taken again, up to so many times the rounds in all.
const PATIENCE: usize = 3;
/// Before that, whatever disturbs is given a chance to end.
const PAUSE: Duration = Duration::from_secs(5);

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> ExitCode {
    // `cargo test --all-targets` runs benches too, without this argument.
    if !std::env::args().any(|argument| argument == "--bench") {
        return ExitCode::SUCCESS;
    }
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("check_cost: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let keys = setting("KEYWARD_BENCH_KEYS", 1_000_000)?;
    let rounds = setting("KEYWARD_BENCH_ROUNDS", 6)?;
    let calls = setting("KEYWARD_BENCH_CALLS", 100_000)?;
    h2load::require()?;

    let (work, usages) = (work_folder(), Usage::asked()?);
    Stand::prepare(&work, keys, &usages)?;
    let mut stands = Vec::new();
    for usage in usages {
        stands.push((Stand::build(&work, keys, usage)?, Report::of(usage)));
    }
    println!(
        "{rounds} rounds of {calls} calls, {keys} keys, 16 connections with 8 calls in flight"
    );
    // To warm up.
    for (stand, _) in &stands {
        stand.round(calls.min(10_000), false)?;
    }
    Report::head();
    for number in 0..rounds * PATIENCE {
        let mut quiet = true;
        for (stand, report) in &mut stands {
            // Every other round runs backwards, so that a drift of the machine
            // does not always meet the same server.
            quiet &= report.add(stand.round(calls, number % 2 == 1)?);
        }
        let mut reports = stands.iter().map(|(_, report)| report);
        if reports.all(|report| report.quiet_rounds() >= rounds) {
            break;
        }
        if !quiet {
            std::thread::sleep(PAUSE);
        }
    }
    for (_, report) in &stands {
        report.finish(keys);
    }
    if let [(_, with), (_, without)] = stands.as_slice() {
        report::compare(with, without);
    }
    Ok(())
}

/// Reads a size from the environment.
fn setting(name: &str, default: usize) -> Result<usize> {
    match std::env::var(name) {
        Err(_) => Ok(default),
        Ok(text) => match text.parse() {
            Ok(number) if number > 0 => Ok(number),
            Ok(_) | Err(_) => Err(format!("{name} is {text:?}, not a number above 0").into()),
        },
    }
}

/// `target/bench`, wherever `target` is.
fn work_folder() -> PathBuf {
    let scratch = Path::new(env!("CARGO_TARGET_TMPDIR"));
    scratch.parent().unwrap_or(scratch).join("bench")
}
