//! Envoy by the file that `deploy` ships, but for addresses and the workspace.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::process::{Process, free_address, listens};
use crate::{Result, fill};

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/envoy/envoy.yaml");

/// A path on which keyward is asked for a scope, of its key's workspace.
pub(crate) const ASKED: &str = "/people/";
/// A path on which keyward is not asked.
pub(crate) const UNASKED: &str = "/public/";

/// Where keyward answers checks.
pub(crate) enum Authorizer {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

/// Envoy, listening.
pub(crate) struct Envoy {
    /// For clients.
    pub(crate) address: SocketAddr,
    pub(crate) process: Process,
}

impl Envoy {
    /// Starts it with its file in `folder`.
    pub(crate) fn start(
        folder: &Path,
        authorizer: &Authorizer,
        upstream: SocketAddr,
    ) -> Result<Self> {
        let address = free_address()?;
        let config = folder.join("envoy.yaml");
        std::fs::write(&config, adapted(address, authorizer, upstream)?)?;
        let mut command = Command::new(program()?);
        command
            .arg("--config-path")
            .arg(config)
            .args(["--use-dynamic-base-id", "--concurrency", "1"])
            .args(["--log-level", "warning"]);
        let log = folder.join("envoy.log");
        let process = Process::start(command, log, || listens(address))?;
        Ok(Self { address, process })
    }
}

/// The file, in which each place that is changed has to be found.
fn adapted(listen: SocketAddr, authorizer: &Authorizer, upstream: SocketAddr) -> Result<String> {
    let socket = |address: SocketAddr| {
        let (ip, port) = (address.ip(), address.port());
        format!("socket_address: {{ address: {ip}, port_value: {port} }}")
    };
    let shipped = |port: u16| socket(SocketAddr::from(([127, 0, 0, 1], port)));
    let authorizer = match authorizer {
        Authorizer::Tcp(address) => socket(*address),
        Authorizer::Unix(path) => format!("pipe: {{ path: {} }}", path.display()),
    };
    let workspace = format!("workspace: {}\n", fill::WORKSPACE);
    let changes = [
        (shipped(9_901), socket(free_address()?)),
        (shipped(10_000), socket(listen)),
        (shipped(50_051), authorizer),
        (shipped(8_000), socket(upstream)),
        ("workspace: klipy\n".to_owned(), workspace),
    ];
    let mut text = std::fs::read_to_string(FILE)?;
    for (shipped, ours) in changes {
        if !text.contains(&shipped) {
            return Err(format!("{FILE} has no {shipped:?} any more").into());
        }
        text = text.replace(&shipped, &ours);
    }
    Ok(text)
}

/// Where tests/run has put it, or the one on the path.
fn program() -> Result<PathBuf> {
    let installed = std::env::var_os("KEYWARD_TEST_TOOLS").map_or_else(
        || crate::work_folder().with_file_name("tools/bin"),
        PathBuf::from,
    );
    let found = [installed.join("envoy"), PathBuf::from("envoy")]
        .into_iter()
        .find(|program| {
            let version = Command::new(program).arg("--version").output();
            version.is_ok_and(|output| output.status.success())
        });
    found.ok_or_else(|| "there is no envoy here: tests/run installs one".into())
}
