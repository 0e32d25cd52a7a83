//! The pepper, the guard file, and who has the store open.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use keyward::store::home::Home;
use keyward::store::{OpenError, Record, Store};

use crate::records::{Disk, admin, block_on, clock, create, files};

use super::Sample;

pub(super) fn guard_in_store() -> OpenError {
    Home::new("data/store".into(), "data/store/guard".into()).unwrap_err()
}

#[test]
fn the_pepper_cannot_lie_in_the_store() {
    for (store, guard) in [
        ("data", "data"),
        ("data", "data/guard"),
        ("/data/store", "/data/store/a/b"),
    ] {
        let error = Home::new(store.into(), guard.into()).unwrap_err();
        assert!(
            matches!(&error, OpenError::Guard { path, .. } if path == Path::new(guard)),
            "{error}"
        );
    }
    for (store, guard) in [
        ("data/store", "data/guard"),
        ("data/a", "data/ab"),
        ("/data", "/guard"),
    ] {
        Home::new(store.into(), guard.into()).unwrap();
    }
}

#[test]
fn the_pepper_cannot_lie_in_the_store_by_a_detour() {
    for guard in ["store/../store/guard", "x/../store/guard", "link/guard"] {
        let folder = tempfile::tempdir().unwrap();
        let store = folder.path().join("store");
        fs::create_dir(&store).unwrap();
        std::os::unix::fs::symlink(&store, folder.path().join("link")).unwrap();

        let home = Home::new(store.clone(), folder.path().join(guard));
        let first = |_: &_| create(Record::AdminKey(admin(0)));
        let made = home.and_then(|home| block_on(home.init(clock(), first)));
        assert!(
            matches!(made, Err(OpenError::Guard { .. })),
            "{guard}: {made:?}"
        );
        assert_eq!(files(&store), BTreeMap::new(), "{guard}");
    }
}

pub(super) fn locked() -> OpenError {
    let disk = Disk::with_store();
    let (_held, _) = disk.open().unwrap();
    disk.load().unwrap_err()
}

#[test]
fn a_store_is_open_once_at_a_time() {
    let disk = Disk::with_store();
    let (held, state) = disk.open().unwrap();
    let error = disk.load().unwrap_err();
    assert!(
        matches!(&error, OpenError::Locked(path) if path == disk.home.store_dir()),
        "{error}"
    );
    // Whoever was refused has done no harm.
    block_on(held.commit(create(Record::AdminKey(admin(1))))).unwrap();
    disk.close(held);
    assert_eq!(disk.load().unwrap().len(), state.len() + 1);
}

#[test]
fn a_closed_store_can_be_opened_at_once() {
    let disk = Disk::with_store();
    for round in 0..30 {
        let (store, _) = disk
            .open()
            .unwrap_or_else(|error| panic!("round {round}: {error}"));
        block_on(store.commit(create(Record::AdminKey(admin(round))))).unwrap();
        store.close();
    }
}

pub(super) fn wrong_pepper() -> OpenError {
    let sample = Sample::new();
    fs::write(sample.pepper(), [1; 32]).unwrap();
    sample.refusal_from_outside()
}

#[test]
fn a_wrong_pepper_is_named_and_so_is_the_right_one() {
    let sample = Sample::new();
    let (store, right) = sample.disk.home.open(clock()).unwrap();
    sample.disk.close(store);
    let other = Disk::with_store();
    fs::copy(other.home.guard_dir().join("pepper"), sample.pepper()).unwrap();
    let (_, wrong) = other.home.open(clock()).unwrap();

    let error = sample.refusal_from_outside();
    let OpenError::WrongPepper {
        path,
        found,
        expected,
    } = &error
    else {
        panic!("{error}")
    };
    assert_eq!(
        (path, *found, *expected),
        (&sample.pepper(), wrong.id(), right.id())
    );
    let message = error.to_string();
    assert!(
        message.contains(&wrong.id().to_string()) && message.contains(&right.id().to_string()),
        "{message}"
    );
}

pub(super) fn open_pepper() -> OpenError {
    let sample = Sample::new();
    fs::set_permissions(sample.pepper(), fs::Permissions::from_mode(0o640)).unwrap();
    sample.refusal_from_outside()
}

pub(super) fn short_pepper() -> OpenError {
    let sample = Sample::new();
    fs::write(sample.pepper(), [1; 31]).unwrap();
    sample.refusal_from_outside()
}

pub(super) fn pepper_missing() -> OpenError {
    let sample = Sample::new();
    fs::remove_file(sample.pepper()).unwrap();
    sample.refusal_from_outside()
}

#[test]
fn a_pepper_that_cannot_be_one_is_refused() {
    for spoil in [open_pepper, short_pepper, pepper_missing] {
        let error = spoil();
        assert!(
            matches!(&error, OpenError::Guard { path, .. } if path.ends_with("guard/pepper")),
            "{error}"
        );
    }
    let sample = Sample::new();
    for mode in [0o604, 0o620, 0o610, 0o777] {
        fs::set_permissions(sample.pepper(), fs::Permissions::from_mode(mode)).unwrap();
        assert!(
            matches!(sample.refusal_from_outside(), OpenError::Guard { .. }),
            "{mode:o}"
        );
    }
    fs::set_permissions(sample.pepper(), fs::Permissions::from_mode(0o600)).unwrap();
    for length in [0, 33, 64] {
        fs::write(sample.pepper(), vec![1; length]).unwrap();
        assert!(
            matches!(sample.refusal_from_outside(), OpenError::Guard { .. }),
            "{length}"
        );
    }
}

pub(super) fn guard_missing() -> OpenError {
    let sample = Sample::new();
    fs::remove_file(sample.guard()).unwrap();
    sample.refusal_from_outside()
}

pub(super) fn guard_short() -> OpenError {
    let sample = Sample::new();
    fs::write(sample.guard(), b"KEYWARDG").unwrap();
    sample.refusal_from_outside()
}

pub(super) fn guard_garbled() -> OpenError {
    let sample = Sample::new();
    fs::write(sample.guard(), vec![b'x'; 12_288]).unwrap();
    sample.refusal_from_outside()
}

#[test]
fn a_guard_file_that_cannot_be_one_is_refused() {
    for spoil in [guard_missing, guard_short, guard_garbled] {
        let error = spoil();
        assert!(
            matches!(&error, OpenError::Guard { path, .. } if path.ends_with("guard/guard")),
            "{error}"
        );
    }
    let sample = Sample::new();
    let whole = fs::read(sample.guard()).unwrap();
    for length in [0, 8, 48, 4_096] {
        fs::write(sample.guard(), &whole[..length]).unwrap();
        assert!(
            matches!(sample.refusal_from_outside(), OpenError::Guard { .. }),
            "{length}"
        );
    }
    fs::write(sample.guard(), whole).unwrap();
    sample.disk.load().unwrap();
}

#[test]
fn a_newer_guard_file_is_refused() {
    let sample = Sample::new();
    let mut bytes = fs::read(sample.guard()).unwrap();
    bytes[8] = 2;
    fs::write(sample.guard(), bytes).unwrap();
    assert!(matches!(
        sample.refusal_from_outside(),
        OpenError::Newer { found: 2, known: 1 }
    ));
}
