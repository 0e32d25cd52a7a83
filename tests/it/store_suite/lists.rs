//! The lists of records: each once, in the order of ids, in pages of any size.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use keyward::domain::id::{KeyId, WorkspaceId};
use keyward::domain::key::Key;
use keyward::domain::workspace::Workspace;
use keyward::store::{List, Record, RecordId, Revision, Store, Versioned};

use crate::records::{
    self, admin, block_on, buried, create, revoked, runtime, time, update, workspace,
};

use super::{Backend, list_keys};

suite! {
    what_was_committed_is_read
    keys_come_in_pages_by_their_ids
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
