//! A store is made where there is none, once, and whole.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Barrier;
use std::thread;

use keyward::store::{OpenError, Record};

use crate::records::{Disk, admin, block_on, clock, create, files};

use super::Sample;

pub(super) fn missing() -> OpenError {
    Disk::empty().load().unwrap_err()
}

#[test]
fn where_there_is_no_store_none_is_opened() {
    let disk = Disk::empty();
    let error = disk.load().unwrap_err();
    assert!(
        matches!(&error, OpenError::Missing(path) if path == disk.home.store_dir()),
        "{error}"
    );
    assert!(
        !disk.home.store_dir().exists() && !disk.home.guard_dir().exists(),
        "nothing was made"
    );
}

pub(super) fn exists() -> OpenError {
    Disk::with_store().init().unwrap_err()
}

#[test]
fn a_second_init_leaves_everything_as_it_was() {
    let sample = Sample::new();
    let state = sample.disk.load().unwrap();
    let before = [files(sample.store()), files(sample.guard_folder())];
    for _ in 0..2 {
        let error = sample.disk.init().unwrap_err();
        assert!(matches!(error, OpenError::Exists(_)), "{error}");
    }
    assert!([files(sample.store()), files(sample.guard_folder())] == before);
    assert_eq!(sample.disk.load().unwrap(), state);
    sample.revoke();
}

/// What is left of a store is as good a reason as a whole one.
#[test]
fn init_replaces_no_part_of_a_store() {
    for left in ["store", "pepper", "guard"] {
        let sample = Sample::new();
        let parts = [
            ("store", sample.store().to_owned()),
            ("pepper", sample.pepper()),
            ("guard", sample.guard()),
        ];
        for (name, path) in parts {
            if name != left && path.is_dir() {
                fs::remove_dir_all(path).unwrap();
            } else if name != left {
                fs::remove_file(path).unwrap();
            }
        }
        let found = |folder: &Path| {
            if folder.exists() {
                files(folder)
            } else {
                BTreeMap::new()
            }
        };
        let before = [found(sample.store()), found(sample.guard_folder())];
        let error = sample.disk.init().unwrap_err();
        assert!(matches!(error, OpenError::Exists(_)), "{left}: {error}");
        assert!(
            [found(sample.store()), found(sample.guard_folder())] == before,
            "{left}"
        );
    }
}

#[test]
fn init_takes_no_folder_that_holds_anything() {
    let disk = Disk::empty();
    let notes = disk.home.store_dir().join("notes.txt");
    fs::create_dir_all(disk.home.store_dir()).unwrap();
    fs::write(&notes, "not keyward's").unwrap();
    let error = disk.init().unwrap_err();
    assert!(
        matches!(&error, OpenError::Exists(path) if path == disk.home.store_dir()),
        "{error}"
    );
    assert_eq!(fs::read_to_string(notes).unwrap(), "not keyward's");
    assert!(!disk.home.guard_dir().exists(), "nothing was made");
}

#[test]
fn a_failed_init_leaves_nothing_of_its_own() {
    let disk = Disk::empty();
    let notes = disk.home.guard_dir().join("notes.txt");
    fs::create_dir_all(disk.home.guard_dir()).unwrap();
    fs::write(&notes, "not keyward's").unwrap();
    let mut impossible = admin(0);
    impossible.name = "x".repeat(7_000);
    let failed = block_on(
        disk.home
            .init(clock(), |_| create(Record::AdminKey(impossible))),
    );
    assert!(failed.is_err());
    assert!(!disk.home.store_dir().exists());
    assert_eq!(
        files(disk.home.guard_dir()).into_keys().collect::<Vec<_>>(),
        ["notes.txt"]
    );

    disk.init().unwrap();
    disk.load().unwrap();
    assert_eq!(fs::read_to_string(notes).unwrap(), "not keyward's");
}

#[test]
fn of_two_inits_at_once_one_makes_the_store() {
    for round in 0..60 {
        let disk = Disk::empty();
        let start = Barrier::new(2);
        let made: Vec<_> = thread::scope(|scope| {
            let init = || {
                start.wait();
                disk.init()
            };
            let inits = [(); 2].map(|()| scope.spawn(init));
            inits.map(|init| init.join().unwrap()).into()
        });
        let refused: Vec<_> = made.iter().filter_map(|made| made.as_ref().err()).collect();
        let [OpenError::Exists(_)] = refused.as_slice() else {
            panic!("round {round}: one is refused, and told that the store exists: {refused:?}")
        };
        let state = disk
            .load()
            .unwrap_or_else(|error| panic!("round {round}: {error}"));
        assert_eq!(state.len(), 1, "round {round}");
    }
}

pub(super) fn unfinished() -> OpenError {
    let sample = Sample::new();
    fs::rename(sample.guard(), sample.guard_folder().join("guard.new")).unwrap();
    sample.refusal_from_outside()
}

#[test]
fn an_init_that_was_cut_off_is_told_of() {
    assert!(matches!(unfinished(), OpenError::Unfinished { .. }));

    let disk = Disk::empty();
    let cut_off = thread::scope(|scope| {
        let init = || {
            block_on(
                disk.home
                    .init(clock(), |_| std::panic::resume_unwind(Box::new(()))),
            )
        };
        scope.spawn(init).join()
    });
    assert!(cut_off.is_err());
    let error = disk.load().unwrap_err();
    assert!(matches!(error, OpenError::Unfinished { .. }), "{error}");
    assert!(disk.init().is_err(), "nothing is replaced");
    let error = disk.load().unwrap_err();
    assert!(matches!(error, OpenError::Unfinished { .. }), "{error}");

    // The advice helps.
    for folder in [disk.home.store_dir(), disk.home.guard_dir()] {
        fs::remove_dir_all(folder).unwrap();
    }
    disk.init().unwrap();
    disk.load().unwrap();
}
