//! keyward as a gateway finds it: up, down, slow or overloaded, always at the same
//! address.

use std::net::SocketAddr;
use std::time::Duration;

use keyward::edge::pb::key_check_client::KeyCheckClient;
use keyward::edge::pb::{CheckStreamRequest, CheckStreamResponse};
use rustix::process::Signal;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

use super::process::address_of_its_own;
use crate::support::{Server, Site, connect, keyward};

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
    /// HTTP, on the listener of that name.
    ForwardAuth,
}

/// A store, and the server on it, if that is up.
pub(crate) struct Keyward {
    site: Site,
    asks: Asks,
    /// Where gateways reach it.
    pub(crate) address: SocketAddr,
    server: Option<Server>,
    held: Option<Held>,
}

/// What keeps it busy.
enum Held {
    Call {
        _question: mpsc::Sender<CheckStreamRequest>,
        _answers: Streaming<CheckStreamResponse>,
    },
    Connection(#[expect(dead_code, reason = "it is there")] TcpStream),
}

impl Keyward {
    /// A new store, served.
    pub(crate) fn start(asks: Asks) -> Self {
        let mut keyward = Self {
            site: Site::init(),
            asks,
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
        let listeners = match self.asks {
            Asks::ExtAuthz => vec!["--check-listen", &address],
            Asks::ForwardAuth => {
                vec!["--check-listen", "127.0.0.1:0", "--http-listen", &address]
            }
        };
        let mut command = keyward();
        command
            .args(["serve", "--log-format", "json", "--data-dir"])
            .arg(self.site.data_dir())
            .args(["--admin-listen", "127.0.0.1:0"])
            .args(listeners)
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
            Asks::ExtAuthz => {
                self.serve(&["--check-max-calls", "1"]);
                hold_a_call(&self.server().check_address).await
            }
            Asks::ForwardAuth => {
                self.serve(&["--http-max-connections", "1"]);
                Held::Connection(TcpStream::connect(self.address).await.unwrap())
            }
        };
        self.held = Some(held);
    }
}

/// Begins a conversation that goes on.
async fn hold_a_call(address: &str) -> Held {
    let (ask, questions) = mpsc::channel(1);
    ask.send(CheckStreamRequest::default()).await.unwrap();
    let mut client = KeyCheckClient::new(connect(address).await);
    let answers = client.check_stream(ReceiverStream::new(questions)).await;
    let mut answers = answers.unwrap().into_inner();
    let first = tokio::time::timeout(Duration::from_secs(60), answers.message());
    first.await.expect("an answer").unwrap().unwrap();
    Held::Call {
        _question: ask,
        _answers: answers,
    }
}
