//! From the first load to the end, whichever that is.

use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use keyward::store::{Record, RecordId, Revision, StoreError, StoreHealth};
use tokio::time::timeout;

use crate::records::{self, block_on, create, workspace};

use super::{Backend, PATIENCE, Subject};

/// Long enough to tell what is held up from what is not.
const A_WHILE: Duration = Duration::from_millis(200);

suite! {
    nothing_is_written_before_the_first_load
    a_closed_store_takes_nothing
    closing_finishes_what_was_asked_for_before
    a_full_queue_does_not_keep_a_store_open
    a_caller_that_gives_up_leaves_the_watch_behind
    a_commit_that_does_not_end_loses_the_store
    a_writer_that_dies_loses_the_store
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
