//! What is read and then written, while another change comes in between: a
//! registry over a store in this process, which is meddled with right before a
//! commit.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use keyward::domain::audit::{AuditEvent, AuditLog};
use keyward::domain::credits::Credits;
use keyward::domain::digest::StoreId;
use keyward::domain::key_draft::KeyDraft;
use keyward::domain::principal::{Membership, MembershipDraft, Removal};
use keyward::domain::usage::Usage;
use keyward::index::follower;
use keyward::service::admission::{Actor, Admission};
use keyward::service::bootstrap::{first_owner, mint_admin_token};
use keyward::service::error::{Condition, Kind, RegistryError};
use keyward::service::registry::{MembershipView, PageQuestion, Registry};
use keyward::store::local::MemoryStore;
use keyward::store::{
    Batch, BoxFuture, Commits, Expect, List, OpenError, Record, RecordId, Revision, Snapshot,
    Store, StoreError, StoreHealth, Versioned, Write,
};
use tokio::sync::watch;

use crate::records::{self, buried, clock, create, key, pepper, time, update, workspace};

/// A store that makes another's change first, when it is asked for the next one.
#[derive(Debug)]
struct Meddled {
    store: MemoryStore,
    others: Mutex<Option<Batch>>,
}

impl Store for Meddled {
    fn id(&self) -> StoreId {
        self.store.id()
    }

    fn snapshot(&self) -> Result<Snapshot, OpenError> {
        self.store.snapshot()
    }

    fn follow(&self, after: Revision) -> Result<Commits, StoreError> {
        self.store.follow(after)
    }

    fn commit(&self, batch: Batch) -> BoxFuture<'_, Result<Revision, StoreError>> {
        Box::pin(async move {
            let others = self.others.lock().unwrap().take();
            if let Some(others) = others {
                self.store.commit(others).await.unwrap();
            }
            self.store.commit(batch).await
        })
    }

    fn reserve(
        &self,
        accounts: Vec<Versioned<Credits>>,
    ) -> BoxFuture<'_, Result<Revision, StoreError>> {
        self.store.reserve(accounts)
    }

    fn note_usage(&self, usages: Vec<Usage>) -> BoxFuture<'_, Result<Revision, StoreError>> {
        self.store.note_usage(usages)
    }

    fn get(&self, id: &RecordId) -> Result<Option<Versioned>, StoreError> {
        self.store.get(id)
    }

    fn list(
        &self,
        list: &List,
        after: Option<&RecordId>,
        limit: usize,
    ) -> Result<Vec<Versioned>, StoreError> {
        self.store.list(list, after, limit)
    }

    fn audit(
        &self,
        log: &AuditLog,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Vec<AuditEvent>, StoreError> {
        self.store.audit(log, before, limit)
    }

    fn health(&self) -> watch::Receiver<StoreHealth> {
        self.store.health()
    }

    fn close(&self) {
        self.store.close();
    }
}

const ADA: &str = "user:ada";

/// A registry with the workspace `klipy`, and an OWNER who acts.
struct Stage {
    store: Arc<Meddled>,
    registry: Registry,
    owner: Actor,
}

impl Stage {
    async fn open() -> Self {
        let store = Arc::new(Meddled {
            store: MemoryStore::in_memory(&pepper(), clock()).unwrap(),
            others: Mutex::default(),
        });
        let loading = Arc::clone(&store);
        let index = tokio::task::spawn_blocking(move || follower::start(&*loading).unwrap());
        let index = index.await.unwrap();
        let token = mint_admin_token().unwrap();
        let made = [
            first_owner(&token, &pepper(), time(1)),
            create(Record::Workspace(workspace("klipy"))),
        ];
        for batch in made {
            let revision = store.commit(batch).await.unwrap();
            index.reached(revision).await.unwrap();
        }
        let admission = Admission::new(Arc::clone(&index), pepper().token_hasher(), clock());
        let owner = admission.authenticate(token.expose().as_bytes()).unwrap();
        let dyn_store: Arc<dyn Store> = store.clone();
        let registry = Registry::new(dyn_store, index, pepper(), clock(), Duration::ZERO);
        Self {
            store,
            registry,
            owner,
        }
    }

    /// Others make this change right before the next one.
    fn meddle(&self, batch: Batch) {
        *self.store.others.lock().unwrap() = Some(batch);
    }

    fn was_meddled(&self) -> bool {
        self.store.others.lock().unwrap().is_none()
    }

    fn found(&self, id: &RecordId) -> Option<Versioned> {
        self.store.get(id).unwrap()
    }

    async fn set(&self, ceiling: &str) -> Result<MembershipView, RegistryError> {
        let draft = MembershipDraft {
            workspace: "klipy".to_owned(),
            principal: ADA.to_owned(),
            scope_ceiling: vec![ceiling.to_owned()],
        };
        self.registry.set_membership(&self.owner, draft, "").await
    }

    async fn issue(&self) -> Result<(), RegistryError> {
        let draft = KeyDraft {
            workspace: "klipy".to_owned(),
            principal: ADA.to_owned(),
            name: "a key".to_owned(),
            ..KeyDraft::default()
        };
        self.registry.create_key(&self.owner, draft).await.map(drop)
    }

    async fn delete(&self) -> Result<(), RegistryError> {
        self.registry.delete_principal(&self.owner, (ADA, "")).await
    }

