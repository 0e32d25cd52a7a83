//! What every store promises: one suite, run on each of them.
//!
//! The writer of a store asks its clock once for each group of commits. The
//! clock here can be shut, which holds the writer there: so it is known what
//! is in one group, and no test has to wait for a moment to come.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::Pin;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Condvar, Mutex};
use std::task::{Context, Waker};
use std::thread;
use std::time::Duration;

use keyward::domain::admin::{AdminKey, Reach};
use keyward::domain::catalog::{MAX_CATALOG, MAX_CATALOG_LEN, ScopeCatalog};
use keyward::domain::clock::{Clock, Timestamp};
use keyward::domain::fields::{
    MAX_DESCRIPTION_LEN, MAX_METADATA, MAX_METADATA_LEN, MAX_NAME_LEN, MAX_NOTE_LEN,
    MAX_PRINCIPAL_LEN, MAX_SCOPES, MAX_SCOPES_LEN,
};
use keyward::domain::id::{KeyId, WorkspaceId};
use keyward::domain::key::{self, Key};
use keyward::domain::key_draft::{KeyDraft, KeySpec};
use keyward::domain::workspace::{
    MAX_DISPLAY_NAME_LEN, MAX_ENVIRONMENTS, Workspace, WorkspaceDraft,
};
use keyward::store::local::MemoryStore;
use keyward::store::{
    Batch, Commits, Expect, List, Record, RecordId, Revision, Store, StoreError, StoreHealth,
    Versioned, Write,
};
use tokio::time::timeout;

use crate::records::{
    self, Disk, State, admin, block_on, create, load, pepper, replay, revoked, runtime, secret,
    time, update, workspace,
};

/// Nothing here takes this long, unless it never ends.
const PATIENCE: Duration = Duration::from_secs(5);

/// Long enough to tell what is held up from what is not.
const A_WHILE: Duration = Duration::from_millis(200);

/// How far back a store's commits can be followed at least, and no further.
const BACKLOG: u64 = 1_024;

/// Runs the suite on a backend. Another backend is another line below.
macro_rules! suite {
    ($($test:ident)*) => {
        macro_rules! run_on {
            ($backend:ident) => {
                mod $backend {
                    $(
                        #[test]
                        fn $test() {
                            super::$test(super::Subject::$backend);
                        }
                    )*
                }
            };
        }
    };
}

suite! {
    what_was_committed_is_read
    keys_come_in_pages_by_their_ids
    a_conflict_names_the_record_and_leaves_nothing
    commits_of_one_group_see_each_other
    what_a_commit_conflicted_with_can_be_read
    of_many_creations_of_one_id_one_wins
    of_many_updates_of_one_revision_one_wins
    no_update_is_lost
    followers_are_told_before_the_answer_leaves
    followers_and_snapshots_under_load_tell_one_story
    commits_too_far_back_are_no_longer_held
    nothing_is_written_before_the_first_load
    a_closed_store_takes_nothing
    closing_finishes_what_was_asked_for_before
    a_full_queue_does_not_keep_a_store_open
    what_is_too_large_changes_nothing
    records_at_every_limit_fit
    many_large_commits_are_split_into_groups
    a_caller_that_gives_up_leaves_the_watch_behind
    a_commit_that_does_not_end_loses_the_store
    a_writer_that_dies_loses_the_store
}

run_on!(on_disk);
run_on!(in_memory);

/// A store, with what it takes to try it.
struct Subject {
    store: Arc<dyn Store>,
    gate: Arc<Gate>,
    disk: Option<Disk>,
}

type Backend = fn() -> Subject;

/// A commit that waits for its answer.
type Queued = Pin<Box<dyn Future<Output = Result<Revision, StoreError>> + Send>>;

impl Subject {
    fn on_disk() -> Self {
        let disk = Disk::with_store();
        let gate = Arc::new(Gate::default());
        let (store, _) = disk.home.open(Arc::clone(&gate) as _).unwrap();
        Self {
            store: Arc::new(store),
            gate,
            disk: Some(disk),
        }
    }

    fn in_memory() -> Self {
        let gate = Arc::new(Gate::default());
        let store = MemoryStore::in_memory(&pepper(), Arc::clone(&gate) as _).unwrap();
        Self {
            store: Arc::new(store),
            gate,
            disk: None,
        }
    }

    /// A store with one workspace, loaded.
    fn with_workspace(backend: Backend) -> (Self, Workspace) {
        let subject = backend();
        subject.load();
        let workspace = workspace("klipy");
        subject
            .commit(create(Record::Workspace(workspace.clone())))
            .unwrap();
        (subject, workspace)
    }

    /// Everything that is in the store; verified by the store, as it is on
    /// every load.
    fn load(&self) -> (Revision, State) {
        load(&*self.store).unwrap()
    }

    fn commit(&self, batch: Batch) -> Result<Revision, StoreError> {
        block_on(self.store.commit(batch))
    }

