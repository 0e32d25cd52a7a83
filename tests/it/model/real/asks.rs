//! How gateways ask the real thing, in one of several ways to write the same,
//! and what they are told.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use keyward::domain::clock::Timestamp;
use keyward::domain::credits::CreditsLeft;
use keyward::domain::due::{Demand, Reading as RealReading, Source as RealSource};
use keyward::domain::verdict::{Ask as RealAsk, Verdict as RealVerdict};
use keyward::index::Rotating;
use keyward::service::checker::Outcome;
use keyward::service::credits::until_decided;
use keyward::service::registry::CheckQuestion;
use tokio::time::Instant;

use super::super::slow::World;
use super::super::words::{
    Address, Answer, Ask, Credential, Layer, Left, Range, Reading, Requirement, Source, Told,
    Verdict,
};
use super::Real;
use crate::records::block_on;

/// How long a check waits for credits here: a busy machine is no bug.
const PATIENCE: Duration = Duration::from_secs(60);

impl Real {
    /// Asks as a gateway does.
    pub(in super::super) fn answer(&mut self, ask: &Ask, world: &World) -> Answer {
        let credential = self.credential(ask.credential, world);
        let required: Vec<_> = ask.required.iter().map(as_text).collect();
        let source = match &ask.source {
            Source::Unsaid => None,
            Source::Nonsense(text) => Some((*text).to_owned()),
            Source::Address(address) => Some(self.address(address)),
        };
        let mut demand = Demand {
            cost: ask.cost,
            ..Demand::default()
        };
        ask.limits.iter().for_each(|name| demand.limits.add(name));
        let ask = RealAsk {
            workspace: ask.workspace,
            environment: ask.environment,
            required_scopes: required.iter().map(String::as_str),
            source_address: source.as_deref(),
        };
        let explained = self.explained(&credential, &ask, &demand);
        let check = || {
            let checker = &self.parts().checker;
            checker.check(credential.as_bytes(), &ask, &demand, |outcome| {
                (outcome.verdict, told(outcome))
            })
        };
        let (verdict, answer) = check().unwrap_or_else(|wait| {
            block_on(until_decided(wait, Instant::now() + PATIENCE, check)).unwrap()
        });
        assert_eq!(explained, Some(verdict), "what is explained is the verdict");
        answer
    }

    /// The verdict on a check as it is explained, before it is made.
    fn explained<'a>(
        &self,
        credential: &str,
        ask: &RealAsk<'a, impl Iterator<Item = &'a str> + Clone>,
        demand: &Demand<'_>,
    ) -> Option<RealVerdict> {
        let named = demand.limits.as_slice().iter();
        let question = CheckQuestion {
            credential: credential.to_owned(),
            workspace: ask.workspace.unwrap_or_default().to_owned(),
            environment: ask.environment.unwrap_or_default().to_owned(),
            required_scopes: ask.required_scopes.clone().map(str::to_owned).collect(),
            limits: named.map(|&name| name.to_owned()).collect(),
            cost: demand.cost,
            source_address: ask.source_address.unwrap_or_default().to_owned(),
        };
        let parts = self.parts();
        let explained = block_on(parts.registry.explain_check(&parts.actor, &question));
        explained.unwrap().explanation.verdict
    }

    /// The next of several ways.
    fn turn<const N: usize>(&mut self, ways: [String; N]) -> String {
        self.turn += 1;
        ways.into_iter().nth(self.turn % N).unwrap()
    }

    fn credential(&mut self, credential: Credential, world: &World) -> String {
        match credential {
            Credential::Nothing => self.turn(["", "  "].map(str::to_owned)),
            Credential::Malformed => {
                self.turn(["Bearer", "a b c", "Bearer a, Bearer b"].map(str::to_owned))
            }
            Credential::Mistyped(key) => {
                let token = &world.keys[key].tokens[0].text;
                let (start, end) = token.split_at(token.len() - 1);
                format!("Bearer {start}{}", if end == "0" { "1" } else { "0" })
            }
            Credential::Stranger => format!("Bearer {}", self.stranger.expose()),
            Credential::Admin => format!("Bearer {}", self.owner.expose()),
            Credential::Token(key, token) => {
                let token = &world.keys[key].tokens[token].text;
                let basic = data_encoding::BASE64.encode(format!("{token}:").as_bytes());
                self.turn([
                    token.clone(),
                    format!("Bearer {token}"),
                    format!("api-key {token}"),
                    format!("Basic {basic}"),
                ])
            }
        }
    }

    fn address(&mut self, address: &Address) -> String {
        if address.v4 {
            let address = v4(&address.bits);
            let mapped = address.to_ipv6_mapped();
            return self.turn([
                address.to_string(),
                format!("{address}:443"),
                mapped.to_string(),
                format!("[{mapped}]:443"),
            ]);
        }
        let address = v6(&address.bits);
        self.turn([
            address.to_string(),
            format!("[{address}]"),
            format!("[{address}]:443"),
        ])
    }

    pub(super) fn range(&mut self, range: &Range) -> String {
        let length = range.prefix.len();
        if range.v4 {
            let address = v4(&range.prefix);
            let mapped = format!("{}/{}", address.to_ipv6_mapped(), 96 + length);
            let whole = format!("{address}/{length}");
            let bare = if length == 32 {
                address.to_string()
            } else {
                whole.clone()
            };
            return self.turn([whole, mapped, bare]);
        }
        let address = v6(&range.prefix);
        let bare = if length == 128 {
            ""
        } else {
            &format!("/{length}")
        };
        self.turn([format!("{address}/{length}"), format!("{address}{bare}")])
    }
}

