//! A key as the index holds it: what checks look at side by side, what many
//! keys share held once, and the rest in one run of bytes.

use std::sync::{Arc, OnceLock};

use crate::domain::clock::Timestamp;
use crate::domain::granted::Granted;
use crate::domain::id::KeyId;
use crate::domain::key::{Key, Secret};
use crate::domain::limit::LimitSet;
use crate::domain::scope::ScopeSet;
use crate::domain::source::PackedRanges;
use crate::domain::token;
use crate::domain::usage::Marks;
use crate::domain::verdict::{DenialReason, Standing, WorkspaceNumber};
use crate::domain::workspace::Workspace;

use super::Index;
use super::credits::CreditAccount;
use super::effective::Effective;
use super::members::{Acting, IndexedMembership, IndexedPrincipal, Member, Names};
use super::rotating::Rotating;
use super::shared::Shared;
use super::text::{Metadata, Text, pull, push};
use super::usage::{KeyUsage, Use};

/// A key, as one of its tokens finds it.
#[derive(Debug)]
pub struct IndexedKey {
    id: KeyId,
    expire_time: Option<Timestamp>,
    bond: Bond,
    scopes: Arc<ScopeSet>,
    limits: Arc<LimitSet>,
    environment: Arc<str>,
    /// The ranges that the key is confined to, and behind them its texts.
    run: Box<[u8]>,
    /// Apart, as few keys are being rotated at a time.
    rotating: Option<Box<Rotating>>,
    credits: Option<Arc<CreditAccount>>,
    /// Made by the first use. All that stand for the key lead to the same.
    usage: OnceLock<Arc<KeyUsage>>,
    tail: [u8; 4],
    revoked: bool,
    disabled: bool,
    /// Whether another product has minted the token: then it has a hint of its
    /// own before the name.
    imported: bool,
    /// Whether the token is the first of the key's.
    first: bool,
    /// How many ranges there are.
    ranges: u8,
}

/// Where a key can be used, and by whom.
#[derive(Debug)]
pub(super) enum Bond {
    /// In one workspace.
    Bound(Arc<IndexedMembership>),
    /// In all workspaces of the principal. Few keys are so: what only they have
    /// lies apart.
    Personal(Box<Personal>),
}

/// What only personal keys have.
#[derive(Debug)]
pub(super) struct Personal {
    pub(super) principal: Arc<IndexedPrincipal>,
    pub(super) token_prefix: Box<str>,
}

impl IndexedKey {
    /// Packs `key` as `secret`, one of its tokens, finds it.
    pub(super) fn new(key: &Key, secret: &Secret, bond: Bond, shared: &mut Shared) -> Self {
        let environment = key.environment.as_ref().map_or("", |name| name.as_str());
        let mut run = key.source_addresses.pack();
        if let Some(imported) = &secret.imported {
            push(&mut run, &imported.hint);
        }
        Text::pack(key, &mut run);
        Self {
            id: key.id,
            // The token is dead with its key, or before.
            expire_time: key.expire_time.into_iter().chain(secret.end_time()).min(),
            bond,
            scopes: shared.scopes(&key.scopes),
            limits: shared.limits(&key.limits),
            environment: shared
                .environments
                .intern(environment, |name| Arc::from(name)),
            run: run.into(),
            rotating: Rotating::of(key, secret).map(Box::new),
            credits: None,
            usage: OnceLock::new(),
            tail: secret.tail,
            revoked: key.revocation.is_some(),
            disabled: key.disabled,
            imported: secret.imported.is_some(),
            first: key
                .secrets
                .first()
                .is_some_and(|first| first.digest == secret.digest),
            // Records have at most 16.
            ranges: u8::try_from(key.source_addresses.len()).unwrap_or(u8::MAX),
        }
    }

    /// The same key with the credits that all of its tokens share.
    pub(super) fn with_credits(mut self, credits: Option<Arc<CreditAccount>>) -> Self {
        self.credits = credits;
        self
    }

    /// The credits of the key; none: it needs none.
    #[must_use]
    pub const fn credits(&self) -> Option<&Arc<CreditAccount>> {
        self.credits.as_ref()
    }

