//! The usage lines in complaints about a command line.

use clap::Command;

/// Lets complaints show the same usage line as the help. Left to itself, clap
/// shows what was given, and counts what was set by a variable among it, as if
/// it were required.
pub(crate) fn steady(command: &mut Command) {
    command.build();
    set(command);
}

fn set(command: &mut Command) {
    let rendered = command.render_usage().to_string();
    let usage = rendered.trim_start_matches("Usage:").trim().to_owned();
    *command = std::mem::take(command).override_usage(usage);
    for child in command.get_subcommands_mut() {
        set(child);
    }
}
