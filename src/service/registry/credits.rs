//! The credits of a key, as operators set and change them.
//!
//! Whatever they change is made of what there is to the last credit: what is in
//! hand for checks is kept back until the change is stored, and void then.

use tracing::info;

use crate::domain::admin::Deed;
use crate::domain::audit::AuditAction;
use crate::domain::clock::Timestamp;
use crate::domain::credits::{Balance, Credits, CreditsView};
use crate::domain::credits_draft::{Adjustment, CreditsDraft};
use crate::domain::id::KeyId;
use crate::domain::key::Key;
use crate::index::credits::Hold;
use crate::store::{Batch, Expect, Record, RecordId, Revision, Versioned, Write};

use super::super::admission::Actor;
use super::super::error::{Condition, Kind, RegistryError};
use super::requests::Identified;
use super::{
    KeyView, MAX_TRIES, Registry, conflict, entry, precondition, refuse_revoked, unchanged,
};

/// What is to become of a key's credits.
#[derive(Clone, Debug)]
pub enum CreditsChange {
    /// They become these; none: the key needs none from then on.
    Set(Option<CreditsDraft>),
    /// So many more, or less; once, however often it is asked for.
    Adjust(Adjustment),
}

impl CreditsChange {
    /// What there is to be at `now`, where there is `before`.
    fn apply(
        &self,
        before: Option<CreditsView>,
        key: KeyId,
        now: Timestamp,
    ) -> Result<Option<Balance>, RegistryError> {
        match (self, before) {
            (Self::Set(None), _) => Ok(None),
            (Self::Set(Some(draft)), before) => Ok(Some(draft.check(before, now)?)),
            (Self::Adjust(_), None) => Err(precondition(Kind::Key, key, Condition::NoCredits)),
            (Self::Adjust(adjustment), Some(view)) => {
                let free = adjustment.of(view.balance)?;
                Ok(Some(view.with(free)))
            }
        }
    }

    const fn action(&self) -> AuditAction {
        match self {
            Self::Set(_) => AuditAction::SetCredits,
            Self::Adjust(_) => AuditAction::AdjustCredits,
        }
    }

    fn delta(&self) -> String {
        match self {
            Self::Set(_) => String::new(),
            Self::Adjust(adjustment) => adjustment.delta.to_string(),
        }
    }
}

/// The credits of a key as they are, and where they are stored.
struct Found {
    hold: Option<Hold>,
    generation: u64,
    expect: Expect,
}

impl Found {
    fn view(&self) -> Option<CreditsView> {
        self.hold.as_ref().and_then(Hold::view)
    }

    /// From here on the change may be made.
    fn put_at_stake(&mut self) {
        if let Some(hold) = &mut self.hold {
            hold.put_at_stake();
        }
    }

    /// The change was certainly not made.
    fn give_back(self) {
        if let Some(hold) = self.hold {
            hold.give_back();
        }
    }
}

impl Registry {
    /// Changes the credits of a key. The caller must be able to grant what the
    /// key may: more credits may have it work again.
    ///
    /// # Errors
    ///
    /// [`RegistryError::Invalid`], [`RegistryError::GrantCeiling`],
    /// [`RegistryError::Precondition`] if it is revoked, or has none to adjust,
    /// [`RegistryError::NotFound`], or the caller may not, or the store fails.
    pub async fn change_credits(
        &self,
        actor: &Actor,
        id: &str,
        change: CreditsChange,
    ) -> Result<KeyView, RegistryError> {
        let mut paused = None;
        for _ in 0..MAX_TRIES {
            let found = self.key(actor, Deed::ManageKeys, (id, "key_id")).await?;
            let request = self.identified(actor, found.record.id, &change);
            // Before it is judged: what has changed since makes it no other.
            if let Some(request) = &request
                && self.adjusted_before(request).await?
            {
                return Ok(self.view(found, self.clock.now()));
            }
            refuse_revoked(found.record.revocation.as_ref(), Kind::Key, id)?;
            actor.may_grant(&found.record.scopes)?;
            if paused.is_none() {
                // Checks that use them up would be faster every time.
                let account = self.index.credits(found.record.id);
                paused = account.map(|account| account.pause());
            }
            let now = self.clock.now();
            let mut credits = self.credits_of(found.record.id, now).await?;
            let before = credits.view();
            let after = change.apply(before, found.record.id, now)?;
            if before.is_none() && after.is_none() {
                return Ok(self.view(found, now));
            }
            let mut batch = batch(actor, &change, &found, &credits, after, now);
            let request = request.map(|request| request.carried_out(found.record.id));
            batch.writes.extend(request);
            credits.put_at_stake();
            match self.attempt(actor, batch, Kind::Key, id).await {
                Ok(Some(revision)) => {
                    info!(actor = actor.id(), key = id, "credits changed");
                    drop(paused);
                    let found = stored(found, before.is_some() != after.is_some(), revision);
                    return Ok(self.view(found, now));
                }
                Ok(None) => credits.give_back(),
                // What is in hand may be in what was stored.
                Err(RegistryError::OutcomeUnknown) => return Err(RegistryError::OutcomeUnknown),
                Err(error) => {
                    credits.give_back();
                    return Err(error);
                }
            }
        }
        Err(conflict(Kind::Key, id))
    }

