//! Of changes that cannot all be made one is, and the others are told.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use keyward::domain::key::Key;
use keyward::store::{Expect, Record, RecordId, Revision, Store, StoreError, Versioned, Write};

use crate::records::{self, block_on, create, revoked, runtime, update, workspace};

use super::{Backend, Subject, list_keys};

suite! {
    a_conflict_names_the_record_and_leaves_nothing
    commits_of_one_group_see_each_other
    what_a_commit_conflicted_with_can_be_read
    of_many_creations_of_one_id_one_wins
    of_many_updates_of_one_revision_one_wins
    no_update_is_lost
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
