//! keyward as a gateway finds it: up, down, slow or overloaded, always at the same
//! address.

use std::net::SocketAddr;
use std::path::PathBuf;

use prost::Message;
use rustix::process::Signal;
use tokio::net::{TcpStream, UnixStream};
use tonic::Code;
use tonic_health::pb::HealthCheckRequest;

use super::process::address_of_its_own;
use crate::h2raw::{Call, Raw};
use crate::support::{Server, Site, keyward};

/// How keyward is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum State {
    Up,
    /// Stopped: whoever connects is refused.
    Down,
    /// Takes connections and requests, and answers none.
    Slow,
    /// Has all that it may have to do.
    Overloaded,
}

/// By which of its listeners a gateway asks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Asks {
    /// Envoy's protocol, on the listener of checks.
    ExtAuthz,
    /// The same, by a unix socket.
    ExtAuthzOnASocket,
    /// HTTP, on the listener of that name.
    ForwardAuth,
}

/// A store, and the server on it, if that is up.
pub(crate) struct Keyward {
    site: Site,
    asks: Asks,
    flags: Vec<String>,
    /// Where gateways reach it.
    pub(crate) address: SocketAddr,
    server: Option<Server>,
    held: Option<Held>,
}

/// What keeps it busy.
enum Held {
    Check { _connection: Raw, _check: Call },
    Connection { _connection: TcpStream },
}

impl Keyward {
    /// A new store, served with these flags and whatever its state wants.
    pub(crate) fn start(asks: Asks, flags: Vec<String>) -> Self {
        let mut keyward = Self {
            site: Site::init(),
            asks,
            flags,
            address: address_of_its_own(),
            server: None,
            held: None,
        };
        keyward.serve(&[]);
        keyward
    }

    /// The server, which has to be there.
    pub(crate) fn server(&self) -> &Server {
        self.server.as_ref().unwrap()
    }

    pub(crate) async fn set(&mut self, state: State) {
        self.stop();
        match state {
            State::Up => self.serve(&[]),
            State::Down => {}
            State::Slow => {
                self.serve(&[]);
                // Its socket still takes what is sent.
                self.server().signal(Signal::STOP);
            }
            State::Overloaded => self.overload().await,
        }
    }

    fn serve(&mut self, flags: &[&str]) {
        let address = self.address.to_string();
        let socket = format!("unix:{}", socket(self.address).display());
        let [check, http] = match self.asks {
            Asks::ExtAuthz => [&*address, "off"],
            Asks::ExtAuthzOnASocket => [&*socket, "off"],
            Asks::ForwardAuth => ["127.0.0.1:0", &*address],
        };
        let mut command = keyward();
        command
            .args(["serve", "--log-format", "json", "--data-dir"])
            .arg(self.site.data_dir())
            .args(["--admin-listen", "127.0.0.1:0", "--check-listen", check])
            .args(["--http-listen", http])
            .args(&self.flags)
            .args(flags);
        self.server = Some(Server::spawn(self.site.clone(), command).unwrap());
    }

    fn stop(&mut self) {
        self.held = None;
        if let Some(server) = self.server.take() {
            // One that is held up does not see that it is told to stop.
            server.signal(Signal::CONT);
            let (status, log) = server.stop();
            assert!(status.success(), "{status}: {log}");
        }
    }

    /// Leaves room for one, and takes it.
    async fn overload(&mut self) {
        let held = match self.asks {
            Asks::ExtAuthz | Asks::ExtAuthzOnASocket => {
                self.serve(&["--check-max-calls", "1", "--check-receive-timeout", "10m"]);
                hold_a_check(&self.server().check_address).await
            }
            Asks::ForwardAuth => {
                self.serve(&["--http-max-connections", "1"]);
                let _connection = TcpStream::connect(self.address).await.unwrap();
                Held::Connection { _connection }
            }
        };
        self.held = Some(held);
    }
}

impl Drop for Keyward {
    fn drop(&mut self) {
        self.server = None;
        // One that is killed leaves it behind.
        let _ = std::fs::remove_file(socket(self.address));
    }
}

/// The socket on which gateways reach the one of this address, if they do so by
/// one.
pub(crate) fn socket(address: SocketAddr) -> PathBuf {
    std::env::temp_dir().join(format!("keyward-{address}.sock"))
}

/// Begins a check that is never asked to the end.
async fn hold_a_check(address: &str) -> Held {
    let connection = match address.strip_prefix("unix:") {
        Some(path) => Raw::on(UnixStream::connect(path).await.unwrap()).await,
        None => Raw::connect(address).await,
    };
    let check = connection.begin("/keyward.v1.KeyCheck/Check", &[]).await;
    // What is asked later on the same connection tells that it was seen.
    let health = HealthCheckRequest::default().encode_to_vec();
    let told = connection.call("/grpc.health.v1.Health/Check", &[], &health);
    assert_eq!(told.await.unwrap().status.code(), Code::Ok);
    Held::Check {
        _connection: connection,
        _check: check.unwrap(),
    }
}
