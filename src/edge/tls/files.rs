//! The files of a listener's TLS: read whole, and told apart from what they
//! were before.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::{fmt, fs, io};

use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use thiserror::Error;
use zeroize::Zeroizing;

use crate::config::listener::TlsConfig;

use super::expiry::Expiry;

/// What is wrong with a file of which not even the parts can be told.
const CUT: &str = "it is not PEM, or was cut off";

/// TLS cannot be had with the files that were named.
#[derive(Debug, Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("cannot read the TLS file {}: {error}", path.display())]
    Unreadable {
        /// Which one.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// A file is not what it should be.
    #[error("the TLS file {} cannot be used: {problem}", path.display())]
    Invalid {
        /// Which one.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// Certificate and key are of two pairs.
    #[error(
        "the TLS key {} is not the one of the certificate {}: put both files of one pair there",
        key.display(), certificate.display()
    )]
    Mismatch {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
    },
    /// Clients have to show certificates that nobody can have signed.
    #[error("client certificates are required, but no file names who signs them: name a client CA")]
    NoClientCa,
}

impl TlsError {
    pub(super) fn invalid(path: &Path, problem: &impl fmt::Display) -> Self {
        Self::Invalid {
            path: path.to_owned(),
            problem: problem.to_string(),
        }
    }
}

/// What the files hold.
pub(super) struct Files {
    /// The listener's own certificate first.
    pub(super) chain: Vec<CertificateDer<'static>>,
    pub(super) key: PrivateKeyDer<'static>,
    pub(super) client_ca: Option<ClientCa>,
    /// Of the listener's own certificate.
    pub(super) expiry: Expiry,
}

/// Who signs the certificates of clients.
pub(super) struct ClientCa {
    pub(super) path: PathBuf,
    pub(super) certificates: Vec<CertificateDer<'static>>,
}

impl Files {
    /// Reads all files that `settings` names.
    pub(super) fn read(settings: &TlsConfig) -> Result<Self, TlsError> {
        let (chain, expiry) = chain(settings)?;
        Ok(Self {
            chain,
            expiry,
            key: key(&settings.key)?,
            client_ca: client_ca(settings)?,
        })
    }
}

/// The listener's own certificate with what follows it, and its expiry.
pub(super) fn chain(
    settings: &TlsConfig,
) -> Result<(Vec<CertificateDer<'static>>, Expiry), TlsError> {
    let chain = certificates(&settings.certificate)?;
    let expiry = chain.first().and_then(|own| Expiry::of(own));
    let expiry = expiry.ok_or_else(|| {
        TlsError::invalid(&settings.certificate, &"its first certificate is not one")
    })?;
    Ok((chain, expiry))
}

/// Who signs the certificates of clients, if these are asked for any.
pub(super) fn client_ca(settings: &TlsConfig) -> Result<Option<ClientCa>, TlsError> {
    if settings.client_certificate_required && settings.client_ca.is_none() {
        return Err(TlsError::NoClientCa);
    }
    let read = |path: &PathBuf| {
        Ok(ClientCa {
            certificates: certificates(path)?,
            path: path.clone(),
        })
    };
    settings.client_ca.as_ref().map(read).transpose()
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let pem = read(path)?;
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    match certificates {
        Ok(found) if found.is_empty() => Err(TlsError::invalid(
            path,
            &"there is no certificate in it, as PEM",
        )),
        Ok(found) => Ok(found),
        Err(_) => Err(TlsError::invalid(path, &CUT)),
    }
}

pub(super) fn key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    let text = read(path)?;
    PrivateKeyDer::from_pem_slice(&text).map_err(|error| {
        let problem = if matches!(error, pem::Error::NoItemsFound) {
            "there is no private key in it, as PEM and without a passphrase"
        } else {
            // Nothing of what is there: it may be the key.
            CUT
        };
        TlsError::invalid(path, &problem)
    })
}

fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, TlsError> {
    fs::read(path)
        .map(Zeroizing::new)
        .map_err(|error| TlsError::Unreadable {
            path: path.to_owned(),
            error,
        })
}

/// Whether every user of the machine can read `path`.
pub(super) fn is_open_to_all(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|about| about.permissions().mode() & 0o004 != 0)
}

/// How the files look from outside. Links are followed, so that it changes,
/// too, when a link to a folder is turned to another.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Stamp([Option<Look>; 3]);

/// Device, inode, size, and the times of the last change of content and of
/// anything, in seconds and nanoseconds: nothing sets that last one back.
type Look = (u64, u64, u64, [i64; 4]);

impl Stamp {
    pub(super) fn of(settings: &TlsConfig) -> Self {
        let look = |path: &Path| {
            let about = fs::metadata(path).ok()?;
            let times = [
                about.mtime(),
                about.mtime_nsec(),
                about.ctime(),
                about.ctime_nsec(),
            ];
            Some((about.dev(), about.ino(), about.size(), times))
        };
        Self([
            look(&settings.certificate),
            look(&settings.key),
            settings.client_ca.as_deref().and_then(look),
        ])
    }
}
