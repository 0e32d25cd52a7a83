//! The audit log: each commit's event once, newest first, in pages of any size.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use keyward::domain::audit::{AuditEvent, AuditLog};
use keyward::domain::id::WorkspaceId;
use keyward::store::{Batch, Record, Revision, Store};

use crate::records::{admin, block_on, create, note, runtime, workspace};

use super::{Backend, Subject};

suite! {
    each_log_is_read_backwards_page_by_page
    a_batch_that_only_tells_is_a_commit
    a_log_without_events_is_empty
    logs_are_whole_while_others_write
    a_change_can_be_told_in_two_logs_or_twice_in_one
}

/// The logs of chains of which each is a part of the next one's beginning.
fn logs() -> Vec<(AuditLog, &'static str)> {
    let of = |id: &str| AuditLog::Of(Some(id.parse::<WorkspaceId>().unwrap()));
    vec![
        (AuditLog::Of(None), "system"),
        (of("a"), "a"),
        (of("a.b"), "a.b"),
        (of("ab"), "ab"),
    ]
}

/// A note in the chain that is called so.
fn note_in(chain: &str, number: u64) -> Batch {
    let workspace = Some(chain)
        .filter(|chain| *chain != "system")
        .map(workspace);
    note(workspace.as_ref(), &format!("{chain} {number}"))
}

/// What `log` is about, newest first, read `size` at a time.
fn read_in_pages(store: &dyn Store, log: &AuditLog, size: usize) -> Vec<AuditEvent> {
    let mut events: Vec<AuditEvent> = Vec::new();
    loop {
        let before = events.last().map(|event| log.position(event));
        let page = store.audit(log, before, size).unwrap();
        assert!(page.len() <= size);
        if page.is_empty() {
            return events;
        }
        events.extend(page);
    }
}

fn assert_contiguous(log: &AuditLog, events: &[AuditEvent]) {
    for (event, position) in events.iter().rev().zip(1..) {
        assert_eq!(log.position(event), position, "{log:?}");
    }
}

fn each_log_is_read_backwards_page_by_page(backend: Backend) {
    let subject = backend();
    let (start, _) = subject.load();
    let mut batches = Vec::new();
    for number in 0..40 {
        let chains = logs();
        let (_, chain) = &chains[(number * 5 % 7 % 4) as usize];
        batches.push(note_in(chain, number));
    }
    let told: Vec<_> = batches
        .iter()
        .map(|batch| (batch.audit.workspace.clone(), batch.audit.resource.clone()))
        .collect();
    // Some in a group, some alone.
    let alone = batches.split_off(25);
    let mut results = subject.commit_as_one_group(batches);
    results.extend(alone.into_iter().map(|batch| subject.commit(batch)));
    assert!(results.iter().all(Result::is_ok));

    let subject = subject.restarted();
    let store = &*subject.store;
    let all = read_in_pages(store, &AuditLog::All, 1_000);
    assert_contiguous(&AuditLog::All, &all);
    assert_eq!(all.len() as u64, start.0 + 40);
    let read: Vec<_> = all
        .iter()
        .take(40)
        .rev()
        .map(|event| (event.workspace.clone(), event.resource.clone()))
        .collect();
    assert_eq!(read, told, "each event is where its commit was");
    assert_eq!(
        (all[0].actor.as_str(), all[0].action.as_str()),
        ("unknown", "call.deny")
    );
    assert_eq!(all[0].detail["call"], "CreateKey");

    let mut found = 0;
    for (log, chain) in logs() {
        let AuditLog::Of(workspace) = &log else {
            unreachable!()
        };
        let expected: Vec<_> = all
            .iter()
            .filter(|event| event.workspace == *workspace)
            .cloned()
            .collect();
        assert!(expected.len() > 3, "{chain}");
        assert_contiguous(&log, &expected);
        found += expected.len();
        assert_pages(store, &log, &expected);
    }
    assert_eq!(found, all.len(), "no event is in two chains");
    assert_pages(store, &AuditLog::All, &all);
}

/// `expected`, the newest first, is what `log` says in pages of any size, and
/// from any position on.
fn assert_pages(store: &dyn Store, log: &AuditLog, expected: &[AuditEvent]) {
    let newest = expected.len();
    for size in [1, 3, newest - 1, newest, newest + 1] {
        assert_eq!(read_in_pages(store, log, size), expected, "{log:?}, {size}");
    }
    for before in 0..=newest {
        let from = newest - before.saturating_sub(1).min(newest);
        let read = store.audit(log, Some(before as u64), 1_000).unwrap();
        assert_eq!(read, expected[from..], "{log:?} before {before}");
    }
    // Positions that no event has yet are as good as none.
    for before in [newest as u64 + 1, newest as u64 + 2, 1 << 40, u64::MAX] {
        let read = store.audit(log, Some(before), 2).unwrap();
        assert_eq!(read, expected[..2], "{log:?} before {before}");
    }
    assert_eq!(store.audit(log, None, 0).unwrap(), []);
}

