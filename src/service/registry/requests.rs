//! Carried out once: a request that is repeated gets the key that it made the
//! first time, and its token as long as this process holds it, or the key that it
//! adjusted.
//!
//! Which request was carried out is in the store, in the same commit as the
//! key. The token is not: it is held in memory, for a while, and wiped then.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};
use tracing::info;

use crate::domain::admin::Deed;
use crate::domain::audit::AuditAction;
use crate::domain::credits::Period;
use crate::domain::credits_draft::Adjustment;
use crate::domain::digest::{Sealer, TokenDigest};
use crate::domain::id::KeyId;
use crate::domain::import::{ImportDraft, Imported};
use crate::domain::key_draft::KeyDraft;
use crate::domain::request::{IssueRequest, RequestId};
use crate::domain::token::Token;
use crate::domain::violation::Violations;
use crate::store::{Batch, Expect, Record, RecordId, Versioned, Write};

use super::super::admission::Actor;
use super::super::error::{Kind, RegistryError};
use super::{IssuedKey, MAX_TRIES, Registry, conflict, entry, unchanged};

/// How long a token is held for a repetition.
const HOLD: Duration = Duration::from_secs(600);

/// How many tokens are held.
const MAX_HELD: usize = 1_000;

/// Tells requests apart, and holds the tokens of those just carried out.
pub(super) struct Requests {
    sealer: Sealer,
    /// A lock that is held for moments, and never while anything is awaited.
    shelf: Arc<Mutex<Shelf>>,
}

/// The tokens that are held.
#[derive(Default)]
struct Shelf {
    /// The oldest first.
    held: VecDeque<Held>,
    /// Whether a task is there that wipes what has been held long enough.
    swept: bool,
}

impl Shelf {
    fn wipe(&mut self, now: Instant) {
        while self.held.front().is_some_and(|oldest| oldest.end() <= now) {
            self.held.pop_front();
        }
    }
}

struct Held {
    key: KeyId,
    token: Arc<Token>,
    since: Instant,
}

impl Held {
    fn end(&self) -> Instant {
        self.since + HOLD
    }
}

/// Which request, and what it asks for.
pub(super) struct Identified {
    id: RequestId,
    content: [u8; 16],
}

impl Identified {
    /// Where it is noted once it is carried out.
    pub(super) const fn record(&self) -> RecordId {
        RecordId::Request(self.id)
    }

    /// Whether `carried_out` asked for the same.
    pub(super) fn is_like(&self, carried_out: &IssueRequest) -> bool {
        self.content == carried_out.content
    }

    /// The write that notes that the request has issued `key`, or adjusted it.
    pub(super) fn carried_out(&self, key: KeyId) -> Write {
        let record = Record::Request(IssueRequest {
            id: self.id,
            content: self.content,
            key,
        });
        Write {
            record,
            expect: Expect::Absent,
        }
    }
}

impl Requests {
    pub(super) fn new(sealer: Sealer) -> Self {
        Self {
            sealer,
            shelf: Arc::default(),
        }
    }

    /// Which request the draft is; none, if it is not to be recognised.
    pub(super) fn identify(&self, actor: &Actor, draft: &KeyDraft) -> Option<Identified> {
        self.identify_as(actor, &draft.request_id, "content", || content(draft))
    }

    /// Which request to adjust the credits of `key` it is; none, if it is not to
    /// be recognised.
    pub(super) fn identify_adjustment(
        &self,
        actor: &Actor,
        key: KeyId,
        adjustment: &Adjustment,
    ) -> Option<Identified> {
        self.identify_as(actor, &adjustment.request_id, "adjustment", || {
            format!("{key} {}", adjustment.delta).into_bytes()
        })
    }

    /// `what` tells apart what requests of one id ask for.
    fn identify_as(
        &self,
        actor: &Actor,
        request_id: &str,
        what: &str,
        content: impl FnOnce() -> Vec<u8>,
    ) -> Option<Identified> {
        if request_id.is_empty() {
            return None;
        }
        let of = |what: &str, parts: &[&[u8]]| self.sealer.seal(what.as_bytes(), parts).mac.0;
        let caller = actor.id();
        let id = [caller.as_bytes(), b"\0", request_id.as_bytes()];
        Some(Identified {
            id: RequestId(of("id", &id)),
            content: of(what, &[&content()]),
        })
    }

    /// The import of a token, as the request to issue its key: it is carried out
    /// once, whoever asks for it, and what it is known by stays taken.
    pub(super) fn identify_import(
        &self,
        token: &TokenDigest,
        draft: &ImportDraft,
        imported: &Imported,
    ) -> Identified {
        let of = |what: &str, parts: &[&[u8]]| self.sealer.seal(what.as_bytes(), parts).mac.0;
        let switch = [u8::from(draft.disabled)];
        Identified {
            id: RequestId(of("import", &[&token.0])),
            content: of(
                "import content",
                &[&switch, &content(&draft.key), imported.hint.as_bytes()],
            ),
        }
    }

