//! The `keyward` program: a server and its command line.

use std::process::ExitCode;

use keyward::cli::Cli;

/// Checks allocate little, yet on every thread at once.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    match Cli::read() {
        Ok(cli) => cli.run(),
        Err(code) => code,
    }
}
