//! The real thing: registry, store, index and checker, as a server has them, but
//! for the sockets, the disk and the clock.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use keyward::domain::clock::{Clock, ManualClock, Timestamp};
use keyward::domain::due::Demand;
use keyward::domain::key::RevocationReason;
use keyward::domain::key_draft::{KeyDraft, KeyPatch};
use keyward::domain::limit::LimitDraft;
use keyward::domain::rotation::RotationDraft;
use keyward::domain::secret::End;
use keyward::domain::token::{Token, TokenPrefix};
use keyward::domain::verdict::{Ask as RealAsk, Verdict};
use keyward::domain::window::Moment;
use keyward::domain::workspace::{WorkspaceDraft, WorkspacePatch};
use keyward::index::{Rotating, follower};
use keyward::meter::Meter;
use keyward::meter::clock::{BootClock, ManualBootClock};
use keyward::service::admission::{Actor, Admission};
use keyward::service::bootstrap;
use keyward::service::checker::{Checker, Outcome};
use keyward::service::credits::Reserver;
use keyward::service::error::RegistryError;
use keyward::service::first_use::first_uses;
use keyward::service::registry::{IssuedKey, Registry};
use keyward::store::Store;
use keyward::store::local::MemoryStore;

use crate::records::{block_on, pepper, runtime};

use super::slow::{
    Address, Answer, Ask, Change, Credential, Issued, LIMITS, NewKey, RETENTION, Range,
    Requirement, Source, Told, World,
};

/// How often to look for what is due any moment.
const MANY: usize = 100_000;

pub(super) struct Real {
    clock: Arc<ManualClock>,
    boot_clock: Arc<ManualBootClock>,
    store: Arc<MemoryStore>,
    owner: Token,
    stranger: Token,
    parts: Parts,
    /// How often something was written down in one of several ways: each is
    /// taken in its turn.
    turn: usize,
}

/// What is made anew when the index is.
struct Parts {
    registry: Registry,
    checker: Checker,
    actor: Actor,
}

impl Parts {
    fn load(
        store: &Arc<MemoryStore>,
        (clock, boot_clock): (&Arc<ManualClock>, &Arc<ManualBootClock>),
        owner: &Token,
    ) -> Self {
        let clock: Arc<dyn Clock> = Arc::<ManualClock>::clone(clock);
        let index = follower::start(&**store).unwrap();
        let hasher = pepper().token_hasher();
        let admission = Admission::new(Arc::clone(&index), hasher.clone(), Arc::clone(&clock));
        let shared: Arc<dyn Store> = Arc::<MemoryStore>::clone(store);
        // It ends with the checker that tells it anything.
        let (first_uses, notes) = first_uses(shared, Arc::clone(&index), Arc::clone(&clock));
        runtime().spawn(notes.take());
        let boot_clock: Arc<dyn BootClock> = Arc::<ManualBootClock>::clone(boot_clock);
        let meter = Meter::start(boot_clock).unwrap();
        let reserving: Arc<dyn Store> = Arc::<MemoryStore>::clone(store);
        // No key has credits here.
        let (desk, _) = Reserver::new(reserving, Arc::clone(&index), Arc::clone(&clock));
        let seen = Arc::clone(&index);
        let checker = Checker::new(seen, hasher, Arc::clone(&clock), meter, desk);
        let header = format!("Bearer {}", owner.expose());
        Self {
            actor: admission.authenticate(header.as_bytes()).unwrap(),
            checker: checker.telling(first_uses),
            registry: Registry::new(
                Arc::<MemoryStore>::clone(store),
                index,
                pepper(),
                clock,
                Duration::from_micros(RETENTION),
            ),
        }
    }
}

