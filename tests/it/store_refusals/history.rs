//! A whole store that is not the one that was acknowledged last.

use std::fs;
use std::sync::Arc;

use keyward::domain::clock::ManualClock;
use keyward::domain::credits::{Balance, Credits};
use keyward::store::local::SledStore;
use keyward::store::{Expect, OpenError, Record, RecordId, Revision, Store, Versioned, Write};

use crate::records::{
    self, Disk, LOG, admin, block_on, clock, copy_folder, create, files, issue, load, revoked,
    time, update, workspace,
};

use super::{Sample, place};

pub(super) fn emptied() -> OpenError {
    let sample = Sample::new();
    for name in files(sample.store()).into_keys() {
        fs::remove_file(sample.store().join(name)).unwrap();
    }
    sample.refusal_from_outside()
}

#[test]
fn an_emptied_store_is_no_new_one() {
    let sample = Sample::new();
    let log = fs::read(sample.store().join(LOG)).unwrap();
    for name in files(sample.store()).into_keys() {
        fs::remove_file(sample.store().join(name)).unwrap();
    }
    for _ in 0..2 {
        let error = sample.refusal_from_outside();
        assert!(
            matches!(error, OpenError::Emptied { guard } if guard == sample.newest),
            "{error}"
        );
    }
    fs::remove_dir_all(sample.store()).unwrap();
    assert!(matches!(sample.refusal(), OpenError::Emptied { guard } if guard == sample.newest));
    assert!(!sample.store().exists(), "nothing was made");

    // The files are there, and nothing is in them.
    fs::create_dir(sample.store()).unwrap();
    fs::write(sample.store().join(LOG), b"").unwrap();
    for _ in 0..2 {
        let error = sample.refusal();
        assert!(
            matches!(error, OpenError::Emptied { guard } if guard == sample.newest),
            "{error}"
        );
    }

    // The advice helps.
    fs::remove_dir_all(sample.store()).unwrap();
    fs::create_dir(sample.store()).unwrap();
    fs::write(sample.store().join(LOG), log).unwrap();
    let _ = sample.disk.load();
}

pub(super) fn foreign() -> OpenError {
    let (sample, other) = (Sample::new(), Sample::new());
    copy_folder(other.guard_folder(), sample.guard_folder());
    sample.refusal()
}

#[test]
fn the_guard_of_another_store_is_refused() {
    let (sample, other) = (Sample::new(), Sample::new());
    let own = sample.disk.aside("own");
    copy_folder(sample.guard_folder(), &own);
    copy_folder(other.guard_folder(), sample.guard_folder());
    let error = sample.refusal();
    assert!(matches!(error, OpenError::Foreign), "{error}");

    // The advice helps.
    copy_folder(&own, sample.guard_folder());
    sample.disk.load().unwrap();
}

/// Two stories of one store, which part after a copy was made.
#[test]
fn another_story_of_the_same_length_is_refused() {
    let sample = Sample::new();
    let copy = sample.disk.aside("copy");
    copy_folder(sample.store(), &copy);
    let guard = fs::read(sample.guard()).unwrap();
    sample.revoke();
    // The copy goes on, beside the guard file as it was.
    let current = fs::read(sample.guard()).unwrap();
    copy_folder(&copy, sample.store());
    fs::write(sample.guard(), guard).unwrap();
    sample
        .disk
        .run(|store| block_on(store.commit(create(Record::AdminKey(admin(1))))).unwrap());
    fs::write(sample.guard(), current).unwrap();
    let error = sample.refusal();
    assert!(matches!(error, OpenError::Foreign), "{error}");
}

pub(super) fn older() -> OpenError {
    let sample = Sample::new();
    let copy = sample.disk.aside("copy");
    copy_folder(sample.store(), &copy);
    sample.revoke();
    copy_folder(&copy, sample.store());
    sample.refusal()
}

