//! Giving back at a stop: what is in hand for checks is stored as free again,
//! as far as the store takes that in time. What it does not take is forfeited,
//! as by a crash, and the log says how much that is.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use tokio::time::{Instant, timeout_at};
use tracing::{debug, info, warn};

use crate::domain::clock::Timestamp;
use crate::domain::credits::Credits;
use crate::index::credits::{CreditAccount, Hold};
use crate::store::Versioned;

use super::{MAX_ACCOUNTS, MAX_COMMITS, MAX_TRIES, Teller, conflicting};

/// How long it may take at the least.
pub(super) const LEAST: Duration = Duration::from_secs(2);

/// How much was in hand.
#[derive(Clone, Copy, Default, Debug)]
struct InHand {
    accounts: usize,
    credits: u64,
}

impl InHand {
    fn of(holds: &[Hold]) -> Self {
        Self {
            accounts: holds.len(),
            credits: holds.iter().map(Hold::amount).sum(),
        }
    }

    const fn add(&mut self, more: Self) {
        self.accounts += more.accounts;
        self.credits = self.credits.saturating_add(more.credits);
    }
}

/// Stores that what is in hand is free again, as far as that is done by
/// `deadline`. No check must spend any more.
pub(super) async fn all(teller: &Teller, deadline: Instant) {
    let now = teller.clock.now();
    let accounts = teller.index.all_credits();
    let pauses: Vec<_> = accounts.iter().map(CreditAccount::pause).collect();
    let mut holds: Vec<_> = accounts
        .iter()
        .map(|account| account.withhold(now))
        .filter(|hold| !hold.is_empty())
        .collect();
    let in_hand = InHand::of(&holds);
    let mut chunks = Vec::new();
    while !holds.is_empty() {
        let rest = holds.split_off(holds.len().min(MAX_ACCOUNTS));
        chunks.push(std::mem::replace(&mut holds, rest));
    }
    let mut chunks = stream::iter(chunks)
        .map(|holds| give_back(teller, holds, now))
        .buffer_unordered(MAX_COMMITS);
    let mut given = InHand::default();
    // The rest may be stored or not: it counts as forfeited.
    while let Ok(Some(more)) = timeout_at(deadline, chunks.next()).await {
        given.add(more);
    }
    drop(chunks);
    drop(pauses);
    info!(
        accounts = given.accounts,
        credits = given.credits,
        "credits in hand given back"
    );
    if given.accounts < in_hand.accounts {
        warn!(
            accounts = in_hand.accounts - given.accounts,
            credits = in_hand.credits.saturating_sub(given.credits),
            "credits in hand forfeited: the store did not take them back in time"
        );
    }
}

/// Gives back what is held, in one commit, but for those that were changed
/// meanwhile: they have one of their own after it. How much was given back.
async fn give_back(teller: &Teller, mut holds: Vec<Hold>, now: Timestamp) -> InHand {
    let mut given = InHand::default();
    for _ in 0..MAX_TRIES {
        let mut changed = Vec::new();
        holds.iter_mut().for_each(Hold::put_at_stake);
        loop {
            let freed = holds.iter().filter_map(freed).collect();
            let Err(error) = teller.commit(freed).await else {
                given.add(InHand::of(&holds));
                break;
            };
            let Some(place) = conflicting(&error, &holds, |hold| hold.stored().key) else {
                debug!(%error, accounts = holds.len(), "credits not given back");
                return given;
            };
            let hold = holds.swap_remove(place);
            changed.push(Arc::clone(hold.account()));
            hold.give_back();
        }
        if changed.is_empty() {
            break;
        }
        holds = changed
            .iter()
            .map(|account| account.withhold(now))
            .collect();
    }
    given
}

/// What is to be stored once all that is held is free.
fn freed(hold: &Hold) -> Option<Versioned<Credits>> {
    let (stored, view) = (hold.stored(), hold.view()?);
    Some(Versioned {
        record: Credits {
            key: stored.key,
            generation: stored.generation + 1,
            balance: Some(view.with(view.balance)),
        },
        revision: hold.revision(),
    })
}
