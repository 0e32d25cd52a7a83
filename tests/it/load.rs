//! Load by other languages' gRPC libraries: programs that call without a pause,
//! and tell in the end of every call that failed.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use serde::Deserialize;
use serde_json::json;
use tempfile::TempDir;

use crate::clients;
use crate::pki::{Authority, Pair, replace};
use crate::support::{Server, Site, wait};

/// Longer than any of it takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(90);

/// What a program is told.
#[derive(Clone)]
pub(crate) struct Target {
    check: String,
    admin: String,
    admin_token: String,
    /// Passes, with the scope `a`.
    token: String,
    tls: Option<ClientFiles>,
}

/// The files of clients' TLS.
#[derive(Clone)]
pub(crate) struct ClientFiles {
    /// Who may have signed the server's certificate.
    pub(crate) ca: PathBuf,
    /// Certificates and their keys, shown in turns.
    pub(crate) identities: Vec<[PathBuf; 2]>,
}

/// How it went.
#[derive(Deserialize, Debug)]
pub(crate) struct Told {
    /// Calls that should not have failed.
    pub(crate) failures: Vec<String>,
    /// What was done, by who did it: calls, or connections of those who come
    /// and go.
    pub(crate) counted: BTreeMap<String, u64>,
    /// Tokens whose issue was acknowledged, and no revocation begun.
    #[serde(default)]
    pub(crate) issued: Vec<String>,
    /// Tokens whose revocation was acknowledged.
    #[serde(default)]
    pub(crate) revoked: Vec<String>,
}

impl ClientFiles {
    /// Puts them into the site's folder.
    pub(crate) fn write(site: &Site, servers: &Authority, identities: &[Pair]) -> Self {
        let file = |name: &str, text: &str| {
            let path = site.path().join(name);
            replace(&path, text);
            path
        };
        let of = |(number, pair): (usize, &Pair)| {
            [
                file(&format!("client-{number}.crt"), &pair.certificate),
                file(&format!("client-{number}.key"), &pair.key),
            ]
        };
        Self {
            ca: file("servers.crt", &servers.pem),
            identities: identities.iter().enumerate().map(of).collect(),
        }
    }
}

impl Target {
    pub(crate) fn new(server: &Server, token: &str, tls: Option<ClientFiles>) -> Self {
        let target = |address: &str| address.trim_start_matches("http://").to_owned();
        Self {
            check: target(&server.check_address),
            admin: target(&server.admin_address),
            admin_token: server.site.admin_token(),
            token: token.to_owned(),
            tls,
        }
    }
}

/// A program at work; killed when it is dropped.
pub(crate) struct Load {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: mpsc::Receiver<String>,
    /// Where it lies.
    _folder: TempDir,
}

impl Load {
    /// grpcio. If it is to work until the server has gone, it changes keys, too.
    pub(crate) fn python(target: &Target, until_gone: bool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let command = clients::python(folder.path(), "load.py");
        Self::start(command, folder, target, until_gone)
    }

    /// @grpc/grpc-js, over TLS.
    pub(crate) fn node(target: &Target) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let command = clients::node(folder.path(), "load.mjs");
        Self::start(command, folder, target, false)
    }

    fn start(mut command: Command, folder: TempDir, target: &Target, until_gone: bool) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (tell, lines) = mpsc::channel();
        let told = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || {
            for line in told.lines().map_while(Result::ok) {
                let _ = tell.send(line);
            }
        });
        let mut stdin = child.stdin.take().unwrap();
        let given = json!({
            "check": target.check,
            "admin": target.admin,
            "token": target.admin_token,
            "header": format!("Bearer {}", target.token),
            "ca": target.tls.as_ref().map(|files| &files.ca),
            "identities": target.tls.as_ref().map(|files| &files.identities),
            "until_gone": until_gone,
        });
        writeln!(stdin, "{given}").unwrap();
        Self {
            child,
            stdin: Some(stdin),
            lines,
            _folder: folder,
        }
    }

    /// Waits until each of its clients has been answered.
    pub(crate) fn started(&self) {
        assert_eq!(self.line(), "started");
    }

    /// Has it end, unless it does so by itself.
    pub(crate) fn end(mut self) -> Told {
        drop(self.stdin.take());
        let told = serde_json::from_str(&self.line()).unwrap();
        assert!(wait(&mut self.child).success());
        told
    }

    fn line(&self) -> String {
        let line = tokio::task::block_in_place(|| self.lines.recv_timeout(PATIENCE));
        line.expect("it tells something")
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
