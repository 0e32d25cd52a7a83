//! Requests that may be repeated: carried out once, and remembered for good.

use keyward::domain::key::Key;
use keyward::domain::workspace::Workspace;
use keyward::store::{Batch, List, Record, RecordId, Store, StoreError};

use crate::records::{self, create, request};

use super::{Backend, Subject, list_keys};

suite! {
    a_request_is_carried_out_once
    of_one_request_at_the_same_time_one_is_carried_out
    requests_are_looked_up_and_not_loaded
}

/// The change that issues key number `key` for request number `number`.
fn issue(workspace: &Workspace, key: u64, number: u64) -> (Key, Batch) {
    let key = records::key(workspace, key);
    let mut batch = create(Record::Key(key.clone()));
    batch.writes.extend(create(request(number, key.id)).writes);
    (key, batch)
}

fn issued_by(store: &dyn Store, number: u64, any: &Key) -> Option<RecordId> {
    let id = request(number, any.id).id();
    let Record::Request(request) = store.get(&id).unwrap()?.record else {
        panic!("{id} is a request")
    };
    Some(RecordId::Key(request.key))
}

fn a_request_is_carried_out_once(backend: Backend) {
    let (subject, workspace) = Subject::with_workspace(backend);
    let (key, first) = issue(&workspace, 1, 7);
    assert_eq!(issued_by(&*subject.store, 7, &key), None);
    subject.commit(first).unwrap();
    let mut subject = subject;
    for repetition in 2..5 {
        let (other, again) = issue(&workspace, repetition, 7);
        let before = subject.load();
        let error = subject.commit(again).unwrap_err();
        let id = request(7, key.id).id();
        assert!(
            matches!(&error, StoreError::Conflict(of) if *of == id),
            "{error}"
        );
        assert!(error.certainly_not_applied());
        assert_eq!(subject.load(), before);
        assert_eq!(subject.store.get(&RecordId::Key(other.id)).unwrap(), None);
        assert_eq!(
            issued_by(&*subject.store, 7, &key),
            Some(RecordId::Key(key.id))
        );
        subject = subject.restarted();
    }
    // Others are others.
    let (next, batch) = issue(&workspace, 9, 8);
    subject.commit(batch).unwrap();
    assert_eq!(
        issued_by(&*subject.store, 8, &next),
        Some(RecordId::Key(next.id))
    );
}

fn of_one_request_at_the_same_time_one_is_carried_out(backend: Backend) {
    let (subject, workspace) = Subject::with_workspace(backend);
    let (keys, batches): (Vec<_>, Vec<_>) =
        (0..20).map(|number| issue(&workspace, number, 7)).unzip();
    let grouped = subject.commit_as_one_group(batches[..5].to_vec());
    assert!(grouped[0].is_ok() && grouped[1..].iter().all(Result::is_err));
    let results = subject.commit_at_once(batches[5..].to_vec());
    for error in grouped
        .into_iter()
        .skip(1)
        .chain(results)
        .map(Result::unwrap_err)
    {
        assert!(
            matches!(error, StoreError::Conflict(RecordId::Request(_))),
            "{error}"
        );
    }
    assert_eq!(
        list_keys(&*subject.store, None, None, 100).unwrap(),
        keys[..1]
    );

    let (keys, batches): (Vec<_>, Vec<_>) =
        (20..40).map(|number| issue(&workspace, number, 8)).unzip();
    let results = subject.commit_at_once(batches);
    let winners: Vec<_> = keys
        .iter()
        .zip(results)
        .filter(|(_, result)| result.is_ok())
        .map(|(key, _)| RecordId::Key(key.id))
        .collect();
    assert_eq!(winners.len(), 1);
    assert_eq!(
        issued_by(&*subject.store, 8, &keys[0]),
        winners.first().cloned()
    );
    subject.load();
}

fn requests_are_looked_up_and_not_loaded(backend: Backend) {
    const REQUESTS: u64 = 2_500;
    let (subject, workspace) = Subject::with_workspace(backend);
    let (key, first) = issue(&workspace, 1, 0);
    subject.commit(first).unwrap();
    let (_, state) = subject.load();
    let more = (1..REQUESTS).map(|number| create(request(number, key.id)));
    assert!(
        subject
            .commit_at_once(more.collect())
            .iter()
            .all(Result::is_ok)
    );

    let subject = subject.restarted();
    assert_eq!(
        subject.load().1,
        state,
        "they are verified, and nothing else"
    );
    for list in [
        List::Keys,
        List::KeysOf(workspace.id),
        List::Workspaces,
        List::AdminKeys,
    ] {
        let listed = subject.store.list(&list, None, 9_999).unwrap();
        assert!(
            listed
                .iter()
                .all(|found| !matches!(found.record, Record::Request(_)))
        );
        assert!(listed.len() <= 1);
    }
    for number in [0, 1, REQUESTS - 1] {
        assert_eq!(
            issued_by(&*subject.store, number, &key),
            Some(RecordId::Key(key.id))
        );
    }
    assert_eq!(issued_by(&*subject.store, REQUESTS, &key), None);
}
