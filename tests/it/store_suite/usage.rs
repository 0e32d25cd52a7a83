//! How keys were used: noted without an event, never less than it was, and gone
//! with its key.

use std::sync::Arc;

use keyward::domain::audit::AuditLog;
use keyward::domain::clock::ManualClock;
use keyward::domain::usage::Usage;
use keyward::domain::verdict::DenialReason;
use keyward::store::OpenError;

use crate::records::{self, buried, update};

use super::*;

suite! {
    what_is_noted_is_kept_and_does_not_go_back
    a_note_has_no_event_and_changes_no_other_record
    what_is_known_of_a_key_goes_with_it_and_does_not_come_again
    a_key_is_used_and_deleted_in_one_group
    the_usage_of_the_largest_key_fits
}

fn note(subject: &Subject, usages: Vec<Usage>) -> Revision {
    block_on(subject.store.note_usage(usages)).unwrap()
}

fn stored(subject: &Subject, key: KeyId) -> Option<Versioned> {
    subject.store.get(&RecordId::Usage(key)).unwrap()
}

/// A key in `workspace` that was used so often.
fn used(workspace: &Workspace, number: u64, allowed: u64) -> (Key, Usage) {
    let key = records::key(workspace, number);
    let usage = Usage {
        first_used: Some(time(1)),
        last_used: Some(time(allowed)),
        source: "2001:db8::7".parse().ok(),
        allowed,
        exercised: records::scopes(["people:read"]),
        ..Usage::none(key.id)
    };
    (key, usage)
}

fn what_is_noted_is_kept_and_does_not_go_back(backend: Backend) {
    let (subject, workspace) = Subject::with_workspace(backend);
    let (key, usage) = used(&workspace, 1, 20);
    subject.commit(create(Record::Key(key.clone()))).unwrap();
    let first = note(&subject, vec![usage.clone()]);
    let as_stored = |record: &Usage, revision| {
        let record = Record::Usage(record.clone());
        Some(Versioned { record, revision })
    };
    assert_eq!(stored(&subject, key.id), as_stored(&usage, first));

    // What knows less, whoever has it, takes nothing away.
    let mut denied = used(&workspace, 1, 7).1;
    denied.key = key.id;
    denied.first_used = Some(time(0));
    denied.superseded_used = Some(time(3));
    for _ in 0..3 {
        denied.denials.count(DenialReason::RateLimited, time(5));
    }
    let second = note(&subject, vec![denied.clone()]);
    let mut both = usage;
    both.first_used = denied.first_used;
    both.superseded_used = denied.superseded_used;
    both.denials = denied.denials;
    assert_eq!(stored(&subject, key.id), as_stored(&both, second));

    let subject = subject.restarted();
    let (revision, state) = subject.load();
    assert_eq!(revision, second);
    let loaded = state.get(&RecordId::Usage(key.id)).cloned();
    assert_eq!(loaded, as_stored(&both, second));
}

fn a_note_has_no_event_and_changes_no_other_record(backend: Backend) {
    let (subject, workspace) = Subject::with_workspace(backend);
    let (key, usage) = used(&workspace, 1, 20);
    subject.commit(create(Record::Key(key.clone()))).unwrap();
    let (before, mut state) = subject.load();
    let events = subject.store.audit(&AuditLog::All, None, 100).unwrap();
    let follow = Arc::clone(&subject.store);
    let commits = follow.follow(before).unwrap();
    let noted = note(&subject, vec![usage]);
    assert_eq!(noted, Revision(before.0 + 1));
    // Followers see that it was there, and nothing of it.
    let commit = commits.recv_timeout(PATIENCE).unwrap();
    assert_eq!((commit.revision, commit.changes.len()), (noted, 0));
    assert_eq!(
        subject.store.audit(&AuditLog::All, None, 100).unwrap(),
        events
    );
    let (_, mut after) = subject.load();
    assert!(after.remove(&RecordId::Usage(key.id)).is_some());
    assert_eq!(after, state);
    // A change of the key that was read before it is no conflict.
    let found = state.remove(&RecordId::Key(key.id)).unwrap();
    let revoked = Record::Key(records::revoked(&key));
    subject.commit(update(revoked, found.revision)).unwrap();
}

