//! A server of its own process, and how it is found to be up.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::Result;

/// How long a server may take until it listens.
const START: Duration = Duration::from_secs(60);
const GLANCE: Duration = Duration::from_millis(20);

/// A server that runs until this is dropped.
pub(crate) struct Process(Child);

impl Process {
    /// Starts it, and waits until `is_up`. What it says goes to `log`.
    pub(crate) fn start(
        mut command: Command,
        log: PathBuf,
        is_up: impl Fn() -> bool,
    ) -> Result<Self> {
        let file = std::fs::File::create(&log)?;
        command
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file);
        let mut process = Self(command.spawn()?);
        let since = Instant::now();
        while !is_up() {
            if let Some(status) = process.0.try_wait()? {
                return Err(format!("{command:?} ended: {status}; see {}", log.display()).into());
            }
            if since.elapsed() > START {
                return Err(format!("{command:?} does not listen; see {}", log.display()).into());
            }
            std::thread::sleep(GLANCE);
        }
        Ok(process)
    }

    /// Whose processor time to count.
    pub(crate) fn pid(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself, and there is nobody left to tell.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// An address that nobody listens on now.
pub(crate) fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

/// Whether somebody listens there.
pub(crate) fn listens(address: SocketAddr) -> bool {
    TcpStream::connect(address).is_ok()
}
