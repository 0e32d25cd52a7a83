//! What is worth a warning of TLS files that can be used, told without a log:
//! for whoever looks at the settings before a server does.

use crate::config::listener::TlsConfig;
use crate::domain::clock::Timestamp;

use super::files;

/// What a server would warn of if it used these files at `now`: nothing, where
/// they cannot be used.
#[must_use]
pub fn warnings(settings: &TlsConfig, now: Timestamp) -> Vec<String> {
    let (certificate, key) = (settings.certificate.display(), settings.key.display());
    let expiry = files::chain(settings).ok().map(|(_, expiry)| expiry);
    let over = expiry.filter(|expiry| expiry.is_over(now));
    let near = expiry.filter(|expiry| expiry.is_near(now) && over.is_none());
    let open = files::is_open_to_all(&settings.key);
    [
        over.map(|at| format!("the TLS certificate {certificate} has expired at {at}: replace it")),
        near.map(|at| {
            format!("the TLS certificate {certificate} expires soon, at {at}: replace it")
        }),
        open.then(|| format!("every user of this machine can read the TLS key {key}: chmod 640")),
    ]
    .into_iter()
    .flatten()
    .collect()
}