fn what_is_known_of_a_key_goes_with_it_and_does_not_come_again(backend: Backend) {
    let (subject, workspace) = Subject::with_workspace(backend);
    let (key, usage) = used(&workspace, 1, 20);
    let (other, others) = used(&workspace, 2, 30);
    let record = Record::Key(key.clone());
    let created = subject.commit(create(record.clone())).unwrap();
    subject.commit(create(Record::Key(other))).unwrap();
    note(&subject, vec![usage.clone(), others.clone()]);
    subject.commit(update(buried(&record), created)).unwrap();
    assert_eq!(stored(&subject, key.id), None);

    // Nor of one that never was.
    let stranger = used(&workspace, 3, 40).1;
    note(&subject, vec![usage, stranger.clone()]);
    assert_eq!(stored(&subject, key.id), None);
    assert_eq!(stored(&subject, stranger.key), None);
    let subject = subject.restarted();
    let (_, state) = subject.load();
    let usages = state.into_values().map(|found| found.record);
    let usages: Vec<_> = usages
        .filter(|record| matches!(record, Record::Usage(_)))
        .collect();
    assert_eq!(usages, [Record::Usage(others)]);
}

fn a_key_is_used_and_deleted_in_one_group(backend: Backend) {
    let (subject, workspace) = Subject::with_workspace(backend);
    let (start, _) = subject.load();
    let (key, usage) = used(&workspace, 1, 20);
    let record = Record::Key(key.clone());
    let groups = subject.gate.passed();
    subject.gate.shut();
    let mut queued = subject.queue(vec![create(record.clone())]);
    let noted = |usage| {
        let store = Arc::clone(&subject.store);
        let mut note: Queued = Box::pin(async move { store.note_usage(vec![usage]).await });
        let _context = runtime().enter();
        let mut context = Context::from_waker(Waker::noop());
        assert!(note.as_mut().poll(&mut context).is_pending());
        note
    };
    queued.push(noted(usage.clone()));
    let burial = update(buried(&record), Revision(start.0 + 1));
    queued.extend(subject.queue(vec![burial]));
    queued.push(noted(usage));
    subject.gate.wait_for_arrival();
    subject.gate.open();
    for commit in queued {
        block_on(commit).unwrap();
    }
    assert_eq!(
        subject.gate.passed(),
        groups + 1,
        "all of them were one group"
    );
    assert_eq!(stored(&subject, key.id), None);
    let subject = subject.restarted();
    assert!(!subject.load().1.contains_key(&RecordId::Usage(key.id)));
}

fn the_usage_of_the_largest_key_fits(backend: Backend) {
    let (subject, workspace) = Subject::with_workspace(backend);
    let scopes = (0..100).map(|number| format!("{number:0>20}"));
    let scopes = scopes.map(|text| text.as_str().try_into().unwrap());
    let (mut key, mut usage) = used(&workspace, 1, 1);
    usage.allowed = u64::MAX;
    key.scopes = scopes.collect();
    usage.exercised = key.scopes.clone();
    usage.superseded_used = usage.last_used;
    for reason in DenialReason::ALL {
        usage.denials.set(reason, u64::MAX);
    }
    usage.denials.last = Some((time(u64::from(u32::MAX)), DenialReason::CreditsExhausted));
    subject.commit(create(Record::Key(key.clone()))).unwrap();
    let revision = note(&subject, vec![usage.clone()]);
    let subject = subject.restarted();
    let expected = Versioned {
        record: Record::Usage(usage),
        revision,
    };
    assert_eq!(stored(&subject, key.id), Some(expected));
}

/// A clock that was set back is refused after a change, and not after a note: it
/// is made every minute, and nobody has decided anything.
#[test]
fn a_note_does_not_move_the_time_of_the_last_change() {
    let disk = records::Disk::with_store();
    let workspace = workspace("klipy");
    let (key, usage) = used(&workspace, 1, 20);
    let open = |millis| {
        let clock = Arc::new(ManualClock::at(time(millis)));
        let (store, _) = disk.home.open(clock).unwrap();
        let loaded = load(&store);
        (store, loaded)
    };
    let (store, loaded) = open(2_000_000);
    loaded.unwrap();
    block_on(store.commit(create(Record::Workspace(workspace)))).unwrap();
    block_on(store.commit(create(Record::Key(key)))).unwrap();
    disk.close(store);
    let (store, loaded) = open(3_000_000);
    loaded.unwrap();
    block_on(store.note_usage(vec![usage])).unwrap();
    disk.close(store);
    let (store, loaded) = open(2_000_000);
    loaded.unwrap();
    disk.close(store);
    let (store, loaded) = open(1_999_999);
    assert!(matches!(loaded, Err(OpenError::ClockBehind { .. })));
    disk.close(store);
}
