//! The lists of records: each once, in the order of ids, in pages of any size.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use keyward::domain::id::{KeyId, WorkspaceId};
use keyward::domain::key::Key;
use keyward::domain::principal::Principal;
use keyward::domain::workspace::Workspace;
use keyward::store::{List, Record, RecordId, Revision, Store, Versioned};

use crate::records::{
    self, admin, block_on, buried, create, revoked, runtime, time, update, workspace,
};

use super::{Backend, list_keys};

suite! {
    what_was_committed_is_read
    keys_come_in_pages_by_their_ids
    each_list_comes_in_pages
    each_list_is_whole_while_others_write_and_delete
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
            .filter(|key| key.workspace() == Some(&workspace.id))
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

/// All of `list`, read `size` at a time.
fn list_in_pages(store: &dyn Store, list: &List, size: usize) -> Vec<Record> {
    let mut read: Vec<Record> = Vec::new();
    loop {
        let after = read.last().map(Record::id);
        let page = store.list(list, after.as_ref(), size).unwrap();
        assert!(page.len() <= size);
        if page.is_empty() {
            return read;
        }
        read.extend(page.into_iter().map(|found| found.record));
    }
}

#[expect(
    clippy::too_many_lines,
    reason = "a test tells one story, from top to bottom"
)]
fn each_list_comes_in_pages(backend: Backend) {
    let subject = backend();
    let (_, state) = subject.load();
    let first_admins = state.into_values().map(|found| found.record);
    // In no order that a list has, with what sorts before and behind them.
    let mut workspaces = ["b", "a", "a.b", "a-b", "0", "zz", "a_b"].map(workspace);
    let mut keys = [5, 3, 9, 1, 7].map(|number| Key {
        principal: if number < 6 { "user:a" } else { "user:a/b" }.to_owned(),
        ..records::key(&workspaces[1], number)
    });
    let principals = ["user:a", "user:a b", "user:a/b", "ä"].map(|id| {
        let principal = Principal::plain(id, String::new(), records::time(0));
        Record::Principal(principal)
    });
    let member = |of: &Workspace, id: &str| {
        let mut membership = records::membership_of(&records::key(of, 1));
        membership.principal = id.to_owned();
        Record::Membership(membership)
    };
    // In their order, by workspaces first.
    let [b, a, a_dot, ..] = &workspaces;
    let memberships = [
        member(a, "user:a"),
        member(a, "user:a/b"),
        member(a_dot, "user:a"),
        member(b, "user:a"),
        member(b, "ä"),
    ];
    let mut admins: Vec<_> = [4, 2, 8].map(admin).map(Record::AdminKey).into();
    let workspace_of_keys = workspaces[1].id.clone();
    let written = workspaces.iter().cloned().map(Record::Workspace);
    let written = written.chain(keys.iter().cloned().map(Record::Key));
    let written = written.chain(memberships.iter().rev().cloned());
    let written = written.chain(principals.iter().rev().cloned());
    for record in written.chain(admins.iter().cloned()) {
        subject.commit(create(record)).unwrap();
    }
    workspaces.sort_by(|one, other| one.id.as_str().cmp(other.id.as_str()));
    keys.sort_by_key(|key| key.id);
    admins.extend(first_admins);
    admins.sort_by_key(|admin| admin.id().to_string());
    let workspaces: Vec<_> = workspaces.map(Record::Workspace).into();
    let keys: Vec<_> = keys.map(Record::Key).into();
    let of = |wanted: fn(&Record) -> bool, all: &[Record]| -> Vec<Record> {
        all.iter()
            .filter(|record| wanted(record))
            .cloned()
            .collect()
    };
    let of_a = |record: &Record| {
        matches!(record, Record::Key(key) if key.principal == "user:a")
            || matches!(record, Record::Membership(own) if own.principal == "user:a")
    };
    let in_a = |record: &Record| matches!(record, Record::Membership(own) if own.workspace.as_str() == "a");
    let lists = [
        (List::Principals, principals.to_vec()),
        (List::Memberships, memberships.to_vec()),
        (
            List::MembershipsOf(workspace_of_keys.clone()),
            of(in_a, &memberships),
        ),
        (
            List::MembershipsOfPrincipal("user:a".to_owned()),
            of(of_a, &memberships),
        ),
        (List::KeysOfPrincipal("user:a".to_owned()), of(of_a, &keys)),
        (List::KeysOfPrincipal("user:".to_owned()), Vec::new()),
        (List::Workspaces, workspaces),
        (List::AdminKeys, admins),
        (List::Keys, keys.clone()),
        (List::KeysOf(workspace_of_keys), keys),
    ];
    let subject = subject.restarted();
    for (list, expected) in lists {
        for size in 1..=expected.len() + 1 {
            let read = list_in_pages(&*subject.store, &list, size);
            assert_eq!(read, expected, "{list:?}, {size} at a time");
        }
        assert_eq!(subject.store.list(&list, None, 0).unwrap(), []);
    }
}

