//! TLS as a client speaks it: whom to trust, and what to show of oneself.

use std::path::{Path, PathBuf};

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tonic::transport::{Certificate, ClientTlsConfig, Identity};

use super::failure::Failure;

/// What is given for `https://` servers.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Tls {
    /// The authorities that may have signed the server's certificate, in PEM.
    /// `None`: those of the system.
    pub(crate) ca_file: Option<PathBuf>,
    /// The certificate to show to the server, with its chain, in PEM.
    pub(crate) client_cert: Option<PathBuf>,
    /// The private key of that, in PEM.
    pub(crate) client_key: Option<PathBuf>,
    /// The name that the server's certificate has to be for. `None`: the host
    /// of its address.
    pub(crate) server_name: Option<String>,
}

impl Tls {
    /// Reads the files.
    pub(crate) fn config(&self) -> Result<ClientTlsConfig, Failure> {
        let mut config = ClientTlsConfig::new();
        config = match &self.ca_file {
            Some(path) => config.ca_certificate(authority(path)?),
            None => config.with_native_roots(),
        };
        config = match (&self.client_cert, &self.client_key) {
            (Some(cert), Some(key)) => config.identity(Identity::from_pem(
                read("--client-cert", cert)?,
                read("--client-key", key)?,
            )),
            (None, None) => config,
            (Some(_), None) | (None, Some(_)) => {
                return Err(Failure::usage(
                    "--client-cert and --client-key belong together: give both, or neither",
                ));
            }
        };
        Ok(match &self.server_name {
            Some(name) => config.domain_name(name),
            None => config,
        })
    }
}

/// Who may have signed the server's certificate. A file that names nobody would
/// leave nobody to trust, which would look like a fault of the server's.
fn authority(path: &Path) -> Result<Certificate, Failure> {
    let pem = read("--ca-file", path)?;
    match CertificateDer::pem_slice_iter(&pem).next() {
        Some(Ok(_)) => Ok(Certificate::from_pem(pem)),
        Some(Err(_)) | None => Err(Failure::usage(format!(
            "--ca-file {}: there is no certificate in it, as PEM",
            path.display()
        ))),
    }
}

fn read(flag: &str, path: &Path) -> Result<Vec<u8>, Failure> {
    std::fs::read(path)
        .map_err(|error| Failure::usage(format!("{flag} {}: {error}", path.display())))
}

/// What to do about errors of TLS, by words in them.
const ADVICE: [(&[&str], &str); 11] = [
    (
        // The second: another authority of the same name.
        &["UnknownIssuer", "BadSignature"],
        "Name the authority that signed the server's certificate with --ca-file.",
    ),
    (
        &["not valid for name"],
        "If it is the right server, say which name its certificate is for with --server-name.",
    ),
    (
        &["certificate expired"],
        "The server's certificate has to be renewed, or this machine's clock is wrong.",
    ),
    (
        &["CertificateRequired"],
        "The server wants to see a certificate: --client-cert and --client-key.",
    ),
    (
        &["UnknownCA", "DecryptError"],
        "The server does not know who signed the certificate in --client-cert.",
    ),
    (
        &["CertificateExpired"],
        "The certificate in --client-cert has expired: get another, or set the server's clock right.",
    ),
    (
        &["KeyMismatch"],
        "The key in --client-key is not the one of the certificate in --client-cert.",
    ),
    (
        &["corrupt message"],
        "It does not speak TLS there: name it with `http://`.",
    ),
    (
        &["frame with invalid size"],
        "If it speaks TLS there, name it with `https://`.",
    ),
    // A server that turns a client away may be gone before its reason is read.
    (
        &[
            "stream closed because of a broken pipe",
            "Connection reset by peer",
            "tls handshake eof",
        ],
        "The server hung up. Its address has to say whether it speaks TLS there, with `https://` or `http://`; if it wants to see a certificate, give --client-cert and --client-key.",
    ),
    (
        &["no native root CA certificates found"],
        "This machine has no list of authorities: name one with --ca-file.",
    ),
];

/// What to do about an error of TLS, by its words. `None`: it is none.
pub(crate) fn advice(why: &str) -> Option<&'static str> {
    ADVICE
        .iter()
        .find(|(parts, _)| parts.iter().any(|part| why.contains(part)))
        .map(|(_, advice)| *advice)
}

#[cfg(test)]
mod tests {
    use super::super::failure::Exit;
    use super::*;

    #[test]
    fn half_an_identity_and_missing_files_are_told_of() {
        let path = |text: &str| Some(PathBuf::from(text));
        let half = Tls {
            client_cert: path("/nonexistent/cert"),
            ..Tls::default()
        };
        let missing = Tls {
            ca_file: path("/nonexistent/ca"),
            ..Tls::default()
        };
        for (tls, part) in [
            (half, "belong together"),
            (missing, "--ca-file /nonexistent"),
        ] {
            let failure = tls.config().unwrap_err();
            assert_eq!(failure.exit(), Exit::Usage);
            assert!(failure.to_string().contains(part), "{failure}");
        }
    }
}
