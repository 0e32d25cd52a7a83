//! What is asked of a request: whether its credential has to be looked at, and by
//! which policy.

use std::borrow::Cow;
use std::sync::LazyLock;

use tracing::error;

use crate::domain::policy::Policy;
use crate::domain::text::without_tokens;
use crate::edge::throttle::Throttle;

use super::asked::{Asked, Headers};
use super::decision::Reason;

/// How much of a path is logged, in characters.
const LOGGED: usize = 200;

/// What is asked of a request.
pub(super) enum Ruling<'r> {
    /// A credential that meets this policy.
    Policy(Cow<'r, Policy>),
    /// Nothing: anybody may make it.
    Public,
    /// It does not pass, whatever its credential.
    Denied(Reason),
}

/// What is asked where nobody asks for anything: a good key.
static ANY_KEY: LazyLock<Policy> = LazyLock::new(Policy::default);

/// What the policy that `pairs` write asks of the request `asked`. That it cannot
/// be read is logged, unless that was just before, which `faults` knows.
pub(super) fn rule<'a, 'p>(
    asked: &Asked<'a, impl Headers<'a>>,
    mut pairs: impl Iterator<Item = (&'p str, &'p str)> + Clone,
    faults: &Throttle,
) -> Ruling<'static> {
    let policy = match pairs.clone().next() {
        None => Cow::Borrowed(&*ANY_KEY),
        Some(_) => match Policy::parse(&mut pairs) {
            Ok(policy) => Cow::Owned(policy),
            Err(fault) => return broken(asked, &fault.to_string(), faults),
        },
    };
    if policy.preflights_public && asked.is_preflight() {
        return Ruling::Public;
    }
    Ruling::Policy(policy)
}

/// Nobody knows what is asked of such a request, so it is not let in; and it is
/// the operator who has to be told.
fn broken<'a>(
    asked: &Asked<'a, impl Headers<'a>>,
    fault: &str,
    faults: &Throttle,
) -> Ruling<'static> {
    if let Some(withheld) = faults.pass() {
        // A query can have anything in it, and so can a path.
        let path = asked.path.split(['?', '#']).next().unwrap_or_default();
        let path: String = without_tokens(path).chars().take(LOGGED).collect();
        let host: String = asked.host.chars().take(LOGGED).collect();
        error!(
            %fault,
            ?host,
            ?path,
            withheld,
            "a request was denied with 500, for the policy of its route cannot be read: correct it \
             where the gateway has it, in `context_extensions` or in the URL of its forward-auth"
        );
    }
    Ruling::Denied(Reason::BrokenPolicy)
}