impl Real {
    /// The workspaces of a new world, and no keys.
    pub(super) fn new(now: u64) -> Self {
        let boot_clock = Arc::new(ManualBootClock::at(Moment::from_micros(now)));
        let now = Timestamp::from_micros(now);
        let clock = Arc::new(ManualClock::at(now));
        let shared: Arc<dyn Clock> = Arc::<ManualClock>::clone(&clock);
        let store = Arc::new(MemoryStore::in_memory(&pepper(), shared).unwrap());
        // It takes changes once it was read.
        store.snapshot().unwrap().for_each(drop);
        let owner = bootstrap::mint_admin_token().unwrap();
        block_on(store.commit(bootstrap::first_owner(&owner, &pepper(), now))).unwrap();
        let parts = Parts::load(&store, (&clock, &boot_clock), &owner);
        for workspace in World::default().workspaces {
            let draft = WorkspaceDraft {
                id: workspace.id.to_owned(),
                token_prefix: "klg".to_owned(),
                environments: owned(workspace.environments),
                ..WorkspaceDraft::default()
            };
            block_on(parts.registry.create_workspace(&parts.actor, draft)).unwrap();
        }
        Self {
            clock,
            boot_clock,
            store,
            owner,
            stranger: Token::mint(&TokenPrefix::try_from("klg").unwrap(), None),
            parts,
            turn: 0,
        }
    }

    /// Makes a change; what was issued, if it was a key.
    pub(super) fn apply(
        &mut self,
        change: &Change,
        world: &World,
    ) -> Result<Option<Issued>, RegistryError> {
        if let Some((key, patch)) = self.patch(change) {
            let id = (world.keys[key].id.as_str(), "");
            block_on(self.parts.registry.update_key(&self.parts.actor, id, patch))?;
        }
        let Parts {
            registry, actor, ..
        } = &self.parts;
        let id = |key: usize| world.keys[key].id.as_str();
        let workspace = |place: usize| (world.workspaces[place].id, "");
        match change {
            Change::CreateKey(new) => return self.create(new, world).map(Some),
            Change::Scopes(..) | Change::Sources(..) | Change::End(..) | Change::Limits(..) => {}
            Change::SwitchKey(key, disabled) => {
                block_on(registry.switch_key(actor, (id(*key), ""), *disabled))?;
            }
            Change::Rotate {
                key,
                overlap,
                from_first_use,
            } => {
                let draft = RotationDraft {
                    overlap: Some(Duration::from_micros(*overlap)),
                    from_first_use: *from_first_use,
                };
                let issued = block_on(registry.rotate_key(actor, (id(*key), ""), draft))?;
                return Ok(Some(Issued::from(issued)));
            }
            Change::Finish(key) => {
                block_on(registry.finish_rotation(actor, (id(*key), "")))?;
            }
            Change::Cancel(key) => {
                block_on(registry.cancel_rotation(actor, (id(*key), "")))?;
            }
            Change::Revoke(key) => {
                let reason = RevocationReason::Unused;
                block_on(registry.revoke_key(actor, id(*key), reason, ""))?;
            }
            Change::Delete(key) => block_on(registry.delete_key(actor, (id(*key), "")))?,
            Change::SwitchWorkspace(place, disabled) => {
                block_on(registry.switch_workspace(actor, workspace(*place), *disabled))?;
            }
            Change::Default(place, environment) => {
                let patch = WorkspacePatch {
                    default_environment: Some((*environment).to_owned()),
                    ..WorkspacePatch::default()
                };
                block_on(registry.update_workspace(actor, workspace(*place), patch))?;
            }
            Change::Wait(_) => {
                self.clock.set(Timestamp::from_micros(world.now));
                self.boot_clock.set(Moment::from_micros(world.now));
            }
            Change::Restart => {
                self.parts = Parts::load(&self.store, (&self.clock, &self.boot_clock), &self.owner)
            }
        }
        Ok(None)
    }

