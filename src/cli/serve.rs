//! `keyward serve`: runs the server.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::ExitCode;

use clap::Args;
use tracing::{info, warn};

use crate::app::{App, Host};
use crate::config::names::mistyped;
use crate::config::{self, ServeConfig, Settings, home_in};
use crate::store::home::Home;
use crate::telemetry;
use crate::{build_info, process};

use super::init;
use super::output;
use super::server_exit::{ServerFailure, end};
use super::settings::SettingsArgs;

/// The file in which a server for a first try leaves its admin token.
const DEV_TOKEN_FILE: &str = "admin.token";

/// How the server is to run.
#[derive(Args, Debug)]
pub(crate) struct ServeArgs {
    #[command(flatten)]
    settings: SettingsArgs,
    /// For a first try: everything in a temporary folder, gone when the server
    /// stops; `--data-dir` and `--guard-dir` are left alone
    #[arg(long)]
    dev: bool,
}

/// Serves until told to stop.
pub(crate) fn run(args: &ServeArgs) -> ExitCode {
    end(start(args))
}

fn start(args: &ServeArgs) -> Result<(), ServerFailure> {
    let sources = args.settings.sources();
    let Settings { mut serve, log, .. } = config::load(&sources)?;
    telemetry::start(log.form, &log.filter)
        .map_err(|error| ServerFailure::Settings(error.to_string()))?;
    // Before anything is told: whoever reads that keyward starts may send it
    // a SIGHUP.
    let host = Host::start()?;
    if let Err(error) = process::keep_memory_private() {
        warn!(%error, "core dumps could not be switched off");
    }
    if let Err(error) = process::allow_many_connections() {
        warn!(%error, "the limit of descriptors could not be raised");
    }
    for mistyped in mistyped(&sources.variables) {
        warn!("{}", super::config::told(&mistyped));
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
        serve.home = make_dev_home(folder.path())?;
        run_server(host, serve)
    } else {
        run_server(host, serve)
    }
}

fn run_server(host: Host, config: ServeConfig) -> Result<(), ServerFailure> {
    let app = App::build(host, config)?;
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
    let home = home_in(folder, None)?;
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
