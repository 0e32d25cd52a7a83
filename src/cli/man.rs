//! `keyward man`: the manual pages, made of the same words as the help.

use std::fs;
use std::path::PathBuf;

use clap::{Args, Command};

use super::failure::{Exit, Failure};
use super::output;

#[derive(Args, Debug)]
pub(crate) struct ManArgs {
    /// The folder to write a page for each command to, such as
    /// `/usr/local/share/man/man1` [default: the page of `keyward` alone, to
    /// stdout]
    folder: Option<PathBuf>,
}

/// Writes the pages.
pub(crate) fn run(args: ManArgs, command: Command) -> Result<Exit, Failure> {
    let Some(folder) = args.folder else {
        let mut page = Vec::new();
        clap_mangen::Man::new(command)
            .render(&mut page)
            .map_err(|error| Failure::failed(format!("cannot make the page: {error}")))?;
        output::print(&String::from_utf8_lossy(&page))?;
        return Ok(Exit::Done);
    };
    fs::create_dir_all(&folder)
        .and_then(|()| clap_mangen::generate_to(command, &folder))
        .map_err(|error| {
            Failure::failed(format!("cannot write to {}: {error}", folder.display()))
        })?;
    Ok(Exit::Done)
}
