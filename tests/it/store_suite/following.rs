//! Followers and snapshots tell one story.

use std::sync::Arc;
use std::thread;

use keyward::domain::key::Key;
use keyward::domain::principal::Principal;
use keyward::domain::workspace::Workspace;
use keyward::store::{Commits, Expect, Record, Revision, Store, StoreError, Write};

use crate::records::{
    self, State, block_on, buried, create, replay, revoked, runtime, time, update,
};

use super::{Backend, PATIENCE, Subject};

/// How far back a store's commits can be followed at least, and no further, if
/// they are small.
const BACKLOG: u64 = 1_024;

/// How many records those commits may have written.
const BACKLOG_CHANGES: u64 = 8_192;

suite! {
    followers_are_told_before_the_answer_leaves
    followers_and_snapshots_under_load_tell_one_story
    commits_too_far_back_are_no_longer_held
    few_large_commits_are_held
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

    // Each writer makes keys and revokes, deletes or disables them in turn.
    let write = |store: Arc<dyn Store>, workspace: Workspace, writer: u64| async move {
        for number in 0..EACH / 2 {
            let key = records::key(&workspace, writer * EACH + number);
            let at = store
                .commit(create(Record::Key(key.clone())))
                .await
                .unwrap();
            let next = match number % 3 {
                0 => Record::Key(revoked(&key)),
                1 => buried(&Record::Key(key)),
                _ => Record::Key(Key {
                    disabled: true,
                    ..key
                }),
            };
            store.commit(update(next, at)).await.unwrap();
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

fn few_large_commits_are_held(backend: Backend) {
    const EACH: u64 = 200;
    let (subject, _) = Subject::with_workspace(backend);
    let batch = |from: u64| {
        let mut batch = create(Record::Workspace(records::workspace("other")));
        batch.writes = (from..from + EACH)
            .map(|number| Principal::plain(&format!("user:{number}"), String::new(), time(0)))
            .map(|principal| Write {
                record: Record::Principal(principal),
                expect: Expect::Absent,
            })
            .collect();
        batch
    };
    let held = BACKLOG_CHANGES / EACH;
    let batches = (0..held + 5).map(|number| batch(number * EACH)).collect();
    assert!(subject.commit_at_once(batches).iter().all(Result::is_ok));
    let (newest, _) = subject.load();
    let oldest = Revision(newest.0 - held);
    let commits = subject.store.follow(oldest).unwrap();
    let changes = commits.try_iter().map(|commit| commit.changes.len() as u64);
    assert_eq!(changes.sum::<u64>(), held * EACH);
    let lost = Revision(oldest.0 - 1);
    let error = subject.store.follow(lost).unwrap_err();
    assert!(matches!(error, StoreError::Compacted(_)), "{error}");
}