    /// Commits all of `batches` in one group, in their order.
    fn commit_as_one_group(&self, batches: Vec<Batch>) -> Vec<Result<Revision, StoreError>> {
        let groups = self.gate.passed();
        self.gate.shut();
        let queued = self.queue(batches);
        self.gate.wait_for_arrival();
        self.gate.open();
        let results = block_on(async {
            let mut results = Vec::new();
            for commit in queued {
                results.push(commit.await);
            }
            results
        });
        assert_eq!(self.gate.passed(), groups + 1, "all of them were one group");
        results
    }

    /// Queues commits in their order without waiting for them: a commit is
    /// queued by the first poll, unless the queue is full.
    fn queue(&self, batches: Vec<Batch>) -> Vec<Queued> {
        let _context = runtime().enter();
        let queue = |batch| {
            let store = Arc::clone(&self.store);
            let mut commit: Queued = Box::pin(async move { store.commit(batch).await });
            assert!(
                commit
                    .as_mut()
                    .poll(&mut Context::from_waker(Waker::noop()))
                    .is_pending()
            );
            commit
        };
        batches.into_iter().map(queue).collect()
    }

    /// Commits all of `batches` at the same time.
    fn commit_at_once(&self, batches: Vec<Batch>) -> Vec<Result<Revision, StoreError>> {
        let start = |batch| {
            let store = Arc::clone(&self.store);
            runtime().spawn(async move { store.commit(batch).await })
        };
        let tasks: Vec<_> = batches.into_iter().map(start).collect();
        block_on(async {
            let mut results = Vec::new();
            for task in tasks {
                results.push(task.await.unwrap());
            }
            results
        })
    }

    /// Closes the store and counts the links of an audit chain in its files,
    /// if it has any.
    fn audit_links(self, chain: &str) -> Option<usize> {
        self.store.close();
        drop(self.store);
        let links = |tree: &sled::Tree| tree.scan_prefix(format!("x/{chain}\0")).count();
        self.disk.map(|disk| disk.raw(links))
    }
}

/// A clock that does not answer while it is shut.
#[derive(Debug, Default)]
struct Gate {
    turnstile: Mutex<Turnstile>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Turnstile {
    shut: bool,
    waiting: usize,
    passed: usize,
}

impl Gate {
    fn shut(&self) {
        self.turnstile.lock().unwrap().shut = true;
    }

    fn open(&self) {
        self.turnstile.lock().unwrap().shut = false;
        self.changed.notify_all();
    }

    /// How many have been told the time.
    fn passed(&self) -> usize {
        self.turnstile.lock().unwrap().passed
    }