/// What stays is in each list once, and in order, whatever comes and goes
/// beside it meanwhile.
fn each_list_is_whole_while_others_write_and_delete(backend: Backend) {
    let subject = backend();
    subject.load();
    let [own, other] = ["a", "a.b"].map(workspace);
    let mut staying = vec![
        Record::Workspace(own.clone()),
        Record::Workspace(other.clone()),
    ];
    staying.extend((0..60).map(|number| Record::Workspace(workspace(&format!("w{number:02}")))));
    staying.extend((0..60).map(|number| Record::Key(records::key(&own, 100 * number))));
    staying.extend((0..60).map(|number| Record::AdminKey(admin(100 * number))));
    let results = subject.commit_at_once(staying.iter().cloned().map(create).collect());
    assert!(results.iter().all(Result::is_ok));

    let writers: Vec<_> = (0..4)
        .map(|writer| {
            let store = Arc::clone(&subject.store);
            runtime().spawn(come_and_go(store, [own.clone(), other.clone()], writer))
        })
        .collect();
    let ended = AtomicBool::new(false);
    let lists = [
        List::Workspaces,
        List::AdminKeys,
        List::Keys,
        List::KeysOf(own.id.clone()),
    ];
    let rounds: Vec<_> = thread::scope(|scope| {
        let (store, staying, ended) = (&*subject.store, &staying, &ended);
        let read = move |list: List| {
            let mut rounds = 0;
            while rounds == 0 || !ended.load(Ordering::Relaxed) {
                assert_holds(&list_in_pages(store, &list, 7), &list, staying);
                rounds += 1;
            }
            rounds
        };
        let readers = lists.map(|list| scope.spawn(move || read(list)));
        for writer in writers {
            block_on(writer).unwrap();
        }
        ended.store(true, Ordering::Relaxed);
        readers.map(|reader| reader.join().unwrap()).into()
    });
    assert!(rounds.iter().all(|rounds| *rounds > 1), "{rounds:?}");
    subject.load();
}

/// Makes keys, workspaces and admin keys between those that stay, and deletes
/// what can be deleted.
async fn come_and_go(store: Arc<dyn Store>, workspaces: [Workspace; 2], writer: u64) {
    for round in 0..60 {
        let number = 97 * round + writer;
        let mut gone = workspaces
            .each_ref()
            .map(|workspace| Record::Key(records::key(workspace, number)))
            .to_vec();
        gone.push(Record::Workspace(workspace(&format!(
            "w{:02}.{writer}",
            round % 60
        ))));
        for record in gone {
            let at = store.commit(create(record.clone())).await.unwrap();
            store.commit(update(buried(&record), at)).await.unwrap();
        }
        let stays = Record::AdminKey(admin(number));
        store.commit(create(stays)).await.unwrap();
    }
}

/// All of `staying` that is of `list` was read once, and everything in order.
fn assert_holds(read: &[Record], list: &List, staying: &[Record]) {
    let ids: Vec<_> = read.iter().map(|record| record.id().to_string()).collect();
    assert!(
        ids.is_sorted_by(|one, next| one < next),
        "{list:?}: {ids:?}"
    );
    let is_of = |record: &Record| match (list, record) {
        (List::Workspaces, Record::Workspace(_)) | (List::AdminKeys, Record::AdminKey(_)) => true,
        (List::Keys, Record::Key(_)) => true,
        (List::KeysOf(workspace), Record::Key(key)) => key.workspace() == Some(workspace),
        _ => false,
    };
    let expected: Vec<_> = staying.iter().filter(|record| is_of(record)).collect();
    assert!(expected.len() >= 60);
    let kept: Vec<_> = read
        .iter()
        .filter(|record| expected.contains(record))
        .collect();
    assert_eq!(kept, expected, "{list:?}");
    if let List::KeysOf(_) = list {
        let others = read.iter().find(|record| !is_of(record));
        assert_eq!(others, None, "it is of another workspace, or deleted");
    }
}
