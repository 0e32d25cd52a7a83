//! What is asked of a request: whether its credential has to be looked at, and by
//! which policy. The gateway's configuration can say so, and the table of routes;
//! where both do, both hold.

use std::borrow::Cow;
use std::sync::LazyLock;

use tracing::error;

use crate::domain::policy::Policy;
use crate::domain::route::{NoRoute, RouteFound, RouteTable};
use crate::domain::target::Target;
use crate::domain::text::without_tokens;
use crate::edge::throttle::Throttle;

use super::asked::{Asked, Headers};
use super::credential;

/// How much of a host or path is logged, in characters.
const LOGGED: usize = 200;

/// How much of what is wrong with a policy is logged, in characters.
const LOGGED_FAULT: usize = 600;

/// What is asked of a request.
pub(super) enum Ruling<'r> {
    /// A credential that meets this policy.
    Policy(Cow<'r, Policy>),
    /// Nothing: anybody may make it. The headers of these names, in lower case,
    /// are those that could hold a credential.
    Public(Vec<Box<str>>),
    /// There is a table of routes, and it has none for the request.
    NoRoute(NoRoute),
    /// Nobody knows, and this is why.
    Broken(String),
}

/// What is asked where nobody asks for anything: a good key.
static ANY_KEY: LazyLock<Policy> = LazyLock::new(Policy::default);

/// What is asked of the request `asked`, which is aimed at `target`: by the policy
/// that `pairs` write, which the gateway has for it, and by `routes`.
pub(super) fn rule<'a, 'p, 'r>(
    asked: &Asked<'a, impl Headers<'a>>,
    target: &Target<'a>,
    pairs: impl Iterator<Item = (&'p str, &'p str)> + Clone,
    routes: &'r RouteTable,
) -> Ruling<'r> {
    let given = match pairs.clone().next().map(|_| Policy::parse(pairs)) {
        None => None,
        Some(Ok(policy)) => Some(policy),
        Some(Err(fault)) => return Ruling::Broken(fault.to_string()),
    };
    let preflight_for = asked.preflight_for();
    if let Some(method) = preflight_for
        && given.as_ref().is_some_and(|given| given.preflights_public)
    {
        // There has to be something to ask about.
        return match routes.find(method, target, None) {
            RouteFound::NoRoute(why) => Ruling::NoRoute(why),
            RouteFound::NoTable => public(given.as_ref(), None),
            RouteFound::Public(route)
            | RouteFound::Preflight(route)
            | RouteFound::Policy(route) => public(given.as_ref(), Some(&route.policy)),
        };
    }
    match (routes.find(asked.method, target, preflight_for), given) {
        (RouteFound::NoRoute(why), _) => Ruling::NoRoute(why),
        (RouteFound::Preflight(route), given) => public(given.as_ref(), Some(&route.policy)),
        (RouteFound::Public(_), Some(given)) if asks_something(&given) => {
            Ruling::Policy(Cow::Owned(given))
        }
        (RouteFound::Public(route), given) => public(given.as_ref(), Some(&route.policy)),
        (RouteFound::NoTable, None) => Ruling::Policy(Cow::Borrowed(&*ANY_KEY)),
        (RouteFound::NoTable, Some(given)) => Ruling::Policy(Cow::Owned(given)),
        (RouteFound::Policy(route), None) => Ruling::Policy(Cow::Borrowed(&route.policy)),
        (RouteFound::Policy(route), Some(given)) => match route.policy.and(&given) {
            Ok(both) => Ruling::Policy(Cow::Owned(both)),
            Err(conflict) => Ruling::Broken(format!(
                "{conflict}; one is of the gateway, the other of the route in line {}",
                route.line
            )),
        },
    }
}

/// Nothing is asked, though these policies count: what either takes for a header
/// of credentials is one.
fn public(given: Option<&Policy>, route: Option<&Policy>) -> Ruling<'static> {
    let mut names: Vec<Box<str>> = Vec::new();
    let policies = [given, route].into_iter().flatten();
    for name in policies.flat_map(|policy| policy.credential_headers.iter().flatten()) {
        if !names.contains(name) {
            names.push(name.clone());
        }
    }
    if names.is_empty() {
        names.push(credential::USUAL.into());
    }
    Ruling::Public(names)
}

/// Whether `policy` says what a credential has to be good for, and not only where
/// it is to be found and of which workspace and environment it has to be: that is
/// said of all that a gateway passes on, and is not meant to close what the table
/// has open.
fn asks_something(policy: &Policy) -> bool {
    let Policy {
        required_scopes,
        limits,
        cost,
        environment: _,
        workspace: _,
        credential_headers: _,
        preflights_public: _,
    } = policy;
    !required_scopes.is_empty() || !limits.is_empty() || cost.is_some()
}

/// Tells the operator of a policy that cannot be held, unless `faults` has let one
/// be told of just before.
pub(super) fn tell<'a>(fault: &str, asked: &Asked<'a, impl Headers<'a>>, faults: &Throttle) {
    let Some(withheld) = faults.pass() else {
        return;
    };
    // A query can have anything in it, and so can a path.
    let path = asked.path.split(['?', '#']).next().unwrap_or_default();
    let (host, path) = (logged(asked.host), logged(path));
    let fault = bounded(fault);
    error!(
        %fault,
        ?host,
        ?path,
        withheld,
        "a request was denied with 500, for what its route asks cannot be read: correct it where the \
         gateway has it, in `context_extensions` or in the URL of its forward-auth"
    );
}

/// What is wrong, as much of it as one can read. It has no token in it.
fn bounded(fault: &str) -> String {
    let mut told: String = fault.chars().take(LOGGED_FAULT).collect();
    if told.len() < fault.len() {
        told.push('\u{2026}');
    }
    told
}