fn a_batch_that_only_tells_is_a_commit(backend: Backend) {
    let (subject, workspace) = Subject::with_workspace(backend);
    let before = subject.load();
    let commits = subject.store.follow(before.0).unwrap();
    let revision = subject.commit(note(Some(&workspace), "one")).unwrap();
    assert_eq!(revision, Revision(before.0.0 + 1));
    let commit = commits.try_recv().unwrap();
    assert_eq!((commit.revision, commit.changes.len()), (revision, 0));

    let results = subject.commit_as_one_group(vec![
        note(None, "two"),
        create(Record::AdminKey(admin(1))),
        note(None, "three"),
    ]);
    let revisions: Vec<_> = results.into_iter().map(Result::unwrap).collect();
    assert_eq!(
        revisions,
        [2, 3, 4].map(|number| Revision(before.0.0 + number))
    );
    let subject = subject.restarted();
    let (revision, mut state) = subject.load();
    assert_eq!(revision, Revision(before.0.0 + 4));
    state.retain(|_, versioned| versioned.revision <= before.0);
    assert_eq!(state, before.1);
    let told = subject.store.audit(&AuditLog::All, None, 4).unwrap();
    let told: Vec<_> = told.iter().map(|event| event.resource.as_str()).collect();
    assert_eq!((told[0], told[2], told[3]), ("three", "two", "one"));
}

fn a_log_without_events_is_empty(backend: Backend) {
    let (subject, workspace) = Subject::with_workspace(backend);
    for id in ["kli", "klipy.x", "klipyx", "a"] {
        let log = AuditLog::Of(Some(id.parse().unwrap()));
        for before in [None, Some(0), Some(1), Some(7)] {
            assert_eq!(subject.store.audit(&log, before, 10).unwrap(), []);
        }
    }
    let log = AuditLog::Of(Some(workspace.id));
    assert_eq!(subject.store.audit(&log, None, 10).unwrap().len(), 1);
}

/// Whoever reads while the log grows sees no hole, and no event twice.
fn logs_are_whole_while_others_write(backend: Backend) {
    const EACH: u64 = 150;
    let subject = backend();
    let (start, _) = subject.load();
    let write = |store: Arc<dyn Store>, chain: &'static str| async move {
        for number in 0..EACH {
            store.commit(note_in(chain, number)).await.unwrap();
        }
    };
    let writers: Vec<_> = logs()
        .into_iter()
        .map(|(_, chain)| runtime().spawn(write(Arc::clone(&subject.store), chain)))
        .collect();
    let ended = AtomicBool::new(false);
    let rounds: Vec<usize> = thread::scope(|scope| {
        let (subject, ended) = (&subject, &ended);
        let read = move |log: AuditLog, size| {
            let mut rounds = 0;
            while rounds == 0 || !ended.load(Ordering::Relaxed) {
                assert_contiguous(&log, &read_in_pages(&*subject.store, &log, size));
                rounds += 1;
            }
            rounds
        };
        let all = scope.spawn(move || read(AuditLog::All, 7));
        let one = scope.spawn(move || read(logs().remove(1).0, 3));
        for writer in writers {
            block_on(writer).unwrap();
        }
        ended.store(true, Ordering::Relaxed);
        vec![all.join().unwrap(), one.join().unwrap()]
    });
    assert!(rounds.iter().all(|rounds| *rounds > 1), "{rounds:?}");
    let all = read_in_pages(&*subject.store, &AuditLog::All, 100);
    assert_eq!(all.len() as u64, start.0 + 4 * EACH);
    assert_contiguous(&AuditLog::All, &all);
}

/// Both entries are links of their chains, in whichever group, and nothing is
/// told of a change that is refused.
fn a_change_can_be_told_in_two_logs_or_twice_in_one(backend: Backend) {
    let subject = backend();
    let (start, _) = subject.load();
    let pair = |number: u64, other: &str| {
        let mut batch = note_in("a", number);
        batch.beside = Some(note_in(other, number).audit);
        batch
    };
    let mut refused = pair(9, "system");
    refused.writes = create(Record::AdminKey(admin(1))).writes;
    refused.writes.extend(refused.writes.clone());
    let results = subject.commit_as_one_group(vec![
        pair(1, "system"),
        pair(2, "a"),
        refused,
        note_in("a", 3),
        pair(4, "ab"),
    ]);
    let done: Vec<_> = results.iter().map(Result::is_ok).collect();
    assert_eq!(done, [true, true, false, true, true]);
    subject.commit(pair(5, "a")).unwrap();

    let subject = subject.restarted();
    let (revision, _) = subject.load();
    assert_eq!(revision.0, start.0 + 5);
    let told = |log: &AuditLog, size| {
        let events = read_in_pages(&*subject.store, log, size);
        assert_contiguous(log, &events);
        let told = events.into_iter().rev().map(|event| event.resource);
        told.collect::<Vec<_>>()
    };
    for size in [1, 2, 100] {
        let all = told(&AuditLog::All, size);
        let all = &all[all.len() - 9..];
        assert_eq!(
            all,
            [
                "a 1", "system 1", "a 2", "a 2", "a 3", "a 4", "ab 4", "a 5", "a 5"
            ]
        );
        let of = |id: &str| AuditLog::Of(Some(id.parse().unwrap()));
        let own = ["a 1", "a 2", "a 2", "a 3", "a 4", "a 5", "a 5"];
        assert_eq!(told(&of("a"), size), own);
        assert_eq!(told(&of("ab"), size), ["ab 4"]);
        assert_eq!(told(&AuditLog::Of(None), size).last().unwrap(), "system 1");
    }
}
