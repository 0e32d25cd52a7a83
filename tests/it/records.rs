//! Records to put into stores, told apart by a number, and stores on disk to
//! put them into.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File, TryLockError};
use std::future::Future;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::thread;

use keyward::domain::admin::{AdminKey, Reach, Role};
use keyward::domain::audit::{AuditAction, AuditEntry, OFFLINE, UNKNOWN};
use keyward::domain::clock::{Clock, ManualClock, Timestamp};
use keyward::domain::digest::{Pepper, TokenDigest};
use keyward::domain::id::{AdminKeyId, KeyId};
use keyward::domain::key::{Bond, Key, Revocation, RevocationReason, Secret};
use keyward::domain::limit::LimitSet;
use keyward::domain::principal::{Membership, Principal};
use keyward::domain::request::{IssueRequest, RequestId};
use keyward::domain::scope::{Scope, ScopeSet};
use keyward::domain::source::SourceRanges;
use keyward::domain::tombstone::{Buried, Tombstone};
use keyward::domain::workspace::{Workspace, WorkspaceDraft};
use keyward::store::home::Home;
use keyward::store::local::SledStore;
use keyward::store::{
    Batch, Commit, Expect, OpenError, Record, RecordId, Revision, Store, Versioned, Write,
};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use zeroize::Zeroizing;

/// The file of sled's log, in a store's folder.
pub(crate) const LOG: &str = "db";

/// How often to look for what is due any moment.
const MANY: usize = 100_000;

/// All records of a store, by their ids.
pub(crate) type State = HashMap<RecordId, Versioned>;

/// A moment, so many milliseconds into the tests' day.
pub(crate) fn time(millis: u64) -> Timestamp {
    Timestamp::from_micros(1_780_000_000_000_000 + millis * 1_000)
}

/// A clock that stands behind all records.
pub(crate) fn clock() -> Arc<dyn Clock> {
    Arc::new(ManualClock::at(time(1_000_000)))
}

/// The pepper of stores that have no folder to keep one in.
pub(crate) fn pepper() -> Pepper {
    Pepper::from_bytes(Zeroizing::new([7; 32]))
}

/// Waits for `future`. The runtime is one for all tests.
pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    runtime().block_on(future)
}

/// The runtime of all tests.
pub(crate) fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| {
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap()
    })
}

pub(crate) fn workspace(id: &str) -> Workspace {
    let draft = WorkspaceDraft {
        id: id.to_owned(),
        token_prefix: "klg".to_owned(),
        environments: vec!["live".to_owned(), "test".to_owned()],
        ..WorkspaceDraft::default()
    };
    draft.build(OFFLINE.to_owned(), time(0)).unwrap()
}

/// A key of `workspace` that token number `number` stands for. Keys sort by
/// their numbers.
pub(crate) fn key(workspace: &Workspace, number: u64) -> Key {
    Key {
        id: KeyId::generate(time(number)),
        bond: Bond::Workspace(workspace.id.clone()),
        environment: workspace.default_environment.clone(),
        principal: format!("user:{number}"),
        name: format!("key {number}"),
        description: String::new(),
        scopes: scopes(["people:read", "companies:remove"]),
        metadata: BTreeMap::from([("plan".to_owned(), "free".to_owned())]),
        secrets: vec![secret(number)],
        create_time: time(number),
        created_by: OFFLINE.to_owned(),
        expire_time: None,
        disabled: false,
        revocation: None,
        limits: LimitSet::default(),
        source_addresses: SourceRanges::default(),
    }
}

/// The principal of `key`.
pub(crate) fn principal_of(key: &Key) -> Principal {
    Principal::plain(&key.principal, OFFLINE.to_owned(), key.create_time)
}

/// The membership of its principal in the workspace of `key`, without a ceiling.
pub(crate) fn membership_of(key: &Key) -> Membership {
    Membership {
        workspace: key.workspace().unwrap().clone(),
        principal: key.principal.clone(),
        scope_ceiling: scopes(["*"]),
        create_time: key.create_time,
        created_by: OFFLINE.to_owned(),
        removal: None,
    }
}

/// The change that issues `key`, the first of its principal, as the registry
/// does.
pub(crate) fn issue(key: Key) -> Batch {
    let first = [
        Record::Principal(principal_of(&key)),
        Record::Membership(membership_of(&key)),
    ];
    let mut batch = create(Record::Key(key));
    let first = first.map(|record| Write {
        record,
        expect: Expect::Absent,
    });
    batch.writes.splice(..0, first);
    batch
}

pub(crate) fn revoked(key: &Key) -> Key {
    let revocation = Revocation {
        time: key.create_time,
        reason: RevocationReason::Leaked,
        by: OFFLINE.to_owned(),
        note: String::new(),
    };
    Key {
        revocation: Some(revocation),
        ..key.clone()
    }
}