fn told(outcome: Outcome<'_>) -> Answer {
    let key_id = outcome.key.map(|key| key.id().to_string());
    let verdict = match (outcome.verdict, outcome.key.zip(outcome.standing)) {
        (RealVerdict::Denied(reason), _) => Verdict::Denied { reason, key_id },
        (RealVerdict::Allowed, None) => panic!("nobody is allowed"),
        (RealVerdict::Allowed, Some((key, standing))) => {
            let scopes = standing.scopes.scopes();
            Verdict::Allowed(Told {
                key_id: key_id.unwrap_or_default(),
                workspace: standing.workspace.to_owned(),
                environment: standing.environment.to_owned(),
                scopes: scopes.iter().map(ToString::to_string).collect(),
                end: key.expire_time().map(Timestamp::as_micros),
                superseded: outcome.rotating.map(Rotating::superseded),
            })
        }
    };
    let mut limits: Vec<_> = outcome.limits.iter().map(Reading::from).collect();
    limits.sort_by(|one, other| one.name.cmp(&other.name));
    Answer {
        verdict,
        limits,
        credits: outcome.credits.map(Left::from),
    }
}

impl From<&RealReading> for Reading {
    fn from(reading: &RealReading) -> Self {
        Self {
            name: reading.limit.name.to_string(),
            layer: match reading.source {
                RealSource::Key => Layer::Key,
                RealSource::Principal => Layer::Principal,
                RealSource::Workspace => Layer::Workspace,
            },
            count: reading.limit.count,
            window: u64::from(reading.limit.window.as_secs()) * 1_000_000,
            remaining: reading.remaining,
            denied: reading.denied,
        }
    }
}

impl From<CreditsLeft> for Left {
    fn from(left: CreditsLeft) -> Self {
        Self {
            remaining: left.remaining,
            turn: left.refill_time.map(Timestamp::as_micros),
            retry: left
                .retry_delay
                .map(|delay| u64::try_from(delay.as_micros()).unwrap()),
        }
    }
}

fn as_text(requirement: &Requirement) -> String {
    match requirement {
        Requirement::AnyOf(scopes) => scopes.join("|"),
        Requirement::IllFormed(text) => (*text).to_owned(),
    }
}

/// The address whose first bits these are, and the others zeros.
fn v4(bits: &str) -> Ipv4Addr {
    Ipv4Addr::from_bits(u32::from_str_radix(&format!("{bits:0<32}"), 2).unwrap())
}

fn v6(bits: &str) -> Ipv6Addr {
    Ipv6Addr::from_bits(u128::from_str_radix(&format!("{bits:0<128}"), 2).unwrap())
}
