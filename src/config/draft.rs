//! The settings as they were read one by one, before it is known whether they
//! go together.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use http::HeaderName;
use ipnet::IpNet;

use crate::domain::usage::UsageRule;
use crate::edge::listener::Address;

use super::gateway::GatewayConfig;
use super::listener::{ConnectionLimits, HttpConfig, ListenerConfig, SourceConfig, TlsConfig};

/// One field for each setting. What a new one holds counts for nothing: each
/// field is written by its setting's default first.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(super) struct Draft {
    pub(super) data_dir: PathBuf,
    /// None: in the data folder.
    pub(super) guard_dir: Option<PathBuf>,
    pub(super) lost_grace: Duration,
    pub(super) key_retention: Duration,
    pub(super) usage: UsageRule,
    pub(super) usage_write_interval: Duration,
    pub(super) check: ListenerDraft,
    pub(super) admin: ListenerDraft,
    pub(super) http: ListenerDraft,
    /// Nobody asks over plain HTTP.
    pub(super) http_off: bool,
    pub(super) trusted_gateways: Vec<IpNet>,
    pub(super) source_header: Option<HeaderName>,
    /// None: where `http` is.
    pub(super) metrics: Option<Address>,
    pub(super) gateway: GatewayConfig,
    /// None: there is no table.
    pub(super) routes: Option<PathBuf>,
    /// None: one per core.
    pub(super) threads: Option<NonZeroUsize>,
    pub(super) encrypted_elsewhere: bool,
    pub(super) reflection: bool,
    pub(super) drain_timeout: Duration,
    pub(super) log_as_json: bool,
    pub(super) log_filter: String,
}

impl Draft {
    /// The http listener, unless it is off, once it is known that its settings
    /// go together.
    pub(super) fn http(&self) -> Option<HttpConfig> {
        let header = self.source_header.clone().filter(|_| !self.http_off)?;
        Some(HttpConfig {
            listener: self.http.config(),
            sources: SourceConfig {
                trusted: self.trusted_gateways.clone(),
                header,
            },
        })
    }
}

/// One field for each setting of a listener.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct ListenerDraft {
    pub(super) listen: Address,
    pub(super) certificate: Option<PathBuf>,
    pub(super) key: Option<PathBuf>,
    pub(super) client_ca: Option<PathBuf>,
    pub(super) client_certificate: ClientCertificate,
    pub(super) limits: ConnectionLimits,
}

impl Default for ListenerDraft {
    fn default() -> Self {
        Self {
            listen: Address::default(),
            certificate: None,
            key: None,
            client_ca: None,
            client_certificate: ClientCertificate::None,
            limits: ConnectionLimits::default(),
        }
    }
}

impl ListenerDraft {
    /// The listener, once it is known that its settings go together.
    pub(super) fn config(&self) -> ListenerConfig {
        let files = self.certificate.clone().zip(self.key.clone());
        ListenerConfig {
            listen: self.listen.clone(),
            tls: files.map(|(certificate, key)| TlsConfig {
                certificate,
                key,
                client_ca: self.client_ca.clone(),
                client_certificate_required: self.client_certificate == ClientCertificate::Required,
            }),
            limits: self.limits,
        }
    }
}

/// What a listener asks of its clients when they shake hands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum ClientCertificate {
    /// Nothing.
    None,
    /// A certificate, if they have one.
    Optional,
    /// A certificate.
    Required,
}
