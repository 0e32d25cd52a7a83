//! What is left of deleted keys and workspaces: in their places, for good.

use keyward::store::{Change, Expect, List, Record, RecordId, Revision, StoreError, Versioned};

use crate::records::{self, buried, create, note, revoked, update, write};

use super::{Backend, Subject, list_keys};

suite! {
    what_is_left_is_in_its_place_and_on_no_list_of_a_workspace
    what_is_buried_stays_so
    a_key_can_come_and_go_in_one_group
    a_refused_burial_leaves_everything
    followers_are_told_what_was_there
    the_state_is_whole_after_many_removals
}

fn what_is_left_is_in_its_place_and_on_no_list_of_a_workspace(backend: Backend) {
    let (subject, workspace) = Subject::with_workspace(backend);
    let keys: Vec<_> = (1..=6)
        .map(|number| records::key(&workspace, number))
        .collect();
    let gone = records::workspace("gone");
    let mut expected: Vec<_> = keys
        .iter()
        .map(|key| {
            let record = Record::Key(key.clone());
            let revision = subject.commit(create(record.clone())).unwrap();
            Versioned { record, revision }
        })
        .collect();
    let created = subject
        .commit(create(Record::Workspace(gone.clone())))
        .unwrap();
    for position in [0, 2, 5] {
        let record = buried(&expected[position].record);
        let batch = update(record.clone(), expected[position].revision);
        let revision = subject.commit(batch).unwrap();
        expected[position] = Versioned { record, revision };
    }
    let grave = buried(&Record::Workspace(gone));
    let at = subject.commit(update(grave.clone(), created)).unwrap();

    let subject = subject.restarted();
    for found in &expected {
        assert_eq!(
            subject.store.get(&found.record.id()).unwrap().as_ref(),
            Some(found)
        );
    }
    let (_, state) = subject.load();
    for found in &expected {
        let shown = matches!(found.record, Record::Key(_)).then_some(found);
        assert_eq!(state.get(&found.record.id()), shown, "it is in use no more");
    }
    assert!(!state.contains_key(&grave.id()));
    assert_eq!(
        subject.store.list(&List::Keys, None, 100).unwrap(),
        expected
    );
    let workspaces = subject.store.list(&List::Workspaces, None, 100).unwrap();
    let buried = Versioned {
        record: grave,
        revision: at,
    };
    assert_eq!((workspaces.len(), &workspaces[0]), (2, &buried));

    let left: Vec<_> = [1, 3, 4].map(|position| keys[position].clone()).into();
    let of = |after, limit| list_keys(&*subject.store, Some(&workspace.id), after, limit);
    assert_eq!(of(None, 100).unwrap(), left);
    assert_eq!(
        of(None, 2).unwrap(),
        left[..2],
        "a page is full if it can be"
    );
    // One that was the end of a page may be gone when the next is asked for.
    assert_eq!(of(Some(keys[2].id), 1).unwrap(), left[1..2]);
    assert_eq!(of(Some(keys[5].id), 1).unwrap(), []);
}

/// Neither id is given to anything else, whatever its writer expects there.
fn what_is_buried_stays_so(backend: Backend) {
    let (subject, workspace) = Subject::with_workspace(backend);
    let key = Record::Key(records::key(&workspace, 1));
    let gone = Record::Workspace(records::workspace("gone"));
    let principal = Record::Principal(records::principal_of(&records::key(&workspace, 2)));
    for record in [key, gone, principal] {
        let made = subject.commit(create(record.clone())).unwrap();
        let grave = buried(&record);
        let at = subject.commit(update(grave.clone(), made)).unwrap();
        let before = subject.load();
        let written = [&record, &grave];
        let expects = [Expect::Absent, Expect::At(made), Expect::At(at)];
        for (written, expect) in written.into_iter().flat_map(|w| expects.map(|e| (w, e))) {
            let error = subject.commit(write(written.clone(), expect)).unwrap_err();
            assert!(
                matches!(&error, StoreError::Conflict(id) if *id == record.id()),
                "{expect:?}: {error}"
            );
        }
        assert_eq!(subject.load(), before);
        let found = subject.store.get(&record.id()).unwrap().unwrap();
        assert_eq!((found.record, found.revision), (grave, at));
    }
    assert_eq!(
        list_keys(&*subject.store, Some(&workspace.id), None, 9).unwrap(),
        []
    );
}