#[test]
fn a_store_older_by_one_commit_is_refused() {
    let sample = Sample::new();
    let (copy, current) = (sample.disk.aside("copy"), sample.disk.aside("current"));
    copy_folder(sample.store(), &copy);
    let newest = sample.revoke();
    copy_folder(sample.store(), &current);
    copy_folder(&copy, sample.store());
    for _ in 0..2 {
        let error = sample.refusal();
        let OpenError::Older { found, guard } = error else {
            panic!("{error}")
        };
        assert_eq!((found, guard), (sample.newest, newest));
    }

    // The advice helps.
    copy_folder(&current, sample.store());
    let state = sample.disk.load().unwrap();
    assert_eq!(
        state[&RecordId::Key(sample.keys[0].id)].record,
        Record::Key(revoked(&sample.keys[0]))
    );
}

pub(super) fn ahead() -> OpenError {
    let sample = Sample::new();
    let guard = fs::read(sample.guard()).unwrap();
    commit_each_alone(&sample.disk, 3);
    fs::write(sample.guard(), guard).unwrap();
    sample.refusal()
}

/// Makes admin keys, each in a group of its own.
fn commit_each_alone(disk: &Disk, commits: u64) {
    disk.run(|store| {
        for number in 1..=commits {
            block_on(store.commit(create(Record::AdminKey(admin(number))))).unwrap();
        }
    });
}

#[test]
fn a_guard_file_older_by_more_than_a_crash_explains_is_refused() {
    for commits in [2, 3] {
        let sample = Sample::new();
        let guard = fs::read(sample.guard()).unwrap();
        commit_each_alone(&sample.disk, commits);
        fs::write(sample.guard(), guard).unwrap();
        let error = sample.refusal();
        let OpenError::Ahead { found, guard } = error else {
            panic!("{error}")
        };
        assert_eq!(
            (found, guard),
            (Revision(sample.newest.0 + commits), sample.newest)
        );
    }
}

/// A crash between the sync of the store and that of the guard file.
#[test]
fn a_guard_file_one_group_behind_catches_up() {
    let sample = Sample::new();
    let copy = sample.disk.aside("copy");
    copy_folder(sample.store(), &copy);
    let guard = fs::read(sample.guard()).unwrap();
    let newest = sample.revoke();
    fs::write(sample.guard(), guard).unwrap();

    let (store, _) = sample.disk.home.open(clock()).unwrap();
    let (revision, state) = load(&store).unwrap();
    assert_eq!(revision, newest);
    assert_eq!(
        state[&RecordId::Key(sample.keys[0].id)].record,
        Record::Key(revoked(&sample.keys[0]))
    );
    sample.disk.close(store);

    // It now knows of the commit: a store without it is an older one.
    copy_folder(&copy, sample.store());
    let error = sample.refusal();
    assert!(
        matches!(error, OpenError::Older { guard, .. } if guard == newest),
        "{error}"
    );
}

pub(super) fn clock_behind() -> OpenError {
    let sample = Sample::new();
    let (store, _) = sample
        .disk
        .home
        .open(Arc::new(ManualClock::at(time(999_999))))
        .unwrap();
    let error = load(&store).unwrap_err();
    sample.disk.close(store);
    error
}

#[test]
fn a_clock_behind_the_last_commit_is_refused() {
    let error = clock_behind();
    let OpenError::ClockBehind { now, last } = &error else {
        panic!("{error}")
    };
    assert_eq!((*now, *last), (time(999_999), time(1_000_000)));
    assert!(error.to_string().contains(&last.to_string()), "{error}");
}

