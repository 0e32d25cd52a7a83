//! `keyward admins recover`: makes another OWNER of the system beside a stopped
//! server, where the tokens of all others are lost.
//!
//! Whoever can read the pepper and write the store could do as much by other
//! means; here it is done in the open, with an audit event.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Arg, ArgMatches, Args, Command, Error, FromArgMatches};

use crate::config;
use crate::domain::clock::{Clock, SystemClock};
use crate::domain::token::Token;
use crate::service::bootstrap;
use crate::store::home::Home;
use crate::store::{Store, StoreError};

use super::admin::AdminFlags;
use super::new_file::NewFile;
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
    #[command(flatten)]
    _calls: NoCalls,
}

/// The flags of calls, refused: they would do nothing, and one that names the
/// file of an admin token is easily taken for the one that is wanted.
#[derive(Debug)]
struct NoCalls;

impl Args for NoCalls {
    fn augment_args(command: Command) -> Command {
        let flags = AdminFlags::augment_args(Command::default());
        command.args(flags.get_arguments().map(refused))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for NoCalls {
    fn from_arg_matches(_: &ArgMatches) -> Result<Self, Error> {
        Ok(Self)
    }

    fn update_from_arg_matches(&mut self, _: &ArgMatches) -> Result<(), Error> {
        Ok(())
    }
}

fn refused(flag: &Arg) -> Arg {
    let refuse = |_: &str| {
        Err::<String, _>("no server is called here; --token-file names the new file for the token")
    };
    flag.clone()
        .global(false)
        .hide(true)
        .env(None::<&'static str>)
        .default_value(None::<&'static str>)
        .value_parser(refuse)
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
    let written = init::write_token(file, &token)?;
    let id = match make_owner(&home, &token) {
        Ok(id) => {
            if let Some(file) = written {
                file.keep();
            }
            id
        }
        Err(unmade) => return Err(unmade.tell(written)),
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

/// There is no new OWNER, or there may be none.
enum Unmade {
    /// The store was not opened.
    Unopened(ServerFailure),
    /// The change did not reach the disk as it should.
    Uncommitted(StoreError),
}

impl<E: Into<ServerFailure>> From<E> for Unmade {
    fn from(error: E) -> Self {
        Self::Unopened(error.into())
    }
}

impl Unmade {
    /// Says so. The file goes if it holds the token of nothing.
    fn tell(self, file: Option<NewFile>) -> ServerFailure {
        let (failure, may_be_made) = match self {
            Self::Unopened(failure) => (failure, false),
            Self::Uncommitted(error) => {
                let told = format!(
                    "{error}: make sure that its disk is well and has room; then start the server, and see \
                     whether the new token works or has to be made again"
                );
                (ServerFailure::File(told), !error.certainly_not_applied())
            }
        };
        if let (Some(file), true) = (file, may_be_made) {
            file.keep();
        }
        failure
    }
}

/// Opens the store, which no server may have open, verifies all of it, and
/// commits the new OWNER.
fn make_owner(home: &Home, token: &Token) -> Result<String, Unmade> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
    let (store, pepper) = home.open(Arc::clone(&clock))?;
    store
        .snapshot()?
        .standing()
        .try_for_each(|record| record.map(drop))?;
    let batch = bootstrap::recovered_owner(token, &pepper, clock.now());
    let id = batch.audit.resource.clone();
    let committed = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| ServerFailure::File(error.to_string()))?
        .block_on(store.commit(batch));
    store.close();
    match committed {
        Ok(_) => Ok(id),
        Err(error) => Err(Unmade::Uncommitted(error)),
    }
}
