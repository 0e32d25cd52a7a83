//! The two servers that are compared, each a process of its own.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::Result;

/// A server that runs until this is dropped.
pub(crate) struct Server {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    process: Child,
}

impl Server {
    /// Whose processor time to count.
    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself, and there is nobody left to tell.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Builds the stock echo, if need be, and starts it.
pub(crate) fn start_echo(build_folder: &Path) -> Result<Server> {
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/stock_echo/Cargo.toml");
    let built = Command::new(env!("CARGO"))
        .args([
            "build",
            "--release",
            "--locked",
            "--manifest-path",
            manifest,
            "--target-dir",
        ])
        .arg(build_folder)
        .status()?;
    if !built.success() {
        return Err("benches/stock_echo did not build".into());
    }
    let mut process = Command::new(build_folder.join("release/stock_echo"))
        .stdout(Stdio::piped())
        .spawn()?;
    let mut line = String::new();
    let stdout = process.stdout.take().ok_or("no stdout")?;
    BufReader::new(stdout).read_line(&mut line)?;
    Ok(Server {
        address: line.trim().parse()?,
        process,
    })
}

/// Starts keyward on the store in `folder`, with further `flags`.
pub(crate) fn start_keyward(folder: &Path, flags: &[&str]) -> Result<Server> {
    let mut process = Command::new(env!("CARGO_BIN_EXE_keyward"))
        .arg("serve")
        .args(flags)
        .arg("--data-dir")
        .arg(folder.join("data"))
        .arg("--guard-dir")
        .arg(folder.join("guard"))
        .args([
            "--check-listen",
            "127.0.0.1:0",
            "--admin-listen",
            "127.0.0.1:0",
            "--http-listen",
            "off",
        ])
        .args(["--log-format", "json", "--log", "info"])
        .stderr(Stdio::piped())
        .spawn()?;
    let stderr = process.stderr.take().ok_or("no stderr")?;
    let mut lines = BufReader::new(stderr).lines();
    let mut log = String::new();
    for line in lines.by_ref() {
        let line = line?;
        if let Some(address) = listening(&line) {
            // Whatever else it has to say is read, so that it never waits
            // for a reader, and shown.
            std::thread::spawn(move || {
                lines
                    .map_while(std::io::Result::ok)
                    .for_each(|line| eprintln!("{line}"))
            });
            return Ok(Server {
                address: address.parse()?,
                process,
            });
        }
        log.push_str(&line);
        log.push('\n');
    }
    let status = process.wait()?;
    Err(format!(
        "keyward did not start ({status}). If the store is of another version, remove {}.\n{log}",
        folder.display()
    )
    .into())
}

/// The check listener's address, if the line says it.
fn listening(line: &str) -> Option<String> {
    let event: Value = serde_json::from_str(line).ok()?;
    if event.get("message")? != "listening" {
        return None;
    }
    Some(event.get("check")?.as_str()?.to_owned())
}
