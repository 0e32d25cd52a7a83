//! Records that a change relies on without writing them.

use keyward::domain::key::Key;
use keyward::domain::workspace::Workspace;
use keyward::store::{Batch, Expect, Record, RecordId, Requirement, Revision, StoreError};

use crate::records::{self, admin, buried, create, note, update, workspace};

use super::{Backend, Subject, list_keys};

suite! {
    what_a_change_relies_on_has_to_be_there
    what_a_change_relies_on_is_looked_up_in_its_group
    of_what_relies_on_each_other_one_is_made
    what_relies_on_there_being_no_keys_is_held_up_by_each
}

fn relying_on(record: &Record, expect: Expect, batch: Batch) -> Batch {
    let mut batch = batch;
    let id = record.id();
    batch.requires.push(Requirement::Record { id, expect });
    batch
}

fn conflicts_with(result: &Result<Revision, StoreError>, record: &Record) -> bool {
    matches!(result, Err(StoreError::Conflict(id)) if *id == record.id())
}

fn disabled(workspace: &Workspace) -> Record {
    Record::Workspace(Workspace {
        disabled: true,
        ..workspace.clone()
    })
}

fn what_a_change_relies_on_has_to_be_there(backend: Backend) {
    let subject = backend();
    subject.load();
    let workspace = workspace("klipy");
    let own = Record::Workspace(workspace.clone());
    let absent = Record::AdminKey(admin(9));
    let first = subject.commit(create(own.clone())).unwrap();
    let second = subject.commit(update(disabled(&workspace), first)).unwrap();
    let before = subject.load();

    let key = Record::Key(records::key(&workspace, 1));
    let broken = [
        (&own, Expect::Absent),
        (&own, Expect::At(first)),
        (&own, Expect::At(Revision(second.0 + 1))),
        (&absent, Expect::At(second)),
    ];
    for (record, expect) in broken {
        for batch in [create(key.clone()), note(Some(&workspace), "a note")] {
            let batch = relying_on(record, expect, relying_on(&own, Expect::At(second), batch));
            let result = subject.commit(batch);
            assert!(conflicts_with(&result, record), "{expect:?}: {result:?}");
            assert_eq!(subject.load(), before);
        }
    }
    let both = relying_on(&absent, Expect::Absent, create(key.clone()));
    let at = subject
        .commit(relying_on(&own, Expect::At(second), both))
        .unwrap();
    // It was not written: what was found of it is still right.
    let found = subject.store.get(&own.id()).unwrap().unwrap();
    assert_eq!(found.revision, second);
    // A change can rely on what it writes itself, as it was.
    let again = relying_on(&key, Expect::At(at), update(key.clone(), at));
    subject.commit(again).unwrap();
    // What is buried is not what it was.
    let gone = subject.commit(update(buried(&own), second)).unwrap();
    for expect in [Expect::Absent, Expect::At(second)] {
        let result = subject.commit(relying_on(&own, expect, create(absent.clone())));
        assert!(conflicts_with(&result, &own), "{result:?}");
    }
    assert_eq!(gone, Revision(at.0 + 2));
}

fn what_a_change_relies_on_is_looked_up_in_its_group(backend: Backend) {
    let changes: [fn(&Workspace) -> Record; 2] = [disabled, |workspace| {
        buried(&Record::Workspace(workspace.clone()))
    }];
    for change in changes {
        let subject = backend();
        subject.load();
        let workspace = workspace("klipy");
        let own = Record::Workspace(workspace.clone());
        let made = subject.commit(create(own.clone())).unwrap();
        let keys = [1, 2, 3, 4].map(|number| Record::Key(records::key(&workspace, number)));
        let issue = |key: usize, at| relying_on(&own, Expect::At(at), create(keys[key].clone()));
        let at = |number| Revision(made.0 + number);
        let other = records::workspace("other");
        let other = Record::Workspace(other);

        let results = subject.commit_as_one_group(vec![
            issue(0, made),
            relying_on(&other, Expect::Absent, note(None, "before it")),
            update(change(&workspace), made),
            issue(1, made),
            // Who knows of the change may.
            relying_on(&own, Expect::At(at(3)), note(None, "knows")),
            create(other.clone()),
            relying_on(&other, Expect::Absent, note(None, "too late")),
            relying_on(&other, Expect::At(at(5)), note(None, "knows, too")),
            issue(2, made),
        ]);
        let found: Vec<_> = results
            .iter()
            .map(|result| result.as_ref().ok().copied())
            .collect();
        let expected = [
            Some(1),
            Some(2),
            Some(3),
            None,
            Some(4),
            Some(5),
            None,
            Some(6),
            None,
        ];
        assert_eq!(found, expected.map(|number| number.map(at)));
        for (position, record) in [(3, &own), (6, &other), (8, &own)] {
            assert!(conflicts_with(&results[position], record), "{results:?}");
        }
        assert_eq!(subject.store.get(&keys[1].id()).unwrap(), None);
        let listed = list_keys(&*subject.store, Some(&workspace.id), None, 9).unwrap();
        assert_eq!(
            listed.into_iter().map(Record::Key).collect::<Vec<_>>(),
            keys[..1]
        );
    }
}

