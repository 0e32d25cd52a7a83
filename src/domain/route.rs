//! Routes: what each request needs, by its method, host and path.
//!
//! The first rule that matches counts, in the order in which they are written.
//! A request that none matches is denied, and so is one whose path or host two
//! servers could read in two ways ([`super::target`]).

mod draft;
mod hosts;
mod methods;
mod shadow;
mod tree;

use thiserror::Error;

use super::policy::Policy;
use super::target::Target;
use super::target::host::HostRefusal;
use super::target::host_template::HostTemplate;
use super::target::path::PathRefusal;
use super::target::path_template::PathTemplate;

use hosts::Hosts;
use tree::{Search, Sought};

pub use draft::RouteDraft;
pub use methods::{Methods, is_method};
pub use shadow::Shadowed;

/// The method of a CORS preflight.
const OPTIONS: &str = "OPTIONS";

/// The most rules of a file.
pub const MAX_ROUTES: usize = 10_000;

/// A rule: what it is for, and what it asks.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Route {
    /// The line of the file that it starts at, from 1.
    pub line: usize,
    /// The methods that it is for.
    pub methods: Methods,
    /// The hosts that it is for; none: all, also none at all.
    pub host: Option<HostTemplate>,
    /// The paths that it is for.
    pub path: PathTemplate,
    /// Whether requests pass without a credential. The policy asks nothing then.
    pub public: bool,
    /// What it asks.
    pub policy: Policy,
}

impl Route {
    /// What it is for, as it is written in `match`: `GET|HEAD /v1/customers/**`.
    #[must_use]
    pub fn pattern(&self) -> String {
        format!("{} {}", self.methods, self.path)
    }
}

/// All rules, ready to be searched; or none, where there is no table.
#[derive(Clone, Debug, Default)]
pub struct RouteTable(Option<Rules>);

#[derive(Clone, Debug)]
struct Rules {
    routes: Vec<Route>,
    hosts: Hosts,
}

/// What a table says of a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RouteFound<'t> {
    /// There is no table: it says nothing of any request.
    NoTable,
    /// No rule matches: the request is to be denied, whatever else is asked.
    NoRoute(NoRoute),
    /// The request may pass without a credential, as this rule says. Where another
    /// policy counts as well (the gateway's, for this route) and asks something,
    /// that is still to be asked: both hold.
    Public(&'t Route),
    /// The request is a CORS preflight, and may pass without a credential, as this
    /// rule says, which is the one for the method that is asked for.
    Preflight(&'t Route),
    /// The request needs what the policy of this rule asks.
    Policy(&'t Route),
}

/// Why there is no rule for a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum NoRoute {
    /// Its method is not in capitals.
    #[error("its method is not of capital letters")]
    Method,
    /// Its host is refused, and there are rules that look at hosts.
    #[error("its host is refused: {0}")]
    Host(HostRefusal),
    /// Its path is refused.
    #[error("its path is refused: {0}")]
    Path(PathRefusal),
    /// But for capital letters, an earlier rule would match, or the only one.
    #[error("its path is that of a rule but for capital letters")]
    Case,
    /// None matches.
    #[error("no rule matches")]
    NoRule,
}

impl RouteTable {
    /// The table of `routes`, the first of which counts for most.
    ///
    /// # Errors
    ///
    /// Each rule that can never match, because earlier ones match whatever it
    /// would.
    pub fn new(routes: Vec<Route>) -> Result<Self, Vec<Shadowed>> {
        let shadowed = shadow::shadowed(&routes);
        if !shadowed.is_empty() {
            return Err(shadowed);
        }
        let hosts = Hosts::new(&routes);
        Ok(Self(Some(Rules { routes, hosts })))
    }

    /// The table without rules, in which no request has one.
    #[must_use]
    pub fn closed() -> Self {
        Self(Some(Rules {
            routes: Vec::new(),
            hosts: Hosts::new(&[]),
        }))
    }

    /// The rules in their order; none, too, if there is no table.
    #[must_use]
    pub fn routes(&self) -> &[Route] {
        self.0.as_ref().map_or(&[], |rules| &rules.routes)
    }

    /// What the table says of a request with `method`, aimed at `target`.
    ///
    /// `preflight_for` is what makes an `OPTIONS` a CORS preflight: the value of
    /// its `Access-Control-Request-Method` header. The caller gives it if that
    /// header and `Origin` are there, each once; for other methods it is not looked
    /// at. A preflight passes if the rule for the method that it asks for says
    /// `preflights = "public"`. Otherwise it is an `OPTIONS` like any other.
    ///
    /// Allocates nothing. What it costs is bounded by the length of the path and the
    /// rules that share its first segments, and not by their number.
    #[must_use]
    pub fn find(
        &self,
        method: &str,
        target: &Target<'_>,
        preflight_for: Option<&str>,
    ) -> RouteFound<'_> {
        let Some(rules) = &self.0 else {
            return RouteFound::NoTable;
        };
        if let Some(asked) = preflight_for.filter(|_| method == OPTIONS)
            && let Ok(route) = rules.find(asked, target)
            && route.policy.preflights_public
        {
            return RouteFound::Preflight(route);
        }
        match rules.find(method, target) {
            Ok(route) if route.public => RouteFound::Public(route),
            Ok(route) => RouteFound::Policy(route),
            Err(why) => RouteFound::NoRoute(why),
        }
    }
}

impl Rules {
    fn find(&self, method: &str, target: &Target<'_>) -> Result<&Route, NoRoute> {
        if !is_method(method) {
            return Err(NoRoute::Method);
        }
        let path = target.path.as_ref().map_err(|why| NoRoute::Path(*why))?;
        let mut search = Search::new(&self.routes, method);
        match &target.host {
            Ok(host) => self.hosts.search(&mut search, Some(host), path),
            // Rules for all hosts alone are for odd ones, too.
            Err(_) if !self.hosts.are_named() => self.hosts.search(&mut search, None, path),
            Err(why) => return Err(NoRoute::Host(*why)),
        }
        match search.outcome() {
            Sought::Found(route) => Ok(route),
            Sought::ButForCase => Err(NoRoute::Case),
            Sought::Nothing => Err(NoRoute::NoRule),
        }
    }
}

#[cfg(test)]
mod tests;
