//! What settings must be together, where each by itself is good.

use std::fs::File;
use std::io::Read;
use std::net::SocketAddr;
use std::path::Path;

use crate::edge::listener::Address;

use super::draft::{ClientCertificate, ListenerDraft};
use super::gather::Gathered;
use super::origin::Problem;
use super::setting::{Kind, Setting};
use super::table::settings;

/// All that does not go together. Where a value is bad, only that is told, and
/// not what may follow from it.
pub(super) fn problems(all: &Gathered) -> Vec<Problem> {
    let http = (!all.draft.http_off).then_some(("http", &all.draft.http));
    let listeners = [("check", &all.draft.check), ("admin", &all.draft.admin)];
    listeners
        .into_iter()
        .chain(http)
        .flat_map(|(section, draft)| {
            let rules = Rules { all, section };
            [
                rules.tls_is_whole(),
                rules.clients_are_asked(draft),
                rules.nothing_crosses_a_network_in_clear(draft),
            ]
        })
        .flatten()
        .chain(addresses_differ(all))
        .chain(headers_differ(all))
        .collect()
}

/// What holds of one listener's settings.
struct Rules<'a> {
    all: &'a Gathered,
    section: &'a str,
}

impl Rules<'_> {
    fn key(&self, name: &str) -> String {
        format!("{}.{name}", self.section)
    }

    fn given(&self, name: &str) -> bool {
        self.all.given(&self.key(name))
    }

    /// A problem of the setting `name`. In `fault`, `{}` stands for the setting
    /// `other`, which is named as the first one is where it was given.
    fn problem(&self, name: &str, fault: &str, other: &str) -> Option<Problem> {
        problem(self.all, &self.key(name), fault, &self.key(other))
    }

    fn tls_is_whole(&self) -> Option<Problem> {
        let (certificate, key) = (self.given("tls.certificate"), self.given("tls.key"));
        let of_clients = ["tls.client_ca", "tls.client_certificate"]
            .into_iter()
            .find(|name| self.given(name));
        match (certificate, key, of_clients) {
            (true, false, _) => self.problem(
                "tls.certificate",
                "is given without its private key: give {} too",
                "tls.key",
            ),
            (false, true, _) => self.problem(
                "tls.key",
                "is given without its certificate: give {} too",
                "tls.certificate",
            ),
            (false, false, Some("tls.client_ca")) => self.problem(
                "tls.client_ca",
                "is given, but the listener does not encrypt: give {} and its key too",
                "tls.certificate",
            ),
            (false, false, _) | (true, true, _) => None,
        }
    }

    fn clients_are_asked(&self, draft: &ListenerDraft) -> Option<Problem> {
        let ca = self.given("tls.client_ca");
        if !self.all.good(&self.key("tls.client_certificate")) {
            return None;
        }
        match draft.client_certificate {
            ClientCertificate::None if ca => self.problem(
                "tls.client_ca",
                "is given, but no client is asked for a certificate: set {} to \"required\" or \"optional\"",
                "tls.client_certificate",
            ),
            ClientCertificate::Optional | ClientCertificate::Required if !ca => self.problem(
                "tls.client_certificate",
                "asks clients for certificates, but nobody is named who signs them: give {}",
                "tls.client_ca",
            ),
            ClientCertificate::None | ClientCertificate::Optional | ClientCertificate::Required => {
                None
            }
        }
    }

    fn nothing_crosses_a_network_in_clear(&self, draft: &ListenerDraft) -> Option<Problem> {
        let encrypts = self.given("tls.certificate") || self.given("tls.key");
        let elsewhere =
            self.all.draft.encrypted_elsewhere || !self.all.good("server.encrypted_elsewhere");
        let open = &draft.listen;
        if open.is_local() || encrypts || elsewhere || !self.all.good(&self.key("listen")) {
            return None;
        }
        let fault = format!(
            "is \"{open}\", which other machines can reach, and tokens would cross the network in clear: give \
             the listener a certificate with {{}}, listen on a loopback address or a unix socket, or say with \
             --encrypted-elsewhere (server.encrypted_elsewhere) that something else encrypts the traffic"
        );
        self.problem("listen", &fault, "tls.certificate")
    }
}

