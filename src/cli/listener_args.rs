//! The flags of the two listeners, beside their addresses.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use crate::config::listener::{ConnectionLimits, ListenerConfig, TlsConfig};
use crate::edge::listener::Address;

/// Whether clients show certificates.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum ClientCertificate {
    /// They are not asked
    None,
    /// They are asked, and let in without
    Optional,
    /// They are not let in without
    Required,
}

macro_rules! listener_args {
    ($name:ident, $flag:literal, $variable:literal) => {
        /// One listener's flags.
        #[derive(Args, Debug)]
        pub(super) struct $name {
            #[arg(id = concat!($flag, "-tls-certificate"), long = concat!($flag, "-tls-certificate"), env = concat!($variable, "_TLS_CERTIFICATE"), hide = true)]
            tls_certificate: Option<PathBuf>,
            #[arg(id = concat!($flag, "-tls-key"), long = concat!($flag, "-tls-key"), env = concat!($variable, "_TLS_KEY"), hide = true)]
            tls_key: Option<PathBuf>,
            #[arg(id = concat!($flag, "-tls-client-ca"), long = concat!($flag, "-tls-client-ca"), env = concat!($variable, "_TLS_CLIENT_CA"), hide = true)]
            tls_client_ca: Option<PathBuf>,
            #[arg(id = concat!($flag, "-tls-client-certificate"), long = concat!($flag, "-tls-client-certificate"), env = concat!($variable, "_TLS_CLIENT_CERTIFICATE"), hide = true)]
            tls_client_certificate: Option<ClientCertificate>,
            #[arg(id = concat!($flag, "-max-connections"), long = concat!($flag, "-max-connections"), env = concat!($variable, "_MAX_CONNECTIONS"), hide = true)]
            max_connections: Option<usize>,
            #[arg(id = concat!($flag, "-max-calls"), long = concat!($flag, "-max-calls"), env = concat!($variable, "_MAX_CALLS"), hide = true)]
            max_calls: Option<usize>,
            #[arg(id = concat!($flag, "-max-streams"), long = concat!($flag, "-max-streams"), env = concat!($variable, "_MAX_STREAMS"), hide = true)]
            max_streams: Option<u32>,
            #[arg(id = concat!($flag, "-max-connection-age"), long = concat!($flag, "-max-connection-age"), env = concat!($variable, "_MAX_CONNECTION_AGE"), hide = true, value_parser = humantime::parse_duration)]
            max_connection_age: Option<Duration>,
            #[arg(id = concat!($flag, "-max-connection-age-grace"), long = concat!($flag, "-max-connection-age-grace"), env = concat!($variable, "_MAX_CONNECTION_AGE_GRACE"), hide = true, value_parser = humantime::parse_duration)]
            max_connection_age_grace: Option<Duration>,
            #[arg(id = concat!($flag, "-keepalive-interval"), long = concat!($flag, "-keepalive-interval"), env = concat!($variable, "_KEEPALIVE_INTERVAL"), hide = true, value_parser = humantime::parse_duration)]
            keepalive_interval: Option<Duration>,
            #[arg(id = concat!($flag, "-keepalive-timeout"), long = concat!($flag, "-keepalive-timeout"), env = concat!($variable, "_KEEPALIVE_TIMEOUT"), hide = true, value_parser = humantime::parse_duration)]
            keepalive_timeout: Option<Duration>,
            #[arg(id = concat!($flag, "-receive-timeout"), long = concat!($flag, "-receive-timeout"), env = concat!($variable, "_RECEIVE_TIMEOUT"), hide = true, value_parser = humantime::parse_duration)]
            receive_timeout: Option<Duration>,
        }

        impl $name {
            /// The listener's settings.
            pub(super) fn config(&self, listen: Address) -> Result<ListenerConfig, String> {
                let tls = match (&self.tls_certificate, &self.tls_key) {
                    (None, None) => None,
                    (Some(certificate), Some(key)) => {
                        let mode = self.tls_client_certificate.unwrap_or(
                            if self.tls_client_ca.is_some() {
                                ClientCertificate::Required
                            } else {
                                ClientCertificate::None
                            },
                        );
                        let asked = mode != ClientCertificate::None;
                        if asked && self.tls_client_ca.is_none() {
                            return Err(format!(
                                "client certificates are asked for: name who signs them with --{}-tls-client-ca", $flag
                            ));
                        }
                        Some(TlsConfig {
                            certificate: certificate.clone(),
                            key: key.clone(),
                            client_ca: self.tls_client_ca.clone().filter(|_| asked),
                            client_certificate_required: mode == ClientCertificate::Required,
                        })
                    }
                    _ => return Err(format!(
                        "TLS needs both --{0}-tls-certificate and --{0}-tls-key", $flag
                    )),
                };
                let usual = ConnectionLimits::default();
                let limits = ConnectionLimits {
                    max_connections: self.max_connections.unwrap_or(usual.max_connections),
                    max_calls: self.max_calls.unwrap_or(usual.max_calls),
                    max_streams: self.max_streams.unwrap_or(usual.max_streams),
                    max_connection_age: self.max_connection_age,
                    max_connection_age_grace: self
                        .max_connection_age_grace
                        .unwrap_or(usual.max_connection_age_grace),
                    keepalive_interval: self.keepalive_interval.unwrap_or(usual.keepalive_interval),
                    keepalive_timeout: self.keepalive_timeout.unwrap_or(usual.keepalive_timeout),
                    receive_timeout: self.receive_timeout.unwrap_or(usual.receive_timeout),
                };
                Ok(ListenerConfig { listen, tls, limits })
            }
        }
    };
}

listener_args!(CheckArgs, "check", "KEYWARD_CHECK");
listener_args!(AdminArgs, "admin", "KEYWARD_ADMIN");
