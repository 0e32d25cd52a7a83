//! What a gateway's requests pay for asking keyward:
//! `cargo bench --bench gateway_latency`.
//!
//! Envoy runs deploy/envoy/envoy.yaml, in front of a service that answers at once,
//! and asks keyward in two ways: over TCP, as it is shipped, and over a unix socket.
//! Each Envoy is driven by h2load with the same requests on two of its routes: on
//! one keyward is asked, on the other it is not. What is told is the difference, and
//! what Envoy and keyward spend on it, which holds on other machines as far as
//! these do: the four are driven in turns, in the same session, and rounds in which
//! the machine did something else are taken again.
//!
//! - One at a time: what a request waits for the verdict on an idle machine.
//! - At a rate: 16 connections that send at a steady pace, each at its own moments.
//!
//! `KEYWARD_BENCH_ROUNDS` (6), `KEYWARD_BENCH_CALLS` (10000 per round and figure)
//! and `KEYWARD_BENCH_RATE` (800 a second) change the sizes. Envoy is looked for
//! where tests/run installs it, or in the folder that `KEYWARD_TEST_TOOLS` names.
#![expect(clippy::print_stdout, reason = "the figures are what it is for")]

#[path = "../check_cost/cpu.rs"]
mod cpu;
mod envoy;
#[path = "../check_cost/fill.rs"]
mod fill;
mod h2load;
mod process;
#[path = "../check_cost/quiet.rs"]
mod quiet;
mod report;
mod stand;
mod times;
mod upstream;

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use h2load::Load;
use report::Report;
use stand::{Link, Stand};
use upstream::Upstream;

/// A disturbed round is taken again, up to so many times the rounds in all.
const PATIENCE: usize = 3;
/// Before that, whatever disturbs is given a chance to end.
const PAUSE: Duration = Duration::from_secs(5);
/// Of one key are the requests. The others are there to be looked past.
const KEYS: usize = 10_000;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> ExitCode {
    // `cargo test --all-targets` runs benches too, without this argument.
    if !std::env::args().any(|argument| argument == "--bench") {
        return ExitCode::SUCCESS;
    }
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("gateway_latency: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let rounds = setting("KEYWARD_BENCH_ROUNDS", 6)?;
    let calls = setting("KEYWARD_BENCH_CALLS", 10_000)?;
    let loads = [
        Load::OneAtATime,
        Load::AtARate(setting("KEYWARD_BENCH_RATE", 800)?),
    ];
    h2load::require()?;
    let work = work_folder();
    let upstream = Upstream::start()?;
    let stands = [
        Stand::build(&work, Link::Tcp, KEYS, &upstream)?,
        Stand::build(&work, Link::Unix, KEYS, &upstream)?,
    ];
    let mut reports = Vec::new();
    for load in loads {
        for stand in &stands {
            // To warm up.
            stand.round(load, calls.min(1_000), false)?;
            reports.push(Report::new(stand.link(), load));
        }
    }
    println!(
        "{rounds} rounds of {calls} requests, one key of {KEYS}, {} build",
        build()
    );
    Report::head();
    for number in 0..rounds * PATIENCE {
        // Every other round runs backwards, so that a drift of the machine does not
        // always meet the same.
        let backwards = number % 2 == 1;
        let mut quiet = true;
        for at in in_turn(reports.len(), backwards) {
            let stand = &stands[at % stands.len()];
            let load = loads[at / stands.len()];
            quiet &= reports[at].add(stand.round(load, calls, backwards)?);
        }
        if reports.iter().all(|report| report.quiet_rounds() >= rounds) {
            break;
        }
        if !quiet {
            std::thread::sleep(PAUSE);
        }
    }
    println!();
    Report::head();
    for report in &reports {
        report.finish();
    }
    Report::foot(&reports);
    Ok(())
}

/// The numbers below `count`, in one order or the other.
fn in_turn(count: usize, backwards: bool) -> Vec<usize> {
    let mut order: Vec<_> = (0..count).collect();
    if backwards {
        order.reverse();
    }
    order
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

const fn build() -> &'static str {
    if cfg!(debug_assertions) {
        "UNOPTIMISED"
    } else {
        "release"
    }
}

/// `target/bench`, wherever `target` is.
fn work_folder() -> PathBuf {
    let scratch = Path::new(env!("CARGO_TARGET_TMPDIR"));
    scratch.parent().unwrap_or(scratch).join("bench")
}
