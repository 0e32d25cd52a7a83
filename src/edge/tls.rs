//! TLS of a listener: made of its files, and made anew while it serves.
//!
//! What was made last is what new connections get; those that there are go on
//! as they began. A pair of files that cannot be used never takes the place of
//! one that can.

mod expiry;
mod files;
mod warnings;
mod watch;

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, WantsServerCert, WebPkiClientVerifier};
use rustls::{ConfigBuilder, RootCertStore, ServerConfig, WantsVerifier};
use tokio_rustls::TlsAcceptor;
use tracing::{error, info, warn};

use crate::config::listener::TlsConfig;
use crate::domain::clock::{Clock, Timestamp};

use super::protocol::Protocols;

use expiry::Expiry;
use files::{ClientCa, Files, Stamp};

pub use files::TlsError;
pub use warnings::warnings;
pub use watch::watch;

/// The TLS of one listener.
pub struct Tls {
    /// Which listener, for the log.
    listener: &'static str,
    protocols: Protocols,
    settings: TlsConfig,
    clock: Arc<dyn Clock>,
    current: ArcSwap<ServerConfig>,
    // Held while files are read, off the path of connections.
    read: Mutex<Read>,
}

/// What was read last.
#[derive(Clone, Copy, Debug)]
struct Read {
    /// How the files looked right before, whether they could be used or not.
    stamp: Stamp,
    /// Of the certificate in use.
    expiry: Expiry,
}

impl Tls {
    /// What the log calls the listener.
    pub(super) const fn listener(&self) -> &'static str {
        self.listener
    }

    /// Reads the files in `settings` of a listener that speaks `protocols`. The
    /// log calls it `listener`.
    ///
    /// # Errors
    ///
    /// They cannot be read, or not be used.
    pub fn open(
        listener: &'static str,
        protocols: Protocols,
        settings: TlsConfig,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, TlsError> {
        let stamp = Stamp::of(&settings);
        let files = Files::read(&settings)?;
        let config = server_config(&settings, protocols, &files)?;
        let tls = Self {
            listener,
            protocols,
            settings,
            clock,
            current: ArcSwap::from_pointee(config),
            read: Mutex::new(Read {
                stamp,
                expiry: files.expiry,
            }),
        };
        tls.warn_of_open_key();
        tls.tell_expiry(files.expiry);
        Ok(tls)
    }

    /// How the next connection is to be encrypted.
    pub(super) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.current.load_full())
    }

    /// Reads the files again, and uses them from the next connection on. If
    /// they cannot be used, the log says why, and what was used stays.
    pub fn reload(&self) {
        self.reload_if(|_| true);
    }

    /// Does so if the files look different from when they were read last.
    fn reload_if_changed(&self) {
        self.reload_if(|changed| changed);
    }

    fn reload_if(&self, wanted: impl Fn(bool) -> bool) {
        // What a panic left behind is the state before, which is still good.
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        // Before the files are: what changes while they are read shows next time.
        let stamp = Stamp::of(&self.settings);
        if !wanted(stamp != read.stamp) {
            return;
        }
        read.stamp = stamp;
        let used = Files::read(&self.settings).and_then(|files| {
            Ok((
                server_config(&self.settings, self.protocols, &files)?,
                files,
            ))
        });
        match used {
            Ok((config, files)) => {
                self.current.store(Arc::new(config));
                read.expiry = files.expiry;
                let listener = self.listener;
                info!(listener, expires = %files.expiry, "TLS files read again");
                self.warn_of_open_key();
                self.tell_expiry(files.expiry);
            }
            Err(problem) => error!(
                listener = self.listener,
                %problem,
                "TLS files cannot be used; those read before stay in use"
            ),
        }
    }

    /// Warns if the certificate in use expires soon, or has.
    fn check_expiry(&self) {
        let expiry = self
            .read
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .expiry;
        self.tell_expiry(expiry);
    }

    fn tell_expiry(&self, expiry: Expiry) {
        let (listener, certificate) = (self.listener, self.settings.certificate.display());
        let now: Timestamp = self.clock.now();
        if expiry.is_over(now) {
            warn!(listener, %certificate, expired = %expiry, "the TLS certificate has expired: replace it");
        } else if expiry.is_near(now) {
            warn!(listener, %certificate, expires = %expiry, "the TLS certificate expires soon: replace it");
        }
    }

    fn warn_of_open_key(&self) {
        if files::is_open_to_all(&self.settings.key) {
            let key = self.settings.key.display();
            warn!(listener = self.listener, %key, "every user of this machine can read the TLS key: chmod 640");
        }
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not what was made of the files: it holds the key.
        f.debug_struct("Tls")
            .field("listener", &self.listener)
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

/// All that keeps a listener from encrypting by `settings`: nothing, if it can.
#[must_use]
pub fn examine(settings: &TlsConfig) -> Vec<TlsError> {
    let pair = match (files::chain(settings), files::key(&settings.key)) {
        (Ok((chain, _)), Ok(key)) => {
            let made = builder(settings)
                .and_then(|builder| with_pair(builder.with_no_client_auth(), settings, chain, key));
            vec![made.err()]
        }
        (chain, key) => vec![chain.err(), key.err()],
    };
    let verifier = files::client_ca(settings)
        .and_then(|ca| ca.map(|ca| client_verifier(settings, &ca)).transpose());
    let problems = pair.into_iter().chain([verifier.err()]);
    problems.flatten().collect()
}

/// Puts what was read together. Certificate and key have to belong together.
fn server_config(
    settings: &TlsConfig,
    protocols: Protocols,
    files: &Files,
) -> Result<ServerConfig, TlsError> {
    let builder = builder(settings)?;
    let builder = match &files.client_ca {
        None => builder.with_no_client_auth(),
        Some(ca) => builder.with_client_cert_verifier(client_verifier(settings, ca)?),
    };
    let (chain, key) = (files.chain.clone(), files.key.clone_key());
    let mut config = with_pair(builder, settings, chain, key)?;
    config.alpn_protocols = protocols.alpn();
    // Gateways connect seldom and stay. Sessions to resume would be memory that
    // anybody can ask for, and would outlive the client CA that let them in.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(config)
}

fn builder(settings: &TlsConfig) -> Result<ConfigBuilder<ServerConfig, WantsVerifier>, TlsError> {
    ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| settings_error(settings, &error))
}

