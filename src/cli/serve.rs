//! `keyward serve`: runs the server.

use std::fs::Permissions;
use std::num::NonZeroUsize;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use clap::builder::BoolishValueParser;
use clap::{Args, ValueEnum};
use tracing::{info, warn};

use crate::app::App;
use crate::config::{DEFAULT_KEY_RETENTION, ServeConfig};
use crate::edge::listener::Address;
use crate::store::home::Home;
use crate::telemetry::{self, Form};
use crate::{build_info, process};

use super::init::{self, FolderArgs};
use super::listener_args::{AdminArgs, CheckArgs};
use super::output;
use super::server_exit::{ServerFailure, end};

/// The file in which a server for a first try leaves its admin token.
const DEV_TOKEN_FILE: &str = "admin.token";

/// How the server is to run. Each flag can be set by the variable beside it.
#[derive(Args, Debug)]
pub(crate) struct ServeArgs {
    #[command(flatten)]
    folders: FolderArgs,
    /// Where checks are answered: `HOST:PORT` or `unix:PATH`
    #[arg(
        long,
        value_name = "ADDRESS",
        env = "KEYWARD_CHECK_LISTEN",
        default_value = "127.0.0.1:50051"
    )]
    check_listen: Address,
    /// Where admin calls are answered: `HOST:PORT` or `unix:PATH`
    #[arg(
        long,
        value_name = "ADDRESS",
        env = "KEYWARD_ADMIN_LISTEN",
        default_value = "127.0.0.1:50052"
    )]
    admin_listen: Address,
    #[command(flatten)]
    check: CheckArgs,
    #[command(flatten)]
    admin: AdminArgs,
    /// How many threads answer checks [default: one per core]
    #[arg(long, value_name = "N", env = "KEYWARD_CHECK_THREADS")]
    check_threads: Option<NonZeroUsize>,
    /// Something else encrypts what goes to listeners that other machines can
    /// reach; without this, such listeners are refused
    #[arg(long, env = "KEYWARD_ENCRYPTED_ELSEWHERE", value_parser = BoolishValueParser::new())]
    encrypted_elsewhere: bool,
    /// Do not tell clients of the API's schema
    #[arg(long, env = "KEYWARD_NO_REFLECTION", value_parser = BoolishValueParser::new())]
    no_reflection: bool,
    /// How long calls in flight may take once the server is told to stop
    #[arg(long, value_name = "SPAN", env = "KEYWARD_DRAIN_TIMEOUT", default_value = "10s", value_parser = humantime::parse_duration)]
    drain_timeout: Duration,
    /// How long checks are answered from memory after the store has failed
    #[arg(long, value_name = "SPAN", env = "KEYWARD_STORE_LOST_GRACE", default_value = "5m", value_parser = humantime::parse_duration)]
    store_lost_grace: Duration,
    /// The form of the log on stderr
    #[arg(long, value_name = "FORM", env = "KEYWARD_LOG_FORMAT", value_enum, default_value_t = LogFormat::Text)]
    log_format: LogFormat,
    /// What is logged: a level, or a filter such as `info,keyward::store=debug`
    #[arg(
        long,
        value_name = "FILTER",
        env = "KEYWARD_LOG",
        default_value = "info"
    )]
    log: String,
    /// For a first try: everything in a temporary folder, gone when the server
    /// stops; `--data-dir` and `--guard-dir` are left alone
    #[arg(long)]
    dev: bool,
}

/// The form of the log.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum LogFormat {
    /// For people
    Text,
    /// One JSON object a line
    Json,
}

/// Serves until told to stop.
pub(crate) fn run(args: &ServeArgs) -> ExitCode {
    end(start(args))
}

fn start(args: &ServeArgs) -> Result<(), ServerFailure> {
    let form = match args.log_format {
        LogFormat::Text => Form::Text,
        LogFormat::Json => Form::Json,
    };
    telemetry::start(form, &args.log)
        .map_err(|error| ServerFailure::Settings(error.to_string()))?;
    if let Err(error) = process::keep_memory_private() {
        warn!(%error, "core dumps could not be switched off");
    }
    if let Err(error) = process::allow_many_connections() {
        warn!(%error, "the limit of descriptors could not be raised");
    }
    info!(
        version = build_info::VERSION,
        commit = build_info::COMMIT,
        "keyward"
    );
    if args.dev {
        // The folder lives as long as its name here.
        let folder = tempfile::Builder::new()
            .prefix("keyward-dev-")
            .permissions(Permissions::from_mode(0o700))
            .tempdir()
            .map_err(|error| ServerFailure::File(error.to_string()))?;
        serve(args, make_dev_home(folder.path())?)
    } else {
        serve(args, args.folders.home()?)
    }
}

fn serve(args: &ServeArgs, home: Home) -> Result<(), ServerFailure> {
    let cores = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let app = App::build(ServeConfig {
        home,
        check: args
            .check
            .config(args.check_listen.clone())
            .map_err(ServerFailure::Settings)?,
        admin: args
            .admin
            .config(args.admin_listen.clone())
            .map_err(ServerFailure::Settings)?,
        check_threads: args.check_threads.unwrap_or(cores),
        encrypted_elsewhere: args.encrypted_elsewhere,
        reflection: !args.no_reflection,
        drain_timeout: args.drain_timeout,
        store_lost_grace: args.store_lost_grace,
        key_retention: DEFAULT_KEY_RETENTION,
    })?;
    let told_to_stop = async {
        if let Err(error) = process::told_to_stop().await {
            warn!(%error, "signals cannot be listened to; stopping");
        }
    };
    Ok(app.run(told_to_stop)?)
}

/// Makes a store in `folder` and says, where nobody overlooks it, that it is
/// not for keeps.
fn make_dev_home(folder: &Path) -> Result<Home, ServerFailure> {
    let home = init::home_in(folder, None)?;
    let token_file = folder.join(DEV_TOKEN_FILE);
    init::make(&home, Some(&token_file))?;
    output::tell(&format_args!(
        "\n  ** DEV MODE: not for production. Everything is in {} **\n  ** and is DELETED when this server stops. **\n\n  \
         In another terminal:\n\n    export KEYWARD_ADMIN_TOKEN_FILE={}\n",
        folder.display(),
        token_file.display(),
    ));
    Ok(home)
}
