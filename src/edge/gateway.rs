//! Stands behind gateways that do not speak keyward's own API: what all of them
//! ask and are told, whatever the way in which they do it.
//!
//! A request and the policy of its route come in, and what to do with the request
//! comes out. The credential is found among the headers, judged as every check is,
//! and taken off; the identity is put on, so that no client can write its own.

mod asked;
mod counts;
mod credential;
mod decision;
mod denial;
mod identity;
mod rate_limit;
mod ruling;

use std::sync::Arc;
use std::time::Duration;

use http::HeaderName;
use tokio::time::Instant;

use crate::domain::due::{Demand, Named, USUAL_COST};
use crate::domain::policy::Policy;
use crate::domain::route::RouteTable;
use crate::domain::target::Target;
use crate::domain::verdict::{Ask, DenialReason, Verdict};
use crate::metrics::checks::{Asked as Came, Cause, CheckCounts, Interface};
use crate::service::checker::{Checker, Outcome};
use crate::service::credits::{PATIENCE, Wait, until_decided};

use super::throttle::Throttle;

use counts::GatewayCounts;
use denial::Circumstances;
use ruling::Ruling;

pub(super) use identity::Identity;

pub use identity::IdentityHeaders;

pub(super) use asked::{Asked, Found, Headers, text};
pub(super) use decision::{Allowed, Decision, Denied, DeniedKey, Header, Reason, Undecided};

/// Decides for gateways. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Gateway {
    checker: Checker,
    headers: Arc<IdentityHeaders>,
    routes: Arc<RouteTable>,
    /// Of policies.
    faults: Arc<Throttle>,
    counts: GatewayCounts,
}

impl Gateway {
    /// Decides by `checker`, and tells of identities by `headers`.
    #[must_use]
    pub fn new(checker: Checker, headers: IdentityHeaders) -> Self {
        Self {
            checker,
            headers: Arc::new(headers),
            routes: Arc::default(),
            faults: Arc::default(),
            counts: GatewayCounts::default(),
        }
    }

    /// The same, that counts its decisions with `counts`, as those of
    /// `interface`.
    #[must_use]
    pub fn counting(self, counts: CheckCounts, interface: Interface) -> Self {
        let counts = GatewayCounts { counts, interface };
        Self { counts, ..self }
    }

    /// The same for another thread.
    #[must_use]
    pub(super) fn for_thread(&self) -> Self {
        Self {
            counts: self.counts.for_thread(),
            ..self.clone()
        }
    }

    /// Where its decisions are counted.
    pub(super) const fn counts(&self) -> &GatewayCounts {
        &self.counts
    }

    /// The same, where `routes` says what is asked of each request, beside what
    /// gateways say.
    #[must_use]
    pub fn routing(self, routes: Arc<RouteTable>) -> Self {
        Self { routes, ..self }
    }

    /// What to do with the request `asked`, on whose route the gateway's own
    /// configuration has put the policy that `pairs` write. Waits for credits,
    /// where a key has to.
    pub(super) async fn decide<'a, 'p>(
        &self,
        asked: &Asked<'a, impl Headers<'a>>,
        pairs: impl Iterator<Item = (&'p str, &'p str)> + Clone,
    ) -> Decision {
        let came = Came::now();
        let decision = match self.decide_now(asked, pairs.clone()) {
            Ok(decision) => decision,
            Err(wait) => self.decide_after(wait, PATIENCE, asked, pairs).await,
        };
        self.counts.answered(came);
        decision
    }

    /// The same, for who was told by [`Self::decide_now`] to wait, and does so for
    /// as long as `patience` at most.
    pub(super) async fn decide_after<'a, 'p>(
        &self,
        wait: Wait,
        patience: Duration,
        asked: &Asked<'a, impl Headers<'a>>,
        pairs: impl Iterator<Item = (&'p str, &'p str)> + Clone,
    ) -> Decision {
        let open = self.counts.open();
        let again = || self.try_now(asked, pairs.clone());
        let decided = until_decided(wait, Instant::now() + patience, again).await;
        let decision =
            decided.unwrap_or_else(|_| Decision::Undecided(denial::undecided(asked.is_grpc())));
        match decision.counted() {
            Some(decided) => open.decided(decided),
            None => open.undecided(Cause::CreditsUnavailable),
        }
        decision
    }

    /// The same, but for waiting.
    ///
    /// # Errors
    ///
    /// [`Wait`], if the key may have the credits that it takes, but not in hand:
    /// nothing is spent then.
    pub(super) fn decide_now<'a, 'p>(
        &self,
        asked: &Asked<'a, impl Headers<'a>>,
        pairs: impl Iterator<Item = (&'p str, &'p str)> + Clone,
    ) -> Result<Decision, Wait> {
        let decision = self.try_now(asked, pairs)?;
        self.counts.decided(&decision);
        Ok(decision)
    }

    fn try_now<'a, 'p>(
        &self,
        asked: &Asked<'a, impl Headers<'a>>,
        pairs: impl Iterator<Item = (&'p str, &'p str)> + Clone,
    ) -> Result<Decision, Wait> {
        let target = Target::read(asked.host, asked.path);
        match ruling::rule(asked, &target, pairs, &self.routes) {
            Ruling::Policy(policy) => self.judge(asked, &target, &policy),
            Ruling::Public(credentials) => Ok(self.public(asked, &credentials)),
            Ruling::NoRoute(why) => {
                let denied = refused(Reason::NoRoute, asked.is_grpc());
                Ok(Decision::Denied(Denied {
                    detail: Some(why.to_string()),
                    ..denied
                }))
            }
            Ruling::Broken(fault) => {
                ruling::tell(&fault, asked, &self.faults);
                let denied = refused(Reason::BrokenPolicy, asked.is_grpc());
                Ok(Decision::Denied(denied))
            }
        }
    }