    /// The same key with what is known of its use.
    pub(super) fn with_usage(mut self, usage: Option<Arc<KeyUsage>>) -> Self {
        self.usage = usage.map(OnceLock::from).unwrap_or_default();
        self
    }

    /// Whether all scopes of the key were needed before. Asked at once when the
    /// key is found: that has the processor fetch what the use is counted on
    /// while the verdict is reached, and not wait for it then.
    #[must_use]
    pub fn was_complete(&self) -> bool {
        self.usage.get().is_some_and(|usage| usage.is_complete())
    }

    /// Counts a use of the key, and which of its scopes are `needed` for it:
    /// asked only if it `was_complete` not. Allocates at the first use.
    pub fn count_use(&self, used: Use, was_complete: bool, needed: impl Fn() -> Marks) {
        self.made_usage()
            .allowed(&self.scopes, used, was_complete, needed);
    }

    /// Counts that the key was denied, for a reason that tells of it, and by a
    /// token that is being replaced if it is `superseded`. Allocates the first
    /// time.
    pub fn count_denial(&self, reason: DenialReason, time: Timestamp, superseded: bool) {
        self.made_usage().denied(reason, time, superseded);
    }

    /// How the key was used; none: it was not.
    pub(super) fn usage(&self) -> Option<&Arc<KeyUsage>> {
        self.usage.get()
    }

    /// The same, which is made if it is not there. A check may hold this very
    /// version of the key while another takes its place: it counts in what that
    /// one was given.
    pub(super) fn made_usage(&self) -> &Arc<KeyUsage> {
        let none = || Arc::new(KeyUsage::new(self.id, &self.scopes));
        self.usage.get_or_init(none)
    }

    /// Whether it is the first of the key's tokens that it stands for.
    pub(super) const fn is_first(&self) -> bool {
        self.first
    }

    /// The id.
    #[must_use]
    pub const fn id(&self) -> KeyId {
        self.id
    }

    /// The name for people.
    #[must_use]
    pub fn name(&self) -> &str {
        self.text().name()
    }

    /// Whoever acts with the key.
    #[must_use]
    pub fn principal(&self) -> &str {
        match &self.bond {
            Bond::Bound(membership) => membership.principal.id(),
            Bond::Personal(personal) => personal.principal.id(),
        }
    }

    /// The id of the workspace that the key is bound to; none: it is personal.
    #[must_use]
    pub fn workspace(&self) -> Option<&str> {
        match &self.bond {
            Bond::Bound(membership) => Some(&membership.workspace.id),
            Bond::Personal(_) => None,
        }
    }

    /// The environment that the key names; empty: none.
    #[must_use]
    pub fn environment(&self) -> &str {
        &self.environment
    }

    /// What the key says that it may do: at most, whatever its principal may.
    #[must_use]
    pub fn scopes(&self) -> &ScopeSet {
        &self.scopes
    }

