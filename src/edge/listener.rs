//! Addresses, and the sockets bound to them.
//!
//! A socket is bound early, so that a taken address is found before anything
//! is loaded. A TCP socket listens late, so that nobody connects to what cannot
//! answer yet.

use std::fmt;
use std::fs;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use socket2::{Domain, SockAddr, Type};
use thiserror::Error;
use tokio::net::{TcpListener, UnixListener};

use super::connection::Socket;

/// How many connections wait to be accepted.
const BACKLOG: i32 = 1_024;

/// Whoever runs keyward, and the group: a gateway of another user joins that.
const SOCKET_MODE: u32 = 0o660;

/// Where a listener listens.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Address {
    /// A TCP address; port 0 takes any that is free.
    Tcp(SocketAddr),
    /// The path of a unix socket.
    Unix(PathBuf),
}

impl Default for Address {
    /// None that can be listened on.
    fn default() -> Self {
        Self::Unix(PathBuf::new())
    }
}

impl Address {
    /// Whether what is sent there never leaves the machine.
    #[must_use]
    pub const fn is_local(&self) -> bool {
        match self {
            Self::Tcp(address) => address.ip().is_loopback(),
            Self::Unix(_) => true,
        }
    }
}

/// A text is not an address to listen on.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[error("is neither HOST:PORT, as in 127.0.0.1:50051, nor unix:PATH")]
pub struct InvalidAddress;

impl FromStr for Address {
    type Err = InvalidAddress;

    fn from_str(text: &str) -> Result<Self, InvalidAddress> {
        if let Some(path) = text.strip_prefix("unix:") {
            return if path.is_empty() {
                Err(InvalidAddress)
            } else {
                Ok(Self::Unix(path.into()))
            };
        }
        let mut resolved = text.to_socket_addrs().map_err(|_| InvalidAddress)?;
        resolved.next().map(Self::Tcp).ok_or(InvalidAddress)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// A socket that is bound and does not listen yet.
#[derive(Debug)]
pub struct Bound {
    socket: socket2::Socket,
    address: Address,
    file: Option<SocketFile>,
}

impl Bound {
    /// Takes `address`. A socket file that nobody listens on any more is
    /// replaced.
    ///
    /// # Errors
    ///
    /// What the system says: the address is taken, or not to be had.
    pub fn bind(address: &Address) -> io::Result<Self> {
        match address {
            Address::Tcp(address) => {
                let socket =
                    socket2::Socket::new(Domain::for_address(*address), Type::STREAM, None)?;
                socket.set_reuse_address(true)?;
                socket.bind(&(*address).into())?;
                let bound = socket.local_addr()?.as_socket().unwrap_or(*address);
                Ok(Self {
                    socket,
                    address: Address::Tcp(bound),
                    file: None,
                })
            }
            Address::Unix(path) => {
                remove_stale(path)?;
                let socket = socket2::Socket::new(Domain::UNIX, Type::STREAM, None)?;
                socket.bind(&SockAddr::unix(path)?)?;
                let file = Some(SocketFile(path.clone()));
                fs::set_permissions(path, fs::Permissions::from_mode(SOCKET_MODE))?;
                // At once, or another start would find that nobody listens and
                // take it for stale. Who connects now waits to be accepted.
                socket.listen(BACKLOG)?;
                Ok(Self {
                    socket,
                    address: address.clone(),
                    file,
                })
            }
        }
    }

    /// The address, with the port that was found.
    #[must_use]
    pub const fn address(&self) -> &Address {
        &self.address
    }

    /// Starts to listen. Must be called in a runtime.
    pub(super) fn listen(self) -> io::Result<Listener> {
        self.socket.set_nonblocking(true)?;
        self.socket.listen(BACKLOG)?;
        let descriptor = OwnedFd::from(self.socket);
        match self.file {
            None => TcpListener::from_std(descriptor.into()).map(Listener::Tcp),
            Some(file) => {
                let listener = UnixListener::from_std(descriptor.into())?;
                Ok(Listener::Unix {
                    listener,
                    _file: file,
                })
            }
        }
    }
}

/// A socket that listens.
#[derive(Debug)]
pub(super) enum Listener {
    Tcp(TcpListener),
    Unix {
        listener: UnixListener,
        /// Removes the file when it is dropped.
        _file: SocketFile,
    },
}

impl Listener {
    /// The next connection.
    pub(super) async fn accept(&self) -> io::Result<Socket> {
        match self {
            Self::Tcp(listener) => {
                let (stream, peer) = listener.accept().await?;
                // Answers are small, and waited for.
                stream.set_nodelay(true)?;
                Ok(Socket::Tcp(stream.into_std()?, peer))
            }
            Self::Unix { listener, .. } => listener.accept().await?.0.into_std().map(Socket::Unix),
        }
    }
}

/// Removes the file of a unix socket when it is dropped.
#[derive(Debug)]
pub(super) struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        // If it is gone already, so much the better.
        let _ = fs::remove_file(&self.0);
    }
}

fn remove_stale(path: &Path) -> io::Result<()> {
    let is_socket = fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket());
    let refused = |error: io::Error| error.kind() == io::ErrorKind::ConnectionRefused;
    if is_socket && UnixStream::connect(path).is_err_and(refused) {
        fs::remove_file(path)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        for (text, local) in [
            ("127.0.0.1:50051", true),
            ("[::1]:50051", true),
            ("127.0.0.9:1", true),
            ("0.0.0.0:50051", false),
            ("[::]:1", false),
            ("10.0.0.1:1", false),
            ("unix:/run/keyward.sock", true),
        ] {
            let address: Address = text.parse().unwrap();
            assert_eq!(address.to_string(), text);
            assert_eq!(address.is_local(), local, "{text}");
        }
        for text in ["", "127.0.0.1", "unix:", ":x", "127.0.0.1:65536"] {
            assert_eq!(text.parse::<Address>(), Err(InvalidAddress), "{text}");
        }
    }

    #[tokio::test]
    async fn a_taken_address_is_refused_and_a_stale_socket_file_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let address = Address::Unix(folder.path().join("socket"));
        let listener = Bound::bind(&address).unwrap().listen().unwrap();
        assert_eq!(
            Bound::bind(&address).unwrap_err().kind(),
            io::ErrorKind::AddrInUse
        );
        // As if the process had been killed: the file stays.
        let Listener::Unix {
            listener,
            _file: file,
        } = listener
        else {
            panic!("a unix listener")
        };
        std::mem::forget(file);
        drop(listener);
        drop(Bound::bind(&address).unwrap());

        let tcp = Bound::bind(&"127.0.0.1:0".parse().unwrap()).unwrap();
        let address = tcp.address().clone();
        let _listener = tcp.listen().unwrap();
        assert_eq!(
            Bound::bind(&address).unwrap_err().kind(),
            io::ErrorKind::AddrInUse
        );
    }
}
