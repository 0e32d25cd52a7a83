//! The test stand: a stock echo and a keyward full of keys, driven in turns.

use std::path::{Path, PathBuf};

use crate::Result;
use crate::cpu::Meter;
use crate::frames::{self, Frames};
use crate::quiet::Watch;
use crate::report::{Cost, Round};
use crate::server::{self, Server};
use crate::usage::Usage;
use crate::{fill, h2load, load};

/// The least that a gRPC server can do.
const ECHO: &str = "/bench.v1.EchoService/Echo";
/// What it is compared with.
const CHECK: &str = "/keyward.v1.KeyCheck/Check";

/// The same, as Envoy asks it.
const EXT_AUTHZ: &str = "/envoy.service.auth.v3.Authorization/Check";

/// Both servers, and what is sent to them.
pub(crate) struct Stand {
    echo: Server,
    keyward: Server,
    nothing: Frames,
    one_key: Frames,
    of_envoy: Frames,
    random_keys: Frames,
    /// Where h2load finds the bodies.
    folder: PathBuf,
}

impl Stand {
    /// Starts both, keyward on the store that [`Self::prepare`] has made, and
    /// makes sure that what will be measured is the right answer.
    pub(crate) fn build(work: &Path, keys: usize, usage: Usage) -> Result<Self> {
        let folder = store(work, keys, usage);
        let tokens = fill::tokens(&folder, keys)?;
        let stand = Self {
            echo: server::start_echo(&work.join("stock_echo"))?,
            keyward: server::start_keyward(&folder, usage.flags())?,
            nothing: Frames::empty(),
            one_key: Frames::questions(&tokens[..1]),
            of_envoy: Frames::of_envoy(&tokens[0]),
            random_keys: Frames::questions(&tokens),
            folder,
        };
        stand.verify()?;
        Ok(stand)
    }

    /// Makes the stores of `keys` keys for those stands, before any is built. What
    /// is slow to make is kept in `work`.
    pub(crate) fn prepare(work: &Path, keys: usize, usages: &[Usage]) -> Result<()> {
        let first = store(work, keys, Usage::Counted);
        fill::tokens(&first, keys)?;
        usages
            .iter()
            .try_for_each(|usage| fill::copy(&first, &store(work, keys, *usage)))
    }

    fn verify(&self) -> Result<()> {
        let answer = load::ask(self.keyward.address, CHECK, self.one_key.first())?;
        let principal = frames::allowed_principal(&answer)?;
        if principal != fill::principal(0) {
            return Err(format!("the first key is answered as that of {principal:?}").into());
        }
        let answer = load::ask(self.keyward.address, EXT_AUTHZ, self.of_envoy.first())?;
        if !frames::is_passed(&answer)? {
            return Err("Envoy is told not to let the first key pass".into());
        }
        load::ask(self.echo.address, ECHO, self.nothing.first())?;
        Ok(())
    }

    /// Takes all five figures once.
    pub(crate) fn round(&self, calls: usize, backwards: bool) -> Result<Round> {
        let mut costs = [Cost::default(); 5];
        let mut order = [0, 1, 2, 3, 4];
        if backwards {
            order.reverse();
        }
        for figure in order {
            costs[figure] = match figure {
                0 => self.with_h2load(&self.echo, ECHO, &self.nothing, calls)?,
                1 => self.with_h2load(&self.keyward, CHECK, &self.one_key, calls)?,
                2 => self.with_h2load(&self.keyward, EXT_AUTHZ, &self.of_envoy, calls)?,
                3 => self.with_load(&self.echo, ECHO, &self.nothing, calls)?,
                _ => self.with_load(&self.keyward, CHECK, &self.random_keys, calls)?,
            };
        }
        let [
            echo_by_h2load,
            one_key,
            ext_authz,
            echo_by_load,
            random_keys,
        ] = costs;
        Ok(Round {
            echo_by_h2load,
            one_key,
            ext_authz,
            echo_by_load,
            random_keys,
        })
    }

    fn with_h2load(
        &self,
        server: &Server,
        path: &str,
        body: &Frames,
        calls: usize,
    ) -> Result<Cost> {
        let file = self.folder.join("body");
        std::fs::write(&file, body.first())?;
        measure(server, calls, || {
            h2load::drive(server.address, path, &file, calls)
        })
    }

    fn with_load(
        &self,
        server: &Server,
        path: &str,
        bodies: &Frames,
        calls: usize,
    ) -> Result<Cost> {
        measure(server, calls, || {
            load::drive(server.address, path, bodies, calls)
        })
    }
}

/// Where the store of a stand is.
fn store(work: &Path, keys: usize, usage: Usage) -> PathBuf {
    work.join(format!("{keys}{}", usage.suffix()))
}

/// What the server spends while it is driven.
fn measure(server: &Server, calls: usize, drive: impl FnOnce() -> Result<f64>) -> Result<Cost> {
    let watch = Watch::start(&[server.pid()])?;
    let meter = Meter::start(server.pid())?;
    let seconds = drive()?;
    let spent = meter.stop()?;
    Ok(Cost::new(spent, seconds, calls, watch.was_quiet()?))
}
