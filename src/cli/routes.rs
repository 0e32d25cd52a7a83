//! `keyward routes`: reads a file of routes without a server, and tells which rule
//! a request would have.

mod test;
mod view;

use std::fs;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use crate::config::routes;
use crate::domain::route::RouteTable;

use super::failure::{Exit, Failure};
use super::output::Output;
use super::table::{listing, terminal_width};

/// What to do with a file of routes.
#[derive(Args, Debug)]
pub(crate) struct RoutesArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand, Debug)]
enum Verb {
    /// Tell all that is wrong with a file of routes, or show its rules as they are
    /// understood. No server is asked
    Check(CheckArgs),
    /// Tell which rule a request would have, what that asks, or why there is none.
    /// No server is asked
    Test(test::TestArgs),
}

#[derive(Args, Debug)]
struct CheckArgs {
    /// The file of routes
    file: PathBuf,
    /// The form of what is written to stdout
    #[arg(long, value_name = "FORM", value_enum, default_value_t = Output::Table)]
    output: Output,
}

/// Does what was asked for.
pub(crate) fn run(args: &RoutesArgs) -> Result<Exit, Failure> {
    match &args.verb {
        Verb::Check(args) => check(args),
        Verb::Test(args) => test::run(args),
    }
}

fn check(args: &CheckArgs) -> Result<Exit, Failure> {
    let table = read(&args.file)?;
    args.output.print(|| as_table(&table), || as_json(&table))?;
    Ok(Exit::Done)
}

/// The table in `file`.
fn read(file: &Path) -> Result<RouteTable, Failure> {
    let name = file.display().to_string();
    let text = fs::read_to_string(file)
        .map_err(|error| Failure::usage(format!("cannot read {name}: {error}")))?;
    routes::read(&name, &text).map_err(|problems| {
        let problems = problems.into_vec();
        match problems.as_slice() {
            [problem] => Failure::usage(problem.to_string()),
            several => several.iter().fold(
                Failure::usage(format!("{name} has {} problems:", several.len())),
                |failure, problem| failure.note(problem.to_string()),
            ),
        }
    })
}

fn as_table(table: &RouteTable) -> String {
    let rows: Vec<_> = table
        .routes()
        .iter()
        .map(|route| {
            let host = route.host.as_ref().map(ToString::to_string);
            vec![
                route.line.to_string(),
                route.methods.to_string(),
                host.unwrap_or_else(|| "any".to_owned()),
                route.path.to_string(),
                view::asks(route),
            ]
        })
        .collect();
    listing(
        &["LINE", "METHODS", "HOST", "PATH", "ASKS"],
        &rows,
        &[0, 3],
        terminal_width(),
    )
}

fn as_json(table: &RouteTable) -> Value {
    let routes: Vec<_> = table.routes().iter().map(view::json).collect();
    json!({ "routes": routes })
}