fn with_pair(
    builder: ConfigBuilder<ServerConfig, WantsServerCert>,
    settings: &TlsConfig,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<ServerConfig, TlsError> {
    builder
        .with_single_cert(chain, key)
        .map_err(|error| settings_error(settings, &error))
}

/// Takes clients that `ca` signed, and those that show nothing if they may.
fn client_verifier(
    settings: &TlsConfig,
    ca: &ClientCa,
) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let path = &ca.path;
    let mut roots = RootCertStore::empty();
    for certificate in &ca.certificates {
        roots
            .add(certificate.clone())
            .map_err(|error| TlsError::invalid(path, &error))?;
    }
    let provider = Arc::new(ring::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
    let verifier = if settings.client_certificate_required {
        verifier
    } else {
        verifier.allow_unauthenticated()
    };
    verifier
        .build()
        .map_err(|error| TlsError::invalid(path, &error))
}

fn settings_error(settings: &TlsConfig, error: &rustls::Error) -> TlsError {
    if let rustls::Error::InvalidCertificate(_) = error {
        TlsError::invalid(&settings.certificate, error)
    } else if matches!(error, rustls::Error::InconsistentKeys(_)) {
        TlsError::Mismatch {
            certificate: settings.certificate.clone(),
            key: settings.key.clone(),
        }
    } else {
        // What is left is a key of a kind that is not known, or not well made.
        TlsError::invalid(&settings.key, error)
    }
}
