//! When a certificate expires, and when that is soon.

use std::fmt;
use std::time::Duration;

use x509_cert::Certificate;
use x509_cert::der::Decode;

use crate::domain::clock::Timestamp;

/// How long before a certificate expires it is worth a warning: time for
/// somebody to come back from a holiday.
const SOON: Duration = Duration::from_secs(14 * 24 * 60 * 60);

/// The moment at which a certificate expires.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Expiry(Timestamp);

impl Expiry {
    /// Of a certificate in DER; none if that is not one.
    pub(super) fn of(certificate: &[u8]) -> Option<Self> {
        let certificate = Certificate::from_der(certificate).ok()?;
        let not_after = certificate.tbs_certificate().validity().not_after;
        let micros = u64::try_from(not_after.to_unix_duration().as_micros()).ok()?;
        Some(Self(Timestamp::from_micros(micros)))
    }

    /// Whether it is past.
    pub(super) const fn is_over(self, now: Timestamp) -> bool {
        self.left(now).is_zero()
    }

    /// Whether it is less than two weeks away.
    pub(super) fn is_near(self, now: Timestamp) -> bool {
        self.left(now) < SOON
    }

    const fn left(self, now: Timestamp) -> Duration {
        Duration::from_micros(self.0.as_micros().saturating_sub(now.as_micros()))
    }
}

impl fmt::Display for Expiry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_weeks_are_soon() {
        let at = |days: u64| Timestamp::from_micros(days * 24 * 60 * 60 * 1_000_000);
        let expiry = Expiry(at(100));
        for (days, near, over) in [
            (0, false, false),
            (86, false, false),
            (87, true, false),
            (99, true, false),
            (100, true, true),
            (101, true, true),
        ] {
            assert_eq!(expiry.is_near(at(days)), near, "{days}");
            assert_eq!(expiry.is_over(at(days)), over, "{days}");
        }
        assert_eq!(expiry.to_string(), "1970-04-11T00:00:00Z");
    }

    #[test]
    fn it_is_read_from_a_certificate() {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(["localhost".to_owned()]).unwrap();
        params.not_after = rcgen::date_time_ymd(2031, 2, 3);
        let certificate = params.self_signed(&key).unwrap();
        let expiry = Expiry::of(certificate.der()).unwrap();
        assert_eq!(expiry.to_string(), "2031-02-03T00:00:00Z");
        assert_eq!(Expiry::of(b"no certificate"), None);
    }
}