    /// Holds the token of a key that is about to be issued. Must be called in a
    /// runtime, which wipes it in time.
    pub(super) fn hold(&self, key: KeyId, token: &Arc<Token>) {
        let mut shelf = lock(&self.shelf);
        // Read behind the lock, so that the oldest are first.
        let since = Instant::now();
        shelf.wipe(since);
        if shelf.held.len() == MAX_HELD {
            shelf.held.pop_front();
        }
        let token = Arc::clone(token);
        shelf.held.push_back(Held { key, token, since });
        if !shelf.swept {
            shelf.swept = true;
            tokio::spawn(sweep(Arc::downgrade(&self.shelf)));
        }
    }

    /// Lets go of the token of a key that was not issued.
    pub(super) fn forget(&self, key: KeyId) {
        lock(&self.shelf).held.retain(|entry| entry.key != key);
    }

    fn token_of(&self, key: KeyId) -> Option<Arc<Token>> {
        let mut shelf = lock(&self.shelf);
        shelf.wipe(Instant::now());
        let entry = shelf.held.iter().rev().find(|entry| entry.key == key)?;
        Some(Arc::clone(&entry.token))
    }
}

/// A panic of another holder has left the shelf whole: no change of it is done
/// in two steps.
fn lock(shelf: &Mutex<Shelf>) -> MutexGuard<'_, Shelf> {
    shelf.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Wipes each token when it has been held long enough, until none is left: a
/// server that nobody asks anything keeps none for longer.
async fn sweep(shelf: Weak<Mutex<Shelf>>) {
    while let Some(end) = oldest_end(&shelf) {
        sleep_until(end).await;
    }
}

/// When the next token is to be wiped. None: there are none, and the task that
/// asks is done.
fn oldest_end(shelf: &Weak<Mutex<Shelf>>) -> Option<Instant> {
    let shelf = shelf.upgrade()?;
    let mut shelf = lock(&shelf);
    shelf.wipe(Instant::now());
    let end = shelf.held.front().map(Held::end);
    shelf.swept = end.is_some();
    end
}

impl fmt::Debug for Requests {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Requests(..)")
    }
}

impl Registry {
    /// The key that the request has issued before; none, if it has not. That
    /// its token is handed out again is written down like a change, so that an
    /// admin key that has ended meanwhile gets nothing.
    pub(super) async fn issued_before(
        &self,
        actor: &Actor,
        request: &Identified,
    ) -> Result<Option<IssuedKey>, RegistryError> {
        let Some(carried_out) = self.carried_out(request).await? else {
            return Ok(None);
        };
        if carried_out.content != request.content {
            return Err(Violations::of(
                "request_id",
                "was used for a key with other fields; choose a new one for another key",
            )
            .into());
        }
        let id = carried_out.key.to_string();
        for _ in 0..MAX_TRIES {
            let Some(token) = self.requests.token_of(carried_out.key) else {
                return Err(RegistryError::Issued { id });
            };
            let found = match self.key(actor, Deed::ManageKeys, (&id, "key_id")).await {
                // Deleted since: its id stays used, and the request's too. To
                // one who is confined to a workspace, what is not there is
                // hidden; it was his own, so he may know.
                Err(RegistryError::NotFound { .. } | RegistryError::Hidden { .. }) => {
                    return Err(RegistryError::Issued { id });
                }
                found => found?,
            };
            // The key has another token by now, and this one is on its way out.
            if !self.is_newest(&token, &found.record) {
                return Err(RegistryError::Issued { id });
            }
            // A token is handed out: for no more than the caller may grant now.
            actor.may_grant(&found.record.scopes)?;
            let now = self.clock.now();
            let what = (AuditAction::RepeatKey, now);
            let batch = Batch {
                writes: Vec::new(),
                requires: vec![unchanged(RecordId::Key(found.record.id), found.revision)],
                audit: entry(actor, found.record.workspace(), what, &id, []),
                beside: None,
            };
            if self.attempt(actor, batch, Kind::Key, &id).await?.is_some() {
                info!(actor = actor.id(), key = id, "token of a key shown again");
                let view = self.view(found, now);
                return Ok(Some(IssuedKey { view, token }));
            }
        }
        Err(conflict(Kind::Key, &id))
    }
}

impl Registry {
    /// Whether the request has adjusted credits before.
    pub(super) async fn adjusted_before(
        &self,
        request: &Identified,
    ) -> Result<bool, RegistryError> {
        match self.carried_out(request).await? {
            None => Ok(false),
            Some(carried_out) if carried_out.content == request.content => Ok(true),
            Some(_) => Err(Violations::of(
                "request_id",
                "was used for something else; choose a new one for another adjustment",
            )
            .into()),
        }
    }

    async fn carried_out(
        &self,
        request: &Identified,
    ) -> Result<Option<IssueRequest>, RegistryError> {
        let record = RecordId::Request(request.id);
        Ok(match self.read(record, Kind::Key, "").await? {
            Some(Versioned {
                record: Record::Request(carried_out),
                ..
            }) => Some(carried_out),
            Some(_) | None => None,
        })
    }
}