    /// The key that a change is to, and what it is to change; none: it is
    /// another kind of change.
    fn patch(&mut self, change: &Change) -> Option<(usize, KeyPatch)> {
        let mut patch = KeyPatch::default();
        let key = match change {
            Change::Scopes(key, scopes) => {
                patch.scopes = Some(scopes.iter().cloned().collect());
                key
            }
            Change::Sources(key, sources) => {
                let ranges = sources.iter().map(|range| self.range(range));
                patch.source_addresses = Some(ranges.collect());
                key
            }
            Change::End(key, end) => {
                patch.expire_time = Some(end.map(Timestamp::from_micros));
                key
            }
            Change::Limits(key, limits) => {
                patch.limits = Some(drafts(limits));
                key
            }
            Change::CreateKey(_)
            | Change::SwitchKey(..)
            | Change::Rotate { .. }
            | Change::Finish(_)
            | Change::Cancel(_)
            | Change::Revoke(_)
            | Change::Delete(_)
            | Change::SwitchWorkspace(..)
            | Change::Default(..)
            | Change::Wait(_)
            | Change::Restart => return None,
        };
        Some((*key, patch))
    }

    fn create(&mut self, new: &NewKey, world: &World) -> Result<Issued, RegistryError> {
        let draft = KeyDraft {
            workspace: world.workspaces[new.workspace].id.to_owned(),
            environment: new.environment.to_owned(),
            principal: "user:ada".to_owned(),
            name: "a key".to_owned(),
            scopes: new.scopes.iter().cloned().collect(),
            expire_time: new.end.map(Timestamp::from_micros),
            limits: drafts(&new.limits),
            source_addresses: new.sources.iter().map(|range| self.range(range)).collect(),
            ..KeyDraft::default()
        };
        let issued = block_on(self.parts.registry.create_key(&self.parts.actor, draft))?;
        Ok(Issued::from(issued))
    }

    /// Returns when the first use of a key's new token was noted, of which no
    /// check waits for the end.
    pub(super) fn wait_for_note(&self, id: &str) {
        let Parts {
            registry, actor, ..
        } = &self.parts;
        for _ in 0..MANY {
            let view = block_on(registry.get_key(actor, id)).unwrap();
            let old = view.key.secrets.first().and_then(|old| old.end);
            if !matches!(old, Some(End::AfterFirstUse { .. })) {
                return;
            }
            std::thread::yield_now();
        }
        panic!("the first use of a new token of {id} is not noted");
    }

    /// Asks as a gateway does.
    pub(super) fn answer(&mut self, ask: &Ask, world: &World) -> Answer {
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
        let checker = &self.parts.checker;
        let checked = checker.check(credential.as_bytes(), &ask, &demand, told);
        checked.unwrap()
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

    fn range(&mut self, range: &Range) -> String {
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

    pub(super) fn end(self) {
        self.store.close();
    }
}

impl From<IssuedKey> for Issued {
    fn from(issued: IssuedKey) -> Self {
        Self {
            id: issued.view.key.id.to_string(),
            token: issued.token.expose().to_owned(),
        }
    }
}

fn told(outcome: Outcome<'_>) -> Answer {
    let key_id = outcome.key.map(|key| key.id().to_string());
    match (outcome.verdict, outcome.key.zip(outcome.standing)) {
        (Verdict::Denied(reason), _) => Answer::Denied { reason, key_id },
        (Verdict::Allowed, None) => panic!("nobody is allowed"),
        (Verdict::Allowed, Some((key, standing))) => Answer::Allowed(Told {
            key_id: key_id.unwrap_or_default(),
            workspace: standing.workspace.to_owned(),
            environment: standing.environment.to_owned(),
            scopes: standing
                .scopes
                .scopes()
                .iter()
                .map(ToString::to_string)
                .collect::<BTreeSet<_>>(),
            end: key.expire_time().map(Timestamp::as_micros),
            superseded: outcome.rotating.map(Rotating::superseded),
        }),
    }
}

/// The limits of a key, if it has any.
fn drafts(limits: &[(u32, bool)]) -> Vec<LimitDraft> {
    let of = |((name, window), (count, always)): ((&str, u64), &(u32, bool))| LimitDraft {
        name: name.to_owned(),
        count: *count,
        window: Duration::from_micros(window),
        always: *always,
    };
    LIMITS.into_iter().zip(limits).map(of).collect()
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

fn owned(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|&text| text.to_owned()).collect()
}
