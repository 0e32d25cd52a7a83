//! Drives a gateway with nghttp2's h2load, which keeps the time of each request.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use crate::Result;
use crate::times::Times;

const CONNECTIONS: usize = 16;

/// How requests come.
#[derive(Clone, Copy)]
pub(crate) enum Load {
    /// Each when the one before it was answered, on one connection.
    OneAtATime,
    /// So many a second, on 16 connections.
    AtARate(usize),
}

impl Load {
    pub(crate) fn name(self) -> String {
        match self {
            Self::OneAtATime => "one at a time".to_owned(),
            Self::AtARate(rate) => format!("{rate} a second"),
        }
    }

    fn flags(self) -> Vec<String> {
        let flags = match self {
            Self::OneAtATime => vec!["-c".to_owned(), "1".to_owned()],
            Self::AtARate(rate) => vec![
                "-c".to_owned(),
                CONNECTIONS.to_string(),
                "--rps".to_owned(),
                rate.div_ceil(CONNECTIONS).to_string(),
                // Opened one after the other: those that are opened together send
                // together for ever, and wait for each other.
                "-r".to_owned(),
                "1".to_owned(),
                format!("--rate-period={}ms", (1_000 / rate).max(1)),
            ],
        };
        flags
            .into_iter()
            .chain(["-m", "1"].map(str::to_owned))
            .collect()
    }
}

/// Fails, and says what to install, if there is no h2load.
pub(crate) fn require() -> Result<()> {
    match Command::new("h2load").arg("--version").output() {
        Ok(_) => Ok(()),
        Err(error) => Err(format!(
            "h2load cannot be run ({error}). It comes with nghttp2: \
             `sudo apt-get install nghttp2-client` on Debian and Ubuntu"
        )
        .into()),
    }
}

/// Sends `calls` requests with that key, all of which must be answered with 200,
/// and says how long they took. `log` is written over.
pub(crate) fn drive(
    address: SocketAddr,
    path: &str,
    token: &str,
    load: Load,
    calls: usize,
    log: &Path,
) -> Result<Times> {
    // It adds to what is there.
    std::fs::write(log, "")?;
    let output = Command::new("h2load")
        .args(["--h1", "-n", &calls.to_string()])
        .args(load.flags())
        .arg("--header")
        .arg(format!("authorization: Bearer {token}"))
        .arg(format!("--log-file={}", log.display()))
        .arg(format!("http://{address}{path}"))
        .output()?;
    let mut micros = Vec::with_capacity(calls);
    for line in std::fs::read_to_string(log)?.lines() {
        let mut columns = line.split('\t').skip(1);
        let (status, time) = (columns.next(), columns.next());
        if status != Some("200") {
            return Err(format!("{path} is answered with {status:?}").into());
        }
        micros.push(time.unwrap_or_default().parse()?);
    }
    if micros.len() != calls || !output.status.success() {
        let told = String::from_utf8_lossy(&output.stdout);
        return Err(
            format!("not every request to {path} was answered. h2load says:\n{told}").into(),
        );
    }
    Times::of(micros).ok_or_else(|| "no request was sent".into())
}