/// All that a draft asks for, each part behind its length, so that no two
/// drafts read the same.
fn content(draft: &KeyDraft) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut push = |part: &str| {
        bytes.extend((part.len() as u64).to_le_bytes());
        bytes.extend(part.as_bytes());
    };
    for part in [
        &draft.workspace,
        &draft.token_prefix,
        &draft.environment,
        &draft.principal,
        &draft.name,
        &draft.description,
    ] {
        push(part);
    }
    push(&draft.scopes.len().to_string());
    draft.scopes.iter().for_each(|scope| push(scope));
    push(&draft.metadata.len().to_string());
    for (name, value) in &draft.metadata {
        push(name);
        push(value);
    }
    let expiry = draft
        .expire_time
        .map(|expiry| expiry.as_micros().to_string());
    push(expiry.as_deref().unwrap_or("never"));
    push(&draft.limits.len().to_string());
    for limit in &draft.limits {
        push(&limit.name);
        push(&limit.count.to_string());
        push(&limit.window.as_nanos().to_string());
        push(if limit.always { "always" } else { "" });
    }
    push(&draft.source_addresses.len().to_string());
    draft.source_addresses.iter().for_each(|range| push(range));
    if let Some(credits) = &draft.credits {
        let balance = credits.balance.map(|balance| balance.to_string());
        push(balance.as_deref().unwrap_or("none"));
        if let Some(refill) = credits.refill {
            push(refill.period.map_or("none", Period::as_str));
            push(&refill.amount.to_string());
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::clock::Timestamp;
    use crate::domain::credits_draft::CreditsDraft;
    use crate::domain::digest::{Pepper, StoreId};
    use crate::domain::limit::LimitDraft;
    use crate::domain::token::TokenPrefix;

    fn requests() -> Requests {
        Requests::new(Pepper::generate().request_sealer(StoreId([1; 16])))
    }

    fn hold(requests: &Requests) -> KeyId {
        let key = KeyId::generate(Timestamp::from_micros(1));
        let token = Token::mint(&TokenPrefix::try_from("abc").unwrap(), None);
        requests.hold(key, &Arc::new(token));
        key
    }

    #[tokio::test(start_paused = true)]
    async fn a_token_is_held_for_a_while_and_wiped_then() {
        let requests = requests();
        let key = hold(&requests);
        tokio::time::advance(HOLD - Duration::from_secs(1)).await;
        assert!(requests.token_of(key).is_some());
        tokio::time::advance(Duration::from_secs(2)).await;
        assert!(requests.token_of(key).is_none());
        hold(&requests);
        assert_eq!(lock(&requests.shelf).held.len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_token_is_wiped_in_time_though_nobody_asks() {
        let requests = requests();
        for _ in 0..2 {
            hold(&requests);
            let first = Arc::downgrade(&lock(&requests.shelf).held[0].token);
            tokio::time::sleep(HOLD / 2).await;
            hold(&requests);
            let second = Arc::downgrade(&lock(&requests.shelf).held[1].token);
            tokio::time::sleep(HOLD / 2 + Duration::from_millis(2)).await;
            assert_eq!((first.strong_count(), second.strong_count()), (0, 1));
            tokio::time::sleep(HOLD / 2).await;
            assert_eq!(second.strong_count(), 0);
        }
        assert!(!lock(&requests.shelf).swept, "nothing is left to wake for");
    }

    #[tokio::test]
    async fn no_more_than_so_many_are_held() {
        let requests = requests();
        let first = hold(&requests);
        let keys: Vec<_> = (0..MAX_HELD).map(|_| hold(&requests)).collect();
        assert!(requests.token_of(first).is_none());
        assert!(keys.iter().all(|key| requests.token_of(*key).is_some()));
        requests.forget(keys[7]);
        assert!(requests.token_of(keys[7]).is_none());
    }

    fn limit(count: u32, always: bool) -> LimitDraft {
        LimitDraft {
            count,
            always,
            ..LimitDraft::default()
        }
    }

    #[test]
    fn drafts_that_differ_read_differently() {
        let draft = |change: fn(&mut KeyDraft)| {
            let mut draft = KeyDraft::default();
            change(&mut draft);
            content(&draft)
        };
        let different = [
            draft(|_| {}),
            draft(|d| d.token_prefix = "a".into()),
            draft(|d| d.name = "a".into()),
            draft(|d| d.description = "a".into()),
            draft(|d| d.scopes = vec!["a".into()]),
            draft(|d| d.scopes = vec!["a".into(), "b".into()]),
            draft(|d| d.metadata = [("a".into(), "b".into())].into()),
            draft(|d| d.expire_time = Some(Timestamp::from_micros(7))),
            draft(|d| d.limits = vec![limit(1, false)]),
            draft(|d| d.limits = vec![limit(2, false)]),
            draft(|d| d.limits = vec![limit(1, true)]),
            draft(|d| d.limits = vec![limit(1, true), limit(1, true)]),
            draft(|d| d.source_addresses = vec!["a".into()]),
            draft(|d| d.credits = Some(CreditsDraft::default())),
        ];
        for (position, one) in different.iter().enumerate() {
            assert!(different[position + 1..].iter().all(|other| other != one));
        }
        assert_eq!(draft(|d| d.request_id = "a".into()), draft(|_| {}));
    }
}