fn logged(text: &str) -> String {
    without_tokens(text).chars().take(LOGGED).collect()
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderName, HeaderValue};

    use super::*;
    use crate::domain::route::RouteDraft;

    fn table() -> RouteTable {
        let route = |pattern, public, policy: &[(&'static str, &'static str)]| {
            let draft = RouteDraft {
                pattern: Some(pattern),
                public,
                policy: policy.to_vec(),
                line: 7,
                ..RouteDraft::default()
            };
            draft.build().unwrap()
        };
        let routes = vec![
            route("GET /health", true, &[]),
            route("GET /v1/**", false, &[("required_scopes", "read")]),
            route("PUT /v1/**", false, &[("preflights", "public")]),
            route("* /test/**", false, &[("environment", "test")]),
        ];
        RouteTable::new(routes).unwrap()
    }

    /// What is asked, in a word or as scopes and limits.
    fn asked_of(
        routes: &RouteTable,
        method: &str,
        path: &str,
        preflight_for: Option<&'static str>,
        pairs: &[(&str, &str)],
    ) -> String {
        let mut headers = HeaderMap::new();
        if let Some(wanted) = preflight_for {
            let name = HeaderName::from_static;
            headers.insert(name("origin"), HeaderValue::from_static("https://app.test"));
            headers.insert(
                name("access-control-request-method"),
                HeaderValue::from_static(wanted),
            );
        }
        let asked = Asked {
            method,
            host: "api.test",
            path,
            headers: &headers,
            source_address: None,
        };
        let target = Target::read(asked.host, asked.path);
        match rule(&asked, &target, pairs.iter().copied(), routes) {
            Ruling::Policy(policy) => {
                let limits = policy.limits.iter().map(|limit| limit.as_str());
                let scopes = policy.required_scopes.iter().map(|scope| &**scope);
                let parts: Vec<_> = scopes.chain(limits).collect();
                format!("[{}]", parts.join(" "))
            }
            Ruling::Public(_) => "public".to_owned(),
            Ruling::NoRoute(_) => "no route".to_owned(),
            Ruling::Broken(fault) => fault,
        }
    }

    #[test]
    fn where_two_ask_both_hold() {
        let (none, some) = (RouteTable::default(), table());
        let bulk: &[(&str, &str)] = &[("limits", "bulk")];
        let by_key: &[(&str, &str)] = &[("credential_headers", "x-api-key")];
        let free: &[(&str, &str)] = &[("preflights", "public")];
        let of_klipy: &[(&str, &str)] = &[("workspace", "klipy"), ("environment", "live")];
        let scoped: &[(&str, &str)] = &[("workspace", "klipy"), ("required_scopes", "read")];
        let priced: &[(&str, &str)] = &[("workspace", "klipy"), ("cost", "2")];
        for (routes, method, path, preflight_for, pairs, expected) in [
            (&none, "GET", "/v1/a", None, &[][..], "[]"),
            (&none, "GET", "/v1/a", None, bulk, "[bulk]"),
            (&none, "OPTIONS", "/v1/a", Some("GET"), bulk, "[bulk]"),
            (&none, "OPTIONS", "/v1/a", Some("GET"), free, "public"),
            (&none, "OPTIONS", "/v1/a", None, free, "[]"),
            (&none, "", "", None, &[], "[]"),
            (&some, "GET", "/v1/a", None, &[], "[read]"),
            (&some, "GET", "/v1/a", None, bulk, "[read bulk]"),
            (&some, "GET", "/v2/a", None, &[], "no route"),
            (&some, "GET", "/v2/a", None, bulk, "no route"),
            (&some, "", "", None, &[], "no route"),
            (&some, "GET", "/health", None, &[], "public"),
            (&some, "GET", "/health", None, by_key, "public"),
            (&some, "GET", "/health", None, free, "public"),
            (&some, "GET", "/health", None, of_klipy, "public"),
            // The gateway may ask for more than the table.
            (&some, "GET", "/health", None, bulk, "[bulk]"),
            (&some, "GET", "/health", None, scoped, "[read]"),
            (&some, "GET", "/health", None, priced, "[]"),
            (&some, "OPTIONS", "/v1/a", Some("PUT"), &[], "public"),
            (&some, "OPTIONS", "/v1/a", Some("PUT"), bulk, "public"),
            (&some, "OPTIONS", "/v1/a", Some("GET"), &[], "no route"),
            (&some, "OPTIONS", "/v1/a", Some("GET"), free, "public"),
            (&some, "OPTIONS", "/v2/a", Some("GET"), free, "no route"),
            (&some, "OPTIONS", "/v1/a", None, free, "no route"),
        ] {
            let found = asked_of(routes, method, path, preflight_for, pairs);
            assert_eq!(
                found, expected,
                "{method} {path} {preflight_for:?} {pairs:?}"
            );
        }
    }

    #[test]
    fn a_fault_is_logged_in_a_few_words() {
        assert_eq!(bounded("cost: is `x`"), "cost: is `x`");
        let told = bounded(&"\u{e9}".repeat(10_000));
        assert_eq!(told.chars().count(), LOGGED_FAULT + 1);
    }

    #[test]
    fn what_cannot_hold_is_told_with_where_it_is() {
        let live = [("environment", "live")];
        let told = asked_of(&table(), "GET", "/test/a", None, &live);
        assert!(
            told.contains("environment test") && told.contains("line 7"),
            "{told}"
        );
        let told = asked_of(&table(), "GET", "/v1/a", None, &[("cost", "much")]);
        assert!(told.contains("cost"), "{told}");
    }
}
