//! How `init` and `serve` end: each thing that keeps a store from being served
//! has an exit code of its own, so that a supervisor can tell them apart.

use std::io;
use std::process::ExitCode;

use crate::app::{RunError, StartError};
use crate::config::SettingsError;
use crate::edge::server::ServeError;
use crate::edge::tls::TlsError;
use crate::store::OpenError;

use super::{output, text};

/// The codes, for `--help`.
pub(crate) const EXIT_CODES: &str = "\
Exit codes of init, serve, config and admins recover:
   0  done; told to stop
   2  the command line cannot be used
  64  the settings cannot be used
  65  the store is damaged: restore a backup
  66  there is no store: run `keyward init`
  67  the pepper is the wrong one
  68  the store is open in another process
  69  an address is taken or cannot be had
  70  a thread of the server died
  71  the store was written by a newer keyward
  72  the store was emptied
  73  there is a store, pepper or guard file already
  74  a file cannot be read or written
  75  the store was lost while serving: start again once its disk is well
  76  the store is older than what was acknowledged
  77  the pepper or the guard file cannot be used as it is
  78  store and guard file do not belong together
  79  the clock is behind the last commit
  80  an earlier `keyward init` was cut off";

/// Why the server part of keyward ends, for stderr and for the supervisor.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ServerFailure {
    /// The settings cannot be used.
    #[error("{0}")]
    Settings(String),
    /// A file other than the store's cannot be read or written.
    #[error("{0}")]
    File(String),
    /// It did not start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// It stopped by itself.
    #[error(transparent)]
    Run(#[from] RunError),
}

impl From<OpenError> for ServerFailure {
    fn from(error: OpenError) -> Self {
        Self::Start(error.into())
    }
}

impl From<SettingsError> for ServerFailure {
    fn from(error: SettingsError) -> Self {
        match error {
            SettingsError::Problems(problems) => Self::Settings(problems.to_string()),
            SettingsError::Home(error) => error.into(),
        }
    }
}

impl ServerFailure {
    /// The code to end with.
    pub(crate) fn exit_code(&self) -> ExitCode {
        let code = match self {
            Self::Settings(_) | Self::Start(StartError::Unencrypted(_)) => 64,
            Self::Start(StartError::Tls { error, .. }) => tls_code(error),
            Self::File(_) => 74,
            Self::Start(StartError::Bind { .. }) => 69,
            Self::Start(StartError::Store(error)) => store_code(error),
            Self::Run(RunError::StoreLost) => 75,
            // Another server took the address between our binding it and
            // listening on it.
            Self::Run(RunError::Serve(ServeError::Io(error)))
                if error.kind() == io::ErrorKind::AddrInUse =>
            {
                69
            }
            Self::Start(StartError::System(_))
            | Self::Run(RunError::Serve(_) | RunError::Reflection(_) | RunError::ThreadDied) => 70,
        };
        ExitCode::from(code)
    }
}

const fn tls_code(error: &TlsError) -> u8 {
    match error {
        TlsError::Unreadable { .. } => 74,
        TlsError::Invalid { .. } | TlsError::Mismatch { .. } | TlsError::NoClientCa => 64,
    }
}

const fn store_code(error: &OpenError) -> u8 {
    match error {
        OpenError::Damaged(_) => 65,
        OpenError::Missing(_) => 66,
        OpenError::WrongPepper { .. } => 67,
        OpenError::Locked(_) => 68,
        OpenError::Newer { .. } => 71,
        OpenError::Emptied { .. } => 72,
        OpenError::Exists(_) => 73,
        OpenError::Io { .. } => 74,
        OpenError::Older { .. } => 76,
        OpenError::Guard { .. } => 77,
        OpenError::Foreign | OpenError::Ahead { .. } => 78,
        OpenError::ClockBehind { .. } => 79,
        OpenError::Unfinished { .. } => 80,
    }
}

/// Tells how it ended, on stderr and by the exit code.
pub(crate) fn end(result: Result<(), ServerFailure>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            output::tell(&text::without_tokens(&format!("error: {failure}")));
            failure.exit_code()
        }
    }
}
