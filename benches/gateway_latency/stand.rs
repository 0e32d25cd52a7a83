//! The test stand: a keyward with keys, and an Envoy that asks it in one way.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::cpu::Meter;
use crate::envoy::{ASKED, Authorizer, Envoy, UNASKED};
use crate::h2load::Load;
use crate::process::{Process, free_address, listens};
use crate::quiet::Watch;
use crate::report::{Figure, Round};
use crate::times::per_request;
use crate::upstream::Upstream;
use crate::{Result, fill, h2load};

/// By what Envoy reaches keyward.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Link {
    Tcp,
    Unix,
}

impl Link {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Unix => "unix",
        }
    }
}

/// Both servers, and the token that is sent.
pub(crate) struct Stand {
    link: Link,
    keyward: Process,
    envoy: Envoy,
    token: String,
    /// Where h2load keeps the times.
    log: PathBuf,
}

impl Stand {
    /// Starts both, keyward on a store of so many keys.
    pub(crate) fn build(work: &Path, link: Link, keys: usize, upstream: &Upstream) -> Result<Self> {
        // One for each, because a store is open in one server.
        let made = work.join(keys.to_string());
        let store = work.join(format!("{keys}-{}", link.name()));
        let token = fill::tokens(&made, keys)?.swap_remove(0);
        fill::copy(&made, &store)?;
        let folder = work.join(format!("gateway-{}", link.name()));
        std::fs::create_dir_all(&folder)?;
        let (keyward, authorizer) = start_keyward(&store, &folder, link)?;
        Ok(Self {
            link,
            envoy: Envoy::start(&folder, &authorizer, upstream.address)?,
            keyward,
            token,
            log: folder.join("times"),
        })
    }

    pub(crate) fn link(&self) -> Link {
        self.link
    }

    /// Takes both figures once.
    pub(crate) fn round(&self, load: Load, calls: usize, backwards: bool) -> Result<Round> {
        let take = |path| self.figure(path, load, calls);
        let (without, with) = if backwards {
            let with = take(ASKED)?;
            (take(UNASKED)?, with)
        } else {
            (take(UNASKED)?, take(ASKED)?)
        };
        Ok(Round { without, with })
    }

    fn figure(&self, path: &str, load: Load, calls: usize) -> Result<Figure> {
        let servers = [self.envoy.process.pid(), self.keyward.pid()];
        let watch = Watch::start(&servers)?;
        let (envoy, keyward) = (Meter::start(servers[0])?, Meter::start(servers[1])?);
        let address = self.envoy.address;
        let times = h2load::drive(address, path, &self.token, load, calls, &self.log)?;
        Ok(Figure {
            times,
            envoy: per_request(envoy.stop()?, calls),
            keyward: per_request(keyward.stop()?, calls),
            quiet: watch.was_quiet()?,
        })
    }
}

fn start_keyward(store: &Path, folder: &Path, link: Link) -> Result<(Process, Authorizer)> {
    let authorizer = match link {
        Link::Tcp => Authorizer::Tcp(free_address()?),
        Link::Unix => Authorizer::Unix(folder.join("check.sock")),
    };
    let listen = match &authorizer {
        Authorizer::Tcp(address) => address.to_string(),
        Authorizer::Unix(path) => format!("unix:{}", path.display()),
    };
    let mut command = Command::new(env!("CARGO_BIN_EXE_keyward"));
    command
        .arg("serve")
        .arg("--data-dir")
        .arg(store.join("data"))
        .arg("--guard-dir")
        .arg(store.join("guard"))
        .args(["--check-listen", &listen])
        .args(["--admin-listen", "127.0.0.1:0", "--http-listen", "off"]);
    let is_up = || match &authorizer {
        Authorizer::Tcp(address) => listens(*address),
        Authorizer::Unix(path) => std::os::unix::net::UnixStream::connect(path).is_ok(),
    };
    let process = Process::start(command, folder.join("keyward.log"), is_up)?;
    Ok((process, authorizer))
}
