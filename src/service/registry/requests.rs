//! Issuing once: a request that is repeated gets the key that it made the first
//! time, and its token as long as this process holds it.
//!
//! Which request was carried out is in the store, in the same commit as the
//! key. The token is not: it is held in memory, for a while, and wiped then.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::domain::admin::Deed;
use crate::domain::digest::Sealer;
use crate::domain::id::KeyId;
use crate::domain::key_draft::KeyDraft;
use crate::domain::request::{IssueRequest, RequestId};
use crate::domain::token::Token;
use crate::domain::violation::Violations;
use crate::store::{Expect, Record, RecordId, Versioned, Write};

use super::super::admission::Actor;
use super::super::error::{Kind, RegistryError};
use super::{IssuedKey, KeyView, Registry};

/// How long a token is held for a repetition.
const HOLD: Duration = Duration::from_secs(600);

/// How many tokens are held.
const MAX_HELD: usize = 1_000;

/// Tells requests apart, and holds the tokens of those just carried out.
pub(super) struct Requests {
    sealer: Sealer,
    /// The oldest first.
    held: Mutex<VecDeque<Held>>,
}

struct Held {
    key: KeyId,
    token: Arc<Token>,
    since: Instant,
}

/// Which request, and what it asks for.
pub(super) struct Identified {
    id: RequestId,
    content: [u8; 16],
}

impl Identified {
    /// The write that notes that the request has issued `key`.
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
            held: Mutex::default(),
        }
    }

    /// Which request the draft is; none, if it is not to be recognised.
    pub(super) fn identify(&self, actor: &Actor, draft: &KeyDraft) -> Option<Identified> {
        if draft.request_id.is_empty() {
            return None;
        }
        let of = |what: &str, parts: &[&[u8]]| self.sealer.seal(what.as_bytes(), parts).mac.0;
        let caller = actor.id();
        Some(Identified {
            id: RequestId(of(
                "id",
                &[caller.as_bytes(), b"\0", draft.request_id.as_bytes()],
            )),
            content: of("content", &[&content(draft)]),
        })
    }

    /// Holds the token of a key that is about to be issued.
    pub(super) fn hold(&self, key: KeyId, token: &Arc<Token>) {
        let since = Instant::now();
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.retain(|entry| since.duration_since(entry.since) < HOLD);
        if held.len() == MAX_HELD {
            held.pop_front();
        }
        let token = Arc::clone(token);
        held.push_back(Held { key, token, since });
    }

    /// Lets go of the token of a key that was not issued.
    pub(super) fn forget(&self, key: KeyId) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.retain(|entry| entry.key != key);
    }

    fn token_of(&self, key: KeyId) -> Option<Arc<Token>> {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = held.iter().rev().find(|entry| entry.key == key)?;
        (entry.since.elapsed() < HOLD).then(|| Arc::clone(&entry.token))
    }
}

impl fmt::Debug for Requests {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Requests(..)")
    }
}

impl Registry {
    /// The key that the request has issued before; none, if it has not.
    pub(super) async fn issued_before(
        &self,
        actor: &Actor,
        request: &Identified,
    ) -> Result<Option<IssuedKey>, RegistryError> {
        let record = RecordId::Request(request.id);
        let Some(Versioned {
            record: Record::Request(carried_out),
            ..
        }) = self.read(record, Kind::Key, "").await?
        else {
            return Ok(None);
        };
        if carried_out.content != request.content {
            let mut violations = Violations::default();
            violations.add(
                "request_id",
                "was used for a key with other fields; choose a new one for another key",
            );
            return Err(violations.into());
        }
        let id = carried_out.key.to_string();
        let Some(token) = self.requests.token_of(carried_out.key) else {
            return Err(RegistryError::Issued { id });
        };
        let (found, workspace) = match self.key(actor, Deed::ManageKeys, (&id, "key_id")).await {
            // Deleted since: its id stays used, and the request's too.
            Err(RegistryError::NotFound { .. }) => return Err(RegistryError::Issued { id }),
            found => found?,
        };
        // A token is handed out: for no more than the caller may grant now.
        actor.may_grant(&found.record.scopes)?;
        let view = KeyView::new(found, &workspace.record, self.clock.now());
        Ok(Some(IssuedKey { view, token }))
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
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::clock::Timestamp;
    use crate::domain::digest::{Pepper, StoreId};
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
        assert_eq!(requests.held.lock().unwrap().len(), 1);
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

    #[test]
    fn drafts_that_differ_read_differently() {
        let draft = |change: fn(&mut KeyDraft)| {
            let mut draft = KeyDraft::default();
            change(&mut draft);
            content(&draft)
        };
        let different = [
            draft(|_| {}),
            draft(|d| d.name = "a".into()),
            draft(|d| d.description = "a".into()),
            draft(|d| d.scopes = vec!["a".into()]),
            draft(|d| d.scopes = vec!["a".into(), "b".into()]),
            draft(|d| d.metadata = [("a".into(), "b".into())].into()),
            draft(|d| d.expire_time = Some(Timestamp::from_micros(7))),
        ];
        for (position, one) in different.iter().enumerate() {
            assert!(different[position + 1..].iter().all(|other| other != one));
        }
        assert_eq!(draft(|d| d.request_id = "a".into()), draft(|_| {}));
    }
}
