//! The accounts of all owners: made when one spends for the first time, and
//! given back when nothing that it has spent counts any more.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Weak};
use std::time::Duration;
use std::{io, thread};

use crate::domain::id::KeyId;
use crate::domain::verdict::{PrincipalNumber, WorkspaceNumber};
use crate::domain::window::Moment;

use super::account::{Account, State};
use super::clock::BootClock;

/// How often it is looked for what can be given back.
const TICK: Duration = Duration::from_secs(1);

/// How long an account is left alone at least: one that is in use is not
/// locked all the time to find out that it is.
const REST: Duration = Duration::from_secs(10);

/// How many accounts are looked at in one go, and how long others have their
/// turn if there are more.
const ROUND: usize = 4_096;
const BREATH: Duration = Duration::from_millis(10);

/// Whose count it is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(super) enum Owner {
    /// A key's, whichever of its tokens is presented.
    Key(KeyId),
    /// That of a personal key in one of its workspaces.
    KeyWithin(KeyId, WorkspaceNumber),
    /// That of all keys of a principal together in one workspace.
    Principal(PrincipalNumber, WorkspaceNumber),
}

/// All accounts that there are.
#[derive(Debug)]
pub(super) struct Accounts {
    open: papaya::HashMap<Owner, Arc<Account>>,
    /// Tells the sweeper of each account that is made.
    made: Sender<Owner>,
}

impl Accounts {
    /// No accounts, and what sweeps them.
    pub(super) fn new() -> (Arc<Self>, Sweeper) {
        let (made, to_sweep) = channel();
        let open = papaya::HashMap::default();
        let accounts = Arc::new(Self { open, made });
        let sweeper = Sweeper {
            accounts: Arc::downgrade(&accounts),
            made: to_sweep,
            due: BinaryHeap::new(),
        };
        (accounts, sweeper)
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.open.len()
    }

    /// The owner's account, if it has one.
    pub(super) fn find(&self, owner: Owner) -> Option<Arc<Account>> {
        self.open.pin().get(&owner).cloned()
    }

    /// The owner's account, which is made if there is none.
    pub(super) fn open(&self, owner: Owner) -> Arc<Account> {
        let open = self.open.pin();
        if let Some(account) = open.get(&owner) {
            return Arc::clone(account);
        }
        match open.try_insert_with(owner, Arc::default) {
            Ok(account) => {
                // If the sweeper is gone, so is the meter, or soon.
                let _ = self.made.send(owner);
                Arc::clone(account)
            }
            Err(others) => Arc::clone(others),
        }
    }
}

/// Gives back accounts that are empty.
#[derive(Debug)]
pub(super) struct Sweeper {
    accounts: Weak<Accounts>,
    made: Receiver<Owner>,
    /// When to look at an account again. Each that there is is here once, or is
    /// about to be.
    due: BinaryHeap<Reverse<(Moment, Owner)>>,
}

impl Sweeper {
    /// Sweeps on a thread of its own, until the accounts are gone.
    pub(super) fn start(mut self, clock: Arc<dyn BootClock>) -> io::Result<()> {
        let sweep = move || {
            while let Some(accounts) = self.accounts.upgrade() {
                let more = self.round(&accounts, clock.now());
                drop(accounts);
                thread::sleep(if more { BREATH } else { TICK });
            }
        };
        let thread = thread::Builder::new().name("meter-sweeper".to_owned());
        thread.spawn(sweep).map(drop)
    }

    /// Looks at the accounts whose time it is, but not at too many at once;
    /// whether there may be more.
    pub(super) fn round(&mut self, accounts: &Accounts, now: Moment) -> bool {
        let rested = now.saturating_add(REST);
        let known = self.due.len();
        let made = self.made.try_iter().take(ROUND);
        self.due.extend(made.map(|owner| Reverse((rested, owner))));
        let many = self.due.len() - known == ROUND;
        for _ in 0..ROUND {
            let first = self.due.peek().filter(|Reverse((at, _))| *at <= now);
            let Some(Reverse((_, owner))) = first.copied() else {
                return many;
            };
            self.due.pop();
            if let Some(end) = accounts.give_back(owner, now) {
                self.due.push(Reverse((end.max(rested), owner)));
            }
        }
        true
    }
}

impl Accounts {
    /// Lets go of the owner's account if it is empty; else tells when it is.
    fn give_back(&self, owner: Owner, now: Moment) -> Option<Moment> {
        let account = self.find(owner)?;
        let mut state = account.lock();
        let end = state.prune(now);
        if end.is_none() {
            self.retire(owner, &mut state);
        }
        end
    }

    /// Lets go of the owner's account while its lock is held: whoever waits for
    /// that finds it retired, and then no longer there.
    pub(super) fn retire(&self, owner: Owner, state: &mut State) {
        state.retired = true;
        self.open.pin().remove(&owner);
    }
}
