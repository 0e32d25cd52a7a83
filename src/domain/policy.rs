//! What a route asks of whoever calls it. A gateway's operator says so, where
//! clients have no say: in the gateway's own configuration, or in keyward's
//! routes.

use super::limit::LimitName;

/// What a route asks.
///
/// Everything is optional: of two policies that count on one request, both hold.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Policy {
    /// Scope requirements, all of which must hold.
    pub required_scopes: Vec<Box<str>>,
    /// The limits that count besides those that always do.
    pub limits: Vec<LimitName>,
    /// How much a request spends; none: 1.
    pub cost: Option<u32>,
    /// The environment that the request is for; none: the workspace's default.
    pub environment: Option<Box<str>>,
    /// The workspace that the request is for; none: the key's own.
    pub workspace: Option<WorkspaceChoice>,
    /// The names, in lower case, of the headers that may hold the credential;
    /// none: `authorization` alone.
    pub credential_headers: Option<Vec<Box<str>>>,
    /// Whether a CORS preflight passes without a credential.
    pub preflights_public: bool,
}

/// How the workspace that a request is for is selected.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum WorkspaceChoice {
    /// Always this one.
    Fixed(Box<str>),
    /// The value of the header of this name, in lower case.
    Header(Box<str>),
}
