//! `keyward admins recover`: makes another OWNER of the system beside a stopped
//! server, where the tokens of all others are lost.
//!
//! Whoever can read the pepper and write the store could do as much by other
//! means; here it is done in the open, with an audit event.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;

use crate::config;
use crate::domain::clock::{Clock, SystemClock};
use crate::domain::token::Token;
use crate::service::bootstrap;
use crate::store::home::Home;
use crate::store::{OpenError, Store};

use super::server_exit::{ServerFailure, end};
use super::settings::FolderArgs;
use super::{init, output};

/// Where the store is, and where the new admin token goes.
#[derive(Args, Debug)]
pub(crate) struct RecoverArgs {
    #[command(flatten)]
    folders: FolderArgs,
    /// The new file to write the admin token to, readable by its owner alone
    /// [default: it is shown once]
    #[arg(long, value_name = "PATH")]
    token_file: Option<PathBuf>,
}

/// Makes the OWNER and shows its token.
pub(crate) fn run(args: &RecoverArgs) -> ExitCode {
    end(recover(args))
}

fn recover(args: &RecoverArgs) -> Result<(), ServerFailure> {
    let home = config::load_home(&args.folders.sources())?;
    let file = args.token_file.as_deref();
    let token = bootstrap::mint_admin_token()
        .map_err(|error| ServerFailure::Settings(error.to_string()))?;
    // Before anything is changed: the token must have a place to go.
    if let Some(path) = file {
        init::write_token(path, &token)?;
    }
    let id = match make_owner(&home, &token) {
        Ok(id) => id,
        Err(failure) => {
            remove(file);
            return Err(failure);
        }
    };
    let shown = format!(
        "Admin key:    {id}, an OWNER of the system\n{}\
         The admin keys that were there stay as they are: start the server, list them with `keyward admins list`,\n\
         and revoke those whose tokens are lost.\n",
        init::token_line(file, &token)
    );
    output::deliver(&shown).map_err(|error| {
        ServerFailure::File(format!(
            "the admin key {id} is made, but its token could not be shown: {error}"
        ))
    })
}

/// Opens the store, which no server may have open, verifies all of it, and
/// commits the new OWNER.
fn make_owner(home: &Home, token: &Token) -> Result<String, ServerFailure> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
    let (store, pepper) = home.open(Arc::clone(&clock))?;
    store.snapshot()?.try_for_each(|record| record.map(drop))?;
    let batch = bootstrap::recovered_owner(token, &pepper, clock.now());
    let id = batch.audit.resource.clone();
    let committed = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| ServerFailure::File(error.to_string()))?
        .block_on(store.commit(batch));
    store.close();
    committed.map_err(OpenError::from)?;
    Ok(id)
}

/// The token in it is that of nothing.
fn remove(file: Option<&Path>) {
    if let Some(path) = file {
        let _ = fs::remove_file(path);
    }
}