/// Two records of which one must stay: each change relies on the other's.
fn of_what_relies_on_each_other_one_is_made(backend: Backend) {
    let subject = backend();
    subject.load();
    for round in 0..20 {
        let pair = [1, 2].map(|number| {
            let admin = admin(100 * round + number);
            let at = subject
                .commit(create(Record::AdminKey(admin.clone())))
                .unwrap();
            (admin, at)
        });
        let disable = |one: usize| {
            let ((admin, at), (other, other_at)) = (pair[one].clone(), pair[1 - one].clone());
            let disabled = Record::AdminKey(keyward::domain::admin::AdminKey {
                disabled: true,
                ..admin
            });
            relying_on(
                &Record::AdminKey(other),
                Expect::At(other_at),
                update(disabled, at),
            )
        };
        let batches = vec![disable(0), disable(1)];
        let results = if round % 2 == 0 {
            subject.commit_as_one_group(batches)
        } else {
            subject.commit_at_once(batches)
        };
        let made = results.iter().filter(|result| result.is_ok()).count();
        assert_eq!(made, 1, "{results:?}");
        let lost = results.into_iter().find_map(Result::err).unwrap();
        assert!(
            matches!(lost, StoreError::Conflict(RecordId::AdminKey(_))),
            "{lost}"
        );
    }
}

/// As a principal is deleted: in one group with keys that come and go, too.
fn what_relies_on_there_being_no_keys_is_held_up_by_each(backend: Backend) {
    let (subject, workspace) = Subject::with_workspace(backend);
    let [one, two, other] = [1, 2, 3].map(|number| records::key(&workspace, number));
    let two = Key {
        principal: one.principal.clone(),
        ..two
    };
    let principal = Record::Principal(records::principal_of(&one));
    let made = subject.commit(create(principal.clone())).unwrap();
    let bury = || {
        let mut batch = update(buried(&principal), made);
        let none = Requirement::NoKeysOf(one.principal.clone());
        batch.requires.push(none);
        batch
    };
    // Those of one whose id starts the same are another's.
    let longer = Key {
        principal: format!("{}0", one.principal),
        ..other
    };
    subject.commit(create(Record::Key(longer))).unwrap();
    let (one, two) = (Record::Key(one.clone()), Record::Key(two));
    let results = subject.commit_as_one_group(vec![
        create(one.clone()),
        bury(),
        update(buried(&one), Revision(made.0 + 2)),
        create(two.clone()),
        bury(),
    ]);
    let done: Vec<_> = results.iter().map(Result::is_ok).collect();
    assert_eq!(done, [true, false, true, true, false], "{results:?}");
    assert!(conflicts_with(&results[1], &principal));
    let at = *results[3].as_ref().unwrap();
    assert!(conflicts_with(&subject.commit(bury()), &principal));

    let results = subject.commit_as_one_group(vec![update(buried(&two), at), bury()]);
    assert!(results.iter().all(Result::is_ok), "{results:?}");
    let subject = subject.restarted();
    let (_, state) = subject.load();
    assert!(!state.contains_key(&principal.id()));
    let grave = subject.store.get(&principal.id()).unwrap().unwrap();
    assert_eq!(grave.record, buried(&principal));
}