fn a_key_can_come_and_go_in_one_group(backend: Backend) {
    let (subject, workspace) = Subject::with_workspace(backend);
    let (start, state) = subject.load();
    let at = |number| Revision(start.0 + number);
    let [key, other] = [1, 2].map(|number| Record::Key(records::key(&workspace, number)));
    let results = subject.commit_as_one_group(vec![
        create(key.clone()),
        create(other.clone()),
        update(buried(&key), at(1)),
        create(key.clone()),
        update(key.clone(), at(3)),
        update(buried(&key), at(3)),
        note(Some(&workspace), "after it"),
    ]);
    let made: Vec<_> = results
        .iter()
        .map(|result| result.as_ref().ok().copied())
        .collect();
    assert_eq!(
        made,
        [
            Some(at(1)),
            Some(at(2)),
            Some(at(3)),
            None,
            None,
            None,
            Some(at(4))
        ]
    );
    let subject = subject.restarted();
    let mut expected = state;
    let versioned = Versioned {
        record: other.clone(),
        revision: at(2),
    };
    expected.insert(other.id(), versioned);
    assert_eq!(subject.load(), (at(4), expected));
    let found = subject.store.get(&key.id()).unwrap().unwrap();
    assert_eq!((found.record, found.revision), (buried(&key), at(3)));
    let listed = list_keys(&*subject.store, Some(&workspace.id), None, 9).unwrap();
    assert_eq!(
        listed.into_iter().map(Record::Key).collect::<Vec<_>>(),
        [other]
    );
}

fn a_refused_burial_leaves_everything(backend: Backend) {
    let (subject, workspace) = Subject::with_workspace(backend);
    let key = records::key(&workspace, 1);
    let made = subject.commit(create(Record::Key(key.clone()))).unwrap();
    let at = subject
        .commit(update(Record::Key(revoked(&key)), made))
        .unwrap();
    let before = subject.load();
    let grave = buried(&Record::Key(key.clone()));
    let mut too_much = update(grave.clone(), at);
    too_much.audit.resource = "x".repeat(7_000);
    for batch in [update(grave.clone(), made), create(grave.clone()), too_much] {
        let error = subject.commit(batch).unwrap_err();
        assert!(error.certainly_not_applied(), "{error}");
        assert_eq!(subject.load(), before);
        let listed = list_keys(&*subject.store, Some(&workspace.id), None, 9).unwrap();
        assert_eq!(listed, [revoked(&key)], "it is still found");
    }
    subject.commit(update(grave, at)).unwrap();
    subject.load();
}

fn followers_are_told_what_was_there(backend: Backend) {
    let (subject, workspace) = Subject::with_workspace(backend);
    let key = Record::Key(records::key(&workspace, 1));
    let at = subject.commit(create(key.clone())).unwrap();
    let commits = subject.store.follow(at).unwrap();
    subject.commit(update(buried(&key), at)).unwrap();
    let change = Change {
        before: Some(key.clone()),
        after: buried(&key),
    };
    assert_eq!(commits.try_recv().unwrap().changes, [change]);
}

/// As many as make the engine's tree grow, shrink and grow again.
fn the_state_is_whole_after_many_removals(backend: Backend) {
    const KEYS: u64 = 1_500;
    let (subject, workspace) = Subject::with_workspace(backend);
    let keys: Vec<_> = (0..KEYS)
        .map(|number| Record::Key(records::key(&workspace, number)))
        .collect();
    let made = subject.commit_at_once(keys.iter().cloned().map(create).collect());
    let is_kept = |position: usize| position % 7 == 3 || (400..450).contains(&position);
    let graves = keys.iter().zip(made).enumerate();
    let graves = graves.filter(|(position, _)| !is_kept(*position));
    let graves = graves.map(|(_, (key, at))| update(buried(key), at.unwrap()));
    let results = subject.commit_at_once(graves.collect());
    assert!(results.iter().all(Result::is_ok));

    let subject = subject.restarted();
    let (_, state) = subject.load();
    let kept: Vec<_> = (0..keys.len())
        .filter(|position| is_kept(*position))
        .map(|position| keys[position].clone())
        .collect();
    let in_state = state.keys().filter(|id| matches!(id, RecordId::Key(_)));
    assert_eq!(in_state.count(), kept.len());
    let listed = list_keys(&*subject.store, Some(&workspace.id), None, 9_999).unwrap();
    assert!(listed.into_iter().map(Record::Key).eq(kept));
    let all = subject.store.list(&List::Keys, None, 9_999).unwrap();
    assert_eq!(all.len() as u64, KEYS);
    // It takes changes as before.
    subject
        .commit(create(Record::Key(records::key(&workspace, KEYS))))
        .unwrap();
    subject.load();
}
