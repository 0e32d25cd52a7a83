//! What gateways are told that do not speak keyward's own API.

use crate::edge::ext_authz::UndecidedAnswer;
use crate::edge::gateway::IdentityHeaders;

/// The settings of what stands behind gateways.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct GatewayConfig {
    /// By which headers upstreams are told who calls.
    pub headers: IdentityHeaders,
    /// What Envoy is answered where there is no verdict.
    pub undecided: UndecidedAnswer,
}