/// Two listeners cannot have one address.
fn addresses_differ(all: &Gathered) -> Vec<Problem> {
    let draft = &all.draft;
    let http = (!draft.http_off).then_some(("http.listen", &draft.http.listen));
    // Metrics hold no tokens, and may leave the machine in clear.
    let metrics = draft.metrics.as_ref().map(|at| ("metrics.listen", at));
    let listeners: Vec<_> = [
        ("check.listen", &draft.check.listen),
        ("admin.listen", &draft.admin.listen),
    ]
    .into_iter()
    .chain(http)
    .chain(metrics)
    .filter(|(key, address)| all.good(key) && !takes_any_port(address))
    .collect();
    let pairs = listeners.iter().enumerate().flat_map(|(number, one)| {
        let before = listeners.iter().take(number);
        before.map(move |other| (one, other))
    });
    pairs
        .filter(|((_, one), (_, other))| one == other)
        .filter_map(|((key, address), (before, _))| {
            let (told, other) = if all.given(key) {
                (key, before)
            } else {
                (before, key)
            };
            let address = address.to_string();
            let fault =
                format!("is {address:?}, as is {{}}: give each listener an address of its own");
            problem(all, told, &fault, other)
        })
        .collect()
}

const fn takes_any_port(address: &Address) -> bool {
    match address {
        Address::Tcp(SocketAddr::V4(address)) => address.port() == 0,
        Address::Tcp(SocketAddr::V6(address)) => address.port() == 0,
        Address::Unix(_) => false,
    }
}

/// One header cannot tell of two things.
fn headers_differ(all: &Gathered) -> Vec<Problem> {
    let is_header = |setting: &&Setting| matches!(setting.kind, Kind::Header(_));
    let named = |setting: &Setting| {
        let effective = all.effective.iter().find(|of| of.key == setting.key)?;
        let name = effective.value.as_ref()?.as_str()?;
        (name != "none").then(|| (setting.key, name.to_owned()))
    };
    let headers: Vec<_> = settings().filter(is_header).filter_map(named).collect();
    let twice = headers
        .iter()
        .enumerate()
        .filter_map(|(place, (key, name))| {
            let (other, _) = headers[..place].iter().find(|(_, other)| other == name)?;
            // What somebody has given is at fault, and not a default.
            let (one, other) = if all.given(key) {
                (key, other)
            } else {
                (other, key)
            };
            let fault = format!("is {name:?}, as is {{}}: give each a header of its own");
            problem(all, one, &fault, other)
        });
    twice.collect()
}

/// The files that cannot be read.
pub(super) fn unreadable_files(all: &Gathered) -> Vec<Problem> {
    settings()
        .filter(|setting| matches!(setting.kind, Kind::File(_)))
        .filter_map(|setting| {
            let effective = all.effective.iter().find(|of| of.key == setting.key)?;
            let path = effective.value.as_ref()?.as_str()?;
            let error = read_some(Path::new(path)).err()?;
            let fault = format!("names {path:?}, which cannot be read: {error}");
            Some(Problem::with(setting, &effective.origin, &fault))
        })
        .collect()
}

/// Reads a byte, so that a folder is found to be no file.
fn read_some(path: &Path) -> std::io::Result<usize> {
    File::open(path)?.read(&mut [0])
}

fn problem(all: &Gathered, key: &str, fault: &str, other: &str) -> Option<Problem> {
    let setting = settings().find(|setting| setting.key == key)?;
    let origin = all.origin(key);
    let other = settings().find(|setting| setting.key == other)?;
    let fault = fault.replace("{}", &origin.name_of(other));
    Some(Problem::with(setting, &origin, &fault))
}
