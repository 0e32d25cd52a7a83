//! What a gateway is to do with a request, whatever it speaks.

use http::{HeaderName, StatusCode};

use crate::domain::verdict::{DenialReason, Verdict};
use crate::edge::answer;
use crate::metrics::checks::Decided;

use super::identity::Identity;

/// A header: its name, and a value of visible ASCII and spaces.
pub(in crate::edge) type Header = (HeaderName, String);

/// What to do with a request.
#[derive(Debug)]
pub(in crate::edge) enum Decision {
    /// Pass it on.
    Allowed(Allowed),
    /// Answer the client.
    Denied(Denied),
    /// There is no verdict. This is no denial: what to do is the gateway's own
    /// policy for a check that failed.
    Undecided(Undecided),
}

impl Decision {
    /// What it is counted as; none: nothing was decided.
    pub(in crate::edge) fn counted(&self) -> Option<Decided> {
        match self {
            Self::Allowed(allowed) if allowed.identity.is_none() => Some(Decided::Public),
            Self::Allowed(_) => Some(Verdict::Allowed.into()),
            Self::Denied(denied) => Some(match denied.reason {
                Reason::Verdict(reason) => Verdict::Denied(reason).into(),
                Reason::NoRoute => Decided::NoRoute,
                Reason::BrokenPolicy => Decided::BrokenPolicy,
                Reason::TooLarge => Decided::TooLarge,
            }),
            Self::Undecided(_) => None,
        }
    }
}

/// How to pass a request on.
#[derive(Debug)]
pub(in crate::edge) struct Allowed {
    /// Headers for the upstream. Each takes the place of all that the client has
    /// sent by that name.
    pub(in crate::edge) set: Vec<Header>,
    /// Headers that the upstream must not see: those of identities that are not
    /// set, and the credential's. None of them is in `set`, and none is there
    /// twice.
    pub(in crate::edge) remove: Vec<HeaderName>,
    /// Headers for the client, beside those of the upstream's answer.
    pub(in crate::edge) respond: Vec<Header>,
    /// Who it is; none: nobody had to say.
    pub(in crate::edge) identity: Option<Identity>,
}

/// How to answer a request that may not pass.
#[derive(Debug)]
pub(in crate::edge) struct Denied {
    /// Why, for logs.
    pub(in crate::edge) reason: Reason,
    /// More of why, for logs, where there is more to say.
    pub(in crate::edge) detail: Option<String>,
    /// The status of the answer.
    pub(in crate::edge) status: StatusCode,
    /// Its headers.
    pub(in crate::edge) headers: Vec<Header>,
    /// Its body.
    pub(in crate::edge) body: &'static str,
    /// Which key it was, for logs and never for the client; none: none was found.
    pub(in crate::edge) key: Option<DeniedKey>,
}

/// A key that was denied.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(in crate::edge) struct DeniedKey {
    /// Its id.
    pub(in crate::edge) id: String,
    /// What may be displayed of its token.
    pub(in crate::edge) hint: String,
}

/// How to answer a request of which nothing is known, if the gateway's policy is
/// to answer it.
#[derive(Debug)]
pub(in crate::edge) struct Undecided {
    /// The status of the answer.
    pub(in crate::edge) status: StatusCode,
    /// Its headers.
    pub(in crate::edge) headers: Vec<Header>,
    /// Its body.
    pub(in crate::edge) body: &'static str,
}

/// Why a request is denied.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::edge) enum Reason {
    /// This is the verdict on its credential.
    Verdict(DenialReason),
    /// There is a table of routes, and none matches it.
    NoRoute,
    /// The policy that its route has cannot be read, so what is asked of it is not
    /// known.
    BrokenPolicy,
    /// It is too large to be looked at.
    TooLarge,
}

impl Reason {
    /// Its name, as in `INSUFFICIENT_SCOPE`.
    pub(in crate::edge) fn name(self) -> &'static str {
        match self {
            Self::Verdict(reason) => answer::reason_name(reason),
            Self::NoRoute => "NO_ROUTE",
            Self::BrokenPolicy => "BROKEN_POLICY",
            Self::TooLarge => "TOO_LARGE",
        }
    }

    /// The status of the answer to the client.
    pub(in crate::edge) fn status(self) -> StatusCode {
        match self {
            Self::Verdict(reason) => StatusCode::from_u16(reason.http_status())
                .unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
            Self::NoRoute => StatusCode::FORBIDDEN,
            Self::BrokenPolicy => StatusCode::INTERNAL_SERVER_ERROR,
            Self::TooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
        }
    }
}
