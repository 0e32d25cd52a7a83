//! A gateway's own process, which runs the very file that `deploy` holds, but for
//! addresses and paths.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::client::Ask;
use crate::docs::document;

/// Longer than any gateway takes to start on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Where everything is, for a gateway that is about to start.
pub(crate) struct Place {
    /// Where clients are to reach the gateway.
    pub(crate) listen: SocketAddr,
    /// Where else, if it cannot take all that they speak in one place.
    pub(crate) listen_too: SocketAddr,
    /// Where keyward listens to gateways of this kind.
    pub(crate) keyward: SocketAddr,
    /// The service behind the gateway.
    pub(crate) upstream: SocketAddr,
    folder: TempDir,
}

impl Place {
    pub(crate) fn new(keyward: SocketAddr, upstream: SocketAddr) -> Self {
        Self {
            listen: address_of_its_own(),
            listen_too: address_of_its_own(),
            keyward,
            upstream,
            folder: tempfile::tempdir().unwrap(),
        }
    }

    /// For the gateway's files; it is gone when the gateway is.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A copy of a file of `deploy`, with [`adapted`]'s changes.
    pub(crate) fn adapted(&self, file: &str, changes: &[(&str, &str)]) -> PathBuf {
        let path = self.folder().join(Path::new(file).file_name().unwrap());
        fs::write(&path, adapted(file, changes)).unwrap();
        path
    }
}

/// A file of `deploy`, in which each of `changes` was made wherever it applies,
/// which has to be somewhere.
pub(crate) fn adapted(file: &str, changes: &[(&str, &str)]) -> String {
    let mut text = document(file);
    for (shipped, here) in changes {
        assert!(text.contains(shipped), "{file} does not say {shipped:?}");
        text = text.replace(shipped, here);
    }
    text
}

/// An address that nobody else listens on, or will: few share its IP address, all
/// of which are this machine's.
pub(crate) fn address_of_its_own() -> SocketAddr {
    let ip = Ipv4Addr::new(
        127,
        rand::random_range(64..128),
        rand::random_range(1..255),
        rand::random_range(1..255),
    );
    let free = TcpListener::bind((ip, 0)).unwrap();
    free.local_addr().unwrap()
}

/// A program of the distribution's, where those for servers are: not on everybody's
/// path.
pub(crate) fn program(name: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain([PathBuf::from("/usr/sbin")])
        .map(|folder| folder.join(name))
        .find(|program| program.is_file())
        .unwrap_or_else(|| panic!("{name} is not installed: tests/run does that"))
}

/// A gateway that runs. It is killed when it is dropped, and its log shown if
/// that is because a test fails.
pub(crate) struct Process {
    child: Child,
    log: Arc<Mutex<String>>,
    /// Its files.
    place: Place,
}

impl Process {
    /// Runs `command` until `place` answers.
    pub(crate) async fn start(mut command: Command, place: Place) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let log = Arc::new(Mutex::new(String::new()));
        keep(child.stdout.take().unwrap(), &log);
        keep(child.stderr.take().unwrap(), &log);
        let mut process = Self { child, log, place };
        process.wait_until_it_answers().await;
        process
    }

    async fn wait_until_it_answers(&mut self) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                panic!("the gateway ended: {status}");
            }
            let address = self.place.listen;
            if tokio::net::TcpStream::connect(address).await.is_ok() {
                // Any answer will do, but that of one that has not read its routes
                // yet; and so does that it hangs up on who does not come by a
                // balancer.
                match Ask::get(address, "/public/").try_send().await {
                    Ok(answer) if answer.status == 404 => {}
                    Ok(_) | Err(_) => return,
                }
            }
            assert!(Instant::now() < deadline, "the gateway does not answer");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub(crate) fn place(&self) -> &Place {
        &self.place
    }

    /// What it has said so far.
    pub(crate) fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // A supervisor that is killed leaves its workers behind, so it is told
        // first.
        let pid = rustix::process::Pid::from_child(&self.child);
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        let deadline = Instant::now() + Duration::from_secs(3);
        while matches!(self.child.try_wait(), Ok(None)) && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(5));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("the gateway said:\n{}", self.log());
        }
    }
}

fn keep(pipe: impl Read + Send + 'static, log: &Arc<Mutex<String>>) {
    let log = Arc::clone(log);
    std::thread::spawn(move || {
        for line in BufReader::new(pipe).split(b'\n').map_while(Result::ok) {
            let mut log = log.lock().unwrap();
            log.push_str(&String::from_utf8_lossy(&line));
            log.push('\n');
        }
    });
}