pub(crate) fn scopes<const N: usize>(texts: [&str; N]) -> ScopeSet {
    texts
        .iter()
        .map(|text| Scope::try_from(*text).unwrap())
        .collect()
}

/// The secret of token number `number`.
pub(crate) fn secret(number: u64) -> Secret {
    Secret {
        digest: digest(number),
        tail: *b"x7Qa",
        create_time: time(number),
        pepper_id: pepper().id(),
        end: None,
        imported: None,
    }
}

/// The digest of token number `number`.
pub(crate) fn digest(number: u64) -> TokenDigest {
    pepper()
        .token_hasher()
        .digest(format!("token {number}").as_bytes())
}

/// An admin key that token number `number` stands for.
pub(crate) fn admin(number: u64) -> AdminKey {
    AdminKey {
        id: AdminKeyId::generate(time(number)),
        name: format!("admin {number}"),
        role: Role::Owner,
        reach: Reach::System,
        grant_ceiling: scopes(["*"]),
        secrets: vec![secret(number)],
        create_time: time(number),
        created_by: String::new(),
        expire_time: None,
        disabled: false,
        revocation: None,
    }
}

/// What is left of `record` once it is deleted.
pub(crate) fn buried(record: &Record) -> Record {
    let of = match record {
        Record::Workspace(workspace) => Buried::Workspace(workspace.id.clone()),
        Record::Key(key) => Buried::Key {
            id: key.id,
            workspace: key.workspace().cloned(),
            secrets: key.secrets.clone(),
        },
        Record::Principal(principal) => Buried::Principal(principal.id.clone()),
        Record::AdminKey(_)
        | Record::Credits(_)
        | Record::Usage(_)
        | Record::Request(_)
        | Record::Membership(_)
        | Record::Tombstone(_) => {
            panic!("it cannot be deleted: {record:?}")
        }
    };
    Record::Tombstone(Tombstone {
        of,
        time: time(0),
        by: OFFLINE.to_owned(),
    })
}

/// The record of request number `number`, which issued `key`.
pub(crate) fn request(number: u64, key: KeyId) -> Record {
    let mut id = [0; 16];
    id[8..].copy_from_slice(&number.to_be_bytes());
    Record::Request(IssueRequest {
        id: RequestId(id),
        content: [9; 16],
        key,
    })
}

/// The change that writes nothing but its entry in the log of `workspace`.
pub(crate) fn note(workspace: Option<&Workspace>, resource: &str) -> Batch {
    Batch {
        writes: Vec::new(),
        requires: Vec::new(),
        audit: AuditEntry {
            workspace: workspace.map(|workspace| workspace.id.clone()),
            time: time(0),
            actor: UNKNOWN.to_owned(),
            action: AuditAction::DenyCall,
            resource: resource.to_owned(),
            detail: BTreeMap::from([("call".to_owned(), "CreateKey".to_owned())]),
        },
        beside: None,
    }
}

/// The change that makes `record`.
pub(crate) fn create(record: Record) -> Batch {
    write(record, Expect::Absent)
}

/// The change that replaces what commit `at` wrote by `record`.
pub(crate) fn update(record: Record, at: Revision) -> Batch {
    write(record, Expect::At(at))
}

/// The change that writes `record` alone.
pub(crate) fn write(record: Record, expect: Expect) -> Batch {
    let audit = entry(&record);
    Batch {
        writes: vec![Write { record, expect }],
        audit,
        requires: Vec::new(),
        beside: None,
    }
}

fn entry(record: &Record) -> AuditEntry {
    let (workspace, action, resource) = match record {
        Record::Workspace(workspace) => (
            Some(workspace.id.clone()),
            AuditAction::CreateWorkspace,
            workspace.id.to_string(),
        ),
        Record::Key(key) => (
            key.workspace().cloned(),
            AuditAction::CreateKey,
            key.id.to_string(),
        ),
        Record::Principal(principal) => (None, AuditAction::CreatePrincipal, principal.id.clone()),
        Record::Membership(membership) => (
            Some(membership.workspace.clone()),
            AuditAction::SetMembership,
            membership.principal.clone(),
        ),
        Record::AdminKey(admin) => (None, AuditAction::Init, admin.id.to_string()),
        Record::Credits(credits) => (None, AuditAction::SetCredits, credits.key.to_string()),
        Record::Usage(usage) => (None, AuditAction::CreateKey, usage.key.to_string()),
        Record::Request(request) => (None, AuditAction::CreateKey, request.id.to_string()),
        Record::Tombstone(tombstone) => match &tombstone.of {
            Buried::Workspace(id) => (
                Some(id.clone()),
                AuditAction::DeleteWorkspace,
                id.to_string(),
            ),
            Buried::Key { id, workspace, .. } => {
                (workspace.clone(), AuditAction::DeleteKey, id.to_string())
            }
            Buried::Principal(id) => (None, AuditAction::DeletePrincipal, id.clone()),
        },
    };
    AuditEntry {
        workspace,
        time: time(0),
        actor: OFFLINE.to_owned(),
        action,
        resource,
        detail: BTreeMap::new(),
    }
}