    /// The decision on a request of which it cannot be told what is asked: it is
    /// `fault`, which is logged as that of a policy is.
    pub(super) fn broken<'a>(&self, asked: &Asked<'a, impl Headers<'a>>, fault: &str) -> Decision {
        ruling::tell(fault, asked, &self.faults);
        self.misled(asked)
    }

    /// The same, where the fault has been logged.
    pub(super) fn misled<'a>(&self, asked: &Asked<'a, impl Headers<'a>>) -> Decision {
        let decision = Decision::Denied(refused(Reason::BrokenPolicy, asked.is_grpc()));
        self.counts.decided(&decision);
        decision
    }

    /// The decision on a request that is too large to be looked at.
    pub(super) fn too_large(&self) -> Decision {
        let decision = Decision::Denied(refused(Reason::TooLarge, false));
        self.counts.decided(&decision);
        decision
    }

    /// The decision on a request that anybody may make. Nobody is told of, also
    /// not by a header that the client has sent; and clients that send their key
    /// everywhere do not hand it to an upstream, by one of the headers that are
    /// named `credentials`.
    fn public<'a>(
        &self,
        asked: &Asked<'a, impl Headers<'a>>,
        credentials: &[Box<str>],
    ) -> Decision {
        let names = credentials.iter().map(AsRef::as_ref);
        let found = credential::with_tokens(asked.headers, names);
        Decision::Allowed(Allowed {
            set: Vec::new(),
            remove: self.removed(&[], found),
            respond: Vec::new(),
            identity: None,
        })
    }

    /// The decision on a request whose credential has to be good.
    fn judge<'a>(
        &self,
        asked: &Asked<'a, impl Headers<'a>>,
        target: &Target<'a>,
        policy: &Policy,
    ) -> Result<Decision, Wait> {
        let credential = credential::select(asked.headers, credential_headers(policy));
        let workspace = policy.select(target, |name| asked.headers.find(name).one());
        let ask = Ask {
            workspace: workspace.asked(),
            environment: policy.environment.as_deref(),
            required_scopes: policy.required_scopes.iter().map(AsRef::as_ref),
            source_address: asked.source_address,
        };
        let mut limits = Named::default();
        policy
            .limits
            .iter()
            .for_each(|name| limits.add(name.as_str()));
        let demand = Demand {
            limits,
            cost: policy.cost.unwrap_or(USUAL_COST),
        };
        let grpc = asked.is_grpc();
        self.checker
            .check(credential, &ask, &demand, |outcome| match outcome.verdict {
                Verdict::Allowed => self.allowed(&outcome, policy, grpc),
                Verdict::Denied(reason) => denied(reason, &outcome, policy, grpc),
            })
    }

    fn allowed(&self, outcome: &Outcome<'_>, policy: &Policy, grpc: bool) -> Decision {
        // It cannot be that nobody is allowed; if it were, it would not pass.
        let Some(identity) = Identity::of(outcome) else {
            return denied(DenialReason::Unknown, outcome, policy, grpc);
        };
        let set = identity.headers(&self.headers);
        Decision::Allowed(Allowed {
            remove: self.removed(&set, credential_headers(policy)),
            set,
            respond: rate_limit::headers(outcome.limits.iter()),
            identity: Some(identity),
        })
    }

    /// The headers that are taken off where these are `set`, and credentials are
    /// in those that are named `credentials`.
    fn removed<'n>(
        &self,
        set: &[Header],
        credentials: impl Iterator<Item = &'n str>,
    ) -> Vec<HeaderName> {
        let credentials =
            credentials.filter_map(|name| HeaderName::from_bytes(name.as_bytes()).ok());
        let mut remove: Vec<HeaderName> = Vec::new();
        for name in self.headers.all().cloned().chain(credentials) {
            if !remove.contains(&name) && set.iter().all(|(set, _)| *set != name) {
                remove.push(name);
            }
        }
        remove
    }
}

/// The decision on a request that is not looked at any further.
fn refused(reason: Reason, grpc: bool) -> Denied {
    let circumstances = Circumstances {
        grpc,
        ..Circumstances::default()
    };
    denial::denied(reason, None, &circumstances)
}

fn denied(reason: DenialReason, outcome: &Outcome<'_>, policy: &Policy, grpc: bool) -> Decision {
    let key = outcome.key.map(|key| DeniedKey {
        id: key.id().to_string(),
        hint: key.hint(),
    });
    let circumstances = Circumstances {
        grpc,
        required_scopes: &policy.required_scopes,
        limits: outcome.limits,
        credits: outcome.credits,
    };
    let reason = Reason::Verdict(reason);
    Decision::Denied(denial::denied(reason, key, &circumstances))
}

/// The names of the headers that may hold the credential.
fn credential_headers(policy: &Policy) -> impl Iterator<Item = &str> {
    let named = policy.credential_headers.as_deref();
    let usual = named.is_none().then_some(credential::USUAL);
    named
        .unwrap_or_default()
        .iter()
        .map(AsRef::as_ref)
        .chain(usual)
}
