//! `keyward completions`: a script that lets a shell complete commands.

use clap::{Args, Command, ValueEnum};

use super::failure::{Exit, Failure};
use super::output;

#[derive(Args, Debug)]
pub(crate) struct CompletionsArgs {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Shell {
    /// `source <(keyward completions bash)`
    Bash,
    /// A file `_keyward` in a folder of `$fpath`
    Zsh,
    /// A file `keyward.fish` in `~/.config/fish/completions`
    Fish,
}

/// Writes the script to stdout.
pub(crate) fn run(args: &CompletionsArgs, mut command: Command) -> Result<Exit, Failure> {
    let shell = match args.shell {
        Shell::Bash => clap_complete::Shell::Bash,
        Shell::Zsh => clap_complete::Shell::Zsh,
        Shell::Fish => clap_complete::Shell::Fish,
    };
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command, "keyward", &mut script);
    output::print(&String::from_utf8_lossy(&script))?;
    Ok(Exit::Done)
}