/// Loads the store to its end.
pub(crate) fn load(store: &dyn Store) -> Result<(Revision, State), OpenError> {
    let snapshot = store.snapshot()?;
    let revision = snapshot.revision();
    let mut state = State::new();
    for versioned in snapshot {
        let versioned = versioned?;
        let twice = state.insert(versioned.record.id(), versioned);
        assert_eq!(twice, None, "a snapshot holds each record once");
    }
    Ok((revision, state))
}

/// What `commit` makes of `state`.
pub(crate) fn replay(state: &mut State, commit: &Commit) {
    for change in &commit.changes {
        let after = Versioned {
            record: change.after.clone(),
            revision: commit.revision,
        };
        let before = match &change.after {
            Record::Workspace(_)
            | Record::Key(_)
            | Record::AdminKey(_)
            | Record::Credits(_)
            | Record::Usage(_)
            | Record::Principal(_)
            | Record::Membership(_) => state.insert(change.after.id(), after),
            // What is over, and what is only looked up, is in no snapshot.
            Record::Tombstone(_) | Record::Request(_) => state.remove(&change.after.id()),
        };
        let before = before.map(|before| before.record);
        assert_eq!(
            before, change.before,
            "a change tells what was there before it"
        );
    }
}

/// A place for a store on disk.
#[derive(Debug)]
pub(crate) struct Disk {
    folder: TempDir,
    pub(crate) home: Home,
}

impl Disk {
    /// An empty place.
    pub(crate) fn empty() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::new(folder.path().join("store"), folder.path().join("guard")).unwrap();
        Self { folder, home }
    }

    /// A place with a store, in which the first commit made an admin key.
    pub(crate) fn with_store() -> Self {
        let disk = Self::empty();
        disk.init().unwrap();
        disk
    }

    pub(crate) fn init(&self) -> Result<(), OpenError> {
        let first = |_: &Pepper| create(Record::AdminKey(admin(0)));
        block_on(self.home.init(clock(), first))?;
        self.wait_until_let_go();
        Ok(())
    }

    /// Opens the store and loads it.
    pub(crate) fn open(&self) -> Result<(SledStore, State), OpenError> {
        let (store, _) = self.home.open(clock())?;
        match load(&store) {
            Ok((_, state)) => Ok((store, state)),
            Err(error) => {
                self.close(store);
                Err(error)
            }
        }
    }

    pub(crate) fn close(&self, store: SledStore) {
        store.close();
        drop(store);
        self.wait_until_let_go();
    }

    /// What a load of the store finds.
    pub(crate) fn load(&self) -> Result<State, OpenError> {
        let (store, state) = self.open()?;
        self.close(store);
        Ok(state)
    }

    /// Opens and loads the store, makes the changes that `change` wants, and
    /// closes it.
    pub(crate) fn run<T>(&self, change: impl FnOnce(&SledStore) -> T) -> T {
        let (store, _) = self.open().unwrap();
        let result = change(&store);
        self.close(store);
        result
    }

    /// Hands what lies in the store's files to `work`, and closes them.
    pub(crate) fn raw<T>(&self, work: impl FnOnce(&sled::Tree) -> T) -> T {
        self.wait_until_let_go();
        let db = sled::open(self.home.store_dir()).unwrap();
        let result = work(&db);
        db.flush().unwrap();
        drop(db);
        self.wait_until_let_go();
        result
    }

    /// sled's own threads can hold on to the log's lock for a moment after
    /// everything else is gone, or for good after they panicked.
    pub(crate) fn wait_until_let_go(&self) {
        let Ok(log) = File::open(self.home.store_dir().join(LOG)) else {
            return;
        };
        for _ in 0..MANY {
            match log.try_lock() {
                Ok(()) => return,
                Err(TryLockError::WouldBlock) => thread::yield_now(),
                Err(TryLockError::Error(error)) => panic!("{error}"),
            }
        }
    }

    /// A folder for copies.
    pub(crate) fn aside(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }
}

/// Makes `to` a copy of the folder `from`, whatever was there.
pub(crate) fn copy_folder(from: &Path, to: &Path) {
    if to.exists() {
        fs::remove_dir_all(to).unwrap();
    }
    fs::create_dir_all(to).unwrap();
    for name in files(from).into_keys() {
        let path = to.join(&name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::copy(from.join(&name), path).unwrap();
    }
}

/// The files in `folder` and below it, by their paths there.
pub(crate) fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path
                    .strip_prefix(folder)
                    .unwrap()
                    .to_str()
                    .unwrap()
                    .to_owned();
                found.insert(name, fs::read(path).unwrap());
            }
        }
    }
    found
}