/// A clock that was ahead for a moment, while nothing but checks went on.
#[test]
fn what_use_left_of_credits_keeps_no_start_out() {
    let disk = Disk::with_store();
    let workspace = workspace("kling");
    let key = records::key(&workspace, 1);
    let credits = |generation| Credits {
        key: key.id,
        generation,
        balance: Some(Balance::new(9, None, time(1_000_000))),
    };
    let open = |millis| {
        let (store, _) = disk
            .home
            .open(Arc::new(ManualClock::at(time(millis))))
            .unwrap();
        (load(&store).map(drop), store)
    };
    let (loaded, store) = open(1_000_000);
    loaded.unwrap();
    block_on(store.commit(create(Record::Workspace(workspace)))).unwrap();
    let mut batch = issue(key.clone());
    batch.writes.push(Write {
        record: Record::Credits(credits(1)),
        expect: Expect::Absent,
    });
    let revision = block_on(store.commit(batch)).unwrap();
    disk.close(store);

    let (loaded, store) = open(5_000_000);
    loaded.unwrap();
    let next = Versioned {
        record: credits(2),
        revision,
    };
    let newest = block_on(store.reserve(vec![next])).unwrap();
    disk.close(store);
    let (loaded, store) = open(1_000_000);
    loaded.unwrap();
    let found = store.get(&RecordId::Credits(key.id)).unwrap().unwrap();
    assert_eq!(found.revision, newest, "it is there");
    disk.close(store);

    // What somebody decided does.
    let (loaded, store) = open(5_000_000);
    loaded.unwrap();
    block_on(store.commit(update(Record::Key(revoked(&key)), revision))).unwrap();
    disk.close(store);
    let (refused, store) = open(1_000_000);
    let error = refused.unwrap_err();
    assert!(matches!(error, OpenError::ClockBehind { .. }), "{error}");
    disk.close(store);
}

#[test]
fn an_old_state_put_back_is_an_older_store() {
    let sample = Sample::new();
    sample.put_back_after_revoking("s");
    let error = sample.refusal();
    assert!(matches!(error, OpenError::Older { .. }), "{error}");
}

/// All of the last commit undone at once, its traces too.
#[test]
fn a_commit_undone_in_every_record_is_seen() {
    let sample = Sample::new();
    let before = sample
        .disk
        .raw(|tree| tree.iter().map(Result::unwrap).collect::<Vec<_>>());
    sample.revoke();
    sample.disk.raw(|tree| {
        tree.clear().unwrap();
        for (place, value) in &before {
            tree.insert(place, value).unwrap();
        }
    });
    let error = sample.refusal();
    assert!(
        matches!(error, OpenError::Older { found, .. } if found == sample.newest),
        "{error}"
    );
}

#[test]
fn nothing_is_written_on_top_of_what_was_refused() {
    let sample = Sample::new();
    sample
        .disk
        .raw(|tree| tree.remove(place(sample.keys[0].id)).unwrap());
    let (store, _): (SledStore, _) = sample.disk.home.open(clock()).unwrap();
    let guard = fs::read(sample.guard()).unwrap();
    for _ in 0..2 {
        assert!(load(&store).is_err());
        let error = block_on(store.commit(create(Record::AdminKey(admin(1))))).unwrap_err();
        assert!(error.certainly_not_applied(), "{error}");
    }
    sample.disk.close(store);
    assert_eq!(fs::read(sample.guard()).unwrap(), guard);
}

/// The log's tail may be empty room; what it holds is not cut off unseen.
#[test]
fn a_truncated_log_is_refused_or_as_good_as_whole() {
    let sample = Sample::new();
    let state = sample.disk.load().unwrap();
    let copy = sample.disk.aside("copy");
    copy_folder(sample.store(), &copy);
    let length = fs::metadata(copy.join(LOG)).unwrap().len();
    for kept in [0, 1, 100, 1_000, length / 4, length / 2, length - 1] {
        copy_folder(&copy, sample.store());
        let log = fs::OpenOptions::new()
            .write(true)
            .open(sample.store().join(LOG))
            .unwrap();
        log.set_len(kept).unwrap();
        match sample.disk.load() {
            Ok(loaded) => assert!(kept > 1_000 && loaded == state, "{kept} of {length}"),
            Err(error) => assert!(
                matches!(
                    error,
                    OpenError::Damaged(_) | OpenError::Emptied { .. } | OpenError::Older { .. }
                ),
                "{kept} of {length}: {error}"
            ),
        }
    }
}

#[test]
fn a_snapshot_that_was_cut_off_is_no_snapshot() {
    let sample = Sample::new();
    // What a full disk, or a crash, leaves of one that sled was writing.
    let unfinished = sample
        .disk
        .home
        .store_dir()
        .join("snap.00000000FFFFFFFF.generating");
    std::fs::write(&unfinished, b"").unwrap();
    sample.disk.load().unwrap();
    assert!(!unfinished.exists());
}
