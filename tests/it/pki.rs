//! Certificates for tests, and clients that show and check them.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};

use crate::support::Site;

/// What a client of HTTP/2 says first: its preface, and settings that set
/// nothing.
pub(crate) const GREETING: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

/// Somebody who signs certificates.
pub(crate) struct Authority {
    /// Its own certificate, PEM.
    pub(crate) pem: String,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate and its key, PEM.
#[derive(Clone)]
pub(crate) struct Pair {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new([]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let pem = params.self_signed(&key).unwrap().pem();
        Self {
            pem,
            issuer: Issuer::new(params, key),
        }
    }

    /// A certificate for this machine, or for one of its clients.
    pub(crate) fn issue(&self) -> Pair {
        self.issue_with(|_| {})
    }

    pub(crate) fn issue_with(&self, change: impl FnOnce(&mut CertificateParams)) -> Pair {
        let key = KeyPair::generate().unwrap();
        let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
        let mut params = CertificateParams::new(names).unwrap();
        change(&mut params);
        Pair {
            certificate: params.signed_by(&key, &self.issuer).unwrap().pem(),
            key: key.serialize_pem(),
        }
    }
}

impl Pair {
    pub(crate) fn der(&self) -> CertificateDer<'static> {
        CertificateDer::from_pem_slice(self.certificate.as_bytes()).unwrap()
    }

    fn identity(&self) -> Identity {
        Identity::from_pem(&self.certificate, &self.key)
    }
}

/// The files of a server's TLS.
pub(crate) struct Files {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
    pub(crate) client_ca: PathBuf,
}

impl Files {
    /// Puts `pair` into the site's folder.
    pub(crate) fn write(site: &Site, pair: &Pair) -> Self {
        let files = Self {
            certificate: site.path().join("tls.crt"),
            key: site.path().join("tls.key"),
            client_ca: site.path().join("clients.crt"),
        };
        files.replace(pair);
        files
    }

    /// Replaces the pair as certbot does: each file at once.
    pub(crate) fn replace(&self, pair: &Pair) {
        replace(&self.certificate, &pair.certificate);
        replace(&self.key, &pair.key);
    }

    /// The flags that make `command` encrypt on both listeners.
    pub(crate) fn on_both(&self, command: &mut Command) {
        for listener in ["check", "admin"] {
            command
                .arg(format!("--{listener}-tls-certificate"))
                .arg(&self.certificate);
            command.arg(format!("--{listener}-tls-key")).arg(&self.key);
        }
    }

    /// The flags with which they ask for certificates of `authority`.
    pub(crate) fn ask(&self, command: &mut Command, authority: &Authority, how: &str) {
        replace(&self.client_ca, &authority.pem);
        for listener in ["check", "admin"] {
            command
                .arg(format!("--{listener}-tls-client-ca"))
                .arg(&self.client_ca)
                .args([&format!("--{listener}-tls-client-certificate"), how]);
        }
    }
}

/// Writes a file beside `path` and moves it there.
pub(crate) fn replace(path: &Path, text: &str) {
    let beside = path.with_extension("new");
    fs::write(&beside, text).unwrap();
    let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    fs::set_permissions(&beside, private).unwrap();
    fs::rename(&beside, path).unwrap();
}

/// A gRPC client of `address`, an `http://…` that encrypts.
pub(crate) async fn channel(
    address: &str,
    authority: &Authority,
    client: Option<&Pair>,
) -> Result<Channel, tonic::transport::Error> {
    let mut tls = ClientTlsConfig::new()
        .ca_certificate(Certificate::from_pem(&authority.pem))
        .domain_name("localhost");
    if let Some(pair) = client {
        tls = tls.identity(pair.identity());
    }
    Endpoint::from_shared(address.replace("http://", "https://"))?
        .tls_config(tls)?
        .connect()
        .await
}

/// How a client shakes hands.
pub(crate) struct Shake<'a> {
    pub(crate) authority: &'a Authority,
    pub(crate) client: Option<&'a Pair>,
    pub(crate) versions: &'a [&'static SupportedProtocolVersion],
    pub(crate) alpn: &'a [&'a str],
}

impl<'a> Shake<'a> {
    pub(crate) fn of(authority: &'a Authority) -> Self {
        Self {
            authority,
            client: None,
            versions: rustls::ALL_VERSIONS,
            alpn: &["h2"],
        }
    }

    /// Shakes hands on `stream`, greets, and waits for the server's greeting:
    /// only then is it certain that the server takes the client.
    pub(crate) async fn on<S>(&self, stream: S) -> io::Result<TlsStream<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let mut tls = self.hands(stream).await?;
        tls.write_all(GREETING).await?;
        let mut settings = [0; 9];
        tls.read_exact(&mut settings).await?;
        assert_eq!(settings[3], 4, "settings come first");
        Ok(tls)
    }

    /// Shakes hands on `stream` and says no more.
    async fn hands<S>(&self, stream: S) -> io::Result<TlsStream<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let mut roots = RootCertStore::empty();
        let root = CertificateDer::from_pem_slice(self.authority.pem.as_bytes()).unwrap();
        roots.add(root).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(self.versions)
            .unwrap()
            .with_root_certificates(roots);
        let mut config = match self.client {
            None => config.with_no_client_auth(),
            Some(pair) => {
                let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).unwrap();
                config.with_client_auth_cert(vec![pair.der()], key).unwrap()
            }
        };
        config.alpn_protocols = self
            .alpn
            .iter()
            .map(|name| name.as_bytes().to_vec())
            .collect();
        let name = ServerName::try_from("localhost").unwrap();
        TlsConnector::from(Arc::new(config))
            .connect(name, stream)
            .await
    }

    /// Shakes hands at `address` and says no more.
    pub(crate) async fn greetless(
        &self,
        address: &str,
    ) -> io::Result<TlsStream<tokio::net::TcpStream>> {
        let address = address.trim_start_matches("http://");
        let stream = tokio::net::TcpStream::connect(address).await?;
        self.hands(stream).await
    }

    pub(crate) async fn at(&self, address: &str) -> io::Result<TlsStream<tokio::net::TcpStream>> {
        let address = address.trim_start_matches("http://");
        self.on(tokio::net::TcpStream::connect(address).await?)
            .await
    }
}

/// The certificate that a server shows.
pub(crate) fn shown<S>(tls: &TlsStream<S>) -> CertificateDer<'static> {
    let certificates = tls.get_ref().1.peer_certificates().unwrap();
    certificates[0].clone().into_owned()
}