    /// What is handed to the gateway, by name.
    #[must_use]
    pub fn metadata(&self) -> Metadata<'_> {
        self.text().metadata()
    }

    /// Where requests with the key may come from. What is nobody's business but
    /// the verdict's costs a key without any one comparison.
    #[must_use]
    pub fn sources(&self) -> PackedRanges<'_> {
        PackedRanges::new(self.parts().0)
    }

    fn text(&self) -> Text<'_> {
        let texts = self.parts().1;
        Text::new(if self.imported { pull(texts).1 } else { texts })
    }

    fn parts(&self) -> (&[u8], &[u8]) {
        let ranges = PackedRanges::len_of(usize::from(self.ranges));
        self.run.split_at(ranges.min(self.run.len()))
    }

    /// When the token stops working: with the key, or before.
    #[must_use]
    pub const fn expire_time(&self) -> Option<Timestamp> {
        self.expire_time
    }

    /// The rotation of the key, if it has one; perhaps it is over by now.
    #[must_use]
    pub fn rotating(&self) -> Option<&Rotating> {
        self.rotating.as_deref()
    }

    /// What may be displayed of the token.
    #[must_use]
    pub fn hint(&self) -> String {
        if self.imported {
            return pull(self.parts().1).0.to_owned();
        }
        let membership = match &self.bond {
            Bond::Bound(membership) => membership,
            Bond::Personal(personal) => {
                let mark = Some(self.environment()).filter(|name| !name.is_empty());
                return token::hint(&personal.token_prefix, mark, self.tail);
            }
        };
        let workspace = membership.workspace.current.load();
        let unmarked = workspace
            .unmarked_environment
            .as_ref()
            .map_or("", |name| name.as_str());
        let mark = Some(self.environment()).filter(|name| !name.is_empty() && *name != unmarked);
        token::hint(workspace.token_prefix.as_str(), mark, self.tail)
    }

    /// Hands what the verdict looks at, where the workspace `asked` is asked
    /// for, to `judge`. The key must be of `index`.
    pub fn with_standing<T>(
        &self,
        index: &Index,
        asked: Option<&str>,
        judge: impl FnOnce(Standing<'_>) -> T,
    ) -> T {
        self.with_effective(index, asked, |standing, _| judge(standing))
    }

    /// The same, with what the key may do there, to be told.
    pub fn with_effective<T>(
        &self,
        index: &Index,
        asked: Option<&str>,
        judge: impl FnOnce(Standing<'_>, Effective<'_>) -> T,
    ) -> T {
        match &self.bond {
            Bond::Bound(membership) => {
                let workspace = membership.workspace.current.load();
                let member = membership.standing();
                let principal = membership.principal.standing();
                let standing = Standing {
                    personal: false,
                    workspace: &membership.workspace.id,
                    workspace_disabled: workspace.disabled,
                    default_environment: default_environment(&workspace),
                    default_limits: &workspace.default_limits,
                    workspace_number: membership.workspace.number,
                    ..self.standing(&principal, &member)
                };
                judge(standing, self.effective(&member, Some(membership)))
            }
            Bond::Personal(personal) => {
                let workspaces = index.workspaces.pin();
                let memberships = index.memberships.pin();
                // What is left of the membership in a deleted workspace is not
                // looked for.
                let workspace = asked.and_then(|asked| workspaces.get(asked));
                let seat = workspace.and_then(|workspace| {
                    memberships.get(&Names(&workspace.id, personal.principal.id()))
                });
                let member = seat.map_or(Member::No, |seat| seat.0.standing());
                let principal = personal.principal.standing();
                let standing = self.standing(&principal, &member);
                let effective = self.effective(&member, seat.map(|seat| &*seat.0));
                let Some(workspace) = workspace else {
                    return judge(standing, effective);
                };
                let current = workspace.current.load();
                let default_environment = default_environment(&current);
                let standing = Standing {
                    workspace: &workspace.id,
                    workspace_disabled: current.disabled,
                    default_environment,
                    default_limits: &current.default_limits,
                    workspace_number: workspace.number,
                    environment: match self.environment() {
                        "" => default_environment,
                        named => named,
                    },
                    ..standing
                };
                judge(standing, effective)
            }
        }
    }

    fn effective<'k>(
        &'k self,
        member: &'k Member,
        membership: Option<&'k IndexedMembership>,
    ) -> Effective<'k> {
        let narrowings = membership.map(|membership| &membership.narrowings);
        Effective::new(&self.scopes, member.ceiling().zip(narrowings))
    }

    /// The standing of the key as a personal one that is asked for nowhere.
    fn standing<'k>(&'k self, principal: &'k Acting, member: &'k Member) -> Standing<'k> {
        Standing {
            personal: true,
            workspace: "",
            member: member.is_one(),
            principal_disabled: principal.disabled,
            workspace_disabled: false,
            default_environment: "",
            environment: self.environment(),
            revoked: self.revoked,
            expire_time: self.expire_time,
            disabled: self.disabled,
            scopes: Granted::within(&self.scopes, member.ceiling().map(AsRef::as_ref)),
            limits: &self.limits,
            shared_limits: principal.limits(),
            // None that the key's own do not hide.
            default_limits: &self.limits,
            workspace_number: WorkspaceNumber::default(),
            sources: self.sources(),
        }
    }
}

fn default_environment(workspace: &Workspace) -> &str {
    workspace
        .default_environment
        .as_ref()
        .map_or("", |name| name.as_str())
}