    /// Returns when somebody waits to be told the time.
    fn wait_for_arrival(&self) {
        let turnstile = self.turnstile.lock().unwrap();
        let arrived = self
            .changed
            .wait_timeout_while(turnstile, PATIENCE, |turnstile| turnstile.waiting == 0)
            .unwrap();
        assert!(!arrived.1.timed_out(), "the writer asks for the time");
    }
}

impl Clock for Gate {
    fn now(&self) -> Timestamp {
        let mut turnstile = self.turnstile.lock().unwrap();
        turnstile.waiting += 1;
        self.changed.notify_all();
        let (mut turnstile, _) = self
            .changed
            .wait_timeout_while(turnstile, PATIENCE, |turnstile| turnstile.shut)
            .unwrap();
        turnstile.waiting -= 1;
        turnstile.passed += 1;
        time(1_000_000)
    }
}

fn what_was_committed_is_read(backend: Backend) {
    let subject = backend();
    let (start, mut expected) = subject.load();
    let workspace = workspace("klipy");
    let key = records::key(&workspace, 1);
    let revoked = revoked(&key);
    let absent = records::key(&workspace, 2);

    let written = [
        create(Record::Workspace(workspace)),
        create(Record::Key(key)),
        create(Record::AdminKey(admin(3))),
        update(Record::Key(revoked), Revision(start.0 + 2)),
    ];
    for (batch, number) in written.into_iter().zip(start.0 + 1..) {
        let record = batch.writes[0].record.clone();
        let revision = Revision(number);
        assert_eq!(subject.commit(batch).unwrap(), revision);
        let versioned = Versioned {
            record: record.clone(),
            revision,
        };
        assert_eq!(
            subject.store.get(&record.id()).unwrap().as_ref(),
            Some(&versioned)
        );
        expected.insert(record.id(), versioned);
    }
    assert_eq!(subject.store.get(&RecordId::Key(absent.id)).unwrap(), None);
    assert_eq!(subject.load(), (Revision(start.0 + 4), expected));
}

fn keys_come_in_pages_by_their_ids(backend: Backend) {
    // Each id is a part of the next one's beginning.
    let workspaces = ["a", "a.b", "ab"].map(workspace);
    let subject = backend();
    subject.load();
    for workspace in &workspaces {
        subject
            .commit(create(Record::Workspace(workspace.clone())))
            .unwrap();
    }
    let keys: Vec<_> = (1..=30)
        .map(|number| records::key(&workspaces[number % 2], number as u64))
        .collect();
    let batches = keys
        .iter()
        .rev()
        .map(|key| create(Record::Key(key.clone())))
        .collect();
    assert!(subject.commit_at_once(batches).iter().all(Result::is_ok));

    let of = |workspace: &Workspace| {
        keys.iter()
            .filter(|key| key.workspace == workspace.id)
            .cloned()
            .collect()
    };
    let lists: [(Option<&WorkspaceId>, Vec<Key>); 4] = [
        (None, keys.clone()),
        (Some(&workspaces[0].id), of(&workspaces[0])),
        (Some(&workspaces[1].id), of(&workspaces[1])),
        (Some(&workspaces[2].id), Vec::new()),
    ];
    for (workspace, expected) in lists {
        for size in [1, 4, expected.len().max(1), 100] {
            assert_eq!(
                read_in_pages(&*subject.store, workspace, size),
                expected,
                "{workspace:?}, {size} at a time"
            );
        }
        assert_eq!(list_keys(&*subject.store, workspace, None, 0).unwrap(), []);
        // A place in the list is one even if no key has that id.
        let between = KeyId::generate(time(17));
        let behind: Vec<_> = expected
            .into_iter()
            .filter(|key| key.id > between)
            .collect();
        assert_eq!(
            list_keys(&*subject.store, workspace, Some(between), 100).unwrap(),
            behind
        );
    }
}

/// Keys of one workspace or of all, from behind one of them on.
fn list_keys(
    store: &dyn Store,
    workspace: Option<&WorkspaceId>,
    after: Option<KeyId>,
    limit: usize,
) -> Result<Vec<Key>, StoreError> {
    let list = workspace.cloned().map_or(List::Keys, List::KeysOf);
    let after = after.map(RecordId::Key);
    let found = store.list(&list, after.as_ref(), limit)?;
    let key = |found: Versioned| match found.record {
        Record::Key(key) => key,
        other => panic!("a key: {other:?}"),
    };
    Ok(found.into_iter().map(key).collect())
}

fn read_in_pages(store: &dyn Store, workspace: Option<&WorkspaceId>, size: usize) -> Vec<Key> {
    let mut read: Vec<Key> = Vec::new();
    loop {
        let page = list_keys(store, workspace, read.last().map(|key| key.id), size).unwrap();
        assert!(page.len() <= size);
        if page.is_empty() {
            return read;
        }
        read.extend(page);
    }
}

fn a_conflict_names_the_record_and_leaves_nothing(backend: Backend) {
    let (subject, workspace) = Subject::with_workspace(backend);
    let held = records::key(&workspace, 1);
    let at = subject.commit(create(Record::Key(held.clone()))).unwrap();
    let before = subject.load();

    let absent = records::key(&workspace, 2);
    let conflicts = [
        (&held, Expect::Absent),
        (&held, Expect::At(Revision(at.0 - 1))),
        (&held, Expect::At(Revision(at.0 + 1))),
        (&absent, Expect::At(at)),
    ];
    for (key, expect) in conflicts {
        // What comes first in the batch could be made, and is not.
        let mut batch = create(Record::Key(records::key(&workspace, 3)));
        batch.writes.push(Write {
            record: Record::Key(revoked(key)),
            expect,
        });
        let error = subject.commit(batch).unwrap_err();
        assert!(
            matches!(&error, StoreError::Conflict(id) if *id == RecordId::Key(key.id)),
            "{expect:?}: {error}"
        );
        assert!(error.retryable() && error.certainly_not_applied());
        assert_eq!(subject.load(), before, "{expect:?}");
        assert_eq!(
            list_keys(&*subject.store, Some(&workspace.id), None, 10).unwrap(),
            std::slice::from_ref(&held)
        );
    }
    assert_eq!(
        subject
            .commit(update(Record::Key(revoked(&held)), at))
            .unwrap(),
        Revision(at.0 + 1)
    );
    if let Some(links) = subject.audit_links("klipy") {
        assert_eq!(links, 3, "one for each change that was made");
    }
}

fn commits_of_one_group_see_each_other(backend: Backend) {
    let subject = backend();
    let (start, mut expected) = subject.load();
    let workspace = workspace("klipy");
    let key = records::key(&workspace, 1);
    let revision = |number| Revision(start.0 + number);
    let disabled = Key {
        disabled: true,
        ..key.clone()
    };
    let last = Key {
        principal: "user:last".to_owned(),
        ..revoked(&key)
    };

    let results = subject.commit_as_one_group(vec![
        create(Record::Workspace(workspace.clone())),
        create(Record::Key(key.clone())),
        create(Record::Key(key.clone())),
        update(Record::Key(disabled), revision(2)),
        update(Record::Key(revoked(&key)), revision(2)),
        update(Record::Key(last.clone()), revision(3)),
    ]);
    let made: Vec<_> = results
        .iter()
        .map(|result| result.as_ref().ok().copied())
        .collect();
    assert_eq!(
        made,
        [Some(1), Some(2), None, Some(3), None, Some(4)].map(|made| made.map(revision))
    );
    for result in results {
        assert!(
            result.is_ok() || matches!(result, Err(StoreError::Conflict(_))),
            "{result:?}"
        );
    }

    for (record, number) in [
        (Record::Workspace(workspace), 1),
        (Record::Key(last.clone()), 4),
    ] {
        expected.insert(
            record.id(),
            Versioned {
                record,
                revision: revision(number),
            },
        );
    }
    assert_eq!(subject.load(), (revision(4), expected));
    assert_eq!(
        list_keys(&*subject.store, None, None, 10).unwrap(),
        [last],
        "it is listed once"
    );
    if let Some(links) = subject.audit_links("klipy") {
        assert_eq!(links, 4, "one for each change that was made");
    }
}

/// "Read again" would be no help if it gave what was read before.
fn what_a_commit_conflicted_with_can_be_read(backend: Backend) {
    let (subject, workspace) = Subject::with_workspace(backend);
    for number in 0..20 {
        let key = records::key(&workspace, number);
        let at = subject.commit(create(Record::Key(key.clone()))).unwrap();
        subject.gate.shut();
        // Enough others share the group that it is not made at once.
        let mut batches = vec![
            update(Record::Key(revoked(&key)), at),
            update(Record::Key(revoked(&key)), at),
        ];
        batches.extend((0..50).map(|other| {
            create(Record::Key(records::key(
                &workspace,
                1_000 * number + other,
            )))
        }));
        let mut queued = subject.queue(batches).into_iter();
        subject.gate.wait_for_arrival();
        subject.gate.open();
        let (won, lost) = (queued.next().unwrap(), queued.next().unwrap());
        assert!(matches!(block_on(lost), Err(StoreError::Conflict(_))));
        let Some(found) = subject.store.get(&RecordId::Key(key.id)).unwrap() else {
            panic!("it is there")
        };
        assert_eq!(found.revision, Revision(at.0 + 1), "round {number}");
        assert_eq!(block_on(won).unwrap(), found.revision);
        queued.for_each(|other| assert!(block_on(other).is_ok()));
    }
}

fn of_many_creations_of_one_id_one_wins(backend: Backend) {
    let (subject, workspace) = Subject::with_workspace(backend);
    let (start, _) = subject.load();
    let keys: Vec<_> = (0..5)
        .map(|number| records::key(&workspace, number))
        .collect();
    let contenders = |key: &Key| {
        let contender = |number: u64| Key {
            principal: format!("user:{number}"),
            ..key.clone()
        };
        (0..40).map(contender).collect::<Vec<_>>()
    };
    // The contenders for different ids take turns.
    let contenders: Vec<_> = keys.iter().map(contenders).collect();
    let all: Vec<_> = (0..40)
        .flat_map(|turn| contenders.iter().map(move |of_one| of_one[turn].clone()))
        .collect();
    let results = subject.commit_at_once(
        all.iter()
            .map(|key| create(Record::Key(key.clone())))
            .collect(),
    );

    let mut revisions = BTreeSet::new();
    let mut winners = BTreeMap::new();
    for (key, result) in all.into_iter().zip(results) {
        match result {
            Ok(revision) => {
                assert!(
                    revisions.insert(revision),
                    "no two commits have one revision"
                );
                let other = winners.insert(key.id, key);
                assert_eq!(other, None, "one of them wins");
            }
            Err(error) => {
                assert!(matches!(error, StoreError::Conflict(id) if id == RecordId::Key(key.id)))
            }
        }
    }
    assert_eq!(
        revisions,
        (start.0 + 1..=start.0 + 5).map(Revision).collect()
    );
    assert_eq!(
        list_keys(&*subject.store, None, None, 10).unwrap(),
        winners.into_values().collect::<Vec<_>>()
    );
    subject.load();
}

fn of_many_updates_of_one_revision_one_wins(backend: Backend) {
    let (subject, workspace) = Subject::with_workspace(backend);
    let key = records::key(&workspace, 1);
    let at = subject.commit(create(Record::Key(key.clone()))).unwrap();
    let contender = |number: u64| Key {
        principal: format!("user:{number}"),
        ..key.clone()
    };
    let batches = (0..100)
        .map(|number| update(Record::Key(contender(number)), at))
        .collect();

    let results = subject.commit_at_once(batches);
    let won: Vec<_> = (0..100)
        .zip(&results)
        .filter(|(_, result)| result.is_ok())
        .map(|(number, _)| number)
        .collect();
    let [winner] = won.as_slice() else {
        panic!("one of them wins: {won:?}")
    };
    assert!(
        results
            .iter()
            .flat_map(|result| result.as_ref().err())
            .all(StoreError::retryable)
    );
    let expected = Versioned {
        record: Record::Key(contender(*winner)),
        revision: Revision(at.0 + 1),
    };
    assert_eq!(
        subject.store.get(&RecordId::Key(key.id)).unwrap(),
        Some(expected)
    );
    subject.load();
}

/// Several tasks count up one record, each on what it has just read.
fn no_update_is_lost(backend: Backend) {
    const TASKS: u64 = 8;
    const EACH: u64 = 15;
    let (subject, workspace) = Subject::with_workspace(backend);
    let key = Key {
        name: "0".to_owned(),
        ..records::key(&workspace, 1)
    };
    let created = subject.commit(create(Record::Key(key.clone()))).unwrap();
    let count_up = |store: Arc<dyn Store>| async move {
        let mut left = EACH;
        // Whoever fails has been overtaken by a commit that counted: there are
        // only so many of those.
        for _ in 0..=TASKS * EACH {
            let Some(found) = store.get(&RecordId::Key(key.id)).unwrap() else {
                panic!("it is there")
            };
            let Record::Key(mut key) = found.record else {
                panic!("it is a key")
            };
            key.name = (key.name.parse::<u64>().unwrap() + 1).to_string();
            match store.commit(update(Record::Key(key), found.revision)).await {
                Ok(_) => left -= 1,
                Err(error) => assert!(error.retryable(), "{error}"),
            }
            if left == 0 {
                return;
            }
        }
        panic!("overtaken by more commits than there were");
    };
    let tasks: Vec<_> = (0..TASKS)
        .map(|_| runtime().spawn(count_up(Arc::clone(&subject.store))))
        .collect();
    for task in tasks {
        block_on(task).unwrap();
    }
    let Some(found) = subject.store.get(&RecordId::Key(key.id)).unwrap() else {
        panic!("it is there")
    };
    let counted = TASKS * EACH;
    assert_eq!(found.revision, Revision(created.0 + counted));
    assert!(matches!(found.record, Record::Key(key) if key.name == counted.to_string()));
    subject.load();
}

fn followers_are_told_before_the_answer_leaves(backend: Backend) {
    let (subject, workspace) = Subject::with_workspace(backend);
    let (start, _) = subject.load();
    let commits = subject.store.follow(start).unwrap();
    for number in 1..=20 {
        let key = records::key(&workspace, number);
        let revision = subject.commit(create(Record::Key(key.clone()))).unwrap();
        let commit = commits.try_recv().unwrap();
        assert_eq!(commit.revision, revision);
        assert_eq!(commit.changes.len(), 1);
        assert_eq!(
            (&commit.changes[0].before, &commit.changes[0].after),
            (&None, &Record::Key(key))
        );
    }
    assert!(commits.try_recv().is_err(), "nothing else was committed");
}

fn followers_and_snapshots_under_load_tell_one_story(backend: Backend) {
    const WRITERS: u64 = 8;
    const EACH: u64 = 40;
    let (subject, workspace) = Subject::with_workspace(backend);
    let (start, _) = subject.load();
    let last = Revision(start.0 + WRITERS * EACH);

    // Each writer makes keys and revokes every other.
    let write = |store: Arc<dyn Store>, workspace: Workspace, writer: u64| async move {
        for number in 0..EACH / 2 {
            let key = records::key(&workspace, writer * EACH + number);
            let at = store
                .commit(create(Record::Key(key.clone())))
                .await
                .unwrap();
            let next = if number % 2 == 0 {
                revoked(&key)
            } else {
                Key {
                    disabled: true,
                    ..key
                }
            };
            store.commit(update(Record::Key(next), at)).await.unwrap();
        }
    };
    let spawn =
        |writer| runtime().spawn(write(Arc::clone(&subject.store), workspace.clone(), writer));
    let writers: Vec<_> = (0..WRITERS).map(spawn).collect();

    // Each of these starts at another moment of the load.
    let stories: Vec<_> = thread::scope(|scope| {
        let tell = |_| {
            let (from, state) = subject.load();
            let commits = subject.store.follow(from).unwrap();
            scope.spawn(move || follow_to(from, state, &commits, last))
        };
        let tellers: Vec<_> = (0..6).map(tell).collect();
        tellers
            .into_iter()
            .map(|teller| teller.join().unwrap())
            .collect()
    });
    for writer in writers {
        block_on(writer).unwrap();
    }
    let (revision, state) = subject.load();
    assert_eq!(revision, last);
    for (number, story) in stories.into_iter().enumerate() {
        assert!(story == state, "story {number} ends otherwise");
    }
}

/// What becomes of `state`, which is at `from`, by what is followed until
/// `last`.
fn follow_to(from: Revision, mut state: State, commits: &Commits, last: Revision) -> State {
    for number in from.0 + 1..=last.0 {
        let commit = commits.recv_timeout(PATIENCE).unwrap();
        assert_eq!(commit.revision, Revision(number), "without a gap, in order");
        replay(&mut state, &commit);
    }
    state
}

fn commits_too_far_back_are_no_longer_held(backend: Backend) {
    let (subject, workspace) = Subject::with_workspace(backend);
    let batches = (0..BACKLOG + 10)
        .map(|number| create(Record::Key(records::key(&workspace, number))))
        .collect();
    assert!(subject.commit_at_once(batches).iter().all(Result::is_ok));
    let (newest, _) = subject.load();

    let oldest = Revision(newest.0 - BACKLOG);
    let commits = subject.store.follow(oldest).unwrap();
    let held: Vec<_> = commits.try_iter().map(|commit| commit.revision).collect();
    assert_eq!(
        held,
        (oldest.0 + 1..=newest.0).map(Revision).collect::<Vec<_>>()
    );
    for lost in [Revision(oldest.0 - 1), Revision(0)] {
        let error = subject.store.follow(lost).unwrap_err();
        assert!(
            matches!(error, StoreError::Compacted(after) if after == lost),
            "{error}"
        );
    }
    assert!(subject.store.follow(newest).unwrap().try_recv().is_err());
}

fn nothing_is_written_before_the_first_load(backend: Backend) {
    let subject = backend();
    let workspace = workspace("klipy");
    let batch = || create(Record::Workspace(workspace.clone()));
    for _ in 0..3 {
        let error = subject.commit(batch()).unwrap_err();
        assert!(matches!(error, StoreError::Unavailable), "{error}");
        assert!(error.certainly_not_applied());
    }
    let (start, state) = subject.load();
    assert!(!state.contains_key(&RecordId::Workspace(workspace.id.clone())));
    assert_eq!(subject.commit(batch()).unwrap(), Revision(start.0 + 1));
}

fn a_closed_store_takes_nothing(backend: Backend) {
    let (subject, workspace) = Subject::with_workspace(backend);
    let (revision, _) = subject.load();
    let commits = subject.store.follow(revision).unwrap();
    subject.store.close();
    subject.store.close();

    let error = subject
        .commit(create(Record::Key(records::key(&workspace, 1))))
        .unwrap_err();
    assert!(matches!(error, StoreError::Unavailable), "{error}");
    assert_eq!(
        commits.recv_timeout(PATIENCE).unwrap_err(),
        RecvTimeoutError::Disconnected
    );
    assert!(matches!(
        subject.store.follow(revision),
        Err(StoreError::Unavailable)
    ));
    assert!(subject.store.snapshot().is_err());
}

fn closing_finishes_what_was_asked_for_before(backend: Backend) {
    let (subject, workspace) = Subject::with_workspace(backend);
    let (start, _) = subject.load();
    subject.gate.shut();
    let batches = (1..=50)
        .map(|number| create(Record::Key(records::key(&workspace, number))))
        .collect();
    let queued = subject.queue(batches);
    let revisions = thread::scope(|scope| {
        let closed = scope.spawn(|| subject.store.close());
        subject.gate.wait_for_arrival();
        subject.gate.open();
        let revisions: Vec<_> = queued
            .into_iter()
            .map(|commit| block_on(commit).unwrap())
            .collect();
        closed.join().unwrap();
        revisions
    });
    assert_eq!(
        revisions,
        (start.0 + 1..=start.0 + 50)
            .map(Revision)
            .collect::<Vec<_>>()
    );
}

/// As many commits wait as can, and more wait to be let in.
fn a_full_queue_does_not_keep_a_store_open(backend: Backend) {
    let (subject, workspace) = Subject::with_workspace(backend);
    subject.gate.shut();
    let batches = (1..=1_100)
        .map(|number| create(Record::Key(records::key(&workspace, number))))
        .collect();
    let queued = subject.queue(batches);
    subject.gate.wait_for_arrival();

    let (closed, closing) = mpsc::channel();
    thread::scope(|scope| {
        scope.spawn(|| {
            subject.store.close();
            closed.send(()).unwrap();
        });
        // As long as the writer is held, there is something to finish first.
        assert!(
            closing.recv_timeout(A_WHILE).is_err(),
            "it did not wait for what is under way"
        );
        subject.gate.open();
        for commit in queued {
            match block_on(commit) {
                Ok(_) | Err(StoreError::Unavailable | StoreError::OutcomeUnknown) => {}
                Err(error) => panic!("{error}"),
            }
        }
        closing.recv_timeout(PATIENCE).unwrap();
    });
    let error = subject
        .commit(create(Record::Key(records::key(&workspace, 0))))
        .unwrap_err();
    assert!(matches!(error, StoreError::Unavailable), "{error}");
}

fn what_is_too_large_changes_nothing(backend: Backend) {
    let (subject, workspace) = Subject::with_workspace(backend);
    let before = subject.load();
    let small = records::key(&workspace, 1);
    let large = Key {
        description: "x".repeat(7_000),
        ..records::key(&workspace, 2)
    };
    let mut second_too_large = create(Record::Key(small.clone()));
    second_too_large.writes.push(Write {
        record: Record::Key(large.clone()),
        expect: Expect::Absent,
    });
    let mut entry_too_large = create(Record::Key(small.clone()));
    entry_too_large
        .audit
        .detail
        .insert("scopes".to_owned(), "x".repeat(7_000));

    for batch in [
        create(Record::Key(large)),
        second_too_large.clone(),
        entry_too_large,
    ] {
        let error = subject.commit(batch).unwrap_err();
        assert!(
            matches!(error, StoreError::TooLarge { len, max, .. } if len > 7_000 && max < 7_000),
            "{error}"
        );
        assert!(error.certainly_not_applied() && !error.retryable());
        assert_eq!(subject.load(), before);
        assert_eq!(
            list_keys(&*subject.store, Some(&workspace.id), None, 10).unwrap(),
            []
        );
    }

    // Nor does it harm what shares its group.
    let results =
        subject.commit_as_one_group(vec![second_too_large, create(Record::Key(small.clone()))]);
    assert!(
        matches!(
            results.as_slice(),
            [Err(StoreError::TooLarge { .. }), Ok(_)]
        ),
        "{results:?}"
    );
    assert_eq!(list_keys(&*subject.store, None, None, 10).unwrap(), [small]);
    let (revision, _) = subject.load();
    assert_eq!(revision, Revision(before.0.0 + 1));
    assert_eq!(subject.store.health().borrow().clone(), StoreHealth::Sound);
}

/// Guards the limits on fields against the limit on stored values.
fn records_at_every_limit_fit(backend: Backend) {
    let subject = backend();
    subject.load();
    let workspace = largest_workspace();
    subject
        .commit(create(Record::Workspace(workspace.clone())))
        .unwrap();

    let key = largest_key(&workspace, 1);
    let mut batch = create(Record::Key(key.clone()));
    let scopes: Vec<_> = key.scopes.iter().map(|scope| scope.as_str()).collect();
    let environment = key
        .environment
        .as_ref()
        .map(|name| name.as_str().to_owned())
        .unwrap();
    batch.audit.actor = key.created_by.clone();
    batch.audit.detail = BTreeMap::from([
        ("name".to_owned(), key.name.clone()),
        ("principal".to_owned(), key.principal.clone()),
        ("scopes".to_owned(), scopes.join(" ")),
        ("environment".to_owned(), environment),
        ("expire_time".to_owned(), Timestamp::MAX.to_string()),
    ]);
    let at = subject.commit(batch).unwrap();
    let mut revoked = revoked(&key);
    let end = revoked.revocation.as_mut().unwrap();
    end.by = key.created_by.clone();
    end.note = "n".repeat(MAX_NOTE_LEN);
    subject.commit(update(Record::Key(revoked), at)).unwrap();

    let largest_admin = AdminKey {
        name: "x".repeat(MAX_NAME_LEN),
        reach: Reach::Workspace(workspace.id),
        grant_ceiling: key.scopes.clone(),
        secrets: key.secrets,
        created_by: key.created_by,
        expire_time: Some(Timestamp::MAX),
        ..admin(2)
    };
    subject
        .commit(create(Record::AdminKey(largest_admin)))
        .unwrap();
    subject.load();
}

fn largest_workspace() -> Workspace {
    let environments: Vec<_> = (0..MAX_ENVIRONMENTS)
        .map(|number| format!("{number:x>12}"))
        .collect();
    let catalogued = |number: usize| {
        let len = MAX_CATALOG_LEN / MAX_CATALOG;
        format!("{number:s>len$}")
    };
    let draft = WorkspaceDraft {
        id: "w".repeat(WorkspaceId::MAX_LEN),
        display_name: "x".repeat(MAX_DISPLAY_NAME_LEN),
        token_prefix: "p".repeat(21),
        default_environment: environments[0].clone(),
        unmarked_environment: environments[1].clone(),
        environments,
        scope_catalog: (0..MAX_CATALOG).map(catalogued).collect(),
    };
    draft
        .build(admin(0).id.to_string(), Timestamp::MAX)
        .unwrap()
}

/// A key with every field as long as it can be made, and two secrets.
fn largest_key(workspace: &Workspace, number: u64) -> Key {
    let scope = |number: usize| {
        let len = MAX_SCOPES_LEN / MAX_SCOPES + usize::from(number < MAX_SCOPES_LEN % MAX_SCOPES);
        format!("{number:s>len$}")
    };
    let entry = |number: usize| {
        (
            format!("{number:n>4}"),
            "v".repeat(MAX_METADATA_LEN / MAX_METADATA - 4),
        )
    };
    let draft = KeyDraft {
        workspace: workspace.id.to_string(),
        environment: workspace.environments[0].as_str().to_owned(),
        principal: "p".repeat(MAX_PRINCIPAL_LEN),
        name: "x".repeat(MAX_NAME_LEN),
        description: "d".repeat(MAX_DESCRIPTION_LEN),
        scopes: (0..MAX_SCOPES).map(scope).collect(),
        metadata: (0..MAX_METADATA).map(entry).collect(),
        expire_time: Some(Timestamp::MAX),
        request_id: String::new(),
    };
    // The longest catalog leaves no room for other scopes than its own.
    let uncatalogued = Workspace {
        scope_catalog: ScopeCatalog::default(),
        ..workspace.clone()
    };
    let KeySpec {
        environment,
        scopes,
    } = draft.check(&uncatalogued, time(0)).unwrap();
    let length: usize = scopes.iter().map(|scope| scope.as_str().len()).sum();
    assert_eq!((scopes.len(), length), (MAX_SCOPES, MAX_SCOPES_LEN));
    let secret = |number| key::Secret {
        create_time: Timestamp::MAX,
        end_time: Some(Timestamp::MAX),
        ..secret(number)
    };
    Key {
        environment,
        principal: draft.principal,
        name: draft.name,
        description: draft.description,
        scopes,
        metadata: draft.metadata,
        secrets: vec![secret(2 * number), secret(2 * number + 1)],
        create_time: Timestamp::MAX,
        created_by: admin(0).id.to_string(),
        expire_time: draft.expire_time,
        disabled: true,
        ..records::key(workspace, number)
    }
}

/// A group's batch has to stay smaller than a segment of the log.
fn many_large_commits_are_split_into_groups(backend: Backend) {
    const COMMITS: u64 = 3_000;
    let subject = backend();
    subject.load();
    let workspace = largest_workspace();
    subject
        .commit(create(Record::Workspace(workspace.clone())))
        .unwrap();
    let (start, _) = subject.load();
    let model = largest_key(&workspace, 0);
    let groups = subject.gate.passed();

    let large = |number| {
        let small = records::key(&workspace, number);
        Key {
            id: small.id,
            secrets: small.secrets,
            ..model.clone()
        }
    };
    let results = subject.commit_at_once(
        (0..COMMITS)
            .map(|number| create(Record::Key(large(number))))
            .collect(),
    );
    let mut revisions: Vec<_> = results.into_iter().map(Result::unwrap).collect();
    revisions.sort_unstable();
    assert_eq!(
        revisions,
        (start.0 + 1..=start.0 + COMMITS)
            .map(Revision)
            .collect::<Vec<_>>()
    );
    let groups = subject.gate.passed() - groups;
    assert!(
        groups >= 30,
        "more than 12 MB in groups of at most 400 KB, not in {groups}"
    );
    assert_eq!(subject.load().0, Revision(start.0 + COMMITS));
}

/// The runtime's time stands, and goes on when there is nothing else to do.
fn a_commit_that_does_not_end_loses_the_store(backend: Backend) {
    let (subject, workspace) = Subject::with_workspace(backend);
    let mut health = subject.store.health();
    assert_eq!(*health.borrow_and_update(), StoreHealth::Sound);
    subject.gate.shut();
    let paused = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    let create = |number| create(Record::Key(records::key(&workspace, number)));
    let error = paused
        .block_on(subject.store.commit(create(1)))
        .unwrap_err();
    assert!(matches!(error, StoreError::OutcomeUnknown), "{error}");
    assert!(!error.certainly_not_applied());
    assert!(health.has_changed().unwrap());
    assert_eq!(*health.borrow(), StoreHealth::Lost);

    // Closing does not wait for what may never end.
    subject.store.close();
    subject.gate.open();
    let error = subject.commit(create(2)).unwrap_err();
    assert!(matches!(error, StoreError::Unavailable), "{error}");
    // What it would show may not be durable.
    let shown = subject.store.get(&create(1).writes[0].record.id());
    assert!(matches!(shown, Err(StoreError::Unavailable)), "{shown:?}");
}

fn a_caller_that_gives_up_leaves_the_watch_behind(backend: Backend) {
    let (subject, workspace) = Subject::with_workspace(backend);
    subject.gate.shut();
    let paused = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    let batch = create(Record::Key(records::key(&workspace, 1)));
    let mut health = subject.store.health();
    paused.block_on(async {
        let deadline = std::time::Duration::from_secs(1);
        assert!(
            timeout(deadline, subject.store.commit(batch))
                .await
                .is_err()
        );
        health
            .wait_for(|health| *health == StoreHealth::Lost)
            .await
            .unwrap();
    });
    subject.gate.open();
}

fn a_writer_that_dies_loses_the_store(backend: Backend) {
    let (subject, workspace) = Subject::with_workspace(backend);
    // It dies of a clock that cannot be asked any more.
    let poisoned = thread::scope(|scope| {
        let poison = || {
            let _turnstile = subject.gate.turnstile.lock().unwrap();
            std::panic::resume_unwind(Box::new(()));
        };
        scope.spawn(poison).join()
    });
    assert!(poisoned.is_err());
    let create = |number| create(Record::Key(records::key(&workspace, number)));
    let error = subject.commit(create(1)).unwrap_err();
    assert!(matches!(error, StoreError::OutcomeUnknown), "{error}");

    let mut health = subject.store.health();
    let lost = block_on(async {
        timeout(
            PATIENCE,
            health.wait_for(|health| *health == StoreHealth::Lost),
        )
        .await
        .is_ok()
    });
    assert!(lost, "it takes no more changes, and says so");
    let error = subject.commit(create(2)).unwrap_err();
    assert!(matches!(error, StoreError::Unavailable), "{error}");
}