    fn membership(&self) -> Versioned {
        let id = RecordId::Membership("klipy".parse().unwrap(), ADA.to_owned());
        self.found(&id).unwrap()
    }

    /// The change that deletes the principal as it is now.
    fn deletion(&self) -> Batch {
        let found = self.found(&RecordId::Principal(ADA.to_owned())).unwrap();
        update(buried(&found.record), found.revision)
    }

    async fn keys(&self) -> usize {
        let list = List::KeysOfPrincipal(ADA.to_owned());
        self.store.list(&list, None, 10).unwrap().len()
    }
}

/// The membership without its removal, or with one.
fn changed(found: &Versioned, removed: Option<u64>, ceiling: &str) -> Batch {
    let Record::Membership(membership) = &found.record else {
        panic!("{found:?}")
    };
    let membership = Membership {
        scope_ceiling: records::scopes([ceiling]),
        removal: removed.map(|at| Removal {
            time: time(at),
            by: "adm".to_owned(),
        }),
        ..membership.clone()
    };
    update(Record::Membership(membership), found.revision)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_removed_while_it_is_being_set_stays_removed() {
    let stage = Stage::open().await;
    stage.set("a").await.unwrap();
    stage.meddle(changed(&stage.membership(), Some(7), "a"));
    let error = stage.set("b").await.unwrap_err();
    let RegistryError::Conflict { kind, id } = &error else {
        panic!("{error}")
    };
    assert_eq!((*kind, &**id), (Kind::Membership, "klipy/user:ada"));
    assert!(stage.was_meddled());
    let Record::Membership(left) = stage.membership().record else {
        unreachable!()
    };
    assert_eq!(left.removal.unwrap().time, time(7));

    // Whoever asks after the removal does know of it.
    stage.set("b").await.unwrap();
    // Removed, set and removed again is another removal than was read.
    stage.meddle(changed(&stage.membership(), Some(8), "b"));
    stage.set("c").await.unwrap_err();
    stage.meddle(changed(&stage.membership(), Some(9), "b"));
    assert!(matches!(
        stage.set("c").await.unwrap_err(),
        RegistryError::Conflict { .. }
    ));
    // What else comes in between does not matter: the last one wins.
    stage.set("c").await.unwrap();
    stage.meddle(changed(&stage.membership(), None, "d"));
    let set = stage.set("e").await.unwrap();
    assert_eq!(set.membership.scope_ceiling, records::scopes(["e"]));
    assert!(stage.was_meddled());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_principal_that_is_deleted_meanwhile_gets_neither_key_nor_membership() {
    let deleted = |error: RegistryError| {
        let RegistryError::Precondition {
            kind, condition, ..
        } = &error
        else {
            panic!("{error}")
        };
        let expected = (Kind::Principal, Condition::PrincipalDeleted);
        assert_eq!((*kind, *condition), expected);
    };
    for has_membership in [false, true] {
        let stage = Stage::open().await;
        let principal = records::principal_of(&keyward::domain::key::Key {
            principal: ADA.to_owned(),
            ..key(&workspace("klipy"), 1)
        });
        stage
            .store
            .commit(create(Record::Principal(principal)))
            .await
            .unwrap();
        if has_membership {
            stage.set("*").await.unwrap();
        }
        stage.meddle(stage.deletion());
        if has_membership {
            deleted(stage.issue().await.unwrap_err());
        } else {
            deleted(stage.set("*").await.unwrap_err());
        }
        assert!(stage.was_meddled());
        assert_eq!(stage.keys().await, 0);
        let listed = stage
            .registry
            .list_memberships(&stage.owner, ("", ""), PageQuestion::default())
            .await
            .unwrap();
        assert_eq!(listed.items.len(), 0);
        deleted(stage.issue().await.unwrap_err());
        deleted(stage.set("*").await.unwrap_err());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_principal_that_gets_a_key_meanwhile_is_not_deleted() {
    let stage = Stage::open().await;
    stage.set("*").await.unwrap();
    let issued = keyward::domain::key::Key {
        principal: ADA.to_owned(),
        ..key(&workspace("klipy"), 1)
    };
    stage.meddle(create(Record::Key(issued)));
    let error = stage.delete().await.unwrap_err();
    let RegistryError::Precondition { condition, .. } = &error else {
        panic!("{error}")
    };
    let one = Condition::PrincipalHasKeys { keys: 1 };
    assert_eq!(*condition, one);
    assert!(stage.was_meddled());
    assert_eq!(stage.keys().await, 1);

    // As soon as that is gone, it goes. What else was changed of it in between
    // does not hold that up, without an etag.
    let key = &stage
        .store
        .list(&List::KeysOfPrincipal(ADA.to_owned()), None, 1)
        .unwrap()[0];
    let batch = update(buried(&key.record), key.revision);
    stage.store.commit(batch).await.unwrap();
    let found = stage.found(&RecordId::Principal(ADA.to_owned())).unwrap();
    let Record::Principal(mut principal) = found.record else {
        unreachable!()
    };
    principal.disabled = true;
    stage.meddle(Batch {
        writes: vec![Write {
            record: Record::Principal(principal.clone()),
            expect: Expect::At(found.revision),
        }],
        ..update(Record::Principal(principal), found.revision)
    });
    stage.delete().await.unwrap();
    assert!(stage.was_meddled());
}
