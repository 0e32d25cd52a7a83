//! `keyward init`: makes the store, the pepper, the guard file and the first
//! admin key.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;

use crate::config;
use crate::domain::clock::{Clock, SystemClock};
use crate::domain::token::Token;
use crate::service::bootstrap;
use crate::store::home::Home;

use super::new_file::NewFile;
use super::output;
use super::server_exit::{ServerFailure, end};
use super::settings::FolderArgs;

/// Where the store is to be made, and where the first admin token goes.
#[derive(Args, Debug)]
pub(crate) struct InitArgs {
    #[command(flatten)]
    folders: FolderArgs,
    /// The file to write the admin token to, readable by its owner alone
    /// [default: it is shown once]
    #[arg(long, value_name = "PATH")]
    admin_token_file: Option<PathBuf>,
}

/// Makes the store and shows the token of its first admin key.
pub(crate) fn run(args: &InitArgs) -> ExitCode {
    end(init(args))
}

fn init(args: &InitArgs) -> Result<(), ServerFailure> {
    let home = config::load_home(&args.folders.sources())?;
    let token = make(&home, args.admin_token_file.as_deref())?;
    let shown = token_line(args.admin_token_file.as_deref(), &token);
    let made = format!(
        "Store:        {}\nPepper:       {}, which the store is worthless without: back it up, apart from the store\n{shown}",
        home.store_dir().display(),
        home.pepper_file().display(),
    );
    output::deliver(&made).map_err(|error| {
        ServerFailure::File(format!(
            "the store is made, but its admin token could not be shown: {error}"
        ))
    })
}

/// Makes a store. The token is written to `file`, if there is one, before
/// anything else is made: a store whose token got lost would be of no use.
pub(crate) fn make(home: &Home, file: Option<&Path>) -> Result<Token, ServerFailure> {
    home.refuse_existing()?;
    let token = bootstrap::mint_admin_token()
        .map_err(|error| ServerFailure::Settings(error.to_string()))?;
    let written = write_token(file, &token)?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
    let now = clock.now();
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| ServerFailure::File(error.to_string()))?
        .block_on(home.init(clock, |pepper| bootstrap::first_owner(&token, pepper, now)))?;
    // Until here it was the token of nothing.
    if let Some(file) = written {
        file.keep();
    }
    Ok(token)
}

/// Writes an admin token to a new file, if there is to be one. Whoever keeps it
/// knows that the token is one.
pub(crate) fn write_token(
    path: Option<&Path>,
    token: &Token,
) -> Result<Option<NewFile>, ServerFailure> {
    let Some(path) = path else {
        return Ok(None);
    };
    let mut file = NewFile::create(path).map_err(ServerFailure::File)?;
    file.write(token.expose())
        .map_err(|error| ServerFailure::File(format!("{}: {error}", path.display())))?;
    Ok(Some(file))
}

/// Where an admin token went, as one line of properties.
pub(crate) fn token_line(file: Option<&Path>, token: &Token) -> String {
    match file {
        Some(path) => format!(
            "Admin token:  in {} (readable by you alone)\n",
            path.display()
        ),
        None => format!(
            "Admin token:  {}\n              This is shown once, and cannot be had again.\n",
            token.expose()
        ),
    }
}