    /// Which request the change is; none, if it is not to be recognised.
    fn identified(&self, actor: &Actor, key: KeyId, change: &CreditsChange) -> Option<Identified> {
        match change {
            CreditsChange::Set(_) => None,
            CreditsChange::Adjust(adjustment) => {
                self.requests.identify_adjustment(actor, key, adjustment)
            }
        }
    }

    /// The credits of a key, kept back in whole.
    async fn credits_of(&self, key: KeyId, now: Timestamp) -> Result<Found, RegistryError> {
        // Once this is read, the index has it, or what is newer.
        let stored = self.stored_credits(key).await?;
        let account = self.index.credits(key);
        let hold = account.map(|account| account.withhold(now));
        Ok(match (hold, stored) {
            (Some(hold), _) => Found {
                generation: hold.stored().generation,
                expect: Expect::At(hold.revision()),
                hold: Some(hold),
            },
            (None, Some(stored)) => Found {
                generation: stored.record.generation,
                expect: Expect::At(stored.revision),
                hold: None,
            },
            (None, None) => Found {
                generation: 0,
                expect: Expect::Absent,
                hold: None,
            },
        })
    }

    async fn stored_credits(
        &self,
        key: KeyId,
    ) -> Result<Option<Versioned<Credits>>, RegistryError> {
        let record = RecordId::Credits(key);
        let found = self.read(record, Kind::Key, &key.to_string()).await?;
        Ok(match found {
            Some(Versioned {
                record: Record::Credits(record),
                revision,
            }) => Some(Versioned { record, revision }),
            Some(_) | None => None,
        })
    }

    /// The write that takes the credits of a key away with it; none, if it never
    /// had any.
    pub(super) async fn credits_removed(&self, key: KeyId) -> Result<Option<Write>, RegistryError> {
        let found = self.stored_credits(key).await?;
        Ok(found.map(|found| Write {
            record: Record::Credits(Credits {
                key,
                generation: found.record.generation + 1,
                balance: None,
            }),
            expect: Expect::At(found.revision),
        }))
    }
}

/// The write that gives a new key its credits. It goes before that of the key.
pub(super) const fn first_credits(key: KeyId, balance: Balance) -> Write {
    Write {
        record: Record::Credits(Credits {
            key,
            generation: 1,
            balance: Some(balance),
        }),
        expect: Expect::Absent,
    }
}

/// The change, with the key as it was read: it is written again, behind its
/// credits, where they come or go, so that the index packs it anew.
fn batch(
    actor: &Actor,
    change: &CreditsChange,
    key: &Versioned<Key>,
    credits: &Found,
    after: Option<Balance>,
    now: Timestamp,
) -> Batch {
    let before = credits.view();
    let mut writes = vec![Write {
        record: Record::Credits(Credits {
            key: key.record.id,
            generation: credits.generation + 1,
            balance: after,
        }),
        expect: credits.expect,
    }];
    let mut requires = Vec::new();
    if before.is_some() == after.is_some() {
        requires.push(unchanged(RecordId::Key(key.record.id), key.revision));
    } else {
        writes.push(Write {
            record: Record::Key(key.record.clone()),
            expect: Expect::At(key.revision),
        });
    }
    let after = after.map(|after| CreditsView::of(&after, after.free));
    let balance = |view: Option<CreditsView>| {
        view.map_or_else(|| "none".to_owned(), |view| view.balance.to_string())
    };
    let refill = |view: Option<CreditsView>| {
        let refill = view.and_then(|view| view.refill);
        refill.map_or_else(String::new, |refill| refill.to_string())
    };
    let audit = entry(
        actor,
        key.record.workspace(),
        (change.action(), now),
        &key.record.id.to_string(),
        [
            ("delta", change.delta()),
            ("balance_before", balance(before)),
            ("balance", balance(after)),
            ("refill_before", refill(before)),
            ("refill", refill(after)),
        ],
    );
    Batch {
        writes,
        requires,
        audit,
        beside: None,
    }
}

/// The key as it is stored now.
fn stored(key: Versioned<Key>, was_written: bool, revision: Revision) -> Versioned<Key> {
    Versioned {
        revision: if was_written { revision } else { key.revision },
        ..key
    }
}
